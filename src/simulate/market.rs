//! A scenario's keys for the exchanges and the other bidders.

use std::sync::Arc;

use haggle_domain::{AuctionType, CpmMicros, DealPrice, Micros};
use haggle_simulator::{Bills, COMPUTER, DealOffer, Exchange, MOST_RIVALS, Manner, PHONE, Rival, TABLET};
use serde::Deserialize;

use super::world::{MOST, aisle_of, factor, named, once, one, share, within, yes};

/// What an exchange's or a deal's winner pays, as scenarios write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Price {
    First,
    Second,
    Fixed,
}

/// Which notice is the bill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Bill {
    Win,
    #[default]
    Impression,
}

/// `[[exchange]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExchangeKeys {
    name: String,
    price: Price,
    #[serde(default = "one")]
    share: f64,
    #[serde(default = "one")]
    floor: f64,
    #[serde(default)]
    fee: f64,
    #[serde(default)]
    bill: Bill,
    #[serde(default = "yes")]
    loss_notices: bool,
    #[serde(default = "yes")]
    min_to_win: bool,
    tmax_ms: Option<u32>,
    #[serde(default, rename = "deal")]
    deals: Vec<DealKeys>,
}

/// `[[exchange.deal]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DealKeys {
    id: String,
    price: Price,
    floor: f64,
    #[serde(default)]
    seats: Vec<String>,
    #[serde(default = "one")]
    share: f64,
    #[serde(default)]
    private: bool,
}

/// What a rival makes of how auctions went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    #[default]
    Static,
    Adaptive,
    Budgeted,
}

/// `[[rival]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RivalKeys {
    name: String,
    #[serde(default)]
    kind: Kind,
    #[serde(default = "one")]
    factor: f64,
    spread: Option<f64>,
    absent: Option<f64>,
    #[serde(default)]
    aisles: Vec<String>,
    #[serde(default)]
    devices: Vec<String>,
    #[serde(default)]
    exchanges: Vec<String>,
    win_rate: Option<f64>,
    step: Option<f64>,
    daily: Option<f64>,
    at_once: Option<bool>,
}

/// The exchanges.
///
/// # Errors
///
/// The exchange, its key, and what is wrong.
pub(super) fn exchanges(keys: &[ExchangeKeys]) -> Result<Vec<Exchange>, String> {
    if keys.is_empty() {
        return Ok(Exchange::usual());
    }
    if keys.len() > MOST {
        return Err(format!("exchange: at most {MOST}"));
    }
    once(keys.iter().map(|it| it.name.as_str()), "exchange: name")?;
    let all: Vec<Exchange> = keys
        .iter()
        .map(|keys| exchange(keys).map_err(|problem| format!("exchange {:?}: {problem}", keys.name)))
        .collect::<Result<_, _>>()?;
    match all.iter().any(|exchange| exchange.share > 0.0) {
        true => Ok(all),
        false => Err("exchange: share: one must be above 0".to_owned()),
    }
}

fn exchange(keys: &ExchangeKeys) -> Result<Exchange, String> {
    named(&keys.name, "name")?;
    let auction = match keys.price {
        Price::First => AuctionType::First,
        Price::Second => AuctionType::SecondPlus,
        Price::Fixed => return Err("price: must be \"first\" or \"second\"; only deals are fixed".to_owned()),
    };
    if keys.tmax_ms.is_some_and(|tmax| !(1..=10_000).contains(&tmax)) {
        return Err("tmax_ms: must be from 1 to 10000".to_owned());
    }
    if keys.deals.len() > MOST {
        return Err(format!("deal: at most {MOST}"));
    }
    once(keys.deals.iter().map(|it| it.id.as_str()), "deal: id")?;
    let deals = keys.deals.iter().map(|deal| {
        let found = offer(deal);
        found.map_err(|problem| format!("deal {:?}: {problem}", deal.id))
    });
    Ok(Exchange {
        share: within(&(0.0..=1e6), keys.share, "share")?,
        floor: factor(keys.floor, "floor")?,
        fee: within(&(0.0..=0.9), keys.fee, "fee")?,
        bills: match keys.bill {
            Bill::Win => Bills::Win,
            Bill::Impression => Bills::Impression,
        },
        loss_notices: keys.loss_notices,
        min_to_win: keys.min_to_win,
        tmax_ms: keys.tmax_ms,
        deals: deals.collect::<Result<_, _>>()?,
        ..Exchange::named(&keys.name, auction)
    })
}

