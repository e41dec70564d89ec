//! `netcom config`.

use serde_json::{Map, Value, json};

use crate::{context::Context, failure::Outcome};

/// Shows every setting and, if asked to, where it comes from.
pub(crate) fn show(context: &Context, origin: bool) -> Outcome {
    let settings = &context.settings;
    let mut lines = Vec::new();
    let mut object = Map::new();
    for (key, value, from) in settings.rows() {
        let shown = match &value {
            Value::Null => "(not set)".to_owned(),
            value => value.to_string(),
        };
        let place = from.describe(&settings.path);
        lines.push(match origin {
            true => format!("{key} = {shown}  # {place}"),
            false => format!("{key} = {shown}"),
        });
        let value = if origin { json!({ "value": value, "origin": place }) } else { value };
        object.insert(key.to_owned(), value);
    }
    let answer = json!({
        "file": settings.path,
        "data_dir": context.directory(),
        "settings": object,
    });
    context.output.answer(lines.join("\n"), answer)
}
