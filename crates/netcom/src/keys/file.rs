//! The text of a key file.
//!
//! ```text
//! netcom-key 1
//! purpose: identity
//! public: n1…
//! secret: ed25519 <hex>
//! end
//! ```
//!
//! Under a passphrase, `seal: argon2id <KiB> <passes> <lanes> <salt>` comes before, and the secret
//! is `chacha20poly1305 <nonce> <ciphertext>`, which vouches for all lines above it.

use std::{fmt, path::Path, str::FromStr};

use data_encoding::HEXLOWER;
use netcom_identity::SecretKey;
use zeroize::Zeroizing;

use super::{
    KeyFileError,
    seal::{self, Passphrase, Sealed, Stretch},
};

/// What a key is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Purpose {
    /// The key that is me: it signs for a NetId.
    Identity,
    /// The key a node runs under.
    Node,
}

/// A key file's content. Its public part can be read without the passphrase.
pub(super) struct KeyFile {
    /// The NetId or PeerId as text.
    pub(super) public: String,
    secret: Secret,
}

enum Secret {
    Plain(SecretKey),
    Sealed { stretch: Stretch, sealed: Sealed, beside: String },
}

impl KeyFile {
    /// Whether the secret needs a passphrase.
    pub(super) fn is_sealed(&self) -> bool {
        matches!(self.secret, Secret::Sealed { .. })
    }

    /// Reads the text of a file; `path` is for telling which.
    pub(super) fn parse(text: &str, purpose: Purpose, path: &Path) -> Result<Self, KeyFileError> {
        let mut lines = Lines { rest: text, line: 0, path };
        lines.header()?;
        // Checked first: whatever else seems wrong is so because the end is missing.
        if !text.ends_with("\nend\n") && !text.ends_with("\nend") {
            return Err(KeyFileError::Truncated { path: path.to_owned() });
        }
        let found = lines.field("purpose")?;
        if found != purpose.as_str() {
            let found = found.chars().take(32).collect();
            let wanted = purpose.as_str();
            return Err(KeyFileError::WrongPurpose { path: path.to_owned(), found, wanted });
        }
        let public = lines.field("public")?.to_owned();
        let secret = match lines.optional_field("seal") {
            None => Secret::Plain(lines.plain_secret()?),
            Some(stretch) => {
                let stretch = lines.stretch(stretch)?;
                let beside = text[..text.len() - lines.rest.len()].to_owned();
                let sealed = lines.sealed_secret()?;
                Secret::Sealed { stretch, sealed, beside }
            }
        };
        lines.end()?;
        let file = Self { public, secret };
        if let Secret::Plain(key) = &file.secret {
            file.check(key, purpose, path)?;
        }
        Ok(file)
    }

    /// The secret key.
    pub(super) fn open(
        &self,
        passphrase: Option<&Passphrase>,
        purpose: Purpose,
        path: &Path,
    ) -> Result<SecretKey, KeyFileError> {
        match (&self.secret, passphrase) {
            (Secret::Plain(key), _) => Ok(key.clone()),
            (Secret::Sealed { .. }, None) => {
                Err(KeyFileError::PassphraseMissing { path: path.to_owned() })
            }
            (Secret::Sealed { stretch, sealed, beside }, Some(passphrase)) => {
                let secret = seal::open(sealed, beside.as_bytes(), passphrase, stretch)
                    .ok_or_else(|| KeyFileError::WrongPassphrase { path: path.to_owned() })?;
                let key = SecretKey::from_bytes(&secret);
                self.check(&key, purpose, path)?;
                Ok(key)
            }
        }
    }

    fn check(&self, key: &SecretKey, purpose: Purpose, path: &Path) -> Result<(), KeyFileError> {
        if purpose.public_text(key) == self.public {
            return Ok(());
        }
        let what = "its secret does not belong to its public key".to_owned();
        Err(KeyFileError::Corrupted { path: path.to_owned(), what })
    }
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyFile").field("public", &self.public).finish_non_exhaustive()
    }
}

impl Purpose {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Node => "node",
        }
    }

    fn public_text(self, key: &SecretKey) -> String {
        match self {
            Self::Identity => key.net_id().to_string(),
            Self::Node => key.peer_id().to_string(),
        }
    }
}

/// The text of a file with the secret in clear.
pub(super) fn plain(key: &SecretKey, purpose: Purpose) -> Zeroizing<String> {
    let secret = Zeroizing::new(HEXLOWER.encode(key.export_secret().as_ref()));
    let mut text = Zeroizing::new(String::with_capacity(512));
    text.push_str(&head(key, purpose));
    text.push_str("secret: ed25519 ");
    text.push_str(&secret);
    text.push_str("\nend\n");
    text
}

