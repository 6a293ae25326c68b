//! What strategies are tuned on: what was known before the replayed log, or, where nothing was, the log itself.

use std::path::Path;

use haggle_domain::{CpmMicros, Micros};
use serde::Deserialize;

use super::args::ReplayArgs;
use super::auction::{Bought, Episodes, Rules, Strategy, cost, play};
use super::log::{self, FEN, Log, Row};
use crate::exit::{Exit, ExitError};
use crate::model::Progress;

/// What is said of a strategy that was tuned on what it is judged on.
pub const ITSELF: &str = "the log itself";

/// Sums over auctions.
#[derive(Clone, Debug, PartialEq)]
pub struct Totals {
    /// How many.
    pub auctions: u64,
    /// Clicks on their ads; at least one.
    pub clicks: u64,
    /// What they cost at their market prices.
    pub cost: Micros,
    /// The mean of the predicted click rates; where only sums are known, of the clicks themselves.
    pub ctr: f64,
    /// How many had each market price, in whole fen from 0.
    pub prices: Vec<u64>,
}

/// A file of `--train`: a log, or a file of sums as han-cai/rlb-dp has them (`info.json`).
#[derive(Clone, Debug)]
pub enum Train {
    /// Auctions.
    Log(Log),
    /// Sums alone.
    Totals(Totals),
}

/// What strategies are tuned on.
#[derive(Clone, Debug)]
pub struct History {
    /// Sums: what a click costs, how prices are spread.
    pub totals: Totals,
    /// Where the sums are from.
    pub totals_from: String,
    /// Auctions to try parameters on, in the order in which they are tried.
    pub rows: Vec<Row>,
    /// Where the auctions are from.
    pub rows_from: String,
}

/// What a parameter is chosen by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Objective {
    /// The most clicks.
    Clicks,
    /// The most profit, at so many fen a click.
    Profit(f64),
    /// The most surplus, at so many fen a click.
    Surplus(f64),
}

/// Clicks at so many fen each less what was spent, in fen.
pub fn profit(bought: &Bought, payoff: f64) -> f64 {
    bought.clicks as f64 * payoff - fen(bought.spend)
}

/// Predicted clicks at so many fen each less what was spent, in fen.
pub fn surplus(bought: &Bought, click: f64) -> f64 {
    bought.value * click - fen(bought.spend)
}

/// Money in fen: for models and reports only.
pub fn fen(money: Micros) -> f64 {
    money.0 as f64 / FEN as f64
}

impl Totals {
    fn of(rows: &[Row]) -> Self {
        let mut prices = Vec::new();
        for row in rows {
            let price = usize::try_from(row.price.0 / FEN).unwrap_or(usize::MAX);
            if prices.len() <= price {
                prices.resize(price + 1, 0);
            }
            prices[price] += 1;
        }
        Self {
            auctions: rows.len() as u64,
            clicks: rows.iter().filter(|row| row.clicked).count() as u64,
            cost: rows.iter().map(|row| cost(row.price)).sum(),
            ctr: rows.iter().map(|row| row.ctr).sum::<f64>() / rows.len() as f64,
            prices,
        }
    }

    /// What a click cost, in fen.
    pub fn click_cost(&self) -> f64 {
        self.cost.0 as f64 / (FEN / 1000) as f64 * 1e-3 / self.clicks as f64
    }
}

/// The sums of a campaign, as han-cai/rlb-dp writes them; its other members say nothing that is asked here.
#[derive(Deserialize)]
struct Info {
    imp_train: u64,
    clk_train: u64,
    cost_train: u64,
    price_counter_train: Vec<u64>,
}

impl Train {
    /// Reads a file of sums if its name ends in `.json`, otherwise a log.
    ///
    /// # Errors
    ///
    /// That the file cannot be read or is neither.
    pub(super) fn read(path: &Path, args: &ReplayArgs, progress: &Progress) -> Result<Self, ExitError> {
        if !path.extension().is_some_and(|end| end.eq_ignore_ascii_case("json")) {
            return log::read(path, args, progress).map(Self::Log);
        }
        Self::sums(path)
    }

    pub(super) fn sums(path: &Path) -> Result<Self, ExitError> {
        let name = path.display();
        let text = std::fs::read(path)
            .map_err(|error| ExitError::new(Exit::IoFailed, format!("{name} cannot be read: {error}")))?;
        let unusable = |problem: String| {
            ExitError::new(
                Exit::InputUnusable,
                format!(
                    "{name}: {problem}; a file of sums has imp_train, clk_train, cost_train and price_counter_train"
                ),
            )
        };
        let info: Info = serde_json::from_slice(&text).map_err(|error| unusable(error.to_string()))?;
        let most = i64::MAX as u64 / (10 * FEN as u64);
        if info.imp_train == 0
            || info.clk_train > info.imp_train
            || info.cost_train > most
            || info.imp_train > most
        {
            return Err(unusable("the sums contradict each other".to_owned()));
        }
        Ok(Self::Totals(Totals {
            auctions: info.imp_train,
            clicks: info.clk_train,
            cost: cost(CpmMicros(info.cost_train as i64 * FEN)),
            ctr: info.clk_train as f64 / info.imp_train as f64,
            prices: info.price_counter_train,
        }))
    }
}

