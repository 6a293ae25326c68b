//! What the shop's goods bring, and what of it is left.

use crate::ad::SimAd;
use crate::catalog::{AISLE_COUNT, AISLES, Advertised};

/// Prices and margins, by aisle.
#[derive(Clone, Debug, PartialEq)]
pub struct Goods {
    /// The median order's value, in units of currency.
    pub order_value: [f64; AISLE_COUNT],
    /// How much orders' values differ: the standard deviation of their logarithm.
    pub order_spread: [f64; AISLE_COUNT],
    /// The share of an order's value that is left after its goods are paid for.
    pub margin: [f64; AISLE_COUNT],
}

/// Of orders' values, where nothing else is said.
const SPREAD: f64 = 0.4;
/// Median and margin where an ad is for none of the shop's aisles.
const ELSEWHERE: (f64, f64) = (40.0, 0.4);

impl Default for Goods {
    fn default() -> Self {
        Self {
            order_value: AISLES.each_ref().map(|aisle| aisle.basket),
            order_spread: [SPREAD; AISLE_COUNT],
            margin: [0.42, 0.40, 0.45, 0.38, 0.35, 0.36, 0.50, 0.40],
        }
    }
}

/// An aisle's place by its word, as in `hiking`.
pub fn aisle(word: &str) -> Option<usize> {
    AISLES.iter().position(|aisle| aisle.word == word)
}

/// The words of all aisles, by their places.
pub fn aisles() -> [&'static str; AISLE_COUNT] {
    AISLES.each_ref().map(|aisle| aisle.word)
}

impl Goods {
    /// The median of orders' values, and how much they differ.
    pub(crate) fn order_value_of(&self, advertised: Advertised) -> (f64, f64) {
        let of =
            |aisle: usize| self.order_value.get(aisle).copied().zip(self.order_spread.get(aisle).copied());
        advertised.aisle.and_then(of).unwrap_or((ELSEWHERE.0, SPREAD))
    }

    /// The share that is left of what a campaign of this category brings.
    pub fn margin_of(&self, category: &str) -> f64 {
        let advertised = Advertised::by(&SimAd { category: category.to_owned(), ..SimAd::default() });
        advertised.aisle.and_then(|aisle| self.margin.get(aisle)).copied().unwrap_or(ELSEWHERE.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_aisle_has_its_margin() {
        let goods = Goods { margin: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8], ..Goods::default() };
        for (word, place) in aisles().iter().zip(0..) {
            assert_eq!(aisle(word), Some(place));
            let margin = goods.margin_of(AISLES[place].iab);
            assert!((margin - goods.margin[place]).abs() < 1e-12, "{word}: {margin}");
        }
        assert!((goods.margin_of("IAB13") - ELSEWHERE.1).abs() < 1e-12 && aisle("cars").is_none());
    }
}
