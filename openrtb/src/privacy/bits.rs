//! Bits out of web-safe base64, where they stand: nothing is copied or allocated.

/// Longer strings are taken for unreadable. The longest in the wild stay well below.
pub(super) const MAX_BYTES: usize = 8192;

/// What is no letter of the alphabet.
const INVALID: u8 = 0xff;

/// The six bits of each letter (RFC 4648 section 5).
const SIX_BITS: [u8; 256] = {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut table = [INVALID; 256];
    let mut value = 0;
    while value < alphabet.len() {
        table[alphabet[value] as usize] = value as u8;
        value += 1;
    }
    table
};

/// A reader of big-endian fields. Every read beyond the end is `None`: a string that was cut grants nothing.
#[derive(Clone, Debug)]
pub(super) struct Bits<'a> {
    letters: &'a [u8],
    /// Bits read so far.
    at: usize,
}

impl<'a> Bits<'a> {
    /// `None` where a letter is none, or nothing is there.
    pub(super) fn of(text: &'a str) -> Option<Self> {
        let letters = text.as_bytes();
        // Values of letters have six bits, so the two upper bits tell whether any is invalid.
        let all = letters.iter().fold(0, |seen, &letter| seen | SIX_BITS[usize::from(letter)]);
        (!letters.is_empty() && all < 64).then_some(Self { letters, at: 0 })
    }

    /// The next `count` bits, at most 48, as a number.
    pub(super) fn take(&mut self, count: usize) -> Option<u64> {
        let end = self.at + count;
        let past = end.div_ceil(6);
        let letters = self.letters.get(self.at / 6..past)?;
        let joined =
            letters.iter().fold(0, |value, &letter| value << 6 | u64::from(SIX_BITS[usize::from(letter)]));
        self.at = end;
        Some(joined >> (past * 6 - end) & ((1 << count) - 1))
    }

    /// The next bit.
    pub(super) fn flag(&mut self) -> Option<bool> {
        self.take(1).map(|bit| bit == 1)
    }

    /// The next 16 bits.
    pub(super) fn id(&mut self) -> Option<u16> {
        self.take(16).and_then(|id| u16::try_from(id).ok())
    }

    /// Passes over `count` bits.
    pub(super) fn skip(&mut self, count: usize) -> Option<()> {
        self.at += count;
        (self.at <= self.letters.len() * 6).then_some(())
    }

    /// The next number in Fibonacci coding (Global Privacy Platform String, "Fibonacci Encoding"); `None` from 1,597 on,
    /// far beyond any section's id.
    pub(super) fn fibonacci(&mut self) -> Option<u32> {
        let (mut value, mut last) = (0, false);
        let (mut weight, mut next) = (1, 2);
        while weight < 1597 {
            let bit = self.flag()?;
            if bit && last {
                return Some(value);
            }
            if bit {
                value += weight;
            }
            last = bit;
            (weight, next) = (next, weight + next);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_cross_letters() {
        // D B A B M: 000011 000001 000000 000001 001100.
        let mut bits = Bits::of("DBABM").unwrap();
        assert_eq!((bits.take(6), bits.take(6), bits.take(12)), (Some(3), Some(1), Some(1)));
        assert_eq!((bits.flag(), bits.take(3), bits.take(2)), (Some(false), Some(0b011), Some(0)));
        assert_eq!(bits.take(1), None);
        let mut whole = Bits::of("DBABM").unwrap();
        assert_eq!(whole.take(30), Some(0b00_0011_0000_0100_0000_0000_0100_1100));
        let mut skipping = Bits::of("DBABM").unwrap();
        assert_eq!(skipping.skip(25).and_then(|()| skipping.take(3)), Some(0b011));
        assert_eq!(skipping.skip(3), None);
        assert_eq!(Bits::of("________").unwrap().take(48), Some((1 << 48) - 1));
    }

    #[test]
    fn what_is_no_letter_is_refused() {
        for text in ["", "A=", "A+", "A/", "A B", "A.B", "A~", "Aé", "\0"] {
            assert!(Bits::of(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn fibonacci_numbers_are_those_of_the_specification() {
        // The specification's table: 1 to 7, one after the other.
        for (bits, number) in
            [("11", 1), ("011", 2), ("0011", 3), ("1011", 4), ("00011", 5), ("10011", 6), ("01011", 7)]
        {
            let letters =
                super::super::encode::letters(&bits.chars().map(|bit| bit == '1').collect::<Vec<_>>());
            assert_eq!(Bits::of(&letters).unwrap().fibonacci(), Some(number));
        }
        assert_eq!(Bits::of("AAAA").unwrap().fibonacci(), None);
        assert_eq!(Bits::of("AAAAAAAAAB").unwrap().fibonacci(), None);
    }
}
