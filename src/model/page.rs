//! The report of a training as one page that needs nothing else: numbers and learning curves.

use std::fmt::Write;

use super::report::{Point, TrainReport};
use crate::page::escape;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 320.0;
/// Room for the axes' texts.
const LEFT: f64 = 64.0;
const BOTTOM: f64 = 36.0;
const TOP: f64 = 12.0;
const RIGHT: f64 = 16.0;

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1c2024;--dim:#6b7280;--line:#d5d9de;--paper:#fff;--a:#0b62c4;--b:#c2410c;--c:#15803d;--d:#7c3aed}\
@media(prefers-color-scheme:dark){:root{--ink:#e6e8ea;--dim:#9aa3ad;--line:#3a4148;--paper:#15181b;--a:#6cb0ff;--b:#ff9a62;--c:#5fd08a;--d:#b794f6}}\
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:900px;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.2rem}h2{font-size:1rem;margin-top:2rem}\
table{border-collapse:collapse;font-variant-numeric:tabular-nums}td{padding:.15rem .8rem;border-bottom:1px solid var(--line)}\
td:first-child{padding-left:0}td:last-child{text-align:right}\
svg{width:100%;height:auto}svg text{font:11px system-ui,sans-serif;fill:var(--dim)}\
.grid{stroke:var(--line)}path{fill:none;stroke-width:1.8}\
.a{stroke:var(--a)}.b{stroke:var(--b)}.c{stroke:var(--c);stroke-dasharray:5 4}.d{stroke:var(--d)}\
.key span{margin-right:1.2rem}.key svg{width:22px;height:8px;margin-right:.4rem}";

/// The whole page.
pub(super) fn page(report: &TrainReport) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write(report, &mut out);
    out
}

fn write(report: &TrainReport, out: &mut String) -> std::fmt::Result {
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>haggle model train</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head><body>\
         <h1>{} trained on {}</h1><table>",
        escape(&report.model),
        escape(&report.data)
    )?;
    let number = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.6}"));
    let count = |value: Option<u64>| value.map_or("–".to_owned(), |value| value.to_string());
    let percent =
        |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{:.1} %", value * 100.0));
    let pass = report.kept_pass.map_or("–".to_owned(), |pass| pass.to_string());
    let from = report.from.as_deref().map_or("–".to_owned(), escape);
    for (name, value) in [
        ("went on from", from),
        ("vectors as they were", if report.frozen_vectors { "yes" } else { "no" }.to_owned()),
        ("rows", report.rows.to_string()),
        ("rows learned in a pass", count(report.learned_rows)),
        ("of those without a click learned", percent(report.negatives.or(report.learned_rows.map(|_| 1.0)))),
        ("clicks", report.clicks.to_string()),
        ("bad rows, left out", report.bad_rows.to_string()),
        ("passes", report.passes.to_string()),
        ("pass kept", pass),
        ("stopped early", if report.stopped_early { "yes" } else { "no" }.to_owned()),
        ("seconds", format!("{:.1}", report.seconds)),
        ("rows a second", format!("{:.0}", report.rows_per_second)),
        ("parameters", report.parameters.to_string()),
        ("bytes", report.bytes.to_string()),
        ("log loss before learning each row, pass kept", format!("{:.6}", report.train_log_loss)),
        ("rows held out", count(report.held_out_rows)),
        ("log loss of the rows held out", number(report.held_out_log_loss)),
        ("test rows", count(report.test_rows)),
        ("test log loss", number(report.test_log_loss)),
        ("test AUC", number(report.test_auc)),
        ("predicted by observed clicks of the test", number(report.test_calibration)),
        ("log loss of the click rate alone", format!("{:.6}", report.baseline_log_loss)),
    ] {
        write!(out, "<tr><td>{name}<td>{value}</tr>")?;
    }
    if report.conversion_rows > 0 {
        for (name, value) in [
            ("clicks of which it is known whether an order followed", report.conversion_rows.to_string()),
            ("orders", report.conversions.to_string()),
            ("test log loss of orders", number(report.test_conversion_log_loss)),
            ("test AUC of orders", number(report.test_conversion_auc)),
            ("log loss of the rate of orders alone", number(report.baseline_conversion_log_loss)),
        ] {
            write!(out, "<tr><td>{name}<td>{value}</tr>")?;
        }
    }
    out.push_str("</table><h2>Log loss by rows gone through</h2><p class=\"key\">");
    let learned = if report.negatives.is_some() {
        "rows before they are learned, estimated for all from those that are"
    } else {
        "rows before they are learned"
    };
    for (colour, name) in [
        ("a", learned),
        ("b", "test, after each pass"),
        ("d", "rows held out, after each pass"),
        ("c", "the click rate alone"),
    ] {
        write!(
            out,
            "<span><svg viewBox=\"0 0 22 8\"><path class=\"{colour}\" d=\"M0 4H22\"/></svg>{name}</span>"
        )?;
    }
    out.push_str("</p>");
    curves(report, out)?;
    out.push_str("</body></html>\n");
    Ok(())
}

