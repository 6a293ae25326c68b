//! Substitution macros (OpenRTB 2.6 section 4.4), and the notices that they are filled into.

use super::check::{Check, Findings, shorten};
use super::markup::is_web;
use super::offer::Offer;
use super::value::text;

/// The specification's, with what a trial puts in their place.
const KNOWN: [(&str, &str); 14] = [
    ("AUCTION_ID", "auction-1"),
    ("AUCTION_BID_ID", "bid-1"),
    ("AUCTION_IMP_ID", "1"),
    ("AUCTION_SEAT_ID", "seat-1"),
    ("AUCTION_AD_ID", "ad-1"),
    ("AUCTION_PRICE", "1.23"),
    ("AUCTION_CURRENCY", "USD"),
    ("AUCTION_MBR", "0.9"),
    ("AUCTION_LOSS", "102"),
    ("AUCTION_MIN_TO_WIN", "1.2"),
    ("AUCTION_MULTIPLIER", "1"),
    ("AUCTION_IMP_TS", "1700000000000"),
    ("AUCTION_DISCOUNT_PCT", "0"),
    ("AUCTION_DISCOUNT_CPM", "0"),
];
/// Of the IAB's privacy specifications; those that end in `_` go on with a vendor's number.
const PRIVACY: [&str; 7] =
    ["GDPR", "GDPR_CONSENT_", "US_PRIVACY", "GPP_STRING_", "GPP_SID", "ADDTL_CONSENT", "TCFCA_CONSENT_"];
/// Longest name and suffix, in bytes; what goes on for longer was never closed.
const LONGEST: usize = 64;

/// A `${…}`, or what begins as one.
#[derive(Debug, PartialEq, Eq)]
enum Macro<'a> {
    Closed(&'a str),
    Open(&'a str),
}

/// The macros of a text, in order, with where they stand.
fn macros(text: &str) -> impl Iterator<Item = (std::ops::Range<usize>, Macro<'_>)> {
    text.match_indices("${").map(move |(start, _)| {
        let rest = &text[start + 2..];
        let end = rest.find(['}', '"', '\'', '<', '\n', '&']).filter(|end| *end <= LONGEST);
        match end.filter(|end| rest.as_bytes().get(*end) == Some(&b'}')) {
            Some(end) => (start..start + end + 3, Macro::Closed(&rest[..end])),
            None => {
                let shown = rest.char_indices().nth(20).map_or(rest, |(end, _)| &rest[..end]);
                (start..start + 2, Macro::Open(shown))
            }
        }
    })
}

/// The name without `:B64` and the like.
fn bare(name: &str) -> Option<&str> {
    match name.split_once(':') {
        None => Some(name),
        Some((name, suffix)) => {
            (!suffix.is_empty() && suffix.bytes().all(|byte| byte.is_ascii_alphanumeric())).then_some(name)
        }
    }
}

fn sample(name: &str) -> Option<&'static str> {
    let name = bare(name)?;
    if let Some((_, sample)) = KNOWN.iter().find(|(known, _)| *known == name) {
        return Some(sample);
    }
    let numbered = |known: &str| {
        known.ends_with('_')
            && name
                .strip_prefix(known)
                .is_some_and(|id| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()))
    };
    PRIVACY.iter().any(|known| *known == name || numbered(known)).then_some("1")
}

/// A text with its known macros filled in, as an exchange does.
pub(super) fn fill(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for (range, found) in macros(text) {
        if let Macro::Closed(name) = found
            && let Some(sample) = sample(name)
            && range.start >= from
        {
            out.push_str(&text[from..range.start]);
            out.push_str(sample);
            from = range.end;
        }
    }
    out.push_str(&text[from..]);
    out
}

/// Whether a name was meant as a macro, and is not a script's own template.
fn is_meant(name: &str) -> bool {
    let upper = name.trim().to_ascii_uppercase();
    upper.contains("AUCTION")
        || !name.is_empty()
            && name.bytes().all(|byte| {
                byte.is_ascii_uppercase() || byte == b'_' || byte.is_ascii_digit() || byte == b':'
            })
}

