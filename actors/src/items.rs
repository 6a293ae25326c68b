//! The things that are kept of a user, 16 bytes each, and how they change.

use haggle_domain::{Behaviour, BehaviourKind, Profile, Tag, Timestamp};
use haggle_strategies::frequency::{
    Bucket, CapKey, Exposure, IN_FLIGHT, MOST_EXPOSURES, Mark, Seen, seconds,
};
use smallvec::SmallVec;

/// One thing that is kept of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// Something they did; `what` in two halves, so that an item is aligned to four bytes.
    Behaviour { did: BehaviourKind, count: u16, last: u32, what: [u32; 2] },
    /// How often they saw something.
    Exposure { counts: [u8; 7], key: CapKey, last: u32 },
    /// A bid that is under way to them; `by` tells nodes apart that share users.
    Mark { by: u8, creative: u16, campaign: u32, advertiser: u32, at: u32 },
}

const _: () = assert!(size_of::<Item>() == 16, "an item has grown");

/// A user's things while they are changed.
pub(crate) type Items = SmallVec<[Item; 16]>;

impl Item {
    /// When it happened last, in seconds since 1970.
    pub(crate) fn last(&self) -> u32 {
        match self {
            Self::Behaviour { last, .. } | Self::Exposure { last, .. } => *last,
            Self::Mark { at, .. } => *at,
        }
    }

    /// From when on it says nothing any more; none for never.
    pub(crate) fn ends(&self) -> Option<u32> {
        match self {
            Self::Behaviour { .. } => None,
            Self::Exposure { .. } => self.exposure()?.ends(),
            Self::Mark { at, .. } => Some(at.saturating_add(IN_FLIGHT.as_secs() as u32)),
        }
    }

    /// Whether it still says something.
    pub(crate) fn counts(&self, now: u32) -> bool {
        match self {
            Self::Behaviour { .. } => true,
            Self::Exposure { .. } => {
                self.exposure().and_then(|exposure| exposure.ends()).is_none_or(|ends| now < ends)
            }
            Self::Mark { .. } => self.mark().is_some_and(|mark| mark.counts(now)),
        }
    }

    pub(crate) fn behaviour(&self) -> Option<Behaviour> {
        let Self::Behaviour { did, count, last, what: [high, low] } = *self else { return None };
        Some(Behaviour {
            did,
            what: Tag(u64::from(high) << 32 | u64::from(low)),
            count: u32::from(count),
            last: Timestamp(i64::from(last) * 1_000_000),
        })
    }

    pub(crate) fn exposure(&self) -> Option<Exposure> {
        let Self::Exposure { counts, key, last } = *self else { return None };
        Some(Exposure { key, last, counts })
    }

    /// A bid that a node has under way.
    pub(crate) fn marked(Mark { campaign, advertiser, creative, at }: Mark, by: u8) -> Self {
        Self::Mark { by, creative, campaign, advertiser, at }
    }

    pub(crate) fn mark(&self) -> Option<Mark> {
        let Self::Mark { creative, campaign, advertiser, at, .. } = *self else { return None };
        Some(Mark { campaign, advertiser, creative, at })
    }
}

impl From<Behaviour> for Item {
    /// Times lose what is below a second, and counts end at 65,535.
    fn from(Behaviour { did, what, count, last }: Behaviour) -> Self {
        let count = u16::try_from(count).unwrap_or(u16::MAX);
        Self::Behaviour { did, count, last: seconds(last), what: [(what.0 >> 32) as u32, what.0 as u32] }
    }
}

impl From<Exposure> for Item {
    fn from(Exposure { key, last, counts }: Exposure) -> Self {
        Self::Exposure { counts, key, last }
    }
}

impl From<Mark> for Item {
    fn from(mark: Mark) -> Self {
        Self::marked(mark, 0)
    }
}

/// Notes what the user did.
pub(crate) fn note(items: &mut Items, did: BehaviourKind, what: Tag, at: Timestamp) {
    let mut profile = Profile::from_distinct(items.iter().filter_map(Item::behaviour));
    profile.note(did, what, at);
    items.retain(|item| item.behaviour().is_none());
    items.extend(profile.behaviours().iter().map(|behaviour| Item::from(*behaviour)));
}

/// Counts an impression to one thing; true if that found all counts in use.
pub(crate) fn count(items: &mut Items, key: CapKey, bucket: Bucket, now: u32) -> bool {
    let place = items.iter().position(|item| item.exposure().is_some_and(|kept| kept.key == key));
    let mut exposure =
        place.and_then(|place| items.get(place)?.exposure()).unwrap_or_else(|| Exposure::new(key));
    exposure.note(now, bucket);
    if let Some(item) = place.and_then(|place| items.get_mut(place)) {
        *item = exposure.into();
        return false;
    }
    let (room, crowded) = make_room(items, now);
    if room {
        items.push(exposure.into());
    }
    crowded
}

/// Makes room for one more count; whether there is some, and whether all were in use. Where every one still says something, the one
/// that does so for the shortest time goes: its cap may then be exceeded. Counts that never end stay.
fn make_room(items: &mut Items, now: u32) -> (bool, bool) {
    let full =
        |items: &Items| items.iter().filter(|item| item.exposure().is_some()).count() >= MOST_EXPOSURES;
    if !full(items) {
        return (true, false);
    }
    items.retain(|item| item.counts(now));
    if !full(items) {
        return (true, false);
    }
    let ends = |item: &Item| item.exposure().and_then(|exposure| exposure.ends());
    let ending = items.iter().enumerate().filter_map(|(place, item)| Some((ends(item)?, place)));
    let Some((_, first)) = ending.min() else { return (false, true) };
    items.remove(first);
    (true, true)
}

/// Takes out one bid that was under way.
pub(crate) fn unmark(items: &mut Items, mark: Mark) {
    if let Some(place) = items.iter().position(|item| item.mark() == Some(mark)) {
        items.remove(place);
    }
}

/// None of somebody who did nothing.
pub(crate) fn profile(items: &[Item]) -> Option<Profile> {
    let profile = Profile::from_distinct(items.iter().filter_map(Item::behaviour));
    (!profile.behaviours().is_empty()).then_some(profile)
}

/// What counts now.
pub(crate) fn seen(items: &[Item], now: u32) -> Seen {
    let mut seen = Seen::default();
    for item in items {
        if let Some(exposure) = item.exposure() {
            if exposure.ends().is_none_or(|ends| now < ends) {
                seen.exposures.push(exposure);
            }
        } else if let Some(mark) = item.mark().filter(|mark| mark.counts(now)) {
            seen.marks.push(mark);
        }
    }
    seen
}

/// When the newest of them happened, in seconds since 1970.
pub(crate) fn last(items: &[Item]) -> u32 {
    items.iter().map(Item::last).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_behaviour_comes_back_to_the_second() {
        let behaviour = Behaviour {
            did: BehaviourKind::Bought,
            what: Tag(0x0123_4567_89ab_cdef),
            count: 70_000,
            last: Timestamp(1_700_000_000_999_999),
        };
        let kept = Item::from(behaviour).behaviour().unwrap();
        assert_eq!(kept, Behaviour { count: 65_535, last: Timestamp(1_700_000_000_000_000), ..behaviour });
    }
}
