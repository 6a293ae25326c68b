//! `kill -9`, again and again: what was acknowledged is there, nothing is counted twice, no budget is overspent.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread::sleep;
use std::time::Duration;

use haggle_domain::UserKey;

/// Where the kills fall, unless `HAGGLE_CRASH_SEED` says otherwise.
const SEED: u64 = 20_261_123;
/// How many kills, unless `HAGGLE_CRASH_KILLS` says otherwise.
const KILLS: u64 = 6;

/// One test at a time: each wants the machine for itself.
static ALONE: Mutex<()> = Mutex::new(());

/// A number from the environment.
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// Vigna's SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.next() % (to - from))
    }
}

fn haggle(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_haggle"));
    command.current_dir(folder).args(arguments).stdin(Stdio::null());
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    haggle(folder, arguments).output().unwrap()
}

/// A child that does not outlive a test that fails.
struct Running(Child);

impl Running {
    /// SIGKILL, which no process can see coming. True if it was still running.
    fn kill(mut self) -> bool {
        let running = self.0.try_wait().unwrap().is_none();
        self.0.kill().unwrap();
        self.0.wait().unwrap();
        running
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Where a test failed; otherwise it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A campaign's line in the table of `ledger verify`, in millionths.
#[derive(Clone, Copy, Debug)]
struct Line {
    settled: u64,
    reserved: u64,
    unspent: u64,
    budget: u64,
}

fn micros(text: &str) -> u64 {
    let (units, fraction) = text.split_once('.').unwrap_or((text, ""));
    assert!(fraction.len() <= 6, "{text}");
    units.parse::<u64>().unwrap() * 1_000_000 + format!("{fraction:0<6}").parse::<u64>().unwrap()
}

/// `ledger verify` must pass; gives its table.
fn verify(folder: &Path) -> BTreeMap<String, Line> {
    let output = run(folder, &["ledger", "verify", "--data", "data"]);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{complaint}");
    let table = String::from_utf8(output.stdout).unwrap();
    let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter_map(|row| match row[..] {
        [id, settled, "+", reserved, "+", unspent, "=", budget] => {
            let [settled, reserved, unspent, budget] = [settled, reserved, unspent, budget].map(micros);
            Some((id.to_owned(), Line { settled, reserved, unspent, budget }))
        }
        _ => None,
    })
    .collect()
}

/// Checks the books against what they were before.
fn check(before: &BTreeMap<String, Line>, after: &BTreeMap<String, Line>) {
    for (id, line) in after {
        assert_eq!(line.settled + line.reserved + line.unspent, line.budget, "{id}: {line:?}");
        assert!(line.settled <= line.budget, "{id} overspent: {line:?}");
    }
    for (id, line) in before {
        let now = after.get(id).unwrap_or_else(|| panic!("{id} is forgotten"));
        assert!(now.settled >= line.settled, "{id}: money was forgotten: {line:?}, then {now:?}");
    }
}

fn settled(books: &BTreeMap<String, Line>) -> u64 {
    books.values().map(|line| line.settled).sum()
}

#[test]
fn a_node_that_is_killed_again_and_again_keeps_its_books() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let (kills, seed) = (number("HAGGLE_CRASH_KILLS", KILLS), number("HAGGLE_CRASH_SEED", SEED));
    println!("HAGGLE_CRASH_SEED={seed} HAGGLE_CRASH_KILLS={kills}");
    let mut random = Random(seed);
    let mut books = BTreeMap::new();
    let mut verified = 0;
    for round in 0..kills {
        let after = random.millis(300, 3000);
        let round_seed = round.to_string();
        let arguments = ["demo", "--seconds", "20", "--data", "data", "--seed", &round_seed, "--qps", "500"];
        let child = haggle(folder.path(), &arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let running = Running(child.unwrap());
        sleep(after);
        assert!(running.kill(), "round {round} ended before it was killed");
        if !folder.path().join("data/journal").is_dir() {
            // On a slow machine the kill may come before anything was made, and then there is nothing to verify.
            println!("round {round}: killed after {after:?}, before there was a journal");
            continue;
        }
        let now = verify(folder.path());
        check(&books, &now);
        verified += 1;
        println!("round {round}: killed after {after:?}, {} settled", settled(&now));
        books = now;
    }
    assert!(verified * 2 >= kills, "only {verified} of {kills} rounds could be verified");
    assert!(kills < 3 || settled(&books) > 0, "no round lived long enough to spend anything");

    let last = run(
        folder.path(),
        &["demo", "--seconds", "5", "--data", "data", "--seed", "99", "--qps", "300", "--json"],
    );
    assert_eq!(last.status.code(), Some(0), "{}", String::from_utf8_lossy(&last.stderr));
    let summary: serde_json::Value = serde_json::from_slice(&last.stdout).unwrap();
    assert_eq!(summary["errors"], 0, "{summary}");
    let end = verify(folder.path());
    check(&books, &end);
    assert!(settled(&end) > settled(&books), "the last run spent nothing: {summary}");
    for campaign in summary["campaigns"].as_array().unwrap() {
        let line = end[campaign["id"].as_str().unwrap()];
        assert_eq!(campaign["spend_micros"], line.settled, "summary and ledger disagree: {campaign}");
    }
}

const SETTINGS: &str = "[[exchange]]\nname = \"demo\"\nbill_on = \"burl\"\n";

const CAMPAIGN: &str = r#"
id = "eager"
name = "Eager"
advertiser_domain = "shop.example"
categories = ["IAB18"]
pacing = "asap"
max_bid_cpm = "5.00"
goal = { cpm = { price = "4.00" } }
budget = { daily = "1000.00" }
[[creatives]]
id = "one"
width = 300
height = 250
image = "https://cdn.shop.example/one.jpg"
landing = "https://shop.example/landing"
title = "One"
"#;

/// What each billing notice charges: one unit a thousand.
const PRICE: &str = "1";
const CHARGE: u64 = 1_000;

/// `haggle serve` on free ports.
fn server(folder: &Path) -> Command {
    let arguments = [
        "serve",
        "--config",
        "haggle.toml",
        "--data",
        "data",
        "--listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
        "--tick",
        "10ms",
        "--checkpoint-interval",
        "200ms",
        "--drain",
        "100ms",
    ];
    let mut command = haggle(folder, &arguments);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Starts a server; gives its address when it serves.
fn serve(folder: &Path) -> (Running, String) {
    let (running, address, _) = serve_both(folder);
    (running, address)
}

/// The same, with the address for operators.
fn serve_both(folder: &Path) -> (Running, String, String) {
    let mut child = server(folder).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let running = Running(child);
    let mut seen = String::new();
    loop {
        let start = seen.len();
        assert!(log.read_line(&mut seen).unwrap() > 0, "it ended before it served: {seen}");
        let line = &seen[start..];
        let said =
            |name: &str| line.split_whitespace().find_map(|word| word.strip_prefix(name)).map(str::to_owned);
        if let Some((address, admin)) = said("address=").zip(said("admin=")) {
            // Somebody must go on reading, or its log fills the pipe.
            std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
            return (running, address, admin);
        }
    }
}

/// One HTTP exchange; none where the other side is gone. Gives status and body.
fn exchange(address: &str, request: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

fn get(address: &str, path: &str) -> Option<u16> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: haggle\r\nconnection: close\r\n\r\n");
    exchange(address, &request).map(|(status, _)| status)
}

/// Asks for a bid; gives the path of its billing notice, `Some(None)` where there is no bid.
fn bid(address: &str, id: &str) -> Option<Option<String>> {
    let body = format!(
        r#"{{"id":"{id}","at":2,"cur":["USD"],"imp":[{{"id":"1","banner":{{"w":300,"h":250}}}}],"site":{{"domain":"news.example"}}}}"#
    );
    let request = format!(
        "POST /openrtb2/bid/demo HTTP/1.1\r\nhost: haggle\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let (status, body) = exchange(address, &request)?;
    if status != 200 {
        return Some(None);
    }
    // A body that the kill cut short is no answer.
    let response: serde_json::Value = serde_json::from_str(&body).ok()?;
    let url = response["seatbid"][0]["bid"][0]["burl"].as_str()?.replace("${AUCTION_PRICE}", PRICE);
    Some(Some(url[url.find("/n/bill/")?..].to_owned()))
}

/// What a node is doing when it is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    Serving,
    /// It was told to stop.
    Draining,
    /// Its campaign is changed, paused and resumed, and its keys are rotated.
    Changing,
    /// It starts again, several times over.
    Starting,
}

/// Changes the campaign and the keys until nobody answers.
fn change(folder: &Path, admin: &str) {
    let ask = |method: &str, path: &str, body: &str| {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        exchange(admin, &request)
    };
    for turn in 0.. {
        let budget = 900 + turn % 3 * 50;
        let document = CAMPAIGN.replace("1000.00", &format!("{budget}.00"));
        for (method, path, body) in [
            ("PUT", "/campaigns/eager", document.as_str()),
            ("POST", "/campaigns/eager/pause", ""),
            ("POST", "/campaigns/eager/resume", ""),
        ] {
            match ask(method, path, body) {
                Some((200..=204 | 503, _)) => {}
                Some((status, body)) => panic!("{method} {path}: {status} {body}"),
                None => return,
            }
        }
        if turn == 0 {
            let rotated = run(folder, &["keys", "rotate", "--data", "data"]);
            assert_eq!(rotated.status.code(), Some(0), "{}", String::from_utf8_lossy(&rotated.stderr));
        }
    }
}

#[test]
fn every_bill_that_was_acknowledged_before_a_kill_is_settled_after_it_and_counts_once() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    const SENDERS: usize = 3;
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("campaigns")).unwrap();
    fs::write(folder.path().join("haggle.toml"), SETTINGS).unwrap();
    fs::write(folder.path().join("campaigns/eager.toml"), CAMPAIGN).unwrap();
    let mut random = Random(number("HAGGLE_CRASH_SEED", SEED));
    // What was answered 204, and what the kill left without an answer.
    let (acknowledged, unanswered) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    let rounds = (number("HAGGLE_CRASH_KILLS", KILLS) / 6).max(1);
    let moments = [Moment::Serving, Moment::Draining, Moment::Changing, Moment::Starting];
    for (round, moment) in (0..rounds).flat_map(|_| moments).enumerate() {
        let (running, address, admin) = serve_both(folder.path());
        let after = random.millis(500, 2000);
        std::thread::scope(|scope| {
            for sender in 0..SENDERS {
                let (address, acknowledged, unanswered) = (&address, &acknowledged, &unanswered);
                scope.spawn(move || {
                    for turn in 0_u32.. {
                        let Some(bid) = bid(address, &format!("{round}-{sender}-{turn}")) else { return };
                        let Some(path) = bid else { continue };
                        match get(address, &path) {
                            Some(204) => acknowledged.lock().unwrap().push(path),
                            // Not now, so not charged; and nobody sends it again.
                            Some(503) => {}
                            Some(status) => panic!("a bill was answered {status}"),
                            None => {
                                unanswered.lock().unwrap().push(path);
                                return;
                            }
                        }
                    }
                });
            }
            if matches!(moment, Moment::Changing) {
                scope.spawn(|| change(folder.path(), &admin));
            }
            sleep(after);
            if matches!(moment, Moment::Draining) {
                let told = Command::new("kill").args(["-TERM", &running.0.id().to_string()]).status();
                assert!(told.unwrap().success());
                sleep(random.millis(0, 150));
                running.kill();
            } else {
                assert!(running.kill(), "it ended before it was killed");
            }
        });
        if matches!(moment, Moment::Starting) {
            for _ in 0..4 {
                let child = Running(server(folder.path()).spawn().unwrap());
                sleep(random.millis(1, 250));
                child.kill();
            }
        }
        let sure = acknowledged.lock().unwrap().len() as u64 * CHARGE;
        let perhaps = unanswered.lock().unwrap().len() as u64 * CHARGE;
        let charged = settled(&verify(folder.path()));
        println!(
            "round {round}: killed while {moment:?} after {after:?}: {sure} acknowledged, {charged} settled"
        );
        assert!(charged >= sure, "{} acknowledged bills were forgotten", (sure - charged) / CHARGE);
        assert!(charged <= sure + perhaps, "{charged} settled for {sure} and perhaps {perhaps}");
    }
    // Exchanges repeat what was not answered, and sometimes what was: now each counts, and each once.
    let paths = [acknowledged.into_inner().unwrap(), unanswered.into_inner().unwrap()].concat();
    assert!(paths.len() > 50, "only {} bills were sent", paths.len());
    let (running, address) = serve(folder.path());
    for path in &paths {
        assert_eq!(get(&address, path), Some(204), "{path}");
    }
    assert!(running.kill());
    assert_eq!(settled(&verify(folder.path())), paths.len() as u64 * CHARGE);
}

/// How often any file below a folder holds a user's key: its eight bytes from the least on, or the number in CBOR.
fn traces(folder: &Path, key: UserKey) -> usize {
    let needles = [key.0.to_le_bytes().to_vec(), minicbor::to_vec(key).unwrap()];
    let mut found = 0;
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found += traces(&entry.path(), key);
        } else {
            // A file may go between the listing and the reading.
            let bytes = fs::read(entry.path()).unwrap_or_default();
            for needle in &needles {
                found += bytes.windows(needle.len()).filter(|window| window == needle).count();
            }
        }
    }
    found
}

