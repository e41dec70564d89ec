//! What becomes of a test where the machine cannot carry the laboratory.

use std::{env, error::Error as _};

use crate::{LabError, LinkSpec, Pair, RouterSpec, Topology};

/// Runs a test with a pair, or says that it cannot run here: in a line that begins with `SKIP: `,
/// which the test runner counts.
///
/// # Panics
/// If `test` does, and where NETCOM_NO_SKIP is 1 and the pair cannot be made.
pub fn with_pair(spec: LinkSpec, test: impl FnOnce(&Pair)) {
    with_links(&[spec], test);
}

/// The same with a pair that is joined by several links.
///
/// # Panics
/// As [`with_pair`] and [`Pair::with_links`] do.
pub fn with_links(specs: &[LinkSpec], test: impl FnOnce(&Pair)) {
    run(Pair::with_links(specs), test);
}

/// The same with a host behind routers, the nearest one first.
///
/// # Panics
/// As [`with_pair`] and [`Topology::new`] do.
pub fn with_topology(routers: &[RouterSpec], uplink: LinkSpec, test: impl FnOnce(&Topology)) {
    run(Topology::new(routers, uplink), test);
}

/// Says that a test cannot run here, and why; the test then returns.
///
/// # Panics
/// Where NETCOM_NO_SKIP is 1.
#[expect(clippy::print_stdout, reason = "skipping has to be seen")]
pub fn skip(reason: &str) {
    // A line of its own, whatever was printed before.
    println!("\nSKIP: {reason}");
    let is_forbidden = env::var("NETCOM_NO_SKIP").is_ok_and(|value| value == "1");
    assert!(!is_forbidden, "{reason}");
}

fn run<T>(made: Result<T, LabError>, test: impl FnOnce(&T)) {
    match made {
        Ok(laboratory) => test(&laboratory),
        Err(error) => {
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            skip(&format!("{error}{cause}"));
        }
    }
}
