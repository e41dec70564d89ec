//! `netcom id invite` and `netcom id join`: a second device by a code.

use std::{
    io::{self, BufRead as _, IsTerminal as _, Read as _},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use netcom::{
    Enrollment, HandlerError, IdentityStore, InvitationCode, MAX_ENROLLMENT_BYTES, Passphrase,
    Representation, RequestOptions, Role, Service,
};
use serde_json::json;
use tokio::{task::spawn_blocking, time::timeout};

use super::{
    enroll::enroll_failure,
    id::current,
    listen,
    place::{self, Place},
};
use crate::{
    args::Passphrase as Origin,
    context::{Context, key_failure},
    errors,
    failure::{Exit, Failure, Outcome},
    nodes::meeting,
    output::Output,
    qr,
};

/// On which terms somebody is let in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Invitation {
    /// How long the device may speak for the identity.
    pub(super) days: u32,
    /// How many further nodes in a row it may let in.
    pub(super) delegations: u8,
    /// How long the code is good for.
    pub(super) minutes: u32,
}

/// Whether the code is drawn for a camera.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Drawing {
    /// With colours, because a terminal shows it.
    Coloured,
    /// Without, because it was asked for and goes elsewhere.
    Plain,
    None,
}

impl Drawing {
    /// What the two flags and stderr come to.
    pub(super) fn wanted(is_asked: bool, is_refused: bool) -> Self {
        match (io::stderr().is_terminal(), is_asked, is_refused) {
            (_, _, true) | (false, false, _) => Self::None,
            (true, ..) => Self::Coloured,
            (false, true, _) => Self::Plain,
        }
    }

    fn show(self, output: Output, code: &str) {
        if self != Self::None
            && let Some(drawn) = qr::drawing(code, self == Self::Plain)
        {
            output.talk(drawn);
        }
    }
}

/// Shows a code, and lets in whoever knows it, one device.
pub(super) async fn invite(
    context: &Context,
    terms: Invitation,
    drawing: Drawing,
    origin: &Origin,
) -> Outcome {
    let Invitation { minutes, .. } = terms;
    let store = context.identity()?;
    if store.show().map_err(key_failure)?.netid.is_none() {
        let message = format!("there is no identity in {}", context.directory().display());
        return Err(Failure::failed("no_identity", message).hint("netcom id new"));
    }
    // A proof that may let others in needs no passphrase.
    let passphrase = if store.has_identity() { current(&store, origin)? } else { None };
    store.may_admit(terms.delegations, passphrase.as_ref()).map_err(enroll_failure)?;
    let code = InvitationCode::generate()
        .map_err(|error| Failure::from_error(Exit::Failure, "random", &error))?;
    let node = meeting(context, &code, Role::Peer).await?;
    let (place, taken) = place::one();
    let output = context.output;
    let host = Arc::new(Host { store, passphrase, terms, place, output });
    let asked = Arc::clone(&host);
    let service = Service::requests(NAME, [VERSION], move |request| {
        let host = Arc::clone(&asked);
        async move { host.admit(request.body()).await.map(Into::into) }
    });
    let service = service.map_err(|error| errors::serve(&error))?.max_body(MAX_ENROLLMENT_BYTES);
    node.serve(service).map_err(|error| errors::serve(&error))?;
    context.output.talk(format_args!(
        "on the other device, within {minutes} minutes: netcom id join, and then this code"
    ));
    drawing.show(context.output, &code.to_string());
    context.output.answer(&code, json!({ "code": code.to_string() }))?;
    let within = Duration::from_secs(60 * u64::from(minutes));
    let mut taken = pin!(taken);
    let joined = tokio::select! {
        joined = timeout(within, &mut taken) => joined.ok(),
        result = listen::ended() => {
            result?;
            None
        }
    };
    // Whoever is being let in at this moment still is, and told.
    host.place.close();
    let joined = match joined {
        Some(joined) => joined,
        None => taken.await,
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
pub(super) async fn join(context: &Context, label: &str) -> Outcome {
    let code: InvitationCode =
        asked()?.parse().map_err(|error| Failure::from_error(Exit::Usage, "bad_code", &error))?;
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
    context.output.answer(format!("this machine speaks for {netid}"), value)?;
    context.output.talk(format_args!(
        "compare that with netcom id show where the code was shown; if it is another one, somebody \
         who saw the code answered: remove node.proof from {} and join again",
        context.directory().display()
    ));
    Ok(())
}

/// Who lets others in.
struct Host {
    store: IdentityStore,
    passphrase: Option<Passphrase>,
    terms: Invitation,
    /// The code is good for one device.
    place: Place<Enrollment>,
    output: Output,
}

impl Host {
    async fn admit(self: Arc<Self>, body: &[u8]) -> Result<Vec<u8>, HandlerError> {
        let request = Enrollment::decode(body)?;
        let used = || HandlerError::new("used", "the code was used before, or is over");
        let claim = self.place.claim().ok_or_else(used)?;
        // The claim goes along: who asks and goes away has used the code all the same.
        let admitting = spawn_blocking(move || {
            let Invitation { days, delegations, .. } = self.terms;
            let seconds = u64::from(days) * 24 * 3600;
            let proof = self.store.admit(&request, seconds, delegations, self.passphrase.as_ref());
            match proof {
                Ok(proof) => {
                    claim.take(request);
                    Ok(proof.encode())
                }
                Err(error) => {
                    // What is wrong here, with which file, is nothing for others.
                    self.output.talk(format_args!("a device was not let in: {error}"));
                    Err(HandlerError::new("refused", "the other device cannot let anybody in now"))
                }
            }
        });
        admitting.await?
    }
}

/// The code from the terminal, or from the first line of stdin: whoever reads the arguments of a
/// process could be quicker with one that stands there.
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

#[cfg(test)]
mod tests {
    use netcom::DataDir;

    use super::*;

    #[tokio::test]
    async fn of_two_who_know_a_code_one_is_let_in_and_none_when_it_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let [store, first, second, third] = ["owner", "first", "second", "third"]
            .map(|name| IdentityStore::new(DataDir::open(folder.path().join(name)).unwrap()));
        store.create(None).unwrap();
        let asked = |store: &IdentityStore| store.enroll(None, "").unwrap();
        let requests = [&first, &second, &third].map(|store| asked(store).encode());
        let (place, taken) = place::one();
        let output = Output::new(false, true);
        let terms = Invitation { days: 1, delegations: 1, minutes: 1 };
        let owner = store.clone();
        let host = Arc::new(Host { store, passphrase: None, terms, place, output });

        let garbage = Arc::clone(&host).admit(b"no request").await;
        assert!(garbage.is_err(), "and the code is not used by it");
        let admit = |request: &Vec<u8>| {
            let (host, request) = (Arc::clone(&host), request.clone());
            tokio::spawn(async move { host.admit(&request).await })
        };
        let both = [admit(&requests[0]), admit(&requests[1])];
        let mut let_in = 0;
        for answer in both {
            match answer.await.unwrap() {
                Ok(_) => let_in += 1,
                Err(error) => assert_eq!(error.message().code(), "used"),
            }
        }
        assert_eq!(let_in, 1);
        let joined = taken.await.unwrap();
        assert!(admit(&requests[2]).await.unwrap().is_err(), "while the node ends");
        let devices = owner.devices().unwrap();
        assert_eq!(devices.len(), 1);
        assert_eq!(devices[0].peer_id, *joined.peer_id());
    }
}
