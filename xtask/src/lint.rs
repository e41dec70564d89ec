//! The project's own rules, which no other tool holds.

use std::{fmt, fs, ops::Range, path::Path, process::Command};

use anyhow::{Context, Result, ensure};

use crate::proto;

/// A file longer than this holds more than one concept.
const FILE_LINES: usize = 800;
/// As rustfmt's `max_width`, which it does not apply to comments and strings.
const LINE_COLUMNS: usize = 100;

/// A broken rule and where.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Finding {
    path: String,
    line: usize,
    rule: String,
}

/// Everything that breaks a rule in the checkout.
pub(crate) fn findings(root: &Path) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let mut code = String::new();
    let mut manifests = Vec::new();
    let mut documents = Vec::new();
    for path in files(root)? {
        // Binary files, links to nowhere and what was removed without saying so to git.
        let Ok(text) = fs::read_to_string(root.join(&path)) else { continue };
        let generated = text.lines().take(3).any(|line| line.contains("@generated"));
        if !generated {
            findings.extend(text_findings(&path, &text));
        }
        if has_extension(&path, "rs") {
            code.push_str(&text);
            findings.extend(secret_findings(&path, &text));
        } else if path.starts_with("python/tests/") {
            code.push_str(&text);
        }
        if path.ends_with("Cargo.toml") {
            manifests.push((path, text));
        } else if DOCUMENTS.contains(&path.as_str()) {
            documents.push((path, text));
        }
    }
    findings.extend(manifest_findings(&manifests));
    for (path, text) in &documents {
        findings.extend(match path.as_str() {
            "docs/conformance.md" => conformance_findings(path, text, &code),
            "docs/limits.md" => limit_findings(path, text, &code),
            "docs/security.md" => threat_findings(root, path, text, &code),
            _ => dependency_findings(path, text, &manifests),
        });
    }
    if let Err(drift) = proto::generate(true) {
        findings.push(Finding::new("proto", 0, format!("{drift:#}; run `cargo xtask proto`")));
    }
    Ok(findings)
}

impl Finding {
    fn new(path: &str, line: usize, rule: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, rule: rule.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.rule)
    }
}

/// Every file of the checkout that is not ignored.
fn files(root: &Path) -> Result<Vec<String>> {
    let listing = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .context("git could not be started")?;
    ensure!(listing.status.success(), "the lint needs a git checkout to know its files");
    let listing = String::from_utf8(listing.stdout).context("a file name is not UTF-8")?;
    Ok(listing.split_terminator('\0').map(str::to_owned).collect())
}

/// The rules for a text alone.
fn text_findings(path: &str, text: &str) -> Vec<Finding> {
    let rust = has_extension(path, "rs");
    let mut findings = Vec::new();
    let lines = text.lines().count();
    if rust && lines > FILE_LINES {
        findings.push(Finding::new(path, lines, format!("more than {FILE_LINES} lines")));
    }
    for (index, line) in text.lines().enumerate() {
        let mut found = |rule: String| findings.push(Finding::new(path, index + 1, rule));
        if (rust || has_extension(path, "sh")) && line.chars().count() > LINE_COLUMNS {
            found(format!("more than {LINE_COLUMNS} columns"));
        }
        if rust && let Some(word) = STUBS.iter().find(|&&word| line.contains(word)) {
            found(format!("an open end ({word}): finish it or file an issue"));
        }
        if rust
            && path.starts_with("crates/")
            && !UNSAFE_FILES.contains(&path)
            && line.contains(UNSAFE)
        {
            found("unsafe code outside the crates that ARCHITECTURE.md lists".to_owned());
        }
        if let Some(home) = HOMES.iter().find(|home| names_a_path_under(line, home)) {
            found(format!("an absolute path under {home}"));
        }
    }
    findings
}

