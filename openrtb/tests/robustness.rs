//! Whatever arrives: no panic, every imp accounted for, and no user known without a basis.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test, a panic is a failure")]

use std::sync::LazyLock;

use haggle_domain::{Basis, ExchangeKey, Rates, Tag, UserKey};
use haggle_openrtb::privacy::Policy;
use haggle_openrtb::{Asker, Deal, Imp, UserId, parse};
use proptest::prelude::*;
use serde_json::{Value, json};

const BODIES: [&str; 2] = [include_str!("../benches/site.json"), include_str!("../benches/app.json")];

static RATES: LazyLock<Rates> = LazyLock::new(|| Rates { account: "USD".to_owned(), pairs: Vec::new() });
/// No TC string can name us.
const POLICY: Policy = Policy { vendor: None };

fn asker() -> Asker<'static> {
    let user_ids = &[UserId::Buyeruid, UserId::Id];
    Asker { exchange: ExchangeKey::of("test"), seat: "haggle", user_ids, rates: &RATES }
}

/// Parses and converts; the number of imps that came out, if it is a request.
fn converted(body: &[u8]) -> Option<usize> {
    let request = parse(body).ok()?;
    let (basis, _) = request.basis(&POLICY);
    let context = request.context(&asker(), basis);
    assert!(context.interests.len() <= 64 && context.segments.len() <= 64);
    assert!(context.categories.len() <= 64 && context.keywords.len() <= 64 && context.postcodes.len() <= 8);
    let precise = basis.allows(Basis::TARGET.or(Basis::PRECISE_PLACE));
    assert!(precise || context.city == Tag::NONE && context.postcodes.is_empty() && context.place.is_none());
    assert!(basis.allows(Basis::TARGET) || context.user.is_none() && context.segments.is_empty());
    Some(
        request
            .imps_for(&context, &asker())
            .map(|(imp, outcome)| assert!(!imp.id.is_empty() || outcome.is_err()))
            .count(),
    )
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-3i64..3).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[0-9.eE+-]{0,6}".prop_map(Value::from),
        Just(json!({})),
        Just(json!([])),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("id|w|ext|segment|[a-z]{1,3}", inner, 0..4)
                .prop_map(|members| members.into_iter().collect()),
        ]
    })
}

/// The places in a document, as JSON pointers, deepest last.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(key, value)| places(value, &format!("{at}/{key}"), found));
        }
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(index, value)| places(value, &format!("{at}/{index}"), found));
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn any_bytes(body in prop::collection::vec(any::<u8>(), 0..200)) {
        converted(&body);
    }

    #[test]
    fn damaged_bytes(
        which in 0..BODIES.len(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4), 1..6),
    ) {
        let mut body = BODIES[which].as_bytes().to_vec();
        for (index, byte, how) in damage {
            let at = index.index(body.len());
            match how {
                0 => body[at] = byte,
                1 => body.insert(at, byte),
                2 => drop(body.remove(at)),
                _ => body.insert(at, b"{}[]\",:\\"[usize::from(byte) % 8]),
            }
        }
        let expected = serde_json::from_slice::<Value>(&body).ok().and_then(|value| value["imp"].as_array().map(Vec::len));
        if let (Some(count), Some(expected)) = (converted(&body), expected) {
            prop_assert_eq!(count, expected);
        }
    }

    #[test]
    fn a_wrong_type_anywhere_costs_neither_the_call_nor_an_imp(
        which in 0..BODIES.len(),
        at in any::<prop::sample::Index>(),
        value in any_json(),
    ) {
        let mut request: Value = serde_json::from_str(BODIES[which]).unwrap();
        let mut found = Vec::new();
        places(&request, "", &mut found);
        found.retain(|place| !matches!(place.as_str(), "" | "/id" | "/imp"));
        *request.pointer_mut(&found[at.index(found.len())]).unwrap() = value;
        prop_assert_eq!(converted(request.to_string().as_bytes()), Some(request["imp"].as_array().unwrap().len()));
    }

    #[test]
    fn any_list_of_imps_is_accounted_for(imps in prop::collection::vec(any_json(), 1..40)) {
        let count = imps.len();
        prop_assert_eq!(converted(json!({"id": "r", "imp": imps}).to_string().as_bytes()), Some(count));
    }
}

/// The most that a body may be, as the server caps it.
const BODY: usize = 256 * 1024;

/// As much of `filling` as a body holds, between `before` and `after`.
fn filled(before: &str, filling: &str, after: &str) -> String {
    let room = BODY - before.len() - after.len();
    // One element more at the end, without its comma.
    format!("{before}{}{}{after}", filling.repeat(room / filling.len() - 1), filling.trim_end_matches(','))
}

