use std::collections::{BTreeMap, BTreeSet};

use haggle_actors::journal::{EmbeddedJournal, Journal, JournalOptions};
use haggle_domain::{
    Attribution, AttributionModel, BehaviourKind, BidId, CpmMicros, Credit, Decision, Event, ExchangeKey,
    Footing, Group, Holder, Micros, Notice, Order, OrderLine, PrivacyKey, ProvenClick, Quantity, Quote, Rate,
    Record, Segment, Standing, Tag, Terms, UserKey,
};
use minicbor::data::Type as Cbor;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};

use super::table::{Cell, Type, cells};
use super::*;

const BOOTS: &str = "boots";

fn at(second: i64) -> Timestamp {
    // 2026-09-21, ten minutes before midnight.
    Timestamp(1_790_034_600_000_000 + second * 1_000_000)
}

fn quote() -> Quote {
    Quote { segment: Segment(9), footing: Footing::Deal, propensity: Some(0.25) }
}

fn bid(number: u32) -> BidId {
    BidId { campaign: CampaignKey::of(BOOTS), lease: 7, number }
}

fn decision() -> Decision {
    Decision {
        bid: bid(3),
        at: at(-5),
        expires_at: at(3_600),
        ceiling: CpmMicros(5_000_000),
        exchange: ExchangeKey::of("demo"),
        creative: 2,
        propensity: 0.5,
        model_version: 41,
        click_probability: 0.25,
        value: CpmMicros(4_000_000),
        user: Some(UserKey(0xfedc_ba98_7654_3210)),
        features: vec![1, u32::MAX],
        terms: Terms { rate: Rate::from_billionths(1_500_000_000), quantity: Quantity(2_000_000) },
        explored: Some(0.125),
        order_probability: 0.0625,
        quote: quote(),
    }
}

fn line() -> OrderLine {
    OrderLine { product: "boots-42".to_owned(), quantity: 1, value: Micros(30_000_000) }
}

/// One of every kind, with nothing left out.
fn events() -> Vec<Event> {
    let (exchange, ceiling) = (ExchangeKey::of("demo"), CpmMicros(5_000_000));
    let (user, min_to_win) = (UserKey(u64::MAX), Some(CpmMicros(77)));
    vec![
        Event::Defined { id: BOOTS.to_owned() },
        Event::BudgetOpened { day: 20_717, amount: Micros(9_000_000) },
        Event::BudgetLapsed { amount: Micros(1) },
        Event::LeaseGranted { lease: 7, amount: Micros(8_000_000), expires_at: at(9_000), shared: true },
        Event::LeaseReturned { lease: 7, amount: Micros(5), bids: 9 },
        Event::LeaseExpired { lease: 7, amount: Micros(6) },
        Event::Billed {
            bid: bid(1),
            reserved: Micros(20),
            charged: Micros(19),
            capped: true,
            explored: true,
        },
        Event::Lost { bid: bid(2), reserved: Micros(30), min_to_win, ceiling, exchange, quote: quote() },
        Event::Won { bid: bid(1), price: CpmMicros(66), ceiling, exchange, min_to_win, quote: quote() },
        Event::Impression { decision: decision() },
        Event::Click { decision: decision() },
        Event::Conversion { decision: decision(), revenue: Micros(30_000_000), order: Tag(5) },
        Event::Behaviour { user, did: BehaviourKind::Carted, what: Tag(6) },
        Event::Bid { decision: decision() },
        Event::UserOptedOut { user: PrivacyKey(1) },
        Event::UserErased { user: PrivacyKey(2) },
        Event::Redacted,
        Event::Paused { paused: true, told_at: Some(Timestamp(5)) },
        Event::Creatives { tags: vec![Tag(1), Tag(2)] },
        Event::Steered { goal: 1.5, total: 1.25, aim: Tag(3) },
        Event::Traffic { hour: 30, imps: 1_000_000 },
        Event::Eligible { user, group: Group::Control },
        Event::TrancheGranted {
            lease: 7,
            holder: Holder(8),
            amount: Micros(9),
            first: 10,
            count: 11,
            explore: Micros(12),
            closes_at: at(13),
            expires_at: at(14),
        },
        Event::TrancheReturned { lease: 7, first: 10, amount: Micros(1), bids: 2 },
        Event::Noticed { notice: Notice::Won { decision: decision(), price: CpmMicros(5), min_to_win } },
        Event::Wanted { holder: Holder(8), taken: Micros(1), left: Micros(2) },
        Event::Unspent { lease: 7, first: 10, amount: Micros(1), bids: 2 },
        Event::Heard { holder: Holder(8) },
        Event::Ordered {
            order: Box::new(Order {
                tag: Tag(5),
                id: "1001".to_owned(),
                user: Some(user),
                clicks: vec![ProvenClick { bid: bid(3), bid_at: at(-5) }],
                placed_at: at(10),
                value: Micros(30_000_000),
                lines: vec![line()],
                kind: Some("online".to_owned()),
            }),
        },
        Event::OrderCorrected { order: Tag(5), value: Micros(20_000_000), lines: vec![line()] },
        Event::Attributed {
            attribution: Box::new(Attribution {
                order: Tag(5),
                id: Some("1001".to_owned()),
                placed_at: at(10),
                value: Micros(30_000_000),
                standing: Standing::Credited,
                model: AttributionModel::Linear,
                credits: vec![Credit {
                    campaign: CampaignKey::of(BOOTS),
                    amount: Micros(30_000_000),
                    touches: 3,
                    clicks: 1,
                    share: Some(1.0),
                }],
            }),
        },
        Event::BilledLate { bid: bid(1), price: CpmMicros(66), exchange },
        Event::PostedBack { postback: "crm".to_owned(), delivery: 9, delivered: true },
    ]
}

