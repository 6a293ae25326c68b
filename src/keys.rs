//! `haggle keys`: changes the file of the keys that notices' tokens are sealed with, while nodes run.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use haggle_domain::Timestamp;

use crate::config::span;
use crate::exit::{Exit, ExitError};
use crate::token::{KeyError, KeyFile, SETTLES};

/// What is done with the keys.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Add a key. It seals once every node has had the time to read it; what older keys have sealed still opens.
    Rotate(FileArgs),
    /// Remove keys that have sealed nothing for so long that none of their tokens can count any more.
    Prune {
        /// Which file.
        #[command(flatten)]
        file: FileArgs,
        /// For how long tokens of a key that was replaced are opened: no less than conversion_window and click_expiry of any
        /// node.
        #[arg(long, value_name = "SPAN", default_value = "35d", value_parser = span)]
        keep: Duration,
    },
    /// Show the keys' numbers and when they were made.
    List(FileArgs),
}

/// Which file.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub struct FileArgs {
    /// A node's data folder, where it has no token_key_file.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The keys' file.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

impl FileArgs {
    fn open(&self) -> KeyFile {
        let path = match (&self.file, &self.data) {
            (Some(file), _) => file.clone(),
            (None, Some(data)) => data.join("token.key"),
            (None, None) => PathBuf::from("token.key"),
        };
        KeyFile::new(path)
    }
}

/// Does it; gives what to print, which tells no key.
pub fn run(command: &KeysCommand, now: Timestamp) -> Result<String, ExitError> {
    let done = || -> Result<String, KeyError> {
        Ok(match command {
            KeysCommand::Rotate(file) => {
                format!("ok: key {} seals in {} seconds", file.open().rotate(now)?, SETTLES.as_secs())
            }
            KeysCommand::Prune { file, keep } => {
                let pruned = file.open().prune(*keep, now)?;
                format!("ok: {} keys removed", pruned.len())
            }
            KeysCommand::List(file) => {
                let mut text = String::new();
                for (id, made) in file.open().list()? {
                    let made = if made == Timestamp(0) { "earlier".to_owned() } else { made.to_string() };
                    // Writing to a string cannot fail.
                    let _ = writeln!(text, "{id:>3}  {made}");
                }
                text
            }
        })
    };
    done().map_err(|error| ExitError::new(Exit::IoFailed, error))
}
