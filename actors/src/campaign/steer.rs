//! Which averages a campaign's goal and limits promise, and the multiplier that holds them.

use std::time::Duration;

use haggle_domain::{Campaign, Goal, Tag, Timestamp};
use haggle_strategies::pricing::MOST_MULTIPLIER;

use crate::averages::Kind;
use crate::books::Books;

/// The least multiplier: a model that promises eight times of what comes is corrected. Below that the model is of no use, and a
/// campaign that wins nothing learns nothing.
const LEAST: f64 = 0.125;
/// How far the multiplier's logarithm moves in a step. So nothing that is believed for a minute does much harm, and a morning is
/// enough for any change.
const STEP: f64 = 0.05;
/// Where pacing leaves less than this of bids, the budget decides and raising them further is of no use.
const BUDGET_DECIDES: f64 = 0.5;
/// How long a step takes.
pub(super) const EVERY: Duration = Duration::from_secs(60);
/// Smaller changes of the multiplier, and of what pacing makes of it, are not worth an event.
const WORTH_NOTING: [f64; 2] = [0.01, 0.05];

/// What is held on average.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Average {
    /// What a click costs.
    Cpc,
    /// What an order costs.
    Cpa,
    /// What a unit spent brings in revenue, or in what the margin leaves of it.
    Roas,
}

impl Average {
    /// As in configurations and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cpc => "cpc",
            Self::Cpa => "cpa",
            Self::Roas => "roas",
        }
    }
}

/// An average and how it stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Held {
    /// Which.
    pub average: Average,
    /// What was asked for: units of money, or a ratio.
    pub target: f64,
    /// What it comes to over the last months, with the clicks and orders that are still expected; none before anything was spent.
    pub achieved: Option<f64>,
    /// Clicks or orders that came for each that the model expected.
    pub came: f64,
}

impl Held {
    /// What is paid ÷ what was asked for: above 1 it is dearer.
    pub fn cost_ratio(&self) -> Option<f64> {
        self.achieved.map(|achieved| match self.average {
            Average::Cpc | Average::Cpa => achieved / self.target,
            Average::Roas => self.target / achieved,
        })
    }
}

/// A promised average.
struct Promise {
    average: Average,
    kind: Kind,
    target: f64,
    /// What an outcome may cost.
    worth: f64,
}

/// What a step comes to.
#[derive(Clone, Copy)]
pub(super) struct Step {
    pub(super) goal: f64,
    pub(super) total: f64,
    pub(super) aim: Tag,
}

/// Of orders that the goal asks for, `incremental` is the share that the ads bring: what is held is the price of those.
fn promises(campaign: &Campaign, books: &Books, incremental: f64) -> impl Iterator<Item = Promise> {
    let clicks = |most: f64| Promise { average: Average::Cpc, kind: Kind::Clicks, target: most, worth: most };
    let orders = |average, target, worth| Promise { average, kind: Kind::Orders, target, worth };
    let goal = match campaign.goal {
        Goal::Cpc { max } => Some(clicks(max.to_f64())),
        Goal::Cpa { target } => {
            let target = target.to_f64() * incremental;
            Some(orders(Average::Cpa, target, target))
        }
        Goal::Roas { target, order_value, .. } => {
            let worth = campaign.goal.order_worth(books.order_value(order_value));
            worth.map(|worth| orders(Average::Roas, target / incremental, worth * incremental))
        }
        Goal::Cpm { .. } | Goal::Vcpm { .. } | Goal::Reach { .. } => None,
    };
    let limits = campaign.limits;
    let returns = limits.target_roas.map(|limit| {
        let worth = books.order_value(limit.order_value).to_f64() / limit.target;
        orders(Average::Roas, limit.target, worth)
    });
    let cpa = limits.target_cpa.map(|target| orders(Average::Cpa, target.to_f64(), target.to_f64()));
    let cpc = limits.max_cpc.map(|most| clicks(most.to_f64()));
    let all = [goal, cpc, cpa, returns].into_iter().flatten();
    // Money of nothing cannot be held, and configurations name none.
    all.filter(|promise| promise.worth > 0.0)
}

