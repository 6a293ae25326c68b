//! What a check's finding leads to.

use std::str::FromStr;

/// What a check's finding leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// The check is not made.
    Off,
    /// Findings are counted; the request is bid on.
    #[default]
    Observe,
    /// A finding is counted, and the request is not bid on.
    Enforce,
}

impl Mode {
    /// As the configuration writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Observe => "observe",
            Self::Enforce => "enforce",
        }
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            "observe" => Ok(Self::Observe),
            "enforce" => Ok(Self::Enforce),
            _ => Err(format!("{text:?} is none of \"off\", \"observe\" and \"enforce\"")),
        }
    }
}
