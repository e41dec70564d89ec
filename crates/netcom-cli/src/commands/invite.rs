//! `netcom id invite` and `netcom id join`: a second device by a code.

use std::{
    io::{self, BufRead as _, IsTerminal as _, Read as _},
    sync::Arc,
    time::Duration,
};

use netcom::{
    Enrollment, HandlerError, IdentityStore, InvitationCode, Passphrase, Representation,
    RequestOptions, Role, Service,
};
use serde_json::json;
use tokio::{sync::mpsc, task::spawn_blocking, time::timeout};

use super::{enroll::enroll_failure, id::current, listen};
use crate::{
    args::Passphrase as Origin,
    context::{Context, key_failure},
    errors,
    failure::{Exit, Failure, Outcome},
    nodes::meeting,
};

/// Shows a code, and lets in whoever knows it, one device.
pub(super) async fn invite(
    context: &Context,
    days: u32,
    delegations: u8,
    minutes: u32,
    origin: &Origin,
) -> Outcome {
    let store = context.identity()?;
    if store.show().map_err(key_failure)?.netid.is_none() {
        let message = format!("there is no identity in {}", context.directory().display());
        return Err(Failure::failed("no_identity", message).hint("netcom id new"));
    }
    // A proof that may let others in needs no passphrase.
    let passphrase = if store.has_identity() { current(&store, origin)? } else { None };
    let code = InvitationCode::generate()
        .map_err(|error| Failure::from_error(Exit::Failure, "random", &error))?;
    let node = meeting(context, &code, Role::Peer).await?;
    let (joined, mut joins) = mpsc::channel(1);
    let host = Arc::new(Host { store, passphrase, days, delegations, joined });
    let service = Service::requests(NAME, [VERSION], move |request| {
        let host = Arc::clone(&host);
        async move { host.admit(request.body()).await.map(Into::into) }
    });
    let service = service.map_err(|error| errors::serve(&error))?;
    node.serve(service).map_err(|error| errors::serve(&error))?;
    context.output.talk(format_args!(
        "on the other device, within {minutes} minutes: netcom id join, and then this code"
    ));
    context.output.answer(&code, json!({ "code": code.to_string() }))?;
    let within = Duration::from_secs(60 * u64::from(minutes));
    let joined = tokio::select! {
        joined = timeout(within, joins.recv()) => joined.ok().flatten(),
        result = listen::ended() => {
            result?;
            None
        }
    };
    // The answer arrives before the node ends.
    node.drain(DRAINING).await;
    node.close().await;
    let Some(request) = joined else {
        return Err(Failure::new(Exit::Unreachable, "nobody_joined", "nobody joined by the code")
            .hint("netcom id invite, for a new code"));
    };
    let text = format!("{} {:?} joined", request.peer_id(), request.label());
    let value = json!({ "peer_id": request.peer_id().to_string(), "label": request.label() });
    context.output.answer(text, value)
}

/// Asks whoever shows the code to let this machine speak for them.
pub(super) async fn join(context: &Context, code: Option<&str>, label: &str) -> Outcome {
    let code: InvitationCode = match code {
        Some(code) => code.parse(),
        None => asked()?.parse(),
    }
    .map_err(|error| Failure::from_error(Exit::Usage, "bad_code", &error))?;
    let store = context.identity()?;
    if let Some(present) = store.show().map_err(key_failure)?.netid {
        let message = format!("this data directory speaks for {present} already");
        return Err(
            Failure::failed("identity_exists", message).hint("name another folder with --data-dir")
        );
    }
    let request = store.enroll(None, label).map_err(enroll_failure)?;
    let node = meeting(context, &code, Role::Client).await?;
    let connecting =
        node.connect_with(code.key().net_id()).timeout(ANSWERING).lookup(LOOKING).connect();
    let connection = connecting.await.map_err(|error| {
        errors::connect(&error).hint("is netcom id invite running, in the same network?")
    })?;
    let options = RequestOptions::new().protocol(format!("{NAME}/{VERSION}")).timeout(ANSWERING);
    let answer = connection.request_with(request.encode(), &options).await;
    let answer = answer.map_err(|error| errors::request(&error))?;
    node.close().await;
    let proof = Representation::decode(&answer)
        .map_err(|error| Failure::from_error(Exit::Failure, "bad_proof", &error))?;
    let netid = store.accept(&proof, false).map_err(enroll_failure)?;
    let value = json!({ "netid": netid.to_string(), "expires": proof.expires().0 });
    context.output.answer(format!("this machine speaks for {netid}"), value)
}

/// Who lets others in.
struct Host {
    store: IdentityStore,
    passphrase: Option<Passphrase>,
    days: u32,
    delegations: u8,
    /// Has room for one: the code is good for one device.
    joined: mpsc::Sender<Enrollment>,
}

impl Host {
    async fn admit(self: Arc<Self>, body: &[u8]) -> Result<Vec<u8>, HandlerError> {
        let request = Enrollment::decode(body)?;
        let place = self.joined.clone().try_reserve_owned();
        let place = place.map_err(|_| HandlerError::new("used", "the code was used before"))?;
        let asked = request.clone();
        let admitting = spawn_blocking(move || {
            let seconds = u64::from(self.days) * 24 * 3600;
            self.store.admit(&asked, seconds, self.delegations, self.passphrase.as_ref())
        });
        let proof = admitting.await??;
        place.send(request);
        Ok(proof.encode())
    }
}

/// The code from the terminal, or from the first line of stdin.
fn asked() -> Outcome<String> {
    let failed = |error: io::Error| Failure::io("the code cannot be asked for", &error);
    if io::stdin().is_terminal() {
        return rpassword::prompt_password("code: ").map_err(failed);
    }
    let mut line = String::new();
    io::stdin().lock().take(MAX_CODE_BYTES).read_line(&mut line).map_err(failed)?;
    Ok(line)
}

const NAME: &str = "netcom-join";
const VERSION: &str = "1";
const MAX_CODE_BYTES: u64 = 256;
/// How long the other device is looked for.
const LOOKING: Duration = Duration::from_secs(5);
/// How long it may take to answer.
const ANSWERING: Duration = Duration::from_secs(15);
/// How long the last answer may take on its way.
const DRAINING: Duration = Duration::from_secs(5);
