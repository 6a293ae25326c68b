//! Ranking and reserving together: formats, deals, pods, quantities, and verdicts that sum.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test, a panic is a failure")]

use std::sync::Arc;
use std::time::Duration;

use haggle_domain::*;
use haggle_learning::Trainer;
use haggle_strategies::{
    Bids, CampaignState, Catalog, Entry, Lease, Market, Pods, Ranking, Scorer, Snapshot, UserView, commit,
    rank,
};
use proptest::prelude::*;

/// 2026-11-23T10:00:00Z.
const NOW: Timestamp = Timestamp(1_795_428_000_000_000);
const HOUR: Duration = Duration::from_secs(3600);

fn film(seconds: u16) -> Creative {
    let files = vec![MediaFile {
        url: "https://cdn.example/film.mp4".into(),
        mime: "video/mp4".into(),
        size: Size { width: 640, height: 360 },
        bitrate: 900,
    }];
    let stream = Stream { duration: seconds, skip_after: None, media: Media::Files(files) };
    Creative {
        ad: Ad::Video(stream),
        ..Creative::banner("film", Size::default(), "", "https://shop.example/", "Film")
    }
}

fn banner() -> Creative {
    let size = Size { width: 300, height: 250 };
    Creative::banner("banner", size, "https://cdn.example/a.png", "https://shop.example/", "Banner")
}

/// Pays `cpm` units for a thousand impressions, whoever they are.
fn campaign(id: &str, category: &str, cpm: i64, creatives: Vec<Creative>) -> Campaign {
    Campaign {
        name: id.into(),
        advertiser_domain: format!("{id}.example"),
        categories: vec![Category::iab(category)],
        goal: Goal::Cpm { price: CpmMicros(cpm * 1_000_000) },
        budget: Budget { daily: Some(Micros::from_units(24)), total: None },
        flight: Flight { start: Timestamp::default(), end: Timestamp::MAX },
        pacing: Pacing::Asap,
        max_bid: CpmMicros(50_000_000),
        creatives,
        ..Campaign::named(id)
    }
}

fn snapshot(campaigns: Vec<Campaign>) -> Snapshot {
    let catalog =
        Catalog::new(campaigns.into_iter().map(|campaign| Entry::new(Arc::new(campaign))).collect());
    for (_, entry) in catalog.entries() {
        fund(entry, Micros::from_units(1));
    }
    Snapshot {
        version: 1,
        salt: 7,
        scorer: Arc::new(Scorer::new(Trainer::default().snapshot(), &catalog)),
        catalog: Arc::new(catalog),
        market: Arc::new(Market::default()),
    }
}

fn fund(entry: &Entry, amount: Micros) {
    let lease = Lease::new(1, NOW + HOUR, NOW + HOUR);
    lease.promise(amount);
    lease.keep_promise();
    entry.live.lease.store(Arc::new(lease));
    entry.live.set_state(CampaignState::Active);
}

fn break_of(seconds: u32, most: u32) -> Opportunity {
    let pod = Pod { id: Tag::of("break"), duration: seconds, most, slot: 1 };
    Opportunity { video: Some(StreamSlot { pod: Some(pod), ..slot() }), ..Opportunity::default() }
}

fn slot() -> StreamSlot {
    StreamSlot {
        mimes: [Tag::of("video/mp4")].into_iter().collect(),
        longest: u32::MAX,
        most_bitrate: u32::MAX,
        ..StreamSlot::default()
    }
}

fn decide(
    snapshot: &Snapshot,
    context: &Context,
    opportunity: &Opportunity,
    pods: &mut Pods,
) -> (Result<Bids, NoBidReason>, Ranking) {
    let mut ranking = Ranking::default();
    rank(snapshot, context, opportunity, UserView::default(), NOW, Draw::new(7, "r", "1"), &mut ranking);
    let bids = commit(snapshot, context, opportunity, &mut ranking, pods, &(), NOW);
    (bids, ranking)
}

