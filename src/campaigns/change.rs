//! Changing campaigns while the node runs.
//!
//! Each change is checked in full, made durable (the file, or the journal), handed to the campaign's actor, and then shown to
//! bids by replacing the snapshot. Bids go on meanwhile with what they had. One change is made at a time.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use actix::Handler;
use actix::dev::ToEnvelope;
use arc_swap::ArcSwap;
use haggle_actors::books::Books;
use haggle_actors::campaign::{CampaignActor, Pause, Redefine, checkpoint_name};
use haggle_domain::{Campaign, CampaignKey};
use haggle_strategies::{Entry, Snapshot};
use serde::Serialize;
use tokio::sync::{Mutex, oneshot};

use super::file::{self, Held};
use super::roster::{CampaignHandle, Roster};
use super::start::{Starter, Starting};
use crate::clock::monotonic;
use crate::config::{self, ConfigErrors, Nameable};
use crate::several::Several;

/// How long an actor is asked again that has no room, or is just starting.
const PATIENCE: Duration = Duration::from_secs(5);
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// There is no such campaign.
    #[error("no campaign of that id is configured; /campaigns lists them")]
    Unknown,
    /// What is to become of it is not a valid campaign.
    #[error("{0}")]
    Invalid(ConfigErrors),
    /// The document is of another campaign than the address.
    #[error("the document's id is {found:?}, the address's {wanted:?}; make them the same")]
    OtherId {
        /// The document's.
        found: String,
        /// The address's.
        wanted: String,
    },
    /// The document holds more than one campaign.
    #[error("the document holds {0} campaigns; send each by itself")]
    Several(usize),
    /// Its file is not its own.
    #[error("{id} does not stand alone in {file}; change the file that it is in, and reload")]
    NotItsOwnFile {
        /// Which campaign.
        id: String,
        /// The file that would be its own.
        file: String,
    },
    /// The ids differ in letters' case only.
    #[error("{0:?} is a campaign already, and letters' case is ignored; use that id")]
    OtherCase(String),
    /// The campaigns are those inside the program.
    #[error("the campaigns are built in; set `campaigns` to a directory, and there they can be changed")]
    BuiltIn,
    /// The folder cannot be read or written.
    #[error("{path}: {error}; check the directory's permissions and room")]
    File {
        /// Which file.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// It is done on this node; the others could not be told.
    #[error("done on this node, but the others could not be told ({why}); send it again")]
    OthersUntold {
        /// Why.
        why: String,
    },
    /// Its actor, or the journal, has no room.
    #[error("the campaign's actor has no room now; send it again")]
    Busy,
}

/// What a reload did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// New campaigns.
    pub added: usize,
    /// Campaigns that are not what they were.
    pub changed: usize,
    /// Campaigns that are in no file any more.
    pub removed: usize,
    /// The rest.
    pub unchanged: usize,
}

/// Makes changes.
pub struct Changes {
    starter: Starter,
    snapshot: Arc<ArcSwap<Snapshot>>,
    roster: Arc<Roster>,
    nameable: Arc<Nameable>,
    /// None where the campaigns are built in.
    folder: Option<PathBuf>,
    /// The other nodes that bid for them, if there are any.
    several: Option<Arc<Several>>,
    one_at_a_time: Mutex<()>,
}

impl Changes {
    /// For a node whose campaigns stand in `folder`.
    pub fn new(
        starter: Starter,
        snapshot: Arc<ArcSwap<Snapshot>>,
        roster: Arc<Roster>,
        nameable: Arc<Nameable>,
        folder: Option<PathBuf>,
        several: Option<Arc<Several>>,
    ) -> Self {
        Self { starter, snapshot, roster, nameable, folder, several, one_at_a_time: Mutex::default() }
    }

    /// How many actors cannot be started again in this process.
    pub fn gone(&self) -> u32 {
        self.starter.gone()
    }

