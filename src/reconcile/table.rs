//! An exchange's report: CSV, read with the line and the column of whatever is wrong.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::Duration;

use haggle_domain::{BidId, CampaignKey, CpmMicros, Micros, Tag, Timestamp};
use haggle_learning::data::Records;

use super::args::{FIELDS, ReconcileArgs};
use crate::cli::printable;
use crate::exit::{Exit, ExitError};

/// Rows, at most.
const MOST_ROWS: usize = 20_000_000;
/// What impressions, and amounts in millionths, may sum to: several times that can still be counted.
const MOST_SUM: u64 = 1 << 60;
/// So far around the report's span the books are read, for other clocks and late notices.
pub(super) const AROUND: Duration = Duration::from_secs(2 * 86_400);

/// What a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Subject {
    /// All of the exchange.
    All,
    /// A campaign, by its id.
    Campaign(CampaignKey),
    /// A creative, by the tag of its id.
    Creative(Tag),
    /// One bid.
    Bid(BidId),
}

/// A row. Amounts are in the account's currency.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    /// Which one on the report's clock, in minutes since 1970; none where the report has no times.
    pub(super) minute: Option<i64>,
    pub(super) subject: Subject,
    /// The subject as the report writes it.
    pub(super) name: String,
    pub(super) impressions: u64,
    pub(super) spend: Micros,
    pub(super) fee: Micros,
}

/// A report.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    pub(super) rows: Vec<Row>,
    /// How many minutes a row is of: a day's, an hour's; none where the report has no times.
    pub(super) step: Option<i64>,
    /// What half of the last digit of a spend is worth.
    pub(super) half_digit: f64,
    /// The currency that it names, if it does.
    pub(super) currency: Option<String>,
    /// How many rows are of a time and subject that another before them is of, too. Bids are told of apart.
    pub(super) repeated: u64,
}

/// From when, and before when, the books are compared. In UTC.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Span {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
}

impl Table {
    /// The span that is compared.
    pub(super) fn span(&self, args: &ReconcileArgs) -> Result<Span, ExitError> {
        let utc = |minute: i64| Timestamp((minute - i64::from(args.offset)).saturating_mul(60_000_000));
        let minutes = || self.rows.iter().filter_map(|row| row.minute);
        let first = args.from.or_else(|| minutes().min().map(utc));
        let last =
            args.to.or_else(|| minutes().max().zip(self.step).map(|(minute, step)| utc(minute + step)));
        match (first, last) {
            (Some(from), Some(to)) if from < to => Ok(Span { from, to }),
            (Some(_), Some(_)) => Err(ExitError::new(Exit::Usage, "--from is not before --to")),
            _ => Err(ExitError::new(Exit::Usage, "the report has no times; say --from and --to")),
        }
    }
}

/// What a row's text is read by.
struct Columns {
    /// The places of [`FIELDS`].
    places: [Option<usize>; FIELDS.len()],
    titles: Vec<String>,
    file: String,
}

impl Columns {
    fn fail(&self, line: u64, place: Option<usize>, problem: &str) -> ExitError {
        let title = place.and_then(|place| self.titles.get(place));
        let column = title.map_or_else(String::new, |title| format!("column {title:?}: "));
        ExitError::new(Exit::InputUnusable, format!("{}:{line}: {column}{problem}", self.file))
    }

    fn find(titles: Vec<String>, args: &ReconcileArgs) -> Result<Self, ExitError> {
        let file = args.report.display().to_string();
        let mut columns = Self { places: [None; FIELDS.len()], titles, file };
        for (field, place) in FIELDS.iter().zip(&mut columns.places) {
            let mapped = args.map.iter().find(|(of, _)| of == field).map(|(_, title)| title.as_str());
            let title = mapped.unwrap_or(field);
            *place = columns.titles.iter().position(|known| known.trim().eq_ignore_ascii_case(title));
            if place.is_none() && mapped.is_some() {
                let problem = format!(
                    "{}:1: there is no column {title:?}; there are {}",
                    columns.file,
                    printable(&columns.titles.join(", "))
                );
                return Err(ExitError::new(Exit::InputUnusable, problem));
            }
        }
        for (field, why) in [("impressions", "how many ads were shown"), ("spend", "what they cost")] {
            if columns.place(field).is_none() && !(field == "impressions" && columns.place("bid").is_some()) {
                let problem = format!(
                    "{}:1: no column says {why}; name it with --map {field}=TITLE (there are {})",
                    columns.file,
                    printable(&columns.titles.join(", "))
                );
                return Err(ExitError::new(Exit::InputUnusable, problem));
            }
        }
        Ok(columns)
    }

