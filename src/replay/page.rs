//! The report as one page that needs nothing else: the plan, what was spent by when, and the table.

use std::fmt::Write;

use haggle_domain::Micros;

use super::report::Report;
use crate::page::{COLOURS, close, escape, head, key, level, line, moment, open, titles};

/// Half the height of a chart of what was missed, as a share of the budget.
const STEPS: [f64; 8] = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0];

/// Who, and what they had spent by when.
pub(super) type Line = (&'static str, Vec<Micros>);

/// Who spent what by when.
pub(super) struct Courses {
    /// Money in all.
    pub(super) budget: Micros,
    /// What an even spread would have spent.
    pub(super) plan: Vec<Micros>,
    /// Of each strategy.
    pub(super) strategies: Vec<Line>,
}

impl Courses {
    /// Money as a share of the budget.
    fn share(&self, money: Micros) -> f64 {
        money.0 as f64 / self.budget.0.max(1) as f64
    }
}

/// The whole page.
pub(super) fn page(report: &Report, courses: &Courses) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write(report, courses, &mut out);
    out
}

fn write(report: &Report, courses: &Courses, out: &mut String) -> std::fmt::Result {
    let Report { log, auctions, budget, auction, episodes, unit, .. } = report;
    head("haggle replay", out)?;
    write!(
        out,
        "<h1>{}: spend against the plan</h1><p>{auctions} auctions at the {auction} price, a budget of {budget} (1/1000 {unit}) in \
         {episodes} {}.</p>",
        escape(log),
        if *episodes == 1 { "episode" } else { "episodes" }
    )?;
    let of = |ours: bool| -> Vec<&Line> {
        courses.strategies.iter().filter(|(name, _)| name.starts_with("ours") == ours).collect()
    };
    let names = |lines: &[&Line]| lines.iter().map(|(name, _)| *name).collect::<Vec<_>>();
    let (ours, others) = (of(true), of(false));
    out.push_str("<h2>Spend of the bidder itself, by control</h2>");
    key(Some("even plan"), names(&ours).into_iter(), out)?;
    spend(report, courses, &ours, out)?;
    out.push_str("<h2>The same, less the plan</h2>");
    key(Some("even plan"), names(&ours).into_iter(), out)?;
    ahead(report, courses, &ours, out)?;
    out.push_str("<h2>Spend of the others</h2>");
    key(Some("even plan"), names(&others).into_iter(), out)?;
    spend(report, courses, &others, out)?;
    table(report, out)?;
    out.push_str("<h2>What this cannot tell</h2><ul>");
    for note in &report.notes {
        write!(out, "<li>{}</li>", escape(note))?;
    }
    out.push_str("</ul>");
    close(out);
    Ok(())
}

/// What was spent by when.
fn spend(report: &Report, courses: &Courses, lines: &[&Line], out: &mut String) -> std::fmt::Result {
    let most =
        lines.iter().flat_map(|(_, course)| course).map(|spent| courses.share(*spent)).fold(1.0, f64::max);
    // Room for who overspends, in steps of a tenth.
    let top = (most * 10.0 - 1e-6).ceil() / 10.0;
    open(out)?;
    for quarter in 0..=4 {
        let share = f64::from(quarter) / 4.0;
        level(share / top, &format!("{:.0} %", share * 100.0), out)?;
    }
    moments(report, out)?;
    titles("auctions gone through", "spent, of the budget", out)?;
    // The first lies on top, and the plan above all.
    for ((_, course), colour) in lines.iter().zip(COLOURS).rev() {
        curve(course.iter().map(|spent| courses.share(*spent) / top), course.len(), colour, out)?;
    }
    let plan = &courses.plan;
    curve(plan.iter().map(|planned| courses.share(*planned) / top), plan.len(), "plan", out)?;
    out.push_str("</svg>");
    Ok(())
}

