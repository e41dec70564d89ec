//! What the fuzz targets of key files, registers of machines, codes and carried texts run.

use std::path::Path;

use data_encoding::HEXLOWER;
use netcom_identity::{
    Enrollment, EntityDescription, EntityDocument, Representation, SecretKey, Terms, UnixTime,
};

use super::{
    Armor, Device, InvitationCode,
    devices::Register,
    file::{self, KeyFile, Purpose},
};

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

/// Reads `input` as the register of the machines that were let in.
///
/// # Panics
///
/// When writing and reading it changes it, or when numbers do not rise from it on.
#[must_use]
pub fn devices(input: &[u8]) -> bool {
    let Some(mut register) = str::from_utf8(input).ok().and_then(Register::from_text) else {
        return false;
    };
    let written = register.to_text();
    assert_eq!(Register::from_text(&written).as_ref(), Some(&register));
    let next = register.next_sequence(0);
    assert!(next >= register.lowest_sequence);
    register.take_back(0);
    assert!(register.lowest_sequence > next);
    true
}

/// Reads `input` as the code of an invitation.
///
/// # Panics
///
/// When writing and reading it changes it, or when it shows in a debug output.
#[must_use]
pub fn invitation(input: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(input) else { return false };
    match text.parse::<InvitationCode>() {
        Ok(code) => {
            let shown = code.to_string();
            assert_eq!(shown.parse().as_ref(), Ok(&code));
            assert!(!format!("{code:?}").contains(&shown));
            true
        }
        Err(error) => {
            drop(error.to_string());
            false
        }
    }
}

/// Reads `input` as each of the texts that people carry from one machine to another.
///
/// # Panics
///
/// When writing and reading it changes it.
#[must_use]
pub fn armor(input: &[u8]) -> bool {
    fn read<T: Armor + PartialEq + std::fmt::Debug>(text: &str) -> bool {
        match T::from_text(text) {
            Ok(read) => {
                assert_eq!(T::from_text(&read.to_text()), Ok(read));
                true
            }
            Err(error) => {
                drop(error.to_string());
                false
            }
        }
    }
    let Ok(text) = str::from_utf8(input) else { return false };
    [read::<Enrollment>, read::<Representation>, read::<EntityDocument>]
        .map(|read| read(text))
        .contains(&true)
}

/// First inputs of all of them.
pub(crate) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let mut seeds = key_files();
    let key = |seed| SecretKey::from_bytes(&[seed; 32]);
    let (node, expires) = (key(2), UnixTime(2000));
    let mut register = Register::default();
    seeds.push(("devices", register.to_text().into_bytes()));
    register.take_back(7);
    for (seed, label) in [(2, ""), (3, "rack 3, left")] {
        let (peer_id, label) = (key(seed).peer_id(), label.to_owned());
        let device = Device { peer_id, label, expires, delegations: 1 };
        register.note(device).expect("there is room");
    }
    seeds.push(("devices", register.to_text().into_bytes()));
    for symbols in [[0; 15], std::array::from_fn(|index| index as u8 * 2)] {
        let code = InvitationCode::of(symbols).to_string();
        seeds.push(("invitation", code.to_lowercase().replace('-', " ").into_bytes()));
        seeds.push(("invitation", code.into_bytes()));
    }
    let request = Enrollment::sign(&node, Some(key(1).net_id()), UnixTime(1000), "rack 3");
    let terms = Terms::new(5, UnixTime(1000), expires);
    let texts = [
        request.expect("a short label").to_text(),
        Representation::issue(&key(1), node.peer_id(), &terms).to_text(),
        EntityDocument::sign(&key(1), EntityDescription::new(7, expires))
            .expect("within its bounds")
            .to_text(),
    ];
    seeds.extend(texts.map(|text| ("armor", text.into_bytes())));
    seeds
}

/// Files of both purposes, in clear and sealed.
fn key_files() -> Vec<(&'static str, Vec<u8>)> {
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
