//! `haggle load` against small real servers: what is asked for is sent, every outcome is counted as what it is, and a
//! server's stall shows in full.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::Duration;

use haggle::exit::Exit;
use haggle::load::{LoadError, Pace, Plan, Progress, Report, Target, drive};

const BID: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 14\r\n\r\n{\"id\":\"12345\"}";
const NO_BID: &str = "HTTP/1.1 204 No Content\r\n\r\n";
const SHED: &str = "HTTP/1.1 204 No Content\r\nx-haggle-shed: queue\r\n\r\n";
const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nbusy";

/// What a server does with its `n`th request, counted from 0 over all connections.
type Act = dyn Fn(u64, &mut TcpStream) + Send + Sync;

/// A server with a thread for each connection.
fn server(act: Arc<Act>) -> (SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let served = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&served);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (act, count) = (Arc::clone(&act), Arc::clone(&count));
            std::thread::spawn(move || serve(stream.unwrap(), &act, &count));
        }
    });
    (address, served)
}

fn serve(mut stream: TcpStream, act: &Arc<Act>, count: &AtomicU64) {
    stream.set_nodelay(true).unwrap();
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer).unwrap_or(0);
        if read == 0 {
            return;
        }
        bytes.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&bytes);
        let Some(head) = text.find("\r\n\r\n") else { continue };
        let length = text[..head].lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let whole = head + 4 + length.trim().parse::<usize>().unwrap();
        assert!(text.starts_with("POST /bid HTTP/1.1\r\n"), "{text}");
        if bytes.len() >= whole {
            assert_eq!(bytes.len(), whole, "one request at a time");
            bytes.clear();
            act(count.fetch_add(1, Ordering::SeqCst), &mut stream);
        }
    }
}

fn say(stream: &mut TcpStream, text: &str) {
    // The other side may have given up.
    let _ = stream.write_all(text.as_bytes());
}

fn plan(address: SocketAddr, pace: Pace, connections: usize, ms: u64) -> Plan {
    let target = Target::parse(&format!("http://{address}/bid")).unwrap();
    let requests = vec![target.request(b"{\"id\":\"1\"}"), target.request(b"{\"id\":\"2\",\"imp\":[]}")];
    Plan::new(target, requests, pace, connections, Duration::from_millis(ms))
}

fn run(plan: &Plan) -> Report {
    let report = drive(plan, &Progress::default()).unwrap();
    let it = &report.outcomes;
    let ends = it.bids + it.no_bids + it.shed + it.status_3xx + it.status_4xx + it.status_5xx;
    assert_eq!(ends, report.answered);
    assert_eq!(ends + it.unanswered + it.connection_errors, report.sent, "{it:?}");
    assert_eq!(report.latency_ms.count, report.sent);
    report
}

