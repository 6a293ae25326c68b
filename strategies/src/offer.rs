//! On which footing a campaign bids: under a deal or in the open auction, above which floor, at what price.

use haggle_domain::planted::{Bug, planted};
use haggle_domain::{
    AuctionType, CpmMicros, Deal, DealPrice, DurationFloor, Fit, Format, NoBidReason, Opportunity,
};

use crate::catalog::Entry;
use crate::market::WinCurve;
use crate::pricing;
use crate::trial::Trial;

/// A price that meets its floor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Offer {
    /// The deal's position in the opportunity's list, if it is made under one.
    pub deal: Option<u16>,
    /// In the account's currency, for a thousand impressions.
    pub price: CpmMicros,
    /// The deal asks that it be bid on.
    pub guaranteed: bool,
    /// The probability with which the price was drawn, where prices are tried.
    pub propensity: Option<f32>,
}

/// Whether a campaign may use a deal.
pub fn may_use(entry: &Entry, deal: &Deal) -> bool {
    entry.campaign.deals.contains(&deal.key)
        && (deal.advertisers.is_empty()
            || entry.advertiser_tags.iter().any(|tag| deal.advertisers.contains(tag)))
}

/// What a bid is worth and how it is brought down to a price.
#[derive(Clone, Copy, Debug)]
pub struct Worth<'m> {
    /// Currency units per thousand impressions.
    pub value: f64,
    /// The pacing multiplier.
    pub multiplier: f64,
    /// Above this the campaign never bids.
    pub max_bid: CpmMicros,
    /// Of the open auction.
    pub auction: AuctionType,
    /// What it takes to win there.
    pub curve: Option<&'m WinCurve>,
    /// Whether another price than the best is tried there.
    pub trial: Option<Trial>,
}

/// The best footing: a guaranteed deal, else another deal, else the open auction, whichever first meets its floor. A deal
/// that says nothing of a floor has the open auction's (OpenRTB 2.6 section 7.11.2).
///
/// # Errors
///
/// [`NoBidReason::NoDeal`] where only deals are wanted and the campaign has none, [`NoBidReason::BelowFloor`] where
/// no floor is met.
pub fn offer(
    entry: &Entry,
    opportunity: &Opportunity,
    fit: Fit,
    worth: Worth<'_>,
) -> Result<Offer, NoBidReason> {
    let slot = match fit.format {
        Format::Video => opportunity.video.as_ref(),
        Format::Audio => opportunity.audio.as_ref(),
        Format::Banner | Format::Native => None,
    };
    let least = slot.map_or(opportunity.floor, |slot| {
        floor(opportunity.floor, &slot.duration_floors, slot.floor_per_second, fit.duration)
    });
    let mut reason = NoBidReason::NoDeal;
    for guaranteed in [true, false] {
        let usable = |(_, deal): &(usize, &Deal)| deal.guaranteed == guaranteed && may_use(entry, deal);
        for (position, deal) in opportunity.deals.iter().enumerate().filter(usable) {
            reason = NoBidReason::BelowFloor;
            let floor = match says_nothing(deal) {
                true => least,
                false => floor(deal.floor, &deal.duration_floors, deal.floor_per_second, fit.duration),
            };
            if let Some(price) = deal_price(deal, floor, worth)
                && let Ok(position) = u16::try_from(position)
            {
                return Ok(Offer { deal: Some(position), price, guaranteed, propensity: None });
            }
        }
    }
    if opportunity.deals_only {
        return Err(reason);
    }
    let price = pricing::bid(worth.value, worth.multiplier, worth.auction, worth.curve, least, worth.max_bid);
    if price < least && !planted(Bug::FloorIgnored) || price <= CpmMicros::ZERO {
        return Err(NoBidReason::BelowFloor);
    }
    let (price, propensity) = tried(price, least, worth);
    Ok(Offer { deal: None, price, guaranteed: false, propensity })
}

/// The price that is bid instead of the best one, where prices are tried: where the winner pays its bid, and what it takes to win
/// is not told anyway.
fn tried(best: CpmMicros, least: CpmMicros, worth: Worth<'_>) -> (CpmMicros, Option<f32>) {
    let told = worth.curve.is_some_and(WinCurve::is_told);
    match worth.trial.filter(|_| worth.auction == AuctionType::First && !told) {
        Some(trial) => {
            let highest = CpmMicros::from_f64_rounded_down(worth.value * worth.multiplier);
            trial.price(best, least, highest.min(worth.max_bid))
        }
        None => (best, None),
    }
}

