//! What the comparison found, as JSON and for a person.

use std::fmt::Write;

use serde::Serialize;

/// The outcome.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// The empty server: its maximum over all turns, and its latency at the first number's rate.
    pub empty: Speed,
    /// The bidder, at each number of campaigns.
    pub haggle: Vec<Row>,
    /// The cores of servers and generator; none where the system does not pin.
    pub cores: Option<[usize; 2]>,
    /// Connections to each server.
    pub connections: u16,
    /// Seconds of each turn, of which there are five of a kind.
    pub turn_seconds: f64,
}

/// A server's speed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[allow(missing_docs, reason = "each is what its name says")]
pub struct Speed {
    /// At its maximum, in requests a second.
    pub rps: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
}

/// The bidder with so many campaigns.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Row {
    /// How many.
    pub campaigns: u32,
    /// At its maximum, in requests a second: the median of its turns.
    pub rps: f64,
    /// That over the empty server's, in turns beside its own.
    pub ratio: f64,
    /// Of all answers at `rate`, from when requests were due; so are those below.
    pub p50_ms: f64,
    /// See `p50_ms`.
    pub p99_ms: f64,
    /// See `p50_ms`.
    pub p999_ms: f64,
    /// The p99 over the empty server's at the same rate.
    pub p99_ratio: f64,
    /// Bids among all answers.
    pub bid_rate: f64,
    /// Of the whole process while it answers at `rate`; none where it does not count them.
    pub allocations_per_request: Option<f64>,
    /// Resident memory beyond that with one campaign, over their number.
    pub bytes_per_campaign: Option<f64>,
    /// Resident memory that users add, over their number; measured once, with one campaign.
    pub bytes_per_user: Option<f64>,
    /// The common rate, 70% of `rps`, in requests a second.
    pub rate: f64,
    /// The empty server in turns beside these.
    pub empty: Speed,
    /// How late the generator sent, at the common rate, at its 99th percentile: the bidder's requests.
    pub send_lag_p99_ms: f64,
    /// The same: the empty server's requests.
    pub empty_send_lag_p99_ms: f64,
    /// Requests that were shed, over all turns.
    pub shed: u64,
    /// Requests without a bid or no bid: errors, or no answer.
    pub failed: u64,
    /// From the bidder's start until it served, in seconds.
    pub start_seconds: f64,
}

impl Comparison {
    /// For a person.
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        match self.cores {
            Some([servers, generator]) => {
                write!(out, "servers on core {servers}, generator on core {generator}")?;
            }
            None => write!(out, "not pinned: the system has one core, or does not say which")?,
        }
        writeln!(
            out,
            "; {} connections; medians of turns of {:.1} s\nlatency at 70% of the bidder's own maximum, open loop, both \
             servers at the same rate\n",
            self.connections, self.turn_seconds
        )?;
        writeln!(
            out,
            "{:<20} {:>10} {:>7} {:>10} {:>9} {:>9} {:>9} {:>7} {:>9}",
            "", "requests/s", "ratio", "at rate", "p50 ms", "p99 ms", "p99.9 ms", "p99 ×", "lag p99"
        )?;
        for row in &self.haggle {
            let empty = &row.empty;
            writeln!(
                out,
                "{:<20} {:>10.0} {:>7} {:>10.0} {:>9.3} {:>9.3} {:>9.3} {:>7} {:>9.3}",
                "empty server",
                empty.rps,
                "",
                row.rate,
                empty.p50_ms,
                empty.p99_ms,
                empty.p999_ms,
                "",
                row.empty_send_lag_p99_ms
            )?;
            writeln!(
                out,
                "{:<20} {:>10.0} {:>7.3} {:>10.0} {:>9.3} {:>9.3} {:>9.3} {:>7.2} {:>9.3}",
                format!("{} campaigns", row.campaigns),
                row.rps,
                row.ratio,
                row.rate,
                row.p50_ms,
                row.p99_ms,
                row.p999_ms,
                row.p99_ratio,
                row.send_lag_p99_ms
            )?;
        }
        writeln!(
            out,
            "\n{:<20} {:>9} {:>12} {:>15} {:>11} {:>8} {:>8} {:>9}",
            "", "bid rate", "allocations", "bytes/campaign", "bytes/user", "shed", "failed", "start s"
        )?;
        for row in &self.haggle {
            let known = |value: Option<f64>, digits: usize| {
                value.map_or("-".to_owned(), |value| format!("{value:.digits$}"))
            };
            writeln!(
                out,
                "{:<20} {:>8.1}% {:>12} {:>15} {:>11} {:>8} {:>8} {:>9.1}",
                format!("{} campaigns", row.campaigns),
                row.bid_rate * 100.0,
                known(row.allocations_per_request, 2),
                known(row.bytes_per_campaign, 0),
                known(row.bytes_per_user, 0),
                row.shed,
                row.failed,
                row.start_seconds
            )?;
        }
        if self.haggle.iter().any(|row| !(0.3..=0.7).contains(&row.bid_rate)) {
            writeln!(out, "\na bid rate outside 30–70% is not realistic")?;
        }
        Ok(())
    }
}
