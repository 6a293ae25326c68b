//! Models that look at nothing but the path: conventions of the trade, with no claim to say what an ad has caused.
//!
//! Their usual definitions are those of Shao and Li, *Data-driven multi-touch attribution models* (KDD 2011), section 1, and of
//! the IAB's *Digital Attribution Primer* (2nd edition, 2016).

use std::time::Duration;

use haggle_domain::Timestamp;

use super::{Touch, normalised};

/// Of a path's ends together, of each one alone where it has three or more touches.
const END: f64 = 0.4;

/// All to the place `at`.
fn one(path: &[Touch], at: usize) -> Vec<f64> {
    (0..path.len()).map(|place| if place == at { 1.0 } else { 0.0 }).collect()
}

/// All to the last click; without a click to the last view. A click says more of an order than an ad that was shown later.
pub fn last(path: &[Touch]) -> Vec<f64> {
    let click = path.iter().rposition(|touch| touch.clicked);
    one(path, click.unwrap_or(path.len().saturating_sub(1)))
}

/// All to the first click; without a click to the first view.
pub fn first(path: &[Touch]) -> Vec<f64> {
    one(path, path.iter().position(|touch| touch.clicked).unwrap_or(0))
}

/// To all alike.
pub fn linear(path: &[Touch]) -> Vec<f64> {
    normalised(vec![1.0; path.len()])
}

/// The more, the later: half as much for each `half_life` before the order.
pub fn decay(path: &[Touch], ordered_at: Timestamp, half_life: Duration) -> Vec<f64> {
    let Some(newest) = path.iter().map(|touch| touch.at).max() else { return Vec::new() };
    // Ages count from the newest touch, so that very old paths do not vanish in the float's range; shares are the same.
    let newest = newest.min(ordered_at);
    let age = |touch: &Touch| newest.since(touch.at).as_secs_f64() / half_life.as_secs_f64().max(1e-6);
    normalised(path.iter().map(|touch| (-age(touch)).exp2()).collect())
}

/// 40 % to the first, 40 % to the last, the rest to those between; half to each of two.
pub fn position(path: &[Touch]) -> Vec<f64> {
    match path.len() {
        0..=2 => linear(path),
        count => {
            let between = (1.0 - 2.0 * END) / (count - 2) as f64;
            let share = |place| if place == 0 || place == count - 1 { END } else { between };
            (0..count).map(share).collect()
        }
    }
}
