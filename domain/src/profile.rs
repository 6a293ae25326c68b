//! What is known of a user, where it may be known.

use smallvec::SmallVec;

use crate::id::Tag;
use crate::time::Timestamp;

/// What a user did in the shop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, minicbor::Encode, minicbor::Decode)]
#[cbor(index_only)]
pub enum BehaviourKind {
    /// Looked at a product or category.
    #[n(0)]
    Viewed,
    /// Put it into the cart.
    #[n(1)]
    Carted,
    /// Bought it.
    #[n(2)]
    Bought,
    /// Searched for it.
    #[n(3)]
    Searched,
}

/// One kind of thing done to one product or category.
#[derive(Clone, Copy, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct Behaviour {
    /// What was done.
    #[n(0)]
    pub did: BehaviourKind,
    /// To what.
    #[n(1)]
    pub what: Tag,
    /// How often.
    #[n(2)]
    pub count: u32,
    /// When last.
    #[n(3)]
    pub last: Timestamp,
}

/// A user's recent behaviours, at most [`Profile::CAPACITY`]; the stalest makes room for a new one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    behaviours: SmallVec<[Behaviour; 4]>,
}

impl Profile {
    /// How many (kind, thing) pairs are kept for a user.
    pub const CAPACITY: usize = 24;

    /// Adds one act.
    pub fn note(&mut self, did: BehaviourKind, what: Tag, at: Timestamp) {
        if let Some(known) = self.behaviours.iter_mut().find(|known| known.did == did && known.what == what) {
            known.count = known.count.saturating_add(1);
            known.last = known.last.max(at);
            return;
        }
        let new = Behaviour { did, what, count: 1, last: at };
        if self.behaviours.len() < Self::CAPACITY {
            self.behaviours.push(new);
        } else if let Some(stalest) = self.behaviours.iter_mut().min_by_key(|known| known.last) {
            *stalest = new;
        }
    }

    /// The count and last time of a behaviour, if it was seen.
    pub fn find(&self, did: BehaviourKind, what: Tag) -> Option<&Behaviour> {
        self.behaviours.iter().find(|known| known.did == did && known.what == what)
    }

    /// What [`Profile::behaviours`] gave, put back; the stalest make room if there are too many.
    pub fn from_behaviours(behaviours: impl IntoIterator<Item = Behaviour>) -> Self {
        let mut profile = Self::default();
        for behaviour in behaviours {
            profile.note(behaviour.did, behaviour.what, behaviour.last);
            if let Some(kept) = profile
                .behaviours
                .iter_mut()
                .find(|kept| (kept.did, kept.what) == (behaviour.did, behaviour.what))
            {
                kept.count = behaviour.count;
            }
        }
        profile
    }

    /// Of behaviours that differ in kind or thing, without looking for doubles; what is beyond the capacity is left out.
    pub fn from_distinct(behaviours: impl IntoIterator<Item = Behaviour>) -> Self {
        Self { behaviours: behaviours.into_iter().take(Self::CAPACITY).collect() }
    }

    /// All that is kept.
    pub fn behaviours(&self) -> &[Behaviour] {
        &self.behaviours
    }

    /// When the user last did anything.
    pub fn last_seen(&self) -> Timestamp {
        self.behaviours.iter().map(|known| known.last).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_profile_forgets_the_stalest() {
        let mut profile = Profile::default();
        for i in 0..=Profile::CAPACITY as i64 {
            profile.note(BehaviourKind::Viewed, Tag(i as u64 + 1), Timestamp(i));
        }
        assert_eq!(profile.behaviours().len(), Profile::CAPACITY);
        assert!(profile.find(BehaviourKind::Viewed, Tag(1)).is_none());
        profile.note(BehaviourKind::Viewed, Tag(2), Timestamp(99));
        assert_eq!(profile.find(BehaviourKind::Viewed, Tag(2)).unwrap().count, 2);
        assert_eq!(profile.last_seen(), Timestamp(99));
        assert_eq!(Profile::from_behaviours(profile.behaviours().iter().copied()), profile);
        assert_eq!(Profile::from_distinct(profile.behaviours().iter().copied()), profile);
    }
}
