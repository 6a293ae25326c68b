//! The simulator and the server decide alike, line by line: one seeded world through both, in the same virtual days.
//!
//! The node is a whole one behind real sockets, with its journal on disk, its actors and its tokens; only its time is stepped.
//! A line of the log is a request and all of its decision, so it holds what was learned until then, too.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "in a test, a panic is a failure"
)]

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use actix_web::web::Data;
use awc::Client;
use awc::http::StatusCode;
use haggle::config::{self, BillOn, Exchange, Loaded, NoBid, Secret, SettingsLayer};
use haggle::server::{Node, State, Steps};
use haggle::simulate::node_settings;
use haggle::token::TokenKind;
use haggle_domain::{
    BidId, Campaign, CandidatePolicy, Clock, CpmMicros, Decision, Explore, Format, Holdout, Micros,
    NoBidReason, Notice, Pacing, Predicate, Timestamp,
};
use haggle_simulator::drive::{
    Bidder, BidderSettings, Bids, DriveSettings, Faults, Made, Models, Standing, Turns, drive_with,
};
use haggle_simulator::{ShopEvent, SimRequest, WorldSettings};
use haggle_strategies::Committed;
use serde_json::Value;
use tokio::sync::oneshot;

const KEY: &str = "a-key-for-the-tests-only";
const TICK: Duration = Duration::from_secs(1);
const PUBLISH: Duration = Duration::from_secs(300);

/// A clock that shows what it was set to.
struct SetClock(AtomicI64);