fn offer(keys: &DealKeys) -> Result<DealOffer, String> {
    if keys.id.is_empty() || keys.id.len() > 64 {
        return Err("id: must be of 1 to 64 letters".to_owned());
    }
    let floor = within(&(0.01..=1000.0), keys.floor, "floor")?;
    Ok(DealOffer {
        id: Arc::from(keys.id.as_str()),
        price: match keys.price {
            Price::First => DealPrice::Auction(AuctionType::First),
            Price::Second => DealPrice::Auction(AuctionType::SecondPlus),
            Price::Fixed => DealPrice::Fixed,
        },
        // In whole hundredths, as exchanges' prices are.
        floor: CpmMicros((floor * 100.0).round() as i64 * 10_000),
        seats: keys.seats.clone(),
        share: share(keys.share, "share")?,
        private: keys.private,
    })
}

/// The rivals: the usual one where none is said.
///
/// # Errors
///
/// The rival, its key, and what is wrong.
pub(super) fn rivals(keys: Option<&[RivalKeys]>, exchanges: &[Exchange]) -> Result<Vec<Rival>, String> {
    let Some(keys) = keys else { return Ok(vec![Rival::usual()]) };
    if keys.len() > MOST_RIVALS {
        return Err(format!("rival: at most {MOST_RIVALS}"));
    }
    once(keys.iter().map(|it| it.name.as_str()), "rival: name")?;
    let one = |keys: &RivalKeys| {
        rival(keys, exchanges).map_err(|problem| format!("rival {:?}: {problem}", keys.name))
    };
    keys.iter().map(one).collect()
}

fn rival(keys: &RivalKeys, exchanges: &[Exchange]) -> Result<Rival, String> {
    named(&keys.name, "name")?;
    let usual = Rival::usual();
    let only = |set: bool, key: &str, kind: &str| match set {
        true => Err(format!("{key}: is for kind = {kind:?} alone; leave it out")),
        false => Ok(()),
    };
    if keys.kind != Kind::Adaptive {
        only(keys.win_rate.is_some(), "win_rate", "adaptive")?;
        only(keys.step.is_some(), "step", "adaptive")?;
    }
    if keys.kind != Kind::Budgeted {
        only(keys.daily.is_some(), "daily", "budgeted")?;
        only(keys.at_once.is_some(), "at_once", "budgeted")?;
    }
    let device = |word: &String| match word.as_str() {
        "phone" => Ok(PHONE),
        "tablet" => Ok(TABLET),
        "computer" => Ok(COMPUTER),
        _ => Err(format!("devices: no device {word:?}; there are phone, tablet, computer")),
    };
    let at_exchange = |word: &String| {
        let names = || exchanges.iter().map(|it| &*it.name).collect::<Vec<_>>().join(", ");
        let place = exchanges.iter().position(|exchange| *exchange.name == **word);
        place.ok_or_else(|| format!("exchanges: no exchange {word:?}; there are {}", names()))
    };
    Ok(Rival {
        name: keys.name.clone(),
        factor: factor(keys.factor, "factor")?,
        spread: within(&(0.0..=2.0), keys.spread.unwrap_or(usual.spread), "spread")?,
        absent: share(keys.absent.unwrap_or(usual.absent), "absent")?,
        aisles: keys.aisles.iter().map(|word| aisle_of(word, "aisles")).collect::<Result<_, _>>()?,
        devices: keys.devices.iter().map(device).collect::<Result<_, _>>()?,
        exchanges: keys.exchanges.iter().map(at_exchange).collect::<Result<_, _>>()?,
        manner: match keys.kind {
            Kind::Static => Manner::Static,
            Kind::Adaptive => Manner::Adaptive {
                win_rate: within(&(0.01..=0.99), keys.win_rate.unwrap_or(0.3), "win_rate")?,
                step: within(&(0.0..=1.0), keys.step.unwrap_or(0.01), "step")?,
            },
            Kind::Budgeted => {
                let Some(daily) = keys.daily else {
                    return Err("daily: is missing; say what it may spend a day".to_owned());
                };
                Manner::Budgeted {
                    daily: Micros((within(&(0.0..=1e6), daily, "daily")? * 1e6).round() as i64),
                    at_once: keys.at_once.unwrap_or(false),
                }
            }
        },
    })
}
