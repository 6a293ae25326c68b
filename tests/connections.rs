//! What connections may do to a node: pipeline, dawdle, send heads without end, say nothing.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use haggle::clock::monotonic;
use support::{HandClock, Rig, request};

/// A connection that fails a test rather than waiting for ever.
fn connect(rig: &Rig) -> TcpStream {
    let stream = TcpStream::connect(rig.node.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

fn post(body: &str) -> String {
    format!(
        "POST /openrtb2/bid/demo HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// All that comes until the other side closes.
fn read_to_end(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    // A reset is an end, too.
    let _ = stream.read_to_end(&mut all);
    String::from_utf8_lossy(&all).into_owned()
}

async fn rig(folder: &std::path::Path) -> Rig {
    support::write_config(folder);
    let rig = Rig::start(folder, &HandClock::new()).await;
    rig.funded().await;
    rig
}

#[actix_rt::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let rig = rig(folder.path()).await;
    let mut stream = connect(&rig);
    let mut all = String::new();
    for number in 0..40 {
        all += &post(&request(&format!("r{number}")));
    }
    let last = post(&request("last")).replace("host: h", "host: h\r\nconnection: close");
    stream.write_all((all + &last).as_bytes()).unwrap();
    let answers = read_to_end(&mut stream);
    assert_eq!(answers.matches("HTTP/1.1 ").count(), 41, "{answers}");
    let start = "{\"id\":\"r";
    let digits = |text: &str| text.split('"').next().unwrap().parse::<u32>().unwrap();
    let ids: Vec<_> =
        answers.match_indices(start).map(|(at, _)| digits(&answers[at + start.len()..])).collect();
    assert!(ids.len() > 5 && ids.is_sorted(), "{ids:?}");
    rig.stop().await;
}

#[actix_rt::test]
async fn a_head_without_end_is_refused_and_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let rig = rig(folder.path()).await;
    let mut stream = connect(&rig);
    stream.write_all(b"POST /openrtb2/bid/demo HTTP/1.1\r\nhost: h\r\n").unwrap();
    let mut sent = 0;
    // Writing fails once the node has closed.
    while sent < 16 << 20
        && stream.write_all(format!("x-{sent}: {}\r\n", "y".repeat(1000)).as_bytes()).is_ok()
    {
        sent += 1000;
    }
    assert!(sent < 8 << 20, "{sent} bytes of a head were taken");
    let answer = read_to_end(&mut stream);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    rig.stop().await;
}

#[actix_rt::test]
async fn who_dawdles_is_given_up_and_holds_up_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let rig = rig(folder.path()).await;
    let whole = post(&request("slow"));
    // A body that stops in its middle, and a head that stops in its.
    let mut half_body = connect(&rig);
    half_body.write_all(&whole.as_bytes()[..whole.len() - 10]).unwrap();
    let mut half_head = connect(&rig);
    half_head.write_all(&whole.as_bytes()[..40]).unwrap();
    let began = monotonic();
    let mut stream = connect(&rig);
    stream
        .write_all(post(&request("quick")).replace("host: h", "host: h\r\nconnection: close").as_bytes())
        .unwrap();
    assert!(read_to_end(&mut stream).starts_with("HTTP/1.1 200"));
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    let answer = read_to_end(&mut half_body);
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    let answer = read_to_end(&mut half_head);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    rig.stop().await;
}
