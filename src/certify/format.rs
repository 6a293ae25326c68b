//! The four formats of an imp.

use serde_json::Value;

use super::value::member;

/// What an imp offers and a bid fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// `imp.banner`, `mtype` 1.
    Banner,
    /// `imp.video`, `mtype` 2.
    Video,
    /// `imp.audio`, `mtype` 3.
    Audio,
    /// `imp.native`, `mtype` 4.
    Native,
}

impl Format {
    /// Every format, in the order of `mtype`.
    pub const ALL: [Self; 4] = [Self::Banner, Self::Video, Self::Audio, Self::Native];

    /// The imp's member.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Banner => "banner",
            Self::Video => "video",
            Self::Audio => "audio",
            Self::Native => "native",
        }
    }

    /// Of `bid.mtype`.
    pub(super) fn of_mtype(mtype: i64) -> Option<Self> {
        usize::try_from(mtype - 1).ok().and_then(|index| Self::ALL.get(index)).copied()
    }

    /// Whether the markup is VAST, or DAAST.
    pub(super) const fn is_timed(self) -> bool {
        matches!(self, Self::Video | Self::Audio)
    }

    /// Those that an imp offers, in order.
    pub(super) fn offered(imp: &Value) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|format| member(imp, format.as_str()).is_some())
    }
}
