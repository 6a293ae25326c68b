//! A scenario's keys for its users and its shop.

use std::ops::RangeInclusive;

use haggle_simulator::{Bots, Churn, Goods, Season, aisle, aisles};
use serde::Deserialize;

/// What factors may be.
const FACTORS: RangeInclusive<f64> = 0.01..=100.0;
/// Exchanges, deals of one and days of a season at most.
pub(super) const MOST: usize = 64;

/// `[bots]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BotsKeys {
    share: f64,
    #[serde(default = "half")]
    recognisable: f64,
    #[serde(default = "eager")]
    click_rate: f64,
    /// Whether the bidder turns those away that it recognises.
    #[serde(default = "yes")]
    pub(super) turned_away: bool,
}

/// `[churn]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChurnKeys {
    leave: f64,
    back: f64,
}

/// `[[season]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SeasonKeys {
    aisle: String,
    interest: Vec<(f64, f64)>,
}

/// `[[aisle]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AisleKeys {
    name: String,
    order_value: Option<f64>,
    order_spread: Option<f64>,
    margin: Option<f64>,
}

pub(super) const fn one() -> f64 {
    1.0
}

const fn half() -> f64 {
    0.5
}

const fn eager() -> f64 {
    0.3
}

pub(super) const fn yes() -> bool {
    true
}

pub(super) fn within(range: &RangeInclusive<f64>, value: f64, key: &str) -> Result<f64, String> {
    let (low, high) = (range.start(), range.end());
    // What is no number is in no range.
    range.contains(&value).then_some(value).ok_or_else(|| format!("{key}: must be from {low} to {high}"))
}

pub(super) fn factor(value: f64, key: &str) -> Result<f64, String> {
    within(&FACTORS, value, key)
}

pub(super) fn share(value: f64, key: &str) -> Result<f64, String> {
    within(&(0.0..=1.0), value, key)
}

/// A word that stands in addresses and in campaigns' files.
pub(super) fn named(name: &str, key: &str) -> Result<(), String> {
    let fits =
        |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "-_.".contains(letter);
    match !name.is_empty() && name.len() <= 64 && name.chars().all(fits) {
        true => Ok(()),
        false => Err(format!("{key}: {name:?} must be 1 to 64 of a-z, 0-9, - _ and .")),
    }
}

pub(super) fn once<'n>(names: impl Iterator<Item = &'n str>, what: &str) -> Result<(), String> {
    let mut seen = std::collections::BTreeSet::new();
    match names.into_iter().find(|name| !seen.insert(*name)) {
        Some(twice) => Err(format!("{what}: {twice:?} is there twice; rename one")),
        None => Ok(()),
    }
}

pub(super) fn aisle_of(word: &str, key: &str) -> Result<usize, String> {
    aisle(word).ok_or_else(|| format!("{key}: no aisle {word:?}; there are {}", aisles().join(", ")))
}

/// Programs among the users.
///
/// # Errors
///
/// The key, and what is wrong.
pub(super) fn bots(keys: &BotsKeys) -> Result<Bots, String> {
    Ok(Bots {
        share: share(keys.share, "bots: share")?,
        recognisable: share(keys.recognisable, "bots: recognisable")?,
        click_rate: share(keys.click_rate, "bots: click_rate")?,
    })
}

/// How users come and go.
///
/// # Errors
///
/// The key, and what is wrong.
pub(super) fn churn(keys: &ChurnKeys) -> Result<Churn, String> {
    // Whoever leaves comes back some day, so that somebody is left.
    Ok(Churn {
        leave: within(&(0.0..=0.99), keys.leave, "churn: leave")?,
        back: within(&(0.01..=0.99), keys.back, "churn: back")?,
    })
}

/// How busy the days of the week are.
///
/// # Errors
///
/// The key, and what is wrong.
pub(super) fn week(factors: Option<&[f64]>) -> Result<[f64; 7], String> {
    let Some(factors) = factors else { return Ok([1.0; 7]) };
    let seven = <[f64; 7]>::try_from(factors);
    let seven = seven.map_err(|_| "week: must have seven factors, from Monday on".to_owned())?;
    seven.iter().try_for_each(|it| factor(*it, "week").map(drop))?;
    Ok(seven)
}

