//! `netcom id publish`.

use std::time::{SystemTime, UNIX_EPOCH};

use netcom::{DomainName, EntityDescription, EntityDocument, Multiaddr, UnixTime, names::Answer};
use serde_json::json;

use super::id::passphrase;
use crate::{
    args::Passphrase as Origin,
    context::{Context, key_failure},
    failure::{Exit, Failure, Outcome},
};

/// Signs a document with the domain as its primary name. Its number is the time, so that a later
/// one replaces it.
pub(crate) fn run(
    context: &Context,
    domain: &str,
    days: u32,
    hints: &[String],
    origin: &Origin,
) -> Outcome {
    let domain: DomainName =
        domain.parse().map_err(|error| Failure::from_error(Exit::Usage, "bad_name", &error))?;
    let hints: Result<Vec<Multiaddr>, _> = hints.iter().map(|hint| hint.parse()).collect();
    let hints = hints.map_err(|error| Failure::from_error(Exit::Usage, "bad_address", &error))?;
    let store = context.identity()?;
    if !store.has_identity() {
        let message = format!("there is no key to sign with in {}", context.directory().display());
        return Err(Failure::failed("no_identity", message).hint("netcom id new"));
    }
    let is_locked = store.show().map_err(key_failure)?.is_encrypted;
    let passphrase = is_locked.then(|| passphrase(origin, false)).transpose()?;
    let key = store.load(passphrase.as_ref()).map_err(key_failure)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let expires = UnixTime(now).plus_seconds(u64::from(days) * 24 * 3600);
    let mut description = EntityDescription::new(now, expires);
    description.names.push(domain.to_string());
    description.hints = hints;
    let document = EntityDocument::sign(&key, description)
        .map_err(|error| Failure::from_error(Exit::Usage, "bad_document", &error))?;
    let answer = Answer { document, earlier: Vec::new() };
    let (page, record) = (answer.to_json(), answer.to_txt());
    context.output.talk(format!(
        "serve this as https://{domain}/.well-known/netid.json, or the strings after TXT at \
         _netid.{domain} in a zone signed by DNSSEC; do so again within {days} days"
    ));
    let value = json!({
        "domain": domain.to_string(),
        "netid": key.net_id().to_string(),
        "expires": expires.0,
        "page": page,
        "txt": record,
    });
    let strings: Vec<String> = record.iter().map(|string| format!("\"{string}\"")).collect();
    context.output.answer(format!("{page}\nTXT {}", strings.join(" ")), value)
}
