use std::collections::BTreeMap;

use haggle_domain::{BidId, ProvenClick};

use super::*;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
const USER: UserKey = UserKey(7);

fn settings(model: AttributionModel) -> AttributorSettings {
    AttributorSettings { model, click_window: DAY * 30, view_window: DAY, half_life: DAY * 7, touches: 1_000 }
}

/// A journal in memory, and the attributor that reads it.
struct World {
    records: Vec<Record>,
    attributor: Attributor,
    now: Timestamp,
}

impl World {
    fn new(model: AttributionModel) -> Self {
        Self {
            records: Vec::new(),
            attributor: Attributor::new(settings(model)),
            now: Timestamp(0) + DAY * 20_000,
        }
    }

    fn tell(&mut self, after: Duration, event: Event) -> Option<Found> {
        self.now = self.now + after;
        let record = Record { at: self.now, campaign: CampaignKey::default(), event };
        let found = self.attributor.consume(self.records.len() as u64, &record);
        self.records.push(record);
        found
    }

    /// Writes what was found, as the node does.
    fn settle(&mut self) -> Vec<Attribution> {
        let awaited: Vec<Attribution> = self.attributor.awaited().cloned().collect();
        for attribution in &awaited {
            self.tell(Duration::ZERO, Event::Attributed { attribution: Box::new(attribution.clone()) });
        }
        assert_eq!(self.attributor.awaited().count(), 0);
        awaited
    }

    /// Time passes, of which records without a meaning here tell.
    fn pass(&mut self, span: Duration) {
        for _ in 0..span.as_secs().div_ceil(STEP.as_secs()) {
            self.tell(STEP, Event::Redacted);
        }
    }

    fn decision(&self, campaign: u64, number: u32) -> Decision {
        let bid = BidId { campaign: CampaignKey(campaign), lease: 1, number };
        Decision { bid, at: self.now, user: Some(USER), ..Decision::default() }
    }

    fn view(&mut self, after: Duration, campaign: u64, number: u32) {
        let decision = self.decision(campaign, number);
        self.tell(after, Event::Impression { decision });
    }

    fn click(&mut self, after: Duration, campaign: u64, number: u32) {
        let decision = self.decision(campaign, number);
        self.tell(after, Event::Click { decision });
    }

    fn order(&mut self, after: Duration, id: &str, change: impl FnOnce(&mut Order)) -> Option<Found> {
        let placed_at = self.now + after;
        let value = Micros(10_000_001);
        let mut order = Order {
            tag: Tag::of(id),
            id: id.to_owned(),
            user: Some(USER),
            placed_at,
            value,
            ..Order::default()
        };
        change(&mut order);
        self.tell(after, Event::Ordered { order: Box::new(order) })
    }
}

fn amounts(attribution: &Attribution) -> Vec<(u64, i64)> {
    attribution.credits.iter().map(|credit| (credit.campaign.0, credit.amount.0)).collect()
}

#[test]
fn an_order_is_shared_to_the_micro_by_the_campaigns_that_the_user_met() {
    let mut world = World::new(AttributionModel::Linear);
    world.view(HOUR, 1, 1);
    world.click(HOUR, 1, 1);
    world.view(HOUR, 2, 1);
    world.view(HOUR, 3, 1);
    world.order(HOUR, "A-1", |_| {}).unwrap();
    let found = world.settle();
    assert_eq!(amounts(&found[0]), [(1, 3_333_334), (2, 3_333_334), (3, 3_333_333)]);
    let first = found[0].credits[0];
    assert_eq!((first.touches, first.clicks), (1, 1), "a click and its own view are one touch");
    assert_eq!((found[0].standing, found[0].id.as_deref()), (Standing::Credited, Some("A-1")));
}

