//! Prices, floors, deals, seats and currencies.
//!
//! Which floor applies is what OpenRTB 2.6 section 7.11.2 says: a bid on a deal goes by the deal's floors; where the
//! deal has none, and outside deals, a video or audio bid goes by its slot's `durfloors` or `mincpmpersec`; all else by
//! the imp's.

use std::borrow::Cow;

use serde_json::Value;

use super::check::{Check, Findings};
use super::offer::Offer;
use super::rates::Rates;
use super::value::{amount, flag, list, member, nanos, strings, text, whole_at};

/// What a bid has to reach.
#[derive(Debug, PartialEq, Eq)]
enum Floor {
    /// Billionths of the floor's currency.
    At(i128),
    /// It depends on a duration that neither bid nor markup gives.
    ByDuration,
    /// None was asked for.
    None,
}

/// Checks the bid's price.
pub(super) fn check(offer: &Offer<'_>, rates: &Rates, findings: &mut Findings) {
    let name = &offer.name;
    let Some(price) = offer.bid.get("price").filter(|price| price.is_number()).and_then(nanos) else {
        return;
    };
    findings.require(Check::Price, price > 0, || format!("{name}: price {} is not above 0", amount(price)));
    let (floor, currency) = floor(offer);
    match floor {
        Floor::None => {}
        Floor::ByDuration => findings.fail(
            Check::Floor,
            format!("{name}: the floor depends on the duration, and neither dur nor markup gives one"),
        ),
        Floor::At(floor) => {
            if let Some(needed) = rates.convert(floor, currency, offer.currency) {
                findings.require(Check::Floor, price >= needed, || {
                    let bid = offer.currency;
                    let from = if bid == currency {
                        String::new()
                    } else {
                        format!(" ({} {currency})", amount(floor))
                    };
                    format!(
                        "{name}: price {} {bid} is below the floor {} {bid}{from}",
                        amount(price),
                        amount(needed)
                    )
                });
            }
        }
    }
    deal(offer, price, findings);
}

/// The floor that applies and its currency.
fn floor<'a>(offer: &Offer<'a>) -> (Floor, &'a str) {
    let own = |object: &'a Value| text(object, "bidfloorcur").unwrap_or("USD");
    let imp = offer.imp.get("bidfloor").and_then(nanos);
    let timed = offer.format.is_some_and(|format| format.is_timed());
    if let Some(deal) = offer.deal() {
        // Its currency is its own or US dollars; it inherits nothing.
        let flat = deal.get("bidfloor").and_then(nanos);
        let by_duration = if timed { by_duration(offer, deal, flat) } else { None };
        if let Some(floor) = by_duration.or(flat.map(Floor::At)) {
            return (floor, own(deal));
        }
    }
    let currency = own(offer.imp);
    let slot = offer.slot().filter(|_| timed).and_then(|slot| by_duration(offer, slot, imp));
    (slot.or(imp.map(Floor::At)).unwrap_or(Floor::None), currency)
}

/// The floor by duration that `object` asks for, if it does; outside of its ranges `otherwise`.
fn by_duration(offer: &Offer<'_>, object: &Value, otherwise: Option<i128>) -> Option<Floor> {
    let per_second = member(object, "mincpmpersec").and_then(nanos).filter(|floor| *floor > 0);
    let ranges = list(object, "durfloors");
    if per_second.is_none() && ranges.is_empty() {
        return None;
    }
    let Some(duration) = offer.duration_ms() else { return Some(Floor::ByDuration) };
    if let Some(floor) = per_second {
        return Some(Floor::At(floor.saturating_mul(i128::from(duration)) / 1000));
    }
    // Ranges may overlap; which of them counts is between the parties, so the lowest does here.
    let fits = |range: &&Value| {
        whole_at(range, "mindur").is_none_or(|least| duration >= least.saturating_mul(1000))
            && whole_at(range, "maxdur").is_none_or(|most| duration <= most.saturating_mul(1000))
    };
    let lowest =
        ranges.iter().filter(fits).map(|range| range.get("bidfloor").and_then(nanos).unwrap_or(0)).min();
    Some(lowest.or(otherwise).map_or(Floor::None, Floor::At))
}

