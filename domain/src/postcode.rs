//! Postcodes, and how they begin: the beginning of a postcode is an area.

use crate::id::Tag;

/// A postcode's letters and digits, without the spaces and hyphens that are written in some places and not in others; at
/// most [`Postcode::LONGEST`] of them, which is more than any country has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Postcode {
    letters: [u8; Self::LONGEST],
    length: usize,
}

impl Postcode {
    /// The fewest letters that name an area.
    pub const SHORTEST: usize = 2;
    /// The most that are looked at.
    pub const LONGEST: usize = 9;

    /// What is written between the letters is dropped, and so is what comes after the ninth of them. `None` for fewer than
    /// two.
    pub fn of(text: &str) -> Option<Self> {
        let mut postcode = Self { letters: [0; Self::LONGEST], length: 0 };
        for letter in text.bytes().filter(u8::is_ascii_alphanumeric).take(Self::LONGEST) {
            postcode.letters[postcode.length] = letter.to_ascii_lowercase();
            postcode.length += 1;
        }
        (postcode.length >= Self::SHORTEST).then_some(postcode)
    }

    /// The whole of it.
    pub fn tag(&self) -> Tag {
        self.beginning(self.length)
    }

    /// Every beginning of at least two letters, the shortest first and the whole last: at most eight.
    pub fn beginnings(&self) -> impl Iterator<Item = Tag> {
        (Self::SHORTEST..=self.length).map(|length| self.beginning(length))
    }

    fn beginning(&self, length: usize) -> Tag {
        self.letters
            .get(..length)
            .and_then(|letters| std::str::from_utf8(letters).ok())
            .map_or(Tag::NONE, Tag::of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_postcode_is_the_same_however_it_is_spaced() {
        let tag = |text| Postcode::of(text).map(|postcode| postcode.tag());
        for (one, other) in [("SW1A 1AA", "sw1a1aa"), ("90210-1234", "902101234"), (" 00-950 ", "00950")] {
            assert_eq!(tag(one), tag(other), "{one}");
            assert_eq!(tag(one), Some(Tag::of(other)), "{one}");
        }
        assert_eq!(tag("1"), None);
        assert_eq!(tag("- -"), None);
        assert_eq!(tag("1234567890"), Some(Tag::of("123456789")));
    }

    #[test]
    fn it_lies_in_every_area_that_it_begins_with() {
        let beginnings: Vec<_> =
            Postcode::of("EC1A 1BB").into_iter().flat_map(|it| it.beginnings().collect::<Vec<_>>()).collect();
        assert_eq!(beginnings, ["ec", "ec1", "ec1a", "ec1a1", "ec1a1b", "ec1a1bb"].map(Tag::of));
    }
}
