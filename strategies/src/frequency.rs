//! How often one user has seen what, and whether a cap lets them see it again. Pure.
//!
//! A window slides, and is counted in buckets of a sixth of it, of which the last seven are kept. So an impression counts
//! for at least as long as its cap's window, and for at most a sixth of that and eight seconds longer: a cap is never
//! exceeded, and may hold that much longer. [`Exposure`] holds such a count in 16 bytes.
//!
//! Between a bid and its impression stands a [`Mark`], which counts like an impression for [`IN_FLIGHT`].

use std::collections::HashMap;
use std::time::Duration;

use haggle_domain::planted::{Bug, planted};
use haggle_domain::{Campaign, CampaignKey, CapScope, CapWindow, Goal, NoBidReason, Tag, Timestamp};
use minicbor::{Decode, Encode};
use smallvec::SmallVec;

use crate::explore::Fitting;

/// For how long a bid counts without its impression. One that comes later counts from when it comes.
pub const IN_FLIGHT: Duration = Duration::from_secs(120);
/// Counts that are kept of one user, at most. Whoever has so many gets no ad of a cap that has none yet.
pub const MOST_EXPOSURES: usize = 64;
/// Bids that are under way to one user, at most. Whoever has so many gets no ad that counts.
pub const MOST_MARKS: usize = 16;

/// Parts of a window.
const PARTS: u64 = 6;
/// Those, and the one that is under way.
const BUCKETS: usize = PARTS as usize + 1;
/// The bits of a key that say how long its buckets are.
const LENGTH_BITS: u32 = 5;

/// Seconds of a window's bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket(u32);

/// What is counted together for one user: which impressions, in buckets of which length. A hash: where two coincide, more
/// is counted than there was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct CapKey(#[n(0)] u32);

/// How often one user saw one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Exposure {
    /// The thing.
    #[n(0)]
    pub key: CapKey,
    /// When last, in seconds since 1970.
    #[n(1)]
    pub last: u32,
    /// By bucket, that of `last` first.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub counts: [u8; BUCKETS],
}

/// A bid to a user whose impression has not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The campaign and its advertiser, hashed.
    pub campaign: u32,
    /// See `campaign`.
    pub advertiser: u32,
    /// Position of the creative in the campaign's list.
    pub creative: u16,
    /// When the bid was made, in seconds since 1970.
    pub at: u32,
}

/// What one user has seen, or is about to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// What they saw.
    pub exposures: SmallVec<[Exposure; 8]>,
    /// What is under way to them.
    pub marks: SmallVec<[Mark; 4]>,
}

/// A campaign's caps, prepared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caps {
    campaign: u32,
    advertiser: u32,
    bids_on_unknown: bool,
    /// What a goal of reach pays for; the first of the rules.
    reach: bool,
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    scope: CapScope,
    most: u32,
    bucket: Bucket,
    /// One for each creative where the scope is that.
    keys: SmallVec<[CapKey; 1]>,
}

/// The windows in which impressions of an advertiser are counted, whichever of its campaigns they are of, and how many campaigns
/// ask for each.
#[derive(Clone, Debug, Default)]
pub struct AdvertiserCaps(HashMap<u32, SmallVec<[(Bucket, u32); 1]>>);

/// Impressions of one user that a goal of reach pays for: as long as one is worth a hundredth of the first.
fn paid_for(repeat: f64) -> u32 {
    let worth = std::iter::successors(Some(1.0), |worth| Some(worth * repeat));
    worth.take(usize::from(u8::MAX)).take_while(|worth| *worth >= 0.01).count() as u32
}

/// Seconds since 1970, as they are kept.
pub fn seconds(at: Timestamp) -> u32 {
    u32::try_from(at.0.div_euclid(1_000_000).max(0)).unwrap_or(u32::MAX)
}

impl Bucket {
    /// Of all time: one bucket.
    const LIFETIME: Self = Self(u32::MAX);

