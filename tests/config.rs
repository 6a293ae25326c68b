//! What a user sees of the configuration: what is shipped loads, who wins, and what each mistake is told as.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests"
)]

#[path = "config/creatives.rs"]
mod creatives;
#[path = "config/explore.rs"]
mod explore;
#[path = "config/frequency.rs"]
mod frequency;
#[path = "config/holdout.rs"]
mod holdout;
#[path = "config/rates.rs"]
mod rates;
#[path = "config/targeting.rs"]
mod targeting;

use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;
use haggle::config::{self, BillOn, Loaded, NoBid, SETTINGS, SettingsLayer, explain};
use haggle_domain::{Control, Pacing, Tag};
use haggle_openrtb::UserId;
use proptest::prelude::*;
use tempfile::TempDir;

const GOOD: &str = r#"
id = "spring-hiking"
name = "Hiking boots, spring"
advertiser_domain = "shop.example"
categories = ["IAB20"]
timezone = "America/New_York"
pacing = "even"
max_bid_cpm = "12.00"
goal = { cpc = { max = "0.60" } }
budget = { daily = "40.00", total = "400.00" }
flight = { start = "2026-01-01T00:00:00Z", end = "2027-12-31T00:00:00Z" }
dayparts = [ { days = "mon-fri", from = "06:00", to = "24:00" } ]
[targeting]
all  = [ { country = ["USA", "CAN"] }, { device = ["phone", "tablet", "computer", "tv", "out_of_home"] } ]
any  = [ { interest = ["IAB20", "hiking"] }, { behaviour = { did = "viewed", what = "boots", within = "7d" } } ]
none = [ { inventory = ["news.example"] }, { exchange = ["one"] }, { os = ["tizen"] }, { language = ["fr"] } ]
[[creatives]]
id = "boots-300x250-a"
width = 300
height = 250
image = "https://cdn.shop.example/boots-a.jpg"
landing = "https://shop.example/boots"
title = "Boots for spring trails"
"#;

const SERVER: &str = "[[exchange]]\nname = \"one\"\nbill_on = \"burl\"\n";

/// A directory with a server's file and campaigns.
fn place(server: &str, campaigns: &[&str]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("haggle.toml"), server).unwrap();
    fs::create_dir(dir.path().join("campaigns")).unwrap();
    for (index, text) in campaigns.iter().enumerate() {
        fs::write(dir.path().join(format!("campaigns/{index}.toml")), text).unwrap();
    }
    dir
}

fn load_with(server: &str, campaigns: &[&str], given: &SettingsLayer) -> Result<Loaded, String> {
    let dir = place(server, campaigns);
    let prefix = format!("{}/", dir.path().display());
    config::load(Some(&dir.path().join("haggle.toml")), given)
        .map_err(|errors| errors.to_string().replace(&prefix, ""))
}

fn load(server: &str, campaigns: &[&str]) -> Result<Loaded, String> {
    load_with(server, campaigns, &SettingsLayer::default())
}

/// What the good campaign with one change is told.
fn campaign_error(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from:?} is in the example");
    load(SERVER, &[&GOOD.replacen(from, to, 1)]).expect_err("a mistake")
}

fn line_of(text: &str, part: &str) -> usize {
    text.lines().position(|line| line.contains(part)).unwrap() + 1
}

#[test]
fn the_documented_example_loads() {
    let loaded = load(SERVER, &[GOOD]).unwrap();
    let campaign = &loaded.campaigns[0];
    assert_eq!((campaign.id.as_str(), campaign.creatives.len()), ("spring-hiking", 1));
    assert_eq!(campaign.budget.daily.unwrap().to_string(), "40.00");
    assert_eq!(campaign.dayparts[0].to_minute, 1440);
    assert_eq!(
        (campaign.targeting.all.len(), campaign.targeting.any.len(), campaign.targeting.none.len()),
        (2, 2, 4)
    );
    assert_eq!(loaded.exchanges[0].bill_on, BillOn::Burl);
}

#[test]
fn a_campaign_says_what_it_advertises_in_which_language_and_under_which_deals() {
    let more = "categories = [\"7:483\", \"IAB20-9\", \"6:JLBCU7\", \"1:IAB17\"]\napp_bundle = \"example.shop\"\n\
                language = \"EN\"\ndeals = [\"deal-1\", \"Deal 2\"]";
    let loaded = load(SERVER, &[&GOOD.replace("categories = [\"IAB20\"]", more)]).unwrap();
    let campaign = &loaded.campaigns[0];
    let categories: Vec<_> = campaign.categories.iter().map(|it| (it.taxonomy, it.code.as_str())).collect();
    assert_eq!(categories, [(1, "IAB20-9"), (1, "IAB17"), (7, "483"), (6, "JLBCU7")], "taxonomy 1.0 first");
    assert_eq!((campaign.app_bundle.as_str(), campaign.language.as_str()), ("example.shop", "en"));
    assert_eq!(campaign.deals, [Tag::exactly("deal-1"), Tag::exactly("Deal 2")]);
    let plain = &load(SERVER, &[GOOD]).unwrap().campaigns[0];
    assert!(plain.app_bundle.is_empty() && plain.language.is_empty() && plain.deals.is_empty());
}

