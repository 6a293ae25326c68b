//! Requests and answers as exchanges see them: every file under `tests/fixtures/openrtb` against a real node.
//!
//! A fixture is JSON with
//!
//! - `description`: what it shows, and by which section of the specification;
//! - `config`: the exchange that asks. The node is configured by `tests/fixtures/openrtb/config`, in which each exchange
//!   has campaigns of its own (`targeting.all = [{ exchange = [..] }]`), so naming one is choosing them;
//! - `request`, a JSON object, or `body`, a text that is sent as it is; `headers`, if any; `gzip: true` to compress it;
//! - `expect`: `status`; `bids`, a list in the answer's order, of which every member named must be equal (`adm` is told
//!   by `adm_has` and `adm_lacks`, lists of texts; `null` says that a member is absent); `reasons`, how many imps had no
//!   bid for what; `nbr`; `error`, the kind of a refusal; `currency`; and `secret`, texts that must not stand in the answer.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test, a panic is a failure")]

mod support;

use std::io::Write;
use std::path::PathBuf;

use haggle_domain::{BehaviourKind, Clock, NoBidReason, Tag, UserKey};
use serde_json::{Value, json};
use support::{HandClock, Rig, configure_for_fixtures, fixtures};

fn files(kind: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(fixtures().join(kind)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "no fixtures in {kind}");
    files
}

/// What no fixture of the kind may lack, so that none is right by saying nothing.
fn check_shape(kind: &str, fixture: &Value) -> Result<(), String> {
    let known = ["description", "config", "request", "body", "headers", "gzip", "expect"];
    let expectations = ["status", "bids", "reasons", "nbr", "error", "currency", "secret"];
    let stray = |object: &Value, known: &[&str]| {
        object
            .as_object()
            .and_then(|members| members.keys().find(|key| !known.contains(&key.as_str())).cloned())
    };
    if let Some(stray) = stray(fixture, &known).or_else(|| stray(&fixture["expect"], &expectations)) {
        return Err(format!("nobody reads {stray:?}"));
    }
    if fixture["description"].as_str().is_none_or(|text| text.len() < 20) {
        return Err("say in `description` what it shows".into());
    }
    let status = fixture["expect"]["status"].as_u64();
    match (kind, status) {
        ("exemplary", Some(200)) => Ok(()),
        ("exemplary", _) => Err("an exemplary request gets bids".into()),
        ("invalid", Some(400..=499)) => Ok(()),
        ("invalid", _) => Err("an invalid call is refused".into()),
        (_, Some(_)) => Ok(()),
        (_, None) => Err("no expected status".into()),
    }
}

async fn send(rig: &Rig, fixture: &Value) -> (u16, String) {
    let body = match fixture["body"].as_str() {
        Some(body) => body.to_owned(),
        None => fixture["request"].to_string(),
    };
    let path = format!("/openrtb2/bid/{}", fixture["config"].as_str().unwrap_or("open"));
    let mut request = rig.client.post(rig.url(&path)).insert_header(("content-type", "application/json"));
    for (name, value) in fixture["headers"].as_object().into_iter().flatten() {
        request = request.insert_header((name.as_str(), value.as_str().unwrap()));
    }
    let mut response = if fixture["gzip"] == true {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(body.as_bytes()).unwrap();
        request
            .insert_header(("content-encoding", "gzip"))
            .send_body(encoder.finish().unwrap())
            .await
            .unwrap()
    } else {
        request.send_body(body).await.unwrap()
    };
    let answer = response.body().limit(4 << 20).await.unwrap();
    (response.status().as_u16(), String::from_utf8(answer.to_vec()).unwrap())
}

fn reasons(rig: &Rig) -> Vec<u64> {
    NoBidReason::ALL.iter().map(|reason| rig.node.state.metrics.no_bids(*reason)).collect()
}

fn equal(what: &str, actual: &Value, expected: &Value) -> Result<(), String> {
    let same = match (actual.as_f64(), expected.as_f64()) {
        (Some(actual), Some(expected)) => (actual - expected).abs() < 1e-9,
        _ => actual == expected,
    };
    if same { Ok(()) } else { Err(format!("{what} is {actual}, expected {expected}")) }
}

