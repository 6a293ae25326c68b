//! The actix shell around the [`CampaignMachine`]: moves messages in and effects out, and decides nothing.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, Supervised, WrapFuture,
};
use arc_swap::ArcSwapOption;
use haggle_domain::{Campaign, Clock, Record, Timestamp};
use haggle_strategies::{CampaignLive, CampaignState};
use tokio::sync::oneshot;

use super::machine::{CampaignMachine, CampaignSettings, Effects};
use super::outcome::Outcome;
use super::posted::Posted;
use super::recovery::{checkpoint_name, recover_one};
use super::report::CampaignReport;
use super::several::{Disown, Others, Own, Repost, Settle};
use super::wheel::Wheel;
use crate::backbone::Term;
use crate::books::Books;
use crate::journal::{Journal, Permit, Refused};
use crate::supervisor::Supervision;
use haggle_domain::Notice;

/// How long until other nodes are told again how to bid, where there was no room for it.
const POST_AGAIN: Duration = Duration::from_secs(1);

/// What all campaigns of a thread work with.
pub struct CampaignShared {
    /// Spans.
    pub settings: CampaignSettings,
    /// Where events go.
    pub journal: Arc<dyn Journal>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// What ticks them.
    pub wheel: Arc<Wheel>,
    /// Messages that may wait for each; one more is refused.
    pub mailbox: usize,
    /// The other nodes that bid for them; none where this is the only one.
    pub others: Option<Arc<dyn Others>>,
    /// How many have given up, see [`Supervision::give_up`].
    pub gone: AtomicU32,
}

/// What a campaign's actor works with. Cheap to clone.
#[derive(Clone)]
pub struct CampaignDeps {
    /// What was configured.
    pub campaign: Arc<Campaign>,
    /// Where bids see it.
    pub live: Arc<CampaignLive>,
    /// Where its machine publishes: the same, unless other nodes bid for it, too, and what it says reaches bids by way of the log.
    pub desk: Arc<CampaignLive>,
    /// What it has in common with others.
    pub shared: Arc<CampaignShared>,
    /// What it shows.
    pub shown: Arc<CampaignShown>,
}

/// What a campaign's actor shows.
#[derive(Debug, Default)]
pub struct CampaignShown {
    /// Its last report.
    pub report: ArcSwapOption<CampaignReport>,
    /// What supervision knows of it.
    pub supervision: Supervision,
}

/// The actor.
pub struct CampaignActor {
    deps: CampaignDeps,
    /// Its number on the wheel.
    number: u32,
    /// Books recovered at the program's start; taken by the first life.
    recovered: Option<Box<Books>>,
    /// None until its books are recovered.
    machine: Option<Box<CampaignMachine>>,
    /// Something was journalled since the last checkpoint.
    dirty: bool,
    /// The wheel knows that a checkpoint is due.
    checkpoint_asked: bool,
    draining: bool,
    /// Under which claim the campaign is this node's; always `None` where a node is alone.
    claim: Option<NonZeroU64>,
    /// What other nodes were told last, and when.
    posted: Option<Box<(Timestamp, Posted)>>,
}

/// Sent by the wheel: time moves on, or a checkpoint is due.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Tick {
    pub(super) checkpoint: bool,
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

/// Go on under another definition of the campaign.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Redefine {
    /// The definition; of the same key.
    pub campaign: Arc<Campaign>,
    /// Told once what follows from it is durable; dropped, it did not happen.
    pub done: oneshot::Sender<()>,
}

/// Stop bidding, or begin again.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Pause {
    /// Stop.
    pub paused: bool,
    /// Told once it is durable; dropped, it did not happen.
    pub done: oneshot::Sender<()>,
}

/// Panic in the middle of a message, to show that it is contained.
#[derive(Message)]
#[rtype(result = "()")]
pub struct InjectPanic;

impl CampaignActor {
    /// An actor that goes on from the books recovered at the program's start, or without any from those in the journal.
    /// `number` is the wheel's.
    pub fn new(deps: CampaignDeps, number: u32, recovered: Option<Books>) -> Self {
        Self {
            deps,
            number,
            recovered: recovered.map(Box::new),
            machine: None,
            dirty: false,
            checkpoint_asked: false,
            draining: false,
            claim: None,
            posted: None,
        }
    }

