//! Times as files write them, and the parts of them that bear on clicks.

use jiff::civil::Date;

use super::number::whole;

/// A part of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// 0 to 23.
    Hour,
    /// 0 for Monday to 6.
    Weekday,
    /// 0 for Monday's first hour to 167.
    HourOfWeek,
}

impl Part {
    /// The part of a time, or `None` if the text is no time.
    ///
    /// A time is a date and a time of day as in `2019-11-24 00:01:03` (a `T` or other sign between them, fractions and
    /// an offset may be there; what counts is the time as it is written, the people's own), or the same in 14 digits, with
    /// milliseconds in 17, or a count since 1970 in UTC: seconds in up to 11 digits, milliseconds in 12 or 13,
    /// microseconds in 15 or 16, nanoseconds in 18 or 19.
    pub(super) fn of(self, text: &[u8]) -> Option<u64> {
        let text = text.trim_ascii();
        let (weekday, hour) = if text.iter().all(u8::is_ascii_digit) { digits(text) } else { written(text) }?;
        Some(match self {
            Self::Hour => hour,
            Self::Weekday => weekday,
            Self::HourOfWeek => weekday * 24 + hour,
        })
    }
}

fn digits(text: &[u8]) -> Option<(u64, u64)> {
    let count = whole(text)?;
    let seconds = match text.len() {
        14 | 17 => {
            return date(text.get(..4)?, text.get(4..6)?, text.get(6..8)?, text.get(8..10)?);
        }
        ..=11 => count,
        12 | 13 => count / 1_000,
        15 | 16 => count / 1_000_000,
        _ => count / 1_000_000_000,
    };
    // 1970 began on a Thursday.
    Some(((seconds / 86_400 + 3) % 7, seconds / 3_600 % 24))
}

fn written(text: &[u8]) -> Option<(u64, u64)> {
    let [year, month, day] = [text.get(..4)?, text.get(5..7)?, text.get(8..10)?];
    let parted = text.get(4) == text.get(7) && matches!(text.get(4), Some(b'-' | b'/' | b'.'));
    // A date alone is its first hour; minutes have to follow an hour, so that it is one.
    let hour = match text.get(10) {
        None => b"00",
        Some(b'T' | b't' | b' ' | b'_') if text.get(13) == Some(&b':') => text.get(11..13)?,
        Some(_) => return None,
    };
    parted.then(|| date(year, month, day, hour))?
}

fn date(year: &[u8], month: &[u8], day: &[u8], hour: &[u8]) -> Option<(u64, u64)> {
    let small = |text| whole(text).and_then(|number| i8::try_from(number).ok());
    let date = Date::new(i16::try_from(whole(year)?).ok()?, small(month)?, small(day)?).ok()?;
    let hour = whole(hour).filter(|hour| *hour < 24)?;
    Some((date.weekday().to_monday_zero_offset().unsigned_abs().into(), hour))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_same_moment_is_the_same_in_every_writing() {
        // A Sunday, 00:01:03 UTC.
        for text in [
            "2019-11-24 00:01:03.979311+00:00",
            "2019-11-24T00:01:03Z",
            "2019/11/24 00:01",
            "20191124000103",
            "20191124000103979",
            "1574553663",
            "1574553663979",
            "1574553663979311",
            "1574553663979311000",
        ] {
            let of = |part: Part| part.of(text.as_bytes());
            assert_eq!((of(Part::Hour), of(Part::Weekday)), (Some(0), Some(6)), "{text}");
            assert_eq!(of(Part::HourOfWeek), Some(144), "{text}");
        }
        assert_eq!(Part::Hour.of(b"2016-03-15 13:47:46"), Some(13));
        assert_eq!(Part::Weekday.of(b"2016-03-15"), Some(1));
        assert_eq!(Part::HourOfWeek.of(b"0"), Some(72));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "yesterday",
            "2019-13-01 00:00:00",
            "2019-02-30",
            "2019-02-03 24:00:00",
            "20190230000000",
            "2019-02-03 1",
            "24.11.2019 00:01",
            "99999999999999999999",
            "-5",
            "２０１９-11-24",
        ] {
            assert_eq!(Part::Hour.of(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_gives_a_part_in_range_or_none(text in prop::collection::vec(any::<u8>(), 0..40)) {
            for (part, most) in [(Part::Hour, 24), (Part::Weekday, 7), (Part::HourOfWeek, 168)] {
                prop_assert!(part.of(&text).is_none_or(|it| it < most));
            }
        }

        #[test]
        fn counts_and_dates_agree(seconds in 0_i64..4_000_000_000) {
            let moment = jiff::Timestamp::from_second(seconds).unwrap();
            let written = moment.to_string();
            prop_assert_eq!(
                Part::HourOfWeek.of(written.as_bytes()),
                Part::HourOfWeek.of(seconds.to_string().as_bytes()),
            );
        }
    }
}
