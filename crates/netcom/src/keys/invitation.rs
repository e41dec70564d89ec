//! A code that one device shows and the next one is told: for some minutes it is a key of both.

use std::{fmt, str::FromStr};

use netcom_identity::SecretKey;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroize as _;

/// A secret short enough to be read out and typed: 15 symbols that nobody can guess, 75 bits, and
/// one by which typing errors show.
///
/// It stands for a key, and so for a NetID. Who invites runs a node that speaks for it; who was
/// told the code finds that node and proves to know it, as for any other NetID. Whoever looks on
/// sees the NetID and no more.
///
/// ```
/// use netcom::InvitationCode;
///
/// let code = InvitationCode::generate()?;
/// let typed: InvitationCode = code.to_string().to_lowercase().parse()?;
/// assert_eq!(typed.key().net_id(), code.key().net_id());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Eq, PartialEq)]
pub struct InvitationCode([u8; SYMBOLS]);

/// Why a text is no code.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvitationCodeError {
    /// Another number of symbols.
    #[error("a code has {} symbols, in groups of four", SYMBOLS + 1)]
    Length,
    /// A symbol that is in no code.
    #[error("a code has digits and letters, and no {0:?}")]
    Symbol(char),
    /// A wrong symbol, or two exchanged. Read it again.
    #[error("that is mistyped: a symbol is wrong, or two are exchanged")]
    Mistyped,
}

impl InvitationCode {
    /// Makes a code from the system's randomness.
    ///
    /// # Errors
    /// The system gives none.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut symbols = [0; SYMBOLS];
        getrandom::fill(&mut symbols)?;
        symbols.iter_mut().for_each(|symbol| *symbol &= 31);
        Ok(Self(symbols))
    }

    /// The code of these symbols, each below 32.
    pub(super) fn of(symbols: [u8; SYMBOLS]) -> Self {
        Self(symbols)
    }

    /// The key it stands for.
    #[must_use]
    pub fn key(&self) -> SecretKey {
        let mut seed: [u8; 32] =
            Sha256::new().chain_update(CONTEXT).chain_update(self.0).finalize().into();
        let key = SecretKey::from_bytes(&seed);
        seed.zeroize();
        key
    }

    /// The last symbol. Each symbol has a weight of its own modulo a prime, so that one that is
    /// wrong shows (unless it is 0 for Z), and so do two that are exchanged.
    fn check(&self) -> u8 {
        let sum: u32 = (1..).zip(self.0).map(|(weight, symbol)| weight * u32::from(symbol)).sum();
        (sum % 31) as u8 // below 31
    }
}

impl Drop for InvitationCode {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Display for InvitationCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, symbol) in self.0.into_iter().chain([self.check()]).enumerate() {
            if index > 0 && index % 4 == 0 {
                f.write_str("-")?;
            }
            write!(f, "{}", char::from(ALPHABET[usize::from(symbol)]))?;
        }
        Ok(())
    }
}

/// Without the code.
impl fmt::Debug for InvitationCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InvitationCode(..)")
    }
}

/// Letters may be small; O counts as 0, I and L as 1; blank space and hyphens do not matter.
impl FromStr for InvitationCode {
    type Err = InvitationCodeError;

    fn from_str(text: &str) -> Result<Self, InvitationCodeError> {
        let mut symbols = [0; SYMBOLS + 1];
        let mut count = 0;
        for typed in text.chars().filter(|typed| !typed.is_whitespace() && *typed != '-') {
            let meant = match typed.to_ascii_uppercase() {
                'O' => '0',
                'I' | 'L' => '1',
                other => other,
            };
            let value = ALPHABET.iter().position(|symbol| char::from(*symbol) == meant);
            let value = value.ok_or(InvitationCodeError::Symbol(typed))?;
            *symbols.get_mut(count).ok_or(InvitationCodeError::Length)? = value as u8; // below 32
            count += 1;
        }
        if count != symbols.len() {
            return Err(InvitationCodeError::Length);
        }
        let [symbols @ .., check] = symbols;
        let code = Self(symbols);
        if code.check() == check { Ok(code) } else { Err(InvitationCodeError::Mistyped) }
    }
}

/// Crockford's base 32, which has no letters that look like others.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const SYMBOLS: usize = 15;
const CONTEXT: &[u8] = b"netcom/invitation/1";

#[cfg(test)]
mod tests {
    use super::*;

    fn code() -> InvitationCode {
        InvitationCode::of(std::array::from_fn(|index| (index * 7 % 31) as u8))
    }

    #[test]
    fn a_code_is_understood_however_it_is_typed() {
        let shown = code().to_string();
        assert_eq!(shown.len(), 19);
        let loose = shown.replace('-', " ").replace('0', "o").replace('1', "l").to_lowercase();
        for typed in [shown.as_str(), &loose, &format!("  {shown}\n")] {
            assert_eq!(typed.parse(), Ok(code()), "{typed}");
        }
        assert_eq!("".parse::<InvitationCode>(), Err(InvitationCodeError::Length));
        assert_eq!(format!("{shown}0").parse::<InvitationCode>(), Err(InvitationCodeError::Length));
        let odd = shown.replacen('7', "U", 1);
        assert_eq!(odd.parse::<InvitationCode>(), Err(InvitationCodeError::Symbol('U')));
    }

    #[test]
    fn a_wrong_symbol_shows_and_so_do_two_that_are_exchanged() {
        let symbols: Vec<char> = code().to_string().replace('-', "").chars().collect();
        for at in 0..symbols.len() {
            let mut typed = symbols.clone();
            typed[at] = if typed[at] == 'A' { 'B' } else { 'A' };
            let text: String = typed.iter().collect();
            assert_eq!(text.parse::<InvitationCode>(), Err(InvitationCodeError::Mistyped), "{at}");
        }
        for at in 1..symbols.len() - 1 {
            let mut typed = symbols.clone();
            typed.swap(at - 1, at);
            let text: String = typed.iter().collect();
            assert_eq!(text.parse::<InvitationCode>(), Err(InvitationCodeError::Mistyped), "{at}");
        }
    }

    #[test]
    fn each_code_is_another_key_and_is_not_shown_by_debug() {
        let other = InvitationCode::generate().unwrap();
        assert_ne!(other.key().net_id(), code().key().net_id());
        assert_eq!(format!("{other:?}"), "InvitationCode(..)");
    }
}