fn fits(cell: &Cell, of: Type) -> bool {
    matches!(
        (cell, of),
        (Cell::Int(_), Type::Int | Type::Date)
            | (Cell::Long(_), Type::Long | Type::Time)
            | (Cell::Float(_), Type::Float)
            | (Cell::Double(_), Type::Double)
            | (Cell::Bool(_), Type::Bool)
            | (Cell::Text(_), Type::Text)
            | (Cell::Longs(_), Type::Longs)
            | (Cell::Texts(_), Type::Texts)
    )
}

/// The variants that the code has, as it names itself.
fn variant(event: &Event) -> String {
    let text = format!("{event:?}");
    text.split([' ', '{', '(']).next().unwrap().to_owned()
}

/// The numbers of fields that a map or array in CBOR has room for: those of it and of what is in it.
fn numbers(decoder: &mut minicbor::Decoder<'_>, before: &str, found: &mut BTreeSet<String>) {
    if decoder.datatype().unwrap() != Cbor::Array {
        decoder.skip().unwrap();
        found.insert(before.to_owned());
        return;
    }
    let length = decoder.array().unwrap().unwrap();
    for number in 0..length {
        let dot = if before.is_empty() { "" } else { "." };
        let path = format!("{before}{dot}{number}");
        if matches!(decoder.datatype().unwrap(), Cbor::Null) {
            decoder.skip().unwrap();
        } else {
            numbers(decoder, &path, found);
        }
    }
}

#[test]
fn every_event_has_its_table() {
    let events = events();
    assert_eq!(events.len(), KINDS.len(), "a kind of event is missing here or in KINDS");
    assert!(KINDS.is_sorted_by_key(|kind| kind.number));
    for event in events {
        let (number, cells) = cells(&event);
        let kind = KINDS.iter().find(|kind| kind.number == number).unwrap();
        assert_eq!(variant(&event), kind.variant);
        let columns: Vec<_> = kind.columns().collect();
        assert_eq!(cells.len(), columns.len(), "{}", kind.name);
        for (cell, column) in cells.iter().zip(&columns) {
            let fitting = fits(cell, column.of) || (*cell == Cell::Null && column.optional);
            assert!(fitting, "{}.{}: {cell:?}", kind.name, column.name);
        }
        let names: BTreeSet<_> = table::COMMON.iter().chain(columns).map(|column| column.name).collect();
        assert_eq!(names.len(), table::COMMON.len() + cells.len(), "{}: two columns of one name", kind.name);
    }
}

