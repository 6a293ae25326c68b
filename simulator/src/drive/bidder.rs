//! The bidder on virtual time: the same parsing, `rank`, `commit` and campaign machines as a node, without threads, network,
//! journal on disk or clock.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use haggle_actors::audience::Audience;
use haggle_actors::books::Books;
use haggle_actors::campaign::{CampaignMachine, CampaignReport, CampaignSettings, Effects, Notice, Outcome};
use haggle_actors::learner::LearnerMachine;
use haggle_domain::{
    Basis, Campaign, CampaignKey, Draw, Event, ExchangeKey, Micros, NoBidReason, Rates, Record, Tag,
    Timestamp, UserKey,
};
use haggle_learning::{JoinerSettings, Progress, Trainer};
use haggle_openrtb::{Asker, UserId, privacy::Policy};
use haggle_strategies::{
    CampaignLive, Catalog, Committed, Entry, Market, Pods, Ranking, Scorer, Snapshot, UserView, commit, rank,
};

use super::check::Checker;
use super::tape::Tape;
use crate::shop::ShopEvent;

/// How long things take, as a node's settings say.
#[derive(Clone, Copy, Debug)]
pub struct BidderSettings {
    /// Spans of leases, notices, clicks and orders.
    pub campaign: CampaignSettings,
    /// How long labels are waited for.
    pub joiner: JoinerSettings,
    /// Between two looks at a campaign for which something came.
    pub tick: Duration,
    /// Between two publications of the model.
    pub publish: Duration,
    /// Part of every draw.
    pub salt: u64,
}

/// Between two checkpoints, where there are crashes. What a restart gives does not follow from it, only what it takes.
const CHECKPOINT: Duration = Duration::from_secs(1800);
/// Users whose profiles are kept at most.
const MOST_PROFILES: usize = 1_000_000;
/// The seat at the simulated exchanges.
const SEAT: &str = "haggle";

/// What the simulated exchanges mostly ask for, and what budgets are in.
const CURRENCY: &str = "USD";

/// A campaign's machine, and when it is looked after next.
struct Run {
    /// Its place in the catalog.
    slot: usize,
    machine: CampaignMachine,
    live: Arc<CampaignLive>,
    key: CampaignKey,
    due: Timestamp,
    checker: Checker,
    /// Money that was opened for its days so far.
    opened: Micros,
}

/// A campaign, what it shows, and the money that its days had for it, with what of that lapsed.
pub struct Standing<'b> {
    /// The campaign.
    pub campaign: &'b Campaign,
    /// What it shows.
    pub report: CampaignReport,
    /// The money.
    pub opened: Micros,
}

/// A bid, and all that its notices need.
#[derive(Clone, Debug)]
pub struct Made {
    /// What was committed.
    pub committed: Committed,
    /// The campaign.
    pub campaign: Arc<Campaign>,
}

/// The bidder. One imp a request, as the simulated exchanges send them.
pub struct Bidder {
    settings: BidderSettings,
    campaigns: Vec<Arc<Campaign>>,
    runs: Vec<Run>,
    snapshot: Snapshot,
    learner: LearnerMachine,
    audience: Arc<Audience>,
    rates: Rates,
    user_ids: Vec<UserId>,
    ranking: Ranking,
    /// The number of the next record.
    offset: u64,
    /// When the last one was made.
    last: Timestamp,
    published: u64,
    publish_at: Timestamp,
    /// What a crash would leave; none where there are no crashes.
    tape: Option<Tape>,
    checkpoint_at: Timestamp,
    /// What was wrong with what a crash left.
    lost: Vec<String>,
    /// What is carried through a crash, because it is the checkers' and not the bidder's.
    kept: HashMap<CampaignKey, (Checker, Micros)>,
}

impl Bidder {
    /// Starts at `now` with nothing known. One that may crash keeps what is needed to go on after that.
    pub fn new(campaigns: Vec<Campaign>, settings: BidderSettings, may_crash: bool, now: Timestamp) -> Self {
        let campaigns = campaigns.into_iter().map(Arc::new).collect();
        let mut bidder = Self::process(campaigns, settings, now);
        bidder.begin(&mut HashMap::new(), now);
        if may_crash {
            bidder.tape = Some(Tape::starting_at(bidder.offset));
            bidder.checkpoint(now);
        }
        bidder
    }

    /// Starts another process after a crash: with the books and what was learned as the records have them, and nothing else. Its clock
    /// says `now`, be that before the crash.
    pub fn restart(&mut self, now: Timestamp) {
        let Some(tape) = self.tape.take() else { return };
        let mut next = Self::process(self.campaigns.clone(), self.settings, now);
        next.lost = std::mem::take(&mut self.lost);
        let mut books = tape.recover_books().unwrap_or_else(|error| {
            next.lost.push(format!("at {now}: after a crash the books cannot be recovered: {error}"));
            HashMap::new()
        });
        if let Err(error) = tape.recover_learner(&mut next.learner) {
            next.lost.push(format!("at {now}: after a crash what was learned cannot be recovered: {error}"));
        }
        for run in &self.runs {
            let recovered = books.get(&run.key);
            if !recovered.is_some_and(|books| run.checker.agrees(books)) {
                let problem = "after a crash its books are not those that it had";
                next.lost.push(format!(
                    "{}: at {now}: {problem}",
                    run.machine.books().id.as_deref().unwrap_or_default()
                ));
            }
        }
        (next.offset, next.last, next.tape) = (self.offset, self.last, Some(tape));
        next.kept = self.runs.drain(..).map(|run| (run.key, (run.checker, run.opened))).collect();
        next.begin(&mut books, now);
        *self = next;
        self.checkpoint(now);
    }

