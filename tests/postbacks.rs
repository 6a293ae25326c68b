//! Postbacks end to end: a receiver that fails, is slow or is away, and nodes that are killed, lose nothing.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test, a panic is a failure")]

mod support;

use std::collections::{BTreeSet, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use haggle::attribution::{AttributionDeps, AttributionThread, Decides};
use haggle::config::{Postback, Secret};
use haggle::postback::{PostbackDeps, PostbackReport, PostbackThread, Template, signature};
use haggle_actors::attribution::AttributorSettings;
use haggle_actors::backbone::{MemoryCluster, SharedJournal, SharedOptions};
use haggle_actors::journal::{Journal, JournalError, replay};
use haggle_domain::{
    AttributionModel, CampaignKey, Clock, Event, Micros, NodeId, Order, Record, Standing, Tag,
};
use haggle_learning::Trainer;
use haggle_strategies::{Catalog, Market, Scorer, Snapshot};
use serde_json::{Value, json};
use support::{HandClock, Rig, write_config};

const KEY: &str = "the-key-of-postbacks-in-tests";

/// What came: its head's lines in small letters, and its body.
#[derive(Clone)]
struct Got {
    head: Vec<String>,
    body: String,
}

impl Got {
    fn header(&self, name: &str) -> String {
        let prefix = format!("{name}: ");
        self.head.iter().find_map(|line| line.strip_prefix(&prefix)).unwrap().to_owned()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// How the receiver answers.
#[derive(Clone, Copy)]
enum Answer {
    Status(u16),
    /// Not at all, for longer than anybody waits.
    Hang,
}

/// A server that answers what a script says, and 200 once that is over.
struct Receiver {
    address: SocketAddr,
    got: Arc<Mutex<Vec<Got>>>,
}

impl Receiver {
    fn start(listener: TcpListener, script: &[Answer]) -> Self {
        let got: Arc<Mutex<Vec<Got>>> = Arc::default();
        let (address, script) = (listener.local_addr().unwrap(), Mutex::new(VecDeque::from(script.to_vec())));
        let (kept, script) = (Arc::clone(&got), Arc::new(script));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (kept, script) = (Arc::clone(&kept), Arc::clone(&script));
                std::thread::spawn(move || serve(&stream.unwrap(), &kept, &script));
            }
        });
        Self { address, got }
    }

    fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    /// Waits for so many.
    async fn wait(&self, count: usize) -> Vec<Got> {
        for _ in 0..600 {
            if self.got().len() >= count {
                return self.got();
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("only {} came", self.got().len());
    }
}

fn serve(stream: &TcpStream, kept: &Mutex<Vec<Got>>, script: &Mutex<VecDeque<Answer>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        if line.trim().is_empty() {
            break;
        }
        head.push(line.trim().to_ascii_lowercase());
    }
    let length = head.iter().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    kept.lock().unwrap().push(Got { head, body: String::from_utf8(body).unwrap() });
    let answer = script.lock().unwrap().pop_front().unwrap_or(Answer::Status(200));
    match answer {
        Answer::Hang => std::thread::sleep(Duration::from_secs(60)),
        Answer::Status(status) => {
            let text =
                format!("HTTP/1.1 {status} x\r\nlocation: http://10.0.0.1/\r\ncontent-length: 0\r\n\r\n");
            // It has hung up: then it knows all it wants.
            let mut stream = stream;
            let _ = stream.write_all(text.as_bytes());
        }
    }
}

/// A configuration with a postback to an address, with these keys besides.
fn configure(folder: &Path, address: SocketAddr, more: &str) {
    write_config(folder);
    std::fs::write(folder.join("postback.key"), KEY).unwrap();
    let file = folder.join("haggle.toml");
    let settings = std::fs::read_to_string(&file).unwrap();
    let table = format!(
        "[[postback]]\nname = \"crm\"\nurl = \"http://{address}/orders/{{order}}?event={{event}}\"\n\
         key_file = \"postback.key\"\nallow_private = true\nevents = [\"orphan\", \"corrected\"]\n{more}\n"
    );
    std::fs::write(file, settings + &table).unwrap();
}

fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

async fn order(rig: &Rig, orders: &Value) {
    let sent = rig
        .client
        .post(rig.url("/conversions"))
        .insert_header(("authorization", "Bearer a-key-for-the-tests-only"))
        .send_body(orders.to_string())
        .await;
    assert!(sent.unwrap().status().is_success());
}

#[actix_rt::test]
async fn a_receiver_that_fails_is_tried_again_with_the_same_delivery_signed_anew() {
    let folder = tempfile::tempdir().unwrap();
    let script = [Answer::Status(500), Answer::Status(302), Answer::Hang];
    let receiver = Receiver::start(listener(), &script);
    configure(folder.path(), receiver.address, "timeout = \"1s\"");
    let clock = HandClock::new();
    let rig = Rig::start(folder.path(), &clock).await;
    order(&rig, &json!([{ "order": "A 1", "user": "nobody we met", "value": "59.90" }])).await;
    for count in 1..=4 {
        receiver.wait(count).await;
        // Longer than any pause so far; the slow one has to be given up first, by the wall's time.
        tokio::time::sleep(Duration::from_millis(if count == 3 { 1_500 } else { 300 })).await;
        clock.advance(Duration::from_secs(60));
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let got = receiver.got();
    assert_eq!(got.len(), 4, "once it is delivered, nothing more comes");
    for got in &got {
        assert_eq!(got.head[0], "post /orders/a%201?event=orphan http/1.1");
        let timestamp: i64 = got.header("x-haggle-timestamp").parse().unwrap();
        assert_eq!(got.header("x-haggle-signature"), signature(KEY, timestamp, got.body.as_bytes()));
        assert_eq!(got.header("x-haggle-delivery"), got.json()["delivery"].as_str().unwrap());
        let body = got.json();
        assert_eq!(
            (&body["order"], &body["value"], &body["event"]),
            (&json!("A 1"), &json!("59.90"), &json!("orphan"))
        );
    }
    let once: BTreeSet<String> = got.iter().map(|got| got.header("x-haggle-delivery")).collect();
    let times: BTreeSet<String> = got.iter().map(|got| got.header("x-haggle-timestamp")).collect();
    assert_eq!((once.len(), times.len()), (1, 4));
    let metrics = rig.metrics().await;
    for line in [
        "haggle_postbacks_total{outcome=\"delivered\",postback=\"crm\"} 1",
        "haggle_postbacks_total{outcome=\"failed\",postback=\"crm\"} 3",
        "haggle_postbacks_waiting{postback=\"crm\"} 0",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    rig.stop().await;
}

fn haggle(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_haggle"));
    command.current_dir(folder).args(arguments).stdin(Stdio::null());
    command
}

fn output(folder: &Path, arguments: &[&str]) -> String {
    let output = haggle(folder, arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[actix_rt::test]
async fn what_is_given_up_is_kept_listed_and_sent_again_on_demand() {
    let folder = tempfile::tempdir().unwrap();
    // Nobody listens there while this is held and not accepted from; then somebody does.
    let away = listener();
    let address = away.local_addr().unwrap();
    drop(away);
    configure(folder.path(), address, "tries = 3");
    let clock = HandClock::new();
    let rig = Rig::start(folder.path(), &clock).await;
    order(
        &rig,
        &json!([{ "order": "A", "user": "x", "value": "1" }, { "order": "B", "user": "x", "value": "2" }]),
    )
    .await;
    let mut metrics = String::new();
    for _ in 0..200 {
        clock.advance(Duration::from_secs(60));
        rig.settle().await;
        metrics = rig.metrics().await;
        if metrics.contains("haggle_postbacks_dead{postback=\"crm\"} 2") {
            break;
        }
    }
    assert!(metrics.contains("haggle_postbacks_dead{postback=\"crm\"} 2"), "{metrics}");
    rig.stop().await;

    let listed = output(folder.path(), &["postback", "list", "--data", "data"]);
    assert!(listed.starts_with("crm: 0 delivered, 0 waiting, 2 dead\n"), "{listed}");
    assert!(
        listed.contains(" dead     orphan     A ") && listed.contains("3 tries since 2026-11-23"),
        "{listed}"
    );
    let json: Value =
        serde_json::from_str(&output(folder.path(), &["postback", "list", "--data", "data", "--json"]))
            .unwrap();
    let first = json[0]["dead"][0]["delivery"].as_str().unwrap().to_owned();
    let again = output(
        folder.path(),
        &["postback", "retry", "--data", "data", "--name", "crm", "--delivery", &first],
    );
    assert!(again.starts_with("ok: 1 to be sent again"), "{again}");
    let again = output(folder.path(), &["postback", "retry", "--data", "data"]);
    assert!(again.starts_with("ok: 1 to be sent again"), "{again}");
    let unknown =
        haggle(folder.path(), &["postback", "list", "--data", "data", "--name", "crn"]).output().unwrap();
    assert_eq!(unknown.status.code(), Some(2));

    let receiver = Receiver::start(TcpListener::bind(address).unwrap(), &[]);
    let rig = Rig::start(folder.path(), &clock).await;
    let orders: BTreeSet<String> =
        receiver.wait(2).await.iter().map(|got| got.json()["order"].as_str().unwrap().to_owned()).collect();
    assert_eq!(orders, BTreeSet::from(["A".to_owned(), "B".to_owned()]));
    rig.stop().await;
}

/// A node as its own program, with the address that it serves at.
struct Program(Child, SocketAddr);

impl Program {
    fn start(folder: &Path) -> Self {
        let mut child = haggle(
            folder,
            &["serve", "--config", "haggle.toml", "--listen", "127.0.0.1:0", "--admin-listen"],
        )
        .args(["127.0.0.1:0", "--data", "data", "--log-format", "json", "--workers", "1"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines.find_map(|line| {
            let line: Value = serde_json::from_str(&line.ok()?).ok()?;
            (line["fields"]["message"] == "serving")
                .then(|| line["fields"]["address"].as_str().unwrap().parse().unwrap())
        });
        std::thread::spawn(move || lines.for_each(drop));
        Self(child, address.unwrap())
    }

    /// Tells of an order and waits for its answer.
    fn order(&self, id: &str) {
        let body = json!([{ "order": id, "user": "nobody", "value": "1" }]).to_string();
        let mut stream = TcpStream::connect(self.1).unwrap();
        write!(
            stream,
            "POST /conversions HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer a-key-for-the-tests-only\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    }
}

impl Drop for Program {
    /// SIGKILL, which no process can see coming.
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[actix_rt::test]
async fn a_killed_node_loses_no_delivery_that_was_answered_for() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(listener(), &[Answer::Status(503); 3]);
    configure(folder.path(), receiver.address, "");
    let mut told = BTreeSet::new();
    // Killed at once, while it is being sent, and after a failure.
    for (life, millis) in [0u64, 40, 150, 400].into_iter().enumerate() {
        let program = Program::start(folder.path());
        for number in 0..3 {
            let id = format!("order {life}-{number}");
            program.order(&id);
            told.insert(id);
        }
        tokio::time::sleep(Duration::from_millis(millis)).await;
        drop(program);
    }
    let _program = Program::start(folder.path());
    let came = || -> BTreeSet<String> {
        receiver.got().iter().map(|got| got.json()["order"].as_str().unwrap().to_owned()).collect()
    };
    for _ in 0..400 {
        // Three were refused; each of those comes again.
        if came() == told && receiver.got().len() >= told.len() + 3 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("{:?} did not come", told.difference(&came()).collect::<Vec<_>>());
}

/// One of several nodes, as far as orders go.
struct Member {
    journal: Arc<SharedJournal>,
    attribution: AttributionThread,
    postbacks: PostbackThread,
    report: Arc<ArcSwapOption<PostbackReport>>,
}

impl Member {
    fn start(cluster: &MemoryCluster, folder: &Path, node: u64, address: SocketAddr) -> Self {
        let log = Arc::new(cluster.connect());
        let options = SharedOptions::default();
        let journal = SharedJournal::open(log, folder, NodeId(node), &options, Box::new(|_| ()));
        let journal = Arc::new(journal.unwrap());
        let (asked, clock) = (Arc::clone(&journal), HandClock::new());
        let decides: Decides = Arc::new(move || asked.decides_orders());
        let catalog = Arc::new(Catalog::new(Vec::new()));
        let scorer = Arc::new(Scorer::new(Trainer::default().snapshot(), &catalog));
        let market = Arc::new(Market::default());
        let snapshot = Snapshot { version: 0, salt: 0, scorer, catalog, market };
        let postback = Postback {
            name: "crm".to_owned(),
            url: Template::parse(&format!("http://{address}/{{order}}")).unwrap(),
            events: vec![Standing::Orphan],
            key: Secret::new(KEY.to_owned()),
            allow_private: true,
            timeout: Duration::from_secs(5),
            tries: 9,
            give_up_after: Duration::from_secs(60),
            concurrency: 2,
        };
        let report: Arc<ArcSwapOption<PostbackReport>> = Arc::default();
        let postbacks = PostbackThread::start(PostbackDeps {
            postbacks: vec![postback],
            currency: "USD".to_owned(),
            journal: Arc::clone(&journal) as _,
            snapshot: Arc::new(ArcSwap::from_pointee(snapshot)),
            clock: Arc::clone(&clock) as _,
            report: Arc::clone(&report),
            decides: Arc::clone(&decides),
        });
        let hours = |hours: u64| Duration::from_secs(3600 * hours);
        let settings = AttributorSettings {
            model: AttributionModel::Last,
            click_window: hours(24),
            view_window: hours(24),
            half_life: hours(24),
            touches: 1000,
        };
        let attribution = AttributionThread::start(AttributionDeps {
            settings,
            journal: Arc::clone(&journal) as _,
            clock,
            checkpoint_interval: hours(1),
            report: Arc::default(),
            decides,
        });
        Self { journal, attribution: attribution.unwrap(), postbacks: postbacks.unwrap(), report }
    }

    fn claim(&self) {
        self.journal
            .claim(0, Box::new(|claimed: Result<u64, JournalError>| assert!(claimed.is_ok())))
            .unwrap();
    }

    fn tell(&self, id: &str) {
        let at = HandClock::new().now();
        let order = Order {
            tag: Tag::of(id),
            id: id.to_owned(),
            placed_at: at,
            value: Micros(5),
            ..Order::default()
        };
        let event = Event::Ordered { order: Box::new(order) };
        assert!(self.journal.note(vec![Record { at, campaign: CampaignKey::default(), event }]));
    }

    fn waiting(&self) -> Option<(usize, u64)> {
        let report = self.report.load_full()?;
        report.0.get("crm").map(|shown| (shown.waiting, shown.counts.delivered))
    }

    fn stop(self) {
        self.attribution.stop();
        self.postbacks.stop();
        self.journal.close().unwrap();
    }
}

/// Any node may be told, any may decide, and who decides changes while orders come: each is credited once, and told under one number.
#[actix_rt::test]
async fn of_several_nodes_one_credits_and_tells_and_another_goes_on() {
    const ORDERS: usize = 60;
    let folder = tempfile::tempdir().unwrap();
    let receiver =
        Receiver::start(listener(), &[Answer::Status(500), Answer::Status(200), Answer::Status(503)]);
    let cluster = MemoryCluster::new(3);
    let start =
        |node: u64| Member::start(&cluster, &folder.path().join(node.to_string()), node, receiver.address);
    let nodes = [start(1), start(2)];
    for turn in 0..ORDERS {
        if turn.is_multiple_of(20) {
            nodes[turn / 20 % 2].claim();
        }
        nodes[turn % 2].tell(&format!("A-{turn}"));
        // Told twice, to another node.
        nodes[(turn + 1) % 2].tell(&format!("A-{turn}"));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for _ in 0..400 {
        if nodes.iter().all(|node| node.waiting() == Some((0, ORDERS as u64))) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let numbers: BTreeSet<(String, String)> = receiver
        .got()
        .iter()
        .map(|got| (got.json()["order"].as_str().unwrap().to_owned(), got.header("x-haggle-delivery")))
        .collect();
    assert_eq!(numbers.len(), ORDERS, "{numbers:?}");
    for node in nodes {
        assert_eq!(node.waiting(), Some((0, ORDERS as u64)));
        let mut credited = BTreeSet::new();
        for entry in replay(&*node.journal, 0) {
            if let Event::Attributed { attribution } = entry.unwrap().1.event {
                assert!(credited.insert(attribution.order), "{} is credited twice", attribution.id.unwrap());
            }
        }
        assert_eq!(credited.len(), ORDERS);
        node.stop();
    }
}
