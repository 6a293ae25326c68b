//! What it takes to win: the distribution of the price to beat, per exchange and within it per segment.
//!
//! A [`Landscape`] learns it from outcomes and publishes a [`Market`] of prepared curves, which bids ask.

mod curve;
mod evidence;
mod grid;
mod landscape;

use std::sync::Arc;

use haggle_domain::draw::mix;
use haggle_domain::{CpmMicros, ExchangeKey, Segment};

use crate::index::Shards;
pub use curve::WinCurve;
pub use evidence::Evidence;
pub use landscape::{Foretold, Landscape, SEGMENTS};

/// What an outcome says of the price to beat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It was this.
    Price(CpmMicros),
    /// A bid of this won, so it was not higher.
    AtMost(CpmMicros),
    /// A bid of this lost, so it was higher.
    Above(CpmMicros),
}

/// The prepared curves of all exchanges and segments of which something is known. A copy shares them.
#[derive(Clone, Debug, Default)]
pub struct Market {
    curves: Shards<Arc<WinCurve>>,
}

/// The keys of a segment's curve, of its class's and of its exchange's, from the finest on.
fn keys(exchange: ExchangeKey, segment: Segment) -> [u64; 3] {
    let class = 1 << 32 | u64::from(segment.class());
    [mix(exchange.0 ^ mix(2 << 32 | u64::from(segment.0))), mix(exchange.0 ^ mix(class)), mix(exchange.0)]
}

impl Market {
    /// The finest curve that is known of a segment: its own, else that of its formats and size, else its exchange's.
    pub fn curve(&self, exchange: ExchangeKey, segment: Segment) -> Option<&WinCurve> {
        keys(exchange, segment).into_iter().find_map(|key| self.curves.get(key)).map(Arc::as_ref)
    }
}
