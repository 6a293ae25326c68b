//! The report against the books, and what explains their difference.

use std::collections::{BTreeMap, HashMap, HashSet};

use haggle_domain::{BidId, Micros, Timestamp};
use serde::Serialize;

use super::args::{ReconcileArgs, shown};
use super::books::{BidBooks, Told};
use super::table::{Row, Span, Subject, Table};

/// What was found. Amounts are in millionths of the account's currency.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Outcome {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) rows: usize,
    /// So many of them are of a time and subject that another is of, too; all are summed.
    pub(super) repeated: u64,
    /// What the report says that its amounts are in, and what one of it was taken for.
    pub(super) currency: Option<String>,
    pub(super) rate: String,
    pub(super) report: Sums,
    pub(super) books: Sums,
    /// Shares of what the report says.
    pub(super) impressions_off: f64,
    pub(super) spend_off: f64,
    pub(super) within_tolerance: bool,
    pub(super) explanations: Vec<Explanation>,
    /// What the report says more than the books, beyond what was explained.
    pub(super) unexplained_micros: i64,
    pub(super) subjects: Vec<Line>,
}

/// Impressions and what they cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Sums {
    pub(super) impressions: u64,
    pub(super) spend_micros: i64,
}

impl Sums {
    fn add(&mut self, impressions: u64, spend: Micros) {
        self.impressions = self.impressions.saturating_add(impressions);
        self.spend_micros = self.spend_micros.saturating_add(spend.0);
    }
}

/// One reason for a difference.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Explanation {
    pub(super) reason: &'static str,
    pub(super) count: u64,
    /// What the report says more than the books for that, as far as it can be told.
    pub(super) micros: i64,
    pub(super) text: String,
}

/// A campaign or creative.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) report: Sums,
    pub(super) books: Sums,
}

/// What hours are compared by: bids are too many.
type Group = Subject;

fn group(subject: Subject) -> Group {
    match subject {
        Subject::Bid(bid) => Subject::Campaign(bid.campaign),
        other => other,
    }
}

/// What a bid of ours is compared with.
fn ours(kind: Subject, bid: BidId, told: &Told, books: &BidBooks) -> Group {
    match kind {
        Subject::All => Subject::All,
        Subject::Campaign(_) | Subject::Bid(_) => Subject::Campaign(bid.campaign),
        Subject::Creative(_) => {
            let tags = books.creatives.get(&bid.campaign);
            let tag = told.creative.and_then(|place| tags?.get(usize::from(place)).copied());
            Subject::Creative(tag.unwrap_or_default())
        }
    }
}

/// What the report asks for a row without its fees.
fn net(row: &Row, args: &ReconcileArgs) -> Micros {
    let spend = row.spend - row.fee;
    if args.fee != 0.0 { Micros((spend.0 as f64 / (1.0 + args.fee / 100.0)).round() as i64) } else { spend }
}

