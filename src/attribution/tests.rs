//! A small journal by hand, and what is reported of it.

use std::time::Duration;

use haggle_actors::attribution::{Attributor, AttributorSettings};
use haggle_domain::{
    AttributionModel, BidId, CampaignKey, Decision, Event, Micros, Order, OrderLine, Record, Tag, Timestamp,
    UserKey,
};

use super::gather::{Period, Reading};
use super::report::{Report, of};
use super::text;

const DAY: Duration = Duration::from_secs(86_400);

fn settings() -> AttributorSettings {
    AttributorSettings {
        model: AttributionModel::Last,
        click_window: DAY * 30,
        view_window: DAY,
        half_life: DAY * 7,
        touches: 1000,
    }
}

fn report(events: Vec<(u32, Event)>, models: &[AttributionModel]) -> Report {
    let period = Period { from: Timestamp(0), to: Timestamp::MAX };
    let mut reading = Reading::new(settings(), period);
    for (offset, (hour, event)) in (0..).zip(events) {
        let at = Timestamp(0) + Duration::from_secs(3600) * (1000 + hour);
        let campaign = match &event {
            Event::Billed { bid, .. } => bid.campaign,
            Event::Defined { id } => CampaignKey::of(id),
            _ => CampaignKey::default(),
        };
        reading.take(offset, &Record { at, campaign, event });
    }
    of(&reading.finish(), models, DAY * 7)
}

fn bid(campaign: &str, number: u32) -> BidId {
    BidId { campaign: CampaignKey::of(campaign), lease: 1, number }
}

/// An ad of a campaign that cost so much, and was seen or clicked by a user.
fn met(
    hour: u32,
    campaign: &str,
    (user, number): (u64, u32),
    cents: i64,
    clicked: bool,
) -> Vec<(u32, Event)> {
    let bid = bid(campaign, number);
    let charged = Micros(cents * 10_000);
    let billed = Event::Billed { bid, reserved: charged, charged, capped: false, explored: false };
    let decision = Decision { bid, user: Some(UserKey(user)), ..Decision::default() };
    let mut events = vec![(hour, billed), (hour, Event::Impression { decision: decision.clone() })];
    if clicked {
        events.push((hour, Event::Click { decision }));
    }
    events
}

fn order(hour: u32, id: &str, user: u64, lines: &[(&str, i64)]) -> (u32, Event) {
    let units = Micros::from_units;
    let lines: Vec<OrderLine> = lines
        .iter()
        .map(|(product, value)| OrderLine {
            product: (*product).to_owned(),
            quantity: 1,
            value: units(*value),
        })
        .collect();
    let order = Order {
        tag: Tag::of(id),
        id: id.to_owned(),
        user: Some(UserKey(user)),
        placed_at: Timestamp(0) + Duration::from_secs(3600) * (1000 + hour),
        value: lines.iter().fold(Micros::ZERO, |sum, line| sum + line.value),
        lines,
        ..Order::default()
    };
    (hour, Event::Ordered { order: Box::new(order) })
}

/// Boots and lamps; one user meets both, the other one boots alone, a third none.
fn journal() -> Vec<(u32, Event)> {
    let mut events: Vec<(u32, Event)> =
        ["boots", "lamps"].map(|id| (0, Event::Defined { id: id.to_owned() })).into();
    events.extend(met(1, "boots", (1, 1), 40, true));
    events.extend(met(2, "lamps", (1, 1), 20, true));
    events.extend(met(3, "boots", (2, 2), 10, false));
    events.extend(met(3, "boots", (4, 3), 30, false));
    events.push(order(5, "A", 1, &[("red boots", 30), ("laces", 10)]));
    events.push(order(6, "A", 1, &[("red boots", 30), ("laces", 10)]));
    events.push(order(6, "B", 2, &[("red boots", 60)]));
    events.push(order(6, "C", 3, &[("lamp", 5)]));
    events.push(order(40, "D", 4, &[("lamp", 5)]));
    events.push((
        41,
        Event::OrderCorrected { order: Tag::of("B"), value: Micros::from_units(50), lines: Vec::new() },
    ));
    events.push((41, Event::OrderCorrected { order: Tag::of("Z"), value: Micros::ZERO, lines: Vec::new() }));
    events
}

#[test]
fn the_report_shows_models_side_by_side() {
    let shown = text::write(&report(journal(), &AttributionModel::ALL));
    let expected = "\
orders: 2 credited, 1 too late, 1 of users who met no ad, 1 told again, 1 corrected, 1 corrections of unknown ones
journeys: 2, of which 2 ended in an order
note: shapley and markov need 30 journeys that ended in an order and 30 that did not; there are 2 and 0

credited value         cost         last        first       linear        decay     position
boots                  0.80        50.00        90.00        70.00        69.96        70.00
lamps                  0.20        40.00         0.00        20.00        20.04        20.00

credited orders         cost         last        first       linear        decay     position
boots                   0.80         1.00         2.00         1.50         1.50         1.50
lamps                   0.20         1.00         0.00         0.50         0.50         0.50

return on ad spend         cost         last        first       linear        decay     position
boots                      0.80        62.50       112.50        87.50        87.45        87.50
lamps                      0.20       200.00         0.00       100.00       100.21       100.00

cost of products         sold         last        first       linear        decay     position
laces                       1         0.05         0.10         0.15         0.15         0.15
red boots                   2         0.25         0.40         0.55         0.55         0.55

return of products         sold         last        first       linear        decay     position
laces                         1       200.00       100.00        66.67        66.67        66.67
red boots                     2       320.00       200.00       145.45       145.45       145.45
";
    assert_eq!(shown, expected, "{shown}");
}

