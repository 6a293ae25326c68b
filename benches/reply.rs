//! What a request costs between its body and its answer, on a whole node: parse, consent, ranking, money, tokens and markup.
//! Bodies and campaigns are those of `haggle generate`; users are known and the market has been watched. HTTP is not in it.
#![allow(clippy::expect_used, clippy::print_stdout, reason = "a benchmark")]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use haggle::allocator::{Counting, allocations_here};
use haggle::clock::WallClock;
use haggle::config::{self, SettingsLayer};
use haggle::generate::{Requests, VENDOR, write_campaigns};
use haggle::server::{Node, Reply, State, reply};
use haggle_domain::{
    BehaviourKind, BidId, CampaignKey, CpmMicros, Event, ExchangeKey, Micros, Record, Segment, Tag, UserKey,
};
use haggle_strategies::CampaignState;

#[global_allocator]
static ALLOCATOR: Counting<mimalloc::MiMalloc> = Counting(mimalloc::MiMalloc);

/// Of each node.
const CAMPAIGNS: [usize; 3] = [1_000, 10_000, 100_000];
/// Different bodies, so that what they touch is not all in the caches already.
const BODIES: usize = 4_000;
/// Users are known by one in so many bodies.
const KNOWN_ONE_IN: usize = 2;
const EXCHANGE: &str = "bench";

async fn node(folder: &Path, campaigns: usize) -> Node {
    write_campaigns(&folder.join("campaigns"), campaigns, 1, |_| {}).expect("a new folder");
    let settings =
        format!("tcf_vendor_id = {VENDOR}\n[[exchange]]\nname = \"{EXCHANGE}\"\nbill_on = \"burl\"\n");
    std::fs::write(folder.join("haggle.toml"), settings).expect("a folder of ours");
    let layer = SettingsLayer::default()
        .with("listen", "127.0.0.1:0")
        .with("admin_listen", "127.0.0.1:0")
        .with("data", folder.join("data").display().to_string())
        .with("workers", "1");
    let loaded = config::load(Some(&folder.join("haggle.toml")), &layer).expect("good campaigns");
    let node = Node::start(loaded, Arc::new(WallClock::new())).await.expect("free ports");
    node.ready().await;
    node
}

/// What some users did, and what it took to win, through the journal; until the learner shows it and the campaigns have money.
async fn prepare(state: &State, bodies: &[String]) {
    let now = state.clock.now();
    let behaviours = bodies.iter().step_by(KNOWN_ONE_IN).filter_map(|body| {
        let request: serde_json::Value = serde_json::from_str(body).ok()?;
        let user = UserKey::of(request.pointer("/user/buyeruid")?.as_str()?);
        Some(Event::Behaviour { user, did: BehaviourKind::Viewed, what: Tag::of("running shoes") })
    });
    let prices =
        (0..2_000).map(|at| CpmMicros::from_f64_rounded_down((f64::from(at * 17 % 29) / 10.0 - 0.7).exp()));
    let losses = prices.map(|price| Event::Lost {
        bid: BidId { campaign: CampaignKey::default(), lease: 0, number: 0 },
        reserved: Micros::ZERO,
        min_to_win: Some(price),
        ceiling: CpmMicros::ZERO,
        exchange: ExchangeKey::of(EXCHANGE),
        quote: Default::default(),
    });
    let events: Vec<Event> = behaviours.chain(losses).collect();
    for events in events.chunks(500) {
        let record =
            |event: &Event| Record { at: now, campaign: CampaignKey::default(), event: event.clone() };
        while !state.journal.try_append_unacknowledged(events.iter().map(record).collect()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    let is_ready = || {
        let snapshot = state.snapshot.load();
        let live =
            |state| snapshot.catalog.entries().filter(|(_, entry)| entry.live.state() == state).count();
        snapshot.market.curve(ExchangeKey::of(EXCHANGE), Segment::default()).is_some()
            && live(CampaignState::Active) > snapshot.catalog.len() / 2
    };
    while !is_ready() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn answer(state: &State, body: &str) -> Reply {
    reply(state, 0, black_box(body.as_bytes()), Duration::ZERO).expect("a well-formed request")
}

/// Each body once: the share that is bid on, and the allocations of a request.
fn pass(state: &State, bodies: &[String]) -> (f64, f64) {
    let before = allocations_here();
    let bids = bodies.iter().filter(|body| matches!(answer(state, body), Reply::Bids(_))).count();
    let share = |count: f64| count / bodies.len() as f64;
    (share(bids as f64), share((allocations_here() - before) as f64))
}

fn replies(criterion: &mut Criterion) {
    let mut requests = Requests::new(1);
    let bodies: Vec<String> = (0..BODIES).map(|_| requests.next_request()).collect();
    let mut group = criterion.benchmark_group("reply");
    group.throughput(Throughput::Elements(1));
    // A filter spares the nodes of the others, too.
    let wanted = std::env::args().skip(1).find(|word| word.starts_with("reply")).unwrap_or_default();
    for campaigns in CAMPAIGNS {
        let name = format!("{campaigns} campaigns");
        if !format!("reply/{name}").contains(&wanted) {
            continue;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let system = actix_rt::System::new();
        let node = system.block_on(async {
            let node = node(folder.path(), campaigns).await;
            prepare(&node.state, &bodies).await;
            node
        });
        pass(&node.state, &bodies);
        let (bids, allocations) = pass(&node.state, &bodies);
        println!("{name}: {:.0} % bids, {allocations:.1} allocations a request", bids * 100.0);
        let mut next = bodies.iter().cycle();
        group.bench_function(name, |bencher| {
            bencher.iter(|| next.next().map(|body| answer(&node.state, body)));
        });
        system.block_on(async { node.stop().await }).expect("a sound journal");
    }
    group.finish();
}

criterion_group!(benches, replies);
criterion_main!(benches);