    /// One in which no campaign runs yet.
    fn process(campaigns: Vec<Arc<Campaign>>, settings: BidderSettings, now: Timestamp) -> Self {
        let entries = campaigns.iter().map(|campaign| Entry::new(Arc::clone(campaign))).collect();
        let catalog = Arc::new(Catalog::new(entries));
        let audience = Arc::new(Audience::new(MOST_PROFILES, Arc::default()));
        let snapshot = Snapshot {
            version: 0,
            salt: settings.salt,
            scorer: Arc::new(Scorer::new(Trainer::default().snapshot(), &catalog)),
            catalog: Arc::clone(&catalog),
            market: Arc::new(Market::default()),
        };
        Self {
            learner: LearnerMachine::new(catalog, Arc::clone(&audience), settings.joiner),
            settings,
            campaigns,
            runs: Vec::new(),
            snapshot,
            audience,
            rates: Rates { account: CURRENCY.to_owned(), pairs: Vec::new() },
            user_ids: vec![UserId::Buyeruid, UserId::Id],
            ranking: Ranking::default(),
            offset: 0,
            last: now,
            published: 0,
            publish_at: now,
            tape: None,
            checkpoint_at: now,
            lost: Vec::new(),
            kept: HashMap::new(),
        }
    }

    /// Has the campaigns run, from these books on.
    fn begin(&mut self, books: &mut HashMap<CampaignKey, Books>, now: Timestamp) {
        let catalog = Arc::clone(&self.snapshot.catalog);
        for (slot, entry) in catalog.entries() {
            let mut effects = Effects::default();
            let (campaign, live) = (Arc::clone(&entry.campaign), Arc::clone(&entry.live));
            let key = campaign.key;
            let machine = CampaignMachine::new(
                campaign,
                Arc::clone(&live),
                self.settings.campaign,
                books.remove(&key).unwrap_or_default(),
                now,
                &mut effects,
            );
            let (checker, opened) = self.kept.remove(&key).unwrap_or_default();
            self.runs.push(Run { slot, machine, live, key, due: now, checker, opened });
            let at = self.runs.len() - 1;
            self.carry_out(at, now, effects);
            self.look_after(at, now);
        }
    }

    /// Answers a bid request.
    ///
    /// # Errors
    ///
    /// Why there is no bid.
    pub fn bid(&mut self, exchange: &str, body: &[u8], now: Timestamp) -> Result<Made, NoBidReason> {
        let request = haggle_openrtb::parse(body).map_err(|_| NoBidReason::InvalidRequest)?;
        let asker = Asker {
            exchange: ExchangeKey::of(exchange),
            seat: SEAT,
            user_ids: &self.user_ids,
            rates: &self.rates,
        };
        let (basis, _) = request.basis_in("", &Policy::default());
        let context = request.context(&asker, basis);
        let known = context.user.and_then(|user| self.audience.get(user, now)).unwrap_or_default();
        let countable = context.user.filter(|_| basis.allows(Basis::STORE));
        let to_user = self.audience.to_user(countable);
        let (imp, opportunity) =
            request.imps_for(&context, &asker).next().ok_or(NoBidReason::InvalidRequest)?;
        let opportunity = opportunity?;
        let draw = Draw::new(self.snapshot.salt, &request.id, &imp.id);
        let user = UserView { profile: known.profile.as_ref(), seen: countable.map(|_| &known.seen) };
        rank(&self.snapshot, &context, &opportunity, user, now, draw, &mut self.ranking);
        let mut pods = Pods::default();
        let made =
            commit(&self.snapshot, &context, &opportunity, &mut self.ranking, &mut pods, &to_user, now);
        // Whoever has bid, or found no money to bid with, is looked after soon.
        for candidate in &self.ranking.candidates {
            if let Some(run) = self.runs.iter_mut().find(|run| run.slot == candidate.campaign) {
                run.due = run.due.min(now + self.settings.tick);
            }
        }
        let committed = made?.into_iter().next().ok_or(NoBidReason::InvalidRequest)?;
        let entry = self.snapshot.catalog.at(committed.campaign).ok_or(NoBidReason::CampaignDown)?;
        Ok(Made { campaign: Arc::clone(&entry.campaign), committed })
    }