#[test]
fn a_rate_is_kept_over_all_connections_and_workers() {
    let (address, served) = server(Arc::new(|n, stream| say(stream, if n % 4 == 0 { NO_BID } else { BID })));
    // More connections than are needed, as both sides may have to wait for a core.
    let report = run(&Plan { workers: 2, ..plan(address, Pace::Rate(500.0), 50, 1000) });
    assert_eq!((report.sent, served.load(Ordering::SeqCst)), (500, 500));
    assert_eq!((report.outcomes.bids, report.outcomes.no_bids, report.outcomes.unsent), (375, 125, 0));
    assert!((report.bid_rate() - 0.75).abs() < 1e-9);
    assert_eq!(report.accepted_ms.count, 500);
    assert!(report.complete && report.r#loop == "open");
    assert_eq!(report.per_second.iter().map(|it| it.sent).sum::<u64>(), 500);
    assert_eq!(report.per_second.iter().map(|it| it.answered).sum::<u64>(), 500);
}

#[test]
fn a_closed_loop_sends_as_fast_as_it_is_answered() {
    let (address, served) = server(Arc::new(|_, stream| {
        sleep(Duration::from_millis(10));
        say(stream, BID);
    }));
    let report = run(&plan(address, Pace::Max, 5, 500));
    assert_eq!(report.sent, served.load(Ordering::SeqCst));
    // Five at once, each at least ten milliseconds.
    assert!((20..=255).contains(&report.sent), "{}", report.sent);
    assert_eq!(report.rate, None);
    assert!(report.service_ms.p50 >= 10.0);
}

#[test]
fn a_stall_counts_for_all_that_should_have_been_asked_meanwhile() {
    // One connection, 200 requests a second, one stall of 300 ms: some 60 requests were due during it. A generator that
    // waits would see one slow request in 400 and call the p90 fast.
    let (address, _) = server(Arc::new(|n, stream| {
        if n == 100 {
            sleep(Duration::from_millis(300));
        }
        say(stream, BID);
    }));
    let report = run(&plan(address, Pace::Rate(200.0), 1, 2000));
    assert_eq!(report.sent, 400, "what was due during the stall is caught up with");
    assert!(report.accepted_ms.p999 >= 280.0, "{:?}", report.accepted_ms);
    assert!(report.accepted_ms.p90 >= 20.0, "{:?}", report.accepted_ms);
    assert!(report.wait_ms.max >= 250.0, "they waited for the connection: {:?}", report.wait_ms);
    assert!(report.service_ms.max >= 300.0);
    assert!(report.service_ms.p90 < report.accepted_ms.p90, "one answer alone was slow");
    assert_eq!(report.outcomes.late, 0);
}

#[test]
fn a_server_slower_than_the_rate_shows_it_in_the_wait_and_not_in_the_lag() {
    let (address, served) = server(Arc::new(|_, stream| {
        sleep(Duration::from_millis(20));
        say(stream, BID);
    }));
    // Two connections can carry 100 a second.
    let report = run(&plan(address, Pace::Rate(1000.0), 2, 1000));
    assert!(report.sent <= 102 && report.sent == served.load(Ordering::SeqCst), "{}", report.sent);
    assert_eq!(report.outcomes.unsent + report.sent, 1000);
    assert!(report.wait_ms.p50 > 200.0, "{:?}", report.wait_ms);
    assert!(report.send_lag_ms.p50 < 20.0, "{:?}", report.send_lag_ms);
    assert!(report.text().contains("no connection was free"), "{}", report.text());
}

#[test]
fn every_outcome_is_counted_as_what_it_is() {
    let (address, _) = server(Arc::new(|n, stream| match n % 8 {
        0 => say(stream, SHED),
        1 => say(stream, BUSY),
        2 => say(stream, "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"),
        3 => say(stream, "HTTP/1.1 302 Found\r\ncontent-length: 0\r\n\r\n"),
        // Closes instead of answering.
        4 => stream.shutdown(std::net::Shutdown::Both).unwrap(),
        5 => say(stream, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"),
        // Answers and closes.
        6 => {
            say(stream, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}");
            stream.shutdown(std::net::Shutdown::Both).unwrap();
        }
        _ => {
            // In two pieces.
            say(stream, &BID[..30]);
            sleep(Duration::from_millis(2));
            say(stream, &BID[30..]);
        }
    }));
    // One at a time, so that the server's count and ours agree.
    let report = run(&plan(address, Pace::Rate(160.0), 1, 1000));
    let it = report.outcomes;
    assert_eq!(report.sent, 160);
    assert_eq!((it.bids, it.shed, it.status_5xx, it.status_4xx, it.status_3xx), (60, 20, 20, 20, 20));
    assert_eq!((it.connection_errors, it.reconnects), (20, 40));
    assert_eq!((report.accepted_ms.count, report.shed_ms.count), (60, 20));
}

#[test]
fn the_last_ones_are_waited_for_as_long_as_all_others() {
    let (address, _) = server(Arc::new(|_, stream| {
        sleep(Duration::from_millis(400));
        say(stream, BID);
    }));
    let slow = plan(address, Pace::Rate(20.0), 12, 500);
    let report = run(&Plan { timeout: Duration::from_millis(200), ..slow });
    assert_eq!((report.sent, report.outcomes.late, report.outcomes.unanswered), (10, 10, 0));
}

#[test]
fn late_answers_and_silence_are_told_apart() {
    let (address, _) = server(Arc::new(|n, stream| match n {
        5 => {
            sleep(Duration::from_millis(80));
            say(stream, BID);
        }
        10 => sleep(Duration::from_secs(3)),
        _ => say(stream, BID),
    }));
    let patient = plan(address, Pace::Rate(50.0), 4, 1000);
    let report = run(&Plan { timeout: Duration::from_millis(40), ..patient });
    // A machine that stalls makes others late, too.
    assert!(report.outcomes.late >= 1 && report.outcomes.unanswered >= 1, "{:?}", report.outcomes);
    assert!(report.outcomes.bids <= 49);
    assert!(report.latency_ms.max >= 200.0, "what was given up counts: {:?}", report.latency_ms);
}

#[test]
fn a_run_that_is_stopped_reports_what_it_has() {
    let (address, _) = server(Arc::new(|_, stream| say(stream, BID)));
    let progress = Arc::new(Progress::default());
    let stopper = Arc::clone(&progress);
    std::thread::spawn(move || {
        while stopper.answered.load(Ordering::Relaxed) < 20 {
            std::thread::yield_now();
        }
        stopper.stop.store(true, Ordering::Relaxed);
    });
    let report = drive(&plan(address, Pace::Rate(200.0), 2, 60_000), &progress).unwrap();
    assert!(!report.complete && report.sent >= 20 && report.seconds < 30.0);
    assert!(report.text().contains("stopped before the end"));
}

#[test]
fn nobody_there_is_said_at_once() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = drive(&plan(address, Pace::Max, 1, 1000), &Progress::default()).unwrap_err();
    assert!(matches!(error, LoadError::Unreachable { .. }), "{error}");
}

fn haggle(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_haggle")).args(arguments).stdin(Stdio::null()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_command_prints_json_and_writes_the_page() {
    let (address, _) = server(Arc::new(|_, stream| say(stream, BID)));
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(file("requests.jsonl"), "{\"id\":\"1\"}\n\n{\"request\":{\"id\":\"2\"}}\n").unwrap();
    let endpoint = format!("http://{address}/bid");
    let (requests, html) = (file("requests.jsonl"), file("load.html"));
    let (code, out, error) = haggle(&[
        "load",
        "--endpoint",
        &endpoint,
        "--requests",
        &requests,
        "--rate",
        "100",
        "--connections",
        "2",
        "--seconds",
        "1",
        "--json",
        "--html",
        &html,
    ]);
    assert_eq!((code, error.as_str()), (Some(0), ""));
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["loop"], "open");
    assert_eq!(report["sent"], 100);
    assert_eq!(report["outcomes"]["bids"], 100);
    assert!(report["accepted_ms"]["p999"].as_f64().unwrap() > 0.0);
    let page = std::fs::read_to_string(&html).unwrap();
    assert_eq!(page.matches("<svg viewBox=\"0 0 860").count(), 3, "{page}");
    assert!(!page.contains("NaN") && !page.contains("inf") && !page.contains("<script"), "{page}");

    let (code, out, _) =
        haggle(&["load", "--endpoint", &endpoint, "--requests", &requests, "--max", "--seconds", "1"]);
    assert_eq!(code, Some(0));
    assert!(out.contains("closed loop") && out.contains("send lag"), "{out}");
}