    /// Starts the campaigns that the node begins with.
    pub async fn begin(&self, campaigns: Vec<Starting>) -> Result<(), ChangeError> {
        let entries: Vec<_> =
            campaigns.iter().map(|it| (Arc::clone(&it.campaign), Arc::clone(&it.live))).collect();
        let handles = self.starter.start(campaigns).await.ok_or(ChangeError::Busy)?;
        match &self.several {
            // Which of them start here the others decide, too.
            Some(several) => {
                entries.iter().for_each(|(campaign, live)| several.purses().enter(campaign, live));
            }
            None => self.roster.await_start(&handles),
        }
        self.roster.extend(handles);
        Ok(())
    }

    /// Starts actors of campaigns that are not configured any more, to settle what is open, where they have none.
    pub async fn settle_only(&self, ids: &[String]) -> Result<(), ChangeError> {
        if ids.is_empty() {
            return Ok(());
        }
        // Nobody starts another actor of the same campaign meanwhile.
        let _turn = self.one_at_a_time.lock().await;
        let starting = ids.iter().filter(|id| self.roster.named(id).is_none()).map(|id| {
            tracing::warn!(campaign = id, "not configured any more; settling its open bids");
            let Entry { campaign, live, .. } = Entry::new(Arc::new(Campaign::named(id)));
            Starting { campaign, live, retired: true, books: None }
        });
        let handles = self.starter.start(starting.collect()).await.ok_or(ChangeError::Busy)?;
        self.roster.extend(handles);
        Ok(())
    }

    /// Adds a campaign, or changes it; whether it is new. Where there are other nodes, they are told.
    pub async fn put(&self, id: &str, text: String) -> Result<bool, ChangeError> {
        let _alone = self.alone().await;
        let new = self.put_here(id, text.clone(), false).await?;
        self.tell_others(id, Some(&text)).await?;
        Ok(new)
    }

    /// Does what was done on another node.
    pub async fn take_over(&self, id: &str, text: Option<&str>) -> Result<(), ChangeError> {
        match text {
            Some(text) => self.put_here(id, text.to_owned(), true).await.map(|_| ()),
            None => match self.remove_here(id, true).await {
                Err(ChangeError::Unknown) => Ok(()),
                removed => removed,
            },
        }
    }

