//! A network card of one end: its addresses and routes, and the words that tell `ip` of them.

use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use tun_rs::{DeviceBuilder, SyncDevice};

use crate::{LabError, Namespace, Side};

/// An interface that leads over one link to the other end.
#[derive(Debug)]
pub(crate) struct Card {
    side: Side,
    /// Which link it is at.
    number: u8,
    /// The last part of its addresses.
    host: u8,
    /// How many links there are.
    links: u8,
    is_up: bool,
}

impl Card {
    /// Makes the card with this number, of so many; the device is what its packets go through.
    pub(crate) fn new(
        namespace: &Namespace,
        side: Side,
        number: u8,
        links: u8,
        mtu: u16,
    ) -> Result<(Self, SyncDevice), LabError> {
        let host = if side == Side::Left { 1 } else { 2 };
        let mut card = Self { side, number, host, links, is_up: false };
        let (name, ipv4) = (card.name(), card.ipv4());
        let device = open_device(namespace, &name, mtu)?;
        namespace.ip(&format!("address add {ipv4}/24 dev {name}\n"))?;
        card.bring_up(namespace)?;
        card.set_rules(namespace, "add")?;
        Ok((card, device))
    }

    /// Takes the card down, as if its cable were pulled out.
    pub(crate) fn take_down(&mut self, namespace: &Namespace) -> Result<(), LabError> {
        namespace.ip(&format!("link set dev {} down\n", self.name()))?;
        self.is_up = false;
        Ok(())
    }

    /// Brings it up with its IPv6 address and its routes, which the kernel forgot with the cable.
    pub(crate) fn bring_up(&mut self, namespace: &Namespace) -> Result<(), LabError> {
        let (name, ipv6) = (self.name(), self.ipv6());
        namespace.ip(&format!(
            "link set dev {name} up\n\
             address replace {ipv6}/64 dev {name} nodad\n{}",
            self.routes()
        ))?;
        self.is_up = true;
        Ok(())
    }

    /// Gives it other addresses of the same networks in place of its own.
    pub(crate) fn change_addresses(&mut self, namespace: &Namespace) -> Result<(), LabError> {
        let (name, ipv4, ipv6) = (self.name(), self.ipv4(), self.ipv6());
        self.set_rules(namespace, "del")?;
        namespace.ip(&format!("address del {ipv4}/24 dev {name}\n"))?;
        if self.is_up {
            namespace.ip(&format!("address del {ipv6}/64 dev {name}\n"))?;
        }
        self.host = next_host(self.host);
        namespace.ip(&format!("address add {}/24 dev {name}\n", self.ipv4()))?;
        if self.is_up {
            self.bring_up(namespace)?;
        }
        self.set_rules(namespace, "add")
    }

    /// Has TCP over IPv4 to the other end begin with this controller of the kernel's.
    pub(crate) fn set_tcp_control(
        &self,
        namespace: &Namespace,
        controller: &str,
    ) -> Result<(), LabError> {
        let (name, own, net) = (self.name(), self.ipv4(), ipv4(self.number, 0));
        namespace.ip(&format!(
            "route replace {net}/24 dev {name} proto kernel scope link src {own} \
             congctl {controller}\n"
        ))
    }

    /// Its addresses of both protocols.
    pub(crate) fn addresses(&self) -> [IpAddr; 2] {
        [self.ipv4().into(), self.ipv6().into()]
    }

    pub(crate) fn ipv4(&self) -> Ipv4Addr {
        ipv4(self.number, self.host)
    }

    pub(crate) fn ipv6(&self) -> Ipv6Addr {
        ipv6(self.number, self.host)
    }

    fn name(&self) -> String {
        format!("lab{}", self.number)
    }

    /// Has what is sent from its addresses look up its own table first.
    fn set_rules(&self, namespace: &Namespace, verb: &str) -> Result<(), LabError> {
        if !self.has_others() {
            return Ok(());
        }
        let rule = |ip: IpAddr| format!("rule {verb} from {ip} lookup {}\n", self.table());
        let [ipv4, ipv6] = self.addresses().map(rule);
        namespace.ip(&ipv4)?;
        // `ip` guesses the family of routes, not that of rules.
        namespace.ip_with(&["-6"], &ipv6)
    }

    /// What leads over it beside its own network: all that is sent from its addresses, and what
    /// is sent to another network while the card that leads there is down.
    fn routes(&self) -> String {
        let (name, table) = (self.name(), self.table());
        if !self.has_others() {
            return String::new();
        }
        let (all_v4, all_v6) = (ipv4(0, 0), ipv6(0, 0));
        let mut routes = format!(
            "route replace {all_v4}/16 dev {name} table {table}\n\
             route replace {all_v6}/16 dev {name} table {table}\n"
        );
        let metric = LAST_RESORT + u32::from(self.number);
        for other in (0..self.links).filter(|other| *other != self.number) {
            let (net_v4, net_v6) = (ipv4(other, 0), ipv6(other, 0));
            // Writing to a string cannot fail.
            let _ = write!(
                routes,
                "route replace {net_v4}/24 dev {name} metric {metric}\n\
                 route replace {net_v6}/64 dev {name} metric {metric}\n"
            );
        }
        routes
    }

    /// Whether its end has to choose among cards: the left one, where there are several.
    fn has_others(&self) -> bool {
        self.side == Side::Left && self.links > 1
    }

    fn table(&self) -> u32 {
        FIRST_TABLE + u32::from(self.number)
    }
}

/// Makes an interface in a namespace, down and without addresses; the device is what its packets go
/// through.
pub(crate) fn open_device(
    namespace: &Namespace,
    name: &str,
    mtu: u16,
) -> Result<SyncDevice, LabError> {
    let device = namespace.call(|| {
        let device = DeviceBuilder::new().name(name).enable(false).build_sync()?;
        device.set_nonblocking(true).map(|()| device)
    });
    let device = device.map_err(LabError::Device)?;
    // It gets no addresses by itself, so that nothing is sent that no test asked for.
    namespace.ip(&format!(
        "link set dev {name} addrgenmode none\n\
         link set dev {name} mtu {mtu} txqueuelen {TRANSMIT_QUEUE}\n"
    ))?;
    Ok(device)
}

/// The address of a host in the network of a link.
fn ipv4(link: u8, host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, link, host)
}

fn ipv6(link: u8, host: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfd77, link.into(), 0, 0, 0, 0, 0, host.into())
}

/// Another host of the same end; the first one again behind the last.
pub(crate) fn next_host(host: u8) -> u8 {
    host.checked_add(STEP).unwrap_or(host % STEP)
}

/// Packets that wait in the kernel while the forwarding thread does not run.
const TRANSMIT_QUEUE: u32 = 10_000;
/// From one address of a card to its next.
const STEP: u8 = 10;
/// The kernel's own tables have other numbers.
const FIRST_TABLE: u32 = 100;
/// Behind whatever metric the kernel gives a route of its own.
const LAST_RESORT: u32 = 2000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_two_ends_never_meet_however_often_they_change() {
        for first in [1, 2, 3] {
            let hosts = std::iter::successors(Some(first), |host| Some(next_host(*host)));
            let hosts: Vec<u8> = hosts.take(100).collect();
            assert!(hosts.iter().all(|host| host % STEP == first), "{hosts:?}");
            assert!(hosts.windows(2).all(|two| two[0] != two[1]), "{hosts:?}");
        }
    }
}
