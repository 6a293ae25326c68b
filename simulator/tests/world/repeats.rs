//! Same seed, same world, whatever the order of calls.

use std::time::Duration;

use haggle_domain::{BehaviourKind, CpmMicros, Tag, Timestamp};
use haggle_simulator::{World, WorldSettings};

use crate::{ad, bid, day_of_requests, start, world};

#[test]
fn the_same_seed_gives_the_same_day_and_another_seed_another() {
    let run = |seed| {
        let mut world = world(seed);
        let mut told = Vec::new();
        let mut seen = Vec::new();
        for (number, request) in day_of_requests(&mut world, 500).into_iter().enumerate() {
            let outcome = world.auction(&request, Some(&bid(&request, CpmMicros(3_000_000))));
            let aftermath = world.after_win(&request, &ad(number), request.at);
            told.extend(world.next_shop_events(request.at));
            seen.push((request.id.clone(), request.body(), outcome, aftermath));
        }
        (told, seen)
    };
    assert!(run(7) == run(7));
    assert!(run(7).1 != run(8).1);
}

#[test]
fn what_follows_a_request_depends_on_no_other_call() {
    let mut forward = world(7);
    let requests = day_of_requests(&mut forward, 3000);
    let mut backward = world(7);
    assert!(day_of_requests(&mut backward, 3000).iter().zip(&requests).all(|(a, b)| a.body() == b.body()));
    let aftermaths: Vec<_> =
        requests.iter().enumerate().map(|(n, it)| forward.after_win(it, &ad(n), it.at)).collect();
    for (number, request) in requests.iter().enumerate().rev() {
        let outcome = backward.auction(request, None);
        assert_eq!(backward.after_win(request, &ad(number), request.at), aftermaths[number]);
        assert_eq!(outcome, forward.auction(request, None));
    }
    assert!(aftermaths.iter().any(|it| it.click.is_some()));
}

#[test]
fn shop_events_do_not_depend_on_how_often_they_are_fetched() {
    let end = start() + Duration::from_secs(86_000);
    let mut rarely = world(7);
    let all = rarely.next_shop_events(end);
    let mut often = world(7);
    let mut gathered = Vec::new();
    for minute in 0..1433 {
        gathered.extend(often.next_shop_events(start() + Duration::from_secs(minute * 60)));
        often.next_request(start() + Duration::from_secs(minute * 60));
    }
    gathered.extend(often.next_shop_events(end));
    assert!(all == gathered);
    assert!(all.is_sorted_by_key(|event| event.at));
    assert!((4000..16_000).contains(&all.len()), "{} events in two days", all.len());
    let count = |kind| all.iter().filter(|event| event.kind == kind).count();
    assert!(count(BehaviourKind::Viewed) > count(BehaviourKind::Carted));
    assert!(count(BehaviourKind::Carted) > count(BehaviourKind::Bought));
    assert!(count(BehaviourKind::Bought) > 50);
}

#[test]
fn extreme_times_and_sizes_do_no_harm() {
    let settings = WorldSettings {
        users: 0,
        visits_a_day: f64::NAN,
        history_days: u32::MAX,
        ..WorldSettings::default()
    };
    for moment in [Timestamp::MAX, Timestamp(i64::MIN), Timestamp(0)] {
        let mut world = World::new(1, moment, settings.clone());
        assert_eq!(world.next_request(moment).at, moment);
        world.next_request(Timestamp::MAX);
        world.next_shop_events(Timestamp::MAX);
    }
}

#[test]
fn a_seed_gives_the_same_bytes_in_every_version() {
    let mut world = world(11);
    let requests = day_of_requests(&mut world, 3000);
    let text: String = requests.iter().map(|it| String::from_utf8(it.body()).unwrap()).collect();
    // Who compares two versions of the program has them bid in the same world.
    assert_eq!(Tag::exactly(&text), Tag(15_767_023_877_962_893_623));
}
