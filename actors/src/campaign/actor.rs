//! The actix shell around the [`CampaignMachine`]: moves messages in and effects out, and decides nothing.

use std::sync::Arc;
use std::time::Duration;

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, Supervised, WrapFuture,
};
use arc_swap::ArcSwapOption;
use haggle_domain::{Campaign, Clock, Record};
use haggle_strategies::{CampaignLive, CampaignState};
use tokio::sync::oneshot;

use super::machine::{CampaignMachine, CampaignSettings, Effects};
use super::message::{Notice, Outcome};
use super::recovery::{checkpoint_name, recover_one};
use super::report::CampaignReport;
use crate::books::Books;
use crate::journal::{Journal, Permit};
use crate::supervisor::Supervision;

/// Ticks after which an actor counts as healthy again.
const HEALTHY_AFTER: u32 = 50;

/// What a campaign's actor works with. Cheap to clone.
#[derive(Clone)]
pub struct CampaignDeps {
    /// What was configured.
    pub campaign: Arc<Campaign>,
    /// Where bids see it.
    pub live: Arc<CampaignLive>,
    /// Spans.
    pub settings: CampaignSettings,
    /// Where events go.
    pub journal: Arc<dyn Journal>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Real time between ticks.
    pub tick: Duration,
    /// Ticks between checkpoints.
    pub checkpoint_ticks: u32,
    /// Messages that may wait; one more is refused.
    pub mailbox: usize,
    /// Where its report is published.
    pub report: Arc<ArcSwapOption<CampaignReport>>,
    /// What supervision knows of it.
    pub supervision: Arc<Supervision>,
}

/// The actor.
pub struct CampaignActor {
    deps: CampaignDeps,
    /// Books recovered at the program's start; taken by the first life.
    recovered: Option<Box<Books>>,
    /// None until its books are recovered.
    machine: Option<CampaignMachine>,
    ticks: u32,
    /// Something was journalled since the last checkpoint.
    dirty: bool,
    draining: bool,
}

/// A notice to settle. The answer comes once what it says is durable; dropped, the notice may come again.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Deliver {
    /// The notice.
    pub notice: Notice,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Outcome>,
}

/// Take the lease back, keep a checkpoint, and tick no more.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Drain {
    /// Told when all of it is durable.
    pub done: oneshot::Sender<()>,
}

/// Panic in the middle of a message, to show that it is contained.
#[derive(Message)]
#[rtype(result = "()")]
pub struct InjectPanic;

impl CampaignActor {
    /// An actor that goes on from the books recovered at the program's start.
    pub fn new(deps: CampaignDeps, recovered: Books) -> Self {
        Self {
            deps,
            recovered: Some(Box::new(recovered)),
            machine: None,
            ticks: 0,
            dirty: false,
            draining: false,
        }
    }

    /// Begins a life from books: an own checkpoint first, then whatever the machine has to put right.
    fn begin(&mut self, books: Box<Books>) -> Result<(), Box<Books>> {
        let journal = &self.deps.journal;
        let Ok(permit) = journal.try_reserve() else { return Err(books) };
        let bytes = minicbor::to_vec(&*books).unwrap_or_default();
        if journal.put_checkpoint_here(&checkpoint_name(self.deps.campaign.key), bytes).is_err() {
            return Err(books);
        }
        let mut effects = Effects::default();
        let now = self.deps.clock.now();
        self.machine = Some(CampaignMachine::new(
            Arc::clone(&self.deps.campaign),
            Arc::clone(&self.deps.live),
            self.deps.settings,
            *books,
            now,
            &mut effects,
        ));
        self.carry_out(permit, effects, None);
        Ok(())
    }

    /// Journals the events as one commit; grants and the answer follow once they are durable.
    fn carry_out(
        &mut self,
        permit: Permit,
        effects: Effects,
        reply: Option<(oneshot::Sender<Outcome>, Outcome)>,
    ) {
        if effects.events.is_empty() && reply.is_none() {
            return;
        }
        self.dirty |= !effects.events.is_empty();
        let (at, campaign) = (self.deps.clock.now(), self.deps.campaign.key);
        let records = effects.events.into_iter().map(|event| Record { at, campaign, event }).collect();
        let live = Arc::clone(&self.deps.live);
        let grant = effects.grant;
        permit.commit(
            records,
            Some(Box::new(move |durable| {
                // A failed journal grants nothing and answers nothing: the node stops.
                if durable.is_ok() {
                    if let Some(grant) = grant {
                        grant.publish(&live);
                    }
                    if let Some((reply, outcome)) = reply {
                        // Whoever asked has gone: nobody to tell.
                        let _ = reply.send(outcome);
                    }
                }
            })),
        );
    }

    fn tick(&mut self) {
        if self.draining {
            return;
        }
        if self.machine.is_none() {
            // The journal had no room at the start.
            if let Some(books) = self.recovered.take() {
                self.recovered = self.begin(books).err();
            }
            return;
        }
        let Ok(permit) = self.deps.journal.try_reserve() else { return };
        let now = self.deps.clock.now();
        let mut effects = Effects::default();
        let Some(machine) = self.machine.as_mut() else { return };
        machine.tick(now, &mut effects);
        self.deps.report.store(Some(Arc::new(machine.report())));
        self.carry_out(permit, effects, None);
        self.ticks = self.ticks.wrapping_add(1);
        if self.ticks == HEALTHY_AFTER {
            self.deps.supervision.healthy();
        }
        if self.ticks.is_multiple_of(self.deps.checkpoint_ticks.max(1)) {
            self.checkpoint();
        }
    }

