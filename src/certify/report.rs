//! What a run came to, as JSON and as a table.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::check::Check;
use super::format::Format;
use super::judge::{Meant, Verdict};
use super::rows::Row;

/// Failures that are kept with their details; further ones are counted.
const MOST_FAILURES: usize = 10_000;

/// The whole run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Requests that were sent.
    pub requests: u64,
    /// Whether all of both files were; not so after Ctrl-C.
    pub complete: bool,
    /// How many answers had each status.
    pub status: BTreeMap<u16, u64>,
    /// Bids.
    pub bids: u64,
    /// Bids by format.
    pub bids_by_format: BidsByFormat,
    /// Rows of the invalid file in which the specification finds no flaw; they were judged like valid ones.
    pub stricter_than_specification: Vec<Place>,
    /// Each check: in how many answers it passed, failed, or had nothing to look at.
    pub checks: BTreeMap<&'static str, Counts>,
    /// What failed, by file and line.
    pub failures: Vec<Failure>,
    /// Failures beyond those.
    pub failures_left_out: u64,
    /// What is worth knowing and no failure.
    pub warnings: Vec<Failure>,
    /// From sending to the last byte, in milliseconds.
    pub latency_ms: Latency,
}

/// Bids by format; a bid of which the format is not known counts in none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "each is what its name says")]
pub struct BidsByFormat {
    pub banner: u64,
    pub video: u64,
    pub audio: u64,
    pub native: u64,
}

/// How often a check passed, failed, and was not applicable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "each is what its name says")]
pub struct Counts {
    pub passed: u64,
    pub failed: u64,
    pub not_applicable: u64,
}

/// A row of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// `requests` or `invalid`.
    pub file: &'static str,
    /// From 1.
    pub line: usize,
    /// Where the file says that the row comes from, else the request's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What the file says is wrong with the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub violation: Option<String>,
}

/// A failed check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// Which.
    pub check: Check,
    /// What was wrong.
    pub detail: String,
}

/// Round trips in milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[allow(missing_docs, reason = "each is what its name says")]
pub struct Latency {
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

/// Collects verdicts.
#[derive(Debug)]
pub(super) struct Tally {
    report: Report,
    took: Histogram<u64>,
}

impl Tally {
    pub(super) fn new() -> Result<Self, hdrhistogram::CreationError> {
        // Microseconds up to the longest timeout.
        let mut took = Histogram::new_with_bounds(1, 600_000_000, 3)?;
        took.auto(true);
        let checks = Check::ALL.iter().map(|check| (check.as_str(), Counts::default())).collect();
        let report = Report {
            requests: 0,
            complete: false,
            status: BTreeMap::new(),
            bids: 0,
            bids_by_format: BidsByFormat::default(),
            stricter_than_specification: Vec::new(),
            checks,
            failures: Vec::new(),
            failures_left_out: 0,
            warnings: Vec::new(),
            latency_ms: Latency::default(),
        };
        Ok(Self { report, took })
    }

    /// Adds what came of a row; `answered` is the status and the time of an answer.
    pub(super) fn add(
        &mut self,
        row: &Row,
        meant: Meant,
        answered: Option<(u16, Duration)>,
        verdict: Verdict,
    ) {
        let report = &mut self.report;
        report.requests += 1;
        if let Some((status, took)) = answered {
            *report.status.entry(status).or_default() += 1;
            // Beyond the bounds it is the bound; that is more than any timeout.
            self.took.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        }
        let place = place(row, meant);
        if verdict.stricter {
            report.stricter_than_specification.push(place.clone());
        }
        report.bids += verdict.bids.len() as u64;
        for format in verdict.bids.into_iter().flatten() {
            let by = &mut report.bids_by_format;
            *match format {
                Format::Banner => &mut by.banner,
                Format::Video => &mut by.video,
                Format::Audio => &mut by.audio,
                Format::Native => &mut by.native,
            } += 1;
        }
        for check in Check::ALL {
            let counts = report.checks.entry(check.as_str()).or_default();
            if verdict.findings.failed(check) {
                counts.failed += 1;
            } else if verdict.findings.applied.contains(&check) {
                counts.passed += 1;
            } else {
                counts.not_applicable += 1;
            }
        }
        let failure = |(check, detail)| Failure { place: place.clone(), check, detail };
        for found in verdict.findings.failures {
            if report.failures.len() < MOST_FAILURES {
                report.failures.push(failure(found));
            } else {
                report.failures_left_out += 1;
            }
        }
        let room = MOST_FAILURES.saturating_sub(report.warnings.len());
        report.warnings.extend(verdict.warnings.into_iter().take(room).map(failure));
    }

