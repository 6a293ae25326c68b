//! `haggle simulate`: that it repeats, that it finds what was planted and nothing else, and that it refuses what it cannot do.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

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
    let vary = ["--seeds", "10", "--vary", "campaign.trail-boots.pacing=asap"];
    let one = report(&small, &[&vary[..], &["--jobs", "1"]].concat());
    let two = report(&small, &[&vary[..], &["--jobs", "2"]].concat());
    assert_eq!(one, two);
    assert_eq!(
        (&one["seeds"], &one["variants"][1]["name"]),
        (&10.into(), &"campaign.trail-boots.pacing=asap".into())
    );
    assert_eq!(one["variants"][0]["metrics"]["problems"], 0.0);
    let other = report(&small, &["--seeds", "10", "--seed", "100"]);
    assert_ne!(one["variants"][0]["metrics"], other["variants"][0]["metrics"]);
}

#[test]
fn what_changes_nothing_shows_no_difference_and_what_does_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let small = scenario(folder.path(), SMALL);
    let same = report(&small, &["--seeds", "10", "--vary", "campaign.trail-boots.pacing=even"]);
    for it in same["differences"].as_array().unwrap() {
        assert_eq!((&it["mean"], &it["verdict"]), (&0.0.into(), &"no difference shown".into()), "{it}");
    }
    let less = report(&small, &["--seeds", "10", "--vary", "campaign.*.budget={ daily = \"0.10\" }"]);
    assert_eq!(
        (verdict(&less, "spend"), verdict(&less, "overspend_micros")),
        ("less", "no difference shown")
    );
    let busy = report(&small, &["--seeds", "10", "--vary", "requests_a_day=12000"]);
    assert_eq!(verdict(&busy, "bids"), "more");
}

#[test]
fn the_bidders_own_luck_is_no_difference() {
    let folder = tempfile::tempdir().unwrap();
    let small = scenario(folder.path(), SMALL);
    let other = report(&small, &["--seeds", "12", "--vary", "salt=1"]);
    let all = other["differences"].as_array().unwrap();
    assert!(all.iter().any(|it| it["low"].as_f64() < it["high"].as_f64()), "it draws otherwise: {all:?}");
    for metric in ["clicks", "spend", "impressions", "expected_clicks"] {
        assert_eq!(verdict(&other, metric), "no difference shown", "{all:?}");
    }
}

#[test]
fn what_was_stopped_goes_on_from_its_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let small = scenario(folder.path(), SMALL);
    let kept = folder.path().join("worlds");
    let flags = ["--seeds", "12", "--vary", "salt=1", "--json", "--checkpoint", kept.to_str().unwrap()];
    for signal in ["-INT", "-KILL"] {
        let before = std::fs::metadata(&kept).map_or(0, |file| file.len());
        let mut command = Command::new(env!("CARGO_BIN_EXE_haggle"));
        let mut child =
            command.arg("simulate").arg(&small).args(flags).stdout(Stdio::null()).spawn().unwrap();
        // Some worlds, each of a few thousand bytes.
        while std::fs::metadata(&kept).map_or(0, |file| file.len()) < before + 20_000 {
            assert!(child.try_wait().unwrap().is_none(), "it was to be stopped before its end");
            std::thread::sleep(Duration::from_millis(5));
        }
        let sent = Command::new("kill").arg(signal).arg(child.id().to_string()).status().unwrap();
        assert!(sent.success());
        child.wait().unwrap();
    }
    let again = haggle(&small, &flags);
    let mut again: Value = serde_json::from_slice(&again.stdout).unwrap();
    let timing = again.as_object_mut().unwrap().remove("timing").unwrap();
    assert!(timing["resumed"].as_u64().unwrap() >= 2, "{timing}");
    let whole = report(&small, &["--seeds", "12", "--vary", "salt=1"]);
    assert_eq!(again.to_string(), whole.to_string(), "to the last digit");
    // More worlds of the same: the first twelve are known.
    let more = haggle(&small, &[&flags[2..], &["--seeds", "13"]].concat());
    let more: Value = serde_json::from_slice(&more.stdout).unwrap();
    assert_eq!(more["timing"]["resumed"], 24);
    assert_eq!(more["seeds"], 13);
}

