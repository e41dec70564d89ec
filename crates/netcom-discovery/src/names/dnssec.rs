//! TXT records, and how far DNSSEC proves them.

use std::{sync::Arc, time::Duration};

use hickory_resolver::{
    Resolver, TokioResolver,
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
    proto::{
        dnssec::{Proof, TrustAnchors},
        rr::{Name, RData, Record, RecordType},
    },
};

use super::source::{Dns, Txt};
use crate::Task;

/// Asks the system's DNS servers, and checks their answers by DNSSEC from the root on.
#[derive(Clone)]
pub struct Dnssec {
    resolver: TokioResolver,
}

/// The system's DNS configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the system's DNS configuration cannot be used: {reason}")]
pub struct DnsConfigError {
    reason: String,
}

impl Dnssec {
    /// Asks the servers that the system is configured with.
    ///
    /// # Errors
    /// The configuration cannot be read.
    pub fn system() -> Result<Self, DnsConfigError> {
        Self::of(Resolver::builder_tokio(), TrustAnchors::default())
    }

    /// Asks given servers, and begins with given keys in place of the root's.
    #[cfg(test)]
    pub(crate) fn with(
        config: hickory_resolver::config::ResolverConfig,
        anchors: TrustAnchors,
    ) -> Result<Self, DnsConfigError> {
        let provider = TokioRuntimeProvider::default();
        Self::of(Ok(Resolver::builder_with_config(config, provider)), anchors)
    }

    fn of(
        builder: Result<hickory_resolver::ResolverBuilder<TokioRuntimeProvider>, NetError>,
        anchors: TrustAnchors,
    ) -> Result<Self, DnsConfigError> {
        let resolver = builder
            .and_then(|mut builder| {
                let options = builder.options_mut();
                options.validate = true;
                // Signatures do not fit the 512 bytes of old.
                options.edns0 = true;
                options.timeout = TIMEOUT;
                options.attempts = 1;
                builder.with_trust_anchor(Arc::new(anchors)).build()
            })
            .map_err(|error| DnsConfigError { reason: error.to_string() })?;
        Ok(Self { resolver })
    }

    /// Whether the root's keys come with proof. Many servers leave out what DNSSEC needs; nothing
    /// is proven there, and nothing is forged because it lacks proof. The resolver remembers the
    /// answer for as long as it lives.
    async fn is_capable(&self) -> bool {
        let keys = self.resolver.lookup(Name::root(), RecordType::DNSKEY).await;
        keys.is_ok_and(|keys| keys.answers().iter().any(|record| record.proof == Proof::Secure))
    }

    async fn records(&self, name: &str) -> Txt {
        let Ok(name) = Name::from_ascii(format!("{name}.")) else {
            return Txt::Absent { reason: "too long a name".to_owned() };
        };
        match self.resolver.lookup(name.clone(), RecordType::TXT).await {
            Ok(answer) => own_records(&name, answer.answers()),
            Err(NetError::Dns(DnsError::DnssecBogus)) if self.is_capable().await => {
                Txt::Bogus { reason: "it lacks the proof that its zone promises".to_owned() }
            }
            Err(error) => Txt::Absent { reason: error.to_string() },
        }
    }
}

/// The TXT records of exactly that name. An alias may lead to somebody else's records, which are
/// proven to be theirs, so none is followed.
fn own_records(name: &Name, answers: &[Record]) -> Txt {
    let own = || {
        let is_own =
            |record: &&Record| record.record_type() == RecordType::TXT && record.name == *name;
        answers.iter().filter(is_own)
    };
    let texts: Vec<String> = own().filter_map(|record| text(&record.data)).collect();
    if texts.is_empty() {
        Txt::Absent { reason: "no record of its own".to_owned() }
    } else if own().all(|record| record.proof == Proof::Secure) {
        Txt::Secure(texts)
    } else {
        Txt::Insecure(texts)
    }
}

impl std::fmt::Debug for Dnssec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dnssec").finish_non_exhaustive()
    }
}

impl Dns for Dnssec {
    fn txt<'a>(&'a self, name: &'a str) -> Task<'a, Txt> {
        Box::pin(self.records(name))
    }
}

/// The strings of a TXT record, joined as RFC 7208, section 3.3, has it.
fn text(data: &RData) -> Option<String> {
    let RData::TXT(txt) = data else { return None };
    String::from_utf8(txt.txt_data.concat()).ok()
}

/// How long a server may take before it is asked once more.
const TIMEOUT: Duration = Duration::from_millis(1500);
