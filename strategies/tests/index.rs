//! The index finds exactly what asking every campaign finds, whatever comes and goes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test, a panic is a failure")]

use std::sync::Arc;
use std::time::Duration;

use haggle_domain::*;
use haggle_strategies::index::{Asking, Search};
use haggle_strategies::targeting::{Asked, matches, matches_some_user};
use haggle_strategies::{Catalog, Entry};
use proptest::collection::vec;
use proptest::prelude::*;

/// 2026-11-23T10:00:00Z, a Monday.
const NOW: Timestamp = Timestamp(1_795_428_000_000_000);
const HOUR: Duration = Duration::from_secs(3600);
const SIZES: [Size; 3] =
    [Size { width: 300, height: 250 }, Size { width: 728, height: 90 }, Size { width: 320, height: 50 }];

/// Few words, so that they meet; now and then none.
fn tag() -> impl Strategy<Value = Tag> {
    (0u64..6).prop_map(Tag)
}

fn tags() -> impl Strategy<Value = Vec<Tag>> {
    vec(tag(), 0..4)
}

fn list() -> impl Strategy<Value = ListKey> {
    (0u64..4).prop_map(ListKey)
}

fn device() -> impl Strategy<Value = DeviceKind> {
    prop::sample::select(vec![DeviceKind::Unknown, DeviceKind::Phone, DeviceKind::Tv])
}

fn connection() -> impl Strategy<Value = Connection> {
    prop::sample::select(vec![Connection::Unknown, Connection::Wifi, Connection::Cellular])
}

fn did() -> impl Strategy<Value = BehaviourKind> {
    prop::sample::select(vec![BehaviourKind::Viewed, BehaviourKind::Bought])
}

fn place() -> impl Strategy<Value = Place> {
    (1i32..4).prop_map(|degrees| Place::from_degrees(f64::from(degrees), 1.0).unwrap())
}

fn daypart() -> impl Strategy<Value = Daypart> {
    (0u8..128, 0u16..1439, 1u16..900).prop_map(|(weekdays, from_minute, length)| Daypart {
        weekdays,
        from_minute,
        to_minute: (from_minute + length).min(1440),
    })
}

/// Of every kind.
fn predicate() -> impl Strategy<Value = Predicate> {
    prop_oneof![
        tags().prop_map(Predicate::Country),
        tags().prop_map(Predicate::Region),
        tags().prop_map(Predicate::City),
        tags().prop_map(Predicate::Postcode),
        (place(), 0u32..250_000).prop_map(|(centre, metres)| Predicate::Near { centre, metres }),
        tags().prop_map(Predicate::Category),
        tags().prop_map(Predicate::Keyword),
        tags().prop_map(Predicate::Segment),
        tags().prop_map(Predicate::Interest),
        (did(), tag(), 0u64..5, 0u32..3).prop_map(|(did, what, hours, at_least)| Predicate::Behaviour {
            did,
            what,
            within: Duration::from_secs(hours * 3600),
            at_least,
        }),
        vec(device(), 0..3).prop_map(Predicate::Device),
        tags().prop_map(Predicate::Os),
        tags().prop_map(Predicate::Browser),
        vec(connection(), 0..3).prop_map(Predicate::Connection),
        tags().prop_map(Predicate::Language),
        tags().prop_map(Predicate::Inventory),
        vec(list(), 0..3).prop_map(Predicate::List),
        tags().prop_map(Predicate::Publisher),
        tags().prop_map(Predicate::Placement),
        tags().prop_map(Predicate::Deal),
        vec((0u64..3).prop_map(ExchangeKey), 0..3).prop_map(Predicate::Exchange),
        vec(list(), 0..3).prop_map(Predicate::UserList),
        vec(daypart(), 0..3).prop_map(Predicate::Hours),
    ]
}

fn targeting() -> impl Strategy<Value = Targeting> {
    (vec(predicate(), 0..6), vec(predicate(), 0..4), vec(predicate(), 0..3))
        .prop_map(|(all, any, none)| Targeting { all, any, none })
}

fn creative() -> impl Strategy<Value = Creative> {
    (0usize..5).prop_map(|kind| {
        let still =
            |size| Creative::banner("a", size, "https://cdn.example/a.png", "https://shop.example/", "A");
        let stream = || Stream { duration: 15, skip_after: None, media: Media::Files(Vec::new()) };
        match kind {
            3 => Creative { ad: Ad::Video(stream()), ..still(SIZES[0]) },
            4 => Creative { ad: Ad::Native(NativeAd { images: vec![], data: vec![] }), ..still(SIZES[0]) },
            size => still(SIZES[size]),
        }
    })
}

