//! Campaigns that are changed on one node are changed on all.
//!
//! A change lies in a table beside the log, whose order is the same for all: of two changes of one campaign the later one there holds. Each
//! node follows the table, and remembers up to which place it has taken changes over: so a node that was away makes up for them, and
//! what an operator writes into files himself is left alone.

use std::collections::HashMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use haggle_actors::backbone::{Kept, LogError, Table};
use haggle_actors::journal::Journal;
use haggle_domain::Timestamp;
use tokio::sync::{MutexGuard, oneshot};

use super::Several;
use crate::campaigns::{ChangeError, Changes};
use crate::small_file;

/// How often the table is looked at.
const TURN: Duration = Duration::from_secs(5);
/// How long a change may take to be kept there.
const PATIENCE: Duration = Duration::from_secs(5);
/// What a removed campaign's definition is.
const REMOVED: &str = "";

/// Up to which place of the table changes were taken over.
pub struct Definitions {
    path: PathBuf,
    next: Mutex<u64>,
    /// What this node has told and not read yet, by campaigns' ids: it needs not be taken over.
    told: Mutex<HashMap<String, Vec<u8>>>,
    /// Held while a change is made here and told, and while others' are taken over.
    turn: tokio::sync::Mutex<()>,
}

impl Definitions {
    /// What a node remembers of them in its data folder.
    pub fn open(path: PathBuf) -> std::io::Result<Self> {
        let next = match fs::read_to_string(&path) {
            Ok(text) => text.trim().parse().map_err(std::io::Error::other)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        Ok(Self { path, next: Mutex::new(next), told: Mutex::default(), turn: tokio::sync::Mutex::default() })
    }

    fn next(&self) -> u64 {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything below a place is taken over. Forgotten by a crash, it is taken over once more, which changes nothing.
    fn go_on_from(&self, place: u64) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        if *next == place {
            return;
        }
        *next = place;
        if let Err(error) = small_file::replace(&self.path, place.to_string().as_bytes()) {
            tracing::warn!(path = %self.path.display(), %error, "it cannot be noted which changes were taken over");
        }
    }

    fn told(&self) -> std::sync::MutexGuard<'_, HashMap<String, Vec<u8>>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time of a change, and the document; empty where the campaign was removed.
fn decode(bytes: &[u8]) -> Option<(Timestamp, &str)> {
    let (at, text) = bytes.split_first_chunk()?;
    Some((Timestamp(i64::from_be_bytes(*at)), std::str::from_utf8(text).ok()?))
}

fn encode(at: Timestamp, text: &str) -> Vec<u8> {
    [&at.0.to_be_bytes(), text.as_bytes()].concat()
}

impl Several {
    /// Keeps others' changes from being taken over until it is dropped: so what is done here and told is one.
    pub async fn changing(&self) -> MutexGuard<'_, ()> {
        self.definitions.turn.lock().await
    }

    /// Tells other nodes of a campaign's definition, or that it was removed. Returns once that is kept, or after some seconds: then
    /// it may be kept later. By whoever holds [`Several::changing`].
    pub async fn define(&self, id: &str, text: Option<&str>) -> Result<(), LogError> {
        let (done, kept) = oneshot::channel();
        let on_kept = Box::new(move |result| {
            // Whoever waited has gone.
            let _ = done.send(result);
        });
        let bytes = encode(self.clock.now(), text.unwrap_or(REMOVED));
        self.definitions.told().insert(id.to_owned(), bytes.clone());
        self.journal.log().keep(Table::Campaigns, id, &bytes, on_kept)?;
        match tokio::time::timeout(PATIENCE, kept).await {
            Ok(kept) => kept.unwrap_or(Err(LogError::Closed)),
            Err(_) => Err(LogError::Full),
        }
    }

    /// Takes over what other nodes were told, until the journal ends.
    pub async fn follow_definitions(self: Arc<Self>, changes: Arc<Changes>) {
        while self.journal.failure().is_none() {
            let turn = self.changing().await;
            let (log, from) = (Arc::clone(self.journal.log()), self.definitions.next());
            let read = tokio::task::spawn_blocking(move || {
                // Of each campaign the latest.
                let mut latest: HashMap<String, (u64, Vec<u8>)> = HashMap::new();
                let next = log.changes(Table::Campaigns, from, &mut |Kept { offset, name, bytes }| {
                    if let Some(bytes) = bytes {
                        latest.insert(name.to_owned(), (offset, bytes.to_vec()));
                    }
                    ControlFlow::Continue(())
                });
                next.map(|next| (latest, next))
            });
            match read.await {
                // It is another table, made anew.
                Ok(Ok((_, next))) if next < from => self.definitions.go_on_from(0),
                Ok(Ok((latest, next))) => {
                    let change = async |id: String, text: Option<String>| {
                        changes.take_over(&id, text.as_deref()).await
                    };
                    self.definitions.take_over(latest, next, change).await;
                }
                Ok(Err(error)) => tracing::debug!(%error, "the table of campaigns cannot be read now"),
                Err(_) => return,
            }
            drop(turn);
            tokio::time::sleep(TURN).await;
        }
    }
}

impl Definitions {
    /// Makes changes in the order of the table; of each campaign there is one, the latest, and everything below `next` was read. Where
    /// one cannot be made now, it and those after it are tried again the next time.
    async fn take_over(
        &self,
        latest: HashMap<String, (u64, Vec<u8>)>,
        next: u64,
        change: impl AsyncFn(String, Option<String>) -> Result<(), ChangeError>,
    ) {
        let mut latest: Vec<_> = latest.into_iter().map(|(id, (place, bytes))| (place, id, bytes)).collect();
        latest.sort_unstable();
        for (place, id, bytes) in latest {
            self.go_on_from(place);
            let Some((_, text)) = decode(&bytes) else {
                tracing::error!(
                    campaign = id,
                    place,
                    "its definition in the table of campaigns cannot be read"
                );
                continue;
            };
            // Whether it was this node's or another's, what was told before lies before it, or will come after it.
            if self.told().remove(&id).as_ref() == Some(&bytes) {
                continue;
            }
            let text = (text != REMOVED).then(|| text.to_owned());
            match change(id.clone(), text).await {
                Ok(()) => tracing::info!(campaign = id, "changed as on another node"),
                Err(ChangeError::Busy) => return,
                Err(error @ ChangeError::File { .. }) => {
                    tracing::error!(
                        campaign = id, %error,
                        "cannot be changed as on another node; it is tried again, and other changes wait for it"
                    );
                    return;
                }
                Err(error) => tracing::error!(campaign = id, %error, "cannot be changed as on another node"),
            }
        }
        self.go_on_from(next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_changes_were_taken_over_is_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("definitions-seen");
        let definitions = Definitions::open(path.clone()).unwrap();
        assert_eq!(definitions.next(), 0);
        definitions.go_on_from(7);
        assert_eq!(Definitions::open(path.clone()).unwrap().next(), 7);
        definitions.go_on_from(0);
        assert_eq!(Definitions::open(path.clone()).unwrap().next(), 0, "a table that was made anew");
        fs::write(&path, "soon").unwrap();
        assert!(Definitions::open(path).is_err());
    }

    /// What a node made of the table's places, each a campaign's definition by a node and its time. Gives what it has in the end.
    fn taken_over(definitions: &Definitions, reads: &[&[(u64, Vec<u8>)]]) -> String {
        let has = Mutex::new(String::new());
        let change = async |_, text: Option<String>| {
            *has.lock().unwrap() = text.unwrap_or_default();
            Ok(())
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for read in reads {
            let (place, bytes) = read.last().unwrap().clone();
            let latest = HashMap::from([("boots".to_owned(), (place, bytes))]);
            runtime.block_on(definitions.take_over(latest, place + 1, &change));
        }
        has.into_inner().unwrap()
    }

    #[test]
    fn of_two_changes_at_once_the_later_in_the_table_holds_also_where_it_was_told() {
        let folder = tempfile::tempdir().unwrap();
        let definitions = Definitions::open(folder.path().join("definitions-seen")).unwrap();
        let (own, others) = (encode(Timestamp(1), "own"), encode(Timestamp(2), "other's"));
        // Told here first, and kept after the other's, which was read meanwhile.
        definitions.told().insert("boots".to_owned(), own.clone());
        let reads: [&[_]; 2] = [&[(9, others.clone())], &[(10, own.clone())]];
        assert_eq!(taken_over(&definitions, &reads), "own");
        // Read at once it is what the node has already.
        definitions.told().insert("boots".to_owned(), own.clone());
        assert_eq!(taken_over(&definitions, &[&[(11, others), (12, own)]]), "");
    }

    #[test]
    fn a_change_that_cannot_be_written_is_made_once_it_can() {
        let folder = tempfile::tempdir().unwrap();
        let definitions = Definitions::open(folder.path().join("definitions-seen")).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let latest = || {
            let of = |place: u64| (place, encode(Timestamp(1), "text"));
            HashMap::from([("boots".to_owned(), of(3)), ("socks".to_owned(), of(4))])
        };
        let full = async |_, _| {
            let error = std::io::Error::from(std::io::ErrorKind::StorageFull);
            Err(ChangeError::File { path: "boots.toml".into(), error })
        };
        runtime.block_on(definitions.take_over(latest(), 5, full));
        assert_eq!(definitions.next(), 3, "it is read again");
        let made = Mutex::new(Vec::new());
        let change = async |id, _| {
            made.lock().unwrap().push(id);
            Ok(())
        };
        runtime.block_on(definitions.take_over(latest(), 5, change));
        assert_eq!(
            (made.into_inner().unwrap(), definitions.next()),
            (vec!["boots".into(), "socks".into()], 5)
        );
    }

    #[test]
    fn a_definition_comes_back_with_its_time() {
        assert_eq!(decode(&encode(Timestamp(-3), "id = \"boots\"")), Some((Timestamp(-3), "id = \"boots\"")));
        assert_eq!(decode(&encode(Timestamp(9), REMOVED)), Some((Timestamp(9), REMOVED)));
        assert_eq!(decode(&[1, 2, 3]), None);
        assert_eq!(decode(&[0, 0, 0, 0, 0, 0, 0, 0, 0xff]), None);
    }
}
