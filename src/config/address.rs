//! Host names and web addresses, checked as far as a slip in a configuration would show.

use std::net::Ipv6Addr;

/// A host name with at least one dot, as advertisers' domains have.
pub(super) fn domain(text: &str) -> Result<String, String> {
    if is_host(text) && text.contains('.') {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is not a domain; write the host alone, like \"shop.example\""))
    }
}

/// An `https` address that can stand in an ad's markup.
pub(super) fn https_url(text: &str) -> Result<String, String> {
    let Some(rest) = text.strip_prefix("https://") else {
        return Err(format!("{text:?} does not begin with https://; ads are shown on secure pages"));
    };
    if text.len() > 2048 {
        return Err("is longer than 2048 characters".to_owned());
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if !is_authority(authority) || !is_safe(text) {
        return Err(format!(
            "{text:?} is not a web address; percent-encode spaces, quotes, angle brackets and letters beyond ASCII"
        ));
    }
    Ok(text.to_owned())
}

/// An address that paths are appended to.
pub(super) fn base_url(text: &str) -> Result<(), String> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let Some(rest) = rest else {
        return Err(format!("{text:?} does not begin with http:// or https://"));
    };
    if text.ends_with('/') {
        return Err(format!("{text:?} ends with a slash; leave it out, paths are appended"));
    }
    let authority = rest.split('/').next().unwrap_or_default();
    if !is_authority(authority) || !is_safe(text) || rest.contains(['?', '#']) {
        return Err(format!("{text:?} is not a base address; write it like \"https://bid.shop.example\""));
    }
    Ok(())
}

/// Nothing that could end an attribute in markup.
fn is_safe(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'<>\\`".contains(&byte))
}

fn is_authority(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let port_fits = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    port_fits && literal.map_or_else(|| is_host(host), |address| address.parse::<Ipv6Addr>().is_ok())
}

/// Labels of letters, digits and inner hyphens (RFC 1123, section 2.1).
fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_slips() {
        assert!(domain("shop.example").is_ok());
        for wrong in ["shop", "https://shop.example", "shop.example/x", "-a.example", "a..b", ""] {
            assert!(domain(wrong).is_err(), "{wrong:?}");
        }
        for right in ["https://shop.example", "https://cdn.shop.example:8443/a%20b.jpg?x=1#y"] {
            assert!(https_url(right).is_ok(), "{right:?}");
        }
        for wrong in [
            "http://shop.example/",
            "https://",
            "https://a b.example",
            "https://a.example/\"x",
            "https://a.example:0",
        ] {
            assert!(https_url(wrong).is_err(), "{wrong:?}");
        }
        for right in
            ["http://127.0.0.1:8080", "http://[::1]:8080", "https://bid.example/rtb", "http://localhost"]
        {
            assert!(base_url(right).is_ok(), "{right:?}");
        }
        for wrong in ["http://a/", "ftp://a", "http://", "https://a?x", "http://[::1", "http://a:99999"] {
            assert!(base_url(wrong).is_err(), "{wrong:?}");
        }
    }
}
