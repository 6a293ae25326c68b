//! What the bidder itself would have bought: its pacing, pricing and market curves, fed with what a bidder sees.
//!
//! A log has no times, so an episode is a day of UTC that its auctions divide evenly. Notices come at once.

use std::time::Duration;

use haggle_domain::draw::Stream;
use haggle_domain::{
    AuctionType, Budget, Campaign, Control, CpmMicros, Draw, ExchangeKey, Flight, Goal, Micros, Pacing,
    Timestamp,
};
use haggle_learning::Prediction;
use haggle_strategies::pacing::{DayPlan, Pacer};
use haggle_strategies::{Market, pricing};

use super::Setting;
use crate::replay::auction::{Auction, Episodes, Seen, Strategy, cost};

const DAY: Duration = Duration::from_secs(86_400);
/// How often the pacer is asked at most.
const TICK: Duration = Duration::from_secs(1);
/// So many prices later the market's curve is prepared again.
const PREPARED_EVERY: u32 = 1_000;

pub(super) struct Ours {
    campaign: Campaign,
    auction: AuctionType,
    plan: DayPlan,
    pacer: Pacer,
    market: Market,
    exchange: ExchangeKey,
    told: u32,
    episodes: Episodes,
    seed: u64,
    /// The day's start, and its auctions so far.
    day: Timestamp,
    passed: u64,
    ticked: Timestamp,
    spent: Micros,
    /// The plan kept money from a bid since the last tick.
    held_back: bool,
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
            pacer: Pacer::new(control),
            market: Market::default(),
            exchange: ExchangeKey::of("replay"),
            told: 0,
            episodes,
            seed,
            day: Timestamp::default(),
            passed: 0,
            ticked: Timestamp::default(),
            spent: Micros::ZERO,
            held_back: false,
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
        let bid = pricing::bid(
            value,
            self.pacer.multiplier(pacing),
            self.auction,
            self.market.curve(self.exchange),
            CpmMicros::ZERO,
            self.campaign.max_bid,
        );
        let allowance = self.plan.allowance(now, budget);
        let out = self.spent.saturating_add(cost(bid));
        self.held_back |= out > allowance && out <= budget;
        (bid > CpmMicros::ZERO && out <= allowance.min(budget)).then_some(bid)
    }

    fn seen(&mut self, seen: Seen) {
        if let Seen::Won(paid) = seen {
            self.spent += paid;
        }
        self.passed += 1;
    }

    fn told(&mut self, price: CpmMicros) {
        self.market.observe(self.exchange, price);
        self.told += 1;
        if self.told.is_multiple_of(PREPARED_EVERY) {
            self.market.prepare();
        }
    }
}