/// Secrets are compared in constant time: never by a derived comparison, nor by an operator.
fn secret_findings(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !path.starts_with("crates/") || !path.contains("/src/") || path.contains("/tests") {
        return findings;
    }
    let mut derived = "";
    for (index, line) in text.lines().enumerate() {
        let mut found = |rule: String| findings.push(Finding::new(path, index + 1, rule));
        if line.starts_with("#[derive(") {
            derived = line;
        } else if let Some((_, name)) = line.split_once("struct ") {
            let name = name.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
            if SECRET_TYPES.contains(&name) && derived.contains("PartialEq") {
                found(format!("{name} is a secret and compared by derive: use subtle"));
            }
            derived = "";
        }
        for operator in ["==", "!="] {
            let Some((left, right)) = line.split_once(operator) else { continue };
            let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
            // The fields before the operator and after it: of `a.len() == *b.c.d` nothing and `d`.
            let left = left.trim_end().rsplit(|c| !is_part(c)).next().unwrap_or_default();
            let right = right.trim_start_matches([' ', '&', '*']);
            let right = right.split(|c| !is_part(c)).next().unwrap_or_default();
            let fields = [left, right].map(|path| path.rsplit('.').next().unwrap_or_default());
            let secret = fields.into_iter().find(|field| SECRET_NAMES.contains(field));
            if let Some(name) = secret {
                found(format!("{name} is a secret and compared by {operator}: use subtle"));
            }
        }
    }
    findings
}

/// Each threat has a row that names tests and files, which exist, and no test of a threat is
/// without a row.
fn threat_findings(root: &Path, path: &str, text: &str, code: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut missing: Vec<u32> = THREATS.to_vec();
    for (line, cells) in rows(text) {
        let Some(threat) = cells[0].strip_prefix("T-").and_then(|it| it.parse().ok()) else {
            continue;
        };
        missing.retain(|other| *other != threat);
        let mut found = |rule: String| findings.push(Finding::new(path, line, rule));
        let mut has_own = false;
        for name in cells.iter().flat_map(|cell| cell.split('`').skip(1).step_by(2)) {
            if has_extension(name, "rs") && !root.join("crates").join(name).exists() {
                found(format!("T-{threat}: there is no file crates/{name}"));
            }
            if is_function(name) && name.len() > 20 {
                let plain = name.strip_prefix("test_").unwrap_or(name);
                has_own |= plain.starts_with(&format!("t_{threat:02}_"));
                if !["fn", "def"].iter().any(|word| code.contains(&format!("{word} {name}("))) {
                    found(format!("T-{threat}: there is no test {name}"));
                }
            }
        }
        if !has_own {
            found(format!("T-{threat}: no test is named after it"));
        }
    }
    let gone = missing.iter().map(|threat| Finding::new(path, 0, format!("no row for T-{threat}")));
    findings.extend(gone);
    let tests = code.lines().filter_map(|line| line.split_once("fn t_")).filter_map(|(_, rest)| {
        let name = rest.split('(').next()?;
        name.starts_with(|c: char| c.is_ascii_digit()).then(|| format!("t_{name}"))
    });
    let unnamed = tests.filter(|name| !text.contains(&format!("`{name}`")));
    findings.extend(unnamed.map(|name| Finding::new(path, 0, format!("no row names {name}"))));
    findings
}

