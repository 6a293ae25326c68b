//! Which campaigns want an opportunity, at what price, in which order. Pure.

use std::cell::{OnceCell, RefCell};
use std::cmp::Reverse;

use haggle_domain::draw::Stream;
use haggle_domain::fit::Fit;
use haggle_domain::planted::{Bug, planted};
use haggle_domain::{
    AuctionType, Basis, Context, CpmMicros, Draw, Group, Micros, NoBidReason, Opportunity, Profile, Segment,
    Tag, Terms, Timestamp,
};
use haggle_learning::{Prediction, RequestFeatures, request_features};

use crate::card::Card;
use crate::catalog::Snapshot;
use crate::explore::Drawn;
use crate::frequency::Seen;
use crate::index::BLOCK;
use crate::live::CampaignState;
use crate::market::WinCurve;
use crate::offer::{Offer, Worth, may_use, offer};
use crate::optimism::{Raised, raised, to_the_best};
use crate::pick::{Pool, pick};
use crate::scorer::Request;
use crate::targeting::Asked;
use crate::trial::Trial;
use crate::{pricing, safety, seats, targeting};

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
    /// The probability with which the price was drawn, where prices are tried.
    pub propensity: Option<f32>,
    /// Of a draw of its own for each imp and campaign.
    pub(crate) tie: u64,
    /// The bid is above what the prediction says; see [`haggle_domain::Decision::explored`].
    pub explored: Option<f32>,
}

/// The candidates of one opportunity, best first, or why there are none. Reused from one imp to the next, so that
/// ranking allocates nothing in steady state.
#[derive(Debug)]
pub struct Ranking {
    /// Best first.
    pub candidates: Vec<Candidate>,
    /// What became of campaigns, by rising slots: a refusal, or none for candidates and bids. All of them where they are few
    /// ([`FEW`]), else those that this imp explains, which are none at most imps.
    pub verdicts: Vec<(usize, Option<NoBidReason>)>,
    /// The request's features, that the scores follow from.
    pub features: RequestFeatures,
    /// Those of them that the basis lets the learner see.
    pub lesson: RequestFeatures,
    /// Why campaigns that came furthest refused; what an imp without candidates is counted under. Of many campaigns, some are
    /// asked.
    pub reason: NoBidReason,
    /// Campaigns with a holdout that the imp was for, whose user is in one of their groups; some come twice.
    pub groups: Vec<(usize, Group)>,
    order: Vec<Order>,
    /// Campaigns that match and may bid, and are waiting to be considered.
    pub(crate) pool: Pool,
}

/// What candidates are sorted by: worth, tie; and where one stands.
type Order = (Reverse<(bool, i64)>, u64, u32);

