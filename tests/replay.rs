//! The figures that others published on real auctions, and what the bidder itself would have bought.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "helpers of tests")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use haggle::exit::Exit;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
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

/// The published rules' nine cells: how much of what known prices would have bought the bidder bought, knowing nothing before.
/// 2997's first third is dearer than the rest, and a budget that is spread evenly over it cannot reach more than 0.947.
#[test]
fn ours_keeps_most_of_the_known_price_optimum_and_never_overspends() {
    for (file, least) in [
        ("rlb_2997.test.theta.txt.gz", [0.93, 0.975, 0.985]),
        ("sam_1458.test.tsv.gz", [0.975, 0.985, 0.99]),
        ("sam_2259.test.tsv.gz", [0.985, 0.985, 0.99]),
    ] {
        let Some(log) = real(file) else { continue };
        for (fraction, least) in ["1/64", "1/16", "1/4"].iter().zip(least) {
            let report = report(&[&log, "--budget-fraction", fraction]);
            let ours = line(&report, "ours");
            let reached = ours["fraction_of_optimum"].as_f64().unwrap();
            assert!(reached >= least, "{file} {fraction}: {reached}");
            assert!(ours["overspend_fraction"].as_f64().unwrap() <= 0.0, "{file} {fraction}");
        }
    }
}

/// Auctions whose prices and click rates are drawn evenly from their logarithms, independent of each other.
fn made_up(path: &Path, count: usize) {
    let mut random = StdRng::seed_from_u64(7);
    let mut text = String::new();
    for _ in 0..count {
        let price = 10f64.powf(random.random_range(0.7..2.4)).round();
        let ctr: f64 = 10f64.powf(random.random_range(-4.0..-2.0));
        let clicked = u8::from(random.random_bool(ctr));
        text += &format!("{clicked}\t{price}\t{ctr:.6}\n");
    }
    std::fs::write(path, text).unwrap();
}

#[test]
fn ours_finds_its_price_whatever_a_click_is_said_to_be_worth() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made.log");
    made_up(&path, 40_000);
    let log = path.to_str().unwrap();
    for max_cpc in ["40", "400", "4000"] {
        let report = report(&[log, "--budget-fraction", "1/8", "--max-cpc", max_cpc]);
        let reached = line(&report, "ours")["fraction_of_optimum"].as_f64().unwrap();
        assert!(reached > 0.97, "{max_cpc}: {reached}");
    }
    // Where the winner pays its bid, shading has to find out what the market asks.
    let report = report(&[log, "--budget-fraction", "1/8", "--auction", "first"]);
    let [ours, linear] = ["ours", "linear"].map(|name| line(&report, name));
    assert!(ours["expected_value"].as_f64() > linear["expected_value"].as_f64(), "{report}");
    assert!(ours["overspend_fraction"].as_f64().unwrap() <= 0.0);
    for strategy in report["strategies"].as_array().unwrap() {
        // One purchase of at most 400 fen beyond it, which the rules of such logs allow.
        let budget = report["budget"].as_f64().unwrap();
        assert!(strategy["spend"].as_f64().unwrap() <= budget + 400.0, "{strategy}");
    }
}

