//! Reading the configuration's files.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::{ConfigError, ConfigErrors, Source};

/// Anything shorter is guessed.
const SHORTEST_SECRET: usize = 16;

/// A text that no log and no message shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A secret that was just made.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A whole file as text.
pub(super) fn text(path: &Path) -> Result<String, ConfigErrors> {
    let fail = |line, problem: String| {
        let source = Source::File { name: path.display().to_string(), line };
        ConfigErrors(vec![ConfigError { source, key: String::new(), problem }])
    };
    let bytes = fs::read(path).map_err(|error| {
        fail(None, format!("cannot be read: {error}; check the path and its permissions"))
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let good = error.as_bytes().iter().take(error.utf8_error().valid_up_to());
        let line = good.filter(|byte| **byte == b'\n').count() + 1;
        fail(Some(line), "is not UTF-8; save it as UTF-8 text".to_owned())
    })
}

/// A key that stands alone in a file.
pub(super) fn secret(path: &Path) -> Result<Secret, String> {
    let shown = path.display();
    let text = fs::read_to_string(path)
        .map_err(|error| format!("{shown} cannot be read: {error}; check the path and its permissions"))?;
    let key = text.trim();
    if key.len() < SHORTEST_SECRET {
        return Err(format!(
            "{shown} holds {} characters, a key has at least {SHORTEST_SECRET}; write a long random one",
            key.len()
        ));
    }
    Ok(Secret(key.to_owned()))
}

/// Names and texts of a directory's `*.toml`, in order of names, so that every start sees them alike.
pub(super) fn campaigns(
    folder: &Path,
    key: &str,
    source: &Source,
    problems: &mut Vec<ConfigError>,
) -> Vec<(String, String)> {
    let paths = toml_files(folder).unwrap_or_else(|error| {
        let problem = format!(
            "the directory {} cannot be read: {error}; create it, or say with campaigns where it is",
            folder.display()
        );
        problems.push(ConfigError { source: source.clone(), key: key.to_owned(), problem });
        Vec::new()
    });
    let mut files = Vec::new();
    for path in paths {
        match text(&path) {
            Ok(text) => files.push((path.display().to_string(), text)),
            Err(errors) => problems.extend(errors.0),
        }
    }
    files
}

fn toml_files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
