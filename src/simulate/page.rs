//! The report as one page that needs nothing else: the variants compared, and what each campaign had spent by when.

use std::fmt::{Result, Write};

use super::metrics::Metric;
use super::report::{CampaignMeans, Report, Variant};
use crate::page::{COLOURS, close, escape, head, key, level, line, moment, open, titles};

/// The whole page.
pub(super) fn page(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a text cannot fail.
    let _ = write(report, &mut out);
    out
}

fn write(report: &Report, out: &mut String) -> Result {
    let Report { scenario, seeds, seed, auctions, days, measured_from, .. } = report;
    head("haggle simulate", out)?;
    write!(
        out,
        "<h1>{}</h1><p>{days} days in {seeds} worlds from seed {seed} on, {auctions} auctions; measured from day {measured_from} on.</p>",
        escape(scenario)
    )?;
    for problem in report.problems.iter().chain(&report.failed) {
        write!(out, "<p><strong>Failed:</strong> {}</p>", escape(problem))?;
    }
    for note in &report.notes {
        write!(out, "<p>{}</p>", escape(note))?;
    }
    if report.stopped {
        out.push_str("<p>Stopped before all worlds were simulated.</p>");
    }
    means(report, out)?;
    differences(report, out)?;
    goals(report, out)?;
    courses(report, out)?;
    close(out);
    Ok(())
}

/// A number with as many digits as say something.
fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

/// The same with its sign.
fn signed(value: f64) -> String {
    if value > 0.0 { format!("+{}", number(value)) } else { number(value) }
}

/// Metrics down, variants across: each variant has one name in words, and where there are several a letter above its column.
fn means(report: &Report, out: &mut String) -> Result {
    out.push_str("<h2>Means over the worlds</h2>");
    let several = report.variants.len() > 1;
    if several {
        out.push_str("<ul>");
        for (at, variant) in report.variants.iter().enumerate() {
            write!(out, "<li>{}: {}</li>", letter(at), escape(&variant.name))?;
        }
        out.push_str("</ul>");
    }
    out.push_str("<table><tr><th>");
    for at in 0..report.variants.len() {
        write!(out, "<th>{}", if several { letter(at) } else { "mean".to_owned() })?;
    }
    out.push_str("</tr>");
    for metric in Metric::ALL.map(Metric::name) {
        write!(out, "<tr><td>{metric}")?;
        for variant in &report.variants {
            let value = variant.metrics.get(metric).copied().flatten();
            write!(out, "<td>{}", value.map_or("–".to_owned(), number))?;
        }
        out.push_str("</tr>");
    }
    out.push_str("</table>");
    Ok(())
}

/// A, B, … Z, then numbers.
fn letter(at: usize) -> String {
    u8::try_from(at)
        .ok()
        .filter(|at| *at < 26)
        .map_or_else(|| (at + 1).to_string(), |at| char::from(b'A' + at).to_string())
}

fn differences(report: &Report, out: &mut String) -> Result {
    for (at, variant) in report.variants.iter().enumerate().skip(1) {
        let mut compared = report.differences.iter().filter(|it| it.variant == variant.name).peekable();
        if compared.peek().is_none() {
            continue;
        }
        write!(
            out,
            "<h2>{} less A: {}</h2><table><tr><th><th>mean difference<th>95 % interval<th>verdict</tr>",
            letter(at),
            escape(&variant.name)
        )?;
        for it in compared {
            write!(
                out,
                "<tr><td>{}<td>{}<td>{} to {}<td>{}</tr>",
                it.metric,
                signed(it.mean),
                signed(it.low),
                signed(it.high),
                it.verdict
            )?;
        }
        out.push_str("</table>");
    }
    Ok(())
}

fn goals(report: &Report, out: &mut String) -> Result {
    out.push_str("<h2>Campaigns</h2><table><tr><th>");
    for name in ["spend", "delivered", "clicks", "orders", "revenue", "goal", "cost ÷ goal"] {
        write!(out, "<th>{name}")?;
    }
    out.push_str("</tr>");
    let several = report.variants.len() > 1;
    for (at, variant) in report.variants.iter().enumerate() {
        for it in &variant.campaigns {
            let which = if several { format!("{}: ", letter(at)) } else { String::new() };
            write!(
                out,
                "<tr><td>{which}{}<td>{}<td>{:.1} %<td>{}<td>{}<td>{}<td>{}<td>{}</tr>",
                escape(&it.id),
                number(it.spend),
                it.delivered * 100.0,
                number(it.clicks),
                number(it.orders),
                number(it.revenue),
                it.asked(),
                it.goal_cost_ratio.map_or("–".to_owned(), |ratio| format!("{ratio:.3}"))
            )?;
        }
    }
    out.push_str("</table>");
    Ok(())
}

/// A chart a campaign: the plan of the scenario as it is, and what was spent in each variant.
fn courses(report: &Report, out: &mut String) -> Result {
    let shown = report.variants.len().min(COLOURS.len());
    let variants = report.variants.get(..shown).unwrap_or_default();
    let Some(first) = variants.first() else { return Ok(()) };
    for campaign in &first.campaigns {
        // A variant may put them in another order, since what they may bid decides that.
        write!(out, "<h2>{}: spend against the plan</h2>", escape(&campaign.id))?;
        let names: Vec<String> = variants.iter().map(|variant| escape(&variant.name)).collect();
        key(Some("plan"), names.iter().map(String::as_str), out)?;
        let lines: Vec<&CampaignMeans> =
            variants.iter().filter_map(|variant| campaign_of(variant, &campaign.id)).collect();
        chart(report, campaign, &lines, out)?;
    }
    if report.changes.iter().any(|at| *at > 0.0 && *at < report.days) {
        out.push_str("<p>Dotted: where the scenario as it is changes.</p>");
    }
    if report.variants.len() > shown {
        write!(out, "<p>Only the first {shown} variants are drawn.</p>")?;
    }
    Ok(())
}

