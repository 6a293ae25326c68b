//! The thread that connects, writes, and tries again.

use std::sync::Arc;
use std::time::Duration;

use haggle_actors::shared::{Answer, Writes};
use haggle_domain::Clock;
use redis::Value;
use tokio::sync::watch;

use super::breaker::Backoff;
use super::link::{Failure, Link};
use super::{Counts, LAST_WORDS};
use crate::clock::monotonic;
use crate::entropy;
use crate::metrics::UserWrite;

/// Between two looks at old copies, and at a connection that nobody uses.
const TURN: Duration = Duration::from_millis(500);

pub(super) struct Runner {
    link: Arc<Link>,
    writes: Writes,
    clock: Arc<dyn Clock>,
    counts: Arc<Counts>,
    stopped: watch::Receiver<bool>,
    backoff: Backoff,
    /// What the log was last told.
    said_away: bool,
}

impl Runner {
    pub(super) fn new(
        link: Arc<Link>,
        writes: Writes,
        clock: Arc<dyn Clock>,
        counts: Arc<Counts>,
        stopped: watch::Receiver<bool>,
    ) -> Self {
        Self { link, writes, clock, counts, stopped, backoff: Backoff::default(), said_away: false }
    }

    /// Until it is told to stop, or the node is gone.
    pub(super) async fn run(mut self) {
        let mut stopped = self.stopped.clone();
        let stop = async move { stopped.wait_for(|stopped| *stopped).await.is_ok() };
        tokio::select! {
            _ = stop => {}
            () = self.live() => {}
        }
        // What waits is written yet, if the store is there.
        let last = async {
            while self.link.is_up() && !self.writes.is_empty() {
                if self.round().await.is_err() {
                    break;
                }
            }
        };
        if tokio::time::timeout(LAST_WORDS, last).await.is_err() {
            tracing::warn!("not all that is known of users was written before the stop");
        }
        self.link.close();
    }

    async fn live(&mut self) {
        loop {
            match self.link.connect().await {
                Ok(()) => {
                    if self.said_away {
                        tracing::info!("Redis is back");
                    }
                    self.said_away = false;
                    let since = monotonic();
                    let why = self.serve().await;
                    self.backoff.ended_after(since.elapsed());
                    self.say_away(&why);
                }
                Err(why) => self.say_away(&why),
            }
            self.turn();
            tokio::time::sleep(self.backoff.pause(chance())).await;
        }
    }

    /// Once for each time that it goes away. No failure names a user or a password.
    fn say_away(&mut self, why: &Failure) {
        if !self.said_away {
            tracing::warn!(%why, "Redis is away: what is shared of users cannot be read or written");
        }
        self.said_away = true;
    }

    /// Writes for as long as the connection lasts; gives why it did not.
    async fn serve(&mut self) -> Failure {
        let mut turns = tokio::time::interval(TURN);
        turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let is_turn = tokio::select! {
                () = self.link.lost() => return Failure::Timeout,
                _ = turns.tick() => true,
                () = self.writes.wait() => false,
            };
            let done = match is_turn {
                true => {
                    self.turn();
                    self.link.refresh().await
                }
                false => Ok(()),
            };
            let done = match done {
                Ok(()) => self.round().await,
                failed => failed,
            };
            if let Err(why) = done {
                return why;
            }
        }
    }

    fn turn(&mut self) {
        self.writes.shared().sweep(self.clock.now());
        self.count();
    }

    fn count(&self) {
        let [written, again, given_up] = self.writes.counts();
        self.counts.set_write(UserWrite::Written, written);
        self.counts.set_write(UserWrite::Again, again);
        self.counts.set_write(UserWrite::GivenUp, given_up);
        self.counts.set_write(UserWrite::Dropped, self.writes.shared().dropped());
    }

    /// Sends what waits, once.
    async fn round(&mut self) -> Result<(), Failure> {
        let writes = self.writes.compose(self.clock.now());
        if writes.is_empty() {
            return Ok(());
        }
        let answers = self.link.write(&writes).await?;
        let now = self.clock.now();
        let mut forgotten = false;
        for (place, answer) in answers.into_iter().enumerate() {
            let answer = match answer {
                Value::Nil => Answer::Written,
                Value::BulkString(bytes) => Answer::Found(bytes),
                // The server was started anew behind a proxy, or somebody has flushed its scripts.
                Value::ServerError(_) => {
                    forgotten = true;
                    continue;
                }
                _ => Answer::Refused,
            };
            self.writes.settle(place, answer, now);
        }
        self.writes.end_round();
        self.count();
        if forgotten { self.link.refresh().await } else { Ok(()) }
    }
}

/// From 0 to 1, of the system's randomness.
fn chance() -> f64 {
    let mut byte = [0];
    // Without it nodes come back a little more together.
    let _ = entropy::fill(&mut byte);
    f64::from(byte[0]) / 255.0
}