    /// Claims are counted from 1.
    fn claim(&self) -> Option<Term> {
        self.claim.map(NonZeroU64::get)
    }

    /// Begins a life from books: an own checkpoint first, then whatever the machine has to put right.
    fn begin(&mut self, books: Box<Books>) -> Result<(), Box<Books>> {
        let journal = &self.deps.shared.journal;
        let Ok(permit) = journal.try_reserve_spare() else { return Err(books) };
        let bytes = minicbor::to_vec(&*books).unwrap_or_default();
        let name = checkpoint_name(self.deps.campaign.key);
        if journal.put_checkpoint_under(self.claim(), &name, bytes).is_err() {
            return Err(books);
        }
        let mut effects = Effects::default();
        let now = self.deps.shared.clock.now();
        let (campaign, desk) = (Arc::clone(&self.deps.campaign), Arc::clone(&self.deps.desk));
        let (live, settings) = (Arc::clone(&self.deps.live), self.deps.shared.settings);
        self.machine = Some(Box::new(if self.deps.shared.others.is_some() {
            CampaignMachine::of_many(campaign, desk, live, settings, *books, now, &mut effects)
        } else {
            CampaignMachine::new(campaign, live, settings, *books, now, &mut effects)
        }));
        self.carry_out(permit, effects, || ());
        // Whether it has worked for a while is seen then, too.
        self.checkpoint_soon();
        Ok(())
    }

