//! What is known of users: profiles of this node, read by bids, written by the journal's consumer alone.

use std::sync::Arc;

use dashmap::DashMap;
use haggle_domain::{Behaviour, BehaviourKind, Decision, PrivacyKey, Profile, Tag, Timestamp, UserKey};

use crate::suppression::Suppressions;

/// The form of [`Audience::save`]; the first kept profiles by [`UserKey`].
const FORMAT: u8 = 2;

/// The profiles. Bounded: a new user finds no room once it is full, and is counted as turned away.
#[derive(Debug)]
pub struct Audience {
    profiles: DashMap<PrivacyKey, Profile>,
    capacity: usize,
    suppressions: Arc<Suppressions>,
}

impl Audience {
    /// Room for `capacity` users; none for whoever is to be forgotten.
    pub fn new(capacity: usize, suppressions: Arc<Suppressions>) -> Self {
        Self { profiles: DashMap::new(), capacity, suppressions }
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

    /// Notes what a user did, unless that is to be forgotten; false if there is no room for a new user.
    pub fn note(&self, user: UserKey, did: BehaviourKind, what: Tag, at: Timestamp) -> bool {
        let user = PrivacyKey::of(user);
        if self.suppressions.forgets(user, at) {
            return true;
        }
        if let Some(mut profile) = self.profiles.get_mut(&user) {
            profile.note(did, what, at);
            return true;
        }
        if self.profiles.len() >= self.capacity {
            return false;
        }
        self.profiles.entry(user).or_default().note(did, what, at);
        true
    }

    /// A copy of a user's profile. Only to be asked for users whom a request gives a basis to know.
    pub fn get(&self, user: UserKey) -> Option<Profile> {
        if self.opted_out(user) {
            return None;
        }
        self.profiles.get(&PrivacyKey::of(user)).map(|profile| profile.clone())
    }

    /// Forgets one user.
    pub fn erase(&self, user: PrivacyKey) {
        self.profiles.remove(&user);
    }

    /// How many users are known.
    pub fn len(&self) -> usize {
        self.profiles.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.profiles.is_empty()
    }

    /// Forgets users who did nothing since `before`.
    pub fn forget(&self, before: Timestamp) {
        self.profiles.retain(|_, profile| profile.last_seen() >= before);
    }

    /// Forgets everybody.
    pub fn clear(&self) {
        self.profiles.clear();
    }

    /// All profiles, for a checkpoint.
    pub fn save(&self) -> Vec<u8> {
        let profiles: Vec<(PrivacyKey, Vec<Behaviour>)> =
            self.profiles.iter().map(|entry| (*entry.key(), entry.value().behaviours().to_vec())).collect();
        minicbor::to_vec((FORMAT, profiles)).unwrap_or_default()
    }

    /// Puts back what [`Audience::save`] gave.
    pub fn load(&self, bytes: &[u8]) -> Result<(), minicbor::decode::Error> {
        let (format, profiles): (u8, Vec<(PrivacyKey, Vec<Behaviour>)>) = minicbor::decode(bytes)?;
        if format != FORMAT {
            return Err(minicbor::decode::Error::message("profiles of another format"));
        }
        for (user, behaviours) in profiles.into_iter().take(self.capacity) {
            self.profiles.insert(user, Profile::from_behaviours(behaviours));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use haggle_domain::{CampaignKey, Event, Record};

    use super::*;

    #[test]
    fn a_full_audience_turns_new_users_away_and_forgets_old_ones() {
        let audience = Audience::new(2, Arc::default());
        let view = |user, at| audience.note(UserKey(user), BehaviourKind::Viewed, Tag(7), Timestamp(at));
        assert!(view(1, 10) && view(2, 20) && view(1, 30));
        assert!(!view(3, 40));
        audience.forget(Timestamp(25));
        assert!(view(3, 40));
        assert_eq!(audience.get(UserKey(1)).unwrap().behaviours()[0].count, 2);
        assert!(audience.get(UserKey(2)).is_none());
    }

    #[test]
    fn a_checkpoint_brings_profiles_back() {
        let audience = Audience::new(10, Arc::default());
        for user in 0..5 {
            audience.note(UserKey(user), BehaviourKind::Carted, Tag(user), Timestamp(user as i64));
        }
        let restored = Audience::new(10, Arc::default());
        restored.load(&audience.save()).unwrap();
        assert_eq!(restored.get(UserKey(3)), audience.get(UserKey(3)));
        assert_eq!(restored.len(), 5);
        assert!(restored.load(b"\xff").is_err());
        let first_format = minicbor::to_vec(vec![(UserKey(1), Vec::<Behaviour>::new())]).unwrap();
        assert!(restored.load(&first_format).is_err());
    }

    #[test]
    fn an_opted_out_user_has_no_profile_and_gets_none() {
        let suppressions = Arc::new(Suppressions::default());
        let audience = Audience::new(10, Arc::clone(&suppressions));
        let user = UserKey(1);
        audience.note(user, BehaviourKind::Viewed, Tag(7), Timestamp(1));
        let event = Event::UserOptedOut { user: PrivacyKey::of(user) };
        suppressions.note(0, &Record { at: Timestamp(2), campaign: CampaignKey::default(), event });
        assert!(audience.opted_out(user) && audience.get(user).is_none());
        audience.erase(PrivacyKey::of(user));
        assert!(audience.note(user, BehaviourKind::Viewed, Tag(7), Timestamp(3)), "it is not turned away");
        assert!(audience.is_empty());
    }
}
