//! What the fuzz targets run. A violated rule panics, which is what a fuzzer looks for; nothing
//! else calls this. Each function tells whether the input was accepted, or that something came
//! of it.

use std::path::Path;

use crate::settings;
pub use crate::{
    control::fuzzing::control,
    transfer::fuzzing::{journal, receive, send, transfer},
};

/// Reads `input` as `config.toml`.
///
/// # Panics
///
/// When what is refused cannot be told in one line.
#[must_use]
pub fn config(input: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(input) else { return false };
    match settings::parse(text, Path::new("config.toml")) {
        Ok(_) => true,
        Err(failure) => {
            // The error, and what to try.
            assert_eq!(failure.to_string().lines().count(), 2);
            false
        }
    }
}

/// First inputs: the target and what it runs.
#[must_use]
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let settings = "listen = [\"/ip4/127.0.0.1/tcp/0\"]\ndiscovery = \"host\"\nallow = [\"bob\"]\n\
                    allow_all = false\nreceive = \"in\"\nlinks = \"standby\"\n\
                    metrics = \"127.0.0.1:0\"\nevent_log = \"e\"\nmeeting_points = []\n[limits]\n\
                    sessions = 9\nresume_seconds = 60\n";
    let mut seeds = vec![
        ("config", settings.as_bytes().to_vec()),
        ("config", b"limits.sessions = 1 # few\nlisten = [\n'a',\n]".to_vec()),
        ("config", b"lsten = {a = [[[[1]]]]}".to_vec()),
    ];
    seeds.extend(crate::control::fuzzing::seeds());
    seeds.extend(crate::transfer::fuzzing::seeds());
    seeds
}
