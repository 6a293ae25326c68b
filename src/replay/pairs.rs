//! Logs of clicks, market prices and predicted click rates, in the two layouts in which the public ones of iPinYou lie about.

use std::io::{self, BufRead, Read};

use haggle_domain::CpmMicros;
use haggle_learning::data::{BadRows, DataError, Flaw};

use super::log::{FEN, Format, Log, Row};
use crate::exit::{Exit, ExitError};

/// The highest price that is read: a million fen. Real ones end at 300.
pub(super) const HIGHEST: i64 = 1_000_000;
/// Bytes in a line at most.
const LONGEST: u64 = 1024;

/// What the first row's separator says; a row without one is judged as the more common layout.
fn layout(line: &[u8]) -> Format {
    if line.contains(&b' ') && !line.contains(&b'\t') { Format::Rlb } else { Format::Sam }
}

fn separator(format: Format) -> u8 {
    if format == Format::Rlb { b' ' } else { b'\t' }
}

fn columns(format: Format) -> std::ops::RangeInclusive<usize> {
    if format == Format::Rlb { 3..=3 } else { 3..=4 }
}

/// Reads a log; `name` is what errors call it. Of [`Format::Pairs`] the first row's separator says which of the two it is.
///
/// # Errors
///
/// That it cannot be read, holds no auction, or more than `most_bad` rows that are none.
pub fn read_from(
    mut from: impl BufRead,
    name: &str,
    format: Format,
    most_bad: u64,
) -> Result<Log, ExitError> {
    let unusable = |problem: String| ExitError::new(Exit::InputUnusable, problem);
    let failed = |error: io::Error| ExitError::new(Exit::IoFailed, format!("{name} cannot be read: {error}"));
    let bad = BadRows { file: name.to_owned(), ..BadRows::default() };
    let mut log = Log { format, rows: Vec::new(), bad, notes: Vec::new() };
    let (mut line, mut number) = (Vec::new(), 0u64);
    loop {
        line.clear();
        if from.by_ref().take(LONGEST).read_until(b'\n', &mut line).map_err(failed)? == 0 {
            break;
        }
        number += 1;
        if line.len() as u64 == LONGEST && line.last() != Some(&b'\n') {
            return Err(unusable(format!(
                "{name}:{number}:1: the line is longer than {LONGEST} bytes; a log has one short row a line: click, market \
                 price, predicted click rate"
            )));
        }
        let row = line.trim_ascii();
        if row.is_empty() {
            continue;
        }
        if log.format == Format::Pairs {
            log.format = layout(row);
        }
        match parse(row, log.format) {
            Ok(row) => log.rows.push(row),
            Err(flaw) => {
                log.bad.add(number, flaw);
                if log.bad.count > most_bad {
                    return Err(DataError::TooManyBad { bad: log.bad, limit: most_bad }.into());
                }
            }
        }
    }
    if log.rows.is_empty() {
        return Err(unusable(nothing_in(name, &log.bad, "name a log of recorded auctions")));
    }
    Ok(log)
}

/// That there is no auction in a log, and why its rows are none.
pub(super) fn nothing_in(name: &str, bad: &BadRows, what_to_do: &str) -> String {
    match bad.count {
        0 => format!("{name}: no auction in it; {what_to_do}"),
        count => format!("{bad}\n{name}: no auction in it but {count} bad rows; {what_to_do}"),
    }
}

fn parse(line: &[u8], format: Format) -> Result<Row, Flaw> {
    let fields: Vec<&[u8]> = line.split(|byte| *byte == separator(format)).collect();
    let wrong = || Err(Flaw::row(columns_wrong(fields.len(), format)));
    let &[click, price, ctr, ..] = fields.as_slice() else { return wrong() };
    if !columns(format).contains(&fields.len()) {
        return wrong();
    }
    let clicked = match click {
        b"0" => false,
        b"1" => true,
        _ => return Err(Flaw::of("click", click, "is neither 0 nor 1")),
    };
    let fen = whole(price)
        .filter(|fen| *fen <= HIGHEST)
        .ok_or_else(|| Flaw::of("market price", price, format!("is not whole fen from 0 to {HIGHEST}")))?;
    let rate = std::str::from_utf8(ctr).ok().and_then(|text| text.parse().ok());
    let rate = rate
        .filter(|rate| (0.0..=1.0).contains(rate))
        .ok_or_else(|| Flaw::of("predicted click rate", ctr, "is not a number from 0 to 1"))?;
    Ok(Row { clicked, price: CpmMicros(fen * FEN), ctr: rate })
}

