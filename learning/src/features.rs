//! What the model sees of a request, a user and an ad: hashed features.
//!
//! A feature is a 24-bit number: the field in the top six bits, and below them eighteen bits of a hash of field and
//! value (feature hashing: Weinberger et al. 2009). Values are [`Tag`]s, which are stable XXH3 hashes, or small
//! numbers; they are mixed with the field by SplitMix64's output function (Steele, Lea, Flood 2014). The numbers stand
//! in journals and saved models, so neither the fields' numbers nor the hash may change without a new format of both.
//!
//! A field of which the request is silent gives no feature.

use std::cmp::Reverse;
use std::time::Duration;

use haggle_domain::{
    Ad, Behaviour, BehaviourKind, Campaign, Context, DeviceKind, Opportunity, Profile, Size, Tag, Timestamp,
};
use smallvec::SmallVec;

/// A request's features, in the order of the fields; at most 26, so never on the heap.
pub type RequestFeatures = SmallVec<[u32; 32]>;

/// An ad's features, in the order of the fields.
pub type AdFeatures = SmallVec<[u32; 8]>;

/// How many interests count: the first different ones, in the request's order.
const INTERESTS: usize = 8;
/// How many of a user's behaviours count: the most recent ones.
const BEHAVIOURS: usize = 3;
/// How many of a campaign's categories count.
const CATEGORIES: usize = 4;

/// Bits of the hash below the field.
const HASH_BITS: u32 = 18;

/// The fields, numbered below 64 for ever. From 32 on, of the ad.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Field {
    Exchange = 0,
    Country = 1,
    Region = 2,
    City = 3,
    Inventory = 4,
    Publisher = 5,
    Placement = 6,
    Device = 7,
    Os = 8,
    Language = 9,
    Size = 10,
    Position = 11,
    Hour = 12,
    Weekday = 13,
    Interest = 14,
    UserKnown = 15,
    Behaviour = 16,
    Campaign = 32,
    Creative = 33,
    Advertiser = 34,
    Category = 35,
    AdSize = 36,
}

impl Field {
    /// Where the field stands in a feature.
    pub(crate) const SHIFT: u32 = HASH_BITS;

    /// Whether a feature is of this field.
    pub(crate) fn is_of(self, index: u32) -> bool {
        index >> HASH_BITS == self as u32
    }
}

/// SplitMix64's output function: every input bit changes every output bit.
pub(crate) fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

fn index(field: Field, value: u64) -> u32 {
    let number = u64::from(field as u8);
    let hash = mix(value.wrapping_add(mix((number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))));
    // The top bits; 18 of them, so the cast loses nothing.
    ((field as u32) << HASH_BITS) | (hash >> (64 - HASH_BITS)) as u32
}

fn size_value(width: u16, height: u16) -> u64 {
    u64::from(width) << 16 | u64::from(height)
}

/// The features of one imp of a request, once for all candidates. `profile` counts only where the context names the
/// user: without a legal basis nothing of a user is learned or used.
pub fn request_features(
    context: &Context,
    opportunity: &Opportunity,
    profile: Option<&Profile>,
    now: Timestamp,
) -> RequestFeatures {
    let mut features = RequestFeatures::new();
    features.push(index(Field::Exchange, context.exchange.0));
    let mut word = |field, tag: Tag| {
        if tag.is_some() {
            features.push(index(field, tag.0));
        }
    };
    word(Field::Country, context.country);
    word(Field::Region, context.region);
    word(Field::City, context.city);
    word(Field::Inventory, context.inventory);
    word(Field::Publisher, context.publisher);
    word(Field::Placement, opportunity.placement);
    if let Some(device) = device_number(context.device) {
        features.push(index(Field::Device, device));
    }
    let mut word = |field, tag: Tag| {
        if tag.is_some() {
            features.push(index(field, tag.0));
        }
    };
    word(Field::Os, context.os);
    word(Field::Language, context.language);
    if let Some(size) = slot_size(opportunity) {
        features.push(index(Field::Size, size_value(size.width, size.height)));
    }
    if opportunity.position != 0 {
        features.push(index(Field::Position, u64::from(opportunity.position)));
    }
    let hours = now.0.div_euclid(3_600_000_000);
    features.push(index(Field::Hour, hours.rem_euclid(24).unsigned_abs()));
    features.push(index(Field::Weekday, hours.div_euclid(24).rem_euclid(7).unsigned_abs()));
    let mut interests = 0;
    for tag in context.interests.iter().chain(&context.segments).filter(|tag| tag.is_some()) {
        let feature = index(Field::Interest, tag.0);
        if interests < INTERESTS && !features.contains(&feature) {
            features.push(feature);
            interests += 1;
        }
    }
    if context.user.is_some() {
        features.push(index(Field::UserKnown, 1));
        if let Some(profile) = profile {
            push_behaviours(profile, now, &mut features);
        }
    }
    features
}

