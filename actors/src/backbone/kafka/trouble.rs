//! How often it is said that the brokers cannot be reached: their clients say it several times a second, each for itself.
//!
//! Time goes by the statistics that the producer gives in even steps, whether or not it reaches anybody.

/// Milliseconds between two of them.
pub(super) const STEP_MS: u64 = 2_000;
/// Steps between two lines while it lasts: 30 seconds.
const PAUSE: u64 = 15;
/// It is over when nothing was heard of it for so many, 10 seconds: clients try again at least every two.
const QUIET: u64 = 5;

/// What was said of it.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    steps: u64,
    /// When it was said last, and when it was heard of last, while it lasts.
    lasts: Option<(u64, u64)>,
    /// Heard since it was said.
    unsaid: u64,
}

impl Trouble {
    /// Something is wrong. Gives how much was kept back since the last line, if it is time for one.
    pub(super) fn heard(&mut self) -> Option<u64> {
        match &mut self.lasts {
            Some((said, heard)) if self.steps - *said < PAUSE => {
                *heard = self.steps;
                self.unsaid += 1;
                None
            }
            lasts => {
                *lasts = Some((self.steps, self.steps));
                Some(std::mem::take(&mut self.unsaid))
            }
        }
    }

    /// A step went by, at the end of which a broker is reached or none is. Gives how much was kept back, once, when it is over.
    pub(super) fn step(&mut self, connected: bool) -> Option<u64> {
        self.steps += 1;
        let (_, heard) = self.lasts.filter(|_| connected)?;
        if self.steps - heard < QUIET {
            return None;
        }
        self.lasts = None;
        Some(std::mem::take(&mut self.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_said_when_it_begins_now_and_then_and_when_it_is_over() {
        let (mut trouble, mut lines) = (Trouble::default(), Vec::new());
        // For 64 seconds ten times a step, and then no more.
        for step in 0..60 {
            let lasts = step < 32;
            for _ in 0..if lasts { 10 } else { 0 } {
                lines.extend(trouble.heard().map(|unsaid| (step, "lasts", unsaid)));
            }
            lines.extend(trouble.step(!lasts).map(|unsaid| (step, "over", unsaid)));
        }
        assert_eq!(lines, [(0, "lasts", 0), (15, "lasts", 149), (30, "lasts", 149), (35, "over", 19)]);
        assert_eq!(trouble.heard(), Some(0), "the next one begins anew");
    }

    #[test]
    fn one_of_several_brokers_that_is_down_is_not_said_to_be_back_between_two_tries() {
        let mut trouble = Trouble::default();
        let mut lines = 0;
        for _ in 0..100 {
            lines += u64::from(trouble.heard().is_some()) + u64::from(trouble.step(true).is_some());
        }
        assert_eq!(lines, 7);
    }
}
