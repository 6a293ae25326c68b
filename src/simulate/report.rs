//! What came of a what-if, as a table and as JSON.

use std::collections::BTreeMap;
use std::fmt::Write;

use haggle_domain::NoBidReason;
use haggle_simulator::drive::{Asked, Campaigned, Foretold, MOMENTS, Outcome, Slice, Spent};
use serde::Serialize;

use super::difference::differences;
use super::forecast::{Forecast, Scored};
use super::metrics::Metric;

/// All of it. Everything but `timing` follows from the scenario and the seeds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The scenario's name.
    pub scenario: String,
    /// The program.
    pub version: &'static str,
    /// A hash of the scenario, its campaigns and what was varied.
    pub configuration: String,
    /// The first seed.
    pub seed: u64,
    /// Worlds in which all variants were tried to the end.
    pub seeds: usize,
    /// Whether it was stopped before all worlds were.
    pub stopped: bool,
    /// Auctions in all of them.
    pub auctions: u64,
    /// How long they took, in virtual time.
    pub days: f64,
    /// Days after the start from which on it was counted.
    pub measured_from: f64,
    /// Days after the start at which the world changed.
    pub changes: Vec<f64>,
    /// What each variant came to; the first is the scenario as it is.
    pub variants: Vec<Variant>,
    /// How the others differ from the first.
    pub differences: Vec<Compared>,
    /// Whether campaigns deliver, by what the worlds say.
    pub forecasts: Vec<Forecast>,
    /// How good such forecasts of the first variant are, each made for one world from the others.
    pub forecast_scores: Vec<Scored>,
    /// Assertions that did not hold.
    pub failed: Vec<String>,
    /// What to know before the figures are believed.
    pub notes: Vec<String>,
    /// Invariants that did not hold, with the command that repeats the first such world.
    pub problems: Vec<String>,
    /// How long it took.
    pub timing: Timing,
}

/// A variant's means over the worlds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Variant {
    /// What was varied.
    pub name: String,
    /// By metric; null where no world has it.
    pub metrics: BTreeMap<&'static str, Option<f64>>,
    /// Auctions without a bid, by the reason: the mean a world.
    pub no_bids: BTreeMap<&'static str, f64>,
    /// What came in each 48th of the days.
    pub course: Course,
    /// The same of each campaign: what was spent, in currency units, clicks, orders, and the share of the budget that was spent.
    pub campaigns: Vec<CampaignMeans>,
}

/// What came in each of 48 equal parts of the days, those that are not measured included. Null where there was nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Course {
    /// Wins by bids, of all worlds together.
    pub win_rate: Vec<Option<f64>>,
    /// How far the model came from the best constant of the part to the hidden click probabilities, of all worlds together.
    pub gap_closed: Vec<Option<f64>>,
    /// Clicks that the best creatives would have brought beyond those that were shown, since the start: the mean a world.
    pub creative_regret: Vec<f64>,
}

impl Course {
    fn of(worlds: &[Outcome]) -> Self {
        let mut course = Self::default();
        let mut regret = 0.0;
        for part in 0..MOMENTS as usize {
            let slices = || worlds.iter().filter_map(|world| world.slices.get(part));
            let count = |of: fn(&Slice) -> u64| slices().map(of).sum::<u64>() as f64;
            let (bids, wins) = (count(|it| it.bids), count(|it| it.wins));
            course.win_rate.push((bids > 0.0).then(|| wins / bids));
            let foretold = slices().map(|it| it.foretold).fold(Foretold::default(), Foretold::plus);
            course.gap_closed.push(foretold.gap_closed());
            regret += foretold.regret / worlds.len().max(1) as f64;
            course.creative_regret.push(regret);
        }
        course
    }
}

/// A campaign's means over the worlds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CampaignMeans {
    /// Which.
    pub id: String,
    /// In currency units.
    pub spend: f64,
    /// Of its budget.
    pub delivered: f64,
    /// Clicks.
    pub clicks: f64,
    /// Orders.
    pub orders: f64,
    /// In currency units.
    pub revenue: f64,
    /// What its goal asks for on average: `cpc`, `cpa` or `roas`; null where it asks for no average.
    pub goal: Option<&'static str>,
    /// How much, in currency units or as a ratio.
    pub target: Option<f64>,
    /// What it spent in all worlds ÷ what its clicks or orders might have cost at that; 1 is as asked, more is dearer. Null where none
    /// came.
    pub goal_cost_ratio: Option<f64>,
    /// What it had spent on average since the start, in currency units: at the start, and after each 48th of the days.
    pub spent: Vec<f64>,
    /// What its plan had it spend by then.
    pub planned: Vec<f64>,
    /// What its orders had brought by then less what their goods cost, in currency units.
    pub margin: Vec<f64>,
}

