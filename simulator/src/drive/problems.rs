//! What checkers have found, the first of each kind and campaign.

use std::collections::BTreeMap;

use haggle_domain::Timestamp;

#[derive(Default)]
pub(super) struct Problems(BTreeMap<(String, &'static str), String>);

impl Problems {
    /// Notes that something of a campaign is not as it must be, where that is the first time.
    pub(super) fn note(
        &mut self,
        campaign: &str,
        rule: &'static str,
        at: Timestamp,
        what: impl FnOnce() -> String,
    ) {
        self.0
            .entry((campaign.to_owned(), rule))
            .or_insert_with(|| format!("{campaign}: {rule}: at {at}: {}", what()));
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &String> {
        self.0.values()
    }
}
