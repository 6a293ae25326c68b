//! Spans of time as text: `250ms`, `90s`, `10m`, `1h`, `7d`.

use std::time::Duration;

const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Ten years: longer is a slip, and sums with a timestamp stay far from its end.
const LONGEST: Duration = Duration::from_secs(3650 * 86_400);

/// Reads a whole number and a unit.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let not = || {
        format!("{text:?} is not a span of time; write it like \"250ms\", \"10s\", \"5m\", \"1h\" or \"7d\"")
    };
    if number.is_empty() {
        return Err(not());
    }
    if unit.is_empty() {
        return Err(format!(
            "{text:?} has no unit; write \"{number}ms\", \"{number}s\", \"{number}m\", \"{number}h\" or \"{number}d\""
        ));
    }
    let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(not)?;
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(*millis))
        .map(Duration::from_millis)
        .filter(|span| *span <= LONGEST)
        .ok_or_else(|| format!("{text:?} is longer than ten years"))
}

/// Writes whole milliseconds in the largest unit that fits without a rest.
pub(super) fn show(span: Duration) -> String {
    let total = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let (unit, millis) = UNITS
        .iter()
        .find(|(_, millis)| total > 0 && total.is_multiple_of(*millis))
        .copied()
        .unwrap_or(("s", 1_000));
    format!("{}{unit}", total / millis)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn units_are_what_they_say() {
        assert_eq!(parse("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse("10m"), Ok(Duration::from_secs(600)));
        assert_eq!(parse("7d"), Ok(Duration::from_secs(7 * 86_400)));
        assert_eq!(show(Duration::from_secs(5400)), "90m");
        assert_eq!(show(Duration::ZERO), "0s");
        for wrong in ["", "10", "s", "-1s", "1.5h", "10 s", "10y", "99999999999999999999d", "4000d"] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
        assert!(parse("10").unwrap_err().contains("\"10ms\""));
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(millis in 0u64..300_000_000_000) {
            let span = Duration::from_millis(millis);
            prop_assert_eq!(parse(&show(span)), Ok(span));
        }

        #[test]
        fn no_text_panics(text in ".{0,24}") {
            let _ = parse(&text);
        }
    }
}
