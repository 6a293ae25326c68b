//! What a worker counts while it runs. Nothing here grows with the number of requests.

use std::time::Duration;

use hdrhistogram::{CreationError, Histogram};

use super::answer::Answer;

/// The longest time that is told apart, in nanoseconds: five minutes.
const LONGEST: u64 = 300_000_000_000;

/// How requests ended; they sum to what was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ends {
    pub(super) bids: u64,
    pub(super) no_bids: u64,
    pub(super) shed: u64,
    pub(super) redirects: u64,
    pub(super) client_errors: u64,
    pub(super) server_errors: u64,
    /// No answer came in all the time that was waited.
    pub(super) unanswered: u64,
    /// The connection broke.
    pub(super) broken: u64,
}

/// One second of the run.
#[derive(Clone, Debug)]
pub(super) struct Second {
    pub(super) sent: u64,
    /// Latencies of answers that came in it, in microseconds.
    pub(super) latency: Histogram<u32>,
}

/// Times in nanoseconds.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    pub(super) sent: u64,
    pub(super) ends: Ends,
    /// Of the bids and no bids: later than the timeout.
    pub(super) late: u64,
    /// Due but never sent, because no connection was free before the end.
    pub(super) unsent: u64,
    pub(super) reconnects: u64,
    /// How long requests were sent.
    pub(super) sending: Duration,
    /// From when a request was due to its answer, or until it was given up: every request that was sent.
    pub(super) all: Histogram<u64>,
    /// The same of bids and of no bids that were not shed.
    pub(super) accepted: Histogram<u64>,
    /// The same of shed ones.
    pub(super) shed: Histogram<u64>,
    /// From sending to the answer.
    pub(super) service: Histogram<u64>,
    /// From when a request was due and a connection free to when it was sent: the generator's own lateness.
    pub(super) lag: Histogram<u64>,
    /// From when a request was due until a connection was free for it.
    pub(super) wait: Histogram<u64>,
    pub(super) seconds: Vec<Second>,
}

/// One request's moments, from the start of the run.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moments {
    /// When it should have been sent.
    pub(super) due: Duration,
    /// When it was.
    pub(super) sent: Duration,
}

fn histogram() -> Result<Histogram<u64>, CreationError> {
    Histogram::new_with_bounds(1, LONGEST, 3)
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

impl Tally {
    /// For a run of so many seconds, and the wait for the last answers.
    pub(super) fn new(span: Duration) -> Result<Self, CreationError> {
        let second = Second { sent: 0, latency: Histogram::new_with_bounds(1, LONGEST / 1000, 2)? };
        let seconds = usize::try_from(span.as_secs()).unwrap_or(usize::MAX).saturating_add(1);
        Ok(Self {
            sent: 0,
            ends: Ends::default(),
            late: 0,
            unsent: 0,
            reconnects: 0,
            sending: Duration::ZERO,
            all: histogram()?,
            accepted: histogram()?,
            shed: histogram()?,
            service: histogram()?,
            lag: histogram()?,
            wait: histogram()?,
            seconds: vec![second; seconds],
        })
    }

    fn second(&mut self, at: Duration) -> Option<&mut Second> {
        self.seconds.get_mut(usize::try_from(at.as_secs()).ok()?)
    }

    /// A request goes out that could have gone at `free`.
    pub(super) fn sent(&mut self, moments: Moments, free: Duration) {
        self.sent += 1;
        let possible = moments.due.max(free);
        self.wait.saturating_record(nanos(possible.saturating_sub(moments.due)));
        self.lag.saturating_record(nanos(moments.sent.saturating_sub(possible)));
        if let Some(second) = self.second(moments.sent) {
            second.sent += 1;
        }
    }

    /// Its answer is whole.
    pub(super) fn answered(&mut self, moments: Moments, now: Duration, answer: Answer, timeout: Duration) {
        let latency = nanos(now.saturating_sub(moments.due));
        let service = now.saturating_sub(moments.sent);
        self.all.saturating_record(latency);
        self.service.saturating_record(nanos(service));
        if let Some(second) = self.second(now) {
            second.latency.saturating_record(latency / 1000);
        }
        let ends = &mut self.ends;
        let (end, accepted) = match answer.status {
            204 if answer.shed => (&mut ends.shed, false),
            200..300 if answer.has_body => (&mut ends.bids, true),
            200..300 => (&mut ends.no_bids, true),
            400..500 => (&mut ends.client_errors, false),
            300..400 => (&mut ends.redirects, false),
            _ => (&mut ends.server_errors, false),
        };
        *end += 1;
        if accepted {
            self.accepted.saturating_record(latency);
            self.late += u64::from(service > timeout);
        } else if answer.status == 204 {
            self.shed.saturating_record(latency);
        }
    }

    /// It is given up. What it waited counts: leaving the slowest out would make a server look fast.
    pub(super) fn lost(&mut self, moments: Moments, now: Duration, broken: bool) {
        self.all.saturating_record(nanos(now.saturating_sub(moments.due)));
        *(if broken { &mut self.ends.broken } else { &mut self.ends.unanswered }) += 1;
    }

    /// Adds another worker's counts.
    pub(super) fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        let (ends, more) = (&mut self.ends, &other.ends);
        ends.bids += more.bids;
        ends.no_bids += more.no_bids;
        ends.shed += more.shed;
        ends.redirects += more.redirects;
        ends.client_errors += more.client_errors;
        ends.server_errors += more.server_errors;
        ends.unanswered += more.unanswered;
        ends.broken += more.broken;
        self.late += other.late;
        self.unsent += other.unsent;
        self.reconnects += other.reconnects;
        self.sending = self.sending.max(other.sending);
        let pairs = [
            (&mut self.all, &other.all),
            (&mut self.accepted, &other.accepted),
            (&mut self.shed, &other.shed),
            (&mut self.service, &other.service),
            (&mut self.lag, &other.lag),
            (&mut self.wait, &other.wait),
        ];
        for (into, from) in pairs {
            // Both have the same bounds, which is all that adding can fail for.
            let _ = into.add(from);
        }
        for (into, from) in self.seconds.iter_mut().zip(&other.seconds) {
            into.sent += from.sent;
            let _ = into.latency.add(&from.latency);
        }
    }
}
