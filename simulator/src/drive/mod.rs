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
mod outcome;
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

use haggle_domain::{Campaign, CpmMicros, NoBidReason, Notice, Tag, Timestamp};

pub use bidder::{Bidder, BidderSettings, Made, Standing};
pub use bids::Bids;
use checked::Checked;
use course::Course;
pub use faults::{ClockFault, Faults, Silence};
use faults::{Machine, RETRY, Turn};
pub use goal::Asked;
pub use models::Models;
pub use outcome::{Campaigned, MOMENTS, Outcome, Spent};
use outcome::{gone, note_spend, of};
use queue::Queue;
use showcase::Showcase;
pub use slice::{Foretold, Slice};
pub use turns::Turns;
use watched::Watched;
pub use watched::Watches;

use crate::chance::{Chance, Use};
use crate::conditions::Conditions;
use crate::exchange::Bills;
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
