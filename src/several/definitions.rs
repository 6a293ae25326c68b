//! Campaigns that are changed on one node are changed on all.
//!
//! A change lies in a table beside the log, with its time. Each node follows the table, and remembers up to which time it has taken
//! changes over: so a node that was away makes up for them, and what an operator writes into files himself is left alone.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use haggle_actors::backbone::{LogError, Table};
use haggle_actors::journal::Journal;
use haggle_domain::Timestamp;
use tokio::sync::oneshot;

use super::Several;
use crate::campaigns::{ChangeError, Changes};

/// How often the table is looked at.
const TURN: Duration = Duration::from_secs(5);
/// What a removed campaign's definition is.
const REMOVED: &str = "";

/// Up to when changes were taken over.
pub struct Definitions {
    path: PathBuf,
    seen: Mutex<Timestamp>,
}

impl Definitions {
    /// What a node remembers of them in its data folder.
    pub fn open(path: PathBuf) -> std::io::Result<Self> {
        let seen = match fs::read_to_string(&path) {
            Ok(text) => text.trim().parse().map(Timestamp).map_err(std::io::Error::other)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Timestamp::default(),
            Err(error) => return Err(error),
        };
        Ok(Self { path, seen: Mutex::new(seen) })
    }

    fn seen(&self) -> Timestamp {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything up to a time is taken over. Forgotten by a crash, it is taken over once more, which changes nothing.
    fn see(&self, at: Timestamp) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = (*seen).max(at);
        if let Err(error) = fs::write(&self.path, seen.0.to_string()) {
            tracing::warn!(path = %self.path.display(), %error, "it cannot be noted which changes were taken over");
        }
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
    /// Tells other nodes of a campaign's definition, or that it was removed. Returns once that is kept.
    pub async fn define(&self, id: &str, text: Option<&str>) -> Result<(), LogError> {
        // Later than all that is known, whatever the clocks say.
        let at = self.clock.now().max(Timestamp(self.definitions.seen().0.saturating_add(1)));
        let (done, kept) = oneshot::channel();
        let on_kept = Box::new(move |result| {
            // Whoever waited has gone.
            let _ = done.send(result);
        });
        self.journal.log().keep(Table::Campaigns, id, &encode(at, text.unwrap_or(REMOVED)), on_kept)?;
        kept.await.unwrap_or(Err(LogError::Closed))?;
        self.definitions.see(at);
        Ok(())
    }

    /// Takes over what other nodes were told, until the journal ends.
    pub async fn follow_definitions(self: Arc<Self>, changes: Arc<Changes>) {
        while self.journal.failure().is_none() {
            let log = Arc::clone(self.journal.log());
            match tokio::task::spawn_blocking(move || log.kept(Table::Campaigns)).await {
                Ok(Ok(all)) => {
                    let seen = self.definitions.seen();
                    let read = all.iter().filter_map(|(id, bytes)| Some((decode(bytes)?, id)));
                    let mut new: Vec<_> = read.filter(|((at, _), _)| *at > seen).collect();
                    new.sort_unstable();
                    for ((at, text), id) in new {
                        match changes.take_over(id, Some(text).filter(|text| *text != REMOVED)).await {
                            Ok(()) => tracing::info!(campaign = id, "changed as on another node"),
                            Err(ChangeError::Busy) => break,
                            Err(error) => {
                                tracing::error!(campaign = id, %error, "cannot be changed as on another node");
                            }
                        }
                        self.definitions.see(at);
                    }
                }
                Ok(Err(error)) => tracing::debug!(%error, "the table of campaigns cannot be read now"),
                Err(_) => return,
            }
            tokio::time::sleep(TURN).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_remembered_and_never_less() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("definitions-seen");
        let definitions = Definitions::open(path.clone()).unwrap();
        assert_eq!(definitions.seen(), Timestamp(0));
        definitions.see(Timestamp(7));
        definitions.see(Timestamp(5));
        assert_eq!(Definitions::open(path.clone()).unwrap().seen(), Timestamp(7));
        fs::write(&path, "soon").unwrap();
        assert!(Definitions::open(path).is_err());
    }

    #[test]
    fn a_definition_comes_back_with_its_time() {
        assert_eq!(decode(&encode(Timestamp(-3), "id = \"boots\"")), Some((Timestamp(-3), "id = \"boots\"")));
        assert_eq!(decode(&encode(Timestamp(9), REMOVED)), Some((Timestamp(9), REMOVED)));
        assert_eq!(decode(&[1, 2, 3]), None);
        assert_eq!(decode(&[0, 0, 0, 0, 0, 0, 0, 0, 0xff]), None);
    }
}