fn pixel(hour: u32, campaign: &str, (user, number): (u64, u32), id: &str, units: i64) -> (u32, Event) {
    let decision = Decision { bid: bid(campaign, number), user: Some(UserKey(user)), ..Decision::default() };
    (hour, Event::Conversion { decision, revenue: Micros::from_units(units), order: Tag::of(id) })
}

fn sold(report: &Report) -> Vec<(&str, i64)> {
    report.products.iter().map(|row| (row.id.as_str(), row.by_model[0].value_micros / 1_000_000)).collect()
}

#[test]
fn a_browsers_word_gives_way_to_the_shops_lines_and_value() {
    let mut events = met(1, "boots", (1, 1), 40, true);
    events.push(pixel(2, "boots", (1, 1), "A", 0));
    events.push(order(3, "A", 1, &[("red boots", 30), ("laces", 10)]));
    events.push(order(4, "A", 1, &[("red boots", 99)]));
    let report = report(events, &[AttributionModel::Last]);
    assert_eq!(sold(&report), [("laces", 10), ("red boots", 30)]);
    assert_eq!(report.campaigns[0].by_model[0].value_micros, 40_000_000);
}

/// Of several nodes' log one part may be read before another: the credit, what was changed of it, and then the order itself.
#[test]
fn what_was_changed_of_an_order_counts_wherever_it_lies() {
    let changed = |id, units, lines: &[(&str, i64)]| {
        let (_, Event::Ordered { order }) = order(0, id, 1, lines) else { panic!("no order") };
        (
            3,
            Event::OrderCorrected {
                order: Tag::of(id),
                value: Micros::from_units(units),
                lines: order.lines,
            },
        )
    };
    let mut events = met(1, "boots", (1, 1), 40, true);
    let credited = {
        let (settings, now) = (settings(), Timestamp(0) + Duration::from_secs(3600) * 1_000);
        let mut attributor = Attributor::new(settings);
        let (_, event) = pixel(2, "boots", (1, 1), "A", 40);
        attributor.consume(0, &Record { at: now, campaign: CampaignKey::default(), event });
        attributor.awaited().next().unwrap().clone()
    };
    events.push((2, Event::Attributed { attribution: Box::new(credited) }));
    events.push(changed("A", 10, &[]));
    events.push(pixel(4, "boots", (1, 1), "A", 40));
    events.push(changed("B", 5, &[("laces", 5)]));
    events.push(order(4, "B", 1, &[("red boots", 30), ("laces", 10)]));
    events.push(changed("C", 0, &[]));
    events.push(order(4, "C", 1, &[("lamp", 30)]));
    let report = report(events, &[AttributionModel::Last]);
    assert_eq!(sold(&report), [("(no lines)", 10), ("laces", 5)]);
    assert_eq!(report.campaigns[0].by_model[0].value_micros, 15_000_000);
}

#[test]
fn a_record_with_a_wrong_time_makes_no_touch_free() {
    let mut events = met(1, "boots", (1, 1), 40, true);
    let (_, billed) = met(1, "lamps", (9, 9), 20, false).swap_remove(0);
    events.push((50_000, billed));
    events.push(order(3, "A", 1, &[("red boots", 30)]));
    let report = report(events, &[AttributionModel::Last]);
    assert_eq!(report.products[0].by_model[0].cost_micros, 400_000);
}

#[test]
fn fitted_models_credit_once_there_is_enough_and_every_model_credits_all_of_the_value() {
    let mut events = journal();
    for user in 100..300u64 {
        let (at, number) = (50 + user as u32, user as u32);
        events.extend(met(at, "boots", (user, number), 10, true));
        if user % 2 == 0 {
            events.extend(met(at, "lamps", (user, number), 10, true));
        }
        if user % 4 == 0 {
            events.push(order(at, &user.to_string(), user, &[("lamp", 7)]));
        }
    }
    // Long after, journeys without an order have ended.
    events.extend(vec![(50_000, Event::Redacted); 200]);
    let report = report(events, &AttributionModel::ALL);
    assert_eq!((report.models.len(), report.not_fitted.as_deref()), (7, None));
    for at in 0..7 {
        let sum: i64 = report.campaigns.iter().map(|row| row.by_model[at].value_micros).sum();
        assert_eq!(sum, 90_000_000 + 50 * 7_000_000, "{}", report.models[at]);
        let cost: i64 = report.products.iter().map(|row| row.by_model[at].cost_micros).sum();
        assert!(cost <= report.campaigns.iter().map(|row| row.cost_micros.unwrap()).sum(), "{cost}");
    }
    let [boots, lamps] = [0, 1].map(|row: usize| report.campaigns[row].by_model[6].value_micros);
    assert!(boots > 0 && lamps > 0, "{boots} {lamps}");
}
