//! Which campaigns want an opportunity, at what price, in which order. Pure.

use haggle_domain::draw::Stream;
use haggle_domain::fit::{Fit, fits};
use haggle_domain::{
    Basis, Context, CpmMicros, Draw, Micros, NoBidReason, Opportunity, Profile, Tag, Terms, Timestamp,
};
use haggle_learning::{Model, Prediction, RequestFeatures, request_features};

use crate::catalog::{Entry, Snapshot};
use crate::explore::{Drawn, Fitting, draw_creative};
use crate::frequency::Seen;
use crate::live::CampaignState;
use crate::offer::{Offer, Worth, may_use, offer};
use crate::targeting::Asked;
use crate::{pacing, pricing, safety, targeting};

/// A campaign that would bid.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Its slot in the catalog.
    pub campaign: usize,
    /// The creative and its propensity.
    pub drawn: Drawn,
    /// How the creative fills the imp.
    pub fit: Fit,
    /// The deal's position in the opportunity's list, if it is under one.
    pub deal: Option<u16>,
    /// The deal asks that it be bid on.
    pub guaranteed: bool,
    /// What the model says.
    pub prediction: Prediction,
    /// What the impression is worth to the campaign.
    pub value: CpmMicros,
    /// What it bids, in the account's currency.
    pub price: CpmMicros,
    /// What it bids, in the bid's.
    pub sent: CpmMicros,
    /// What that can cost at most for a thousand showings, in the account's.
    pub ceiling: CpmMicros,
    /// What that takes from its lease.
    pub cost: Micros,
    /// Of a draw of its own for each imp and campaign.
    pub(crate) tie: u64,
}

/// The candidates of one opportunity, best first, or why there are none. Reused from one imp to the next, so that
/// ranking allocates nothing in steady state.
#[derive(Debug)]
pub struct Ranking {
    /// Best first.
    pub candidates: Vec<Candidate>,
    /// What became of the campaign in each of the catalog's slots: a refusal, or none for candidates, bids and free slots.
    pub verdicts: Vec<Option<NoBidReason>>,
    /// The request's features, that the scores follow from.
    pub features: RequestFeatures,
    /// Those of them that the basis lets the learner see.
    pub lesson: RequestFeatures,
    /// Why campaigns that came furthest refused; what an imp without candidates is counted under.
    pub reason: NoBidReason,
}

impl Default for Ranking {
    fn default() -> Self {
        Self {
            candidates: Vec::new(),
            verdicts: Vec::new(),
            features: RequestFeatures::default(),
            lesson: RequestFeatures::default(),
            reason: NoBidReason::NoCampaigns,
        }
    }
}

/// What is known of the user, where it may be: nothing unless the context names one.
#[derive(Clone, Copy, Debug, Default)]
pub struct UserView<'a> {
    /// What they did.
    pub profile: Option<&'a Profile>,
    /// What they have seen, as far as caps ask for it. None where that may not be counted for them.
    pub seen: Option<&'a Seen>,
}

/// Ranks all campaigns for one opportunity into `ranking`.
pub fn rank(
    snapshot: &Snapshot,
    context: &Context,
    opportunity: &Opportunity,
    user: UserView<'_>,
    now: Timestamp,
    draw: Draw,
    ranking: &mut Ranking,
) {
    let profile = user.profile;
    let asked = Asked { context, opportunity, profile, now };
    ranking.candidates.clear();
    ranking.verdicts.clear();
    ranking.reason = NoBidReason::NoCampaigns;
    ranking.features = request_features(context, opportunity, profile, now);
    ranking.lesson = lesson(context, opportunity, now, &ranking.features);
    let model: &Model = &snapshot.scorer.model;
    let request = model.request_part(&ranking.features);
    let curve = snapshot.market.curve(context.exchange);
    let terms = Terms { rate: context.rate, quantity: opportunity.quantity };
    let consider = |position: usize, entry: &Entry| {
        let (drawn, fit) = eligible(entry, &asked, user.seen, draw)?;
        // Without it the catalog is newer than the model's ad side; the next publication has both.
        let ad = snapshot.scorer.ad(position, drawn.creative).ok_or(NoBidReason::CampaignDown)?;
        let prediction = model.predict(&request, ad);
        let live = &entry.live;
        let value = pricing::value(&entry.campaign.goal, &prediction, live.order_value());
        let worth = Worth { value, multiplier: live.multiplier(), auction: context.auction, curve };
        let made = offer(entry, opportunity, fit, worth)?;
        let sent = sent(opportunity, made, terms);
        if sent <= CpmMicros::ZERO {
            return Err(NoBidReason::BelowFloor);
        }
        let ceiling = terms.charge(sent);
        Ok(Candidate {
            campaign: position,
            drawn,
            fit,
            deal: made.deal,
            guaranteed: made.guaranteed,
            prediction,
            value: CpmMicros::from_f64_rounded_down(value),
            price: made.price,
            sent,
            ceiling,
            cost: ceiling.per_impression_rounded_up(),
            tie: draw.bits(Stream::Tie, entry.campaign.key.0),
        })
    };
    ranking.verdicts.resize(snapshot.catalog.slots(), None);
    for (slot, entry) in snapshot.catalog.entries() {
        match consider(slot, entry) {
            Ok(candidate) => ranking.candidates.push(candidate),
            Err(reason) => {
                ranking.reason = ranking.reason.max(reason);
                if let Some(verdict) = ranking.verdicts.get_mut(slot) {
                    *verdict = Some(reason);
                }
            }
        }
    }
    let pod = pod_seconds(opportunity);
    let worth = |candidate: &Candidate| {
        // Several ads share the seconds of a pod, so there a second's price counts; an ad of another format would take the
        // place of all of them.
        let seconds = match (pod, candidate.fit.duration) {
            (None, _) => 1,
            (Some(all), 0) => i64::from(all),
            (Some(_), seconds) => i64::from(seconds),
        };
        (candidate.guaranteed, candidate.price.0 / seconds)
    };
    ranking.candidates.sort_unstable_by(|a, b| worth(b).cmp(&worth(a)).then(a.tie.cmp(&b.tie)));
}