#[test]
fn exchanges_say_how_they_are_answered_and_where_users_stand() {
    let plain = &load(SERVER, &[]).unwrap().exchanges[0];
    assert_eq!((plain.no_bid, plain.domain.as_deref()), (NoBid::Empty, None));
    assert_eq!(plain.user_ids, [UserId::Buyeruid, UserId::Id]);
    let more =
        "no_bid = \"reason\"\nuser_ids = [\"eid:ids.example\", \"id\"]\ndomain = \"exchange.example\"\n";
    let loaded = load(&format!("{SERVER}{more}"), &[]).unwrap();
    let exchange = &loaded.exchanges[0];
    assert_eq!((exchange.no_bid, exchange.domain.as_deref()), (NoBid::Reason, Some("exchange.example")));
    assert_eq!(exchange.user_ids, [UserId::Extended("ids.example".to_owned()), UserId::Id]);
    let text = explain::explain(&loaded);
    let row = text.lines().find(|line| line.trim_start().starts_with("one ")).unwrap();
    for part in ["billed on burl", "no bid: reason", "users by eid:ids.example, id", "exchange.example"] {
        assert!(row.contains(part), "{part} not in {row}");
    }
    let nobody = load(&format!("{SERVER}user_ids = []\n"), &[]).unwrap();
    assert!(explain::explain(&nobody).contains("users not read"));
}

#[test]
fn every_goal_can_be_set() {
    for goal in [
        "{ cpm = { price = \"4.00\" } }",
        "{ vcpm = { price = \"4.00\" } }",
        "{ reach = { price = \"4.00\" } }",
        "{ reach = { price = \"4.00\", repeat = 0.5, within = \"7d\" } }",
        "{ roas = { target = 1, order_value = \"70.00\", margin = 0.35 } }",
        "{ cpm = { price = \"4.00\" } }\nlimits = { max_cpc = \"0.80\", target_cpa = \"20.00\" }",
        "{ cpc = { max = \"0.40\" } }\nlimits = { target_roas = 4.0, order_value = \"70.00\" }",
        "{ cpa = { target = \"18.00\" } }",
        "{ roas = { target = 4, order_value = \"70.00\" } }",
        "{ roas = { target = 0.5, order_value = \"70.00\" } }",
    ] {
        let text = GOOD.replace("{ cpc = { max = \"0.60\" } }", goal);
        assert!(load(SERVER, &[&text]).is_ok(), "{goal}");
    }
}

#[test]
fn pacing_is_a_curve_and_a_control() {
    let mut hours = [1; 24];
    hours[20] = 1_000;
    for (written, pacing, control) in [
        ("\"asap\"", Pacing::Asap, Control::Dual),
        ("\"ahead\"", Pacing::Ahead, Control::Dual),
        ("{ control = \"throttle\" }", Pacing::Even, Control::Throttle),
        ("{ curve = \"traffic\", control = \"pid\" }", Pacing::Traffic, Control::Pid),
        (
            "{ curve = [1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1000,1,1,1] }",
            Pacing::Hours(hours),
            Control::Dual,
        ),
    ] {
        let text = GOOD.replace("pacing = \"even\"", &format!("pacing = {written}"));
        let loaded = load(SERVER, &[&text]).unwrap();
        let campaign = &loaded.campaigns[0];
        assert_eq!((campaign.pacing, campaign.control), (pacing, control), "{written}");
    }
}

