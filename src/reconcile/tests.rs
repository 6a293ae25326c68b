use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use clap::Parser;
use haggle_domain::{
    BidId, CampaignKey, CpmMicros, Decision, Event, ExchangeKey, Micros, Quote, Record, Tag, Timestamp,
};

use super::books::BidBooks;
use super::compare::{Outcome, compare};
use super::table;
use super::{ReconcileArgs, text};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: ReconcileArgs,
}

fn args(report: &Path, more: &[&str]) -> ReconcileArgs {
    let fixed = ["haggle", "--data", "data", "--exchange", "alder", "--report", report.to_str().unwrap()];
    Line::try_parse_from(fixed.iter().chain(more)).map(|line| line.args).unwrap()
}

/// Noon of the first day.
const NOON: Timestamp =
    Timestamp(1_790_000_000_000_000 - 1_790_000_000_000_000 % 86_400_000_000 + 43_200_000_000);
const DAY: Duration = Duration::from_secs(86_400);

fn day(number: u32) -> String {
    (NOON + DAY * number).to_string()[..10].to_owned()
}

fn bid(campaign: &str, number: u32) -> BidId {
    BidId { campaign: CampaignKey::of(campaign), lease: 26, number }
}

fn won(bid: BidId, micros: i64) -> Event {
    Event::Won {
        bid,
        price: CpmMicros(micros * 1000),
        ceiling: CpmMicros(micros * 2000),
        exchange: ExchangeKey::of("alder"),
        min_to_win: None,
        quote: Quote::default(),
    }
}

fn billed(bid: BidId, micros: i64) -> Event {
    let charged = Micros(micros);
    Event::Billed { bid, reserved: charged, charged, capped: false, explored: false }
}

/// Two campaigns, ten bids a day each at 2,000 and 3,000 micros, at `after` past noon.
fn books(days: u32, after: Duration, more: Vec<(Timestamp, Event)>) -> Vec<(Timestamp, Event)> {
    let mut events = more;
    for day in 0..days {
        let at = NOON + DAY * day + after;
        for (campaign, micros) in [("boots", 2_000), ("lamps", 3_000)] {
            for number in 0..10 {
                let bid = bid(campaign, day * 100 + number);
                events.extend([(at, won(bid, micros)), (at, billed(bid, micros))]);
            }
        }
    }
    events
}

fn reconcile(csv: &str, events: &[(Timestamp, Event)], more: &[&str]) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.csv");
    std::fs::write(&file, csv).unwrap();
    let args = args(&file, more);
    let table = table::read(&args).unwrap();
    let span = table.span(&args).unwrap();
    let mut books = BidBooks::default();
    for id in ["boots", "lamps"] {
        let (event, campaign) = (Event::Defined { id: id.to_owned() }, CampaignKey::of(id));
        books.take(&Record { at: NOON, campaign, event }, span);
    }
    for (at, event) in events {
        books.take(&Record { at: *at, campaign: CampaignKey::default(), event: event.clone() }, span);
    }
    let books = books.keep(ExchangeKey::of("alder"), "alder", span).unwrap();
    compare(&table, &books, &args, span)
}

fn reasons(outcome: &Outcome) -> Vec<(&'static str, u64, i64)> {
    outcome.explanations.iter().map(|found| (found.reason, found.count, found.micros)).collect()
}

/// A report by days and campaigns.
fn daily(days: u32, boots: (u64, &str), lamps: (u64, &str)) -> String {
    let mut csv = "Date,Campaign,Imps,Cost\r\n".to_owned();
    for number in 0..days {
        for (name, (imps, cost)) in [("boots", boots), ("lamps", lamps)] {
            writeln!(csv, "{},\"{name}\",{imps},{cost}\r", day(number)).unwrap();
        }
    }
    csv
}

const MAP: [&str; 2] = ["--map", "time=Date,campaign=Campaign,impressions=Imps,spend=Cost"];