fn ids<'s>(snapshot: &'s Snapshot, bids: &Bids) -> Vec<&'s str> {
    bids.iter().map(|bid| &*snapshot.catalog.at(bid.campaign).unwrap().campaign.id).collect()
}

#[test]
fn an_imp_of_several_formats_takes_the_best_of_any() {
    let snapshot = snapshot(vec![
        campaign("still", "IAB1", 3, vec![banner()]),
        campaign("moving", "IAB2", 5, vec![film(15)]),
    ]);
    let both = Opportunity {
        banner: Some(BannerSlot::of([Size { width: 300, height: 250 }])),
        video: Some(slot()),
        ..Opportunity::default()
    };
    let (bids, ranking) = decide(&snapshot, &Context::default(), &both, &mut Pods::default());
    let bids = bids.unwrap();
    assert_eq!(ids(&snapshot, &bids), ["moving"]);
    assert_eq!((bids[0].format, bids[0].duration), (Format::Video, 15));
    assert_eq!(ranking.verdicts, [(0, Some(NoBidReason::Outranked)), (1, None)]);
}

#[test]
fn a_break_is_filled_by_the_price_of_a_second_without_competitors() {
    let snapshot = snapshot(vec![
        campaign("long", "IAB1", 9, vec![film(60)]),
        campaign("cars", "IAB2-1", 8, vec![film(30)]),
        campaign("more-cars", "IAB2-2", 7, vec![film(15)]),
        campaign("coffee", "IAB8", 6, vec![film(15)]),
        campaign("tea", "IAB8-1", 2, vec![film(15)]),
        campaign("shoes", "IAB18", 4, vec![film(15)]),
    ]);
    let mut pods = Pods::default();
    let (bids, ranking) = decide(&snapshot, &Context::default(), &break_of(60, 4), &mut pods);
    let bids = bids.unwrap();
    // 7/15 is the dearest second, then coffee's 6/15; shoes' 4/15 equals the cars' 8/30, who compete with the first.
    assert_eq!(ids(&snapshot, &bids), ["more-cars", "coffee", "shoes"]);
    assert_eq!(bids.iter().map(|bid| bid.slot).collect::<Vec<_>>(), [1, 0, 0], "one place is promised, once");
    assert!(bids.iter().map(|bid| bid.duration).sum::<u32>() <= 60);
    assert_eq!(ranking.verdicts[1].1, Some(NoBidReason::PodSeparation));
    // The same break's next imp: who is in it already, or competes with those, stays out.
    let (next, _) = decide(&snapshot, &Context::default(), &break_of(0, 1), &mut pods);
    assert_eq!(ids(&snapshot, &next.unwrap()), ["long"]);
}

#[test]
fn a_break_ends_with_its_time() {
    let snapshot =
        snapshot(vec![campaign("a", "IAB1", 9, vec![film(15)]), campaign("b", "IAB2", 8, vec![film(20)])]);
    let (bids, ranking) =
        decide(&snapshot, &Context::default(), &break_of(30, u32::MAX), &mut Pods::default());
    assert_eq!(ids(&snapshot, &bids.unwrap()), ["a"]);
    assert_eq!(ranking.verdicts[1].1, Some(NoBidReason::PodSeparation));
}

#[test]
fn a_screen_that_many_see_costs_as_much_as_they_come_to() {
    let snapshot = snapshot(vec![campaign("still", "IAB1", 3, vec![banner()])]);
    let before = snapshot.catalog.at(0).unwrap().live.lease.load().holds().0;
    let screen = Opportunity {
        banner: Some(BannerSlot::of([Size { width: 300, height: 250 }])),
        quantity: Quantity(12_500_000),
        ..Opportunity::default()
    };
    let (bids, _) = decide(
        &snapshot,
        &Context { rate: Rate::from_billionths(2_000_000_000), ..Context::default() },
        &screen,
        &mut Pods::default(),
    );
    let bids = bids.unwrap();
    assert_eq!(bids[0].price, CpmMicros(1_500_000), "half as many units of a currency of twice the worth");
    assert_eq!(bids[0].decision.ceiling, CpmMicros(37_500_000));
    let after = snapshot.catalog.at(0).unwrap().live.lease.load().holds().0;
    assert_eq!(before - after, Micros(37_500));
    assert_eq!(bids[0].decision.terms.charge(bids[0].price).per_impression_rounded_up(), Micros(37_500));
}

