//! Bid requests of invented exchanges: what was drawn of each. Its OpenRTB is [`SimRequest::body`]'s, and what a bidder
//! makes of that [`SimRequest::context`]'s and [`SimRequest::opportunity`]'s.

use std::sync::Arc;

use haggle_domain::{AuctionType, CpmMicros, ExchangeKey, Timestamp};

use crate::SHOP_DOMAIN;
use crate::catalog::AISLE_COUNT;
use crate::chance::Chance;
use crate::conditions::Conditions;
use crate::diurnal::hour;
use crate::exchange::{DealOffer, Exchange, FLOOR_STEP, choose};
use crate::inventory::{INVENTORY, Inventory};
use crate::people::{Basis, COMPUTER, PHONE, Person};
use crate::placements::{PLACEMENTS, Placement};
use crate::rivals::{RivalBids, Rivals, Segment};
use crate::shop::Recent;
use crate::surroundings::{SURROUNDINGS, Surroundings};

/// A bid request with one imp, and what the world knows of it.
#[derive(Clone, Debug)]
pub struct SimRequest {
    /// `id`, unique in the world.
    pub id: String,
    /// The only imp's `id`.
    pub imp_id: &'static str,
    /// Which exchange asks.
    pub exchange: Arc<str>,
    /// `at`.
    pub auction: AuctionType,
    /// The only one in `cur`, and `imp.bidfloorcur`.
    pub currency: &'static str,
    /// `imp.bidfloor`.
    pub floor: CpmMicros,
    /// `tmax`, in milliseconds.
    pub tmax_ms: u32,
    /// When it was sent.
    pub at: Timestamp,
    /// What the bidder is not told.
    pub hidden: HiddenContext,
    /// The exchange, as campaigns name it.
    pub(crate) exchange_key: ExchangeKey,
    /// Whose it is.
    pub(crate) who: Arc<Person>,
    /// The site or app.
    pub(crate) place: &'static Inventory,
    /// What follows from that alone.
    pub(crate) surroundings: &'static Surroundings,
    pub(crate) placement: &'static Placement,
    /// The position of `placement` in its table.
    pub(crate) placed: usize,
    /// The imp takes no banner.
    pub(crate) video_only: bool,
    /// `wseat` names another.
    pub(crate) other_seats_only: bool,
    /// Which of a site's pages.
    pub(crate) story: usize,
    /// `device.connectiontype`.
    pub(crate) connection: u8,
    /// The end of `device.ip`.
    pub(crate) address: usize,
}

/// The id of every request's only imp.
pub(crate) const IMP_ID: &str = "1";
/// The seat of the bidder under test.
pub(crate) const OUR_SEAT: &str = "haggle";
/// Whose seat `wseat` names.
pub(crate) const OTHERS_SEAT: &str = "seat-of-another";
/// What the account is in, as most requests are.
pub(crate) const CURRENCY: &str = "USD";
/// What the others are in, for which the bidder knows no rate.
const FOREIGN: &str = "JPY";

/// `bcat`, of most places and of those about money.
const BLOCKED: &[&str] = &["IAB25", "IAB26", "IAB17"];
/// `badv`, without the shop and with it.
const RIVALS: &[&str] = &["summit-rival.example", "cheapgear.example", SHOP_DOMAIN];

/// What the world knows of a request and the bidder must not: it decides the auction and what follows.
#[derive(Clone, Debug)]
pub struct HiddenContext {
    pub(crate) person: usize,
    /// As they were when it was sent; what follows is decided by them, however late.
    pub(crate) conditions: Conditions,
    pub(crate) tastes: [f64; AISLE_COUNT],
    pub(crate) readiness: f64,
    /// How easily ads are tapped here, in log-odds.
    pub(crate) tappiness: f64,
    pub(crate) content_aisle: Option<usize>,
    pub(crate) device: u8,
    pub(crate) position: u8,
    pub(crate) at: Timestamp,
    pub(crate) hour: f64,
    /// Shared with the shop, which makes another when something happens.
    pub(crate) recent: Arc<Vec<Recent>>,
    /// The exchange's place among the world's.
    pub(crate) exchange: usize,
    pub(crate) rivals: RivalBids,
    /// Those that it offers.
    pub(crate) deals: Vec<DealOffer>,
    /// How likely a program clicks, where the user is one.
    pub(crate) bot_clicks: Option<f64>,
    /// Sizes offered; none where the imp takes no banner.
    pub(crate) sizes: &'static [(u16, u16)],
    pub(crate) bcat: &'static [&'static str],
    pub(crate) badv: &'static [&'static str],
}

/// What a request is made in.
pub(crate) struct Circumstances<'w> {
    pub(crate) seed: u64,
    pub(crate) exchanges: &'w [Exchange],
    pub(crate) rivals: &'w Rivals,
    pub(crate) conditions: Conditions,
    /// How many times as interested people are in each aisle as usual.
    pub(crate) interest: [f64; AISLE_COUNT],
    /// What the user likes now.
    pub(crate) tastes: [f64; AISLE_COUNT],
    /// How likely programs click.
    pub(crate) bot_clicks: f64,
}