/// What is written has these numbers and no others: a new field cannot be forgotten here.
#[test]
fn every_field_has_its_column() {
    for event in events() {
        let bytes = minicbor::to_vec(&event).unwrap();
        let mut decoder = minicbor::Decoder::new(&bytes);
        assert_eq!(decoder.array().unwrap(), Some(2));
        let number = decoder.u32().unwrap();
        let kind = KINDS.iter().find(|kind| kind.number == number).unwrap();
        let mut written = BTreeSet::new();
        numbers(&mut decoder, "", &mut written);
        let of_decision = |number: &str| format!("{}.{number}", kind.decision.unwrap_or_default());
        let mut told: BTreeSet<String> = kind.own.iter().map(|column| column.number.to_owned()).collect();
        let mut lists: Vec<String> =
            kind.own.iter().filter(|it| it.of == Type::Texts).map(|it| it.number.to_owned()).collect();
        if kind.decision.is_some() {
            told.extend(table::DECISION.iter().map(|column| of_decision(column.number)));
            lists.push(of_decision("11"));
        }
        // A bid names its campaign, as its record does; lists have no numbers of their own.
        let campaign = if kind.decision.is_some() { of_decision("0.0") } else { "0.0".to_owned() };
        let names_bid = kind.columns().any(|column| column.name == "bid_lease");
        let written: BTreeSet<String> = written
            .into_iter()
            .map(|path| match lists.iter().find(|list| path.starts_with(&format!("{list}."))) {
                Some(list) => list.clone(),
                None => path,
            })
            .filter(|path| !(names_bid && *path == campaign))
            .collect();
        assert_eq!(written, told, "{}", kind.name);
    }
}

/// A node's folder with one of every event, and some more that are billed.
fn data() -> tempfile::TempDir {
    let data = tempfile::tempdir().unwrap();
    let journal = EmbeddedJournal::open(&data.path().join("journal"), &JournalOptions::default()).unwrap();
    let mut records: Vec<Record> = events()
        .into_iter()
        .enumerate()
        .map(|(second, event)| {
            let nobodys =
                event.subject().is_some() || matches!(event, Event::UserErased { .. } | Event::Redacted);
            let campaign = if nobodys { CampaignKey::default() } else { CampaignKey::of(BOOTS) };
            Record { at: at(second as i64), campaign, event }
        })
        .collect();
    for number in 10..200 {
        let charged = Micros(i64::from(number));
        let event = Event::Billed {
            bid: bid(number),
            reserved: Micros(500),
            charged,
            capped: false,
            explored: false,
        };
        // From day to day and back, as what is reported late.
        let second = if number % 10 == 0 { 30 } else { i64::from(number) * 60 };
        records.push(Record { at: at(second), campaign: CampaignKey::of(BOOTS), event });
    }
    journal.try_reserve().unwrap().commit(records, None);
    journal.close().unwrap();
    data
}

fn arguments(data: &Path, parquet: &Path) -> ExportArgs {
    ExportArgs {
        data: Some(data.to_owned()),
        parquet: Some(parquet.to_owned()),
        from: None,
        to: None,
        events: vec![],
        campaign: None,
        by: None,
        describe: false,
    }
}

fn exported(args: &ExportArgs) -> String {
    export(args, &Progress::default()).unwrap()
}

fn rows(path: &Path) -> Vec<Row> {
    let reader = SerializedFileReader::new(fs::File::open(path).unwrap()).unwrap();
    reader.get_row_iter(None).unwrap().map(Result::unwrap).collect()
}

fn fields(row: &Row) -> BTreeMap<String, Field> {
    row.get_column_iter().map(|(name, field)| (name.clone(), field.clone())).collect()
}