fn push_behaviours(profile: &Profile, now: Timestamp, features: &mut RequestFeatures) {
    let mut recent: SmallVec<[&Behaviour; Profile::CAPACITY]> = profile.behaviours().iter().collect();
    recent.sort_unstable_by_key(|known| (Reverse(known.last), behaviour_number(known.did), known.what));
    for known in recent.into_iter().take(BEHAVIOURS) {
        let ago = now.since(known.last);
        let recency = match ago {
            _ if ago < Duration::from_hours(24) => 0,
            _ if ago < Duration::from_hours(7 * 24) => 1,
            _ => 2,
        };
        let how = behaviour_number(known.did) << 8 | recency;
        features.push(index(Field::Behaviour, known.what.0 ^ mix(how + 1)));
    }
}

/// Whether a feature says something of the user: that they are known, what they did, and what is only read of them
/// where there is a basis to. Interests of the page and of the user are one field, so both count as the user's.
pub fn is_user_level(feature: u32) -> bool {
    [Field::City, Field::Interest, Field::UserKnown, Field::Behaviour]
        .iter()
        .any(|field| field.is_of(feature))
}

/// The features of one of a campaign's creatives. A creative that the campaign does not have gives the campaign's only.
pub fn ad_features(campaign: &Campaign, creative: usize) -> AdFeatures {
    let mut features = AdFeatures::new();
    features.push(index(Field::Campaign, campaign.key.0));
    let creative = campaign.creatives.get(creative);
    if let Some(creative) = creative {
        // Creative ids such as "a" recur from campaign to campaign and mean nothing across them.
        features.push(index(Field::Creative, creative.tag.0 ^ mix(campaign.key.0)));
    }
    let advertiser = Tag::of(&campaign.advertiser_domain);
    if advertiser.is_some() {
        features.push(index(Field::Advertiser, advertiser.0));
    }
    // One taxonomy says it all, and codes of two would clash.
    for category in campaign.categories.iter().filter(|category| category.taxonomy == 1).take(CATEGORIES) {
        features.push(index(Field::Category, Tag::of(&category.code).0));
    }
    if let Some(Ad::Banner { size, .. }) = creative.map(|creative| &creative.ad) {
        features.push(index(Field::AdSize, size_value(size.width, size.height)));
    }
    features
}

/// The first size of a banner, else that of a video's player.
fn slot_size(opportunity: &Opportunity) -> Option<Size> {
    let banner = opportunity.banner.as_ref().and_then(|slot| slot.sizes.first().copied());
    banner
        .or_else(|| opportunity.video.as_ref().map(|slot| slot.size).filter(|size| *size != Size::default()))
}

/// Numbers of our own, so that the order of the domain's variants may change.
fn device_number(device: DeviceKind) -> Option<u64> {
    match device {
        DeviceKind::Unknown => None,
        DeviceKind::Computer => Some(1),
        DeviceKind::Phone => Some(2),
        DeviceKind::Tablet => Some(3),
        DeviceKind::Tv => Some(4),
        DeviceKind::OutOfHome => Some(5),
    }
}

