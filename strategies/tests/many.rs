//! Ranking where there are many campaigns: what is considered, what is promised, what is explained.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test, a panic is a failure")]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use haggle_domain::draw::mix;
use haggle_domain::*;
use haggle_learning::Trainer;
use haggle_strategies::pick::MOST_CANDIDATES;
use haggle_strategies::rank::FEW;
use haggle_strategies::{
    CampaignState, Catalog, Entry, Lease, Market, Pods, Ranking, Scorer, Snapshot, UserView, commit, funnel,
    rank,
};
use proptest::prelude::*;

/// 2026-11-23T10:00:00Z.
const NOW: Timestamp = Timestamp(1_795_428_000_000_000);
const HOUR: Duration = Duration::from_secs(3600);
const SIZE: Size = Size { width: 300, height: 250 };

/// Pays `cpm` millionths for a thousand impressions of those whom `targeting` names.
fn campaign(number: usize, cpm: i64, targeting: Targeting) -> Campaign {
    let id = format!("c{number}");
    Campaign {
        name: id.clone(),
        advertiser_domain: format!("{id}.example"),
        categories: vec![Category::iab("IAB1")],
        goal: Goal::Cpm { price: CpmMicros(cpm) },
        budget: Budget { daily: Some(Micros::from_units(24)), total: None },
        flight: Flight { start: Timestamp::default(), end: Timestamp::MAX },
        pacing: Pacing::Asap,
        targeting,
        max_bid: CpmMicros(50_000_000),
        creatives: ["a", "b"]
            .map(|id| Creative::banner(id, SIZE, "https://cdn.example/a.png", "https://shop.example/", "A"))
            .into(),
        ..Campaign::named(&id)
    }
}

fn snapshot(campaigns: Vec<Campaign>) -> Snapshot {
    let catalog =
        Catalog::new(campaigns.into_iter().map(|campaign| Entry::new(Arc::new(campaign))).collect());
    catalog.entries().for_each(|(_, entry)| fund(entry));
    Snapshot {
        version: 1,
        salt: 7,
        scorer: Arc::new(Scorer::new(Trainer::default().snapshot(), &catalog)),
        catalog: Arc::new(catalog),
        market: Arc::new(Market::default()),
    }
}

fn fund(entry: &Entry) {
    let lease = Lease::new(1, NOW + HOUR, NOW + HOUR);
    lease.promise(Micros::from_units(1_000));
    lease.keep_promise();
    entry.live.lease.store(Arc::new(lease));
    entry.live.set_state(CampaignState::Active);
}

fn imp() -> Opportunity {
    Opportunity { banner: Some(BannerSlot::of([SIZE])), ..Opportunity::default() }
}

fn draw(number: usize) -> Draw {
    Draw::new(7, &format!("r{number}"), "1")
}

fn ranked(snapshot: &Snapshot, context: &Context, imp: &Opportunity, draw: Draw) -> Ranking {
    let mut ranking = Ranking::default();
    rank(snapshot, context, imp, UserView::default(), NOW, draw, &mut ranking);
    ranking
}

/// Who would bid what with which creative under which deal.
type Offered = (CampaignKey, CpmMicros, u16, Option<u16>);

/// The offers, best first.
fn offers(snapshot: &Snapshot, ranking: &Ranking) -> Vec<Offered> {
    let offers = ranking.candidates.iter().map(|candidate| {
        let key = snapshot.catalog.at(candidate.campaign).unwrap().campaign.key;
        (key, candidate.price, candidate.drawn.creative, candidate.deal)
    });
    offers.collect()
}