#[test]
fn hostile_bodies_are_refused_or_bounded_by_their_size() {
    let imp = r#"{"id":"r","imp":[{"id":"1","banner":{"w":300,"h":250},"#;
    let kind = |body: String| parse(body.as_bytes()).unwrap_err().kind();
    assert_eq!(kind("[".repeat(BODY)), "too_deep");
    assert_eq!(kind(r#"{"a":"#.repeat(BODY / 5)), "too_deep");
    assert_eq!(kind(filled(r#"{"id":"r","imp":[{"#, r#""id":1,"#, "}]}")), "duplicate");
    assert_eq!(kind(filled(r#"{"id":"r","imp":[{"bidfloor":"#, "9", "}]}")), "number_out_of_range");
    assert_eq!(kind(filled(imp, "\"\\u", "")), "invalid_json");

    let bodies = [
        filled(r#"{"id":"r","imp":["#, "{},", "]}"),
        filled(r#"{"id":"r","imp":["#, "0,", "]}"),
        filled(&format!(r#"{imp}"pmp":{{"deals":["#), "{},", "]}}]}"),
        filled(&format!(r#"{imp}"pmp":{{"deals":["#), "0,", "]}}]}"),
        filled(&format!(r#"{imp}"x":"#), "9", "}]}"),
        filled(&format!(r#"{imp}"tagid":""#), "\\u0041", "\"}]}"),
        filled(&format!(r#"{imp}"native":{{"request":""#), "[", "\"}}]}"),
        filled(&format!(r#"{imp}"native":{{"request":"{{\"assets\":["#), "{},", "]}\"}}]}"),
        filled(r#"{"id":"r","imp":[{}],"bcat":["#, "\"\",", "]}"),
        filled(r#"{"id":"r","imp":[{}],"user":{"eids":[{"uids":["#, "{},", "]}]}}"),
    ];
    for body in bodies {
        let start = &body[..80];
        assert!(body.len() <= BODY, "{start}");
        let request = parse(body.as_bytes()).unwrap_or_else(|error| panic!("{start}: {error}"));
        let deals =
            request.imps.iter().filter_map(|imp| imp.pmp.get()).map(|pmp| pmp.deals.len()).sum::<usize>();
        let size = request.imps.len() * size_of::<Imp<'_>>() + deals * size_of::<Deal<'_>>();
        assert!(size <= BODY * 200, "{start}: {size} bytes");
        assert!(deals <= BODY / 3 && request.bcat.is_empty(), "{start}");
        converted(body.as_bytes()).unwrap();
    }
}

/// Every user-level member, set to `word`.
fn with_user(mut request: Value, word: &str) -> Value {
    let geo = json!({"country": word, "region": word, "city": word});
    let mut user = json!({"id": word, "buyeruid": word, "keywords": word, "kwarray": [word], "yob": word,
        "data": [{"id": word, "segment": [{"id": word, "value": word}]}], "geo": geo, "eids": [{"uids": [{"id": word}]}]});
    if let (Some(user), Some(signals)) = (user.as_object_mut(), request["user"].as_object()) {
        user.extend(signals.clone());
    }
    request["user"] = user;
    request["device"]["ifa"] = word.into();
    request["device"]["geo"]["city"] = word.into();
    request
}

fn context_of(request: &Value) -> String {
    let body = request.to_string();
    let request = parse(body.as_bytes()).unwrap();
    format!("{:?}", request.context(&asker(), request.basis(&POLICY).0))
}

#[test]
fn whoever_opted_out_is_found_under_any_of_their_ids() {
    let body = br#"{"id":"r","imp":[{"id":"1"}],"user":{"id":"theirs","buyeruid":"ours"}}"#;
    let request = parse(body).unwrap();
    let keys = |basis| request.user_keys(&asker(), basis).collect::<Vec<_>>();
    assert_eq!(keys(Basis::ALL), [UserKey::of("ours"), UserKey::of("theirs")]);
    assert_eq!(keys(Basis::NONE), []);
    assert_eq!(request.context(&asker(), Basis::ALL).user, Some(UserKey::of("ours")), "the first is taken");
}

/// One signal that withholds the basis: the objects that carry it.
fn no_basis() -> impl Strategy<Value = Value> {
    let not_zero = any_json()
        .prop_filter("says something else than 0", |value| {
            // What reads as 0 or as nothing, in any notation.
            let text = value.as_str().map_or_else(|| value.to_string(), |text| text.trim().to_owned());
            !value.is_null()
                && text != "false"
                && text.parse::<f64>().map_or(true, |number| number.abs() >= 1.0)
        })
        .boxed();
    prop_oneof![
        not_zero.clone().prop_map(|signal| json!({"regs": {"coppa": signal}})),
        not_zero.clone().prop_map(|signal| json!({"regs": {"gdpr": signal}})),
        not_zero.clone().prop_map(|signal| json!({"regs": {"gdpr": 0, "ext": {"gdpr": signal}}})),
        not_zero.clone().prop_map(|signal| json!({"device": {"lmt": signal}})),
        not_zero.prop_map(|signal| json!({"device": {"dnt": signal}})),
        "1[YN-]Y[YN-]".prop_map(|text| json!({"regs": {"us_privacy": text}})),
        "[^1].*".prop_map(|text| json!({"regs": {"ext": {"us_privacy": text}}})),
        ".+".prop_map(|text| json!({"regs": {"gpp": text}})),
        // 0 and -1 say that no section is in force.
        (1i64..=i64::MAX).prop_map(|section| json!({"regs": {"ext": {"gpp_sid": [section]}}})),
        ".+".prop_map(|consent| json!({"user": {"consent": consent}})),
        ".+".prop_map(|malformed| json!({"regs": malformed})),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn without_a_basis_nothing_of_the_user_shows(signals in no_basis(), one in "[a-z]{1,8}", other in "[a-z]{1,8}") {
        let mut request = json!({"id": "r", "imp": [{"id": "1", "banner": {}}], "site": {"keywords": "page"}});
        request.as_object_mut().unwrap().extend(signals.as_object().unwrap().clone());
        let contexts = [&one, &other].map(|word| context_of(&with_user(request.clone(), word)));
        prop_assert_eq!(&contexts[0], &contexts[1]);
        prop_assert!(contexts[0].contains("user: None"));
    }

    #[test]
    fn with_a_basis_the_user_shows(one in "[a-z]{1,8}", other in "[A-Z]{9}") {
        let request = json!({"id": "r", "imp": [{"id": "1", "banner": {}}], "regs": {"gdpr": 0}});
        prop_assert_ne!(context_of(&with_user(request.clone(), &one)), context_of(&with_user(request, &other)));
    }
}
