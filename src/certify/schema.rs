//! Members of the response and their types (OpenRTB 2.6 section 4.2). Members that it does not know are tolerated, as
//! section 2.6 asks of both sides.

use std::collections::BTreeSet;

use serde_json::Value;

use super::check::{Check, Findings};

#[derive(Clone, Copy, Debug)]
enum Type {
    Text,
    Whole,
    Number,
    Texts,
    Wholes,
    Object,
    Objects,
}

use Type::{Number, Object, Objects, Text, Texts, Whole, Wholes};

const RESPONSE: [(&str, Type, bool); 7] = [
    ("id", Text, true),
    ("seatbid", Objects, false),
    ("bidid", Text, false),
    ("cur", Text, false),
    ("customdata", Text, false),
    ("nbr", Whole, false),
    ("ext", Object, false),
];

const SEATBID: [(&str, Type, bool); 4] =
    [("bid", Objects, true), ("seat", Text, false), ("group", Whole, false), ("ext", Object, false)];

const BID: [(&str, Type, bool); 33] = [
    ("id", Text, true),
    ("impid", Text, true),
    ("price", Number, true),
    ("nurl", Text, false),
    ("burl", Text, false),
    ("lurl", Text, false),
    ("adm", Text, false),
    ("adid", Text, false),
    ("adomain", Texts, false),
    ("bundle", Text, false),
    ("iurl", Text, false),
    ("cid", Text, false),
    ("crid", Text, false),
    ("tactic", Text, false),
    ("cattax", Whole, false),
    ("cat", Texts, false),
    ("attr", Wholes, false),
    ("apis", Wholes, false),
    ("api", Whole, false),
    ("protocol", Whole, false),
    ("qagmediarating", Whole, false),
    ("language", Text, false),
    ("langb", Text, false),
    ("dealid", Text, false),
    ("w", Whole, false),
    ("h", Whole, false),
    ("wratio", Whole, false),
    ("hratio", Whole, false),
    ("exp", Whole, false),
    ("dur", Whole, false),
    ("mtype", Whole, false),
    ("slotinpod", Whole, false),
    ("ext", Object, false),
];

/// Checks a response that is an object.
pub(super) fn check(request: &Value, response: &Value, findings: &mut Findings) {
    findings.applies(Check::Schema);
    members("response", response, &RESPONSE, findings);
    let id = request.get("id").unwrap_or(&Value::Null);
    findings.require(Check::Schema, !id.is_string() || response.get("id") == Some(id), || {
        format!("id is {}, the request's is {id}; answer with the request's", shown(response.get("id")))
    });
    let seats = response.get("seatbid").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let has_reason = response.get("nbr").is_some();
    if seats.is_empty() {
        findings.require(Check::Schema, has_reason, || {
            "neither a bid nor nbr; answer 204, or give the reason in nbr".to_owned()
        });
    } else {
        findings
            .require(Check::Schema, !has_reason, || "both bids and nbr; one excludes the other".to_owned());
    }
    let mut ids = BTreeSet::new();
    for (index, seat) in seats.iter().enumerate() {
        let place = format!("seatbid[{index}]");
        members(&place, seat, &SEATBID, findings);
        let bids = seat.get("bid").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        findings.require(Check::Schema, !bids.is_empty(), || format!("{place} has no bids; leave it out"));
        let group = seat.get("group").and_then(Value::as_i64).unwrap_or(0);
        findings.require(Check::Schema, (0..=1).contains(&group), || {
            format!("{place}.group is {group}, not 0 or 1")
        });
        for (index, bid) in bids.iter().enumerate() {
            let place = format!("{place}.bid[{index}]");
            members(&place, bid, &BID, findings);
            if let Some(id) = bid.get("id").and_then(Value::as_str) {
                findings.require(Check::Schema, !id.is_empty(), || format!("{place}.id is empty"));
                findings.require(Check::Schema, ids.insert(id), || {
                    format!("{place}.id {id} is that of another bid")
                });
            }
            let mtype = bid.get("mtype").and_then(Value::as_i64).unwrap_or(1);
            findings.require(Check::Schema, (1..=4).contains(&mtype), || {
                format!("{place}.mtype is {mtype}, not 1 to 4")
            });
        }
    }
}

