//! Whom to forget: users who opted out, and users whose data is to be erased.
//!
//! The journal's writer keeps it beside the records, in the same batch, and passes every record through
//! [`Suppressions::redact`] on its way to the disk. So whatever was on its way when somebody opted out or was erased (a
//! token in a browser, a notice in a mailbox, an event of the shop) finds nothing to bring back.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use dashmap::{DashMap, DashSet};
use haggle_domain::{Decision, Event, PrivacyKey, Record, Timestamp, UserKey};
use haggle_learning::is_user_level;
use minicbor::{Decode, Encode};

/// What is to be forgotten of one user, as it is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Suppression {
    /// They opted out.
    #[n(0)]
    pub opted_out: bool,
    /// What they did up to this time is forgotten.
    #[n(1)]
    pub erased_until: Option<Timestamp>,
    /// Records below this offset are still to be searched for them; none once that is done.
    #[n(2)]
    pub erase_below: Option<u64>,
}

/// An erasure of one user.
#[derive(Clone, Copy, Debug)]
struct Erasure {
    until: Timestamp,
    below: Option<u64>,
}

/// Everybody who is to be forgotten. Nobody ever leaves: a forgotten opt-out would be a broken promise.
#[derive(Debug, Default)]
pub struct Suppressions {
    opted_out: DashSet<PrivacyKey>,
    erased: DashMap<PrivacyKey, Erasure>,
    /// Erasures that are not done, so that nobody has to look for them where there are none.
    unfinished: AtomicUsize,
    /// One above the newest erasure's offset, of this life and of what an earlier one has left undone.
    newest: AtomicU64,
}

impl Suppressions {
    /// Whether the user opted out: one look-up in one shard.
    pub fn opted_out(&self, user: UserKey) -> bool {
        self.opted_out.contains(&PrivacyKey::of(user))
    }

    /// Whether what the user did at a time is to be forgotten.
    pub fn forgets(&self, user: PrivacyKey, at: Timestamp) -> bool {
        self.opted_out.contains(&user) || self.erased.get(&user).is_some_and(|erasure| at <= erasure.until)
    }

    /// Takes the user off a decision that is to be forgotten, with all that says something of them.
    pub fn redact_decision(&self, decision: &mut Decision) {
        if decision.user.is_some_and(|user| self.forgets(PrivacyKey::of(user), decision.at)) {
            take_user_off(decision);
        }
    }

    /// What remains of a record that is about to be written.
    pub fn redact(&self, record: &mut Record) {
        if let Some(user) = record.event.subject() {
            if self.forgets(PrivacyKey::of(user), record.at) {
                record.event = Event::Redacted;
            }
        } else if let Some(customer) = record.event.customer_mut() {
            if customer.is_some_and(|user| self.forgets(PrivacyKey::of(user), record.at)) {
                take_customer_off(&mut record.event);
            }
        } else if let Some(decision) = record.event.decision_mut() {
            self.redact_decision(decision);
        }
    }

    /// What remains of a record that has been written at an offset, if anything of it is to be erased.
    pub fn erased(&self, offset: u64, record: &Record) -> Option<Record> {
        let doomed = |user| {
            let erasure = self.erased.get(&PrivacyKey::of(user));
            erasure.and_then(|erasure| erasure.below).is_some_and(|below| offset < below)
        };
        if let Some(user) = record.event.subject() {
            return doomed(user).then(|| Record { event: Event::Redacted, ..record.clone() });
        }
        let mut rest = record.clone();
        if let Some(customer) = rest.event.customer_mut() {
            customer.is_some_and(doomed).then(|| take_customer_off(&mut rest.event))?;
            return Some(rest);
        }
        let decision = rest.event.decision_mut()?;
        decision.user.is_some_and(doomed).then(|| take_user_off(decision))?;
        Some(rest)
    }