#[test]
fn what_may_not_be_stored_or_learned_is_not_in_the_decision() {
    let snapshot = snapshot(vec![campaign("still", "IAB1", 3, vec![banner()])]);
    let imp = Opportunity {
        banner: Some(BannerSlot::of([Size { width: 300, height: 250 }])),
        ..Opportunity::default()
    };
    let decision = |context: &Context| {
        let (bids, _) = decide(&snapshot, context, &imp, &mut Pods::default());
        bids.unwrap()[0].decision.clone()
    };
    let nobody = Context::default();
    let known = Context {
        user: Some(UserKey(7)),
        city: Tag::of("Oakland"),
        segments: [Tag::of("runners")].into_iter().collect(),
        ..Context::default()
    };
    let target = decision(&Context { basis: Basis::TARGET, ..known.clone() });
    assert_eq!((target.user, &target.features), (None, &decision(&nobody).features));
    let stored = decision(&Context { basis: Basis::TARGET.or(Basis::STORE), ..known.clone() });
    assert_eq!((stored.user, &stored.features), (Some(UserKey(7)), &decision(&nobody).features));
    let all = decision(&Context { basis: Basis::ALL, ..known });
    assert!(all.features.len() > stored.features.len());
}

/// Buys clicks, and tries.
fn trying(id: &str, candidates: CandidatePolicy) -> Campaign {
    Campaign {
        goal: Goal::Cpc { max: Micros(500_000) },
        max_bid: CpmMicros(11_000_000),
        explore: Explore { candidates, epsilon: 0.5, ..Explore::default() },
        ..campaign(id, "IAB1", 0, vec![banner()])
    }
}

/// What is decided at imps that differ in their draw alone.
fn decide_at(snapshot: &Snapshot, floor: i64, imp: u32) -> (Result<Bids, NoBidReason>, Ranking) {
    let context = Context { auction: AuctionType::SecondPlus, ..Context::default() };
    let opportunity = Opportunity {
        banner: Some(BannerSlot::of([Size { width: 300, height: 250 }])),
        floor: CpmMicros(floor),
        ..Opportunity::default()
    };
    let (mut ranking, draw) = (Ranking::default(), Draw::new(7, &format!("r{imp}"), "1"));
    rank(snapshot, &context, &opportunity, UserView::default(), NOW, draw, &mut ranking);
    let bids = commit(snapshot, &context, &opportunity, &mut ranking, &mut Pods::default(), &(), NOW);
    (bids, ranking)
}