    fn of(window: CapWindow) -> Self {
        match window {
            CapWindow::Last(span) => {
                let whole = span.as_secs() + u64::from(span.subsec_nanos() > 0);
                Self(u32::try_from(whole.div_ceil(PARTS)).unwrap_or(u32::MAX).max(1))
            }
            CapWindow::Lifetime => Self::LIFETIME,
        }
    }
}

impl CapKey {
    fn of(scope: CapScope, of: u32, creative: &str, bucket: Bucket) -> Self {
        let scope = match scope {
            CapScope::Campaign => 'c',
            CapScope::Creative => 'i',
            CapScope::Advertiser => 'a',
        };
        let hash = Tag::exactly(&format!("{scope}/{of}/{}/{creative}", bucket.0)).0 as u32;
        let length = u32::BITS - bucket.0.leading_zeros();
        Self(hash << LENGTH_BITS | length.min((1 << LENGTH_BITS) - 1))
    }

    /// As it is written.
    pub fn to_bits(self) -> u32 {
        self.0
    }

    /// What [`CapKey::to_bits`] gave.
    pub fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// At least as many seconds as its buckets are long; none for those that never end.
    fn at_most(self) -> Option<u32> {
        let length = self.0 & ((1 << LENGTH_BITS) - 1);
        (length < (1 << LENGTH_BITS) - 1).then(|| 1 << length)
    }
}

impl Exposure {
    /// Of a thing that has not been seen.
    pub fn new(key: CapKey) -> Self {
        Self { key, last: 0, counts: [0; BUCKETS] }
    }

    /// Seen once more, at a time that need not be the last.
    pub fn note(&mut self, at: u32, bucket: Bucket) {
        let (newest, this) = (self.last / bucket.0, at / bucket.0);
        if this > newest {
            let passed = (this - newest) as usize;
            self.counts.copy_within(..BUCKETS.saturating_sub(passed), passed.min(BUCKETS));
            self.counts.iter_mut().take(passed).for_each(|count| *count = 0);
        }
        let age = newest.saturating_sub(this) as usize;
        if let Some(count) = self.counts.get_mut(age) {
            *count = count.saturating_add(1);
        }
        self.last = self.last.max(at);
    }

    /// How often in the window that ends now.
    fn count(&self, now: u32, bucket: Bucket) -> u32 {
        let passed = (now / bucket.0).saturating_sub(self.last / bucket.0) as usize;
        let counts = self.counts.iter().take(BUCKETS.saturating_sub(passed));
        counts.map(|count| u32::from(*count)).sum()
    }

    /// From when on it says nothing any more, or somewhat later; none for never.
    pub fn ends(&self) -> Option<u32> {
        let length = self.key.at_most()?;
        Some(self.last.saturating_add(length.saturating_mul(BUCKETS as u32)))
    }
}

impl Mark {
    /// Whether it still counts.
    pub fn counts(&self, now: u32) -> bool {
        u64::from(now.saturating_sub(self.at)) < IN_FLIGHT.as_secs()
    }
}

impl Seen {
    fn exposure(&self, key: CapKey) -> Option<&Exposure> {
        self.exposures.iter().find(|exposure| exposure.key == key)
    }

    /// How often the user saw what a rule counts, or is about to; none if that cannot be known.
    fn count(&self, caps: &Caps, rule: &Rule, key: CapKey, creative: u16, now: u32) -> Option<u32> {
        let shown = match self.exposure(key) {
            Some(exposure) => exposure.count(now, rule.bucket),
            None if self.exposures.len() >= MOST_EXPOSURES => return None,
            None => 0,
        };
        let under_way = self.marks.iter().filter(|mark| {
            mark.counts(now)
                && !planted(Bug::UnderWayUncounted)
                && match rule.scope {
                    CapScope::Campaign => mark.campaign == caps.campaign,
                    CapScope::Creative => mark.campaign == caps.campaign && mark.creative == creative,
                    CapScope::Advertiser => mark.advertiser == caps.advertiser,
                }
        });
        Some(shown + under_way.count() as u32)
    }
}

