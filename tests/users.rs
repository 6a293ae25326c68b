//! Several nodes that share what they know of users.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "helpers of tests"
)]

#[path = "support/store.rs"]
mod store;
mod support;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use awc::http::StatusCode;
use haggle_domain::NoBidReason;
use serde_json::{Value, json};
use store::{Store, stores};
use support::{HandClock, Rig, links, write_config};
use tempfile::TempDir;

const CAPPED: &str = "frequency = [{ per = \"campaign\", most = 3, within = \"1d\" }]\n";

/// A configuration that shares users on `store`, with the eager campaign changed by `lines`, on an exchange that is told reasons.
fn place(folder: &Path, store: &Store, lines: &str) {
    write_config(folder);
    let server = folder.join("haggle.toml");
    let text = fs::read_to_string(&server).unwrap();
    let text = text.replacen("name = \"demo\"", "name = \"demo\"\nno_bid = \"reason\"", 1);
    // No test of a quick answer on a busy machine, but for the one that says so.
    let shared = format!("redis = \"{}\"\nredis_timeout = \"200ms\"\n", store.address());
    fs::write(server, shared + &text).unwrap();
    let file = folder.join("campaigns/eager.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(file, text.replacen("[[creatives]]", &format!("{lines}[[creatives]]"), 1)).unwrap();
}

async fn node(store: &Store, clock: &std::sync::Arc<HandClock>, lines: &str) -> (Rig, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    place(folder.path(), store, lines);
    let rig = Rig::start(folder.path(), clock).await;
    rig.funded().await;
    until("Redis is there", async || up(&rig)).await;
    (rig, folder)
}

fn up(rig: &Rig) -> bool {
    rig.node.state.users.as_ref().unwrap().is_up()
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..1000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

/// The bid for a user, or the code of the reason for none.
async fn ask(rig: &Rig, user: &str, id: &str) -> Result<Value, u64> {
    let body = support::request(id).replace("user-1", user);
    let (status, body) = rig.post("/openrtb2/bid/demo", "application/json", &body).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let answer: Value = serde_json::from_str(&body).unwrap();
    let bid = &answer["seatbid"][0]["bid"][0];
    if bid.is_null() { Err(answer["nbr"].as_u64().unwrap()) } else { Ok(bid.clone()) }
}

/// Asks until there is a bid: after a leap in time a campaign has to get money first.
async fn bid(rig: &Rig, user: &str, id: &str) -> Value {
    for _ in 0..200 {
        match ask(rig, user, id).await {
            Ok(bid) => return bid,
            Err(_) => rig.settle().await,
        }
    }
    panic!("no bid for {user}, {id}");
}

/// A metric's value.
async fn metric(rig: &Rig, name: &str) -> u64 {
    let text = rig.metrics().await;
    let line = text.lines().find(|line| line.split(' ').next() == Some(name));
    line.unwrap_or_else(|| panic!("no {name}")).rsplit(' ').next().unwrap().parse().unwrap()
}

async fn written(rig: &Rig, at_least: u64) {
    until("it is written", async || {
        metric(rig, "haggle_user_writes_total{outcome=\"written\"}").await >= at_least
    })
    .await;
}

async fn show(rig: &Rig, bid: &Value) {
    assert_eq!(rig.get(&links(bid).1).await.0, StatusCode::OK);
}

async fn tell(rig: &Rig, path: &str, body: Value) {
    let asking = rig.client.post(rig.url(path));
    let asking = asking.insert_header(("authorization", "Bearer a-key-for-the-tests-only"));
    assert_eq!(asking.send_body(body.to_string()).await.unwrap().status(), StatusCode::NO_CONTENT);
}

#[actix_rt::test]
async fn a_cap_holds_over_two_nodes() {
    for store in stores() {
        let clock = HandClock::new();
        let (first, _one) = node(&store, &clock, CAPPED).await;
        let (second, _two) = node(&store, &clock, CAPPED).await;
        let mut bids = Vec::new();
        let mut counts = [0, 0];
        for round in 0..8 {
            let (which, rig) = if round % 2 == 0 { (0, &first) } else { (1, &second) };
            match ask(rig, "user", &round.to_string()).await {
                Ok(bid) => {
                    counts[which] += 1;
                    written(rig, counts[which]).await;
                    bids.push((which, bid));
                }
                Err(code) => {
                    assert_eq!(code, u64::from(NoBidReason::FrequencyCapped.code()), "{}", store.name());
                }
            }
        }
        assert_eq!(bids.len(), 3, "{}", store.name());
        // Impressions count where bids' two minutes are over, on both nodes.
        for (which, bid) in &bids {
            let rig = if *which == 0 { &first } else { &second };
            show(rig, bid).await;
            show(rig, bid).await;
            counts[*which] += 1;
            written(rig, counts[*which]).await;
        }
        clock.advance(Duration::from_secs(600));
        for rig in [&first, &second] {
            bid(rig, "another", "later").await;
            let capped = u64::from(NoBidReason::FrequencyCapped.code());
            assert_eq!(ask(rig, "user", "later").await, Err(capped), "{}", store.name());
        }
        assert_eq!(metric(&first, "haggle_user_writes_total{outcome=\"dropped\"}").await, 0);
        let kept = store.get("user").unwrap();
        assert_eq!(kept.len(), 16 + 16, "three impressions in one count: {kept:?}");
        first.stop().await;
        second.stop().await;
    }
}

#[actix_rt::test]
async fn what_the_shop_tells_one_node_the_others_bid_by() {
    let lines =
        "targeting = { all = [{ behaviour = { did = \"viewed\", what = \"boots\", within = \"7d\" } }] }\n";
    for store in stores() {
        let clock = HandClock::new();
        let (first, _one) = node(&store, &clock, lines).await;
        let (second, _two) = node(&store, &clock, lines).await;
        assert!(ask(&second, "user", "1").await.is_err());
        tell(&first, "/events", json!([{ "user": "user", "did": "viewed", "what": "boots" }])).await;
        written(&first, 1).await;
        // A copy that nothing was under way by is good for a second.
        assert!(ask(&second, "user", "2").await.is_err());
        assert_eq!(metric(&second, "haggle_user_cache_hits_total").await, 1);
        clock.advance(Duration::from_secs(1));
        assert!(ask(&second, "user", "3").await.is_ok(), "{}", store.name());
        // The server has lost its scripts: what is told next arrives all the same.
        store.forget_scripts();
        tell(&first, "/events", json!([{ "user": "late", "did": "viewed", "what": "boots" }])).await;
        written(&first, 2).await;
        assert!(ask(&second, "late", "4").await.is_ok(), "{}", store.name());
        first.stop().await;
        second.stop().await;
    }
}

#[actix_rt::test]
async fn a_server_that_hangs_delays_nobody_and_campaigns_do_as_they_say() {
    for store in stores() {
        for policy in ["closed", "open"] {
            hangs(&store, policy).await;
        }
    }
}

async fn hangs(store: &Store, policy: &str) {
    let lines = format!("{CAPPED}user_state_away = \"{policy}\"\n");
    let folder = tempfile::tempdir().unwrap();
    place(folder.path(), store, &lines);
    // No lease runs out in a burst. The other pays less, and asks nothing of users.
    let eager = folder.path().join("campaigns/eager.toml");
    let text = fs::read_to_string(&eager).unwrap().replace("\"2.00\"", "\"20000.00\"");
    fs::write(eager, &text).unwrap();
    let plain = text.replace(&lines, "").replace("\"eager\"", "\"plain\"").replace("\"4.00\"", "\"3.00\"");
    fs::write(folder.path().join("campaigns/plain.toml"), plain).unwrap();
    let rig = Rig::start(folder.path(), &HandClock::new()).await;
    rig.funded().await;
    let cid = |answer: Result<Value, u64>| answer.unwrap()["cid"].as_str().unwrap().to_owned();
    let user = |number: usize| format!("{policy}-{number}");
    until("Redis is there", async || up(&rig)).await;
    until("it answers", async || cid(ask(&rig, &user(99), "1").await) == "eager").await;
    let away =
        async |cause| metric(&rig, &format!("haggle_user_state_away_total{{cause=\"{cause}\"}}")).await;
    let waited = async || away("timeout").await + away("error").await;
    let (before, down) = (waited().await, away("down").await);
    store.freeze();
    let mut longest = Duration::ZERO;
    for number in 0..60 {
        let asked = Instant::now();
        let bid = cid(ask(&rig, &user(number), "2").await);
        longest = longest.max(asked.elapsed());
        assert_eq!(bid, if policy == "open" { "eager" } else { "plain" }, "{}", store.name());
    }
    assert!(longest < Duration::from_secs(1), "{longest:?}");
    // Few have waited; then the circuit opened and nobody did.
    let waited = waited().await - before;
    assert!((1..=5).contains(&waited), "{waited}");
    assert_eq!(away("down").await - down + waited, 60);
    assert_eq!(metric(&rig, "haggle_user_state_up").await, 0);
    let url = format!("http://{}/campaigns?id=eager", rig.node.admin_address);
    let body = rig.client.get(url).send().await.unwrap().body().await.unwrap();
    let shown: Value = serde_json::from_slice(&body).unwrap();
    let (refused, bids) = match policy {
        "open" => (0, 60 + before + down),
        _ => (60 + before + down, 0),
    };
    let said = &shown[0]["user_state_away"];
    assert_eq!(said["policy"], policy);
    assert_eq!((said["refused"].as_u64(), said["bids"].as_u64()), (Some(refused), Some(bids)));
    if policy == "open" {
        // This node's own bids count all the same.
        for expected in ["eager", "eager", "plain"] {
            assert_eq!(cid(ask(&rig, &user(0), "3").await), expected);
        }
    }
    store.thaw();
    until("Redis is back", async || cid(ask(&rig, "after", "6").await) == "eager").await;
    if policy == "open" {
        until("what waited is written", async || store.get(&user(0)).is_some()).await;
    }
    rig.stop().await;
}

#[actix_rt::test]
async fn what_somebody_else_has_put_there_is_nobody() {
    for store in stores() {
        let (rig, _folder) = node(&store, &HandClock::new(), CAPPED).await;
        store.put("garbage", b"what another program keeps under a key like ours");
        store.put("short", b"x");
        store.put("empty", b"");
        store.put_list("list");
        for (number, user) in ["garbage", "short", "empty", "list"].into_iter().enumerate() {
            assert!(ask(&rig, user, "1").await.is_ok(), "{user}");
            written(&rig, number as u64 + 1).await;
            assert_eq!(store.get(user).unwrap().len(), 32, "{user}, {}", store.name());
        }
        assert_eq!(metric(&rig, "haggle_user_state_up").await, 1);
        rig.stop().await;
    }
}

#[actix_rt::test]
async fn who_opts_out_is_forgotten_and_not_asked_for() {
    for store in stores() {
        let (rig, folder) = node(&store, &HandClock::new(), CAPPED).await;
        assert!(ask(&rig, "leaver", "1").await.is_ok());
        until("it is written", async || store.get("leaver").is_some()).await;
        tell(&rig, "/privacy/opt-out", json!([{ "user": "leaver" }])).await;
        until("it is forgotten", async || store.get("leaver").is_none()).await;
        let before = (store.asked("leaver"), metric(&rig, "haggle_user_cache_misses_total").await);
        for _ in 0..3 {
            // Nothing may be counted for them.
            assert_eq!(ask(&rig, "leaver", "2").await, Err(u64::from(NoBidReason::NoBasis.code())));
        }
        tell(&rig, "/events", json!([{ "user": "leaver", "did": "viewed", "what": "boots" }])).await;
        assert_eq!((store.asked("leaver"), metric(&rig, "haggle_user_cache_misses_total").await), before);
        rig.stop().await;
        assert!(store.get("leaver").is_none());
        // What came back meanwhile, of whatever make: the next start sees to it.
        store.put("leaver", &[&b"HGU\x01\x01\0\0\0\x01\0\0\0\0\0\0\0\x05"[..], &[0; 15]].concat());
        let rig = Rig::start(folder.path(), &HandClock::new()).await;
        until("it is forgotten again", async || store.get("leaver").is_none()).await;
        rig.stop().await;
    }
}

#[actix_rt::test]
async fn an_erasure_is_not_done_before_the_store_has_it() {
    let store = Store::real().unwrap_or_else(Store::fake);
    let (rig, _folder) = node(&store, &HandClock::new(), CAPPED).await;
    assert!(ask(&rig, "leaver", "1").await.is_ok());
    until("it is written", async || store.get("leaver").is_some()).await;
    store.freeze();
    tell(&rig, "/privacy/erase", json!([{ "user": "leaver" }])).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(rig.node.state.audience.suppressed(), (0, 1));
    store.thaw();
    until("it is forgotten", async || store.get("leaver").is_none()).await;
    let done = Instant::now() + Duration::from_secs(60);
    while rig.node.state.audience.suppressed() != (0, 0) {
        assert!(Instant::now() < done, "the erasure is never done");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(store.get("leaver").is_none());
    rig.stop().await;
}

#[actix_rt::test]
async fn a_node_starts_and_serves_without_its_server() {
    let store = Store::fake();
    let folder = tempfile::tempdir().unwrap();
    place(folder.path(), &store, "");
    let text = fs::read_to_string(folder.path().join("haggle.toml")).unwrap();
    // Nothing listens there.
    let text = text.replacen(&store.address(), "redis://127.0.0.1:1/0", 1);
    fs::write(folder.path().join("haggle.toml"), text).unwrap();
    let rig = Rig::start(folder.path(), &HandClock::new()).await;
    rig.funded().await;
    assert!(ask(&rig, "user", "1").await.is_ok(), "the campaign asks nothing of users");
    assert!(!up(&rig));
    rig.stop().await;
}

/// By hand: `HAGGLE_USERS_MEASURE=1 cargo test … --test users measure -- --nocapture`.
#[actix_rt::test]
async fn measure_what_sharing_costs() {
    if std::env::var_os("HAGGLE_USERS_MEASURE").is_none() {
        return;
    }
    let Some(store) = Store::real() else { panic!("there is no redis-server on the path") };
    let mut rigs = Vec::new();
    for shares in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        place(folder.path(), &store, CAPPED);
        let server = folder.path().join("haggle.toml");
        let text = fs::read_to_string(&server).unwrap();
        let own =
            text.lines().filter(|line| shares || !line.starts_with("redis")).collect::<Vec<_>>().join("\n");
        fs::write(server, own).unwrap();
        let eager = folder.path().join("campaigns/eager.toml");
        let text = fs::read_to_string(&eager).unwrap().replace("\"2.00\"", "\"200000.00\"");
        fs::write(eager, text).unwrap();
        let rig = Rig::start(folder.path(), &HandClock::new()).await;
        rig.funded().await;
        rigs.push((rig, folder, Vec::new()));
    }
    until("Redis is there", async || up(&rigs[1].0)).await;
    for what in ["bid", "no bid"] {
        for round in 0..20 {
            for (rig, _, times) in &mut rigs {
                for number in 0..250 {
                    let body = support::request("1").replace("user-1", &format!("{what}-{round}-{number}"));
                    let body = if what == "bid" { body } else { body.replace("300", "301") };
                    let asked = Instant::now();
                    let (status, answer) = rig.post("/openrtb2/bid/demo", "application/json", &body).await;
                    times.push(asked.elapsed());
                    assert_eq!((status, answer.contains("seatbid")), (StatusCode::OK, what == "bid"));
                }
            }
        }
        for ((_, _, times), name) in rigs.iter_mut().zip(["alone", "shared"]) {
            times.sort();
            let at = |share: f64| times[(times.len() as f64 * share) as usize];
            eprintln!("{what}, {name}: p50 {:?}, p90 {:?}, p99 {:?}", at(0.5), at(0.9), at(0.99));
            times.clear();
        }
    }
    let state = rigs[1].0.node.state.clone();
    for together in [1, 16, 256, 1024] {
        let (from, mut tasks, each) = (Instant::now(), Vec::new(), 60_000 / together.max(8));
        for task in 0..together {
            let state = state.clone();
            tasks.push(actix_rt::spawn(async move {
                let users = state.users.as_ref().unwrap();
                let mut missed = 0;
                for number in 0..each {
                    let user = haggle_domain::UserKey((together * 1_000_000 + task * each + number) as u64);
                    missed += usize::from(users.meet(user, None, &*state.clock).await.is_err());
                }
                missed
            }));
        }
        let mut missed = 0;
        for task in tasks {
            missed += task.await.unwrap();
        }
        let rate = (together * each) as f64 / from.elapsed().as_secs_f64();
        eprintln!("{together} at once: {rate:.0} fetches a second, {missed} not in time");
    }
    for (rig, ..) in rigs {
        rig.stop().await;
    }
}
