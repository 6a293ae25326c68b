//! Brand safety: what the publisher does not want to see advertised.

use haggle_domain::planted::{Bug, planted};
use haggle_domain::{Context, Tag};

use crate::catalog::Entry;

/// Whether the request lets this campaign's ads be shown at all: `bcat`, `acat`, `badv`, `bapp` and `wlang`.
///
/// A campaign that says nothing of itself in the taxonomy in which categories are blocked or wanted cannot be judged, so it
/// is not shown.
pub fn allows(entry: &Entry, context: &Context) -> bool {
    let advertiser = !planted(Bug::BlockedAdvertiser)
        && entry.advertiser_tags.iter().any(|tag| is_in(&context.blocked_advertisers, *tag));
    let app = entry.app_tag.is_some() && is_in(&context.blocked_apps, entry.app_tag);
    let language = entry.language_tag.is_some()
        && !context.ad_languages.is_empty()
        && !context.ad_languages.contains(&entry.language_tag);
    !(advertiser || app || language) && categories_allow(entry, context)
}

fn categories_allow(entry: &Entry, context: &Context) -> bool {
    let (blocked, wanted) = (&context.blocked_categories, &context.wanted_categories);
    if blocked.is_empty() && wanted.is_empty() || planted(Bug::BlockedCategory) {
        return true;
    }
    let used = family(context.category_taxonomy);
    // Codes of 1.0 are unmistakable, and are sent whatever the taxonomy is said to be.
    let plainly = entry.category_tags.iter().any(|(taxonomy, tag)| *taxonomy == 1 && is_in(blocked, *tag));
    let ours =
        || entry.category_tags.iter().filter(|(taxonomy, _)| family(*taxonomy) == used).map(|(_, tag)| tag);
    !plainly
        && ours().next().is_some()
        && !ours().any(|tag| is_in(blocked, *tag))
        && (wanted.is_empty() || ours().any(|tag| is_in(wanted, *tag)))
}

/// Whether a list in rising order holds a tag.
fn is_in(list: &[Tag], tag: Tag) -> bool {
    list.binary_search(&tag).is_ok()
}

/// Taxonomies that share their codes: IAB's content taxonomies 2.0, 2.1 and 2.2, and 3.0 and 3.1 (AdCOM 1.0, list of category
/// taxonomies).
pub fn family(taxonomy: u8) -> u8 {
    match taxonomy {
        5 | 6 => 2,
        9 => 7,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use haggle_domain::Category;

    use super::*;
    use crate::test_support::campaign;

    fn entry(categories: &[(u8, &str)]) -> Entry {
        let mut campaign = campaign("boots");
        campaign.advertiser_domain = "eu.shop.example".into();
        campaign.app_bundle = "com.shop".into();
        campaign.language = "en".into();
        campaign.categories =
            categories.iter().map(|&(taxonomy, code)| Category { taxonomy, code: code.into() }).collect();
        Entry::new(Arc::new(campaign))
    }

    fn rising<const N: usize>(words: &[&str]) -> smallvec::SmallVec<[Tag; N]>
    where
        [Tag; N]: smallvec::Array<Item = Tag>,
    {
        let mut tags: smallvec::SmallVec<[Tag; N]> = words.iter().map(|word| Tag::of(word)).collect();
        tags.sort_unstable();
        tags
    }

    fn blocking(taxonomy: u8, codes: &[&str]) -> Context {
        Context { category_taxonomy: taxonomy, blocked_categories: rising(codes), ..Context::default() }
    }

    #[test]
    fn a_category_is_blocked_with_its_parent_and_only_in_its_taxonomy() {
        let entry = entry(&[(1, "IAB20-9"), (7, "483")]);
        assert!(allows(&entry, &Context::default()));
        assert!(allows(&entry, &blocking(1, &["IAB7", "IAB20-1"])));
        assert!(!allows(&entry, &blocking(1, &["IAB20"])));
        assert!(!allows(&entry, &blocking(1, &["iab20-9"])));
        assert!(!allows(&entry, &blocking(7, &["IAB20"])), "a code of 1.0 in a list of another taxonomy");
        assert!(allows(&entry, &blocking(7, &["484"])));
        assert!(!allows(&entry, &blocking(7, &["483"])));
        assert!(!allows(&entry, &blocking(9, &["483"])), "3.1 shares the codes of 3.0");
        assert!(!allows(&entry, &blocking(6, &["1"])), "nothing is known in 2.2");
        assert!(allows(&entry, &blocking(6, &[])));
        let wanting = |code: &str| Context {
            category_taxonomy: 1,
            wanted_categories: [Tag::of(code)].into_iter().collect(),
            ..Context::default()
        };
        assert!(allows(&entry, &wanting("IAB20")) && !allows(&entry, &wanting("IAB2")));
    }

    #[test]
    fn advertisers_apps_and_languages_are_compared() {
        let entry = entry(&[(1, "IAB20")]);
        let tags = |words: &[&str]| words.iter().map(|word| Tag::of(word)).collect();
        let blocked = |words: &[&str]| Context { blocked_advertisers: rising(words), ..Context::default() };
        assert!(!allows(&entry, &blocked(&["shop.example"])), "a parent domain");
        assert!(allows(&entry, &blocked(&["us.shop.example", "op.example"])));
        assert!(!allows(&entry, &Context { blocked_apps: tags(&["com.shop"]), ..Context::default() }));
        assert!(!allows(&entry, &Context { ad_languages: tags(&["de"]), ..Context::default() }));
        assert!(allows(
            &entry,
            &Context { ad_languages: [Tag::of("en")].into_iter().collect(), ..Context::default() }
        ));
    }
}