impl Caps {
    /// Whether there is no limit.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Prepares a campaign's. More than 255 in a window are counted as 255, the most that a cap asks for.
    pub fn of(campaign: &Campaign) -> Self {
        let CampaignKey(key) = campaign.key;
        let mut caps = Self {
            campaign: key as u32,
            advertiser: Tag::of(&campaign.advertiser_domain).0 as u32,
            bids_on_unknown: campaign.frequency.bids_on_unknown,
            reach: false,
            rules: Vec::new(),
        };
        if let Goal::Reach { repeat, within, .. } = campaign.goal {
            // Of whom nothing can be counted, nobody knows whether they were reached.
            (caps.reach, caps.bids_on_unknown) = (true, false);
            let bucket = Bucket::of(within);
            let keys = SmallVec::from_iter([CapKey::of(CapScope::Campaign, caps.campaign, "", bucket)]);
            caps.rules.push(Rule { scope: CapScope::Campaign, most: paid_for(repeat), bucket, keys });
        }
        for cap in &campaign.frequency.caps {
            let bucket = Bucket::of(cap.within);
            let keys = match cap.per {
                CapScope::Campaign => SmallVec::from_iter([CapKey::of(cap.per, caps.campaign, "", bucket)]),
                CapScope::Advertiser => caps.advertiser_keys([bucket]).map(|(key, _)| key).collect(),
                CapScope::Creative => campaign
                    .creatives
                    .iter()
                    .map(|creative| CapKey::of(cap.per, caps.campaign, &creative.id, bucket))
                    .collect(),
            };
            let most = u32::from(cap.most).min(u32::from(u8::MAX));
            caps.rules.push(Rule { scope: cap.per, most, bucket, keys });
        }
        caps
    }

    fn advertiser_keys(
        &self,
        buckets: impl IntoIterator<Item = Bucket>,
    ) -> impl Iterator<Item = (CapKey, Bucket)> {
        let advertiser = self.advertiser;
        let key = move |bucket| (CapKey::of(CapScope::Advertiser, advertiser, "", bucket), bucket);
        buckets.into_iter().map(key)
    }

    /// Whether an impression has to be counted: for a cap of the campaign's own, or of its advertiser's.
    pub fn are_counted(&self, advertisers: &AdvertiserCaps) -> bool {
        !self.rules.is_empty() || advertisers.0.contains_key(&self.advertiser)
    }

    /// What an impression of a creative counts to, in which buckets.
    pub fn counted(&self, creative: u16, advertisers: &AdvertiserCaps) -> SmallVec<[(CapKey, Bucket); 8]> {
        let mut counted = SmallVec::new();
        for rule in &self.rules {
            let key = match rule.scope {
                CapScope::Campaign => rule.keys.first(),
                CapScope::Creative => rule.keys.get(usize::from(creative)),
                CapScope::Advertiser => None,
            };
            // Two caps on one thing in one time share a count.
            let pair = key.map(|key| (*key, rule.bucket)).filter(|pair| !counted.contains(pair));
            counted.extend(pair);
        }
        if let Some(buckets) = advertisers.0.get(&self.advertiser) {
            counted.extend(self.advertiser_keys(buckets.iter().map(|(bucket, _)| *bucket)));
        }
        counted
    }

    /// The mark of a bid with a creative.
    pub fn mark(&self, creative: u16, at: Timestamp) -> Mark {
        Mark { campaign: self.campaign, advertiser: self.advertiser, creative, at: seconds(at) }
    }