#[test]
fn each_mistake_in_a_campaign_is_named_with_its_line_and_what_to_do() {
    // What is changed, into what, the key that is named, and what the message says.
    let mistakes = [
        ("name =", "naem =", "naem", "unknown key; did you mean name?"),
        ("pacing = \"even\"", "colour = 1", "colour", "unknown key; the keys here are id, name"),
        (
            "pacing = \"even\"",
            "pacing = \"slow\"",
            "pacing",
            "\"slow\" is none of \"even\", \"asap\", \"ahead\", \"traffic\"",
        ),
        ("pacing = \"even\"", "pacing = 3", "pacing", "must be a text in quotes"),
        (
            "pacing = \"even\"",
            "pacing = { shape = \"even\" }",
            "pacing.shape",
            "unknown key; the keys here are curve",
        ),
        (
            "pacing = \"even\"",
            "pacing = { control = \"brake\" }",
            "pacing.control",
            "\"brake\" is none of \"dual\", \"pid\", \"throttle\"",
        ),
        (
            "pacing = \"even\"",
            "pacing = { curve = \"asap\", control = \"pid\" }",
            "pacing.control",
            "has nothing to do where all is spent as soon as possible",
        ),
        ("pacing = \"even\"", "pacing = { curve = [1, 2] }", "pacing.curve", "has 2 numbers, must have 24"),
        (
            "pacing = \"even\"",
            "pacing = { curve = [1, -2] }",
            "pacing.curve[1]",
            "is -2, must be a whole number from 0 to 1000",
        ),
        (
            "pacing = \"even\"",
            "pacing = { curve = [0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0] }",
            "pacing.curve",
            "gives no hour any money",
        ),
        (
            "daily = \"40.00\"",
            "daily = \"-40.00\"",
            "budget.daily",
            "-40.00 is negative; write an amount above zero",
        ),
        ("daily = \"40.00\"", "daily = \"0\"", "budget.daily", "is zero"),
        (
            "daily = \"40.00\"",
            "daily = 40.5",
            "budget.daily",
            "money is written as text, so that no rounding touches it; quote it: \"40.5\"",
        ),
        ("daily = \"40.00\"", "daily = 40", "budget.daily", "quote it: \"40\""),
        ("daily = \"40.00\"", "daily = \"forty\"", "budget.daily", "\"forty\" is not a decimal amount"),
        ("daily = \"40.00\"", "daily = \"1.0000001\"", "budget.daily", "more than 6 digits"),
        ("total = \"400.00\"", "total = \"4.00\"", "budget.total", "4.00 is less than one day's 40.00"),
        ("{ daily = \"40.00\", total = \"400.00\" }", "{}", "budget", "has neither daily nor total"),
        ("max_bid_cpm = \"12.00\"", "max_bid_cpm = \"0.00\"", "max_bid_cpm", "is zero"),
        ("max = \"0.60\"", "max = \"-1\"", "goal.cpc.max", "is negative"),
        (
            "{ cpc = { max = \"0.60\" } }",
            "{ roas = { target = 0.0, order_value = \"70.00\" } }",
            "goal.roas.target",
            "must be a number from 0.001 to 10000",
        ),
        (
            "{ cpc = { max = \"0.60\" } }",
            "{ roas = { target = \"4\", order_value = \"70.00\" } }",
            "goal.roas.target",
            "without quotes",
        ),
        (
            "{ cpc = { max = \"0.60\" } }",
            "{ cpc = { max = \"1\" }, cpm = { price = \"1\" } }",
            "goal",
            "must have exactly one of",
        ),
        (
            "{ cpc = { max = \"0.60\" } }",
            "{ roas = { target = 2, order_value = \"70.00\", margin = 35 } }",
            "goal.roas.margin",
            "must be a number above 0 and at most 1",
        ),
        (
            "{ cpc = { max = \"0.60\" } }",
            "{ reach = { price = \"4.00\", repeat = 1 } }",
            "goal.reach.repeat",
            "must be a number from 0 to 0.9",
        ),
        (
            "{ cpc = { max = \"0.60\" } }",
            "{ reach = { price = \"4.00\", within = \"1y\" } }",
            "goal.reach.within",
            "is not a span of time",
        ),
        ("{ cpc = { max = \"0.60\" } }", "{ vcpm = { price = \"0\" } }", "goal.vcpm.price", "is zero"),
        ("pacing = \"even\"", "limits = {}", "limits", "has none of max_cpc, target_cpa and target_roas"),
        ("pacing = \"even\"", "limits = { max_cpa = \"2\" }", "limits.max_cpa", "unknown key"),
        (
            "pacing = \"even\"",
            "limits = { max_cpc = \"0.80\" }",
            "limits.max_cpc",
            "says again what goal.cpc.max does",
        ),
        (
            "pacing = \"even\"",
            "limits = { target_roas = 4.0 }",
            "limits.target_roas",
            "needs to know what an order brings",
        ),
        (
            "pacing = \"even\"",
            "limits = { target_cpa = \"20.00\", order_value = \"70.00\" }",
            "limits.order_value",
            "is only for target_roas",
        ),
        (
            "{ cpc = { max = \"0.60\" } }",
            "{ roass = { max = \"1\" } }",
            "goal.roass",
            "unknown key; did you mean roas?",
        ),
        (
            "end = \"2027-12-31T00:00:00Z\"",
            "end = \"2025-12-31T00:00:00Z\"",
            "flight.end",
            "the flight ends (2025-12-31T00:00:00Z) before it begins (2026-01-01T00:00:00Z)",
        ),
        (
            "end = \"2027-12-31T00:00:00Z\"",
            "end = \"soon\"",
            "flight.end",
            "\"soon\" is not a time; write it like",
        ),
        (
            "\"USA\"",
            "\"US\"",
            "targeting.all[0].country[0]",
            "\"US\" has two letters, but bid requests name countries with three; write \"USA\"",
        ),
        ("\"USA\"", "\"Canada\"", "targeting.all[0].country[0]", "is not a country"),
        ("\"phone\"", "\"fridge\"", "targeting.all[1].device[0]", "\"fridge\" is none of \"phone\""),
        ("[\"fr\"]", "[\"french\"]", "targeting.none[3].language[0]", "two-letter ISO 639-1"),
        ("[\"fr\"]", "[]", "targeting.none[3].language", "is empty, so it would never hold"),
        (
            "{ exchange = [\"one\"] }",
            "{ exchange = [\"two\"] }",
            "targeting.none[1].exchange[0]",
            "\"two\" is no configured exchange; there are: one",
        ),
        (
            "{ os = [\"tizen\"] }",
            "{ os = [\"a\"], city = [\"b\"] }",
            "targeting.none[2]",
            "has 2 keys, must have one",
        ),
        ("{ os = [\"tizen\"] }", "{ oss = [\"a\"] }", "targeting.none[2].oss", "did you mean os?"),
        ("did = \"viewed\"", "did = \"seen\"", "targeting.any[1].behaviour.did", "\"seen\" is none of"),
        (
            "within = \"7d\"",
            "within = \"7\"",
            "targeting.any[1].behaviour.within",
            "\"7\" has no unit; write \"7ms\"",
        ),
        ("within = \"7d\"", "within = \"0d\"", "targeting.any[1].behaviour.within", "is zero"),
        (
            "within = \"7d\"",
            "within = \"7d\", at_least = 0",
            "targeting.any[1].behaviour.at_least",
            "is 0, must be a whole number from 1",
        ),
        ("from = \"06:00\"", "from = \"24:00\"", "dayparts[0].to", "is not after from"),
        ("to = \"24:00\"", "to = \"24:01\"", "dayparts[0].to", "is not a time of day"),
        ("\"mon-fri\"", "\"workdays\"", "dayparts[0].days", "does not name days"),
        ("America/New_York", "New York", "timezone", "is not a time zone; write its IANA name"),
        (
            "[\"IAB20\"]\ntimezone",
            "[\"outdoor\"]\ntimezone",
            "categories[0]",
            "is not an IAB content category",
        ),
        (
            "[\"IAB20\"]\ntimezone",
            "[\"7:483\"]\ntimezone",
            "categories",
            "has none of content taxonomy 1.0, in which exchanges block by default; add one like \"IAB20\"",
        ),
        (
            "[\"IAB20\"]\ntimezone",
            "[\"12:483\"]\ntimezone",
            "categories[0]",
            "\"12:483\" does not begin with a taxonomy; write its number in AdCOM's list, 1 to 9, like \"7:483\"",
        ),
        (
            "[\"IAB20\"]\ntimezone",
            "[\"7:\"]\ntimezone",
            "categories[0]",
            "\"7:\" has no code after the colon; write it like \"7:483\"",
        ),
        ("pacing = \"even\"", "language = \"english\"", "language", "two-letter ISO 639-1"),
        ("pacing = \"even\"", "app_bundle = \"\"", "app_bundle", "is empty, padded with spaces"),
        ("pacing = \"even\"", "deals = []", "deals", "is empty; name at least one deal, or leave it out"),
        ("pacing = \"even\"", "deals = [\" a\"]", "deals[0]", "is empty, padded with spaces"),
        (
            "width = 300",
            "width = 300\nduration = \"15s\"",
            "creatives[0].duration",
            "belongs to format = \"video\" or \"audio\", and this creative's is \"banner\"",
        ),
        ("\"shop.example\"", "\"https://shop.example\"", "advertiser_domain", "is not a domain"),
        ("id = \"spring-hiking\"", "id = \"spring hiking\"", "id", "use 1 to 64 letters, digits, - and _"),
        ("width = 300", "width = 0", "creatives[0].width", "is 0, must be a whole number from 1 to 10000"),
        ("width = 300", "width = \"300\"", "creatives[0].width", "must be a whole number"),
        ("https://cdn.shop", "http://cdn.shop", "creatives[0].image", "does not begin with https://"),
        ("/boots\"", "/boots\\\"><script>\"", "creatives[0].landing", "is not a web address; percent-encode"),
        ("title = \"Boots for spring trails\"", "", "creatives[0].title", "is missing; add title = "),
    ];
    for (from, to, key, says) in mistakes {
        let told = campaign_error(from, to);
        let changed = GOOD.replacen(from, to, 1);
        let line =
            told.lines().find(|line| line.contains(says)).unwrap_or_else(|| panic!("{says:?} not in {told}"));
        assert!(line.contains(&format!(": {key}: ")), "{key:?} not in {line}");
        let number: usize = line.split(':').nth(1).and_then(|part| part.parse().ok()).expect("a line number");
        assert!(line.starts_with("campaigns/0.toml:"), "{line}");
        if !to.is_empty() && !to.contains('\n') {
            assert_eq!(number, line_of(&changed, to), "{line}");
        }
        assert!(!line.contains("\u{1b}") && !line.ends_with('.'), "{line}");
    }
}