#[test]
fn the_usual_exchanges_and_rival_can_be_varied_where_nothing_is_said_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let small = scenario(folder.path(), SMALL);
    let dear = report(
        &small,
        &["--seeds", "10", "--vary", "exchange.alder.floor=10.0", "--vary", "rival.usual.factor=2.0"],
    );
    assert_eq!(verdict(&dear, "wins"), "less");
    let same = report(
        &small,
        &["--seeds", "10", "--vary", "exchange.birch.floor=1.0", "--vary", "rival.*.factor=1.0"],
    );
    assert!(same["differences"].as_array().unwrap().iter().all(|it| it["mean"] == 0.0), "{same}");
}

#[test]
fn a_page_is_written_over_nothing_that_was_read_and_its_folder_is_looked_for_first() {
    let folder = tempfile::tempdir().unwrap();
    let small = scenario(folder.path(), SMALL);
    let (page, none) = (folder.path().join("page"), folder.path().join("none/page"));
    let (page, none) = (page.to_str().unwrap(), none.to_str().unwrap());
    let over = haggle(&small, &["--seeds", "1", "--checkpoint", page, "--report", page]);
    assert_eq!(over.status.code(), Some(i32::from(Exit::Usage.code())));
    assert!(String::from_utf8_lossy(&over.stderr).contains("would overwrite"));
    let campaigns = folder.path().join("campaigns");
    std::fs::create_dir(&campaigns).unwrap();
    let of_learning = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/scenarios/learning/boots.toml");
    let boots = campaigns.join("boots.toml");
    std::fs::copy(of_learning, &boots).unwrap();
    let with = scenario(folder.path(), &format!("{SMALL}campaigns = \"campaigns\"\n"));
    let over = haggle(&with, &["--seeds", "1", "--report", boots.to_str().unwrap()]);
    assert_eq!(over.status.code(), Some(i32::from(Exit::Usage.code())));
    let nowhere = haggle(&small, &["--seeds", "1", "--report", none]);
    assert_eq!((nowhere.status.code(), nowhere.stdout.len()), (Some(i32::from(Exit::IoFailed.code())), 0));
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
    assert!(said.contains("no campaign \"no-such\" takes part; there are camp-again"), "{said}");
    let said = refused(&small, &["--vary", "campaign.trail-boots.pacing=slow"]);
    assert!(said.contains("pacing") && said.contains("slow"), "{said}");
    let many = haggle(&small, &["--seeds", "4294967295"]);
    assert_eq!(many.status.code(), Some(i32::from(Exit::Usage.code())));
    let said = refused(&small, &["--vary", "campaigns=elsewhere"]);
    assert!(said.contains("cannot be varied"), "{said}");
    let said = refused(&small, &["--vary", "campaign.trail-boots.id=morning-coffee"]);
    assert!(said.contains("told apart by it"), "{said}");
    let said = refused(&small, &["--vary", "request_a_day=10"]);
    assert!(said.contains("unknown field `request_a_day`"), "{said}");
    let said = refused(&small, &["--vary", "faults.lots=0.5"]);
    assert!(said.contains("unknown field `lots`"), "{said}");
    let said = refused(&scenario(folder.path(), &SMALL.replace("0.25", "-1.0")), &[]);
    assert!(said.contains("days: must be above 0"), "{said}");
    let said = refused(&scenario(folder.path(), &format!("{SMALL}measured_from = 0.25\n")), &[]);
    assert!(said.contains("measured_from: must be from 0 to less than days"), "{said}");
    let said =
        refused(&scenario(folder.path(), &format!("{SMALL}[[change]]\nat = 1.0\nclick_rate = -2.0\n")), &[]);
    assert!(said.contains("small.toml: change 1: click_rate: must be a factor from 0.01 to 100"), "{said}");
    let said =
        refused(&scenario(folder.path(), &format!("{SMALL}[[change]]\nat = 1.0\nclicks = 2.0\n")), &[]);
    assert!(said.contains("unknown field `clicks`"), "{said}");
    let said = refused(&scenario(folder.path(), &format!("{SMALL}[faults]\nlost = 2.0\n")), &[]);
    assert!(said.contains("small.toml: faults: lost: must be a share from 0 to 1"), "{said}");
    let said = refused(&scenario(folder.path(), "name = 3"), &[]);
    assert!(said.contains("small.toml"), "{said}");
}

