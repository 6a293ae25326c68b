//! Who bids in a replay: baselines of the literature, and the bidder itself.

mod constant;
mod linear;
mod ortb;
mod ours;
mod pid;
mod random;
mod slots;
mod throttling;
mod truthful;

use haggle_domain::{Control, CpmMicros, Micros};

use super::auction::{Auction, Episodes, Rules, Strategy};
use super::history::{History, Objective};
use super::log::{FEN, Format};
use crate::exit::ExitError;
use constant::Constant;
use linear::Linear;
use ortb::Ortb;
use ours::Ours;
use pid::Pid;
use random::Random;
use throttling::Throttling;
use truthful::Truthful;

/// What is said of a strategy that was tuned on nothing.
pub const NOTHING: &str = "nothing";

/// How many take part.
pub const ENTRANTS: usize = 12;

/// Somebody who takes part.
pub struct Entrant {
    /// What the table calls it.
    pub name: &'static str,
    /// Where its parameters are from.
    pub tuned_on: String,
    /// It.
    pub strategy: Box<dyn Strategy>,
}

/// What the strategies are to bid under.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The replayed log's layout.
    pub format: Format,
    /// How auctions are decided.
    pub rules: Rules,
    /// The money.
    pub episodes: Episodes,
    /// What a click is paid with, in fen.
    pub payoff: f64,
    /// The base bid of the linear strategy in fen, where it is not to be tuned.
    pub base_bid: Option<f64>,
    /// What a click is worth to the bidder itself at most.
    pub click: Micros,
    /// Its highest bid.
    pub max_bid: CpmMicros,
    /// How much higher the log's prices are than iPinYou's, for whose prices the tried parameters were chosen.
    pub scale: f64,
    /// For what is drawn.
    pub seed: u64,
}

impl Setting {
    /// How many times the tuning goes over the history's rows.
    pub fn passes(&self) -> usize {
        let linear = if self.base_bid.is_some() { 0 } else { linear::for_clicks(self.format).len() };
        constant::parameters().len()
            + random::parameters().len()
            + linear
            + ortb::parameters().len()
            + linear::for_profit().len()
    }

    /// Everybody, tuned.
    ///
    /// # Errors
    ///
    /// Those of `pass`, which is called for each auction that parameters are tried on.
    pub fn entrants(
        &self,
        history: &History,
        pass: &mut dyn FnMut() -> Result<(), ExitError>,
    ) -> Result<Vec<Entrant>, ExitError> {
        let (totals, seed) = (&history.totals, self.seed);
        let (click, base_ctr) = (totals.click_cost(), totals.ctr);
        let c = ortb::landscape(&totals.prices, self.scale);
        let profit = Objective::Profit(self.payoff);
        let mut best = |mut parameters: Vec<f64>, objective, make: &dyn Fn(f64) -> Box<dyn Strategy>| {
            parameters.iter_mut().for_each(|parameter| *parameter *= self.scale);
            history.best(&parameters, objective, &self.episodes, &self.rules, make, pass)
        };
        let constant = |bid: f64| -> Box<dyn Strategy> { Box::new(Constant(bid)) };
        let random = |below: f64| -> Box<dyn Strategy> { Box::new(Random::new(below, seed)) };
        let linear = |base_bid: f64| -> Box<dyn Strategy> { Box::new(Linear { base_bid, base_ctr }) };
        let ortb = |worth: f64| -> Box<dyn Strategy> { Box::new(Ortb { c, worth, base_ctr }) };
        let constant = constant(best(constant::parameters(), profit, &constant)?);
        let random = random(best(random::parameters(), profit, &random)?);
        let (base_bid, linear_from) = match self.base_bid {
            Some(base_bid) => (base_bid, "--base-bid"),
            None => (
                best(linear::for_clicks(self.format), Objective::Clicks, &linear)?,
                history.rows_from.as_str(),
            ),
        };
        let ortb = ortb(best(ortb::parameters(), Objective::Clicks, &ortb)?);
        let sam1 = linear(best(linear::for_profit(), profit, &linear)?);
        let truthful = |click| Box::new(Truthful { click });
        let ours = |control| Box::new(Ours::new(self, control));
        let (rows, totals) = (history.rows_from.as_str(), history.totals_from.as_str());
        let entrants: [(_, &str, Box<dyn Strategy>); ENTRANTS] = [
            ("constant", rows, constant),
            ("random", rows, random),
            ("truthful", totals, truthful(self.payoff)),
            ("mcpc", totals, truthful(click)),
            ("linear", linear_from, linear(base_bid)),
            ("ortb", rows, ortb),
            ("sam1", rows, sam1),
            ("pid", totals, Box::new(Pid::new(click))),
            ("throttling", totals, Box::new(Throttling::new(click, seed))),
            ("ours", NOTHING, ours(Control::Dual)),
            ("ours/pid", NOTHING, ours(Control::Pid)),
            ("ours/throttle", NOTHING, ours(Control::Throttle)),
        ];
        let entrant = |(name, tuned_on, strategy): (_, &str, _)| Entrant {
            name,
            tuned_on: tuned_on.to_owned(),
            strategy,
        };
        Ok(entrants.map(entrant).into())
    }
}

/// A bid in whole fen, rounded down, as published strategies bid. Not a number or negative gives a bid of 0.
fn whole_fen(fen: f64) -> Option<CpmMicros> {
    // The cast takes what is no number for 0; a million fen is more than any price.
    Some(CpmMicros(fen.clamp(0.0, 1e6) as i64 * FEN))
}

impl Rules {
    /// Those by which figures on logs of that layout are published.
    pub fn published(format: Format, auction: Auction) -> Self {
        match format {
            Format::Pairs | Format::Sam => Self { auction, ties_win: false, capped: false, highest: None },
            Format::Rlb => {
                Self { auction, ties_win: true, capped: true, highest: Some(CpmMicros(300 * FEN)) }
            }
            // Nothing is published on them, so they have the rules of an exchange: what it took to win wins, and nobody spends
            // what is not there.
            Format::Ipinyou | Format::Haggle => Self { auction, ties_win: true, capped: true, highest: None },
        }
    }
}
