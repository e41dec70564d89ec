//! Names with dots: whose key is behind them (R-NET-9 to R-NET-12, docs/protocol/names.md).
//!
//! [`Names`] asks a [`Web`] and a [`Dns`], which are [`Https`] and [`Dnssec`] unless a test or a
//! program has others, weighs what they say, and remembers which key a name led to.

mod answer;
mod dnssec;
#[cfg(test)]
mod dnssec_tests;
mod error;
mod evidence;
mod https;
#[cfg(test)]
mod https_tests;
mod pins;
mod public;
mod resolver;
mod source;
#[cfg(test)]
mod tests;

pub use self::{
    answer::{Answer, AnswerError},
    dnssec::{DnsConfigError, Dnssec},
    error::NameError,
    https::Https,
    pins::PinError,
    resolver::{Names, Resolved},
    source::{Dns, Txt, Web, WebError},
};
