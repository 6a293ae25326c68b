//! What a run measured, as JSON and for a person.

use std::fmt::Write;
use std::time::Duration;

use hdrhistogram::{Counter, Histogram};
use serde::Serialize;

use super::plan::{Pace, Plan};
use super::tally::Tally;

/// The outcome of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Where requests were sent.
    pub endpoint: String,
    /// `open` where requests had their times, `closed` where answers set the pace.
    pub r#loop: &'static str,
    /// Requests a second that were asked for; none in a closed loop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// Connections.
    pub connections: usize,
    /// How long requests were sent, in seconds.
    pub seconds: f64,
    /// It was not stopped before its end.
    pub complete: bool,
    /// Requests that were sent.
    pub sent: u64,
    /// Those a second.
    pub sent_per_second: f64,
    /// Requests that were answered, whatever the answer.
    pub answered: u64,
    /// Those a second.
    pub answered_per_second: f64,
    /// Bids and no bids, not shed and not late, a second.
    pub goodput_per_second: f64,
    /// How requests ended.
    pub outcomes: Outcomes,
    /// From when a request was due to its answer, in milliseconds; of all that were sent, what was given up included.
    pub latency_ms: Quantiles,
    /// The same of bids and of no bids that were not shed.
    pub accepted_ms: Quantiles,
    /// The same of shed requests.
    pub shed_ms: Quantiles,
    /// From sending to the answer.
    pub service_ms: Quantiles,
    /// How late the generator sent what could have been sent.
    pub send_lag_ms: Quantiles,
    /// How long due requests waited for a free connection.
    pub wait_ms: Quantiles,
    /// The course of the run.
    pub per_second: Vec<PerSecond>,
    /// Distributions to be drawn.
    #[serde(skip)]
    pub curves: Vec<Curve>,
}

/// How requests ended; all but the last four sum to what was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "each is what its name says")]
pub struct Outcomes {
    /// 2xx with a body.
    pub bids: u64,
    /// 204, or another 2xx without a body.
    pub no_bids: u64,
    /// 204 whose head says that the request was shed.
    pub shed: u64,
    pub status_3xx: u64,
    pub status_4xx: u64,
    pub status_5xx: u64,
    /// No answer in all the time that was waited.
    pub unanswered: u64,
    /// The connection broke first, or what came was no answer.
    pub connection_errors: u64,
    /// Of the bids and no bids: later than the timeout.
    pub late: u64,
    /// Due but never sent: no connection was free.
    pub unsent: u64,
    /// Connections that were opened anew.
    pub reconnects: u64,
}

/// A distribution of times in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[allow(missing_docs, reason = "each is what its name says")]
pub struct Quantiles {
    pub count: u64,
    pub mean: f64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

/// One second of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[allow(missing_docs, reason = "each is what its name says")]
pub struct PerSecond {
    pub sent: u64,
    pub answered: u64,
    /// Of the answers that came in this second, in milliseconds.
    pub p99_ms: f64,
}

/// A distribution as a line: shares of the requests and the milliseconds they stayed within.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve {
    /// Of what.
    pub name: &'static str,
    /// Shares from 0 to below 1, ascending.
    pub points: Vec<(f64, f64)>,
}

impl Quantiles {
    fn of(histogram: &Histogram<u64>) -> Self {
        if histogram.is_empty() {
            return Self::default();
        }
        let at = |quantile| ms(histogram.value_at_quantile(quantile));
        Self {
            count: histogram.len(),
            mean: histogram.mean() / 1e6,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: ms(histogram.max()),
        }
    }
}

fn ms(nanos: u64) -> f64 {
    nanos as f64 / 1e6
}

/// Ten points for each nine of the distribution, as far as there are requests to tell them apart.
fn curve(name: &'static str, histogram: &Histogram<u64>) -> Curve {
    let mut points = Vec::new();
    let nines = (histogram.len() as f64).log10().max(0.0);
    if !histogram.is_empty() {
        for step in 0..=(nines * 10.0) as u32 {
            let share = 1.0 - 10f64.powf(-f64::from(step) / 10.0);
            points.push((share, ms(histogram.value_at_quantile(share))));
        }
    }
    Curve { name, points }
}

fn p99<T: Counter>(histogram: &Histogram<T>) -> f64 {
    if histogram.is_empty() { 0.0 } else { histogram.value_at_quantile(0.99) as f64 / 1e3 }
}

