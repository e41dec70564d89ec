//! What stands between two networks.

use std::{
    fs,
    net::Ipv4Addr,
    sync::atomic::{AtomicU8, Ordering},
};

use super::{FIRST_HOST, conntrack, network::Network};
use crate::{LabError, Namespace, Nat, RouterSpec, card::next_host};

/// A router of a [`Topology`](crate::Topology), which translates addresses and stops packets as its
/// [`RouterSpec`] says.
#[derive(Debug)]
pub struct Router {
    spec: RouterSpec,
    namespace: Namespace,
    /// The next router outwards, or the public network.
    beyond: Namespace,
    inner: Network,
    outer: Network,
    /// The last part of its outer address.
    host: AtomicU8,
}

impl Router {
    /// Makes a router of a namespace that has cards in an inner and an outer network.
    pub(super) fn new(
        spec: RouterSpec,
        namespace: Namespace,
        beyond: Namespace,
        [inner, outer]: [Network; 2],
    ) -> Result<Self, LabError> {
        let host = AtomicU8::new(FIRST_HOST);
        let router = Self { spec, namespace, beyond, inner, outer, host };
        // What /proc/sys/net shows is that of the thread's namespace.
        let forwards = router.namespace.call(|| fs::write(FORWARDING, "1"));
        forwards.map_err(LabError::Routing)?;
        inner.serve(&router.namespace)?;
        outer.enter(&router.namespace, FIRST_HOST)?;
        router.settle()?;
        Ok(router)
    }

    /// Its address in the outer network: what the host is seen at, if it is the last router and
    /// translates addresses.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.outer.host(self.host.load(Ordering::SeqCst))
    }

    /// The namespace it is in.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Forgets which packets belong together, as if it had been switched off and on: what comes in
    /// is a stranger's until the host has sent something.
    ///
    /// # Errors
    /// [`LabError::Mappings`] if the kernel cannot do that, [`LabError::Rules`] if `nft` refuses.
    pub fn forget(&self) -> Result<(), LabError> {
        // First the mappings that the rules keep, which would renew those of the kernel.
        self.load_rules()?;
        self.namespace.call(conntrack::flush).map_err(LabError::Mappings)
    }

    /// Gets another outer address in place of its own, as providers give some overnight, and
    /// forgets everything.
    ///
    /// # Errors
    /// [`LabError::Interface`] if `ip` refuses, and as [`forget`](Self::forget).
    pub fn change_address(&self) -> Result<(), LabError> {
        let old = self.host.load(Ordering::SeqCst);
        let new = next_host(old);
        self.outer.leave(&self.namespace, old)?;
        self.outer.enter(&self.namespace, new)?;
        self.host.store(new, Ordering::SeqCst);
        self.settle()?;
        self.forget()
    }

    /// Tells what is beyond where this router is, if it has to know, and has the kernel follow the
    /// rules.
    fn settle(&self) -> Result<(), LabError> {
        let (inner, address) = (self.inner, self.address());
        if self.spec.nat == Nat::None {
            self.beyond.ip(&format!("route replace {inner} via {address}\n"))?;
        }
        self.load_rules()
    }

    /// Has the kernel follow the rules in place of all earlier ones, whose mappings are forgotten.
    fn load_rules(&self) -> Result<(), LabError> {
        self.namespace.nft(&self.spec.rules(self.address()))
    }
}

const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";