/// Thirty campaigns, which come and go and change what they ask for and what they may be worth.
fn entry() -> impl Strategy<Value = Entry> {
    (0u32..30, targeting(), vec(creative(), 1..3), 1i64..40)
        .prop_map(|(number, targeting, creatives, worth)| made(number, targeting, creatives, worth))
}

fn made(number: u32, targeting: Targeting, creatives: Vec<Creative>, worth: i64) -> Entry {
    let id = format!("c{number}");
    Entry::new(Arc::new(Campaign {
        name: id.clone(),
        advertiser_domain: "shop.example".into(),
        categories: vec![Category::iab("IAB1")],
        goal: Goal::Cpm { price: CpmMicros(worth * 1_000_000) },
        budget: Budget { daily: Some(Micros::from_units(24)), total: None },
        flight: Flight { start: Timestamp::default(), end: Timestamp::MAX },
        pacing: Pacing::Asap,
        targeting,
        max_bid: CpmMicros(50_000_000),
        creatives,
        ..Campaign::named(&id)
    }))
}

fn context() -> impl Strategy<Value = Context> {
    let words = (tag(), tag(), tag(), tag(), tag(), tag(), tag(), tag());
    let lists = (tags(), tags(), tags(), tags(), tags(), vec(list(), 0..3), vec(list(), 0..3));
    let rest = (
        device(),
        connection(),
        prop::option::of(place()),
        prop::option::of(-720i16..720),
        any::<bool>(),
        0u64..3,
    );
    (words, lists, rest).prop_map(|(words, lists, rest)| Context {
        country: words.0,
        region: words.1,
        city: words.2,
        inventory: words.3,
        publisher: words.4,
        os: words.5,
        browser: words.6,
        language: words.7,
        postcodes: lists.0.into(),
        interests: lists.1.into(),
        categories: lists.2.into(),
        keywords: lists.3.into(),
        segments: lists.4.into(),
        lists: lists.5.into(),
        user_lists: lists.6.into(),
        device: rest.0,
        connection: rest.1,
        place: rest.2,
        utc_offset: rest.3,
        user: rest.4.then_some(UserKey(1)),
        exchange: ExchangeKey(rest.5),
        ..Context::default()
    })
}

fn opportunity() -> impl Strategy<Value = Opportunity> {
    (tag(), tags(), vec(0usize..3, 1..3), any::<[bool; 4]>()).prop_map(|(placement, deals, sizes, has)| {
        let banner =
            BannerSlot { at_most: has[3], ..BannerSlot::of(sizes.into_iter().map(|size| SIZES[size])) };
        Opportunity {
            placement,
            deals: deals.into_iter().map(|key| Deal { key, ..Deal::default() }).collect(),
            banner: has[0].then_some(banner),
            video: has[1].then(StreamSlot::default),
            native: has[2].then(NativeSlot::default),
            ..Opportunity::default()
        }
    })
}

fn profile() -> impl Strategy<Value = Option<Profile>> {
    let acts = vec((did(), tag(), 0u32..6), 0..6).prop_map(|acts| {
        let mut profile = Profile::default();
        acts.into_iter().for_each(|(did, what, hours)| profile.note(did, what, NOW - HOUR * hours));
        profile
    });
    prop::option::of(acts)
}

type Asks = (Context, Opportunity, Option<Profile>);

fn asks() -> impl Strategy<Value = Asks> {
    (context(), opportunity(), profile())
}

/// Whether the imp has room for the kind of thing that a creative is.
fn has_room(opportunity: &Opportunity, creative: &Creative) -> bool {
    match &creative.ad {
        Ad::Banner { size, .. } => {
            opportunity.banner.as_ref().is_some_and(|slot| slot.at_most || slot.sizes.contains(size))
        }
        Ad::Video(_) => opportunity.video.is_some(),
        Ad::Audio(_) => opportunity.audio.is_some(),
        Ad::Native(_) => opportunity.native.is_some(),
    }
}

/// The slots that a search finds and the exact evaluation of the residual ones leaves.
fn found(catalog: &Catalog, asked: &Asked<'_>) -> Vec<usize> {
    let index = catalog.index();
    let search = Search::new(index, &Asking::of(asked));
    let mut slots = searched(&search, catalog);
    slots.retain(|slot| {
        !index.is_residual(*slot) || matches(&catalog.at(*slot).unwrap().campaign.targeting, asked)
    });
    slots
}

