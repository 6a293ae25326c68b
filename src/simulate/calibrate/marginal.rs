//! Marginals: what a log says of one thing at a time, and how sure that is.

use serde::Serialize;

use super::censored::{Price, quantiles};
use super::records::Records;

/// The shares of prices to beat below their quantiles, in percent.
pub(super) const PERCENTS: [u8; 5] = [10, 25, 50, 75, 90];
/// Fewer prices, values or delays say too little.
const FEWEST: usize = 20;
/// Of the normal distribution, 95 of 100 lie within so many standard deviations.
const NORMAL: f64 = 1.96;
/// Quartiles of a lognormal distribution lie so many standard deviations of its logarithm apart.
const QUARTILES_APART: f64 = 1.349;

/// What is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Bids a day of which a result was heard.
    BidsADay,
    /// An exchange's share of those.
    Share(String),
    /// A quantile of the price to beat: of an exchange, or of all alike.
    Price(Option<String>, u8),
    /// Clicks an ad shown.
    ClickRate,
    /// Orders a click.
    OrderRate,
    /// Orders' median value.
    OrderValue,
    /// How much orders' values differ: what their quartiles say of the standard deviation of their logarithm.
    OrderSpread,
    /// The median time from bid to click, in seconds.
    ClickDelay,
    /// The median time from click to order, in seconds.
    OrderDelay,
}

impl What {
    /// For people.
    pub(super) fn name(&self) -> String {
        match self {
            Self::BidsADay => "bids a day".to_owned(),
            Self::Share(exchange) => format!("share of {exchange}"),
            Self::Price(None, percent) => format!("price to beat, {percent} %"),
            Self::Price(Some(exchange), percent) => format!("price to beat on {exchange}, {percent} %"),
            Self::ClickRate => "clicks an ad shown".to_owned(),
            Self::OrderRate => "orders a click".to_owned(),
            Self::OrderValue => "order value, median".to_owned(),
            Self::OrderSpread => "order value, spread".to_owned(),
            Self::ClickDelay => "seconds to a click, median".to_owned(),
            Self::OrderDelay => "seconds to an order, median".to_owned(),
        }
    }

    /// Which keys of a scenario it is fitted by.
    pub(super) const fn keys(&self) -> &'static str {
        match self {
            Self::BidsADay => "requests_a_day",
            Self::Share(_) => "exchange.share",
            Self::Price(..) => "rival.factor, rival.spread, rival.absent, exchange.floor",
            Self::ClickRate => "change.click_rate",
            Self::OrderRate => "change.order_rate",
            Self::OrderValue => "aisle.order_value",
            Self::OrderSpread => "aisle.order_spread",
            Self::ClickDelay => "change.click_delay",
            Self::OrderDelay => "change.order_delay",
        }
    }
}

/// A value, the interval that holds it in 95 of 100 cases, and of how many it is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Estimate {
    pub(super) value: f64,
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) count: u64,
}

impl Estimate {
    /// A share, by Wilson's score interval (Wilson 1927).
    pub(super) fn share(hits: u64, of: u64) -> Self {
        let (count, share) = (of.max(1) as f64, hits as f64 / of.max(1) as f64);
        let squares = NORMAL * NORMAL / count;
        let middle = (share + squares / 2.0) / (1.0 + squares);
        let half = NORMAL * (share * (1.0 - share) / count + squares / (4.0 * count)).max(0.0).sqrt()
            / (1.0 + squares);
        Self { value: share, low: (middle - half).max(0.0), high: (middle + half).min(1.0), count: of }
    }

    /// A median, between order statistics (David and Nagaraja 2003, section 7.1). The values are sorted.
    fn median(sorted: &[f64]) -> Self {
        let count = sorted.len() as f64;
        let half = NORMAL * 0.5 / count.sqrt();
        let [low, value, high] = [0.5 - half, 0.5, 0.5 + half].map(|share| quantile(sorted, share));
        Self { value, low, high, count: sorted.len() as u64 }
    }

    /// The spread of the logarithm by the quartiles, whose standard error is that of normal data.
    fn spread(sorted: &[f64]) -> Self {
        let value = spread(sorted);
        // The asymptotic variance of the quartiles' distance is 2.476 σ² ÷ n; divided by 1.349 twice.
        let half = NORMAL * value * (2.476 / sorted.len() as f64).sqrt() / QUARTILES_APART * 1.166;
        Self { value, low: (value - half).max(0.0), high: value + half, count: sorted.len() as u64 }
    }
}

