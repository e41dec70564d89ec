//! Which names of files are taken from a stranger, and which never.

use thiserror::Error;

use crate::failure::one_line;

/// A path has at most this many bytes.
pub(crate) const MAX_PATH_BYTES: usize = 1_024;
/// A path has at most this many components.
pub(crate) const MAX_PATH_DEPTH: usize = 32;
/// A component has at most this many bytes, which file systems set.
pub(crate) const MAX_NAME_BYTES: usize = 255;

/// Why a name is refused.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub(crate) enum NameError {
    #[error("an empty name is refused")]
    Empty,
    #[error("{0:?} leaves the folder")]
    Leaves(String),
    #[error("{0:?} holds a character that is refused")]
    Character(String),
    #[error("{0:?} names a device")]
    Device(String),
    #[error("{0:?} is a name of ours")]
    Reserved(String),
    #[error("a name of {0} bytes is too long")]
    TooLong(usize),
    #[error("a path of {0} parts is too deep")]
    TooDeep(usize),
}

/// Checks the name of one file or folder.
pub(crate) fn check_name(name: &str) -> Result<(), NameError> {
    let shown = || name.chars().take(MAX_SHOWN).collect::<String>();
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(NameError::TooLong(name.len()));
    }
    if name.contains('/') || name == "." || name == ".." || is_drive(name) {
        return Err(NameError::Leaves(shown()));
    }
    // A backslash leaves the folder on Windows; the rest deceives who looks at a terminal.
    if name.contains('\\') || one_line(name) != name {
        return Err(NameError::Character(shown()));
    }
    if is_device(name) {
        return Err(NameError::Device(shown()));
    }
    if name.starts_with(RESERVED) {
        return Err(NameError::Reserved(shown()));
    }
    Ok(())
}

/// Checks a path with `/` between its parts.
pub(crate) fn check_path(path: &str) -> Result<(), NameError> {
    if path.len() > MAX_PATH_BYTES {
        return Err(NameError::TooLong(path.len()));
    }
    let parts = path.split('/').count();
    if parts > MAX_PATH_DEPTH {
        return Err(NameError::TooDeep(parts));
    }
    if path.starts_with('/') {
        return Err(NameError::Leaves(path.chars().take(MAX_SHOWN).collect()));
    }
    path.split('/').try_for_each(check_name)
}

/// Begins the names of what is not complete yet.
pub(crate) const RESERVED: &str = ".netcom-";
const MAX_SHOWN: usize = 100;

fn is_drive(name: &str) -> bool {
    matches!(name.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic())
}

/// What Windows takes for a device, whatever follows the first dot.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end().to_ascii_uppercase();
    let numbered = |prefix| {
        stem.strip_prefix(prefix).is_some_and(|rest: &str| {
            matches!(rest.as_bytes(), [b'1'..=b'9']) || matches!(rest, "¹" | "²" | "³")
        })
    };
    matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$")
        || numbered("COM")
        || numbered("LPT")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_are_taken() {
        for path in ["a", "a b.txt", "ä/ö/ü", "...", "..a", ".hidden", "console", "com10", "ab:c"]
        {
            assert_eq!(check_path(path), Ok(()), "{path}");
        }
        assert_eq!(check_name(&"x".repeat(MAX_NAME_BYTES)), Ok(()));
    }

    #[test]
    fn names_that_leave_the_folder_are_refused() {
        for path in ["..", ".", "../a", "a/../b", "/etc/passwd", "a/..", "C:", "c:x", "a/C:\\x"] {
            assert!(matches!(check_path(path), Err(NameError::Leaves(_))), "{path}");
        }
        assert!(matches!(check_path("a\\..\\b"), Err(NameError::Character(_))));
    }

    #[test]
    fn empty_parts_are_refused() {
        for path in ["", "a//b", "a/"] {
            assert_eq!(check_path(path), Err(NameError::Empty), "{path}");
        }
    }

    #[test]
    fn device_names_and_deceiving_characters_are_refused() {
        for name in ["CON", "nul", "aux.txt", "Com1", "lpt9.x.y", "prn "] {
            assert!(matches!(check_name(name), Err(NameError::Device(_))), "{name}");
        }
        for name in ["a\nb", "a\0", "\u{1b}[2J", "a\u{202e}txt.exe", "tab\t"] {
            assert!(matches!(check_name(name), Err(NameError::Character(_))), "{name:?}");
        }
        assert!(matches!(check_name(".netcom-partial"), Err(NameError::Reserved(_))));
    }

    #[test]
    fn names_and_paths_that_are_too_long_or_too_deep_are_refused() {
        assert_eq!(check_name(&"x".repeat(256)), Err(NameError::TooLong(256)));
        assert_eq!(check_path(&"ab/".repeat(400)), Err(NameError::TooLong(1_200)));
        assert_eq!(check_path(&vec!["a"; 33].join("/")), Err(NameError::TooDeep(33)));
    }
}