/// A scenario that comes with the program, made short: its days, and with them its changes and what is not measured.
fn shortened(path: &Path, folder: &Path, to_days: f64) -> PathBuf {
    let mut world: toml::Table = std::fs::read_to_string(path).unwrap().parse().unwrap();
    let days = world["days"].as_float().unwrap();
    let shorter = |value: &toml::Value| toml::Value::Float(value.as_float().unwrap() * to_days / days);
    for key in ["days", "measured_from"] {
        if let Some(value) = world.get(key).map(shorter) {
            world.insert(key.to_owned(), value);
        }
    }
    for change in world.get_mut("change").and_then(toml::Value::as_array_mut).into_iter().flatten() {
        let change = change.as_table_mut().unwrap();
        change.insert("at".to_owned(), shorter(&change["at"]));
    }
    if let Some(faults) = world.get_mut("faults").and_then(toml::Value::as_table_mut) {
        for at in faults.get_mut("crashes").and_then(toml::Value::as_array_mut).into_iter().flatten() {
            *at = shorter(at);
        }
        for kind in ["clock", "silence"] {
            for it in faults.get_mut(kind).and_then(toml::Value::as_array_mut).into_iter().flatten() {
                let it = it.as_table_mut().unwrap();
                it.insert("at".to_owned(), shorter(&it["at"]));
                it.insert("hours".to_owned(), shorter(&it["hours"]));
            }
        }
    }
    if let Some(campaigns) = world.get("campaigns").and_then(toml::Value::as_str) {
        let campaigns = path.parent().unwrap().join(campaigns).display().to_string();
        world.insert("campaigns".to_owned(), campaigns.into());
    }
    scenario(folder, &world.to_string())
}

#[test]
fn the_scenarios_that_come_with_the_program_hold_their_invariants() {
    let (folder, short) =
        (Path::new(env!("CARGO_MANIFEST_DIR")).join("config/scenarios"), tempfile::tempdir().unwrap());
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            continue;
        }
        count += 1;
        let report = report(
            &shortened(&path, short.path(), 0.1),
            &["--seeds", "1", "--assert", "overspend_micros == 0"],
        );
        assert!(report["variants"][0]["metrics"]["bids"].as_f64().unwrap() > 0.0, "{}", path.display());
    }
    assert!(count >= 10);
}

/// What a variant of a scenario that comes with the program differs in, in ten short worlds.
fn varied(name: &str, days: f64, vary: &[&str]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/scenarios").join(name);
    let vary = vary.iter().flat_map(|it| ["--vary", it]);
    let arguments: Vec<&str> = ["--seeds", "10"].into_iter().chain(vary).collect();
    report(&shortened(&path, folder.path(), days), &arguments)
}

fn of_campaign(report: &Value, variant: usize, id: &str, key: &str) -> f64 {
    let campaigns = report["variants"][variant]["campaigns"].as_array().unwrap();
    campaigns.iter().find(|it| it["id"] == id).unwrap()[key].as_f64().unwrap()
}

#[test]
fn the_click_model_comes_close_to_the_hidden_truth() {
    let folder = tempfile::tempdir().unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/scenarios/learning.toml");
    // All eight days take it to 0.91.
    let report = report(&shortened(&path, folder.path(), 1.5), &["--seeds", "1"]);
    let variant = &report["variants"][0];
    let part = |at: usize| variant["course"]["gap_closed"][at].as_f64().unwrap();
    assert!(part(47) > 0.8 && part(0) < 0.5, "{}", variant["course"]["gap_closed"]);
    assert!(variant["metrics"]["gap_closed"].as_f64().unwrap() > 0.8, "{}", variant["metrics"]);
}

#[test]
fn bots_that_are_let_in_bring_clicks_and_no_orders() {
    let report = varied("bots.toml", 0.2, &["bots.turned_away=false"]);
    assert_eq!((verdict(&report, "clicks"), verdict(&report, "orders")), ("more", "no difference shown"));
    // What a campaign that buys orders pays for them rises with what it pays for those who never buy.
    assert_eq!((verdict(&report, "spend"), verdict(&report, "goal_cost_ratio")), ("more", "more"));
}

