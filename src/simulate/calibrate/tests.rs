//! That a world is recovered from its records.

use haggle_actors::journal::{EmbeddedJournal, Journal, JournalOptions, Refused};
use haggle_domain::{CampaignKey, Notice, Record, Timestamp};
use haggle_simulator::SimRequest;
use haggle_simulator::drive::{DriveSettings, Made, Watches, drive_watched};

use super::*;

const BASE: &str =
    "name = \"base\"\nteaches = \"what is fitted\"\ndays = 1.0\nrequests_a_day = 10000.0\nusers = 1500\n";
/// The same shop with a market of its own.
const OTHER: &str = "[[rival]]\nname = \"usual\"\nfactor = 1.4\nspread = 0.8\n\
                     [[change]]\nat = 0.0\nclick_rate = 0.5\norder_rate = 3.0\norder_delay = 2.0\nclick_delay = 1.5\n";

fn scenario(text: &str) -> Scenario {
    Scenario::of("test.toml", text, Path::new("")).unwrap()
}

fn other() -> Scenario {
    let aisle = |(name, value): (&str, f64)| {
        format!("[[aisle]]\nname = {name:?}\norder_value = {:.2}\norder_spread = 0.7\n", value * 2.0)
    };
    let values = scenario(BASE).setup(&[]).unwrap().settings.world.goods.order_value;
    let aisles: String = haggle_simulator::aisles().into_iter().zip(values).map(aisle).collect();
    scenario(&format!("{BASE}{OTHER}{aisles}"))
}

fn args(folder: &Path, more: &[&str]) -> CalibrateArgs {
    use clap::Parser;
    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: CalibrateArgs,
    }
    let base = folder.join("base.toml");
    std::fs::write(&base, BASE).unwrap();
    let (base, out) = (base.to_str().unwrap(), folder.join("fitted.toml"));
    let first = ["calibrate", "--scenario", base, "--out", out.to_str().unwrap(), "--seed", "1"];
    Line::parse_from([&first[..], more].concat()).args
}

/// What a node's journal would have of a world.
#[derive(Default)]
struct Journalling(Vec<Record>);

impl Watches for Journalling {
    fn bid(&mut self, _: &SimRequest, _: &Made) {}

    fn notice(&mut self, notice: &Notice, now: Timestamp) {
        if let Some(event) = Records::event(notice) {
            self.0.push(Record { at: now, campaign: notice.decision().bid.campaign, event });
        }
    }
}

/// The journal of a node that was in a world for so many days.
fn write_journal(data: &Path, setup: &Setup, days: u32) {
    let span = std::time::Duration::from_secs(86_400) * days;
    let settings = DriveSettings { seed: 77, span, ..setup.settings.clone() };
    let mut written = Journalling::default();
    drive_watched(&settings, setup.campaigns.clone(), &mut written, &mut || true);
    let defined = haggle_domain::Event::Defined { id: "all".to_owned() };
    written.0.insert(0, Record { at: settings.start, campaign: CampaignKey::of("all"), event: defined });
    let journal = EmbeddedJournal::open(&data.join("journal"), &JournalOptions::default()).unwrap();
    for some in written.0.chunks(500) {
        let (sender, done) = std::sync::mpsc::channel();
        let permit = loop {
            match journal.try_reserve() {
                Ok(permit) => break permit,
                Err(refused) => assert!(matches!(refused, Refused::Full), "{refused}"),
            }
        };
        permit.commit(some.to_vec(), Some(Box::new(move |result| sender.send(result).unwrap())));
        done.recv_timeout(std::time::Duration::from_secs(60)).unwrap().unwrap();
    }
    journal.close().unwrap();
}

/// How far a marginal's simulated value is off, as a share.
fn off(report: &Report, marginal: &str) -> f64 {
    let row = report.marginals.iter().find(|row| row.marginal == marginal).unwrap();
    (row.after.unwrap() / row.log.value - 1.0).abs()
}