fn columns_wrong(count: usize, format: Format) -> String {
    let (layout, separator) = match format {
        Format::Rlb => ("click, market price and predicted click rate", "spaces"),
        _ => ("click, market price, predicted click rate and, if need be, a slot", "tabs"),
    };
    let columns = if count == 1 { "1 column".to_owned() } else { format!("{count} columns") };
    format!("{columns}; a row has {layout}, with {separator} between them (see --format)")
}

/// Digits alone: no sign, no point.
pub(super) fn whole(text: &[u8]) -> Option<i64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    digits.then(|| std::str::from_utf8(text).ok()?.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn log(text: &str) -> Result<Log, ExitError> {
        read_from(text.as_bytes(), "a.log", Format::Pairs, 0)
    }

    #[test]
    fn both_layouts_are_told_apart_by_their_separator() {
        let tabs = log("0\t80\t0.000062\t14\n1\t5\t0.5\t14\n").unwrap();
        let spaces = log("0 80 0.000062\r\n\n1 5 5e-1").unwrap();
        assert_eq!((tabs.format, spaces.format), (Format::Sam, Format::Rlb));
        assert_eq!(tabs.rows, spaces.rows);
        assert_eq!(tabs.rows[1], Row { clicked: true, price: CpmMicros(50_000), ctr: 0.5 });
    }

    #[test]
    fn errors_name_the_line_the_column_and_what_to_do() {
        for (text, wanted) in [
            ("0\t80\t0.1\n2\t80\t0.1\n", "a.log:2: column `click`: \"2\" is neither 0 nor 1"),
            ("0 -3 0.1", "a.log:1: column `market price`: \"-3\" is not whole fen from 0 to 1000000"),
            ("0 1.5 0.1", "a.log:1: column `market price`: \"1.5\""),
            ("0 99999999999999999999 0.1", "a.log:1: column `market price`: "),
            ("0 3 nan", "a.log:1: column `predicted click rate`: \"nan\" is not a number from 0 to 1"),
            ("0 3 1.01", "a.log:1: column `predicted click rate`: "),
            (
                "0 3",
                "a.log:1: 2 columns; a row has click, market price and predicted click rate, with spaces",
            ),
            ("0 3 0.1 7", "a.log:1: 4 columns"),
            ("hello", "a.log:1: 1 column; "),
            ("\n\n", "a.log: no auction in it; name"),
            ("", "a.log: no auction in it"),
        ] {
            let error = log(text).unwrap_err();
            assert!(error.message.starts_with(wanted), "{text:?}: {error}");
            assert_eq!(error.exit, Exit::InputUnusable);
        }
        let long = format!("0 3 0.1{}", "1".repeat(2_000));
        assert!(log(&long).unwrap_err().message.starts_with("a.log:1:1: the line is longer"));
    }

    #[test]
    fn bad_rows_are_left_out_up_to_a_limit() {
        let text = "0 3 0.1\nx 3 0.1\n1 4 0.2\n0 y 0.1\n";
        let read = |most| read_from(text.as_bytes(), "a.log", Format::Pairs, most);
        let log = read(2).unwrap();
        assert_eq!((log.rows.len(), log.bad.count), (2, 2));
        assert_eq!(log.bad.first[1].line, 4);
        let none = read_from(&b"0 5\n"[..], "a.log", Format::Pairs, 9).unwrap_err().message;
        assert!(
            none.starts_with("a.log:1: 2 columns") && none.contains("no auction in it but 1 bad rows"),
            "{none}"
        );
        let error = read(1).unwrap_err().message;
        assert!(error.starts_with("a.log:2: column `click`: ") && error.contains("--bad-rows"), "{error}");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            rows in proptest::collection::vec((any::<bool>(), 0..=HIGHEST, 0.0..=1.0f64), 1..50),
            tabs: bool,
        ) {
            let between = if tabs { '\t' } else { ' ' };
            let text: String = rows
                .iter()
                .map(|(clicked, price, ctr)| format!("{}{between}{price}{between}{ctr}\n", u8::from(*clicked)))
                .collect();
            let wanted: Vec<Row> = rows
                .iter()
                .map(|&(clicked, price, ctr)| Row { clicked, price: CpmMicros(price * FEN), ctr })
                .collect();
            prop_assert_eq!(log(&text).unwrap().rows, wanted);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..3_000), most in 0..5u64) {
            for format in [Format::Pairs, Format::Sam, Format::Rlb] {
                if let Ok(log) = read_from(bytes.as_slice(), "a.log", format, most) {
                    prop_assert!(log.bad.count <= most && !log.rows.is_empty());
                }
            }
        }
    }
}
