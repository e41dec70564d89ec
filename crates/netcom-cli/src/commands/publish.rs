//! `netcom id publish`.

use std::time::{SystemTime, UNIX_EPOCH};

use netcom::{DottedName, EntityDescription, Multiaddr, UnixTime};
use serde_json::json;

use super::{enroll::enroll_failure, id::current, names::with_dots};
use crate::{
    args::Passphrase as Origin,
    context::Context,
    failure::{Exit, Failure, Outcome},
};

/// Signs a document with these names, of which a domain is the primary one. Its number is the time,
/// so that a later one replaces it.
pub(crate) fn run(
    context: &Context,
    names: &[String],
    days: u32,
    hints: &[String],
    origin: &Origin,
) -> Outcome {
    let names: Vec<DottedName> =
        names.iter().map(|name| with_dots(context, name)).collect::<Outcome<_>>()?;
    if names.iter().skip(1).any(|name| matches!(name, DottedName::Domain(_))) {
        let message = "a domain leads to a document only as its first name: give it first, and \
                       sign a document for each domain";
        return Err(Failure::usage(message));
    }
    let hints: Result<Vec<Multiaddr>, _> = hints.iter().map(|hint| hint.parse()).collect();
    let hints = hints.map_err(|error| Failure::from_error(Exit::Usage, "bad_address", &error))?;
    let store = context.identity()?;
    let passphrase = current(&store, origin)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let expires = UnixTime(now).plus_seconds(u64::from(days) * 24 * 3600);
    let mut description = EntityDescription::new(now, expires);
    description.names.extend(names.iter().map(ToString::to_string));
    description.hints = hints;
    let answer = store.publish(description, passphrase.as_ref()).map_err(enroll_failure)?;
    let page = answer.to_json();
    let mut value = json!({
        "names": names.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "netid": answer.document.netid().to_string(),
        "expires": expires.0,
        "page": page,
    });
    let mut lines = vec![page];
    for name in &names {
        let DottedName::Domain(domain) = name else {
            context.output.talk(format!(
                "give this to the directory of {name}, within {days} days again; one that takes \
                 names over the web does so by POST at its url and /v1/names/{name}"
            ));
            continue;
        };
        context.output.talk(format!(
            "serve this as https://{domain}/.well-known/netid.json, or the strings after TXT at \
             _netid.{domain} in a zone signed by DNSSEC; do so again within {days} days"
        ));
        let record = answer.to_txt();
        let strings: Vec<String> = record.iter().map(|string| format!("\"{string}\"")).collect();
        lines.push(format!("TXT {}", strings.join(" ")));
        value["domain"] = domain.to_string().into();
        value["txt"] = record.into();
    }
    context.output.answer(lines.join("\n"), value)
}
