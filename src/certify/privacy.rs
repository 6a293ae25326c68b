//! Where the request withholds a basis, nothing of the user may come back: not in the answer, and so not in any URL or
//! markup that other parties see.

use std::collections::BTreeSet;
use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use md5::{Digest, Md5};
use serde_json::Value;
use sha1::Sha1;

use super::check::{Check, Findings};
use super::value::{at, flag, list, text};

/// Shorter values are found by chance.
const SHORTEST: usize = 5;
/// Shorter ones are looked for as words of their own.
const WORD: usize = 8;
/// Identifiers looked for in one request.
const MOST_VALUES: usize = 64;

/// Why nothing of the user may be used, if so.
pub(super) fn withheld(request: &Value) -> Option<&'static str> {
    let either = |paths: [&[&str]; 2]| paths.iter().any(|path| flag(request, path));
    let word = |paths: [&[&str]; 2]| {
        paths
            .iter()
            .find_map(|path| at(request, path).and_then(Value::as_str).filter(|text| !text.trim().is_empty()))
    };
    if either([&["regs", "coppa"], &["regs", "ext", "coppa"]]) {
        return Some("COPPA applies");
    }
    if either([&["regs", "gdpr"], &["regs", "ext", "gdpr"]])
        && word([&["user", "consent"], &["user", "ext", "consent"]]).is_none()
    {
        return Some("the GDPR applies and there is no consent string");
    }
    if flag(request, &["device", "lmt"]) {
        return Some("device.lmt is 1");
    }
    if flag(request, &["device", "dnt"]) {
        return Some("device.dnt is 1");
    }
    if either([&["regs", "gpc"], &["regs", "ext", "gpc"]]) {
        return Some("global privacy control is on");
    }
    let sale =
        word([&["regs", "us_privacy"], &["regs", "ext", "us_privacy"]]).and_then(|text| text.chars().nth(2));
    sale.filter(|sale| sale.eq_ignore_ascii_case(&'y')).map(|_| "us_privacy says that the user opted out")
}

/// What tells the user from others, with where it stands; words that the request also says elsewhere tell nothing.
fn identifiers(request: &Value) -> Vec<(String, &str)> {
    fn add<'a>(found: &mut Vec<(String, &'a str)>, place: String, value: Option<&'a Value>) {
        if let Some(value) = value.and_then(Value::as_str).map(str::trim)
            && value.len() >= SHORTEST
            && found.len() < MOST_VALUES
        {
            found.push((place, value));
        }
    }
    let mut found = Vec::new();
    for (object, names) in [
        ("user", &["id", "buyeruid", "customdata"][..]),
        (
            "device",
            &["ifa", "ip", "ipv6", "didsha1", "didmd5", "dpidsha1", "dpidmd5", "macsha1", "macmd5"][..],
        ),
    ] {
        for name in names {
            add(&mut found, format!("{object}.{name}"), at(request, &[object, name]));
        }
    }
    for path in [&["user", "eids"][..], &["user", "ext", "eids"][..]] {
        let (last, parents) = path.split_last().unwrap_or((&"", &[]));
        for eid in at(request, parents).map_or(&[][..], |parent| list(parent, last)) {
            for uid in list(eid, "uids") {
                let place = format!("{} of {}", path.join("."), text(eid, "source").unwrap_or("?"));
                add(&mut found, place, uid.get("id"));
            }
        }
    }
    let mut public = Vec::new();
    for (name, value) in request.as_object().into_iter().flatten() {
        if name != "user" && name != "device" {
            strings(value, &mut public);
        }
    }
    for name in ["ua", "make", "model", "os", "osv", "carrier", "language"] {
        public.extend(at(request, &["device", name]).and_then(Value::as_str));
    }
    found.retain(|(_, value)| !public.iter().any(|public| public.contains(value)));
    found
}

fn strings<'a>(value: &'a Value, into: &mut Vec<&'a str>) {
    // Iterative: a request may be nested as deep as its parser allows.
    let mut left = vec![value];
    while let Some(value) = left.pop() {
        match value {
            Value::String(text) => into.push(text),
            Value::Array(array) => left.extend(array),
            Value::Object(object) => left.extend(object.values()),
            _ => {}
        }
    }
}

