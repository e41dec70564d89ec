//! `netcom id publish`.

use std::time::{SystemTime, UNIX_EPOCH};

use netcom::{DomainName, EntityDescription, Multiaddr, UnixTime};
use serde_json::json;

use super::{enroll::enroll_failure, id::current};
use crate::{
    args::Passphrase as Origin,
    context::Context,
    failure::{Exit, Failure, Outcome},
};

/// Signs a document with the domain as its primary name. Its number is the time, so that a later
/// one replaces it.
pub(crate) fn run(
    context: &Context,
    domain: &str,
    also: &[String],
    days: u32,
    hints: &[String],
    origin: &Origin,
) -> Outcome {
    let domain: DomainName =
        domain.parse().map_err(|error| Failure::from_error(Exit::Usage, "bad_name", &error))?;
    let hints: Result<Vec<Multiaddr>, _> = hints.iter().map(|hint| hint.parse()).collect();
    let hints = hints.map_err(|error| Failure::from_error(Exit::Usage, "bad_address", &error))?;
    let store = context.identity()?;
    let passphrase = current(&store, origin)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let expires = UnixTime(now).plus_seconds(u64::from(days) * 24 * 3600);
    let mut description = EntityDescription::new(now, expires);
    description.names.push(domain.to_string());
    description.names.extend(also.iter().cloned());
    description.hints = hints;
    let answer = store.publish(description, passphrase.as_ref()).map_err(enroll_failure)?;
    let (page, record) = (answer.to_json(), answer.to_txt());
    context.output.talk(format!(
        "serve this as https://{domain}/.well-known/netid.json, or the strings after TXT at \
         _netid.{domain} in a zone signed by DNSSEC; do so again within {days} days"
    ));
    let value = json!({
        "domain": domain.to_string(),
        "netid": answer.document.netid().to_string(),
        "expires": expires.0,
        "page": page,
        "txt": record,
    });
    let strings: Vec<String> = record.iter().map(|string| format!("\"{string}\"")).collect();
    context.output.answer(format!("{page}\nTXT {}", strings.join(" ")), value)
}