/// The seconds of an imp that takes several ads, at least 1.
fn pod_seconds(opportunity: &Opportunity) -> Option<u32> {
    let slots = [&opportunity.video, &opportunity.audio].into_iter().flatten();
    slots.filter_map(|slot| slot.pod).filter(|pod| pod.most > 1).map(|pod| pod.duration.max(1)).max()
}

/// A price in the bid's currency. A deal's own price, where it is in that currency already, stays what it is.
fn sent(opportunity: &Opportunity, made: Offer, terms: Terms) -> CpmMicros {
    let deal = made.deal.and_then(|deal| opportunity.deals.get(usize::from(deal)));
    let asked = deal.filter(|deal| made.price == deal.floor).and_then(|deal| deal.asked);
    asked.unwrap_or_else(|| terms.offer(made.price))
}

/// The features without what the basis does not let anybody learn from.
fn lesson(
    context: &Context,
    opportunity: &Opportunity,
    now: Timestamp,
    features: &RequestFeatures,
) -> RequestFeatures {
    let personal = context.user.is_some() || context.city.is_some() || !context.segments.is_empty();
    if !personal || context.basis.allows(Basis::LEARN) {
        return features.clone();
    }
    let mut impersonal = context.clone();
    impersonal.user = None;
    impersonal.city = Tag::NONE;
    impersonal.segments.clear();
    request_features(&impersonal, opportunity, None, now)
}

/// Whether a campaign may bid here, and with what; otherwise the first stage that it fails.
fn eligible(
    entry: &Entry,
    asked: &Asked<'_>,
    seen: Option<&Seen>,
    draw: Draw,
) -> Result<(Drawn, Fit), NoBidReason> {
    let campaign = &*entry.campaign;
    let Asked { context, opportunity, now, .. } = *asked;
    if !campaign.flight.contains(now) || !pacing::in_daypart(campaign, now) {
        return Err(NoBidReason::OutsideFlight);
    }
    if !targeting::matches(&campaign.targeting, asked) {
        let blind = context.user.is_none() && targeting::matches_some_user(&campaign.targeting, asked);
        return Err(if blind { NoBidReason::NoBasis } else { NoBidReason::TargetingMismatch });
    }
    if !safety::allows(entry, context) {
        return Err(NoBidReason::BrandSafety);
    }
    if opportunity.deals_only && !opportunity.deals.iter().any(|deal| may_use(entry, deal)) {
        return Err(NoBidReason::NoDeal);
    }
    let fit =
        |creative: usize| campaign.creatives.get(creative).and_then(|creative| fits(creative, opportunity));
    let fitting = Fitting::of(campaign.creatives.len(), |creative| fit(creative).is_some());
    let fitting = entry.caps.allow(seen, fitting, now)?;
    let drawn = draw_creative(&entry.live.arms.load(), fitting, draw, campaign.key.0);
    let chosen = drawn.and_then(|drawn| Some((drawn, fit(usize::from(drawn.creative))?)));
    let chosen = chosen.ok_or(NoBidReason::CreativeMismatch)?;
    match entry.live.state() {
        CampaignState::Active => Ok(chosen),
        CampaignState::Down => Err(NoBidReason::CampaignDown),
        CampaignState::Exhausted => Err(NoBidReason::BudgetExhausted),
        CampaignState::Paced => Err(NoBidReason::Pacing),
    }
}
