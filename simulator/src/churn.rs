//! Users that stay away for some time, and come back.

use crate::chance::{Chance, Use};

/// How users come and go. At the start as many are away as always will be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Churn {
    /// The share of those who are there that leaves within a week.
    pub leave: f64,
    /// The share of those who are away that is back within a week.
    pub back: f64,
}

/// Days that a jump in time makes up for; after a longer one it is as at the start.
const LONGEST_JUMP: i64 = 60;

/// Who is away, day by day.
#[derive(Debug)]
pub(crate) struct Absences {
    seed: u64,
    churn: Churn,
    day: Option<i64>,
    /// By person.
    away: Vec<bool>,
}

/// Within a day what comes to `share` within a week.
fn daily(share: f64) -> f64 {
    1.0 - (1.0 - share).powf(1.0 / 7.0)
}

impl Absences {
    pub(crate) fn new(seed: u64, churn: Churn, people: usize) -> Self {
        Self { seed, churn, day: None, away: vec![false; people] }
    }

    /// Whether each person stays away today.
    pub(crate) fn away(&self) -> &[bool] {
        &self.away
    }

    /// Lets the days up to `today` pass.
    pub(crate) fn advance(&mut self, today: i64) {
        let (leave, back) = (daily(self.churn.leave), daily(self.churn.back));
        let from = match self.day {
            Some(day) if day >= today => return,
            Some(day) if today.saturating_sub(day) <= LONGEST_JUMP => day + 1,
            _ => {
                // Of two states, one is left and the other come back from at these rates, so so many are away in the long run.
                let away = if leave > 0.0 { leave / (leave + back) } else { 0.0 };
                self.draw(today, |_| away);
                self.day = Some(today);
                return;
            }
        };
        for day in from..=today {
            self.draw(day, |was_away| if was_away { 1.0 - back } else { leave });
        }
        self.day = Some(today);
    }

    fn draw(&mut self, day: i64, is_away: impl Fn(bool) -> f64) {
        for (index, away) in self.away.iter_mut().enumerate() {
            let mut chance = Chance::new(self.seed, Use::Absences, index as u64, day.cast_unsigned());
            *away = chance.hit(is_away(*away));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_away_as_leave_and_come_back_and_not_always_the_same() {
        let churn = Churn { leave: 0.1, back: 0.3 };
        let mut absences = Absences::new(7, churn, 4000);
        let share = |away: &[bool]| away.iter().filter(|it| **it).count() as f64 / 4000.0;
        let expected = daily(0.1) / (daily(0.1) + daily(0.3));
        absences.advance(100);
        let first = absences.away().to_vec();
        absences.advance(107);
        let second = absences.away().to_vec();
        for share in [share(&first), share(&second)] {
            assert!((share - expected).abs() < 0.03, "{share} of {expected}");
        }
        // Of those who were there, not quite a tenth is away a week later, since some are back by then.
        let there = first.iter().filter(|it| !**it).count();
        let left = first.iter().zip(&second).filter(|(before, after)| !**before && **after).count();
        assert!((0.07..0.1).contains(&(left as f64 / there as f64)), "{left} of {there}");
        let mut stepwise = Absences::new(7, churn, 4000);
        (100..=107).for_each(|day| stepwise.advance(day));
        assert_eq!(stepwise.away(), second);
        stepwise.advance(i64::MAX);
    }
}
