//! The corpora of the fuzz targets, replayed through the code that the targets run, and held to an
//! amount of memory that grows with the input by a factor: what is claimed is not allocated.
//!
//! Counted is the most memory in use at any moment of an input's run, beyond what was in use
//! before it. It may be the target's constant and its factor times the input's length.
#![cfg(target_os = "linux")]

#[expect(dead_code, reason = "the engine's own tests use more of it")]
#[path = "../../netcom-session/tests/engine/harness.rs"]
mod harness;
#[path = "../../netcom-session/tests/engine/hostile.rs"]
mod hostile;
#[expect(dead_code, reason = "the engine's own tests use more of it")]
#[path = "../../netcom-session/tests/engine/random.rs"]
mod random;

use std::{
    fs,
    path::Path,
    sync::{Mutex, PoisonError},
};

use netcom_cli::fuzzing as cli;
use netcom_discovery::fuzzing as discovery;
use netcom_identity::fuzzing as identity;
use netcom_session::fuzzing as session;
use netcom_transport::fuzzing as transport;
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

macro_rules! corpora {
    ($($test:ident: $target:literal, $constant:expr, $factor:expr, $run:expr;)+) => {
        $(#[test]
        fn $test() {
            replay($target, $constant, $factor, $run);
        })+

        #[test]
        fn every_corpus_is_replayed() {
            let mut known = vec![$($target),+];
            known.sort_unstable();
            assert_eq!(folders(&corpus("")), known);
            assert_eq!(folders(&corpus("../targets")), known);
        }
    };
}

// Constants are what a buffer, an error's text or a machine takes that has seen nothing yet. Where
// the factor is large, a byte of the input is a thing of its own: a frame, an error, a table. The
// machines hold what their limits say, and an input of a few bytes makes them do it.
corpora! {
    lanes_stay_in_bounds: "frames", 4 * KIB, 128, |input| session::frames(input) > 0;
    hellos_stay_in_bounds: "hello", 4 * KIB, 64, session::hello;
    operations_stay_in_bounds: "operations", 4 * MIB, 64, |input| {
        random::run_input(input);
        true
    };
    hostile_peers_stay_in_bounds: "peer", MIB, 64, |input| hostile::run_input(input) > 0;
    representations_stay_in_bounds: "representation", 4 * KIB, 32, identity::representation;
    claims_stay_in_bounds: "claims", 4 * KIB, 32, identity::claims;
    records_of_nodes_stay_in_bounds: "record", 4 * KIB, 48, identity::record;
    documents_of_entities_stay_in_bounds: "entity", 4 * KIB, 48, identity::entity;
    requests_to_speak_stay_in_bounds: "enrollment", 4 * KIB, 32, identity::enrollment;
    tickets_stay_in_bounds: "ticket", 4 * KIB, 32, identity::ticket;
    targets_stay_in_bounds: "target", 4 * KIB, 16, identity::target;
    addresses_stay_in_bounds: "address", 4 * KIB, 16, identity::address;
    keys_stay_in_bounds: "key", 4 * KIB, 16, identity::key;
    certificates_stay_in_bounds: "certificate", 4 * KIB, 16, transport::certificate;
    records_of_tls_stay_in_bounds: "records", MIB, 64, transport::records;
    first_bytes_stay_in_bounds: "first_bytes", 4 * KIB, 16, transport::first_bytes;
    endpoints_stay_in_bounds: "endpoint", 4 * KIB, 16, transport::endpoint;
    handshakes_under_way_stay_in_bounds: "half_open", 4 * KIB, 128, transport::half_open;
    packets_of_mdns_stay_in_bounds: "mdns_packet", 4 * KIB, 16, discovery::mdns_packet;
    the_machine_of_mdns_stays_in_bounds: "mdns", MIB, 64, discovery::mdns;
    answers_for_names_stay_in_bounds: "answer", 16 * KIB, 64, discovery::answer;
    petname_books_stay_in_bounds: "petnames", 64 * KIB, 512, discovery::book;
    errors_of_streams_stay_in_bounds: "stream", 4 * KIB, 512, netcom::fuzzing::stream;
    key_files_stay_in_bounds: "key_file", 4 * KIB, 64, netcom::fuzzing::key_file;
    registers_of_machines_stay_in_bounds: "devices", 4 * KIB, 64, netcom::fuzzing::devices;
    codes_of_invitations_stay_in_bounds: "invitation", 4 * KIB, 16, netcom::fuzzing::invitation;
    carried_texts_stay_in_bounds: "armor", 4 * KIB, 32, netcom::fuzzing::armor;
    settings_stay_in_bounds: "config", 64 * KIB, 512, cli::config;
    the_control_socket_stays_in_bounds: "control", 4 * KIB, 192, cli::control;
    offers_of_files_stay_in_bounds: "transfer", 4 * KIB, 64, cli::transfer;
    journals_stay_in_bounds: "journal", 4 * KIB, 16, cli::journal;
    receivers_of_files_stay_in_bounds: "receive", MIB, 64, cli::receive;
    senders_of_files_stay_in_bounds: "send", MIB, 64, cli::send;
}

/// Runs every input of a corpus, which has to be small and worth its name.
#[expect(clippy::print_stdout, reason = "the factors that were measured, for who sets them")]
fn replay(target: &str, constant: usize, factor: usize, run: impl Fn(&[u8]) -> bool) {
    // Whatever allocates beside is counted too.
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let entries = fs::read_dir(corpus(target)).expect("the corpus is part of the repository");
    let mut inputs: Vec<Vec<u8>> =
        entries.map(|entry| fs::read(entry.expect("readable").path()).expect("readable")).collect();
    inputs.sort();
    assert!((1..=300).contains(&inputs.len()), "{target} has {} inputs", inputs.len());
    assert!(inputs.iter().all(|input| input.len() <= 4096), "{target} has a large input");
    let (mut accepted, mut over, mut most) = (0, Vec::new(), 0.0_f64);
    for input in &inputs {
        let limit = constant + factor * input.len();
        let (mut peak, is_accepted) = measure(input, &run);
        if peak > limit {
            // What is made once and kept is not the input's.
            peak = peak.min(measure(input, &run).0);
        }
        if peak > limit {
            over.push((peak, input.len()));
        }
        accepted += usize::from(is_accepted);
        most = most.max(peak.saturating_sub(constant) as f64 / input.len().max(1) as f64);
    }
    println!("{target}: {} inputs, {accepted} accepted, {most:.1} a byte", inputs.len());
    assert!(over.is_empty(), "{target}: {over:?} bytes of memory for so many of input");
    assert!(accepted > 0, "{target}: no input is accepted");
}

fn measure(input: &[u8], run: impl Fn(&[u8]) -> bool) -> (usize, bool) {
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    let is_accepted = run(input);
    (MEMORY.peak_usage().saturating_sub(before), is_accepted)
}

fn corpus(target: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target)
}

/// The names in a folder, without what follows a dot.
fn folders(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).expect("a folder of the repository");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("readable").path())
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    names
}

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
