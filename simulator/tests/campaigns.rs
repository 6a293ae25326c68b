//! The example campaigns against the world they are made for: a whole day, bid by somebody who knows the truth.
//!
//! This is no bidder, only a ruler: it says whether the budgets, goals and targetings in `config/campaigns` give a
//! demo in which every campaign has something to do and the small budgets run out. To tune them, read the table it
//! prints: `cargo test -p haggle-simulator --test campaigns -- --nocapture`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test stops at the first surprise"
)]

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use haggle_domain::{AuctionType, CpmMicros, Place, Timestamp};
use haggle_simulator::{
    SHOP_DOMAIN, ShopEvent, SimAd, SimBid, SimRequest, World, WorldSettings, traffic_share,
};
use serde_json::Value;

/// Those that the demo's exchanges ask: the others name the exchange that they are for.
fn campaigns() -> Vec<toml::Table> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/campaigns");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path| std::fs::read_to_string(path).unwrap().parse().unwrap();
    paths.iter().map(read).filter(|campaign| !names_an_exchange(campaign)).collect()
}

fn names_an_exchange(campaign: &toml::Table) -> bool {
    let all = campaign["targeting"].get("all").and_then(toml::Value::as_array);
    all.is_some_and(|all| all.iter().any(|predicate| predicate.get("exchange").is_some()))
}

fn text<'a>(table: &'a toml::Table, key: &str) -> &'a str {
    table[key].as_str().unwrap()
}

fn amount(value: &toml::Value) -> f64 {
    value.as_str().map_or_else(|| value.as_float().unwrap(), |text| text.parse().unwrap())
}

fn size(creative: &toml::Table) -> (u16, u16) {
    let side = |key: &str| u16::try_from(creative[key].as_integer().unwrap()).unwrap();
    (side("width"), side("height"))
}

fn creatives(campaign: &toml::Table) -> impl Iterator<Item = &toml::Table> {
    campaign["creatives"].as_array().unwrap().iter().map(|creative| creative.as_table().unwrap())
}

fn ad(campaign: &toml::Table, creative: &toml::Table) -> SimAd {
    let (width, height) = size(creative);
    SimAd {
        campaign_id: text(campaign, "id").to_owned(),
        creative_id: text(creative, "id").to_owned(),
        category: campaign["categories"][0].as_str().unwrap().to_owned(),
        landing: text(creative, "landing").to_owned(),
        width,
        height,
    }
}

type Audience = HashSet<(String, String, String)>;

/// The request's words that predicates ask about.
struct Seen {
    user: Option<String>,
    place: Option<Place>,
    words: HashMap<&'static str, Vec<String>>,
}

impl Seen {
    fn of(body: &Value) -> Self {
        let basis = body["regs"]["gdpr"] != 1 && body["device"]["lmt"] != 1 && body["device"]["dnt"] != 1;
        let place = if body["app"].is_object() { &body["app"] } else { &body["site"] };
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let list = |value: &Value| word(value).split(',').map(str::to_owned).collect::<Vec<_>>();
        let mut interests = list(&place["keywords"]);
        interests.extend(place["cat"].as_array().unwrap().iter().map(word));
        if basis {
            interests.extend(list(&body["user"]["keywords"]));
            let segments = body["user"]["data"][0]["segment"].as_array().unwrap();
            interests.extend(segments.iter().map(|segment| word(&segment["id"])));
        }
        let device = match body["device"]["devicetype"].as_u64() {
            Some(2) => "computer",
            Some(4) => "phone",
            _ => "tablet",
        };
        let geo = &body["device"]["geo"];
        let inventory = if body["app"].is_object() { &place["bundle"] } else { &place["domain"] };
        let words = HashMap::from([
            ("country", vec![word(&geo["country"])]),
            ("region", vec![word(&geo["region"])]),
            ("city", vec![word(&geo["city"])]),
            ("language", vec![word(&body["device"]["language"])]),
            ("inventory", vec![word(inventory)]),
            ("device", vec![device.to_owned()]),
            ("interest", interests),
            ("category", place["cat"].as_array().unwrap().iter().map(word).collect()),
        ]);
        let degrees = geo["lat"].as_f64().zip(geo["lon"].as_f64());
        let place = degrees.and_then(|(north, east)| Place::from_degrees(north, east));
        Self { place, user: basis.then(|| word(&body["user"]["buyeruid"])), words }
    }

