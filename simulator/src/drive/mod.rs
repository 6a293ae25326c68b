//! Days of a world with a bidder in it, on virtual time: the same seed gives the same days, however fast they pass.

mod bidder;
mod bids;
mod check;
mod course;
mod goal;
mod queue;
mod showcase;
mod turns;

use std::collections::BTreeMap;
use std::time::Duration;

use haggle_actors::campaign::Notice;
use haggle_domain::{AuctionType, Campaign, CpmMicros, Micros, Pacing, Tag, Timestamp};

pub use bidder::{Bidder, BidderSettings, Made, Standing};
pub use bids::Bids;
use course::Course;
pub use goal::Asked;
use queue::Queue;
use showcase::Showcase;
pub use turns::Turns;

use crate::chance::{Chance, Use};
use crate::conditions::Conditions;
use crate::world::{World, WorldSettings};

/// A world, how long it is looked at, and how busy it is.
#[derive(Clone, Debug)]
pub struct DriveSettings {
    /// Chooses users, prices, clicks and orders.
    pub seed: u64,
    /// When it begins.
    pub start: Timestamp,
    /// How long it takes.
    pub span: Duration,
    /// From when on it is counted what comes of it; before that the bidder only gets to know the world.
    pub measured_from: Duration,
    /// Conditions from so long after the start on, in order of time; none are all as usual.
    pub changes: Vec<(Duration, Conditions)>,
    /// Bid requests a day, on average, where traffic is as usual.
    pub requests_a_day: f64,
    /// How long notices take, where they take as long as usual.
    pub notice_delay: Duration,
    /// The world.
    pub world: WorldSettings,
    /// The bidder.
    pub bidder: BidderSettings,
}

/// Equal parts of a run's span at whose ends spend is noted.
pub const MOMENTS: u32 = 48;

/// What came of one campaign, from when on it was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Campaigned {
    /// What its goal asks for on average, where it does.
    pub asked: Option<Asked>,
    /// Money that its days had for it, what lapsed with them included.
    pub budget: Micros,
    /// What was spent of it.
    pub spend: Micros,
    /// What was spent beyond what there was.
    pub overspend: Micros,
    /// Bids that won.
    pub wins: u64,
    /// Ads shown.
    pub impressions: u64,
    /// Clicks on them.
    pub clicks: u64,
    /// Orders that followed.
    pub orders: u64,
    /// What the orders brought.
    pub revenue: Micros,
}

/// What a campaign had spent by a moment, from the start, and what its plan had it spend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// What it had spent.
    pub spend: Micros,
    /// What it had planned to, with what earlier days had and did not spend.
    pub planned: Micros,
}

/// What came of a run, from when on it was measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Requests before it was measured.
    pub unmeasured: u64,
    /// Requests, each with one auction.
    pub auctions: u64,
    /// Bids made.
    pub bids: u64,
    /// Auctions without one, by the reason.
    pub no_bids: BTreeMap<&'static str, u64>,
    /// By campaign, in the order of their places in the catalog, which follows from what they may bid.
    pub campaigns: Vec<(String, Campaigned)>,
    /// By campaign, at the start and at the end of each of [`MOMENTS`] parts of the span; fewer where it ended early.
    pub courses: Vec<Vec<Spent>>,
    /// Sum of the hidden click probabilities of what was shown: clicks without their chance.
    pub expected_clicks: f64,
    /// Invariants that did not hold; empty in a program without defects.
    pub problems: Vec<String>,
}

/// What is to happen.
enum Due {
    Notice(Box<Notice>),
}

/// Lets the days pass. `pass` is called at each request and may end the run early, which leaves what came until then.
pub fn drive(settings: &DriveSettings, campaigns: Vec<Campaign>, pass: &mut dyn FnMut() -> bool) -> Outcome {
    drive_with(settings, &mut Bidder::new(campaigns, settings.bidder, settings.start), pass)
}

/// The same with somebody who bids already; [`DriveSettings::bidder`] says nothing then.
pub fn drive_with<B: Bids>(
    settings: &DriveSettings,
    bidder: &mut B,
    pass: &mut dyn FnMut() -> bool,
) -> Outcome {
    let (start, end) = (settings.start, settings.start + settings.span);
    let measured_from = start + settings.measured_from;
    let mut world = World::new(settings.seed, start, settings.world);
    let mut arrivals = Chance::new(settings.seed, Use::Arrivals, 0, 0);
    let course = Course::new(start, &settings.changes);
    let mut queue = Queue::default();
    let mut showcase = Showcase::default();
    let mut outcome =
        Outcome { courses: bidder.standings().iter().map(|_| Vec::new()).collect(), ..Outcome::default() };
    let mut before: Option<Vec<Campaigned>> = None;
    let mut next = course.arrival(&mut arrivals, start, settings.requests_a_day);
    loop {
        let due = queue.next_at().min(bidder.next_due());
        let now = next.min(due);
        note_spend(settings, bidder, now.min(end), &mut outcome);
        if before.is_none() && now >= measured_from {
            before = Some(
                bidder
                    .standings()
                    .iter()
                    .map(|standing| Campaigned { budget: gone(standing), ..of(standing) })
                    .collect(),
            );
            let (courses, unmeasured) = (std::mem::take(&mut outcome.courses), outcome.auctions);
            outcome = Outcome { courses, unmeasured, ..Outcome::default() };
        }
        if now >= end {
            break;
        }
        bidder.advance(now);
        while let Some(Due::Notice(notice)) = queue.pop(now) {
            bidder.notice(*notice, now);
        }
        if now == next {
            let events = world.next_shop_events(now);
            if !events.is_empty() {
                bidder.behaviour(&events, now);
            }
            let conditions = course.at(now);
            world.set_conditions(conditions);
            let soon = now + settings.notice_delay.mul_f64(conditions.notice_delay);
            ask(&mut world, bidder, &mut queue, &mut outcome, &mut showcase, (now, soon));
            next = course.arrival(&mut arrivals, now, settings.requests_a_day);
            if !pass() {
                break;
            }
        }
    }
    outcome.problems = bidder.problems();
    let before = before.unwrap_or_default().into_iter().map(Some).chain(std::iter::repeat(None));
    outcome.campaigns = bidder
        .standings()
        .iter()
        .zip(before)
        .map(|(standing, before)| {
            (standing.campaign.id.clone(), of(standing).since(before.unwrap_or_default()))
        })
        .collect();
    outcome
}

