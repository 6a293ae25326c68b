//! Generated requests and campaigns: they repeat with their seed, are read without a complaint, and meet each other as
//! often as in the field.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use haggle::config::{self, Loaded, SettingsLayer};
use haggle::exit::Exit;
use haggle::generate::{Campaigns, Clicks, Requests, VENDOR, write_campaigns};
use haggle_domain::{Basis, CpmMicros, ExchangeKey, Opportunity, Rates, Timestamp};
use haggle_openrtb::privacy::Policy;
use haggle_openrtb::{Asker, UserId};
use haggle_strategies::targeting::{Asked, matches};

fn loaded(folder: &Path, count: usize) -> Loaded {
    write_campaigns(&folder.join("campaigns"), count, 1, |_| {}).unwrap();
    std::fs::write(folder.join("haggle.toml"), "[[exchange]]\nname = \"demo\"\nbill_on = \"burl\"\n")
        .unwrap();
    config::load(Some(&folder.join("haggle.toml")), &SettingsLayer::default()).unwrap()
}

#[test]
fn a_seed_repeats() {
    let requests = |seed| {
        let mut requests = Requests::new(seed);
        (0..50).map(|_| requests.next_request()).collect::<Vec<_>>()
    };
    assert_eq!(requests(1), requests(1));
    assert_ne!(requests(1), requests(2));
    assert_eq!(Campaigns::new(5).next_file(1), Campaigns::new(5).next_file(1));
    assert_ne!(Campaigns::new(5).next_file(1), Campaigns::new(6).next_file(1));
}

#[test]
fn requests_are_read_whole_and_are_as_large_as_real_ones() {
    let mut requests = Requests::new(3);
    let policy = Policy { vendor: Some(VENDOR) };
    let (mut bytes, mut known, mut refused) = (0, 0, 0);
    for _ in 0..1000 {
        let text = requests.next_request();
        assert!((900..=4000).contains(&text.len()), "{} bytes: {text}", text.len());
        bytes += text.len();
        let request = haggle_openrtb::parse(text.as_bytes()).unwrap();
        let (basis, _) = request.basis(&policy);
        known += usize::from(basis.allows(Basis::TARGET));
        refused += usize::from(basis == Basis::NONE);
        let asker = Asker {
            exchange: ExchangeKey::of("demo"),
            seat: "haggle",
            user_ids: &[UserId::Buyeruid],
            rates: &Rates { account: "USD".to_owned(), pairs: Vec::new() },
        };
        let context = request.context(&asker, basis);
        for (_, opportunity) in request.imps_for(&context, &asker) {
            // A currency or a seat that is not ours refuses; a flaw would, too, and there is none.
            if let Ok(opportunity) = opportunity {
                assert!(opportunity.floor > CpmMicros::ZERO);
            }
        }
    }
    assert!((1_000..=3_000).contains(&(bytes / 1000)), "{} bytes on average", bytes / 1000);
    assert!(known > 750 && refused > 20, "{known} may be targeted, {refused} refused");
}

#[test]
fn a_request_meets_a_few_to_a_few_dozen_of_a_thousand_campaigns() {
    let folder = tempfile::tempdir().unwrap();
    let loaded = loaded(folder.path(), 1000);
    assert_eq!(loaded.campaigns.len(), 1000);
    let mut requests = Requests::new(1);
    let now: Timestamp = "2026-11-25T12:00:00Z".parse().unwrap();
    let mut met = Vec::new();
    for _ in 0..400 {
        let text = requests.next_request();
        let request = haggle_openrtb::parse(text.as_bytes()).unwrap();
        let asker = Asker {
            exchange: ExchangeKey::of("demo"),
            seat: "haggle",
            user_ids: &[UserId::Buyeruid],
            rates: &loaded.rates,
        };
        let context = request.context(&asker, request.basis(&Policy { vendor: Some(VENDOR) }).0);
        let opportunity = Opportunity::default();
        let asked = Asked { context: &context, opportunity: &opportunity, profile: None, now };
        met.push(loaded.campaigns.iter().filter(|it| matches(&it.targeting, &asked)).count());
    }
    met.sort_unstable();
    let mean = met.iter().sum::<usize>() as f64 / met.len() as f64;
    let (median, most) = (met[met.len() / 2], met[met.len() - 1]);
    assert!(
        (4.0..=30.0).contains(&mean) && (3..=30).contains(&median) && most <= 120,
        "{mean} {median} {most}"
    );
}

