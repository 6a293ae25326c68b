//! How often users were shown a campaign's ads, counted one by one.

use std::collections::HashMap;
use std::time::Duration;

use haggle_domain::{Campaign, CapScope, CapWindow, Decision, Timestamp, UserKey};
use haggle_strategies::frequency::IN_FLIGHT;

/// An ad that a user has seen, or is about to.
#[derive(Clone, Copy)]
struct Ad {
    /// When it was shown; none while it is under way.
    shown: Option<Timestamp>,
    bid_at: Timestamp,
    creative: u16,
}

/// The ads of one campaign, by user.
#[derive(Default)]
pub(super) struct Shown(HashMap<UserKey, Vec<Ad>>);

impl Shown {
    pub(super) fn bid(&mut self, decision: &Decision) {
        let Some(user) = decision.user else { return };
        let ads = self.0.entry(user).or_default();
        // What never was shown, and is under way no more.
        ads.retain(|ad| ad.shown.is_some() || decision.at.since(ad.bid_at) < IN_FLIGHT);
        ads.push(Ad { shown: None, bid_at: decision.at, creative: decision.creative });
    }

    pub(super) fn show(&mut self, decision: &Decision, now: Timestamp) {
        let Some(user) = decision.user else { return };
        let ads = self.0.entry(user).or_default();
        let same =
            |ad: &&mut Ad| ad.shown.is_none() && ad.bid_at == decision.at && ad.creative == decision.creative;
        match ads.iter_mut().find(same) {
            Some(ad) => ad.shown = Some(now),
            None => ads.push(Ad { shown: Some(now), bid_at: decision.at, creative: decision.creative }),
        }
    }

    /// What was under way is not known any more.
    pub(super) fn crashed(&mut self) {
        self.0.values_mut().for_each(|ads| ads.retain(|ad| ad.shown.is_some()));
    }

    /// How many of one creative, or of all, a user was shown in the last time or is about to be.
    fn count(&self, user: UserKey, creative: Option<u16>, window: CapWindow, now: Timestamp) -> usize {
        let counts = |ad: &&Ad| {
            creative.is_none_or(|creative| ad.creative == creative)
                && match (ad.shown, window) {
                    (None, _) => whole_seconds(ad.bid_at, now) < IN_FLIGHT,
                    (Some(_), CapWindow::Lifetime) => true,
                    (Some(shown), CapWindow::Last(span)) => whole_seconds(shown, now) < span,
                }
        };
        self.0.get(&user).map_or(0, |ads| ads.iter().filter(counts).count())
    }
}

/// Between two moments, each taken for the second that it lies in, as the bidder does.
fn whole_seconds(from: Timestamp, to: Timestamp) -> Duration {
    let seconds = |at: Timestamp| at.0.div_euclid(1_000_000);
    Duration::from_secs(u64::try_from(seconds(to) - seconds(from)).unwrap_or(0))
}

/// The cap that a bid now breaks. `of` is a campaign and its ads, `others` those of the same advertiser, it among them.
pub(super) fn broken<'s>(
    campaign: &Campaign,
    own: &Shown,
    others: &(impl Iterator<Item = &'s Shown> + Clone),
    decision: &Decision,
    now: Timestamp,
) -> Option<String> {
    let caps = &campaign.frequency;
    let Some(user) = decision.user else {
        return (!caps.caps.is_empty() && !caps.bids_on_unknown)
            .then(|| "nothing can be counted for the user".to_owned());
    };
    caps.caps.iter().find_map(|cap| {
        let count = match cap.per {
            CapScope::Campaign => own.count(user, None, cap.within, now),
            CapScope::Creative => own.count(user, Some(decision.creative), cap.within, now),
            CapScope::Advertiser => others.clone().map(|it| it.count(user, None, cap.within, now)).sum(),
        };
        (count >= usize::from(cap.most)).then(|| format!("{count} before it, and {cap:?}"))
    })
}
