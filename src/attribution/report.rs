//! `haggle attribution`: what each campaign and product cost and brought, by every model side by side.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use haggle_domain::{AttributionModel, BidId, CampaignKey, Micros, Timestamp};
use haggle_learning::attribution::{ENOUGH, Fitted, Touch, shares, split};
use serde::Serialize;

use super::args::AttributionArgs;
use super::gather::{Gathered, Period, Sale, gather};
use super::text;
use crate::cli::print;
use crate::exit::{Exit, ExitError};
use crate::model::{Progress, watched};
use haggle_actors::attribution::AttributorSettings;

/// What stands for a product of orders whose lines were not told.
const NO_LINES: &str = "(no lines)";

/// The report.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Report {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) to: Option<String>,
    pub(super) records: u64,
    pub(super) orders: Outcomes,
    pub(super) journeys: u64,
    pub(super) journeys_with_an_order: u64,
    /// Why fitted models credit nothing; none where they do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) not_fitted: Option<String>,
    /// Touches that were forgotten before their time.
    pub(super) touches_dropped: u64,
    pub(super) models: Vec<&'static str>,
    pub(super) campaigns: Vec<Row>,
    pub(super) products: Vec<Row>,
}

/// What became of orders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Outcomes {
    pub(super) credited: u64,
    pub(super) late: u64,
    pub(super) orphans: u64,
    pub(super) told_again: u64,
    pub(super) corrected: u64,
    pub(super) corrected_unknown: u64,
}

/// A campaign or a product.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Row {
    pub(super) id: String,
    /// What was charged; of a product nothing but what models say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cost_micros: Option<i64>,
    /// How many were sold, of a product.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) quantity: Option<u64>,
    /// By each model, in their order.
    pub(super) by_model: Vec<Cell>,
}

/// What one model says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Cell {
    /// Orders, in parts.
    pub(super) orders: f64,
    pub(super) value_micros: i64,
    /// What that cost.
    pub(super) cost_micros: i64,
    /// Value ÷ cost; none where nothing was charged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) roas: Option<f64>,
}

/// Reports.
///
/// # Errors
///
/// A folder without a journal, one that cannot be read, or a stop.
pub fn run(args: &AttributionArgs) -> Result<(), ExitError> {
    let (asked, json) = (args.clone(), args.json);
    let report = watched(json, move |progress| make(&asked, progress))?;
    print(if json {
        serde_json::to_string_pretty(&report).map_err(|error| ExitError::new(Exit::Internal, error))?
    } else {
        text::write(&report)
    })
}

fn make(args: &AttributionArgs, progress: &Progress) -> Result<Report, ExitError> {
    let period =
        Period { from: args.from.unwrap_or(Timestamp(i64::MIN)), to: args.to.unwrap_or(Timestamp::MAX) };
    if period.from >= period.to {
        return Err(ExitError::new(Exit::Usage, "--from is not before --to"));
    }
    let settings = AttributorSettings {
        // Which one does not matter: paths are credited here, by each.
        model: AttributionModel::Last,
        click_window: args.click_window,
        view_window: args.view_window,
        half_life: args.half_life,
        touches: args.touches,
    };
    let gathered = gather(&args.data, settings, period, progress)?;
    let mut report = of(&gathered, &args.model.0, args.half_life);
    report.from = args.from.map(|at| at.to_string());
    report.to = args.to.map(|at| at.to_string());
    Ok(report)
}

