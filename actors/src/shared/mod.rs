//! What is known of users where several nodes share it: the part without I/O.
//!
//! Everything stands in a store that all nodes reach, one [value](value) a user. A node keeps copies for a moment, fetches a
//! user's before a bid where it has none, and goes by the copy together with its own bids that are under way. What happens to a
//! user is told by whoever sees it, once: [`Shared`] puts it in a bounded queue, and [`Writes`] makes writes of it that take
//! effect only where nobody else has written meanwhile.

mod change;
mod table;
#[cfg(test)]
mod tests;
mod value;
mod writes;

use std::collections::HashMap;
use std::collections::hash_map::Entry as Place;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender as Told;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use haggle_domain::{BehaviourKind, Decision, PrivacyKey, Tag, Timestamp, UserKey};
use haggle_strategies::frequency::{AdvertiserCaps, Caps, Mark, seconds};
use tokio::sync::mpsc::{Sender, channel};

pub use value::{HEAD, Head};
pub use writes::{Answer, Write, Writes};

use crate::items::{Items, seen};
use crate::suppression::Suppressions;
use change::Change;
use table::Table;
use value::Value;

/// No answer overtakes another by more.
const OVERTAKING: Duration = Duration::from_secs(1);

/// What a node is told to share users by.
#[derive(Clone, Copy, Debug)]
pub struct SharedOptions {
    /// Copies that are kept, at most.
    pub capacity: usize,
    /// For how long a copy is good for bids.
    pub good_for: Duration,
    /// Changes that wait to be written, at most.
    pub queue: usize,
    /// From the system's randomness, of this life of this node alone.
    pub seed: u64,
}

/// Copies of users, and what waits to be told of them.
#[derive(Debug)]
pub struct Shared {
    table: Table,
    good_for: Duration,
    /// Tells this node's marks from others': lives and nodes that draw the same byte take no harm but where they bid with the same
    /// creative for one user in one second; then one of the two bids goes uncounted until its impression.
    by: u8,
    suppressions: Arc<Suppressions>,
    changes: Sender<(PrivacyKey, Change)>,
    dropped: AtomicU64,
    crowded: AtomicU64,
    forgetting: Mutex<HashMap<PrivacyKey, Forgetting>>,
}

/// Somebody who is to be forgotten.
#[derive(Debug)]
struct Forgetting {
    /// What happened until then, in seconds since 1970.
    until: u32,
    /// Who waits for it.
    told: Option<Told<PrivacyKey>>,
}

/// The two ends: what handlers and bids see, and what writes.
pub fn shared(options: SharedOptions, suppressions: Arc<Suppressions>) -> (Arc<Shared>, Writes) {
    let (changes, queue) = channel(options.queue.max(1));
    let shared = Arc::new(Shared {
        table: Table::new(options.capacity),
        good_for: options.good_for,
        by: options.seed as u8,
        suppressions,
        changes,
        dropped: AtomicU64::new(0),
        crowded: AtomicU64::new(0),
        forgetting: Mutex::default(),
    });
    (Arc::clone(&shared), Writes::new(shared, queue, options.seed))
}

impl Shared {
    fn is_old(&self, now: Timestamp) -> impl Fn(Timestamp) -> bool {
        Self::is_before(now, self.good_for)
    }

    fn is_before(now: Timestamp, good_for: Duration) -> impl Fn(Timestamp) -> bool {
        // A clock that was put back makes nothing new again.
        move |at| at > now || now.since(at) >= good_for
    }

    /// Whether there is a copy to bid by: not older than it may be, and of a user to whom no bid is under way, since other nodes
    /// may have more of those by now.
    pub fn has_copy(&self, user: UserKey, now: Timestamp) -> bool {
        let quiet = self.table.read(PrivacyKey::of(user), |entry| entry.quiet_since(seconds(now)));
        quiet.flatten().is_some_and(|at| !self.is_old(now)(at))
    }

    /// Takes in what the store has of a user: its bytes, empty for nothing.
    pub fn met(&self, user: UserKey, bytes: &[u8], now: Timestamp) {
        self.put(PrivacyKey::of(user), Value::read(bytes), now, |_| ());
    }

    /// Takes in a copy without what is to be forgotten, and changes what is under way.
    fn put(
        &self,
        user: PrivacyKey,
        mut value: Value,
        now: Timestamp,
        settle: impl FnOnce(&mut table::Entry),
    ) {
        let until = self.suppressions.get(user).map(|suppression| match suppression.opted_out {
            true => u32::MAX,
            false => suppression.erased_until.map_or(0, seconds),
        });
        if let Some(until) = until {
            value.items.retain(|item| item.last() > until);
        }
        self.table.update(user, |entry| {
            entry.put(value, now, Self::is_before(now, self.good_for + OVERTAKING));
            settle(entry);
        });
    }