#[test]
fn a_report_that_agrees_is_within_any_tolerance() {
    let events = books(3, Duration::ZERO, Vec::new());
    let outcome = reconcile(
        &daily(3, (10, "0.02"), (10, "0.03")),
        &events,
        &[&MAP[..], &["--tolerance", "0"]].concat(),
    );
    assert!(outcome.within_tolerance && outcome.explanations.is_empty(), "{outcome:?}");
    let shown = text::write(&outcome);
    let expected = format!(
        "\
from {}T00:00:00Z to {}T00:00:00Z, 6 rows

          impressions     in books      off          spend       in books      off
boots              30           30  +0.00 %         0.0600         0.0600  +0.00 %
lamps              30           30  +0.00 %         0.0900         0.0900  +0.00 %
together           60           60  +0.00 %         0.1500         0.1500  +0.00 %

not told           0.0000

within the tolerance
",
        day(0),
        day(3)
    );
    // Campaigns stand in the order of their keys.
    let sorted = |text: &str| {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&shown), sorted(&expected), "{shown}");
}

#[test]
fn notices_that_are_missing_late_capped_or_of_nowhere_are_told_apart() {
    let other = bid("boots", 9_001);
    let exchange = ExchangeKey::of("alder");
    let mut more = vec![
        (NOON, won(bid("boots", 9_000), 2_000)),
        (NOON, won(other, 2_000)),
        (NOON, Event::BilledLate { bid: other, price: CpmMicros(2_500_000), exchange }),
        (NOON, won(bid("boots", 9_002), 2_600)),
        (NOON, billed(bid("lamps", 9_003), 700)),
    ];
    let capped = Event::Billed {
        bid: bid("boots", 9_002),
        reserved: Micros(2_000),
        charged: Micros(2_000),
        capped: true,
        explored: false,
    };
    more.push((NOON, capped));
    // Before the report begins: none of its business.
    more.push((NOON - DAY, won(bid("boots", 9_004), 5_000)));
    let events = books(1, Duration::ZERO, more);
    let outcome = reconcile(&daily(1, (13, "0.0271"), (10, "0.03")), &events, &MAP);
    assert_eq!(
        reasons(&outcome),
        [("capped", 1, 600), ("late", 1, 2_500), ("missing", 1, 2_000), ("nowhere", 1, 0)]
    );
    assert_eq!((outcome.unexplained_micros, outcome.within_tolerance), (0, false), "{outcome:?}");
}

#[test]
fn another_clock_is_recognised() {
    // At 23:00 UTC, which is the next day two hours ahead.
    let events = books(6, Duration::from_secs(11 * 3600), Vec::new());
    let mut csv = daily(7, (10, "0.02"), (10, "0.03"));
    csv = csv
        .lines()
        .filter(|line| !line.starts_with(&day(0)))
        .fold(String::new(), |all, line| all + line + "\n");
    let outcome = reconcile(&csv, &events, &MAP);
    let clock = outcome.explanations.iter().find(|found| found.reason == "clock").unwrap();
    // All clocks from one hour ahead on see it so; the least is told.
    assert!(clock.text.ends_with("--offset +01:00"), "{}", clock.text);
    let right = reconcile(&csv, &events, &[&MAP[..], &["--offset", "+02:00"]].concat());
    assert!(right.within_tolerance && right.explanations.is_empty(), "{right:?}");
}

