//! Ad pods: several ads in one break, none beside its competitor (OpenRTB 2.6 section 7.6).

use haggle_domain::Tag;
use smallvec::SmallVec;

use crate::catalog::{Catalog, Entry};

/// Which campaigns have an ad in which pod of one request.
#[derive(Debug, Default)]
pub struct Pods(SmallVec<[(Tag, usize); 4]>);

impl Pods {
    /// Whether a campaign may show in a pod: no ad of its advertiser and none of its categories is in there yet.
    pub fn has_room(&self, catalog: &Catalog, pod: Tag, campaign: usize) -> bool {
        let Some(entry) = catalog.at(campaign) else { return false };
        let others = self.0.iter().filter(|(known, _)| *known == pod);
        others.filter_map(|(_, other)| catalog.at(*other)).all(|other| !compete(entry, other))
    }

    /// Notes that it does.
    pub fn take(&mut self, pod: Tag, campaign: usize) {
        self.0.push((pod, campaign));
    }
}

/// Whether two campaigns advertise for the same shop or the same kind of thing.
fn compete(one: &Entry, other: &Entry) -> bool {
    one.campaign.advertiser_domain.eq_ignore_ascii_case(&other.campaign.advertiser_domain)
        || one.category_tags.iter().any(|tag| other.category_tags.contains(tag))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use haggle_domain::Category;

    use super::*;
    use crate::test_support::campaign;

    #[test]
    fn neither_the_advertiser_nor_a_competitor_shows_twice_in_a_pod() {
        let entry = |id: &str, domain: &str, code: &str| {
            let mut campaign = campaign(id);
            campaign.advertiser_domain = domain.into();
            campaign.categories = vec![Category { taxonomy: 1, code: code.into() }];
            Entry::new(Arc::new(campaign))
        };
        let catalog = Catalog::new(vec![
            entry("a", "one.example", "IAB2-1"),
            entry("b", "One.example", "IAB7"),
            entry("c", "two.example", "IAB2-3"),
            entry("d", "three.example", "IAB8"),
        ]);
        let (pod, other) = (Tag::of("pod"), Tag::of("other"));
        let mut pods = Pods::default();
        assert!(pods.has_room(&catalog, pod, 0));
        pods.take(pod, 0);
        let free: Vec<bool> = (0..5).map(|campaign| pods.has_room(&catalog, pod, campaign)).collect();
        assert_eq!(free, [false, false, false, true, false], "itself, its shop, another car, coffee, nobody");
        assert!(pods.has_room(&catalog, other, 0));
    }
}
