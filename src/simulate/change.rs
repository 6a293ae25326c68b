//! What changes in a world while its days pass.

use std::time::Duration;

use haggle_simulator::Conditions;
use serde::Deserialize;

/// From when on something is otherwise. What is left out stays as it was.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    /// Days after the start.
    at: f64,
    rival_prices: Option<f64>,
    click_rate: Option<f64>,
    order_rate: Option<f64>,
    traffic: Option<f64>,
    click_delay: Option<f64>,
    order_delay: Option<f64>,
    notice_delay: Option<f64>,
}

/// What factors may be.
const FACTORS: std::ops::RangeInclusive<f64> = 0.01..=100.0;

/// The conditions from each change on.
///
/// # Errors
///
/// The change's number, its key, and what is wrong.
pub(super) fn conditions(changes: &[Change]) -> Result<Vec<(Duration, Conditions)>, String> {
    let (mut now, mut before) = (Conditions::default(), None);
    let mut all = Vec::with_capacity(changes.len());
    for (number, change) in (1..).zip(changes) {
        if !(change.at >= 0.0 && change.at <= 366.0) {
            return Err(format!("change {number}: at: must be from 0 to 366 days"));
        }
        if before.is_some_and(|before| change.at <= before) {
            return Err(format!("change {number}: at: must be later than that of the change above"));
        }
        before = Some(change.at);
        let Change {
            rival_prices,
            click_rate,
            order_rate,
            traffic,
            click_delay,
            order_delay,
            notice_delay,
            ..
        } = *change;
        let said = [
            ("rival_prices", rival_prices, &mut now.rival_prices),
            ("click_rate", click_rate, &mut now.click_rate),
            ("order_rate", order_rate, &mut now.order_rate),
            ("traffic", traffic, &mut now.traffic),
            ("click_delay", click_delay, &mut now.click_delay),
            ("order_delay", order_delay, &mut now.order_delay),
            ("notice_delay", notice_delay, &mut now.notice_delay),
        ];
        let names = said.each_ref().map(|(name, ..)| *name);
        let mut any = false;
        for (name, factor, place) in said {
            let Some(factor) = factor else { continue };
            if !FACTORS.contains(&factor) {
                let (low, high) = (FACTORS.start(), FACTORS.end());
                return Err(format!("change {number}: {name}: must be a factor from {low} to {high}"));
            }
            (*place, any) = (factor, true);
        }
        if !any {
            return Err(format!("change {number}: changes nothing; give one of {}", names.join(", ")));
        }
        all.push((Duration::from_secs_f64(change.at * 86_400.0), now));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(Duration, Conditions)>, String> {
        #[derive(Deserialize)]
        struct File {
            change: Vec<Change>,
        }
        conditions(&toml::from_str::<File>(text).map_err(|error| error.to_string())?.change)
    }

    #[test]
    fn what_is_left_out_stays_as_it_was() {
        let all = read("[[change]]\nat = 0\ntraffic = 2\n[[change]]\nat = 1.5\norder_rate = 0.5\n").unwrap();
        let first = Conditions { traffic: 2.0, ..Conditions::default() };
        let second = Conditions { order_rate: 0.5, ..first };
        assert_eq!(all, [(Duration::ZERO, first), (Duration::from_secs(129_600), second)]);
    }

    #[test]
    fn nonsense_is_refused_with_its_place() {
        for (text, problem) in [
            ("at = -1.0\ntraffic = 2.0", "change 1: at: must be from 0"),
            ("at = nan\ntraffic = 2.0", "change 1: at: must be from 0"),
            ("at = 1.0\ntraffic = 0.0", "change 1: traffic: must be a factor from 0.01 to 100"),
            ("at = 1.0\nclick_rate = inf", "change 1: click_rate: must be"),
            ("at = 1.0", "change 1: changes nothing; give one of rival_prices"),
            ("at = 1.0\nrival_price = 2.0", "unknown field `rival_price`"),
            ("at = 1.0\ntraffic = 2.0\n[[change]]\nat = 1.0\ntraffic = 1.0", "change 2: at: must be later"),
        ] {
            let said = read(&format!("[[change]]\n{text}\n")).unwrap_err();
            assert!(said.contains(problem), "{said} for {text}");
        }
    }
}