#[test]
fn rivals_that_answer_leave_less_and_dearer_than_rivals_that_stand_still() {
    let report = varied("adversarial-rivals.toml", 0.2, &["rival.summit.step=0.0", "rival.pocket.step=0.0"]);
    assert_eq!((verdict(&report, "impressions"), verdict(&report, "ecpc")), ("more", "less"));
    let impressions =
        |variant: usize| report["variants"][variant]["metrics"]["impressions"].as_f64().unwrap();
    assert!(impressions(1) > 1.3 * impressions(0), "{} and {}", impressions(0), impressions(1));
}

#[test]
fn an_exchange_that_does_not_tell_losses_ties_money_up() {
    let report = varied("many-exchanges.toml", 0.2, &["exchange.cedar.loss_notices=true"]);
    assert_eq!((verdict(&report, "impressions"), verdict(&report, "spend")), ("more", "more"));
    let on_cedar = |variant| of_campaign(&report, variant, "tents-cedar", "spend");
    assert!(on_cedar(1) > 2.0 * on_cedar(0) && on_cedar(0) > 0.0, "{} and {}", on_cedar(0), on_cedar(1));
}

#[test]
fn a_campaign_that_nobody_knows_spends_nearly_as_one_that_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/scenarios/cold-start.toml");
    let short = shortened(&path, folder.path(), 0.5);
    // So that its flight begins in the middle.
    let text = std::fs::read_to_string(&short).unwrap();
    let short = scenario(folder.path(), &format!("start = \"2026-11-24T18:00:00Z\"\n{text}"));
    let earlier = "campaign.coffee-new.flight.start=2026-11-24T00:00:00Z";
    let report = report(&short, &["--seeds", "10", "--vary", earlier]);
    let spend = |variant| of_campaign(&report, variant, "coffee-new", "spend");
    assert!(spend(0) > 0.7 * spend(1) && spend(1) > 0.5, "{} new and {} known", spend(0), spend(1));
}

#[test]
fn worlds_say_what_of_them_is_wrong_and_variants_choose_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let exchanges =
        "[[exchange]]\nname = \"oak\"\nprice = \"first\"\n[[exchange]]\nname = \"elm\"\nprice = \"second\"\n";
    let refused = |text: &str, arguments: &[&str]| {
        let output = haggle(&scenario(folder.path(), &format!("{SMALL}{text}")), arguments);
        assert_eq!(output.status.code(), Some(i32::from(Exit::Configuration.code())));
        String::from_utf8(output.stderr).unwrap()
    };
    for (text, vary, problem) in [
        ("[bots]\nshare = 2.0\n", "days=0.1", "small.toml: bots: share: must be from 0 to 1"),
        ("week = [1.0]\n", "days=0.1", "small.toml: week: must have seven factors"),
        (exchanges, "exchange.ash.fee=0.1", "no exchange \"ash\"; there are oak, elm"),
        (exchanges, "exchange.fee=0.1", "there are several of \"exchange\"; say which"),
        (exchanges, "exchange.oak.fee=2.0", "exchange \"oak\": fee: must be from 0 to 0.9"),
        (exchanges, "exchange.oak.fees=0.1", "unknown field `fees`"),
    ] {
        let said = refused(text, &["--vary", vary]);
        assert!(said.contains(problem), "{said} for {vary}");
    }
    // The built-in campaigns that are for one exchange alone are left out where it is not there.
    let small = scenario(folder.path(), &format!("{SMALL}{exchanges}"));
    let report = report(&small, &["--seeds", "10", "--vary", "exchange.*.floor=20.0"]);
    assert_eq!(verdict(&report, "bids"), "less");
}

#[test]
fn faults_cost_and_what_nothing_is_said_of_does_not_happen() {
    let folder = tempfile::tempdir().unwrap();
    let small = scenario(folder.path(), SMALL);
    let vary = |faults: &str| report(&small, &["--seeds", "10", "--vary", &format!("faults={{ {faults} }}")]);
    for it in vary("")["differences"].as_array().unwrap() {
        assert_eq!(it["verdict"], "no difference shown", "{it}");
    }
    let lossy = vary("lost = 0.5");
    assert_eq!((verdict(&lossy, "impressions"), verdict(&lossy, "spend")), ("less", "less"));
    let down = vary("crashes = [0.05], down_minutes = 240, down_notices = \"lost\"");
    assert_eq!((verdict(&down, "bids"), verdict(&down, "problems")), ("less", "no difference shown"));
    let silent = vary("silence = [{ exchange = \"alder\", at = 0.0, hours = 6.0 }]");
    assert_eq!(verdict(&silent, "bids"), "less");
}