impl CampaignMeans {
    /// The goal and its target, as far as it asks for an average.
    pub(super) fn asked(&self) -> String {
        match self.goal.zip(self.target) {
            Some((goal, target)) => format!("{goal} {target}"),
            None => "–".to_owned(),
        }
    }
}

/// A variant against the scenario as it is, in the same worlds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared {
    /// Which variant.
    pub variant: String,
    /// Of what.
    pub metric: &'static str,
    /// How much more.
    pub mean: f64,
    /// The ends of the interval; those of all metrics of a variant hold together in 95 of 100 cases.
    pub low: f64,
    /// See `low`.
    pub high: f64,
    /// `more`, `less` or `no difference shown`.
    pub verdict: &'static str,
}

/// How long it took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Timing {
    /// Wall clock.
    pub seconds: f64,
    /// Of all cores together.
    pub auctions_per_second: f64,
    /// Worlds side by side.
    pub jobs: usize,
    /// Worlds, of all variants, that were taken from the checkpoint.
    pub resumed: usize,
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0u32), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

impl Variant {
    pub(super) fn of(name: String, worlds: &[Outcome]) -> Self {
        let metrics = Metric::ALL.map(|metric| (metric.name(), metric.over(worlds)));
        let first = worlds.first().map_or(&[][..], |world| &world.campaigns);
        let campaigns = first.iter().enumerate().map(|(at, (id, _))| {
            let all = || worlds.iter().filter_map(|world| world.campaigns.get(at)).map(|(_, it)| it);
            let of = |value: &dyn Fn(&Campaigned) -> f64| mean(all().map(value)).unwrap_or_default();
            let asked = all().find_map(|it| it.asked);
            let worth = asked.map(|asked| of(&|it| asked.worth(it))).filter(|worth| *worth > 0.0);
            let course = |value: fn(&Spent) -> f64| -> Vec<f64> {
                let of_world = |world: &Outcome, moment: usize| world.courses.get(at)?.get(moment).map(value);
                (0..)
                    .map_while(|moment| mean(worlds.iter().filter_map(|world| of_world(world, moment))))
                    .collect()
            };
            let budget = of(&|it| it.budget.to_f64());
            let spend = of(&|it| it.spend.to_f64());
            CampaignMeans {
                id: id.clone(),
                spend,
                delivered: if budget > 0.0 { spend / budget } else { 0.0 },
                clicks: of(&|it| it.clicks as f64),
                orders: of(&|it| it.orders as f64),
                revenue: of(&|it| it.revenue.to_f64()),
                goal: asked.map(Asked::name),
                target: asked.map(Asked::target),
                goal_cost_ratio: worth.map(|worth| spend / worth),
                spent: course(|it| it.spend.to_f64()),
                planned: course(|it| it.planned.to_f64()),
                margin: course(|it| it.margin.to_f64()),
            }
        });
        let no_bids = NoBidReason::ALL.iter().filter_map(|reason| {
            let count =
                |world: &Outcome| world.no_bids.get(reason.index()).copied().unwrap_or_default() as f64;
            mean(worlds.iter().map(count)).filter(|mean| *mean > 0.0).map(|mean| (reason.as_str(), mean))
        });
        Self {
            no_bids: no_bids.collect(),
            course: Course::of(worlds),
            campaigns: campaigns.collect(),
            metrics: metrics.into_iter().collect(),
            name,
        }
    }
}

/// How a variant differs in each metric that both have in enough worlds.
pub(super) fn compare(name: &str, base: &[Outcome], worlds: &[Outcome]) -> Vec<Compared> {
    let differences_in = |metric: &Metric| {
        let pairs = base.iter().zip(worlds);
        pairs.map(|(base, world)| Some(metric.of(world)? - metric.of(base)?)).collect()
    };
    let found = differences(&Metric::ALL.iter().map(differences_in).collect::<Vec<_>>());
    let compared = Metric::ALL.iter().zip(found).filter_map(|(metric, found)| {
        let found = found?;
        Some(Compared {
            variant: name.to_owned(),
            metric: metric.name(),
            mean: found.mean,
            low: found.low,
            high: found.high,
            verdict: match found.is_shown() {
                false => "no difference shown",
                true if found.mean > 0.0 => "more",
                true => "less",
            },
        })
    });
    compared.collect()
}

