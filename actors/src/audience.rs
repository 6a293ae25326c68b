//! What is known of users: what they did and what they have seen. Of this node; read and marked by bids, written by the
//! journal's consumer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use haggle_domain::{Behaviour, BehaviourKind, Decision, PrivacyKey, Profile, Tag, Timestamp, UserKey};
use haggle_strategies::frequency::{
    AdvertiserCaps, Caps, Exposure, InFlight, MOST_EXPOSURES, Mark, Seen, seconds,
};

use crate::items::{self, Item, profile, seen, unmark};
use crate::shared::Shared;
use crate::suppression::Suppressions;
use crate::users::Users;

/// The form of [`Audience::save`]; the first kept profiles by [`UserKey`], the second only what users did.
const FORMAT: u8 = 3;

/// A user in a checkpoint.
type Saved = (PrivacyKey, Vec<Behaviour>, Vec<Exposure>);

/// The users. Bounded: once it is full, a new one takes the place of one who has long not been met.
#[derive(Debug)]
pub struct Audience {
    users: Users,
    /// Where nodes share what they know: then nothing is in `users`.
    shared: Option<Arc<Shared>>,
    crowded: AtomicU64,
    capacity: usize,
    suppressions: Arc<Suppressions>,
}

/// A copy of what is known of one user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// What they did, if anything.
    pub profile: Option<Profile>,
    /// What they have seen.
    pub seen: Seen,
}

/// The bids that one request makes to its user; to nobody where nothing may be kept of them.
#[derive(Clone, Copy, Debug)]
pub struct ToUser<'a> {
    audience: &'a Audience,
    user: Option<UserKey>,
}

impl Audience {
    /// Room for `capacity` users; none for whoever is to be forgotten.
    pub fn new(capacity: usize, suppressions: Arc<Suppressions>) -> Self {
        Self { users: Users::new(capacity), shared: None, crowded: AtomicU64::new(0), capacity, suppressions }
    }

    /// One that shares what it knows with other nodes.
    pub fn sharing(shared: Arc<Shared>, suppressions: Arc<Suppressions>) -> Self {
        Self { shared: Some(shared), ..Self::new(0, suppressions) }
    }

    /// What it shares with other nodes, where it does.
    pub fn shared(&self) -> Option<&Arc<Shared>> {
        self.shared.as_ref()
    }

    /// Tells other nodes what a user did, where they share it. To be called once, by whoever is told of it.
    pub fn tell_behaviour(&self, user: UserKey, did: BehaviourKind, what: Tag, at: Timestamp) {
        if let Some(shared) = &self.shared {
            shared.did(user, did, what, at);
        }
    }

    /// Tells other nodes of an impression, where they share what users have seen. To be called once an impression.
    pub fn tell_impression(
        &self,
        decision: &Decision,
        caps: &Caps,
        advertisers: &AdvertiserCaps,
        at: Timestamp,
    ) {
        if let Some(shared) = &self.shared {
            shared.shown(decision, caps, advertisers, at);
        }
    }

    /// Whether the user opted out: then a request gives no basis to know them, whatever it says.
    pub fn opted_out(&self, user: UserKey) -> bool {
        self.suppressions.opted_out(user)
    }

    /// Takes the user off a decision, with all that says something of them, if they are to be forgotten.
    pub fn redact(&self, decision: &mut Decision) {
        self.suppressions.redact_decision(decision);
    }

    /// Users who opted out, and erasures that are not done.
    pub fn suppressed(&self) -> (usize, usize) {
        self.suppressions.counts()
    }

    /// Notes what a user did, unless that is to be forgotten. Where users are shared, whoever was told of it has said so there.
    pub fn note(&self, user: UserKey, did: BehaviourKind, what: Tag, at: Timestamp) {
        let user = PrivacyKey::of(user);
        if self.shared.is_some() || self.suppressions.forgets(user, at) {
            return;
        }
        self.users.update(user, |items| items::note(items, did, what, at));
    }

    /// Counts an impression for every cap that asks for it, unless it is to be forgotten; its bid is no longer under way. Shared
    /// counts are as [`Audience::note`] says.
    pub fn show(&self, decision: &Decision, caps: &Caps, advertisers: &AdvertiserCaps, at: Timestamp) {
        let Some(user) = decision.user.map(PrivacyKey::of).filter(|_| self.shared.is_none()) else { return };
        if self.suppressions.forgets(user, decision.at) || !caps.are_counted(advertisers) {
            return;
        }
        let now = seconds(at);
        self.users.update(user, |items| {
            unmark(items, caps.mark(decision.creative, decision.at));
            for (key, bucket) in caps.counted(decision.creative, advertisers) {
                let crowded = items::count(items, key, bucket, now);
                self.crowded.fetch_add(u64::from(crowded), Ordering::Relaxed);
            }
        });
    }

    /// A copy of what is known of a user now. Only to be asked for users whom a request gives a basis to know.
    pub fn get(&self, user: UserKey, now: Timestamp) -> Option<Known> {
        if self.opted_out(user) {
            return None;
        }
        let known = |items: &[Item]| Known { profile: profile(items), seen: seen(items, seconds(now)) };
        let user = PrivacyKey::of(user);
        match &self.shared {
            None => self.users.read(user, known),
            Some(shared) => shared.known(user).map(|items| known(&items)),
        }
    }