/// Twenty-four hours, the second half of which has three times the orders, and a campaign that is to buy them.
const CHANGING: &str = "name = \"turns\"\nteaches = \"a change\"\ndays = 1.0\nrequests_a_day = 4000\nusers = 500\n\
    measured_from = 0.5\n[[change]]\nat = 0.5\norder_rate = 8.0\nclick_rate = 2.0\n";

#[test]
fn a_change_is_found_and_what_orders_cost_is_set_against_the_goal() {
    let folder = tempfile::tempdir().unwrap();
    let changing = scenario(folder.path(), CHANGING);
    let page = folder.path().join("page.html");
    let vary = ["--seeds", "10", "--vary", "change=[]", "--report", page.to_str().unwrap()];
    let report = report(&changing, &vary);
    assert_eq!((verdict(&report, "orders"), verdict(&report, "clicks")), ("less", "less"));
    let campaigns = report["variants"][0]["campaigns"].as_array().unwrap();
    let coffee = campaigns.iter().find(|it| it["id"] == "morning-coffee").unwrap();
    assert_eq!((&coffee["goal"], &coffee["target"]), (&"roas".into(), &10.0.into()));
    // Means over worlds: the ratio of their sums.
    let of = |key: &str| coffee[key].as_f64().unwrap();
    let expected = of("spend") / (of("revenue") / 10.0);
    assert!((of("goal_cost_ratio") - expected).abs() < 1e-9, "{coffee}");
    assert_eq!(
        (coffee["spent"].as_array().unwrap().len(), coffee["planned"].as_array().unwrap().len()),
        (49, 49)
    );
    let spent = coffee["spent"].as_array().unwrap();
    let measured = spent[48].as_f64().unwrap() - spent[24].as_f64().unwrap();
    assert!((measured - of("spend")).abs() < 0.05, "{measured} in the half that counts: {coffee}");
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("morning-coffee: spend against the plan") && page.contains("B less A: change=[]"));
}

#[test]
fn a_scenario_that_is_fitted_to_a_log_can_be_simulated() {
    let folder = tempfile::tempdir().unwrap();
    let small = scenario(folder.path(), SMALL);
    let orders = folder.path().join("orders.csv");
    let rows: String = (0..200).map(|at| format!("{at},{}.50\n", 100 + at)).collect();
    std::fs::write(&orders, format!("id,total\n{rows}9,-3.00\n")).unwrap();
    let out = folder.path().join("fitted.toml");
    let calibrate = |column: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_haggle"));
        command.args([
            "simulate",
            "calibrate",
            "--seeds",
            "2",
            "--rounds",
            "2",
            "--json",
            "--order-column",
            column,
        ]);
        command
            .arg("--scenario")
            .arg(&small)
            .arg("--orders")
            .arg(&orders)
            .arg("--out")
            .arg(&out)
            .output()
            .unwrap()
    };
    let said = String::from_utf8(calibrate("sum").stderr).unwrap();
    assert!(said.contains("orders.csv: 1:1: no column \"sum\"") && !out.exists(), "{said}");
    let fitted = calibrate("total");
    assert!(fitted.status.success(), "{}", String::from_utf8_lossy(&fitted.stderr));
    let fitted: Value = serde_json::from_slice(&fitted.stdout).unwrap();
    let median = &fitted["marginals"][0];
    assert_eq!((&median["marginal"], &median["count"]), (&"order value, median".into(), &200.into()));
    let (log, after) = (median["value"].as_f64().unwrap(), median["after"].as_f64().unwrap());
    assert!((log - 200.0).abs() < 1.0 && (after / log - 1.0).abs() < 0.1, "{median}");
    assert!(fitted["notes"].to_string().contains("1 orders of nothing or less"), "{fitted}");
    // It is a scenario like any other, and is not written over.
    assert_eq!(report(&out, &["--seeds", "1"])["seeds"], 1);
    let again = calibrate("total");
    assert_eq!(again.status.code(), Some(i32::from(Exit::CannotCreate.code())));
}
