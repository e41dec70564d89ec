//! `netcom id`.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, IsTerminal, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

use netcom::{IdentityStore, Passphrase};
use serde_json::json;

use super::invite::{Drawing, Invitation};
use crate::{
    args::{Id, Passphrase as Origin},
    context::{Context, key_failure},
    failure::{Failure, Outcome},
};

pub(crate) fn run(command: &Id, context: &Context) -> Outcome {
    match command {
        Id::New => new(context),
        Id::Show => show(context),
        Id::Export { file, passphrase } => export(context, file, passphrase),
        Id::Enroll { whom, label } => super::enroll::enroll(context, whom.as_deref(), label),
        Id::Sign { request, days, delegations, passphrase } => {
            super::enroll::sign(context, request, *days, *delegations, passphrase)
        }
        Id::Accept { proof, replace } => super::enroll::accept(context, proof, *replace),
        Id::Invite { days, delegations, minutes, qr, no_qr, passphrase } => {
            let drawing = Drawing::wanted(*qr, *no_qr);
            let terms = Invitation { days: *days, delegations: *delegations, minutes: *minutes };
            block_on(super::invite::invite(context, terms, drawing, passphrase))
        }
        Id::Join { label } => block_on(super::invite::join(context, label)),
        Id::Devices => super::enroll::devices(context),
        Id::Revoke { peer, passphrase } => super::enroll::revoke(context, peer, passphrase),
        Id::Rotate { passphrase } => super::enroll::rotate(context, passphrase),
        Id::Publish { names, days, hint, passphrase } => {
            super::publish::run(context, names, *days, hint, passphrase)
        }
        Id::Import { file, passphrase } => import(context, file, passphrase),
    }
}

/// The few of these commands that run a node.
fn block_on(command: impl Future<Output = Outcome>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| Failure::io("no runtime", &error))?.block_on(command)
}

fn new(context: &Context) -> Outcome {
    let store = context.identity()?;
    if store.has_identity() {
        let message = format!("there is an identity in {} already", context.directory().display());
        return Err(Failure::failed("identity_exists", message)
            .hint("netcom id show, or name another folder with --data-dir"));
    }
    store.create(None).map_err(key_failure)?;
    show(context)
}

fn show(context: &Context) -> Outcome {
    let none = || {
        let message = format!("there is no identity in {}", context.directory().display());
        Failure::failed("no_identity", message).hint("netcom id new")
    };
    if !netcom::DataDir::exists(context.directory()) {
        return Err(none());
    }
    let info = context.identity()?.show().map_err(key_failure)?;
    let netid = info.netid.ok_or_else(none)?;
    let peer_id = info.peer_id.map(|peer| peer.to_string());
    let text = match &peer_id {
        Some(peer_id) => format!("netid    {netid}\npeer_id  {peer_id}"),
        None => format!("netid    {netid}"),
    };
    let value = json!({
        "netid": netid.to_string(),
        "peer_id": peer_id,
        "encrypted": info.is_encrypted,
    });
    context.output.answer(text, value)
}

fn export(context: &Context, file: &Path, origin: &Origin) -> Outcome {
    let store = context.identity()?;
    let info = store.show().map_err(key_failure)?;
    if !store.has_identity() {
        let message = format!("there is no key to export in {}", context.directory().display());
        return Err(Failure::failed("no_identity", message).hint("netcom id new"));
    }
    let passphrase = passphrase(origin, true)?;
    let current = info.is_encrypted.then_some(&passphrase);
    let backup = store.export(current, &passphrase).map_err(key_failure)?;
    let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).map_err(
        |error| {
            Failure::io(format_args!("{} cannot be made", file.display()), &error)
                .hint("name a file that does not exist")
        },
    )?;
    out.write_all(backup.as_bytes()).and_then(|()| out.sync_all()).map_err(|error| {
        Failure::io(format_args!("{} cannot be written", file.display()), &error)
    })?;
    context.output.talk("keep the file and its passphrase apart: together they are you");
    let netid = info.netid.map(|netid| netid.to_string());
    context.output.answer(file.display(), json!({ "file": file, "netid": netid }))
}

fn import(context: &Context, file: &Path, origin: &Origin) -> Outcome {
    let failed =
        |error: io::Error| Failure::io(format_args!("{} cannot be read", file.display()), &error);
    let backup = super::read_text(file).map_err(failed)?;
    let passphrase = passphrase(origin, false)?;
    let store = context.identity()?;
    store.import(&backup, Some(&passphrase), None).map_err(key_failure)?;
    show(context)
}

/// The passphrase of the identity, if it is under one.
pub(super) fn current(store: &IdentityStore, origin: &Origin) -> Outcome<Option<Passphrase>> {
    if !store.has_identity() {
        let folder = store.directory().path().display();
        let message = format!("there is no key to sign with in {folder}");
        let is_let_in = store.show().map_err(key_failure)?.netid.is_some();
        return Err(Failure::failed("no_identity", message).hint(match is_let_in {
            true => "do it where the key is: this machine was let in by it",
            false => "netcom id new",
        }));
    }
    let is_locked = store.show().map_err(key_failure)?.is_encrypted;
    is_locked.then(|| passphrase(origin, false)).transpose()
}

/// Takes a passphrase from where it was said to be, or asks for it, twice if it is a new one.
pub(super) fn passphrase(origin: &Origin, is_new: bool) -> Outcome<Passphrase> {
    let text = if let Some(path) = &origin.passphrase_file {
        let failed = |error: io::Error| {
            Failure::io(format_args!("{} cannot be read", path.display()), &error)
        };
        let file = File::open(path).map_err(failed)?;
        let mode = file.metadata().map_err(failed)?.permissions().mode();
        if mode & 0o077 != 0 && file.metadata().map_err(failed)?.is_file() {
            let message = format!("others can read the passphrase in {}", path.display());
            return Err(Failure::failed("passphrase_open_to_others", message)
                .hint(format!("chmod 600 {}", path.display())));
        }
        first_line(file).map_err(failed)?
    } else if let Some(number) = origin.passphrase_fd {
        descriptor(number)?
    } else if io::stdin().is_terminal() {
        ask(is_new)?
    } else {
        return Err(Failure::usage("a passphrase is needed and nobody can be asked for it")
            .hint("--passphrase-file FILE, --passphrase-fd FD or NETCOM_PASSPHRASE_FILE"));
    };
    Passphrase::new(text)
        .map_err(|error| Failure::from_error(crate::failure::Exit::Usage, "bad_passphrase", &error))
}

fn ask(is_new: bool) -> Outcome<String> {
    let failed = |error: io::Error| Failure::io("the passphrase cannot be asked for", &error);
    let text = rpassword::prompt_password("passphrase: ").map_err(failed)?;
    if is_new && rpassword::prompt_password("once more: ").map_err(failed)? != text {
        return Err(Failure::usage("the two passphrases differ").hint("type it again"));
    }
    Ok(text)
}

fn descriptor(number: u32) -> Outcome<String> {
    // Through the file system, because a number is no proof that a descriptor is open.
    let path = format!("/dev/fd/{number}");
    let failed = |error: io::Error| {
        Failure::io(format_args!("file descriptor {number} cannot be read"), &error)
    };
    File::open(path).and_then(first_line).map_err(failed)
}

fn first_line(file: File) -> io::Result<String> {
    let mut line = String::new();
    BufReader::new(file.take(MAX_PASSPHRASE_BYTES)).read_line(&mut line)?;
    let end = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(end);
    Ok(line)
}

const MAX_PASSPHRASE_BYTES: u64 = 4 << 10;