impl Report {
    /// As tables.
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let Self { scenario, seeds, seed, auctions, timing, .. } = self;
        let last = seed.saturating_add((*seeds as u64).saturating_sub(1));
        writeln!(out, "{scenario}: {seeds} worlds (seeds {seed} to {last}), {auctions} auctions")?;
        for variant in &self.variants {
            let compared = self.differences.iter().filter(|it| it.variant == variant.name);
            let compared: BTreeMap<&str, &Compared> = compared.map(|it| (it.metric, it)).collect();
            writeln!(out, "\n{}", variant.name)?;
            for metric in Metric::ALL.map(Metric::name) {
                let value = variant.metrics.get(metric).copied().flatten();
                let value = value.map_or("–".to_owned(), |value| format!("{value:.4}"));
                write!(out, "  {metric:<17}{value:>14}")?;
                if let Some(it) = compared.get(metric) {
                    write!(out, "  {:>+12.4} ({:+.4} to {:+.4})  {}", it.mean, it.low, it.high, it.verdict)?;
                }
                writeln!(out)?;
            }
        }
        writeln!(
            out,
            "\n{:<24}{:>12}{:>11}{:>10}{:>9}{:>11}{:>15}{:>14}",
            "campaign", "spend", "delivered", "clicks", "orders", "revenue", "goal", "cost ÷ goal"
        )?;
        for variant in &self.variants {
            if self.variants.len() > 1 {
                writeln!(out, "{}", variant.name)?;
            }
            for it in &variant.campaigns {
                writeln!(
                    out,
                    "{:<24}{:>12.4}{:>9.1} %{:>10.1}{:>9.1}{:>11.2}{:>15}{:>14}",
                    it.id,
                    it.spend,
                    it.delivered * 100.0,
                    it.clicks,
                    it.orders,
                    it.revenue,
                    it.asked(),
                    it.goal_cost_ratio.map_or("–".to_owned(), |ratio| format!("{ratio:.3}"))
                )?;
            }
        }
        self.write_forecasts(out)?;
        for problem in self.problems.iter().chain(&self.failed) {
            writeln!(out, "\nFAILED: {problem}")?;
        }
        for note in &self.notes {
            writeln!(out, "\n{note}")?;
        }
        if self.stopped {
            writeln!(out, "\nstopped before all worlds were simulated")?;
        }
        let Timing { seconds, auctions_per_second, jobs, resumed } = timing;
        write!(out, "\n{seconds:.1} s, {auctions_per_second:.0} auctions/s, {jobs} side by side")?;
        if *resumed > 0 {
            write!(out, "; {resumed} were simulated before")?;
        }
        writeln!(out)
    }

    fn write_forecasts(&self, out: &mut String) -> std::fmt::Result {
        if self.forecasts.is_empty() {
            return Ok(());
        }
        writeln!(
            out,
            "\n{:<24}{:>16}{:>22}{:>18}",
            "will it deliver?", "at least 95 %", "share spent, median", "80 % of worlds"
        )?;
        let mut variant = None;
        for it in &self.forecasts {
            if self.variants.len() > 1 && variant.replace(&it.variant) != Some(&it.variant) {
                writeln!(out, "{}", it.variant)?;
            }
            let [delivers, median, low, high] =
                [it.delivers, it.median, it.low, it.high].map(|share| format!("{:.1} %", share * 100.0));
            let interval = format!("{low} to {high}");
            writeln!(out, "{:<24}{delivers:>16}{median:>22}{interval:>18}", it.campaign)?;
        }
        writeln!(
            out,
            "\n{:<24}{:>16}{:>16}{:>16}{:>15}",
            "forecasts, scored", "other worlds", "plan is met", "pace so far", "in the 80 %"
        )?;
        for it in &self.forecast_scores {
            let [worlds, plan, pace] = [it.worlds, it.plan, it.pace]
                .map(|score| format!("{:.1} % {:.3}", score.error * 100.0, score.brier));
            let day = format!("made at day {:.2}", it.day);
            writeln!(out, "{day:<24}{worlds:>16}{plan:>16}{pace:>16}{:>13.1} %", it.within * 100.0)?;
        }
        writeln!(out, "(mean error of the share spent; Brier score of \"at least 95 %\")")
    }
}