    /// Refuses a row of another length than the titles: its cells may be under others' titles, and what it lacks is no zero.
    fn count(&self, line: u64, fields: &[String]) -> Result<(), ExitError> {
        let told =
            |cells: &[String]| cells.iter().rposition(|cell| !cell.trim().is_empty()).map_or(0, |at| at + 1);
        let (least, most) = (told(&self.titles), self.titles.len());
        if fields.len() >= least && told(fields) <= most {
            return Ok(());
        }
        let problem = format!(
            "{} cells in the row, {most} titles; was the report cut short, or is a comma not in quotes?",
            fields.len()
        );
        Err(self.fail(line, None, &problem))
    }

    /// Whether what follows a line's end in a cell looks like rows: a quote that is left open takes in all up to the next, which would then
    /// count for nothing.
    fn holds_rows(&self, cell: &str) -> bool {
        let commas = self.titles.len().saturating_sub(1).max(1);
        cell.lines().skip(1).any(|line| line.matches(',').count() >= commas)
    }

    fn place(&self, field: &str) -> Option<usize> {
        FIELDS.iter().position(|known| *known == field).and_then(|at| self.places.get(at).copied().flatten())
    }
}

/// Reads the report.
///
/// # Errors
///
/// A file that cannot be read, or a row that is not what its columns say.
pub(super) fn read(args: &ReconcileArgs) -> Result<Table, ExitError> {
    let shown = args.report.display();
    let file = File::open(&args.report)
        .map_err(|error| ExitError::new(Exit::InputUnusable, format!("{shown} cannot be read: {error}")))?;
    let mut records = Records::new(file);
    let mut table = Table::default();
    let mut columns = None;
    let mut currency: Option<String> = None;
    let (mut digits, mut sums) = (0, [0; 2]);
    let mut known = HashSet::new();
    loop {
        let broken = |error| ExitError::new(Exit::InputUnusable, format!("{shown}: {error}"));
        let Some((text, ends)) = records.next().map_err(broken)? else { break };
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let fields: Vec<String> = starts
            .zip(ends)
            .map(|(from, to)| String::from_utf8_lossy(text.get(from..*to).unwrap_or_default()).into_owned())
            .collect();
        let line = records.number();
        let Some(columns) = &columns else {
            // Some programs begin a file with a mark of its bytes' order.
            let titles = fields.iter().map(|title| title.trim_start_matches('\u{feff}').to_owned()).collect();
            columns = Some(Columns::find(titles, args)?);
            continue;
        };
        if table.rows.len() >= MOST_ROWS {
            return Err(columns.fail(line, None, &format!("more than {MOST_ROWS} rows; split the report")));
        }
        if let Some(place) = columns.place("currency") {
            let code = fields.get(place).map_or("", |code| code.trim());
            if currency.get_or_insert_with(|| code.to_owned()) != code {
                return Err(columns.fail(
                    line,
                    Some(place),
                    "is another currency than before; split the report by currency",
                ));
            }
        }
        let spend = columns.place("spend").and_then(|place| fields.get(place)).map_or("", |text| text.trim());
        digits = digits.max(spend.split_once('.').map_or(0, |(_, fraction)| fraction.len()));
        columns.count(line, &fields)?;
        if let Some(place) = fields.iter().position(|cell| columns.holds_rows(cell)) {
            return Err(columns.fail(line, Some(place), "a cell holds further rows; is a quote left open?"));
        }
        let row = row(columns, line, &fields, args, &mut table.step)?;
        let amounts = row.spend.0.unsigned_abs().saturating_add(row.fee.0.unsigned_abs());
        for (sum, more) in sums.iter_mut().zip([amounts, row.impressions]) {
            *sum = u64::saturating_add(*sum, more);
            if *sum > MOST_SUM {
                return Err(columns.fail(
                    line,
                    None,
                    "the sums of the report are larger than can be counted",
                ));
            }
        }
        if !matches!(row.subject, Subject::Bid(_)) {
            table.repeated += u64::from(!known.insert((row.minute, row.subject)));
        }
        table.rows.push(row);
    }
    if !ends_with_a_line(&args.report) {
        // Nowhere is left to report that standard error cannot be written.
        let _ = writeln!(
            io::stderr().lock(),
            "haggle: {shown} does not end with a line's end: if it was cut short, the last amount is wrong"
        );
    }
    if table.rows.is_empty() {
        return Err(ExitError::new(Exit::InputUnusable, format!("{shown} has no rows")));
    }
    table.currency = currency.filter(|code| !code.is_empty());
    let digits = i32::try_from(digits).unwrap_or(i32::MAX);
    table.half_digit = 0.5 * 10f64.powi(-digits) * args.rate.billionths() as f64 / 1e9;
    Ok(table)
}