fn deal(offer: &Offer<'_>, price: i128, findings: &mut Findings) {
    let name = &offer.name;
    let pmp = offer.imp.get("pmp").unwrap_or(&Value::Null);
    let Some(id) = text(offer.bid, "dealid") else {
        if flag(pmp, &["private_auction"]) {
            findings.fail(Check::Deal, format!("{name}: no dealid, but the auction is private"));
        }
        return;
    };
    findings.applies(Check::Deal);
    let Some(deal) = offer.deal() else {
        findings.fail(Check::Deal, format!("{name}: dealid {id} is not among the imp's deals"));
        return;
    };
    let seats = strings(deal, "wseat");
    findings.require(
        Check::Deal,
        seats.is_empty() || offer.seat.is_some_and(|seat| has(&seats, seat)),
        || format!("{name}: seat {} is not in wseat of deal {id}", offer.seat.unwrap_or("(none)")),
    );
    let allowed = strings(deal, "wadomain");
    if !allowed.is_empty() {
        let domains = strings(offer.bid, "adomain");
        let all = !domains.is_empty()
            && domains
                .iter()
                .all(|domain| allowed.iter().any(|allowed| super::blocks::is_below(domain, allowed)));
        findings.require(Check::Deal, all, || {
            format!("{name}: adomain {domains:?} is not in wadomain of deal {id}")
        });
    }
    let agreed = deal.get("bidfloor").and_then(nanos).filter(|_| whole_at(deal, "at") == Some(3));
    if let Some(agreed) = agreed.filter(|_| text(deal, "bidfloorcur").unwrap_or("USD") == offer.currency) {
        findings.require(Check::Price, price == agreed, || {
            format!(
                "{name}: price {} is not the price {} agreed for deal {id}",
                amount(price),
                amount(agreed)
            )
        });
    }
}

/// Whether a list names something.
fn has(list: &[Cow<'_, str>], name: &str) -> bool {
    list.iter().any(|listed| listed == name)
}

/// Checks the response's currency and the seats, which are those of all of its bids.
pub(super) fn check_response(request: &Value, response: &Value, findings: &mut Findings) {
    let currency = text(response, "cur").unwrap_or("USD");
    let allowed = strings(request, "cur");
    let is_code = currency.len() == 3 && currency.bytes().all(|byte| byte.is_ascii_uppercase());
    findings.require(Check::Currency, is_code, || format!("cur {currency:?} is no ISO 4217 code"));
    findings.require(Check::Currency, allowed.is_empty() || has(&allowed, currency), || {
        format!("cur {currency} is not one of {allowed:?}")
    });
    let (white, black) = (strings(request, "wseat"), strings(request, "bseat"));
    if white.is_empty() && black.is_empty() {
        return;
    }
    for seat in list(response, "seatbid") {
        let seat = text(seat, "seat");
        let name = seat.unwrap_or("(none)");
        findings.require(Check::Seat, white.is_empty() || seat.is_some_and(|seat| has(&white, seat)), || {
            format!("seat {name} is not in wseat {white:?}")
        });
        findings.require(Check::Seat, seat.is_none_or(|seat| !has(&black, seat)), || {
            format!("seat {name} is in bseat")
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[allow(clippy::needless_pass_by_value, reason = "values are written where it is called")]
    fn floor_of(imp: Value, bid: Value) -> (Floor, String) {
        let offer = Offer::new(&Value::Null, &imp, &bid, None, "USD");
        let (floor, currency) = floor(&offer);
        (floor, currency.to_owned())
    }

    #[test]
    fn the_floor_is_that_of_deal_then_slot_then_imp() {
        let usd = |nanos| (Floor::At(nanos), "USD".to_owned());
        let cpm = 1_000_000_000;
        let video = json!({"mimes": ["video/mp4"], "mincpmpersec": 0.1});
        let imp = json!({"bidfloor": "2", "bidfloorcur": "EUR", "banner": {}, "video": video,
            "pmp": {"deals": [{"id": "d", "bidfloor": 5}, {"id": "free"}, {"id": "s", "mincpmpersec": 0.2}]}});
        assert_eq!(floor_of(imp.clone(), json!({"mtype": 1})), (Floor::At(2 * cpm), "EUR".to_owned()));
        assert_eq!(floor_of(imp.clone(), json!({"mtype": 1, "dealid": "d"})), usd(5 * cpm));
        assert_eq!(
            floor_of(imp.clone(), json!({"mtype": 1, "dealid": "free"})),
            (Floor::At(2 * cpm), "EUR".to_owned())
        );
        assert_eq!(floor_of(imp.clone(), json!({"mtype": 2, "dealid": "s", "dur": 10})), usd(2 * cpm));
        assert_eq!(
            floor_of(imp.clone(), json!({"mtype": 2, "dur": 30})),
            (Floor::At(3 * cpm), "EUR".to_owned())
        );
        assert_eq!(floor_of(imp, json!({"mtype": 2})).0, Floor::ByDuration);
    }

    #[test]
    fn duration_floors_take_the_range_and_outside_the_imps() {
        let imp = json!({"bidfloor": 1, "audio": {"durfloors": [
            {"maxdur": 15, "bidfloor": 5}, {"mindur": 16, "maxdur": 30, "bidfloor": 10}, {"mindur": 20, "maxdur": 30, "bidfloor": 9}]}});
        let floor = |dur: i64| floor_of(imp.clone(), json!({"mtype": 3, "dur": dur})).0;
        assert_eq!(floor(15), Floor::At(5_000_000_000));
        assert_eq!(floor(18), Floor::At(10_000_000_000));
        assert_eq!(floor(25), Floor::At(9_000_000_000));
        assert_eq!(floor(60), Floor::At(1_000_000_000));
    }
}