    /// Takes in a record that the journal is about to write at an offset; gives whom it concerns.
    pub fn note(&self, offset: u64, record: &Record) -> Option<PrivacyKey> {
        match record.event {
            Event::UserOptedOut { user } => {
                self.opted_out.insert(user);
                Some(user)
            }
            Event::UserErased { user } => {
                let mut erasure =
                    self.erased.entry(user).or_insert(Erasure { until: record.at, below: None });
                erasure.until = erasure.until.max(record.at);
                self.newest.fetch_max(offset.saturating_add(1), Ordering::Relaxed);
                if erasure.below.replace(offset).is_none() {
                    self.unfinished.fetch_add(1, Ordering::Relaxed);
                }
                Some(user)
            }
            _ => None,
        }
    }

    /// Everything below `below` was searched for the user. A later erasure is not done yet.
    pub fn finish(&self, user: PrivacyKey, below: u64) {
        if let Some(mut erasure) = self.erased.get_mut(&user)
            && erasure.below.is_some_and(|asked| asked <= below)
        {
            erasure.below = None;
            self.unfinished.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Whose erasure is not done, and below which offset it has to search.
    pub fn unfinished(&self) -> Vec<(PrivacyKey, u64)> {
        if self.unfinished.load(Ordering::Relaxed) == 0 {
            return Vec::new();
        }
        self.erased.iter().filter_map(|entry| entry.below.map(|below| (*entry.key(), below))).collect()
    }

    /// Whether a state that includes no record from `offset` on may hold what has been erased since.
    pub fn outdates(&self, offset: u64) -> bool {
        offset < self.newest.load(Ordering::Relaxed)
    }

    /// What is to be forgotten of a user, if anything.
    pub fn get(&self, user: PrivacyKey) -> Option<Suppression> {
        let opted_out = self.opted_out.contains(&user);
        let erasure = self.erased.get(&user).map(|erasure| *erasure);
        (opted_out || erasure.is_some()).then_some(Suppression {
            opted_out,
            erased_until: erasure.map(|erasure| erasure.until),
            erase_below: erasure.and_then(|erasure| erasure.below),
        })
    }

    /// Everybody who opted out or was ever erased, some of them twice.
    pub fn everybody(&self) -> Vec<PrivacyKey> {
        let erased = self.erased.iter().map(|entry| *entry.key());
        self.opted_out.iter().map(|user| *user).chain(erased).collect()
    }

    /// Puts back what was kept of a user, once a user.
    pub fn restore(&self, user: PrivacyKey, suppression: Suppression) {
        if suppression.opted_out {
            self.opted_out.insert(user);
        }
        if let Some(until) = suppression.erased_until {
            self.erased.insert(user, Erasure { until, below: suppression.erase_below });
            if let Some(below) = suppression.erase_below {
                self.unfinished.fetch_add(1, Ordering::Relaxed);
                self.newest.fetch_max(below.saturating_add(1), Ordering::Relaxed);
            }
        }
    }

    /// How many users opted out, and how many erasures are not done.
    pub fn counts(&self) -> (usize, usize) {
        (self.opted_out.len(), self.unfinished.load(Ordering::Relaxed))
    }
}

fn take_user_off(decision: &mut Decision) {
    decision.user = None;
    decision.features.retain(|feature| !is_user_level(*feature));
}

/// The order stays, and with it what it brought; which clicks it followed from goes with the user.
fn take_customer_off(event: &mut Event) {
    if let Event::Ordered { order } = event {
        (order.user, order.clicks) = (None, Vec::new());
    }
}

#[cfg(test)]
mod tests {
    use haggle_domain::{BehaviourKind, CampaignKey, Group, Tag};

    use super::*;

    const USER: UserKey = UserKey(7);
    const KEY_FEATURE: u32 = 15 << 18 | 3;

    fn record(at: i64, event: Event) -> Record {
        Record { at: Timestamp(at), campaign: CampaignKey::default(), event }
    }

    fn behaviour(at: i64) -> Record {
        record(at, Event::Behaviour { user: USER, did: BehaviourKind::Viewed, what: Tag(1) })
    }

    fn eligible(at: i64) -> Record {
        record(at, Event::Eligible { user: USER, group: Group::Held })
    }

    fn click(at: i64) -> Record {
        let features = vec![1, KEY_FEATURE, 2 << 18];
        let decision = Decision { at: Timestamp(at), user: Some(USER), features, ..Decision::default() };
        record(at + 5, Event::Click { decision })
    }

    fn bare(mut record: Record) -> Record {
        if let Some(decision) = record.event.decision_mut() {
            decision.user = None;
            decision.features = vec![1, 2 << 18];
        }
        record
    }

    fn written(suppressions: &Suppressions, mut record: Record) -> Record {
        suppressions.redact(&mut record);
        record
    }

    #[test]
    fn an_opted_out_user_is_written_no_more() {
        let suppressions = Suppressions::default();
        assert!(!suppressions.opted_out(USER));
        assert_eq!(written(&suppressions, click(0)), click(0));
        let user = PrivacyKey::of(USER);
        assert_eq!(suppressions.note(3, &record(9, Event::UserOptedOut { user })), Some(user));
        assert!(suppressions.opted_out(USER) && !suppressions.opted_out(UserKey(8)));
        assert_eq!(written(&suppressions, click(99)), bare(click(99)));
        assert_eq!(written(&suppressions, behaviour(99)), record(99, Event::Redacted));
        assert_eq!(written(&suppressions, eligible(99)), record(99, Event::Redacted));
        assert_eq!(suppressions.erased(0, &click(0)), None, "what was written stays until it is erased");
        assert_eq!(suppressions.counts(), (1, 0));
    }

    #[test]
    fn an_erased_user_loses_the_past_and_keeps_the_future() {
        let suppressions = Suppressions::default();
        let user = PrivacyKey::of(USER);
        suppressions.note(10, &record(50, Event::UserErased { user }));
        assert_eq!(suppressions.unfinished(), [(user, 10)]);
        assert_eq!(suppressions.erased(9, &click(60)), Some(bare(click(60))));
        assert_eq!(suppressions.erased(9, &behaviour(1)), Some(record(1, Event::Redacted)));
        assert_eq!(suppressions.erased(9, &eligible(1)), Some(record(1, Event::Redacted)));
        assert_eq!(suppressions.erased(10, &click(60)), None);
        // A token from before that comes back later, and a visit after.
        assert_eq!(written(&suppressions, click(50)), bare(click(50)));
        assert_eq!(written(&suppressions, click(51)), click(51));
        assert_eq!(written(&suppressions, behaviour(51)), behaviour(51));
        suppressions.note(20, &record(70, Event::UserErased { user }));
        suppressions.finish(user, 10);
        assert_eq!(suppressions.unfinished(), [(user, 20)], "asked again meanwhile");
        suppressions.finish(user, 20);
        assert_eq!((suppressions.unfinished(), suppressions.counts()), (vec![], (0, 0)));
        assert!(suppressions.forgets(user, Timestamp(70)));
        let kept = suppressions.get(user).unwrap();
        let bytes = minicbor::to_vec(kept).unwrap();
        assert_eq!(minicbor::decode::<Suppression>(&bytes).unwrap(), kept);
        let restored = Suppressions::default();
        restored.restore(user, Suppression { opted_out: true, erase_below: Some(5), ..kept });
        assert_eq!((restored.unfinished(), restored.counts()), (vec![(user, 5)], (1, 1)));
        assert!(restored.outdates(5) && !restored.outdates(6));
        assert!(suppressions.outdates(20) && !suppressions.outdates(21));
    }

    #[test]
    fn an_order_stays_without_its_user_and_the_clicks_that_were_theirs() {
        let suppressions = Suppressions::default();
        let bid = haggle_domain::BidId::default();
        let click = haggle_domain::ProvenClick { bid, bid_at: Timestamp(1) };
        let order = haggle_domain::Order { id: "A-1".to_owned(), ..haggle_domain::Order::default() };
        let named = haggle_domain::Order { user: Some(USER), clicks: vec![click], ..order.clone() };
        let ordered =
            |order: &haggle_domain::Order| record(10, Event::Ordered { order: Box::new(order.clone()) });
        suppressions.note(20, &record(15, Event::UserErased { user: PrivacyKey::of(USER) }));
        assert_eq!(suppressions.erased(9, &ordered(&named)), Some(ordered(&order)));
        assert_eq!(suppressions.erased(9, &ordered(&order)), None);
        let mut on_its_way = ordered(&named);
        suppressions.redact(&mut on_its_way);
        assert_eq!(on_its_way, ordered(&order));
    }
}
