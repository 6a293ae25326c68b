//! Tells of a user and campaign once a day, in little memory.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use haggle_domain::draw::mix;
use haggle_domain::{CampaignKey, Timestamp, UserKey};

/// Of what was told last. A power of two.
const PLACES: usize = 1 << 16;
const DAY: i64 = 86_400_000_000;

/// Who was told of lately. Of two who share a place the later one takes it, so some are told of more than once a day; nobody
/// who is asked about for the first time that day is missed, but for one in 2⁶⁴ whose hash is another's. Half a MiB, once it
/// is needed.
#[derive(Debug, Default)]
pub struct OncePerDay {
    places: OnceLock<Box<[AtomicU64]>>,
}

impl OncePerDay {
    /// Whether this is news. Neither waits nor locks.
    pub fn is_new(&self, campaign: CampaignKey, user: UserKey, now: Timestamp) -> bool {
        let places = self.places.get_or_init(|| (0..PLACES).map(|_| AtomicU64::new(0)).collect());
        let day = now.0.div_euclid(DAY) as u64;
        let told = mix(mix(campaign.0.wrapping_add(day)).wrapping_add(user.0));
        // The place is the user's and campaign's on every day, so that yesterday's is replaced.
        let place = mix(campaign.0 ^ mix(user.0)) as usize % PLACES;
        places.get(place).is_some_and(|last| last.swap(told, Ordering::Relaxed) != told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_news_once_a_day_and_campaign() {
        let told = OncePerDay::default();
        let (boots, tents) = (CampaignKey::of("boots"), CampaignKey::of("tents"));
        let (user, morning) = (UserKey(7), Timestamp(20_000 * DAY));
        assert!(told.is_new(boots, user, morning));
        assert!(!told.is_new(boots, user, Timestamp(morning.0 + DAY - 1)));
        assert!(told.is_new(tents, user, morning) && told.is_new(boots, UserKey(8), morning));
        assert!(told.is_new(boots, user, Timestamp(morning.0 + DAY)));
        let news =
            |users: u64| (0..users).filter(|user| told.is_new(boots, UserKey(*user), Timestamp(0))).count();
        assert_eq!(news(200_000), 200_000, "nobody is missed, however many there are");
    }
}