#[test]
fn orders_too_late_unheard_of_and_told_twice_are_told_apart() {
    let mut world = World::new(AttributionModel::Last);
    world.view(HOUR, 1, 1);
    let late = world.order(DAY + HOUR, "late", |_| {}).unwrap();
    assert_eq!(late.standing, Standing::Late, "a view counts for a day");
    let orphan = world.order(HOUR, "orphan", |order| order.user = Some(UserKey(8))).unwrap();
    assert_eq!(orphan.standing, Standing::Orphan);
    assert_eq!(world.order(HOUR, "orphan", |_| {}), None);
    // Told by the click's token, then by the shop: twice the same, in two ways.
    world.click(HOUR, 2, 5);
    let decision = world.decision(2, 5);
    let conversion = Event::Conversion { decision, revenue: Micros(5), order: Tag::of("both") };
    assert_eq!(world.tell(HOUR, conversion.clone()).unwrap().standing, Standing::Credited);
    assert_eq!(world.order(HOUR, "BOTH", |_| {}), None);
    let counts = world.attributor.counts();
    assert_eq!((counts.credited, counts.late, counts.orphans, counts.duplicates), (1, 1, 1, 1));
    world.tell(HOUR, conversion);
    assert_eq!(world.attributor.counts().duplicates, 2);
}

/// A pixel is read by the user's browser, which may say anything, and comes first.
#[test]
fn what_the_shop_says_of_an_order_corrects_what_a_browser_said() {
    let ordered = |world: &World| {
        let (decision, revenue, order) = (world.decision(1, 1), Micros(7), Tag::of("A-1"));
        Event::Conversion { decision, revenue, order }
    };
    let mut world = World::new(AttributionModel::Linear);
    world.view(HOUR, 2, 1);
    world.click(HOUR, 1, 1);
    let pixel = ordered(&world);
    world.tell(HOUR, pixel.clone());
    let credited = world.settle();
    assert_eq!(amounts(&credited[0]), [(1, 3), (2, 4)]);
    // Twice by the shop, too.
    for _ in 0..2 {
        assert_eq!(world.order(HOUR, "A-1", |order| order.value = Micros(70)), None);
    }
    assert_eq!(world.attributor.value(Tag::of("A-1")), Some(Micros(70)));
    let told = world.settle();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((told[0].standing, told[0].id.as_deref()), (Standing::Corrected, Some("A-1")));
    assert_eq!(amounts(&told[0]).iter().map(|(_, amount)| amount).sum::<i64>(), 70);
    // A browser that comes last corrects nothing, and neither does a shop that says the same.
    world.tell(HOUR, pixel);
    world.order(HOUR, "A-2", |order| order.value = Micros(7)).unwrap();
    let (decision, order) = (world.decision(1, 1), Tag::of("A-2"));
    world.tell(HOUR, Event::Conversion { decision, revenue: Micros(9_999), order });
    assert_eq!(world.settle().len(), 1);

    // Another node has credited it, and its pixel is not read yet.
    let mut behind = World::new(AttributionModel::Linear);
    behind.tell(HOUR, Event::Attributed { attribution: Box::new(credited[0].clone()) });
    assert!(behind.order(HOUR, "A-1", |order| order.value = Micros(70)).is_some());
    assert_eq!(behind.tell(HOUR, ordered(&world)), None);
    let corrected: Vec<_> = behind.settle().iter().map(|found| (found.standing, found.value)).collect();
    assert_eq!(corrected, [(Standing::Corrected, Micros(70))]);
}

#[test]
fn a_token_proves_a_click_of_somebody_whom_nobody_may_know() {
    let mut world = World::new(AttributionModel::Last);
    let bid = BidId { campaign: CampaignKey(4), lease: 1, number: 9 };
    let bid_at = world.now;
    let click = ProvenClick { bid, bid_at };
    let tell = |order: &mut Order| (order.user, order.clicks) = (None, vec![click]);
    assert_eq!(world.order(DAY, "one", tell).unwrap().standing, Standing::Credited);
    assert_eq!(world.order(DAY * 30, "two", tell).unwrap().standing, Standing::Late);
    assert_eq!(amounts(&world.settle()[0]), [(4, 10_000_001)]);
}

