//! How often it is said that the brokers cannot be reached: their clients say it several times a second, each for itself.

use std::time::{Duration, Instant};

/// Between two lines while it lasts.
const PAUSE: Duration = Duration::from_secs(30);
/// It is over when nothing was heard of it for so long: clients try again at least every two seconds.
const QUIET: Duration = Duration::from_secs(10);

/// What was said of it.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    /// When it was said last, and when it was heard of last, while it lasts.
    lasts: Option<(Instant, Instant)>,
    /// Heard since it was said.
    unsaid: u64,
}

impl Trouble {
    /// Something is wrong. Gives how much was kept back since the last line, if it is time for one.
    pub(super) fn heard(&mut self, now: Instant) -> Option<u64> {
        match &mut self.lasts {
            Some((said, heard)) if now.duration_since(*said) < PAUSE => {
                *heard = now;
                self.unsaid += 1;
                None
            }
            lasts => {
                *lasts = Some((now, now));
                Some(std::mem::take(&mut self.unsaid))
            }
        }
    }

    /// The brokers answer. Gives how much was kept back, once, when it is over.
    pub(super) fn answered(&mut self, now: Instant) -> Option<u64> {
        let (_, heard) = self.lasts?;
        if now.duration_since(heard) < QUIET {
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
        let (begin, mut trouble, mut lines) = (Instant::now(), Trouble::default(), Vec::new());
        // For 65 seconds each tenth of a second, and then no more; the brokers are asked every two seconds.
        for tenth in 0..1_000u64 {
            let now = begin + Duration::from_millis(100 * tenth);
            if tenth < 650 {
                lines.extend(trouble.heard(now).map(|unsaid| (tenth, "lasts", unsaid)));
            } else if tenth % 20 == 0 {
                lines.extend(trouble.answered(now).map(|unsaid| (tenth, "over", unsaid)));
            }
        }
        assert_eq!(lines, [(0, "lasts", 0), (300, "lasts", 299), (600, "lasts", 299), (760, "over", 49)]);
        assert_eq!(trouble.heard(begin + Duration::from_secs(101)), Some(0), "the next one begins anew");
    }
}