/// How far spend was ahead of the plan, above the middle, or behind it.
fn ahead(report: &Report, courses: &Courses, lines: &[&Line], out: &mut String) -> std::fmt::Result {
    let missed = |course: &'_ [Micros]| -> Vec<f64> {
        course.iter().zip(&courses.plan).map(|(spent, planned)| courses.share(*spent - *planned)).collect()
    };
    let lines: Vec<Vec<f64>> = lines.iter().map(|(_, course)| missed(course)).collect();
    let most = lines.iter().flatten().map(|missed| missed.abs()).fold(0.0, f64::max);
    let top = STEPS.into_iter().find(|step| *step >= most).unwrap_or(most);
    open(out)?;
    for quarter in [-2, -1, 0, 1, 2] {
        let part = f64::from(quarter) / 2.0;
        let missed = part * top * 100.0;
        let text = if quarter == 0 { "0 %".to_owned() } else { format!("{missed:+.2} %") };
        level((part + 1.0) / 2.0, &text, out)?;
    }
    moments(report, out)?;
    titles("auctions gone through", "ahead of the plan, of the budget", out)?;
    for (course, colour) in lines.iter().zip(COLOURS).rev() {
        curve(course.iter().map(|missed| (missed / top + 1.0) / 2.0), course.len(), colour, out)?;
    }
    curve([0.5, 0.5].into_iter(), 2, "plan", out)?;
    out.push_str("</svg>");
    Ok(())
}

/// A quarter of the auctions after the other.
fn moments(report: &Report, out: &mut String) -> std::fmt::Result {
    for quarter in 0..=4 {
        let share = f64::from(quarter) / 4.0;
        moment(share, &format!("{:.0}", share * report.auctions as f64), out)?;
    }
    Ok(())
}

/// Heights at equal distances from the left to the right.
fn curve(
    heights: impl Iterator<Item = f64>,
    count: usize,
    colour: &str,
    out: &mut String,
) -> std::fmt::Result {
    let last = count.saturating_sub(1).max(1) as f64;
    line(heights.enumerate().map(|(at, height)| (at as f64 / last, height)), colour, out)
}

fn table(report: &Report, out: &mut String) -> std::fmt::Result {
    out.push_str("<h2>What was bought</h2><table><tr>");
    for name in
        ["", "impressions", "clicks", "expected", "of optimum", "spend", "overspend", "profit", "surplus"]
    {
        write!(out, "<th>{name}")?;
    }
    let best = &report.optimum;
    write!(
        out,
        "</tr><tr><td>optimum<td>{}<td>{}<td>{:.3}<td>1.0000<td>{}<td>–<td>–<td>–</tr>",
        best.impressions, best.clicks, best.expected_value, best.spend
    )?;
    for line in &report.strategies {
        write!(
            out,
            "<tr><td>{}<td>{}<td>{}<td>{:.3}<td>{:.4}<td>{}<td>{:.3} %<td>{:.2}<td>{:.2}</tr>",
            line.name,
            line.impressions,
            line.clicks,
            line.expected_value,
            line.fraction_of_optimum,
            line.spend,
            line.overspend_fraction * 100.0,
            line.profit,
            line.surplus
        )?;
    }
    out.push_str("</table>");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::report::Optimum;
    use super::*;
    use crate::replay::auction::Bought;

    #[test]
    fn the_page_shows_the_plan_and_each_strategy_and_escapes_names() {
        let report = Report {
            log: "<b>.log".to_owned(),
            auctions: 100,
            clicks: 7,
            bad_rows: 0,
            unit: "fen",
            episodes: 1,
            budget: 1_000.into(),
            auction: "second",
            payoff: 0.25,
            click_worth: 2.0,
            optimum: Optimum::of(&Bought::default()),
            optimum_in_episodes: None,
            strategies: Vec::new(),
            notes: vec!["<i>".to_owned()],
        };
        let course = |spent: [i64; 3]| spent.map(Micros).to_vec();
        let courses = Courses {
            budget: Micros(100),
            plan: course([0, 50, 100]),
            strategies: vec![("ours", course([0, 60, 100])), ("linear", course([0, 120, 120]))],
        };
        let page = page(&report, &courses);
        assert!(page.contains("&lt;b&gt;.log") && !page.contains("<b>"), "{page}");
        assert_eq!(page.matches("<svg viewBox=\"0 0 860 320\"").count(), 3);
        // The plan rises from corner to corner; a tenth ahead of it is the top of the middle chart.
        assert!(page.contains("class=\"plan\" d=\"M64.0 284.0L454.0 148.0L844.0 12.0\""), "{page}");
        assert!(
            page.contains("+10.00 %")
                && page.contains("class=\"a\" d=\"M64.0 148.0L454.0 12.0L844.0 148.0\"")
        );
        // Whoever overspends is on the paper too.
        assert!(page.contains("class=\"a\" d=\"M64.0 284.0L454.0 12.0L844.0 12.0\""), "{page}");
        for url in ["http:", "https:", "src=", "href="] {
            assert!(!page.contains(url), "it needs nothing else: {url}");
        }
    }
}
