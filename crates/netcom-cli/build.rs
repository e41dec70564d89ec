//! Writes the man pages and the completions, which the command carries inside.

use std::{env, error::Error, fs, path::Path};

use clap::{CommandFactory, ValueEnum};
use clap_complete::Shell;

#[path = "src/args/mod.rs"]
#[expect(unused_imports, reason = "only the definition is used here, not what was parsed")]
mod args;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=src/args");
    println!("cargo::rerun-if-changed=build.rs");
    let out = env::var("OUT_DIR")?;
    let out = Path::new(&out);
    let command = args::Cli::command();

    let completions = out.join("completions");
    fs::create_dir_all(&completions)?;
    for shell in Shell::value_variants() {
        let mut script = Vec::new();
        clap_complete::generate(*shell, &mut command.clone(), "netcom", &mut script);
        fs::write(completions.join(shell.to_string()), script)?;
    }

    let pages = out.join("man");
    fs::create_dir_all(&pages)?;
    clap_mangen::generate_to(command, &pages)?;
    let mut names = fs::read_dir(&pages)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<Vec<_>, std::io::Error>>()?;
    names.sort();
    let list: String = names
        .iter()
        .map(|name| {
            format!("({name:?}, include_bytes!(concat!(env!(\"OUT_DIR\"), \"/man/{name}\"))),\n")
        })
        .collect();
    fs::write(out.join("pages.rs"), format!("&[\n{list}]"))?;
    Ok(())
}
