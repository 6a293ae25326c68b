//! A node on free ports with one eager campaign, and a client for it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test support")]
#![allow(dead_code, reason = "each test binary uses a part")]

pub mod mmdb;
pub mod needles;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use awc::Client;
use awc::http::StatusCode;
use haggle::config::{self, Loaded, SettingsLayer};
use haggle::server::Node;
use haggle_domain::{Clock, Micros, Timestamp};
use haggle_strategies::CampaignState;

/// A clock that moves when the test says so.
pub struct HandClock(AtomicI64);

impl HandClock {
    pub fn new() -> Arc<Self> {
        let noon: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        Arc::new(Self(AtomicI64::new(noon.0)))
    }

    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_micros()).unwrap(), Ordering::Relaxed);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

const SETTINGS: &str = r#"
event_key_file = "event.key"
[[exchange]]
name = "demo"
bill_on = "burl"
[[exchange]]
name = "nurl-biller"
bill_on = "nurl"
[[exchange]]
name = "secretive"
bill_on = "burl"
price_encryption = { encryption_key_file = "encryption.key", integrity_key_file = "integrity.key" }
"#;

const CAMPAIGN: &str = r#"
id = "eager"
name = "Eager"
advertiser_domain = "shop.example"
categories = ["IAB18"]
pacing = "asap"
max_bid_cpm = "5.00"
goal = { cpm = { price = "4.00" } }
budget = { daily = "2.00" }
[[creatives]]
id = "one"
width = 300
height = 250
image = "https://cdn.shop.example/one.jpg"
landing = "https://shop.example/landing?from=ad"
title = "One"
"#;

/// Writes a configuration with one campaign that bids 4.00 on everything, into `folder`.
pub fn write_config(folder: &Path) {
    std::fs::create_dir_all(folder.join("campaigns")).unwrap();
    std::fs::write(folder.join("haggle.toml"), SETTINGS).unwrap();
    std::fs::write(folder.join("event.key"), "a-key-for-the-tests-only").unwrap();
    // The example keys of the scheme's documentation.
    for (name, key) in [
        ("encryption.key", "skU7Ax_NL5pPAFyKdkfZjZz2-VhIN8bjj1rVFOaJ_5o="),
        ("integrity.key", "arO23ykdNqUQ5LEoQ0FVmPkBd7xB5CO89PDZlSjpFxo="),
    ] {
        std::fs::write(folder.join(name), key).unwrap();
    }
    std::fs::write(folder.join("campaigns/eager.toml"), CAMPAIGN).unwrap();
}

/// Where the requests and answers of `tests/openrtb.rs` are.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/openrtb")
}

/// Copies the configuration that the fixtures are for into `folder`, where the data will stand beside it.
pub fn configure_for_fixtures(folder: &Path) {
    for part in ["", "campaigns", "lists"] {
        let (from, to) = (fixtures().join("config").join(part), folder.join(part));
        std::fs::create_dir_all(&to).unwrap();
        for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_file() {
                std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
            }
        }
    }
}

pub fn load(folder: &Path) -> Loaded {
    let layer = SettingsLayer::default()
        .with("listen", "127.0.0.1:0")
        .with("admin_listen", "127.0.0.1:0")
        .with("data", folder.join("data").display().to_string())
        .with("tick", "10ms")
        .with("workers", "1")
        .with("drain", "100ms")
        .with("checkpoint_interval", "1s")
        .with("max_body_bytes", "8192");
    config::load(Some(&folder.join("haggle.toml")), &layer).unwrap()
}

/// A running node.
pub struct Rig {
    pub node: Node,
    pub client: Client,
    pub clock: Arc<HandClock>,
}

impl Rig {
    pub async fn start(folder: &Path, clock: &Arc<HandClock>) -> Self {
        let node = Node::start(load(folder), Arc::clone(clock) as Arc<dyn Clock>).await.unwrap();
        node.ready().await;
        let client = Client::builder().disable_redirects().finish();
        let rig = Self { node, client, clock: Arc::clone(clock) };
        rig.settle().await;
        rig
    }