#[test]
fn a_bid_that_tries_is_above_its_prediction_within_all_bounds_and_replays() {
    for policy in [CandidatePolicy::Thompson, CandidatePolicy::Ucb, CandidatePolicy::EpsilonGreedy] {
        let plain = snapshot(vec![trying("a", CandidatePolicy::None)]);
        let tries = snapshot(vec![trying("a", policy)]);
        for snapshot in [&plain, &tries] {
            fund(snapshot.catalog.at(0).unwrap(), Micros::from_units(1_000));
        }
        let live = Arc::clone(&tries.catalog.at(0).unwrap().live);
        assert!(live.lease.load().set_to_explore(Micros::ZERO, Micros::from_units(1_000)));
        // Until somebody says that there is money for it, nothing is tried.
        let price = |snapshot: &Snapshot, imp| decide_at(snapshot, 1, imp).0.unwrap()[0].clone();
        let predicted = price(&plain, 0);
        assert!((0..50).all(|imp| price(&tries, imp).decision.explored.is_none()));
        live.set_explores(true);
        let mut tried = 0;
        for imp in 0..400 {
            let bid = price(&tries, imp);
            assert_eq!(
                bid.decision.click_probability.to_bits(),
                predicted.decision.click_probability.to_bits()
            );
            assert_eq!(
                bid.decision.value, predicted.decision.value,
                "what is learned from stays the prediction"
            );
            assert!(bid.price <= CpmMicros(11_000_000), "{policy:?}: {}", bid.price);
            match bid.decision.explored {
                None => assert_eq!(bid.price, predicted.price),
                Some(propensity) => {
                    assert!(bid.price > predicted.price && propensity > 0.0 && propensity <= 0.5);
                    tried += 1;
                }
            }
            let again = price(&tries, imp);
            assert_eq!((again.price, again.decision.explored), (bid.price, bid.decision.explored));
        }
        let share = f64::from(tried) / 400.0;
        let expected = if policy == CandidatePolicy::Thompson { 0.25 } else { 0.5 };
        assert!((share - expected).abs() < 0.08, "{policy:?}: {share}");
        // A floor that the prediction does not reach is reached by some that try.
        let dear = predicted.price.0 + 1;
        assert_eq!(decide_at(&plain, dear, 1).0, Err(NoBidReason::BelowFloor));
        assert!((0..50).any(|imp| decide_at(&tries, dear, imp).0.is_ok()), "{policy:?}");
    }
}

#[test]
fn a_gap_is_tried_the_less_often_the_wider_it_is() {
    let bids = |second: i64| {
        let mut low = trying("low", CandidatePolicy::SquareCb);
        low.goal = Goal::Cpc { max: Micros(second) };
        let snapshot = snapshot(vec![trying("high", CandidatePolicy::None), low]);
        let slot = (0..2).find(|slot| snapshot.catalog.at(*slot).unwrap().campaign.id == "low").unwrap();
        for (_, entry) in snapshot.catalog.entries() {
            fund(entry, Micros::from_units(1_000));
        }
        let live = &snapshot.catalog.at(slot).unwrap().live;
        assert!(live.lease.load().set_to_explore(Micros::ZERO, Micros::from_units(1_000)));
        live.set_explores(true);
        let tried = (0..2_000).filter_map(|imp| {
            let bid = decide_at(&snapshot, 1, imp).0.unwrap()[0].clone();
            assert_eq!(bid.campaign == slot, bid.decision.explored.is_some(), "it wins by trying alone");
            bid.decision.explored
        });
        let propensities: Vec<f32> = tried.collect();
        let share = propensities.len() as f64 / 2_000.0;
        assert!((share - f64::from(propensities[0])).abs() < 0.03, "{share} {}", propensities[0]);
        share
    };
    let (near, far) = (bids(450_000), bids(150_000));
    assert!(near > 1.5 * far && far > 0.0, "{near} {far}");
}

#[test]
fn who_has_no_money_to_try_with_loses_the_imp_once_and_then_bids_by_the_prediction() {
    let snapshot = snapshot(vec![trying("a", CandidatePolicy::Ucb)]);
    let live = &snapshot.catalog.at(0).unwrap().live;
    live.set_explores(true);
    let refused: Vec<u32> = (0..100).filter(|imp| decide_at(&snapshot, 1, *imp).0.is_err()).collect();
    assert_eq!(refused.len(), 1, "at the first imp where it tried");
    assert!(!live.explores());
    live.set_explores(true);
    let (bids, ranking) = decide_at(&snapshot, 1, refused[0]);
    assert_eq!((bids, ranking.verdicts[0].1), (Err(NoBidReason::LeaseRaced), Some(NoBidReason::LeaseRaced)));
}