impl Default for Ranking {
    fn default() -> Self {
        Self {
            candidates: Vec::new(),
            verdicts: Vec::new(),
            features: RequestFeatures::default(),
            lesson: RequestFeatures::default(),
            reason: NoBidReason::NoCampaigns,
            groups: Vec::new(),
            order: Vec::new(),
            pool: Pool::default(),
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
    /// Nodes share what is known of them, and it cannot be read now: the above is what this node knows alone.
    pub away: bool,
}

/// With at most this many campaigns each of them is judged at every imp.
pub const FEW: usize = 64;

/// Ranks the campaigns that an opportunity is for into `ranking`. Of many that match and may bid, those that are expected to
/// bid most are considered ([`crate::pick`]).
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
    ranking.lesson.clear();
    ranking.groups.clear();
    let features = request_features(context, opportunity, profile, now);
    let catalog = &*snapshot.catalog;
    // Truthful bids ask nothing of the market.
    let shades = context.auction == AuctionType::First || !opportunity.deals.is_empty();
    let judge = Judge {
        snapshot,
        asked,
        seen: user.seen,
        away: user.away,
        draw,
        features: &features,
        request: OnceCell::new(),
        curve: if shades {
            snapshot.market.curve(context.exchange, Segment::of(context.inventory, opportunity))
        } else {
            None
        },
        trial: (context.explore_prices > 0.0)
            .then(|| Trial { share: context.explore_prices, uniform: draw.uniform(Stream::Price, 0) }),
        terms: Terms { rate: context.rate, quantity: opportunity.quantity },
        observes: draw.bits(Stream::Observe, 0).is_multiple_of(OBSERVED_ONE_IN),
        groups: RefCell::new(std::mem::take(&mut ranking.groups)),
    };
    if catalog.len() <= FEW {
        for (slot, card) in catalog.cards() {
            let verdict = match judge.judge(slot, card, Known::Nothing) {
                Ok(candidate) => {
                    ranking.candidates.push(candidate);
                    None
                }
                Err(reason) => {
                    ranking.reason = ranking.reason.max(reason);
                    Some(reason)
                }
            };
            ranking.verdicts.push((slot, verdict));
        }
    } else {
        pick(&judge, ranking);
        explain(&judge, ranking);
    }
    judge.raise_to_the_best(&mut ranking.candidates);
    ranking.groups = judge.groups.into_inner();
    ranking.features = features;
    if ranking.candidates.is_empty() {
        return;
    }
    ranking.lesson = lesson(context, opportunity, now, &ranking.features);
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
    let Ranking { candidates, order, .. } = ranking;
    order.clear();
    order.extend(
        candidates.iter().zip(0..).map(|(candidate, at)| (Reverse(worth(candidate)), candidate.tie, at)),
    );
    order.sort_unstable();
    // Candidates are large: each moves once, to where it belongs, instead of as often as sorting compares.
    for at in 0..order.len() {
        let mut from = order[at].2 as usize;
        while from < at {
            from = order[from].2 as usize;
        }
        candidates.swap(at, from);
    }
}

/// One imp in so many adds to what campaigns are expected to bid. More would have the workers fight over memory that all of
/// them read.
const OBSERVED_ONE_IN: u64 = 16;
/// One imp in so many explains one group of campaigns.
const EXPLAINED_ONE_IN: u64 = 64;
/// Campaigns that are explained together: so few because nothing of them is in the caches.
const GROUP: usize = 16;

/// Where there are many campaigns, says of a few that the draw chooses, at an imp in some, what became of them: as all of them
/// are judged where there are few.
fn explain(judge: &Judge<'_>, ranking: &mut Ranking) {
    let (catalog, bits) = (&*judge.snapshot.catalog, judge.draw.bits(Stream::Explain, 0));
    let groups = (catalog.slots() / GROUP).max(1) as u64;
    if !bits.is_multiple_of(EXPLAINED_ONE_IN) {
        return;
    }
    let first = (bits / EXPLAINED_ONE_IN % groups) as usize * GROUP;
    for slot in first..first + GROUP {
        let Some(card) = catalog.card(slot) else { continue };
        let verdict = match ranking.candidates.iter().any(|candidate| candidate.campaign == slot) {
            true => None,
            // It would have bid, but was not among those that were considered.
            false => judge.judge(slot, card, Known::Nothing).err().or(Some(NoBidReason::Outranked)),
        };
        ranking.verdicts.push((slot, verdict));
    }
}

/// What the index says of a campaign that it has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// Nothing: everything has to be evaluated.
    Nothing,
    /// That what it found may be shown here, but for what the flags name.
    Found {
        /// Whether the targeting has still to be evaluated.
        targeting_open: bool,
        /// Whether the publisher's wishes have still to be.
        safety_open: bool,
    },
}

impl Known {
    fn targeting(self) -> bool {
        matches!(self, Self::Found { targeting_open: false, .. })
    }

    fn safety(self) -> bool {
        matches!(self, Self::Found { safety_open: false, .. })
    }
}

/// All that one imp's campaigns are judged by.
pub(crate) struct Judge<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) asked: Asked<'a>,
    seen: Option<&'a Seen>,
    away: bool,
    pub(crate) draw: Draw,
    features: &'a RequestFeatures,
    /// What the model makes of them, once somebody is in question: at many imps nobody is.
    request: OnceCell<Request>,
    curve: Option<&'a WinCurve>,
    trial: Option<Trial>,
    terms: Terms,
    /// Whether what campaigns would bid is noted in their seats.
    observes: bool,
    /// See [`Ranking::groups`].
    groups: RefCell<Vec<(usize, Group)>>,
}

