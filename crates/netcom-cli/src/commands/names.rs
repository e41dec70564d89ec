//! `netcom names`.

use std::time::{SystemTime, UNIX_EPOCH};

use netcom::{
    AddError, BookError, IfTaken, Named, NetId, Petname, PetnameEntry, ResolveError, Target,
    UnixTime,
    names::{self, DottedName, NameError},
};
use serde_json::{Value, json};

use crate::{
    args::Names,
    context::{Context, target},
    failure::{Exit, Failure, Outcome},
    naming,
};

pub(crate) fn run(command: &Names, context: &Context) -> Outcome {
    match command {
        Names::Add { name, target, replace } => add(context, name, target, *replace),
        Names::Ls => list(context),
        Names::Rm { name } => remove(context, name),
        Names::Trust { name, netid } => trust(context, name, netid),
        Names::Forget { name } => forget(context, name),
        Names::Resolve { name } => resolve(context, name),
    }
}

fn add(context: &Context, name: &str, text: &str, replace: bool) -> Outcome {
    let name = petname(name)?;
    let entry = match target(context, text)? {
        Target::NetId(netid) => PetnameEntry::new(Named::NetId(netid)),
        Target::PeerId(peer) => PetnameEntry::new(Named::Peer(peer)),
        Target::Address(peer, address) => {
            PetnameEntry::new(Named::Peer(peer)).addresses(vec![address])
        }
        Target::Ticket(ticket) => {
            // The entity is what is meant; the addresses still lead to its node.
            let id = match ticket.netid() {
                Some(netid) => Named::NetId(*netid),
                None => Named::Peer(*ticket.peer_id()),
            };
            PetnameEntry::new(id).addresses(ticket.addresses().to_vec())
        }
        Target::Petname(other) => context.names().resolve(&other).map_err(resolve_failure)?,
        _ => {
            let message = format!("{text} cannot be looked up by this version");
            return Err(Failure::failed("name_unsupported", message)
                .hint("give a NetID, a PeerId or a ticket"));
        }
    };
    // The book's folder is a data directory, with its version.
    context.data_dir()?;
    let taken = if replace { IfTaken::Replace } else { IfTaken::Refuse };
    context.names().add(&name, entry.clone(), taken).map_err(|error| add_failure(&error))?;
    context.output.answer(line(&name, &entry), value(&name, &entry))
}

fn list(context: &Context) -> Outcome {
    let entries = context.names().list().map_err(book_failure)?;
    let lines: Vec<String> = entries.iter().map(|(name, entry)| line(name, entry)).collect();
    let values: Vec<Value> = entries.iter().map(|(name, entry)| value(name, entry)).collect();
    if lines.is_empty() {
        context.output.talk("there are no names yet; try: netcom names add NAME n1…");
        return context.output.json(json!({ "names": values }));
    }
    context.output.answer(lines.join("\n"), json!({ "names": values }))
}

fn remove(context: &Context, name: &str) -> Outcome {
    let name = petname(name)?;
    let entry = context.names().remove(&name).map_err(resolve_failure)?;
    match entry {
        Some(entry) => context.output.answer(line(&name, &entry), value(&name, &entry)),
        // What it meant could not be read, and is gone now.
        None => context.output.answer(&name, json!({ "name": name.to_string() })),
    }
}

fn resolve(context: &Context, name: &str) -> Outcome {
    if name.contains('.') {
        return resolve_with_dots(context, name);
    }
    let name = petname(name)?;
    let entry = context.names().resolve(&name).map_err(resolve_failure)?;
    let mut lines = vec![entry.id.to_string()];
    lines.extend(entry.addresses.iter().map(ToString::to_string));
    context.output.answer(lines.join("\n"), value(&name, &entry))
}

