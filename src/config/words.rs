//! Small texts with a fixed form: ids, categories, countries, amounts.

use std::fmt::Display;
use std::str::FromStr;

use haggle_domain::{Category, MoneyError};
use toml::de::DeValue;

use super::countries;
use super::document::{Node, kind};

/// An id or a name: letters, digits, `-`, `_`.
pub(super) fn identifier(text: &str) -> Result<String, String> {
    let fits = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if fits && (1..=64).contains(&text.len()) {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is not an id; use 1 to 64 letters, digits, - and _"))
    }
}

/// A text for people.
pub(super) fn label(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        Err("is empty; write a few words".to_owned())
    } else if text.chars().count() > 200 || text.chars().any(char::is_control) {
        Err("is longer than 200 characters or holds control characters; shorten it".to_owned())
    } else {
        Ok(text.to_owned())
    }
}

/// A category of IAB's content taxonomy 1.0, which OpenRTB lists as 5.1: `IAB1` to `IAB26`, or `IAB20-9`.
fn category_1(text: &str) -> Result<String, String> {
    let number = |text: &str, highest: u32| {
        !text.starts_with(['0', '+']) && text.parse().is_ok_and(|number: u32| number <= highest)
    };
    let fits = text.strip_prefix("IAB").is_some_and(|rest| match rest.split_once('-') {
        Some((tier, topic)) => number(tier, 26) && number(topic, 99),
        None => number(rest, 26),
    });
    if fits {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is not an IAB content category; write it like \"IAB20\" or \"IAB20-9\""))
    }
}

/// A category of any taxonomy: `IAB20-9` for IAB's content taxonomy 1.0, `7:483` for another by its number in AdCOM
/// 1.0's list of category taxonomies.
pub(super) fn category(text: &str) -> Result<Category, String> {
    let Some((taxonomy, code)) = text.split_once(':') else {
        let code = category_1(text)?;
        return Ok(Category { taxonomy: Category::CONTENT_1, code });
    };
    let taxonomy = match taxonomy.as_bytes() {
        [digit @ b'1'..=b'9'] => digit - b'0',
        _ => {
            return Err(format!(
                "{text:?} does not begin with a taxonomy; write its number in AdCOM's list, 1 to 9, like \"7:483\""
            ));
        }
    };
    let fits = (1..=32).contains(&code.len())
        && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    if taxonomy == Category::CONTENT_1 {
        category_1(code).map(|code| Category { taxonomy, code })
    } else if fits {
        Ok(Category { taxonomy, code: code.to_owned() })
    } else {
        Err(format!("{text:?} has no code after the colon; write it like \"7:483\""))
    }
}

/// A country as requests name it: ISO 3166-1 alpha-3.
pub(super) fn country(text: &str) -> Result<String, String> {
    let capital = text.to_ascii_uppercase();
    let known = countries::pairs;
    if known().any(|(_, alpha3)| alpha3 == capital) {
        return Ok(capital);
    }
    Err(match known().find(|(alpha2, _)| *alpha2 == capital) {
        Some((_, alpha3)) => {
            format!("{text:?} has two letters, but bid requests name countries with three; write {alpha3:?}")
        }
        None => format!("{text:?} is not a country; write its ISO 3166-1 alpha-3 code, like \"USA\""),
    })
}

/// A language as requests name it: ISO 639-1.
pub(super) fn language(text: &str) -> Result<String, String> {
    if text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is not a language; write its two-letter ISO 639-1 code, like \"en\""))
    }
}

/// Any word that a request may hold.
pub(super) fn word(text: &str) -> Result<String, String> {
    if text.is_empty() || text.trim() != text || text.len() > 256 {
        Err(format!(
            "{text:?} is empty, padded with spaces or longer than 256 bytes, so nothing would match it"
        ))
    } else {
        Ok(text.to_owned())
    }
}

/// A media type (RFC 6838, section 4.2) that begins with one of `allowed`, without parameters.
pub(super) fn media_type(text: &str, allowed: &[&str], example: &str) -> Result<String, String> {
    let name = |part: &str| {
        (1..=127).contains(&part.len())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
    };
    let lower = text.to_ascii_lowercase();
    let well_formed = lower.split_once('/').is_some_and(|(kind, subtype)| name(kind) && name(subtype));
    let fits = |allowed: &&str| {
        if allowed.ends_with('/') { lower.starts_with(*allowed) } else { lower == **allowed }
    };
    if well_formed && allowed.iter().any(fits) {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is not a media type that fits here; write it like {example:?}"))
    }
}

/// An amount of money above zero; always a text.
pub(super) fn money<T>(node: &Node<'_>) -> Option<T>
where
    T: FromStr<Err = MoneyError> + PartialOrd + Default + Display,
{
    let unquoted = match node.value() {
        DeValue::String(text) => {
            let amount = text.parse::<T>().map_err(|error| node.fail(error.to_string())).ok()?;
            if amount < T::default() {
                node.fail(format!("{amount} is negative; write an amount above zero, like \"12.50\""));
                return None;
            }
            if amount == T::default() {
                node.fail("is zero; write an amount above zero, like \"12.50\"");
                return None;
            }
            return Some(amount);
        }
        DeValue::Float(number) => number.as_str(),
        DeValue::Integer(number) => number.as_str(),
        other => {
            node.fail(format!("is {}, must be an amount in quotes, like \"12.50\"", kind(other)));
            return None;
        }
    };
    node.fail(format!("money is written as text, so that no rounding touches it; quote it: \"{unquoted}\""));
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_told_from_slips() {
        assert!(identifier("Spring_hiking-2").is_ok());
        for wrong in ["", "a b", "ä", &"x".repeat(65)] {
            assert!(identifier(wrong).is_err(), "{wrong:?}");
        }
        for right in ["IAB1", "IAB26", "IAB20-9", "IAB17-35", "1:IAB20-9", "7:483", "9:JLBCU7"] {
            assert!(category(right).is_ok(), "{right:?}");
        }
        for wrong in ["7:", ":483", "0:483", "10:483", "7:4 8", "1:483", "+7:483", "7:4:8"] {
            assert!(category(wrong).is_err(), "{wrong:?}");
        }
        for wrong in ["", "IAB", "IAB0", "IAB27", "IAB1-", "IAB1-0", "iab1", "IAB1-2-3", "IAB+1", "Hiking"] {
            assert!(category(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn media_types_are_of_the_family_that_fits() {
        let fits = |text| media_type(text, &["video/", "application/x-mpegurl"], "video/mp4").is_ok();
        assert!(fits("video/mp4") && fits("video/x-m4v") && fits("application/x-mpegURL"));
        for wrong in
            ["", "video", "video/", "/mp4", "audio/mpeg", "video/mp4; codecs=avc1", "application/x-mpegurl2"]
        {
            assert!(!fits(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn countries_have_three_letters() {
        assert_eq!(country("usa"), Ok("USA".to_owned()));
        assert!(country("DE").unwrap_err().contains("\"DEU\""));
        assert!(country("ABC").unwrap_err().contains("alpha-3"));
        assert!(country("").is_err());
        assert_eq!(countries::COUNTRIES.split_ascii_whitespace().count(), 250);
        assert!(countries::COUNTRIES.split_ascii_whitespace().all(|both| both.len() == 5));
    }
}