    /// Where a request's bids to a user are marked; `user` only where it may be stored of them.
    pub fn to_user(&self, user: Option<UserKey>) -> ToUser<'_> {
        ToUser { audience: self, user }
    }

    /// Forgets one user, by an opt-out or erasure that the journal tells of.
    pub fn erase(&self, user: PrivacyKey) {
        match &self.shared {
            None => self.users.remove(user),
            Some(shared) => shared.forget([user], None),
        }
    }

    /// How many users are known.
    pub fn len(&self) -> usize {
        self.shared.as_ref().map_or_else(|| self.users.len(), |shared| shared.len())
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Users who were forgotten because others needed the room, since the start.
    pub fn evicted(&self) -> u64 {
        self.shared.as_ref().map_or_else(|| self.users.evicted(), |shared| shared.evicted())
    }

    /// Impressions that found all of a user's counts in use, since the start.
    pub fn crowded(&self) -> u64 {
        self.shared.as_ref().map_or_else(|| self.crowded.load(Ordering::Relaxed), |shared| shared.crowded())
    }

    /// Forgets users of whom nothing is known since `before`, and what says nothing any more.
    pub fn forget(&self, before: Timestamp, now: Timestamp) {
        self.users.sweep(seconds(before), seconds(now));
    }

    /// Forgets everybody.
    pub fn clear(&self) {
        self.users.clear();
    }

    /// All users, for a checkpoint; not which bids are under way.
    pub fn save(&self) -> Vec<u8> {
        let users: Vec<Saved> = self.users.collect(|user, items| {
            let behaviours: Vec<_> = items.iter().filter_map(Item::behaviour).collect();
            let exposures: Vec<_> = items.iter().filter_map(Item::exposure).collect();
            let any = !behaviours.is_empty() || !exposures.is_empty();
            any.then_some((user, behaviours, exposures))
        });
        minicbor::to_vec((FORMAT, users)).unwrap_or_default()
    }

    /// Puts back what [`Audience::save`] gave.
    pub fn load(&self, bytes: &[u8]) -> Result<(), minicbor::decode::Error> {
        let mut decoder = minicbor::Decoder::new(bytes);
        if decoder.array()? != Some(2) || decoder.u8()? != FORMAT {
            return Err(minicbor::decode::Error::message("profiles of another format"));
        }
        let users: Vec<Saved> = decoder.decode()?;
        for (user, behaviours, exposures) in users.into_iter().take(self.capacity) {
            let profile = Profile::from_behaviours(behaviours);
            self.users.update(user, |items| {
                items.clear();
                items.extend(profile.behaviours().iter().map(|behaviour| Item::from(*behaviour)));
                items.extend(exposures.into_iter().take(MOST_EXPOSURES).map(Item::from));
            });
        }
        Ok(())
    }
}

