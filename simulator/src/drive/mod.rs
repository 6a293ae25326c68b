//! Days of a world with a bidder in it, on virtual time: the same seed gives the same days, however fast they pass.

mod bidder;
mod bids;
mod caps;
mod check;
mod checked;
mod checks;
mod course;
mod faults;
mod gate;
mod goal;
mod limits;
mod models;
mod problems;
mod queue;
mod showcase;
mod slice;
mod standing;
mod tape;
mod told;
mod turns;
mod watched;

use std::time::Duration;

use haggle_actors::campaign::Notice;
use haggle_domain::{Campaign, CpmMicros, Micros, NoBidReason, Pacing, Tag, Timestamp};

pub use bidder::{Bidder, BidderSettings, Made, Standing};
pub use bids::Bids;
use checked::Checked;
use course::Course;
pub use faults::{ClockFault, Faults, Silence};
use faults::{Machine, RETRY, Turn};
pub use goal::Asked;
pub use models::Models;
use queue::Queue;
use showcase::Showcase;
pub use slice::{Foretold, Slice};
pub use turns::Turns;
use watched::Watched;
pub use watched::Watches;

use crate::chance::{Chance, Use};
use crate::conditions::Conditions;
use crate::exchange::Bills;
use crate::goods::Goods;
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
    /// The models of archives that it asks.
    pub models: Models,
}

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

/// What is to happen.
enum Due {
    Notice(Box<Notice>),
}

/// Lets the days pass. `pass` is called at each request and may end the run early, which leaves what came until then.
pub fn drive(settings: &DriveSettings, campaigns: Vec<Campaign>, pass: &mut dyn FnMut() -> bool) -> Outcome {
    drive_with(settings, &mut checked(settings, campaigns), pass)
}

/// The same with somebody who sees what is bid, and what comes of it.
pub fn drive_watched(
    settings: &DriveSettings,
    campaigns: Vec<Campaign>,
    watch: &mut dyn Watches,
    pass: &mut dyn FnMut() -> bool,
) -> Outcome {
    drive_with(settings, &mut Watched { bidder: checked(settings, campaigns), watch }, pass)
}

/// The bidder in this process, with all that checks it.
fn checked(settings: &DriveSettings, campaigns: Vec<Campaign>) -> Checked {
    let clock =
        Machine::new(&settings.faults, settings.seed, settings.start, settings.span).clock(settings.start);
    let may_crash = !settings.faults.crashes.is_empty() || settings.faults.crash_every.is_some();
    let bidder = Bidder::new(campaigns, settings.bidder, may_crash, clock).asking(&settings.models);
    Checked::new(bidder, settings.bidder, clock)
}

/// The same with somebody who bids already; [`DriveSettings::bidder`] says nothing then.
pub fn drive_with<B: Bids>(
    settings: &DriveSettings,
    bidder: &mut B,
    pass: &mut dyn FnMut() -> bool,
) -> Outcome {
    let (start, end) = (settings.start, settings.start + settings.span);
    let measured_from = start + settings.measured_from;
    let mut world = World::new(settings.seed, start, settings.world.clone());
    let faults = &settings.faults;
    let mut machine = Machine::new(faults, settings.seed, start, settings.span);
    let mut arrivals = Chance::new(settings.seed, Use::Arrivals, 0, 0);
    let course = Course::new(start, &settings.changes).by_week(&settings.world.week, start, settings.span);
    let mut queue = Queue::default();
    let goods = &settings.world.goods;
    let mut showcase = Showcase::default();
    let mut outcome = Outcome {
        courses: bidder.standings().iter().map(|_| Vec::new()).collect(),
        slices: vec![Slice::default(); MOMENTS as usize],
        ..Outcome::default()
    };
    let mut before: Option<Vec<Campaigned>> = None;
    let mut next = course.arrival(&mut arrivals, start, settings.requests_a_day);
    let mut now = start;
    loop {
        let bidder_due = if machine.is_up() { machine.when(now, bidder.next_due()) } else { Timestamp::MAX };
        let due = queue.next_at().min(bidder_due).min(machine.next_turn(now));
        now = next.min(due.max(now));
        note_spend(settings, bidder, now.min(end), &mut outcome);
        if before.is_none() && now >= measured_from {
            before = Some(
                bidder
                    .standings()
                    .iter()
                    .map(|standing| Campaigned { budget: gone(standing), ..of(standing, goods) })
                    .collect(),
            );
            let Outcome { courses, slices, auctions: unmeasured, .. } = std::mem::take(&mut outcome);
            outcome = Outcome { courses, slices, unmeasured, ..Outcome::default() };
        }
        if now >= end {
            break;
        }
        if machine.turn(now) == Turn::Started {
            let clock = machine.clock(now);
            bidder.restart(clock);
        }
        let clock = machine.clock(now);
        if machine.is_up() {
            bidder.advance(clock);
            bidder.look(now, clock);
        }
        while let Some(Due::Notice(notice)) = queue.pop(now) {
            match machine.is_up() {
                true => bidder.notice(*notice, clock),
                false if faults.retried => queue.push(now + RETRY, Due::Notice(notice)),
                false => {}
            }
        }
        if now == next {
            // While the machine is down the shop keeps what happened, or forgets it.
            if machine.is_up() || !faults.retried {
                let events = world.next_shop_events(now);
                if machine.is_up() && !events.is_empty() {
                    bidder.behaviour(&events, clock);
                }
            }
            let conditions = course.at(now);
            world.set_conditions(conditions);
            let soon = now + settings.notice_delay.mul_f64(conditions.notice_delay);
            let request = world.next_request(now);
            // One that an exchange does not ask is as if it had gone to others alone.
            if !faults.is_silent(&request.exchange, now.since(start)) {
                let slice = if machine.is_up() {
                    let to = (bidder as &mut B, clock);
                    ask(&mut world, to, &mut queue, &mut outcome, &mut showcase, settings, (&request, soon))
                } else {
                    outcome.no_bid(NoBidReason::NotServing);
                    Slice { auctions: 1, ..Slice::default() }
                };
                outcome.note(slice, now.since(start).div_duration_f64(settings.span));
            }
            next = course.arrival(&mut arrivals, now, settings.requests_a_day);
            if !pass() {
                break;
            }
        }
    }
    outcome.problems = bidder.problems(machine.is_up(), machine.clock(now));
    let before = before.unwrap_or_default().into_iter().map(Some).chain(std::iter::repeat(None));
    outcome.campaigns = bidder
        .standings()
        .iter()
        .zip(before)
        .map(|(standing, before)| {
            (standing.campaign.id.clone(), of(standing, goods).since(before.unwrap_or_default()))
        })
        .collect();
    outcome
}

