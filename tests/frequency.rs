//! Frequency caps as a user and an operator meet them, through a running node.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::fs;
use std::path::Path;
use std::time::Duration;

use awc::http::StatusCode;
use haggle_domain::{Clock, NoBidReason, UserKey};
use support::{HandClock, Rig, links, write_config};

const DAY: Duration = Duration::from_secs(86_400);
const DAILY: &str = "frequency = [{ per = \"campaign\", most = 2, within = \"1d\" }]\n";

/// The eager campaign with more lines, on an exchange that is told reasons.
fn place(folder: &Path, lines: &str) {
    write_config(folder);
    let server = folder.join("haggle.toml");
    let text = fs::read_to_string(&server).unwrap();
    fs::write(server, text.replacen("name = \"demo\"", "name = \"demo\"\nno_bid = \"reason\"", 1)).unwrap();
    let file = folder.join("campaigns/eager.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(file, text.replacen("[[creatives]]", &format!("{lines}[[creatives]]"), 1)).unwrap();
}

/// The bid for a user, or the code of the reason for none.
async fn ask(rig: &Rig, user: &str, id: &str) -> Result<serde_json::Value, u64> {
    let body = support::request(id).replace("user-1", user);
    let (status, body) = rig.post("/openrtb2/bid/demo", "application/json", &body).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
    let bid = &answer["seatbid"][0]["bid"][0];
    if bid.is_null() { Err(answer["nbr"].as_u64().unwrap()) } else { Ok(bid.clone()) }
}

/// Asks until there is a bid: after a leap in time a campaign has to get money first.
async fn bid(rig: &Rig, user: &str, id: &str) -> serde_json::Value {
    for _ in 0..100 {
        match ask(rig, user, id).await {
            Ok(bid) => return bid,
            Err(code) => assert_ne!(code, u64::from(NoBidReason::FrequencyCapped.code()), "{user}, {id}"),
        }
        rig.settle().await;
    }
    panic!("no bid for {user}, {id}");
}

async fn capped(rig: &Rig, user: &str, id: &str) {
    assert_eq!(ask(rig, user, id).await, Err(u64::from(NoBidReason::FrequencyCapped.code())), "{user}, {id}");
}

async fn show(rig: &Rig, bid: &serde_json::Value) {
    assert_eq!(rig.get(&links(bid).1).await.0, StatusCode::OK);
}

/// Waits until as many bids are under way to a user, and as many counts are kept of them.
async fn until(rig: &Rig, user: &str, marks: usize, exposures: usize) {
    for _ in 0..1500 {
        let known = rig.node.state.audience.get(UserKey::of(user), rig.clock.now()).unwrap_or_default();
        if (known.seen.marks.len(), known.seen.exposures.len()) == (marks, exposures) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never {marks} under way and {exposures} counts");
}

#[actix_rt::test]
async fn a_user_who_saw_it_often_enough_is_left_alone_for_the_window_through_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    place(folder.path(), DAILY);
    let clock = HandClock::new();
    let rig = Rig::start(folder.path(), &clock).await;
    let first = bid(&rig, "often", "1").await;
    let second = bid(&rig, "often", "2").await;
    capped(&rig, "often", "3").await;
    bid(&rig, "seldom", "4").await;
    show(&rig, &first).await;
    show(&rig, &second).await;
    show(&rig, &second).await;
    until(&rig, "often", 0, 1).await;
    capped(&rig, "often", "5").await;
    assert!(rig.metrics().await.contains("haggle_no_bids_total{reason=\"frequency_capped\"} 2"));
    rig.stop().await;
    clock.advance(DAY - Duration::from_secs(60));
    let rig = Rig::start(folder.path(), &clock).await;
    until(&rig, "often", 0, 1).await;
    capped(&rig, "often", "6").await;
    // The declared error: a sixth of the window and 8 seconds.
    clock.advance(DAY / 6 + Duration::from_secs(68));
    bid(&rig, "often", "7").await;
    rig.stop().await;
}

#[actix_rt::test]
async fn a_bid_that_was_never_shown_counts_for_two_minutes() {
    let folder = tempfile::tempdir().unwrap();
    place(folder.path(), "frequency = [{ per = \"campaign\", most = 1, within = \"1d\" }]\n");
    let clock = HandClock::new();
    let rig = Rig::start(folder.path(), &clock).await;
    bid(&rig, "user", "1").await;
    capped(&rig, "user", "2").await;
    clock.advance(Duration::from_secs(119));
    capped(&rig, "user", "3").await;
    clock.advance(Duration::from_secs(1));
    bid(&rig, "user", "4").await;
    rig.stop().await;
}

#[actix_rt::test]
async fn bursts_and_requests_of_many_imps_do_not_exceed_a_cap() {
    let folder = tempfile::tempdir().unwrap();
    place(folder.path(), "frequency = [{ per = \"campaign\", most = 3, within = \"lifetime\" }]\n");
    let rig = Rig::start(folder.path(), &HandClock::new()).await;
    rig.funded().await;
    let mut request: serde_json::Value = serde_json::from_str(&support::request("many")).unwrap();
    let imp = request["imp"][0].clone();
    let imps = (0..5).map(|number| {
        let mut imp = imp.clone();
        imp["id"] = number.to_string().into();
        imp
    });
    request["imp"] = imps.collect();
    let body = request.to_string();
    let mut bids = 0;
    for _ in 0..8 {
        let (_, body) = rig.post("/openrtb2/bid/demo", "application/json", &body).await;
        let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
        bids += answer["seatbid"][0]["bid"].as_array().map_or(0, Vec::len);
    }
    assert_eq!(bids, 3);
    rig.stop().await;
}

#[actix_rt::test]
async fn who_is_erased_is_counted_from_zero() {
    let folder = tempfile::tempdir().unwrap();
    place(folder.path(), "frequency = [{ per = \"campaign\", most = 1, within = \"lifetime\" }]\n");
    let clock = HandClock::new();
    let rig = Rig::start(folder.path(), &clock).await;
    let seen = bid(&rig, "user", "1").await;
    show(&rig, &seen).await;
    until(&rig, "user", 0, 1).await;
    capped(&rig, "user", "2").await;
    let erase = rig.client.post(rig.url("/privacy/erase"));
    let erase = erase.insert_header(("authorization", "Bearer a-key-for-the-tests-only"));
    assert_eq!(erase.send_body(r#"[{"user":"user"}]"#).await.unwrap().status(), StatusCode::NO_CONTENT);
    until(&rig, "user", 0, 0).await;
    clock.advance(Duration::from_secs(1));
    bid(&rig, "user", "3").await;
    rig.stop().await;
}

#[actix_rt::test]
async fn who_cannot_be_counted_is_passed_over_or_not_as_the_campaign_says() {
    for (word, answered) in [("skip", false), ("bid", true)] {
        let folder = tempfile::tempdir().unwrap();
        place(folder.path(), &format!("{DAILY}frequency_unknown = \"{word}\"\n"));
        let rig = Rig::start(folder.path(), &HandClock::new()).await;
        rig.funded().await;
        for number in 0..5 {
            let mut request: serde_json::Value = serde_json::from_str(&support::request("nobody")).unwrap();
            request["id"] = number.to_string().into();
            request["user"] = serde_json::json!({});
            let (_, body) = rig.post("/openrtb2/bid/demo", "application/json", &request.to_string()).await;
            let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert_eq!(answer["seatbid"].is_array(), answered, "{word}: {body}");
            if !answered {
                assert_eq!(answer["nbr"], NoBidReason::NoBasis.code());
            }
        }
        assert!(rig.node.state.audience.is_empty());
        rig.stop().await;
    }
}

#[actix_rt::test]
async fn a_creatives_cap_leaves_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let other = "[[creatives]]\nid = \"two\"\nwidth = 300\nheight = 250\n\
                 image = \"https://cdn.shop.example/two.jpg\"\nlanding = \"https://shop.example/two\"\n\
                 title = \"Two\"\n";
    place(
        folder.path(),
        &format!("frequency = [{{ per = \"creative\", most = 1, within = \"1h\" }}]\n{other}"),
    );
    let rig = Rig::start(folder.path(), &HandClock::new()).await;
    let first = bid(&rig, "user", "1").await;
    show(&rig, &first).await;
    until(&rig, "user", 0, 1).await;
    let second = bid(&rig, "user", "2").await;
    assert_ne!(first["crid"], second["crid"]);
    capped(&rig, "user", "3").await;
    rig.stop().await;
}

#[actix_rt::test]
async fn an_advertisers_cap_counts_what_its_other_campaigns_show() {
    let folder = tempfile::tempdir().unwrap();
    place(folder.path(), "frequency = [{ per = \"advertiser\", most = 2, within = \"7d\" }]\n");
    let eager = fs::read_to_string(folder.path().join("campaigns/eager.toml")).unwrap();
    let better = eager.replace("\"eager\"", "\"better\"").replace("\"4.00\"", "\"4.50\"").replace(
        "{ per = \"advertiser\", most = 2, within = \"7d\" }",
        "{ per = \"campaign\", most = 1, within = \"7d\" }",
    );
    fs::write(folder.path().join("campaigns/better.toml"), better).unwrap();
    let rig = Rig::start(folder.path(), &HandClock::new()).await;
    rig.funded().await;
    let first = bid(&rig, "user", "1").await;
    assert_eq!(first["cid"], "better");
    show(&rig, &first).await;
    until(&rig, "user", 0, 2).await;
    assert_eq!(bid(&rig, "user", "2").await["cid"], "eager");
    capped(&rig, "user", "3").await;
    rig.stop().await;
}