/// Ways in which an identifier may be written: name and text.
fn spellings(value: &str) -> Vec<(&'static str, String)> {
    let bytes = value.as_bytes();
    let lower = value.to_ascii_lowercase();
    let digest = |name, text: &str, sha1: bool| {
        let digest =
            if sha1 { hex(&Sha1::digest(text.as_bytes())) } else { hex(&Md5::digest(text.as_bytes())) };
        (name, digest)
    };
    vec![
        ("as it is", lower.clone()),
        (
            "percent-encoded",
            url::form_urlencoded::byte_serialize(bytes).collect::<String>().to_ascii_lowercase(),
        ),
        ("as hex", hex(bytes)),
        digest("as SHA-1", value, true),
        digest("as SHA-1", &lower, true),
        digest("as MD5", value, false),
        digest("as MD5", &lower, false),
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        // Writing to a string cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn holds(text: &str, needle: &str) -> bool {
    let is_word = |at: usize| text.as_bytes().get(at).is_some_and(u8::is_ascii_alphanumeric);
    text.match_indices(needle).any(|(at, _)| {
        needle.len() >= WORD || !(at.checked_sub(1).is_some_and(is_word) || is_word(at + needle.len()))
    })
}

/// Checks an answer's body, which is looked at as text and as the strings that it holds.
pub(super) fn check(request: &Value, body: &str, answer: Option<&Value>, findings: &mut Findings) {
    let Some(why) = withheld(request) else { return };
    let identifiers = identifiers(request);
    if identifiers.is_empty() {
        return;
    }
    findings.applies(Check::Privacy);
    let mut all = vec![body];
    let mut names = Vec::new();
    if let Some(answer) = answer {
        strings(answer, &mut all);
        keys(answer, &mut names);
    }
    let exact = [all, names].concat().join("\n");
    let folded = exact.to_ascii_lowercase();
    let mut told = BTreeSet::new();
    for (place, value) in identifiers {
        let base64 = [STANDARD_NO_PAD.encode(value), URL_SAFE_NO_PAD.encode(value)];
        let spelled =
            spellings(value).into_iter().find(|(_, spelling)| holds(&folded, spelling)).map(|(how, _)| how);
        let how =
            spelled.or_else(|| base64.iter().any(|spelling| holds(&exact, spelling)).then_some("as base64"));
        if let Some(how) = how
            && told.insert(place.clone())
        {
            findings.fail(Check::Privacy, format!("the answer holds {place} {how}, though {why}"));
        }
    }
}

fn keys<'a>(value: &'a Value, into: &mut Vec<&'a str>) {
    let mut left = vec![value];
    while let Some(value) = left.pop() {
        match value {
            Value::Array(array) => left.extend(array),
            Value::Object(object) => {
                into.extend(object.keys().map(String::as_str));
                left.extend(object.values());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn leaks(request: &Value, answer: &Value) -> usize {
        let mut findings = Findings::default();
        check(request, &answer.to_string(), Some(answer), &mut findings);
        findings.failures.len()
    }

    #[test]
    fn a_basis_is_withheld_by_any_signal() {
        for request in [
            json!({"regs": {"coppa": 1}}),
            json!({"regs": {"ext": {"coppa": "1"}}}),
            json!({"regs": {"gdpr": 1}}),
            json!({"regs": {"ext": {"gdpr": 1}}, "user": {"consent": ""}}),
            json!({"device": {"lmt": 1}}),
            json!({"device": {"dnt": 1}}),
            json!({"regs": {"ext": {"gpc": "1"}}}),
            json!({"regs": {"us_privacy": "1YYN"}}),
        ] {
            assert!(withheld(&request).is_some(), "{request}");
        }
        for request in [
            json!({}),
            json!({"regs": {"gdpr": 1}, "user": {"ext": {"consent": "CO"}}}),
            json!({"regs": {"gdpr": 0, "us_privacy": "1YNN"}, "device": {"lmt": 0}}),
        ] {
            assert_eq!(withheld(&request), None, "{request}");
        }
    }

    #[test]
    fn identifiers_are_found_in_every_spelling() {
        let request = json!({"id": "auction", "regs": {"coppa": 1}, "device": {"ip": "203.0.113.9", "ifa": "AB-12-cd-34-ef"},
            "user": {"id": "user-1234?", "eids": [{"source": "s.example", "uids": [{"id": "eid-98765"}]}]}});
        for leak in [
            "https://a.example/?u=user-1234?",
            "https://a.example/?u=user-1234%3F",
            "dXNlci0xMjM0Pw",
            "757365722d313233343f",
            "AB-12-CD-34-EF",
            "https://203.0.113.9/",
            "x203.0.113.9x",
            "eid-98765",
            &hex(&Sha1::digest(b"user-1234?")),
            &hex(&Md5::digest(b"ab-12-cd-34-ef")).to_uppercase(),
        ] {
            assert_eq!(leaks(&request, &json!({"adm": leak})), 1, "{leak}");
        }
        assert_eq!(leaks(&request, &json!({"ext": {"eid-98765": 1}})), 1);
        assert_eq!(leaks(&request, &json!({"adm": "nothing", "id": "auction", "ip": "203.0.113.0"})), 0);
        assert_eq!(leaks(&json!({"user": {"id": "user-1234"}}), &json!({"adm": "user-1234"})), 0);
    }

    #[test]
    fn public_words_and_short_values_tell_nothing() {
        let request = json!({"id": "same-as-user", "regs": {"coppa": 1}, "user": {"id": "same-as-user", "buyeruid": "abc"}});
        assert_eq!(leaks(&request, &json!({"id": "same-as-user", "cid": "abc"})), 0);
        let request = json!({"regs": {"coppa": 1}, "user": {"id": "12345"}});
        assert_eq!(leaks(&request, &json!({"crid": "a123456b"})), 0);
        assert_eq!(leaks(&request, &json!({"crid": "u=12345"})), 1);
    }
}