    /// Which of the creatives that fit may be shown to the user now; `seen` is none where nothing may be counted for them.
    ///
    /// # Errors
    ///
    /// Why the campaign may not bid at all.
    pub fn allow(
        &self,
        seen: Option<&Seen>,
        fitting: Fitting,
        now: Timestamp,
    ) -> Result<Fitting, NoBidReason> {
        if self.rules.is_empty() {
            return Ok(fitting);
        }
        let Some(seen) = seen else {
            return if self.bids_on_unknown { Ok(fitting) } else { Err(NoBidReason::NoBasis) };
        };
        if seen.exposures.is_empty() && seen.marks.is_empty() {
            return Ok(fitting);
        }
        let now = seconds(now);
        let mut left = fitting;
        for rule in &self.rules {
            let below = |key: &CapKey, creative: u16| {
                seen.count(self, rule, *key, creative, now)
                    .is_some_and(|count| count < rule.most + u32::from(planted(Bug::CapOffByOne)))
            };
            if rule.scope == CapScope::Creative {
                left = left.only(|creative| {
                    rule.keys.get(usize::from(creative)).is_some_and(|key| below(key, creative))
                });
            } else if !rule.keys.first().is_some_and(|key| below(key, 0)) {
                return Err(NoBidReason::FrequencyCapped);
            }
        }
        if left.is_empty() && !fitting.is_empty() { Err(NoBidReason::FrequencyCapped) } else { Ok(left) }
    }

    /// How often the user has seen the campaign, or is about to, within what its goal of reach counts; 0 for other goals.
    pub fn reached(&self, seen: Option<&Seen>, now: Timestamp) -> u32 {
        let rule = self.rules.first().filter(|_| self.reach);
        let count = rule.and_then(|rule| {
            // What cannot be known was refused by `allow`.
            seen?.count(self, rule, *rule.keys.first()?, 0, seconds(now))
        });
        count.unwrap_or(0)
    }

    /// Whether a bid with this creative may be made, looked at once more when it is about to be.
    pub fn allow_one(&self, seen: &Seen, creative: u16, now: Timestamp) -> bool {
        let one = Fitting::of(usize::from(creative) + 1, |fit| fit == usize::from(creative));
        let under_way = seen.marks.iter().filter(|mark| mark.counts(seconds(now))).count();
        under_way < MOST_MARKS && self.allow(Some(seen), one, now).is_ok_and(|left| !left.is_empty())
    }
}

impl AdvertiserCaps {
    /// Takes in what a campaign asks for.
    pub fn add(&mut self, caps: &Caps) {
        for rule in caps.rules.iter().filter(|rule| rule.scope == CapScope::Advertiser) {
            let buckets = self.0.entry(caps.advertiser).or_default();
            match buckets.iter_mut().find(|(bucket, _)| *bucket == rule.bucket) {
                Some((_, askers)) => *askers += 1,
                None => buckets.push((rule.bucket, 1)),
            }
        }
    }

    /// Takes out what a campaign asked for that was added.
    pub fn remove(&mut self, caps: &Caps) {
        for rule in caps.rules.iter().filter(|rule| rule.scope == CapScope::Advertiser) {
            let Some(buckets) = self.0.get_mut(&caps.advertiser) else { continue };
            buckets
                .iter_mut()
                .filter(|(bucket, _)| *bucket == rule.bucket)
                .for_each(|(_, askers)| *askers = askers.saturating_sub(1));
            buckets.retain(|(_, askers)| *askers > 0);
            if buckets.is_empty() {
                self.0.remove(&caps.advertiser);
            }
        }
    }
}

/// Where bids to one user are marked.
pub trait InFlight {
    /// Marks a bid that is about to be made; false if a cap, looked at again together with the bids that others are making
    /// to the same user at this moment, does not let it.
    fn mark(&self, caps: &Caps, creative: u16, now: Timestamp) -> bool;

    /// The bid came to nothing.
    fn unmark(&self, mark: Mark);
}

/// Nothing is counted for the user.
impl InFlight for () {
    fn mark(&self, _: &Caps, _: u16, _: Timestamp) -> bool {
        true
    }

    fn unmark(&self, _: Mark) {}
}