#[test]
fn what_is_missing_is_named() {
    let told = load(SERVER, &[""]).expect_err("nothing is there");
    for key in ["id", "name", "advertiser_domain", "categories", "max_bid_cpm", "goal", "budget", "creatives"]
    {
        assert!(
            told.contains(&format!("campaigns/0.toml: {key}: is missing; add {key} = ")),
            "{key} not in\n{told}"
        );
    }
    assert!(campaign_error("[[creatives]]", "[[creative]]").contains("unknown key; did you mean creatives?"));
    let none =
        GOOD.split("[[creatives]]").next().unwrap().replace("[targeting]", "creatives = []\n[targeting]");
    assert!(load(SERVER, &[&none]).expect_err("no creative").contains("has 0 creatives, must have 1 to 64"));
}

#[test]
fn ids_are_unique_whatever_their_case() {
    let told = load(SERVER, &[GOOD, &GOOD.replace("spring-hiking", "Spring-Hiking")]).expect_err("twice");
    assert!(told.starts_with("campaigns/1.toml:2: id: \"Spring-Hiking\" is the id of "), "{told}");
    let creative = GOOD.split("[[creatives]]").nth(1).unwrap();
    let told = load(SERVER, &[&format!("{GOOD}[[creatives]]{creative}")]).expect_err("twice");
    assert!(told.contains("creatives[1].id: \"boots-300x250-a\" is another creative's id too"), "{told}");
    let told = load(&format!("{SERVER}{}", SERVER.replace("one", "ONE")), &[]).expect_err("twice");
    assert!(
        told.contains("haggle.toml:5: exchange[1].name: \"ONE\" is another exchange's name too"),
        "{told}"
    );
}

