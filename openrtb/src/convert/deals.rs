//! Private deals.

use haggle_domain::{AuctionType, Deal, DealPrice, NoBidReason, Tag};
use smallvec::SmallVec;

use super::price::{DEFAULT_CURRENCY, Prices};
use super::slots::duration_floors;
use super::{Asker, first_said};
use crate::domains::bare_domain;
use crate::request::{self, Floor, Pmp};

/// How many deals of an imp, and advertisers of a deal, are looked at: the first ones. A bid is never wrong by leaving one out.
const MOST: usize = 64;

/// The deals that our seat may take part in. One whose currency is not known is left out.
///
/// # Errors
///
/// [`NoBidReason::InvalidImp`] where a deal has no id or a price that cannot be read.
pub(super) fn usable(
    pmp: Option<&Pmp<'_>>,
    at: Option<i64>,
    currency: Option<&str>,
    asker: &Asker<'_>,
) -> Result<SmallVec<[Deal; 1]>, NoBidReason> {
    let deals = pmp.map_or(&[][..], |pmp| &pmp.deals);
    let usable = deals.iter().enumerate().filter_map(|(index, deal)| {
        if deal.id.is_empty() {
            return Some(Err(NoBidReason::InvalidImp));
        }
        let seated = deal.wseat.is_empty() || deal.wseat.iter().any(|seat| seat == asker.seat);
        let index = u16::try_from(index).ok().filter(|_| seated)?;
        match read(deal, index, at, currency, asker) {
            Err(NoBidReason::UnsupportedCurrency) => None,
            read => Some(read),
        }
    });
    usable.take(MOST).collect()
}

fn read(
    deal: &request::Deal<'_>,
    index: u16,
    at: Option<i64>,
    currency: Option<&str>,
    asker: &Asker<'_>,
) -> Result<Deal, NoBidReason> {
    let prices = Prices { rates: asker.rates, currency: first_said(&deal.bidfloorcur, DEFAULT_CURRENCY) };
    Ok(Deal {
        key: Tag::exactly(&deal.id),
        index,
        floor: prices.read(deal.bidfloor)?,
        asked: match deal.bidfloor {
            Floor::Price(price) if currency.is_some_and(|ours| prices.is_in(ours)) => Some(price),
            _ => None,
        },
        price: match deal.at.or(at) {
            Some(3) => DealPrice::Fixed,
            Some(1) => DealPrice::Auction(AuctionType::First),
            _ => DealPrice::Auction(AuctionType::SecondPlus),
        },
        guaranteed: deal.guar,
        advertisers: deal.wadomain.iter().take(MOST).map(|domain| bare_domain(domain)).collect(),
        duration_floors: duration_floors(&deal.durfloors, &prices)?,
        floor_per_second: prices.read(deal.mincpmpersec)?,
    })
}
