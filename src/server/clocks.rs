//! Whether this machine's clock can be right.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use haggle_actors::journal::{Journal, JournalError};
use haggle_domain::Timestamp;

use crate::clock::{Difference, WallClock};

/// How often it is looked at the wall's clock: a machine that was halted bids for no longer with money whose time is over.
const TURN: Duration = Duration::from_millis(200);
/// A clock that is so far before what the journal has last was set wrong.
const BEFORE: Duration = Duration::from_secs(86_400);
/// A clock that is so far after it was, too, or nobody has used the journal for as long.
const AFTER: Duration = Duration::from_secs(366 * 86_400);

/// By how many microseconds the wall's clock was ahead of the process's when it was looked at last.
static DIFFERENCE: AtomicI64 = AtomicI64::new(0);

/// By how many seconds the wall's clock is ahead of the process's; less than 0 where it was set back.
pub(super) fn difference() -> f64 {
    DIFFERENCE.load(Ordering::Relaxed) as f64 / 1e6
}

/// Has the process's clock follow the wall's for as long as its thread runs, and says what is wrong with either.
pub async fn keep_in_step(clock: WallClock) {
    let mut large = false;
    loop {
        let found = clock.follow();
        let Difference { micros, followed } = found;
        DIFFERENCE.store(if followed { 0 } else { micros }, Ordering::Relaxed);
        let seconds = micros / 1_000_000;
        if followed {
            tracing::warn!(
                seconds,
                "the system's clock went forward, as after a machine was halted; so does this node's"
            );
        } else if found.is_large() && !large {
            tracing::error!(
                seconds,
                "the system's clock was set, and this node does not follow; where the new time is right, start it again"
            );
        }
        large = found.is_large();
        tokio::time::sleep(TURN).await;
    }
}

/// Says where a node's clock at its start cannot be right, or nobody has used its journal for very long.
pub(super) fn compare_with(journal: &dyn Journal, now: Timestamp) -> Result<(), JournalError> {
    let Some(last) = journal.durable_end().checked_sub(1).filter(|last| *last >= journal.durable_start())
    else {
        return Ok(());
    };
    let newest = journal.read_from(last, 1)?.first().map(|(_, record)| record.at);
    if let Some(problem) = newest.and_then(|newest| problem(newest, now)) {
        tracing::error!(%now, newest = %newest.unwrap_or_default(), "{problem}");
    }
    Ok(())
}

fn problem(newest: Timestamp, now: Timestamp) -> Option<&'static str> {
    if newest.since(now) > BEFORE {
        Some(
            "the clock is more than a day before the journal's last record; stop the node, set it right, and start again",
        )
    } else if now.since(newest) > AFTER {
        Some(
            "the clock is more than a year after the journal's last record; if it is wrong, stop the node and set it right",
        )
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_cannot_be_right_is_told() {
        let (day, now) = (Duration::from_secs(86_400), Timestamp(1_800_000_000_000_000));
        for fine in [now, now + day, now - day * 300] {
            assert_eq!(problem(fine, now), None);
        }
        assert!(problem(now + day * 2, now).is_some_and(|it| it.contains("before")));
        assert!(problem(now - day * 400, now).is_some_and(|it| it.contains("after")));
    }
}