#[test]
fn every_mistake_of_every_file_is_reported_at_once() {
    let server = format!("listen = \"here\"\ntick = 100\nnotice_timout = \"1h\"\n{SERVER}");
    let told =
        load(&server, &["= nonsense", &GOOD.replace("\"USA\"", "\"US\"").replace("\"40.00\"", "\"-1\"")])
            .expect_err("mistakes");
    let lines: Vec<_> = told.lines().collect();
    for says in [
        "haggle.toml:1: listen: \"here\" is not an address and port; write it like \"127.0.0.1:8080\"",
        "haggle.toml:2: tick: \"100\" has no unit; write \"100ms\"",
        "haggle.toml:3: notice_timout: unknown key; did you mean notice_timeout?",
        "campaigns/0.toml:1: not valid TOML",
        "campaigns/1.toml:10: budget.daily: -1.00 is negative",
        "campaigns/1.toml:14: targeting.all[0].country[0]: \"US\"",
    ] {
        assert!(lines.iter().any(|line| line.starts_with(says)), "{says} not in\n{told}");
    }
}

#[test]
fn each_mistake_in_the_settings_is_told() {
    for (server, says) in [
        ("max_body_bytes = 1", "max_body_bytes: 1 is out of range; choose from 4096 to 8388608"),
        ("max_body_bytes = -5", "\"-5\" is not a whole number"),
        ("max_body_bytes = [1]", "is a list, must be a single value"),
        ("max_body_bytes = 99999999999999999999", "too large"),
        ("tick = \"1m\"", "tick: 1m is out of range; choose from 10ms to 10s"),
        ("bid_log_sample = 1.5", "bid_log_sample: 1.5 is out of range; choose from 0 to 1"),
        ("bid_log_sample = nan", "is not a number"),
        ("currency = \"usd\"", "write its three capital letters"),
        ("public_url = \"http://a.example/\"", "ends with a slash"),
        ("public_url = \"a.example\"", "does not begin with http:// or https://"),
        ("log_format = \"xml\"", "\"xml\" is neither \"text\" nor \"json\""),
        ("log = \"info,=\"", "log: \"info,=\":"),
        ("workers = 0", "\"0\" is neither \"auto\" nor a whole number from 1 to 1024"),
        ("admin_allow_remote = \"yes\"", "\"yes\" is neither true nor false"),
        ("admin_listen = \"0.0.0.0:9090\"", "admin_listen: 0.0.0.0:9090 can be reached from other machines"),
        ("admin_listen = \"127.0.0.1:8080\"", "127.0.0.1:8080 is listen's address too"),
        ("click_window = \"2d\"", "click_window: 2d is longer than click_expiry = 1d"),
        ("order_window = \"31d\"", "order_window: 31d is longer than conversion_window = 30d"),
        ("tick = \"5s\"\nlease_duration = \"1s\"", "tick: 5s is longer than lease_duration = 1s"),
        ("tcf_vendor_id = 5000", "tcf_vendor_id: 5000 is out of range; choose from 0 to 4095"),
        ("tcf_vendor_id = 70000", "tcf_vendor_id: \"70000\" is not a whole number from 0 to 65535"),
        ("seat = \"\"", "seat: is empty; leave it out for the default"),
        ("campaigns = \"nowhere\"", "campaigns: the directory nowhere cannot be read"),
        ("event_key_file = \"nothing.key\"", "event_key_file: nothing.key cannot be read"),
    ] {
        let told = load(&format!("{server}\n{SERVER}"), &[]).expect_err(server);
        assert!(told.starts_with("haggle.toml:1: ") && told.contains(says), "{says:?} not in {told}");
    }
    for (server, says) in [
        ("", "haggle.toml: exchange: is missing; add exchange = "),
        ("[[exchange]]\nname = \"one\"\n", "haggle.toml:1: exchange[0].bill_on: is missing"),
        (
            "[[exchange]]\nname = \"o/e\"\nbill_on = \"burl\"",
            "haggle.toml:2: exchange[0].name: \"o/e\" is not an id",
        ),
        ("[[exchange]]\nname = \"one\"\nbill_on = \"lurl\"", "\"lurl\" is none of \"burl\", \"nurl\""),
        (
            "[[exchange]]\nname = \"one\"\nbill_on = \"nurl\"\ncurrency = \"EUR\"",
            "haggle.toml:4: exchange[0].currency: EUR is not the account's currency USD and has no rate; give it one \
             in the file that rates_file names",
        ),
        (
            "[[exchange]]\nname = \"one\"\nbill_on = \"burl\"\nno_bid = \"none\"",
            "haggle.toml:4: exchange[0].no_bid: \"none\" is none of \"empty\", \"reason\"",
        ),
        (
            "[[exchange]]\nname = \"one\"\nbill_on = \"burl\"\nuser_ids = [\"cookie\"]",
            "haggle.toml:4: exchange[0].user_ids[0]: \"cookie\" is none of \"buyeruid\", \"id\" and \"eid:\" with a \
             source, like \"eid:ids.example\"",
        ),
        (
            "[[exchange]]\nname = \"one\"\nbill_on = \"burl\"\ndomain = \"https://a.example\"",
            "haggle.toml:4: exchange[0].domain: \"https://a.example\" is not a domain; write the host alone",
        ),
    ] {
        let told = load(server, &[]).expect_err(server);
        assert!(told.contains(says), "{says:?} not in {told}");
    }
    assert!(
        load(&format!("admin_listen = \"0.0.0.0:9090\"\nadmin_allow_remote = true\n{SERVER}"), &[]).is_ok()
    );
    let missing =
        config::load(Some(Path::new("no/such.toml")), &SettingsLayer::default()).expect_err("missing");
    assert!(missing.to_string().starts_with("no/such.toml: cannot be read: "), "{missing}");
}

