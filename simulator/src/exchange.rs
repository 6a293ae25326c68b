//! Exchanges: how they sell, what they keep, and what they tell.

use std::sync::Arc;

use haggle_domain::{AuctionType, CpmMicros, DealPrice, ExchangeKey};

use crate::chance::{Chance, Use};

/// Floors are in whole steps of this.
pub(crate) const FLOOR_STEP: CpmMicros = CpmMicros(50_000);

/// An exchange that asks the bidder.
#[derive(Clone, Debug, PartialEq)]
pub struct Exchange {
    /// Its name, by which campaigns may target it.
    pub name: Arc<str>,
    /// The same, hashed.
    pub key: ExchangeKey,
    /// What winners pay.
    pub auction: AuctionType,
    /// How much of the traffic it sells, relative to the other exchanges.
    pub share: f64,
    /// Of what a placement usually asks for at least.
    pub floor: f64,
    /// The share of the price that it keeps, in `0..1`. Exchanges mostly take their part from what publishers get, so the buyer
    /// pays no more than the price; publishers then ask for so much more that their own least price is left to them.
    pub fee: f64,
    /// Which notice is the bill.
    pub bills: Bills,
    /// Whether it says that a bid lost. Where it does not, the bid's money is held until the bid expires.
    pub loss_notices: bool,
    /// Whether it says what it would have taken to win.
    pub min_to_win: bool,
    /// How long it waits for an answer, in milliseconds; without it one of four usual spans.
    pub tmax_ms: Option<u32>,
    /// What it offers to chosen buyers.
    pub deals: Vec<DealOffer>,
}

/// Which notice is an exchange's bill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bills {
    /// The win, whether the ad is shown or not.
    Win,
    /// The impression.
    Impression,
}

/// A private deal (OpenRTB 2.6, section 3.2.12).
#[derive(Clone, Debug, PartialEq)]
pub struct DealOffer {
    /// Its id, by which campaigns may buy.
    pub id: Arc<str>,
    /// What its winner pays.
    pub price: DealPrice,
    /// The least price, or the price itself where it is fixed.
    pub floor: CpmMicros,
    /// The seats that may buy; empty for all.
    pub seats: Vec<String>,
    /// The share of the exchange's requests that offer it.
    pub share: f64,
    /// Whether nobody else may bid where it is offered.
    pub private: bool,
}

impl Exchange {
    /// One that tells all and keeps nothing.
    pub fn named(name: &str, auction: AuctionType) -> Self {
        Self {
            name: Arc::from(name),
            key: ExchangeKey::of(name),
            auction,
            share: 1.0,
            floor: 1.0,
            fee: 0.0,
            bills: Bills::Impression,
            loss_notices: true,
            min_to_win: true,
            tmax_ms: None,
            deals: Vec::new(),
        }
    }

    /// Those of a world of which nothing else is said: one of each kind of auction. The second-price one bills the win.
    pub fn usual() -> Vec<Self> {
        let birch = Self::named("birch", AuctionType::SecondPlus);
        vec![Self::named("alder", AuctionType::First), Self { bills: Bills::Win, ..birch }]
    }

    /// The least price in its open auction for a placement that usually asks for `usual`. Both are in whole [`FLOOR_STEP`]s.
    pub(crate) fn floor_of(&self, usual: CpmMicros) -> CpmMicros {
        let steps = (usual.0 / FLOOR_STEP.0) as f64 * (self.floor / (1.0 - self.fee));
        // A little less, since 0.8 of something is no exact number.
        CpmMicros((steps - 1e-6).ceil().clamp(1.0, 1e6) as i64 * FLOOR_STEP.0)
    }

    /// Its deals that a request offers, by a chance of their own.
    pub(crate) fn offered(&self, seed: u64, number: u64) -> Vec<DealOffer> {
        let offered = self.deals.iter().zip(0..).filter(|(deal, place)| {
            deal.share >= 1.0 || Chance::new(seed, Use::Deals, number, *place).hit(deal.share)
        });
        offered.map(|(deal, _)| deal.clone()).collect()
    }
}

/// Which exchange sells, by a draw in `0..1`.
pub(crate) fn choose(exchanges: &[Exchange], draw: f64) -> usize {
    let mut left = draw * exchanges.iter().map(|exchange| exchange.share).sum::<f64>();
    for (index, exchange) in exchanges.iter().enumerate() {
        left -= exchange.share;
        if left < 0.0 {
            return index;
        }
    }
    exchanges.len().saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exchanges_are_chosen_by_their_shares() {
        let three = [("a", 1.0), ("b", 0.0), ("c", 3.0)]
            .map(|(name, share)| Exchange { share, ..Exchange::named(name, AuctionType::First) });
        let chosen = [0.0, 0.24, 0.26, 0.99, 1.0].map(|draw| choose(&three, draw));
        assert_eq!(chosen, [0, 0, 2, 2, 2]);
    }

    #[test]
    fn a_fee_raises_the_floor_so_that_publishers_get_theirs() {
        let with = |floor, fee| {
            let exchange = Exchange { floor, fee, ..Exchange::named("a", AuctionType::First) };
            exchange.floor_of(CpmMicros(1_000_000)).0
        };
        assert_eq!([with(1.0, 0.0), with(2.0, 0.0), with(1.0, 0.2)], [1_000_000, 2_000_000, 1_250_000]);
        // Never less than what publishers ask for.
        assert!((with(1.0, 0.13) as f64 * 0.87) >= 1_000_000.0);
    }
}
