//! How spend is spread over the day: `"even"`, or `{ curve = "traffic", control = "pid" }`.

use haggle_domain::{Control, Pacing};

use super::document::Node;

const CURVES: [(&str, Pacing); 4] =
    [("even", Pacing::Even), ("asap", Pacing::Asap), ("ahead", Pacing::Ahead), ("traffic", Pacing::Traffic)];
const CONTROLS: [(&str, Control); 3] =
    [("dual", Control::Dual), ("pid", Control::Pid), ("throttle", Control::Throttle)];
/// The highest weight of an hour: its share of the money is what counts.
const HEAVIEST: i64 = 1_000;

/// The curve, and what keeps spend to it.
pub(super) fn read(node: &Node<'_>) -> Option<(Pacing, Control)> {
    if node.value().as_table().is_none() {
        return Some((node.choice(&CURVES)?, Control::default()));
    }
    let mut table = node.table()?;
    let curve = table.get("curve").map_or(Some(Pacing::default()), |node| curve(&node));
    let control_node = table.get("control");
    let control = control_node.as_ref().map_or(Some(Control::default()), |node| node.choice(&CONTROLS));
    table.finish();
    let (curve, control) = (curve?, control?);
    if let (Pacing::Asap, Some(node)) = (curve, control_node) {
        node.fail(
            "has nothing to do where all is spent as soon as possible; leave it out, or choose another curve",
        );
        return None;
    }
    Some((curve, control))
}

fn curve(node: &Node<'_>) -> Option<Pacing> {
    if node.value().as_array().is_none() {
        return node.choice(&CURVES);
    }
    let list = node.list()?;
    // Read all before giving up, so that every mistake is reported.
    let weights: Vec<Option<u16>> = list
        .iter()
        .map(|node| node.integer(0..=HEAVIEST).and_then(|weight| u16::try_from(weight).ok()))
        .collect();
    let Ok(hours) = <[Option<u16>; 24]>::try_from(weights) else {
        node.fail(format!(
            "has {} numbers, must have 24: a weight for each hour of the day, from midnight on",
            list.len()
        ));
        return None;
    };
    if hours.iter().all(|weight| *weight == Some(0)) {
        node.fail("gives no hour any money; write a number above 0 for those in which it is to be spent");
        return None;
    }
    let mut read = [0; 24];
    for (hour, weight) in read.iter_mut().zip(hours) {
        *hour = weight?;
    }
    Some(Pacing::Hours(read))
}
