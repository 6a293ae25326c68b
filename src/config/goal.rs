//! What a campaign's money should buy, `goal`, and what holds beside it, `limits`.

use haggle_domain::{CapWindow, CpmMicros, Goal, Limits, ReturnLimit};
use toml::de::DeValue;

use super::document::{Node, Table};
use super::duration;
use super::frequency::window;
use super::words::money;

/// Return on ad spend beyond this is a slip.
const HIGHEST_ROAS: f64 = 10_000.0;
/// And less than this, too.
const LOWEST_ROAS: f64 = 0.001;
/// An impression that is worth nearly as much as the one before it is no goal of reach.
const HIGHEST_REPEAT: f64 = 0.9;

/// The one goal.
pub(super) fn read(node: &Node<'_>) -> Option<Goal> {
    let mut table = node.table()?;
    if table.len() != 1 {
        table.fail(
            "must have exactly one of cpm, vcpm, reach, cpc, cpa and roas; write it like { cpc = { max = \"0.60\" } }",
        );
        return None;
    }
    // Asking for all tells the table what it may hold.
    let kinds = ["cpm", "vcpm", "reach", "cpc", "cpa", "roas"].map(|kind| (kind, table.get(kind)));
    table.finish();
    let (kind, node) = kinds.into_iter().find_map(|(kind, node)| Some((kind, node?)))?;
    let mut inner = node.table()?;
    let goal = match kind {
        "cpm" => price(&mut inner).map(|price| Goal::Cpm { price }),
        "vcpm" => price(&mut inner).map(|price| Goal::Vcpm { price }),
        "reach" => reach(&mut inner),
        "cpc" => inner.need("max", "\"0.60\"").and_then(|node| money(&node)).map(|max| Goal::Cpc { max }),
        "cpa" => {
            let target = inner.need("target", "\"18.00\"").and_then(|node| money(&node));
            target.map(|target| Goal::Cpa { target })
        }
        _ => roas(&mut inner),
    };
    inner.finish();
    goal
}

fn price(table: &mut Table<'_>) -> Option<CpmMicros> {
    table.need("price", "\"4.00\"").and_then(|node| money(&node))
}

fn reach(table: &mut Table<'_>) -> Option<Goal> {
    let price = price(table);
    let repeat = table.get("repeat").map_or(Some(0.0), |node| {
        let of = "from 0 to 0.9, without quotes, like 0.5";
        number(&node, of, |number| (0.0..=HIGHEST_REPEAT).contains(&number))
    });
    let within = table.get("within").map_or(Some(CapWindow::Lifetime), |node| node.read(window));
    Some(Goal::Reach { price: price?, repeat: repeat?, within: within? })
}

fn roas(table: &mut Table<'_>) -> Option<Goal> {
    let target = table.need("target", "4.0").and_then(|node| ratio(&node));
    let order_value = table.need("order_value", "\"70.00\"").and_then(|node| money(&node));
    let margin = table.get("margin").map_or(Some(1.0), |node| {
        let of = "above 0 and at most 1, without quotes, like 0.35";
        number(&node, of, |number| number > 0.0 && number <= 1.0)
    });
    Some(Goal::Roas { target: target?, order_value: order_value?, margin: margin? })
}

/// Revenue ÷ spend: no money, so a plain number.
fn ratio(node: &Node<'_>) -> Option<f64> {
    let of = format!("from {LOWEST_ROAS} to {HIGHEST_ROAS}, without quotes, like 4.0");
    number(node, &of, |number| (LOWEST_ROAS..=HIGHEST_ROAS).contains(&number))
}

fn number(node: &Node<'_>, of: &str, fits: impl FnOnce(f64) -> bool) -> Option<f64> {
    let number = match node.value() {
        DeValue::Float(number) => number.as_str().parse::<f64>().ok(),
        DeValue::Integer(number) => number.as_str().parse::<f64>().ok(),
        _ => None,
    };
    let found = number.filter(|number| fits(*number));
    if found.is_none() {
        node.fail(format!("must be a number {of}"));
    }
    found
}

/// What holds beside the goal; a limit that the goal says already is a slip.
pub(super) fn limits(node: &Node<'_>, goal: Option<&Goal>) -> Option<Limits> {
    let mut table = node.table()?;
    let keys = ["max_cpc", "target_cpa", "target_roas", "order_value"].map(|key| table.get(key));
    table.finish();
    let [max_cpc, target_cpa, target_roas, order_value] = keys;
    if max_cpc.is_none() && target_cpa.is_none() && target_roas.is_none() {
        node.fail("has none of max_cpc, target_cpa and target_roas; leave it out, or write it like { max_cpc = \"0.80\" }");
        return None;
    }
    let doubled = match goal {
        Some(Goal::Cpc { .. }) => max_cpc.as_ref().map(|node| (node, "cpc.max")),
        Some(Goal::Cpa { .. }) => target_cpa.as_ref().map(|node| (node, "cpa.target")),
        Some(Goal::Roas { .. }) => target_roas.as_ref().map(|node| (node, "roas.target")),
        _ => None,
    };
    if let Some((node, said)) = doubled {
        node.fail(format!("says again what goal.{said} does; leave it out"));
        return None;
    }
    if let (None, Some(node)) = (&target_roas, &order_value) {
        node.fail("is only for target_roas, which is not there; leave it out");
        return None;
    }
    let optional = |node: &Option<Node<'_>>| match node {
        Some(node) => money(node).map(Some),
        None => Some(None),
    };
    let target_roas = match target_roas {
        None => Some(None),
        Some(node) if order_value.is_none() => {
            node.fail("needs to know what an order brings; add order_value, like \"70.00\"");
            None
        }
        Some(node) => {
            let (target, order_value) = (ratio(&node), order_value.and_then(|node| money(&node)));
            target.zip(order_value).map(|(target, order_value)| Some(ReturnLimit { target, order_value }))
        }
    };
    let (max_cpc, target_cpa) = (optional(&max_cpc), optional(&target_cpa));
    Some(Limits { max_cpc: max_cpc?, target_cpa: target_cpa?, target_roas: target_roas? })
}

/// As a person would say it.
pub(super) fn show(goal: &Goal, limits: &Limits) -> String {
    let mut text = match goal {
        Goal::Cpm { price } => format!("cpm {price}"),
        Goal::Vcpm { price } => format!("vcpm {price}"),
        Goal::Reach { price, repeat, within } => {
            let within = match within {
                CapWindow::Last(span) => format!("in {}", duration::show(*span)),
                CapWindow::Lifetime => "ever".to_owned(),
            };
            format!("reach {price} for the first {within}, then {repeat} of that each")
        }
        Goal::Cpc { max } => format!("cpc up to {max}"),
        Goal::Cpa { target } => format!("cpa {target}"),
        Goal::Roas { target, order_value, margin } if *margin < 1.0 => {
            format!("roas {target} of a margin of {margin} at {order_value} an order")
        }
        Goal::Roas { target, order_value, .. } => format!("roas {target} at {order_value} an order"),
    };
    let cpc = limits.max_cpc.map(|most| format!("; a click up to {most}"));
    let cpa = limits.target_cpa.map(|target| format!("; an order at {target}"));
    let roas =
        limits.target_roas.map(|limit| format!("; roas {} at {} an order", limit.target, limit.order_value));
    [cpc, cpa, roas].into_iter().flatten().for_each(|more| text.push_str(&more));
    text
}
