//! `haggle ope`: what it says of real logs whose answer is known, of logs made up for it, and of a node's own journal.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "in a test, a panic is a failure, and what is skipped is said"
)]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use haggle_actors::journal::{EmbeddedJournal, Journal, JournalOptions, Refused};
use haggle_domain::{
    BannerSlot, BidId, Campaign, Context, Decision, Event, Opportunity, Record, Size, Tag, Timestamp,
};
use haggle_strategies::explore::{ArmCounts, Arms, Fitting, Shape};
use serde_json::Value;

const HEADER: &str = "item_id,position,click,propensity_score,user_feature_0\n";

fn haggle(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_haggle")).args(arguments).output().unwrap()
}

/// The report of a log.
fn report(log: &Path, arguments: &[&str]) -> Value {
    let all: Vec<&str> =
        ["ope", log.to_str().unwrap(), "--json"].into_iter().chain(arguments.iter().copied()).collect();
    let output = haggle(&all);
    assert!(output.status.success(), "{all:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The exit code and what is said of a log that cannot be used.
fn refused(log: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let all: Vec<&str> =
        ["ope", log.to_str().unwrap()].into_iter().chain(arguments.iter().copied()).collect();
    let output = haggle(&all);
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// What an estimator says.
fn of<'r>(report: &'r Value, estimator: &str) -> &'r Value {
    let all = report["estimates"].as_array().unwrap();
    all.iter().find(|line| line["estimator"] == estimator).unwrap()
}

fn value(report: &Value, estimator: &str) -> f64 {
    number(&of(report, estimator)["value"])
}

/// The logs of the Open Bandit Dataset, campaign "men": of the uniform policy, and of Bernoulli Thompson sampling.
fn open_bandit() -> Option<(PathBuf, PathBuf)> {
    let folder = std::env::var_os("HAGGLE_TEST_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"), PathBuf::from)
        .join("open_bandit");
    let files = (folder.join("random_men.csv.gz"), folder.join("bts_men.csv.gz"));
    if files.0.is_file() && files.1.is_file() {
        return Some(files);
    }
    println!("skipped: no open_bandit in {}; set HAGGLE_TEST_DATA", folder.display());
    None
}

/// Pseudo-random numbers from 0 to below 1 (SplitMix64).
struct Uniform(u64);

