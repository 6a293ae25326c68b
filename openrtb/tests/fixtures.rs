//! Every fixture under `tests/fixtures`: a request, and what has to come of it.
//!
//! A fixture is an object with `description`, `request` (or `body`, its text, where JSON would tidy it up), optionally
//! `seat` and `currency`, and `expected`: either `error`, or `imps` and optionally some of the `context`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test, a panic is a failure")]

use std::path::{Path, PathBuf};

use haggle_domain::{Context, ExchangeKey, Opportunity, Place, Rates, Tag, UserKey};
use haggle_openrtb::privacy::Policy;
use haggle_openrtb::{Asker, UserId};
use serde_json::Value;

#[test]
fn every_fixture_has_its_outcome() {
    let mut failures = Vec::new();
    for (folder, at_least) in [("exemplary", 5), ("supplementary", 5), ("invalid", 5)] {
        let paths = fixtures(folder);
        assert!(paths.len() >= at_least, "{folder} has only {} fixtures", paths.len());
        for path in paths {
            let fixture: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
            assert!(fixture["description"].is_string(), "{path:?} has no description");
            let is_error = fixture["expected"]["error"].is_string();
            assert_eq!(is_error, folder == "invalid", "{path:?} is in the wrong folder");
            if let Err(difference) = check(&fixture) {
                failures.push(format!("{}: {difference}", path.display()));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn fixtures(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(folder);
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn check(fixture: &Value) -> Result<(), String> {
    let body = fixture["body"].as_str().map_or_else(|| fixture["request"].to_string(), str::to_owned);
    let expected = &fixture["expected"];
    let request = match (haggle_openrtb::parse(body.as_bytes()), expected["error"].as_str()) {
        (Ok(request), None) => request,
        (Err(error), Some(kind)) => return same("error", error.kind(), kind),
        (Ok(_), Some(kind)) => return Err(format!("parsed, but {kind} was expected")),
        (Err(error), None) => return Err(error.to_string()),
    };
    let account = fixture["currency"].as_str().unwrap_or("USD").to_owned();
    let rates = Rates { account, pairs: Vec::new() };
    let asker = Asker {
        exchange: ExchangeKey::of("test"),
        seat: fixture["seat"].as_str().unwrap_or("haggle"),
        user_ids: &[UserId::Buyeruid, UserId::Id],
        rates: &rates,
    };
    let context = request.context(&asker, request.basis(&Policy::default()).0);
    let imps: Vec<_> = request.imps_for(&context, &asker).collect();
    let expected_imps = expected["imps"].as_array().unwrap();
    same("imps", imps.len(), expected_imps.len())?;
    for ((imp, outcome), expected) in imps.iter().zip(expected_imps) {
        let id = &*imp.id;
        same("imp id", id, expected["id"].as_str().unwrap())?;
        match (outcome, expected["reason"].as_str()) {
            (Ok(opportunity), None) => check_opportunity(opportunity, expected)?,
            (Err(reason), Some(expected)) => same(id, reason.as_str(), expected)?,
            (outcome, expected) => return Err(format!("imp {id}: {outcome:?}, expected {expected:?}")),
        }
    }
    check_context(&context, &expected["context"])
}

#[allow(clippy::needless_pass_by_value, reason = "most callers compare values made on the spot")]
fn same<T: PartialEq + std::fmt::Debug>(what: &str, actual: T, expected: T) -> Result<(), String> {
    if actual == expected { Ok(()) } else { Err(format!("{what} is {actual:?}, expected {expected:?}")) }
}

fn check_opportunity(actual: &Opportunity, expected: &Value) -> Result<(), String> {
    for (key, value) in expected.as_object().unwrap() {
        match key.as_str() {
            "id" => {}
            "sizes" => {
                let sizes: Vec<_> = actual
                    .banner
                    .iter()
                    .flat_map(|banner| &banner.sizes)
                    .map(|size| format!("{}x{}", size.width, size.height))
                    .collect();
                same(key, sizes, words(value))?;
            }
            "floor" => same(key, actual.floor.to_string(), value.as_str().unwrap().to_owned())?,
            "placement" => same(key, actual.placement, tag(value))?,
            "position" => same(key, u64::from(actual.position), value.as_u64().unwrap())?,
            "secure" => same(key, actual.secure, value.as_bool().unwrap())?,
            "interstitial" => same(key, actual.interstitial, value.as_bool().unwrap())?,
            _ => {
                return Err(format!("the fixture expects {key} of an imp, which nobody checks"));
            }
        }
    }
    Ok(())
}

fn check_context(actual: &Context, expected: &Value) -> Result<(), String> {
    same("exchange", actual.exchange, ExchangeKey::of("test"))?;
    for (key, value) in expected.as_object().into_iter().flatten() {
        match key.as_str() {
            "auction" => same(key, format!("{:?}", actual.auction).as_str(), value.as_str().unwrap())?,
            "user" => same(key, actual.user, value.as_str().map(UserKey::of))?,
            "country" => same(key, actual.country, tag(value))?,
            "region" => same(key, actual.region, tag(value))?,
            "city" => same(key, actual.city, tag(value))?,
            "inventory" => same(key, actual.inventory, tag(value))?,
            "publisher" => same(key, actual.publisher, tag(value))?,
            "device" => same(key, format!("{:?}", actual.device).as_str(), value.as_str().unwrap())?,
            "os" => same(key, actual.os, tag(value))?,
            "language" => same(key, actual.language, tag(value))?,
            "browser" => same(key, actual.browser, tag(value))?,
            "connection" => same(key, format!("{:?}", actual.connection).as_str(), value.as_str().unwrap())?,
            "utc_offset" => same(key, actual.utc_offset.map(i64::from), value.as_i64())?,
            "postcodes" => same(key, actual.postcodes.to_vec(), tags(value))?,
            "place" => {
                let degrees = |value: &Value| Place::from_degrees(value[0].as_f64()?, value[1].as_f64()?);
                same(key, actual.place, degrees(value))?;
            }
            "categories" => {
                let category = |word: &String| {
                    let (taxonomy, code) = word.split_once(':').unwrap();
                    Tag::category(taxonomy.parse().unwrap(), code)
                };
                same(key, actual.categories.to_vec(), words(value).iter().map(category).collect())?;
            }
            "keywords" => same(key, actual.keywords.to_vec(), tags(value))?,
            "interests" => same(key, actual.interests.to_vec(), tags(value))?,
            "segments" => same(key, actual.segments.to_vec(), tags(value))?,
            "blocked_categories" => same(key, actual.blocked_categories.to_vec(), rising(value))?,
            "blocked_advertisers" => same(key, actual.blocked_advertisers.to_vec(), rising(value))?,
            "seat_blocked" => same(key, actual.seat_blocked, value.as_bool().unwrap())?,
            "test" => same(key, actual.test, value.as_bool().unwrap())?,
            _ => {
                return Err(format!("the fixture expects {key} of the context, which nobody checks"));
            }
        }
    }
    Ok(())
}

fn words(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
}

fn tags(list: &Value) -> Vec<Tag> {
    words(list).iter().map(|word| Tag::of(word)).collect()
}

fn rising(list: &Value) -> Vec<Tag> {
    let mut tags = tags(list);
    tags.sort_unstable();
    tags
}

fn tag(word: &Value) -> Tag {
    word.as_str().map_or(Tag::NONE, Tag::of)
}

/// Bodies that a public server's adapters send to bidders, where the data set is at hand.
#[test]
fn recorded_requests_parse() {
    let folder = std::env::var_os("HAGGLE_TEST_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from);
    let Ok(lines) = std::fs::read_to_string(folder.join("openrtb/valid.jsonl")) else {
        println!("skipped: no openrtb/valid.jsonl in {}; set HAGGLE_TEST_DATA", folder.display());
        return;
    };
    let mut bids = 0;
    for line in lines.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let body = row["request"].to_string();
        let request = haggle_openrtb::parse(body.as_bytes())
            .unwrap_or_else(|error| panic!("{}: {error}", row["source"]));
        let rates = Rates { account: "USD".to_owned(), pairs: Vec::new() };
        let asker =
            Asker { exchange: ExchangeKey::of("recorded"), seat: "haggle", user_ids: &[], rates: &rates };
        let context = request.context(&asker, request.basis(&Policy::default()).0);
        let imps: Vec<_> = request.imps_for(&context, &asker).collect();
        assert_eq!(imps.len(), row["request"]["imp"].as_array().unwrap().len(), "{}", row["source"]);
        for (imp, outcome) in imps {
            bids += usize::from(outcome.is_ok());
            println!("{} {}: {:?}", row["source"], imp.id, outcome.map(|opportunity| opportunity.banner));
        }
    }
    assert!(bids > 20, "only {bids} imps could be bid on");
}
