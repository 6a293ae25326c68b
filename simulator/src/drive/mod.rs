//! Days of a world with a bidder in it, on virtual time: the same seed gives the same days, however fast they pass.

mod bidder;
mod check;
mod queue;

use std::collections::BTreeMap;
use std::time::Duration;

use haggle_actors::campaign::{CampaignReport, Notice};
use haggle_domain::{AuctionType, Campaign, CpmMicros, Micros, Tag, Timestamp};

pub use bidder::{Bidder, BidderSettings, Made};
use queue::Queue;

use crate::ad::{SimAd, SimBid};
use crate::chance::{Chance, Use};
use crate::diurnal::{BUSIEST, traffic_share};
use crate::world::{World, WorldSettings};

/// A world, how long it is looked at, and how busy it is.
#[derive(Clone, Copy, Debug)]
pub struct DriveSettings {
    /// Chooses users, prices, clicks and orders.
    pub seed: u64,
    /// When it begins.
    pub start: Timestamp,
    /// How long it takes.
    pub span: Duration,
    /// Bid requests a day, on average.
    pub requests_a_day: f64,
    /// How long notices take.
    pub notice_delay: Duration,
    /// The world.
    pub world: WorldSettings,
    /// The bidder.
    pub bidder: BidderSettings,
}

/// What came of one campaign.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Campaigned {
    /// Money that there was to spend.
    pub budget: Micros,
    /// What was spent of it.
    pub spend: Micros,
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

/// What came of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Requests, each with one auction.
    pub auctions: u64,
    /// Bids made.
    pub bids: u64,
    /// Auctions without one, by the reason.
    pub no_bids: BTreeMap<&'static str, u64>,
    /// By campaign, in the order in which they were given.
    pub campaigns: Vec<(String, Campaigned)>,
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
    let end = settings.start + settings.span;
    let mut world = World::new(settings.seed, settings.start, settings.world);
    let mut bidder = Bidder::new(campaigns, settings.bidder, settings.start);
    let mut arrivals = Chance::new(settings.seed, Use::Arrivals, 0, 0);
    let mut queue = Queue::default();
    let mut outcome = Outcome::default();
    let mut next = arrival(&mut arrivals, settings.start, settings.requests_a_day);
    loop {
        let due = queue.next_at().min(bidder.next_due());
        let now = next.min(due);
        if now >= end {
            break;
        }
        bidder.advance(now);
        while let Some(Due::Notice(notice)) = queue.pop(now) {
            bidder.notice(*notice, now);
        }
        if now == next {
            for event in world.next_shop_events(now) {
                bidder.behaviour(&event, now);
            }
            ask(settings, &mut world, &mut bidder, &mut queue, &mut outcome, now);
            next = arrival(&mut arrivals, now, settings.requests_a_day);
            if !pass() {
                break;
            }
        }
    }
    outcome.problems = bidder.problems().collect();
    outcome.campaigns =
        bidder.reports().map(|(campaign, report)| (campaign.id.clone(), of(&report))).collect();
    outcome
}

fn of(report: &CampaignReport) -> Campaigned {
    Campaigned {
        budget: report.budget,
        spend: report.settled,
        wins: report.wins,
        impressions: report.impressions,
        clicks: report.clicks,
        orders: report.conversions,
        revenue: report.revenue,
    }
}

/// When the next request comes: a Poisson process that follows the day's traffic, by thinning (Lewis and Shedler 1979).
fn arrival(chance: &mut Chance, after: Timestamp, a_day: f64) -> Timestamp {
    let mut at = after;
    loop {
        let wait = -(1.0 - chance.uniform()).ln() * 86_400e6 / (a_day.max(1e-3) * BUSIEST);
        // At least a microsecond, so that time goes on.
        at = Timestamp(at.0.saturating_add((wait as i64).max(1)));
        if chance.uniform() * BUSIEST < traffic_share(at) {
            return at;
        }
    }
}

/// One request: the bid, the auction, and what follows from it.
fn ask(
    settings: &DriveSettings,
    world: &mut World,
    bidder: &mut Bidder,
    queue: &mut Queue<Due>,
    outcome: &mut Outcome,
    now: Timestamp,
) {
    let request = world.next_request(now);
    outcome.auctions += 1;
    let made = bidder.bid(request.exchange, &request.body, now);
    if let Err(reason) = &made {
        *outcome.no_bids.entry(reason.as_str()).or_default() += 1;
    }
    let made = made.ok();
    let bid = made.as_ref().map(|made| sim_bid(&request.imp_id, made));
    let auction = world.auction(&request, bid.as_ref());
    let Some(made) = made else { return };
    outcome.bids += 1;
    let decision = &made.committed.decision;
    let soon = now + settings.notice_delay;
    let min_to_win = Some(decision.terms.in_account(auction.min_to_win));
    let mut tell = |at: Timestamp, notice: Notice| queue.push(at, Due::Notice(Box::new(notice)));
    if !auction.won {
        tell(soon, Notice::Lost { decision: decision.clone(), min_to_win });
        return;
    }
    let price = decision.terms.charge(auction.clearing);
    tell(soon, Notice::Won { decision: decision.clone(), price, min_to_win });
    let ad = sim_ad(&made);
    let after = world.after_win(&request, &ad, now);
    // The second-price exchange bills with the win, the other one when the ad is shown.
    if after.rendered || request.auction == AuctionType::SecondPlus {
        tell(soon, Notice::Bill { decision: decision.clone(), price });
    }
    if !after.rendered {
        return;
    }
    outcome.expected_clicks += world.truth().click_probability(&request, &ad);
    tell(soon, Notice::Impression { decision: decision.clone() });
    let Some(click) = after.click else { return };
    tell(click.max(soon), Notice::Click { decision: decision.clone() });
    let Some(order) = after.order else { return };
    let (revenue, id) = (order.value, Tag::of(&order.order_id));
    tell(order.at.max(soon), Notice::Conversion { decision: decision.clone(), revenue, order: id });
}

fn sim_bid(imp_id: &str, made: &Made) -> SimBid {
    let Made { committed, campaign } = made;
    let ad = sim_ad(made);
    SimBid {
        imp_id: imp_id.to_owned(),
        price: CpmMicros(committed.price.0),
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