/// How interest comes and goes.
///
/// # Errors
///
/// The season, its key, and what is wrong.
pub(super) fn seasons(keys: &[SeasonKeys]) -> Result<Vec<Season>, String> {
    once(keys.iter().map(|it| it.aisle.as_str()), "season: aisle")?;
    let one = |keys: &SeasonKeys| {
        let wrong = |problem: String| format!("season of {:?}: {problem}", keys.aisle);
        let aisle = aisle_of(&keys.aisle, "season: aisle")?;
        if !(1..=MOST).contains(&keys.interest.len()) {
            return Err(wrong(format!("interest: must have 1 to {MOST} pairs of a day and a factor")));
        }
        for (day, times) in &keys.interest {
            within(&(0.0..=366.0), *day, "interest: a day").map_err(wrong)?;
            factor(*times, "interest: a factor").map_err(wrong)?;
        }
        if !keys.interest.windows(2).all(|pair| pair[0].0 < pair[1].0) {
            return Err(wrong("interest: its days must rise".to_owned()));
        }
        Ok(Season { aisle, interest: keys.interest.clone() })
    };
    keys.iter().map(one).collect()
}

/// What the shop's goods bring.
///
/// # Errors
///
/// The aisle, its key, and what is wrong.
pub(super) fn goods(keys: &[AisleKeys]) -> Result<Goods, String> {
    once(keys.iter().map(|it| it.name.as_str()), "aisle: name")?;
    let mut goods = Goods::default();
    for keys in keys {
        let wrong = |problem: String| format!("aisle {:?}: {problem}", keys.name);
        let place = aisle_of(&keys.name, "aisle: name")?;
        if let (Some(value), Some(median)) = (keys.order_value, goods.order_value.get_mut(place)) {
            *median = within(&(0.01..=1e5), value, "order_value").map_err(wrong)?;
        }
        if let (Some(value), Some(spread)) = (keys.order_spread, goods.order_spread.get_mut(place)) {
            *spread = within(&(0.0..=3.0), value, "order_spread").map_err(wrong)?;
        }
        if let (Some(value), Some(margin)) = (keys.margin, goods.margin.get_mut(place)) {
            *margin = share(value, "margin").map_err(wrong)?;
        }
        if [keys.order_value, keys.order_spread, keys.margin].iter().all(Option::is_none) {
            let problem = "says nothing; give order_value, order_spread or margin";
            return Err(wrong(problem.to_owned()));
        }
    }
    Ok(goods)
}

#[cfg(test)]
mod tests {
    use haggle_domain::{AuctionType, CpmMicros, DealPrice, Micros};
    use haggle_simulator::{Bills, Exchange, Manner, Rival};

