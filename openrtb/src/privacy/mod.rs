//! From a request's privacy signals to what may be done with user-level data. Pure: signals in, a [`Basis`] out.
//!
//! Each regime that applies has its say, and what all of them allow is allowed. The tables are in `docs/privacy.md`.

mod bits;
mod country;
mod gpp;
mod ip;
mod tcf;
mod us;

#[cfg(test)]
mod encode;
#[cfg(test)]
mod tests;

use haggle_domain::planted::{Bug, planted};
use haggle_domain::{Basis, BasisSource};

pub use ip::truncated;

/// A flag that restricts what may be done with a user's data. Ordered: of two readings the greater stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    /// Not said.
    #[default]
    Absent,
    /// 0: explicitly not.
    Lowered,
    /// 1.
    Raised,
    /// Said, but unreadable.
    Malformed,
}

/// What a request says. Where something is said in two places, the stricter of the two.
#[derive(Clone, Copy, Debug, Default)]
pub struct Signals<'a> {
    /// `regs.coppa`.
    pub coppa: Signal,
    /// `regs.gdpr`.
    pub gdpr: Signal,
    /// `user.consent`: a TC string.
    pub consent: &'a str,
    /// `regs.us_privacy`.
    pub us_privacy: &'a str,
    /// `regs.gpp`.
    pub gpp: &'a str,
    /// `regs.gpp_sid`: the sections of `gpp` in force.
    pub gpp_sid: &'a [i64],
    /// `regs.ext.gpc`: Global Privacy Control.
    pub gpc: Signal,
    /// `device.lmt`: limit ad tracking.
    pub lmt: Signal,
    /// `device.dnt`: do not track.
    pub dnt: Signal,
    /// `device.geo.country` and `user.geo.country`.
    pub countries: [&'a str; 2],
    /// Something stands where one of these belongs, and cannot be read.
    pub malformed: bool,
}

/// Who we are to the regimes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Our id in the Global Vendor List. Without one no TC string can name us, and under the GDPR there is no basis.
    pub vendor: Option<u16>,
}

/// A basis, and what decided it.
type Verdict = (Basis, BasisSource);

/// What may be done with the user-level data of a request, and what decided it.
pub fn decide(signals: &Signals<'_>, policy: &Policy) -> (Basis, BasisSource) {
    let platform = gpp::read(signals.gpp, signals.gpp_sid);
    let mut verdict = platform.us;
    if signals.gdpr_applies(&platform) {
        verdict = stricter(verdict, under_gdpr([signals.consent, platform.consent], policy));
    }
    if !signals.us_privacy.is_empty() {
        let read = us::privacy_string(signals.us_privacy);
        verdict = stricter(verdict, read.unwrap_or((Basis::NONE, BasisSource::Malformed)));
    }
    let flags = [signals.coppa, signals.gdpr, signals.gpc, signals.lmt, signals.dnt];
    let raised = |signal| signal == Signal::Raised;
    for (withholds, source) in [
        (raised(signals.coppa), BasisSource::Child),
        (signals.malformed || flags.contains(&Signal::Malformed), BasisSource::Malformed),
        (raised(signals.lmt) || raised(signals.dnt), BasisSource::Lmt),
        (raised(signals.gpc), BasisSource::Gpc),
    ] {
        if withholds && !planted(Bug::UserKept) {
            verdict = stricter(verdict, (Basis::NONE, source));
        }
    }
    verdict
}

impl Signals<'_> {
    /// Whether the GDPR, or a law that follows it, applies. Where nobody says that it does not, a place or a consent
    /// string is enough: none is sent where none is needed.
    fn gdpr_applies(&self, platform: &gpp::Platform<'_>) -> bool {
        let somewhere = self.countries.iter().any(|country| country::under_gdpr(country));
        let hinted = somewhere || !self.consent.is_empty() || platform.hints_at_gdpr;
        platform.gdpr_in_force || self.gdpr == Signal::Raised || hinted && self.gdpr != Signal::Lowered
    }
}

/// What TC strings let us do, of which some may be empty.
fn under_gdpr(strings: [&str; 2], policy: &Policy) -> Verdict {
    let Some(vendor) = policy.vendor else { return (Basis::NONE, BasisSource::GdprNoVendor) };
    strings
        .into_iter()
        .filter(|text| !text.is_empty())
        .map(|text| {
            let consent = tcf::Consent::decode(text, vendor);
            consent.map_or((Basis::NONE, BasisSource::GdprUnreadable), |consent| consent.basis())
        })
        .reduce(stricter)
        .unwrap_or((Basis::NONE, BasisSource::GdprMissing))
}

/// What both allow. The one that allows less speaks; of two that allow as little, the one of the higher precedence.
fn stricter(one: Verdict, other: Verdict) -> Verdict {
    let key = |verdict: &Verdict| (verdict.0.bits().count_ones(), verdict.1);
    let speaks = if key(&other) < key(&one) { other.1 } else { one.1 };
    (one.0.and(other.0), speaks)
}
