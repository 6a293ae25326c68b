//! The report as one page that needs nothing else: numbers, the distribution, and the course over time.

use std::fmt::Write;

use super::report::{Curve, PerSecond, Quantiles, Report};
use crate::page::{COLOURS, close, escape, head, key, level, line, moment, open};

/// The whole page.
pub(super) fn page(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write(report, &mut out);
    out
}

fn write(report: &Report, out: &mut String) -> std::fmt::Result {
    let title = escape(&report.title());
    head("haggle load", out)?;
    write!(out, "<h1>{title}</h1>")?;
    tables(report, out)?;
    out.push_str("<h2>Latency by percentile, ms</h2>");
    key(None, report.curves.iter().filter(|curve| !curve.points.is_empty()).map(|curve| curve.name), out)?;
    distribution(&report.curves, out)?;
    out.push_str("<h2>Answers a second</h2>");
    let course = |value: fn(&PerSecond) -> f64| -> Vec<f64> { report.per_second.iter().map(value).collect() };
    over_time(&course(|second| second.answered as f64), out)?;
    out.push_str("<h2>p99 of each second, ms</h2>");
    over_time(&course(|second| second.p99_ms), out)?;
    close(out);
    Ok(())
}

fn tables(report: &Report, out: &mut String) -> std::fmt::Result {
    out.push_str("<table><tr><th>requests<th>a second<th>in all</tr>");
    if let Some(rate) = report.rate {
        write!(out, "<tr><td>asked for<td>{rate:.0}<td></tr>")?;
    }
    for (name, a_second, count) in [
        ("sent", report.sent_per_second, report.sent),
        ("answered", report.answered_per_second, report.answered),
    ] {
        write!(out, "<tr><td>{name}<td>{a_second:.0}<td>{count}</tr>")?;
    }
    write!(out, "<tr><td>accepted in time<td>{:.0}<td></tr>", report.goodput_per_second)?;
    for (name, count, always) in report.outcome_rows() {
        if count > 0 || always {
            let share = count as f64 / report.sent.max(1) as f64 * 100.0;
            write!(out, "<tr><td>{name}<td>{share:.2} %<td>{count}</tr>")?;
        }
    }
    out.push_str("</table><h2>Times, ms</h2><table><tr><th>");
    ["count", "p50", "p90", "p99", "p99.9", "max"].iter().try_for_each(|name| write!(out, "<th>{name}"))?;
    out.push_str("</tr>");
    for (name, it) in [
        ("latency, all", report.latency_ms),
        ("latency, accepted", report.accepted_ms),
        ("latency, shed", report.shed_ms),
        ("service time", report.service_ms),
        ("send lag", report.send_lag_ms),
        ("wait for a connection", report.wait_ms),
    ] {
        let Quantiles { count, p50, p90, p99, p999, max, .. } = it;
        write!(
            out,
            "<tr><td>{name}<td>{count}<td>{p50:.3}<td>{p90:.3}<td>{p99:.3}<td>{p999:.3}<td>{max:.3}</tr>"
        )?;
    }
    out.push_str("</table>");
    Ok(())
}

/// Both axes are logarithmic: each nine of the percentile has the same width, each tenfold time the same height.
fn distribution(curves: &[Curve], out: &mut String) -> std::fmt::Result {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let nines = points().map(|(share, _)| -(1.0 - share).log10()).fold(1.0, f64::max);
    let least = points().map(|(_, ms)| *ms).filter(|ms| *ms > 0.0).fold(f64::INFINITY, f64::min);
    let most = points().map(|(_, ms)| *ms).fold(1e-3, f64::max);
    let low = least.min(most).log10().floor();
    let high = most.log10().ceil().max(low + 1.0);
    open(out)?;
    for decade in 0..=((high - low) as i32) {
        let power = low as i32 + decade;
        level(f64::from(decade) / (high - low), &format!("{}", 10f64.powi(power)), out)?;
    }
    for nine in 0..=(nines as usize) {
        let text = match nine {
            0 => "0 %".to_owned(),
            1 => "90 %".to_owned(),
            2 => "99 %".to_owned(),
            more => format!("99.{} %", "9".repeat(more - 2)),
        };
        moment(nine as f64 / nines, &text, out)?;
    }
    for (curve, colour) in curves.iter().filter(|curve| !curve.points.is_empty()).zip(COLOURS) {
        let place = |(share, ms): &(f64, f64)| {
            let up = (ms.max(10f64.powf(low)).log10() - low) / (high - low);
            (-(1.0 - share).log10() / nines, up)
        };
        line(curve.points.iter().map(place), colour, out)?;
    }
    out.push_str("</svg>");
    Ok(())
}

/// A value for each second, from zero up.
fn over_time(values: &[f64], out: &mut String) -> std::fmt::Result {
    let most = values.iter().copied().fold(0.0, f64::max).max(1e-9);
    // The next of 1, 2 and 5 times a power of ten.
    let power = 10f64.powf(most.log10().floor());
    let top = [1.0, 2.0, 5.0, 10.0].into_iter().map(|step| step * power).find(|top| *top >= most);
    let top = top.unwrap_or(most);
    open(out)?;
    for quarter in 0..=4 {
        let share = f64::from(quarter) / 4.0;
        let value = top * share;
        let text = if top >= 100.0 { format!("{value:.0}") } else { format!("{value:.3}") };
        level(share, &text, out)?;
    }
    let last = values.len().saturating_sub(1).max(1);
    let step = last.div_ceil(10);
    for second in (0..values.len()).step_by(step) {
        moment(second as f64 / last as f64, &format!("{second} s"), out)?;
    }
    line(
        values.iter().enumerate().map(|(second, value)| (second as f64 / last as f64, value / top)),
        "a",
        out,
    )?;
    out.push_str("</svg>");
    Ok(())
}
