//! One answer against its request: which checks apply and what they find. No I/O.

use std::time::Duration;

use serde_json::Value;

use super::check::{Check, Findings, shorten};
use super::flaws::Flaws;
use super::format::Format;
use super::offer::Offer;
use super::rates::Rates;
use super::value::{list, number, text};
use super::{blocks, fit, macros, markup, price, privacy, schema, timed};

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The `Content-Type`.
    pub content_type: Option<String>,
    /// The body, as received.
    pub body: Vec<u8>,
    /// From sending to the last byte.
    pub took: Duration,
}

/// How a row is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meant {
    /// A request that a bidder has to answer, with a bid or without.
    Valid,
    /// A request with a flaw.
    Invalid,
}

/// What an answer came to.
#[derive(Debug, Default)]
pub struct Verdict {
    /// The checks.
    pub findings: Findings,
    /// Formats of its bids; none for a bid of which that is not known.
    pub bids: Vec<Option<Format>>,
    /// What is worth knowing and no failure.
    pub warnings: Vec<(Check, String)>,
    /// Meant as invalid, and yet without a flaw by the specification.
    pub stricter: bool,
}

/// Statuses that refuse a request as malformed.
const REFUSALS: [u16; 4] = [400, 413, 415, 422];

/// Judges an answer to `body`.
pub fn judge(body: &str, meant: Meant, answer: &Answer, rates: &Rates, enforce_tmax: bool) -> Verdict {
    let mut verdict = Verdict::default();
    // What is no JSON has no members, and its flaw is that.
    let request: Value = serde_json::from_str(body).unwrap_or(Value::Null);
    let flaws = Flaws::of(&request);
    verdict.stricter = meant == Meant::Invalid && !flaws.any();
    let findings = &mut verdict.findings;
    if flaws.any() {
        findings.applies(Check::Flaw);
    }
    late(&request, answer, enforce_tmax, findings, &mut verdict.warnings);
    findings.applies(Check::Status);
    // What is meant to be answered can be answered, whatever is wrong with it: without a bid.
    let may_refuse = meant == Meant::Invalid && flaws.any();
    let text_body = String::from_utf8_lossy(&answer.body);
    match answer.status {
        200 => {}
        204 => {
            findings.require(Check::Status, answer.body.is_empty(), || "204 with a body".to_owned());
            return verdict;
        }
        status if may_refuse && REFUSALS.contains(&status) => {
            privacy::check(&request, &text_body, None, findings);
            return verdict;
        }
        status => {
            findings.fail(
                Check::Status,
                format!("status {status}, not 200 or 204: {}", shorten(text_body.trim())),
            );
            return verdict;
        }
    }
    let is_json = answer.content_type.as_deref().is_some_and(|kind| {
        kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
    });
    findings.require(Check::Status, is_json, || {
        format!(
            "Content-Type is {:?}, not application/json",
            answer.content_type.as_deref().unwrap_or_default()
        )
    });
    let response: Value = match serde_json::from_slice(&answer.body) {
        Ok(response) => response,
        Err(error) => {
            privacy::check(&request, &text_body, None, findings);
            let hint = if answer.body.is_empty() { "; a no-bid without a body is 204" } else { "" };
            findings.fail(Check::Schema, format!("the body is no JSON: {error}{hint}"));
            return verdict;
        }
    };
    privacy::check(&request, &text_body, Some(&response), findings);
    schema::check(&request, &response, findings);
    verdict.bids = bids(&request, &response, &flaws, rates, findings);
    verdict
}

fn late(
    request: &Value,
    answer: &Answer,
    enforce: bool,
    findings: &mut Findings,
    warnings: &mut Vec<(Check, String)>,
) {
    let Some(tmax) = request.get("tmax").and_then(number).filter(|tmax| *tmax > 0.0) else { return };
    let took = answer.took.as_secs_f64() * 1e3;
    let late = took > tmax;
    let detail = || format!("answered after {took:.1} ms; tmax is {tmax}");
    if enforce {
        findings.require(Check::Latency, !late, detail);
    } else if late {
        warnings.push((Check::Latency, detail()));
    }
}