fn check_bid(bid: &Value, expected: &Value) -> Result<(), String> {
    let markup = bid["adm"].as_str().unwrap_or_default();
    let texts = |list: &Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    for (key, value) in expected.as_object().unwrap() {
        match key.as_str() {
            "adm_has" => {
                if let Some(text) = texts(value).iter().find(|text| !markup.contains(text.as_str())) {
                    return Err(format!("{text:?} is not in the markup {markup}"));
                }
            }
            "adm_lacks" => {
                if let Some(text) = texts(value).iter().find(|text| markup.contains(text.as_str())) {
                    return Err(format!("{text:?} is in the markup {markup}"));
                }
            }
            _ => equal(key, bid.get(key).unwrap_or(&Value::Null), value)?,
        }
    }
    Ok(())
}

async fn check(rig: &Rig, fixture: &Value) -> Result<(), String> {
    let expect = &fixture["expect"];
    let before = reasons(rig);
    let (status, body) = send(rig, fixture).await;
    equal("the status", &json!(status), &expect["status"]).map_err(|problem| format!("{problem}: {body}"))?;
    for text in expect["secret"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if body.contains(text) {
            return Err(format!("{text:?} is in the answer {body}"));
        }
    }
    let answer: Value =
        if body.is_empty() { Value::Null } else { serde_json::from_str(&body).map_err(|e| e.to_string())? };
    if let Some(kind) = expect.get("error") {
        equal("the error", &answer["error"], kind)?;
        let message = answer["message"].as_str().unwrap_or_default();
        if message.is_empty() {
            return Err("the refusal says nothing".into());
        }
    }
    if let Some(code) = expect.get("nbr") {
        equal("nbr", &answer["nbr"], code)?;
        equal("the id", &answer["id"], &fixture["request"]["id"])?;
    }
    let counted: serde_json::Map<String, Value> = NoBidReason::ALL
        .iter()
        .zip(reasons(rig).iter().zip(&before))
        .filter(|(_, (after, before))| after > before)
        .map(|(reason, (after, before))| (reason.as_str().to_owned(), json!(after - before)))
        .collect();
    equal("reasons", &Value::Object(counted), expect.get("reasons").unwrap_or(&json!({})))?;
    let empty = Vec::new();
    let bids = answer["seatbid"][0]["bid"].as_array().unwrap_or(&empty);
    let expected = expect["bids"].as_array().unwrap_or(&empty);
    if bids.len() != expected.len() {
        return Err(format!("{} bids, expected {}: {body}", bids.len(), expected.len()));
    }
    if !bids.is_empty() {
        equal("the id", &answer["id"], &fixture["request"]["id"])?;
        equal("the currency", &answer["cur"], expect.get("currency").unwrap_or(&json!("USD")))?;
    }
    for (index, (bid, expected)) in bids.iter().zip(expected).enumerate() {
        check_bid(bid, expected).map_err(|problem| format!("bid {index}: {problem}"))?;
    }
    Ok(())
}

/// One user looked at boots: `shopper`, whom a source of extended ids calls `shopper-elsewhere`.
fn know(rig: &Rig) {
    let now = rig.clock.now();
    for user in ["shopper", "shopper-elsewhere"] {
        rig.node.state.audience.note(UserKey::of(user), BehaviourKind::Viewed, Tag::of("boots"), now);
    }
}

#[actix_rt::test]
async fn every_fixture_is_answered_as_it_says() {
    let folder = tempfile::tempdir().unwrap();
    configure_for_fixtures(folder.path());
    let rig = Rig::start(folder.path(), &HandClock::new()).await;
    rig.funded().await;
    know(&rig);
    let mut failures = Vec::new();
    let mut count = 0;
    for kind in ["exemplary", "supplementary", "invalid"] {
        for path in files(kind) {
            let text = std::fs::read_to_string(&path).unwrap();
            let name = path.strip_prefix(fixtures()).unwrap().display().to_string();
            count += 1;
            let outcome = match serde_json::from_str::<Value>(&text) {
                Err(error) => Err(error.to_string()),
                Ok(fixture) => match check_shape(kind, &fixture) {
                    Err(problem) => Err(problem),
                    Ok(()) => check(&rig, &fixture).await,
                },
            };
            if let Err(problem) = outcome {
                failures.push(format!("{name}: {problem}"));
            }
        }
    }
    println!("{count} fixtures");
    assert!(failures.is_empty(), "{} of {count}:\n{}", failures.len(), failures.join("\n"));
    rig.stop().await;
}
