//! Virtual time: a node whose campaigns and learner have their turns when they are told to.

use std::sync::Arc;

use actix::Addr;
use haggle_actors::campaign::Wheel;
use haggle_actors::journal::{Journal, JournalError};
use haggle_actors::learner::{LearnerActor, Turn};
use haggle_domain::Timestamp;
use tokio::sync::oneshot;

/// What moves such a node on, from whatever thread. Its clock is set by whoever made it.
#[derive(Clone)]
pub struct Steps {
    wheel: Arc<Wheel>,
    learner: Addr<LearnerActor>,
    journal: Arc<dyn Journal>,
}

impl Steps {
    pub(super) fn new(wheel: Arc<Wheel>, learner: Addr<LearnerActor>, journal: Arc<dyn Journal>) -> Self {
        Self { wheel, learner, journal }
    }

    /// One turn of everything, at the moment that the node's clock shows: campaigns that are due are ticked, then the learner learns
    /// from all that was journalled, and publishes that if it is to. Returns when all of it is done, and durable.
    ///
    /// # Errors
    ///
    /// The journal has failed.
    pub async fn step(&self, now: Timestamp, publish: bool) -> Result<(), JournalError> {
        self.settle().await?;
        self.wheel.turn_once(now).await;
        self.settle().await?;
        // The learner's actor is gone only with the node.
        self.learner.send(Turn { publish }).await.map_err(|_| JournalError::Closed)
    }

    /// When a campaign is to be ticked next, unless bids or notices come before.
    pub fn next_due(&self) -> Timestamp {
        self.wheel.next_due()
    }

    /// Waits until what was journalled is durable, and what waits for that has been carried out.
    async fn settle(&self) -> Result<(), JournalError> {
        let (done, durable) = oneshot::channel();
        let asked = self.journal.barrier(Box::new(move |result| {
            // Whoever waited has gone.
            let _ = done.send(result);
        }));
        // Steps are made one after the other, so there is room unless the journal has stopped.
        asked.map_err(|_| self.journal.failure().unwrap_or(JournalError::Closed))?;
        durable.await.unwrap_or(Err(JournalError::Closed))
    }
}
