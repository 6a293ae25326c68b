//! One key of notices' tokens for all nodes: the first node's, which those that come later find in a table beside the log.
//!
//! Whoever can write that log can settle money as he likes, so it is no worse a place for the key than for what the key guards. Who
//! would rather keep it elsewhere sets `token_key_file`.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc::channel;
use std::thread::sleep;
use std::time::Duration;

use haggle_actors::backbone::{Log, LogError, Table};

/// The key's name in the table.
const NAME: &str = "token.key";
/// How long a first key is left to whoever came first at the same time.
const SETTLE: Duration = Duration::from_secs(2);

/// Why nodes have no key in common.
#[derive(Debug, thiserror::Error)]
pub enum SharedKeyError {
    /// The log does not answer.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The file cannot be read or written.
    #[error("the token key {path} cannot be read or written ({error})")]
    File {
        /// Which file.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// This node has another key than the others.
    #[error(
        "the token key {path} is not the one that the other nodes have, so they would refuse each other's notices; give all nodes the \
         same file by token_key_file, or, if no notices of this node's bids are still to come, delete it"
    )]
    Other {
        /// Which file.
        path: String,
    },
}

/// Makes the file at `path` the key that all nodes have: theirs, or where there is none `make`s one and gives it to them. Blocks.
pub fn share_key(
    log: &dyn Log,
    path: &Path,
    make: impl FnOnce() -> Result<(), String>,
) -> Result<(), SharedKeyError> {
    let failed = |error: io::Error| SharedKeyError::File { path: path.display().to_string(), error };
    let common = || Ok::<_, SharedKeyError>(log.kept(Table::Keys)?.remove(NAME));
    let own = match fs::read(path) {
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed(error)),
    };
    match (common()?, own) {
        (Some(common), Some(own)) if common == own => Ok(()),
        (Some(_), Some(_)) => Err(SharedKeyError::Other { path: path.display().to_string() }),
        (Some(common), None) => write(path, &common).map_err(failed),
        (None, own) => {
            let had_one = own.is_some();
            if !had_one {
                make().map_err(|why| failed(io::Error::other(why)))?;
            }
            let own = fs::read(path).map_err(failed)?;
            let (sender, kept) = channel();
            // The receiver waits.
            log.keep(Table::Keys, NAME, &own, Box::new(move |result| sender.send(result).unwrap_or(())))?;
            kept.recv().unwrap_or(Err(LogError::Closed))?;
            sleep(SETTLE);
            match common()? {
                Some(common) if common != own && had_one => {
                    Err(SharedKeyError::Other { path: path.display().to_string() })
                }
                Some(common) if common != own => write(path, &common).map_err(failed),
                _ => Ok(()),
            }
        }
    }
}

/// Written aside, synced, then renamed: a crash leaves the whole key or none. For its owner's eyes alone.
pub(super) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    path.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use haggle_actors::backbone::MemoryCluster;

    use super::*;

    #[test]
    fn whoever_comes_later_has_the_first_ones_key() {
        let cluster = MemoryCluster::new(1);
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let first = path("first");
        share_key(&cluster.connect(), &first, || {
            fs::write(&first, b"a key").map_err(|error| error.to_string())
        })
        .unwrap();
        let second = path("second");
        share_key(&cluster.connect(), &second, || Err("there is one".into())).unwrap();
        assert_eq!(fs::read(&second).unwrap(), b"a key");
        share_key(&cluster.connect(), &second, || Err("there is one".into())).unwrap();
        let third = path("third");
        fs::write(&third, b"another").unwrap();
        let refused = share_key(&cluster.connect(), &third, || Ok(())).unwrap_err().to_string();
        assert!(refused.contains("token_key_file"), "{refused}");
        assert_eq!(fs::read(&third).unwrap(), b"another");
    }
}