#[test]
fn fees_rates_and_roundings_are_recognised() {
    let events = books(2, Duration::ZERO, Vec::new());
    let dearer = daily(2, (10, "0.022"), (10, "0.033"));
    let outcome = reconcile(&dearer, &events, &MAP);
    assert_eq!(reasons(&outcome), [("fee", 0, 10_000)]);
    assert!(!outcome.within_tolerance && outcome.unexplained_micros == 0, "{outcome:?}");
    for told in [["--fee", "10"], ["--rate", "0.909090909"]] {
        assert!(reconcile(&dearer, &events, &[&MAP[..], &told].concat()).within_tolerance, "{told:?}");
    }
    // Whole cents of what costs 2,000 and 3,000 micros each.
    let rounded = reconcile(&daily(2, (10, "0.02"), (10, "0.04")), &events, &MAP);
    assert_eq!(reasons(&rounded), [("rounding", 4, 20_000)]);
    assert_eq!(rounded.unexplained_micros, 0);
    let with_fees = "time,campaign,impressions,spend,fee\n".to_owned()
        + &format!("{0},boots,10,0.03,0.01\n{0},lamps,10,0.03,\n", day(0));
    assert!(reconcile(&with_fees, &books(1, Duration::ZERO, Vec::new()), &[]).within_tolerance);
}

/// The largest report that is taken, with all that can make more of it.
#[test]
fn sums_at_the_bound_are_counted() {
    let most = 1u64 << 60;
    let (spends, rate) = ("999999999.999999", "1000");
    for (spend, fee) in [(spends, "0"), ("0", spends)] {
        let csv = format!("time,campaign,impressions,spend,fee\n{},boots,{most},{spend},{fee}\n", day(0));
        let outcome =
            reconcile(&csv, &books(1, Duration::ZERO, Vec::new()), &["--fee", "-50", "--rate", rate]);
        assert_eq!(outcome.report.impressions, most);
        // By floats.
        let net = 2 * 999_999_999_999_999_000 * if fee == "0" { 1 } else { -1 };
        assert!((outcome.report.spend_micros - net).abs() < 1_000, "{outcome:?}");
        assert!(!outcome.within_tolerance, "{outcome:?}");
    }
}

/// What the report leaves out is told as it is advised.
#[test]
fn a_fee_that_was_left_out_is_recognised() {
    let events = books(2, Duration::ZERO, Vec::new());
    let cheaper = daily(2, (10, "0.018"), (10, "0.027"));
    let outcome = reconcile(&cheaper, &events, &MAP);
    let fee = outcome.explanations.iter().find(|found| found.reason == "fee").unwrap();
    assert!(fee.text.ends_with("try --fee -10.00"), "{}", fee.text);
    assert!(reconcile(&cheaper, &events, &[&MAP[..], &["--fee", "-10.00"]].concat()).within_tolerance);
}

#[test]
fn what_a_report_calls_things_is_shown_without_moving_the_cursor() {
    let csv = format!("time,campaign,impressions,spend,\n{},\"bo\u{1b}[31mots\n\",1,0.001\n", day(0));
    let shown = text::write(&reconcile(&csv, &books(1, Duration::ZERO, Vec::new()), &[]));
    assert!(shown.contains("bo\\u{1b}[31mots") && !shown.contains('\u{1b}'), "{shown}");
}

#[test]
fn a_report_of_bids_names_those_that_are_unknown_or_come_twice() {
    let mut csv = "time,bid,spend\n".to_owned();
    for number in 0..9 {
        writeln!(csv, "{} 12:00,{},0.002", day(0), bid("boots", number)).unwrap();
    }
    for strange in [bid("boots", 3), bid("boots", 77)] {
        writeln!(csv, "{} 12:00,{strange},0.002", day(0)).unwrap();
    }
    let events: Vec<_> = books(1, Duration::ZERO, Vec::new())
        .into_iter()
        .filter(|(_, event)| match event {
            Event::Won { bid, .. } | Event::Billed { bid, .. } => bid.campaign == CampaignKey::of("boots"),
            _ => false,
        })
        .collect();
    let outcome = reconcile(&csv, &events, &[]);
    assert_eq!(reasons(&outcome), [("duplicate", 1, 2_000), ("unknown", 1, 2_000), ("unlisted", 1, -2_000)]);
    assert_eq!((outcome.unexplained_micros, outcome.subjects[0].name.as_str()), (0, "boots"));
}

