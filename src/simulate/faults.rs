//! What goes wrong in a scenario.

use std::time::Duration;

use haggle_simulator::Exchange;
use haggle_simulator::drive::{ClockFault, Faults, Silence};
use serde::Deserialize;

/// `[faults]`: what is left out does not happen.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct FaultKeys {
    /// Shares of the notices.
    lost: f64,
    duplicated: f64,
    late: f64,
    reordered: f64,
    /// How late late ones are: the median, and the standard deviation of the logarithm.
    late_minutes: Option<f64>,
    late_spread: Option<f64>,
    /// The share of the answers.
    slow_answers: f64,
    /// Days after the start, and days between those that come by chance.
    crashes: Vec<f64>,
    crash_every: Option<f64>,
    down_minutes: Option<f64>,
    /// What becomes of what cannot be told meanwhile.
    down_notices: Option<Undelivered>,
    clock: Vec<ClockKeys>,
    silence: Vec<SilenceKeys>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Undelivered {
    Retried,
    Lost,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockKeys {
    at: f64,
    hours: f64,
    off_seconds: f64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SilenceKeys {
    exchange: String,
    at: f64,
    hours: f64,
}

const DAY: f64 = 86_400.0;
const HOUR: f64 = 3_600.0;
const MINUTE: f64 = 60.0;

impl FaultKeys {
    /// The faults, checked, in a world of these exchanges.
    ///
    /// # Errors
    ///
    /// The key, and what is wrong with it.
    pub(super) fn checked(&self, exchanges: &[Exchange]) -> Result<Faults, String> {
        for (key, share) in [
            ("lost", self.lost),
            ("duplicated", self.duplicated),
            ("late", self.late),
            ("reordered", self.reordered),
            ("slow_answers", self.slow_answers),
        ] {
            if !(0.0..=1.0).contains(&share) {
                return Err(format!("{key}: must be a share from 0 to 1"));
            }
        }
        let crash = !self.crashes.is_empty() || self.crash_every.is_some();
        let delays = self.late > 0.0 || self.duplicated > 0.0;
        for (key, said, needs) in [
            ("late_minutes", self.late_minutes.is_some(), (delays, "late or duplicated")),
            ("late_spread", self.late_spread.is_some(), (delays, "late or duplicated")),
            ("down_minutes", self.down_minutes.is_some(), (crash, "crashes or crash_every")),
            ("down_notices", self.down_notices.is_some(), (crash, "crashes or crash_every")),
        ] {
            if said && !needs.0 {
                return Err(format!("{key}: changes nothing without {}", needs.1));
            }
        }
        let spread = self.late_spread.unwrap_or(1.0);
        if !(0.0..=5.0).contains(&spread) {
            return Err("late_spread: must be from 0 to 5".to_owned());
        }
        Ok(Faults {
            lost: self.lost,
            duplicated: self.duplicated,
            late: self.late,
            late_by: span("late_minutes", self.late_minutes.unwrap_or(5.0), MINUTE, (0.01, 10_080.0))?,
            late_spread: spread,
            reordered: self.reordered,
            slow_answers: self.slow_answers,
            crashes: self.crashes.iter().map(|at| moment("crashes", *at)).collect::<Result<_, _>>()?,
            crash_every: self
                .crash_every
                .map(|days| span("crash_every", days, DAY, (0.01, 366.0)))
                .transpose()?,
            down: span("down_minutes", self.down_minutes.unwrap_or(1.0), MINUTE, (0.0, 1_440.0))?,
            retried: self.down_notices != Some(Undelivered::Lost),
            clock: self.clock.iter().map(ClockKeys::checked).collect::<Result<_, _>>()?,
            silences: self.silence.iter().map(|it| it.checked(exchanges)).collect::<Result<_, _>>()?,
        })
    }
}

impl ClockKeys {
    fn checked(&self) -> Result<ClockFault, String> {
        if !(self.off_seconds.abs() <= DAY && self.off_seconds != 0.0) {
            return Err("clock: off_seconds: must be from -86400 to 86400, and not 0".to_owned());
        }
        Ok(ClockFault {
            at: moment("clock: at", self.at)?,
            lasts: span("clock: hours", self.hours, HOUR, (0.01, 8_784.0))?,
            off: (self.off_seconds * 1e6) as i64,
        })
    }
}

impl SilenceKeys {
    fn checked(&self, exchanges: &[Exchange]) -> Result<Silence, String> {
        let known: Vec<&str> = exchanges.iter().map(|exchange| &*exchange.name).collect();
        if !known.contains(&&*self.exchange) {
            let known = known.join(", ");
            return Err(format!("silence: exchange: {:?} is none of {known}", self.exchange));
        }
        Ok(Silence {
            exchange: self.exchange.clone(),
            at: moment("silence: at", self.at)?,
            lasts: span("silence: hours", self.hours, HOUR, (0.01, 8_784.0))?,
        })
    }
}

fn moment(key: &str, days: f64) -> Result<Duration, String> {
    match (0.0..=366.0).contains(&days) {
        true => Ok(Duration::from_secs_f64(days * DAY)),
        false => Err(format!("{key}: must be from 0 to 366 days after the start")),
    }
}

fn span(key: &str, value: f64, seconds: f64, (least, most): (f64, f64)) -> Result<Duration, String> {
    match (least..=most).contains(&value) {
        true => Ok(Duration::from_secs_f64(value * seconds)),
        false => Err(format!("{key}: must be from {least} to {most}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Faults, String> {
        toml::from_str::<FaultKeys>(text).map_err(|error| error.to_string())?.checked(&Exchange::usual())
    }

    #[test]
    fn what_is_left_out_does_not_happen() {
        let quiet = read("").unwrap();
        let nothing =
            Faults { late_by: quiet.late_by, late_spread: 1.0, down: quiet.down, ..Faults::default() };
        assert_eq!(quiet, Faults { retried: true, ..nothing });
    }

    #[test]
    fn faults_are_read_in_their_units() {
        let text = "lost = 0.02\nlate = 0.1\nlate_minutes = 20\ncrashes = [0.5]\ndown_minutes = 3\n\
            down_notices = \"lost\"\nclock = [{ at = 1.0, hours = 2, off_seconds = -1.5 }]\n\
            silence = [{ exchange = \"birch\", at = 0.25, hours = 6 }]\n";
        let read = read(text).unwrap();
        assert_eq!((read.lost, read.late, read.late_by), (0.02, 0.1, Duration::from_secs(1_200)));
        assert_eq!((read.crashes, read.down), (vec![Duration::from_secs(43_200)], Duration::from_secs(180)));
        assert!(!read.retried);
        let hours = |hours: u64| Duration::from_secs(hours * 3_600);
        assert_eq!(read.clock, [ClockFault { at: hours(24), lasts: hours(2), off: -1_500_000 }]);
        let silence = Silence { exchange: "birch".to_owned(), at: hours(6), lasts: hours(6) };
        assert_eq!(read.silences, [silence]);
    }

    #[test]
    fn nonsense_is_refused_with_its_place() {
        for (text, problem) in [
            ("lost = 1.5", "lost: must be a share from 0 to 1"),
            ("late = nan", "late: must be a share from 0 to 1"),
            ("lots = 0.5", "unknown field `lots`"),
            ("late_minutes = 5", "late_minutes: changes nothing without late or duplicated"),
            ("late = 0.1\nlate_minutes = -5", "late_minutes: must be from 0.01 to 10080"),
            ("late = 0.1\nlate_spread = 9", "late_spread: must be from 0 to 5"),
            ("down_minutes = 5", "down_minutes: changes nothing without crashes or crash_every"),
            ("crashes = [-1.0]", "crashes: must be from 0 to 366 days"),
            ("crash_every = 0.0", "crash_every: must be from 0.01 to 366"),
            ("crashes = [1.0]\ndown_notices = \"kept\"", "unknown variant `kept`"),
            ("clock = [{ at = 1, hours = 1, off_seconds = 0 }]", "off_seconds: must be from -86400"),
            ("silence = [{ exchange = \"oak\", at = 1, hours = 1 }]", "\"oak\" is none of alder, birch"),
            ("silence = [{ exchange = \"alder\", at = 1, hours = 0 }]", "silence: hours: must be from 0.01"),
        ] {
            let said = read(text).unwrap_err();
            assert!(said.contains(problem), "{said} for {text}");
        }
    }
}
