//! The exchanges' rules: who wins, what it pays, and why the others lost.

use haggle_domain::{AuctionType, CpmMicros, DealPrice};

use crate::ad::SimBid;
use crate::exchange::DealOffer;
use crate::request::SimRequest;

/// The exchanges' price step, 0.01 per thousand: what a second-price winner pays above the second price.
pub(crate) const STEP: CpmMicros = CpmMicros(10_000);

/// The result of an auction, as the exchange would tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuctionOutcome {
    /// Whether our bid won.
    pub won: bool,
    /// What the winner pays, ours or a rival; zero where nobody won.
    pub clearing: CpmMicros,
    /// The least price with which our bid would have won.
    pub min_to_win: CpmMicros,
    /// Why our bid lost; `None` where it won, or where there was none.
    pub loss: Option<LossReason>,
}

/// Loss reason codes (OpenRTB 2.6 refers to AdCOM's list) that this exchange gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum LossReason {
    /// The bid is for an imp that was not offered.
    InvalidBidResponse = 3,
    /// The bid names a deal that was not offered, or none where there is nothing else.
    InvalidDealId = 4,
    /// No `adomain`.
    InvalidAdvertiserDomain = 6,
    /// No markup.
    MissingMarkup = 7,
    /// No `crid`.
    MissingCreativeId = 8,
    /// No price above zero.
    MissingBidPrice = 9,
    /// Below the floor.
    BelowFloor = 100,
    /// Below the deal's price.
    BelowDealFloor = 101,
    /// A rival bid more.
    HigherBid = 102,
    /// The size was not offered.
    SizeNotAllowed = 203,
    /// The format was not offered.
    IncorrectFormat = 204,
    /// `badv` names the advertiser.
    AdvertiserExcluded = 205,
    /// `bcat` names the category.
    CategoryExcluded = 209,
}

impl LossReason {
    /// The number that goes into `${AUCTION_LOSS}`.
    pub const fn code(self) -> u16 {
        self as u16
    }
}

/// A rival's price in whole steps.
pub(crate) fn in_steps(units: f64) -> CpmMicros {
    let steps = (units * 100.0).round().clamp(1.0, 1e6) as i64;
    CpmMicros(steps * STEP.0)
}

pub(crate) fn run(request: &SimRequest, bid: Option<&SimBid>) -> AuctionOutcome {
    let bids = &request.hidden.rivals;
    let rival = bids.best.filter(|price| *price >= request.floor);
    let next = bids.second.filter(|price| *price >= request.floor);
    let above = |price: CpmMicros| CpmMicros(price.0.saturating_add(STEP.0));
    let min_to_win = rival.map_or(request.floor, above);
    let to_rival = match (rival, request.auction) {
        (None, _) => CpmMicros::ZERO,
        (Some(price), AuctionType::First) => price,
        // A rival that meets no other pays the floor in a second-price auction.
        (Some(price), AuctionType::SecondPlus) => price.min(next.map_or(request.floor, above)),
    };
    let Some(bid) = bid else {
        return AuctionOutcome { won: false, clearing: to_rival, min_to_win, loss: None };
    };
    let offers = &request.hidden.deals;
    let deal = offers.iter().find(|deal| !bid.deal_id.is_empty() && *deal.id == *bid.deal_id);
    if let Some(deal) = deal {
        return by_deal(request, bid, deal, to_rival);
    }
    // Where deals are all there is, or one that is not there is named.
    let astray = !bid.deal_id.is_empty() || offers.iter().any(|deal| deal.private);
    let objection = objection(request, bid, request.floor, LossReason::BelowFloor)
        .or(astray.then_some(LossReason::InvalidDealId));
    let loss = objection.or((bid.price < min_to_win).then_some(LossReason::HigherBid));
    let clearing = match (loss, request.auction) {
        // The second price and a step, or the floor: exactly what it took to win.
        (None, AuctionType::SecondPlus) => min_to_win,
        (None, AuctionType::First) => bid.price,
        (Some(LossReason::HigherBid), AuctionType::SecondPlus) => {
            above(bid.price.max(next.unwrap_or_default())).min(rival.unwrap_or_default())
        }
        (Some(_), _) => to_rival,
    };
    AuctionOutcome { won: loss.is_none(), clearing, min_to_win, loss }
}

/// A bid under a deal goes before those of the open auction and competes with none, since no rival is invited.
fn by_deal(request: &SimRequest, bid: &SimBid, deal: &DealOffer, to_rival: CpmMicros) -> AuctionOutcome {
    let loss = objection(request, bid, deal.floor, LossReason::BelowDealFloor);
    let clearing = match (loss, deal.price) {
        (None, DealPrice::Auction(AuctionType::First)) => bid.price,
        (None, DealPrice::Auction(AuctionType::SecondPlus) | DealPrice::Fixed) => deal.floor,
        (Some(_), _) => to_rival,
    };
    AuctionOutcome { won: loss.is_none(), clearing, min_to_win: deal.floor, loss }
}

/// What is wrong with a bid before prices are compared with rivals'.
fn objection(request: &SimRequest, bid: &SimBid, floor: CpmMicros, below: LossReason) -> Option<LossReason> {
    let same = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
    // A blocked tier-one category blocks what is below it.
    let blocks = |blocked: &str, category: &str| {
        same(blocked, category) || category.split_once('-').is_some_and(|(tier, _)| same(blocked, tier))
    };
    let blocked_category = bid
        .categories
        .iter()
        .any(|category| request.hidden.bcat.iter().any(|blocked| blocks(blocked, category)));
    let blocked_advertiser = bid
        .advertiser_domains
        .iter()
        .any(|domain| request.hidden.badv.iter().any(|blocked| same(blocked, domain)));
    let checks = [
        (bid.imp_id != request.imp_id, LossReason::InvalidBidResponse),
        (bid.price <= CpmMicros::ZERO, LossReason::MissingBidPrice),
        (!bid.has_markup, LossReason::MissingMarkup),
        (bid.creative_id.is_empty(), LossReason::MissingCreativeId),
        (bid.advertiser_domains.is_empty(), LossReason::InvalidAdvertiserDomain),
        (request.hidden.sizes.is_empty(), LossReason::IncorrectFormat),
        (!request.hidden.sizes.contains(&(bid.width, bid.height)), LossReason::SizeNotAllowed),
        (blocked_advertiser, LossReason::AdvertiserExcluded),
        (blocked_category, LossReason::CategoryExcluded),
        (bid.price < floor, below),
    ];
    checks.into_iter().find(|(wrong, _)| *wrong).map(|(_, reason)| reason)
}
