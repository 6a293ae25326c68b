//! What a node does when more comes than it can or may answer, over HTTP.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use awc::http::StatusCode;
use haggle::clock::monotonic;
use support::{HandClock, Rig, filled, request};

async fn rig(folder: &Path, more: &str) -> Rig {
    support::write_config(folder);
    let file = folder.join("haggle.toml");
    let settings = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{more}\n{settings}")).unwrap();
    Rig::start(folder, &HandClock::new()).await
}

/// Sends one request; gives the status and why it was let go, if it was.
async fn ask(rig: &Rig, exchange: &str) -> (StatusCode, Option<String>) {
    ask_for(rig, exchange, request("r")).await
}

/// As much as a body holds: a request that takes its time.
fn heavy() -> String {
    let imp = |number| format!("{{\"id\":\"{number}\",\"banner\":{{\"w\":300,\"h\":250}},\"bidfloor\":0.5}}");
    let imps: Vec<_> = (0..120).map(imp).collect();
    format!("{{\"id\":\"r\",\"imp\":[{}]}}", imps.join(","))
}

async fn ask_for(rig: &Rig, exchange: &str, body: String) -> (StatusCode, Option<String>) {
    let sent = rig
        .client
        .post(rig.url(&format!("/openrtb2/bid/{exchange}")))
        .insert_header(("content-type", "application/json"))
        .send_body(body)
        .await;
    let mut response = sent.unwrap();
    let why = response.headers().get("x-haggle-shed").map(|why| why.to_str().unwrap().to_owned());
    // Read to its end, so that the connection is used again.
    response.body().await.unwrap();
    (response.status(), why)
}

fn value(metrics: &str, name: &str) -> f64 {
    let line = metrics.lines().find(|line| line.starts_with(name) && !line.starts_with('#'));
    line.unwrap_or_else(|| panic!("{name} is missing")).rsplit(' ').next().unwrap().parse().unwrap()
}

#[actix_rt::test]
async fn an_exchange_beyond_its_rate_is_let_go_and_another_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let slow = "[[exchange]]\nname = \"slow\"\nbill_on = \"burl\"\nmax_qps = 1";
    let rig = rig(folder.path(), "").await;
    rig.stop().await;
    let file = folder.path().join("haggle.toml");
    let settings = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{settings}\n{slow}")).unwrap();
    let rig = Rig::start(folder.path(), &HandClock::new()).await;
    let answers = futures((0..8).map(|_| ask(&rig, "slow"))).await;
    assert!(answers.iter().any(|(_, why)| why.is_none()), "one a second may come");
    let limited: Vec<_> = answers.iter().filter(|(_, why)| why.as_deref() == Some("rate_limited")).collect();
    assert!(!limited.is_empty() && limited.iter().all(|(status, _)| *status == StatusCode::NO_CONTENT));
    for _ in 0..20 {
        assert_eq!(ask(&rig, "demo").await.1, None, "another exchange");
    }
    let metrics = rig.metrics().await;
    let counted = "haggle_bid_requests_total{exchange=\"slow\",outcome=\"rate_limited\"}";
    assert!(value(&metrics, counted) >= 1.0);
    rig.stop().await;
}

/// Connections that ask at the same time.
const SIDES: usize = 128;

/// Asks from many sides at once until `enough` says so, for twenty seconds at most; gives how many were let go.
///
/// The requests are bytes that are written to all connections before an answer is read, since a client that makes them one by
/// one may be slower than the node, and then there is no queue.
async fn flood(rig: &Rig, mut enough: impl FnMut(u64) -> bool) -> u64 {
    let body = heavy();
    let head = "POST /openrtb2/bid/demo HTTP/1.1\r\nhost: node\r\ncontent-type: application/json\r\n";
    let request: Arc<[u8]> =
        format!("{head}content-length: {}\r\n\r\n{body}", body.len()).into_bytes().into();
    let connect = || BufReader::new(TcpStream::connect(rig.node.address).unwrap());
    let mut sides: Vec<_> = (0..SIDES).map(|_| connect()).collect();
    let began = monotonic();
    let mut let_go = 0;
    while !enough(let_go) && began.elapsed() < Duration::from_secs(20) {
        let request = Arc::clone(&request);
        let round = move || {
            for side in &mut sides {
                side.get_mut().write_all(&request).unwrap();
            }
            let overloaded = sides.iter_mut().filter_map(answered).filter(|why| why == "overloaded").count();
            (sides, overloaded as u64)
        };
        let (back, overloaded) = actix_web::web::block(round).await.unwrap();
        sides = back;
        let_go += overloaded;
    }
    let_go
}