    pub(super) fn finish(mut self, complete: bool) -> Report {
        let report = &mut self.report;
        report.complete = complete;
        report.failures.sort_by_key(|failure| by_line(&failure.place));
        report.warnings.sort_by_key(|failure| by_line(&failure.place));
        report.stricter_than_specification.sort_by_key(by_line);
        if !self.took.is_empty() {
            let ms = |micros: u64| micros as f64 / 1e3;
            report.latency_ms = Latency {
                p50: ms(self.took.value_at_quantile(0.5)),
                p99: ms(self.took.value_at_quantile(0.99)),
                max: ms(self.took.max()),
            };
        }
        self.report
    }
}

/// The valid file first.
fn by_line(place: &Place) -> (bool, usize) {
    (place.file == "invalid", place.line)
}

fn place(row: &Row, meant: Meant) -> Place {
    let id = || {
        let request: serde_json::Value = serde_json::from_str(&row.body).ok()?;
        Some(format!("id {}", request.get("id")?.as_str()?))
    };
    let file = match meant {
        Meant::Valid => "requests",
        Meant::Invalid => "invalid",
    };
    let source = row.source.clone().or_else(id).map(|source| super::check::shorten(&source));
    Place { file, line: row.line, source, violation: row.violation.clone() }
}

impl Report {
    /// Whether all was sent and nothing failed.
    pub fn passed(&self) -> bool {
        self.complete && self.failures.is_empty()
    }

    /// For a person.
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "{:<12} {:>8} {:>8} {:>16}", "check", "passed", "failed", "not applicable")?;
        for check in Check::ALL {
            let Counts { passed, failed, not_applicable } =
                self.checks.get(check.as_str()).copied().unwrap_or_default();
            writeln!(out, "{:<12} {passed:>8} {failed:>8} {not_applicable:>16}", check.as_str())?;
        }
        let status: Vec<_> = self.status.iter().map(|(status, count)| format!("{status}: {count}")).collect();
        let BidsByFormat { banner, video, audio, native } = self.bids_by_format;
        writeln!(
            out,
            "\n{} requests ({}), {} bids: {banner} banner, {video} video, {audio} audio, {native} native",
            self.requests,
            status.join(", "),
            self.bids
        )?;
        if self.bids == 0 {
            writeln!(out, "without a bid most checks had nothing to look at")?;
        }
        let Latency { p50, p99, max } = self.latency_ms;
        writeln!(out, "round trip: p50 {p50:.2} ms, p99 {p99:.2} ms, max {max:.2} ms")?;
        if !self.stricter_than_specification.is_empty() {
            let rows = self.stricter_than_specification.len();
            writeln!(
                out,
                "{rows} rows of the invalid file have no flaw by OpenRTB 2.6 and were judged like valid ones"
            )?;
        }
        for (title, failures) in [("failures", &self.failures), ("warnings", &self.warnings)] {
            if !failures.is_empty() {
                writeln!(out, "\n{title}:")?;
            }
            for Failure { place, check, detail } in failures {
                let source = place
                    .source
                    .as_deref()
                    .map(|source| format!(" ({})", source.escape_debug()))
                    .unwrap_or_default();
                writeln!(out, "{}:{}{source}: {}: {detail}", place.file, place.line, check.as_str())?;
            }
        }
        if self.failures_left_out > 0 {
            writeln!(out, "and {} more failures", self.failures_left_out)?;
        }
        if !self.complete {
            writeln!(out, "\nstopped before the end: not all requests were sent")?;
        }
        Ok(())
    }
}
