//! What is known of users: profiles of this node, read by bids, written by the journal's consumer alone.

use dashmap::DashMap;
use haggle_domain::{Behaviour, BehaviourKind, Profile, Tag, Timestamp, UserKey};

/// The profiles. Bounded: a new user finds no room once it is full, and is counted as turned away.
#[derive(Debug)]
pub struct Audience {
    profiles: DashMap<UserKey, Profile>,
    capacity: usize,
}

impl Audience {
    /// Room for `capacity` users.
    pub fn new(capacity: usize) -> Self {
        Self { profiles: DashMap::new(), capacity }
    }

    /// Notes what a user did; false if there is no room for a new user.
    pub fn note(&self, user: UserKey, did: BehaviourKind, what: Tag, at: Timestamp) -> bool {
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
        self.profiles.get(&user).map(|profile| profile.clone())
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
        let profiles: Vec<(UserKey, Vec<Behaviour>)> =
            self.profiles.iter().map(|entry| (*entry.key(), entry.value().behaviours().to_vec())).collect();
        minicbor::to_vec(profiles).unwrap_or_default()
    }

    /// Puts back what [`Audience::save`] gave.
    pub fn load(&self, bytes: &[u8]) -> Result<(), minicbor::decode::Error> {
        let profiles: Vec<(UserKey, Vec<Behaviour>)> = minicbor::decode(bytes)?;
        for (user, behaviours) in profiles.into_iter().take(self.capacity) {
            self.profiles.insert(user, Profile::from_behaviours(behaviours));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_audience_turns_new_users_away_and_forgets_old_ones() {
        let audience = Audience::new(2);
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
        let audience = Audience::new(10);
        for user in 0..5 {
            audience.note(UserKey(user), BehaviourKind::Carted, Tag(user), Timestamp(user as i64));
        }
        let restored = Audience::new(10);
        restored.load(&audience.save()).unwrap();
        assert_eq!(restored.get(UserKey(3)), audience.get(UserKey(3)));
        assert_eq!(restored.len(), 5);
        assert!(restored.load(b"\xff").is_err());
    }
}