fn behaviour_number(did: BehaviourKind) -> u64 {
    match did {
        BehaviourKind::Viewed => 0,
        BehaviourKind::Carted => 1,
        BehaviourKind::Bought => 2,
        BehaviourKind::Searched => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use haggle_domain::{BannerSlot, ExchangeKey, UserKey};

    fn full() -> (Context, Opportunity, Profile) {
        let context = Context {
            exchange: ExchangeKey::of("openx"),
            user: Some(UserKey::of("u")),
            country: Tag::of("USA"),
            region: Tag::of("CA"),
            city: Tag::of("Los Angeles"),
            inventory: Tag::of("news.example"),
            publisher: Tag::of("p1"),
            device: DeviceKind::Phone,
            os: Tag::of("iOS"),
            language: Tag::of("en"),
            interests: (0..16).map(|i| Tag(i / 2 + 1)).collect(),
            ..Context::default()
        };
        let opportunity = Opportunity {
            banner: Some(BannerSlot {
                sizes: [Size { width: 300, height: 250 }].into_iter().collect(),
                ..BannerSlot::default()
            }),
            placement: Tag::of("top"),
            position: 1,
            ..Opportunity::default()
        };
        let mut profile = Profile::default();
        for i in 0..Profile::CAPACITY as i64 {
            profile.note(BehaviourKind::Viewed, Tag(100 + i.unsigned_abs()), Timestamp(i));
        }
        (context, opportunity, profile)
    }

    #[test]
    fn the_fullest_request_fits_without_the_heap() {
        let (context, opportunity, profile) = full();
        let features = request_features(&context, &opportunity, Some(&profile), Timestamp(0));
        assert_eq!(features.len(), 26);
        assert!(!features.spilled());
        assert!(features.iter().all(|feature| *feature < 1 << 24));
        let order: Vec<u32> = features.iter().map(|feature| feature >> HASH_BITS).collect();
        assert!(order.is_sorted(), "fields out of order: {order:?}");
    }

    #[test]
    fn the_hash_is_the_one_in_journals_and_saved_models() {
        assert_eq!(index(Field::Country, Tag::of("USA").0), GOLDEN_COUNTRY);
        assert_eq!(index(Field::Campaign, 1), GOLDEN_CAMPAIGN);
        assert_ne!(index(Field::Region, 5) & 0x3_ffff, index(Field::City, 5) & 0x3_ffff);
    }
    const GOLDEN_COUNTRY: u32 = 299_349;
    const GOLDEN_CAMPAIGN: u32 = 8465346;

    #[test]
    fn without_a_basis_the_profile_changes_nothing() {
        let (mut context, opportunity, profile) = full();
        context.user = None;
        let without = request_features(&context, &opportunity, None, Timestamp(0));
        assert_eq!(request_features(&context, &opportunity, Some(&profile), Timestamp(0)), without);
        assert_eq!(without.len(), 22);
    }

    #[test]
    fn without_the_user_level_features_nothing_tells_whose_request_it_was() {
        let (context, opportunity, profile) = full();
        let mut features = request_features(&context, &opportunity, Some(&profile), Timestamp(0));
        features.retain(|feature| !is_user_level(*feature));
        let nobody = Context { user: None, city: Tag::NONE, interests: Default::default(), ..context };
        assert_eq!(features, request_features(&nobody, &opportunity, None, Timestamp(0)));
    }

    #[test]
    fn the_latest_behaviours_count_and_grow_stale() {
        let (context, opportunity, profile) = full();
        let now = Timestamp(0) + Duration::from_hours(1);
        let of = |profile: &Profile, now| {
            let features = request_features(&context, &opportunity, Some(profile), now);
            features.into_iter().filter(|feature| Field::Behaviour.is_of(*feature)).collect::<Vec<_>>()
        };
        let before = of(&profile, now);
        let mut after = profile.clone();
        after.note(BehaviourKind::Carted, Tag(7), now);
        assert_ne!(of(&after, now)[0], before[0]);
        assert_eq!(of(&after, now)[1..], before[..2]);
        // The same shopper a week later: the same acts, but other features.
        assert!(
            of(&profile, now + Duration::from_hours(200)).iter().all(|feature| !before.contains(feature))
        );
    }

    #[test]
    fn any_time_gives_features() {
        let (context, opportunity, profile) = full();
        for now in [Timestamp(i64::MIN), Timestamp(-1), Timestamp::MAX] {
            assert_eq!(request_features(&context, &opportunity, Some(&profile), now).len(), 26);
        }
        // 1969-12-31 23:59:59.999999 is in hour 23.
        let features = request_features(&context, &opportunity, None, Timestamp(-1));
        assert!(features.contains(&index(Field::Hour, 23)));
    }
}