/// Asks whoever answers for a domain or a name of a directory, as a node would.
fn resolve_with_dots(context: &Context, name: &str) -> Outcome {
    let name = with_dots(context, name)?;
    let names = naming::names(context)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::io("no runtime", &error))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let resolved = runtime.block_on(names.resolve(&name, UnixTime(now)));
    let resolved = resolved.map_err(|error| name_failure(Exit::NotFound, &error))?;
    let hints: Vec<String> = resolved.hints.iter().map(ToString::to_string).collect();
    let lines: Vec<String> =
        std::iter::once(resolved.netid.to_string()).chain(hints.iter().cloned()).collect();
    context.output.talk(format_args!("{name}: {}", resolved.ground));
    let value = json!({
        "name": name.to_string(),
        "netid": resolved.netid.to_string(),
        "peer_id": null,
        "addresses": hints,
        "ground": resolved.ground,
    });
    context.output.answer(lines.join("\n"), value)
}

fn trust(context: &Context, name: &str, netid: &str) -> Outcome {
    let name = with_dots(context, name)?;
    let netid: NetId =
        netid.parse().map_err(|error| Failure::from_error(Exit::Usage, "bad_netid", &error))?;
    context.data_dir()?;
    let names = names::Names::offline().remembering(context.directory());
    names.trust(&name, netid).map_err(|error| name_failure(Exit::Failure, &error))?;
    let value = json!({ "name": name.to_string(), "netid": netid.to_string() });
    context.output.answer(format!("{name}  {netid}"), value)
}

fn forget(context: &Context, name: &str) -> Outcome {
    let name = with_dots(context, name)?;
    context.data_dir()?;
    let names = names::Names::offline().remembering(context.directory());
    let was_known = names.forget(&name).map_err(|error| name_failure(Exit::Failure, &error))?;
    if !was_known {
        let message = format!("no key is remembered for {name}");
        return Err(Failure::new(Exit::NotFound, "unknown_name", message));
    }
    context.output.answer(&name, json!({ "name": name.to_string() }))
}

/// Reads a domain or a name of a directory.
pub(crate) fn with_dots(context: &Context, text: &str) -> Outcome<DottedName> {
    let suffixes = naming::suffixes(&context.settings)?;
    DottedName::parse(text.trim(), &suffixes)
        .map_err(|error| Failure::from_error(Exit::Usage, "bad_name", &error))
}

fn name_failure(exit: Exit, error: &NameError) -> Failure {
    Failure::from_error(exit, error.code(), error).hint_if(error.hint())
}

fn line(name: &Petname, entry: &PetnameEntry) -> String {
    format!("{name}  {}", entry.id)
}

fn value(name: &Petname, entry: &PetnameEntry) -> Value {
    let (netid, peer_id) = match entry.id {
        Named::NetId(netid) => (Some(netid.to_string()), None),
        Named::Peer(peer) => (None, Some(peer.to_string())),
        _ => (None, None),
    };
    let addresses: Vec<String> = entry.addresses.iter().map(ToString::to_string).collect();
    json!({
        "name": name.to_string(), "netid": netid, "peer_id": peer_id, "addresses": addresses,
    })
}

fn petname(text: &str) -> Outcome<Petname> {
    text.parse().map_err(|error| Failure::from_error(Exit::Usage, "bad_name", &error))
}

fn add_failure(error: &AddError) -> Failure {
    match error {
        AddError::Taken { .. } => Failure::from_error(Exit::Failure, "name_taken", error)
            .hint("--replace, or another name"),
        AddError::Book(_) => Failure::from_error(Exit::Failure, "names_file", error),
        AddError::Full => {
            Failure::from_error(Exit::Failure, "names_full", error).hint("netcom names rm NAME")
        }
        _ => Failure::from_error(Exit::Usage, "bad_address", error),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err asks for")]
fn resolve_failure(error: ResolveError) -> Failure {
    match &error {
        ResolveError::Unknown { .. } => {
            Failure::from_error(Exit::NotFound, "unknown_petname", &error).hint("netcom names ls")
        }
        _ => Failure::from_error(Exit::Failure, "names_file", &error),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err asks for")]
fn book_failure(error: BookError) -> Failure {
    Failure::from_error(Exit::Failure, "names_file", &error)
}
