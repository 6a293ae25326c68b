//! The report as one page that needs nothing else: the variants compared, and what each campaign had spent by when.

use std::fmt::{Result, Write};

use haggle_simulator::drive::MOMENTS;

use super::metrics::Metric;
use super::report::{CampaignMeans, Report, Variant};
use crate::page::{COLOURS, bar, bars, close, escape, head, key, level, line, moment, open, titles};

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
    forecasts(report, out)?;
    funnel(report, out)?;
    over_time(report, out)?;
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

/// Whether campaigns deliver, and how good such forecasts were.
fn forecasts(report: &Report, out: &mut String) -> Result {
    if report.forecasts.is_empty() {
        return Ok(());
    }
    out.push_str("<h2>Will it deliver?</h2><table><tr><th><th>at least 95 %<th>share spent, median<th>80 % of worlds</tr>");
    let several = report.variants.len() > 1;
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    for it in &report.forecasts {
        let at = report.variants.iter().position(|variant| variant.name == it.variant).unwrap_or_default();
        let which = if several { format!("{}: ", letter(at)) } else { String::new() };
        let [delivers, median, low, high] = [it.delivers, it.median, it.low, it.high].map(percent);
        let campaign = escape(&it.campaign);
        write!(out, "<tr><td>{which}{campaign}<td>{delivers}<td>{median}<td>{low} to {high}</tr>")?;
    }
    out.push_str(
        "</table><p>Such forecasts for one world, made from the others, against what came in it: the mean error of the share spent, \
         and the Brier score of “at least 95 %”. Beside them those that need no simulation.</p>\
         <table><tr><th>made<th>other worlds<th>the plan is met<th>the pace so far<th>within the 80 %</tr>",
    );
    for it in &report.forecast_scores {
        write!(out, "<tr><td>day {:.2}", it.day)?;
        for score in [it.worlds, it.plan, it.pace] {
            write!(out, "<td>{}, {:.3}", percent(score.error), score.brier)?;
        }
        write!(out, "<td>{}</tr>", percent(it.within))?;
    }
    out.push_str("</table>");
    Ok(())
}

/// From requests to orders, and how much of each comes to the next.
fn funnel(report: &Report, out: &mut String) -> Result {
    const STAGES: [&str; 6] = ["auctions", "bids", "wins", "impressions", "clicks", "orders"];
    let shown = report.variants.get(..report.variants.len().min(COLOURS.len())).unwrap_or_default();
    let value = |variant: &Variant, stage| variant.metrics.get(stage).copied().flatten().unwrap_or_default();
    let all = || shown.iter().flat_map(|variant| STAGES.map(|stage| value(variant, stage)));
    let most = all().fold(1.0, f64::max);
    // Each step is a tenth or less of the one before, so lengths are by their logarithm.
    let length = |value: f64| (value.max(1.0).log10() / most.log10().max(1.0)).clamp(0.0, 1.0);
    out.push_str("<h2>From requests to orders</h2>");
    variants_key(report, None, out)?;
    let rows = STAGES.len() * (shown.len() + 1);
    bars(rows, out)?;
    for (nth, stage) in STAGES.iter().enumerate() {
        for (at, (variant, colour)) in shown.iter().zip(COLOURS).enumerate() {
            let here = value(variant, stage);
            let before =
                nth.checked_sub(1).and_then(|before| STAGES.get(before)).map(|it| value(variant, it));
            let share = before.filter(|before| *before > 0.0).map(|before| here / before * 100.0);
            let share =
                share.map_or(String::new(), |share| format!(", {} % of the stage before", number(share)));
            let name = if at == 0 { stage } else { "" };
            bar(
                nth * (shown.len() + 1) + at,
                length(here),
                colour,
                name,
                &format!("{}{share}", number(here)),
                out,
            )?;
        }
    }
    out.push_str("</svg><p>Means a world; lengths are by the logarithm.</p>");
    Ok(())
}