/// Reads one answer to its end; gives why the request was let go, if it was.
fn answered(side: &mut BufReader<TcpStream>) -> Option<String> {
    let (mut why, mut length) = (None, 0);
    loop {
        let mut line = String::new();
        assert!(side.read_line(&mut line).unwrap() > 0, "the connection was closed");
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            if line.trim_end().is_empty() {
                break;
            }
            continue;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap(),
            "x-haggle-shed" => why = Some(value.to_owned()),
            _ => {}
        }
    }
    std::io::copy(&mut side.take(length), &mut std::io::sink()).unwrap();
    why
}

/// All at once, in their order.
async fn futures<T>(all: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut all: Vec<_> = all.map(|one| (Box::pin(one), None)).collect();
    std::future::poll_fn(|task| {
        let mut ready = true;
        for (one, done) in &mut all {
            if done.is_none() {
                match one.as_mut().poll(task) {
                    std::task::Poll::Ready(value) => *done = Some(value),
                    std::task::Poll::Pending => ready = false,
                }
            }
        }
        if ready { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    all.into_iter().filter_map(|(_, done)| done).collect()
}

#[actix_rt::test]
async fn what_cannot_be_answered_in_time_is_let_go_but_no_notice_is() {
    let folder = tempfile::tempdir().unwrap();
    let rig = rig(folder.path(), "queue_target = \"1ms\"").await;
    let bid = rig.bid("demo", "first").await;
    let let_go = flood(&rig, |let_go| let_go > 10).await;
    assert!(let_go > 10, "128 times 120 imps are more than can be served in a millisecond");
    let metrics = rig.metrics().await;
    let counted = "haggle_bid_requests_total{exchange=\"demo\",outcome=\"overloaded\"}";
    assert!(value(&metrics, counted) >= 10.0);
    let burl = filled(&bid, "burl", "1.0");
    let (billed, _) = futures([rig.get(&burl)].into_iter()).await.remove(0);
    assert_eq!(billed, StatusCode::NO_CONTENT);
    let accepted = "haggle_notices_total{kind=\"bill\",outcome=\"accepted\"}";
    assert!(value(&rig.metrics().await, accepted) >= 1.0);
    // Nothing comes any more: soon nothing is let go.
    let began = monotonic();
    while rig.node.state.pressure.shedding() > 0.0 {
        assert!(began.elapsed() < Duration::from_secs(5), "{}", rig.node.state.pressure.shedding());
        rig.settle().await;
    }
    assert_eq!(ask(&rig, "demo").await.1, None);
    rig.stop().await;
}

#[actix_rt::test]
async fn observing_counts_and_lets_nothing_go() {
    let folder = tempfile::tempdir().unwrap();
    let rig = rig(folder.path(), "queue_target = \"1ms\"\nload_shedding = \"observe\"").await;
    let shed = &rig.node.state.metrics.shed;
    assert_eq!(flood(&rig, |_| shed.get() > 10).await, 0);
    assert!(shed.get() > 10);
    rig.stop().await;
}

#[actix_rt::test]
async fn connections_that_say_nothing_are_counted_and_closed() {
    let folder = tempfile::tempdir().unwrap();
    let rig = rig(folder.path(), "").await;
    let before = rig.node.state.metrics.connections.get();
    let address = rig.node.address;
    let idle: Vec<_> = (0..300).map(|_| TcpStream::connect(address).unwrap()).collect();
    let open = || rig.node.state.metrics.connections.get() - before;
    let began = monotonic();
    while open() < 300 {
        assert!(began.elapsed() < Duration::from_secs(5), "{} counted", open());
        rig.settle().await;
    }
    // They hold up nobody.
    assert_eq!(ask(&rig, "demo").await.1, None);
    drop(idle);
    let began = monotonic();
    while open() > 1 {
        assert!(began.elapsed() < Duration::from_secs(5), "{} still counted", open());
        rig.settle().await;
    }
    rig.stop().await;
}
