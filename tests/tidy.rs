//! Rules of the source tree that no compiler holds: which crate may see which, and which few files may read the
//! clock, ask for randomness, or look at the environment.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "helpers of tests"
)]

use std::fs;
use std::path::Path;

/// The crates, and what each may import, in the order `domain ← … ← src`.
const CRATES: [(&str, &[&str]); 9] = [
    ("domain", &[]),
    ("openrtb", &["domain"]),
    ("safety", &["domain"]),
    ("learning", &["domain"]),
    ("onnx", &[]),
    ("strategies", &["domain", "learning"]),
    ("actors", &["domain", "learning", "strategies"]),
    ("simulator", &["domain", "openrtb", "safety", "learning", "strategies", "actors"]),
    ("src", &["domain", "openrtb", "safety", "learning", "onnx", "strategies", "actors", "simulator"]),
];

/// Words that only one place may use, and the place: a file, or a folder that ends in `/`.
const RESERVED: [(&str, &str); 14] = [
    ("Instant::now", "src/clock.rs"),
    ("SystemTime::now", "src/clock.rs"),
    ("Utc::now", "src/clock.rs"),
    ("Timestamp::now", "src/clock.rs"),
    ("Zoned::now", "src/clock.rs"),
    ("getrandom", "src/entropy.rs"),
    ("SysRng", "src/entropy.rs"),
    ("OsRng", "src/entropy.rs"),
    ("ThreadRng", "src/entropy.rs"),
    ("thread_rng", "src/entropy.rs"),
    ("rand::rng(", "src/entropy.rs"),
    ("actix_web", "src/"),
    ("awc::", "src/"),
    ("std::env", "src/"),
];

/// Above this a file probably holds more than one idea.
const LONG: usize = 500;

/// A file's path from the root, with `/`, and its text.
struct Source {
    path: String,
    text: String,
}

/// A file's lines, numbered, without comments and without its tests, which stand at the end.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let end = text.find("#[cfg(test)]\nmod ").unwrap_or(text.len());
    text[..end]
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line.split("//").next().unwrap_or_default()))
}

fn crate_of(path: &str) -> Option<&str> {
    path.split('/').next().filter(|first| CRATES.iter().any(|(name, _)| name == first))
}

fn may_import(importer: &str, imported: &str) -> bool {
    CRATES.iter().any(|(name, allowed)| *name == importer && allowed.contains(&imported))
}

/// Crates of ours that a line of code names.
fn imports(line: &str) -> impl Iterator<Item = &'static str> {
    CRATES.iter().map(|(name, _)| *name).filter(move |name| {
        let name = format!("haggle_{name}");
        line.match_indices(&name).any(|(at, _)| {
            let after = line[at + name.len()..].chars().next();
            let before = line[..at].chars().next_back();
            let word = |it: Option<char>| it.is_some_and(|it| it.is_alphanumeric() || it == '_');
            !word(before) && !word(after)
        })
    })
}

fn check_source(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    let Some(importer) = crate_of(&source.path) else { return found };
    for (number, line) in code(&source.text) {
        for imported in imports(line).filter(|imported| *imported != importer) {
            if !may_import(importer, imported) {
                found.push(format!("{}:{number}: {importer} must not import {imported}", source.path));
            }
        }
        for (word, place) in RESERVED {
            let allowed =
                if place.ends_with('/') { source.path.starts_with(place) } else { source.path == place };
            // The error type of a source of randomness is no source.
            if line.replace("getrandom::Error", "").contains(word) && !allowed {
                found.push(format!("{}:{number}: {word} belongs in {place} alone", source.path));
            }
        }
    }
    found
}

/// A manifest's dependencies against the order of the crates; those for tests may see more.
fn check_manifest(folder: &str, manifest: &str) -> Vec<String> {
    let mut found = Vec::new();
    let table: toml::Table = manifest.parse().expect("a manifest");
    let Some(dependencies) = table.get("dependencies").and_then(toml::Value::as_table) else {
        return found;
    };
    for name in dependencies.keys() {
        match name.strip_prefix("haggle-") {
            Some(imported) if !may_import(folder, imported) => {
                found.push(format!("{folder}/Cargo.toml: {folder} must not depend on {imported}"));
            }
            None if folder != "src" && ["actix-web", "awc", "getrandom"].contains(&name.as_str()) => {
                found.push(format!("{folder}/Cargo.toml: {name} belongs to the program alone"));
            }
            _ => {}
        }
    }
    found
}