fn long(row: &Row, name: &str) -> i64 {
    match fields(row)[name] {
        Field::Long(value) => value,
        ref other => panic!("{name} is {other}"),
    }
}

#[test]
fn what_was_written_reads_back() {
    let (data, out) = (data(), tempfile::tempdir().unwrap());
    let parquet = out.path().join("tables");
    let said = exported(&arguments(data.path(), &parquet));
    assert!(said.ends_with("ok: 223 records of offsets 0 to 223\n"), "{said}");
    assert!(said.contains("billed                    191"), "{said}");
    for kind in KINDS {
        let rows = rows(&parquet.join(format!("{}.parquet", kind.name)));
        assert_eq!(rows.len(), if kind.name == "billed" { 191 } else { 1 }, "{}", kind.name);
        assert_eq!(rows[0].len(), table::COMMON.len() + kind.columns().count());
    }
    let billed = rows(&parquet.join("billed.parquet"));
    let charged: i64 = billed.iter().map(|row| long(row, "charged_micros")).sum();
    assert_eq!(charged, 19 + (10..200).sum::<i64>());
    let conversion = &rows(&parquet.join("conversion.parquet"))[0];
    let found = fields(conversion);
    assert_eq!(found["at"], Field::TimestampMicros(at(11).0));
    assert_eq!(found["campaign"], Field::Str(CampaignKey::of(BOOTS).to_string()));
    assert_eq!(found["campaign_id"], Field::Str(BOOTS.to_owned()));
    assert_eq!(found["user"], Field::Str("fedcba9876543210".to_owned()));
    assert_eq!(found["raised_probability"], Field::Float(0.125));
    assert_eq!(found["features"].to_string(), "[1, 4294967295]");
    assert_eq!(long(conversion, "revenue_micros"), 30_000_000);
    let opened = fields(&rows(&parquet.join("budget_opened.parquet"))[0]);
    assert_eq!(opened["day"], Field::Date(20_717));
    let nobodys = fields(&rows(&parquet.join("behaviour.parquet"))[0]);
    assert_eq!((&nobodys["campaign_id"], &nobodys["campaign"]), (&Field::Null, &Field::Str("0".repeat(16))));
    // A folder that is there is not touched, and nothing else is left beside it.
    let error = export(&arguments(data.path(), &parquet), &Progress::default()).unwrap_err();
    assert_eq!(error.exit, Exit::CannotCreate);
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), 1);
}

#[test]
fn days_have_folders_and_late_records_go_to_theirs() {
    let (data, out) = (data(), tempfile::tempdir().unwrap());
    let parquet = out.path().join("days");
    let args = ExportArgs {
        by: Some(By::Day),
        events: vec!["billed".to_owned()],
        ..arguments(data.path(), &parquet)
    };
    exported(&args);
    let mut found = BTreeMap::new();
    for day in ["2026-09-21", "2026-09-22"] {
        let folder = parquet.join("billed").join(format!("day={day}"));
        for file in fs::read_dir(folder).unwrap() {
            for row in rows(&file.unwrap().path()) {
                assert!(fields(&row)["at"].to_string().starts_with(day));
                found.insert(long(&row, "offset"), long(&row, "charged_micros"));
            }
        }
    }
    assert_eq!((found.len(), found.values().sum::<i64>()), (191, 19 + (10..200).sum::<i64>()));
    assert_eq!(fs::read_dir(&parquet).unwrap().count(), 1);
}