fn of(standing: &Standing<'_>, goods: &Goods) -> Campaigned {
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
            margin: self.margin - before.margin,
        }
    }
}

/// Notes what had been spent by the moments up to `now`, before anything else happens at it.
fn note_spend(settings: &DriveSettings, bidder: &impl Bids, now: Timestamp, outcome: &mut Outcome) {
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
    fn no_bid(&mut self, reason: NoBidReason) {
        let at = reason.index();
        self.no_bids.resize(self.no_bids.len().max(at + 1), 0);
        self.no_bids.iter_mut().skip(at).take(1).for_each(|count| *count += 1);
    }

    /// Counts what came of a request at a share of the span.
    fn note(&mut self, slice: Slice, share: f64) {
        self.auctions += slice.auctions;
        self.bids += slice.bids;
        self.foretold = self.foretold.plus(slice.foretold);
        if let Some(whole) = self.slices.get_mut((share * f64::from(MOMENTS)) as usize) {
            *whole = whole.plus(slice);
        }
    }
}

/// One request: the bid, the auction, and what follows from it, of which notices come `soon`. The bidder is one with a clock. Gives
/// its own counts.
fn ask(
    world: &mut World,
    (bidder, clock): (&mut impl Bids, Timestamp),
    queue: &mut Queue<Due>,
    outcome: &mut Outcome,
    showcase: &mut Showcase,
    settings: &DriveSettings,
    (request, soon): (&SimRequest, Timestamp),
) -> Slice {
    let mut slice = Slice { auctions: 1, ..Slice::default() };
    let made = bidder.bid(request, clock);
    if let Err(reason) = &made {
        outcome.no_bid(*reason);
    }
    let made = made.ok();
    if let Some(made) = &made {
        bidder.watch_bid(request, made, world.shown_user(request), clock);
    }
    slice.bids = u64::from(made.is_some());
    // Of an answer that comes too late nobody ever hears.
    let bid = made.as_ref().filter(|_| !settings.faults.is_slow(settings.seed, &request.id));
    let shown = bid.map(|made| showcase.of(request, made));
    let auction = world.auction(request, shown.map(|(bid, _)| bid));
    world.conclude(request, &auction);
    let Some((made, (_, ad))) = bid.zip(shown) else { return slice };
    bidder.watch_auction(request, made, world.shown_user(request), &auction, clock);
    let decision = &made.committed.decision;
    let exchange = world.exchange(request);
    // An exchange that says nothing of it says nought.
    let min_to_win = Some(auction.min_to_win).filter(|price| exchange.min_to_win && *price > CpmMicros::ZERO);
    let min_to_win = min_to_win.map(|price| decision.terms.in_account(price));
    let mut tell = |kind: u64, at: Timestamp, notice: Notice| {
        let arrivals = settings.faults.arrivals(settings.seed, &request.id, kind, at);
        for at in arrivals.into_iter().flatten() {
            queue.push(at, Due::Notice(Box::new(notice.clone())));
        }
    };
    if !auction.won {
        if exchange.loss_notices {
            tell(0, soon, Notice::Lost { decision: decision.clone(), min_to_win });
        }
        return slice;
    }
    slice.wins = 1;
    let price = decision.terms.charge(auction.clearing);
    // An exchange that bills by its win notice has it taken in as both, the others bill when the ad is shown.
    let bills_win = exchange.bills == Bills::Win;
    let after = world.after_win(request, ad, request.at);
    if bills_win {
        tell(2, soon, Notice::Bill { decision: decision.clone(), price });
    }
    tell(1, soon, Notice::Won { decision: decision.clone(), price, min_to_win });
    if after.rendered && !bills_win {
        tell(2, soon, Notice::Bill { decision: decision.clone(), price });
    }
    if !after.rendered {
        return slice;
    }
    slice.foretold.note(world, request, made, ad);
    if world.truth().is_bot(request) {
        outcome.bot_impressions += 1;
        outcome.bot_spend += price.per_impression_rounded_up();
    }
    tell(3, soon, Notice::Impression { decision: decision.clone() });
    let Some(click) = after.click else { return slice };
    tell(4, click.max(soon), Notice::Click { decision: decision.clone() });
    let Some(order) = after.order else { return slice };
    let (revenue, id) = (order.value, Tag::of(&order.order_id));
    tell(5, order.at.max(soon), Notice::Conversion { decision: decision.clone(), revenue, order: id });
    slice
}
