//! Completions and man pages, as the build wrote them.

use std::path::Path;

use serde_json::json;

use crate::{
    args::Shell,
    failure::{Failure, Outcome},
    output::Output,
};

/// The man pages: names and contents.
static PAGES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/pages.rs"));

macro_rules! completions {
    ($shell:literal) => {
        include_str!(concat!(env!("OUT_DIR"), "/completions/", $shell))
    };
}

pub(crate) fn completions(shell: Shell, output: Output) -> Outcome {
    let script = match shell {
        Shell::Bash => completions!("bash"),
        Shell::Elvish => completions!("elvish"),
        Shell::Fish => completions!("fish"),
        Shell::Powershell => completions!("powershell"),
        Shell::Zsh => completions!("zsh"),
    };
    output.answer(script.trim_end(), json!({ "script": script }))
}

pub(crate) fn man(folder: &Path, output: Output) -> Outcome {
    let failed = |error: std::io::Error| {
        Failure::io(format_args!("man pages cannot be written to {}", folder.display()), &error)
    };
    std::fs::create_dir_all(folder).map_err(failed)?;
    for (name, page) in PAGES {
        std::fs::write(folder.join(name), page).map_err(failed)?;
    }
    let names: Vec<&str> = PAGES.iter().map(|(name, _)| *name).collect();
    output.answer(names.join("\n"), json!({ "pages": names }))
}