/// A click may be an hour in a spool before its campaign's owner writes it.
#[test]
fn a_proven_click_counts_also_where_it_is_written_after_the_order() {
    let mut world = World::new(AttributionModel::Last);
    let decision = world.decision(1, 1);
    let click = ProvenClick { bid: decision.bid, bid_at: decision.at };
    let placed_at = world.now + HOUR / 2;
    world.tell(HOUR, Event::Click { decision });
    let tell = |order: &mut Order| (order.placed_at, order.clicks) = (placed_at, vec![click]);
    let found = world.order(HOUR, "A", tell).unwrap();
    assert_eq!((found.standing, found.path.len(), found.path[0].at), (Standing::Credited, 1, click.bid_at));
    // Without a token it cannot be known that the click came before.
    let found = world.order(HOUR, "B", |order| order.placed_at = placed_at).unwrap();
    assert_eq!(found.standing, Standing::Orphan);
}

#[test]
fn corrections_keep_proportions_even_after_a_cancellation() {
    let mut world = World::new(AttributionModel::Position);
    for campaign in 1..=3 {
        world.view(HOUR, campaign, 1);
    }
    world.order(HOUR, "A", |order| order.value = Micros(1_000)).unwrap();
    let corrected =
        |value| Event::OrderCorrected { order: Tag::of("A"), value: Micros(value), lines: Vec::new() };
    for value in [500, 0, 0, 100] {
        world.tell(HOUR, corrected(value));
    }
    world.tell(HOUR, Event::OrderCorrected { order: Tag::of("B"), value: Micros(1), lines: Vec::new() });
    let found = world.settle();
    let told: Vec<_> = found.iter().map(|found| (found.standing, amounts(found))).collect();
    assert_eq!(told[0], (Standing::Credited, vec![(1, 400), (2, 200), (3, 400)]));
    assert_eq!(told[1], (Standing::Corrected, vec![(1, 200), (2, 100), (3, 200)]));
    assert_eq!(told[2], (Standing::Corrected, vec![(1, 0), (2, 0), (3, 0)]));
    assert_eq!(told[3], (Standing::Corrected, vec![(1, 40), (2, 20), (3, 40)]), "told twice, it counts once");
    let counts = world.attributor.counts();
    assert_eq!((counts.corrected, counts.duplicates, counts.unknown), (3, 1, 1));
}

/// Another node, or this one in an earlier life, knew of a touch that is not read here.
#[test]
fn corrections_follow_what_was_credited_and_not_what_would_be() {
    let mut other = World::new(AttributionModel::Last);
    other.click(HOUR, 1, 1);
    let mut world = World::new(AttributionModel::Last);
    let corrected =
        |value| Event::OrderCorrected { order: Tag::of("A"), value: Micros(value), lines: Vec::new() };
    for world in [&mut other, &mut world] {
        world.order(HOUR, "A", |order| order.value = Micros(100)).unwrap();
        world.tell(HOUR, corrected(50));
    }
    assert_eq!(world.attributor.awaited().next().unwrap().standing, Standing::Orphan);
    for attribution in other.settle() {
        world.tell(HOUR, Event::Attributed { attribution: Box::new(attribution) });
    }
    assert_eq!(world.attributor.awaited().count(), 0);
    world.tell(HOUR, corrected(20));
    assert_eq!(world.settle().iter().map(amounts).collect::<Vec<_>>(), [[(1, 20)]]);
    // Of one whose first credit is in the journal no more, too.
    let mut later = World::new(AttributionModel::Last);
    later.order(HOUR, "A", |order| order.value = Micros(100)).unwrap();
    let [.., last] = &world.records[..] else { panic!("nothing was written") };
    later.tell(HOUR, last.event.clone());
    later.tell(HOUR, corrected(30));
    assert_eq!(amounts(later.settle().last().unwrap()), [(1, 30)]);
    // And whoever is told of it again after that corrects nothing.
    let mut again = World::new(AttributionModel::Last);
    again.tell(HOUR, last.event.clone());
    again.order(HOUR, "A", |order| order.value = Micros(100)).unwrap();
    assert_eq!(
        (again.attributor.awaited().count(), again.attributor.value(Tag::of("A"))),
        (0, Some(Micros(20)))
    );
}

