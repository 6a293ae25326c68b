//! What the publisher does not want: categories, advertisers, apps, creative attributes and banner types.

use std::borrow::Cow;

use super::check::{Check, Findings};
use super::offer::{Markup, Offer};
use super::value::{strings, text, whole_at, wholes};

/// The taxonomy whose codes carry their parents: IAB Content Categories 1.0.
const DASHED_TAXONOMY: i64 = 1;

/// Checks the bid against the request's lists.
pub(super) fn check(offer: &Offer<'_>, findings: &mut Findings) {
    categories(offer, findings);
    advertiser(offer, findings);
    let name = &offer.name;
    let apps = strings(offer.request, "bapp");
    if let Some(bundle) = text(offer.bid, "bundle").filter(|_| !apps.is_empty()) {
        let blocked = apps.iter().any(|app| app.eq_ignore_ascii_case(bundle));
        findings.require(Check::App, !blocked, || format!("{name}: bundle {bundle} is in bapp"));
    }
    let Some(slot) = offer.slot() else { return };
    let blocked = wholes(slot, "battr");
    if !blocked.is_empty() {
        let found: Vec<i64> =
            wholes(offer.bid, "attr").into_iter().filter(|attr| blocked.contains(attr)).collect();
        findings
            .require(Check::Attribute, found.is_empty(), || format!("{name}: attr {found:?} is in battr"));
    }
    let blocked = wholes(slot, "btype");
    if let Markup::Html(html) = &offer.markup
        && !blocked.is_empty()
    {
        let types = banner_types(html);
        let found: Vec<_> =
            types.iter().filter(|(kind, _)| blocked.contains(kind)).map(|(_, word)| *word).collect();
        findings.require(Check::Btype, found.is_empty(), || {
            format!("{name}: the markup is of a type that btype blocks: {}", found.join(", "))
        });
    }
}

fn categories(offer: &Offer<'_>, findings: &mut Findings) {
    let (blocked, allowed) = (strings(offer.request, "bcat"), strings(offer.request, "acat"));
    if blocked.is_empty() && allowed.is_empty() {
        return;
    }
    let name = &offer.name;
    let taxonomy = whole_at(offer.request, "cattax").unwrap_or(DASHED_TAXONOMY);
    let own = whole_at(offer.bid, "cattax").unwrap_or(DASHED_TAXONOMY);
    let categories = strings(offer.bid, "cat");
    // Codes of another taxonomy cannot be compared, and a bid need not name any; an allow list needs both.
    if categories.is_empty() || taxonomy != own {
        if !allowed.is_empty() {
            findings.fail(
                Check::Category,
                format!("{name}: acat allows some categories of taxonomy {taxonomy}; name one in cat"),
            );
        }
        return;
    }
    for category in categories {
        let is_of = |list: &[Cow<'_, str>]| list.iter().any(|code| covers(code, &category, taxonomy));
        findings.require(Check::Category, !is_of(&blocked), || {
            format!("{name}: cat {category} is blocked by bcat")
        });
        findings.require(Check::Category, allowed.is_empty() || is_of(&allowed), || {
            format!("{name}: cat {category} is not in acat")
        });
    }
}

/// Whether a code is a category or, where codes say so, its parent: IAB7 covers IAB7-3.
fn covers(code: &str, category: &str, taxonomy: i64) -> bool {
    let (code, category) = (code.trim(), category.trim());
    let head = category.get(..code.len()).is_some_and(|head| head.eq_ignore_ascii_case(code));
    head && (category.len() == code.len()
        || taxonomy == DASHED_TAXONOMY && category.as_bytes().get(code.len()) == Some(&b'-'))
}

fn advertiser(offer: &Offer<'_>, findings: &mut Findings) {
    let name = &offer.name;
    let domains = strings(offer.bid, "adomain");
    findings.require(Check::Advertiser, domains.iter().any(|domain| is_domain(domain)), || {
        format!("{name}: no adomain that is a domain, so that nobody can check badv; name the advertiser's")
    });
    findings.require(Check::Advertiser, text(offer.bid, "crid").is_some(), || {
        format!("{name}: no crid; name the creative")
    });
    for blocked in strings(offer.request, "badv") {
        let found = domains.iter().find(|domain| is_below(domain, &blocked));
        findings.require(Check::Advertiser, found.is_none(), || {
            format!("{name}: adomain {} is blocked by badv {blocked}", found.map_or("", |domain| domain))
        });
    }
}

fn is_domain(text: &str) -> bool {
    text.contains('.') && !text.contains(['/', ':', ' ', '@'])
}

fn bare(domain: &str) -> &str {
    domain.trim().trim_end_matches('.')
}

/// Whether a domain is another or below it.
pub(super) fn is_below(domain: &str, above: &str) -> bool {
    let (domain, above) = (bare(domain), bare(above));
    let start = domain.len().checked_sub(above.len());
    !above.is_empty()
        && start.is_some_and(|start| {
            domain.get(start..).is_some_and(|tail| tail.eq_ignore_ascii_case(above))
                && (start == 0 || domain.as_bytes().get(start - 1) == Some(&b'.'))
        })
}

/// The banner types of `btype` that markup is of, with words for them.
fn banner_types(html: &str) -> Vec<(i64, &'static str)> {
    let scan = super::html::scan(html);
    let mut types = Vec::new();
    if scan.has_script {
        types.push((3, "3 (JavaScript)"));
    }
    if scan.has_iframe {
        types.push((4, "4 (iframe)"));
    }
    if types.is_empty() {
        types.push(if scan.has_media { (2, "2 (XHTML banner)") } else { (1, "1 (XHTML text)") });
    }
    types
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_cover_their_children_only_where_codes_say_so() {
        for (code, category, taxonomy, expected) in [
            ("IAB7", "IAB7-3", 1, true),
            ("iab7", "IAB7", 1, true),
            ("IAB7", "IAB70", 1, false),
            ("IAB7-3", "IAB7", 1, false),
            ("7", "7-1", 6, false),
            ("483", "483", 6, true),
        ] {
            assert_eq!(covers(code, category, taxonomy), expected, "{code} {category}");
        }
    }

    #[test]
    fn domains_are_blocked_with_all_below() {
        for (domain, above, expected) in [
            ("ford.example", "FORD.example", true),
            ("shop.ford.example.", "ford.example", true),
            ("notford.example", "ford.example", false),
            ("ford.example", "shop.ford.example", false),
            ("ford.example", "", false),
            ("ä.example", ".example", false),
        ] {
            assert_eq!(is_below(domain, above), expected, "{domain} {above}");
        }
    }

    #[test]
    fn banner_types_are_told_by_tags() {
        let types = |html| banner_types(html).iter().map(|(kind, _)| *kind).collect::<Vec<_>>();
        assert_eq!(types("<a href=\"https://a.example\">Buy</a>"), [1]);
        assert_eq!(types("<a href=\"https://a.example\"><img src=\"https://a.example/i\"></a>"), [2]);
        assert_eq!(types("<script>1</script><iframe src=\"https://a.example\"></iframe>"), [3, 4]);
        assert_eq!(types("<div onclick=\"go()\">x</div>"), [3]);
    }
}
