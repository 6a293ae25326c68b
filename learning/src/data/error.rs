//! Why data cannot be read, and which rows were left out.

use std::fmt;
use std::io;

/// How many bad rows are told of; the others are counted.
const SHOWN: usize = 10;
/// How much of a bad value is shown.
const SHOWN_CHARS: usize = 40;

/// Why reading ended early.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The system says so.
    #[error("{file} cannot be read: {error}")]
    Io {
        /// The file.
        file: String,
        /// What the system says.
        error: io::Error,
    },
    /// The file, or what was said of it, does not make sense.
    #[error("{file}: {problem}")]
    Unusable {
        /// The file.
        file: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// More bad rows than were allowed.
    #[error("{bad}\n{}: {}", bad.file, too_many(*limit))]
    TooManyBad {
        /// The first of them.
        bad: BadRows,
        /// How many were allowed.
        limit: u64,
    },
}

fn too_many(limit: u64) -> String {
    match limit {
        0 => "no bad row is allowed here; mend it, or take it out".to_owned(),
        _ => {
            format!("more than {limit} bad rows; mend the file or the schema, or allow more with --bad-rows")
        }
    }
}

/// Rows that were left out because something in them is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BadRows {
    /// The file.
    pub file: String,
    /// Whether the file has no lines, so that rows are counted instead.
    pub by_row: bool,
    /// How many.
    pub count: u64,
    /// The first few.
    pub first: Vec<BadRow>,
}

/// A row that was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRow {
    /// Its line, or its row in a file without lines, from 1.
    pub line: u64,
    /// What is wrong, and what to do.
    pub flaw: Flaw,
}

/// What is wrong with a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// The column, if it is one's fault.
    pub column: Option<String>,
    /// What is wrong, and what to do.
    pub problem: String,
}

impl Flaw {
    /// What is wrong with a value, which is shown as far as it is not too long.
    #[cold]
    pub fn of(column: &str, value: &[u8], problem: impl fmt::Display) -> Self {
        let text = String::from_utf8_lossy(value);
        let mut shown: String = text.chars().take(SHOWN_CHARS).collect();
        if shown.len() < text.len() {
            shown.push('…');
        }
        Self { column: Some(column.to_owned()), problem: format!("{shown:?} {problem}") }
    }

    /// What is wrong with a row as a whole.
    #[cold]
    pub fn row(problem: impl Into<String>) -> Self {
        Self { column: None, problem: problem.into() }
    }
}

impl BadRows {
    /// Counts a bad row, and keeps what is wrong with it if it is one of the first.
    #[cold]
    pub fn add(&mut self, line: u64, flaw: Flaw) {
        self.count += 1;
        if self.first.len() < SHOWN {
            self.first.push(BadRow { line, flaw });
        }
    }
}

impl fmt::Display for BadRows {
    /// One line for each of the first, and one for how many more there are.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, BadRow { line, flaw: Flaw { column, problem } }) in self.first.iter().enumerate() {
            let start = if index == 0 { "" } else { "\n" };
            let place = if self.by_row { ": row " } else { ":" };
            write!(out, "{start}{}{place}{line}: ", self.file)?;
            match column {
                Some(column) => write!(out, "column `{column}`: {problem}")?,
                None => write!(out, "{problem}")?,
            }
        }
        match self.count - self.first.len() as u64 {
            0 => Ok(()),
            more => write!(out, "\nand {more} more bad rows in {}", self.file),
        }
    }
}