/// The report of what was gathered.
pub(super) fn of(gathered: &Gathered, models: &[AttributionModel], half_life: Duration) -> Report {
    let (journeys, ordered) = gathered.journeys.totals();
    let fitted = Fitted::of(&gathered.journeys);
    let not_fitted = (fitted.is_none() && models.iter().any(|model| model.is_fitted())).then(|| {
        format!(
            "shapley and markov need {ENOUGH} journeys that ended in an order and {ENOUGH} that did not; there are \
             {ordered} and {}",
            journeys - ordered
        )
    });
    let models: Vec<AttributionModel> =
        models.iter().copied().filter(|model| fitted.is_some() || !model.is_fitted()).collect();
    let mut campaigns: BTreeMap<CampaignKey, Vec<Cell>> = BTreeMap::new();
    let none = || vec![Cell::default(); models.len()];
    gathered.costs.keys().for_each(|key| drop(campaigns.insert(*key, none())));
    let mut products: BTreeMap<&str, (u64, Vec<Cell>)> = BTreeMap::new();
    for (at, model) in models.iter().enumerate() {
        let credited = credited(&gathered.sales, *model, half_life, fitted.as_ref());
        for (sale, shares) in &credited {
            for ((kept, share), amount) in sale.path.iter().zip(shares).zip(split(sale.value, shares)) {
                let cells = campaigns.entry(kept.bid.campaign).or_insert_with(none);
                if let Some(cell) = cells.get_mut(at) {
                    cell.orders += share;
                    cell.value_micros += amount.0;
                }
            }
        }
        for (product, quantity, value, cost) in by_product(&credited) {
            let (sold, cells) = products.entry(product).or_insert_with(|| (0, none()));
            if at == 0 {
                *sold += quantity;
            }
            if let Some(cell) = cells.get_mut(at) {
                cell.orders += 1.0;
                cell.value_micros += value.0;
                cell.cost_micros += cost.0;
            }
        }
    }
    let name = |key: CampaignKey| gathered.names.get(&key).cloned().unwrap_or_else(|| key.to_string());
    let mut rows: Vec<Row> = campaigns
        .into_iter()
        .map(|(key, mut cells)| {
            let cost = gathered.costs.get(&key).copied().unwrap_or_default();
            cells.iter_mut().for_each(|cell| cell.cost_micros = cost.0);
            Row { id: name(key), cost_micros: Some(cost.0), quantity: None, by_model: cells }
        })
        .collect();
    rows.sort_by(|one, other| one.id.cmp(&other.id));
    let mut sold: Vec<Row> = products
        .into_iter()
        .map(|(id, (quantity, cells))| Row {
            id: id.to_owned(),
            cost_micros: None,
            quantity: Some(quantity),
            by_model: cells,
        })
        .collect();
    for row in rows.iter_mut().chain(&mut sold) {
        row.by_model.iter_mut().for_each(|cell| {
            cell.roas = (cell.cost_micros > 0).then(|| cell.value_micros as f64 / cell.cost_micros as f64);
        });
    }
    let counts = gathered.counts;
    Report {
        from: None,
        to: None,
        records: gathered.records,
        orders: Outcomes {
            credited: counts.credited,
            late: counts.late,
            orphans: counts.orphans,
            told_again: counts.duplicates,
            corrected: counts.corrected,
            corrected_unknown: counts.unknown,
        },
        journeys,
        journeys_with_an_order: ordered,
        not_fitted,
        touches_dropped: gathered.dropped.0 + gathered.dropped.1,
        models: models.into_iter().map(AttributionModel::as_str).collect(),
        campaigns: rows,
        products: sold,
    }
}

type Credited<'g> = Vec<(&'g Sale, Vec<f64>)>;

/// Orders that somebody is credited with, and the share of each touch.
fn credited<'g>(
    sales: &'g [Sale],
    model: AttributionModel,
    half_life: Duration,
    fitted: Option<&Fitted>,
) -> Credited<'g> {
    let share = |sale: &'g Sale| {
        let path: Vec<Touch> = sale.path.iter().map(haggle_actors::attribution::Kept::touch).collect();
        Some((sale, shares(model, &path, sale.placed_at, half_life, fitted)?))
    };
    sales.iter().filter_map(share).collect()
}

/// Of each line: product, quantity, value and cost.
///
/// What a touch cost counts once: where several orders credit it, by its shares in them. An order's cost is that of the touches
/// that it credits, and is spread over its lines by their values. So what ads cost that no order credits is in no product.
fn by_product<'g>(credited: &Credited<'g>) -> Vec<(&'g str, u64, Micros, Micros)> {
    let mut shared: HashMap<BidId, f64> = HashMap::new();
    for (sale, shares) in credited {
        for (kept, share) in sale.path.iter().zip(shares) {
            *shared.entry(kept.bid).or_default() += share;
        }
    }
    let mut lines = Vec::new();
    for (sale, shares) in credited {
        let parts = sale.path.iter().zip(&sale.costs).zip(shares).map(|((kept, cost), share)| {
            let all = shared.get(&kept.bid).copied().unwrap_or_default();
            if all > 0.0 { cost.0 as f64 * share / all } else { 0.0 }
        });
        let cost = Micros(parts.sum::<f64>().round() as i64);
        if sale.lines.is_empty() {
            lines.push((NO_LINES, 1, sale.value, cost));
            continue;
        }
        let values: Vec<f64> = sale.lines.iter().map(|line| line.value.to_f64()).collect();
        for (line, cost) in sale.lines.iter().zip(split(cost, &values)) {
            lines.push((line.product.as_str(), u64::from(line.quantity), line.value, cost));
        }
    }
    lines
}
