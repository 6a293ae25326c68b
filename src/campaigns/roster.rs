//! Which campaigns there are, and where their actors are.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use actix::Addr;
use haggle_actors::campaign::{CampaignActor, CampaignReport, CampaignShown};
use haggle_actors::supervisor::Supervision;
use haggle_domain::CampaignKey;
use haggle_strategies::CampaignLive;

/// One campaign's actor, from outside.
#[derive(Debug)]
pub struct CampaignHandle {
    /// The configured id.
    pub id: Box<str>,
    /// The stable hash of the id.
    pub key: CampaignKey,
    /// Its mailbox.
    pub address: Arc<Addr<CampaignActor>>,
    /// Where bids see it.
    pub live: Arc<CampaignLive>,
    pub(super) shown: Arc<CampaignShown>,
    /// It is not configured any more, and only settles what is open.
    pub(super) retired: AtomicBool,
    mailbox_full: AtomicU64,
}

impl CampaignHandle {
    pub(super) fn new(
        id: &str,
        address: Arc<Addr<CampaignActor>>,
        live: Arc<CampaignLive>,
        shown: Arc<CampaignShown>,
        retired: bool,
    ) -> Self {
        Self {
            id: id.into(),
            key: CampaignKey::of(id),
            address,
            live,
            shown,
            retired: AtomicBool::new(retired),
            mailbox_full: AtomicU64::new(0),
        }
    }

    /// What it shows; none until it has started.
    pub fn report(&self) -> Option<Arc<CampaignReport>> {
        self.shown.report.load_full()
    }

    /// What supervision knows of it.
    pub fn supervision(&self) -> &Supervision {
        &self.shown.supervision
    }

    /// Whether it is not configured any more, and only settles what is open.
    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    /// A message was turned away because its mailbox was full.
    pub fn turned_away(&self) {
        self.mailbox_full.fetch_add(1, Ordering::Relaxed);
    }

    /// How many messages were.
    pub fn mailbox_full(&self) -> u64 {
        self.mailbox_full.load(Ordering::Relaxed)
    }
}

/// All of them, those that have been removed too: their actors stay until the node stops. Looked into by notices and the
/// admin port, never by a bid.
#[derive(Debug, Default)]
pub struct Roster {
    inner: RwLock<Inner>,
    /// Those of which nobody has seen yet that they have started.
    starting: Mutex<Vec<Arc<CampaignHandle>>>,
}

#[derive(Debug, Default)]
struct Inner {
    all: Vec<Arc<CampaignHandle>>,
    positions: HashMap<CampaignKey, u32>,
}

impl Roster {
    /// The node is not ready before these have started.
    pub(super) fn await_start(&self, handles: &[Arc<CampaignHandle>]) {
        self.starting.lock().unwrap_or_else(PoisonError::into_inner).extend(handles.iter().cloned());
    }

    /// Takes more in, of other keys than those it has.
    pub(super) fn extend(&self, handles: Vec<Arc<CampaignHandle>>) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        inner.all.reserve_exact(handles.len());
        inner.positions.reserve(handles.len());
        for handle in handles {
            let position = u32::try_from(inner.all.len()).unwrap_or(u32::MAX);
            inner.positions.insert(handle.key, position);
            inner.all.push(handle);
        }
    }

    /// The one with this key.
    pub fn get(&self, key: CampaignKey) -> Option<Arc<CampaignHandle>> {
        let inner = self.read();
        inner.positions.get(&key).and_then(|position| inner.all.get(*position as usize)).cloned()
    }

    /// The one with this id; letters' case is ignored.
    pub fn named(&self, id: &str) -> Option<Arc<CampaignHandle>> {
        self.get(CampaignKey::of(id))
    }

    /// All of them, in the order in which they came.
    pub fn all(&self) -> Vec<Arc<CampaignHandle>> {
        self.read().all.clone()
    }

    /// At most `limit` of them that came after the one with the key `after`, and whether there are more. `None` where there is no
    /// such one.
    pub fn page(&self, after: Option<CampaignKey>, limit: usize) -> Option<(Vec<Arc<CampaignHandle>>, bool)> {
        let inner = self.read();
        let first = match after {
            Some(key) => *inner.positions.get(&key)? as usize + 1,
            None => 0,
        };
        let rest = inner.all.get(first..).unwrap_or_default();
        Some((rest.iter().take(limit).cloned().collect(), rest.len() > limit))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.read().all.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether every one has started. Each is looked at until it has, and then no more.
    pub fn have_started(&self) -> bool {
        let mut starting = self.starting.lock().unwrap_or_else(PoisonError::into_inner);
        while starting.pop_if(|handle| handle.shown.report.load().is_some()).is_some() {}
        if starting.is_empty() {
            starting.shrink_to_fit();
        }
        starting.is_empty()
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }
}
