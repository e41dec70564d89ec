//! The corpora of the fuzz targets, replayed through the same entry functions.

use std::{fs, path::Path};

use netcom_session::fuzzing;

#[test]
fn the_corpus_of_lanes_is_survived() {
    let frames = replay("frames", fuzzing::frames);
    assert!(frames.contains(&0) && frames.iter().any(|count| *count > 3), "{frames:?}");
}

#[test]
fn the_corpus_of_hellos_is_survived() {
    let accepted = replay("hello", fuzzing::hello);
    assert!(accepted.contains(&true) && accepted.contains(&false), "{accepted:?}");
}

/// Runs every input of a corpus, which has to be small and worth its name.
#[expect(clippy::disallowed_methods, reason = "the crate is pure, its tests read files")]
fn replay<R>(target: &str, run: impl Fn(&[u8]) -> R) -> Vec<R> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut inputs: Vec<Vec<u8>> = fs::read_dir(&folder)
        .expect("the corpus is part of the repository")
        .map(|entry| fs::read(entry.expect("readable").path()).expect("readable"))
        .collect();
    inputs.sort();
    inputs.dedup();
    assert!((100..=300).contains(&inputs.len()), "{target} has {} inputs", inputs.len());
    assert!(inputs.iter().all(|input| input.len() <= 4096), "{target} has a large input");
    inputs.iter().map(|input| run(input)).collect()
}
