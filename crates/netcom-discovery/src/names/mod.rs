//! Names with dots: whose key is behind them (R-NET-9 to R-NET-12, docs/protocol/names.md).
//!
//! [`Names`] asks a [`Web`] and a [`Dns`], which are [`Https`] and [`Dnssec`] unless a test or a
//! program has others, weighs what they say, and remembers which key a name led to. Names under a
//! configured suffix are asked of its [`Directory`] alone.

mod answer;
mod cache;
mod directories;
#[cfg(test)]
mod directories_tests;
mod directory;
#[cfg(test)]
mod directory_tests;
mod dnssec;
#[cfg(test)]
mod dnssec_tests;
mod domain;
mod error;
mod evidence;
pub(crate) mod fuzzing;
mod hints;
mod https;
#[cfg(test)]
mod https_tests;
mod pins;
mod public;
mod resolver;
mod source;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod whole_tests;

pub use netcom_identity::DottedName;

pub use self::{
    answer::{Answer, AnswerError, MAX_ANSWER_BYTES},
    directories::{Directories, Directory, DirectoryError},
    directory::{DirectoryAnswer, DirectoryFault},
    dnssec::{DnsConfigError, Dnssec},
    error::NameError,
    https::Https,
    pins::PinError,
    resolver::{Names, Resolved},
    source::{Dns, Txt, Web, WebError},
};