    fn holds(&self, predicate: &toml::Value, audience: &Audience) -> bool {
        let (kind, wanted) = predicate.as_table().unwrap().iter().next().unwrap();
        if kind == "behaviour" {
            let act = |key: &str| wanted[key].as_str().unwrap().to_owned();
            return self
                .user
                .as_ref()
                .is_some_and(|user| audience.contains(&(user.clone(), act("did"), act("what"))));
        }
        if kind == "near" {
            let degrees = |key: &str| wanted[key].as_float().unwrap();
            let centre = Place::from_degrees(degrees("latitude"), degrees("longitude")).unwrap();
            let kilometres: f64 = wanted["radius"].as_str().unwrap().trim_end_matches("km").parse().unwrap();
            return self.place.is_some_and(|place| place.metres_to(centre) <= kilometres * 1000.0);
        }
        let wanted = wanted.as_array().unwrap();
        let words = self.words.get(kind.as_str()).expect("a predicate that this test knows");
        wanted
            .iter()
            .any(|wanted| words.iter().any(|word| word.eq_ignore_ascii_case(wanted.as_str().unwrap())))
    }

    fn matches(&self, campaign: &toml::Table, audience: &Audience) -> bool {
        let part = |name: &str| {
            campaign["targeting"].get(name).and_then(toml::Value::as_array).map_or(&[][..], Vec::as_slice)
        };
        let holds = |predicate: &toml::Value| self.holds(predicate, audience);
        part("all").iter().all(holds)
            && (part("any").is_empty() || part("any").iter().any(holds))
            && !part("none").iter().any(holds)
    }
}

fn note(audience: &mut Audience, events: Vec<ShopEvent>) {
    for event in events {
        let did = format!("{:?}", event.kind).to_lowercase();
        audience.insert((event.user_id, did, event.what.to_owned()));
    }
}

#[derive(Default, Debug)]
struct Tally {
    matched: u32,
    bids: u32,
    impressions: u32,
    clicks: u32,
    orders: u32,
    spent: f64,
    revenue: f64,
    value: f64,
    spent_out_at: Option<f64>,
}

/// What showing the ad is worth, in units per thousand.
fn worth(world: &World, request: &SimRequest, campaign: &toml::Table, ad: &SimAd) -> f64 {
    let click = world.truth().click_probability(request, ad);
    let order = click * world.truth().order_probability(request, ad);
    let goal = campaign["goal"].as_table().unwrap();
    let (kind, terms) = goal.iter().next().unwrap();
    match kind.as_str() {
        "cpm" => amount(&terms["price"]),
        "cpc" => click * amount(&terms["max"]) * 1000.0,
        "cpa" => order * amount(&terms["target"]) * 1000.0,
        "roas" => order * amount(&terms["order_value"]) / amount(&terms["target"]) * 1000.0,
        other => panic!("no goal is called {other}"),
    }
}

/// Bids a day of `count` requests; the share of requests that got a bid comes with the tallies.
fn run_day(count: u32) -> (f64, HashMap<String, Tally>) {
    let start: Timestamp = "2026-11-23T00:00:00Z".parse().unwrap();
    let mut world = World::new(1, start, WorldSettings::default());
    let campaigns = campaigns();
    let mut tallies: HashMap<String, Tally> = HashMap::new();
    let mut audience = Audience::new();
    let (mut now, mut bids, mut passed) = (start, 0, 0.0);
    for _ in 0..count {
        let share = traffic_share(now);
        now = now + Duration::from_secs_f64(86_400.0 / f64::from(count) / share);
        passed += 1.0 / f64::from(count);
        note(&mut audience, world.next_shop_events(now));
        let request = world.next_request(now);
        let body: Value = serde_json::from_slice(&request.body()).unwrap();
        let Some(offered) = body["imp"][0]["banner"]["format"].as_array() else {
            continue;
        };
        let seen = Seen::of(&body);
        let mut best: Option<(f64, &toml::Table, SimAd)> = None;
        for campaign in &campaigns {
            if !seen.matches(campaign, &audience) {
                continue;
            }
            let tally = tallies.entry(text(campaign, "id").to_owned()).or_default();
            tally.matched += 1;
            let daily = amount(&campaign["budget"]["daily"]);
            let plan = if text(campaign, "pacing") == "asap" { daily } else { daily * passed };
            if tally.spent >= plan {
                if tally.spent >= daily {
                    tally.spent_out_at.get_or_insert(passed * 24.0);
                }
                continue;
            }
            for creative in creatives(campaign) {
                let (w, h) = size(creative);
                if !offered.iter().any(|offer| offer["w"] == w && offer["h"] == h) {
                    continue;
                }
                let ad = ad(campaign, creative);
                let value = worth(&world, &request, campaign, &ad).min(amount(&campaign["max_bid_cpm"]));
                if best.as_ref().is_none_or(|(most, _, _)| value > *most) {
                    best = Some((value, campaign, ad));
                }
            }
        }
        let Some((value, campaign, ad)) = best else {
            continue;
        };
        let shade = if request.auction == AuctionType::First { 0.75 } else { 1.0 };
        let price = CpmMicros::from_f64_rounded_down(value * shade);
        if price < request.floor {
            continue;
        }
        bids += 1;
        let tally = tallies.get_mut(&ad.campaign_id).unwrap();
        tally.bids += 1;
        tally.value += value;
        let bid = SimBid {
            imp_id: request.imp_id.to_owned(),
            price,
            creative_id: ad.creative_id.clone(),
            advertiser_domains: vec![text(campaign, "advertiser_domain").to_owned()],
            categories: vec![ad.category.clone()],
            width: ad.width,
            height: ad.height,
            has_markup: true,
            deal_id: String::new(),
        };
        let outcome = world.auction(&request, Some(&bid));
        if outcome.won {
            tally.spent += outcome.clearing.to_f64() / 1000.0;
            let aftermath = world.after_win(&request, &ad, now);
            tally.impressions += u32::from(aftermath.rendered);
            tally.clicks += u32::from(aftermath.click.is_some());
            if let Some(order) = aftermath.order {
                tally.orders += 1;
                tally.revenue += order.value.to_f64();
            }
        }
    }
    (f64::from(bids) / f64::from(count), tallies)
}

