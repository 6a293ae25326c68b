//! What was found, as people read it.

use std::fmt::Write;

use haggle_domain::Micros;

use super::compare::{Outcome, Sums};
use crate::cli::printable;

/// Writes it. To write into memory does not fail.
pub(super) fn write(outcome: &Outcome) -> String {
    let mut out = String::new();
    let money = |micros: i64| Micros(micros).to_f64();
    let _ = writeln!(out, "from {} to {}, {} rows", outcome.from, outcome.to, outcome.rows);
    if outcome.repeated > 0 {
        let _ = writeln!(
            out,
            "{} rows are of a time and campaign that another is of; they were summed",
            outcome.repeated
        );
    }
    if let Some(currency) = &outcome.currency {
        let (currency, rate) = (printable(currency), &outcome.rate);
        let _ = writeln!(
            out,
            "one {currency} of the report was taken for {rate} of the account's currency (--rate)"
        );
    }
    out.push('\n');
    let names: Vec<String> = outcome.subjects.iter().map(|line| printable(&line.name)).collect();
    let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(8);
    let _ = writeln!(
        out,
        "{:<longest$} {:>12} {:>12} {:>8} {:>14} {:>14} {:>8}",
        "", "impressions", "in books", "off", "spend", "in books", "off"
    );
    let mut line = |name: &str, report: Sums, books: Sums| {
        let off = |theirs: f64, ours: f64| {
            if theirs > 0.0 { format!("{:+.2} %", (theirs - ours) / theirs * 100.0) } else { "-".to_owned() }
        };
        let _ = writeln!(
            out,
            "{name:<longest$} {:>12} {:>12} {:>8} {:>14.4} {:>14.4} {:>8}",
            report.impressions,
            books.impressions,
            off(report.impressions as f64, books.impressions as f64),
            money(report.spend_micros),
            money(books.spend_micros),
            off(report.spend_micros as f64, books.spend_micros as f64)
        );
    };
    outcome.subjects.iter().zip(&names).for_each(|(subject, name)| line(name, subject.report, subject.books));
    line("together", outcome.report, outcome.books);
    out.push('\n');
    for explanation in &outcome.explanations {
        let _ = writeln!(
            out,
            "{:<10} {:>14.4}  {}",
            explanation.reason,
            money(explanation.micros),
            explanation.text
        );
    }
    let _ = writeln!(out, "{:<10} {:>14.4}", "not told", money(outcome.unexplained_micros));
    let verdict = if outcome.within_tolerance { "within" } else { "beyond" };
    let _ = writeln!(out, "\n{verdict} the tolerance");
    out
}