/// Checks every bid; gives their formats.
fn bids(
    request: &Value,
    response: &Value,
    flaws: &Flaws,
    rates: &Rates,
    findings: &mut Findings,
) -> Vec<Option<Format>> {
    let mut formats = Vec::new();
    let seats = list(response, "seatbid");
    if seats.is_empty() {
        return formats;
    }
    price::check_response(request, response, findings);
    let currency = text(response, "cur").unwrap_or("USD");
    let imps = list(request, "imp");
    let mut offers = Vec::new();
    for (seat, bid) in seats.iter().flat_map(|seat| list(seat, "bid").iter().map(move |bid| (seat, bid))) {
        let id = bid.get("impid").and_then(Value::as_str).unwrap_or_default();
        let imp = imps.iter().find(|imp| !id.is_empty() && text(imp, "id") == Some(id));
        let offer = imp.map(|imp| Offer::new(request, imp, bid, text(seat, "seat"), currency));
        let format = offer.as_ref().and_then(|offer| offer.format);
        formats.push(format);
        if let Some(what) = flaws.forbids(imp, id, format) {
            findings.fail(Check::Flaw, format!("a bid on imp {id:?}, which the request spoils: {what}"));
            continue;
        }
        findings.require(Check::Imp, offer.is_some(), || format!("impid {id:?} is no imp of the request"));
        offers.extend(offer);
    }
    for offer in &offers {
        price::check(offer, rates, findings);
        blocks::check(offer, findings);
        fit::check(offer, findings);
        timed::check(offer, findings);
        timed::check_api(offer, findings);
        markup::check(offer, findings);
        macros::check(offer, findings);
    }
    timed::check_together(&offers, findings);
    formats
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn failures(request: &Value, meant: Meant, status: u16, content_type: &str, body: &str) -> Vec<Check> {
        let answer = Answer {
            status,
            content_type: Some(content_type.to_owned()),
            body: body.as_bytes().to_vec(),
            took: Duration::ZERO,
        };
        let verdict = judge(&request.to_string(), meant, &answer, &Rates::default(), false);
        verdict.findings.failures.into_iter().map(|(check, _)| check).collect()
    }

    #[test]
    fn statuses_say_what_they_may() {
        let sound = json!({"id": "r", "imp": [{"id": "1", "banner": {"w": 1, "h": 1}}]});
        let flawed_imp = json!({"id": "r", "imp": [{"id": "1", "banner": {}}]});
        let flawed = json!({"imp": []});
        let json = "application/json";
        let no_bid = "{\"id\":\"r\",\"nbr\":2}";
        assert_eq!(failures(&sound, Meant::Valid, 204, json, ""), []);
        assert_eq!(failures(&sound, Meant::Valid, 204, json, "{}"), [Check::Status]);
        assert_eq!(failures(&sound, Meant::Valid, 200, "application/json; charset=utf-8", no_bid), []);
        assert_eq!(failures(&sound, Meant::Valid, 200, "text/plain", no_bid), [Check::Status]);
        assert_eq!(failures(&sound, Meant::Valid, 200, json, "\u{fffd}"), [Check::Schema]);
        for status in [400, 413, 415, 422] {
            assert_eq!(failures(&sound, Meant::Valid, status, json, ""), [Check::Status]);
            assert_eq!(failures(&sound, Meant::Invalid, status, json, ""), [Check::Status]);
            assert_eq!(failures(&flawed_imp, Meant::Valid, status, json, ""), [Check::Status]);
            assert_eq!(failures(&flawed_imp, Meant::Invalid, status, json, ""), []);
            assert_eq!(failures(&flawed, Meant::Valid, status, json, ""), [Check::Status]);
            assert_eq!(failures(&flawed, Meant::Invalid, status, json, ""), []);
        }
        assert_eq!(failures(&flawed, Meant::Invalid, 500, json, ""), [Check::Status]);
        assert_eq!(failures(&flawed, Meant::Invalid, 302, json, ""), [Check::Status]);
    }

    #[test]
    fn hostile_answers_do_no_harm() {
        let sound = json!({"id": "r", "imp": [{"id": "1", "banner": {"w": 1, "h": 1}}]});
        let nested = "[".repeat(100_000);
        let many = format!("{{\"id\":\"r\",\"seatbid\":[{}{{}}]}}", "{\"bid\":[{\"id\":1}]},".repeat(20_000));
        for body in [
            "",
            "null",
            "[]",
            "7",
            nested.as_str(),
            many.as_str(),
            "{\"id\":\"r\",\"seatbid\":[{\"bid\":[null]}]}",
        ] {
            assert!(!failures(&sound, Meant::Valid, 200, "application/json", body).is_empty());
        }
    }
}