#[test]
fn a_demo_day_keeps_every_campaign_busy_and_runs_small_budgets_out() {
    let (bid_share, tallies) = run_day(24_000);
    println!("bid on {bid_share:.3} of the requests");
    for (id, it) in &tallies {
        println!(
            "{id:16} matched {:6} bids {:6} at {:5.2} shown {:5} clicks {:4} ({:.4}) orders {:3} spent {:.3} \
             revenue {:.2} out at {:?}",
            it.matched,
            it.bids,
            it.value / f64::from(it.bids.max(1)),
            it.impressions,
            it.clicks,
            f64::from(it.clicks) / f64::from(it.impressions.max(1)),
            it.orders,
            it.spent,
            it.revenue,
            it.spent_out_at,
        );
    }
    assert_eq!(tallies.len(), 6, "every campaign matches something");
    assert!((0.25..0.75).contains(&bid_share), "bid on {bid_share} of the requests");
    for (id, tally) in &tallies {
        assert!(tally.impressions >= 100, "{id} showed {} ads", tally.impressions);
        assert!(tally.clicks >= 5, "{id} got {} clicks", tally.clicks);
    }
    let flash = tallies["lamp-flash-sale"].spent_out_at.expect("the flash sale's budget runs out");
    assert!((2.0..18.0).contains(&flash), "the flash sale ran out at {flash} o'clock");
    assert!(tallies["europe-lights"].spent > 0.5, "the small even budget is nearly spent");
    let orders: u32 = tallies.values().map(|tally| tally.orders).sum();
    assert!(orders >= 8, "{orders} orders");
}

#[test]
fn the_examples_cover_what_they_teach_and_their_creatives_differ() {
    let campaigns = campaigns();
    assert_eq!(campaigns.len(), 6);
    let goal = |campaign: &toml::Table| campaign["goal"].as_table().unwrap().keys().next().unwrap().clone();
    let goals: HashSet<String> = campaigns.iter().map(goal).collect();
    assert_eq!(goals, ["cpm", "cpc", "cpa", "roas"].map(str::to_owned).into());
    assert!(campaigns.iter().any(|campaign| campaign.contains_key("dayparts")));

    let start: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
    let mut world = World::new(1, start, WorldSettings::default());
    let requests: Vec<SimRequest> = (0..2000).map(|_| world.next_request(start)).collect();
    for campaign in &campaigns {
        assert_eq!(text(campaign, "advertiser_domain"), SHOP_DOMAIN);
        assert!((2..=4).contains(&creatives(campaign).count()));
        // Two of one size, told apart by nothing but how people like them.
        let mut rates: Vec<f64> = creatives(campaign)
            .filter(|creative| size(creative) == (300, 250))
            .map(|creative| {
                let ad = ad(campaign, creative);
                requests.iter().map(|it| world.truth().click_probability(it, &ad)).sum::<f64>() / 2000.0
            })
            .collect();
        rates.sort_by(f64::total_cmp);
        println!("{} {rates:?}", text(campaign, "id"));
        assert_eq!(rates.len(), 2);
        assert!(rates[1] > 1.5 * rates[0], "{}: {rates:?}", text(campaign, "id"));
    }
}
