//! What came of a replay, as a table and as JSON.

use std::fmt::Write;

use haggle_domain::Micros;
use serde::Serialize;
use serde_json::Number;

use super::auction::{Auction, Bought, Feedback};
use super::history::{fen, profit, surplus};
use super::log::{Format, Log};

/// Micro-yuan in a thousandth of a fen, the unit of the sums that are published.
const UNIT: i64 = 10;

/// All of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The log.
    pub log: String,
    /// Auctions in it.
    pub auctions: usize,
    /// Clicks in it.
    pub clicks: u64,
    /// Rows that were left out.
    pub bad_rows: u64,
    /// What the log counts in: a hundredth of its currency.
    pub unit: &'static str,
    /// Runs of auctions that each had a budget of their own.
    pub episodes: usize,
    /// Money for all of them, in thousandths of a fen.
    pub budget: Number,
    /// What the winner paid.
    pub auction: &'static str,
    /// What a click was paid with, in fen.
    pub payoff: f64,
    /// What a click is worth to the bidder itself, in fen: what surplus is counted by.
    pub click_worth: f64,
    /// What could have been bought with known prices.
    pub optimum: Optimum,
    /// The same with no money moved between episodes, where there are several.
    pub optimum_in_episodes: Option<Optimum>,
    /// What each strategy bought.
    pub strategies: Vec<Line>,
    /// What the log cannot tell.
    pub notes: Vec<String>,
}

/// What could have been bought with known prices and one budget.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Optimum {
    /// Sum of the predicted click rates.
    pub expected_value: f64,
    /// Clicks that were recorded on it.
    pub clicks: u64,
    /// Auctions.
    pub impressions: u64,
    /// What it cost, in thousandths of a fen.
    pub spend: Number,
}

/// What a strategy bought.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// Who.
    pub name: &'static str,
    /// Where its parameters are from.
    pub tuned_on: String,
    /// Auctions won.
    pub impressions: u64,
    /// Clicks that were recorded on them.
    pub clicks: u64,
    /// Sum of their predicted click rates.
    pub expected_value: f64,
    /// What they cost, in thousandths of a fen.
    pub spend: Number,
    /// What a click cost, in fen; none without clicks.
    pub ecpc: Option<f64>,
    /// What was spent beyond the episodes' budgets, as a fraction of them.
    pub overspend_fraction: f64,
    /// The expected value, as a fraction of the optimum's.
    pub fraction_of_optimum: f64,
    /// What the clicks were paid with, less what was spent, in fen.
    pub profit: f64,
    /// The expected value at what a click is worth, less what was spent, in fen.
    pub surplus: f64,
}

/// What a purchase is measured against.
#[derive(Clone, Copy, Debug)]
pub(super) struct Against {
    /// The money for all of the log.
    pub(super) budget: Micros,
    /// The optimum's expected value.
    pub(super) optimum: f64,
    /// What a click is paid with, in fen.
    pub(super) payoff: f64,
    /// What one is worth to the bidder itself, in fen.
    pub(super) click: f64,
}

/// Money in the unit of published sums: whole where it is.
pub(super) fn units(money: Micros) -> Number {
    match money.0 % UNIT {
        0 => Number::from(money.0 / UNIT),
        _ => Number::from_f64(money.0 as f64 / UNIT as f64).unwrap_or_else(|| Number::from(money.0 / UNIT)),
    }
}

fn part(of: f64, whole: f64) -> f64 {
    if whole > 0.0 { of / whole } else { 0.0 }
}

impl Optimum {
    pub(super) fn of(bought: &Bought) -> Self {
        Self {
            expected_value: bought.value,
            clicks: bought.clicks,
            impressions: bought.impressions,
            spend: units(bought.spend),
        }
    }

