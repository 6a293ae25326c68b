//! Where a request gives no basis, nothing of its user goes anywhere: not into a log, an answer, an event, a feature, a
//! profile, a number for the operator, or a file.
//!
//! Generated requests carry markers that nobody could guess in any of the places where something of a user may stand, and
//! say in every way what may be done with them. Each bid is followed to its order. A marker is looked for as it is written
//! and as every number that the program hashes words to.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test, a panic is a failure")]

#[allow(dead_code, reason = "the crate's own tests write more kinds of strings")]
#[path = "../openrtb/src/privacy/encode.rs"]
mod encode;
mod support;

use std::cell::RefCell;
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, Once, PoisonError};
use std::time::Duration;

use actix_rt::{System, SystemRunner};
use encode::{Tc, Vendors, gpp};
use haggle_domain::{Clock, Decision, UserKey};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseResult, TestRunner};
use serde_json::{Value, json};
use support::needles::Needles;
use support::{HandClock, Rig, filled, links, write_config};

/// Ours in the Global Vendor List.
const VENDOR: u16 = 755;
const BID: &str = "/openrtb2/bid/ids";

/// Where something of a user may stand, and what. Ids in the order in which the exchange's are taken.
const PLACES: [(&str, Kind); 37] = [
    ("user.eids.0.uids.0.id", Kind::Word),
    ("user.ext.eids.0.uids.0.id", Kind::Word),
    ("user.buyeruid", Kind::Word),
    ("user.id", Kind::Word),
    ("user.keywords", Kind::Word),
    ("user.kwarray.0", Kind::Word),
    ("user.data.0.id", Kind::Word),
    ("user.data.0.name", Kind::Word),
    ("user.data.0.segment.0.id", Kind::Word),
    ("user.data.0.segment.0.name", Kind::Word),
    ("user.data.0.segment.0.value", Kind::Word),
    ("user.customdata", Kind::Word),
    ("user.gender", Kind::Word),
    ("user.yob", Kind::Number),
    ("user.geo.country", Kind::Word),
    ("user.geo.region", Kind::Word),
    ("user.geo.metro", Kind::Word),
    ("user.geo.city", Kind::Word),
    ("user.geo.zip", Kind::Word),
    ("user.geo.lat", Kind::Number),
    ("user.geo.lon", Kind::Number),
    ("device.geo.metro", Kind::Word),
    ("device.geo.city", Kind::Word),
    ("device.geo.zip", Kind::Word),
    ("device.geo.lat", Kind::Number),
    ("device.geo.lon", Kind::Number),
    ("device.ip", Kind::Ip4),
    ("device.ipv6", Kind::Ip6),
    ("device.ifa", Kind::Word),
    ("device.didsha1", Kind::Word),
    ("device.didmd5", Kind::Word),
    ("device.dpidsha1", Kind::Word),
    ("device.dpidmd5", Kind::Word),
    ("device.macsha1", Kind::Word),
    ("device.macmd5", Kind::Word),
    ("device.ext.idfv", Kind::Word),
    ("ext.session", Kind::Word),
];
/// The ids among them.
const IDS: std::ops::Range<usize> = 0..4;

#[derive(Clone, Copy, Debug)]
enum Kind {
    Word,
    Number,
    Ip4,
    Ip6,
}

/// What may be done, in the words of `docs/privacy.md`.
#[derive(Clone, Copy, Debug)]
struct Allowed {
    target: bool,
    store: bool,
    learn: bool,
    precise_place: bool,
}

const NOTHING: Allowed = Allowed { target: false, store: false, learn: false, precise_place: false };
const EVERYTHING: Allowed = Allowed { target: true, store: true, learn: true, precise_place: true };

impl Allowed {
    /// A TC string that allows this and no more.
    fn consent(self) -> String {
        let without = |allowed: bool, purpose: u32| if allowed { 0 } else { 1 << (purpose - 1) };
        let refused = without(self.target, 4) | without(self.store, 3) | without(self.learn, 10);
        let special_features = u32::from(self.precise_place);
        Tc { purposes: 0x7ff & !refused, special_features, ..Tc::full(VENDOR) }.text()
    }

