//! From what happened to what is to be learned: impressions meet their clicks, clicks their orders.
//!
//! An impression is labelled when its click window is over, whether it was clicked or not. Teaching a click at once and
//! its absence later would, at every start and every change of traffic, teach clicks alone. A click that comes after the
//! window is taught all the same; by then its impression has been taught as not clicked (a *fake negative*, Ktena et
//! al. 2019), which for a window that most clicks keep weighs little.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use haggle_domain::planted::{Bug, planted};
use haggle_domain::{BidId, Decision, PrivacyKey, Timestamp};
use minicbor::{Decode, Encode};

use crate::error::ModelError;
use crate::features::is_user_level;

/// How long labels are waited for.
#[derive(Clone, Copy, Debug)]
pub struct JoinerSettings {
    /// An impression without a click after this was not clicked.
    pub click_window: Duration,
    /// A click without an order after this led to none.
    pub order_window: Duration,
    /// Impressions, and clicks, that may wait. When one more comes, the one that waited longest is labelled early.
    pub capacity: usize,
}

/// What an example teaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExampleKind {
    /// Whether an impression is clicked.
    Click,
    /// Whether a click leads to an order.
    Conversion,
}

/// One labelled example.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// What it teaches.
    pub kind: ExampleKind,
    /// The bid behind it.
    pub bid: BidId,
    /// Position of the creative in the campaign's list.
    pub creative: u16,
    /// The request's features.
    pub features: Vec<u32>,
    /// Whether it happened.
    pub label: bool,
    /// Whose request it was, where that may be kept.
    pub user: Option<PrivacyKey>,
}

/// One that waits for its label.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
struct Waiting {
    #[n(0)]
    creative: u16,
    #[n(1)]
    features: Vec<u32>,
    #[n(2)]
    label: bool,
    /// Whose request it was, so that it can be forgotten.
    #[n(3)]
    user: Option<PrivacyKey>,
}

impl Waiting {
    fn of(decision: &Decision, label: bool) -> Self {
        let user = decision.user.map(PrivacyKey::of);
        Self { creative: decision.creative, features: decision.features.clone(), label, user }
    }

    fn example(self, kind: ExampleKind, bid: BidId) -> Example {
        let Self { creative, features, label, user } = self;
        Example { kind, bid, creative, features, label, user }
    }
}

/// Those that wait for one kind of label, by when their wait is over.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode)]
struct Queue {
    #[n(0)]
    waiting: BTreeMap<(Timestamp, BidId), Waiting>,
    /// Derived from `waiting`.
    #[cbor(skip)]
    until: HashMap<BidId, Timestamp>,
}

impl Queue {
    fn add(&mut self, bid: BidId, until: Timestamp, waiting: Waiting) {
        if self.until.contains_key(&bid) {
            return;
        }
        self.until.insert(bid, until);
        self.waiting.insert((until, bid), waiting);
    }

    /// Labels one that still waits; false if none does under this id.
    fn label(&mut self, bid: BidId) -> bool {
        let waiting = self.until.get(&bid).and_then(|until| self.waiting.get_mut(&(*until, bid)));
        waiting.map(|waiting| waiting.label = !planted(Bug::ClickLabelLost)).is_some()
    }

    /// Takes what it knows of some users off those that wait.
    fn forget(&mut self, forgotten: &impl Fn(PrivacyKey) -> bool) {
        for waiting in self.waiting.values_mut().filter(|waiting| waiting.user.is_some_and(forgotten)) {
            waiting.user = None;
            waiting.features.retain(|feature| !is_user_level(*feature));
        }
    }

    /// Takes out the one whose wait ends first, if it is over by `now` or there are more than `capacity`.
    fn take(&mut self, now: Timestamp, capacity: usize) -> Option<(BidId, Waiting)> {
        let entry = self.waiting.first_entry()?;
        if entry.key().0 > now && self.until.len() <= capacity {
            return None;
        }
        let ((_, bid), waiting) = entry.remove_entry();
        self.until.remove(&bid);
        Some((bid, waiting))
    }
}