fn chart(report: &Report, base: &CampaignMeans, lines: &[&CampaignMeans], out: &mut String) -> Result {
    let most = lines.iter().flat_map(|it| &it.spent).chain(&base.planned).copied().fold(0.0, f64::max);
    let top = above(most);
    open(out)?;
    for quarter in 0..=4 {
        let share = f64::from(quarter) / 4.0;
        level(share, &number(share * top), out)?;
    }
    // Variants of other lengths would be stretched: each is drawn over its own days, as the texts below say of the first.
    for part in 0..=4 {
        let share = f64::from(part) / 4.0;
        moment(share, &format!("day {}", (share * report.days * 100.0).round() / 100.0), out)?;
    }
    for change in report.changes.iter().filter(|at| **at > 0.0 && **at < report.days) {
        let share = change / report.days;
        line([(share, 0.0), (share, 1.0)].into_iter(), "change", out)?;
    }
    titles("days since the start", "spent since the start, units of currency", out)?;
    let course = |values: &[f64]| -> Vec<(f64, f64)> {
        let last = f64::from(haggle_simulator::drive::MOMENTS);
        values.iter().enumerate().map(|(at, value)| (at as f64 / last, value / top)).collect()
    };
    for (it, colour) in lines.iter().zip(COLOURS).rev() {
        line(course(&it.spent).into_iter(), colour, out)?;
    }
    line(course(&base.planned).into_iter(), "plan", out)?;
    out.push_str("</svg>");
    Ok(())
}

/// The next of 1, 2, 4, 6, 8 and 10 times a power of ten.
fn above(most: f64) -> f64 {
    let most = most.max(1e-9);
    let power = 10f64.powf(most.log10().floor());
    [1.0, 2.0, 4.0, 6.0, 8.0, 10.0]
        .into_iter()
        .map(|step| step * power)
        .find(|top| *top >= most)
        .unwrap_or(most)
}

/// A variant's campaign of that id.
fn campaign_of<'v>(variant: &'v Variant, id: &str) -> Option<&'v CampaignMeans> {
    variant.campaigns.iter().find(|campaign| campaign.id == id)
}

#[cfg(test)]
mod tests {
    use super::super::report::{Compared, Timing};
    use super::*;

    fn variant(name: &str, spent: [f64; 3]) -> Variant {
        let campaign = CampaignMeans {
            id: "<boots>".to_owned(),
            goal: Some("cpa"),
            target: Some(2.5),
            goal_cost_ratio: Some(1.0234),
            spent: spent.to_vec(),
            planned: vec![0.0, 1.0, 2.0],
            ..CampaignMeans::default()
        };
        Variant { name: name.to_owned(), metrics: [("clicks", Some(12.0))].into(), campaigns: vec![campaign] }
    }

    #[test]
    fn a_campaign_is_found_in_a_variant_wherever_it_stands() {
        let named = |id: &str, spend| CampaignMeans { id: id.to_owned(), spend, ..CampaignMeans::default() };
        let other = Variant { campaigns: vec![named("b", 2.0), named("a", 1.0)], ..variant("v", [0.0; 3]) };
        assert_eq!(campaign_of(&other, "a").map(|campaign| campaign.spend), Some(1.0));
        assert_eq!(campaign_of(&other, "c"), None);
    }

    #[test]
    fn the_page_compares_draws_and_escapes() {
        let report = Report {
            scenario: "a & b".to_owned(),
            version: "0",
            configuration: String::new(),
            seed: 1,
            seeds: 5,
            stopped: false,
            notes: vec!["left out: a".to_owned()],
            auctions: 10,
            days: 2.0,
            measured_from: 0.5,
            changes: vec![1.0],
            variants: vec![variant("as it is", [0.0, 0.5, 1.5]), variant("goal=\"<i>\"", [0.0, 1.0, 2.0])],
            differences: vec![Compared {
                variant: "goal=\"<i>\"".to_owned(),
                metric: "clicks",
                mean: 3.0,
                low: 1.0,
                high: 4.0,
                verdict: "more",
            }],
            failed: vec!["x < y".to_owned()],
            problems: Vec::new(),
            timing: Timing::default(),
        };
        let page = page(&report);
        for said in [
            "a &amp; b",
            "&lt;boots&gt;",
            "x &lt; y",
            "cpa 2.5<td>1.023",
            "<td>+3.000<td>+1.000 to +4.000<td>more",
        ] {
            assert!(page.contains(said), "{said}: {page}");
        }
        assert!(!page.contains("<boots>") && !page.contains("<i>"));
        // The plan's second moment is half the chart's height, at the second of 48 parts.
        assert!(page.contains("class=\"plan\" d=\"M64.0 284.0L80.2 148.0L96.5 12.0\""), "{page}");
        // What changes on the first of two days stands in the middle.
        assert!(page.contains("class=\"change\" d=\"M454.0 284.0L454.0 12.0\""), "{page}");
        for url in ["http:", "https:", "src=", "href="] {
            assert!(!page.contains(url), "it needs nothing else: {url}");
        }
    }

    #[test]
    fn axes_end_where_it_reads_well() {
        assert_eq!(
            [0.9, 1.0, 1.1, 35.0, 900.0].map(above).map(|top| top.round() as i64),
            [1, 1, 2, 40, 1000]
        );
    }
}