impl Uniform {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let n = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let n = (n ^ n >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((n ^ n >> 31) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// A log of three items whose click rates depend on the user, by a policy with these probabilities.
fn made_up(rows: usize, policy: [f64; 3], seed: u64) -> String {
    let mut uniform = Uniform(seed);
    let mut text = HEADER.to_owned();
    for _ in 0..rows {
        let user = usize::from(uniform.next() < 0.5);
        let drawn = uniform.next();
        let item = if drawn < policy[0] { 0 } else { usize::from(drawn >= policy[0] + policy[1]) + 1 };
        let rate = [[0.05, 0.1, 0.2], [0.2, 0.1, 0.02]][user][item];
        let click = u8::from(uniform.next() < rate);
        writeln!(text, "{item},1,{click},{},{}", policy[item], ["a", "b"][user]).unwrap();
    }
    text
}

fn file(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn the_published_figures_come_out_to_the_digit() {
    let Some((_, bts)) = open_bandit() else { return };
    let report = report(&bts, &["--policy", "uniform", "--bootstrap", "0"]);
    assert_eq!(format!("{:.5}", value(&report, "IPS")), "0.00301");
    assert_eq!(format!("{:.5}", value(&report, "SNIPS")), "0.00319");
    assert_eq!(format!("{:.0}", number(&report["effective_sample"])), "656");
    assert_eq!((report["rows"].as_u64(), report["clicks"].as_u64()), (Some(10_000), Some(69)));
}

#[test]
fn the_better_estimators_come_near_to_the_truth_over_a_hundred_runs() {
    let Some((random, bts)) = open_bandit() else { return };
    // What the uniform policy earned is in its own log.
    let on_policy = report(&random, &["--policy", "uniform", "--bootstrap", "0"]);
    for estimator in ["IPS", "SNIPS"] {
        assert!((value(&on_policy, estimator) - 0.0046).abs() < 1e-9, "{on_policy}");
    }
    let runs = ["--bootstrap", "100", "--seed", "1", "--truth"];
    let uniform = report(&bts, &[&runs[..], &["0.0046", "--policy", "uniform"]].concat());
    let other = bts.to_str().unwrap();
    let sampled = report(&random, &[&runs[..], &["0.0069", "--policy", other]].concat());
    let error = |report: &Value, estimator: &str| number(&of(report, estimator)["relative_error"]);
    for estimator in ["IPS", "SNIPS", "DM", "DR", "switch-DR"] {
        let (to_uniform, to_sampled) = (error(&uniform, estimator), error(&sampled, estimator));
        println!(
            "{estimator}: Thompson sampling to uniform {to_uniform:.3}, uniform to Thompson sampling {to_sampled:.3}"
        );
    }
    // Of 69 clicks, none is of an item that weighs most: what only weighs is low, what also models comes near.
    assert!(error(&uniform, "DM") <= 0.16, "{uniform}");
    assert!(error(&uniform, "switch-DR") <= 0.16, "{uniform}");
    // The truth is within each interval, though with 46 clicks they are wide.
    for line in sampled["estimates"].as_array().unwrap() {
        let (low, high) = (number(&line["interval"][0]), number(&line["interval"][1]));
        assert!(low < 0.0069 && 0.0069 < high, "{line}");
    }
}

#[test]
fn the_logged_policy_is_worth_what_its_log_earned() {
    let folder = tempfile::tempdir().unwrap();
    let log = file(folder.path(), "log.csv", &made_up(4_000, [0.2, 0.3, 0.5], 1));
    let report = report(&log, &["--policy", "logged", "--bootstrap", "60"]);
    let mean = number(&report["mean"]);
    for estimator in ["IPS", "SNIPS", "DR", "switch-DR"] {
        assert!((value(&report, estimator) - mean).abs() < 1e-9, "{report}");
    }
    assert!(
        (value(&report, "DM") / mean - 1.0).abs() < 0.05,
        "held-out predictions sum to the clicks: {report}"
    );
    assert!((number(&report["effective_sample"]) - 4_000.0).abs() < 1e-6);
    // The same again is the same, another seed draws other runs.
    let again = self::report(&log, &["--policy", "logged", "--bootstrap", "60"]);
    assert_eq!(report, again);
    let other = self::report(&log, &["--policy", "logged", "--bootstrap", "60", "--seed", "2"]);
    assert_ne!(of(&report, "IPS")["interval"], of(&other, "IPS")["interval"]);
}

#[test]
fn another_policy_is_worth_what_it_would_have_earned() {
    let folder = tempfile::tempdir().unwrap();
    let log = file(folder.path(), "log.csv", &made_up(20_000, [0.2, 0.3, 0.5], 3));
    let other = file(folder.path(), "other.csv", &made_up(20_000, [0.7, 0.2, 0.1], 4));
    // 0.125, 0.1 and 0.11 are the items' rates over both kinds of users.
    for (policy, truth) in [
        ("uniform", (0.125 + 0.1 + 0.11) / 3.0),
        (other.to_str().unwrap(), 0.7 * 0.125 + 0.2 * 0.1 + 0.1 * 0.11),
        ("item=0", 0.125),
    ] {
        let report = report(&log, &["--policy", policy, "--bootstrap", "80"]);
        for line in report["estimates"].as_array().unwrap() {
            let (low, high) = (number(&line["interval"][0]), number(&line["interval"][1]));
            let wide = (high - low) / 2.0;
            assert!((number(&line["value"]) - truth).abs() < 2.0 * wide, "{policy}, truth {truth}: {line}");
            assert!(wide < 0.03 && low < high, "{policy}: {line}");
        }
        assert!((number(&report["mean_weight"]) - 1.0).abs() < 0.05, "{report}");
    }
    let text =
        String::from_utf8(haggle(&["ope", log.to_str().unwrap(), "--policy", "item=0"]).stdout).unwrap();
    assert!(text.contains("effective sample") && text.contains("switch-DR"), "{text}");
    // Each row of that item weighs 5, so with a lower threshold all is left to the model, and with a higher one nothing.
    for (switch, share, like) in [("4", 1.0, "DM"), ("6", 0.0, "DR")] {
        let report = report(&log, &["--policy", "item=0", "--bootstrap", "0", "--switch", switch]);
        assert!((number(&report["switched"]) - share).abs() < 1e-9, "{report}");
        assert!((value(&report, "switch-DR") - value(&report, like)).abs() < 1e-9, "{report}");
    }
    // Greedy finds an item that is not worse than the others together.
    let greedy = report(&log, &["--policy", "greedy", "--bootstrap", "0"]);
    assert!(value(&greedy, "SNIPS") > 0.09, "{greedy}");
}

#[test]
fn a_log_that_overlaps_too_little_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    // Of a thousand rows two are of the item that the policy always takes.
    let mut text = HEADER.to_owned();
    for row in 0..1_000 {
        let (item, propensity) = if row < 2 { (1, 0.002) } else { (0, 0.998) };
        writeln!(text, "{item},1,{},{propensity},a", row % 7 / 6).unwrap();
    }
    let log = file(folder.path(), "log.csv", &text);
    let (code, said) = refused(&log, &["--policy", "item=1"]);
    assert_eq!(code, Some(66), "{said}");
    for part in ["1000 rows tell as much of it as 2 rows", "effective sample", "at least 100", "uniform"] {
        assert!(said.contains(part), "{said}");
    }
    // What was never logged cannot be told, however many rows there are.
    let other = file(folder.path(), "other.csv", &format!("{HEADER}2,1,0,0.5,a\n0,1,0,0.5,a\n"));
    let (code, said) = refused(&log, &["--policy", other.to_str().unwrap()]);
    assert_eq!(code, Some(66), "{said}");
    assert!(said.contains("50.0 % was never logged"), "{said}");
    let (code, said) = refused(&log, &["--policy", "item=9"]);
    assert_eq!(code, Some(66), "{said}");
    assert!(said.contains("no row shows 9; there are 1, 0"), "{said}");
}

#[test]
fn flawed_logs_are_refused_with_the_place() {
    let folder = tempfile::tempdir().unwrap();
    for (bad, said) in [("0", "\"0\" is no probability"), ("1.01", "\"1.01\""), ("NaN", "\"NaN\"")] {
        let log = file(folder.path(), "log.csv", &format!("{HEADER}1,1,0,0.5,a\n1,1,0,{bad},a\n"));
        let (code, text) = refused(&log, &["--policy", "uniform", "--bad-rows", "0"]);
        assert_eq!(code, Some(66), "{text}");
        assert!(text.contains("log.csv:3: column `propensity_score`: ") && text.contains(said), "{text}");
    }
    let empty = file(folder.path(), "empty.csv", HEADER);
    let (code, said) = refused(&empty, &["--policy", "uniform"]);
    assert!(code == Some(66) && said.contains("no rows"), "{said}");
    let (code, said) = refused(&folder.path().join("log.txt"), &["--policy", "uniform"]);
    assert!(code == Some(2) && said.contains("--format"), "{said}");
    let (code, said) = refused(&folder.path().join("none.csv"), &["--policy", "uniform"]);
    assert!(code == Some(74) && said.contains("cannot be read"), "{said}");
}

/// A configuration of a node with this data folder and the example campaigns.
fn configuration(folder: &Path, data: &Path) -> PathBuf {
    node(folder, data, &Path::new(env!("CARGO_MANIFEST_DIR")).join("config/campaigns"))
}

fn node(folder: &Path, data: &Path, campaigns: &Path) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let own = fs::read_to_string(root.join("config/haggle.toml")).unwrap();
    let own: Vec<&str> = own.lines().filter(|line| !line.starts_with("campaigns")).collect();
    let text = format!("data = {data:?}\ncampaigns = {campaigns:?}\n{}\n", own.join("\n"));
    file(folder, "node.toml", &text)
}

#[test]
fn a_nodes_journal_tells_what_other_creatives_would_have_earned() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let demo =
        haggle(&["demo", "--seconds", "10", "--seed", "7", "--data", data.to_str().unwrap(), "--json"]);
    assert!(demo.status.success(), "{}", String::from_utf8_lossy(&demo.stderr));
    let node = configuration(folder.path(), &data);
    let output = haggle(&["ope", node.to_str().unwrap(), "--policy", "logged", "--bootstrap", "40"]);
    println!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let logged = report(&node, &["--policy", "logged", "--bootstrap", "40"]);
    let rows = number(&logged["rows"]);
    assert!(rows > 100.0 && number(&logged["actions"]) > 1.0, "{logged}");
    let uniform = report(&node, &["--policy", "uniform", "--bootstrap", "40"]);
    println!("{uniform}");
    // Propensities are exact, so weights have a mean of one.
    let error = number(&uniform["mean_weight"]) - 1.0;
    assert!(error.abs() < 0.2, "{uniform}");
    assert!(number(&uniform["effective_sample"]) < rows, "{uniform}");
    let (code, said) = refused(&node, &["--policy", "creative=no-such"]);
    assert!(code == Some(66) && said.contains("no row shows no-such"), "{said}");
}

/// Writes the journal of a node whose one campaign showed its creatives by this policy, each impression with its propensity as
/// bids log it. The rates of clicks are 2, 6 and 4 %.
fn write_journal(folder: &Path, campaign: &Campaign, impressions: u32) {
    let journal = EmbeddedJournal::open(&folder.join("journal"), &JournalOptions::default()).unwrap();
    let mut uniform = Uniform(5);
    let shapes: Vec<Shape> = campaign.creatives.iter().map(Shape::of).collect();
    let mut counts = vec![ArmCounts::default(); shapes.len()];
    let size = Size { width: 300, height: 250 };
    let imp = Opportunity { banner: Some(BannerSlot::of([size])), ..Opportunity::default() };
    let start: Timestamp = "2026-11-23T10:00:00Z".parse().unwrap();
    let mut records = Vec::new();
    let mut arms = Arms::of(&campaign.explore, &shapes, &counts);
    for number in 0..impressions {
        if number.is_multiple_of(100) {
            arms = Arms::of(&campaign.explore, &shapes, &counts);
        }
        let at = start + Duration::from_secs(number.into());
        let drawn = arms.draw(Fitting::of(shapes.len(), |_| true), uniform.next()).unwrap();
        let context =
            Context { inventory: Tag::of(&format!("site-{}.example", number % 7)), ..Context::default() };
        let decision = Decision {
            bid: BidId { campaign: campaign.key, lease: 1, number },
            at,
            expires_at: at + Duration::from_secs(3_600),
            creative: drawn.creative,
            propensity: drawn.propensity as f32,
            features: haggle_learning::request_features(&context, &imp, None, at).to_vec(),
            ..Decision::default()
        };
        let clicked = uniform.next() < [0.02, 0.06, 0.04][usize::from(drawn.creative)];
        let counted = &mut counts[usize::from(drawn.creative)];
        counted.impressions += 1;
        counted.clicks += u64::from(clicked);
        let record = |event| Record { at, campaign: campaign.key, event };
        records.push(record(Event::Impression { decision: decision.clone() }));
        if clicked {
            records.push(record(Event::Click { decision }));
        }
    }
    // The windows of all of them are over.
    let at = start + Duration::from_secs(90 * 86_400);
    records.push(Record {
        at,
        campaign: campaign.key,
        event: Event::Paused { paused: false, told_at: None },
    });
    for some in records.chunks(500) {
        let (sender, done) = std::sync::mpsc::channel();
        let permit = loop {
            match journal.try_reserve() {
                Ok(permit) => break permit,
                Err(refused) => assert!(matches!(refused, Refused::Full), "{refused}"),
            }
        };
        permit.commit(some.to_vec(), Some(Box::new(move |result| sender.send(result).unwrap())));
        done.recv_timeout(Duration::from_secs(60)).unwrap().unwrap();
    }
    journal.close().unwrap();
}

#[test]
fn each_policys_log_is_evaluated_or_refused_as_it_draws_or_not() {
    let creative = |id: &str| {
        format!(
            "[[creatives]]\nid = {id:?}\nwidth = 300\nheight = 250\nimage = \"https://cdn.example/{id}.png\"\n\
             landing = \"https://shop.example/\"\ntitle = \"Boots\"\n"
        )
    };
    let creatives: String = ["a", "b", "c"].map(creative).concat();
    for policy in ["thompson", "ucb", "epsilon_greedy", "squarecb", "uniform", "greedy", "first"] {
        let folder = tempfile::tempdir().unwrap();
        let (data, campaigns) = (folder.path().join("data"), folder.path().join("campaigns"));
        fs::create_dir_all(&campaigns).unwrap();
        let text = format!(
            "id = \"boots\"\nname = \"Boots\"\nadvertiser_domain = \"shop.example\"\ncategories = [\"IAB20\"]\n\
             max_bid_cpm = \"12.00\"\ngoal = {{ cpc = {{ max = \"0.60\" }} }}\nbudget = {{ daily = \"40.00\" }}\n\
             explore = {{ creatives = {policy:?} }}\n{creatives}"
        );
        file(&campaigns, "boots.toml", &text);
        let node = node(folder.path(), &data, &campaigns);
        let loaded = haggle::config::load(Some(&node), &haggle::config::SettingsLayer::default()).unwrap();
        write_journal(&data, &loaded.campaigns[0], 6_000);
        if ["greedy", "first"].contains(&policy) {
            let (code, said) = refused(&node, &["--policy", "uniform"]);
            assert_eq!(code, Some(66), "{policy}: {said}");
            let told =
                "no rows to evaluate a policy on; left 6000 impressions out whose creative was certain";
            assert!(said.contains(told) && said.contains("(greedy, first)"), "{policy}: {said}");
            continue;
        }
        let report = report(&node, &["--policy", "uniform", "--bootstrap", "0"]);
        assert_eq!((number(&report["rows"]), number(&report["actions"])), (6_000.0, 3.0), "{policy}");
        // Propensities are right, and so is what the estimators say.
        assert!((number(&report["mean_weight"]) - 1.0).abs() < 0.15, "{policy}: {report}");
        // Four standard errors of as many rows of the policy's own.
        let error = (0.04 * 0.96 / number(&report["effective_sample"])).sqrt();
        assert!((value(&report, "SNIPS") - 0.04).abs() < 4.0 * error && error < 0.01, "{policy}: {report}");
    }
}