    /// Journals the events as one commit; grants and what `then` does follow once they are durable.
    fn carry_out(&mut self, permit: Permit, effects: Effects, then: impl FnOnce() + Send + 'static) {
        if !effects.events.is_empty() {
            self.dirty = true;
            self.checkpoint_soon();
        }
        let (at, campaign) = (self.deps.shared.clock.now(), self.deps.campaign.key);
        let records = effects.events.into_iter().map(|event| Record { at, campaign, event }).collect();
        let live = Arc::clone(&self.deps.desk);
        let grant = effects.grant;
        permit.under(self.claim()).commit(
            records,
            Some(Box::new(move |durable| {
                // A failed journal grants nothing and answers nothing: the node stops.
                if durable.is_ok() {
                    if let Some(grant) = grant {
                        grant.publish(&live);
                        live.ring();
                    }
                    then();
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
            match self.recovered.take() {
                Some(books) => self.recovered = self.begin(books).err(),
                None => return,
            }
            self.due_now();
            return;
        }
        let now = self.deps.shared.clock.now();
        let (Ok(permit), Some(machine)) =
            (self.deps.shared.journal.try_reserve_spare(), self.machine.as_mut())
        else {
            self.due_now();
            return;
        };
        let mut effects = Effects::default();
        if let Some(others) = &self.deps.shared.others {
            machine.known_until(others.known_until(self.deps.campaign.key, now));
        }
        machine.tick(now, &mut effects);
        self.deps.shared.wheel.schedule(self.number, machine.next_due(now));
        self.show();
        self.post(now);
        if !effects.events.is_empty() {
            self.carry_out(permit, effects, || ());
        }
    }

    /// Publishes the report if it is another one.
    fn show(&self) {
        let Some(machine) = &self.machine else { return };
        let (report, shown) = (machine.report(), &self.deps.shown.report);
        if shown.load().as_deref() != Some(&report) {
            shown.store(Some(Arc::new(report)));
        }
    }

    /// Tells other nodes how to bid for it, where that has changed.
    fn post(&mut self, now: Timestamp) {
        let (Some(machine), Some(others)) = (&self.machine, &self.deps.shared.others) else { return };
        let posted = machine.posted();
        if let Some(last) = &self.posted {
            let (at, before) = &**last;
            if posted == *before {
                return;
            }
            let due = *at + posted.patience(before);
            if now < due {
                self.deps.shared.wheel.schedule(self.number, machine.next_due(now).min(due));
                return;
            }
        }
        if others.post(self.deps.campaign.key, minicbor::to_vec(&posted).unwrap_or_default()) {
            self.posted = Some(Box::new((now, posted)));
        } else {
            // Nothing else may happen to it for long, so it is not left to the next change.
            let again = now + POST_AGAIN;
            self.deps.shared.wheel.schedule(self.number, machine.next_due(now).min(again));
        }
    }

    /// Has itself ticked at the wheel's next turn.
    fn due_now(&self) {
        self.deps.shared.wheel.schedule(self.number, self.deps.shared.clock.now());
    }

    fn checkpoint_soon(&mut self) {
        if !self.checkpoint_asked {
            self.checkpoint_asked = true;
            self.deps.shared.wheel.checkpoint_later(self.number);
        }
    }

    /// Keeps the books. Refused, it is due again.
    fn checkpoint(&mut self) -> Result<(), Refused> {
        let Some(machine) = self.machine.as_ref() else { return Ok(()) };
        let bytes = minicbor::to_vec(machine.books()).unwrap_or_default();
        let name = checkpoint_name(self.deps.campaign.key);
        self.deps.shared.journal.put_checkpoint_under(self.claim(), &name, bytes)?;
        self.dirty = false;
        Ok(())
    }

    /// The time for a checkpoint has come: after something happened, or in its round.
    fn checkpoint_due(&mut self) {
        if self.draining || self.machine.is_none() {
            return;
        }
        let asked = std::mem::take(&mut self.checkpoint_asked);
        self.deps.shown.supervision.healthy();
        if self.dirty || !asked {
            let spare = self.deps.shared.journal.try_reserve_spare();
            if spare.map(drop).and_then(|()| self.checkpoint()).is_err() {
                self.dirty = true;
                self.checkpoint_soon();
            }
        }
    }

    /// Recovers the books of an earlier life from the journal, without holding up the arbiter's other actors.
    fn recover(&mut self, context: &mut Context<Self>) {
        let journal = Arc::clone(&self.deps.shared.journal);
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
            Some(books) => {
                actor.recovered = actor.begin(books).err();
                actor.due_now();
            }
            // It stays down, visibly; the journal or its reader has said why.
            None => {
                tracing::error!(campaign = actor.deps.campaign.id, "its actor is gone; restart the node");
                actor.deps.shown.supervision.give_up();
                actor.deps.shared.gone.fetch_add(1, Ordering::Relaxed);
                context.stop();
            }
        }));
    }
}

impl Actor for CampaignActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(self.deps.shared.mailbox);
        self.machine = None;
        self.checkpoint_asked = false;
        // Of another node's it has no books, until it is this node's.
        if self.deps.shared.others.is_some() && self.claim.is_none() {
            return;
        }
        match self.recovered.take() {
            Some(books) => self.recovered = self.begin(books).err(),
            None => self.recover(context),
        }
        self.due_now();
    }
}

impl Supervised for CampaignActor {
    fn restarting(&mut self, _: &mut Self::Context) {
        self.deps.desk.set_state(CampaignState::Down);
        self.machine = None;
        self.recovered = None;
    }
}

impl Handler<Tick> for CampaignActor {
    type Result = ();

    fn handle(&mut self, tick: Tick, _: &mut Self::Context) {
        if tick.checkpoint {
            self.checkpoint_due();
        } else {
            self.tick();
        }
    }
}

impl Handler<Deliver> for CampaignActor {
    type Result = ();

    fn handle(&mut self, message: Deliver, _: &mut Self::Context) {
        let Deliver { notice, reply } = message;
        let (Some(machine), Ok(permit)) = (self.machine.as_mut(), self.deps.shared.journal.try_reserve())
        else {
            let _ = reply.send(Outcome::Busy);
            return;
        };
        let mut effects = Effects::default();
        let outcome = machine.notice(self.deps.shared.clock.now(), notice, &mut effects);
        if !effects.events.is_empty() {
            self.due_now();
        }
        // A duplicate is answered after what it repeats is durable, so it goes through the journal too.
        self.carry_out(permit, effects, move || {
            // Whoever asked has gone: nobody to tell.
            let _ = reply.send(outcome);
        });
    }
}

impl Handler<Own> for CampaignActor {
    type Result = ();

