//! What the law and the user's choice let us do with the user-level data of one request, and which signal decided it.
//!
//! User-level data is whatever tells one user from another: ids, segments, the profile kept under an id, the place
//! within a country.

/// What may be done with user-level data. To target, store or learn, or to know the place precisely, is to read: no
/// basis allows one of them without reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Basis(u8);

impl Basis {
    /// Nothing: the user might as well be unknown.
    pub const NONE: Self = Self(0);
    /// Ids, segments and the rough place may be read.
    pub const READ: Self = Self(0b0_0001);
    /// They may choose and price the ad, and the user's profile may be looked up.
    pub const TARGET: Self = Self(0b0_0011);
    /// The user's key may be written: into events, tokens and profiles.
    pub const STORE: Self = Self(0b0_0101);
    /// What is known of the user may reach a model that learns.
    pub const LEARN: Self = Self(0b0_1001);
    /// The precise place may be read.
    pub const PRECISE_PLACE: Self = Self(0b1_0001);
    /// Everything.
    pub const ALL: Self = Self(0b1_1111);

    /// Whether all of `part` is allowed.
    pub const fn allows(self, part: Self) -> bool {
        self.0 & part.0 == part.0
    }

    /// What either allows.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What both allow: the stricter of two regimes.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// For counters and logs. From the lowest bit: read, target, store, learn, precise place.
    pub const fn bits(self) -> u8 {
        self.0
    }
}

/// Which signal decided a [`Basis`]. Where several allow equally little, the one that comes first here speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum BasisSource {
    /// The user is a child: `coppa`, or a section for a state of the US says so.
    Child = 0,
    /// The user opted out with us.
    OptedOut,
    /// A signal is there but cannot be read.
    Malformed,
    /// The device limits ad tracking (`lmt`) or asks not to be tracked (`dnt`).
    Lmt,
    /// Global Privacy Control.
    Gpc,
    /// The user opted out under a law of the US, or was never told that they could.
    UsOptOut,
    /// The GPP string cannot be read, lacks a section in force, or has one that is not decoded.
    GppUnreadable,
    /// The GDPR applies, and we have no id that a consent string could name.
    GdprNoVendor,
    /// The GDPR applies, and no consent string came.
    GdprMissing,
    /// The GDPR applies, and the consent string cannot be read or is not valid.
    GdprUnreadable,
    /// The GDPR applies, and the consent string does not let us read.
    GdprRefused,
    /// The GDPR applies, and the consent string lets us read, and more where it says so.
    GdprConsent,
    /// A law of the US applies, and the user did not opt out.
    UsNotOptedOut,
    /// No regime applies.
    NoSignal,
}

impl BasisSource {
    /// Every source, in the order of precedence.
    pub const ALL: [Self; 14] = [
        Self::Child,
        Self::OptedOut,
        Self::Malformed,
        Self::Lmt,
        Self::Gpc,
        Self::UsOptOut,
        Self::GppUnreadable,
        Self::GdprNoVendor,
        Self::GdprMissing,
        Self::GdprUnreadable,
        Self::GdprRefused,
        Self::GdprConsent,
        Self::UsNotOptedOut,
        Self::NoSignal,
    ];

    /// The name in metrics and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Child => "child",
            Self::OptedOut => "opted_out",
            Self::Malformed => "malformed",
            Self::Lmt => "lmt",
            Self::Gpc => "gpc",
            Self::UsOptOut => "us_opt_out",
            Self::GppUnreadable => "gpp_unreadable",
            Self::GdprNoVendor => "gdpr_no_vendor",
            Self::GdprMissing => "gdpr_missing",
            Self::GdprUnreadable => "gdpr_unreadable",
            Self::GdprRefused => "gdpr_refused",
            Self::GdprConsent => "gdpr_consent",
            Self::UsNotOptedOut => "us_not_opted_out",
            Self::NoSignal => "no_signal",
        }
    }

    /// The position in [`BasisSource::ALL`], for arrays of counters.
    pub const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTS: [Basis; 5] = [Basis::READ, Basis::TARGET, Basis::STORE, Basis::LEARN, Basis::PRECISE_PLACE];

    #[test]
    fn nothing_is_allowed_without_reading() {
        let unions: Vec<Basis> = (0..32_u8)
            .map(|chosen| {
                let chosen = PARTS.iter().enumerate().filter(|(index, _)| chosen >> index & 1 == 1);
                chosen.fold(Basis::NONE, |basis, (_, part)| basis.or(*part))
            })
            .collect();
        for one in &unions {
            for other in &unions {
                let both = one.and(*other);
                assert!(both == Basis::NONE || both.allows(Basis::READ), "{both:?}");
                assert!(one.allows(both) && other.allows(both));
                for part in PARTS {
                    assert_eq!(both.allows(part), one.allows(part) && other.allows(part));
                }
            }
        }
        assert!(unions.contains(&Basis::ALL));
    }

    #[test]
    fn every_part_is_told_apart() {
        for part in PARTS {
            assert!(Basis::ALL.allows(part) && !Basis::NONE.allows(part));
            for other in PARTS {
                assert_eq!(part.allows(other), part == other || other == Basis::READ);
            }
        }
        let bits: std::collections::HashSet<_> = PARTS.iter().map(|part| part.bits()).collect();
        assert_eq!(bits.len(), PARTS.len());
    }

    #[test]
    fn the_list_is_complete_and_named_once() {
        for (index, source) in BasisSource::ALL.iter().enumerate() {
            assert_eq!(source.index(), index);
        }
        let names: std::collections::HashSet<_> = BasisSource::ALL.iter().map(|s| s.as_str()).collect();
        assert_eq!(names.len(), BasisSource::ALL.len());
    }
}