#[test]
fn price_keys_are_read_beside_the_file_and_never_shown() {
    const KEY: &str = "skU7Ax_NL5pPAFyKdkfZjZz2-VhIN8bjj1rVFOaJ_5o=";
    let server = format!(
        "{SERVER}price_encryption = {{ encryption_key_file = \"e.key\", integrity_key_file = \"i.key\" }}\n"
    );
    let read = |encryption: &str, integrity: &str| {
        let dir = place(&server, &[]);
        fs::write(dir.path().join("e.key"), encryption).unwrap();
        fs::write(dir.path().join("i.key"), integrity).unwrap();
        config::load(Some(&dir.path().join("haggle.toml")), &SettingsLayer::default())
    };
    let loaded = read(&format!("{KEY}\n"), &"0f".repeat(32)).unwrap();
    assert!(loaded.exchanges[0].price_encryption.is_some());
    let explained = explain::explain(&loaded);
    assert!(explained.contains("billed on burl, prices encrypted"), "{explained}");
    assert!(!explained.contains(KEY) && !format!("{loaded:?}").contains(KEY));
    let told = read(KEY, "0123456789abcdef-not-a-key").expect_err("a mistake").to_string();
    assert!(told.contains("exchange[0].price_encryption.integrity_key_file: "), "{told}");
    assert!(told.contains("holds no key of 32 bytes") && !told.contains("not-a-key"), "{told}");
    let told = load(&server.replace("encryption_key_file", "key_file"), &[]).expect_err("a mistake");
    assert!(told.contains("price_encryption.encryption_key_file: is missing; add"), "{told}");
    assert!(told.contains("price_encryption.integrity_key_file: i.key cannot be read"), "{told}");
    assert!(told.contains("price_encryption.key_file: unknown key"), "{told}");
}

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    settings: SettingsLayer,
}

/// Runs this test program again as a child, because a process's environment is all its tests' environment.
fn explained(server: &str, arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let dir = place(server, &[GOOD]);
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_explains", "--nocapture"])
        .env("CHILD_FILE", dir.path().join("haggle.toml"))
        .env("CHILD_ARGUMENTS", arguments.join("\u{1f}"))
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().replace(&format!("{}/", dir.path().display()), "")
}

#[test]
fn child_explains() {
    // Only a child of `explained` has something to explain.
    let Ok(file) = std::env::var("CHILD_FILE") else { return };
    let arguments = std::env::var("CHILD_ARGUMENTS").unwrap();
    let arguments = arguments.split('\u{1f}').filter(|argument| !argument.is_empty());
    let cli = Cli::try_parse_from(std::iter::once("haggle").chain(arguments)).unwrap();
    let loaded = config::load(Some(Path::new(&file)), &cli.settings).unwrap();
    println!("{}", explain::explain(&loaded));
}

/// The words of a setting's line: key, value, source.
fn row(explained: &str, key: &str) -> [String; 3] {
    let line = explained.lines().find(|line| line.split_whitespace().next() == Some(key)).expect(key);
    let mut words = line.split_whitespace().map(str::to_owned);
    std::array::from_fn(|_| words.next().unwrap())
}