/// A node that is cut off keeps the order in its spool, and another one is told that it was cancelled.
#[test]
fn what_was_changed_before_the_order_was_read_is_changed() {
    let corrected =
        |value| Event::OrderCorrected { order: Tag::of("A"), value: Micros(value), lines: Vec::new() };
    let mut world = World::new(AttributionModel::Last);
    world.click(HOUR, 1, 1);
    world.tell(HOUR, corrected(40));
    world.tell(HOUR, corrected(0));
    let found = world.order(HOUR, "A", |_| {}).unwrap();
    assert_eq!(found.value, Micros::ZERO);
    let told: Vec<_> = world.settle().iter().map(|found| (found.standing, amounts(found))).collect();
    assert_eq!(told[0], (Standing::Credited, vec![(1, 10_000_001)]));
    assert_eq!(told[1..], [(Standing::Corrected, vec![(1, 0)])]);
    // Whoever only reads the credit knows it, too, and that it is not corrected yet.
    let mut reader = World::new(AttributionModel::Last);
    reader.tell(HOUR, corrected(0));
    for record in world.records.iter().filter(|record| matches!(record.event, Event::Attributed { .. })) {
        reader.tell(HOUR, record.event.clone());
    }
    assert_eq!(reader.attributor.awaited().count(), 0);
    assert_eq!(reader.attributor.value(Tag::of("A")), Some(Micros::ZERO));
    // As long as orders are known, and no longer.
    reader.tell(HOUR, Event::OrderCorrected { order: Tag::of("B"), value: Micros(1), lines: Vec::new() });
    reader.pass(ORDER_MEMORY + DAY);
    assert_eq!(reader.order(HOUR, "B", |_| {}).unwrap().value, Micros(10_000_001));
    assert_eq!(reader.settle().len(), 1);
}

#[test]
fn an_order_that_brings_nothing_at_first_keeps_its_shares() {
    let corrected =
        |value| Event::OrderCorrected { order: Tag::of("A"), value: Micros(value), lines: Vec::new() };
    let mut world = World::new(AttributionModel::Last);
    world.click(HOUR, 1, 1);
    world.click(HOUR, 2, 1);
    world.order(HOUR, "A", |order| order.value = Micros::ZERO).unwrap();
    world.tell(HOUR, corrected(100));
    let told = world.settle();
    assert_eq!(told.iter().map(amounts).collect::<Vec<_>>(), [[(1, 0), (2, 0)], [(1, 0), (2, 100)]]);
    // So does whoever has nothing but one record of it, also where that was cancelled.
    for credited in [told[0].clone(), {
        world.tell(HOUR, corrected(0));
        world.settle().remove(0)
    }] {
        let mut reader = World::new(AttributionModel::Last);
        reader.tell(HOUR, Event::Attributed { attribution: Box::new(credited) });
        reader.tell(HOUR, corrected(70));
        assert_eq!(amounts(&reader.settle()[0]), [(1, 0), (2, 70)]);
    }
}

#[test]
fn whoever_opts_out_or_is_erased_leaves_no_touch() {
    for event in
        [Event::UserOptedOut { user: PrivacyKey::of(USER) }, Event::UserErased { user: PrivacyKey::of(USER) }]
    {
        let mut world = World::new(AttributionModel::Last);
        world.click(HOUR, 1, 1);
        world.tell(HOUR, event);
        assert_eq!(world.attributor.touches().0, 0);
        assert_eq!(world.order(HOUR, "A", |_| {}).unwrap().standing, Standing::Orphan);
        let saved = world.attributor.save();
        let key = PrivacyKey::of(USER).0.to_be_bytes();
        assert!(!saved.windows(8).any(|window| window == key), "a checkpoint names nobody who was erased");
        assert_eq!(world.attributor.forgotten(), 1);
    }
}

/// A node may start with its clock months ahead, or write some records before its clock is set.
#[test]
fn records_with_a_wrong_time_have_nobody_forgotten() {
    let mut world = World::new(AttributionModel::Last);
    world.click(HOUR, 1, 1);
    world.order(HOUR, "A", |_| {}).unwrap();
    world.settle();
    let right = world.now + DAY * 28;
    world.pass(DAY * 28);
    world.now = right + DAY * 100;
    world.click(Duration::ZERO, 2, 1);
    for _ in 0..1_000 {
        for now in [right, right + DAY * 100] {
            world.now = now;
            world.tell(Duration::ZERO, Event::Redacted);
        }
    }
    for _ in 0..20 {
        world.tell(Duration::ZERO, Event::Redacted);
    }
    world.now = right;
    assert_eq!(world.order(HOUR, "A", |_| {}), None, "it is known");
    let found = world.order(HOUR, "B", |_| {}).unwrap();
    assert_eq!((found.standing, found.path.len()), (Standing::Credited, 1));
    // Time goes on: what is too old is forgotten, and what claims to be of the future with it.
    world.pass(DAY * 38);
    assert_eq!(world.attributor.touches().0, 0);
}