    fn write(&self, name: &str, with: &str, best: f64, out: &mut String) -> std::fmt::Result {
        let Self { expected_value, clicks, impressions, spend } = self;
        let (fraction, spend) = (part(*expected_value, best), spend.to_string());
        writeln!(
            out,
            "{name:<14}{impressions:>12}{clicks:>7}{expected_value:>10.3}{fraction:>11.4}{spend:>10}{:>10}{:>9}{:>10}{:>13}  {with}",
            "–", "–", "–", "–"
        )
    }
}

impl Line {
    pub(super) fn of(name: &'static str, tuned_on: String, bought: &Bought, against: &Against) -> Self {
        let Against { budget, optimum, payoff, click } = *against;
        Self {
            name,
            tuned_on,
            impressions: bought.impressions,
            clicks: bought.clicks,
            expected_value: bought.value,
            spend: units(bought.spend),
            ecpc: (bought.clicks > 0).then(|| fen(bought.spend) / bought.clicks as f64),
            overspend_fraction: part(bought.overspend.to_f64(), budget.to_f64()),
            fraction_of_optimum: part(bought.value, optimum),
            profit: profit(bought, payoff),
            surplus: surplus(bought, click),
        }
    }
}

/// What a log of recorded auctions cannot tell, whatever is made of it.
pub(super) fn notes(
    log: &Log,
    auction: Auction,
    feedback: Feedback,
    itself: bool,
    episodes: usize,
) -> Vec<String> {
    let mut notes = log.notes.clone();
    if log.format != Format::Haggle {
        notes.push(
            "the log holds only auctions that its bidder won, at the price that it paid: those it lost are missing, and with them \
             what dearer bids would have bought"
                .to_owned(),
        );
    }
    notes.extend([
        "clicks are those recorded on what was shown then, and few: the expected value, which is the sum of the log's predicted \
         click rates, compares strategies with less noise, but is only as true as those predictions are"
            .to_owned(),
        "prices stay what they were: rivals do not answer other bids".to_owned(),
        "the log has no times that are read: ours bids in days that their auctions divide evenly, and sees each outcome at once"
            .to_owned(),
    ]);
    if auction == Auction::First {
        let told = match feedback {
            Feedback::Full => "after each auction ours is told what it would have taken to win",
            Feedback::WinLoss => "ours is told only whether its bid won",
        };
        notes.push(format!(
            "prices from second-price auctions are used as they are, whose bidders would have bid less in first-price auctions; {told}"
        ));
        notes.push(
            "fixed_shade bids the part of the value, up to --max-bid, that left the most surplus on this very log, so nobody who has to learn \
             could have known it; truthful bids the value itself"
                .to_owned(),
        );
    }
    if itself {
        notes.push(
            "strategies that are tuned on the log itself know what they could not have known; name an earlier log with --train"
                .to_owned(),
        );
    }
    if episodes > 1 {
        notes.push(
            "the optimum spends one budget over the whole log; strategies may not move money between episodes"
                .to_owned(),
        );
    }
    notes
}

/// What stands in the head of each column, and how wide it is.
const COLUMNS: [(&str, usize); 10] = [
    ("impressions", 12),
    ("clicks", 7),
    ("expected", 10),
    ("of optimum", 11),
    ("spend", 10),
    ("overspend", 10),
    ("eCPC", 9),
    ("profit", 10),
    ("surplus", 13),
    ("tuned on", 0),
];

