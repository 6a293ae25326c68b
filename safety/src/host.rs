//! Host names: out of addresses, and up to their parents.

/// The longest name that the domain name system knows (RFC 1035, section 2.3.4).
const LONGEST: usize = 253;

/// The host in a domain or an address, without scheme, credentials, port, path and a trailing dot; empty where there is
/// none. Some exchanges write an address where the specification wants a domain.
pub fn host(text: &str) -> &str {
    if is_bare(text) {
        return text;
    }
    let text = trimmed(text);
    let rest = match text.split_once("//") {
        Some((scheme, rest)) if !scheme.contains(['/', '?', '#', '.']) => rest,
        _ => text,
    };
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or("");
    let host = authority.rsplit('@').next().unwrap_or("");
    let host = host.split(':').next().unwrap_or("").trim_end_matches('.');
    if host.len() <= LONGEST && host.contains('.') && !host.starts_with('.') { host } else { "" }
}

/// The text without white space around it.
pub(crate) fn trimmed(text: &str) -> &str {
    let graphic = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_graphic);
    let bytes = text.as_bytes();
    // Most texts have nothing to trim, which costs more to find out as Unicode sees it.
    if bytes.is_empty() || (graphic(bytes.first()) && graphic(bytes.last())) { text } else { text.trim() }
}

/// Whether a text is a host as most are written, so that nothing has to be taken off.
fn is_bare(text: &str) -> bool {
    let bytes = text.as_bytes();
    let (mut plain, mut dots) = (true, 0);
    for byte in bytes {
        plain &= byte.is_ascii_alphanumeric() | matches!(byte, b'.' | b'-' | b'_');
        dots += usize::from(*byte == b'.');
    }
    let outside = [bytes.first(), bytes.last()].contains(&Some(&b'.'));
    plain && dots > 0 && !outside && bytes.len() <= LONGEST
}

/// A host and its parents of at least two labels, the nearest first: `a.b.example` → itself, `b.example`.
pub fn with_parents(host: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(host).filter(|host| !host.is_empty());
    std::iter::from_fn(move || {
        let this = rest?;
        rest = this.split_once('.').map(|(_, parent)| parent).filter(|parent| parent.contains('.'));
        Some(this)
    })
}

/// Whether a text is a host name that may be asked for and can name a file: letters, digits, hyphens and dots, at least
/// two labels, the last of them not a number, so that no IP address passes.
pub fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last_is_a_word =
        text.rsplit('.').next().is_some_and(|last| !last.bytes().all(|b| b.is_ascii_digit()));
    text.len() <= LONGEST && text.contains('.') && last_is_a_word && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn finds_the_host_however_it_is_written() {
        for (text, expected) in [
            ("news.example.com", "news.example.com"),
            ("http://domain.com", "domain.com"),
            ("https://me:secret@example.com:8080/a?b//c", "example.com"),
            ("example.com?from=//other.org", "example.com"),
            ("example.com.", "example.com"),
            ("about:blank", ""),
            ("localhost", ""),
            ("", ""),
        ] {
            assert_eq!(host(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_bare_has_nothing_to_take_off(text in "[ ./:@a-cW_é-]{0,8}(\\.com)?") {
            if is_bare(&text) {
                let address = format!("//{text}/");
                prop_assert_eq!(host(&address), &text);
            }
        }
    }

    #[test]
    fn climbs_to_two_labels() {
        assert_eq!(
            with_parents("a.b.example.com").collect::<Vec<_>>(),
            ["a.b.example.com", "b.example.com", "example.com"]
        );
        assert_eq!(with_parents("").count(), 0);
    }

    #[test]
    fn only_names_are_domains() {
        for good in ["example.com", "a-b.c_d.example", "xn--bcher-kva.example"] {
            assert!(is_domain(good), "{good}");
        }
        for bad in [
            "localhost",
            "127.0.0.1",
            "a..b",
            "../etc.d",
            "-a.example",
            "a b.example",
            "example.com:80",
            "[::1]",
            "",
        ] {
            assert!(!is_domain(bad), "{bad}");
        }
    }
}