#[test]
fn nobody_is_known_without_a_basis() {
    let mut world = World::new(AttributionModel::Last);
    let decision = Decision { user: None, ..world.decision(1, 1) };
    world.tell(HOUR, Event::Click { decision });
    assert_eq!(world.attributor.touches().0, 0);
}

#[test]
fn fitted_models_say_by_what_they_credited_until_they_are_fitted() {
    for model in [AttributionModel::Shapley, AttributionModel::Markov] {
        let mut world = World::new(model);
        let mut models = Vec::new();
        for round in 0..120u32 {
            let user = UserKey(1_000 + u64::from(round));
            for campaign in [1, 2] {
                if campaign == 1 || round % 3 == 0 {
                    let decision = Decision { user: Some(user), ..world.decision(campaign, round) };
                    world.tell(HOUR, Event::Click { decision });
                }
            }
            // Those who met both order.
            if round % 3 == 0 {
                world.order(HOUR, &format!("order {round}"), |order| order.user = Some(user)).unwrap();
            }
            models.extend(world.settle().into_iter().map(|found| (found.model, amounts(&found))));
        }
        assert_eq!(models[0].0, AttributionModel::Last);
        // A journey ends when its window is over: by then there are enough without an order, too.
        world.pass(DAY * 60);
        for round in 0..5u32 {
            let user = UserKey(5_000 + u64::from(round));
            for campaign in [1, 2] {
                let decision = Decision { user: Some(user), ..world.decision(campaign, 1_000 + round) };
                world.tell(HOUR, Event::Click { decision });
            }
            world.order(HOUR, &format!("late {round}"), |order| order.user = Some(user)).unwrap();
        }
        let last = world.settle().pop().unwrap();
        assert_eq!(last.model, model, "{last:?}");
        let [one, two] = [last.credits[0].amount, last.credits[1].amount];
        assert!(two > Micros::ZERO && one > Micros::ZERO, "{last:?}");
        assert_eq!((one + two).0, 10_000_001);
        assert!(world.attributor.counts().unfitted > 0);
    }
}

/// A long course of everything that can happen, with a start anew from a checkpoint at each of some places.
#[test]
fn a_replay_from_any_checkpoint_comes_to_the_same_state() {
    let mut world = World::new(AttributionModel::Markov);
    let mut checkpoints = Vec::new();
    for step in 0..3_000u32 {
        let draw = u64::from(step).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
        let user = UserKey(draw % 40);
        let decision = Decision { user: Some(user), ..world.decision(draw % 5, step) };
        let after = Duration::from_secs(draw % 20_000);
        match draw % 11 {
            0..=4 => drop(world.tell(after, Event::Impression { decision })),
            5..=7 => drop(world.tell(after, Event::Click { decision })),
            8 => drop(world.order(after, &format!("{}", draw % 500), |order| order.user = Some(user))),
            9 => {
                let (order, value) = (Tag::of(&format!("{}", draw % 500)), Micros(draw as i64 % 1000));
                world.tell(after, Event::OrderCorrected { order, value, lines: Vec::new() });
            }
            _ => drop(world.tell(after, Event::UserErased { user: PrivacyKey::of(UserKey(draw % 400)) })),
        }
        if step % 7 == 0 {
            world.settle();
        }
        if step % 500 == 250 {
            checkpoints.push((world.attributor.cursor(), world.attributor.save()));
        }
    }
    let expected = world.attributor.save();
    assert!(world.attributor.counts().credited > 100, "{:?}", world.attributor.counts());
    for (offset, bytes) in
        checkpoints.into_iter().chain([(0, Attributor::new(settings(AttributionModel::Markov)).save())])
    {
        let mut again = Attributor::new(settings(AttributionModel::Markov));
        again.restore(&bytes, offset).unwrap();
        // Whoever reads on from a checkpoint may read some of what it includes again.
        for (at, record) in
            (0..).zip(&world.records).skip(usize::try_from(offset.saturating_sub(20)).unwrap())
        {
            again.consume(at, record);
        }
        assert!(again.save() == expected, "from {offset}");
    }
}