fn searched(search: &Search<'_>, catalog: &Catalog) -> Vec<usize> {
    let blocks = catalog.slots().div_ceil(256);
    let places = |block: usize| search.places(block).iter().map(move |place| block * 256 + place);
    let slots: Vec<usize> = (0..blocks).flat_map(places).collect();
    assert!(
        slots.iter().all(|slot| search.blocks().contains(slot / 256)),
        "found in a block that is not searched"
    );
    slots
}

fn check(catalog: &Catalog, asks: &Asks) -> Result<(), TestCaseError> {
    let (context, opportunity, profile) = asks;
    let asked = Asked { context, opportunity, profile: profile.as_ref(), now: NOW };
    let with_room = || {
        catalog.entries().filter(|(_, entry)| {
            entry.campaign.creatives.iter().any(|creative| has_room(opportunity, creative))
        })
    };
    let naive = with_room().filter(|(_, entry)| matches(&entry.campaign.targeting, &asked));
    prop_assert_eq!(found(catalog, &asked), naive.map(|(slot, _)| slot).collect::<Vec<_>>());
    if context.user.is_none() {
        let search = Search::of_some_user(catalog.index(), &Asking::of(&asked));
        let possible = searched(&search, catalog);
        let could = with_room().filter(|(_, entry)| matches_some_user(&entry.campaign.targeting, &asked));
        for (slot, _) in could {
            prop_assert!(possible.contains(&slot));
        }
    }
    Ok(())
}

/// A campaign that comes or changes, or one that goes.
fn change() -> impl Strategy<Value = Result<Entry, u32>> {
    prop_oneof![3 => entry().prop_map(Ok), 1 => (0u32..30).prop_map(Err)]
}

fn changed(catalog: &Catalog, change: Result<Entry, u32>) -> Catalog {
    match change {
        Ok(entry) => {
            let key = entry.campaign.key;
            let (next, slot) = catalog.with(entry);
            assert_eq!(next.slot(key), Some(slot));
            next
        }
        Err(number) => catalog.without(CampaignKey::of(&format!("c{number}"))),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_index_finds_what_asking_everybody_finds(
        changes in vec(change(), 1..24),
        asks in vec(asks(), 1..4),
    ) {
        let mut catalog = Catalog::default();
        for change in changes {
            catalog = changed(&catalog, change);
            for asks in &asks {
                check(&catalog, asks)?;
            }
        }
    }

    #[test]
    fn a_catalog_is_as_it_was_whatever_its_copies_go_through(
        start in vec(entry(), 0..12),
        changes in vec(change(), 1..12),
        asks in asks(),
    ) {
        let mut catalog = Catalog::default();
        for entry in start {
            catalog = catalog.with(entry).0;
        }
        let (context, opportunity, profile) = &asks;
        let asked = Asked { context, opportunity, profile: profile.as_ref(), now: NOW };
        let keys = |catalog: &Catalog| -> Vec<(usize, CampaignKey)> {
            catalog.entries().map(|(slot, entry)| (slot, entry.campaign.key)).collect()
        };
        let (before, campaigns) = (found(&catalog, &asked), keys(&catalog));
        let mut next = catalog.clone();
        for change in changes {
            next = changed(&next, change);
        }
        prop_assert_eq!(found(&catalog, &asked), before);
        prop_assert_eq!(keys(&catalog), campaigns);
        check(&catalog, &asks)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn many_blocks_are_as_good_as_one(
        kinds in vec((targeting(), vec(creative(), 1..3)), 8..40),
        worths in vec(1i64..40, 900),
        changes in vec(change(), 0..60),
        asks in vec(asks(), 12),
    ) {
        let number = |at: usize| at as u32;
        let entries = worths.iter().enumerate().map(|(at, worth)| {
            let (targeting, creatives) = &kinds[at * 7 % kinds.len()];
            made(number(at), targeting.clone(), creatives.clone(), *worth)
        });
        let mut catalog = Catalog::new(entries.collect());
        prop_assert_eq!(catalog.len(), worths.len());
        for change in changes {
            catalog = changed(&catalog, change);
        }
        for asks in &asks {
            check(&catalog, asks)?;
        }
        for at in 0..worths.len() {
            catalog = catalog.without(CampaignKey::of(&format!("c{}", number(at))));
        }
        prop_assert!(catalog.is_empty() && catalog.entries().next().is_none());
        check(&catalog, &asks[0])?;
    }
}