/// Whether the last line is whole, as far as can be seen.
fn ends_with_a_line(path: &Path) -> bool {
    let last = || -> io::Result<u8> {
        let mut file = File::open(path)?;
        let mut byte = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut byte)?;
        Ok(byte[0])
    };
    // A file that cannot be read from its end is a pipe or is empty: the rest tells.
    last().map_or(true, |byte| matches!(byte, b'\n' | b'\r'))
}

fn row(
    columns: &Columns,
    line: u64,
    fields: &[String],
    args: &ReconcileArgs,
    step: &mut Option<i64>,
) -> Result<Row, ExitError> {
    let text = |field: &str| {
        let place = columns.place(field)?;
        Some((place, fields.get(place).map_or("", |text| text.trim())))
    };
    let fail = |place, problem: &str| Err(columns.fail(line, Some(place), problem));
    let amount = |field: &str| match text(field) {
        None | Some((_, "")) => Ok(Micros::ZERO),
        // Rounded to a millionth of the report's currency, and then of the account's.
        Some((place, text)) => match CpmMicros::parse_rounded_up(text) {
            Ok(amount) => Ok(Micros(in_account(amount.0, args))),
            Err(error) => Err(columns.fail(line, Some(place), &error.to_string())),
        },
    };
    let minute = match text("time") {
        None => None,
        Some((place, text)) => {
            let Some((minute, of)) = clock(text) else {
                let problem = format!(
                    "{text:?} is neither a day nor an hour; write it like 2026-11-23 or 2026-11-23 08:00"
                );
                return fail(place, &problem);
            };
            if *step.get_or_insert(of) != of {
                return fail(place, "is a day where others are hours, or the other way round");
            }
            Some(minute)
        }
    };
    let (subject, name) = match (text("bid"), text("creative"), text("campaign")) {
        (Some((place, text)), ..) => match bid(text) {
            Some(bid) => (Subject::Bid(bid), text),
            None => {
                return fail(
                    place,
                    &format!("{text:?} is no bid's id; those look like bec1f0579c8aa541-1a-2f"),
                );
            }
        },
        (_, Some((place, "")), _) | (_, None, Some((place, ""))) => return fail(place, "is empty"),
        (_, Some((_, text)), _) => (Subject::Creative(Tag::of(text)), text),
        (_, _, Some((_, text))) => (Subject::Campaign(CampaignKey::of(text)), text),
        _ => (Subject::All, "all"),
    };
    let impressions = match text("impressions") {
        None => 1,
        Some((place, text)) => match whole(text) {
            Some(count) => count,
            None => return fail(place, &format!("{text:?} is no whole number")),
        },
    };
    Ok(Row {
        minute,
        subject,
        name: name.to_owned(),
        impressions,
        spend: amount("spend")?,
        fee: amount("fee")?,
    })
}

/// A number, whose digits may stand in groups of three with commas between. What has other groups is no number of these: `1,5` is a
/// decimal in half of the world.
fn whole(text: &str) -> Option<u64> {
    let mut groups = text.split(',');
    let first = groups.next().filter(|first| !text.contains(',') || (1..=3).contains(&first.len()))?;
    let digits = |group: &str| group.bytes().all(|byte| byte.is_ascii_digit());
    (digits(first) && groups.all(|group| group.len() == 3 && digits(group)))
        .then(|| text.replace(',', "").parse().ok())
        .flatten()
}

fn in_account(micros: i64, args: &ReconcileArgs) -> i64 {
    let billion = 1_000_000_000;
    let exact = i128::from(micros) * i128::from(args.rate.billionths());
    i64::try_from((exact + billion / 2).div_euclid(billion)).unwrap_or(i64::MAX)
}

/// Minutes since 1970 on the report's clock, and of how many minutes the row is.
fn clock(text: &str) -> Option<(i64, i64)> {
    let (day, rest) = text.split_at_checked(10)?;
    let day: Timestamp = format!("{day}T00:00:00Z").parse().ok()?;
    let day = day.0.div_euclid(60_000_000);
    let rest = rest.trim_start_matches(['T', ' ']);
    if rest.is_empty() {
        return Some((day, 1_440));
    }
    // Minutes and seconds of an hour are zeros, if they are there.
    let (hour, after) = rest.split_at_checked(2)?;
    let hour: i64 = hour.parse().ok().filter(|hour| (0..24).contains(hour))?;
    let after = after.trim_end_matches('Z');
    ["", ":00", ":00:00"].contains(&after).then_some((day + hour * 60, 60))
}

/// A bid's id as it is written in answers.
fn bid(text: &str) -> Option<BidId> {
    let mut parts = text.split('-');
    let campaign = CampaignKey(u64::from_str_radix(parts.next()?, 16).ok()?);
    let lease = u32::from_str_radix(parts.next()?, 16).ok()?;
    let number = u32::from_str_radix(parts.next()?, 16).ok()?;
    parts.next().is_none().then_some(BidId { campaign, lease, number })
}