/// Joins impressions with clicks and clicks with orders. Deterministic: examples come in the order of their deadlines,
/// late ones at once. Whoever feeds it drops duplicates and calls [`LabelJoiner::advance`] before each event.
#[derive(Debug)]
pub struct LabelJoiner {
    settings: JoinerSettings,
    impressions: Queue,
    clicks: Queue,
    late: Vec<Example>,
}

impl LabelJoiner {
    /// One that waits for nothing yet.
    pub fn new(settings: JoinerSettings) -> Self {
        Self { settings, impressions: Queue::default(), clicks: Queue::default(), late: Vec::new() }
    }

    /// An ad was shown.
    pub fn impression(&mut self, decision: &Decision, at: Timestamp) {
        let until = at + self.settings.click_window;
        self.impressions.add(decision.bid, until, Waiting::of(decision, false));
    }

    /// An ad was clicked.
    pub fn click(&mut self, decision: &Decision, at: Timestamp) {
        if !self.impressions.label(decision.bid) {
            self.late.push(Waiting::of(decision, true).example(ExampleKind::Click, decision.bid));
        }
        let until = at + self.settings.order_window;
        self.clicks.add(decision.bid, until, Waiting::of(decision, false));
    }

    /// An order followed.
    pub fn conversion(&mut self, decision: &Decision) {
        let queue =
            if planted(Bug::OrderJoinedToImpression) { &mut self.impressions } else { &mut self.clicks };
        if !queue.label(decision.bid) {
            self.late.push(Waiting::of(decision, true).example(ExampleKind::Conversion, decision.bid));
        }
    }

    /// The examples whose labels are settled by `now`, and the late ones.
    pub fn advance(&mut self, now: Timestamp) -> Vec<Example> {
        let mut examples = std::mem::take(&mut self.late);
        let capacity = self.settings.capacity;
        while let Some((bid, waiting)) = self.impressions.take(now, capacity) {
            examples.push(waiting.example(ExampleKind::Click, bid));
        }
        while let Some((bid, waiting)) = self.clicks.take(now, capacity) {
            examples.push(waiting.example(ExampleKind::Conversion, bid));
        }
        examples
    }

    /// Forgets some users: what waits of theirs still teaches, but nothing that says anything of them.
    pub fn forget(&mut self, forgotten: impl Fn(PrivacyKey) -> bool) {
        self.impressions.forget(&forgotten);
        self.clicks.forget(&forgotten);
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.impressions.until.len() + self.clicks.until.len()
    }

    /// What waits, for a checkpoint. To be called after [`LabelJoiner::advance`], when no late example is left.
    pub fn save(&self) -> Vec<u8> {
        minicbor::to_vec((&self.impressions, &self.clicks)).unwrap_or_default()
    }

    /// Puts back what [`LabelJoiner::save`] gave.
    ///
    /// # Errors
    ///
    /// The bytes are damaged; nothing has changed.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<(), ModelError> {
        let (impressions, clicks): (Queue, Queue) =
            minicbor::decode(bytes).map_err(|_| ModelError::Invalid("a field is out of range"))?;
        let indexed = |mut queue: Queue| {
            queue.until = queue.waiting.keys().map(|(until, bid)| (*bid, *until)).collect();
            queue
        };
        (self.impressions, self.clicks) = (indexed(impressions), indexed(clicks));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use haggle_domain::{CampaignKey, UserKey};
    use proptest::prelude::*;

    use super::*;

    fn decision(number: u32) -> Decision {
        let bid = BidId { campaign: CampaignKey(1), lease: 0, number };
        Decision { bid, creative: 2, features: vec![number, 7], ..Decision::default() }
    }

    fn joiner(capacity: usize) -> LabelJoiner {
        let (click_window, order_window) = (Duration::from_micros(100), Duration::from_micros(1_000));
        LabelJoiner::new(JoinerSettings { click_window, order_window, capacity })
    }

    fn brief(examples: &[Example]) -> Vec<(ExampleKind, u32, bool)> {
        examples.iter().map(|example| (example.kind, example.bid.number, example.label)).collect()
    }