    /// Waits for a few ticks of the actors.
    pub async fn settle(&self) {
        tokio::time::sleep(Duration::from_millis(60)).await;
    }

    /// Waits until every campaign that runs now has money to bid with.
    pub async fn funded(&self) {
        for _ in 0..500 {
            let catalog = &self.node.state.snapshot.load().catalog;
            let now = self.clock.now();
            let mut running = catalog.entries().filter(|(_, entry)| entry.campaign.flight.contains(now));
            // A campaign is active a moment before its lease holds what it was granted.
            if running.all(|(_, entry)| {
                entry.live.state() == CampaignState::Active
                    && entry.live.lease.load().available() > Micros::ZERO
            }) {
                return;
            }
            self.settle().await;
        }
        panic!("not every campaign has money");
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.node.address)
    }

    pub async fn post(&self, path: &str, kind: &str, body: &str) -> (StatusCode, String) {
        let sent = self
            .client
            .post(self.url(path))
            .insert_header(("content-type", kind))
            .send_body(body.to_owned())
            .await;
        let mut response = sent.unwrap();
        let body = response.body().await.unwrap();
        (response.status(), String::from_utf8(body.to_vec()).unwrap())
    }

    /// Asks for a bid until there is one.
    pub async fn bid(&self, exchange: &str, id: &str) -> serde_json::Value {
        for _ in 0..100 {
            let (status, body) =
                self.post(&format!("/openrtb2/bid/{exchange}"), "application/json", &request(id)).await;
            if status == StatusCode::OK {
                let response: serde_json::Value = serde_json::from_str(&body).unwrap();
                return response["seatbid"][0]["bid"][0].clone();
            }
            self.settle().await;
        }
        panic!("no bid");
    }

    pub async fn get(&self, url: &str) -> (StatusCode, Option<String>) {
        let response = self.client.get(url).send().await.unwrap();
        let location = response.headers().get("location").map(|to| to.to_str().unwrap().to_owned());
        (response.status(), location)
    }

    /// What the campaign spent, after its next tick.
    pub async fn spent(&self) -> i64 {
        self.settle().await;
        self.node.state.campaigns.all()[0].report().unwrap().settled.0
    }

    pub async fn metrics(&self) -> String {
        let url = format!("http://{}/metrics", self.node.admin_address);
        let body = self.client.get(url).send().await.unwrap().body().limit(1 << 20).await.unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    }

    pub async fn stop(self) {
        self.node.stop().await.unwrap();
    }
}

/// A plain banner request.
pub fn request(id: &str) -> String {
    serde_json::json!({
        "id": id, "at": 2, "cur": ["USD"],
        "imp": [{ "id": "1", "banner": { "w": 300, "h": 250 }, "bidfloor": 0.5, "bidfloorcur": "USD" }],
        "site": { "domain": "news.example", "page": "https://news.example/a" },
        "device": { "ua": "Mozilla/5.0", "devicetype": 2, "geo": { "country": "USA" } },
        "user": { "buyeruid": "user-1" },
    })
    .to_string()
}

/// A notice's address with its macros filled in.
pub fn filled(bid: &serde_json::Value, notice: &str, price: &str) -> String {
    bid[notice]
        .as_str()
        .unwrap_or_else(|| panic!("{notice} is missing"))
        .replace("${AUCTION_PRICE}", price)
        .replace("${AUCTION_MIN_TO_WIN}", "1.5")
        .replace("${AUCTION_LOSS}", "102")
}

/// The click's and the pixel's address in the markup.
pub fn links(bid: &serde_json::Value) -> (String, String) {
    let markup = bid["adm"].as_str().unwrap();
    let after = |start: &str, nth: usize| {
        let from = markup.match_indices(start).nth(nth).unwrap().0 + start.len();
        markup[from..].split('"').next().unwrap().to_owned()
    };
    (after("<a href=\"", 0), after("<img src=\"", 1))
}