#[test]
fn an_erasure_that_a_kill_cuts_short_is_completed_after_the_restart() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fs::create_dir(folder.path().join("campaigns")).unwrap();
    fs::write(folder.path().join("haggle.toml"), format!("event_key_file = \"event.key\"\n{SETTINGS}"))
        .unwrap();
    fs::write(folder.path().join("event.key"), "a-key-for-the-tests-only").unwrap();
    fs::write(folder.path().join("campaigns/eager.toml"), CAMPAIGN).unwrap();
    let post = |address: &str, path: &str, body: &str| {
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: haggle\r\nconnection: close\r\n\
             authorization: Bearer a-key-for-the-tests-only\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        exchange(address, &request).map(|(status, _)| status)
    };
    let mut random = Random(number("HAGGLE_CRASH_SEED", SEED));
    let users = [0, 1, 2].map(|round| format!("forget-me-{round}"));
    for user in &users {
        let (running, address) = serve(folder.path());
        let event = format!(r#"{{"user":"{user}","did":"viewed","what":"boots"}}"#);
        let events = format!("[{}]", vec![event; 500].join(","));
        assert_eq!(post(&address, "/events", &events), Some(204));
        let erase = format!(r#"[{{"user":"{user}"}}]"#);
        assert_eq!(post(&address, "/privacy/erase", &erase), Some(204));
        let after = random.millis(0, 600);
        sleep(after);
        assert!(running.kill(), "it ended before it was killed");
        println!("killed after {after:?}: {} traces", traces(&data, UserKey::of(user)));
        verify(folder.path());
    }
    let (running, _) = serve(folder.path());
    let gone = |user: &String| traces(&data, UserKey::of(user)) == 0;
    for _ in 0..600 {
        if users.iter().all(gone) {
            break;
        }
        sleep(Duration::from_millis(100));
    }
    assert!(running.kill());
    for user in &users {
        assert!(gone(user), "{user} is still there");
    }
    verify(folder.path());
}
