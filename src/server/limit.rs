//! How many requests a second one exchange may send.
//!
//! The generic cell rate algorithm (ITU-T I.371): one number says until when the exchange has used up what it was given, and
//! every worker moves it by one compare-and-swap.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// What an exchange may have saved up, as a part of a second's worth.
const BURST_NANOS: u64 = 100_000_000;

/// One exchange's limit.
#[derive(Debug)]
pub(super) struct RateLimit {
    /// Nanoseconds that one request uses up.
    each: u64,
    origin: Instant,
    /// Nanoseconds since `origin` at which everything is given back.
    used_until: AtomicU64,
}

impl RateLimit {
    /// So many a second, at least 1, and a tenth of a second's worth at once.
    pub(super) fn new(per_second: u32, origin: Instant) -> Self {
        Self { each: 1_000_000_000 / u64::from(per_second.max(1)), origin, used_until: AtomicU64::new(0) }
    }

    /// Whether one more may come now. One that may not uses up nothing.
    pub(super) fn allows(&self, now: Instant) -> bool {
        let now = now.saturating_duration_since(self.origin).as_nanos();
        let now = u64::try_from(now).unwrap_or(u64::MAX);
        let burst = BURST_NANOS.max(self.each);
        self.used_until
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used_until| {
                let next = used_until.max(now).saturating_add(self.each);
                (next <= now.saturating_add(burst)).then_some(next)
            })
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::clock::monotonic;

    proptest! {
        #[test]
        fn never_more_than_the_rate_and_one_burst(
            per_second in 1u32..100_000,
            gaps in proptest::collection::vec(0u64..5_000_000, 1..2_000),
        ) {
            let origin = monotonic();
            let limit = RateLimit::new(per_second, origin);
            let (mut at, mut allowed) = (0, 0u64);
            for gap in gaps {
                at += gap;
                allowed += u64::from(limit.allows(origin + Duration::from_nanos(at)));
            }
            let rate = f64::from(per_second);
            let most = rate * at as f64 / 1e9 * (1.0 + rate / 1e9) + (rate * 0.1).max(1.0) + 1.0;
            prop_assert!(allowed as f64 <= most, "{allowed} of {most}");
        }

        #[test]
        fn who_keeps_to_the_rate_is_never_refused(per_second in 1u32..100_000, count in 1u64..500) {
            let origin = monotonic();
            let limit = RateLimit::new(per_second, origin);
            let step = Duration::from_nanos(1_000_000_000 / u64::from(per_second) + 1);
            for number in 0..count {
                prop_assert!(limit.allows(origin + step * u32::try_from(number).unwrap()));
            }
        }
    }
}