/// By linear interpolation; 0 of nothing.
pub(super) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share.clamp(0.0, 1.0) * sorted.len().saturating_sub(1) as f64;
    let at = |place: f64| sorted.get(place as usize).copied().unwrap_or(0.0);
    let (below, above) = (at(place.floor()), at(place.ceil()));
    below + (above - below) * place.fract()
}

pub(super) fn spread(sorted: &[f64]) -> f64 {
    let (low, high) = (quantile(sorted, 0.25), quantile(sorted, 0.75));
    if low > 0.0 { (high / low).ln() / QUARTILES_APART } else { 0.0 }
}

pub(super) fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// What records tell.
pub(super) fn marginals(records: &Records, seed: u64) -> Vec<(What, Estimate)> {
    let mut all = Vec::new();
    let heard = records.heard();
    if let Some(days) = records.days
        && heard > 0
    {
        // As if they came by chance: counts of a Poisson process.
        let half = NORMAL * (heard as f64).sqrt();
        let of = |count: f64| count.max(0.0) / days;
        let (value, low, high) = (of(heard as f64), of(heard as f64 - half), of(heard as f64 + half));
        all.push((What::BidsADay, Estimate { value, low, high, count: heard }));
    }
    for (name, sold) in &records.exchanges {
        all.push((What::Share(name.clone()), Estimate::share(sold.heard, heard)));
    }
    for (name, sold) in &records.exchanges {
        prices(&mut all, Some(name), &sold.prices, seed);
    }
    let known: Vec<Price> = records.prices.iter().map(|price| Price::Known(*price)).collect();
    prices(&mut all, None, &known, seed);
    if records.clicks > 0 {
        all.push((What::ClickRate, Estimate::share(records.clicks, records.shown)));
    }
    if records.orders > 0 && records.clicks > 0 {
        // An order may come of a click before the records begin.
        all.push((What::OrderRate, Estimate::share(records.orders.min(records.clicks), records.clicks)));
    }
    let values = sorted(&records.order_values);
    if values.len() >= FEWEST {
        all.push((What::OrderValue, Estimate::median(&values)));
        all.push((What::OrderSpread, Estimate::spread(&values)));
    }
    for (what, delays) in
        [(What::ClickDelay, &records.click_delays), (What::OrderDelay, &records.order_delays)]
    {
        if delays.len() >= FEWEST {
            all.push((what, Estimate::median(&sorted(delays))));
        }
    }
    all
}

fn prices(all: &mut Vec<(What, Estimate)>, exchange: Option<&String>, prices: &[Price], seed: u64) {
    if prices.len() < FEWEST {
        return;
    }
    let shares = PERCENTS.map(|percent| f64::from(percent) / 100.0);
    for (percent, (value, error)) in PERCENTS.into_iter().zip(quantiles(prices, shares, seed)) {
        let (low, high) = (value - NORMAL * error, value + NORMAL * error);
        let estimate = Estimate { value, low: low.max(0.0), high, count: prices.len() as u64 };
        all.push((What::Price(exchange.cloned(), percent), estimate));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_hold_the_value_and_shrink_as_more_is_known() {
        let (few, many) = (Estimate::share(5, 100), Estimate::share(500, 10_000));
        for it in [few, many] {
            assert!(it.low < it.value && it.value < it.high, "{it:?}");
        }
        // As the published examples of Wilson's interval have it for 5 of 100.
        assert!((few.low - 0.0215).abs() < 1e-3 && (few.high - 0.1118).abs() < 1e-3, "{few:?}");
        assert!(many.high - many.low < (few.high - few.low) / 8.0);
        let values: Vec<f64> = (1..=101).map(f64::from).collect();
        let median = Estimate::median(&values);
        assert!(median.value > 50.9 && median.value < 51.1 && median.low > 40.0 && median.high < 62.0);
    }

    #[test]
    fn what_is_not_told_is_not_measured() {
        let whats = |records: &Records| marginals(records, 1).into_iter().map(|it| it.0).collect::<Vec<_>>();
        assert_eq!(whats(&Records::default()), []);
        let records = Records { shown: 100, clicks: 2, order_values: vec![1.0; 19], ..Records::default() };
        assert_eq!(whats(&records), [What::ClickRate]);
    }
}