/// Compares.
pub(super) fn compare(table: &Table, books: &BidBooks, args: &ReconcileArgs, span: Span) -> Outcome {
    let within = |at: Timestamp| span.from <= at && at < span.to;
    let at = |row: &Row| {
        row.minute.map(|minute| Timestamp((minute - i64::from(args.offset)).saturating_mul(60_000_000)))
    };
    let rows: Vec<&Row> = table.rows.iter().filter(|row| at(row).is_none_or(within)).collect();
    let kind = rows.first().map_or(Subject::All, |row| row.subject);
    let mut lines: BTreeMap<Group, Line> = BTreeMap::new();
    let (mut report, mut booked) = (Sums::default(), Sums::default());
    let name = |group: Group| match group {
        Subject::Campaign(key) => books.names.get(&key).cloned().unwrap_or_else(|| key.to_string()),
        Subject::Creative(tag) if !tag.is_some() => "(not told)".to_owned(),
        Subject::Creative(tag) => format!("{:016x}", tag.0),
        _ => "all".to_owned(),
    };
    for row in &rows {
        report.add(row.impressions, net(row, args));
        let group = group(row.subject);
        let named = || match row.subject {
            Subject::Bid(_) => name(group),
            _ => row.name.clone(),
        };
        let line = lines.entry(group).or_insert_with(|| Line {
            name: named(),
            report: Sums::default(),
            books: Sums::default(),
        });
        line.report.add(row.impressions, net(row, args));
    }
    for (bid, told) in &books.bids {
        let Some((_, charged)) = told.billed.filter(|(at, _)| within(*at)) else { continue };
        booked.add(1, charged);
        let group = ours(kind, *bid, told, books);
        let line = lines.entry(group).or_insert_with(|| Line {
            name: name(group),
            report: Sums::default(),
            books: Sums::default(),
        });
        line.books.add(1, charged);
    }
    let off = |theirs: f64, ours: f64| (theirs - ours).abs() / theirs.max(1e-9);
    let impressions_off = off(report.impressions as f64, booked.impressions as f64);
    let spend_off = off(report.spend_micros as f64, booked.spend_micros as f64);
    let tolerance = args.tolerance / 100.0;
    let subjects: Vec<Line> = lines.into_values().collect();
    let mut explanations = of_bids(&rows, books, &within, args);
    explanations.extend(of_clock(table, books, args, span, kind));
    let told = sum(&explanations);
    explanations.extend(of_fees(&subjects, report, booked, told));
    let known = sum(&explanations);
    let rest = report.spend_micros.saturating_sub(booked.spend_micros).saturating_sub(known);
    // Charges are rounded up to a millionth; the report's rows to their last digit.
    let most = table.half_digit * 1e6 * rows.len() as f64 + booked.impressions as f64;
    let rounding = Micros((rest.abs() as f64).min(most) as i64 * rest.signum());
    if rounding != Micros::ZERO {
        explanations.push(Explanation {
            reason: "rounding",
            count: rows.len() as u64,
            micros: rounding.0,
            text: format!(
                "roundings of the report's amounts and of charges come to {:.6} at most",
                most / 1e6
            ),
        });
    }
    Outcome {
        from: span.from.to_string(),
        to: span.to.to_string(),
        rows: rows.len(),
        repeated: table.repeated,
        currency: table.currency.clone(),
        rate: args.rate.to_string(),
        report,
        books: booked,
        impressions_off,
        spend_off,
        within_tolerance: impressions_off <= tolerance && spend_off <= tolerance,
        explanations,
        unexplained_micros: rest - rounding.0,
        subjects,
    }
}

fn sum(explanations: &[Explanation]) -> i64 {
    explanations.iter().fold(0, |sum, explanation| sum.saturating_add(explanation.micros))
}

/// What single bids tell.
fn of_bids(
    rows: &[&Row],
    books: &BidBooks,
    within: &dyn Fn(Timestamp) -> bool,
    args: &ReconcileArgs,
) -> Vec<Explanation> {
    let mut found: BTreeMap<&'static str, (u64, i64)> = BTreeMap::new();
    let mut note = |reason, micros: i64| {
        let (count, sum) = found.entry(reason).or_default();
        *count += 1;
        *sum = sum.saturating_add(micros);
    };
    let by_bid = rows.iter().any(|row| matches!(row.subject, Subject::Bid(_)));
    let mut listed: HashSet<BidId> = HashSet::new();
    for row in rows {
        let Subject::Bid(bid) = row.subject else { continue };
        if !listed.insert(bid) {
            note("duplicate", net(row, args).0);
        } else if !books.bids.contains_key(&bid) {
            note("unknown", net(row, args).0);
        }
    }
    for (bid, told) in &books.bids {
        let asked = told.price.map_or(0, |price| price.per_impression_rounded_up().0);
        match (told.billed, told.late) {
            (Some((at, charged)), _) => {
                if by_bid && within(at) && !listed.contains(bid) {
                    note("unlisted", -charged.0);
                }
                if told.capped && within(at) {
                    note("capped", (asked - charged.0).max(0));
                }
            }
            (None, Some((at, price))) if within(at) => note("late", price.per_impression_rounded_up().0),
            (None, None) if told.won_at.is_some_and(within) && (!by_bid || listed.contains(bid)) => {
                note("missing", asked);
            }
            _ => {}
        }
    }
    if books.nowhere.0 > 0 {
        found.insert("nowhere", (books.nowhere.0, -books.nowhere.1.0));
    }
    found
        .into_iter()
        .map(|(reason, (count, micros))| {
            let text = match reason {
                "duplicate" => "rows name a bid that another row has named",
                "unknown" => "rows name a bid of which no notice came",
                "unlisted" => "bids were billed here and are not in the report",
                "capped" => "bills asked for more than the bid, and were paid the bid",
                "late" => "bills came after the reservation's end (notice_timeout), and were not paid",
                "missing" => "bids were won or shown, and no bill came for them",
                _ => {
                    "bills are of bids of which no other notice says at which exchange; they are not compared"
                }
            };
            // What is left out of the books' sum is no difference to it.
            let micros = if reason == "nowhere" { 0 } else { micros };
            Explanation { reason, count, micros, text: format!("{count} {text}") }
        })
        .collect()
}