fn collect(root: &Path, folder: &str, into: &mut Vec<Source>) {
    let mut entries: Vec<_> = fs::read_dir(root.join(folder)).unwrap().map(Result::unwrap).collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = format!("{folder}/{}", entry.file_name().to_str().unwrap());
        if entry.path().is_dir() {
            collect(root, &path, into);
        } else if path.ends_with(".rs") {
            into.push(Source { text: fs::read_to_string(entry.path()).unwrap(), path });
        }
    }
}

/// Every source file of the crates; their tests and benchmarks are free to do more.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    for (name, _) in CRATES {
        let folder = if name == "src" { name.to_owned() } else { format!("{name}/src") };
        collect(root, &folder, &mut sources);
    }
    assert!(sources.len() > CRATES.len(), "the tree was not found");
    sources
}

#[test]
fn the_tree_keeps_its_rules() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources = sources();
    for source in &sources {
        let lines = source.text.lines().count();
        if lines > LONG {
            eprintln!("{}: {lines} lines; it may hold more than one idea", source.path);
        }
    }
    let mut found: Vec<String> = sources.iter().flat_map(check_source).collect();
    for (name, _) in CRATES {
        let manifest = if name == "src" { "Cargo.toml".to_owned() } else { format!("{name}/Cargo.toml") };
        found.extend(check_manifest(name, &fs::read_to_string(root.join(manifest)).unwrap()));
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn every_crate_is_in_the_order() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest: toml::Table = fs::read_to_string(root.join("Cargo.toml")).unwrap().parse().unwrap();
    for member in manifest["workspace"]["members"].as_array().unwrap() {
        assert!(crate_of(member.as_str().unwrap()).is_some(), "{member} has no place in CRATES");
    }
}

#[test]
fn planted_violations_are_found() {
    let check =
        |path: &str, text: &str| check_source(&Source { path: path.to_owned(), text: text.to_owned() });
    for (path, text) in [
        ("domain/src/a.rs", "use haggle_learning::Model;"),
        ("strategies/src/a.rs", "let x = haggle_actors::Ledger::new();"),
        ("learning/src/a.rs", "use haggle_openrtb as rtb;"),
        ("actors/src/a.rs", "use std::{haggle_simulator};"),
        ("src/server/a.rs", "let at = std::time::Instant::now();"),
        ("actors/src/clock.rs", "SystemTime::now()"),
        ("src/server/a.rs", "getrandom::fill(&mut key)?;"),
        ("simulator/src/a.rs", "let mut rng = rand::rng();"),
        ("actors/src/a.rs", "use actix_web::web;"),
        ("strategies/src/a.rs", "let home = std::env::var(\"HOME\");"),
        ("strategies/src/a.rs", "Instant::now(); #[cfg(test)]"),
    ] {
        let found = check(path, text);
        assert_eq!(found.len(), 1, "{path}: {text}: {found:?}");
        assert!(found[0].starts_with(&format!("{path}:1: ")), "{found:?}");
    }
    for (path, text) in [
        ("domain/src/a.rs", "// haggle_learning uses this; Instant::now does not"),
        ("domain/src/a.rs", "let haggle_learning_rate = 1;"),
        ("actors/src/a.rs", "use haggle_domain::Micros;\nuse haggle_actors::x;"),
        ("src/clock.rs", "Instant::now()"),
        ("src/entropy.rs", "getrandom::fill(bytes)"),
        ("src/server/a.rs", "Entropy(getrandom::Error),"),
        ("actors/src/a.rs", "#[cfg(test)]\nmod tests { Instant::now() }"),
    ] {
        assert_eq!(check(path, text), Vec::<String>::new(), "{path}: {text}");
    }
    let manifest = "[dependencies]\nhaggle-actors.workspace = true\nactix-web = \"4\"\nserde = \"1\"\n\
                    [dev-dependencies]\nhaggle-simulator.workspace = true";
    assert_eq!(
        check_manifest("strategies", manifest),
        [
            "strategies/Cargo.toml: actix-web belongs to the program alone",
            "strategies/Cargo.toml: strategies must not depend on actors",
        ]
    );
    assert_eq!(check_manifest("src", manifest), Vec::<String>::new());
}
