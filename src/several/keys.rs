//! One key of notices' tokens for all nodes: the first node's, which those that come later find in a table beside the log.
//!
//! Of two nodes that are the first at once, the one whose key the table has at a lower place was. The other takes that key and puts it
//! back, since in the end the broker keeps the latest alone.
//!
//! Whoever can write that log can settle money as he likes, so it is no worse a place for the key than for what the key guards. Who
//! would rather keep it elsewhere sets `token_key_file`.

use std::fs;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::mpsc::channel;
use std::thread::sleep;
use std::time::Duration;

use haggle_actors::backbone::{Kept, Log, LogError, Table};

/// The key's name in the table.
const NAME: &str = "token.key";
/// How long it is waited for a key that another node puts there at the same time.
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
    let own = match fs::read(path) {
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed(error)),
    };
    match (common(log)?, own) {
        (Some(common), Some(own)) if common == own => Ok(()),
        (Some(_), Some(_)) => Err(SharedKeyError::Other { path: path.display().to_string() }),
        (Some(common), None) => write(path, &common).map_err(failed),
        (None, own) => {
            let had_one = own.is_some();
            if !had_one {
                make().map_err(|why| failed(io::Error::other(why)))?;
            }
            let own = fs::read(path).map_err(failed)?;
            put(log, &own)?;
            sleep(SETTLE);
            match common(log)? {
                Some(common) if common != own && had_one => {
                    Err(SharedKeyError::Other { path: path.display().to_string() })
                }
                Some(common) if common != own => write(path, &common).map_err(failed),
                _ => Ok(()),
            }
        }
    }
}

/// The key that all nodes have, if there is one. Where another was put after it, it is put there again.
fn common(log: &dyn Log) -> Result<Option<Vec<u8>>, LogError> {
    let (mut first, mut latest) = (None, None);
    log.changes(Table::Keys, 0, &mut |Kept { name, bytes, .. }| {
        if name == NAME {
            latest = bytes.map(<[u8]>::to_vec);
            // One that was forgotten is nobody's.
            first = latest.clone().and_then(|latest| first.take().or(Some(latest)));
        }
        ControlFlow::Continue(())
    })?;
    if let Some(first) = first.as_ref().filter(|_| first != latest) {
        put(log, first)?;
    }
    Ok(first)
}

fn put(log: &dyn Log, key: &[u8]) -> Result<(), LogError> {
    let (sender, kept) = channel();
    // The receiver waits.
    log.keep(Table::Keys, NAME, key, Box::new(move |result| sender.send(result).unwrap_or(())))?;
    kept.recv().unwrap_or(Err(LogError::Closed))
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

    /// The second looks before the first's key is there, and puts its own after it.
    #[test]
    fn of_two_first_nodes_at_once_both_have_the_key_that_was_first() {
        let cluster = MemoryCluster::new(1);
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("first"), folder.path().join("second"));
        let start = |path: &Path, key: &'static str, meanwhile: &dyn Fn()| {
            let make = || {
                meanwhile();
                fs::write(path, key).map_err(|error| error.to_string())
            };
            share_key(&cluster.connect(), path, make).unwrap();
        };
        start(&second, "late", &|| start(&first, "early", &|| ()));
        assert_eq!(
            (fs::read(&first).unwrap(), fs::read(&second).unwrap()),
            (b"early".into(), b"early".into())
        );
        // And it is what remains, also if the other died before it could put it back.
        let latest = || cluster.connect().kept(Table::Keys).unwrap()[NAME].clone();
        assert_eq!(latest(), b"early");
        put(&cluster.connect(), b"late").unwrap();
        start(&first, "another", &|| ());
        assert_eq!(latest(), b"early");
    }

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
