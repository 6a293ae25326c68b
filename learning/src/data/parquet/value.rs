//! Values of a Parquet file as text, as tables of text have them.

use std::fmt::Display;
use std::io::Write;

use ::parquet::basic::{ConvertedType, LogicalType, TimeUnit};
use ::parquet::schema::types::ColumnDescriptor;
use jiff::SignedDuration;
use jiff::civil::DateTime;

/// Digits that a decimal has at most: what 128 bits hold.
const DIGITS: usize = 38;
/// In nanoseconds.
const SECOND: i128 = 1_000_000_000;
const DAY: i128 = 86_400 * SECOND;

/// What a stored number or text stands for, as far as it is not itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Itself.
    Plain,
    /// A number from 0 up.
    Unsigned,
    /// A whole number with its last digits, so many, after the point.
    Decimal(usize),
    /// Days since 1970.
    Date,
    /// A count since 1970 of units of so many nanoseconds.
    Time(i128),
    /// 16 bytes.
    Uuid,
}

impl Meaning {
    /// That of a column's values; or why they mean nothing here.
    pub(super) fn of(column: &ColumnDescriptor) -> Result<Self, String> {
        // Older files have the converted type alone, and some times of newer ones the logical type alone.
        match column.logical_type_ref() {
            Some(LogicalType::Integer(kind)) if !kind.is_signed => return Ok(Self::Unsigned),
            Some(LogicalType::Date) => return Ok(Self::Date),
            Some(LogicalType::Uuid) if column.type_length() == 16 => return Ok(Self::Uuid),
            Some(LogicalType::Timestamp(kind)) => {
                return Ok(Self::Time(match kind.unit {
                    TimeUnit::MILLIS => 1_000_000,
                    TimeUnit::MICROS => 1_000,
                    TimeUnit::NANOS => 1,
                }));
            }
            Some(LogicalType::Decimal(kind)) => return Self::decimal(kind.scale),
            Some(LogicalType::Float16) => {
                return Err("holds numbers of 16 bits, which are not read; write 32".to_owned());
            }
            _ => {}
        }
        match column.converted_type() {
            ConvertedType::DECIMAL => Self::decimal(column.type_scale()),
            ConvertedType::DATE => Ok(Self::Date),
            ConvertedType::TIMESTAMP_MILLIS => Ok(Self::Time(1_000_000)),
            ConvertedType::TIMESTAMP_MICROS => Ok(Self::Time(1_000)),
            ConvertedType::UINT_8
            | ConvertedType::UINT_16
            | ConvertedType::UINT_32
            | ConvertedType::UINT_64 => Ok(Self::Unsigned),
            ConvertedType::INTERVAL => Err("holds intervals, which are not read; write a number".to_owned()),
            _ => Ok(Self::Plain),
        }
    }

    fn decimal(scale: i32) -> Result<Self, String> {
        let scale = usize::try_from(scale).ok().filter(|scale| *scale <= DIGITS);
        scale.map(Self::Decimal).ok_or_else(|| format!("holds decimals of more than {DIGITS} digits"))
    }
}

/// As the standard library writes it: numbers with a point in the fewest digits that say which one it is.
pub(super) fn shown(value: impl Display, text: &mut Vec<u8>) {
    // Writing to a vector cannot fail.
    let _ = write!(text, "{value}");
}

/// The date and time of day so many nanoseconds after 1970 began, if it is in the years that people write.
fn moment(nanoseconds: i128) -> Option<DateTime> {
    let seconds = i64::try_from(nanoseconds.div_euclid(SECOND)).ok()?;
    let rest = i32::try_from(nanoseconds.rem_euclid(SECOND)).ok()?;
    DateTime::constant(1970, 1, 1, 0, 0, 0, 0).checked_add(SignedDuration::new(seconds, rest)).ok()
}

/// `2019-11-24T00:01:03`, with fractions if it has any; beyond the year 9999 what is no time.
pub(super) fn time(nanoseconds: i128, text: &mut Vec<u8>) {
    match moment(nanoseconds) {
        Some(moment) => shown(moment, text),
        None => shown(format_args!("{nanoseconds} ns"), text),
    }
}

/// A time as Impala and Spark used to write it: nanoseconds of the day in two parts, and the Julian day.
pub(super) fn old_time(parts: &[u32], text: &mut Vec<u8>) {
    if let [low, high, day] = parts {
        let nanoseconds = i128::from(u64::from(*high) << 32 | u64::from(*low));
        // The Julian day on which 1970 began.
        let days = i128::from(day.cast_signed()) - 2_440_588;
        time(days * DAY + nanoseconds, text);
    }
}

/// `2019-11-24`; beyond the year 9999 what is no time.
pub(super) fn date(days: i32, text: &mut Vec<u8>) {
    match moment(i128::from(days) * DAY) {
        Some(moment) => shown(moment.date(), text),
        None => shown(format_args!("{days} days"), text),
    }
}