fn haggle(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_haggle")).args(arguments).stdin(Stdio::null()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_command_writes_where_it_is_told_and_never_over_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("requests.jsonl").display().to_string();
    let (code, out, _) = haggle(&["generate", "requests", "--count", "5", "--seed", "9"]);
    assert_eq!((code, out.lines().count()), (Some(0), 5));
    assert_eq!(haggle(&["generate", "requests", "--count", "5", "--seed", "9", "--out", &file]).0, Some(0));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), out);
    let into = folder.path().join("campaigns").display().to_string();
    let campaigns = ["generate", "campaigns", "--count", "3", "--out", &into];
    assert_eq!(haggle(&campaigns), (Some(0), String::new(), String::new()));
    let (code, _, error) = haggle(&campaigns);
    assert_eq!(code, Some(i32::from(Exit::CannotCreate.code())));
    assert!(error.contains("is not empty"), "{error}");
}

#[test]
fn clicks_follow_the_truth_that_stands_beside_them() {
    let mut clicks = Clicks::new(1, 5);
    let mut text = Vec::new();
    (0..200_000).for_each(|_| clicks.next_row(&mut text));
    let text = String::from_utf8(text).unwrap();
    let columns = Clicks::header().split('\t').count();
    // By the truth's size: of each fifth how many clicks were to be expected, and came.
    let mut rows: Vec<(f64, bool)> = text
        .lines()
        .map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            assert_eq!(fields.len(), columns, "{line}");
            (fields[columns - 1].parse().unwrap(), fields[0] == "1")
        })
        .collect();
    rows.sort_by(|one, other| one.0.total_cmp(&other.0));
    for fifth in rows.chunks(rows.len() / 5) {
        let expected: f64 = fifth.iter().map(|(truth, _)| truth).sum();
        let spread = fifth.iter().map(|(truth, _)| truth * (1.0 - truth)).sum::<f64>().sqrt();
        let came = fifth.iter().filter(|(_, clicked)| *clicked).count() as f64;
        assert!(
            (came - expected).abs() < 4.0 * spread,
            "{came} clicks, {expected:.0} ± {spread:.0} expected"
        );
    }
    let summary = clicks.summary();
    let rate = summary.clicks as f64 / summary.rows as f64;
    assert!((0.01..0.08).contains(&rate), "{rate}");
    assert!(summary.truth_log_loss < 0.9 * summary.rate_log_loss, "{summary:?}");
}

#[test]
fn a_world_keeps_its_rule_from_seed_to_seed() {
    let rows = |world, seed| {
        let (mut clicks, mut text) = (Clicks::new(world, seed), Vec::new());
        (0..20_000).for_each(|_| clicks.next_row(&mut text));
        String::from_utf8(text).unwrap()
    };
    assert_eq!(rows(1, 1), rows(1, 1));
    assert_ne!(rows(1, 1), rows(1, 2));
    assert_ne!(rows(1, 1), rows(2, 1));
    // What goes together goes together in both logs: an ad is of one campaign.
    let campaigns = |text: &str| -> BTreeMap<String, String> {
        text.lines()
            .map(|line| {
                let fields: Vec<&str> = line.split('\t').collect();
                (fields[9].to_owned(), fields[10].to_owned())
            })
            .collect()
    };
    let (one, other) = (campaigns(&rows(1, 1)), campaigns(&rows(1, 2)));
    let both: Vec<_> = one.iter().filter_map(|(ad, campaign)| Some((campaign, other.get(ad)?))).collect();
    assert!(both.len() > 500 && both.iter().all(|(one, other)| one == other));
}