#[test]
fn a_world_is_recovered_from_its_nodes_journal() {
    let folder = tempfile::tempdir().unwrap();
    write_journal(&folder.path().join("data"), &other().setup(&[]).unwrap(), 4);
    let data = folder.path().join("data");
    let args = args(folder.path(), &["--data", data.to_str().unwrap(), "--seeds", "2", "--rounds", "4"]);
    // As long as the journal: who has bid for days has learned whom to bid for.
    std::fs::write(folder.path().join("base.toml"), BASE.replace("days = 1.0", "days = 4.0")).unwrap();
    let report = calibrate(&args, &Progress::default()).unwrap();
    println!("{}", report.text());
    for (marginal, tolerance) in [
        ("bids a day", 0.1),
        ("share of alder", 0.05),
        ("price to beat on alder, 25 %", 0.1),
        ("price to beat on alder, 50 %", 0.1),
        ("price to beat on alder, 75 %", 0.1),
        ("price to beat on birch, 50 %", 0.1),
        ("clicks an ad shown", 0.15),
        ("orders a click", 0.15),
        ("order value, median", 0.15),
        ("seconds to a click, median", 0.15),
    ] {
        let off = off(&report, marginal);
        assert!(off <= tolerance, "{marginal} is off by {off}");
    }
    // And so are the keys, as far as that many records can tell.
    let fitted = Scenario::read(&args.out).unwrap().setup(&[]).unwrap().settings;
    let (_, conditions) = fitted.changes[0];
    let (truth, base) = (other().setup(&[]).unwrap(), scenario(BASE).setup(&[]).unwrap());
    let near = |found: f64, truth: f64, tolerance: f64| {
        assert!((found / truth).ln().abs() < tolerance, "{found} is to be {truth}");
    };
    near(conditions.click_rate, 0.5, 0.2);
    near(conditions.order_rate, 3.0, 0.35);
    near(conditions.click_delay, 1.5, 0.2);
    near(fitted.requests_a_day, base.settings.requests_a_day, 0.2);
    near(fitted.world.goods.order_value[0], truth.settings.world.goods.order_value[0], 0.25);
    for rival in &fitted.world.rivals {
        near(rival.factor, 1.4, 0.15);
    }
    let again = calibrate(&args, &Progress::default()).unwrap_err();
    assert!(again.message.contains("is there already; name another --out"), "{again}");
}

#[test]
fn the_same_log_and_seed_give_the_same_scenario_however_many_threads_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.tsv");
    let rows: String =
        (0..2_000).map(|at| format!("{}\t{}\t0.1\n", u8::from(at % 50 == 0), 20 + at * 7 % 180)).collect();
    std::fs::write(&log, rows).unwrap();
    let files = ["1", "2"].map(|jobs| {
        let inner = folder.path().join(jobs);
        std::fs::create_dir(&inner).unwrap();
        let more = ["--log", log.to_str().unwrap(), "--seeds", "2", "--rounds", "1", "--jobs", jobs];
        let args = args(&inner, &more);
        calibrate(&args, &Progress::default()).unwrap();
        std::fs::read_to_string(&args.out).unwrap()
    });
    assert_eq!(files[0], files[1]);
    assert!(files[0].contains("# clicks an ad shown: 0.0200"), "{}", files[0]);
}

#[test]
fn a_log_that_tells_nothing_is_refused_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.tsv");
    std::fs::write(&log, "0\t50\t0.1\n").unwrap();
    let args = args(folder.path(), &["--log", log.to_str().unwrap()]);
    let said = calibrate(&args, &Progress::default()).unwrap_err();
    assert!(said.message.contains("too little in it to fit anything to"), "{said}");
    assert!(!args.out.exists());
}

/// Where real data lies; says so where it does not.
fn real(file: &str) -> Option<String> {
    let folder = std::env::var_os("HAGGLE_TEST_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"),
        std::path::PathBuf::from,
    );
    let path = folder.join(file);
    if !path.exists() {
        println!("skipped: no {file} in {}; set HAGGLE_TEST_DATA", folder.display());
        return None;
    }
    Some(path.to_str().unwrap().to_owned())
}

#[test]
fn real_prices_click_rates_and_baskets_are_met() {
    let season = real("ipinyou_auctions/rlb_2259.info.json");
    let Some((season, orders)) = season.zip(real("online_retail/online_retail_2010_2011.csv.gz")) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let args = args(folder.path(), &["--log", &season, "--orders", &orders]);
    let report = calibrate(&args, &Progress::default()).unwrap();
    println!("{}", report.text());
    for percent in [25, 50, 75] {
        let off = off(&report, &format!("price to beat, {percent} %"));
        assert!(off <= 0.1, "{percent} %: {off}");
    }
    assert!(off(&report, "order value, median") <= 0.05);
    let clicks = report.marginals.iter().find(|row| row.marginal == "clicks an ad shown").unwrap();
    assert!(clicks.within, "{clicks:?}");
}