/// A decimal with all digits that its type has after the point.
pub(super) fn decimal(unscaled: i128, scale: usize, text: &mut Vec<u8>) {
    if unscaled < 0 {
        text.push(b'-');
    }
    let digits = unscaled.unsigned_abs().to_string();
    let whole = digits.len().saturating_sub(scale);
    let (whole, fraction) = digits.split_at(whole);
    text.extend_from_slice(if whole.is_empty() { b"0" } else { whole.as_bytes() });
    if scale > 0 {
        text.push(b'.');
        text.extend(std::iter::repeat_n(b'0', scale - fraction.len()));
        text.extend_from_slice(fraction.as_bytes());
    }
}

/// A decimal whose digits are the bytes of a number, its sign in the first. One beyond 128 bits is written so that no number can
/// be read from it.
pub(super) fn long_decimal(bytes: &[u8], scale: usize, text: &mut Vec<u8>) {
    let fill = if bytes.first().is_some_and(|first| *first >= 0x80) { 0xff } else { 0 };
    let mut all = [fill; 16];
    let padding = bytes.len().saturating_sub(all.len());
    let (more, last) = bytes.split_at(padding);
    let start = all.len() - last.len();
    all.iter_mut().skip(start).zip(last).for_each(|(into, byte)| *into = *byte);
    let unscaled = i128::from_be_bytes(all);
    // Bytes in front must say no more than the sign does.
    if more.iter().all(|byte| *byte == fill) && (unscaled < 0) == (fill != 0) {
        decimal(unscaled, scale, text);
    } else {
        text.extend_from_slice(b"a decimal beyond 128 bits");
    }
}

/// `123e4567-e89b-12d3-a456-426614174000`.
pub(super) fn uuid(bytes: &[u8], text: &mut Vec<u8>) {
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push(b'-');
        }
        let _ = write!(text, "{byte:02x}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut text = Vec::new();
        write(&mut text);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn times_are_written_as_people_write_them() {
        let at = |nanoseconds| text(|text| time(nanoseconds, text));
        assert_eq!(at(1_574_553_663_000_000_000), "2019-11-24T00:01:03");
        assert_eq!(at(1_574_553_663_979_311_000), "2019-11-24T00:01:03.979311");
        assert_eq!(at(-1), "1969-12-31T23:59:59.999999999");
        assert_eq!(at(i128::MAX), format!("{} ns", i128::MAX));
        let on = |days| text(|text| date(days, text));
        assert_eq!(
            (on(0), on(18_224), on(-1)),
            ("1970-01-01".into(), "2019-11-24".into(), "1969-12-31".into())
        );
        assert_eq!((on(2_932_896), on(2_932_897)), ("9999-12-31".into(), "2932897 days".into()));
        let old = |low, high, day| text(|text| old_time(&[low, high, day], text));
        // Beyond what 64 bits of nanoseconds hold.
        assert_eq!(old(0, 0, 5_373_484), "9999-12-31T00:00:00");
        assert_eq!(old(0x0001_0000, 0x0000_0c46, 2_440_588), "1970-01-01T03:44:54.787309568");
    }

    #[test]
    fn decimals_keep_their_digits_and_huge_ones_are_no_number() {
        let of = |unscaled, scale| text(|text| decimal(unscaled, scale, text));
        assert_eq!([of(12_345, 2), of(-5, 3), of(0, 2), of(7, 0)], ["123.45", "-0.005", "0.00", "7"]);
        assert!(of(i128::MIN, 38).starts_with("-1.7014118346"));
        let long = |bytes: &[u8]| text(|text| long_decimal(bytes, 1, text));
        assert_eq!([long(&[0x80]), long(&[0, 0x80]), long(&[])], ["-12.8", "12.8", "0.0"]);
        let (mut small, mut huge) = ([0xff; 20], [0; 17]);
        (small[19], huge[0]) = (0xf6, 1);
        assert_eq!(long(&small), "-1.0");
        assert!(long(&huge).parse::<f64>().is_err());
        assert!(
            long(&[&[0][..], &[0x80; 16]].concat()).parse::<f64>().is_err(),
            "not the number of other sign"
        );
    }

    #[test]
    fn ids_are_in_groups() {
        let bytes: Vec<u8> = (0..16).collect();
        assert_eq!(text(|text| uuid(&bytes, text)), "00010203-0405-0607-0809-0a0b0c0d0e0f");
    }

    proptest! {
        #[test]
        fn any_number_is_read_back_as_it_was(single: f32, double: f64, unscaled: i128, scale in 0_usize..=38) {
            prop_assert_eq!(text(|text| shown(single, text)).parse::<f32>().unwrap().to_bits(), single.to_bits());
            prop_assert_eq!(text(|text| shown(double, text)).parse::<f64>().unwrap().to_bits(), double.to_bits());
            let written = text(|text| decimal(unscaled, scale, text));
            prop_assert_eq!(written.replace('.', "").parse::<i128>().unwrap(), unscaled);
            prop_assert_eq!(written.len() - written.find('.').map_or(written.len(), |at| at + 1), scale);
            let bytes = text(|text| long_decimal(&unscaled.to_be_bytes(), scale, text));
            prop_assert_eq!(bytes, written);
        }
    }
}