fn country(number: u64) -> Predicate {
    Predicate::Country(vec![Tag(number)])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn with_few_matches_it_is_as_if_everybody_had_been_asked(
        seed: u64,
        floor in 0i64..6,
        paused in 0u64..4,
        unwanted in any::<bool>(),
        first_price in any::<bool>(),
        with_deal in any::<bool>(),
    ) {
        let campaigns: Vec<Campaign> = (0..500).map(|number| {
            let dice = mix(seed ^ number as u64);
            let targeting = Targeting { all: vec![country(dice % 50 + 1)], ..Targeting::default() };
            let mut made = campaign(number, 200_000 + (dice >> 8) as i64 % 8_000_000, targeting);
            if dice >> 40 & 3 == 0 {
                made.deals.push(Tag(99));
            }
            made
        }).collect();
        let states = |snapshot: &Snapshot| snapshot.catalog.entries().for_each(|(_, entry)| {
            if mix(entry.campaign.key.0) % 4 < paused {
                entry.live.set_state(CampaignState::Paced);
            }
        });
        let many = snapshot(campaigns.clone());
        states(&many);
        let context = Context {
            country: Tag(7),
            auction: if first_price { AuctionType::First } else { AuctionType::SecondPlus },
            category_taxonomy: 1,
            blocked_categories: if unwanted { [Tag::of("IAB1")].into_iter().collect() } else { Default::default() },
            ..Context::default()
        };
        let deal = Deal { key: Tag(99), floor: CpmMicros(900_000), price: DealPrice::Fixed, ..Deal::default() };
        let imp = Opportunity {
            floor: CpmMicros(floor * 1_000_000),
            deals: if with_deal { [deal].into_iter().collect() } else { Default::default() },
            ..imp()
        };
        let draw = draw(seed as usize);
        let ranking = ranked(&many, &context, &imp, draw);
        // Where there are few campaigns each is judged, so the many in small portions say what everybody would have.
        let mut naive: Vec<(CpmMicros, u64, Offered)> = Vec::new();
        let mut reason = NoBidReason::NoCampaigns;
        for few in campaigns.chunks(FEW) {
            let few = snapshot(few.to_vec());
            states(&few);
            let ranking = ranked(&few, &context, &imp, draw);
            reason = reason.max(ranking.reason);
            for offer in offers(&few, &ranking) {
                naive.push((offer.1, draw.bits(draw::Stream::Tie, offer.0.0), offer));
            }
        }
        naive.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        let naive: Vec<_> = naive.into_iter().map(|(_, _, offer)| offer).collect();
        let offered = offers(&many, &ranking);
        if naive.len() < MOST_CANDIDATES {
            prop_assert_eq!(&offered, &naive);
        } else {
            prop_assert!(offered.len() >= MOST_CANDIDATES && offered.iter().all(|offer| naive.contains(offer)));
        }
        if naive.is_empty() {
            // Some are asked why, not all.
            prop_assert!(ranking.reason <= reason, "{:?} beyond {:?}", ranking.reason, reason);
            let matched = |reason| reason > NoBidReason::NoBasis;
            prop_assert_eq!(matched(ranking.reason), matched(reason));
        }
    }

    #[test]
    fn what_a_guaranteed_deal_promises_is_never_lost_among_the_many(seed: u64, deals_only: bool) {
        // Cheap ones, beside hundreds that pay more.
        let promised = |number: usize| number % 29 == 3;
        let campaigns = (0..700).map(|number| {
            let dear = 2_000_000 + (mix(seed ^ number as u64) % 30_000_000) as i64;
            let mut made = campaign(number, if promised(number) { 10_000 } else { dear }, Targeting::default());
            if promised(number) {
                made.deals.push(Tag(5));
            }
            made
        });
        let snapshot = snapshot(campaigns.collect());
        let deal = Deal { key: Tag(5), floor: CpmMicros(1_000_000), guaranteed: true, ..Deal::default() };
        let imp = Opportunity { deals: [deal].into_iter().collect(), deals_only, ..imp() };
        let ranking = ranked(&snapshot, &Context::default(), &imp, draw(seed as usize));
        let count = (0..700).filter(|number| promised(*number)).count();
        let guaranteed = ranking.candidates.iter().take_while(|candidate| candidate.guaranteed).count();
        prop_assert_eq!(guaranteed, count);
        prop_assert!(ranking.candidates.iter().all(|candidate| candidate.guaranteed || !deals_only));
    }
}

#[test]
fn of_very_many_the_dearest_are_considered_and_equals_take_turns() {
    // Forty that pay 10, among a thousand that pay up to 4.
    let rich = |number: usize| number.is_multiple_of(26);
    let campaigns = (0..1_040).map(|number| {
        let cpm = if rich(number) { 10_000_000 } else { 1_000_000 + number as i64 * 2_000 };
        campaign(number, cpm, Targeting::default())
    });
    let snapshot = snapshot(campaigns.collect());
    let mut first: HashMap<CampaignKey, u32> = HashMap::new();
    for number in 0..4_000 {
        let ranking = ranked(&snapshot, &Context::default(), &imp(), draw(number));
        assert_eq!(ranking.candidates.len(), MOST_CANDIDATES);
        let offers = offers(&snapshot, &ranking);
        assert!(offers.iter().all(|offer| offer.1 == CpmMicros(10_000_000)), "{offers:?}");
        for offer in offers {
            *first.entry(offer.0).or_default() += 1;
        }
    }
    let mean = 4_000 * MOST_CANDIDATES as u32 / 40;
    assert_eq!(first.len(), 40);
    assert!(first.values().all(|times| (mean * 7 / 10..mean * 13 / 10).contains(times)), "{first:?}");
}