#[test]
fn creatives_are_compared_by_their_ids() {
    let (key, exchange) = (CampaignKey::of("boots"), ExchangeKey::of("alder"));
    let mut books = BidBooks::default();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.csv");
    std::fs::write(
        &file,
        format!("time,creative,impressions,spend\n{0},red,2,0.002\n{0},blue,1,0.001\n", day(0)),
    )
    .unwrap();
    let args = args(&file, &[]);
    let table = table::read(&args).unwrap();
    let span = table.span(&args).unwrap();
    let mut take = |event| books.take(&Record { at: NOON, campaign: key, event }, span);
    take(Event::Creatives { tags: vec![Tag::of("blue"), Tag::of("red")] });
    for (number, creative) in [(1, 0), (2, 1), (3, 1)] {
        let bid = bid("boots", number);
        take(Event::Impression { decision: Decision { bid, exchange, creative, ..Decision::default() } });
        take(billed(bid, 1_000));
    }
    let books = books.keep(exchange, "alder", span).unwrap();
    let outcome = compare(&table, &books, &args, span);
    assert!(outcome.subjects.iter().all(|line| line.report == line.books), "{outcome:?}");
}

#[test]
fn what_is_wrong_with_a_report_is_said_with_line_and_column() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.csv");
    let complaint = |csv: &str, more: &[&str]| {
        std::fs::write(&file, csv).unwrap();
        let error = table::read(&args(&file, more)).map(|_| ()).unwrap_err();
        assert_eq!(error.exit.code(), 66, "{error}");
        error.message.replace(&file.display().to_string(), "FILE")
    };
    let head = "time,campaign,impressions,spend\n";
    for (rows, says) in [
        ("2026-11-23,boots,ten,1\n", "FILE:2: column \"impressions\": \"ten\" is no whole number"),
        (
            "2026-11-23,boots,1,1\n\n2026-11-24,boots,1,1.2.3\n",
            "FILE:4: column \"spend\": \"1.2.3\" is not a decimal",
        ),
        ("23.11.2026,boots,1,1\n", "FILE:2: column \"time\": \"23.11.2026\" is neither a day nor an hour"),
        (
            "2026-11-23,boots,1,1\n2026-11-23 08:00,boots,1,1\n",
            "FILE:3: column \"time\": is a day where others are hours",
        ),
        ("2026-11-23,,1,1\n", "FILE:2: column \"campaign\": is empty"),
        ("2026-11-23\n", "FILE:2: 1 cells in the row, 4 titles"),
        ("2026-11-23,boots,1,1\n2026-11-24,boots,1\n", "FILE:3: 3 cells in the row"),
        ("2026-11-23,boots,1,1\n2026-11-24,boots,1", "FILE:3: 3 cells in the row"),
        ("2026-11-23,boots,1,234,1\n", "FILE:2: 5 cells in the row"),
        (
            "2026-11-23,boots,9,1\n2026-11-23,boots,18446744073709551615,1\n",
            "FILE:3: the sums of the report are larger than can be counted",
        ),
        ("2026-11-23,boots,\"1,5\",1\n", "FILE:2: column \"impressions\": \"1,5\" is no whole number"),
        ("2026-11-23,boots,\"1,2345\",1\n", "FILE:2: column \"impressions\": \"1,2345\" is no whole number"),
        ("2026-11-23,boots,\",123\",1\n", "FILE:2: column \"impressions\": \",123\" is no whole number"),
        ("2026-11-23,boots,1,\"1,234.56\"\n", "FILE:2: column \"spend\": \"1,234.56\" is not a decimal"),
        (
            "2026-11-23,boots,1,1\n2026-11-24,boots,1,\"1\n2026-11-25,boots,1,1\n",
            "FILE:3: column \"spend\": a cell holds further rows; is a quote left open?",
        ),
        ("", "FILE has no rows"),
    ] {
        let found = complaint(&(head.to_owned() + rows), &[]);
        assert!(found.starts_with(says), "{found}");
    }
    let found = complaint("day,imps\n1,2\n", &[]);
    assert!(
        found.starts_with(
            "FILE:1: no column says how many ads were shown; name it with --map impressions=TITLE"
        ),
        "{found}"
    );
    let found = complaint(head, &["--map", "spend=Kosten"]);
    assert!(found.starts_with("FILE:1: there is no column \"Kosten\"; there are time, campaign"), "{found}");
    let found = complaint("time,bid,spend\n2026-11-23,7,1\n", &[]);
    assert!(found.starts_with("FILE:2: column \"bid\": \"7\" is no bid's id"), "{found}");
    let money = "time,impressions,spend,currency\n2026-11-23,1,1,EUR\n2026-11-23,1,1,USD\n";
    assert!(
        complaint(money, &[]).starts_with("FILE:3: column \"currency\": is another currency than before")
    );
}

