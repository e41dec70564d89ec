//! What speaks for a domain's key, weighed: the rules of R-NET-10 and R-NET-11 as one function of
//! what was found, without I/O.

/// What `https://<domain>/.well-known/netid.json` gave.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Https {
    /// A document that is signed and valid.
    Valid,
    /// An answer that is none: a redirect, a page, a certificate nobody vouches for, a document
    /// that is forged, expired or too long.
    Bad,
    /// No server, or no such page.
    None,
}

/// What the TXT record at `_netid.<domain>` gave.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Dnssec {
    /// A document that is signed and valid, proven by DNSSEC.
    Secure,
    /// An answer from a zone without DNSSEC, which anybody on the way may have written.
    Insecure,
    /// An answer that DNSSEC proves to be wrong, or to be the zone's and no document.
    Bogus,
    /// No such record.
    None,
}

/// What was accepted for the domain before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Pin {
    /// The key that the document names.
    Same,
    /// Another one.
    Other,
    /// Nothing yet.
    None,
}

/// All that was found out about a domain.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Evidence {
    pub(crate) https: Https,
    pub(crate) dnssec: Dnssec,
    /// Whether the document, that of the pin where no other came, gives the domain as its primary
    /// name.
    pub(crate) is_named: bool,
    pub(crate) pin: Pin,
}

/// Why a key is taken for a domain's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ground {
    /// The domain's web server and DNSSEC say the same.
    Both,
    /// The domain's web server says so.
    Https,
    /// DNSSEC says so.
    Dnssec,
    /// It was so before, and nothing was heard since.
    Pin,
}

/// Why no key is taken for a domain's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Refusal {
    /// Somebody forges the domain's DNS answers, or its zone has to be mended.
    Bogus,
    /// The web server's answer is none, and nothing else speaks for the domain.
    BadAnswer,
    /// Only a DNS answer without DNSSEC speaks for the domain.
    Unproven,
    /// Nothing speaks for the domain.
    Unknown,
    /// The key does not claim the domain.
    NotNamed,
    /// The key is another one than before, and the old one named no successor.
    Changed,
}

impl Evidence {
    /// Weighs what was found.
    ///
    /// An answer that is proven wrong counts against the domain whatever else there is. Otherwise
    /// each authenticated answer is enough, and what is not authenticated counts as nothing. Last
    /// time's key stands in only where nothing at all was heard: a bad answer may be an attempt to
    /// hide that the key was replaced.
    pub(crate) fn weigh(self) -> Result<Ground, Refusal> {
        let ground = match (self.https, self.dnssec) {
            (_, Dnssec::Bogus) => return Err(Refusal::Bogus),
            (Https::Valid, Dnssec::Secure) => Ground::Both,
            (Https::Valid, Dnssec::Insecure | Dnssec::None) => Ground::Https,
            (Https::Bad | Https::None, Dnssec::Secure) => Ground::Dnssec,
            (Https::Bad, Dnssec::Insecure | Dnssec::None) => return Err(Refusal::BadAnswer),
            (Https::None, Dnssec::Insecure | Dnssec::None) if self.pin == Pin::Same => Ground::Pin,
            (Https::None, Dnssec::Insecure) => return Err(Refusal::Unproven),
            (Https::None, Dnssec::None) => return Err(Refusal::Unknown),
        };
        if !self.is_named {
            return Err(Refusal::NotNamed);
        }
        if self.pin == Pin::Other {
            return Err(Refusal::Changed);
        }
        Ok(ground)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Dnssec::{Bogus, Insecure, Secure},
        Ground::{Both, Dnssec as ByDnssec, Https as ByHttps, Pin as ByPin},
        Https::{Bad, Valid},
        Pin::{Other, Same},
        Refusal::{BadAnswer, Bogus as Forged, Changed, NotNamed, Unknown, Unproven},
        *,
    };

    type Verdict = Result<Ground, Refusal>;
    type Row = ((Https, Dnssec), [Verdict; 3], [Verdict; 3]);

    /// What the web server and DNSSEC gave; then the verdicts where the document gives the domain
    /// as its primary name, with the pin the same, another, none; then where it does not.
    #[rustfmt::skip]
    const TABLE: [Row; 12] = [
        ((Valid, Secure),         [Ok(Both), Err(Changed), Ok(Both)],         [Err(NotNamed); 3]),
        ((Valid, Insecure),       [Ok(ByHttps), Err(Changed), Ok(ByHttps)],   [Err(NotNamed); 3]),
        ((Valid, Bogus),          [Err(Forged); 3],                           [Err(Forged); 3]),
        ((Valid, Dnssec::None),   [Ok(ByHttps), Err(Changed), Ok(ByHttps)],   [Err(NotNamed); 3]),
        ((Bad, Secure),           [Ok(ByDnssec), Err(Changed), Ok(ByDnssec)], [Err(NotNamed); 3]),
        ((Bad, Insecure),         [Err(BadAnswer); 3],                        [Err(BadAnswer); 3]),
        ((Bad, Bogus),            [Err(Forged); 3],                           [Err(Forged); 3]),
        ((Bad, Dnssec::None),     [Err(BadAnswer); 3],                        [Err(BadAnswer); 3]),
        ((Https::None, Secure),   [Ok(ByDnssec), Err(Changed), Ok(ByDnssec)], [Err(NotNamed); 3]),
        ((Https::None, Insecure), [Ok(ByPin), Err(Unproven), Err(Unproven)],
                                  [Err(NotNamed), Err(Unproven), Err(Unproven)]),
        ((Https::None, Bogus),    [Err(Forged); 3],                           [Err(Forged); 3]),
        ((Https::None, Dnssec::None), [Ok(ByPin), Err(Unknown), Err(Unknown)],
                                      [Err(NotNamed), Err(Unknown), Err(Unknown)]),
    ];

    #[test]
    fn each_of_the_72_combinations_of_evidence_has_its_verdict() {
        let mut cells = 0;
        for ((https, dnssec), named, unnamed) in TABLE {
            for (is_named, verdicts) in [(true, named), (false, unnamed)] {
                for (pin, verdict) in [Same, Other, Pin::None].into_iter().zip(verdicts) {
                    let evidence = Evidence { https, dnssec, is_named, pin };
                    assert_eq!(evidence.weigh(), verdict, "{evidence:?}");
                    cells += 1;
                }
            }
        }
        assert_eq!(cells, 72);
    }

    #[test]
    fn nothing_unauthenticated_ever_gives_a_key() {
        for ((https, dnssec), ..) in TABLE {
            for is_named in [true, false] {
                for pin in [Same, Other, Pin::None] {
                    let evidence = Evidence { https, dnssec, is_named, pin };
                    let is_proven = https == Valid || dnssec == Secure;
                    let verdict = evidence.weigh();
                    assert!(is_proven || matches!(verdict, Ok(ByPin) | Err(_)), "{evidence:?}");
                    assert!(verdict != Ok(ByPin) || pin == Same, "{evidence:?}");
                }
            }
        }
    }
}
