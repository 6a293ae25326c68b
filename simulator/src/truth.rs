//! The hidden truth: who clicks, who buys, how much and when.

use haggle_domain::{BehaviourKind, Micros, Tag, Timestamp};

use crate::ad::SimAd;
use crate::catalog::Advertised;
use crate::chance::Chance;
use crate::goods::Goods;
use crate::people::{COMPUTER, PHONE, TABLET};
use crate::request::{HiddenContext, SimRequest};
use crate::season::TASTE;

/// What followed from a won auction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aftermath {
    /// Whether the ad was shown at all.
    pub rendered: bool,
    /// When it was clicked, if it was.
    pub click: Option<Timestamp>,
    /// The order that followed the click, if one did.
    pub order: Option<Order>,
}

/// An order in the shop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The shop's number for it.
    pub order_id: String,
    /// When it was placed.
    pub at: Timestamp,
    /// What it brings.
    pub value: Micros,
}

/// The world's hidden probabilities, for tests and evaluation **only**: a strategy that sees them learns nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Truth(());

impl Truth {
    pub(crate) const fn new() -> Self {
        Self(())
    }

    /// The probability that this ad, shown for this request, is clicked.
    pub fn click_probability(&self, request: &SimRequest, ad: &SimAd) -> f64 {
        click_probability(&request.hidden, ad, Advertised::by(ad))
    }

    /// Whether the request comes from a program.
    pub const fn is_bot(&self, request: &SimRequest) -> bool {
        request.hidden.bot_clicks.is_some()
    }

    /// The probability that a click on this ad leads to an order.
    pub fn order_probability(&self, request: &SimRequest, ad: &SimAd) -> f64 {
        order_probability(&request.hidden, Advertised::by(ad))
    }
}

/// The share of won auctions whose ad is shown.
const RENDERED: f64 = 0.97;

fn logistic(log_odds: f64) -> f64 {
    1.0 / (1.0 + (-log_odds).exp())
}

/// How appealing a creative is, from −0.7 to 0.7 in log-odds. It follows from the creative's id alone, so the best
/// creative of a campaign is the best in every world.
fn appeal(creative_id: &str) -> f64 {
    // 53 bits: all that fit a double's mantissa.
    let share = (Tag::of(creative_id).0 >> 11) as f64 / (1u64 << 53) as f64;
    1.4 * share - 0.7
}

fn click_probability(hidden: &HiddenContext, ad: &SimAd, advertised: Advertised) -> f64 {
    if let Some(bot_clicks) = hidden.bot_clicks {
        return bot_clicks;
    }
    let taste = advertised.aisle.map_or(0.0, |aisle| TASTE * hidden.tastes[aisle]);
    let surroundings = match (advertised.aisle, hidden.content_aisle) {
        (Some(ad), Some(content)) if ad == content => 0.6,
        _ => 0.0,
    };
    let device = match hidden.device {
        PHONE => 0.1,
        TABLET => 0.15,
        COMPUTER => -0.1,
        _ => 0.0,
    };
    let position = match hidden.position {
        1 => 0.2,
        3 => -0.35,
        7 => 0.5,
        _ => 0.0,
    };
    let size = match (ad.width, ad.height) {
        (300, 600) => 0.2,
        (300, 250) => 0.05,
        (320, 50) => -0.15,
        (728, 90) => -0.05,
        _ => 0.0,
    };
    let hour = 0.25 * ((hidden.hour - 20.0) / 24.0 * std::f64::consts::TAU).cos();
    let log_odds = -4.4
        + taste
        + surroundings
        + intent(hidden, advertised, [0.8, 1.2, -1.2, 0.7])
        + device
        + position
        + size
        + hour
        + hidden.readiness
        + hidden.tappiness
        + appeal(&ad.creative_id);
    (logistic(log_odds).clamp(0.003, 0.12) * hidden.conditions.click_rate).min(1.0)
}

fn order_probability(hidden: &HiddenContext, advertised: Advertised) -> f64 {
    if hidden.bot_clicks.is_some() {
        return 0.0;
    }
    let taste = advertised.aisle.map_or(0.0, |aisle| 0.25 * hidden.tastes[aisle]);
    let device = match hidden.device {
        PHONE => -0.15,
        COMPUTER => 0.2,
        _ => 0.0,
    };
    let log_odds = -2.6 + taste + device + intent(hidden, advertised, [0.3, 0.7, -1.0, 0.3])
        // Where ads are tapped by accident, clicks buy less.
        - 0.8 * hidden.tappiness.max(0.0);
    (logistic(log_odds).clamp(0.02, 0.2) * hidden.conditions.order_rate).min(1.0)
}

/// The effect of what the user did in the shop lately, in log-odds: of viewed, carted, bought and searched the
/// strongest on either side, fading over days, and halved where it was another product of the same aisle.
fn intent(hidden: &HiddenContext, advertised: Advertised, effects: [f64; 4]) -> f64 {
    let (mut towards, mut away) = (0.0f64, 0.0f64);
    for act in hidden.recent.iter() {
        let near = match advertised.product {
            Some(product) if product == act.product => 1.0,
            _ if advertised.aisle == Some(act.product.aisle) => 0.5,
            _ => continue,
        };
        let days = hidden.at.since(act.at).as_secs_f64() / 86_400.0;
        let [viewed, carted, bought, searched] = effects;
        let effect = near
            * (-days / 4.0).exp()
            * match act.kind {
                BehaviourKind::Viewed => viewed,
                BehaviourKind::Carted => carted,
                BehaviourKind::Bought => bought,
                BehaviourKind::Searched => searched,
            };
        towards = towards.max(effect);
        away = away.min(effect);
    }
    towards + away
}

/// Draws what follows; `now` is when the ad was shown.
pub(crate) fn draw(
    chance: &mut Chance,
    request: &SimRequest,
    ad: &SimAd,
    goods: &Goods,
    now: Timestamp,
) -> Aftermath {
    let advertised = Advertised::by(ad);
    let hidden = &request.hidden;
    let later = |from: Timestamp, seconds: f64| {
        Timestamp(from.0.saturating_add((seconds * 1e6).clamp(0.0, 1e12) as i64))
    };
    let nothing = Aftermath { rendered: false, click: None, order: None };
    // Every draw is made whatever the ones before gave, so that two ads for one request compare like with like.
    let (shown, clicks, buys) = (chance.uniform(), chance.uniform(), chance.uniform());
    let click_delay = chance.lognormal(12.0, 0.9).clamp(1.0, 300.0) * hidden.conditions.click_delay;
    let order_delay =
        chance.lognormal(25.0 * 60.0, 1.1).clamp(60.0, 86_400.0) * hidden.conditions.order_delay;
    let (median, spread) = goods.order_value_of(advertised);
    let cents = (chance.lognormal(median, spread) * 100.0).round().clamp(100.0, 1e7) as i64;
    let number = chance.bits() >> 16;
    if shown >= RENDERED {
        return nothing;
    }
    if clicks >= click_probability(hidden, ad, advertised) {
        return Aftermath { rendered: true, ..nothing };
    }
    let clicked = later(now, click_delay);
    let order = (buys < order_probability(hidden, advertised)).then(|| Order {
        order_id: format!("fw-{number:012x}"),
        at: later(clicked, order_delay),
        value: Micros(cents * 10_000),
    });
    Aftermath { rendered: true, click: Some(clicked), order }
}
