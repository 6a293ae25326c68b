//! What nodes share of users, on Redis: fetched before a bid, written behind it.
//!
//! [`haggle_actors::shared`] says what is kept and what changes mean; here is what goes over the wire, by one connection and one
//! thread for all workers.

mod breaker;
mod link;
mod run;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use haggle_actors::shared::{Shared, SharedOptions, shared};
use haggle_actors::suppression::Suppressions;
use haggle_domain::{Clock, PrivacyKey, UserKey};
use tokio::sync::watch;

use crate::clock::monotonic;
use crate::config::{RedisAddress, Settings};
use crate::entropy;
use crate::metrics::{UserAway, UserWrite};
use link::{Failure, Link};

/// Changes that wait to be written, at most: some 10 MB.
const QUEUE: usize = 65_536;
/// Time that a request keeps for itself after it has waited.
const RESERVE: Duration = Duration::from_millis(1);
/// How long an erasure waits for the store before it stands as not done, and is tried again.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a node that stops goes on writing.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The users that nodes share.
pub struct UserStore {
    shared: Arc<Shared>,
    link: Arc<Link>,
    timeout: Duration,
    counts: Arc<Counts>,
    stop: watch::Sender<bool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Counts since the start.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    copies: AtomicU64,
    fetches: AtomicU64,
    away: [AtomicU64; UserAway::COUNT],
    writes: [AtomicU64; UserWrite::COUNT],
}

impl Counts {
    fn away(&self, cause: UserAway) {
        if let Some(count) = self.away.get(cause.index()) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn set_write(&self, outcome: UserWrite, total: u64) {
        if let Some(count) = self.writes.get(outcome.index()) {
            count.store(total, Ordering::Relaxed);
        }
    }

    /// Bids that a copy answered, and that had to ask.
    pub(crate) fn reads(&self) -> (u64, u64) {
        (self.copies.load(Ordering::Relaxed), self.fetches.load(Ordering::Relaxed))
    }

    /// Bids that knew nothing of their user, by cause.
    pub(crate) fn away_for(&self, cause: UserAway) -> u64 {
        self.away.get(cause.index()).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// What became of changes.
    pub(crate) fn writes(&self, outcome: UserWrite) -> u64 {
        self.writes.get(outcome.index()).map_or(0, |count| count.load(Ordering::Relaxed))
    }
}

/// Why users cannot be shared.
#[derive(Debug, thiserror::Error)]
#[error("users cannot be shared on Redis: {0}")]
pub struct UserStoreError(String);

impl UserStore {
    /// Starts what connects and writes. A server that is away keeps no node from starting: its users are away.
    pub fn start(
        address: &RedisAddress,
        settings: &Settings,
        suppressions: &Arc<Suppressions>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, UserStoreError> {
        let failed = |error: &dyn std::fmt::Display| UserStoreError(error.to_string());
        let mut seed = [0; 8];
        entropy::fill(&mut seed).map_err(|error| failed(&error))?;
        let options = SharedOptions {
            capacity: settings.user_cache,
            good_for: settings.user_cache_ttl,
            queue: QUEUE,
            seed: u64::from_le_bytes(seed),
        };
        let (shared, writes) = shared(options, Arc::clone(suppressions));
        // An erasure while the node was stopped, or an opt-out whose last words were not heard.
        shared.forget(suppressions.everybody(), None);
        let link = Link::new(address, settings.redis_timeout).map_err(|error| failed(&error))?;
        let (link, counts) = (Arc::new(link), Arc::new(Counts::default()));
        let (stop, stopped) = watch::channel(false);
        let runner = run::Runner::new(Arc::clone(&link), writes, clock, Arc::clone(&counts), stopped);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| failed(&error))?;
        let thread = std::thread::Builder::new()
            .name("users".to_owned())
            .spawn(move || runtime.block_on(runner.run()))
            .map_err(|error| failed(&error))?;
        tracing::info!(%address, "users are shared on Redis");
        let thread = Mutex::new(Some(thread));
        Ok(Self { shared, link, timeout: settings.redis_timeout, counts, stop, thread })
    }

    /// What is known here of users.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Whether the server answers.
    pub fn is_up(&self) -> bool {
        self.link.is_up()
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Sees that what is known of a user is here, for one bid: there is a copy, or one is fetched within the timeout and within
    /// `most`, what is left to the request. Gives how long it took to fetch, none where there was no need.
    ///
    /// # Errors
    ///
    /// Why what is here may not be all that is known.
    pub async fn meet(
        &self,
        user: UserKey,
        most: Option<Duration>,
        clock: &dyn Clock,
    ) -> Result<Option<Duration>, UserAway> {
        if self.shared.has_copy(user, clock.now()) {
            self.counts.copies.fetch_add(1, Ordering::Relaxed);
            return Ok(None);
        }
        self.counts.fetches.fetch_add(1, Ordering::Relaxed);
        let most = most.map_or(self.timeout, |most| most.saturating_sub(RESERVE));
        let asked = monotonic();
        let found = if most.is_zero() {
            Err(UserAway::Late)
        } else {
            self.link.get(PrivacyKey::of(user), most).await.map_err(|failure| match failure {
                Failure::Down => UserAway::Down,
                Failure::Timeout if most < self.timeout => UserAway::Late,
                Failure::Timeout => UserAway::Timeout,
                Failure::Error(_) => UserAway::Error,
            })
        };
        match found {
            Ok(bytes) => {
                self.shared.met(user, &bytes, clock.now());
                Ok(Some(asked.elapsed()))
            }
            Err(cause) => {
                self.counts.away(cause);
                Err(cause)
            }
        }
    }

    /// Has users forgotten in the store as well, and waits for it, blocking.
    ///
    /// # Errors
    ///
    /// It is not done yet; it will be, once the store is there, but nobody may rely on it before this was asked again.
    pub fn forget(&self, users: &[PrivacyKey]) -> Result<(), String> {
        let (told, done) = mpsc::channel();
        self.shared.forget(users.iter().copied(), Some(&told));
        if !self.is_up() {
            return Err("Redis is away".to_owned());
        }
        let from = monotonic();
        for _ in users {
            let left = PATIENCE.saturating_sub(from.elapsed());
            done.recv_timeout(left).map_err(|_| "Redis did not answer in time".to_owned())?;
        }
        Ok(())
    }

    /// Writes what waits, for a moment, and ends. Blocks.
    pub fn stop(&self) {
        self.stop.send_replace(true);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("what shares users on Redis has panicked");
        }
    }
}
