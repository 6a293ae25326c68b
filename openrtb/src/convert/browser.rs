//! Which browser it is: one name for each, whoever says it.

use haggle_domain::Tag;

use super::tag;
use crate::domains::trimmed;
use crate::request::Device;

/// What of a user agent text is looked at: none that a browser sends is as long.
const LONGEST_AGENT: usize = 512;
/// How many of a browser's brands are looked at.
const MOST_BRANDS: usize = 8;

/// Product tokens of user agent texts by the browsers' names. Most browsers name others too, for the sake of old pages, so
/// the first in this order that is named counts.
const TOKENS: [(&str, &[&str]); 6] = [
    ("edge", &["Edg", "EdgA", "EdgiOS", "Edge"]),
    ("opera", &["OPR", "OPiOS", "OPT", "Opera"]),
    ("samsung", &["SamsungBrowser"]),
    ("firefox", &["Firefox", "FxiOS"]),
    ("chrome", &["Chrome", "CriOS"]),
    ("safari", &["Safari"]),
];

/// The one name for a browser's brand: `chrome`, `edge`, `firefox`, `opera`, `safari` or `samsung`; any other brand is its
/// own name. Letters' case does not matter.
pub fn browser_name(brand: &str) -> &str {
    const BRANDS: [(&str, &str); 7] = [
        ("google chrome", "chrome"),
        ("microsoft edge", "edge"),
        ("mozilla firefox", "firefox"),
        ("opera gx", "opera"),
        ("opera mini", "opera"),
        ("samsung internet", "samsung"),
        ("mobile safari", "safari"),
    ];
    let brand = trimmed(brand);
    BRANDS.iter().find(|(known, _)| brand.eq_ignore_ascii_case(known)).map_or(brand, |(_, name)| name)
}

/// By the brands in `device.sua`, else by the user agent text.
pub(super) fn browser(device: &Device<'_>) -> Tag {
    let brands = device.sua.as_deref().map_or(&[][..], |sua| &sua.browsers);
    let real =
        brands.iter().take(MOST_BRANDS).map(|browser| &*browser.brand).filter(|brand| !is_grease(brand));
    // What a browser is built on, it names beside itself.
    let specific = |brand: &&str| {
        const SHARED: [&str; 2] = ["chromium", "google chrome"];
        SHARED.iter().position(|known| trimmed(brand).eq_ignore_ascii_case(known)).unwrap_or(SHARED.len())
    };
    match real.max_by_key(specific) {
        Some(brand) => tag(browser_name(brand)),
        None => named_in(device.user_agent()),
    }
}

/// A brand that is nobody's, put there so that readers expect the unknown: `Not A;Brand` with any punctuation (User-Agent
/// Client Hints, section 6.2).
fn is_grease(brand: &str) -> bool {
    let letters = brand.bytes().filter(u8::is_ascii_alphabetic).map(|letter| letter.to_ascii_lowercase());
    trimmed(brand).is_empty() || letters.eq(*b"notabrand")
}

/// One pass over a user agent text (RFC 9110, section 10.1.5): each product token is what stands before a slash.
fn named_in(agent: &str) -> Tag {
    let bytes = agent.as_bytes();
    let mut best = TOKENS.len();
    for piece in bytes.get(..LONGEST_AGENT).unwrap_or(bytes).split(|byte| *byte == b'/') {
        let token = piece.rsplit(|byte| !byte.is_ascii_alphanumeric()).next().unwrap_or(piece);
        let found =
            TOKENS.iter().take(best).position(|(_, tokens)| tokens.iter().any(|it| it.as_bytes() == token));
        best = found.unwrap_or(best);
    }
    TOKENS.get(best).map_or(Tag::NONE, |(name, _)| Tag::of(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::parse;

    fn of(device: &str) -> Tag {
        let body = format!(r#"{{"id":"1","imp":[{{}}],"device":{device}}}"#);
        browser(&parse(body.as_bytes()).unwrap().device)
    }

    #[test]
    fn a_user_agent_names_the_browser_and_others() {
        let webkit = "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 (KHTML, like Gecko)";
        for (agent, name) in [
            (format!("{webkit} Chrome/131.0.0.0 Mobile Safari/537.36"), "chrome"),
            (format!("{webkit} Chrome/131.0.0.0 Safari/537.36 Edg/131.0.0.0"), "edge"),
            (format!("{webkit} Chrome/131.0.0.0 Mobile Safari/537.36 OPR/86.0"), "opera"),
            (format!("{webkit} SamsungBrowser/27.0 Chrome/125.0.0.0 Mobile Safari/537.36"), "samsung"),
            ("Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0".to_owned(), "firefox"),
            (
                "Mozilla/5.0 (iPhone) AppleWebKit/605.1.15 FxiOS/133.0 Mobile/15E148 Safari/605.1.15"
                    .to_owned(),
                "firefox",
            ),
            (
                "Mozilla/5.0 (iPhone) AppleWebKit/605.1.15 CriOS/131.0 Mobile/15E148 Safari/604.1".to_owned(),
                "chrome",
            ),
            (
                "Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 Version/18.1 Safari/605.1.15".to_owned(),
                "safari",
            ),
            ("Opera/9.80 (Android; Opera Mini/36.2)".to_owned(), "opera"),
            ("curl/8.5.0".to_owned(), ""),
            ("NotChrome/1 Chromed/2".to_owned(), ""),
            (String::new(), ""),
        ] {
            assert_eq!(of(&format!(r#"{{"ua":{agent:?}}}"#)), Tag::of(name), "{agent}");
        }
    }

    #[test]
    fn the_specific_brand_counts_and_the_invented_one_does_not() {
        for (brands, name) in [
            (&["Not A;Brand", "Chromium", "Google Chrome"][..], "chrome"),
            (&["Microsoft Edge", "Chromium", "Not/A)Brand"], "edge"),
            (&["Google Chrome", "Brave", "Chromium"], "brave"),
            (&["Chromium", "Not_A Brand"], "chromium"),
            (&[" Not.A/Brand", "SAMSUNG Internet"], "samsung"),
        ] {
            let list: Vec<_> = brands.iter().map(|brand| format!(r#"{{"brand":{brand:?}}}"#)).collect();
            let device = format!(r#"{{"ua":"Firefox/1","sua":{{"browsers":[{}]}}}}"#, list.join(","));
            assert_eq!(of(&device), Tag::of(name), "{brands:?}");
        }
        let nobody = r#"{"ua":"Gecko/1 Firefox/1","sua":{"browsers":[{"brand":"Not A Brand"}]}}"#;
        assert_eq!(of(nobody), Tag::of("firefox"), "without a brand the text speaks");
    }
}