/// Each crate is under the workspace's lints, each shared dependency has a user, and release builds
/// check arithmetic: a peer's number that overflows must not become another one.
fn manifest_findings(manifests: &[(String, String)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let members = || manifests.iter().filter(|(path, _)| is_member(path));
    for (path, text) in members() {
        if !text.contains("[lints]\nworkspace = true") {
            findings.push(Finding::new(path, 1, "without `[lints] workspace = true`"));
        }
    }
    let Some((path, text)) = manifests.iter().find(|(path, _)| path == "Cargo.toml") else {
        return findings;
    };
    if !section(text, "[profile.release]").any(|(_, line)| line == "overflow-checks = true") {
        let rule = "without `overflow-checks = true` in [profile.release]";
        findings.push(Finding::new(path, 0, rule));
    }
    for (line, name) in shared_dependencies(text).filter(|(_, name)| is_foreign(name)) {
        let used = members().any(|(_, text)| {
            text.lines().any(|line| {
                line.strip_prefix(name).is_some_and(|rest| {
                    rest.starts_with(".workspace") || rest.starts_with(" = { workspace = true")
                })
            })
        });
        if !used {
            findings.push(Finding::new(path, line, format!("no crate uses {name}")));
        }
    }
    findings
}

/// Each third-party dependency has its row: what for, why, what else.
fn dependency_findings(path: &str, text: &str, manifests: &[(String, String)]) -> Vec<Finding> {
    let Some((_, root)) = manifests.iter().find(|(path, _)| path == "Cargo.toml") else {
        return Vec::new();
    };
    let names: Vec<&str> =
        shared_dependencies(root).map(|(_, name)| name).filter(|name| is_foreign(name)).collect();
    let missing = names
        .iter()
        .filter(|name| !text.contains(&format!("| {name} |")))
        .map(|name| Finding::new(path, 0, format!("no row for {name}")));
    let stale = rows(text)
        .filter(|(_, cells)| !names.contains(&cells[0]))
        .map(|(line, cells)| Finding::new(path, line, format!("{} is not a dependency", cells[0])));
    missing.chain(stale).collect()
}

/// A requirement that is called done names tests, or the command that measured it, and tests that
/// are named exist.
fn conformance_findings(path: &str, text: &str, code: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, cells) in rows(text) {
        let [id, state, evidence, ..] = cells.as_slice() else { continue };
        let mut found = |rule: String| findings.push(Finding::new(path, line, rule));
        if !["done", "partly", "not yet"].contains(state) {
            found(format!("{id}: a state is done, partly or not yet, not {state:?}"));
        }
        let mut named = evidence.contains("`make bench`");
        for name in evidence.split('`').skip(1).step_by(2).filter(|name| is_function(name)) {
            named = true;
            let (rust, python) = (format!("fn {name}("), format!("def {name}("));
            if !code.contains(&rust) && !code.contains(&python) {
                found(format!("{id}: there is no test {name}"));
            }
        }
        if *state == "done" && !named {
            found(format!("{id}: called done without naming a test"));
        }
    }
    findings
}

/// A constant or code that the table of limits names exists.
fn limit_findings(path: &str, text: &str, code: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, cells) in rows(text) {
        let names = cells.iter().flat_map(|cell| cell.split('`').skip(1).step_by(2));
        for name in names.filter(|name| is_constant(name)) {
            let constant = code.contains(&format!("const {name}: "));
            if !constant && !code.contains(&format!(" {name} = 0x")) {
                findings.push(Finding::new(path, line, format!("there is no constant {name}")));
            }
        }
    }
    findings
}

/// The rows of the tables in a Markdown text, without heads and rules, with their line numbers.
fn rows(text: &str) -> impl Iterator<Item = (usize, Vec<&str>)> {
    let mut body = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let inner = line.trim().strip_prefix('|').and_then(|line| line.strip_suffix('|'));
        let Some(inner) = inner else {
            body = false;
            return None;
        };
        if inner.chars().all(|c| "|-: ".contains(c)) {
            body = true;
            return None;
        }
        body.then(|| (index + 1, inner.split('|').map(str::trim).collect()))
    })
}

/// The names in `[workspace.dependencies]`, with their line numbers.
fn shared_dependencies(manifest: &str) -> impl Iterator<Item = (usize, &str)> {
    section(manifest, "[workspace.dependencies]")
        .filter_map(|(number, line)| Some((number, line.split_once(" = ")?.0)))
}

/// The lines of a section of a manifest, with their numbers.
fn section<'a>(manifest: &'a str, head: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
    let numbered = (1..).zip(manifest.lines());
    numbered
        .skip_while(move |(_, line)| *line != head)
        .skip(1)
        .take_while(|(_, line)| !line.starts_with('['))
}

/// Whether a line names a file under one of the folders that only one machine has.
fn names_a_path_under(line: &str, home: &str) -> bool {
    line.match_indices(home).any(|(at, _)| {
        let Range { start, end } = at..at + home.len();
        let before = line[..start].chars().next_back();
        let name = line[end..].split(|c: char| !c.is_alphanumeric() && !"._-".contains(c)).next();
        // Not part of a longer path or address, and not the name of the folder alone.
        !before.is_some_and(|c| c.is_alphanumeric() || "}_-.~/".contains(c))
            && name.is_some_and(|name| !name.is_empty() && !SAMPLES.contains(&name))
    })
}