impl SetClock {
    fn set(&self, now: Timestamp) {
        self.0.store(now.0, Ordering::Relaxed);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

/// The built-in campaigns that the simulated exchanges ask, made to do all that they can: a holdout, tried values, caps, and small
/// budgets beside large ones.
fn configure(folder: &Path) -> Loaded {
    let layer = SettingsLayer::default()
        .with("listen", "127.0.0.1:0")
        .with("admin_listen", "127.0.0.1:0")
        .with("data", folder.join("data").display().to_string())
        .with("workers", "1")
        // How far a real worker is behind is no matter of virtual time.
        .with("load_shedding", "off")
        .with("tick", "1s")
        .with("drain", "0s")
        .with("bid_log_sample", "0.2")
        .with("log", "error");
    let mut loaded = config::load_built_in(&layer).unwrap();
    loaded.event_key = Some(Secret::new(KEY.to_owned()));
    loaded.exchanges = [("alder", BillOn::Burl), ("birch", BillOn::Nurl)]
        .map(|(name, bill_on)| Exchange {
            no_bid: NoBid::Reason,
            explore_prices: 0.1,
            ..Exchange::new(name.to_owned(), bill_on)
        })
        .into();
    let elsewhere = |campaign: &Campaign| {
        campaign.targeting.all.iter().any(|predicate| matches!(predicate, Predicate::Exchange(_)))
    };
    loaded.campaigns.retain(|campaign| !elsewhere(campaign));
    assert!(loaded.campaigns.len() >= 5, "several campaigns");
    for campaign in &mut loaded.campaigns {
        match &*campaign.id {
            "trail-boots" => campaign.holdout = Holdout::of(0.3),
            "europe-lights" => {
                campaign.explore = Explore { candidates: CandidatePolicy::Thompson, ..Explore::default() };
            }
            "morning-coffee" => campaign.pacing = Pacing::Traffic,
            // A budget that runs out.
            "lamp-flash-sale" => campaign.budget.daily = Some(Micros(150_000)),
            _ => {}
        }
    }
    loaded
}

fn bidder_settings(loaded: &Loaded) -> BidderSettings {
    BidderSettings {
        tick: TICK,
        publish: PUBLISH,
        explore_prices: loaded.exchanges[0].explore_prices,
        ..node_settings(&loaded.settings)
    }
}

fn drive_settings(loaded: &Loaded) -> DriveSettings {
    DriveSettings {
        seed: 20_261_123,
        start: "2026-11-23T00:00:00Z".parse().unwrap(),
        span: Duration::from_secs(30 * 3600),
        measured_from: Duration::ZERO,
        changes: Vec::new(),
        requests_a_day: 4_000.0,
        notice_delay: Duration::from_millis(200),
        world: WorldSettings { users: 400, ..WorldSettings::default() },
        faults: Faults::default(),
        models: Models::default(),
        bidder: bidder_settings(loaded),
    }
}

/// Somebody who bids, and what they decided.
struct Logged<B> {
    bids: B,
    log: Vec<String>,
    clicks: usize,
    orders: usize,
    events: usize,
}

impl<B> Logged<B> {
    fn new(bids: B) -> Self {
        Self { bids, log: Vec::new(), clicks: 0, orders: 0, events: 0 }
    }
}

impl<B: Bids> Bids for Logged<B> {
    fn next_due(&self) -> Timestamp {
        self.bids.next_due()
    }

    fn advance(&mut self, now: Timestamp) {
        self.bids.advance(now);
    }

    fn bid(&mut self, request: &SimRequest, now: Timestamp) -> Result<Made, NoBidReason> {
        let made = self.bids.bid(request, now);
        self.log.push(match &made {
            Ok(made) => format!(
                "{now} {} bids {} for {}: {:?}",
                request.id, made.committed.price.0, made.campaign.id, made.committed.decision
            ),
            Err(reason) => format!("{now} {} {}", request.id, reason.as_str()),
        });
        made
    }

    fn notice(&mut self, notice: Notice, now: Timestamp) {
        self.clicks += usize::from(matches!(notice, Notice::Click { .. }));
        self.orders += usize::from(matches!(notice, Notice::Conversion { .. }));
        self.bids.notice(notice, now);
    }

    fn behaviour(&mut self, events: &[ShopEvent], now: Timestamp) {
        self.events += events.len();
        self.bids.behaviour(events, now);
    }

    fn standings(&self) -> Vec<Standing<'_>> {
        self.bids.standings()
    }

    fn problems(&mut self, is_up: bool, now: Timestamp) -> Vec<String> {
        self.bids.problems(is_up, now)
    }
}

/// Where the notices of a bid go.
struct Links {
    nurl: String,
    burl: Option<String>,
    lurl: String,
    pixel: String,
    click: String,
    /// What the landing page is told.
    order: Option<String>,
}

/// A node, as exchanges, browsers and the shop reach it.
struct OverHttp {
    runtime: actix_rt::Runtime,
    client: Client,
    base: String,
    /// To read what answers do not say: reasons, and what is sealed in tokens.
    state: Data<State>,
    steps: Steps,
    clock: Arc<SetClock>,
    turns: Turns,
    campaigns: Vec<Arc<Campaign>>,
    links: HashMap<BidId, Links>,
}

impl OverHttp {
    fn new(base: String, state: Data<State>, steps: Steps, clock: Arc<SetClock>) -> Self {
        let runtime = actix_rt::Runtime::new().unwrap();
        let client = runtime.block_on(async { Client::builder().disable_redirects().finish() });
        let catalog = Arc::clone(&state.snapshot.load().catalog);
        let campaigns = catalog.entries().map(|(_, entry)| Arc::clone(&entry.campaign)).collect();
        let turns = Turns::new(clock.now(), TICK, PUBLISH);
        let start = clock.now();
        let mut node =
            Self { runtime, client, base, state, steps, clock, turns, campaigns, links: HashMap::new() };
        // Campaigns show themselves once they were ticked.
        node.advance(start);
        node
    }

    fn post(&self, path: &str, body: Vec<u8>) -> (StatusCode, Vec<u8>) {
        let request = self
            .client
            .post(format!("{}{path}", self.base))
            .insert_header(("content-type", "application/json"))
            .insert_header(("authorization", format!("Bearer {KEY}")));
        self.runtime.block_on(async {
            let mut response = request.send_body(body).await.unwrap();
            (response.status(), response.body().await.unwrap().to_vec())
        })
    }

    /// Calls a notice; gives where it leads.
    fn call(&self, url: &str) -> Option<String> {
        let response = self.runtime.block_on(async { self.client.get(url).send().await }).unwrap();
        assert!(response.status().as_u16() < 500, "{url}: {}", response.status());
        response.headers().get("location").map(|to| to.to_str().unwrap().to_owned())
    }

    fn no_bids(&self) -> Vec<u64> {
        NoBidReason::ALL.iter().map(|reason| self.state.metrics.no_bids(*reason)).collect()
    }

