//! The one mutation of the decision: reserve the money.

use haggle_domain::draw::Stream;
use haggle_domain::{
    Basis, BidId, Context, CpmMicros, Decision, Draw, Footing, Format, NoBidReason, Opportunity, Pod,
    Quantity, Quote, Segment, Terms, Timestamp,
};
use smallvec::SmallVec;

use crate::catalog::{Entry, Snapshot};
use crate::frequency::InFlight;
use crate::pods::Pods;
use crate::rank::{Candidate, Ranking};

/// A bid whose money is reserved.
#[derive(Clone, Debug, PartialEq)]
pub struct Committed {
    /// Position in the catalog.
    pub campaign: usize,
    /// In which of the imp's formats.
    pub format: Format,
    /// The ad's seconds; 0 for what has none.
    pub duration: u32,
    /// The position of its deal in the imp's list (`imp.pmp.deals`).
    pub deal: Option<u16>,
    /// What is bid, in the bid's currency.
    pub price: CpmMicros,
    /// Which place in the pod it is for: 0 any, 1 first, -1 last, 2 first or last.
    pub slot: i8,
    /// What its notices carry.
    pub decision: Decision,
}

/// The bids of one imp: one, or as many as a pod takes.
pub type Bids = SmallVec<[Committed; 1]>;

/// Reserves on the best candidate's lease; where a lease cannot pay, the next candidate tries. An imp that is a pod
/// takes candidates as long as there is time and place for them. `pods` remembers what the request's earlier imps have
/// put where, and `in_flight` what is under way to the user. Afterwards `ranking.verdicts` says what became of those that the
/// imp explains.
///
/// # Errors
///
/// Where there is no bid: the reason of the candidate that came furthest, or without any candidate the ranking's.
pub fn commit(
    snapshot: &Snapshot,
    context: &Context,
    opportunity: &Opportunity,
    ranking: &mut Ranking,
    pods: &mut Pods,
    in_flight: &dyn InFlight,
    now: Timestamp,
) -> Result<Bids, NoBidReason> {
    let mut bids = Bids::new();
    let mut reason = ranking.reason;
    let mut room = Room::default();
    for candidate in &ranking.candidates {
        let Some(entry) = snapshot.catalog.at(candidate.campaign) else { continue };
        let pod = pod_of(opportunity, candidate.fit.format);
        let verdict = if !room.is_left(&bids, pod) {
            Some(NoBidReason::Outranked)
        } else if !room.takes(&bids, candidate, pod)
            || pod.is_some_and(|pod| !pods.has_room(&snapshot.catalog, pod.id, candidate.campaign))
        {
            Some(NoBidReason::PodSeparation)
        } else if !marked(snapshot, entry, context, candidate, in_flight, now) {
            Some(NoBidReason::FrequencyCapped)
        } else {
            let reserved = if context.test {
                Some(Reservation::none(candidate))
            } else {
                reserve(entry, candidate, now)
            };
            if reserved.is_none() && entry.caps.are_counted(&snapshot.catalog.advertiser_caps) {
                in_flight.unmark(entry.caps.mark(candidate.drawn.creative, now));
            }
            match reserved {
                None => Some(NoBidReason::LeaseRaced),
                Some(reservation) => {
                    if let Some(pod) = pod {
                        pods.take(pod.id, candidate.campaign);
                        room.seconds += candidate.fit.duration;
                    }
                    let terms = Terms { rate: context.rate, quantity: opportunity.quantity };
                    let decision = Decision {
                        quote: quote(context, opportunity, candidate),
                        ..reservation.decision(snapshot, context, candidate, &ranking.lesson, terms, entry)
                    };
                    bids.push(Committed {
                        campaign: candidate.campaign,
                        format: candidate.fit.format,
                        duration: candidate.fit.duration,
                        deal: candidate.deal,
                        price: candidate.sent,
                        slot: if bids.is_empty() { pod.map_or(0, |pod| pod.slot) } else { 0 },
                        decision,
                    });
                    None
                }
            }
        };
        if let Some(refused) = verdict {
            if refused != NoBidReason::Outranked {
                reason = reason.max(refused);
            }
            let known = ranking.verdicts.binary_search_by_key(&candidate.campaign, |(slot, _)| *slot);
            if let Some(place) = known.ok().and_then(|at| ranking.verdicts.get_mut(at)) {
                place.1 = verdict;
            }
        }
    }
    if bids.is_empty() { Err(reason) } else { Ok(bids) }
}

