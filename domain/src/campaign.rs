//! What an advertiser asks for.

use std::time::Duration;

use crate::creative::Creative;
use crate::explore::Explore;
use crate::frequency::{CapWindow, Frequency};
use crate::holdout::Holdout;
use crate::id::{CampaignKey, Tag};
use crate::money::{CpmMicros, Micros};
use crate::planted::{Bug, planted};
use crate::targeting::{Daypart, Predicate, Targeting};
use crate::time::{Timestamp, Zone};

/// A campaign as configured and checked: what to show, to whom, when, for what, and for how much.
#[derive(Clone, Debug, PartialEq)]
pub struct Campaign {
    /// The configured id: letters, digits, `-` and `_`.
    pub id: String,
    /// The stable hash of `id`.
    pub key: CampaignKey,
    /// For people.
    pub name: String,
    /// The advertiser's domain, sent as `adomain` and compared with `badv`.
    pub advertiser_domain: String,
    /// What the ads are about, sent as `cat` and compared with `bcat`. At least one, of IAB's content taxonomy 1.0
    /// first.
    pub categories: Vec<Category>,
    /// The advertised app's id in its store, sent as `bundle` and compared with `bapp`; empty for none.
    pub app_bundle: String,
    /// The language of the ads, ISO 639-1; empty where it does not matter.
    pub language: String,
    /// The ids of the deals that it may buy under, hashed. The open auction is always open to it.
    pub deals: Vec<Tag>,
    /// What the money should buy.
    pub goal: Goal,
    /// What holds beside the goal.
    pub limits: Limits,
    /// How much there is.
    pub budget: Budget,
    /// When it runs.
    pub flight: Flight,
    /// How spend is spread over the day.
    pub pacing: Pacing,
    /// What keeps spend to that.
    pub control: Control,
    /// The advertiser's time zone: its days begin at its midnight.
    pub zone: Zone,
    /// Hours of the week in which it bids; empty means all.
    pub dayparts: Vec<Daypart>,
    /// Who sees it.
    pub targeting: Targeting,
    /// How often one user sees it, at most.
    pub frequency: Frequency,
    /// Whether it bids where what nodes share of users cannot be read, by what this node knows alone. Of no account for one that
    /// asks nothing of users.
    pub bids_without_user_state: bool,
    /// The share of users whom it never bids for, to know what its ads bring.
    pub holdout: Holdout,
    /// A hard ceiling on any bid.
    pub max_bid: CpmMicros,
    /// What it tries beyond what it holds for best.
    pub explore: Explore,
    /// What may be shown; at least one.
    pub creatives: Vec<Creative>,
}

impl Campaign {
    /// One of that id that never bids: no time, no money, nothing to show. Others are made from it by saying what is different.
    pub fn named(id: &str) -> Self {
        let over = Timestamp::default();
        Self {
            id: id.to_owned(),
            key: CampaignKey::of(id),
            name: String::new(),
            advertiser_domain: String::new(),
            categories: Vec::new(),
            app_bundle: String::new(),
            language: String::new(),
            deals: Vec::new(),
            goal: Goal::Cpm { price: CpmMicros::ZERO },
            limits: Limits::default(),
            budget: Budget { daily: None, total: Some(Micros::ZERO) },
            flight: Flight { start: over, end: over },
            pacing: Pacing::default(),
            control: Control::default(),
            zone: Zone::default(),
            dayparts: Vec::new(),
            targeting: Targeting::default(),
            frequency: Frequency::default(),
            bids_without_user_state: false,
            holdout: Holdout::default(),
            max_bid: CpmMicros::ZERO,
            explore: Explore::default(),
            creatives: Vec::new(),
        }
    }

    /// Whether it goes by what users did or saw: it counts impressions, or asks for behaviours.
    pub fn asks_of_users(&self) -> bool {
        let Targeting { all, any, none } = &self.targeting;
        let asks = |predicate: &Predicate| matches!(predicate, Predicate::Behaviour { .. });
        let counts = !self.frequency.caps.is_empty() || matches!(self.goal, Goal::Reach { .. });
        counts || [all, any, none].into_iter().flatten().any(asks)
    }
}

