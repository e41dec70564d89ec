//! Seeded operations, and the corpora of the fuzz targets that run the engine.

use std::{fs, path::Path};

use crate::{
    hostile,
    random::{self, run},
};

#[test]
fn random_operations_lose_nothing_and_keep_every_bound() {
    #[expect(clippy::disallowed_methods, reason = "the long form is asked for from outside")]
    let seeds = std::env::var("NETCOM_SEEDS").ok().and_then(|text| {
        let (first, last) = text.split_once("..")?;
        Some(first.parse().ok()?..last.parse().ok()?)
    });
    for seed in seeds.unwrap_or(0..150) {
        let outcome = std::panic::catch_unwind(|| run(seed, 150));
        if let Err(panic) = outcome {
            let test = "cargo test -p netcom-session --test engine random_operations";
            eprintln!("replay: NETCOM_SEEDS={seed}..{} {test}", seed + 1);
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn seeded_operations_over_changing_links_give_a_byte_identical_trace() {
    for seed in 0..20 {
        let first = run(seed, 150);
        assert!(first.len() > 1000, "something was sent");
        assert!(run(seed, 150) == first, "seed {seed}");
    }
}

#[test]
fn the_corpus_of_operations_runs_without_a_fault() {
    let inputs = corpus("operations");
    inputs.iter().for_each(|input| random::run_input(input));
    assert!(inputs.len() >= 100, "{} inputs", inputs.len());
}

#[test]
fn the_corpus_of_hostile_peers_is_survived() {
    let injected: usize = corpus("peer").iter().map(|input| hostile::run_input(input)).sum();
    // The corpus is minimised by coverage, so it has few frames of each kind.
    assert!(injected >= 90, "{injected} frames");
}

#[expect(clippy::disallowed_methods, reason = "the crate is pure, its tests read files")]
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus");
    let inputs = fs::read_dir(Path::new(folder).join(target));
    inputs
        .expect("the corpus is part of the repository")
        .map(|input| fs::read(input.expect("a readable folder").path()).expect("a readable input"))
        .collect()
}
