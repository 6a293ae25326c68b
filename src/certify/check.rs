//! The checks by name, and what one request's answer came to.

use std::collections::BTreeSet;

use serde::Serialize;

/// Failures of one check kept of one answer; an answer that is wrong throughout says nothing new after that.
const MOST_FAILURES: usize = 5;
/// Longest detail, in characters.
const LONGEST_DETAIL: usize = 400;

/// What is looked at. The order is that of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Check {
    /// The answer's status, content type and whether there is a body.
    Status,
    /// Members, their types, and ids (OpenRTB 2.6 section 4.2).
    Schema,
    /// No bid for an imp that the request itself spoils.
    Flaw,
    /// The bid names an imp of the request, and not more bids than it takes.
    Imp,
    /// Above nothing, and the agreed price of a deal that has one.
    Price,
    /// At or above the floor that applies.
    Floor,
    /// The deal is one of the imp's, open to this seat and advertiser, and named where only deals may bid.
    Deal,
    /// `wseat` and `bseat`.
    Seat,
    /// One of `cur`.
    Currency,
    /// `bcat` and `acat`.
    Category,
    /// `badv`; the bid names its advertiser and creative.
    Advertiser,
    /// `bapp`.
    App,
    /// `battr`.
    Attribute,
    /// `btype`.
    Btype,
    /// The markup is of a format that the imp offers.
    Format,
    /// The creative's size is one that the imp takes.
    Size,
    /// Of video and audio.
    Duration,
    /// `poddur`, `maxseq` and `slotinpod`.
    Pod,
    /// The media files' types.
    Mimes,
    /// The version of VAST or DAAST.
    Protocol,
    /// VPAID, MRAID, OMID and SIMID only where the imp supports them.
    Api,
    /// There is markup, and it is well formed.
    Markup,
    /// The structure of VAST or DAAST.
    Vast,
    /// The native answer against the native request.
    Native,
    /// `secure`.
    Secure,
    /// Substitution macros (section 4.4).
    Macros,
    /// `nurl`, `burl` and `lurl`.
    Notices,
    /// Nothing of the user where the request withholds a basis.
    Privacy,
    /// `tmax`.
    Latency,
}

impl Check {
    /// Every check, in the table's order.
    pub const ALL: [Self; 29] = [
        Self::Status,
        Self::Schema,
        Self::Flaw,
        Self::Imp,
        Self::Price,
        Self::Floor,
        Self::Deal,
        Self::Seat,
        Self::Currency,
        Self::Category,
        Self::Advertiser,
        Self::App,
        Self::Attribute,
        Self::Btype,
        Self::Format,
        Self::Size,
        Self::Duration,
        Self::Pod,
        Self::Mimes,
        Self::Protocol,
        Self::Api,
        Self::Markup,
        Self::Vast,
        Self::Native,
        Self::Secure,
        Self::Macros,
        Self::Notices,
        Self::Privacy,
        Self::Latency,
    ];

    /// As the table and the JSON name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Schema => "schema",
            Self::Flaw => "flaw",
            Self::Imp => "imp",
            Self::Price => "price",
            Self::Floor => "floor",
            Self::Deal => "deal",
            Self::Seat => "seat",
            Self::Currency => "currency",
            Self::Category => "category",
            Self::Advertiser => "advertiser",
            Self::App => "app",
            Self::Attribute => "attribute",
            Self::Btype => "btype",
            Self::Format => "format",
            Self::Size => "size",
            Self::Duration => "duration",
            Self::Pod => "pod",
            Self::Mimes => "mimes",
            Self::Protocol => "protocol",
            Self::Api => "api",
            Self::Markup => "markup",
            Self::Vast => "vast",
            Self::Native => "native",
            Self::Secure => "secure",
            Self::Macros => "macros",
            Self::Notices => "notices",
            Self::Privacy => "privacy",
            Self::Latency => "latency",
        }
    }
}

/// What one answer came to: a check that is neither applied nor failed is not applicable.
#[derive(Debug, Default)]
pub struct Findings {
    /// Checks that had something to look at.
    pub applied: BTreeSet<Check>,
    /// What they found, oldest first.
    pub failures: Vec<(Check, String)>,
}

impl Findings {
    /// Applies a check.
    pub fn require(&mut self, check: Check, holds: bool, detail: impl FnOnce() -> String) {
        self.applied.insert(check);
        if !holds && self.failures.iter().filter(|(failed, _)| *failed == check).count() < MOST_FAILURES {
            self.failures.push((check, shorten(&detail())));
        }
    }

    /// Notes that a check was applied and holds so far.
    pub fn applies(&mut self, check: Check) {
        self.applied.insert(check);
    }

    /// Notes a failure.
    pub fn fail(&mut self, check: Check, detail: impl Into<String>) {
        let detail = detail.into();
        self.require(check, false, || detail);
    }

    /// Whether a check failed.
    pub fn failed(&self, check: Check) -> bool {
        self.failures.iter().any(|(failed, _)| *failed == check)
    }
}

/// Cuts what a bidder sent to a length that a table can show.
pub(super) fn shorten(text: &str) -> String {
    match text.char_indices().nth(LONGEST_DETAIL) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct_and_those_of_the_json() {
        let names: BTreeSet<_> = Check::ALL.iter().map(|check| check.as_str()).collect();
        assert_eq!(names.len(), Check::ALL.len());
        for check in Check::ALL {
            assert_eq!(serde_json::to_value(check).unwrap(), check.as_str());
        }
    }

    #[test]
    fn failures_and_details_are_bounded() {
        let mut findings = Findings::default();
        for _ in 0..1000 {
            findings.fail(Check::Schema, "ä".repeat(10_000));
        }
        assert_eq!(findings.failures.len(), MOST_FAILURES);
        assert_eq!(findings.failures[0].1.chars().count(), LONGEST_DETAIL + 1);
    }
}
