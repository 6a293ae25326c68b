//! The privacy gate: the one way to a user's data.
//!
//! User-level data is `user.id`, `user.buyeruid`, `user.keywords`, `user.kwarray`, `user.data`, `user.geo`, and any
//! `geo.city`. Outside this module none of it can be reached but through [`BidRequest::user_data`], which gives it out
//! only if no line of this table says "withheld". Consent strings are not decoded, so where one would have to be, there
//! is no basis.
//!
//! | signal | says nothing | allows | withheld |
//! | --- | --- | --- | --- |
//! | `regs.coppa` | absent | 0 | 1, malformed |
//! | `regs.gdpr`, `regs.ext.gdpr` | absent | 0 | 1, malformed (either place) |
//! | `user.consent`, `user.ext.consent` | absent, empty | present beside a `gdpr` of 0 | present without one |
//! | `regs.us_privacy`, `regs.ext.us_privacy` | absent, empty | third mark `N` or `-` | third mark `Y`, malformed |
//! | `regs.gpp`, `regs.ext.gpp` | absent, empty | | present |
//! | `regs.gpp_sid`, `regs.ext.gpp_sid` | absent, empty | | present |
//! | `regs.gpc`, `regs.ext.gpc` | absent | 0 | 1, malformed |
//! | `device.lmt`, `device.dnt` | absent | 0 | 1, malformed |
//! | `regs`, `regs.ext` | absent, `null` | | neither object nor `null` |
//! | `device.geo.country`, `user.geo.country` | absent, elsewhere | | where the GDPR or the like holds, without a `gdpr` of 0 |
//!
//! Of a signal that stands in two places the stricter counts.

use super::device::Geo;
use super::lenient::{Signal, Statement};
use super::model::BidRequest;
use super::user::User;

/// What the gate gives out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UserData<'r, 'a> {
    /// The user.
    pub(crate) user: &'r User<'a>,
    /// Where the device is; where that is not said, the user's home.
    pub(crate) geo: &'r Geo<'a>,
    /// The city in `geo`.
    pub(crate) city: &'r str,
}

impl<'a> BidRequest<'a> {
    /// The user-level data, where the request gives a basis to read it.
    pub(crate) fn user_data(&self) -> Option<UserData<'_, 'a>> {
        if !self.may_read_user() {
            return None;
        }
        let home_only = self.device.geo.country.is_empty() && !self.user.geo.country.is_empty();
        let geo = if home_only { &self.user.geo } else { &self.device.geo };
        Some(UserData { user: &self.user, geo, city: &geo.city })
    }

    /// Whether the request gives a basis to read user-level data.
    pub fn may_read_user(&self) -> bool {
        let (regs, ext) = (&self.regs.object, &self.regs.object.ext.object);
        let malformed = self.regs.malformed || regs.ext.malformed;
        let raised = [regs.coppa, regs.gdpr, ext.gdpr, regs.gpc, ext.gpc, self.device.lmt, self.device.dnt]
            .iter()
            .any(|signal| matches!(signal, Signal::Raised | Signal::Malformed));
        // Nobody sends a consent string where consent is not needed, unless they say so.
        let consent = said(&self.user.consent) || said(&self.user.ext.consent);
        let gdpr_excluded = regs.gdpr.max(ext.gdpr) == Signal::Lowered;
        let opted_out = opted_out(&regs.us_privacy) || opted_out(&ext.us_privacy);
        let sections = [&regs.gpp_sid, &ext.gpp_sid].iter().any(|sid| sid.malformed || !sid.list.is_empty());
        let gpp = sections || said(&regs.gpp) || said(&ext.gpp);
        let european = [&self.device.geo, &self.user.geo].iter().any(|geo| under_gdpr(&geo.country));
        !(malformed || raised || ((consent || european) && !gdpr_excluded) || opted_out || gpp)
    }
}

fn said(statement: &Statement<'_>) -> bool {
    statement.malformed || !statement.text.is_empty()
}

/// By a US Privacy String of version 1, or by something that is none.
fn opted_out(statement: &Statement<'_>) -> bool {
    let known = |mark: &u8| matches!(mark.to_ascii_uppercase(), b'Y' | b'N' | b'-');
    match statement.text.as_bytes() {
        [] => statement.malformed,
        [b'1', marks @ ..] if marks.len() == 3 && marks.iter().all(known) => {
            marks[1].eq_ignore_ascii_case(&b'Y')
        }
        _ => true,
    }
}