#[test]
fn what_was_found_but_not_written_is_found_again_and_what_was_written_counts() {
    let mut world = World::new(AttributionModel::Last);
    world.view(HOUR, 1, 1);
    world.view(HOUR, 2, 1);
    world.order(HOUR, "A", |_| {}).unwrap();
    // The program ends before it is written; the next one credits otherwise.
    let mut next = Attributor::new(settings(AttributionModel::First));
    (0..).zip(&world.records).for_each(|(at, record)| drop(next.consume(at, record)));
    assert_eq!(amounts(next.awaited().next().unwrap()), [(1, 10_000_001), (2, 0)]);
    world.settle();
    world.tell(HOUR, Event::OrderCorrected { order: Tag::of("A"), value: Micros(40), lines: Vec::new() });
    let mut next = Attributor::new(settings(AttributionModel::First));
    (0..).zip(&world.records).for_each(|(at, record)| drop(next.consume(at, record)));
    let awaited: Vec<_> = next.awaited().map(amounts).collect();
    assert_eq!(awaited, [vec![(1, 0), (2, 40)]], "the last view was credited, so its correction is, too");
}

/// Whoever catches up may be days further in what is decided than in what campaigns' owners wrote.
#[test]
fn a_credit_waits_for_its_order_however_far_the_reader_is_behind() {
    let mut world = World::new(AttributionModel::Linear);
    let decision = world.decision(1, 1);
    let ordered = |order: &str| {
        let (decision, revenue, order) = (decision.clone(), Micros(9), Tag::of(order));
        Event::Conversion { decision, revenue, order }
    };
    world.tell(HOUR, ordered("A"));
    world.settle();
    world.tell(HOUR, Event::OrderCorrected { order: Tag::of("A"), value: Micros(4), lines: Vec::new() });
    world.settle();
    world.tell(40 * DAY, ordered("B"));
    world.settle();
    let (campaigns, orders): (Vec<_>, Vec<_>) =
        world.records.iter().partition(|record| matches!(record.event, Event::Conversion { .. }));
    let mut behind = Attributor::new(settings(AttributionModel::Linear));
    for record in orders.into_iter().chain(campaigns) {
        behind.consume(behind.cursor(), record);
    }
    assert_eq!(behind.awaited().count(), 0, "decided on already");
    assert_eq!(behind.orders(), 2);
    assert_eq!(behind.counts().duplicates, 0);
    let known = &behind.state.orders.get_mut(Tag::of("A")).unwrap().attribution;
    assert_eq!((known.value, known.standing), (Micros(4), Standing::Corrected));
}

/// Two parts of a log: what is told of orders and decided about them, in one order, and what campaigns' owners wrote. Whoever reads
/// takes from either as it comes.
#[derive(Default)]
struct Parts {
    orders: Vec<Record>,
    campaigns: Vec<Record>,
}

struct Reader {
    attributor: Attributor,
    /// How much of either was read.
    orders: usize,
    campaigns: usize,
}

impl Reader {
    fn new() -> Self {
        Self { attributor: Attributor::new(settings(AttributionModel::Linear)), orders: 0, campaigns: 0 }
    }

    fn read(&mut self, parts: &Parts, campaigns: bool) {
        let (part, read) = if campaigns {
            (&parts.campaigns, &mut self.campaigns)
        } else {
            (&parts.orders, &mut self.orders)
        };
        if let Some(record) = part.get(*read) {
            *read += 1;
            self.attributor.consume(self.attributor.cursor(), record);
        }
    }

    fn read_all(&mut self, parts: &Parts) {
        while self.campaigns < parts.campaigns.len() {
            self.read(parts, true);
        }
        while self.orders < parts.orders.len() {
            self.read(parts, false);
        }
    }
}

