//! The one mutation of the decision: reserve the money.

use haggle_domain::draw::Stream;
use haggle_domain::{BidId, Context, Decision, Draw, NoBidReason, Timestamp};

use crate::catalog::{Entry, Snapshot};
use crate::rank::{Candidate, Ranking};

/// A bid whose money is reserved.
#[derive(Clone, Debug, PartialEq)]
pub struct Committed {
    /// Position in the catalog.
    pub campaign: usize,
    /// What its notices carry.
    pub decision: Decision,
}

/// Reserves on the best candidate's lease; where a lease cannot pay, the next candidate tries. Once no lease
/// could, the imp's reason is [`NoBidReason::LeaseRaced`]; without any candidate, it is the ranking's.
pub fn commit(
    snapshot: &Snapshot,
    context: &Context,
    ranking: &Ranking,
    now: Timestamp,
) -> Result<Committed, NoBidReason> {
    let mut reason = ranking.reason;
    for candidate in &ranking.candidates {
        let Some(entry) = snapshot.catalog.entries().get(candidate.campaign) else { continue };
        let reservation =
            if context.test { Some(Reservation::none()) } else { reserve(entry, candidate, now) };
        let Some(Reservation { lease, number, at, expires_at }) = reservation else {
            reason = NoBidReason::LeaseRaced;
            continue;
        };
        return Ok(Committed {
            campaign: candidate.campaign,
            decision: Decision {
                bid: BidId { campaign: entry.campaign.key, lease, number },
                at,
                expires_at,
                ceiling: candidate.price,
                exchange: context.exchange,
                creative: candidate.drawn.creative,
                propensity: candidate.drawn.propensity as f32,
                model_version: snapshot.scorer.model.version(),
                click_probability: candidate.prediction.click,
                value: candidate.value,
                user: context.user,
                features: ranking.features.to_vec(),
            },
        });
    }
    Err(reason)
}

/// Where a bid's money stands, and until when.
struct Reservation {
    lease: u32,
    number: u32,
    at: Timestamp,
    expires_at: Timestamp,
}

impl Reservation {
    /// For a test request (`test = 1`), which is answered but never costs anything: made in the distant past, so that
    /// every notice for it comes too late.
    fn none() -> Self {
        Self { lease: 0, number: 0, at: Timestamp::default(), expires_at: Timestamp::default() }
    }
}

fn reserve(entry: &Entry, candidate: &Candidate, now: Timestamp) -> Option<Reservation> {
    let lease = entry.live.lease.load();
    // Its actor is late: a bid now might not have time enough for its notice.
    if now >= lease.closes_at() {
        return None;
    }
    let number = lease.take(candidate.cost)?;
    Some(Reservation { lease: lease.number(), number, at: now, expires_at: lease.expires_at() })
}

/// Whether a bid is written to the bid log, at rate `share`.
pub fn is_sampled(draw: Draw, share: f64) -> bool {
    draw.uniform(Stream::Sample, 0) < share
}