    #[test]
    fn labels_come_when_the_window_is_over_for_clicked_and_unclicked_alike() {
        use ExampleKind::{Click, Conversion};
        let mut joiner = joiner(100);
        joiner.impression(&decision(1), Timestamp(0));
        joiner.impression(&decision(2), Timestamp(10));
        joiner.click(&decision(2), Timestamp(20));
        assert_eq!(joiner.advance(Timestamp(99)), []);
        let first = joiner.advance(Timestamp(100));
        assert_eq!(brief(&first), [(Click, 1, false)]);
        assert_eq!((first[0].creative, first[0].features.as_slice()), (2, [1, 7].as_slice()));
        assert_eq!(brief(&joiner.advance(Timestamp(110))), [(Click, 2, true)]);
        joiner.conversion(&decision(2));
        assert_eq!(brief(&joiner.advance(Timestamp(1_020))), [(Conversion, 2, true)]);
        assert_eq!(joiner.waiting(), 0);
    }

    #[test]
    fn what_comes_after_its_window_is_taught_all_the_same() {
        use ExampleKind::{Click, Conversion};
        let mut joiner = joiner(100);
        joiner.impression(&decision(1), Timestamp(0));
        assert_eq!(brief(&joiner.advance(Timestamp(500))), [(Click, 1, false)]);
        joiner.click(&decision(1), Timestamp(600));
        assert_eq!(brief(&joiner.advance(Timestamp(600))), [(Click, 1, true)]);
        assert_eq!(brief(&joiner.advance(Timestamp(1_600))), [(Conversion, 1, false)]);
        joiner.conversion(&decision(1));
        assert_eq!(brief(&joiner.advance(Timestamp(1_700))), [(Conversion, 1, true)]);
    }

    #[test]
    fn a_full_joiner_labels_the_oldest_early() {
        let mut joiner = joiner(2);
        for number in 0..3 {
            joiner.impression(&decision(number), Timestamp(i64::from(number)));
        }
        assert_eq!(brief(&joiner.advance(Timestamp(5))), [(ExampleKind::Click, 0, false)]);
    }

    #[test]
    fn a_forgotten_users_label_teaches_without_the_user() {
        let mut joiner = joiner(100);
        let behaviour = 16 << 18 | 7;
        for number in 0..2 {
            let user = Some(UserKey(u64::from(number)));
            let decision = Decision { user, features: vec![number, behaviour], ..decision(number) };
            joiner.impression(&decision, Timestamp(0));
        }
        joiner.forget(|user| user == PrivacyKey::of(UserKey(1)));
        let saved = joiner.save();
        joiner.restore(&saved).unwrap();
        let examples = joiner.advance(Timestamp(100));
        assert_eq!(examples[0].features, [0, behaviour]);
        assert_eq!(examples[1].features, [1]);
    }

    proptest! {
        #[test]
        fn each_impression_teaches_once_and_a_checkpoint_in_between_changes_nothing(
            clicked in proptest::collection::vec(any::<bool>(), 1..60),
            cut in 0usize..60,
        ) {
            let mut joiner = joiner(1000);
            let mut examples = Vec::new();
            for (i, clicked) in clicked.iter().enumerate() {
                let at = Timestamp(i as i64 * 9);
                joiner.impression(&decision(i as u32), at);
                joiner.impression(&decision(i as u32), at);
                if *clicked { joiner.click(&decision(i as u32), at); }
                examples.extend(joiner.advance(at));
                if i == cut {
                    let bytes = joiner.save();
                    joiner.impressions = Queue::default();
                    joiner.clicks = Queue::default();
                    joiner.restore(&bytes).unwrap();
                }
            }
            examples.extend(joiner.advance(Timestamp(1_000_000)));
            let labels: Vec<bool> = examples.iter().filter(|e| e.kind == ExampleKind::Click).map(|e| e.label).collect();
            prop_assert_eq!(labels, clicked);
        }

        #[test]
        fn damaged_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = joiner(1).restore(&bytes);
        }
    }
}