impl Judge<'_> {
    fn request(&self) -> &Request {
        self.request.get_or_init(|| self.snapshot.scorer.request(self.features, self.asked.context.user))
    }

    /// The [`seats::key`] of what the impression is worth to a campaign with its first creative; and notes it at some imps. Asks
    /// nothing else of the campaign.
    pub(crate) fn score(&self, slot: usize, card: &Card) -> u32 {
        let scorer = &*self.snapshot.scorer;
        let Some(prediction) = scorer.predict(self.request(), slot, 0) else { return 0 };
        let value = self.value(card, &prediction);
        let worth = CpmMicros::from_f64_rounded_down(value * card.live.multiplier());
        if self.observes
            && let Some(seats) = self.snapshot.catalog.seats(slot / BLOCK)
        {
            seats.observe(slot % BLOCK, worth);
        }
        // Who might be worth more than expected is among those that are considered.
        let hoped = match self.raised(slot, card, 0, (value, &prediction)) {
            Some(raised) => CpmMicros::from_f64_rounded_down(raised.value * card.live.multiplier()),
            None => worth,
        };
        seats::key(hoped.min(pricing::ceiling(card.max_bid, card.max_cpc, &prediction)))
    }

    /// What a thousand such impressions are worth to a campaign, in currency units.
    fn value(&self, card: &Card, prediction: &Prediction) -> f64 {
        let value = pricing::value(&card.goal, prediction, card.live.order_value());
        let reached = || card.entry.caps.reached(self.seen, self.asked.now);
        value * pricing::share(&card.goal, self.asked.opportunity.viewability, reached)
    }

    /// What a campaign bids, or the first stage that it fails.
    pub(crate) fn judge(&self, slot: usize, card: &Card, known: Known) -> Result<Candidate, NoBidReason> {
        let opportunity = self.asked.opportunity;
        let note = |group| self.groups.borrow_mut().push((slot, group));
        if self.away && card.closed_when_away {
            return Err(without_user_state(card, &self.asked));
        }
        let (drawn, fit) = eligible(card, &self.asked, known, self.seen, self.draw, note)?;
        let scorer = &*self.snapshot.scorer;
        // Without it the catalog is newer than the model's ad side; the next publication has both.
        let prediction =
            scorer.predict(self.request(), slot, drawn.creative).ok_or(NoBidReason::CampaignDown)?;
        let live = &card.live;
        let value = self.value(card, &prediction);
        let multiplier = live.multiplier();
        let max_bid = pricing::ceiling(card.max_bid, card.max_cpc, &prediction);
        let auction = self.asked.context.auction;
        let worth = Worth { value, multiplier, max_bid, auction, curve: self.curve, trial: self.trial };
        let made = offer(&card.entry, opportunity, fit, worth);
        let (made, explored) = match self.raised(slot, card, drawn.creative, (value, &prediction)) {
            None => (made?, None),
            Some(raised) => hopeful(
                made,
                offer(&card.entry, opportunity, fit, Worth { value: raised.value, ..worth }),
                raised,
            )?,
        };
        let (sent, ceiling) = priced(opportunity, made, self.terms)?;
        Ok(Candidate {
            campaign: slot,
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
            propensity: made.propensity,
            tie: self.draw.bits(Stream::Tie, card.key.0),
            explored,
        })
    }

    /// A value above what the prediction says, where the campaign tries that here and has money for it.
    #[inline]
    fn raised(
        &self,
        slot: usize,
        card: &Card,
        creative: u16,
        (value, prediction): (f64, &Prediction),
    ) -> Option<Raised> {
        if !card.explores || !card.live.explores() {
            return None;
        }
        let deviation = || self.snapshot.scorer.deviation(self.request(), slot, creative);
        let explore = &card.entry.campaign.explore;
        raised(explore, (value, prediction.click), card.max_bid, deviation, self.draw, card.key.0)
    }

    /// Lets candidates bid for being the best whose policy depends on the others.
    fn raise_to_the_best(&self, candidates: &mut [Candidate]) {
        for at in 0..candidates.len() {
            let Some(candidate) = candidates.get(at).filter(|candidate| candidate.deal.is_none()) else {
                continue;
            };
            let Some(card) = self.snapshot.catalog.card(candidate.campaign) else { continue };
            if !card.explores || !card.live.explores() {
                continue;
            }
            let explore = &card.entry.campaign.explore;
            let max_bid = pricing::ceiling(card.max_bid, card.max_cpc, &candidate.prediction);
            let best = to_the_best(explore, candidates, candidate.price, max_bid, self.draw, card.key.0);
            let Some((price, propensity)) = best else { continue };
            let made = Offer { deal: None, price, guaranteed: false, propensity: None };
            let Ok((sent, ceiling)) = priced(self.asked.opportunity, made, self.terms) else { continue };
            if let Some(candidate) = candidates.get_mut(at) {
                let cost = ceiling.per_impression_rounded_up();
                *candidate = Candidate {
                    price,
                    sent,
                    ceiling,
                    cost,
                    propensity: None,
                    explored: Some(propensity),
                    ..candidate.clone()
                };
            }
        }
    }
}

/// The seconds of an imp that takes several ads, at least 1.
fn pod_seconds(opportunity: &Opportunity) -> Option<u32> {
    let slots = [&opportunity.video, &opportunity.audio].into_iter().flatten();
    slots.filter_map(|slot| slot.pod).filter(|pod| pod.most > 1).map(|pod| pod.duration.max(1)).max()
}