    /// All that is known of a user here: the last copy, and what this node has under way.
    pub(crate) fn known(&self, user: PrivacyKey) -> Option<Items> {
        self.table.read(user, |entry| entry.known(self.by))
    }

    /// See [`haggle_strategies::frequency::InFlight::mark`]. Judged by the last copy, whoever has fetched it.
    pub(crate) fn mark(&self, user: UserKey, caps: &Caps, creative: u16, now: Timestamp) -> bool {
        let (user, mark) = (PrivacyKey::of(user), caps.mark(creative, now));
        let allowed = self.table.update(user, |entry| {
            entry.pending.retain(|mark| mark.counts(seconds(now)));
            let allowed = caps.allow_one(&seen(&entry.known(self.by), seconds(now)), creative, now);
            if allowed {
                entry.pending.push(mark);
            }
            allowed
        });
        let allowed = allowed.unwrap_or(false);
        if allowed {
            self.tell(user, Change::Marked(mark));
        }
        allowed
    }

    /// The bid came to nothing.
    pub(crate) fn unmark(&self, user: UserKey, mark: Mark) {
        let user = PrivacyKey::of(user);
        self.table.change(user, |entry| entry.settle(mark));
        self.tell(user, Change::Unmarked(mark));
    }

    /// Tells what a user did, unless that is to be forgotten.
    pub(crate) fn did(&self, user: UserKey, did: BehaviourKind, what: Tag, at: Timestamp) {
        let user = PrivacyKey::of(user);
        if !self.suppressions.forgets(user, at) {
            self.tell(user, Change::Did { did, what, at });
        }
    }

    /// Tells that an ad was shown, if a cap counts it and it is not to be forgotten.
    pub(crate) fn shown(
        &self,
        decision: &Decision,
        caps: &Caps,
        advertisers: &AdvertiserCaps,
        at: Timestamp,
    ) {
        let Some(user) = decision.user.map(PrivacyKey::of) else { return };
        if self.suppressions.forgets(user, decision.at) || !caps.are_counted(advertisers) {
            return;
        }
        let mark = caps.mark(decision.creative, decision.at);
        let counted = caps.counted(decision.creative, advertisers).into_iter().collect();
        self.tell(user, Change::Shown { mark, bid_at: decision.at, at: seconds(at), counted });
    }

    /// Nobody waits: what finds no room is dropped and counted.
    fn tell(&self, user: PrivacyKey, change: Change) {
        if self.changes.try_send((user, change)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Has everything forgotten of users here and in the store that the opt-outs and erasures say of them. Tells `told` of each as
    /// it is done there.
    pub fn forget(&self, users: impl IntoIterator<Item = PrivacyKey>, told: Option<&Told<PrivacyKey>>) {
        let mut forgetting = self.forgetting();
        for user in users {
            let Some(suppression) = self.suppressions.get(user) else { continue };
            let erased = suppression.erased_until.map_or(0, seconds);
            let until = if suppression.opted_out { u32::MAX } else { erased };
            self.table.remove(user);
            match forgetting.entry(user) {
                Place::Occupied(mut waits) => {
                    let waits = waits.get_mut();
                    waits.until = waits.until.max(until);
                    waits.told = told.cloned().or(waits.told.take());
                }
                Place::Vacant(place) => {
                    place.insert(Forgetting { until, told: told.cloned() });
                }
            }
        }
    }

    fn forgetting(&self) -> MutexGuard<'_, HashMap<PrivacyKey, Forgetting>> {
        self.forgetting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets go of copies that are no good any more.
    pub fn sweep(&self, now: Timestamp) {
        self.table.sweep(seconds(now), self.is_old(now));
    }

    /// Users of whom there is a copy, or to whom something is under way.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies that others took the place of, since the start.
    pub(crate) fn evicted(&self) -> u64 {
        self.table.evicted()
    }

    /// Impressions that found all of a user's counts in use, since the start.
    pub(crate) fn crowded(&self) -> u64 {
        self.crowded.load(Ordering::Relaxed)
    }

    /// Changes that nobody was told of for lack of room, since the start.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Users who wait to be forgotten in the store.
    pub fn unforgotten(&self) -> usize {
        self.forgetting().len()
    }
}