#[test]
fn what_is_counted_for_an_advertiser_is_what_its_campaigns_ask_for_now() {
    let of = |number: usize, capped: bool| {
        let mut made = campaign(number, 1_000_000, Targeting::default());
        made.advertiser_domain = "shop.example".to_owned();
        if capped {
            made.frequency.caps.push(FrequencyCap {
                per: CapScope::Advertiser,
                most: 1,
                within: CapWindow::Last(HOUR),
            });
        }
        made
    };
    let before = snapshot(vec![of(1, true), of(2, true), of(3, false)]);
    let counted = |snapshot: &Snapshot| {
        let free = snapshot.catalog.get(CampaignKey::of("c3")).unwrap();
        free.caps.are_counted(&snapshot.catalog.advertiser_caps)
    };
    assert!(counted(&before));
    let one_left = before.without(CampaignKey::of("c1"));
    assert!(counted(&one_left));
    let changed = one_left.with(Entry::new(Arc::new(of(2, true))));
    assert!(counted(&changed));
    assert!(!counted(&changed.with(Entry::new(Arc::new(of(2, false))))));
    assert!(!counted(&changed.without(CampaignKey::of("c2"))));
    assert!(counted(&before), "the older one stays as it was");
}

#[test]
fn who_is_found_and_refuses_takes_nobodys_place() {
    // Hundreds that pay more, for other hours of the user's than these; nobody knows before they are judged.
    let hours = Predicate::Hours(vec![Daypart { weekdays: 127, from_minute: 0, to_minute: 1 }]);
    let campaigns = (0..2_000).map(|number| {
        let all = if number == 77 { Vec::new() } else { vec![hours.clone()] };
        let cpm = if number == 77 { 2_000_000 } else { 9_000_000 };
        campaign(number, cpm, Targeting { all, ..Targeting::default() })
    });
    let snapshot = snapshot(campaigns.collect());
    let context = Context { utc_offset: Some(0), ..Context::default() };
    for number in 0..20 {
        let ranking = ranked(&snapshot, &context, &imp(), draw(number));
        assert_eq!(ranking.candidates.len(), 1, "{:?}", ranking.reason);
    }
}

#[test]
fn each_of_very_many_shops_is_found_by_whoever_is_near() {
    let place = |number: usize| {
        Place::from_degrees(47.0 + (number / 60) as f64 / 5.0, 6.0 + (number % 60) as f64 / 4.0).unwrap()
    };
    let campaigns = (0..3_000).map(|number| {
        let near = Predicate::Near { centre: place(number), metres: 3_000 };
        campaign(number, 2_000_000, Targeting { all: vec![near], ..Targeting::default() })
    });
    let snapshot = snapshot(campaigns.collect());
    for number in 0..3_000 {
        let context = Context { place: Some(place(number)), ..Context::default() };
        let ranking = ranked(&snapshot, &context, &imp(), draw(number));
        assert_eq!(offers(&snapshot, &ranking)[0].0, CampaignKey::of(&format!("c{number}")));
    }
}

#[test]
fn an_open_deal_shuts_nobody_out_of_the_auction() {
    // The same as among few, who are all judged.
    for count in [60, 100, 1_000] {
        let campaigns = (0..count).map(|number| {
            let mut made =
                campaign(number, if number < 9 { 1_100_000 } else { 10_000_000 }, Targeting::default());
            if number < 9 {
                made.deals.push(Tag(5));
            }
            made
        });
        let snapshot = snapshot(campaigns.collect());
        let deal = Deal { key: Tag(5), floor: CpmMicros(1_000_000), ..Deal::default() };
        let imp = Opportunity { deals: [deal].into_iter().collect(), ..imp() };
        let ranking = ranked(&snapshot, &Context::default(), &imp, draw(count));
        assert_eq!(offers(&snapshot, &ranking)[0].1, CpmMicros(10_000_000), "of {count}");
        assert!(
            ranking.candidates.iter().any(|candidate| candidate.deal.is_some()),
            "holders are asked, too"
        );
    }
}

#[test]
fn the_dearest_are_found_in_currencies_of_small_units() {
    // Thousands of won for a thousand impressions.
    let campaigns = (0..150)
        .map(|number| campaign(number, (5_000 + 200 * number as i64) * 1_000_000, Targeting::default()));
    let campaigns = campaigns.map(|made| Campaign { max_bid: CpmMicros(100_000_000_000), ..made });
    let snapshot = snapshot(campaigns.collect());
    for number in 0..50 {
        let ranking = ranked(&snapshot, &Context::default(), &imp(), draw(number));
        assert_eq!(offers(&snapshot, &ranking)[0].1, CpmMicros(34_800_000_000));
    }
}

