//! The bidder on virtual time: the same parsing, decisions and campaign machines as a node, without threads, network,
//! journal on disk or clock.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use haggle_actors::audience::Audience;
use haggle_actors::books::Books;
use haggle_actors::campaign::{CampaignMachine, CampaignReport, CampaignSettings, Effects, Outcome};
use haggle_actors::decide::{Asking, Witness};
use haggle_actors::holdout::{OncePerDay, Split};
use haggle_actors::learner::{LearnerMachine, tell_worth};
use haggle_domain::{
    Basis, Campaign, CampaignKey, Context, Event, ExchangeKey, Micros, NoBidReason, Notice, Opportunity,
    Rates, Record, Tag, Timestamp, UserKey,
};
use haggle_learning::{JoinerSettings, Progress, Trainer};
use haggle_openrtb::{Asker, UserId, privacy::Policy};
use haggle_strategies::{Board, CampaignLive, Catalog, Committed, Entry, Market, Ranking, Scorer, Snapshot};

use super::check::Checker;
use super::gate::{Gate, Origin};
use super::models::Models;
use super::tape::Tape;
use super::turns::Turns;
use crate::request::{OUR_SEAT, SimRequest};
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
    /// The share of bids that the records tell of.
    pub bid_log_sample: f64,
    /// The share of bids in first-price auctions that try other prices.
    pub explore_prices: f64,
    /// Part of every draw.
    pub salt: u64,
    /// Whether requests of which it shows that a program made them are left alone.
    pub turns_bots_away: bool,
    /// Whether requests are written as JSON and read again, as on a node. It decides the same, and takes longer.
    pub reads_requests: bool,
}

/// Between two checkpoints, where there are crashes. What a restart gives does not follow from it, only what it takes.
const CHECKPOINT: Duration = Duration::from_secs(1800);
/// Users whose profiles are kept at most.
const MOST_PROFILES: usize = 1_000_000;

/// What the simulated exchanges mostly ask for, and what budgets are in.
const CURRENCY: &str = "USD";

/// A campaign's machine, and when it is looked after next.
struct Run {
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

/// What a decision tells the records of.
#[derive(Default)]
struct Said(Vec<Record>);

impl Witness for Said {
    fn record(&mut self, record: Record) {
        self.0.push(record);
    }

