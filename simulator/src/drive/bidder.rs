//! The bidder on virtual time: the same parsing, decisions and campaign machines as a node, without threads, network,
//! journal on disk or clock.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use haggle_actors::audience::Audience;
use haggle_actors::books::Books;
use haggle_actors::campaign::{CampaignMachine, CampaignReport, CampaignSettings, Effects, Notice, Outcome};
use haggle_actors::decide::{Asking, Witness};
use haggle_actors::holdout::{OncePerDay, Split};
use haggle_actors::learner::{LearnerMachine, tell_worth};
use haggle_domain::{
    Basis, Campaign, CampaignKey, Context, Event, ExchangeKey, Micros, NoBidReason, Opportunity, Rates,
    Record, Tag, Timestamp, UserKey,
};
use haggle_learning::{JoinerSettings, Trainer};
use haggle_openrtb::{Asker, UserId, privacy::Policy};
use haggle_strategies::{Board, CampaignLive, Catalog, Committed, Entry, Market, Ranking, Scorer, Snapshot};

use super::check::Checker;
use super::gate::{Gate, Origin};
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
}

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
    /// What the learner reads at the next turn.
    unread: Vec<Record>,
    published: u64,
    /// The groups that campaigns were last told of.
    holdouts: Vec<(CampaignKey, Split)>,
    turns: Turns,
    boards: Vec<Arc<Board>>,
}

impl Bidder {
    /// Starts at `now` with nothing known.
    pub fn new(campaigns: Vec<Campaign>, settings: BidderSettings, now: Timestamp) -> Self {
        let entries = campaigns.into_iter().map(|campaign| Entry::new(Arc::new(campaign))).collect();
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
            learner: LearnerMachine::new(Arc::clone(&catalog), Arc::clone(&audience), settings.joiner),
            settings,
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
            unread: Vec::new(),
            published: 0,
            holdouts: Vec::new(),
            turns: Turns::new(now, settings.tick, settings.publish),
            boards: Vec::new(),
        };
        bidder.learner.set_bid_sample(settings.bid_log_sample);
        for (_, entry) in catalog.entries() {
            let mut effects = Effects::default();
            let (campaign, live) = (Arc::clone(&entry.campaign), Arc::clone(&entry.live));
            let key = campaign.key;
            let machine = CampaignMachine::new(
                campaign,
                Arc::clone(&live),
                settings.campaign,
                Books::default(),
                now,
                &mut effects,
            );
            bidder.runs.push(Run {
                machine,
                live,
                key,
                due: now,
                checker: Checker::default(),
                opened: Micros::ZERO,
            });
            let at = bidder.runs.len() - 1;
            bidder.at.insert(key, at);
            if at.is_multiple_of(Board::BELLS) {
                bidder.boards.push(Arc::default());
            }
            bidder.runs[at].live.hang(bidder.boards[at / Board::BELLS].bell(at % Board::BELLS));
            bidder.carry_out(at, now, effects);
        }
        bidder
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
        self.unread.append(&mut said.0);
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
        self.unread.push(Record { at: event_at, campaign: CampaignKey::default(), event });
        self.turns.stir();
    }

    /// Moves time on: has the turns up to `now`.
    pub fn advance(&mut self, now: Timestamp) {
        while self.next_due() <= now {
            self.turn(self.next_due());
        }
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

    /// What the checkers found wrong, at most one of each kind and campaign.
    pub fn problems(&self) -> impl Iterator<Item = String> {
        self.reports().zip(&self.runs).flat_map(|(Standing { campaign, report, .. }, run)| {
            run.checker.problems(&run.machine, &report).into_iter().map(|it| format!("{}: {it}", campaign.id))
        })
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
            self.unread.push(Record { at: now, campaign, event });
        }
        if let Some(grant) = grant {
            let live = &self.runs[at].live;
            grant.publish(live);
            live.ring();
        }
    }

    /// Reads what was recorded since the last turn.
    fn learn(&mut self) {
        if self.unread.is_empty() {
            return;
        }
        for record in self.unread.drain(..) {
            self.learner.consume(self.offset, &record);
            self.offset += 1;
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
