//! Programs among the users: they look and click, and never buy.

use crate::chance::{Chance, Use};

/// How many users are programs, and what they do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bots {
    /// The share of users that are.
    pub share: f64,
    /// The share of those that a request gives away: half by their user agent, half by an address in a data centre.
    pub recognisable: f64,
    /// How likely one clicks what it is shown.
    pub click_rate: f64,
}

/// What a request gives away of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bot {
    /// Its browser has no window and says so.
    Headless,
    /// Its address is a data centre's.
    DataCentre,
    /// Nothing.
    Disguised,
}

/// What a browser without a window calls itself.
pub(crate) const HEADLESS: &str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/141.0.0.0 Safari/537.36";
/// What is read from that: of the names in it the one that is known.
pub(crate) const HEADLESS_BROWSER: &str = "safari";
/// The data centre's network, TEST-NET-2 of RFC 5737, as lists of networks write it.
pub const DATA_CENTRE: &str = "198.51.100.0/24";

impl Bots {
    /// Whether a user is a program. More of them are those of before and others.
    pub(crate) fn of(&self, seed: u64, person: usize) -> Option<Bot> {
        let mut chance = Chance::new(seed, Use::Bots, person as u64, 0);
        let (is, kind) = (chance.hit(self.share), chance.uniform());
        let bot = match kind {
            kind if kind < self.recognisable / 2.0 => Bot::Headless,
            kind if kind < self.recognisable => Bot::DataCentre,
            _ => Bot::Disguised,
        };
        is.then_some(bot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_bots_as_is_said_and_more_include_fewer() {
        let bots = |share| Bots { share, recognisable: 0.6, click_rate: 0.3 };
        let all: Vec<_> = (0..10_000).map(|person| bots(0.2).of(7, person)).collect();
        let count = |bot| all.iter().filter(|it| **it == Some(bot)).count();
        for (bot, expected) in [(Bot::Headless, 600), (Bot::DataCentre, 600), (Bot::Disguised, 800)] {
            assert!(count(bot).abs_diff(expected) < 100, "{bot:?}: {}", count(bot));
        }
        for (person, bot) in all.iter().enumerate() {
            let fewer = bots(0.05).of(7, person);
            assert!(fewer.is_none() || fewer == *bot);
        }
    }
}