#[test]
fn a_flag_wins_over_a_variable_over_the_file_over_the_default() {
    let file = format!("seat = \"of-file\"\n{SERVER}");
    let variable = [("HAGGLE_SEAT", "of-variable")];
    let flag = ["--seat", "of-flag"];
    let of = |server: &str, arguments: &[&str], environment: &[(&str, &str)]| {
        let [_, value, source] = row(&explained(server, arguments, environment), "seat");
        (value, source)
    };
    let pair = |value: &str, source: &str| (value.to_owned(), source.to_owned());
    assert_eq!(of(&file, &flag, &variable), pair("of-flag", "--seat"));
    assert_eq!(of(&file, &[], &variable), pair("of-variable", "HAGGLE_SEAT"));
    assert_eq!(of(&file, &[], &[]), pair("of-file", "haggle.toml:1"));
    assert_eq!(of(SERVER, &[], &[]), pair("haggle", "default"));
}

#[test]
fn every_setting_is_a_flag_and_a_variable_with_help() {
    let mut command = <Cli as clap::CommandFactory>::command();
    let help = command.render_long_help().to_string();
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for setting in SETTINGS {
        for part in [setting.flag, setting.variable, setting.help] {
            assert!(help.contains(part), "{part} not in\n{help}");
        }
        assert_eq!(setting.variable, format!("HAGGLE_{}", setting.key.to_uppercase()));
    }
    let cli = Cli::try_parse_from(["haggle", "--admin-allow-remote", "--listen=127.0.0.1:1"]).unwrap();
    let loaded = load_with(SERVER, &[], &cli.settings).unwrap();
    assert!(loaded.settings.admin_allow_remote);
    assert_eq!(loaded.settings.listen.port(), 1);
}

#[test]
fn wrong_flags_and_variables_are_told_by_their_names() {
    let told =
        load_with(SERVER, &[], &SettingsLayer::default().with("max_body_bytes", "1kB")).expect_err("wrong");
    assert_eq!(told, "--max-body-bytes: max_body_bytes: \"1kB\" is not a whole number");
}

#[test]
fn paths_in_a_file_are_beside_it_and_typed_ones_are_not() {
    let dir = place(&format!("event_key_file = \"event.key\"\n{SERVER}"), &[GOOD]);
    fs::write(dir.path().join("event.key"), "a-long-random-text-for-the-test\n").unwrap();
    let file = dir.path().join("haggle.toml");
    let loaded = config::load(Some(&file), &SettingsLayer::default()).unwrap();
    assert_eq!(loaded.settings.campaigns, dir.path().join("campaigns"));
    assert_eq!(loaded.settings.data, PathBuf::from("data"));
    assert_eq!(loaded.event_key.as_ref().unwrap().expose(), "a-long-random-text-for-the-test");
    let typed = SettingsLayer::default().with("campaigns", "campaigns-that-are-elsewhere");
    let told = config::load(Some(&file), &typed).expect_err("not there").to_string();
    assert!(
        told.starts_with("--campaigns: campaigns: the directory campaigns-that-are-elsewhere cannot be read"),
        "{told}"
    );
    assert!(!format!("{loaded:?}{}", explain::explain(&loaded)).contains("a-long-random-text"));
    fs::write(dir.path().join("event.key"), "short\n").unwrap();
    let told = config::load(Some(&file), &SettingsLayer::default()).expect_err("short").to_string();
    assert!(told.contains("holds 5 characters, a key has at least 16") && !told.contains("short"), "{told}");
}

#[test]
fn what_is_shipped_loads_and_is_what_the_program_holds() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shipped = config::load(Some(&root.join("config/haggle.toml")), &SettingsLayer::default()).unwrap();
    let built_in = config::load_built_in(&SettingsLayer::default()).unwrap();
    assert_eq!(shipped.campaigns, built_in.campaigns);
    assert_eq!(shipped.exchanges, built_in.exchanges);
    assert!(!built_in.campaigns.is_empty());
    let mut files: Vec<_> = fs::read_dir(root.join("config/campaigns"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".toml"))
        .collect();
    files.sort();
    let held: Vec<_> = config::built_in_campaigns().iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(held, files, "src/config/built_in.rs lists config/campaigns");
    let says = format!("ok: {} exchanges, {} campaigns", shipped.exchanges.len(), files.len());
    assert_eq!(explain::validate(&Ok(shipped)), Ok(says));
}