/// Of what is bid by the prediction and what by hope, the latter where it is more.
fn hopeful(
    made: Result<Offer, NoBidReason>,
    hoped: Result<Offer, NoBidReason>,
    raised: Raised,
) -> Result<(Offer, Option<f32>), NoBidReason> {
    match (made, hoped) {
        (Ok(made), Ok(hoped)) if hoped.price <= made.price => Ok((made, None)),
        (_, Ok(hoped)) => Ok((hoped, Some(raised.propensity))),
        (made, Err(_)) => made.map(|made| (made, None)),
    }
}

/// What is sent for an offer, and what that can cost at most.
fn priced(
    opportunity: &Opportunity,
    made: Offer,
    terms: Terms,
) -> Result<(CpmMicros, CpmMicros), NoBidReason> {
    let sent = sent(opportunity, made, terms);
    if sent <= CpmMicros::ZERO {
        return Err(NoBidReason::BelowFloor);
    }
    Ok((sent, terms.charge(sent)))
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

/// Why a campaign that goes by what is known of users does not bid while that cannot be read: that alone, where it would be for
/// somebody here.
#[cold]
fn without_user_state(card: &Card, asked: &Asked<'_>) -> NoBidReason {
    let campaign = &card.entry.campaign;
    if !card.flight.contains(asked.now) || (card.has_hours && !card.live.in_daypart(campaign, asked.now)) {
        NoBidReason::OutsideFlight
    } else if targeting::matches_some_user(&campaign.targeting, asked) {
        NoBidReason::UserStateAway
    } else {
        NoBidReason::TargetingMismatch
    }
}

/// Whether a campaign may bid here, and with what; otherwise the first stage that it fails.
///
/// A campaign with a holdout decides it where everything is settled that the imp and the user bring along, and before anything
/// that follows from what was shown to the user: so whom it holds out and whom it compares them with come here alike, and `note`
/// is told of both.
fn eligible(
    card: &Card,
    asked: &Asked<'_>,
    known: Known,
    seen: Option<&Seen>,
    draw: Draw,
    note: impl FnOnce(Group),
) -> Result<(Drawn, Fit), NoBidReason> {
    let Asked { context, opportunity, now, .. } = *asked;
    let (entry, live) = (&card.entry, &card.live);
    if !card.flight.contains(now) || (card.has_hours && !live.in_daypart(&entry.campaign, now)) {
        return Err(NoBidReason::OutsideFlight);
    }
    if !known.targeting() && !targeting::matches(&entry.campaign.targeting, asked) {
        let blind = context.user.is_none() && targeting::matches_some_user(&entry.campaign.targeting, asked);
        return Err(if blind { NoBidReason::NoBasis } else { NoBidReason::TargetingMismatch });
    }
    if !known.safety() && !safety::allows(entry, context) {
        return Err(NoBidReason::BrandSafety);
    }
    if opportunity.deals_only && !opportunity.deals.iter().any(|deal| may_use(entry, deal)) {
        return Err(NoBidReason::NoDeal);
    }
    let fitting = card.fitting(opportunity);
    if !card.holdout.is_none()
        && !fitting.is_empty()
        && let Some(group) = group(card, context)
    {
        note(group);
        if group == Group::Held && !planted(Bug::HoldoutIgnored) {
            return Err(NoBidReason::Holdout);
        }
    }
    let fitting = if card.has_caps { entry.caps.allow(seen, fitting, now)? } else { fitting };
    let drawn = live.draw_creative(fitting, draw.uniform(Stream::Creative, card.key.0));
    let chosen = drawn.and_then(|drawn| Some((drawn, card.fit(usize::from(drawn.creative), opportunity)?)));
    let chosen = chosen.ok_or(NoBidReason::CreativeMismatch)?;
    match live.state() {
        // Of those that share the auctions with others, before anything is scored.
        CampaignState::Active if live.is_throttled(draw, card.key) => Err(NoBidReason::Pacing),
        CampaignState::Active => Ok(chosen),
        CampaignState::Down => Err(NoBidReason::CampaignDown),
        CampaignState::Exhausted => Err(NoBidReason::BudgetExhausted),
        CampaignState::Paced => Err(NoBidReason::Pacing),
        CampaignState::Paused => Err(NoBidReason::Paused),
    }
}

/// In which of a campaign's groups the user is, where they are known and may be chosen by.
fn group(card: &Card, context: &Context) -> Option<Group> {
    let user = context.user.filter(|_| context.basis.allows(Basis::TARGET))?;
    card.holdout.group(card.key, user)
}