#[test]
fn what_cannot_be_done_is_said_and_exits_with_its_code() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let good = file("good.jsonl", "{\"id\":\"1\"}\n");
    let bad = file("bad.jsonl", "{\"id\":\"1\"}\n[1]\n");
    let empty = file("empty.jsonl", "\n");
    let missing = folder.path().join("missing.jsonl").display().to_string();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = format!("http://{free}/bid");
    for (arguments, exit, said) in [
        (
            ["--endpoint", &nobody, "--requests", &missing, "--rate", "1"],
            Exit::InputUnusable,
            "missing.jsonl",
        ),
        (
            ["--endpoint", &nobody, "--requests", &empty, "--rate", "1"],
            Exit::InputUnusable,
            "holds no requests",
        ),
        (["--endpoint", &nobody, "--requests", &bad, "--rate", "1"], Exit::InputUnusable, "bad.jsonl:2: "),
        (
            ["--endpoint", &nobody, "--requests", &good, "--rate", "1"],
            Exit::EndpointUnreachable,
            "cannot reach",
        ),
        (["--endpoint", &nobody, "--requests", &good, "--rate", "0"], Exit::Usage, "--rate"),
        (
            ["--endpoint", "https://a.example/", "--requests", &good, "--rate", "1"],
            Exit::Usage,
            "https is not spoken",
        ),
    ] {
        let (code, out, error) = haggle(&[&["load"], &arguments[..]].concat());
        assert_eq!(code, Some(i32::from(exit.code())), "{arguments:?}: {error}");
        assert!(out.is_empty() && error.contains(said), "{arguments:?}: {error}");
    }
    let (code, _, error) = haggle(&["load", "--endpoint", &nobody, "--requests", &good]);
    assert_eq!(code, Some(2), "{error}");
    assert!(error.contains("--rate"), "{error}");
}
