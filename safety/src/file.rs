//! Lists as files: read whole with a bound, then line by line.

use std::fs::File;
use std::io::{Read, Take};
use std::path::{Path, PathBuf};

/// A file that is no list, and why.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("{} cannot be read: {error}; check the path and its permissions", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// It is larger than the bound.
    #[error("{} is larger than {limit} bytes; shorten it or split it up", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The bound.
        limit: u64,
    },
    /// One of its lines is wrong.
    #[error("{}:{}: {}", path.display(), error.line, error.problem)]
    Line {
        /// The file.
        path: PathBuf,
        /// The line.
        error: LineError,
    },
    /// It is in a place where only files of certain names belong.
    #[error("{} is no list that is known; name it one of {known}", path.display())]
    UnknownName {
        /// The file.
        path: PathBuf,
        /// The names.
        known: String,
    },
}

impl FileError {
    /// A line's error, with the file's path.
    pub fn at(path: &Path, error: LineError) -> Self {
        Self::Line { path: path.to_owned(), error }
    }
}

/// A line that is wrong, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct LineError {
    /// From 1.
    pub line: usize,
    /// What is wrong with it and what to do.
    pub problem: String,
}

/// Opens a file of at most `limit` bytes; what is added later is not read.
///
/// # Errors
/// Where it cannot be opened or is larger.
pub fn open(path: &Path, limit: u64) -> Result<Take<File>, FileError> {
    let fail = |error| FileError::Unreadable { path: path.to_owned(), error };
    let file = File::open(path).map_err(fail)?;
    if file.metadata().map_err(fail)?.len() > limit {
        return Err(FileError::TooLarge { path: path.to_owned(), limit });
    }
    Ok(file.take(limit))
}

/// A whole file of at most `limit` bytes.
///
/// # Errors
/// Where it cannot be read or is larger.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    let read = open(path, limit)?.read_to_end(&mut bytes);
    read.map_err(|error| FileError::Unreadable { path: path.to_owned(), error })?;
    Ok(bytes)
}

/// The lines that say something, trimmed and numbered from 1: neither empty nor a comment (`#` at their start). A byte
/// order mark is dropped, and lines may end in CR LF.
///
/// # Errors
/// The line, where it is not UTF-8.
pub fn lines(bytes: &[u8]) -> impl Iterator<Item = Result<(usize, &str), LineError>> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    bytes.split(|byte| *byte == b'\n').zip(1..).filter_map(|(bytes, line)| match std::str::from_utf8(bytes) {
        Ok(text) => Some(text.trim())
            .filter(|text| !text.is_empty() && !text.starts_with('#'))
            .map(|text| Ok((line, text))),
        Err(_) => {
            Some(Err(LineError { line, problem: "is not UTF-8; save the file as UTF-8 text".to_owned() }))
        }
    })
}

/// A line's entry without the comment behind it, which begins with white space and `#`.
pub fn without_comment(line: &str) -> &str {
    match line.match_indices('#').find(|(at, _)| line[..*at].ends_with(char::is_whitespace)) {
        Some((at, _)) => line[..at].trim_end(),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_trimmed_and_numbered() {
        let read: Vec<_> = lines(b"\xef\xbb\xbf# a list\r\n  one \r\n\r\ntwo # not one\n\xff\n").collect();
        assert_eq!(read[0], Ok((2, "one")));
        assert_eq!(read[1].clone().map(|(line, text)| (line, without_comment(text))), Ok((4, "two")));
        assert_eq!(read[2].clone().unwrap_err().line, 5);
        assert_eq!(read.len(), 3);
        assert_eq!(without_comment("id#1"), "id#1");
    }
}