#[test]
fn who_may_not_bid_takes_nobodys_place() {
    let campaigns =
        (0..600).map(|number| campaign(number, 1_000_000 + number as i64 * 10_000, Targeting::default()));
    let snapshot = snapshot(campaigns.collect());
    let live = |number: usize| {
        let entry = snapshot.catalog.get(CampaignKey::of(&format!("c{number}"))).unwrap();
        Arc::clone(&entry.live)
    };
    let few = MOST_CANDIDATES - 1;
    for number in few..600 {
        live(number).set_state(CampaignState::Exhausted);
    }
    let ranking = ranked(&snapshot, &Context::default(), &imp(), draw(1));
    assert_eq!(ranking.candidates.len(), few);
    for number in 0..few {
        live(number).set_state(CampaignState::Paced);
    }
    let ranking = ranked(&snapshot, &Context::default(), &imp(), draw(1));
    assert!(ranking.candidates.is_empty());
    assert!(
        [NoBidReason::Pacing, NoBidReason::BudgetExhausted].contains(&ranking.reason),
        "{:?}",
        ranking.reason
    );
    live(77).set_state(CampaignState::Active);
    let ranking = ranked(&snapshot, &Context::default(), &imp(), draw(1));
    assert_eq!(offers(&snapshot, &ranking)[0].0, CampaignKey::of("c77"));
}

#[test]
fn what_is_explained_of_many_is_a_fair_sample() {
    // Half of them are for somebody else; none may be outranked for lack of a second imp alone.
    let campaigns = (0..300).map(|number| {
        let targeting = Targeting { all: vec![country(number as u64 % 2)], ..Targeting::default() };
        campaign(number, 1_000_000, targeting)
    });
    let snapshot = snapshot(campaigns.collect());
    let context = Context { country: Tag(1), ..Context::default() };
    let imps = 500_000;
    let mut ranking = Ranking::default();
    let mut bids = 0;
    for number in 0..imps {
        rank(&snapshot, &context, &imp(), UserView::default(), NOW, draw(number), &mut ranking);
        let made = commit(&snapshot, &context, &imp(), &mut ranking, &mut Pods::default(), &(), NOW).unwrap();
        funnel::count(&snapshot, &ranking, &made);
        bids += made.len() as u64;
    }
    let (mut all_bids, mut explained_bids, mut imps_explained) = (0, 0, 0);
    let groups = snapshot.catalog.slots() / 16;
    // How often a campaign is explained on average.
    let mean = imps as u64 / 64 / groups as u64;
    for (slot, entry) in snapshot.catalog.entries() {
        let counts = entry.live.funnel.read();
        assert!((mean / 2..mean * 2).contains(&counts.imps()), "{slot}: {counts:?}");
        let of = |reason: NoBidReason| counts.refused[reason.index()];
        if entry.campaign.targeting.all == [country(1)] {
            assert_eq!(counts.imps(), of(NoBidReason::Outranked) + counts.explained_bids, "{counts:?}");
        } else {
            assert_eq!((counts.imps(), counts.bids), (of(NoBidReason::TargetingMismatch), 0), "{counts:?}");
        }
        all_bids += counts.bids;
        explained_bids += counts.explained_bids;
        imps_explained += counts.imps();
    }
    assert_eq!(all_bids, bids);
    // Of the explained ones as many bid as of all.
    let (share, expected) =
        (explained_bids as f64 / imps_explained as f64, bids as f64 / (300 * imps) as f64);
    assert!((share / expected - 1.0).abs() < 0.2, "{share} of {imps_explained}, where {expected} bid");
}

#[test]
fn a_snapshot_ranks_as_before_whatever_the_next_one_holds() {
    let entries = |count: usize| (0..count).map(|number| campaign(number, 1_000_000, Targeting::default()));
    let before = snapshot(entries(200).collect());
    let (context, imp) = (Context::default(), imp());
    let known = offers(&before, &ranked(&before, &context, &imp, draw(3)));
    let mut next = before.clone();
    for number in 100..400 {
        next = next.with(Entry::new(Arc::new(campaign(number, 9_000_000, Targeting::default()))));
        let key = CampaignKey::of(&format!("c{number}"));
        fund(next.catalog.get(key).unwrap());
    }
    next = next.without(CampaignKey::of("c399"));
    assert_eq!((next.catalog.len(), before.catalog.len()), (399, 200));
    assert_eq!(offers(&before, &ranked(&before, &context, &imp, draw(3))).len(), known.len());
    let dear = offers(&next, &ranked(&next, &context, &imp, draw(3)));
    assert!(dear.iter().all(|offer| offer.1 == CpmMicros(9_000_000)), "{dear:?}");
}