#[cfg(test)]
mod tests {
    use haggle_domain::FrequencyCap;
    use proptest::prelude::*;

    use super::*;
    use crate::test_support::campaign;

    const ALL: usize = 1;

    fn at(seconds: u32) -> Timestamp {
        Timestamp(i64::from(seconds) * 1_000_000)
    }

    fn capped(caps: &[(CapScope, u16, CapWindow)]) -> Campaign {
        let mut campaign = campaign("boots");
        let caps = caps.iter().map(|&(per, most, within)| FrequencyCap { per, most, within });
        campaign.frequency.caps = caps.collect();
        campaign
    }

    fn hours(count: u64) -> CapWindow {
        CapWindow::Last(Duration::from_secs(count * 3600))
    }

    fn both() -> Fitting {
        Fitting::of(ALL, |_| true)
    }

    fn show(seen: &mut Seen, caps: &Caps, advertisers: &AdvertiserCaps, creative: u16, now: u32) {
        for (key, bucket) in caps.counted(creative, advertisers) {
            if seen.exposure(key).is_none() {
                seen.exposures.push(Exposure::new(key));
            }
            seen.exposures.iter_mut().find(|e| e.key == key).unwrap().note(now, bucket);
        }
    }

    fn watched(caps: &[&Caps]) -> AdvertiserCaps {
        let mut advertisers = AdvertiserCaps::default();
        caps.iter().for_each(|caps| advertisers.add(caps));
        advertisers
    }

    #[test]
    fn a_campaigns_cap_holds_for_its_window_and_not_for_others() {
        let caps = Caps::of(&capped(&[(CapScope::Campaign, 2, hours(6))]));
        let none = AdvertiserCaps::default();
        let mut seen = Seen::default();
        for now in [90_000, 90_001] {
            assert_eq!(caps.allow(Some(&seen), both(), at(now)), Ok(both()));
            show(&mut seen, &caps, &none, 0, now);
        }
        let capped_at = |now| caps.allow(Some(&seen), both(), at(now)) == Err(NoBidReason::FrequencyCapped);
        assert!(capped_at(90_002) && capped_at(90_001 + 6 * 3600));
        assert!(!capped_at(90_001 + 7 * 3600 + 8));
        let mut other = capped(&[(CapScope::Campaign, 2, hours(6))]);
        other.key = CampaignKey::of("parkas");
        assert!(Caps::of(&other).allow(Some(&seen), both(), at(90_002)).is_ok());
    }

    #[test]
    fn a_capped_creative_leaves_the_others() {
        let mut two = capped(&[(CapScope::Creative, 1, CapWindow::Lifetime)]);
        let mut second = two.creatives[0].clone();
        second.id = "b".into();
        two.creatives.push(second);
        let caps = Caps::of(&two);
        let none = AdvertiserCaps::default();
        let fitting = Fitting::of(2, |_| true);
        let only = |wanted| Fitting::of(2, |creative| creative == wanted);
        let mut seen = Seen::default();
        show(&mut seen, &caps, &none, 0, 5);
        assert_eq!(caps.allow(Some(&seen), fitting, at(2_000_000_000)), Ok(only(1)));
        assert_eq!(caps.allow(Some(&seen), only(0), at(6)), Err(NoBidReason::FrequencyCapped));
        show(&mut seen, &caps, &none, 1, 7);
        assert_eq!(caps.allow(Some(&seen), fitting, at(8)), Err(NoBidReason::FrequencyCapped));
    }

