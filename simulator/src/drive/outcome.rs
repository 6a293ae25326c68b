//! What comes of a run: counted over what is measured, by campaign, and over time.

use haggle_domain::{Campaign, Micros, NoBidReason, Pacing, Timestamp};

use super::bids::Bids;
use super::slice::{Foretold, Slice};
use super::{Asked, DriveSettings, Standing};
use crate::goods::Goods;

/// Equal parts of a run's span at whose ends spend is noted.
pub const MOMENTS: u32 = 48;

/// What came of one campaign, from when on it was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, minicbor::Encode, minicbor::Decode)]
pub struct Campaigned {
    /// What its goal asks for on average, where it does.
    #[n(0)]
    pub asked: Option<Asked>,
    /// Money that its days had for it, what lapsed with them included.
    #[n(1)]
    pub budget: Micros,
    /// What was spent of it.
    #[n(2)]
    pub spend: Micros,
    /// What was spent beyond what there was.
    #[n(3)]
    pub overspend: Micros,
    /// Bids that won.
    #[n(4)]
    pub wins: u64,
    /// Ads shown.
    #[n(5)]
    pub impressions: u64,
    /// Clicks on them.
    #[n(6)]
    pub clicks: u64,
    /// Orders that followed.
    #[n(7)]
    pub orders: u64,
    /// What the orders brought.
    #[n(8)]
    pub revenue: Micros,
    /// What of that is left once the goods are paid for: revenue times their margin.
    #[n(9)]
    pub margin: Micros,
}

/// What a campaign had spent by a moment, from the start, and what its plan had it spend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct Spent {
    /// What it had spent.
    #[n(0)]
    pub spend: Micros,
    /// What it had planned to, with what earlier days had and did not spend.
    #[n(1)]
    pub planned: Micros,
    /// What its orders had brought, less what their goods cost.
    #[n(2)]
    pub margin: Micros,
}

/// What came of a run, from when on it was measured.
#[derive(Clone, Debug, Default, PartialEq, minicbor::Encode, minicbor::Decode)]
pub struct Outcome {
    /// Requests before it was measured.
    #[n(0)]
    pub unmeasured: u64,
    /// Requests, each with one auction.
    #[n(1)]
    pub auctions: u64,
    /// Bids made.
    #[n(2)]
    pub bids: u64,
    /// Auctions without one, by [`NoBidReason::index`]; reasons behind the last one that was given are left out.
    #[n(3)]
    pub no_bids: Vec<u64>,
    /// By campaign, in the order of their places in the catalog, which follows from what they may bid.
    #[n(4)]
    pub campaigns: Vec<(String, Campaigned)>,
    /// By campaign, at the start and at the end of each of [`MOMENTS`] parts of the span; fewer where it ended early.
    #[n(5)]
    pub courses: Vec<Vec<Spent>>,
    /// The parts of the span, those that are not measured included.
    #[n(6)]
    pub slices: Vec<Slice>,
    /// How well the clicks of what was shown were foretold; of it `clicks` is clicks without their chance.
    #[n(7)]
    pub foretold: Foretold,
    /// Ads that were shown to programs.
    #[n(9)]
    pub bot_impressions: u64,
    /// What those cost.
    #[n(10)]
    pub bot_spend: Micros,
    /// Invariants that did not hold; empty in a program without defects.
    #[n(8)]
    pub problems: Vec<String>,
}
pub(super) fn of(standing: &Standing<'_>, goods: &Goods) -> Campaigned {
    let Standing { campaign, report, opened } = standing;
    Campaigned {
        asked: Asked::of(campaign),
        budget: *opened,
        spend: report.settled,
        overspend: report.settled.minus_or_zero(report.budget),
        wins: report.wins,
        impressions: report.impressions,
        clicks: report.clicks,
        orders: report.conversions,
        revenue: report.revenue,
        margin: margin(report.revenue, campaign, goods),
    }
}

/// Of what a campaign's first category sells, as the world sees it.
fn margin(revenue: Micros, campaign: &Campaign, goods: &Goods) -> Micros {
    let category = campaign.categories.first().map_or("", |category| &category.code);
    // The cast saturates; the margin is a share.
    Micros((revenue.0 as f64 * goods.margin_of(category)).round() as i64)
}

/// What the plan had a campaign spend, with what lapsed.
fn planned(Standing { report, opened, .. }: &Standing<'_>) -> Micros {
    report.planned + (*opened - report.budget)
}

/// Money that was for before, or is not there any more: planned for until now, spent, or lapsed with its day. Who spends at once has
/// planned to have spent the whole day's from its first moment on, which says nothing of what was for before.
pub(super) fn gone(standing: &Standing<'_>) -> Micros {
    let Standing { campaign, report, opened } = standing;
    let spent = report.settled + (*opened - report.budget);
    if campaign.pacing == Pacing::Asap { spent } else { spent.max(planned(standing)) }
}

impl Campaigned {
    /// Less what came before.
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            asked: self.asked,
            budget: self.budget - before.budget,
            spend: self.spend - before.spend,
            overspend: self.overspend,
            wins: self.wins - before.wins,
            impressions: self.impressions - before.impressions,
            clicks: self.clicks - before.clicks,
            orders: self.orders - before.orders,
            revenue: self.revenue - before.revenue,
            margin: self.margin - before.margin,
        }
    }
}

/// Notes what had been spent by the moments up to `now`, before anything else happens at it.
pub(super) fn note_spend(
    settings: &DriveSettings,
    bidder: &impl Bids,
    now: Timestamp,
    outcome: &mut Outcome,
) {
    let noted = |outcome: &Outcome| outcome.courses.first().map_or(usize::MAX, Vec::len);
    let moment = |at: usize| settings.start + settings.span.mul_f64(at as f64 / f64::from(MOMENTS));
    while noted(outcome) <= MOMENTS as usize && moment(noted(outcome)) <= now {
        for (course, standing) in outcome.courses.iter_mut().zip(bidder.standings()) {
            course.push(Spent {
                spend: standing.report.settled,
                planned: planned(&standing),
                margin: margin(standing.report.revenue, standing.campaign, &settings.world.goods),
            });
        }
    }
}

impl Outcome {
    pub(super) fn no_bid(&mut self, reason: NoBidReason) {
        let at = reason.index();
        self.no_bids.resize(self.no_bids.len().max(at + 1), 0);
        self.no_bids.iter_mut().skip(at).take(1).for_each(|count| *count += 1);
    }

    /// Counts what came of a request at a share of the span.
    pub(super) fn note(&mut self, slice: Slice, share: f64) {
        self.auctions += slice.auctions;
        self.bids += slice.bids;
        self.foretold = self.foretold.plus(slice.foretold);
        if let Some(whole) = self.slices.get_mut((share * f64::from(MOMENTS)) as usize) {
            *whole = whole.plus(slice);
        }
    }
}
