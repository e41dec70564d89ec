//! Making a node from the settings.

use std::{env, path::Path, time::Duration};

use netcom::{
    Access, DataDirUse, Interfaces, InvitationCode, Limits, MdnsConfig, Multiaddr, Node,
    NodeBuilder, Petname, Role, Scope, Target,
};

use crate::{
    context::{Context, target},
    errors,
    failure::{Exit, Failure, Outcome},
    naming,
};

/// What a node is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// It is the node of its data directory, or it does not run.
    Daemon,
    /// It is the node of its data directory if no other process is, and runs under a fresh key
    /// of the same identity otherwise.
    Guest,
    /// It connects to others only.
    Client,
}

/// How a node that others reach is to behave.
#[derive(Clone, Debug)]
pub(crate) struct Serving {
    /// Who may use what it offers.
    pub(crate) access: Access,
    pub(crate) listen: Vec<Multiaddr>,
}

/// A node that connects to others only.
pub(crate) async fn client(context: &Context) -> Outcome<Node> {
    build(context, Kind::Client, &[]).await
}

/// Makes a node of the data directory's identity.
pub(crate) async fn build(context: &Context, kind: Kind, listen: &[Multiaddr]) -> Outcome<Node> {
    let data_dir = context.data_dir_with_identity()?;
    let mut builder = Node::builder()
        .data_dir(data_dir.path())
        .data_dir_use(match kind {
            Kind::Daemon => DataDirUse::Exclusive,
            Kind::Guest => DataDirUse::IfFree,
            Kind::Client => DataDirUse::Shared,
        })
        .role(if kind == Kind::Client { Role::Client } else { Role::Peer })
        .limits(limits_of(context));
    for address in listen {
        builder = builder.listen(address.clone());
    }
    builder = reach(context, builder)?;
    builder.build().await.map_err(|error| errors::create(&error))
}

/// A node that speaks for the key of a code and for nobody else, and lets in who knows it.
pub(crate) async fn meeting(context: &Context, code: &InvitationCode, role: Role) -> Outcome<Node> {
    let builder = Node::builder().netid(code.key()).access(Access::own_entity()).role(role);
    reach(context, builder)?.build().await.map_err(|error| errors::create(&error))
}

/// A node on loopback that finds others by a folder and, with a port, by multicast DNS there.
pub(crate) async fn on_loopback(
    data_dir: &Path,
    registry: &Path,
    mdns_port: Option<u16>,
    role: Role,
) -> Outcome<Node> {
    let mut builder = Node::builder()
        .data_dir(data_dir)
        .role(role)
        .registry(registry)
        .discovery(if mdns_port.is_some() { Scope::Lan } else { Scope::Host });
    if let Some(port) = mdns_port {
        builder = builder.mdns(MdnsConfig::default().interfaces(Interfaces::Loopback).port(port));
    }
    if role != Role::Client {
        for address in ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"] {
            let address = address
                .parse::<Multiaddr>()
                .map_err(|error| Failure::from_error(Exit::Failure, "internal", &error))?;
            builder = builder.listen(address);
        }
    }
    builder.build().await.map_err(|error| errors::create(&error))
}

/// How far the node looks, by the settings and by what tests inject.
fn reach(context: &Context, mut builder: NodeBuilder) -> Outcome<NodeBuilder> {
    if let Some(scope) = &context.settings.discovery.value {
        builder = builder.discovery(naming::scope(scope)?);
    }
    if let Some(links) = context.links()? {
        builder = builder.links(links);
    }
    if context.key_log {
        builder = builder.key_log(true);
    }
    if let Some(registry) = env::var_os(REGISTRY_DIR).filter(|path| !path.is_empty()) {
        builder = builder.registry(registry);
    }
    for (domain, netid) in naming::fixed(context)? {
        builder = builder.fixed_name(domain, netid);
    }
    Ok(builder.directories(naming::directories(context)?))
}

/// The settings' limits over the defaults.
fn limits_of(context: &Context) -> Limits {
    let mut limits = Limits::default();
    if let Some(sessions) = context.settings.max_sessions.value {
        limits.sessions.total = usize::try_from(sessions).unwrap_or(usize::MAX);
    }
    if let Some(seconds) = context.settings.resume_seconds.value {
        limits.session.resume_window = Duration::from_secs(seconds);
    }
    limits
}

/// Reads who may use a node and where it listens.
pub(crate) fn serving(context: &Context) -> Outcome<Serving> {
    let settings = &context.settings;
    let mut access = match settings.allow_all.value {
        true => Access::everyone(),
        false => Access::own_entity(),
    };
    for text in &settings.allow.value {
        access = allow(context, access, text)?;
    }
    let listen = settings.listen.value.iter().map(|text| {
        text.parse::<Multiaddr>().map_err(|error| {
            Failure::from_error(Exit::Usage, "bad_address", &error)
                .hint("--listen /ip4/0.0.0.0/tcp/4001")
        })
    });
    Ok(Serving { access, listen: listen.collect::<Outcome<_>>()? })
}

fn allow(context: &Context, access: Access, text: &str) -> Outcome<Access> {
    Ok(match target(context, text)? {
        Target::NetId(netid) => access.netid(netid),
        Target::PeerId(peer) | Target::Address(peer, _) => access.peer(peer),
        Target::Ticket(ticket) => match ticket.netid() {
            Some(netid) => access.netid(*netid),
            None => access.peer(*ticket.peer_id()),
        },
        Target::Petname(name) => allow_named(context, access, &name)?,
        _ => {
            let message = format!("{text} cannot be looked up by this version");
            return Err(Failure::new(Exit::NotFound, "name_unsupported", message)
                .hint("give a NetID, a PeerId or a petname"));
        }
    })
}

fn allow_named(context: &Context, access: Access, name: &Petname) -> Outcome<Access> {
    let entry = context.names().resolve(name).map_err(|error| {
        Failure::from_error(Exit::NotFound, "unknown_petname", &error).hint("netcom names ls")
    })?;
    Ok(match entry.id {
        netcom::Named::NetId(netid) => access.netid(netid),
        netcom::Named::Peer(peer) => access.peer(peer),
        _ => return Err(Failure::failed("name_unsupported", format!("{name} names no one"))),
    })
}

/// Where nodes of this host find each other, for tests.
const REGISTRY_DIR: &str = "NETCOM_REGISTRY_DIR";