/// Whether the report's days or hours are those of another clock.
fn of_clock(
    table: &Table,
    books: &BidBooks,
    args: &ReconcileArgs,
    span: Span,
    kind: Subject,
) -> Option<Explanation> {
    let step = table.step?;
    let mut theirs: HashMap<(i64, Group), i64> = HashMap::new();
    for row in &table.rows {
        if let Some(minute) = row.minute {
            *theirs.entry((minute, group(row.subject))).or_default() +=
                i64::try_from(row.impressions).unwrap_or(i64::MAX);
        }
    }
    // Of a quarter of an hour each: no clock differs by less.
    let mut slots: HashMap<(i64, Group), i64> = HashMap::new();
    for (bid, told) in &books.bids {
        if let Some((at, _)) = told.billed {
            *slots.entry((at.0.div_euclid(900_000_000) * 15, ours(kind, *bid, told, books))).or_default() +=
                1;
        }
    }
    let (first, last) = (span.from.0.div_euclid(60_000_000), span.to.0.div_euclid(60_000_000));
    let differs = |offset: i64| {
        let mut left = theirs.clone();
        for ((minute, group), count) in &slots {
            let local = minute + offset;
            let bucket = local.div_euclid(step) * step;
            // What lies around is there for clocks that are far off.
            let asked = (first + i64::from(args.offset)..last + i64::from(args.offset)).contains(&bucket);
            if asked {
                *left.entry((bucket, *group)).or_default() -= count;
            }
        }
        left.values().map(|difference| difference.unsigned_abs()).sum::<u64>()
    };
    let now = differs(i64::from(args.offset));
    let offsets = (-720..=840).step_by(30).chain([345, 525, 765]);
    let (best, which) = offsets.map(|offset| (differs(offset), offset)).min()?;
    (best * 2 < now).then(|| Explanation {
        reason: "clock",
        count: now - best,
        micros: 0,
        text: format!(
            "its {} look like those of a clock at {} from UTC: try --offset {}",
            if step == 60 { "hours" } else { "days" },
            shown(i32::try_from(which).unwrap_or(0)),
            shown(i32::try_from(which).unwrap_or(0))
        ),
    })
}

/// Whether all is dearer by the same share, with as many impressions.
fn of_fees(subjects: &[Line], report: Sums, books: Sums, told: i64) -> Option<Explanation> {
    let (theirs, ours) = (report.spend_micros as f64, books.spend_micros as f64);
    let same =
        u128::from(report.impressions.abs_diff(books.impressions)) * 500 <= u128::from(report.impressions);
    if !same || ours <= 0.0 {
        return None;
    }
    let ratio = theirs / ours;
    let spread: f64 = subjects
        .iter()
        .map(|line| (line.report.spend_micros as f64 - ratio * line.books.spend_micros as f64).abs())
        .sum();
    ((ratio - 1.0).abs() > 0.002 && spread / theirs < 0.005).then(|| Explanation {
        reason: "fee",
        count: 0,
        micros: report.spend_micros.saturating_sub(books.spend_micros).saturating_sub(told),
        text: format!(
            "as many impressions cost {:+.2} % everywhere: a fee or another rate; try --fee {:.2}",
            (ratio - 1.0) * 100.0,
            (ratio - 1.0) * 100.0
        ),
    })
}
