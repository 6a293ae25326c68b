//! The command line of `haggle replay`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use haggle_domain::Micros;

use super::auction::{Auction, Feedback};
use super::log::Format;
use crate::exit::{Exit, ExitError};

/// What to replay, and how.
#[derive(Clone, Debug, Args)]
pub struct ReplayArgs {
    /// The log of recorded auctions (a name that ends in .gz is unpacked), or a node's configuration, for what is in its journal.
    #[arg(value_name = "LOG")]
    pub log: PathBuf,
    /// Its layout, and with it the rules of the figures that are published on such logs; without it a name that ends in .toml is a
    /// node's configuration, and anything else a log of pairs.
    #[arg(long, value_enum, value_name = "NAME")]
    pub format: Option<Format>,
    /// An earlier log, or a campaign's sums (.json), to tune the baselines on; without it they are tuned on the log itself,
    /// which flatters them.
    #[arg(long, value_name = "FILE")]
    pub train: Option<PathBuf>,
    /// The folder of the model that says what click rates iPinYou's own logs would have had.
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// The log of clicks to an iPinYou log of impressions.
    #[arg(long, value_name = "FILE")]
    pub clicks: Option<PathBuf>,
    /// The campaign whose auctions are taken from a node's journal; without it those of all.
    #[arg(long, value_name = "ID")]
    pub campaign: Option<String>,
    /// The budget, as a fraction of what all auctions cost: 1/16, or 0.0625.
    #[arg(long, value_name = "FRACTION", default_value = "1/16", value_parser = fraction)]
    pub budget_fraction: Fraction,
    /// Give the money out for so many auctions at a time, at the mean market price of --train.
    #[arg(long, value_name = "N")]
    pub episode: Option<NonZeroUsize>,
    /// What the winner pays: its bid (first), or the market price (second).
    #[arg(long, value_enum, default_value = "second")]
    pub auction: Auction,
    /// What the bidder itself is told after a first-price auction: what it would have taken to win, or only whether it won.
    #[arg(long, value_enum, default_value = "full")]
    pub feedback: Feedback,
    /// The share of its bids that then try other prices; without it 0.02.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub explore_prices: Option<f64>,
    /// What a click is paid with, as a fraction of what it used to cost: what the profit and the truthful bid follow from.
    #[arg(long, value_name = "RATIO", default_value_t = 0.2, value_parser = ratio)]
    pub payoff: f64,
    /// The linear strategy's bid at the mean click rate, in fen, instead of tuning it.
    #[arg(long, value_name = "FEN", value_parser = ratio)]
    pub base_bid: Option<f64>,
    /// What a click is worth to the bidder itself at most, in fen (cents of a node's journal); without it the whole budget. What
    /// surplus is counted by.
    #[arg(long, value_name = "FEN", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_cpc: Option<u32>,
    /// The highest bid of the bidder itself, in fen (cents) for a thousand impressions; without it 300, of a node's journal the
    /// highest price in it.
    #[arg(long, value_name = "FEN", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_bid: Option<u32>,
    /// How many bad rows of a log are left out before it is refused.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub bad_rows: u64,
    /// Chooses what the random strategies draw.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Write a page too, with what was spent by when beside the plan.
    #[arg(long, value_name = "FILE.html")]
    pub report: Option<PathBuf>,
    /// Write the report as JSON.
    #[arg(long)]
    pub json: bool,
}

impl ReplayArgs {
    /// Whether what was said goes with that layout.
    ///
    /// # Errors
    ///
    /// The first flag that does not.
    pub(super) fn check(&self, format: Format) -> Result<(), ExitError> {
        let (ipinyou, haggle) = (format == Format::Ipinyou, format == Format::Haggle);
        let (first, told) = (self.auction == Auction::First, self.feedback == Feedback::Full);
        for (flag, given, fits, wants) in [
            ("--feedback win-loss", !told, first, "first-price auctions (--auction first)"),
            (
                "--explore-prices",
                self.explore_prices.is_some(),
                first && !told,
                "first-price auctions of which only the result is told (--auction first --feedback win-loss)",
            ),
            ("--model", self.model.is_some(), ipinyou, "iPinYou's own logs (--format ipinyou)"),
            ("--clicks", self.clicks.is_some(), ipinyou, "iPinYou's own logs (--format ipinyou)"),
            ("--campaign", self.campaign.is_some(), haggle, "a node's journal (--format haggle)"),
        ] {
            if given && !fits {
                return Err(ExitError::new(Exit::Usage, format!("{flag} is for {wants}; leave it out")));
            }
        }
        Ok(())
    }
}