/// The text of a file with the secret under a passphrase.
pub(super) fn sealed(
    key: &SecretKey,
    purpose: Purpose,
    passphrase: &Passphrase,
) -> Result<String, KeyFileError> {
    let random = |source| KeyFileError::Random { source };
    let (mut salt, mut nonce) = ([0; 16], [0; 12]);
    getrandom::fill(&mut salt).map_err(random)?;
    getrandom::fill(&mut nonce).map_err(random)?;
    let stretch = Stretch::recommended(salt);
    let Stretch { memory_kib, passes, lanes, .. } = stretch;
    let salt = HEXLOWER.encode(&salt);
    let head = head(key, purpose);
    let beside = format!("{head}seal: argon2id {memory_kib} {passes} {lanes} {salt}\n");
    let secret = key.export_secret();
    let sealed = seal::seal(&secret, beside.as_bytes(), passphrase, &stretch, nonce)
        .ok_or(KeyFileError::Memory)?;
    let (nonce, ciphertext) = (HEXLOWER.encode(&nonce), HEXLOWER.encode(&sealed.ciphertext));
    Ok(format!("{beside}secret: chacha20poly1305 {nonce} {ciphertext}\nend\n"))
}

fn head(key: &SecretKey, purpose: Purpose) -> String {
    let (name, public) = (purpose.as_str(), purpose.public_text(key));
    format!("{MAGIC} {VERSION}\npurpose: {name}\npublic: {public}\n")
}

/// A reader of lines that knows where it is.
struct Lines<'a> {
    rest: &'a str,
    line: usize,
    path: &'a Path,
}

impl<'a> Lines<'a> {
    fn header(&mut self) -> Result<(), KeyFileError> {
        let (magic, version) = self.next().split_once(' ').unwrap_or_default();
        if magic != MAGIC {
            return Err(self.corrupted("it does not begin as a key file"));
        }
        match version.parse::<u32>() {
            Ok(VERSION) => Ok(()),
            Ok(version) if version > VERSION => {
                Err(KeyFileError::Newer { path: self.path.to_owned(), version })
            }
            _ => Err(self.corrupted("its version is no version")),
        }
    }

    fn field(&mut self, name: &str) -> Result<&'a str, KeyFileError> {
        let line = self.next();
        let value = line.strip_prefix(name).and_then(|rest| rest.strip_prefix(": "));
        value.ok_or_else(|| self.corrupted(&format!("line {} is not its {name}", self.line)))
    }

    fn optional_field(&mut self, name: &str) -> Option<&'a str> {
        let value = self.rest.strip_prefix(name)?.strip_prefix(": ")?;
        let value = value.lines().next()?;
        self.next();
        Some(value)
    }

    fn plain_secret(&mut self) -> Result<SecretKey, KeyFileError> {
        let value = self.field("secret")?;
        let secret = value.strip_prefix("ed25519 ").and_then(hex::<32>);
        let secret = secret.ok_or_else(|| self.corrupted("its secret is not one"))?;
        Ok(SecretKey::from_bytes(&secret))
    }

    fn sealed_secret(&mut self) -> Result<Sealed, KeyFileError> {
        let value = self.field("secret")?;
        let parts = value.strip_prefix("chacha20poly1305 ").and_then(|rest| rest.split_once(' '));
        let sealed = parts.and_then(|(nonce, ciphertext)| {
            let ciphertext = hex::<48>(ciphertext)?.to_vec();
            Some(Sealed { nonce: *hex(nonce)?, ciphertext })
        });
        sealed.ok_or_else(|| self.corrupted("its sealed secret is not one"))
    }

    fn stretch(&mut self, value: &str) -> Result<Stretch, KeyFileError> {
        let parts: Vec<&str> = value.split(' ').collect();
        let stretch = match parts.as_slice() {
            ["argon2id", memory, passes, lanes, salt] => number(memory)
                .zip(number(passes))
                .zip(number(lanes).zip(hex::<16>(salt)))
                .map(|((memory_kib, passes), (lanes, salt))| Stretch {
                    memory_kib,
                    passes,
                    lanes,
                    salt: *salt,
                }),
            _ => None,
        };
        let bounded = stretch.filter(Stretch::is_within_bounds);
        bounded.ok_or_else(|| self.corrupted("its seal is not one this version opens"))
    }

    fn end(&mut self) -> Result<(), KeyFileError> {
        match (self.next(), self.rest) {
            ("end", "") => Ok(()),
            _ => Err(self.corrupted(&format!("line {} is not its end", self.line))),
        }
    }

    fn next(&mut self) -> &'a str {
        let (line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
        self.rest = rest;
        self.line += 1;
        line
    }

    fn corrupted(&self, what: &str) -> KeyFileError {
        KeyFileError::Corrupted { path: self.path.to_owned(), what: what.to_owned() }
    }
}

fn number<T: FromStr + ToString>(text: &str) -> Option<T> {
    // One text for each number: what was sealed is what is written.
    text.parse::<T>().ok().filter(|number| number.to_string() == text)
}

fn hex<const N: usize>(text: &str) -> Option<Zeroizing<[u8; N]>> {
    let mut bytes = Zeroizing::new([0; N]);
    let is_whole = HEXLOWER.decode_len(text.len()) == Ok(N)
        && HEXLOWER.decode_mut(text.as_bytes(), bytes.as_mut()).is_ok();
    is_whole.then_some(bytes)
}

const MAGIC: &str = "netcom-key";
const VERSION: u32 = 1;