    fn checkpoint(&mut self) {
        let Some(machine) = self.machine.as_ref().filter(|_| self.dirty) else { return };
        let bytes = minicbor::to_vec(machine.books()).unwrap_or_default();
        let name = checkpoint_name(self.deps.campaign.key);
        // Refused, it is due again at the next turn.
        self.dirty = self.deps.journal.put_checkpoint_here(&name, bytes).is_err();
    }

    /// Recovers the books of an earlier life from the journal, without holding up the arbiter's other actors.
    fn recover(&mut self, context: &mut Context<Self>) {
        let journal = Arc::clone(&self.deps.journal);
        let key = self.deps.campaign.key;
        let recovery = async move {
            // What the earlier life committed must be durable, and its grants carried out, before it is read.
            let durable = loop {
                let (done, durable) = oneshot::channel();
                let asked = journal.barrier(Box::new(move |result| {
                    // Whoever waited has gone.
                    let _ = done.send(result);
                }));
                if asked.is_ok() {
                    break durable;
                }
                if journal.failure().is_some() {
                    return None;
                }
                // No room: what waits is written in milliseconds.
                tokio::time::sleep(Duration::from_millis(5)).await;
            };
            if !matches!(durable.await, Ok(Ok(()))) {
                return None;
            }
            let read = tokio::task::spawn_blocking(move || recover_one(&*journal, key)).await;
            match read {
                Ok(Ok(books)) => Some(Box::new(books)),
                Ok(Err(error)) => {
                    tracing::error!(campaign = %key, %error, "the campaign's books cannot be recovered");
                    None
                }
                Err(error) => {
                    tracing::error!(campaign = %key, %error, "recovery was cut off");
                    None
                }
            }
        };
        context.wait(recovery.into_actor(self).map(|books, actor, context| match books {
            Some(books) => actor.recovered = actor.begin(books).err(),
            // It stays down, visibly; the journal or its reader has said why.
            None => {
                tracing::error!(campaign = actor.deps.campaign.id, "its actor is gone; restart the node");
                actor.deps.supervision.give_up();
                context.stop();
            }
        }));
    }
}

impl Actor for CampaignActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(self.deps.mailbox);
        self.machine = None;
        self.ticks = 0;
        match self.recovered.take() {
            Some(books) => self.recovered = self.begin(books).err(),
            None => self.recover(context),
        }
        context.run_interval(self.deps.tick, |actor, _| actor.tick());
    }
}

impl Supervised for CampaignActor {
    fn restarting(&mut self, _: &mut Self::Context) {
        self.deps.live.set_state(CampaignState::Down);
        self.machine = None;
        self.recovered = None;
    }
}

impl Handler<Deliver> for CampaignActor {
    type Result = ();

    fn handle(&mut self, message: Deliver, _: &mut Self::Context) {
        let Deliver { notice, reply } = message;
        let (Some(machine), Ok(permit)) = (self.machine.as_mut(), self.deps.journal.try_reserve()) else {
            let _ = reply.send(Outcome::Busy);
            return;
        };
        let mut effects = Effects::default();
        let outcome = machine.notice(self.deps.clock.now(), notice, &mut effects);
        // A duplicate is answered after what it repeats is durable, so it goes through the journal too.
        self.carry_out(permit, effects, Some((reply, outcome)));
    }
}

impl Handler<Drain> for CampaignActor {
    type Result = ();

    fn handle(&mut self, message: Drain, context: &mut Self::Context) {
        if let Some(machine) = self.machine.as_mut() {
            let Ok(permit) = self.deps.journal.try_reserve() else {
                // A journal that has failed never has room again; dropping the message tells whoever waits.
                if self.deps.journal.failure().is_none() {
                    context.notify_later(message, Duration::from_millis(10));
                }
                return;
            };
            let mut effects = Effects::default();
            self.draining = true;
            let drained = machine.drain(self.deps.clock.now(), &mut effects);
            self.deps.report.store(Some(Arc::new(machine.report())));
            self.carry_out(permit, effects, None);
            if !drained {
                context.notify_later(message, Duration::from_millis(5));
                return;
            }
            self.checkpoint();
        }
        self.draining = true;
        let told = self.deps.journal.barrier(Box::new(move |_| {
            let _ = message.done.send(());
        }));
        if told.is_err() {
            tracing::warn!(campaign = self.deps.campaign.id, "drained, but the journal could not confirm it");
        }
    }
}

impl Handler<InjectPanic> for CampaignActor {
    type Result = ();

    #[allow(clippy::panic, reason = "the fault that `haggle demo --fault` asks for")]
    fn handle(&mut self, _: InjectPanic, _: &mut Self::Context) {
        panic!("injected fault");
    }
}