fn is_member(manifest: &str) -> bool {
    manifest.starts_with("crates/") || manifest.starts_with("xtask/")
}

fn is_foreign(dependency: &str) -> bool {
    dependency != "netcom" && !dependency.starts_with("netcom-")
}

fn is_function(name: &str) -> bool {
    name.contains('_') && name.chars().all(|c| c.is_ascii_lowercase() || "_0123456789".contains(c))
}

fn is_constant(name: &str) -> bool {
    name.contains('_') && name.chars().all(|c| c.is_ascii_uppercase() || "_0123456789".contains(c))
}

fn has_extension(path: &str, extension: &str) -> bool {
    Path::new(path).extension().is_some_and(|it| it == extension)
}

/// The documents whose tables are held against the code.
const DOCUMENTS: [&str; 4] =
    ["docs/conformance.md", "docs/dependencies.md", "docs/limits.md", "docs/security.md"];
/// The threats that concern what there is.
const THREATS: [u32; 24] =
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 20, 22, 26, 28, 34, 40, 41, 42];
/// Types that hold secrets.
const SECRET_TYPES: [&str; 5] =
    ["ExporterSecret", "Passphrase", "SecretBytes", "SecretKey", "SessionKey"];
/// How values are called that are secret, or prove that one knows a secret.
const SECRET_NAMES: [&str; 5] = ["exporter", "mac", "passphrase", "secret", "session_key"];
const HOMES: [&str; 4] = ["/home/", "/root/", "/Users/", "/work/"];
/// Names of nobody, for examples.
const SAMPLES: [&str; 3] = ["alice", "bob", "me"];
// In pieces, so that the rules do not find themselves.
const STUBS: [&str; 6] = [
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("not imple", "mented"),
];
const UNSAFE: &str = concat!("unsafe", "_code");
/// As ARCHITECTURE.md lists them.
const UNSAFE_FILES: [&str; 2] =
    ["crates/netcom-python/src/buffer.rs", "crates/netcom/src/session/spare_memory.rs"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checkout_keeps_the_rules() {
        let findings = findings(&crate::root()).unwrap();
        let lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
        assert!(lines.is_empty(), "{}", lines.join("\n"));
    }

    #[test]
    fn long_files_and_lines_are_found() {
        let long = "\n".repeat(FILE_LINES + 1);
        assert_eq!(text_findings("crates/a/src/lib.rs", &long).len(), 1);
        assert_eq!(text_findings("README.md", &long), []);
        let wide = "x".repeat(LINE_COLUMNS + 1);
        assert_eq!(text_findings("crates/a/src/lib.rs", &wide).len(), 1);
        assert_eq!(text_findings("crates/a/src/lib.rs", &wide[1..]), []);
    }

    #[test]
    fn open_ends_are_found_in_code() {
        for stub in STUBS {
            assert_eq!(text_findings("crates/a/src/lib.rs", stub).len(), 1, "{stub}");
        }
        assert_eq!(text_findings("crates/a/src/lib.rs", UNSAFE).len(), 1);
    }

    #[test]
    fn paths_of_one_machine_are_found_and_addresses_are_not() {
        for home in HOMES {
            assert!(names_a_path_under(&format!("see {home}carol/file"), home));
            assert!(!names_a_path_under(&format!("see {home}me/file"), home));
            assert!(!names_a_path_under(&format!("see {home} for more"), home));
            assert!(!names_a_path_under(&format!("https://example.org{home}page"), home));
            assert!(!names_a_path_under(&format!("${{X}}{home}page"), home));
        }
    }

    #[test]
    fn a_crate_outside_the_lints_and_an_unused_dependency_are_found() {
        let root = "[workspace.dependencies]\nbytes = \"1\"\nfs4 = \"1\"\n\n\
            [profile.release]\noverflow-checks = true\n";
        let member = "[dependencies]\nbytes.workspace = true\n";
        let manifests = [
            ("Cargo.toml".to_owned(), root.to_owned()),
            ("crates/a/Cargo.toml".to_owned(), member.to_owned()),
        ];
        assert_eq!(
            manifest_findings(&manifests),
            [
                Finding::new("crates/a/Cargo.toml", 1, "without `[lints] workspace = true`"),
                Finding::new("Cargo.toml", 3, "no crate uses fs4"),
            ]
        );
        let table = "| crate | for |\n|---|---|\n| bytes | x |\n| gone | y |\n";
        assert_eq!(
            dependency_findings("d", table, &manifests),
            [
                Finding::new("d", 0, "no row for fs4"),
                Finding::new("d", 4, "gone is not a dependency")
            ]
        );
    }

    #[test]
    fn a_release_build_without_overflow_checks_is_found() {
        let missing =
            |manifest: &str| manifest_findings(&[("Cargo.toml".to_owned(), manifest.to_owned())]);
        let rule = "without `overflow-checks = true` in [profile.release]";
        for manifest in [
            "[profile.dev]\noverflow-checks = true\n\n[profile.release]\nlto = \"thin\"\n",
            "[profile.release]\noverflow-checks = false\n",
            "[profile.release]\nlto = \"thin\"\n\n[profile.bench]\noverflow-checks = true\n",
            "",
        ] {
            assert_eq!(missing(manifest), [Finding::new("Cargo.toml", 0, rule)], "{manifest}");
        }
        let kept = "[profile.release]\nlto = \"thin\"\noverflow-checks = true\n";
        assert_eq!(missing(kept), []);
    }

    #[test]
    fn t_20_secrets_compared_in_the_open_are_found() {
        let path = "crates/a/src/lib.rs";
        let derived = "#[derive(Clone, PartialEq)]\n#[zeroize(drop)]\npub struct SessionKey(X);\n";
        assert_eq!(secret_findings(path, derived).len(), 1);
        assert_eq!(secret_findings(path, &derived.replace(", PartialEq", "")), []);
        assert_eq!(secret_findings(path, &derived.replace("SessionKey", "SessionId")), []);
        for line in ["if mac == theirs {", "a != self.secret", "*link.exporter == exporter"] {
            assert_eq!(secret_findings(path, line).len(), 1, "{line}");
        }
        for line in ["if mac.ct_eq(&theirs)", "secret.len() == 32", "let mac = 1;"] {
            assert_eq!(secret_findings(path, line), [], "{line}");
        }
    }

    #[test]
    fn a_threat_without_its_test_is_found() {
        // In pieces, so that the rule does not find itself.
        let test = concat!("fn t", "_01_a_test_that_is_named_after_it() {}\nfn t", "_02_more() {}");
        let table = "| threat | tests |\n|---|---|\n\
            | T-1 | `t_01_a_test_that_is_named_after_it` |\n\
            | T-2 | `t_02_a_test_that_does_not_exist`, `netcom/src/no_such_file.rs` |\n\
            | T-3 | later |\n";
        let found = threat_findings(&crate::root(), "s", table, test);
        let lines: Vec<usize> = found.iter().map(|finding| finding.line).collect();
        let rows_missing = THREATS.len() - 3;
        assert_eq!(lines[..3], [4, 4, 5], "{found:?}");
        assert_eq!(lines.len(), 3 + rows_missing + 1, "{found:?}");
    }

    #[test]
    fn a_limit_that_names_no_constant_is_found() {
        let table = "| what | bound |\n|---|---|\n| a | `MAX_A` |\n| b | `MAX_B` |\n";
        assert_eq!(
            limit_findings("l", table, "pub const MAX_A: usize = 1;"),
            [Finding::new("l", 4, "there is no constant MAX_B")]
        );
    }

    #[test]
    fn done_without_a_test_that_exists_is_found() {
        let table = "\
            | id | state | tests |\n|---|---|---|\n\
            | R-1 | done | `a_test` |\n\
            | R-2 | done | later |\n\
            | R-3 | partly | `no_test` |\n\
            | R-4 | soon | |\n\
            | R-5 | done | `make bench` |\n";
        let found = conformance_findings("c", table, "#[test]\nfn a_test() {}\n");
        let lines: Vec<usize> = found.iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [4, 5, 6]);
    }
}