proptest! {
    #[test]
    fn every_campaign_ends_in_one_verdict_and_every_bid_in_none(
        cpms in prop::collection::vec((0i64..9, 0u16..4, any::<bool>()), 1..12),
        seconds in 0u32..90,
        most in 1u32..5,
        floor in 0i64..6,
    ) {
        let campaigns = cpms.iter().enumerate().map(|(at, (cpm, length, moving))| {
            let creative = if *moving { film(15 * (length + 1)) } else { banner() };
            campaign(&format!("c{at}"), &format!("IAB{}", at % 3 + 1), cpm + 1, vec![creative])
        });
        let snapshot = snapshot(campaigns.collect());
        let mut imp = break_of(seconds, most);
        imp.banner = Some(BannerSlot::of([Size { width: 300, height: 250 }]));
        imp.floor = CpmMicros(floor * 1_000_000);
        let (bids, ranking) = decide(&snapshot, &Context::default(), &imp, &mut Pods::default());
        prop_assert_eq!(ranking.verdicts.len(), cpms.len());
        let bidders = ranking.verdicts.iter().filter(|(_, verdict)| verdict.is_none()).count();
        match bids {
            Ok(bids) => {
                prop_assert_eq!(bids.len(), bidders);
                for bid in &bids {
                    prop_assert!(bid.price >= imp.floor);
                    prop_assert_eq!(ranking.verdicts[bid.campaign].1, None);
                    prop_assert_eq!(bid.format, bids[0].format);
                }
                if bids[0].format == Format::Video {
                    prop_assert!(bids.len() as u64 <= u64::from(most));
                    let filled: u32 = bids.iter().map(|bid| bid.duration).sum();
                    prop_assert!(seconds == 0 || filled <= seconds);
                } else {
                    prop_assert_eq!(bids.len(), 1);
                }
            }
            Err(_) => prop_assert_eq!(bidders, 0),
        }
    }
}

/// A user of a group, or of none, and who the law lets be chosen by.
fn user_of(campaign: &Campaign, wanted: Option<Group>) -> Context {
    let user = (0..).map(UserKey).find(|user| campaign.holdout.group(campaign.key, *user) == wanted);
    Context { user, basis: Basis::ALL, ..Context::default() }
}

#[test]
fn held_out_users_get_no_bid_and_are_told_apart_from_their_like() {
    let boots = || Campaign { holdout: Holdout::of(0.1), ..campaign("boots", "IAB18", 4, vec![banner()]) };
    let imp = Opportunity {
        banner: Some(BannerSlot::of([Size { width: 300, height: 250 }])),
        ..Opportunity::default()
    };
    let alone = snapshot(vec![boots()]);
    let beside = snapshot(vec![boots(), campaign("tents", "IAB20", 1, vec![banner()])]);
    for (group, bid) in [(Some(Group::Held), false), (Some(Group::Control), true), (None, true)] {
        let context = user_of(&boots(), group);
        let (bids, ranking) = decide(&alone, &context, &imp, &mut Pods::default());
        assert_eq!(
            bids.as_ref().map(|bids| bids.len()).map_err(|reason| *reason),
            if bid { Ok(1) } else { Err(NoBidReason::Holdout) }
        );
        assert_eq!(ranking.groups, group.map(|group| (0, group)).into_iter().collect::<Vec<_>>());
        assert_eq!(ranking.verdicts, [(0, (!bid).then_some(NoBidReason::Holdout))]);
        // Others bid for them.
        let (bids, _) = decide(&beside, &context, &imp, &mut Pods::default());
        assert_eq!(ids(&beside, &bids.unwrap()), [if bid { "boots" } else { "tents" }]);
        // What is not for the campaign, or is of a user who may not be chosen by, says nothing of anybody.
        let other = Opportunity { banner: None, video: Some(slot()), ..imp.clone() };
        let (bids, ranking) = decide(&alone, &context, &other, &mut Pods::default());
        assert_eq!((bids, ranking.groups.len()), (Err(NoBidReason::CreativeMismatch), 0));
        let unasked = Context { basis: Basis::READ, ..context };
        let (bids, ranking) = decide(&alone, &unasked, &imp, &mut Pods::default());
        assert!(bids.is_ok() && ranking.groups.is_empty());
    }
    let (bids, ranking) = decide(&alone, &Context::default(), &imp, &mut Pods::default());
    assert!(bids.is_ok() && ranking.groups.is_empty(), "nobody is known");
    // Whether there is money says nothing of the user either.
    alone.catalog.at(0).unwrap().live.set_state(CampaignState::Exhausted);
    for group in [Group::Held, Group::Control] {
        let (bids, ranking) = decide(&alone, &user_of(&boots(), Some(group)), &imp, &mut Pods::default());
        let reason = if group == Group::Held { NoBidReason::Holdout } else { NoBidReason::BudgetExhausted };
        assert_eq!((bids, ranking.groups), (Err(reason), vec![(0, group)]));
    }
}