    #[test]
    fn an_advertisers_cap_counts_all_its_campaigns() {
        let first = Caps::of(&capped(&[(CapScope::Advertiser, 1, hours(1))]));
        let mut plain = campaign("parkas");
        plain.advertiser_domain = "SHOP.example".into();
        let (plain, advertisers) = (Caps::of(&plain), watched(&[&first]));
        assert!(plain.are_counted(&advertisers) && !plain.are_counted(&AdvertiserCaps::default()));
        let mut seen = Seen::default();
        show(&mut seen, &plain, &advertisers, 0, 9000);
        assert_eq!(first.allow(Some(&seen), both(), at(9001)), Err(NoBidReason::FrequencyCapped));
        assert!(plain.allow(Some(&seen), both(), at(9001)).is_ok(), "it has no cap of its own");
        let under_way = Seen { marks: SmallVec::from_iter([plain.mark(0, at(9000))]), ..Seen::default() };
        assert_eq!(first.allow(Some(&under_way), both(), at(9119)), Err(NoBidReason::FrequencyCapped));
        assert!(first.allow(Some(&under_way), both(), at(9120)).is_ok());
    }

    #[test]
    fn who_cannot_be_counted_is_passed_over_unless_the_campaign_says_otherwise() {
        let mut campaign = capped(&[(CapScope::Campaign, 1, hours(1))]);
        assert_eq!(Caps::of(&campaign).allow(None, both(), at(1)), Err(NoBidReason::NoBasis));
        campaign.frequency.bids_on_unknown = true;
        assert!(Caps::of(&campaign).allow(None, both(), at(1)).is_ok());
        campaign.frequency = Default::default();
        assert!(Caps::of(&campaign).allow(None, both(), at(1)).is_ok());
    }

    #[test]
    fn where_nothing_more_can_be_counted_nothing_more_is_shown() {
        let caps = Caps::of(&capped(&[(CapScope::Campaign, 9, hours(1))]));
        let mut seen = Seen::default();
        for number in 0..MOST_EXPOSURES as u32 {
            seen.exposures.push(Exposure::new(CapKey(number)));
        }
        assert_eq!(caps.allow(Some(&seen), both(), at(1)), Err(NoBidReason::FrequencyCapped));
        seen.exposures.pop();
        assert!(caps.allow(Some(&seen), both(), at(1)).is_ok());
        let plain = Caps::of(&campaign("plain"));
        for _ in 0..MOST_MARKS {
            assert!(plain.allow_one(&seen, 0, at(1)));
            seen.marks.push(plain.mark(0, at(1)));
        }
        assert!(!plain.allow_one(&seen, 0, at(1)) && plain.allow_one(&seen, 0, at(121)));
    }

    #[test]
    fn reach_counts_without_a_cap_and_pays_for_no_user_that_it_cannot_count() {
        let price = haggle_domain::CpmMicros(5_000_000);
        let goal = |repeat| Goal::Reach { price, repeat, within: hours(24) };
        let of = |repeat| {
            let mut campaign = Campaign { goal: goal(repeat), ..campaign("reach") };
            campaign.frequency.bids_on_unknown = true;
            Caps::of(&campaign)
        };
        let (once, often, none) = (of(0.0), of(0.5), AdvertiserCaps::default());
        assert_eq!(once.allow(None, both(), at(90_000)), Err(NoBidReason::NoBasis));
        let mut seen = Seen::default();
        assert_eq!((often.reached(Some(&seen), at(90_000)), often.reached(None, at(90_000))), (0, 0));
        assert_eq!(once.allow(Some(&seen), both(), at(90_000)), Ok(both()));
        show(&mut seen, &once, &none, 0, 90_000);
        seen.marks.push(once.mark(0, at(90_001)));
        assert_eq!(once.allow(Some(&seen), both(), at(90_002)), Err(NoBidReason::FrequencyCapped));
        // What is half as much worth each time is worth a hundredth after seven.
        assert_eq!(often.allow(Some(&seen), both(), at(90_002)), Ok(both()));
        assert_eq!(often.reached(Some(&seen), at(90_002)), 2);
        (2..7).for_each(|_| show(&mut seen, &often, &none, 0, 90_002));
        assert_eq!(often.allow(Some(&seen), both(), at(90_002)), Err(NoBidReason::FrequencyCapped));
        assert_eq!(Caps::of(&campaign("plain")).reached(Some(&seen), at(90_002)), 0);
    }

