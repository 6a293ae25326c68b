//! `haggle simulate`: that it repeats, that it finds what was planted and nothing else, and that it refuses what it cannot do.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use haggle::exit::Exit;
use serde_json::Value;

fn scenario(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("small.toml");
    std::fs::write(&path, text).unwrap();
    path
}

const SMALL: &str =
    "name = \"small\"\nteaches = \"a quarter of a day\"\ndays = 0.25\nrequests_a_day = 6000\nusers = 500\n";

fn haggle(scenario: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_haggle"));
    command.arg("simulate").arg(scenario).args(arguments).output().unwrap()
}

/// The report without its timing.
fn report(scenario: &Path, arguments: &[&str]) -> Value {
    let output = haggle(scenario, &[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut report: Value = serde_json::from_slice(&output.stdout).unwrap();
    report.as_object_mut().unwrap().remove("timing").unwrap();
    report
}

fn verdict<'r>(report: &'r Value, metric: &str) -> &'r str {
    let all = report["differences"].as_array().unwrap();
    all.iter().find(|it| it["metric"] == metric).unwrap()["verdict"].as_str().unwrap()
}

#[test]
fn the_same_seed_gives_the_same_report_however_many_threads_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let small = scenario(folder.path(), SMALL);
    let vary = ["--seeds", "6", "--vary", "campaign.trail-boots.pacing=asap"];
    let one = report(&small, &[&vary[..], &["--jobs", "1"]].concat());
    let two = report(&small, &[&vary[..], &["--jobs", "2"]].concat());
    assert_eq!(one, two);
    assert_eq!(
        (&one["seeds"], &one["variants"][1]["name"]),
        (&6.into(), &"campaign.trail-boots.pacing=asap".into())
    );
    assert_eq!(one["variants"][0]["metrics"]["problems"], 0.0);
    let other = report(&small, &["--seeds", "6", "--seed", "100"]);
    assert_ne!(one["variants"][0]["metrics"], other["variants"][0]["metrics"]);
}

#[test]
fn what_changes_nothing_shows_no_difference_and_what_does_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let small = scenario(folder.path(), SMALL);
    let same = report(&small, &["--seeds", "6", "--vary", "campaign.trail-boots.pacing=even"]);
    for it in same["differences"].as_array().unwrap() {
        assert_eq!((&it["mean"], &it["verdict"]), (&0.0.into(), &"no difference shown".into()), "{it}");
    }
    let less = report(&small, &["--seeds", "6", "--vary", "campaign.*.budget={ daily = \"0.10\" }"]);
    assert_eq!(
        (verdict(&less, "spend"), verdict(&less, "overspend_micros")),
        ("less", "no difference shown")
    );
    let busy = report(&small, &["--seeds", "6", "--vary", "requests_a_day=12000"]);
    assert_eq!(verdict(&busy, "bids"), "more");
}

#[test]
fn assertions_decide_how_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let small = scenario(folder.path(), SMALL);
    let holds =
        haggle(&small, &["--seeds", "2", "--assert", "overspend_micros == 0", "--assert", "bids > 0"]);
    assert!(holds.status.success(), "{}", String::from_utf8_lossy(&holds.stdout));
    let fails = haggle(&small, &["--seeds", "2", "--assert", "bids == 0"]);
    let said = String::from_utf8(fails.stdout).unwrap();
    assert_eq!(fails.status.code(), Some(i32::from(Exit::CheckFailed.code())));
    assert!(said.contains("FAILED: bids == 0 does not hold in 2 of 2 worlds of as it is"), "{said}");
}

#[test]
fn what_cannot_be_simulated_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let small = scenario(folder.path(), SMALL);
    let refused = |scenario: &Path, arguments: &[&str]| {
        let output = haggle(scenario, arguments);
        assert_eq!(output.status.code(), Some(i32::from(Exit::Configuration.code())));
        String::from_utf8(output.stderr).unwrap()
    };
    let said = refused(&small, &["--vary", "campaign.no-such.pacing=asap"]);
    assert!(said.contains("no campaign \"no-such\"; there are camp-again"), "{said}");
    let said = refused(&small, &["--vary", "campaign.trail-boots.pacing=slow"]);
    assert!(said.contains("pacing") && said.contains("slow"), "{said}");
    let said = refused(&small, &["--vary", "request_a_day=10"]);
    assert!(said.contains("unknown field `request_a_day`"), "{said}");
    let said = refused(&scenario(folder.path(), &SMALL.replace("0.25", "-1.0")), &[]);
    assert!(said.contains("days: must be above 0"), "{said}");
    let said = refused(&scenario(folder.path(), "name = 3"), &[]);
    assert!(said.contains("small.toml"), "{said}");
}

#[test]
fn the_scenarios_that_come_with_the_program_hold_their_invariants() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/scenarios");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let short = ["--seeds", "1", "--vary", "days=0.1", "--assert", "overspend_micros == 0"];
        let output = haggle(&path, &short);
        assert!(output.status.success(), "{}: {}", path.display(), String::from_utf8_lossy(&output.stdout));
    }
}
