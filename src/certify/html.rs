//! Banner markup: whether a browser reads it as it was meant, and where it points.

use html5gum::{DefaultEmitter, Token, Tokenizer};

/// Attributes whose URL is fetched to show the ad.
const ASSETS: [&str; 5] = ["src", "srcset", "poster", "data", "background"];
/// Elements that have to be closed.
const PAIRED: [&str; 14] = [
    "a", "b", "body", "button", "div", "head", "html", "iframe", "noscript", "script", "span", "style",
    "table", "video",
];
/// Tags looked at; markup of more is refused.
const MOST_TAGS: usize = 20_000;

/// What markup holds.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// What is wrong with it.
    pub(super) problems: Vec<String>,
    /// URLs that are fetched to show the ad.
    pub(super) assets: Vec<String>,
    /// URLs that a click leads to.
    pub(super) links: Vec<String>,
    pub(super) has_script: bool,
    pub(super) has_iframe: bool,
    /// Images, videos and the like.
    pub(super) has_media: bool,
    /// It loads the MRAID library.
    pub(super) is_mraid: bool,
    /// Nothing but text without a tag.
    pub(super) is_bare: bool,
}

/// Reads markup.
pub(super) fn scan(html: &str) -> Scan {
    let mut scan = Scan { is_bare: true, ..Scan::default() };
    let mut open = [0i64; PAIRED.len()];
    let mut tags = 0;
    let mut emitter = DefaultEmitter::default();
    emitter.naively_switch_states(true);
    for token in Tokenizer::new_with_emitter(html, emitter) {
        let Ok(token) = token;
        match token {
            Token::StartTag(tag) => {
                tags += 1;
                if tags > MOST_TAGS {
                    scan.problems.push(format!("has more than {MOST_TAGS} tags"));
                    break;
                }
                let name = lossy(&tag.name);
                scan.is_bare = false;
                scan.has_script |= name == "script";
                scan.has_iframe |= name == "iframe";
                scan.has_media |= ["img", "video", "picture", "svg", "canvas", "object", "embed", "amp-img"]
                    .contains(&name.as_str());
                if let Some(at) = PAIRED.iter().position(|paired| *paired == name) {
                    open[at] += i64::from(!tag.self_closing);
                }
                for (attribute, value) in tag.attributes {
                    scan.attribute(&name, &lossy(&attribute), &lossy(&value));
                }
            }
            Token::EndTag(tag) => {
                if let Some(at) = PAIRED.iter().position(|paired| **paired == *lossy(&tag.name)) {
                    open[at] -= 1;
                }
            }
            Token::Error(error) => scan.error(error.value.as_str()),
            Token::String(_) | Token::Comment(_) | Token::Doctype(_) => {}
        }
    }
    for (name, balance) in PAIRED.iter().zip(open).filter(|(_, balance)| *balance != 0) {
        let what = if balance > 0 { "is never closed" } else { "is closed and was never opened" };
        scan.problems.push(format!("<{name}> {what}"));
    }
    scan
}

impl Scan {
    /// Character references that browsers mend are let pass; a query's `&a=b` is everywhere.
    fn error(&mut self, error: &str) {
        if !error.contains("character-reference") && !error.contains("doctype") && self.problems.len() < 5 {
            self.problems.push(format!("is not well formed: {error}"));
        }
    }

    fn attribute(&mut self, tag: &str, name: &str, value: &str) {
        let value = value.trim();
        if name.starts_with("on") {
            self.has_script = true;
        }
        if ASSETS.contains(&name) || name == "href" && tag == "link" {
            if name == "src" && value.rsplit('/').next() == Some("mraid.js") {
                // A name that the app answers, not a place.
                self.is_mraid = true;
                return;
            }
            let one = |part: &str| part.split_whitespace().next().unwrap_or_default().to_owned();
            if name == "srcset" {
                self.assets.extend(value.split(", ").map(one));
            } else if !value.starts_with("data:") && value != "about:blank" {
                self.assets.push(value.to_owned());
            }
        } else if name == "href" && !value.starts_with('#') {
            self.has_script |= value.get(..11).is_some_and(|start| start.eq_ignore_ascii_case("javascript:"));
            self.links.push(value.to_owned());
        }
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn urls_are_found_and_told_apart() {
        let scan = scan(
            "<!doctype html><a href='https://a.example/?a=1&amp;b=2'><img src=\"https://i.example/1.png\" \
             srcset='https://i.example/2.png 2x, https://i.example/3.png 3x'></a><script src=mraid.js></script>",
        );
        assert_eq!(scan.problems, Vec::<String>::new());
        assert_eq!(scan.links, ["https://a.example/?a=1&b=2"]);
        assert_eq!(
            scan.assets,
            ["https://i.example/1.png", "https://i.example/2.png", "https://i.example/3.png"]
        );
        assert!(scan.has_script && scan.has_media && scan.is_mraid && !scan.has_iframe && !scan.is_bare);
    }

    #[test]
    fn broken_markup_is_told() {
        for html in [
            "<a href=\"https://a.example><img src=\"https://i.example\"></a>",
            "<div><img src=\"x\"",
            "<div>",
            "</div>",
            "<script>if (a < b) { }",
            "<!-- never closed",
            "<img src=\"a\"alt=\"b\">",
            "<img src=\"a\" src=\"b\">",
        ] {
            assert!(!scan(html).problems.is_empty(), "{html}");
        }
        for html in ["<p>one<p>two", "<script>if (a < b && c) {}</script>", "<img src='a?b=1&c=2'/>", "<br>"]
        {
            assert!(scan(html).problems.is_empty(), "{html}: {:?}", scan(html).problems);
        }
        assert!(scan("just text").is_bare);
    }

    #[test]
    fn many_tags_are_refused() {
        assert!(!scan(&"<b>".repeat(MOST_TAGS * 2)).problems.is_empty());
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "[<>/!a-bsä\"'= &;\\-]{0,120}") {
            scan(&text);
        }
    }
}
