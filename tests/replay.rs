//! The figures that others published on real auctions, and what the bidder itself would have bought.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "helpers of tests")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use haggle::exit::Exit;
use serde_json::Value;

/// Where a real log lies; says so where it does not.
fn real(file: &str) -> Option<String> {
    let folder = std::env::var_os("HAGGLE_TEST_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"), PathBuf::from);
    let path = folder.join("ipinyou_auctions").join(file);
    if !path.exists() {
        println!("skipped: no ipinyou_auctions/{file} in {}; set HAGGLE_TEST_DATA", folder.display());
        return None;
    }
    Some(path.to_str().unwrap().to_owned())
}

fn haggle(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_haggle")).arg("replay").args(args).output().unwrap()
}

fn report(args: &[&str]) -> Value {
    let output = haggle(&[args, &["--json"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn line<'a>(report: &'a Value, name: &str) -> &'a Value {
    report["strategies"].as_array().unwrap().iter().find(|line| line["name"] == name).unwrap()
}

/// Clicks, impressions and profit in hundredths of a fen.
fn outcome(report: &Value, name: &str) -> (i64, i64, i64) {
    let line = line(report, name);
    let profit = line["profit"].as_f64().unwrap() * 100.0;
    (line["clicks"].as_i64().unwrap(), line["impressions"].as_i64().unwrap(), profit.round() as i64)
}

#[test]
fn arbitrage_figures_of_1458_come_out_to_the_digit() {
    let (Some(test), Some(train)) = (real("sam_1458.test.tsv.gz"), real("sam_1458.train.tsv.gz")) else {
        return;
    };
    let report = report(&[&test, "--train", &train, "--budget-fraction", "1/16"]);
    assert_eq!(report["budget"], 339_072);
    assert_eq!(outcome(&report, "constant"), (0, 740, -296));
    assert_eq!(outcome(&report, "truthful"), (3, 601, 4_472));
    assert_eq!(outcome(&report, "linear"), (13, 10_843, -9_389));
    assert_eq!(outcome(&report, "ortb"), (11, 12_556, -13_161));
    assert_eq!(outcome(&report, "sam1"), (6, 3_148, 4_577));
    assert_eq!(line(&report, "linear")["tuned_on"], "sam_1458.train.tsv.gz");
    assert_eq!(line(&report, "ours")["tuned_on"], "nothing");
}

#[test]
fn figures_of_2997_in_episodes_come_out_to_the_digit() {
    let (Some(log), Some(sums)) = (real("rlb_2997.test.theta.txt.gz"), real("rlb_2997.info.json")) else {
        return;
    };
    let with = |fraction: &str| {
        let args = ["--train", &sums, "--episode", "1000", "--budget-fraction", fraction, "--base-bid", "18"];
        report(&[&[log.as_str()], args.as_slice()].concat())
    };
    let report = with("1/32");
    assert_eq!((&report["budget"], &report["episodes"]), (&(157 * 1_969).into(), &157.into()));
    let mcpc = line(&report, "mcpc");
    assert_eq!(
        (&mcpc["impressions"], &mcpc["clicks"], &mcpc["spend"]),
        (&14_752.into(), &48.into(), &307_751.into())
    );
    assert_eq!(line(&report, "linear")["clicks"], 71);
    let optima = ["1/16", "1/8", "1/4", "1/2"].map(|fraction| with(fraction)["optimum"]["clicks"].clone());
    assert_eq!((&report["optimum"]["clicks"], optima), (&86.into(), [122, 181, 270, 399].map(Value::from)));
}

#[test]
fn a_file_that_is_no_log_is_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.log");
    std::fs::write(&path, "0 10 0.1\n0 ten 0.1\n").unwrap();
    let output = haggle(&[path.to_str().unwrap(), "--bad-rows", "0"]);
    assert_eq!(output.status.code(), Some(i32::from(Exit::InputUnusable.code())));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("bad.log:2:2: the market price is \"ten\"; it must be whole fen"), "{message}");
}
