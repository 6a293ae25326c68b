//! Who bids in a replay: baselines of the literature, and the bidder itself.

mod constant;
mod fixed_shade;
mod linear;
mod ortb;
mod ours;
mod pid;
mod random;
mod slots;
mod throttling;
mod truthful;

use haggle_domain::{Control, CpmMicros, Micros};

use super::auction::{Auction, Episodes, Feedback, Rules, Strategy};
use super::history::{self, History, Objective};
use super::log::{FEN, Format, Row};
use crate::exit::ExitError;
use constant::Constant;
use fixed_shade::FixedShade;
use linear::Linear;
use ortb::Ortb;
use ours::Ours;
use pid::Pid;
use random::Random;
use throttling::Throttling;
use truthful::Truthful;

/// What is said of a strategy that was tuned on nothing.
pub const NOTHING: &str = "nothing";

/// How many take part at most.
pub const ENTRANTS: usize = 13;

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
    /// What it is told after a first-price auction.
    pub feedback: Feedback,
    /// The share of its bids that try other prices where it is not told what it took to win.
    pub explore_prices: f64,
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

    /// How many times the tuning goes over the replayed log itself, whatever history there is.
    pub fn passes_in_hindsight(&self) -> usize {
        match self.rules.auction {
            Auction::First => fixed_shade::coarse().len() + fixed_shade::fine(1.0).len(),
            Auction::Second => 0,
        }
    }

    /// The best part of the value to bid in these very auctions.
    fn fixed_shade(
        &self,
        rows: &[Row],
        pass: &mut dyn FnMut() -> Result<(), ExitError>,
    ) -> Result<FixedShade, ExitError> {
        let (click, max_bid) = (history::fen(self.click), self.max_bid);
        let make = |shade: f64| -> Box<dyn Strategy> { Box::new(FixedShade { click, shade, max_bid }) };
        let mut best = |shades: Vec<f64>| {
            let surplus = Objective::Surplus(click);
            history::best(rows, &shades, surplus, &self.episodes, &self.rules, &make, pass)
        };
        let coarse = best(fixed_shade::coarse())?;
        Ok(FixedShade { click, shade: best(fixed_shade::fine(coarse))?, max_bid })
    }

    /// Everybody, tuned.
    ///
    /// # Errors
    ///
    /// Those of `pass`, which is called for each auction that parameters are tried on.
    pub fn entrants(
        &self,
        rows: &[Row],
        history: &History,
        pass: &mut dyn FnMut() -> Result<(), ExitError>,
    ) -> Result<Vec<Entrant>, ExitError> {
        let (totals, seed) = (&history.totals, self.seed);
        let (click, base_ctr) = (totals.click_cost(), totals.ctr);
        let c = ortb::landscape(&totals.prices, self.scale);
        let profit = Objective::Profit(self.payoff);
        let mut tuned = |mut parameters: Vec<f64>, objective, make: &dyn Fn(f64) -> Box<dyn Strategy>| {
            parameters.iter_mut().for_each(|parameter| *parameter *= self.scale);
            history::best(&history.rows, &parameters, objective, &self.episodes, &self.rules, make, pass)
        };
        let constant = |bid: f64| -> Box<dyn Strategy> { Box::new(Constant(bid)) };
        let random = |below: f64| -> Box<dyn Strategy> { Box::new(Random::new(below, seed)) };
        let linear = |base_bid: f64| -> Box<dyn Strategy> { Box::new(Linear { base_bid, base_ctr }) };
        let ortb = |worth: f64| -> Box<dyn Strategy> { Box::new(Ortb { c, worth, base_ctr }) };
        let constant = constant(tuned(constant::parameters(), profit, &constant)?);
        let random = random(tuned(random::parameters(), profit, &random)?);
        let (base_bid, linear_from) = match self.base_bid {
            Some(base_bid) => (base_bid, "--base-bid"),
            None => (
                tuned(linear::for_clicks(self.format), Objective::Clicks, &linear)?,
                history.rows_from.as_str(),
            ),
        };
        let ortb = ortb(tuned(ortb::parameters(), Objective::Clicks, &ortb)?);
        let sam1 = linear(tuned(linear::for_profit(), profit, &linear)?);
        let truthful = |click| Box::new(Truthful { click });
        let first = self.rules.auction == Auction::First;
        // Where the winner pays its bid, surplus is what counts, and of that the truthful bid leaves nothing.
        let (honest, honest_from) = match first {
            true => (history::fen(self.click), NOTHING),
            false => (self.payoff, history.totals_from.as_str()),
        };
        let shade = if first { Some(self.fixed_shade(rows, pass)?) } else { None };
        let ours = |control| Box::new(Ours::new(self, control));
        let (rows, totals) = (history.rows_from.as_str(), history.totals_from.as_str());
        let mut entrants: Vec<(_, &str, Box<dyn Strategy>)> = vec![
            ("constant", rows, constant),
            ("random", rows, random),
            ("truthful", honest_from, truthful(honest)),
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
        if let Some(shade) = shade {
            entrants.insert(entrants.len() - 3, ("fixed_shade", history::ITSELF, Box::new(shade)));
        }
        let entrant = |(name, tuned_on, strategy): (_, &str, _)| Entrant {
            name,
            tuned_on: tuned_on.to_owned(),
            strategy,
        };
        Ok(entrants.into_iter().map(entrant).collect())
    }
}

/// A bid in whole fen, rounded down, as published strategies bid. Not a number or negative gives a bid of 0.
fn whole_fen(fen: f64) -> Option<CpmMicros> {
    // The cast takes what is no number for 0; a million fen is more than any price.
    Some(CpmMicros(fen.clamp(0.0, 1e6) as i64 * FEN))
}

impl Rules {
    /// Those by which figures on logs of that layout are published, which are of second-price auctions. Where the winner pays its
    /// bid, nobody bids more than is left.
    pub fn published(format: Format, auction: Auction) -> Self {
        match format {
            Format::Pairs | Format::Sam => {
                Self { auction, ties_win: false, capped: auction == Auction::First, highest: None }
            }
            Format::Rlb => {
                Self { auction, ties_win: true, capped: true, highest: Some(CpmMicros(300 * FEN)) }
            }
            // Nothing is published on them, so they have the rules of an exchange: what it took to win wins, and nobody spends
            // what is not there.
            Format::Ipinyou | Format::Haggle => Self { auction, ties_win: true, capped: true, highest: None },
        }
    }
}