    fn no_bid(&mut self, _: NoBidReason) {}
}

/// The bidder. One imp a request, as the simulated exchanges send them.
pub struct Bidder {
    settings: BidderSettings,
    campaigns: Vec<Arc<Campaign>>,
    /// By rising slots.
    runs: Vec<Run>,
    /// Where each is among them.
    at: HashMap<CampaignKey, usize>,
    /// When the first of them is due.
    due: Timestamp,
    snapshot: Snapshot,
    learner: LearnerMachine,
    audience: Arc<Audience>,
    told: OncePerDay,
    /// Against programs.
    gate: Option<Gate>,
    rates: Rates,
    user_ids: Vec<UserId>,
    ranking: Ranking,
    /// The number of the next record.
    offset: u64,
    /// When the last one was made that the learner has read.
    last: Timestamp,
    /// What the learner reads at the next turn.
    unread: Vec<Record>,
    published: u64,
    /// The groups that campaigns were last told of.
    holdouts: Vec<(CampaignKey, Split)>,
    turns: Turns,
    boards: Vec<Arc<Board>>,
    /// Those of archives that are asked.
    models: Models,
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
            // The learner reads what was recorded before, too.
            let mut tape = Tape::starting_at(bidder.offset);
            bidder.unread.iter().for_each(|record| tape.push(record.clone()));
            bidder.tape = Some(tape);
            bidder.checkpoint(now);
        }
        bidder
    }

    /// The same, asking these models too.
    #[must_use]
    pub fn asking(mut self, models: &Models) -> Self {
        self.ask_models(models.clone());
        self
    }

    fn ask_models(&mut self, models: Models) {
        if !models.0.is_empty() {
            self.learner.set_guests(&models.0);
            let model = self.learner.trainer().snapshot();
            self.snapshot.scorer = Arc::new(self.snapshot.scorer.with_model(model, &self.snapshot.catalog));
        }
        self.models = models;
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
        let unread = self.unread.last().map(|record| record.at);
        // The new learner has read what the old one had still to read.
        (next.offset, next.last, next.tape) = (tape.end(), unread.unwrap_or(self.last), Some(tape));
        next.kept = self.runs.drain(..).map(|run| (run.key, (run.checker, run.opened))).collect();
        next.begin(&mut books, now);
        next.ask_models(std::mem::take(&mut self.models));
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
        let mut bidder = Self {
            learner: LearnerMachine::new(catalog, Arc::clone(&audience), settings.joiner),
            settings,
            campaigns,
            runs: Vec::new(),
            at: HashMap::new(),
            due: now,
            snapshot,
            audience,
            told: OncePerDay::default(),
            gate: settings.turns_bots_away.then(Gate::default),
            rates: Rates { account: CURRENCY.to_owned(), pairs: Vec::new() },
            user_ids: vec![UserId::Buyeruid, UserId::Id],
            ranking: Ranking::default(),
            offset: 0,
            last: now,
            unread: Vec::new(),
            published: 0,
            holdouts: Vec::new(),
            turns: Turns::new(now, settings.tick, settings.publish),
            boards: Vec::new(),
            models: Models::default(),
            tape: None,
            checkpoint_at: now,
            lost: Vec::new(),
            kept: HashMap::new(),
        };
        bidder.learner.set_bid_sample(settings.bid_log_sample);
        bidder
    }

    /// Has the campaigns run, from these books on.
    fn begin(&mut self, books: &mut HashMap<CampaignKey, Books>, now: Timestamp) {
        let catalog = Arc::clone(&self.snapshot.catalog);
        for (_, entry) in catalog.entries() {
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
            self.runs.push(Run { machine, live, key, due: now, checker, opened });
            let at = self.runs.len() - 1;
            self.at.insert(key, at);
            if at.is_multiple_of(Board::BELLS) {
                self.boards.push(Arc::default());
            }
            self.runs[at].live.hang(self.boards[at / Board::BELLS].bell(at % Board::BELLS));
            self.carry_out(at, now, effects);
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
            seat: OUR_SEAT,
            user_ids: &self.user_ids,
            rates: &self.rates,
        };
        let (basis, _) = request.basis_in("", &Policy::default());
        let opted_out = request.user_keys(&asker, basis).any(|user| self.audience.opted_out(user));
        let refused = self.gate.as_ref().and_then(|gate| gate.refusal(&Origin::of(&request)));
        let mut context = request.context(&asker, if opted_out { Basis::NONE } else { basis });
        context.explore_prices = self.settings.explore_prices;
        let imps: Vec<_> = request
            .imps_for(&context, &asker)
            .map(|(imp, opportunity)| (imp.id.to_string(), opportunity))
            .collect();
        self.decide(&context, &request.id, imps.iter().map(|(id, imp)| (&**id, imp.clone())), refused, now)
    }

    /// The same for one of the world's.
    ///
    /// # Errors
    ///
    /// Why there is no bid.
    pub(super) fn answer(&mut self, request: &SimRequest, now: Timestamp) -> Result<Made, NoBidReason> {
        match self.settings.reads_requests {
            true => self.bid(&request.exchange, &request.body(), now),
            false => self.bid_directly(request, now),
        }
    }

    /// The same, without making JSON of the request and reading it.
    ///
    /// # Errors
    ///
    /// Why there is no bid.
    pub fn bid_directly(&mut self, request: &SimRequest, now: Timestamp) -> Result<Made, NoBidReason> {
        let imp = (request.imp_id, request.opportunity());
        let refused = self.gate.as_ref().and_then(|gate| gate.refusal(&Origin::unread(request)));
        let context = Context { explore_prices: self.settings.explore_prices, ..request.context() };
        self.decide(&context, &request.id, std::iter::once(imp), refused, now)
    }

    /// Decides as a node does, and gives the first of the bids.
    fn decide<'i>(
        &mut self,
        context: &Context,
        request_id: &str,
        imps: impl Iterator<Item = (&'i str, Result<Opportunity, NoBidReason>)>,
        refused: Option<NoBidReason>,
        now: Timestamp,
    ) -> Result<Made, NoBidReason> {
        let asking = Asking {
            snapshot: &self.snapshot,
            audience: &self.audience,
            user_away: false,
            told: &self.told,
            context,
            request_id,
            refused,
            fit_for_secure: true,
            bid_log_sample: self.settings.bid_log_sample,
            now,
        };
        let mut said = Said::default();
        let made = asking.decide(imps, &mut self.ranking, &mut said);
        said.0.into_iter().for_each(|record| self.record(record));
        // Whoever has bid, or found no money to bid with, has rung.
        self.turns.stir();
        let (_, _, bids) = made?.into_iter().next().ok_or(NoBidReason::InvalidRequest)?;
        let committed = bids.into_iter().next().ok_or(NoBidReason::InvalidRequest)?;
        let entry = self.snapshot.catalog.at(committed.campaign).ok_or(NoBidReason::CampaignDown)?;
        Ok(Made { campaign: Arc::clone(&entry.campaign), committed })
    }

    /// Takes a notice in.
    pub fn notice(&mut self, notice: Notice, now: Timestamp) -> Outcome {
        let key = notice.decision().bid.campaign;
        let Some(&at) = self.at.get(&key) else { return Outcome::Expired };
        let mut effects = Effects::default();
        let run = &mut self.runs[at];
        let outcome = run.machine.notice(now, notice, &mut effects);
        if !effects.events.is_empty() {
            run.due = now;
            self.due = self.due.min(now);
        }
        self.turns.stir();
        self.carry_out(at, now, effects);
        outcome
    }

    /// Takes in what a user did in the shop.
    pub fn behaviour(&mut self, event: &ShopEvent, now: Timestamp) {
        let event_at = event.at.min(now);
        let (user, did, what) = (UserKey::of(&event.user_id), event.kind, Tag::of(event.what));
        let event = Event::Behaviour { user, did, what };
        self.record(Record { at: event_at, campaign: CampaignKey::default(), event });
        self.turns.stir();
    }

    /// Moves time on: has the turns up to `now`.
    pub fn advance(&mut self, now: Timestamp) {
        while self.next_due() <= now {
            self.turn(self.next_due());
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
        self.turns.next(self.due)
    }

    /// What a node's wheel and its learner do in turn: those who have rung or are due are looked after, the longest due first; then it is
    /// learned from what all of them said.
    fn turn(&mut self, now: Timestamp) {
        let publishes = self.turns.take(now);
        for (board, bells) in self.boards.iter().enumerate() {
            bells.answer(|bell| {
                if let Some(run) = self.runs.get_mut(board * Board::BELLS + bell) {
                    run.due = run.due.min(now);
                }
            });
        }
        let due = self.runs.iter().enumerate().filter(|(_, run)| run.due <= now);
        let mut due: Vec<(Timestamp, usize)> = due.map(|(at, run)| (run.due, at)).collect();
        due.sort_unstable();
        for (_, at) in due {
            self.look_after(at, now);
        }
        self.due = self.runs.iter().map(|run| run.due).fold(Timestamp::MAX, Timestamp::min);
        self.learn();
        if publishes {
            self.publish();
        }
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
        self.at.get(&key).and_then(|at| self.runs.get(*at)).map(|run| &*run.live)
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
        // Before a grant is carried out, as in a node, where that takes the journal's time: so it comes again once there is money.
        run.due = run.machine.next_due(now);
        self.carry_out(at, now, effects);
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
            self.record(Record { at: now, campaign, event });
        }
        if let Some(grant) = grant {
            let live = &self.runs[at].live;
            grant.publish(live);
            live.ring();
        }
    }

    /// Has something recorded: durable at once, and read at the next turn.
    fn record(&mut self, record: Record) {
        if let Some(tape) = &mut self.tape {
            tape.push(record.clone());
        }
        self.unread.push(record);
    }

    /// Reads what was recorded since the last turn.
    pub(super) fn learn(&mut self) {
        if self.unread.is_empty() {
            return;
        }
        for record in self.unread.drain(..) {
            self.learner.consume(self.offset, &record);
            self.offset += 1;
            self.last = self.last.max(record.at);
        }
        let holdouts = self.learner.panel().splits();
        tell_worth(&self.snapshot.catalog, &self.holdouts, &holdouts);
        self.holdouts = holdouts;
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