fn members(place: &str, object: &Value, table: &[(&str, Type, bool)], findings: &mut Findings) {
    if !object.is_object() {
        findings.fail(Check::Schema, format!("{place} is no object"));
        return;
    }
    for (name, kind, required) in table {
        match object.get(*name) {
            None => {
                findings.require(Check::Schema, !required, || {
                    format!("{place}.{name} is missing; it is required")
                });
            }
            Some(value) => findings.require(Check::Schema, is(value, *kind), || {
                format!("{place}.{name} is {}, not {}", shown(Some(value)), words(*kind))
            }),
        }
    }
}

fn is(value: &Value, kind: Type) -> bool {
    let all = |is: fn(&Value) -> bool| value.as_array().is_some_and(|array| array.iter().all(is));
    match kind {
        Text => value.is_string(),
        Whole => value.is_i64() || value.is_u64(),
        Number => value.is_number(),
        Texts => all(Value::is_string),
        Wholes => all(|value| value.is_i64() || value.is_u64()),
        Object => value.is_object(),
        Objects => all(Value::is_object),
    }
}

const fn words(kind: Type) -> &'static str {
    match kind {
        Text => "a string",
        Whole => "an integer",
        Number => "a number",
        Texts => "an array of strings",
        Wholes => "an array of integers",
        Object => "an object",
        Objects => "an array of objects",
    }
}

fn shown(value: Option<&Value>) -> String {
    let text = value.map_or_else(|| "missing".to_owned(), Value::to_string);
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[allow(clippy::needless_pass_by_value, reason = "values are written where it is called")]
    fn failures(response: Value) -> Vec<String> {
        let mut findings = Findings::default();
        check(&json!({"id": "r"}), &response, &mut findings);
        findings.failures.into_iter().map(|(_, detail)| detail).collect()
    }

    #[test]
    fn every_member_has_its_type() {
        let wrong = |kind| match kind {
            Text | Objects | Texts | Object => json!(7),
            Whole | Number => json!("7"),
            Wholes => json!(["7"]),
        };
        for (name, kind, _) in BID {
            let mut bid = json!({"id": "b", "impid": "1", "price": 1.5});
            assert!(failures(json!({"id": "r", "seatbid": [{"bid": [bid.clone()]}]})).is_empty());
            bid[name] = wrong(kind);
            let found = failures(json!({"id": "r", "seatbid": [{"bid": [bid.clone()]}]}));
            assert!(found.len() == 1 && found[0].contains(name), "{name}: {found:?}");
            bid[name] = Value::Null;
            assert_eq!(failures(json!({"id": "r", "seatbid": [{"bid": [bid]}]})).len(), 1, "{name}");
        }
        for (name, kind, _) in RESPONSE {
            let mut response = json!({"id": "r", "nbr": 2});
            response[name] = wrong(kind);
            assert!(!failures(response).is_empty(), "{name}");
        }
    }

    #[test]
    fn answers_are_bids_or_a_reason() {
        assert!(failures(json!({"id": "r", "nbr": 2})).is_empty());
        for wrong in [
            json!({"id": "r"}),
            json!({"id": "r", "seatbid": []}),
            json!({"id": "r", "seatbid": [{"bid": []}]}),
            json!({"id": "other", "nbr": 2}),
            json!({"nbr": 2}),
            json!({"id": "r", "nbr": 2, "seatbid": [{"bid": [{"id": "b", "impid": "1", "price": 1}]}]}),
            json!({"id": "r", "seatbid": [{"group": 2, "bid": [{"id": "b", "impid": "1", "price": 1}]}]}),
            json!({"id": "r", "seatbid": [{"bid": [{"id": "b", "impid": "1", "price": 1, "mtype": 5}]}]}),
            json!({"id": "r", "seatbid": [{"bid": [{"impid": "1", "price": 1}]}]}),
        ] {
            assert!(!failures(wrong.clone()).is_empty(), "{wrong}");
        }
        let twice = json!({"id": "b", "impid": "1", "price": 1});
        assert_eq!(failures(json!({"id": "r", "seatbid": [{"bid": [twice, twice]}]})).len(), 1);
    }
}
