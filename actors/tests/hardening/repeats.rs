//! Every notice counts once, however often it comes, for at least 35 days, and what that takes of memory.

use std::collections::{HashMap, HashSet};

use haggle_domain::{CampaignKey, Event, Tag};
use proptest::prelude::*;

use super::*;

/// No order counts again within this.
const REMEMBERED: Duration = Duration::from_secs(35 * 86_400);

fn start() -> Timestamp {
    "2026-11-23T00:00:00Z".parse().unwrap()
}

/// The kind of a notice, and what it is of: counted at most once.
fn subject(notice: &Notice) -> (u8, BidId) {
    let kind = match notice {
        Notice::Bill { .. } | Notice::Lost { .. } => 0,
        Notice::Won { .. } => 1,
        Notice::Impression { .. } => 2,
        Notice::Click { .. } => 3,
        Notice::Conversion { .. } => 4,
    };
    (kind, notice.decision().bid)
}

fn order(decision: &Decision, order: u64) -> Notice {
    Notice::Conversion { decision: decision.clone(), revenue: Micros(7), order: Tag(order) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Through 40 days, with restarts, every notice of the past comes again and again, orders also under other bids' clicks, and
    /// those of an order just before it may be forgotten.
    #[test]
    fn nothing_counts_twice_within_35_days(
        steps in proptest::collection::vec((1u64..40, any::<u64>(), 0u8..6), 40..60),
    ) {
        let mut rig = Rig::new(campaign(2), start());
        let mut past: Vec<Notice> = Vec::new();
        let mut counted: HashSet<(u8, BidId)> = HashSet::new();
        let mut orders: HashMap<Tag, Timestamp> = HashMap::new();
        let mut charged = Micros::ZERO;
        for (number, (hours, draw, restart)) in steps.into_iter().enumerate() {
            // To the last moment at which an order must still be known, where one is near; else some hours on.
            let next = rig.now + HOUR * u32::try_from(hours).unwrap();
            let edge = orders.values().map(|at| *at + REMEMBERED).filter(|at| (rig.now..next).contains(at)).min();
            rig.tick_at(edge.unwrap_or(next));
            rig.live.want();
            rig.tick_at(rig.now);
            if restart < 2 {
                rig = rig.restart(restart == 0);
                rig.tick_at(rig.now);
            }
            if let Some(decision) = rig.bid(CpmMicros(4_000_000)) {
                let price = CpmMicros(draw as i64 & 0x3f_ffff);
                past.extend([
                    Notice::Won { decision: decision.clone(), price, min_to_win: None },
                    Notice::Bill { decision: decision.clone(), price },
                    Notice::Impression { decision: decision.clone() },
                    Notice::Click { decision: decision.clone() },
                    order(&decision, number as u64),
                    // An order that came before, by another click.
                    order(&decision, draw % (number as u64 + 1)),
                ]);
            }
            for time in 0..100u64 {
                let index = (draw.wrapping_mul(time * 2 + 1) >> 20) as usize % past.len().max(1);
                let Some(notice) = past.get(index).cloned() else { break };
                let before = rig.machine.report().settled;
                let outcome = rig.notice(notice.clone());
                let accepted = matches!(outcome, Outcome::Accepted | Outcome::Capped);
                let paid = rig.machine.report().settled - before;
                let bill = matches!(notice, Notice::Bill { .. });
                prop_assert!(paid == Micros::ZERO || accepted && bill);
                charged += paid;
                if !accepted {
                    continue;
                }
                if let Notice::Conversion { order, .. } = notice {
                    let earlier = orders.insert(order, rig.now);
                    prop_assert!(
                        earlier.is_none_or(|at| rig.now.since(at) > REMEMBERED),
                        "{order:?} of {earlier:?} counted again at {}", rig.now
                    );
                } else {
                    prop_assert!(counted.insert(subject(&notice)), "{notice:?} counted again");
                }
            }
        }
        prop_assert_eq!(rig.machine.report().settled, charged);
    }
}

/// Bytes that this process has in memory.
#[cfg(target_os = "linux")]
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

/// What is remembered costs some tens of bytes each and is let go of when its time has passed.
#[test]
fn memory_of_clicks_and_orders_is_small_and_is_given_back() {
    const COUNT: u64 = 200_000;
    let at = start();
    let of = |number: u64| Decision {
        bid: BidId {
            campaign: CampaignKey(1),
            lease: (number / 1_000) as u32,
            number: (number % 1_000) as u32,
        },
        at,
        ..Decision::default()
    };
    let fill = |event: &dyn Fn(u64) -> Event| {
        let mut books = Books::default();
        #[cfg(target_os = "linux")]
        let before = resident();
        (0..COUNT).for_each(|number| books.apply(&event(number), at).unwrap());
        #[cfg(target_os = "linux")]
        {
            let each = resident().saturating_sub(before) / COUNT as usize;
            println!("{each} bytes in memory");
            // The other tests of this program take some, too.
            assert!(each < 600, "{each} bytes");
        }
        let kept = minicbor::to_vec(&books).unwrap().len() as u64;
        println!("{} bytes in a checkpoint", kept / COUNT);
        assert!(kept / COUNT < 40, "{kept}");
        books
    };
    let mut clicks = fill(&|number| Event::Click { decision: of(number) });
    // A hash, as orders' ids are.
    let tag = |number: u64| Tag(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut books =
        fill(&|number| Event::Conversion { decision: of(number), revenue: Micros(1), order: tag(number) });
    books.forget(at + REMEMBERED, DAY, DAY * 30);
    assert!(books.was_ordered(tag(5)));
    books.forget(at + REMEMBERED + MINUTE, DAY, DAY * 30);
    assert!(!books.remembers());
    clicks.forget(at + DAY + MINUTE, DAY, DAY * 30);
    assert!(!clicks.remembers());
    // Of a lease three bits a bid: won, shown, resolved.
    let won = |number: u64| Event::Impression { decision: of(number) };
    let mut books = Books::default();
    (0..COUNT).for_each(|number| books.apply(&won(number), at).unwrap());
    let bytes = minicbor::to_vec(&books).unwrap().len() as u64;
    println!("{bytes} bytes in a checkpoint for {COUNT} impressions");
    assert!(bytes < COUNT / 4, "{bytes}");
}