/// A part of something, exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fraction {
    /// Above the line.
    pub numerator: u64,
    /// Below it; not 0.
    pub denominator: u64,
}

impl Fraction {
    /// This part of `amount` × `times` ÷ `parts`, in whole thousandths of a fen, rounded down as published budgets are.
    pub fn of(self, amount: Micros, times: u64, parts: u64) -> Micros {
        /// Micro-yuan in a thousandth of a fen.
        const UNIT: u128 = 10;
        let amount = u128::try_from(amount.0).unwrap_or(0) / UNIT;
        let below = u128::from(self.denominator).saturating_mul(u128::from(parts)).max(1);
        let above = amount.saturating_mul(u128::from(self.numerator)).saturating_mul(u128::from(times));
        Micros(i64::try_from(above / below * UNIT).unwrap_or(i64::MAX))
    }
}

fn fraction(text: &str) -> Result<Fraction, String> {
    let wrong = || {
        "must be a fraction such as 1/16 or a decimal number such as 0.0625, above 0 and at most 1".to_owned()
    };
    let number = |text: &str| {
        let digits = (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u64>().ok()).flatten()
    };
    let (numerator, denominator) = match (text.split_once('/'), text.split_once('.')) {
        (Some((above, below)), _) => (number(above), number(below)),
        (None, Some((whole, part))) => {
            let scale = u32::try_from(part.len()).ok().and_then(|digits| 10u64.checked_pow(digits));
            let sum = |whole: u64, part: u64| whole.checked_mul(scale?)?.checked_add(part);
            (number(whole).zip(number(part)).and_then(|(whole, part)| sum(whole, part)), scale)
        }
        (None, None) => (number(text), Some(1)),
    };
    let found = numerator.zip(denominator).filter(|(above, below)| *above > 0 && above <= below);
    found.map(|(numerator, denominator)| Fraction { numerator, denominator }).ok_or_else(wrong)
}

fn share(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (0.0..=0.5).contains(number));
    number.ok_or_else(|| "must be a share from 0 to 0.5".to_owned())
}

fn ratio(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (f64::MIN_POSITIVE..=1e6).contains(number));
    number.ok_or_else(|| "must be a number above 0".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_are_exact() {
        let is = |text, numerator, denominator| {
            assert_eq!(fraction(text), Ok(Fraction { numerator, denominator }), "{text}");
        };
        is("1/16", 1, 16);
        is("0.0625", 625, 10_000);
        is("1", 1, 1);
        is("1.0", 10, 10);
        for text in [
            "",
            "0",
            "0/4",
            "1/0",
            "3/2",
            "1.5",
            "-1/2",
            "1/",
            "/2",
            ".5",
            "0.",
            "1e-3",
            "0.12345678901",
            "1/2/3",
        ] {
            assert!(fraction(text).is_err(), "{text}");
        }
    }

    #[test]
    fn budgets_are_rounded_down_to_a_thousandth_of_a_fen() {
        let sixteenth = Fraction { numerator: 1, denominator: 16 };
        assert_eq!(sixteenth.of(Micros(54_251_630), 1, 1), Micros(3_390_720));
        let episode = Fraction { numerator: 1, denominator: 32 };
        assert_eq!(episode.of(Micros(196_890_720), 1_000, 312_437), Micros(19_690));
        assert_eq!(episode.of(Micros::MAX, u64::MAX, 1), Micros::MAX);
    }
}