    fn handle(&mut self, message: Own, _: &mut Self::Context) {
        // What it knows is newer.
        if self.machine.is_some() && self.claim() == Some(message.claim) {
            return;
        }
        self.claim = NonZeroU64::new(message.claim);
        self.machine = None;
        self.posted = None;
        self.recovered = self.begin(message.books).err();
        self.due_now();
    }
}

impl Handler<Disown> for CampaignActor {
    type Result = ();

    fn handle(&mut self, _: Disown, _: &mut Self::Context) {
        self.claim = None;
        self.machine = None;
        self.recovered = None;
        self.deps.shown.report.store(None);
    }
}

impl Handler<Repost> for CampaignActor {
    type Result = ();

    fn handle(&mut self, _: Repost, _: &mut Self::Context) {
        self.posted = None;
        self.post(self.deps.shared.clock.now());
    }
}

impl Handler<Settle> for CampaignActor {
    type Result = bool;

    fn handle(&mut self, message: Settle, _: &mut Self::Context) -> bool {
        let Settle { claim, at, event, durable } = message;
        let is_told = self.claim() == Some(claim);
        let machine = self.machine.as_mut().filter(|_| is_told);
        let (Some(machine), Ok(permit)) = (machine, self.deps.shared.journal.try_reserve()) else {
            return false;
        };
        let mut effects = Effects::default();
        let now = self.deps.shared.clock.now();
        let outcome = machine.fact(at, event, now, &mut effects);
        self.carry_out(permit, effects, move || durable(outcome));
        self.due_now();
        true
    }
}

impl CampaignActor {
    /// Changes the campaign from outside; without room for it, or before the start is over, nothing happens and `done` is
    /// dropped.
    fn change(
        &mut self,
        done: oneshot::Sender<()>,
        change: impl FnOnce(&mut CampaignMachine, Timestamp, &mut Effects),
    ) -> bool {
        let machine = self.machine.as_mut().filter(|_| !self.draining);
        let (Some(machine), Ok(permit)) = (machine, self.deps.shared.journal.try_reserve()) else {
            return false;
        };
        let mut effects = Effects::default();
        change(machine, self.deps.shared.clock.now(), &mut effects);
        self.show();
        self.due_now();
        self.carry_out(permit, effects, move || {
            // Whoever asked has gone.
            let _ = done.send(());
        });
        true
    }
}

impl Handler<Redefine> for CampaignActor {
    type Result = ();

    fn handle(&mut self, message: Redefine, _: &mut Self::Context) {
        let Redefine { campaign, done } = message;
        if self.deps.shared.others.is_some() && self.claim.is_none() {
            self.deps.campaign = campaign;
            // Whoever asked has gone.
            let _ = done.send(());
            return;
        }
        let next = Arc::clone(&campaign);
        if self.change(done, move |machine, now, effects| machine.redefine(next, now, effects)) {
            // A later life goes on with it.
            self.deps.campaign = campaign;
        }
    }
}

impl Handler<Pause> for CampaignActor {
    type Result = ();

    fn handle(&mut self, message: Pause, _: &mut Self::Context) {
        let Pause { paused, done } = message;
        self.change(done, move |machine, now, effects| machine.pause(paused, now, effects));
    }
}

impl Handler<Drain> for CampaignActor {
    type Result = ();

    fn handle(&mut self, message: Drain, context: &mut Self::Context) {
        if let Some(machine) = self.machine.as_mut() {
            let Ok(permit) = self.deps.shared.journal.try_reserve() else {
                // A journal that has failed never has room again; dropping the message tells whoever waits.
                if self.deps.shared.journal.failure().is_none() {
                    context.notify_later(message, Duration::from_millis(10));
                }
                return;
            };
            let mut effects = Effects::default();
            self.draining = true;
            let drained = machine.drain(self.deps.shared.clock.now(), &mut effects);
            self.show();
            self.carry_out(permit, effects, || ());
            if !drained {
                context.notify_later(message, Duration::from_millis(5));
                return;
            }
            if self.dirty && self.checkpoint().is_err() {
                tracing::debug!(
                    campaign = self.deps.campaign.id,
                    "no checkpoint; the next start replays a little more"
                );
            }
        }
        self.draining = true;
        let told = self.deps.shared.journal.barrier(Box::new(move |_| {
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
