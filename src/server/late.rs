//! Bills that come after their reservation's end: noted once, so that it can be said later why an exchange's report and the
//! books differ.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use haggle_domain::{BidId, CpmMicros, Decision, Event, Record, Timestamp};

/// Bids that are remembered, at most; then it begins anew, and one that comes again is noted again.
const MOST: usize = 65_536;

/// Of which bids a late bill was noted.
#[derive(Debug, Default)]
pub struct LateBills(Mutex<HashSet<BidId>>);

impl LateBills {
    /// The record of a late bill, where none was made of it lately. None for a test's bid, whose bills never count.
    pub(super) fn note(&self, decision: &Decision, price: CpmMicros, now: Timestamp) -> Option<Record> {
        if decision.expires_at <= decision.at {
            return None;
        }
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.len() >= MOST {
            noted.clear();
        }
        let (bid, exchange) = (decision.bid, decision.exchange);
        noted.insert(bid).then(|| {
            let event = Event::BilledLate { bid, price, exchange };
            Record { at: now, campaign: bid.campaign, event }
        })
    }
}