impl Report {
    /// As a table.
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let Self { log, auctions, clicks, budget, auction, episodes, unit, .. } = self;
        let in_episodes = if *episodes > 1 { format!(" in {episodes} episodes") } else { String::new() };
        writeln!(
            out,
            "{log}: {auctions} auctions, {clicks} clicks; {auction} price, budget {budget}{in_episodes} (1/1000 {unit})\n"
        )?;
        write!(out, "{:<14}", "")?;
        for (name, width) in COLUMNS {
            match width {
                0 => write!(out, "  {name}")?,
                _ => write!(out, "{name:>width$}")?,
            }
        }
        writeln!(out)?;
        self.optimum.write("optimum", "known prices", self.optimum.expected_value, out)?;
        if let Some(optimum) = &self.optimum_in_episodes {
            optimum.write("… episodes", "known prices, in each episode", self.optimum.expected_value, out)?;
        }
        for line in &self.strategies {
            writeln!(
                out,
                "{:<14}{:>12}{:>7}{:>10.3}{:>11.4}{:>10}{:>8.3} %{:>9}{:>10.2}{:>13.2}  {}",
                line.name,
                line.impressions,
                line.clicks,
                line.expected_value,
                line.fraction_of_optimum,
                line.spend.to_string(),
                line.overspend_fraction * 100.0,
                line.ecpc.map_or("–".to_owned(), |ecpc| format!("{ecpc:.2}")),
                line.profit,
                line.surplus,
                line.tuned_on
            )?;
        }
        writeln!(
            out,
            "\nA click is paid with {:.2} {unit}, and worth {:.2} {unit} for the surplus. What this cannot tell:",
            self.payoff, self.click_worth
        )?;
        for note in &self.notes {
            writeln!(out, "- {note}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use haggle_learning::data::BadRows;

    use super::*;

    fn report() -> Report {
        let budget = Micros(10_000);
        let best =
            Bought { impressions: 40, clicks: 5, value: 4.0, spend: Micros(10_000), overspend: Micros::ZERO };
        let over = Bought { value: 3.0, spend: Micros(10_015), overspend: Micros(15), ..best };
        let none = Bought::default();
        let against = Against { budget, optimum: best.value, payoff: 0.25, click: 2.0 };
        let line = |name, from: &str, bought| Line::of(name, from.to_owned(), bought, &against);
        let log = Log { format: Format::Sam, rows: vec![], bad: BadRows::default(), notes: vec![] };
        Report {
            log: "a.log".to_owned(),
            auctions: 100,
            clicks: 7,
            bad_rows: 0,
            unit: "fen",
            episodes: 2,
            budget: units(budget),
            auction: "second",
            payoff: 0.25,
            click_worth: 2.0,
            optimum: Optimum::of(&best),
            optimum_in_episodes: Some(Optimum { expected_value: 3.5, ..Optimum::of(&best) }),
            strategies: vec![line("linear", "b.log", &over), line("ours", "nothing", &none)],
            notes: notes(&log, Auction::Second, Feedback::Full, false, 1)[2..3].to_vec(),
        }
    }

    #[test]
    fn the_table_stands_in_columns() {
        let wanted = "\
a.log: 100 auctions, 7 clicks; second price, budget 1000 in 2 episodes (1/1000 fen)

               impressions clicks  expected of optimum     spend overspend     eCPC    profit      surplus  tuned on
optimum                 40      5     4.000     1.0000      1000         –        –         –            –  known prices
… episodes              40      5     3.500     0.8750      1000         –        –         –            –  known prices, in each episode
linear                  40      5     3.000     0.7500    1001.5   0.150 %     0.20      0.25         5.00  b.log
ours                     0      0     0.000     0.0000         0   0.000 %        –      0.00         0.00  nothing

A click is paid with 0.25 fen, and worth 2.00 fen for the surplus. What this cannot tell:
- prices stay what they were: rivals do not answer other bids
";
        assert_eq!(report().text(), wanted);
    }

    #[test]
    fn spend_is_whole_in_json_where_it_is_whole() {
        let json = serde_json::to_value(report()).unwrap();
        assert_eq!((&json["budget"], &json["optimum"]["clicks"]), (&1_000.into(), &5.into()));
        let [linear, ours] = [0, 1].map(|at| &json["strategies"][at]);
        assert_eq!((&linear["spend"], &linear["overspend_fraction"]), (&1_001.5.into(), &0.0015.into()));
        assert_eq!((&ours["spend"], &ours["ecpc"]), (&0.into(), &serde_json::Value::Null));
    }
}