/// Counts a bid that is about to be made, if its impression would count; false if the user has no room for it any more.
fn marked(
    snapshot: &Snapshot,
    entry: &Entry,
    context: &Context,
    candidate: &Candidate,
    in_flight: &dyn InFlight,
    now: Timestamp,
) -> bool {
    let counted = !context.test && entry.caps.are_counted(&snapshot.catalog.advertiser_caps);
    !counted || in_flight.mark(&entry.caps, candidate.drawn.creative, now)
}

/// What the bid's outcome will say of its price.
fn quote(context: &Context, opportunity: &Opportunity, candidate: &Candidate) -> Quote {
    let footing = match candidate.deal {
        Some(_) => Footing::Deal,
        None if opportunity.quantity != Quantity::ONE => Footing::Unknown,
        None => context.auction.into(),
    };
    let segment = Segment::of(context.inventory, opportunity);
    Quote { segment, footing, propensity: candidate.propensity }
}

/// The pod that an imp is, or is part of, in this format.
fn pod_of(opportunity: &Opportunity, format: Format) -> Option<Pod> {
    match format {
        Format::Video => opportunity.video.as_ref()?.pod,
        Format::Audio => opportunity.audio.as_ref()?.pod,
        Format::Banner | Format::Native => None,
    }
}

/// What one imp's bids have taken of it.
#[derive(Default)]
struct Room {
    seconds: u32,
}

impl Room {
    /// Whether the imp takes another ad at all.
    fn is_left(&self, bids: &[Committed], pod: Option<Pod>) -> bool {
        match bids.first() {
            None => true,
            Some(_) => pod.is_some_and(|pod| (bids.len() as u64) < u64::from(pod.most)),
        }
    }

    /// Whether it takes this one beside those it has: of their format, and within the pod's time.
    fn takes(&self, bids: &[Committed], candidate: &Candidate, pod: Option<Pod>) -> bool {
        let same = bids.iter().all(|bid| bid.format == candidate.fit.format);
        let fits = pod.is_none_or(|pod| {
            pod.duration == 0 || self.seconds.saturating_add(candidate.fit.duration) <= pod.duration
        });
        same && fits
    }
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
    fn none(candidate: &Candidate) -> Self {
        // No lease tells such bids apart, so their draw does.
        Self {
            lease: 0,
            number: candidate.tie as u32,
            at: Timestamp::default(),
            expires_at: Timestamp::default(),
        }
    }

    fn decision(
        &self,
        snapshot: &Snapshot,
        context: &Context,
        candidate: &Candidate,
        lesson: &[u32],
        terms: Terms,
        entry: &Entry,
    ) -> Decision {
        Decision {
            bid: BidId { campaign: entry.campaign.key, lease: self.lease, number: self.number },
            at: self.at,
            expires_at: self.expires_at,
            ceiling: candidate.ceiling,
            exchange: context.exchange,
            creative: candidate.drawn.creative,
            propensity: candidate.drawn.propensity as f32,
            model_version: snapshot.scorer.model.version(),
            click_probability: candidate.prediction.click,
            value: candidate.value,
            user: context.user.filter(|_| context.basis.allows(Basis::STORE)),
            features: lesson.to_vec(),
            terms,
            explored: candidate.explored,
            order_probability: candidate.prediction.click * candidate.prediction.conversion,
            quote: Quote::default(),
        }
    }
}

fn reserve(entry: &Entry, candidate: &Candidate, now: Timestamp) -> Option<Reservation> {
    let lease = entry.live.lease.load();
    // Its actor is late: a bid now might not have time enough for its notice.
    let number = match candidate.explored {
        _ if now >= lease.closes_at() => None,
        None => lease.take(candidate.cost),
        Some(_) => lease.take_to_explore(candidate.cost),
    };
    let Some(number) = number else {
        if candidate.explored.is_some() {
            // Until the actor has looked.
            entry.live.set_explores(false);
        }
        entry.live.want();
        return None;
    };
    entry.live.ring();
    Some(Reservation { lease: lease.number(), number, at: now, expires_at: lease.expires_at() })
}

/// Whether a bid is written to the bid log, at rate `share`.
pub fn is_sampled(draw: Draw, share: f64) -> bool {
    draw.uniform(Stream::Sample, 0) < share
}
