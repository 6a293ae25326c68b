//! Days of a world with a bidder in it, on virtual time: the same seed gives the same days, however fast they pass.

mod bidder;
mod caps;
mod check;
mod checks;
mod course;
mod faults;
mod goal;
mod limits;
mod problems;
mod queue;
mod standing;
mod tape;
mod told;

use std::collections::BTreeMap;
use std::time::Duration;

use haggle_actors::campaign::Notice;
use haggle_domain::{AuctionType, Campaign, Micros, Pacing, Tag, Timestamp};

pub use bidder::{Bidder, BidderSettings, Made, Standing};
use checks::Checks;
use course::Course;
pub use faults::{ClockFault, Faults, Silence};
use faults::{Machine, RETRY, Turn};
pub use goal::Asked;
use limits::Placed;
use queue::Queue;

use crate::ad::{SimAd, SimBid};
use crate::chance::{Chance, Use};
use crate::conditions::Conditions;
use crate::request::SimRequest;
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
    /// What goes wrong.
    pub faults: Faults,
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

/// Why there is no bid while the machine is down.
const DOWN: &str = "machine_down";

/// What is to happen.
enum Due {
    Notice(Box<Notice>),
}

/// Lets the days pass. `pass` is called at each request and may end the run early, which leaves what came until then.
pub fn drive(settings: &DriveSettings, campaigns: Vec<Campaign>, pass: &mut dyn FnMut() -> bool) -> Outcome {
    let (start, end) = (settings.start, settings.start + settings.span);
    let measured_from = start + settings.measured_from;
    let mut world = World::new(settings.seed, start, settings.world);
    let faults = &settings.faults;
    let may_crash = !faults.crashes.is_empty() || faults.crash_every.is_some();
    let mut machine = Machine::new(faults, settings.seed, start, settings.span);
    let mut bidder = Bidder::new(campaigns, settings.bidder, may_crash, machine.clock(start));
    let mut checks = Checks::new(&bidder, settings.bidder, machine.clock(start));
    let mut arrivals = Chance::new(settings.seed, Use::Arrivals, 0, 0);
    let course = Course::new(start, &settings.changes);
    let mut queue = Queue::default();
    let mut outcome =
        Outcome { courses: bidder.reports().map(|_| Vec::new()).collect(), ..Outcome::default() };
    let mut before: Option<Vec<Campaigned>> = None;
    let mut next = course.arrival(&mut arrivals, start, settings.requests_a_day);
    let mut now = start;
    loop {
        let bidder_due = if machine.is_up() { machine.when(now, bidder.next_due()) } else { Timestamp::MAX };
        let due = queue.next_at().min(bidder_due).min(machine.next_turn(now));
        now = next.min(due.max(now));
        note_spend(settings, &bidder, now.min(end), &mut outcome);
        if before.is_none() && now >= measured_from {
            before = Some(
                bidder
                    .reports()
                    .map(|standing| Campaigned { budget: gone(&standing), ..of(&standing) })
                    .collect(),
            );
            let (courses, unmeasured) = (std::mem::take(&mut outcome.courses), outcome.auctions);
            outcome = Outcome { courses, unmeasured, ..Outcome::default() };
        }
        if now >= end {
            break;
        }
        if machine.turn(now) == Turn::Started {
            let clock = machine.clock(now);
            bidder.restart(clock);
            checks.restarted(clock);
        }
        let clock = machine.clock(now);
        if machine.is_up() {
            bidder.advance(clock);
            checks.look(&bidder, now, clock);
        }
        while let Some(Due::Notice(notice)) = queue.pop(now) {
            match machine.is_up() {
                true => tell(&mut bidder, &mut checks, *notice, clock),
                false if faults.retried => queue.push(now + RETRY, Due::Notice(notice)),
                false => {}
            }
        }
        if now == next {
            // While the machine is down the shop keeps what happened, or forgets it.
            if machine.is_up() || !faults.retried {
                for event in world.next_shop_events(now).iter().filter(|_| machine.is_up()) {
                    bidder.behaviour(event, clock);
                }
            }
            let conditions = course.at(now);
            world.set_conditions(conditions);
            let soon = now + settings.notice_delay.mul_f64(conditions.notice_delay);
            let request = world.next_request(now);
            // One that an exchange does not ask is as if it had gone to others alone.
            if !faults.is_silent(request.exchange, now.since(start)) {
                outcome.auctions += 1;
                match machine.is_up() {
                    true => {
                        let bidder = (&mut bidder, &mut checks, clock);
                        ask(&mut world, bidder, &mut queue, &mut outcome, settings, &request, soon);
                    }
                    false => *outcome.no_bids.entry(DOWN).or_default() += 1,
                }
            }
            next = course.arrival(&mut arrivals, now, settings.requests_a_day);
            if !pass() {
                break;
            }
        }
    }
    outcome.problems = checks.end(&bidder, machine.is_up(), machine.clock(now));
    let before = before.unwrap_or_default().into_iter().map(Some).chain(std::iter::repeat(None));
    outcome.campaigns = bidder
        .reports()
        .zip(before)
        .map(|(standing, before)| {
            (standing.campaign.id.clone(), of(&standing).since(before.unwrap_or_default()))
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
fn note_spend(settings: &DriveSettings, bidder: &Bidder, now: Timestamp, outcome: &mut Outcome) {
    let noted = |outcome: &Outcome| outcome.courses.first().map_or(usize::MAX, Vec::len);
    let moment = |at: usize| settings.start + settings.span.mul_f64(at as f64 / f64::from(MOMENTS));
    while noted(outcome) <= MOMENTS as usize && moment(noted(outcome)) <= now {
        for (course, standing) in outcome.courses.iter_mut().zip(bidder.reports()) {
            course.push(Spent { spend: standing.report.settled, planned: planned(&standing) });
        }
    }
}

/// Tells the bidder of something, and looks at what it makes of it.
fn tell(bidder: &mut Bidder, checks: &mut Checks, notice: Notice, clock: Timestamp) {
    let told = notice.clone();
    let outcome = bidder.notice(notice, clock);
    checks.notice(bidder, &told, outcome, clock);
}

/// One request: the bid, the auction, and what follows from it, of which notices come `soon`. The bidder is one with a clock.
fn ask(
    world: &mut World,
    (bidder, checks, clock): (&mut Bidder, &mut Checks, Timestamp),
    queue: &mut Queue<Due>,
    outcome: &mut Outcome,
    settings: &DriveSettings,
    request: &SimRequest,
    soon: Timestamp,
) {
    let made = bidder.bid(request.exchange, &request.body, clock);
    if let Err(reason) = &made {
        *outcome.no_bids.entry(reason.as_str()).or_default() += 1;
    }
    let made = made.ok();
    let placed = made.as_ref().and_then(|made| {
        let (country, may_be_known) = world.shown_user(request);
        let live = bidder.live(made.campaign.key)?;
        Some(Placed { request, made, live, country, may_be_known, now: clock })
    });
    if let Some(placed) = &placed {
        checks.bid(placed);
    }
    // Of an answer that comes too late nobody ever hears.
    let bid = made.as_ref().filter(|_| !settings.faults.is_slow(settings.seed, &request.id));
    let auction = world.auction(request, bid.map(|made| sim_bid(&request.imp_id, made)).as_ref());
    outcome.bids += u64::from(made.is_some());
    let Some(made) = bid else { return };
    if let Some(placed) = &placed {
        checks.decided(placed, &auction);
    }
    let decision = &made.committed.decision;
    let min_to_win = Some(decision.terms.in_account(auction.min_to_win));
    let mut tell = |kind: u64, at: Timestamp, notice: Notice| {
        let arrivals = settings.faults.arrivals(settings.seed, &request.id, kind, at);
        for at in arrivals.into_iter().flatten() {
            queue.push(at, Due::Notice(Box::new(notice.clone())));
        }
    };
    if !auction.won {
        tell(0, soon, Notice::Lost { decision: decision.clone(), min_to_win });
        return;
    }
    let price = decision.terms.charge(auction.clearing);
    tell(1, soon, Notice::Won { decision: decision.clone(), price, min_to_win });
    let ad = sim_ad(made);
    let after = world.after_win(request, &ad, request.at);
    // The second-price exchange bills with the win, the other one when the ad is shown.
    if after.rendered || request.auction == AuctionType::SecondPlus {
        tell(2, soon, Notice::Bill { decision: decision.clone(), price });
    }
    if !after.rendered {
        return;
    }
    outcome.expected_clicks += world.truth().click_probability(request, &ad);
    tell(3, soon, Notice::Impression { decision: decision.clone() });
    let Some(click) = after.click else { return };
    tell(4, click.max(soon), Notice::Click { decision: decision.clone() });
    let Some(order) = after.order else { return };
    let (revenue, id) = (order.value, Tag::of(&order.order_id));
    tell(5, order.at.max(soon), Notice::Conversion { decision: decision.clone(), revenue, order: id });
}

fn sim_bid(imp_id: &str, made: &Made) -> SimBid {
    let Made { committed, campaign } = made;
    let ad = sim_ad(made);
    SimBid {
        imp_id: imp_id.to_owned(),
        price: committed.price,
        creative_id: ad.creative_id,
        advertiser_domains: vec![campaign.advertiser_domain.clone()],
        categories: campaign.categories.iter().map(|category| category.code.clone()).collect(),
        width: ad.width,
        height: ad.height,
        has_markup: true,
    }
}

fn sim_ad(made: &Made) -> SimAd {
    let Made { committed, campaign } = made;
    let creative = campaign.creatives.get(usize::from(committed.decision.creative));
    let size = creative.map(|creative| creative.banner_size()).unwrap_or_default();
    SimAd {
        campaign_id: campaign.id.clone(),
        creative_id: creative.map(|creative| creative.id.clone()).unwrap_or_default(),
        category: campaign.categories.first().map(|category| category.code.clone()).unwrap_or_default(),
        landing: String::new(),
        width: size.width,
        height: size.height,
    }
}