fn of(standing: &Standing<'_>) -> Campaigned {
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
    }
}

/// What the plan had a campaign spend, with what lapsed.
fn planned(Standing { report, opened, .. }: &Standing<'_>) -> Micros {
    report.planned + (*opened - report.budget)
}

/// Money that was for before, or is not there any more: planned for until now, spent, or lapsed with its day. Who spends at once has
/// planned to have spent the whole day's from its first moment on, which says nothing of what was for before.
fn gone(standing: &Standing<'_>) -> Micros {
    let Standing { campaign, report, opened } = standing;
    let spent = report.settled + (*opened - report.budget);
    if campaign.pacing == Pacing::Asap { spent } else { spent.max(planned(standing)) }
}

impl Campaigned {
    /// Less what came before.
    fn since(self, before: Self) -> Self {
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
        }
    }
}

/// Notes what had been spent by the moments up to `now`, before anything else happens at it.
fn note_spend(settings: &DriveSettings, bidder: &impl Bids, now: Timestamp, outcome: &mut Outcome) {
    let noted = |outcome: &Outcome| outcome.courses.first().map_or(usize::MAX, Vec::len);
    let moment = |at: usize| settings.start + settings.span.mul_f64(at as f64 / f64::from(MOMENTS));
    while noted(outcome) <= MOMENTS as usize && moment(noted(outcome)) <= now {
        for (course, standing) in outcome.courses.iter_mut().zip(bidder.standings()) {
            course.push(Spent { spend: standing.report.settled, planned: planned(&standing) });
        }
    }
}

/// One request: the bid, the auction, and what follows from it, of which notices come `soon`.
fn ask(
    world: &mut World,
    bidder: &mut impl Bids,
    queue: &mut Queue<Due>,
    outcome: &mut Outcome,
    showcase: &mut Showcase,
    (now, soon): (Timestamp, Timestamp),
) {
    let request = world.next_request(now);
    outcome.auctions += 1;
    let made = bidder.bid(&request, now);
    if let Err(reason) = &made {
        *outcome.no_bids.entry(reason.as_str()).or_default() += 1;
    }
    let made = made.ok();
    let shown = made.as_ref().map(|made| showcase.of(request.imp_id, made));
    let auction = world.auction(&request, shown.map(|(bid, _)| bid));
    let Some((made, (_, ad))) = made.zip(shown) else { return };
    outcome.bids += 1;
    let decision = &made.committed.decision;
    // An exchange that says nothing of it says nought.
    let min_to_win = Some(auction.min_to_win).filter(|price| *price > CpmMicros::ZERO);
    let min_to_win = min_to_win.map(|price| decision.terms.in_account(price));
    let mut tell = |at: Timestamp, notice: Notice| queue.push(at, Due::Notice(Box::new(notice)));
    if !auction.won {
        tell(soon, Notice::Lost { decision: made.committed.decision, min_to_win });
        return;
    }
    let price = decision.terms.charge(auction.clearing);
    let after = world.after_win(&request, ad, now);
    // The second-price exchange bills by its win notice, which is taken in as both, the other one when the ad is shown.
    let bills_on_win = request.auction == AuctionType::SecondPlus;
    if bills_on_win {
        tell(soon, Notice::Bill { decision: decision.clone(), price });
    }
    tell(soon, Notice::Won { decision: decision.clone(), price, min_to_win });
    if after.rendered && !bills_on_win {
        tell(soon, Notice::Bill { decision: decision.clone(), price });
    }
    if !after.rendered {
        return;
    }
    outcome.expected_clicks += world.truth().click_probability(&request, ad);
    tell(soon, Notice::Impression { decision: decision.clone() });
    let Some(click) = after.click else { return };
    tell(click.max(soon), Notice::Click { decision: decision.clone() });
    let Some(order) = after.order else { return };
    let (revenue, id) = (order.value, Tag::of(&order.order_id));
    tell(order.at.max(soon), Notice::Conversion { decision: decision.clone(), revenue, order: id });
}