/// Surplus in first-price auctions, as a fraction of what the best fixed shade of the value would have left, which is found on
/// the log that it is judged by: with budgets that bind, a click worth the whole budget, and with one that does not, a click
/// worth what it used to cost. Ours has learned nothing before.
#[test]
fn ours_leaves_as_much_surplus_as_the_best_shade_in_hindsight() {
    for (file, cost) in [
        ("rlb_2997.test.theta.txt.gz", "16"),
        ("sam_1458.test.tsv.gz", "106"),
        ("sam_2259.test.tsv.gz", "271"),
    ] {
        let Some(log) = real(file) else { continue };
        let binding = ["1/64", "1/16", "1/4", "1"].map(|fraction| vec!["--budget-fraction", fraction]);
        let free = vec!["--budget-fraction", "1", "--max-cpc", cost];
        for setting in binding.into_iter().chain([free]) {
            // Being told little is tried in fewer settings, to save time.
            let few = setting.contains(&"1/16") || setting.contains(&"--max-cpc");
            for (feedback, least) in
                [("full", 0.95), ("win-loss", 0.9)].into_iter().take(1 + usize::from(few))
            {
                let args =
                    [vec![log.as_str(), "--auction", "first", "--feedback", feedback], setting.clone()];
                let report = report(&args.concat());
                let surplus = |name| line(&report, name)["surplus"].as_f64().unwrap();
                let [ours, shade, truthful] = ["ours", "fixed_shade", "truthful"].map(surplus);
                println!("{file} {setting:?} {feedback}: {:.3} of the best shade", ours / shade);
                assert!(ours >= least * shade, "{file} {setting:?} {feedback}: {ours} {shade}");
                assert!(ours > 4.0 * truthful, "{file} {setting:?} {feedback}: {ours} {truthful}");
                assert!(line(&report, "ours")["overspend_fraction"].as_f64().unwrap() <= 0.0);
                assert_eq!(line(&report, "fixed_shade")["tuned_on"], "the log itself");
            }
        }
    }
}

#[test]
fn surplus_is_what_predicted_clicks_are_worth_less_what_they_cost() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made.log");
    made_up(&path, 3_000);
    let with = |auction, feedback| {
        let log = path.to_str().unwrap();
        let args =
            ["--auction", auction, "--max-cpc", "40", "--budget-fraction", "1", "--feedback", feedback];
        report(&[&[log], args.as_slice()].concat())
    };
    let told = with("first", "full");
    assert_eq!(told["click_worth"], 40.0);
    for strategy in told["strategies"].as_array().unwrap() {
        let number = |name: &str| strategy[name].as_f64().unwrap();
        let wanted = number("expected_value") * 40.0 - number("spend") / 1e3;
        assert!((number("surplus") - wanted).abs() < 1e-6, "{strategy}");
    }
    let names = |report: &Value| -> Vec<String> {
        let strategies = report["strategies"].as_array().unwrap();
        strategies.iter().map(|line| line["name"].as_str().unwrap().to_owned()).collect()
    };
    assert!(names(&told).contains(&"fixed_shade".to_owned()));
    assert!(!names(&with("second", "full")).contains(&"fixed_shade".to_owned()));
    assert_ne!(line(&told, "ours"), line(&with("first", "win-loss"), "ours"));
    // Who bids the whole value of all of them keeps nothing but what rounding left it.
    assert!(line(&told, "truthful")["surplus"].as_f64() < line(&told, "ours")["surplus"].as_f64());
}

#[test]
fn a_seed_repeats() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made.log");
    made_up(&path, 2_000);
    let with = |seed| report(&[path.to_str().unwrap(), "--seed", seed]);
    let throttled = |report: &Value| line(report, "throttling")["impressions"].clone();
    assert_eq!(with("1"), with("1"));
    assert_ne!(throttled(&with("1")), throttled(&with("2")));
}

#[test]
fn a_file_that_is_no_log_is_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.log");
    std::fs::write(&path, "0 10 0.1\n0 ten 0.1\n").unwrap();
    let output = haggle(&[path.to_str().unwrap(), "--bad-rows", "0"]);
    assert_eq!(output.status.code(), Some(i32::from(Exit::InputUnusable.code())));
    let message = String::from_utf8(output.stderr).unwrap();
    let over = haggle(&[path.to_str().unwrap(), "--report", path.to_str().unwrap()]);
    assert_eq!(over.status.code(), Some(i32::from(Exit::Usage.code())));
    let second = haggle(&[path.to_str().unwrap(), "--feedback", "win-loss"]);
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(said.contains("--feedback win-loss is for first-price auctions (--auction first)"), "{said}");
    assert!(message.contains("bad.log:2: column `market price`: \"ten\" is not whole fen"), "{message}");
}

