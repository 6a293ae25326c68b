//! Which campaigns want an opportunity, at what price, in which order. Pure.

use haggle_domain::draw::Stream;
use haggle_domain::{Context, CpmMicros, Draw, Micros, NoBidReason, Opportunity, Profile, Timestamp};
use haggle_learning::{Model, Prediction, RequestFeatures, request_features};
use smallvec::SmallVec;

use crate::catalog::{Entry, Snapshot};
use crate::explore::{Drawn, draw_creative};
use crate::live::CampaignState;
use crate::{pacing, pricing, targeting};

/// A campaign that would bid.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Position in the catalog.
    pub campaign: usize,
    /// The creative and its propensity.
    pub drawn: Drawn,
    /// What the model says.
    pub prediction: Prediction,
    /// What the impression is worth to the campaign.
    pub value: CpmMicros,
    /// What it bids.
    pub price: CpmMicros,
    /// What that takes from its lease.
    pub cost: Micros,
    tie: u64,
}

/// The candidates of one opportunity, best first, or why there are none. Reused from one imp to the next, so that
/// ranking allocates nothing in steady state.
#[derive(Debug)]
pub struct Ranking {
    /// Best first.
    pub candidates: Vec<Candidate>,
    /// The request's features, for the learner.
    pub features: RequestFeatures,
    /// Why campaigns that came furthest refused; what an imp without candidates is counted under.
    pub reason: NoBidReason,
}

impl Default for Ranking {
    fn default() -> Self {
        Self {
            candidates: Vec::new(),
            features: RequestFeatures::default(),
            reason: NoBidReason::NoCampaigns,
        }
    }
}

/// Ranks all campaigns for one opportunity into `ranking`.
///
/// `profile` must be `None` unless the context names a user.
pub fn rank(
    snapshot: &Snapshot,
    context: &Context,
    opportunity: &Opportunity,
    profile: Option<&Profile>,
    now: Timestamp,
    draw: Draw,
    ranking: &mut Ranking,
) {
    ranking.candidates.clear();
    ranking.reason = NoBidReason::NoCampaigns;
    if context.seat_blocked {
        ranking.reason = NoBidReason::SeatBlocked;
        return;
    }
    ranking.features = request_features(context, opportunity, profile, now);
    let model: &Model = &snapshot.scorer.model;
    let request = model.request_part(&ranking.features);
    let curve = snapshot.market.curve(context.exchange);
    for (position, entry) in snapshot.catalog.entries().iter().enumerate() {
        let drawn = match eligible(entry, context, opportunity, profile, now, draw) {
            Ok(drawn) => drawn,
            Err(reason) => {
                ranking.reason = ranking.reason.max(reason);
                continue;
            }
        };
        let Some(ad) = snapshot.scorer.ad(position, drawn.creative) else {
            // The catalog is newer than the model's ad side; the next publication has both.
            ranking.reason = ranking.reason.max(NoBidReason::CampaignDown);
            continue;
        };
        let prediction = model.predict(&request, ad);
        let live = &entry.live;
        let value = pricing::value(&entry.campaign.goal, &prediction, live.order_value());
        let price = pricing::bid(value, live.multiplier(), context.auction, curve, entry.campaign.max_bid);
        if price < opportunity.floor || price <= CpmMicros::ZERO {
            ranking.reason = ranking.reason.max(NoBidReason::BelowFloor);
            continue;
        }
        ranking.candidates.push(Candidate {
            campaign: position,
            drawn,
            prediction,
            value: CpmMicros::from_f64_rounded_down(value),
            price,
            cost: price.per_impression_rounded_up(),
            tie: draw.bits(Stream::Tie, entry.campaign.key.0),
        });
    }
    ranking.candidates.sort_unstable_by(|a, b| b.price.cmp(&a.price).then(a.tie.cmp(&b.tie)));
}

/// Whether a campaign may bid here, and with what; otherwise the first stage that it fails.
fn eligible(
    entry: &Entry,
    context: &Context,
    opportunity: &Opportunity,
    profile: Option<&Profile>,
    now: Timestamp,
    draw: Draw,
) -> Result<Drawn, NoBidReason> {
    let campaign = &*entry.campaign;
    if !campaign.flight.contains(now) || !pacing::in_daypart(campaign, now) {
        return Err(NoBidReason::OutsideFlight);
    }
    if !targeting::matches(&campaign.targeting, context, profile, now) {
        return Err(NoBidReason::TargetingMismatch);
    }
    let blocks = |blocked: &SmallVec<[_; 8]>, ours: &[_]| ours.iter().any(|tag| blocked.contains(tag));
    if blocks(&context.blocked_categories, &entry.category_tags)
        || blocks(&context.blocked_advertisers, &entry.advertiser_tags)
    {
        return Err(NoBidReason::BrandSafety);
    }
    let drawn = draw_creative(
        &entry.live.arms.load(),
        opportunity.banner.as_ref().map_or(&[][..], |slot| &slot.sizes),
        draw,
        campaign.key.0,
    )
    .ok_or(NoBidReason::CreativeSize)?;
    match entry.live.state() {
        CampaignState::Active => Ok(drawn),
        CampaignState::Down => Err(NoBidReason::CampaignDown),
        CampaignState::Exhausted => Err(NoBidReason::BudgetExhausted),
        CampaignState::Paced => Err(NoBidReason::Pacing),
    }
}
