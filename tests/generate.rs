//! Generated requests and campaigns: they repeat with their seed, are read without a complaint, and meet each other as
//! often as in the field.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::path::Path;
use std::process::{Command, Stdio};

use haggle::config::{self, Loaded, SettingsLayer};
use haggle::exit::Exit;
use haggle::generate::{Campaigns, Requests, VENDOR, write_campaigns};
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
