//! Whom a node asks about names with dots.

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use netcom_discovery::{
    Task,
    names::{Dns, Dnssec, Https, Names, Txt},
};
use netcom_identity::{DomainName, NetId};

/// What a node was told about names, and whom it asks, made when it is needed first.
#[derive(Debug, Default)]
pub(crate) struct NodeNames {
    /// Whom to ask, if not whom the system is configured for.
    pub(crate) given: Option<Names>,
    /// What the user set.
    pub(crate) fixed: Vec<(DomainName, NetId)>,
    /// Whether the node may ask beyond this machine.
    pub(crate) may_ask: bool,
    /// Where it is remembered which key a name led to.
    pub(crate) data: Option<PathBuf>,
    pub(crate) names: OnceLock<Names>,
}

impl NodeNames {
    pub(crate) fn get(&self) -> &Names {
        self.names.get_or_init(|| {
            let names = match &self.given {
                Some(given) => given.clone(),
                None if self.may_ask => system(),
                None => Names::offline(),
            };
            let names = names.fixed(self.fixed.iter().cloned());
            match &self.data {
                Some(data) => names.remembering(data),
                None => names,
            }
        })
    }
}

fn system() -> Names {
    let dns: Arc<dyn Dns> = match Dnssec::system() {
        Ok(dns) => Arc::new(dns),
        Err(error) => {
            tracing::warn!(%error, "Names are asked of web servers alone");
            Arc::new(NoDns)
        }
    };
    Names::new(Arc::new(Https::new()), dns)
}

/// A system without DNS servers.
struct NoDns;

impl Dns for NoDns {
    fn txt<'a>(&'a self, _: &'a str) -> Task<'a, Txt> {
        Box::pin(async { Txt::Absent { reason: "no DNS servers are configured".to_owned() } })
    }
}