#[test]
fn what_may_be_taken_otherwise_is_said() {
    let events = books(1, Duration::ZERO, Vec::new());
    let head = "time,campaign,country,impressions,spend,currency\n";
    let report = format!(
        "{head}{day},boots,AT,4,0.01,EUR\n{day},boots,DE,4,0.01,EUR\n{day},boots,FR,2,0,EUR\n{day},lamps,AT,10,0.03,EUR\n",
        day = day(0)
    );
    let outcome = reconcile(&report, &events, &[]);
    assert_eq!((outcome.repeated, outcome.currency.as_deref()), (2, Some("EUR")));
    let shown = text::write(&outcome);
    assert!(
        shown.contains("2 rows are of a time and campaign that another is of; they were summed"),
        "{shown}"
    );
    assert!(
        shown.contains("one EUR of the report was taken for 1 of the account's currency (--rate)"),
        "{shown}"
    );
    let outcome = reconcile(&report.replace("EUR", "=\u{1b}[2J"), &events, &["--rate", "1.25"]);
    let shown = text::write(&outcome);
    assert!(shown.contains("for 1.25 of") && !shown.contains('\u{1b}'), "{shown}");
    let plain = text::write(&reconcile(&daily(1, (10, "0.02"), (10, "0.03")), &events, &MAP));
    assert!(!plain.contains("--rate") && !plain.contains("summed"), "{plain}");
    let grouped = format!("time,campaign,impressions,spend\n{},boots,\"1,234,567\",1\n", day(0));
    assert_eq!(reconcile(&grouped, &events, &[]).report.impressions, 1_234_567);
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_a_report_or_an_error(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200), rows in "(2026-11-2[0-9](| 0[0-9]:00),[a-z]{0,3},[0-9]{0,3},[0-9.]{0,6}\n){0,5}") {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("report.csv");
        for bytes in [bytes, ("time,campaign,impressions,spend\n".to_owned() + &rows).into_bytes()] {
            std::fs::write(&file, bytes).unwrap();
            drop(table::read(&args(&file, &[])));
        }
    }
}

/// What `retention` has dropped is no reason to refuse the rest.
#[test]
fn a_journal_that_begins_late_is_read_from_there() {
    use haggle_actors::journal::{EmbeddedJournal, Journal, JournalOptions};

    let data = tempfile::tempdir().unwrap();
    let journal = EmbeddedJournal::open(&data.path().join("journal"), &JournalOptions::default()).unwrap();
    let record =
        |number| Record { at: NOON, campaign: CampaignKey::of("boots"), event: won(bid("boots", number), 1) };
    journal.try_reserve().unwrap().commit((0..9).map(record).collect(), None);
    while journal.durable_end() < 9 {
        std::thread::yield_now();
    }
    journal.drop_below(4, Vec::new()).unwrap();
    journal.close().unwrap();
    let span = table::Span { from: Timestamp::default(), to: Timestamp::MAX };
    let books = super::books::read(data.path(), "alder", span, &crate::model::Progress::default()).unwrap();
    assert_eq!(books.bids.len(), 5);
}