impl History {
    /// Of a log and the file before it, with its name. A log before it is tried from its end on, newest first, and no longer
    /// than the replayed one, as wnzhang/rtbarbitrage does it.
    ///
    /// # Errors
    ///
    /// That there is no click in what is known, so that nobody knows what one costs.
    pub fn new(log: &Log, train: Option<(String, Train)>) -> Result<Self, ExitError> {
        let itself = || ITSELF.to_owned();
        let history = match train {
            None => Self {
                totals: Totals::of(&log.rows),
                totals_from: itself(),
                rows: log.rows.clone(),
                rows_from: itself(),
            },
            Some((name, Train::Log(train))) => Self {
                totals: Totals::of(&train.rows),
                totals_from: name.clone(),
                rows: train.rows.iter().rev().take(log.rows.len()).copied().collect(),
                rows_from: name,
            },
            Some((name, Train::Totals(totals))) => {
                Self { totals, totals_from: name, rows: log.rows.clone(), rows_from: itself() }
            }
        };
        if history.totals.clicks == 0 {
            return Err(ExitError::new(
                Exit::InputUnusable,
                format!(
                    "{}: no click in it, so what one costs is not known; name a log that has some with --train",
                    history.totals_from
                ),
            ));
        }
        Ok(history)
    }
}

/// The first of the parameters that does best in these auctions.
///
/// # Errors
///
/// Those of `pass`.
pub fn best(
    rows: &[Row],
    parameters: &[f64],
    objective: Objective,
    episodes: &Episodes,
    rules: &Rules,
    make: &dyn Fn(f64) -> Box<dyn Strategy>,
    pass: &mut dyn FnMut() -> Result<(), ExitError>,
) -> Result<f64, ExitError> {
    let (mut best, mut most) = (0.0, f64::NEG_INFINITY);
    for &parameter in parameters {
        let bought = play(rows.iter(), episodes, rules, &mut *make(parameter), pass)?;
        let worth = match objective {
            Objective::Clicks => bought.clicks as f64,
            Objective::Profit(payoff) => profit(&bought, payoff),
            Objective::Surplus(click) => surplus(&bought, click),
        };
        if worth > most {
            (best, most) = (parameter, worth);
        }
    }
    Ok(best)
}

#[cfg(test)]
mod tests {
    use haggle_learning::data::BadRows;

    use super::log::Format;
    use super::*;

    fn sums(text: &str) -> Result<Train, ExitError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("info.json");
        std::fs::write(&path, text).unwrap();
        Train::sums(&path)
    }

    #[test]
    fn sums_say_what_a_click_costs() {
        let text = r#"{"imp_train": 1000, "clk_train": 4, "cost_train": 60000, "price_counter_train": [1, 2], "dim": 9}"#;
        let Ok(Train::Totals(totals)) = sums(text) else { unreachable!("no sums") };
        assert_eq!((totals.cost, totals.prices.as_slice()), (Micros(600_000), [1, 2].as_slice()));
        assert!((totals.click_cost() - 15.0).abs() < 1e-9 && (totals.ctr - 0.004).abs() < 1e-12);
    }

    #[test]
    fn sums_that_cannot_be_are_refused() {
        let of = |imp: u64, clk: u64, cost: u64| {
            let text = format!(
                r#"{{"imp_train": {imp}, "clk_train": {clk}, "cost_train": {cost}, "price_counter_train": []}}"#
            );
            sums(&text).map(drop).map_err(|error| error.message)
        };
        assert_eq!(of(1, 1, 1), Ok(()));
        for (imp, clk, cost) in
            [(0, 0, 1), (1, 2, 1), (1, 1, u64::MAX), (u64::MAX, 1, 1), (1, 1, i64::MAX as u64 / 1_000)]
        {
            assert!(of(imp, clk, cost).unwrap_err().contains("the sums contradict each other"));
        }
        assert!(sums("{}").unwrap_err().message.contains("info.json: missing field `imp_train`"));
    }

    #[test]
    fn an_earlier_log_is_tried_newest_first_and_no_longer_than_the_replayed_one() {
        let row = |price, clicked| Row { clicked, price: CpmMicros(price * FEN), ctr: 0.5 };
        let log = |rows: &[Row]| Log {
            format: Format::Sam,
            rows: rows.to_vec(),
            bad: BadRows::default(),
            notes: Vec::new(),
        };
        let replayed = log(&[row(1, false), row(2, false)]);
        let earlier = log(&[row(10, true), row(20, false), row(30, false)]);
        let history = History::new(&replayed, Some(("e".to_owned(), Train::Log(earlier)))).unwrap();
        assert_eq!(history.rows, [row(30, false), row(20, false)]);
        assert_eq!((history.totals.auctions, history.rows_from.as_str()), (3, "e"));
        let error = History::new(&replayed, None).unwrap_err();
        assert!(error.message.starts_with("the log itself: no click in it"), "{error}");
    }
}