    fn made(&mut self, bid: &Value) -> Made {
        let text = |key: &str| bid[key].as_str().map(str::to_owned);
        let markup = text("adm").unwrap();
        let after = |start: &str, nth: usize| {
            let from = markup.match_indices(start).nth(nth).unwrap().0 + start.len();
            markup[from..].split('"').next().unwrap().to_owned()
        };
        let links = Links {
            nurl: text("nurl").unwrap(),
            burl: text("burl"),
            lurl: text("lurl").unwrap(),
            pixel: after("<img src=\"", 1),
            click: after("<a href=\"", 0),
            order: None,
        };
        let decision = self.opened(&links.pixel);
        let campaign = self.campaigns.iter().find(|campaign| campaign.key == decision.bid.campaign);
        let campaign = Arc::clone(campaign.unwrap());
        assert_eq!(text("cid").unwrap(), campaign.id);
        assert_eq!(text("crid").unwrap(), campaign.creatives[usize::from(decision.creative)].id);
        self.links.insert(decision.bid, links);
        let committed = Committed {
            campaign: 0,
            format: Format::Banner,
            duration: 0,
            deal: None,
            price: CpmMicros::parse_rounded_up(&bid["price"].to_string()).unwrap(),
            slot: 0,
            decision,
        };
        Made { committed, campaign }
    }

    fn opened(&self, pixel: &str) -> Decision {
        self.state.sealer.open(TokenKind::Event, pixel.rsplit('/').next().unwrap()).unwrap()
    }
}

impl Bids for OverHttp {
    fn next_due(&self) -> Timestamp {
        self.turns.next(self.steps.next_due())
    }

    fn advance(&mut self, now: Timestamp) {
        while self.next_due() <= now {
            let at = self.next_due();
            self.clock.set(at);
            let publishes = self.turns.take(at);
            self.runtime.block_on(self.steps.step(at, publishes)).unwrap();
        }
    }

    fn bid(&mut self, request: &SimRequest, now: Timestamp) -> Result<Made, NoBidReason> {
        self.clock.set(now);
        self.turns.stir();
        let before = self.no_bids();
        let path = format!("/openrtb2/bid/{}", request.exchange);
        let (status, body) = self.post(&path, request.body());
        let response: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((status, response["id"].as_str()), (StatusCode::OK, Some(&*request.id)), "{response}");
        if response["seatbid"].is_array() {
            return Ok(self.made(&response["seatbid"][0]["bid"][0]));
        }
        let after = self.no_bids();
        let reason = NoBidReason::ALL.iter().zip(before.iter().zip(&after)).find(|(_, (was, is))| was != is);
        let reason = *reason.unwrap().0;
        assert_eq!(response["nbr"].as_u64(), Some(u64::from(reason.code())));
        Err(reason)
    }

    fn notice(&mut self, notice: Notice, now: Timestamp) {
        self.clock.set(now);
        self.turns.stir();
        let links = &self.links[&notice.decision().bid];
        let fill = |url: &str, price: CpmMicros, least: Option<CpmMicros>| {
            let least = least.map_or(String::new(), |least| least.to_string());
            url.replace("${AUCTION_PRICE}", &price.to_string())
                .replace("${AUCTION_MIN_TO_WIN}", &least)
                .replace("${AUCTION_LOSS}", "102")
        };
        match &notice {
            Notice::Won { price, min_to_win, .. } => {
                self.call(&fill(&links.nurl, *price, *min_to_win));
            }
            // Where there is no address for it, the win notice bills.
            Notice::Bill { price, .. } => {
                links.burl.as_ref().map(|url| self.call(&fill(url, *price, None)));
            }
            Notice::Lost { min_to_win, .. } => {
                self.call(&fill(&links.lurl, CpmMicros::ZERO, *min_to_win));
            }
            Notice::Impression { .. } => {
                self.call(&links.pixel);
            }
            Notice::Click { decision } => {
                let page = self.call(&links.click).unwrap();
                let token = page.rsplit_once("haggle_click=").unwrap().1.to_owned();
                self.links.get_mut(&decision.bid).unwrap().order = Some(token);
            }
            Notice::Conversion { revenue, order, .. } => {
                let token = links.order.as_ref().unwrap();
                self.call(&format!("{}/n/conv/{token}?value={revenue}&order={:x}", self.base, order.0));
            }
        }
    }

    fn behaviour(&mut self, events: &[ShopEvent], now: Timestamp) {
        self.clock.set(now);
        self.turns.stir();
        for events in events.chunks(500) {
            let told: Vec<Value> = events.iter().map(ShopEvent::to_json).collect();
            let (status, _) = self.post("/events", Value::from(told).to_string().into_bytes());
            assert_eq!(status, StatusCode::NO_CONTENT);
        }
    }