/// Makes the `number`th request. Rivals draw from their own chance, so no change to the request moves a price.
pub(crate) fn make(
    chance: &mut Chance,
    number: u64,
    (index, person): (usize, &Arc<Person>),
    recent: &Arc<Vec<Recent>>,
    world: &Circumstances<'_>,
    now: Timestamp,
) -> SimRequest {
    let (place, surroundings) = surf(chance, person, &world.interest);
    let placed = chance.weighted(&PLACEMENTS.each_ref().map(|it| it.weight_on(place, person.device.kind)));
    let placement = &PLACEMENTS[placed];
    let steps = (placement.floor * place.quality * chance.between(0.7, 1.3) * 20.0).round().max(1.0) as i64;
    let at_exchange = choose(world.exchanges, chance.uniform());
    let exchange = &world.exchanges[at_exchange];
    let floor = exchange.floor_of(CpmMicros(steps * FLOOR_STEP.0));
    let id = name(chance.bits(), number);
    let video_only = chance.hit(0.02);
    let foreign_currency = chance.hit(0.015);
    let other_seats_only = chance.hit(0.005);
    let shop_blocked = chance.hit(0.01);
    let tmax_ms = exchange.tmax_ms.unwrap_or(chance.pick(&[100, 120, 150, 200]));
    let usual = usual_price(surroundings, placement, person, now);
    let deals = exchange.offered(world.seed, number);
    let rivals = if deals.iter().any(|deal| deal.private) {
        RivalBids::default()
    } else {
        let segment =
            Segment { aisle: surroundings.aisle, device: person.device.kind, exchange: at_exchange };
        world.rivals.bid(number, segment, usual * world.conditions.rival_prices, now)
    };
    let story = if place.app { 0 } else { chance.index(400) };
    let connection = if person.device.kind == PHONE { chance.pick(&[2, 6, 7]) } else { 2 };
    let address = chance.index(256);

    SimRequest {
        hidden: HiddenContext {
            person: index,
            conditions: world.conditions,
            tastes: world.tastes,
            readiness: person.readiness,
            tappiness: surroundings.tappiness,
            content_aisle: surroundings.aisle,
            device: person.device.kind,
            position: placement.position,
            at: now,
            hour: hour(now),
            recent: Arc::clone(recent),
            exchange: at_exchange,
            rivals,
            deals,
            bot_clicks: person.bot.map(|_| world.bot_clicks),
            sizes: if video_only { &[] } else { placement.sizes },
            bcat: &BLOCKED[..if surroundings.about_money { 3 } else { 2 }],
            badv: &RIVALS[..if shop_blocked { 3 } else { 2 }],
        },
        id,
        imp_id: IMP_ID,
        exchange: Arc::clone(&exchange.name),
        exchange_key: exchange.key,
        auction: exchange.auction,
        floor,
        tmax_ms,
        at: now,
        who: Arc::clone(person),
        place,
        surroundings,
        placement,
        placed,
        video_only,
        currency: if foreign_currency { FOREIGN } else { CURRENCY },
        other_seats_only,
        story,
        connection,
        address,
    }
}

/// A name that no other request has: 64 bits by chance, and the request's number, in hexadecimal digits.
fn name(bits: u64, number: u64) -> String {
    if number >> 32 != 0 {
        return format!("{bits:016x}{number:08x}");
    }
    let mut name = String::with_capacity(24);
    for digit in (0..16).rev().map(|at| bits >> (4 * at)).chain((0..8).rev().map(|at| number >> (4 * at))) {
        name.extend(char::from_digit((digit & 0xf) as u32, 16));
    }
    name
}

/// Where a user is when the request is made: somewhere popular, or about what they like.
fn surf(
    chance: &mut Chance,
    person: &Person,
    interest: &[f64; AISLE_COUNT],
) -> (&'static Inventory, &'static Surroundings) {
    let surroundings = &*SURROUNDINGS;
    let mut weights = [0.0; INVENTORY.len()];
    for ((weight, place), around) in weights.iter_mut().zip(&INVENTORY).zip(surroundings) {
        if !place.app || person.device.kind != COMPUTER {
            *weight = place.popularity
                * around.aisle.map_or(1.0, |aisle| person.interests[aisle] * interest[aisle]);
        }
    }
    let at = chance.weighted(&weights);
    (&INVENTORY[at], &surroundings[at])
}

/// The median of the rivals' best price, in units per thousand.
fn usual_price(around: &Surroundings, placement: &Placement, person: &Person, now: Timestamp) -> f64 {
    let device = match person.device.kind {
        COMPUTER => 1.15,
        PHONE => 0.9,
        _ => 1.0,
    };
    let position = match placement.position {
        1 => 1.1,
        7 => 1.6,
        _ => 0.9,
    };
    let hours = 1.0 + 0.15 * ((hour(now) - 20.0) / 24.0 * std::f64::consts::TAU).cos();
    let known = if person.basis == Basis::Given { 1.0 } else { 0.65 };
    2.2 * around.dearness * device * position * hours * person.worth * known
}
