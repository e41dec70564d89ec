//! `netcom id enroll`, `sign`, `accept`, `devices`, `revoke` and `rotate`.

use std::{
    io,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use netcom::{
    Armor, Device, EnrollError, Enrollment, PeerId, Renewed, Representation, UnixTime,
    parse_peer_id,
};
use serde_json::{Value, json};

use super::{id::current, read_text};
use crate::{
    args::Passphrase as Origin,
    context::{Context, key_failure},
    failure::{Exit, Failure, Outcome},
    output::plain,
};

pub(super) fn enroll(context: &Context, whom: Option<&str>, label: &str) -> Outcome {
    let netid = whom
        .map(|whom| {
            whom.parse().map_err(|error| {
                Failure::from_error(Exit::Usage, "bad_netid", &error)
                    .hint("n1…, as netcom id show tells it where the key is")
            })
        })
        .transpose()?;
    let request = context.identity()?.enroll(netid, label).map_err(enroll_failure)?;
    context.output.talk(
        "have this signed where the key is, by netcom id sign, and give the answer to netcom id \
         accept here",
    );
    let value = json!({
        "peer_id": request.peer_id().to_string(),
        "netid": request.netid().map(ToString::to_string),
        "label": request.label(),
        "request": request.to_text(),
    });
    context.output.answer(request.to_text().trim_end(), value)
}

pub(super) fn sign(
    context: &Context,
    file: &Path,
    days: u32,
    delegations: u8,
    origin: &Origin,
) -> Outcome {
    let request: Enrollment = read(file)?;
    let store = context.identity()?;
    // A proof that may let others in needs no passphrase.
    let passphrase = if store.has_identity() { current(&store, origin)? } else { None };
    let seconds = u64::from(days) * DAY;
    let proof =
        store.admit(&request, seconds, delegations, passphrase.as_ref()).map_err(enroll_failure)?;
    context.output.talk(format_args!(
        "{} {:?} may speak for {} for {days} days; {}",
        request.peer_id(),
        request.label(),
        proof.netid(),
        match store.has_identity() {
            true => "netcom id revoke takes that back",
            false => "it ends when this machine is revoked where the key is",
        },
    ));
    context.output.answer(proof.to_text().trim_end(), of_proof(&proof))
}

pub(super) fn accept(context: &Context, file: &Path, replace: bool) -> Outcome {
    let proof: Representation = read(file)?;
    let netid = context.identity()?.accept(&proof, replace).map_err(enroll_failure)?;
    let text = format!("this machine speaks for {netid} {}", time_left(proof.expires()));
    let value = json!({ "netid": netid.to_string(), "expires": proof.expires().0 });
    context.output.answer(text, value)
}

pub(super) fn devices(context: &Context) -> Outcome {
    let devices = context.identity()?.devices().map_err(key_failure)?;
    if devices.is_empty() {
        context.output.talk("nobody was let in from here: netcom id sign, or netcom id invite");
        return context.output.json(json!({ "devices": [] }));
    }
    let line = |device: &Device| {
        format!("{}  {}  {}", device.peer_id, time_left(device.expires), plain(&device.label))
    };
    let text: Vec<String> = devices.iter().map(line).collect();
    let value: Vec<Value> = devices.iter().map(of_device).collect();
    context.output.answer(text.join("\n"), json!({ "devices": value }))
}

pub(super) fn revoke(context: &Context, peer: &str, origin: &Origin) -> Outcome {
    let peer: PeerId = parse_peer_id(peer)
        .map_err(|error| Failure::from_error(Exit::Usage, "bad_peer_id", &error))?;
    let store = context.identity()?;
    let passphrase = current(&store, origin)?;
    let revoked = store.revoke(peer, passphrase.as_ref()).map_err(enroll_failure)?;
    let files = of_renewed(&revoked.renewed);
    context.output.talk(
        "it holds for whoever comes by a name and sees the next document: netcom id publish; \
         others believe the machine until its proof ends, so does who lets this entity in by \
         --allow; nodes of this directory that run are to be started again",
    );
    let text = format!("{peer} speaks for this identity no more{}", list(&files));
    let value = json!({
        "peer_id": peer.to_string(),
        "lowest_sequence": revoked.lowest_sequence,
        "renewed": files,
    });
    context.output.answer(text, value)
}

pub(super) fn rotate(context: &Context, origin: &Origin) -> Outcome {
    let store = context.identity()?;
    let passphrase = current(&store, origin)?;
    let rotated = store.rotate(passphrase.as_ref()).map_err(enroll_failure)?;
    let files = of_renewed(&rotated.renewed);
    context.output.talk(format_args!(
        "publish it: netcom id publish; who knows the key itself has to be told; the old key is in \
         identity.{}.key",
        rotated.before
    ));
    let text = format!("{} takes the place of {}{}", rotated.netid, rotated.before, list(&files));
    let value = json!({
        "before": rotated.before.to_string(),
        "netid": rotated.netid.to_string(),
        "renewed": files,
    });
    context.output.answer(text, value)
}

fn of_renewed(renewed: &[Renewed]) -> Vec<Value> {
    let value = |renewed: &Renewed| {
        let mut value = of_device(&renewed.device);
        value["file"] = json!(renewed.file);
        value
    };
    renewed.iter().map(value).collect()
}

fn list(files: &[Value]) -> String {
    let mut text = String::new();
    for file in files {
        let (path, label) = (file["file"].as_str(), file["label"].as_str());
        text += &format!(
            "\n{}  for {:?}: netcom id accept there",
            path.unwrap_or_default(),
            label.unwrap_or_default()
        );
    }
    text
}

fn of_device(device: &Device) -> Value {
    json!({
        "peer_id": device.peer_id.to_string(),
        "label": device.label,
        "expires": device.expires.0,
        "delegations": device.delegations,
    })
}

fn of_proof(proof: &Representation) -> Value {
    json!({
        "netid": proof.netid().to_string(),
        "peer_id": proof.subject().to_string(),
        "expires": proof.expires().0,
        "proof": proof.to_text(),
    })
}

/// A text that somebody carried here.
fn read<T: Armor>(file: &Path) -> Outcome<T> {
    let failed =
        |error: io::Error| Failure::io(format_args!("{} cannot be read", file.display()), &error);
    let text = read_text(file).map_err(failed)?;
    T::from_text(&text).map_err(|error| Failure::from_error(Exit::Usage, "bad_text", &error))
}

/// How long something still holds.
fn time_left(expires: UnixTime) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    match expires.seconds_since(UnixTime(now)) {
        0 => "no more".to_owned(),
        seconds if seconds < 2 * DAY => format!("for {} hours", seconds.div_ceil(3600)),
        seconds => format!("for {} days", seconds.div_ceil(DAY)),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err asks for")]
pub(super) fn enroll_failure(error: EnrollError) -> Failure {
    let is_usage = matches!(error, EnrollError::Document(_) | EnrollError::Request(_));
    let exit = if is_usage { Exit::Usage } else { Exit::Failure };
    Failure::from_error(exit, error.code(), &error).hint_if(error.hint())
}

const DAY: u64 = 24 * 3600;
