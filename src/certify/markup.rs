//! Whether markup is there, well formed, and safe where the imp asks for it.

use super::check::{Check, Findings, shorten};
use super::format::Format;
use super::offer::{Markup, Offer};
use super::value::{flag, text};
use super::{html, macros, native};

/// URLs that markup holds.
#[derive(Debug, Default)]
pub(super) struct Urls {
    /// Fetched to show or count the ad, with where they stand.
    pub(super) assets: Vec<(String, String)>,
    /// Where a click leads.
    pub(super) links: Vec<(String, String)>,
}

/// Checks the bid's markup.
pub(super) fn check(offer: &Offer<'_>, findings: &mut Findings) {
    let name = &offer.name;
    let mut urls = Urls::default();
    match &offer.markup {
        // It may come with the win notice, which nothing here calls.
        Markup::None => {
            findings.require(
                Check::Markup,
                text(offer.bid, "nurl").is_some() || text(offer.bid, "adid").is_some(),
                || format!("{name}: neither adm nor an nurl that could serve it"),
            );
            return;
        }
        Markup::Html(html) => {
            let scan = html::scan(html);
            findings.require(Check::Markup, !scan.is_bare, || {
                format!("{name}: adm holds no element: {}", shorten(html))
            });
            for problem in scan.problems {
                findings.fail(Check::Markup, format!("{name}: adm {problem}"));
            }
            let named =
                |urls: Vec<String>, name: &str| urls.into_iter().map(|url| (name.to_owned(), url)).collect();
            urls = Urls { assets: named(scan.assets, "an asset"), links: named(scan.links, "a link") };
        }
        Markup::Vast(Err(problem)) => findings.fail(Check::Markup, format!("{name}: {problem}")),
        Markup::Vast(Ok(vast)) => {
            findings.applies(Check::Markup);
            findings.applies(Check::Vast);
            for problem in &vast.problems {
                findings.fail(Check::Vast, format!("{name}: {problem}"));
            }
            urls = Urls { assets: vast.assets.clone(), links: vast.links.clone() };
        }
        Markup::Native(Err(problem)) => findings.fail(Check::Markup, format!("{name}: {problem}")),
        Markup::Native(Ok(answer)) => {
            findings.applies(Check::Markup);
            if offer.format == Some(Format::Native) {
                urls = native::check(offer, answer, findings);
            }
        }
    }
    for (place, url) in urls.assets.iter().chain(&urls.links) {
        findings.require(Check::Markup, is_web(&macros::fill(url)), || {
            format!("{name}: {place} of adm is no http or https URL: {}", shorten(url))
        });
    }
    if flag(offer.imp, &["secure"]) {
        findings.applies(Check::Secure);
        for (place, url) in &urls.assets {
            findings.require(Check::Secure, is_secure(&macros::fill(url)), || {
                format!("{name}: the imp is secure, {place} of adm is not https: {}", shorten(url))
            });
        }
    }
}

/// Whether a browser would fetch it over the web; a URL without a scheme takes that of the page.
pub(super) fn is_web(text: &str) -> bool {
    let text = text.trim();
    let absolute = if text.starts_with("//") { format!("https:{text}") } else { text.to_owned() };
    url::Url::parse(&absolute).is_ok_and(|url| ["http", "https"].contains(&url.scheme()) && url.has_host())
}

/// Whether it is https, or of this machine, as in a trial.
fn is_secure(text: &str) -> bool {
    let Ok(url) = url::Url::parse(text.trim()) else { return true };
    let loopback = match url.host() {
        Some(url::Host::Domain(domain)) => domain == "localhost" || domain.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() == "https" || loopback
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_judged() {
        for (text, web, secure) in [
            ("https://a.example/x?y=[TIMESTAMP]", true, true),
            ("http://a.example", true, false),
            ("//a.example/i.png", true, true),
            ("http://127.0.0.1:8080/i", true, true),
            ("http://[::1]/i", true, true),
            ("ftp://a.example", false, false),
            ("javascript:go()", false, false),
            ("/i.png", false, true),
            ("https://", false, true),
        ] {
            assert_eq!((is_web(text), is_secure(text)), (web, secure), "{text}");
        }
    }
}
