//! Internet domains: the host of a page, and the bare domain of an entry in `badv`.

use haggle_domain::Tag;

/// The host in a page's address, which may lack its scheme. `None` where there is none to be found.
pub(crate) fn host_of(page: &str) -> Option<&str> {
    let page = trimmed(page);
    let rest = match page.split_once("//") {
        // Not the `//` of an address within the address.
        Some((scheme, rest)) if !scheme.contains(['/', '?', '#', '.']) => rest,
        _ => page,
    };
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or(rest);
    let host_and_port = authority.rsplit('@').next().unwrap_or(authority);
    let host = host_and_port.split(':').next().unwrap_or(host_and_port).trim_end_matches('.');
    // Leaves out "about:blank", "localhost" and IPv6 literals, none of which is a publisher.
    (host.contains('.') && !host.starts_with('.')).then_some(host)
}

/// The text without white space around it.
pub(crate) fn trimmed(text: &str) -> &str {
    let graphic = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_graphic);
    let bytes = text.as_bytes();
    // Most texts have nothing to trim, which costs more to find out as Unicode sees it.
    if bytes.is_empty() || (graphic(bytes.first()) && graphic(bytes.last())) { text } else { text.trim() }
}

/// The tag of a domain in a list such as `badv`. Some exchanges write it as a host or an address.
pub(crate) fn bare_domain(text: &str) -> Tag {
    if is_bare(text) {
        return Tag::of(text);
    }
    let text = text.trim().trim_start_matches("*.").trim_start_matches('.');
    let host = host_of(text).unwrap_or(text);
    let bare = match host.get(..4) {
        Some(prefix) if prefix.eq_ignore_ascii_case("www.") => host.get(4..).unwrap_or(host),
        _ => host,
    };
    Tag::of(bare)
}

/// Whether the text is written as most are, so that nothing has to be taken off.
fn is_bare(text: &str) -> bool {
    let bytes = text.as_bytes();
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let odd =
        bytes.first().is_none_or(|&byte| byte == b'.' || byte | 0x20 == b'w') || bytes.last() == Some(&b'.');
    !odd && bytes.iter().all(plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn finds_the_host_of_a_page() {
        for (page, host) in [
            ("https://news.example.com/a/b?c#d", Some("news.example.com")),
            ("HTTP://Example.com", Some("Example.com")),
            ("//example.com/a", Some("example.com")),
            ("example.com/?from=https://other.org", Some("example.com")),
            ("example.com?from=//other.org", Some("example.com")),
            ("https://me:secret@example.com:8080/", Some("example.com")),
            ("https://example.com.", Some("example.com")),
            ("about:blank", None),
            ("https://", None),
            ("", None),
            ("::://@", None),
        ] {
            assert_eq!(host_of(page), host, "{page}");
        }
    }

    #[test]
    fn a_bare_domain_is_the_bare_host_however_it_is_written() {
        for text in [
            "Example.com",
            "www.example.com",
            "https://example.com/",
            " EXAMPLE.com",
            "https://www.example.com/a?b",
            "*.example.com",
            ".example.com",
        ] {
            assert_eq!(bare_domain(text), Tag::of("example.com"), "{text}");
        }
        assert_eq!(bare_domain(""), Tag::NONE, "an empty entry blocks nobody");
        assert_ne!(bare_domain("notexample.com"), Tag::of("example.com"));
    }
    proptest! {
        #[test]
        fn what_is_bare_has_nothing_to_take_off(text in "[ *./:@a-cwW_é-]{0,12}") {
            if is_bare(&text) {
                let host = host_of(&text).unwrap_or(&text);
                prop_assert_eq!(host, &text);
                prop_assert_eq!(text.trim(), &text);
            }
        }
    }
}