/// The European Economic Area, the United Kingdom and Switzerland, as ISO 3166-1 alpha-3 (what OpenRTB asks for) and
/// alpha-2 (what some send).
const UNDER_GDPR: [(&str, &str); 32] = [
    ("AUT", "AT"),
    ("BEL", "BE"),
    ("BGR", "BG"),
    ("CHE", "CH"),
    ("CYP", "CY"),
    ("CZE", "CZ"),
    ("DEU", "DE"),
    ("DNK", "DK"),
    ("ESP", "ES"),
    ("EST", "EE"),
    ("FIN", "FI"),
    ("FRA", "FR"),
    ("GBR", "GB"),
    ("GRC", "GR"),
    ("HRV", "HR"),
    ("HUN", "HU"),
    ("IRL", "IE"),
    ("ISL", "IS"),
    ("ITA", "IT"),
    ("LIE", "LI"),
    ("LTU", "LT"),
    ("LUX", "LU"),
    ("LVA", "LV"),
    ("MLT", "MT"),
    ("NLD", "NL"),
    ("NOR", "NO"),
    ("POL", "PL"),
    ("PRT", "PT"),
    ("ROU", "RO"),
    ("SVK", "SK"),
    ("SVN", "SI"),
    ("SWE", "SE"),
];

fn under_gdpr(country: &str) -> bool {
    let same = |code: &str| code.eq_ignore_ascii_case(country.trim());
    UNDER_GDPR.iter().any(|(long, short)| same(long) || same(short))
}

#[cfg(test)]
mod tests {
    use crate::parse;

    fn may(members: &str) -> bool {
        let body = format!(r#"{{"id":"1","imp":[{{"id":"1"}}]{members}}}"#);
        parse(body.as_bytes()).unwrap().may_read_user()
    }

    #[test]
    fn silence_and_explicit_permission_give_a_basis() {
        for members in [
            "",
            r#","regs":null"#,
            r#","regs":{"coppa":0,"gdpr":0,"ext":{"gdpr":0,"us_privacy":"1YNN","gpc":"0"}}"#,
            r#","regs":{"us_privacy":"1---"}"#,
            r#","regs":{"us_privacy":"","gpp":"","gpp_sid":[ ]},"user":{"consent":"","ext":{"consent":null}}"#,
            r#","regs":{"gdpr":"0"},"user":{"consent":"CPc"}"#,
            r#","device":{"lmt":0,"dnt":false}"#,
            r#","device":{"geo":{"country":"USA"}}"#,
            r#","device":{"geo":{"country":"DEU"}},"regs":{"gdpr":0}"#,
        ] {
            assert!(may(members), "{members}");
        }
    }

    #[test]
    fn every_line_of_the_table_withholds() {
        for members in [
            r#","regs":{"coppa":1}"#,
            r#","regs":{"coppa":true}"#,
            r#","regs":{"gdpr":1}"#,
            r#","regs":{"gdpr":1.0}"#,
            r#","regs":{"gdpr":"1"}"#,
            r#","regs":{"gdpr":2}"#,
            r#","regs":{"gdpr":"maybe"}"#,
            r#","regs":{"gdpr":{}}"#,
            r#","regs":{"ext":{"gdpr":1}}"#,
            r#","regs":{"gdpr":0,"ext":{"gdpr":1}}"#,
            r#","regs":{"ext":{"gpc":"1"}}"#,
            r#","device":{"geo":{"country":"DEU"}}"#,
            r#","device":{"geo":{"country":"fr"}},"regs":{"coppa":0}"#,
            r#","user":{"geo":{"country":"GBR"}}"#,
            r#","user":{"consent":"CPc"}"#,
            r#","user":{"ext":{"consent":"CPc"}}"#,
            r#","regs":{"us_privacy":"1YYN"}"#,
            r#","regs":{"us_privacy":"1nyn"}"#,
            r#","regs":{"us_privacy":"1"}"#,
            r#","regs":{"us_privacy":"2YNN"}"#,
            r#","regs":{"us_privacy":1}"#,
            r#","regs":{"ext":{"us_privacy":"1-Y-"}}"#,
            r#","regs":{"gpp":"DBAA"}"#,
            r#","regs":{"gpp_sid":[7]}"#,
            r#","regs":{"gpp_sid":7}"#,
            r#","regs":{"ext":{"gpp":"DBAA"}}"#,
            r#","regs":{"ext":{"gpp_sid":[2]}}"#,
            r#","device":{"lmt":1}"#,
            r#","device":{"dnt":true}"#,
            r#","device":{"dnt":"yes"}"#,
            r#","regs":"malformed""#,
            r#","regs":[]"#,
            r#","regs":{"ext":"malformed"}"#,
        ] {
            assert!(!may(members), "{members}");
        }
    }
}