#[test]
fn the_shipped_file_shows_every_default() {
    let text = include_str!("../config/haggle.toml");
    let defaults: String = text
        .lines()
        .filter_map(|line| line.strip_prefix("# "))
        .filter(|line| line.split_once(" = ").is_some_and(|(key, _)| SETTINGS.iter().any(|it| it.key == key)))
        // A setting without a default shows an example.
        .filter(|line| {
            let key = line.split(" = ").next();
            SETTINGS.iter().any(|it| Some(it.key) == key && !it.default.is_empty())
        })
        .map(|line| format!("{line}\n"))
        .collect();
    let with_default = SETTINGS.iter().filter(|setting| !setting.default.is_empty()).count();
    assert_eq!(defaults.lines().count(), with_default, "{defaults}");
    let spelled_out = load(&format!("{defaults}{SERVER}"), &[]).unwrap().settings;
    let left_out = load(SERVER, &[]).unwrap().settings;
    let bare = |mut settings: config::Settings| {
        // Where the file lies differs between the two directories.
        settings.campaigns = PathBuf::new();
        settings
    };
    assert_eq!(bare(spelled_out), bare(left_out));
}

#[test]
fn the_password_of_redis_is_shown_nowhere() {
    let server = format!("redis = \"redis://haggle:s3cret@redis.internal:6379/2\"\n{SERVER}");
    let loaded = load(&server, &[GOOD]).unwrap();
    let text = explain::explain(&loaded);
    assert!(text.contains("redis://haggle:***@redis.internal:6379/2"), "{text}");
    assert!(!text.contains("s3cret") && !format!("{loaded:?}").contains("s3cret"));
    let wrong = load(&server.replace("redis://", "rediss://"), &[]).unwrap_err();
    assert!(wrong.contains("redis: asks for TLS") && !wrong.contains("s3cret"), "{wrong}");
    let of_variable = explained(SERVER, &[], &[("HAGGLE_REDIS", "redis://:s3cret@other")]);
    assert!(!of_variable.contains("s3cret"), "{of_variable}");
}

#[test]
fn explain_names_value_source_and_purpose_and_each_campaign() {
    let loaded = load(&format!("seat = \"mine\"\n{SERVER}"), &[GOOD]).unwrap();
    let text = explain::explain(&loaded);
    for setting in SETTINGS {
        let line = text.lines().find(|line| line.split_whitespace().next() == Some(setting.key));
        assert!(line.is_some_and(|line| line.ends_with(setting.help)), "{}", setting.key);
    }
    let campaign = text.lines().find(|line| line.trim_start().starts_with("spring-hiking")).unwrap();
    for part in [
        "cpc up to 0.60",
        "40.00 USD a day, 400.00 USD in total",
        "all: country USA|CAN and device phone|tablet|computer|tv|out_of_home",
        "any: interest IAB20|hiking or viewed boots within 7d",
        "none: inventory news.example or exchange one",
        "1 banner",
    ] {
        assert!(campaign.contains(part), "{part} not in {campaign}");
    }
}

/// Text near the real thing, so that more than the first check is reached.
fn nearly_toml() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "id",
        "goal",
        "budget",
        "daily",
        "targeting",
        "all",
        "creatives",
        "flight",
        "dayparts",
        "exchange",
        "name",
        "listen",
        "tick",
        "behaviour",
        "within",
        "country",
        "=",
        "=",
        "=",
        "{",
        "}",
        "[",
        "]",
        "[[",
        "]]",
        "\n",
        "\n",
        ",",
        ".",
        "\"",
        "\"x\"",
        "\"-1\"",
        "\"99999999999999999999\"",
        "\"24:00\"",
        "\"9999-99-99T00:00:00Z\"",
        "1.5",
        "-9223372036854775809",
        "0xffffffffffffffffff",
        "true",
        "1979-05-27",
        "'",
        "#",
        "inf",
        "\u{0}",
        "é",
        "\"7d\"",
    ]);
    prop::collection::vec(words, 0..60).prop_map(|words| words.join(" "))
}

/// The good campaign, with creatives of every format, with a piece of it replaced.
fn damaged() -> impl Strategy<Value = String> {
    let good = format!("{GOOD}{}", creatives::FORMATS);
    (0..good.len(), 0..40usize, ".{0,12}").prop_map(move |(from, length, with)| {
        let to = (from + length).min(good.len());
        format!("{}{with}{}", &good[..from], &good[to..])
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn no_text_makes_the_loader_panic(
        server in prop_oneof![".{0,200}", nearly_toml(), Just(SERVER.to_owned())],
        campaign in prop_oneof![".{0,200}", nearly_toml(), damaged()],
    ) {
        match load(&server, &[&campaign]) {
            Ok(loaded) => prop_assert_eq!(loaded.campaigns.len(), 1),
            Err(told) => prop_assert!(!told.is_empty()),
        }
    }
}

#[test]
fn what_containers_are_started_with_are_settings() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in ["deploy/Dockerfile", "deploy/compose.yaml", "deploy/helm/haggle/templates/statefulset.yaml"]
    {
        let text = fs::read_to_string(root.join(file)).unwrap();
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        // The chart makes a variable's name of any setting's key: of that there is the beginning alone.
        let variables: Vec<&str> =
            words.filter(|word| word.starts_with("HAGGLE_") && *word != "HAGGLE_").collect();
        assert!(!variables.is_empty(), "{file}");
        for variable in variables {
            assert!(
                SETTINGS.iter().any(|setting| setting.variable == variable),
                "{file}: {variable} is no setting's"
            );
        }
    }
}