    fn standings(&self) -> Vec<Standing<'_>> {
        let mut standings = Vec::new();
        for campaign in &self.campaigns {
            let report = *self.state.campaigns.get(campaign.key).unwrap().report().unwrap();
            // What lapsed with its day the node does not say.
            standings.push(Standing { campaign, opened: report.budget, report });
        }
        standings
    }

    fn problems(&mut self, _: bool, _: Timestamp) -> Vec<String> {
        Vec::new()
    }
}

/// The first line that differs, with what came before it.
fn compare(simulator: &[String], server: &[String]) -> Result<(), String> {
    let differs = simulator.iter().zip(server).position(|(one, other)| one != other);
    let Some(at) = differs.or((simulator.len() != server.len()).then_some(simulator.len().min(server.len())))
    else {
        return Ok(());
    };
    let line = |log: &[String]| log.get(at).cloned().unwrap_or_else(|| "nothing".to_owned());
    let before = simulator[at.saturating_sub(5)..at].join("\n  ");
    Err(format!(
        "line {at} differs; before it\n  {before}\nthe simulator says\n  {}\nand the server\n  {}",
        line(simulator),
        line(server)
    ))
}

/// The campaigns' books, after the last notices.
fn books(bids: &mut impl Bids, end: Timestamp) -> Vec<String> {
    bids.advance(end + 10 * TICK);
    let standings = bids.standings();
    standings.iter().map(|it| format!("{}: {:?}", it.campaign.id, it.report)).collect()
}

#[test]
fn the_simulator_and_the_server_decide_alike_line_by_line() {
    let folder = tempfile::tempdir().unwrap();
    let loaded = configure(folder.path());
    let settings = drive_settings(&loaded);

    let bidder = Bidder::new(loaded.campaigns.clone(), settings.bidder, false, settings.start);
    let mut simulator = Logged::new(bidder);
    let simulated = drive_with(&settings, &mut simulator, &mut || true);
    let end = settings.start + settings.span;
    let kept = books(&mut simulator, end);

    let clock = Arc::new(SetClock(AtomicI64::new(settings.start.0)));
    let (served, server, kept_by_server) = actix_rt::System::new().block_on(async move {
        let (node, steps) = Node::start_stepped(loaded, Arc::clone(&clock) as Arc<dyn Clock>).await.unwrap();
        let (base, state) = (format!("http://{}", node.address), node.state.clone());
        let (done, finished) = oneshot::channel();
        // The world goes on a thread of its own, and waits there for each answer.
        let world = std::thread::spawn(move || {
            let mut server = Logged::new(OverHttp::new(base, state, steps, clock));
            let outcome = drive_with(&settings, &mut server, &mut || true);
            let kept = books(&mut server, end);
            let _ = done.send((outcome, server.log, kept));
        });
        let finished = finished.await;
        world.join().unwrap();
        node.stop().await.unwrap();
        finished.unwrap()
    });

    let bids = simulator.log.iter().filter(|line| line.contains(" bids ")).count();
    eprintln!(
        "{} requests, {bids} bids, {} clicks, {} orders, {} shop events, no bids {:?}\n{}",
        simulator.log.len(),
        simulator.clicks,
        simulator.orders,
        simulator.events,
        simulated.no_bids,
        kept.join("\n"),
    );
    if let Err(difference) = compare(&simulator.log, &server) {
        panic!("{difference}");
    }
    assert_eq!(kept, kept_by_server);
    assert_eq!(simulated.no_bids, served.no_bids);
    assert_eq!(simulated.problems, Vec::<String>::new());
    // All that there is to decide alike was there.
    let has = |what: &str| simulator.log.iter().any(|line| line.contains(what));
    assert!(simulator.log.len() > 3_000 && bids > 800 && simulator.clicks > 20 && simulator.orders > 0);
    let refused =
        |reason: NoBidReason| simulator.log.iter().filter(|it| it.ends_with(reason.as_str())).count();
    assert!(refused(NoBidReason::Holdout) > 20 && refused(NoBidReason::BudgetExhausted) > 20);
    for what in [" holdout", " frequency", "explored: Some", "propensity: Some", "user: Some", "user: None"] {
        assert!(has(what), "{what}");
    }
    // And a difference would have been found.
    let mut changed = server;
    changed[1_000].push('.');
    assert!(compare(&simulator.log, &changed).unwrap_err().starts_with("line 1000 differs"));
}