    /// Nothing is taken over from other nodes meanwhile.
    async fn alone(&self) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        match &self.several {
            Some(several) => Some(several.changing().await),
            None => None,
        }
    }

    async fn tell_others(&self, id: &str, text: Option<&str>) -> Result<(), ChangeError> {
        let Some(several) = &self.several else { return Ok(()) };
        several.define(id, text).await.map_err(|error| ChangeError::OthersUntold { why: error.to_string() })
    }

    /// `follows`: it was done on another node, whose folder may be this one's, too.
    async fn put_here(&self, id: &str, text: String, follows: bool) -> Result<bool, ChangeError> {
        let mut read = config::campaigns_of(&format!("{id}.toml"), &text, &self.nameable)
            .map_err(ChangeError::Invalid)?;
        let campaign = match (read.pop(), read.len()) {
            (Some(campaign), 0) => campaign,
            (_, others) => return Err(ChangeError::Several(others + 1)),
        };
        if campaign.id != id {
            return Err(ChangeError::OtherId { found: campaign.id, wanted: id.to_owned() });
        }
        let _turn = self.one_at_a_time.lock().await;
        self.same_case(&campaign)?;
        let is_known = self.configured(campaign.key).is_some();
        // Where it bids no more although it is configured, a removal or a change was cut short.
        let bids = self.snapshot.load().catalog.get(campaign.key).is_some();
        self.with_file(id, move |path, held| match held {
            Held::Alone => file::write(path, &text).map(Ok),
            Held::Nothing if follows || !is_known || !bids => file::write(path, &text).map(Ok),
            Held::Nothing | Held::Others => Ok(Err(())),
        })
        .await?;
        self.apply(Arc::new(campaign)).await?;
        Ok(!is_known)
    }

    /// Removes a campaign: it bids no more, and settles what is open. Where there are other nodes, they are told.
    pub async fn remove(&self, id: &str) -> Result<(), ChangeError> {
        let _alone = self.alone().await;
        self.remove_here(id, false).await?;
        self.tell_others(id, None).await
    }

    async fn remove_here(&self, id: &str, follows: bool) -> Result<(), ChangeError> {
        let _turn = self.one_at_a_time.lock().await;
        let handle = self.roster.named(id).filter(|handle| !handle.is_retired() && *handle.id == *id);
        let handle = handle.ok_or(ChangeError::Unknown)?;
        let bids = self.snapshot.load().catalog.get(handle.key).is_some();
        self.with_file(id, move |path, held| match held {
            Held::Alone => file::remove(path).map(Ok),
            // Its actor had no room when it was removed before.
            Held::Nothing if follows || !bids => Ok(Ok(())),
            Held::Nothing | Held::Others => Ok(Err(())),
        })
        .await?;
        self.retire(&handle).await
    }

    /// Has a campaign stop bidding, or begin again. Survives restarts. Waits for no other change: it is what is called for when
    /// something goes wrong, and its actor takes one thing at a time anyway.
    pub async fn pause(&self, id: &str, paused: bool) -> Result<(), ChangeError> {
        let handle = self.roster.named(id).filter(|handle| !handle.is_retired());
        let handle = handle.ok_or(ChangeError::Unknown)?;
        if let Some(several) = &self.several {
            return several.pause(handle.key, paused).await.ok_or(ChangeError::Busy);
        }
        ask(&handle, |done| Pause { paused, done }).await
    }

    /// Makes the campaigns what the folder says now. If anything in it is wrong, nothing is changed.
    pub async fn reload(&self) -> Result<Summary, ChangeError> {
        let _turn = self.one_at_a_time.lock().await;
        let folder = self.folder.clone().ok_or(ChangeError::BuiltIn)?;
        let nameable = Arc::clone(&self.nameable);
        let read = tokio::task::spawn_blocking(move || config::campaigns_in(&folder, &nameable)).await;
        let campaigns = read.map_err(|_| ChangeError::Busy)?.map_err(ChangeError::Invalid)?;
        campaigns.iter().try_for_each(|campaign| self.same_case(campaign))?;
        let before = self.snapshot.load_full();
        let mut summary = Summary::default();
        let kept: HashSet<CampaignKey> = campaigns.iter().map(|campaign| campaign.key).collect();
        for campaign in campaigns {
            match before.catalog.get(campaign.key) {
                Some(entry) if *entry.campaign == campaign => {
                    summary.unchanged += 1;
                    continue;
                }
                Some(_) => summary.changed += 1,
                None => summary.added += 1,
            }
            self.apply(Arc::new(campaign)).await?;
        }
        // Those, too, whose removal was cut short.
        let gone = |handle: &&Arc<CampaignHandle>| !handle.is_retired() && !kept.contains(&handle.key);
        for handle in self.roster.all().iter().filter(gone) {
            self.retire(handle).await?;
            summary.removed += 1;
        }
        Ok(summary)
    }

    /// An id is never taken in other letters' case than before, by campaigns that were removed either.
    fn same_case(&self, campaign: &Campaign) -> Result<(), ChangeError> {
        match self.roster.get(campaign.key) {
            Some(known) if *known.id != *campaign.id => Err(ChangeError::OtherCase(known.id.to_string())),
            _ => Ok(()),
        }
    }

    fn configured(&self, key: CampaignKey) -> Option<Arc<CampaignHandle>> {
        self.roster.get(key).filter(|handle| !handle.is_retired())
    }

    /// Does something with the file that is a campaign's own; `Err(())` of `act` says that it is not.
    async fn with_file(
        &self,
        id: &str,
        act: impl FnOnce(&Path, Held) -> std::io::Result<Result<(), ()>> + Send + 'static,
    ) -> Result<(), ChangeError> {
        let path = file::path(self.folder.as_deref().ok_or(ChangeError::BuiltIn)?, id);
        let shown = path.display().to_string();
        let (nameable, of) = (Arc::clone(&self.nameable), id.to_owned());
        let done = tokio::task::spawn_blocking(move || act(&path, file::held(&path, &of, &nameable)?)).await;
        match done.map_err(|_| ChangeError::Busy)? {
            Ok(Ok(())) => Ok(()),
            Ok(Err(())) => Err(ChangeError::NotItsOwnFile { id: id.to_owned(), file: shown }),
            Err(error) => Err(ChangeError::File { path: shown, error }),
        }
    }

    /// A definition takes effect.
    async fn apply(&self, campaign: Arc<Campaign>) -> Result<(), ChangeError> {
        let handle = match self.roster.get(campaign.key) {
            Some(handle) => {
                ask(&handle, |done| Redefine { campaign: Arc::clone(&campaign), done }).await?;
                handle.retired.store(false, std::sync::atomic::Ordering::Relaxed);
                handle
            }
            None => self.start(&campaign).await?,
        };
        if let Some(several) = &self.several {
            several.purses().enter(&campaign, &handle.live);
        }
        self.snapshot.rcu(|old| old.with(Entry::with_live(Arc::clone(&campaign), Arc::clone(&handle.live))));
        // Bids on the old snapshot may have noted the old hours meanwhile.
        handle.live.forget_hours();
        Ok(())
    }

    /// Starts the actor of a campaign that has none in this process. The journal may know it from before.
    async fn start(&self, campaign: &Arc<Campaign>) -> Result<Arc<CampaignHandle>, ChangeError> {
        let (journal, name) = (Arc::clone(self.starter.journal()), checkpoint_name(campaign.key));
        let known = tokio::task::spawn_blocking(move || journal.checkpoint(&name)).await;
        // Every campaign that was ever started has a checkpoint. One of several nodes' gets its books when it becomes this node's.
        let books = match known {
            _ if self.starter.is_one_of_several() => None,
            Ok(Ok(None)) => Some(Books::default()),
            Ok(Ok(Some(_))) => None,
            Ok(Err(_)) | Err(_) => return Err(ChangeError::Busy),
        };
        let live = Entry::new(Arc::clone(campaign)).live;
        let starting = Starting { campaign: Arc::clone(campaign), live, retired: false, books };
        let started = self.starter.start(vec![starting]).await.and_then(|mut handles| handles.pop());
        let handle = started.ok_or(ChangeError::Busy)?;
        self.roster.extend(vec![Arc::clone(&handle)]);
        Ok(handle)
    }

    async fn retire(&self, handle: &CampaignHandle) -> Result<(), ChangeError> {
        self.snapshot.rcu(|old| old.without(handle.key));
        let campaign = Arc::new(Campaign::named(&handle.id));
        ask(handle, |done| Redefine { campaign: Arc::clone(&campaign), done }).await?;
        handle.retired.store(true, std::sync::atomic::Ordering::Relaxed);
        Ok(())
    }
}

/// Sends a change to an actor and waits until it is durable.
async fn ask<M>(
    handle: &CampaignHandle,
    message: impl Fn(oneshot::Sender<()>) -> M,
) -> Result<(), ChangeError>
where
    M: actix::Message<Result = ()> + Send + 'static,
    CampaignActor: Handler<M>,
    actix::Context<CampaignActor>: ToEnvelope<CampaignActor, M>,
{
    let until = monotonic() + PATIENCE;
    while monotonic() < until && !handle.supervision().is_gone() {
        let (done, answer) = oneshot::channel();
        let sent = handle.address.try_send(message(done)).is_ok();
        if sent
            && matches!(
                tokio::time::timeout(until.saturating_duration_since(monotonic()), answer).await,
                Ok(Ok(()))
            )
        {
            return Ok(());
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
    Err(ChangeError::Busy)
}
