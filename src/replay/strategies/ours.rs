//! What the bidder itself would have bought: its pacing, pricing and market curves, fed with what a bidder sees.
//!
//! A log has no times, so an episode is a day of UTC that its auctions divide evenly. Notices come at once.

use std::time::Duration;

use haggle_domain::draw::Stream;
use haggle_domain::{
    AuctionType, Budget, Campaign, Control, CpmMicros, Draw, ExchangeKey, Flight, Goal, Micros, Pacing,
    Segment, Timestamp,
};
use haggle_learning::Prediction;
use haggle_strategies::market::Seen as Outcome;
use haggle_strategies::pacing::{DayPlan, Pacer};
use haggle_strategies::trial::Trial;
use haggle_strategies::{Landscape, Market, pricing};

use super::Setting;
use crate::replay::auction::{Auction, Episodes, Feedback, Seen, Strategy, cost};

const DAY: Duration = Duration::from_secs(86_400);
/// How often the pacer is asked at most.
const TICK: Duration = Duration::from_secs(1);
/// The curves are prepared again after a sixteenth as many outcomes as were seen, within these bounds: a node does it a few times a
/// second.
const PREPARED_AFTER: std::ops::RangeInclusive<u64> = 8..=500;

pub(super) struct Ours {
    campaign: Campaign,
    auction: AuctionType,
    feedback: Feedback,
    explore_prices: f64,
    seed: u64,
    plan: DayPlan,
    pacer: Pacer,
    landscape: Landscape,
    market: Market,
    exchange: ExchangeKey,
    /// Outcomes seen, and how many there will be when the curves are prepared again.
    outcomes: u64,
    prepare_at: u64,
    episodes: Episodes,
    /// The day's start, and its auctions so far.
    day: Timestamp,
    passed: u64,
    /// Auctions of all days.
    auctions: u64,
    ticked: Timestamp,
    spent: Micros,
    /// The plan kept money from a bid since the last tick.
    held_back: bool,
    /// What was bid in this auction.
    made: Option<CpmMicros>,
}

impl Ours {
    /// A campaign for clicks of up to the setting's price each, at bids of up to its highest.
    pub(super) fn new(setting: &Setting, control: Control) -> Self {
        let Setting { click, max_bid, episodes, seed, .. } = *setting;
        // Of all that a campaign is, only its goal, its money and its time count here.
        let campaign = Campaign {
            goal: Goal::Cpc { max: click },
            budget: Budget { daily: Some(episodes.budget), total: None },
            flight: Flight { start: Timestamp(i64::MIN), end: Timestamp::MAX },
            pacing: Pacing::Even,
            control,
            max_bid,
            ..Campaign::named("replay")
        };
        Self {
            plan: DayPlan::of(&campaign, Timestamp::default()),
            campaign,
            auction: match setting.rules.auction {
                Auction::First => AuctionType::First,
                Auction::Second => AuctionType::SecondPlus,
            },
            feedback: setting.feedback,
            explore_prices: setting.explore_prices,
            pacer: Pacer::new(control),
            landscape: Landscape::default(),
            market: Market::default(),
            exchange: ExchangeKey::of("replay"),
            outcomes: 0,
            prepare_at: 0,
            episodes,
            seed,
            day: Timestamp::default(),
            passed: 0,
            auctions: 0,
            ticked: Timestamp::default(),
            spent: Micros::ZERO,
            held_back: false,
            made: None,
        }
    }

    /// Another price than the best at some bids, as a node does it where it is not told what it takes to win.
    fn tried(&self, best: CpmMicros, paced: f64) -> CpmMicros {
        if self.auction != AuctionType::First || self.feedback == Feedback::Full {
            return best;
        }
        let draw = Draw::new(self.seed, &self.auctions.to_string(), "1");
        let trial = Trial { share: self.explore_prices, uniform: draw.uniform(Stream::Price, 0) };
        let highest = CpmMicros::from_f64_rounded_down(paced).min(self.campaign.max_bid);
        trial.price(best, CpmMicros::ZERO, highest).0
    }

    fn learn(&mut self, outcome: Outcome) {
        self.landscape.observe(self.exchange, None, outcome, 1.0);
        self.outcomes += 1;
        if self.outcomes >= self.prepare_at {
            self.market = self.landscape.prepare();
            let (least, most) = PREPARED_AFTER.into_inner();
            self.prepare_at = self.outcomes + (self.outcomes / 16).clamp(least, most);
        }
    }

    fn now(&self) -> Timestamp {
        let micros = u128::from(self.passed) * DAY.as_micros() / self.episodes.auctions.get() as u128;
        self.day + Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }
}

impl Strategy for Ours {
    fn begin(&mut self, _: &Episodes) {
        if self.passed > 0 {
            self.day = self.day + DAY;
        }
        self.plan = DayPlan::of(&self.campaign, self.day);
        self.pacer.begin_day();
        (self.passed, self.ticked, self.spent) = (0, self.day, Micros::ZERO);
    }

    fn bid(&mut self, ctr: f64) -> Option<CpmMicros> {
        let (now, budget, pacing) = (self.now(), self.episodes.budget, self.campaign.pacing);
        if self.passed == 0 || now.since(self.ticked) >= TICK {
            self.pacer.tick(now, &self.plan, self.spent, budget, self.held_back);
            self.held_back = false;
            self.ticked = now;
        }
        let taken = self.pacer.taken(pacing);
        if taken < 1.0 {
            // As the bidder draws: a hash, here of the auction's number.
            let draw = Draw::new(self.seed, &now.0.to_string(), "1");
            if draw.uniform(Stream::Throttle, self.campaign.key.0) >= taken {
                return None;
            }
        }
        let prediction = Prediction { click: ctr as f32, conversion: 0.0 };
        let value = pricing::value(&self.campaign.goal, &prediction, Micros::ZERO);
        let (multiplier, max_bid) = (self.pacer.multiplier(pacing), self.campaign.max_bid);
        let curve = self.market.curve(self.exchange, Segment::default());
        let best = pricing::bid(value, multiplier, self.auction, curve, CpmMicros::ZERO, max_bid);
        let bid = self.tried(best, value * multiplier);
        let allowance = self.plan.allowance(now, budget);
        let out = self.spent.saturating_add(cost(bid));
        self.held_back |= out > allowance && out <= budget;
        self.made = (bid > CpmMicros::ZERO && out <= allowance.min(budget)).then_some(bid);
        self.made
    }

    fn seen(&mut self, seen: Seen) {
        if let Seen::Won(paid) = seen {
            self.spent += paid;
        }
        (self.passed, self.auctions) = (self.passed + 1, self.auctions + 1);
        let first = self.auction == AuctionType::First;
        if let Some(bid) = self.made.take().filter(|_| first && self.feedback == Feedback::WinLoss) {
            self.learn(if seen == Seen::Lost { Outcome::Above(bid) } else { Outcome::AtMost(bid) });
        }
    }

    fn told(&mut self, price: CpmMicros) {
        if self.feedback == Feedback::Full {
            self.learn(Outcome::Price(price));
        }
    }
}