/// Whether a deal leaves its floor to the imp. The price of a fixed one is its own.
fn says_nothing(deal: &Deal) -> bool {
    deal.price != DealPrice::Fixed
        && deal.floor == CpmMicros::ZERO
        && deal.floor_per_second == CpmMicros::ZERO
        && deal.duration_floors.is_empty()
}

/// What is bid under a deal, if that meets its floor.
fn deal_price(deal: &Deal, floor: CpmMicros, worth: Worth<'_>) -> Option<CpmMicros> {
    let highest = worth.max_bid;
    let price = match deal.price {
        // What was promised is kept, whatever this one impression is worth; the budget still bounds it.
        _ if deal.guaranteed => floor,
        DealPrice::Fixed => {
            let worth_it = CpmMicros::from_f64_rounded_down(worth.value * worth.multiplier) >= floor;
            if worth_it { floor } else { CpmMicros::ZERO }
        }
        DealPrice::Auction(auction) => {
            pricing::bid(worth.value, worth.multiplier, auction, worth.curve, floor, highest)
        }
    };
    (price >= floor && price <= highest && price > CpmMicros::ZERO).then_some(price)
}

/// The least price for an ad of `duration` seconds: the floor of its duration, else the general one, and in any case as
/// much as its seconds come to (OpenRTB 2.6 sections 3.2.7 and 3.2.35).
fn floor(
    general: CpmMicros,
    by_duration: &[DurationFloor],
    per_second: CpmMicros,
    duration: u32,
) -> CpmMicros {
    // What has no duration has none of the ranges.
    let by_duration = if duration > 0 { by_duration } else { &[] };
    let of_duration = by_duration.iter().find(|range| (range.shortest..=range.longest).contains(&duration));
    let seconds = CpmMicros(per_second.0.saturating_mul(i64::from(duration)));
    of_duration.map_or(general, |range| range.floor).max(seconds)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use haggle_domain::{StreamSlot, Tag};

    use super::*;
    use crate::test_support::campaign;

    fn entry(deals: &[&str]) -> Entry {
        let mut campaign = campaign("boots");
        campaign.deals = deals.iter().map(|deal| Tag::exactly(deal)).collect();
        Entry::new(Arc::new(campaign))
    }

    /// A banner, or a video of so many seconds.
    fn ad(duration: u32) -> Fit {
        Fit { format: if duration == 0 { Format::Banner } else { Format::Video }, duration }
    }

    const WORTH: Worth<'static> = Worth {
        value: 4.0,
        multiplier: 1.0,
        max_bid: CpmMicros(10_000_000),
        auction: AuctionType::SecondPlus,
        curve: None,
        trial: None,
    };

    fn deal(id: &str, floor: i64, price: DealPrice) -> Deal {
        Deal { key: Tag::exactly(id), floor: CpmMicros(floor), price, ..Deal::default() }
    }

    fn offered(deals: &[Deal], deals_only: bool) -> Opportunity {
        Opportunity {
            deals: deals.iter().cloned().collect(),
            deals_only,
            floor: CpmMicros(3_000_000),
            ..Opportunity::default()
        }
    }

    #[test]
    fn the_open_auction_has_its_floor() {
        let open = offered(&[], false);
        assert_eq!(
            offer(&entry(&[]), &open, ad(0), WORTH),
            Ok(Offer { deal: None, price: CpmMicros(4_000_000), guaranteed: false, propensity: None })
        );
        let first = Worth { auction: AuctionType::First, ..WORTH };
        let shaded = offer(&entry(&[]), &open, ad(0), first).unwrap();
        assert!((CpmMicros(3_000_000)..CpmMicros(4_000_000)).contains(&shaded.price), "{shaded:?}");
        let cheap = Worth { value: 2.9, ..WORTH };
        assert_eq!(offer(&entry(&[]), &open, ad(0), cheap), Err(NoBidReason::BelowFloor));
    }

    #[test]
    fn a_private_auction_takes_deals_alone() {
        let auction = DealPrice::Auction(AuctionType::SecondPlus);
        let private = offered(&[deal("d1", 5_000_000, auction), deal("d2", 3_500_000, auction)], true);
        assert_eq!(offer(&entry(&[]), &private, ad(0), WORTH), Err(NoBidReason::NoDeal));
        assert_eq!(offer(&entry(&["d1"]), &private, ad(0), WORTH), Err(NoBidReason::BelowFloor));
        let made = offer(&entry(&["d1", "d2"]), &private, ad(0), WORTH).unwrap();
        assert_eq!((made.deal, made.price), (Some(1), CpmMicros(4_000_000)));
    }

    #[test]
    fn a_fixed_deal_costs_its_price_and_a_guaranteed_one_is_bid_on() {
        let fixed = deal("d", 3_900_000, DealPrice::Fixed);
        let made =
            offer(&entry(&["d"]), &offered(std::slice::from_ref(&fixed), false), ad(0), WORTH).unwrap();
        assert_eq!(
            made,
            Offer { deal: Some(0), price: CpmMicros(3_900_000), guaranteed: false, propensity: None }
        );
        let dear = Deal { floor: CpmMicros(6_000_000), ..fixed };
        let open = offer(&entry(&["d"]), &offered(std::slice::from_ref(&dear), false), ad(0), WORTH).unwrap();
        assert_eq!(open.deal, None, "not worth it, so the open auction");
        let promised = Deal { guaranteed: true, ..dear };
        let made =
            offer(&entry(&["d"]), &offered(std::slice::from_ref(&promised), false), ad(0), WORTH).unwrap();
        assert_eq!(
            made,
            Offer { deal: Some(0), price: CpmMicros(6_000_000), guaranteed: true, propensity: None }
        );
        let beyond = Deal { floor: CpmMicros(11_000_000), ..promised };
        assert_eq!(
            offer(&entry(&["d"]), &offered(&[beyond], true), ad(0), WORTH),
            Err(NoBidReason::BelowFloor)
        );
    }

    #[test]
    fn a_deal_without_a_floor_has_the_imps() {
        let auction = DealPrice::Auction(AuctionType::SecondPlus);
        let dear = Opportunity { floor: CpmMicros(4_500_000), ..offered(&[deal("d", 0, auction)], true) };
        assert_eq!(offer(&entry(&["d"]), &dear, ad(0), WORTH), Err(NoBidReason::BelowFloor));
        let cheap = offered(&[deal("d", 0, auction)], true);
        assert_eq!(offer(&entry(&["d"]), &cheap, ad(0), WORTH).unwrap().deal, Some(0));
    }

    #[test]
    fn a_deal_may_be_for_some_advertisers() {
        let mut wanted = deal("d", 0, DealPrice::Auction(AuctionType::First));
        wanted.advertisers.push(Tag::of("other.example"));
        assert!(!may_use(&entry(&["d"]), &wanted));
        wanted.advertisers.push(Tag::of("shop.example"));
        assert!(may_use(&entry(&["d"]), &wanted));
        assert!(!may_use(&entry(&["e"]), &wanted));
    }

    #[test]
    fn seconds_have_their_price() {
        let ranges = [
            DurationFloor { shortest: 0, longest: 15, floor: CpmMicros(1_000_000) },
            DurationFloor { shortest: 16, longest: u32::MAX, floor: CpmMicros(8_000_000) },
        ];
        let least =
            |duration, per_second| floor(CpmMicros(3_000_000), &ranges, CpmMicros(per_second), duration);
        assert_eq!(least(15, 0), CpmMicros(1_000_000));
        assert_eq!(least(16, 0), CpmMicros(8_000_000));
        assert_eq!(least(15, 100_000), CpmMicros(1_500_000));
        assert_eq!(floor(CpmMicros(3_000_000), &ranges[..1], CpmMicros::ZERO, 30), CpmMicros(3_000_000));
        let video = Opportunity {
            video: Some(StreamSlot { floor_per_second: CpmMicros(200_000), ..StreamSlot::default() }),
            ..Opportunity::default()
        };
        assert!(offer(&entry(&[]), &video, ad(15), WORTH).is_ok());
        assert_eq!(offer(&entry(&[]), &video, ad(30), WORTH), Err(NoBidReason::BelowFloor));
        assert!(offer(&entry(&[]), &video, ad(0), WORTH).is_ok(), "a banner in the same imp has no seconds");
    }
}
