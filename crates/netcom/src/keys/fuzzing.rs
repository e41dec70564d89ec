//! What the fuzz target of key files runs.

use std::path::Path;

use data_encoding::HEXLOWER;
use netcom_identity::SecretKey;

use super::file::{self, KeyFile, Purpose};

/// Reads `input` as the file of an identity's key, and as that of a node's.
///
/// # Panics
///
/// When the key that is in it, written again, is another one, or shows in a debug output.
#[must_use]
pub fn key_file(input: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(input) else { return false };
    let mut is_taken = false;
    for purpose in [Purpose::Identity, Purpose::Node] {
        match KeyFile::parse(text, purpose, Path::new("key")) {
            Ok(file) => {
                check(&file, purpose);
                is_taken = true;
            }
            Err(error) => drop(error.to_string()),
        }
    }
    is_taken
}

/// Files of both purposes, in clear and sealed.
pub(crate) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let key = SecretKey::from_bytes(&[1; 32]);
    let mut seeds = Vec::new();
    for purpose in [Purpose::Identity, Purpose::Node] {
        let plain = file::plain(&key, purpose).to_string();
        // What a sealed one holds is opened only under its passphrase, so any bytes do.
        let (head, _) = plain.split_once("secret: ").expect("a line of it");
        let seal = format!("seal: argon2id 65536 3 4 {}\n", HEXLOWER.encode(&[3; 16]));
        let (nonce, sealed) = (HEXLOWER.encode(&[4; 12]), HEXLOWER.encode(&[5; 48]));
        let secret = format!("secret: chacha20poly1305 {nonce} {sealed}\nend\n");
        seeds.push(("key_file", format!("{head}{seal}{secret}").into_bytes()));
        seeds.push(("key_file", plain.into_bytes()));
    }
    seeds
}

fn check(file: &KeyFile, purpose: Purpose) {
    if file.is_sealed() {
        return;
    }
    let path = Path::new("key");
    let key = file.open(None, purpose, path).expect("it is in clear");
    let written = file::plain(&key, purpose);
    let again = KeyFile::parse(&written, purpose, path).expect("what is written is read");
    assert_eq!(again.public, file.public);
    let secret = HEXLOWER.encode(key.export_secret().as_ref());
    assert!(!format!("{file:?}").contains(&secret));
}