/// A copy of several partitions may have caught up with one by days more than with another.
#[test]
fn days_that_alternate_have_a_file_each() {
    let (data, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let journal = EmbeddedJournal::open(&data.path().join("journal"), &JournalOptions::default()).unwrap();
    let records = (0..40i64).map(|number| {
        let event = Event::BudgetLapsed { amount: Micros(number) };
        Record { at: at(number % 10 * 86_400), campaign: CampaignKey::of(BOOTS), event }
    });
    let defined = Event::Defined { id: BOOTS.to_owned() };
    let first = Record { at: at(0), campaign: CampaignKey::of(BOOTS), event: defined };
    journal.try_reserve().unwrap().commit(std::iter::once(first).chain(records).collect(), None);
    journal.close().unwrap();
    let parquet = out.path().join("days");
    exported(&ExportArgs { by: Some(By::Day), ..arguments(data.path(), &parquet) });
    let days: Vec<_> = fs::read_dir(parquet.join("budget_lapsed")).unwrap().map(Result::unwrap).collect();
    assert_eq!(days.len(), 10);
    for day in days {
        let files: Vec<_> = fs::read_dir(day.path()).unwrap().map(|file| file.unwrap().path()).collect();
        assert_eq!((files.len(), rows(&files[0]).len()), (1, 4), "{}", day.path().display());
    }
}

#[test]
fn what_is_not_asked_for_is_left_out() {
    let (data, out) = (data(), tempfile::tempdir().unwrap());
    let count = |name: &str, change: &dyn Fn(&mut ExportArgs)| {
        let parquet = out.path().join(name);
        let mut args = arguments(data.path(), &parquet);
        change(&mut args);
        let said = exported(&args);
        said.lines().last().unwrap().split(' ').nth(1).unwrap().parse::<u64>().unwrap()
    };
    let bound = |text: &str| Some(text.parse::<Bound>().unwrap());
    assert_eq!(count("offsets", &|args| (args.from, args.to) = (bound("3"), bound("12"))), 9);
    assert_eq!(count("late", &|args| args.from = bound("500")), 0);
    assert_eq!(count("day", &|args| args.from = bound("2026-09-22")), 171);
    assert_eq!(count("times", &|args| args.to = bound("2026-09-21T23:50:03Z")), 3);
    assert_eq!(count("kinds", &|args| args.events = vec!["won".to_owned(), "click".to_owned()]), 2);
    assert_eq!(count("campaign", &|args| args.campaign = Some(BOOTS.to_owned())), 219);
    let complaint = |change: &dyn Fn(&mut ExportArgs)| {
        let parquet = out.path().join("nothing");
        let mut args = arguments(data.path(), &parquet);
        change(&mut args);
        let error = export(&args, &Progress::default()).unwrap_err();
        assert!(error.exit == Exit::Usage && !parquet.exists());
        error.message
    };
    let nobody = complaint(&|args| args.campaign = Some("shoes".to_owned()));
    assert!(nobody.contains("no campaign \"shoes\"") && nobody.contains(BOOTS), "{nobody}");
    // It is known though the records that define it are not asked for.
    let later = |args: &mut ExportArgs| (args.from, args.campaign) = (bound("220"), Some(BOOTS.to_owned()));
    assert!(count("later", &later) <= 3);
    for (from, to) in [("12", "3"), ("3", "3"), ("2026-09-22", "2026-09-21")] {
        let turned = complaint(&|args| (args.from, args.to) = (bound(from), bound(to)));
        assert_eq!(turned, "--from is not before --to");
    }
    let args =
        ExportArgs { events: vec!["sold".to_owned()], ..arguments(data.path(), &out.path().join("x")) };
    let error = export(&args, &Progress::default()).unwrap_err();
    assert!(error.message.contains("choose from defined, "), "{}", error.message);
    assert!("yesterday".parse::<Bound>().unwrap_err().contains("2026-11-23"));
}

/// The page is what the code says; `haggle export --describe` prints what belongs there.
#[test]
fn the_page_names_every_event_and_field() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/events.md")).unwrap();
    let (_, after) = page.split_once("<!-- from here on: haggle export --describe -->\n\n").unwrap();
    assert_eq!(after, describe::tables());
}

#[test]
fn a_stop_leaves_nothing() {
    let (data, out) = (data(), tempfile::tempdir().unwrap());
    let progress = Progress::default();
    progress.stop.store(true, Ordering::Relaxed);
    let error = export(&arguments(data.path(), &out.path().join("tables")), &progress).unwrap_err();
    assert_eq!(error.exit, Exit::CheckFailed);
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), 0);
    // The journal is free again.
    exported(&arguments(data.path(), &out.path().join("tables")));
}