/// What changes over the days, of all campaigns together.
fn over_time(report: &Report, out: &mut String) -> Result {
    let gap = |it: &Variant| it.course.gap_closed.clone();
    rates(report, "Win rate", "wins ÷ bids", |it| it.course.win_rate.clone(), out)?;
    rates(
        report,
        "What the click model has learned",
        "share of the way from the best constant to the hidden truth",
        gap,
        out,
    )?;
    let regret = |it: &Variant| -> Vec<Option<f64>> {
        std::iter::once(0.0).chain(it.course.creative_regret.iter().copied()).map(Some).collect()
    };
    rates(
        report,
        "Regret of creatives",
        "clicks that the best ones would have brought beyond those shown, since the start",
        regret,
        out,
    )?;
    let returned = |it: &Variant| {
        let sum = |of: fn(&CampaignMeans) -> &Vec<f64>, at: usize| {
            it.campaigns.iter().filter_map(|it| of(it).get(at)).sum::<f64>()
        };
        (0..=MOMENTS as usize)
            .map(|at| (sum(|it| &it.margin, at), sum(|it| &it.spent, at)))
            .map(|(margin, spent)| (spent > 0.0).then(|| margin / spent - 1.0))
            .collect()
    };
    rates(
        report,
        "Return on what was spent",
        "(margin of orders − spend) ÷ spend, since the start",
        returned,
        out,
    )
}

/// A chart of a value over the days, a line a variant. Values of 48 parts stand in their middles, those of 49 moments at them.
fn rates(
    report: &Report,
    title: &str,
    up: &str,
    of: impl Fn(&Variant) -> Vec<Option<f64>>,
    out: &mut String,
) -> Result {
    let variants = report.variants.get(..report.variants.len().min(COLOURS.len())).unwrap_or_default();
    let lines: Vec<Vec<Option<f64>>> = variants.iter().map(of).collect();
    let values = || lines.iter().flatten().flatten().copied();
    if values().next().is_none() {
        return Ok(());
    }
    write!(out, "<h2>{title}</h2>")?;
    variants_key(report, None, out)?;
    let top = above(values().fold(0.0, f64::max));
    // A few bad parts at the beginning would press all others together.
    let bottom = values().fold(0.0, f64::min).max(-top);
    days_and_levels(report, bottom, top, out)?;
    titles("days since the start", up, out)?;
    for (values, colour) in lines.iter().zip(COLOURS).rev() {
        let middle = if values.len() > MOMENTS as usize { 0.0 } else { 0.5 };
        let at = |at: usize| (at as f64 + middle) / f64::from(MOMENTS);
        let place = |value: f64| ((value - bottom) / (top - bottom)).clamp(0.0, 1.0);
        let points = values.iter().enumerate().filter_map(|(nth, value)| Some((at(nth), place((*value)?))));
        line(points, colour, out)?;
    }
    out.push_str("</svg>");
    Ok(())
}

/// What the colours mean, where there are several.
fn variants_key(report: &Report, dashed: Option<&str>, out: &mut String) -> Result {
    let names: Vec<String> = report.variants.iter().map(|variant| escape(&variant.name)).collect();
    match names.len() > 1 || dashed.is_some() {
        true => key(dashed, names.iter().map(String::as_str), out),
        false => Ok(()),
    }
}

/// Begins a chart over the days, with the moments at which the scenario changes.
fn days_and_levels(report: &Report, bottom: f64, top: f64, out: &mut String) -> Result {
    open(out)?;
    for quarter in 0..=4 {
        let share = f64::from(quarter) / 4.0;
        level(share, &number(bottom + share * (top - bottom)), out)?;
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
        variants_key(report, Some("plan"), out)?;
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
    days_and_levels(report, 0.0, top, out)?;
    titles("days since the start", "spent since the start, units of currency", out)?;
    let course = |values: &[f64]| -> Vec<(f64, f64)> {
        values.iter().enumerate().map(|(at, value)| (at as f64 / f64::from(MOMENTS), value / top)).collect()
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
    use std::collections::BTreeMap;

    use super::super::forecast::Forecast;
    use super::super::report::{Compared, Course, Timing};
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
        let metrics = [("auctions", Some(1000.0)), ("bids", Some(500.0)), ("clicks", Some(12.0))];
        let course = Course { win_rate: vec![None, Some(0.5)], ..Course::default() };
        let (no_bids, campaigns) = (BTreeMap::new(), vec![campaign]);
        Variant { name: name.to_owned(), metrics: metrics.into(), no_bids, course, campaigns }
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
            forecasts: vec![Forecast {
                variant: "as it is".to_owned(),
                campaign: "<boots>".to_owned(),
                delivers: 0.5,
                median: 0.9,
                low: 0.7,
                high: 1.0,
            }],
            forecast_scores: Vec::new(),
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
            "A: &lt;boots&gt;<td>50.0 %<td>90.0 %<td>70.0 % to 100.0 %",
            "500, 50.0 % of the stage before",
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
