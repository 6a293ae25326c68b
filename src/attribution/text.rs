//! The report as people read it.

use std::fmt::Write;

use haggle_domain::Micros;

use super::report::{Cell, Report, Row};
use crate::cli::printable;

/// Writes it. To write into memory does not fail.
pub(super) fn write(report: &Report) -> String {
    let mut out = String::new();
    let orders = report.orders;
    let period = match (&report.from, &report.to) {
        (None, None) => String::new(),
        (from, to) => format!(
            " from {} to {}",
            from.as_deref().unwrap_or("the beginning"),
            to.as_deref().unwrap_or("the end")
        ),
    };
    let _ = writeln!(
        out,
        "orders{period}: {} credited, {} too late, {} of users who met no ad, {} told again, {} corrected, {} corrections \
         of unknown ones",
        orders.credited,
        orders.late,
        orders.orphans,
        orders.told_again,
        orders.corrected,
        orders.corrected_unknown
    );
    let _ = writeln!(
        out,
        "journeys: {}, of which {} ended in an order",
        report.journeys, report.journeys_with_an_order
    );
    if let Some(why) = &report.not_fitted {
        let _ = writeln!(out, "note: {why}");
    }
    if report.touches_dropped > 0 {
        let _ = writeln!(
            out,
            "note: {} touches were forgotten for lack of room; raise --touches",
            report.touches_dropped
        );
    }
    let money = |micros: i64| Micros(micros).to_f64();
    let value = |cell: &Cell| format!("{:.2}", money(cell.value_micros));
    let roas = |cell: &Cell| cell.roas.map_or_else(|| "-".to_owned(), |roas| format!("{roas:.2}"));
    let parts = |cell: &Cell| format!("{:.2}", cell.orders);
    let cost = |row: &Row| row.cost_micros.map_or_else(String::new, |cost| format!("{:.2}", money(cost)));
    let sold = |row: &Row| row.quantity.map_or_else(String::new, |quantity| quantity.to_string());
    let models = &report.models;
    table(&mut out, "credited value", "cost", models, &report.campaigns, cost, value);
    table(&mut out, "credited orders", "cost", models, &report.campaigns, cost, parts);
    table(&mut out, "return on ad spend", "cost", models, &report.campaigns, cost, roas);
    let spent = |cell: &Cell| format!("{:.2}", money(cell.cost_micros));
    table(&mut out, "cost of products", "sold", models, &report.products, sold, spent);
    table(&mut out, "return of products", "sold", models, &report.products, sold, roas);
    out
}

fn table(
    out: &mut String,
    title: &str,
    first: &str,
    models: &[&str],
    rows: &[Row],
    lead: impl Fn(&Row) -> String,
    cell: impl Fn(&Cell) -> String,
) {
    if rows.is_empty() {
        return;
    }
    let ids: Vec<String> = rows.iter().map(|row| printable(&row.id)).collect();
    let longest = ids.iter().map(|id| id.chars().count()).max().unwrap_or(0);
    let width = longest.max(title.len());
    let _ = write!(out, "\n{title:<width$} {first:>12}");
    for model in models {
        let _ = write!(out, " {model:>12}");
    }
    out.push('\n');
    for (row, id) in rows.iter().zip(&ids) {
        let _ = write!(out, "{id:<width$} {:>12}", lead(row));
        for of in &row.by_model {
            let _ = write!(out, " {:>12}", cell(of));
        }
        out.push('\n');
    }
}