    #[test]
    fn an_exposure_ends_no_earlier_than_it_counts() {
        for span in [60, 61, 3600, 86_400, 90 * 86_400] {
            let bucket = Bucket::of(CapWindow::Last(Duration::from_secs(span)));
            let mut exposure = Exposure::new(CapKey::of(CapScope::Campaign, 1, "", bucket));
            exposure.note(1_700_000_000, bucket);
            let ends = exposure.ends().unwrap();
            assert_eq!(exposure.count(ends, bucket), 0, "{span}");
            assert!(ends - 1_700_000_000 <= bucket.0 * 14);
        }
        assert_eq!(Exposure::new(CapKey::of(CapScope::Campaign, 1, "", Bucket::LIFETIME)).ends(), None);
    }

    proptest! {
        /// Against a log of every impression, whatever the order in which the journal tells of them.
        #[test]
        fn a_count_is_never_too_low_and_too_high_only_by_the_declared_error(
            window in prop_oneof![60u64..600, 600u64..100_000, 100_000u64..7_776_000],
            steps in proptest::collection::vec((0.0f64..0.6, 0.0f64..0.1), 1..60),
            after in 0.0f64..1.6,
        ) {
            let bucket = Bucket::of(CapWindow::Last(Duration::from_secs(window)));
            let mut exposure = Exposure::new(CapKey(0));
            let mut now = 1_700_000_000_000_000i64;
            let mut log = Vec::new();
            let part = |share: f64| (share * window as f64 * 1e6) as i64;
            for (step, late) in steps {
                now += part(step);
                log.push(now - part(late));
                exposure.note(seconds(Timestamp(now - part(late))), bucket);
            }
            now += part(after);
            let within = |micros: i64| log.iter().filter(|shown| now - **shown < micros).count();
            let window = window as i64 * 1_000_000;
            let count = exposure.count(seconds(Timestamp(now)), bucket) as usize;
            prop_assert!(count >= within(window));
            prop_assert!(count <= within(window + window / 6 + 8_000_000));
        }

        #[test]
        fn nothing_overflows(notes in proptest::collection::vec((any::<u32>(), any::<u32>()), 0..300), now: u32, length: u32) {
            let bucket = Bucket(length.max(1));
            let mut exposure = Exposure::new(CapKey(length));
            for (at, _) in &notes {
                exposure.note(*at, bucket);
            }
            prop_assert!(exposure.count(now, bucket) <= notes.len() as u32);
            let _ = exposure.ends();
        }

        /// Requests of one user in bursts; some of the bids are shown, up to two minutes later.
        #[test]
        fn a_cap_is_never_exceeded_in_bursts(
            most in 1u16..6,
            bursts in proptest::collection::vec((0u32..40_000, 1u32..12, 0u32..119), 1..40),
        ) {
            let caps = Caps::of(&capped(&[(CapScope::Campaign, most, hours(24))]));
            let none = AdvertiserCaps::default();
            let (mut seen, mut log, mut now) = (Seen::default(), Vec::new(), 1_000_000);
            for (pause, requests, wait) in bursts {
                now += pause;
                seen.marks.retain(|mark| mark.counts(now));
                let mut won = Vec::new();
                for request in 0..requests {
                    if caps.allow_one(&seen, 0, at(now)) {
                        seen.marks.push(caps.mark(0, at(now)));
                        // One in three is lost.
                        if request % 3 != 2 {
                            won.push(caps.mark(0, at(now)));
                        }
                    }
                }
                now += wait;
                for mark in won {
                    let position = seen.marks.iter().position(|open| *open == mark).unwrap();
                    seen.marks.remove(position);
                    show(&mut seen, &caps, &none, 0, now);
                    log.push(now);
                }
                let day = log.iter().filter(|shown| now - **shown < 86_400).count();
                prop_assert!(day <= usize::from(most), "{day} of {most}");
            }
        }
    }
}