#[test]
fn a_log_of_ipinyou_is_replayed_with_the_click_rates_of_a_model() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let mut random = StdRng::seed_from_u64(3);
    // Of two sites one is clicked ten times as often, and both cost the same.
    let mut log = |name: &str, in_front: bool| {
        let (mut rows, mut clicks) = (String::new(), String::new());
        for row in 0..4_000 {
            let good = random.random_bool(0.5);
            let clicked = random.random_bool(if good { 0.2 } else { 0.02 });
            let (site, price) = (if good { "good" } else { "poor" }, random.random_range(10..100));
            if in_front {
                rows += &format!("{}\t2\t13\t", u8::from(clicked));
            } else if clicked {
                clicks += &format!("b{row}\tand more\n");
            }
            rows += &format!(
                "b{row}\t20131022135101295\t1\tuser\twindows\t1.2.3.*\t1\t2\t1\t{site}\tu\tnull\ts\t300\t250\tNa\tNa\t0\tc\t300\t{price}\tk\t2259\t\n"
            );
        }
        std::fs::write(at(name), rows).unwrap();
        std::fs::write(at(&format!("clicks-{name}")), clicks).unwrap();
    };
    log("train.log", true);
    log("test.log", false);
    let [train, test, clicks, model] = ["train.log", "test.log", "clicks-test.log", "model"].map(at);
    let output = Command::new(env!("CARGO_BIN_EXE_haggle"))
        .args([
            "model", "train", "--data", &train, "--format", "ipinyou", "--model", "logistic", "--out", &model,
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let asked =
        [test.as_str(), "--format", "ipinyou", "--model", &model, "--clicks", &clicks, "--train", &train];
    let report = report(&asked);
    assert_eq!((&report["auctions"], &report["bad_rows"]), (&4_000.into(), &0.into()));
    // The model has to know the sites apart, or nobody would win more clicks an impression than there are in the log.
    let of_all = report["clicks"].as_f64().unwrap() / 4_000.0;
    for name in ["linear", "ours"] {
        let line = line(&report, name);
        let rate = line["clicks"].as_f64().unwrap() / line["impressions"].as_f64().unwrap();
        assert!(rate > 1.5 * of_all, "{name}: {report}");
    }
    let without = haggle(&[&test, "--format", "ipinyou"]);
    let said = String::from_utf8_lossy(&without.stderr).into_owned();
    assert!(
        without.status.code() == Some(i32::from(Exit::Usage.code())) && said.contains("--model"),
        "{said}"
    );
}

#[test]
fn a_nodes_own_journal_is_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let demo = Command::new(env!("CARGO_BIN_EXE_haggle"))
        .args([
            "demo",
            "--seconds",
            "6",
            "--qps",
            "400",
            "--seed",
            "7",
            "--data",
            data.to_str().unwrap(),
            "--json",
        ])
        .output()
        .unwrap();
    assert!(demo.status.success(), "{}", String::from_utf8_lossy(&demo.stderr));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let own = std::fs::read_to_string(root.join("config/haggle.toml")).unwrap();
    let own: Vec<&str> = own.lines().filter(|line| !line.starts_with("campaigns")).collect();
    let campaigns = root.join("config/campaigns");
    let text = format!("data = {data:?}\ncampaigns = {campaigns:?}\n{}\n", own.join("\n"));
    let node = folder.path().join("node.toml");
    std::fs::write(&node, text).unwrap();
    // Of so short a day the sample may hold no click, and so what one costs has to be said.
    let sums = folder.path().join("sums.json");
    let said = r#"{"imp_train": 1000, "clk_train": 50, "cost_train": 60000, "price_counter_train": []}"#;
    std::fs::write(&sums, said).unwrap();
    let report =
        report(&[node.to_str().unwrap(), "--train", sums.to_str().unwrap(), "--budget-fraction", "1/2"]);
    assert!(report["auctions"].as_u64().unwrap() > 5 && report["unit"] == "cents", "{report}");
    assert!(report["notes"][0].as_str().unwrap().contains("bid_log_sample"), "{report}");
    let unknown = haggle(&[node.to_str().unwrap(), "--campaign", "no-such"]);
    let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(said.contains("no campaign is called \"no-such\"; there are camp-again"), "{said}");
}