/// A target is an average that bids may be raised for; everything else is a bound.
fn most(goal: &Goal) -> f64 {
    match goal {
        Goal::Cpa { .. } | Goal::Roas { .. } => MOST_MULTIPLIER,
        Goal::Cpm { .. } | Goal::Vcpm { .. } | Goal::Reach { .. } | Goal::Cpc { .. } => 1.0,
    }
}

/// What was configured, hashed; and what orders are worth of that, where the ads do not bring all of them.
fn aim(campaign: &Campaign, incremental: f64) -> Tag {
    let configured = format!("{:?} {:?}", campaign.goal, campaign.limits);
    let by_orders = matches!(campaign.goal, Goal::Cpa { .. } | Goal::Roas { .. });
    Tag::exactly(&if by_orders && incremental < 1.0 {
        format!("{configured} {incremental:?}")
    } else {
        configured
    })
}

/// Whether the campaign promises any average.
pub(super) fn promises_any(campaign: &Campaign, books: &Books) -> bool {
    promises(campaign, books, 1.0).next().is_some()
}

/// The first one: the truthful value, scaled by pacing alone.
pub(super) fn first(campaign: &Campaign, pacing: f64, incremental: f64) -> Step {
    Step { goal: 1.0, total: pacing, aim: aim(campaign, incremental) }
}

/// What holds the averages now; 1 where none is promised.
pub(super) fn multiplier(campaign: &Campaign, books: &Books) -> f64 {
    match &books.averages {
        Some(averages) if promises_any(campaign, books) => averages.goal.clamp(LEAST, most(&campaign.goal)),
        _ => 1.0,
    }
}

/// The next step, if it is due and does something. Every promise has its own multiplier, and the least of them holds them all.
pub(super) fn step(
    campaign: &Campaign,
    books: &Books,
    pacing: f64,
    incremental: f64,
    now: Timestamp,
) -> Option<Step> {
    let averages = books.averages.as_deref()?;
    let aim = aim(campaign, incremental);
    if averages.aim == aim && !averages.is_stale(now, EVERY) {
        return None;
    }
    let known = averages.at(now);
    let wanted =
        promises(campaign, books, incremental).map(|promise| known.wanted(promise.kind, promise.worth));
    let wanted = wanted.reduce(f64::min).filter(|wanted| wanted.is_finite())?;
    let before = multiplier(campaign, books);
    let wanted = if pacing < BUDGET_DECIDES { wanted.min(before) } else { wanted };
    let moved = (wanted / before).max(f64::MIN_POSITIVE).ln().clamp(-STEP, STEP);
    let goal = (before * moved.exp()).clamp(LEAST, most(&campaign.goal));
    let step = Step { goal, total: goal * pacing, aim };
    let by = |from: f64, to: f64| (to / from.max(f64::MIN_POSITIVE)).ln().abs();
    let [goal, total] = WORTH_NOTING;
    let noted =
        averages.aim != aim || by(averages.goal, step.goal) > goal || by(averages.total, step.total) > total;
    noted.then_some(step)
}

/// How what is promised stands, the goal first.
pub(super) fn held(
    campaign: &Campaign,
    books: &Books,
    incremental: f64,
    now: Timestamp,
) -> [Option<Held>; 4] {
    let known = books.averages.as_deref().map(|averages| averages.at(now));
    let mut promised = promises(campaign, books, incremental).map(|promise| {
        let standing =
            known.as_ref().map(|known| known.standing(promise.kind, promise.worth)).unwrap_or_default();
        let achieved = standing.ratio.map(|ratio| match promise.average {
            Average::Cpc | Average::Cpa => promise.target * ratio,
            Average::Roas => promise.target / ratio,
        });
        Held { average: promise.average, target: promise.target, achieved, came: standing.came }
    });
    std::array::from_fn(|_| promised.next())
}
