//! Small sets of codes from AdCOM's lists.

/// A set of codes from one of AdCOM's lists (creative attributes, protocols, API frameworks, …), which number from 0 up
/// to some dozens. Codes of 64 and above, which no list defines, are not kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Codes(u64);

impl Codes {
    /// No code.
    pub const NONE: Self = Self(0);

    /// One code.
    pub const fn of(code: u8) -> Self {
        if code < 64 { Self(1 << code) } else { Self::NONE }
    }

    /// Adds a code, if it is one that a list defines.
    pub fn insert(&mut self, code: i64) {
        if let Ok(code @ 0..64) = u8::try_from(code) {
            self.0 |= 1 << code;
        }
    }

    /// Whether a code is in it.
    pub const fn contains(self, code: u8) -> bool {
        code < 64 && self.0 >> code & 1 == 1
    }

    /// Whether both have a code in common.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether it is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The codes, rising.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        (0..64).filter(move |code| self.contains(*code))
    }
}

impl FromIterator<i64> for Codes {
    fn from_iter<I: IntoIterator<Item = i64>>(codes: I) -> Self {
        let mut set = Self::NONE;
        codes.into_iter().for_each(|code| set.insert(code));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_lists_define() {
        let codes: Codes = [3, 0, 63, 64, -1, 1_000, 3].into_iter().collect();
        assert_eq!(codes.iter().collect::<Vec<_>>(), [0, 3, 63]);
        assert!(codes.contains(3) && !codes.contains(4) && !codes.contains(64) && !codes.contains(255));
        assert!(codes.intersects(Codes::of(63)) && !codes.intersects(Codes::of(64)));
    }
}