/// What the money should buy. The bid is the expected value of an impression under this goal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// A fixed price per thousand impressions.
    Cpm {
        /// Value of a thousand impressions.
        price: CpmMicros,
    },
    /// Impressions that are seen, at a fixed price per thousand of them.
    Vcpm {
        /// Value of a thousand viewable impressions.
        price: CpmMicros,
    },
    /// People: their first impressions.
    Reach {
        /// Value of a thousand first impressions.
        price: CpmMicros,
        /// What each further impression is worth of the one before it, in 0..=0.9.
        repeat: f64,
        /// For how long an impression counts as seen.
        within: CapWindow,
    },
    /// Clicks, at no more than `max` each.
    Cpc {
        /// Value of a click.
        max: Micros,
    },
    /// Orders, at `target` each on average.
    Cpa {
        /// What an order costs on average.
        target: Micros,
    },
    /// Revenue, `target` units of it for each unit spent, on average.
    Roas {
        /// Revenue (or what `margin` leaves of it) ÷ spend; above 0.
        target: f64,
        /// What an order brings, before enough orders were seen to know.
        order_value: Micros,
        /// The share of revenue that counts, above 0 and at most 1.
        margin: f64,
    },
}

impl Goal {
    /// What an order is worth to the goal of one that brings `order_value`; none where orders are not its measure.
    pub fn order_worth(&self, order_value: Micros) -> Option<f64> {
        match *self {
            Self::Cpa { target } => Some(target.to_f64()),
            Self::Roas { target, margin, .. } => Some(order_value.to_f64() * margin / target),
            Self::Cpm { .. } | Self::Vcpm { .. } | Self::Reach { .. } | Self::Cpc { .. } => None,
        }
    }
}

/// What holds beside a goal. The goal says what an impression is worth; a limit only ever lowers a bid.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    /// No bid is above what the expected clicks come to at this price each, and the average of what clicks cost is held under it.
    pub max_cpc: Option<Micros>,
    /// Orders cost no more than this on average.
    pub target_cpa: Option<Micros>,
    /// Each unit spent brings at least so much revenue on average.
    pub target_roas: Option<ReturnLimit>,
}

/// A least return on spend.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReturnLimit {
    /// Revenue ÷ spend; above 0.
    pub target: f64,
    /// What an order brings, before enough orders were seen to know.
    pub order_value: Micros,
}

/// How much there is to spend. At least one of the two is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// Per day of the advertiser's calendar.
    pub daily: Option<Micros>,
    /// Over the whole flight.
    pub total: Option<Micros>,
}

/// One category, in one of the taxonomies that exchanges use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Category {
    /// AdCOM 1.0, list of category taxonomies: 1 for IAB's content taxonomy 1.0.
    pub taxonomy: u8,
    /// The code in it, as `IAB20-9` or `596`.
    pub code: String,
}

impl Category {
    /// IAB's content taxonomy 1.0 in AdCOM 1.0's list of category taxonomies.
    pub const CONTENT_1: u8 = 1;

    /// Of IAB's content taxonomy 1.0.
    pub fn iab(code: impl Into<String>) -> Self {
        Self { taxonomy: Self::CONTENT_1, code: code.into() }
    }
}

/// When a campaign runs: from `start` (inclusive) to `end` (exclusive).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flight {
    /// First instant; `Timestamp::default()` for "always has".
    pub start: Timestamp,
    /// First instant after; [`Timestamp::MAX`] for "until stopped".
    pub end: Timestamp,
}

impl Flight {
    /// Whether `now` is inside.
    pub fn contains(&self, now: Timestamp) -> bool {
        let minute = Duration::from_secs(60);
        let early = if planted(Bug::FlightBeginsEarly) { minute } else { Duration::ZERO };
        let late = if planted(Bug::FlightEndsLate) { minute } else { Duration::ZERO };
        self.start <= now + early && now < self.end + late
    }
}

/// How spend is spread over a day: its curve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pacing {
    /// In proportion to the time of the day in which the campaign may bid.
    #[default]
    Even,
    /// As soon as possible.
    Asap,
    /// Sooner than evenly: one and a half times as fast at first and half as fast in the end, so that 62.5 % is spent by the middle.
    Ahead,
    /// By the weights of the hours of the advertiser's day, from midnight on. At least one is above 0.
    Hours([u16; 24]),
    /// As the requests come that it could bid on, by what it has seen of them.
    Traffic,
}

impl Pacing {
    /// What the configuration calls it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Even => "even",
            Self::Asap => "asap",
            Self::Ahead => "ahead",
            Self::Hours(_) => "hours",
            Self::Traffic => "traffic",
        }
    }
}

/// What keeps spend to its curve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Control {
    /// Bids are scaled by the price of money, which is learned as the dual of the budget.
    #[default]
    Dual,
    /// Bids are scaled by a PID controller.
    Pid,
    /// Bids stay as they are; a share of the auctions is taken.
    Throttle,
}

impl Control {
    /// What the configuration calls it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dual => "dual",
            Self::Pid => "pid",
            Self::Throttle => "throttle",
        }
    }
}