    /// Takes a notice in.
    pub fn notice(&mut self, notice: Notice, now: Timestamp) -> Outcome {
        let key = notice.decision().bid.campaign;
        let Some(at) = self.runs.iter().position(|run| run.key == key) else { return Outcome::Expired };
        let mut effects = Effects::default();
        let run = &mut self.runs[at];
        let outcome = run.machine.notice(now, notice, &mut effects);
        run.due = run.due.min(now + self.settings.tick);
        self.carry_out(at, now, effects);
        outcome
    }

    /// Takes in what a user did in the shop.
    pub fn behaviour(&mut self, event: &ShopEvent, now: Timestamp) {
        let (user, did, what) = (UserKey::of(&event.user_id), event.kind, Tag::of(event.what));
        let event = Event::Behaviour { user, did, what };
        self.learn(Record { at: now, campaign: CampaignKey::default(), event });
    }

    /// Moves time on: looks after the campaigns that are due, and publishes what was learned.
    pub fn advance(&mut self, now: Timestamp) {
        for at in 0..self.runs.len() {
            if self.runs[at].due <= now {
                self.look_after(at, now);
            }
        }
        if now >= self.publish_at {
            self.publish();
            self.publish_at = now + self.settings.publish;
        }
        if now >= self.checkpoint_at {
            self.checkpoint(now);
        }
    }

    /// Keeps what a crash would have to be recovered from.
    fn checkpoint(&mut self, now: Timestamp) {
        let Some(tape) = &mut self.tape else { return };
        for run in &self.runs {
            tape.keep_books(run.key, run.machine.books());
        }
        tape.keep_learner(&self.learner);
        self.checkpoint_at = now + CHECKPOINT;
    }

    /// When [`Bidder::advance`] is to be called at the latest.
    pub fn next_due(&self) -> Timestamp {
        self.runs.iter().map(|run| run.due).fold(self.publish_at, Timestamp::min)
    }

    /// The campaigns and what they show, in the order of their places in the catalog, which follows from what they may bid.
    pub fn reports(&self) -> impl Iterator<Item = Standing<'_>> {
        let entries = self.snapshot.catalog.entries();
        entries.zip(&self.runs).map(|((_, entry), run)| Standing {
            campaign: &entry.campaign,
            report: run.machine.report(),
            opened: run.opened,
        })
    }

    /// The campaigns' books, in the same order.
    pub(super) fn books(&self) -> impl Iterator<Item = &Books> {
        self.runs.iter().map(|run| run.machine.books())
    }

    /// What bids of a campaign read.
    pub(super) fn live(&self, key: CampaignKey) -> Option<&CampaignLive> {
        self.runs.iter().find(|run| run.key == key).map(|run| &*run.live)
    }

    /// A campaign's id.
    pub(super) fn id(&self, key: CampaignKey) -> &str {
        self.snapshot.catalog.get(key).map_or("", |entry| &entry.campaign.id)
    }

    /// When the last record was made, and what was learned of clicks and of orders.
    pub(super) fn learned(&self) -> (Timestamp, [Progress; 2]) {
        let trainer = self.learner.trainer();
        (self.last, [trainer.click_progress(), trainer.conversion_progress()])
    }

    /// What the checkers found wrong, at most one of each kind and campaign.
    pub fn problems(&self) -> impl Iterator<Item = String> {
        let of_campaigns =
            self.reports().zip(&self.runs).flat_map(|(Standing { campaign, report, .. }, run)| {
                run.checker
                    .problems(&run.machine, &report)
                    .into_iter()
                    .map(|it| format!("{}: {it}", campaign.id))
            });
        self.lost.iter().cloned().chain(of_campaigns)
    }

    fn look_after(&mut self, at: usize, now: Timestamp) {
        let mut effects = Effects::default();
        let run = &mut self.runs[at];
        run.machine.tick(now, &mut effects);
        self.carry_out(at, now, effects);
        let run = &mut self.runs[at];
        // A campaign that asks for the same moment again would hold time up.
        run.due = run.machine.next_due(now).max(now + self.settings.tick);
    }

    /// What a node's journal and the actor's shell do: the record first, then the money.
    fn carry_out(&mut self, at: usize, now: Timestamp, effects: Effects) {
        let Effects { events, grant } = effects;
        let campaign = self.runs[at].key;
        for event in events {
            self.runs[at].checker.note(&event, now);
            if let Event::BudgetOpened { amount, .. } = event {
                self.runs[at].opened += amount;
            }
            self.learn(Record { at: now, campaign, event });
        }
        if let Some(grant) = grant {
            grant.publish(&self.runs[at].live);
        }
    }

    fn learn(&mut self, record: Record) {
        self.learner.consume(self.offset, &record);
        self.offset += 1;
        self.last = record.at;
        if let Some(tape) = &mut self.tape {
            tape.push(record);
        }
    }

    fn publish(&mut self) {
        if self.published == self.learner.learned() {
            return;
        }
        self.published = self.learner.learned();
        let model = self.learner.trainer().snapshot();
        if model.version() != self.snapshot.scorer.model.version() {
            self.snapshot.scorer = Arc::new(self.snapshot.scorer.with_model(model, &self.snapshot.catalog));
        }
        self.snapshot.market = Arc::new(self.learner.market());
        self.snapshot.version += 1;
    }
}