/// Where values lie on the paper.
struct Scale {
    rows: f64,
    low: f64,
    high: f64,
}

impl Scale {
    fn of(report: &TrainReport) -> Self {
        let points = || report.curve.iter().chain(&report.test_curve).chain(&report.held_out_curve);
        let rows = points().map(|point| point.rows).max().unwrap_or(1).max(1) as f64;
        let losses = || points().map(|point| point.log_loss).chain([report.baseline_log_loss]);
        let (low, high) =
            (losses().fold(f64::INFINITY, f64::min), losses().fold(f64::NEG_INFINITY, f64::max));
        let room = ((high - low) * 0.08).max(1e-6);
        Self { rows, low: low - room, high: high + room }
    }

    fn x(&self, rows: f64) -> f64 {
        LEFT + rows / self.rows * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, loss: f64) -> f64 {
        HEIGHT - BOTTOM - (loss - self.low) / (self.high - self.low) * (HEIGHT - BOTTOM - TOP)
    }

    fn line(&self, points: &[Point], colour: &str, out: &mut String) -> std::fmt::Result {
        write!(out, "<path class=\"{colour}\" d=\"")?;
        for (index, point) in points.iter().enumerate() {
            let step = if index == 0 { 'M' } else { 'L' };
            write!(out, "{step}{:.1} {:.1}", self.x(point.rows as f64), self.y(point.log_loss))?;
        }
        out.push_str("\"/>");
        Ok(())
    }
}

fn curves(report: &TrainReport, out: &mut String) -> std::fmt::Result {
    let scale = Scale::of(report);
    write!(out, "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">")?;
    for quarter in 0..=4 {
        let share = f64::from(quarter) / 4.0;
        let loss = scale.low + share * (scale.high - scale.low);
        let (x, y) = (scale.x(share * scale.rows), scale.y(loss));
        // The last would not fit beyond the end.
        let anchor = if quarter == 4 { "end" } else { "middle" };
        write!(
            out,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{loss:.4}</text>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{:.0}</text>",
            WIDTH - RIGHT,
            LEFT - 8.0,
            y + 4.0,
            HEIGHT - BOTTOM + 18.0,
            share * scale.rows
        )?;
    }
    let log_loss = report.baseline_log_loss;
    let everywhere = [Point { rows: 0, log_loss }, Point { rows: scale.rows as u64, log_loss }];
    scale.line(&everywhere, "c", out)?;
    scale.line(&report.curve, "a", out)?;
    for (points, colour) in [(&report.test_curve, "b"), (&report.held_out_curve, "d")] {
        // A single pass has a single point, which a line would not show.
        for point in points {
            let (x, y) = (scale.x(point.rows as f64), scale.y(point.log_loss));
            write!(out, "<circle class=\"{colour}\" fill=\"none\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\"/>")?;
        }
        scale.line(points, colour, out)?;
    }
    out.push_str("</svg>");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_shows_its_curves_and_escapes_names() {
        let point = |rows, log_loss| Point { rows, log_loss };
        let report = TrainReport {
            model: "ffm".to_owned(),
            data: "<b>.tsv".to_owned(),
            baseline_log_loss: 0.12,
            curve: vec![point(100, 0.2), point(200, 0.1)],
            test_curve: vec![point(200, 0.11)],
            held_out_curve: vec![point(200, 0.3)],
            ..TrainReport::default()
        };
        let page = page(&report);
        assert!(page.contains("ffm trained on &lt;b&gt;.tsv") && !page.contains("<b>"));
        assert_eq!(page.matches("<path class=\"a\"").count(), 2, "the key and the curve");
        assert_eq!(page.matches("<circle").count(), 2, "of the test and of the rows held out");
        assert!(page.contains("0.3"), "the axis reaches the rows held out");
        assert!(!page.contains("NaN") && !page.contains("inf"), "{page}");
        let empty = super::page(&TrainReport::default());
        assert!(!empty.contains("NaN") && !empty.contains("inf"), "{empty}");
    }
}