impl InFlight for ToUser<'_> {
    fn mark(&self, caps: &Caps, creative: u16, now: Timestamp) -> bool {
        let Some(user) = self.user.filter(|user| !self.audience.opted_out(*user)) else { return true };
        if let Some(shared) = &self.audience.shared {
            return shared.mark(user, caps, creative, now);
        }
        let marked = self.audience.users.update(PrivacyKey::of(user), |items| {
            items.retain(|item| item.mark().is_none() || item.counts(seconds(now)));
            let allowed = caps.allow_one(&seen(items, seconds(now)), creative, now);
            if allowed {
                items.push(caps.mark(creative, now).into());
            }
            allowed
        });
        marked.unwrap_or(false)
    }

    fn unmark(&self, mark: Mark) {
        let Some(user) = self.user else { return };
        if let Some(shared) = &self.audience.shared {
            shared.unmark(user, mark);
        } else {
            self.audience.users.update(PrivacyKey::of(user), |items| unmark(items, mark));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use haggle_domain::*;

    use super::*;

    const SECOND: i64 = 1_000_000;

    fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * SECOND)
    }

    fn view(audience: &Audience, user: u64, seconds: i64) {
        audience.note(UserKey(user), BehaviourKind::Viewed, Tag(7), at(seconds));
    }

    /// A campaign with a cap a day.
    fn caps(id: &str, per: CapScope, most: u16) -> Caps {
        let within = CapWindow::Last(Duration::from_secs(86_400));
        Caps::of(&Campaign {
            name: id.into(),
            advertiser_domain: "shop.example".into(),
            goal: Goal::Cpm { price: CpmMicros(1) },
            budget: Budget { daily: None, total: Some(Micros(1)) },
            flight: Flight { start: Timestamp::default(), end: Timestamp::MAX },
            pacing: Pacing::Asap,
            frequency: Frequency { caps: vec![FrequencyCap { per, most, within }], bids_on_unknown: false },
            max_bid: CpmMicros(1),
            ..Campaign::named(id)
        })
    }

    fn decision(user: u64, seconds: i64) -> Decision {
        Decision { at: at(seconds), user: Some(UserKey(user)), ..Decision::default() }
    }

    #[test]
    fn a_full_audience_forgets_the_stalest_and_time_forgets_the_rest() {
        let audience = Audience::new(2, Arc::default());
        for (user, seconds) in [(1, 10), (2, 20), (1, 30), (3, 40)] {
            view(&audience, user, seconds);
        }
        assert_eq!((audience.len(), audience.evicted()), (2, 1));
        let known = |user| audience.get(UserKey(user), at(50));
        assert!(known(2).is_none());
        assert_eq!(known(1).unwrap().profile.unwrap().behaviours()[0].count, 2);
        audience.forget(at(35), at(50));
        assert!(known(1).is_none() && known(3).is_some());
    }

    #[test]
    fn a_checkpoint_brings_users_back() {
        let (caps, none) = (caps("boots", CapScope::Campaign, 5), AdvertiserCaps::default());
        let audience = Audience::new(10, Arc::default());
        for user in 0..5 {
            view(&audience, user, user as i64);
            audience.show(&decision(user, 5), &caps, &none, at(6));
        }
        assert!(audience.to_user(Some(UserKey(9))).mark(&caps, 0, at(7)));
        let restored = Audience::new(10, Arc::default());
        restored.load(&audience.save()).unwrap();
        let known = audience.get(UserKey(3), at(8)).unwrap();
        assert_eq!((known.seen.exposures.len(), known.profile.is_some()), (1, true));
        assert_eq!(restored.get(UserKey(3), at(8)), Some(known));
        assert_eq!(restored.len(), 5, "what is under way is not kept");
        assert!(restored.load(b"\xff").is_err());
        let second_format = minicbor::to_vec((2u8, vec![(UserKey(1), Vec::<Behaviour>::new())])).unwrap();
        assert!(restored.load(&second_format).is_err());
    }

    #[test]
    fn a_bid_counts_until_its_impression_does_or_it_comes_to_nothing() {
        let (caps, none) = (caps("boots", CapScope::Campaign, 2), AdvertiserCaps::default());
        let audience = Audience::new(10, Arc::default());
        let to = audience.to_user(Some(UserKey(1)));
        assert!(to.mark(&caps, 0, at(10)) && to.mark(&caps, 0, at(11)));
        assert!(!to.mark(&caps, 0, at(11)));
        to.unmark(caps.mark(0, at(10)));
        assert!(to.mark(&caps, 0, at(12)), "a place is free again");
        audience.show(&decision(1, 11), &caps, &none, at(40));
        audience.show(&decision(1, 12), &caps, &none, at(41));
        assert!(!to.mark(&caps, 0, at(42)) && !to.mark(&caps, 0, at(86_440)));
        assert!(to.mark(&caps, 0, at(40 + 86_400 * 7 / 6 + 8)));
        assert!(audience.to_user(None).mark(&caps, 0, at(42)), "nobody is counted");
    }

    #[test]
    fn bids_of_many_threads_to_one_user_do_not_exceed_a_cap() {
        let caps = caps("boots", CapScope::Campaign, 5);
        let audience = Audience::new(10, Arc::default());
        let bid = || (0..100).filter(|_| audience.to_user(Some(UserKey(1))).mark(&caps, 0, at(10))).count();
        let bids: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(bid)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(bids, 5);
    }

    #[test]
    fn a_crowded_user_is_passed_over_until_counts_end() {
        let none = AdvertiserCaps::default();
        let audience = Audience::new(10, Arc::default());
        for number in 0..MOST_EXPOSURES {
            audience.show(&decision(1, 5), &caps(&number.to_string(), CapScope::Campaign, 9), &none, at(5));
        }
        let late = caps("late", CapScope::Campaign, 9);
        assert!(!audience.to_user(Some(UserKey(1))).mark(&late, 0, at(6)));
        assert_eq!(audience.crowded(), 0);
        audience.show(&decision(1, 5), &late, &none, at(7));
        assert_eq!(audience.crowded(), 1);
        let seen = audience.get(UserKey(1), at(8)).unwrap().seen;
        assert_eq!(seen.exposures.len(), MOST_EXPOSURES);
        assert!(audience.to_user(Some(UserKey(1))).mark(&late, 0, at(86_400 * 3)));
    }

    #[test]
    fn an_opted_out_user_has_no_profile_and_gets_none() {
        let suppressions = Arc::new(Suppressions::default());
        let audience = Audience::new(10, Arc::clone(&suppressions));
        let user = UserKey(1);
        view(&audience, 1, 1);
        let event = Event::UserOptedOut { user: PrivacyKey::of(user) };
        suppressions.note(0, &Record { at: at(2), campaign: CampaignKey::default(), event });
        assert!(audience.opted_out(user) && audience.get(user, at(3)).is_none());
        audience.erase(PrivacyKey::of(user));
        view(&audience, 1, 3);
        let (caps, none) = (caps("boots", CapScope::Campaign, 2), AdvertiserCaps::default());
        audience.show(&decision(1, 3), &caps, &none, at(4));
        assert!(audience.to_user(Some(user)).mark(&caps, 0, at(5)), "nothing is counted");
        assert!(audience.is_empty());
    }
}