/// Checks the bid's macros and notices.
pub(super) fn check(offer: &Offer<'_>, findings: &mut Findings) {
    let name = &offer.name;
    for member in ["adm", "nurl", "burl", "lurl", "iurl"] {
        let Some(value) = text(offer.bid, member) else { continue };
        let is_url = member != "adm";
        for (_, found) in macros(value) {
            let meant = match found {
                Macro::Closed(macro_name) | Macro::Open(macro_name) => {
                    is_url || is_meant(macro_name) || macro_name.starts_with("AUCTION")
                }
            };
            if !meant {
                continue;
            }
            match found {
                Macro::Open(start) => findings.fail(
                    Check::Macros,
                    format!("{name}: {member} has a macro that is not closed: ${{{start}"),
                ),
                Macro::Closed(macro_name) => {
                    findings.require(Check::Macros, sample(macro_name).is_some(), || {
                        format!(
                            "{name}: {member} has ${{{macro_name}}}, which the specification does not know"
                        )
                    });
                    let is_loss = bare(macro_name) == Some("AUCTION_LOSS");
                    findings.require(Check::Macros, !is_loss || member == "lurl", || {
                        format!("{name}: {member} has ${{{macro_name}}}, which belongs in lurl")
                    });
                }
            }
        }
        let escaped = value.to_ascii_uppercase();
        findings.require(
            Check::Macros,
            !["%24%7BAUCTION", "$%7BAUCTION", "%24{AUCTION"].iter().any(|start| escaped.contains(start)),
            || format!("{name}: {member} has a macro that is percent-encoded, which no exchange fills in"),
        );
        if is_url {
            let filled = fill(value);
            let is_absolute =
                !value.starts_with("//") && is_web(&filled) && !filled.contains(char::is_whitespace);
            findings.require(Check::Notices, is_absolute, || {
                format!(
                    "{name}: {member} is no http or https URL once its macros are filled in: {}",
                    shorten(value)
                )
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    #[allow(clippy::needless_pass_by_value, reason = "values are written where it is called")]
    fn failures(bid: Value) -> Vec<(Check, String)> {
        let mut findings = Findings::default();
        let imp = json!({"id": "1", "banner": {"w": 1, "h": 1}});
        check(&Offer::new(&Value::Null, &imp, &bid, None, "USD"), &mut findings);
        findings.failures
    }

    #[test]
    fn known_macros_pass_and_others_fail() {
        for good in [
            "${AUCTION_PRICE}",
            "${AUCTION_PRICE:B64}",
            "${AUCTION_MIN_TO_WIN}&m=${AUCTION_MULTIPLIER}&t=${AUCTION_IMP_TS}",
            "${GDPR}${GDPR_CONSENT_755}${US_PRIVACY}${GPP_STRING_7}${GPP_SID}",
        ] {
            let url = format!("https://n.example/?p={good}");
            assert_eq!(failures(json!({"nurl": url, "adm": format!("<img src=\"{url}\">")})), [], "{good}");
        }
        for bad in [
            "${AUCTION_PRIZE}",
            "${AUCTION_PRICE",
            "${auction_price}",
            "${AUCTION PRICE}",
            "${AUCTION_PRICE:}",
            "${AUCTION_LOSS}",
            "${CLICK_URL}",
            "%24%7BAUCTION_PRICE%7D",
        ] {
            let url = format!("https://n.example/?p={bad}");
            assert_eq!(failures(json!({"burl": url}))[0].0, Check::Macros, "{bad}");
            assert_eq!(failures(json!({"adm": format!("<img src=\"{url}\">")}))[0].0, Check::Macros, "{bad}");
        }
        assert_eq!(failures(json!({"lurl": "https://n.example/?l=${AUCTION_LOSS}"})), []);
        assert_eq!(failures(json!({"adm": "<script>let a = `${name}`; let b = `${x.y}`;</script>"})), []);
    }

    #[test]
    fn notices_are_urls() {
        for bad in ["n.example/win", "ftp://n.example", "https://", "https://n.example/a b", "//n.example"] {
            assert_eq!(failures(json!({"nurl": bad}))[0].0, Check::Notices, "{bad}");
        }
        assert_eq!(failures(json!({"nurl": "http://127.0.0.1:1/n/win/abc?p=${AUCTION_PRICE}"})), []);
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "[a-zä$\\{\\}:\"A-Z_ ]{0,80}") {
            fill(&text);
            failures(json!({"adm": text, "nurl": text}));
        }
    }
}