#[test]
fn where_users_cannot_be_read_those_that_go_by_them_wait_or_not_as_they_say() {
    let still = |id: &str, cpm| campaign(id, "IAB1", cpm, vec![banner()]);
    let caps = vec![FrequencyCap { per: CapScope::Campaign, most: 1, within: CapWindow::Lifetime }];
    let counts = Frequency { caps, bids_on_unknown: false };
    let viewed = Predicate::Behaviour {
        did: BehaviourKind::Viewed,
        what: Tag::of("boots"),
        within: HOUR,
        at_least: 1,
    };
    let only = |country: &str| Targeting {
        all: vec![Predicate::Country(vec![Tag::of(country)])],
        none: vec![viewed.clone()],
        ..Targeting::default()
    };
    let snapshot = snapshot(vec![
        still("plain", 3),
        Campaign { frequency: counts.clone(), ..still("closed", 9) },
        Campaign { frequency: counts, bids_without_user_state: true, ..still("open", 5) },
        Campaign { targeting: only("USA"), ..still("asks", 9) },
        Campaign { targeting: only("DEU"), ..still("elsewhere", 9) },
    ]);
    let context = Context { country: Tag::of("USA"), user: Some(UserKey(1)), ..Context::default() };
    let banner = BannerSlot::of([Size { width: 300, height: 250 }]);
    let opportunity = Opportunity { banner: Some(banner), ..Opportunity::default() };
    let seen = haggle_strategies::frequency::Seen::default();
    let mut ranking = Ranking::default();
    let mut verdicts = |away| {
        let view = UserView { seen: Some(&seen), away, ..UserView::default() };
        rank(&snapshot, &context, &opportunity, view, NOW, Draw::new(7, "r", "1"), &mut ranking);
        let bids = commit(&snapshot, &context, &opportunity, &mut ranking, &mut Pods::default(), &(), NOW);
        let verdicts: Vec<_> = ranking.verdicts.iter().map(|(_, verdict)| *verdict).collect();
        (bids.unwrap(), verdicts)
    };
    let (out, mismatch) = (Some(NoBidReason::Outranked), Some(NoBidReason::TargetingMismatch));
    let away = Some(NoBidReason::UserStateAway);
    let (bids, found) = verdicts(true);
    assert_eq!((ids(&snapshot, &bids), found), (vec!["open"], vec![out, away, None, away, mismatch]));
    haggle_strategies::funnel::count_away(&snapshot, &bids);
    let counted = |id| snapshot.catalog.get(CampaignKey::of(id)).unwrap().live.funnel.read();
    assert_eq!(counted("open").bids_without_user_state, 1);
    let (_, found) = verdicts(false);
    assert!(found.iter().take(4).all(|verdict| *verdict != away) && found[4] == mismatch);
}