proptest::proptest! {
    /// Of nodes that read one log in different orders, one decides at a time. Each order is decided on once, each change of it, too, and
    /// all know it alike in the end, as the shop said last.
    #[test]
    fn several_nodes_decide_once(
        steps in proptest::collection::vec((0u8..11, 0u64..4, proptest::bool::ANY, 0i64..4), 1..120),
    ) {
        let mut parts = Parts::default();
        let mut readers = [Reader::new(), Reader::new()];
        let (mut decides, mut now) = (0, Timestamp(0) + DAY * 20_000);
        for (number, (what, which, other, value)) in (0u32..).zip(steps) {
            now = now + HOUR;
            let record = |event| Record { at: now, campaign: CampaignKey::default(), event };
            let bid = BidId { campaign: CampaignKey(which), lease: 1, number };
            let decision = Decision { bid, at: now, user: Some(USER), ..Decision::default() };
            // Of each a click's token may tell, or the shop, or both, some of them twice and of different values.
            let (order, value) = (Tag(which), Micros(value * 5));
            match what {
                0 => parts.campaigns.push(record(Event::Click { decision })),
                1 if other => parts.campaigns.push(record(Event::Conversion { decision, revenue: value, order })),
                1 => {
                    let (tag, user, placed_at, id) = (order, Some(USER), now, which.to_string());
                    let order = Order { tag, id, user, placed_at, value, ..Order::default() };
                    parts.orders.push(record(Event::Ordered { order: Box::new(order) }));
                }
                2 => parts.orders.push(record(Event::OrderCorrected { order, value, lines: Vec::new() })),
                3..=6 => readers[usize::from(other)].read(&parts, what % 2 == 0),
                7..=9 => {
                    let reader = &mut readers[decides];
                    reader.read_all(&parts);
                    for (written, attribution) in reader.attributor.awaited().enumerate() {
                        // It may die before all is written.
                        if what == 9 && written > 0 {
                            break;
                        }
                        parts.orders.push(record(Event::Attributed { attribution: Box::new(attribution.clone()) }));
                    }
                    reader.read_all(&parts);
                }
                _ => decides = usize::from(other),
            }
        }
        for reader in &mut readers {
            reader.read_all(&parts);
            for attribution in reader.attributor.awaited() {
                let event = Event::Attributed { attribution: Box::new(attribution.clone()) };
                parts.orders.push(Record { at: now, campaign: CampaignKey::default(), event });
            }
        }
        let mut said: BTreeMap<Tag, Attribution> = BTreeMap::new();
        let (mut ordered, mut changed) = (BTreeMap::new(), BTreeMap::new());
        for record in &parts.orders {
            match &record.event {
                Event::Attributed { attribution } => {
                    let sum = attribution.credits.iter().map(|credit| credit.amount.0).sum::<i64>();
                    proptest::prop_assert!(attribution.credits.is_empty() || sum == attribution.value.0);
                    let before = said.insert(attribution.order, (**attribution).clone());
                    let corrects = attribution.standing == Standing::Corrected;
                    proptest::prop_assert_eq!(before.is_some(), corrects, "decided once");
                    proptest::prop_assert!(before.is_none_or(|before| before.value != attribution.value), "changed twice");
                }
                Event::Ordered { order } => drop(ordered.entry(order.tag).or_insert(order.value)),
                Event::OrderCorrected { order, value, .. } => drop(changed.insert(*order, *value)),
                _ => {}
            }
        }
        for reader in &mut readers {
            reader.read_all(&parts);
            proptest::prop_assert_eq!(reader.attributor.awaited().count(), 0);
            proptest::prop_assert_eq!(reader.attributor.orders(), said.len());
        }
        let [one, other] = &readers;
        for (order, said) in &said {
            let known = one.attributor.state.orders.get(*order).unwrap();
            proptest::prop_assert_eq!(Some(known), other.attributor.state.orders.get(*order));
            let id = known.attribution.id.clone();
            proptest::prop_assert_eq!(&known.attribution, &Attribution { id, ..said.clone() });
            if let Some(value) = changed.get(order).or(ordered.get(order)) {
                proptest::prop_assert_eq!(said.value, *value, "as the shop said last");
            }
        }
    }
}
