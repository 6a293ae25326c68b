//! `haggle keys`: changes the file of the keys that notices' tokens are sealed with, while nodes run.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use haggle_domain::Timestamp;

use crate::config::span;
use crate::exit::{Exit, ExitError};
use crate::several::is_copy;
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
    /// The keys, to be changed. Not those of one of several nodes in its folder: the others would not hear of it.
    fn change(&self) -> Result<KeyFile, ExitError> {
        match &self.data {
            Some(data) if is_copy(data) => Err(ExitError::new(
                Exit::Usage,
                format!(
                    "{} is of one of several nodes, and the others would refuse the notices of its bids from then on; put token.key \
                     into one file for all of them, name that as token_key_file in their configuration, start them again one by \
                     one, and change it with --file FILE (docs/several-nodes.md, \"Keys\")",
                    data.display()
                ),
            )),
            _ => Ok(self.open()),
        }
    }

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
///
/// # Errors
///
/// Keys that cannot be read or written, or are those of one of several nodes alone.
pub fn run(command: &KeysCommand, now: Timestamp) -> Result<String, ExitError> {
    let failed = |error: KeyError| ExitError::new(Exit::IoFailed, error);
    Ok(match command {
        KeysCommand::Rotate(file) => {
            let id = file.change()?.rotate(now).map_err(failed)?;
            format!("ok: key {id} seals in {} seconds", SETTLES.as_secs())
        }
        KeysCommand::Prune { file, keep } => {
            let pruned = file.change()?.prune(*keep, now).map_err(failed)?;
            format!("ok: {} keys removed", pruned.len())
        }
        KeysCommand::List(file) => {
            let mut text = String::new();
            for (id, made) in file.open().list().map_err(failed)? {
                let made = if made == Timestamp(0) { "earlier".to_owned() } else { made.to_string() };
                // Writing to a string cannot fail.
                let _ = writeln!(text, "{id:>3}  {made}");
            }
            text
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_in_the_folder_of_one_of_several_nodes_are_not_changed_for_it_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (data, now) = (folder.path().to_owned(), Timestamp(1_790_000_000_000_000));
        let key = data.join("token.key");
        std::fs::write(&key, [7; 32]).unwrap();
        std::fs::write(data.join("journal-shared"), b"").unwrap();
        let by_folder = || FileArgs { data: Some(data.clone()), file: None };
        let keep = Duration::ZERO;
        for command in [KeysCommand::Rotate(by_folder()), KeysCommand::Prune { file: by_folder(), keep }] {
            let error = run(&command, now).unwrap_err();
            assert_eq!(error.exit, Exit::Usage);
            assert!(error.message.contains("token_key_file"), "{}", error.message);
            assert_eq!(std::fs::read(&key).unwrap(), [7; 32]);
        }
        assert_eq!(run(&KeysCommand::List(by_folder()), now).unwrap(), "  0  earlier\n");
        // The file that all nodes are given may be anywhere.
        run(&KeysCommand::Rotate(FileArgs { data: None, file: Some(key) }), now).unwrap();
        std::fs::remove_file(data.join("journal-shared")).unwrap();
        run(&KeysCommand::Rotate(by_folder()), now).unwrap();
    }
}