    /// Whether features may show what stands at a place.
    fn shows(self, place: &str) -> bool {
        let precise = ["city", "zip", "lat", "lon"].iter().any(|end| place.ends_with(end));
        self.target && self.store && self.learn && (self.precise_place || !precise)
    }
}

/// What a request says about its user's data.
#[derive(Clone, Debug)]
struct Said {
    members: Vec<(&'static str, Value)>,
    allowed: Allowed,
}

/// Every way to withhold a basis.
fn withheld() -> Vec<Said> {
    let stranger = Tc { consents: Vendors::only(1), ..Tc::full(VENDOR) }.text();
    let unstored = Tc { purposes: 0x7ff & !1, ..Tc::full(VENDOR) }.text();
    let global = Tc { service_specific: false, ..Tc::full(VENDOR) }.text();
    let undisclosed = Tc { disclosed: Some(Vendors::only(1)), ..Tc::full(VENDOR) }.text();
    let all = EVERYTHING.consent();
    let cut = &all[..all.len() / 2];
    let opted_out = gpp(&[(7, "BVVVAAAAAqA")]);
    let child = gpp(&[(8, "BVVVVVVY")]);
    let european = gpp(&[(2, &stranger)]);
    let canadian = gpp(&[(5, "BPXuQIAPXuQIAAfKABENB-CgAAAAAAAAAAAAAAAA")]);
    let mut ways = vec![
        vec![("regs.coppa", json!(1))],
        vec![("regs.coppa", json!("yes"))],
        vec![("regs.coppa", json!(1)), ("regs.gdpr", json!(1)), ("user.consent", json!(all))],
        vec![("regs.gdpr", json!(1))],
        vec![("regs.ext.gdpr", json!("1"))],
        vec![("regs.gdpr", json!([]))],
        vec![("regs.gdpr", json!(0)), ("regs.ext.gdpr", json!(1))],
        vec![("device.geo.country", json!("DEU"))],
        vec![("user.consent", json!(stranger))],
        vec![("user.consent", json!(all)), ("user.ext.consent", json!(unstored))],
        vec![("regs.gpp", json!(opted_out)), ("regs.gpp_sid", json!([7]))],
        vec![("regs.ext.gpp", json!(opted_out))],
        vec![("regs.gpp", json!(child)), ("regs.gpp_sid", json!([8]))],
        vec![("regs.gpp", json!(european)), ("regs.gpp_sid", json!([2]))],
        vec![("regs.gpp", json!(canadian)), ("regs.gpp_sid", json!([5]))],
        vec![("regs.gpp", json!("DBABLA")), ("regs.gpp_sid", json!([7]))],
        vec![("regs.gpp_sid", json!([7]))],
        vec![("regs.gpp_sid", json!("seven"))],
        vec![("regs.us_privacy", json!("1YYN"))],
        vec![("regs.ext.us_privacy", json!("1YYY"))],
        vec![("regs.us_privacy", json!("1Y"))],
        vec![("regs.us_privacy", json!("1YNN")), ("regs.ext.us_privacy", json!("1YYN"))],
        vec![("regs.ext.gpc", json!(1))],
        vec![("regs.gpc", json!("1"))],
        vec![("device.lmt", json!(1))],
        vec![("device.lmt", json!({}))],
        vec![("device.dnt", json!(1))],
        vec![("device.dnt", json!("1"))],
        vec![("device.dnt", json!(1)), ("user.consent", json!(all))],
    ];
    // `regs` or `regs.ext` that is no object gets no bid at all, and so has nothing to follow.
    for consent in
        [&stranger, &unstored, &global, &undisclosed, cut, "CPc", "-", "COw4XqLOw4XqLAAAAAENAXCAAAAAAAAAAAAA"]
    {
        ways.push(vec![("regs.gdpr", json!(1)), ("user.consent", json!(consent))]);
        ways.push(vec![("regs.ext.gdpr", json!(1)), ("user.ext.consent", json!(consent))]);
    }
    ways.into_iter().map(|members| Said { members, allowed: NOTHING }).collect()
}

fn said() -> impl Strategy<Value = Said> {
    let partial = any::<[bool; 4]>().prop_map(|[target, store, learn, precise_place]| {
        let allowed = Allowed { target, store, learn, precise_place };
        let members = vec![("regs.gdpr", json!(1)), ("user.consent", json!(allowed.consent()))];
        Said { members, allowed }
    });
    let silence = Just(Said { members: Vec::new(), allowed: EVERYTHING });
    prop_oneof![12 => prop::sample::select(withheld()), 5 => partial, 1 => silence]
}

/// One request, and what becomes of its bid.
#[derive(Clone, Debug)]
struct Case {
    seed: u64,
    /// Positions in [`PLACES`].
    places: Vec<usize>,
    said: Said,
    /// The device says in which country it is.
    abroad: bool,
    /// The shop has told of the user.
    known: bool,
    wins: bool,
}

fn case() -> impl Strategy<Value = Case> {
    let all: Vec<usize> = (0..PLACES.len()).collect();
    let places = prop_oneof![Just(all.clone()), prop::sample::subsequence(all, 1..=PLACES.len())];
    (any::<u64>(), places, said(), any::<bool>(), prop::bool::weighted(0.2), prop::bool::weighted(0.8))
        .prop_map(|(seed, places, said, abroad, known, wins)| Case {
            seed,
            places,
            said,
            abroad,
            known,
            wins,
        })
}

/// SplitMix64.
fn scrambled(seed: u64, index: usize) -> u64 {
    let mut value = seed.wrapping_add((index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

impl Case {
    fn marker(&self, index: usize, kind: Kind) -> Value {
        let random = scrambled(self.seed, index);
        match kind {
            Kind::Word => json!(format!("{random:016x}")),
            // A latitude as well as a year; all its digits survive a double.
            Kind::Number => json!(10.0 + ((random % 8_000_000_000_000) | 1) as f64 / 1e11),
            Kind::Ip4 => {
                let [a, b, c, ..] = random.to_le_bytes().map(|byte| 100 + byte % 100);
                json!(format!("71.{a}.{b}.{c}"))
            }
            Kind::Ip6 => {
                let [a, b, c, d] = [0, 16, 32, 48].map(|shift| random >> shift & 0xfff | 0x1000);
                json!(format!("2600:1700:{a:x}:{b:x}:{c:x}:{d:x}:1234:5678"))
            }
        }
    }

    fn add_markers(&self, needles: &mut Needles) {
        for (index, (place, kind)) in PLACES.iter().enumerate() {
            let marker = self.marker(index, *kind);
            match &marker {
                Value::String(word) => needles.add_word(place, word),
                number => {
                    needles.add(place, number.to_string().as_bytes());
                    needles.add_number(place, number.as_f64().unwrap().to_bits());
                }
            }
            if let Some(Ok(address)) = marker.as_str().map(str::parse::<std::net::Ipv6Addr>) {
                needles.add(place, &address.octets());
            }
        }
    }

    /// The id that the exchange's users are known by.
    fn user(&self) -> Option<String> {
        let index = IDS.into_iter().find(|index| self.places.contains(index))?;
        Some(self.marker(index, Kind::Word).as_str().unwrap().to_owned())
    }

    /// The request with markers in the places that are wanted.
    fn request(&self, id: &str, wanted: impl Fn(&str) -> bool) -> Value {
        let mut request = json!({
            "id": id, "at": 2, "cur": ["USD"],
            "imp": [{ "id": "1", "banner": { "w": 300, "h": 250 }, "bidfloor": 0.5, "tagid": "top" }],
            "site": { "domain": "news.example", "page": "https://news.example/a", "keywords": "hiking" },
            "device": { "ua": "Mozilla/5.0", "devicetype": 2, "os": "Linux", "language": "en" },
        });
        if self.abroad {
            put(&mut request, "device.geo", json!({ "country": "USA", "region": "CA" }));
        }
        for &index in &self.places {
            let (place, kind) = PLACES[index];
            if wanted(place) {
                put(&mut request, place, self.marker(index, kind));
                if let Some((source, _)) = place.split_once(".uids") {
                    put(&mut request, &format!("{source}.source"), json!("ids.example"));
                }
            }
        }
        for (place, value) in &self.said.members {
            put(&mut request, place, value.clone());
        }
        request
    }
}

/// Sets what stands at a path such as `user.eids.0.source`; makes the objects and lists on the way.
fn put(mut at: &mut Value, path: &str, value: Value) {
    for step in path.split('.') {
        at = match step.parse::<usize>() {
            Ok(index) => {
                if !at.is_array() {
                    *at = json!([]);
                }
                let list = at.as_array_mut().unwrap();
                list.resize(list.len().max(index + 1), Value::Null);
                &mut list[index]
            }
            Err(_) => &mut at[step],
        };
    }
    *at = value;
}

/// Held by the one test that runs: there is one log.
static ALONE: Mutex<()> = Mutex::new(());
static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Lines;

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Has all that is logged kept, as `haggle serve --log trace` would show it.
fn log_everything() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| tracing_subscriber::fmt().with_env_filter("trace").with_writer(|| Lines).init());
}

const ASKS_EVERYTHING: &str = r#"[targeting]
any = [
  { postcode = ["10"] }, { near = { latitude = 50.0, longitude = 50.0, radius = "5000km" } }, { segment = ["a"] },
  { user_list = ["seen"] }, { hours = [{ days = "mon-sun", from = "08:00", to = "20:00" }] }, { city = ["Reno"] },
  { inventory = ["news.example"] },
]
[[creatives]]"#;

/// A node, and what must not come out of it.
struct Bench {
    rig: Rig,
    needles: Needles,
    /// Records of the journal that have been looked at.
    read: u64,
    cases: u32,
    /// Users of whom there is a profile.
    known: usize,
    /// Users in the journal, and features of users: without them nothing was tested.
    stored: u32,
    learned: u32,
}

impl Bench {
    async fn start(folder: &Path) -> Self {
        write_config(folder);
        for (file, from, to) in [
            (
                "haggle.toml",
                "[[exchange]]\nname = \"demo\"",
                "[[exchange]]\nname = \"ids\"\nuser_ids = [\"eid:ids.example\", \"buyeruid\", \"id\"]",
            ),
            ("haggle.toml", "event_key_file", "tcf_vendor_id = 755\nbid_log_sample = 1.0\nevent_key_file"),
            (
                "haggle.toml",
                "[[exchange]]\nname = \"nurl",
                "[[list]]\nname = \"seen\"\nkind = \"users\"\nfile = \"seen.txt\"\n[[exchange]]\nname = \"nurl",
            ),
            ("campaigns/eager.toml", "daily = \"2.00\"", "daily = \"20000.00\""),
            // It asks for everything that may say something of a user, and bids whatever the answer.
            ("campaigns/eager.toml", "[[creatives]]", ASKS_EVERYTHING),
        ] {
            let file = folder.join(file);
            let text = std::fs::read_to_string(&file).unwrap();
            assert!(text.contains(from), "{from}");
            std::fs::write(&file, text.replacen(from, to, 1)).unwrap();
        }
        std::fs::write(folder.join("seen.txt"), "somebody\n").unwrap();
        let rig = Rig::start(folder, &HandClock::new()).await;
        Self { rig, needles: Needles::default(), read: 0, cases: 0, known: 0, stored: 0, learned: 0 }
    }

    /// Whatever comes back is looked through; gives it, and where it leads.
    async fn fetch(&self, case: &Case, url: &str) -> Result<Option<String>, TestCaseError> {
        // What a browser tells of its user.
        let markers = [Kind::Ip4, Kind::Word, Kind::Word, Kind::Word].into_iter().enumerate();
        let names = ["x-forwarded-for", "cookie", "user-agent", "referer"];
        let mut request = self.rig.client.get(url);
        for ((index, kind), name) in markers.zip(names) {
            request =
                request.insert_header((name, case.marker(100 + index, kind).as_str().unwrap().to_owned()));
        }
        let mut response = request.send().await.unwrap();
        prop_assert!(
            response.status().is_success() || response.status().is_redirection(),
            "{}",
            response.status()
        );
        let head = format!("{:?}", response.headers());
        let body = response.body().await.unwrap();
        prop_assert_eq!(self.needles.find(head.as_bytes()).or(self.needles.find(&body)), None);
        Ok(response.headers().get("location").map(|to| to.to_str().unwrap().to_owned()))
    }

    /// Sends a request until there is a bid on it.
    async fn bid(&self, request: &Value) -> Result<Value, TestCaseError> {
        let body = request.to_string();
        for _ in 0..100 {
            let (status, answer) = self.rig.post(BID, "application/json", &body).await;
            prop_assert_eq!(self.needles.find(answer.as_bytes()), None, "{}", answer);
            if status.as_u16() == 200 {
                return Ok(serde_json::from_str::<Value>(&answer).unwrap()["seatbid"][0]["bid"][0].clone());
            }
            prop_assert_eq!(status.as_u16(), 204, "{} to {}", answer, body);
            self.rig.settle().await;
        }
        Err(TestCaseError::fail(format!("no bid on {body}")))
    }

    /// The shop tells what a user did; waits until that is a profile.
    async fn tell(&mut self, user: &str) {
        let body = json!([{ "user": user, "did": "viewed", "what": "boots" }]).to_string();
        let request = self.rig.client.post(self.rig.url("/events"));
        let request = request.insert_header(("authorization", "Bearer a-key-for-the-tests-only"));
        assert_eq!(request.send_body(body).await.unwrap().status().as_u16(), 204);
        for _ in 0..500 {
            if self.rig.node.state.audience.get(UserKey::of(user), self.rig.clock.now()).is_some() {
                self.known += 1;
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no profile");
    }

    /// Follows a bid to its order, or to its loss.
    async fn follow(&self, case: &Case, bid: &Value) -> TestCaseResult {
        if !case.wins {
            return self.fetch(case, &filled(bid, "lurl", "")).await.map(drop);
        }
        let (click, pixel) = links(bid);
        for url in [filled(bid, "nurl", "1.5"), filled(bid, "burl", "1.5"), pixel] {
            self.fetch(case, &url).await?;
        }
        let page = self.fetch(case, &click).await?.unwrap();
        let token = page.rsplit_once("haggle_click=").unwrap().1;
        let order = self.rig.url(&format!("/n/conv/{token}?value=59.90&order={}", self.cases));
        self.fetch(case, &order).await.map(drop)
    }

    /// The decisions that the journal got since the last time.
    fn decisions(&mut self) -> Vec<Decision> {
        let journal = &self.rig.node.state.journal;
        let end = journal.durable_end();
        let records = journal.read_from(self.read, usize::try_from(end - self.read).unwrap()).unwrap();
        self.read = end;
        records.into_iter().filter_map(|(_, mut record)| record.event.decision_mut().cloned()).collect()
    }

    async fn check(&mut self, case: &Case) -> TestCaseResult {
        self.cases += 1;
        case.add_markers(&mut self.needles);
        for (index, what) in ["forwarded", "cookie", "browser", "page"].into_iter().enumerate() {
            let kind = if index == 0 { Kind::Ip4 } else { Kind::Word };
            self.needles.add_word(what, case.marker(100 + index, kind).as_str().unwrap());
        }
        let allowed = case.said.allowed;
        let user = case.user();
        let stored = user.as_deref().filter(|_| allowed.target && allowed.store);
        let told = user.as_deref().filter(|_| case.known);
        if let Some(user) = stored.or(told) {
            self.needles.allow_user(user);
        }
        if let Some(user) = told {
            self.tell(user).await;
        }
        let without =
            self.bid(&case.request(&format!("w{}", self.cases), |place| allowed.shows(place))).await?;
        let request = case.request(&format!("r{}", self.cases), |_| true);
        let bid = self.bid(&request).await?;
        self.follow(case, &bid).await?;

        // What is no request is refused, and not quoted.
        let text = request.to_string();
        let twice = text.replacen("{\"", "{\"id\":\"1\",\"", 1);
        for broken in [&text[..text.len() - 1], &twice] {
            let (status, answer) = self.rig.post(BID, "application/json", broken).await;
            prop_assert_eq!(status.as_u16(), 400);
            prop_assert_eq!(self.needles.find(answer.as_bytes()), None, "{}", answer);
        }

        let decisions = self.decisions();
        let of = |bid: &Value| -> Vec<&Decision> {
            let id = bid["id"].as_str().unwrap();
            decisions.iter().filter(|decision| decision.bid.to_string() == id).collect()
        };
        let expected = of(&without)[0];
        let found = of(&bid);
        // The bid; the impression, the click and the order.
        prop_assert_eq!(found.len(), if case.wins { 4 } else { 1 });
        for decision in found {
            prop_assert_eq!(decision.user, stored.map(UserKey::of));
            prop_assert_eq!(&decision.features, &expected.features);
        }
        self.stored += u32::from(stored.is_some());
        // Exchange, country or none, site, placement, device, system, language, size, hour, weekday, the page's keyword.
        let of_the_request = 10 + 2 * usize::from(case.abroad);
        self.learned += u32::from(expected.features.len() > of_the_request);
        if !(allowed.target && allowed.store && allowed.learn) {
            let country = case.said.members.iter().any(|(place, _)| *place == "device.geo.country");
            prop_assert_eq!(expected.features.len(), of_the_request + usize::from(country && !case.abroad));
        }

        for index in IDS {
            let id = case.marker(index, Kind::Word);
            let id = id.as_str().unwrap();
            let profiled = self.rig.node.state.audience.get(UserKey::of(id), self.rig.clock.now()).is_some();
            prop_assert_eq!(profiled, told == Some(id));
        }
        let logged = std::mem::take(&mut *LOG.lock().unwrap());
        prop_assert!(!logged.is_empty());
        prop_assert_eq!(self.needles.find(&logged), None);
        Ok(())
    }
}

/// A node at work within `folder`, and what drives it.
fn start(folder: &Path) -> (SystemRunner, Bench) {
    log_everything();
    let system = System::new();
    let bench = system.block_on(Bench::start(folder));
    (system, bench)
}

#[test]
fn what_goes_somewhere_is_found() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let (system, mut bench) = start(folder.path());
    let said = Said { members: Vec::new(), allowed: EVERYTHING };
    let places = (0..PLACES.len()).collect();
    let case = Case { seed: 7, places, said, abroad: true, known: true, wins: true };
    system.block_on(bench.check(&case)).unwrap();
    assert_eq!((bench.stored, bench.learned, bench.known), (1, 1, 1));
    system.block_on(bench.rig.stop());
    let data = folder.path().join("data");
    assert_eq!(bench.needles.find_below(&data), None, "but for what was allowed");
    let mut all = Needles::default();
    case.add_markers(&mut all);
    assert!(all.find_below(&data).is_some_and(|found| found.contains("key")), "in the journal");
    for (index, (place, kind)) in PLACES.iter().enumerate() {
        let line = format!("got {}", case.marker(index, *kind));
        assert!(all.find(line.as_bytes()).is_some(), "{place} in a line of a log");
    }
}

#[test]
fn without_a_basis_nothing_of_a_user_goes_anywhere() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let (system, bench) = start(folder.path());
    tracing::trace!("the least of lines");
    let logged = String::from_utf8(LOG.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("the least of lines"), "the test would not notice");
    let bench = RefCell::new(bench);
    let config = Config { cases: 160, failure_persistence: None, max_shrink_iters: 100, ..Config::default() };
    let checked =
        TestRunner::new(config).run(&case(), |case| system.block_on(bench.borrow_mut().check(&case)));
    checked.unwrap_or_else(|failure| panic!("{failure}"));
    let Bench { rig, needles, known, stored, learned, .. } = bench.into_inner();
    assert!(
        stored > 0 && learned > 0 && known > 0,
        "the test would not notice: {stored}, {learned}, {known}"
    );
    assert_eq!(rig.node.state.audience.len(), known, "only users of whom the shop told");
    assert_eq!(needles.find(system.block_on(rig.metrics()).as_bytes()), None);
    system.block_on(rig.stop());
    assert_eq!(needles.find(&std::mem::take(&mut *LOG.lock().unwrap())), None);
    assert_eq!(needles.find_below(&folder.path().join("data")), None);
}
