//! Numbers as files write them.

/// Numbers beyond this, either way, are taken for mistakes: no price, count or time is as large.
pub(super) const EXTREME: f64 = 1e15;

/// What a row's numbers may be at most when a model sees them: models take stronger ones for this, so they would not differ.
pub(super) const STRONGEST: f64 = 1e3;

/// A finite number, or `None`. Blanks around it do not matter.
#[inline]
pub(super) fn number(text: &[u8]) -> Option<f64> {
    let text = text.trim_ascii();
    // Short whole numbers are most of what files hold, and quickly read.
    if (1..=9).contains(&text.len()) && text.iter().all(u8::is_ascii_digit) {
        return Some(f64::from(text.iter().fold(0_u32, |sum, digit| sum * 10 + u32::from(digit - b'0'))));
    }
    std::str::from_utf8(text).ok()?.parse::<f64>().ok().filter(|number| number.is_finite())
}

/// A whole number in decimal digits and nothing else.
#[inline]
pub(super) fn whole(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 19 {
        return None;
    }
    text.iter().try_fold(0_u64, |sum, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit < 10).then(|| sum * 10 + u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_finite_number_is_none() {
        for text in ["", " ", "nan", "NaN", "inf", "-Infinity", "1e999", "1,5", "0x1", "1 2", "十"] {
            assert_eq!(number(text.as_bytes()), None, "{text}");
        }
        assert_eq!(number(b" -2.5e3 "), Some(-2500.0));
        assert_eq!(number(b"\xff1"), None);
        assert_eq!(whole(b"99999999999999999999"), None);
        assert_eq!(whole(b"-1"), None);
    }

    proptest! {
        #[test]
        fn whole_numbers_are_read_as_the_standard_library_reads_them(text in "[0-9]{0,21}") {
            let expected = text.parse::<f64>().ok();
            prop_assert_eq!(number(text.as_bytes()), expected);
            if text.len() <= 19 {
                prop_assert_eq!(whole(text.as_bytes()), text.parse().ok());
            }
        }
    }
}
