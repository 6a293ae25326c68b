//! What each check of the supply leads to.

use std::str::FromStr;

use crate::mode::Mode;
use crate::reason::{Reasons, SafetyReason};

/// What each check of the supply leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SupplyPolicy {
    /// The seller is in the inventory's `ads.txt`, and as what `sellers.json` says it is.
    pub ads_txt: Mode,
    /// The sellers are in their systems' `sellers.json`, where the store holds it.
    pub sellers: Mode,
    /// The supply chain is whole and ends at the exchange that asks.
    pub chain: Mode,
    /// The store holds the inventory's `ads.txt`.
    pub unavailable: Mode,
}

impl SupplyPolicy {
    /// One mode for all checks; but that a file is not held is at most counted.
    pub fn all(mode: Mode) -> Self {
        let unavailable = if mode == Mode::Off { Mode::Off } else { Mode::Observe };
        Self { ads_txt: mode, sellers: mode, chain: mode, unavailable }
    }

    fn mode_of(&self, reason: SafetyReason) -> Mode {
        match reason {
            SafetyReason::UnauthorisedSeller | SafetyReason::SellerTypeMismatch => self.ads_txt,
            SafetyReason::UnlistedSeller => self.sellers,
            SafetyReason::IncompleteChain | SafetyReason::MalformedChain | SafetyReason::ForeignChain => {
                self.chain
            }
            SafetyReason::AdsTxtUnavailable => self.unavailable,
            _ => Mode::Off,
        }
    }

    fn reasons(&self, is: impl Fn(Mode) -> bool) -> Reasons {
        let chosen = SafetyReason::ALL.into_iter().filter(|reason| is(self.mode_of(*reason)));
        chosen.fold(Reasons::NONE, Reasons::with)
    }

    /// The reasons that are looked for.
    pub fn watched(&self) -> Reasons {
        self.reasons(|mode| mode != Mode::Off)
    }

    /// The reasons that refuse a request.
    pub fn enforced(&self) -> Reasons {
        self.reasons(|mode| mode == Mode::Enforce)
    }

    /// As the configuration writes it: one word, or where the checks differ each with its own.
    pub fn show(&self) -> String {
        if *self == Self::all(self.ads_txt) {
            return self.ads_txt.as_str().to_owned();
        }
        format!(
            "ads_txt={},sellers={},chain={},unavailable={}",
            self.ads_txt.as_str(),
            self.sellers.as_str(),
            self.chain.as_str(),
            self.unavailable.as_str()
        )
    }
}

impl FromStr for SupplyPolicy {
    type Err = String;

    /// One mode for all, as [`SupplyPolicy::all`] has it; or `CHECK=MODE` for each of some, with commas between: the rest
    /// observes.
    fn from_str(text: &str) -> Result<Self, String> {
        if !text.contains('=') {
            return Ok(Self::all(text.trim().parse()?));
        }
        let mut policy = Self::all(Mode::Observe);
        for part in text.split(',') {
            let (check, mode) = part
                .split_once('=')
                .ok_or_else(|| format!("{part:?} has no mode; write it like \"ads_txt=enforce\""))?;
            let place = match check.trim() {
                "ads_txt" => &mut policy.ads_txt,
                "sellers" => &mut policy.sellers,
                "chain" => &mut policy.chain,
                "unavailable" => &mut policy.unavailable,
                other => {
                    return Err(format!(
                        "{other:?} is none of \"ads_txt\", \"sellers\", \"chain\" and \"unavailable\""
                    ));
                }
            };
            *place = mode.trim().parse()?;
        }
        Ok(policy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_word_is_for_all_and_never_refuses_for_want_of_a_file() {
        let policy: SupplyPolicy = "enforce".parse().unwrap();
        assert!(policy.enforced().contains(SafetyReason::UnauthorisedSeller));
        assert!(!policy.enforced().contains(SafetyReason::AdsTxtUnavailable));
        assert!(policy.watched().contains(SafetyReason::AdsTxtUnavailable));
        let observe: SupplyPolicy = "observe".parse().unwrap();
        assert!(observe.enforced().is_empty() && !observe.watched().is_empty());
        assert!("off".parse::<SupplyPolicy>().unwrap().watched().is_empty());
    }

    #[test]
    fn checks_may_differ_and_are_shown_as_they_are_written() {
        for text in
            ["off", "observe", "enforce", "ads_txt=enforce,sellers=off,chain=observe,unavailable=enforce"]
        {
            assert_eq!(text.parse::<SupplyPolicy>().unwrap().show(), text);
        }
        let one: SupplyPolicy = "chain=enforce".parse().unwrap();
        assert_eq!((one.chain, one.ads_txt), (Mode::Enforce, Mode::Observe));
        for (wrong, says) in [
            ("on", "\"on\" is none of \"off\""),
            ("chains=off", "\"chains\" is none of \"ads_txt\""),
            ("chain=off,sellers", "\"sellers\" has no mode"),
        ] {
            assert!(wrong.parse::<SupplyPolicy>().unwrap_err().starts_with(says), "{wrong}");
        }
    }
}