    use super::super::market::{ExchangeKeys, RivalKeys, exchanges, rivals};
    use super::*;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        #[serde(default)]
        exchange: Vec<ExchangeKeys>,
        rival: Option<Vec<RivalKeys>>,
        bots: Option<BotsKeys>,
        churn: Option<ChurnKeys>,
        week: Option<Vec<f64>>,
        #[serde(default)]
        season: Vec<SeasonKeys>,
        #[serde(default)]
        aisle: Vec<AisleKeys>,
    }

    type Read = (Vec<Exchange>, Vec<Rival>, [f64; 7], Vec<Season>, Goods);

    fn read(text: &str) -> Result<Read, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        let exchanges = exchanges(&file.exchange)?;
        file.bots.as_ref().map(bots).transpose()?;
        file.churn.as_ref().map(churn).transpose()?;
        let rivals = rivals(file.rival.as_deref(), &exchanges)?;
        Ok((exchanges, rivals, week(file.week.as_deref())?, seasons(&file.season)?, goods(&file.aisle)?))
    }

    #[test]
    fn where_nothing_is_said_all_is_as_usual() {
        let usual = (Exchange::usual(), vec![Rival::usual()], [1.0; 7], Vec::new(), Goods::default());
        assert_eq!(read("").unwrap(), usual);
        assert_eq!(read("rival = []").unwrap().1, Vec::new(), "nobody else bids");
    }

    #[test]
    fn what_is_said_is_in_the_world() {
        let (exchanges, rivals, _, seasons, goods) = read(
            "[[exchange]]\nname = \"cedar\"\nprice = \"second\"\nfee = 0.1\nmin_to_win = false\nbill = \"win\"\n\
             [[exchange.deal]]\nid = \"d1\"\nprice = \"fixed\"\nfloor = 2.5\nprivate = true\n\
             [[rival]]\nname = \"bold\"\nkind = \"budgeted\"\ndaily = 2.5\nexchanges = [\"cedar\"]\n\
             devices = [\"phone\"]\naisles = [\"skiing\"]\n\
             [[season]]\naisle = \"skiing\"\ninterest = [[0.0, 1.0], [5.0, 2.0]]\n\
             [[aisle]]\nname = \"skiing\"\nmargin = 0.3\n",
        )
        .unwrap();
        let cedar = &exchanges[0];
        assert_eq!(
            (cedar.auction, cedar.bills, cedar.min_to_win),
            (AuctionType::SecondPlus, Bills::Win, false)
        );
        assert_eq!((cedar.deals[0].price, cedar.deals[0].floor), (DealPrice::Fixed, CpmMicros(2_500_000)));
        let bold = &rivals[0];
        assert_eq!(bold.manner, Manner::Budgeted { daily: Micros(2_500_000), at_once: false });
        assert_eq!(
            (&bold.exchanges[..], &bold.devices[..], &bold.aisles[..]),
            (&[0][..], &[4][..], &[7][..])
        );
        assert_eq!((seasons[0].aisle, goods.margin[7]), (7, 0.3));
    }

    #[test]
    fn nonsense_is_refused_with_its_place() {
        let exchange = "[[exchange]]\nname = \"a\"\nprice = \"first\"\n";
        let rival = "[[rival]]\nname = \"a\"\n";
        for (text, problem) in [
            (format!("{exchange}fees = 0.1"), "unknown field `fees`"),
            (format!("{exchange}fee = 1.0"), "exchange \"a\": fee: must be from 0 to 0.9"),
            (format!("{exchange}share = 0.0"), "exchange: share: one must be above 0"),
            (format!("{exchange}share = nan"), "exchange \"a\": share: must be from"),
            (format!("{exchange}{exchange}"), "exchange: name: \"a\" is there twice"),
            (exchange.replace("first", "third"), "unknown variant `third`"),
            (exchange.replace("first", "fixed"), "price: must be \"first\" or \"second\""),
            (exchange.replace("\"a\"", "\"A b\""), "name: \"A b\" must be"),
            (format!("{exchange}tmax_ms = 0"), "tmax_ms: must be from 1"),
            (
                format!("{exchange}[[exchange.deal]]\nid = \"d\"\nprice = \"fixed\"\nfloor = 0.0"),
                "exchange \"a\": deal \"d\": floor: must be from 0.01",
            ),
            (format!("{rival}kind = \"shy\""), "unknown variant `shy`"),
            (format!("{rival}daily = 1.0"), "daily: is for kind = \"budgeted\" alone"),
            (format!("{rival}kind = \"budgeted\""), "rival \"a\": daily: is missing"),
            (format!("{rival}kind = \"adaptive\"\nwin_rate = 1.0"), "win_rate: must be from 0.01 to 0.99"),
            (format!("{rival}aisles = [\"cars\"]"), "aisles: no aisle \"cars\"; there are hiking"),
            (format!("{rival}devices = [\"tv\"]"), "devices: no device \"tv\""),
            (format!("{rival}exchanges = [\"oak\"]"), "no exchange \"oak\"; there are alder, birch"),
            (format!("{rival}factor = 0.0"), "factor: must be from 0.01 to 100"),
            ("[bots]\nshare = 1.5".to_owned(), "bots: share: must be from 0 to 1"),
            ("[churn]\nleave = 0.1\nback = 0.0".to_owned(), "churn: back: must be from 0.01"),
            ("week = [1.0, 2.0]".to_owned(), "week: must have seven"),
            ("week = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, -1.0]".to_owned(), "week: must be from 0.01"),
            (
                "[[season]]\naisle = \"skiing\"\ninterest = [[2.0, 1.0], [1.0, 1.0]]".to_owned(),
                "season of \"skiing\": interest: its days must rise",
            ),
            ("[[season]]\naisle = \"skiing\"\ninterest = []".to_owned(), "interest: must have 1 to"),
            ("[[aisle]]\nname = \"skiing\"".to_owned(), "aisle \"skiing\": says nothing"),
            ("[[aisle]]\nname = \"cars\"\nmargin = 0.1".to_owned(), "aisle: name: no aisle \"cars\""),
        ] {
            let said = read(&text).unwrap_err();
            assert!(said.contains(problem), "{said} for {text}");
        }
    }
}