impl Report {
    /// Of a tally of all workers; `sending` is how long requests were sent.
    pub(super) fn new(plan: &Plan, tally: &Tally, sending: Duration, complete: bool) -> Self {
        let ends = &tally.ends;
        let answered = tally.service.len();
        let seconds = sending.as_secs_f64().max(1e-9);
        let good = (ends.bids + ends.no_bids).saturating_sub(tally.late);
        let busy = tally.seconds.iter().rposition(|it| it.sent > 0 || !it.latency.is_empty());
        let per_second = tally.seconds.iter().take(busy.map_or(0, |last| last + 1));
        Self {
            endpoint: plan.target.url.clone(),
            r#loop: if plan.pace == Pace::Max { "closed" } else { "open" },
            rate: match plan.pace {
                Pace::Rate(rate) => Some(rate),
                Pace::Max => None,
            },
            connections: plan.connections,
            seconds,
            complete,
            sent: tally.sent,
            sent_per_second: tally.sent as f64 / seconds,
            answered,
            answered_per_second: answered as f64 / seconds,
            goodput_per_second: good as f64 / seconds,
            outcomes: Outcomes {
                bids: ends.bids,
                no_bids: ends.no_bids,
                shed: ends.shed,
                status_3xx: ends.redirects,
                status_4xx: ends.client_errors,
                status_5xx: ends.server_errors,
                unanswered: ends.unanswered,
                connection_errors: ends.broken,
                late: tally.late,
                unsent: tally.unsent,
                reconnects: tally.reconnects,
            },
            latency_ms: Quantiles::of(&tally.all),
            accepted_ms: Quantiles::of(&tally.accepted),
            shed_ms: Quantiles::of(&tally.shed),
            service_ms: Quantiles::of(&tally.service),
            send_lag_ms: Quantiles::of(&tally.lag),
            wait_ms: Quantiles::of(&tally.wait),
            per_second: per_second
                .map(|it| PerSecond { sent: it.sent, answered: it.latency.len(), p99_ms: p99(&it.latency) })
                .collect(),
            curves: vec![
                curve("accepted", &tally.accepted),
                curve("shed", &tally.shed),
                curve("service time", &tally.service),
                curve("send lag", &tally.lag),
            ],
        }
    }

    /// The share of the bids among the answers that say whether there is one.
    pub fn bid_rate(&self) -> f64 {
        let Outcomes { bids, no_bids, .. } = self.outcomes;
        bids as f64 / (bids + no_bids).max(1) as f64
    }

    /// For a person.
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut out);
        out
    }

    /// In one line: where, how fast, over what, how long.
    pub(super) fn title(&self) -> String {
        let pace = match self.rate {
            Some(rate) => format!("open loop at {rate} requests/s"),
            None => "closed loop".to_owned(),
        };
        format!("{}: {pace}, {} connections, {:.1} s", self.endpoint, self.connections, self.seconds)
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "{}\n", self.title())?;
        writeln!(out, "{:<24} {:>12} {:>12}", "requests", "a second", "in all")?;
        if let Some(rate) = self.rate {
            writeln!(out, "{:<24} {rate:>12.0}", "asked for")?;
        }
        for (name, a_second, count) in
            [("sent", self.sent_per_second, self.sent), ("answered", self.answered_per_second, self.answered)]
        {
            writeln!(out, "{name:<24} {a_second:>12.0} {count:>12}")?;
        }
        writeln!(out, "{:<24} {:>12.0}", "accepted in time", self.goodput_per_second)?;
        writeln!(out, "\n{:<24} {:>12} {:>12}", "outcome", "share", "requests")?;
        for (name, count, always) in self.outcome_rows() {
            if count > 0 || always {
                let share = count as f64 / self.sent.max(1) as f64 * 100.0;
                writeln!(out, "{name:<24} {share:>11.2}% {count:>12}")?;
            }
        }
        let names = ["ms", "count", "p50", "p90", "p99", "p99.9", "max"];
        let [first, count, rest @ ..] = names;
        write!(out, "\n{first:<24} {count:>12}")?;
        rest.iter().try_for_each(|name| write!(out, " {name:>9}"))?;
        writeln!(out)?;
        for (name, it, always) in [
            ("latency, all", self.latency_ms, true),
            ("latency, accepted", self.accepted_ms, true),
            ("latency, shed", self.shed_ms, false),
            ("service time", self.service_ms, true),
            ("send lag", self.send_lag_ms, true),
            ("wait for a connection", self.wait_ms, true),
        ] {
            if it.count > 0 || always {
                write!(out, "{name:<24} {:>12}", it.count)?;
                let times = [it.p50, it.p90, it.p99, it.p999, it.max];
                times.iter().try_for_each(|time| write!(out, " {time:>9.3}"))?;
                writeln!(out)?;
            }
        }
        let Outcomes { unsent, reconnects, .. } = self.outcomes;
        if unsent > 0 {
            writeln!(
                out,
                "\n{unsent} requests were due and never sent: no connection was free; the server is slower than the rate"
            )?;
        }
        if reconnects > 0 {
            writeln!(out, "\n{reconnects} connections were opened anew")?;
        }
        if !self.complete {
            writeln!(out, "\nstopped before the end")?;
        }
        Ok(())
    }

    /// A name, a count, and whether it is shown where there are none.
    pub(super) fn outcome_rows(&self) -> [(&'static str, u64, bool); 9] {
        let it = &self.outcomes;
        [
            ("bid", it.bids, true),
            ("no bid", it.no_bids, true),
            ("shed", it.shed, false),
            ("status 3xx", it.status_3xx, false),
            ("status 4xx", it.status_4xx, false),
            ("status 5xx", it.status_5xx, false),
            ("unanswered", it.unanswered, false),
            ("connection error", it.connection_errors, false),
            ("late (of the first two)", it.late, false),
        ]
    }
}
