//! `haggle bench serve`: the turns.

use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use core_affinity::CoreId;
use indicatif::ProgressBar;
use tempfile::TempDir;

use super::args::ServeArgs;
use super::child::Server;
use super::market::{counter, show_ads, tell_events, train};
use super::report::{Comparison, Row, Speed};
use super::{EVENT_KEY, EXCHANGE, Failure, PATH};
use crate::clock::monotonic;
use crate::exit::{Exit, ExitError};
use crate::generate::{Requests, USERS, VENDOR, write_campaigns};
use crate::load::{Pace, Plan, Progress, Report, Target, drive};

/// Turns of each kind.
const TURNS: u32 = 5;
/// Different bodies; more than any cache holds.
const BODIES: usize = 8_000;
/// The common rate is this share of the bidder's maximum.
const SHARE: f64 = 0.7;
/// How long a market is simulated around a bidder before it is measured.
const TRAINING: Duration = Duration::from_secs(8);
/// Users whose behaviour is known while requests are measured.
const KNOWN_USERS: usize = 20_000;
/// What the server makes known of the heap.
const ALLOCATIONS: &str = "haggle_allocations_total";
/// For the journal and the learner to come to rest.
const REST: Duration = Duration::from_secs(2);

/// A campaign that shows an ad to anybody, for a server that has no other.
const EVERYONE: &str = r#"
id = "everyone"
name = "For everyone"
advertiser_domain = "advertiser.example"
categories = ["IAB20"]
pacing = "asap"
max_bid_cpm = "5.00"
goal = { cpm = { price = "4.00" } }
budget = { daily = "100000.00" }

[[creatives]]
id = "one"
width = 300
height = 250
image = "https://cdn.advertiser.example/one.jpg"
landing = "https://advertiser.example/"
title = "One for everyone"
"#;

/// What all turns have in common.
struct Bench<'b> {
    args: &'b ServeArgs,
    progress: &'b Progress,
    bar: &'b ProgressBar,
    bodies: Vec<String>,
    /// Of the servers, and of the generator.
    cores: Option<[CoreId; 2]>,
}

/// Starts the servers and drives them in turns.
pub(super) fn compare(
    args: &ServeArgs,
    progress: &Progress,
    bar: &ProgressBar,
) -> Result<Comparison, Failure> {
    let cores = core_affinity::get_core_ids().and_then(|cores| Some([*cores.first()?, *cores.get(1)?]));
    let mut requests = Requests::new(args.seed);
    let bodies = (0..BODIES).map(|_| requests.next_request()).collect();
    let bench = Bench { args, progress, bar, bodies, cores };
    let empty = Server::start(&["bench-empty".to_owned()], bench.server_core(), &progress.stop)?;
    let alone = bench.alone()?;
    let mut rows = Vec::new();
    for campaigns in &args.campaigns {
        rows.push(bench.row(*campaigns, &empty, &alone)?);
    }
    let rps = median(rows.iter().map(|row| row.empty.rps));
    Ok(Comparison {
        empty: Speed { rps, ..rows.first().map(|row| row.empty).unwrap_or_default() },
        haggle: rows,
        cores: cores.map(|cores| cores.map(|core| core.id)),
        connections: args.connections,
        turn_seconds: bench.turn().as_secs_f64(),
    })
}

/// What a server with one campaign takes.
struct Alone {
    resident: Option<u64>,
    bytes_per_user: Option<f64>,
}

/// A bidder with its folder, which goes when it goes.
struct Bidder {
    server: Server,
    start_seconds: f64,
    _folder: TempDir,
}

impl Bench<'_> {
    fn server_core(&self) -> Option<CoreId> {
        self.cores.map(|[servers, _]| servers)
    }

    fn turn(&self) -> Duration {
        Duration::from_secs(self.args.seconds.into()) / TURNS
    }

    fn check(&self) -> Result<(), Failure> {
        if self.progress.stop.load(Ordering::Relaxed) { Err(Failure::Stopped) } else { Ok(()) }
    }

    /// Starts a bidder and lets a market go on around it.
    fn bidder(&self, campaigns: u32) -> Result<Bidder, Failure> {
        self.bar.set_message(format!("{campaigns} campaigns: generating"));
        let folder = tempfile::Builder::new().prefix("haggle-bench-").tempdir()?;
        configure(folder.path(), campaigns, self.args.seed)?;
        self.check()?;
        self.bar.set_message(format!("{campaigns} campaigns: starting"));
        let begun = monotonic();
        let config = folder.path().join("haggle.toml").display().to_string();
        let data = folder.path().join("data").display().to_string();
        let arguments = ["serve", "--config", &config, "--data", &data].map(str::to_owned);
        let server = Server::start(&arguments, self.server_core(), &self.progress.stop)?;
        let start_seconds = begun.elapsed().as_secs_f64();
        self.bar.set_message(format!("{campaigns} campaigns: training"));
        tell_events(server.address, 0, KNOWN_USERS)?;
        let span = TRAINING.min(self.turn() * TURNS);
        train(server.address, &self.bodies, self.args.seed, span, || self.check().is_err())?;
        std::thread::sleep(REST);
        self.check()?;
        Ok(Bidder { server, start_seconds, _folder: folder })
    }

    /// Measures memory with one campaign, and what users add to it.
    fn alone(&self) -> Result<Alone, Failure> {
        let Bidder { server, _folder, .. } = self.bidder(0)?;
        let count = self.args.users as usize;
        let resident = server.resident();
        self.bar.set_message("memory of users");
        let live = |from, count| {
            tell_events(server.address, from, count)?;
            show_ads(server.address, from, count)?;
            self.check()
        };
        // First as much of users who are known already, so that what the journal takes for it is no user's.
        for known in (0..count).step_by(KNOWN_USERS) {
            live(0, KNOWN_USERS.min(count - known))?;
        }
        std::thread::sleep(REST);
        let before = server.resident();
        live(USERS, count)?;
        std::thread::sleep(REST);
        let after = server.resident();
        let grown = before.zip(after).map(|(before, after)| (after as f64 - before as f64) / count as f64);
        Ok(Alone { resident, bytes_per_user: grown })
    }

    fn plan(&self, server: &Server, pace: Pace) -> Result<Plan, Failure> {
        let target = Target::parse(&format!("http://{}{PATH}{EXCHANGE}", server.address))?;
        let requests = self.bodies.iter().map(|body| target.request(body.as_bytes())).collect();
        let plan = Plan::new(target, requests, pace, self.args.connections.into(), self.turn());
        Ok(Plan { cpu: self.cores.map(|[_, generator]| generator.id), ..plan })
    }

    /// One turn of a server.
    fn drive(&self, server: &Server, pace: Pace) -> Result<Report, Failure> {
        let report = drive(&self.plan(server, pace)?, self.progress)?;
        self.check()?;
        Ok(report)
    }

    /// Alternating turns: the empty server's, and the bidder's.
    fn turns(&self, empty: &Server, bidder: &Server, pace: Pace) -> Result<[Vec<Report>; 2], Failure> {
        let mut reports = [Vec::new(), Vec::new()];
        for _ in 0..TURNS {
            for (reports, server) in reports.iter_mut().zip([empty, bidder]) {
                reports.push(self.drive(server, pace)?);
            }
        }
        Ok(reports)
    }

    fn row(&self, campaigns: u32, empty: &Server, alone: &Alone) -> Result<Row, Failure> {
        let Bidder { server, start_seconds, _folder } = self.bidder(campaigns)?;
        let resident = server.resident();
        self.bar.set_message(format!("{campaigns} campaigns: requests/s"));
        let [empty_max, max] = self.turns(empty, &server, Pace::Max)?;
        let speed = |reports: &[Report]| median(reports.iter().map(|report| report.answered_per_second));
        let (empty_rps, rps) = (speed(&empty_max), speed(&max));
        let rate = (rps * SHARE).max(1.0);
        self.bar.set_message(format!("{campaigns} campaigns: latency at {rate:.0} requests/s"));
        let before = counter(server.admin, ALLOCATIONS);
        let [empty_rate, at_rate] = self.turns(empty, &server, Pace::Rate(rate))?;
        let after = counter(server.admin, ALLOCATIONS);
        let answered: u64 = at_rate.iter().map(|report| report.answered).sum();
        let latency = |reports: &[Report], rps| Speed {
            rps,
            p50_ms: median(reports.iter().map(|report| report.latency_ms.p50)),
            p99_ms: median(reports.iter().map(|report| report.latency_ms.p99)),
            p999_ms: median(reports.iter().map(|report| report.latency_ms.p999)),
        };
        let lag = |reports: &[Report]| median(reports.iter().map(|report| report.send_lag_ms.p99));
        let (theirs, ours) = (latency(&empty_rate, empty_rps), latency(&at_rate, rps));
        let all = || max.iter().chain(&at_rate);
        let bids: u64 = all().map(|report| report.outcomes.bids).sum();
        let no_bids: u64 = all().map(|report| report.outcomes.no_bids).sum();
        let shed: u64 = all().map(|report| report.outcomes.shed).sum();
        let sent: u64 = all().map(|report| report.sent).sum();
        let grown = resident.zip(alone.resident).map(|(with, without)| with as f64 - without as f64);
        Ok(Row {
            campaigns,
            rps,
            ratio: rps / empty_rps.max(1.0),
            p50_ms: ours.p50_ms,
            p99_ms: ours.p99_ms,
            p999_ms: ours.p999_ms,
            p99_ratio: ours.p99_ms / theirs.p99_ms.max(1e-6),
            bid_rate: bids as f64 / (bids + no_bids).max(1) as f64,
            allocations_per_request: before
                .zip(after)
                .map(|(before, after)| (after - before) / answered.max(1) as f64),
            bytes_per_campaign: grown.map(|bytes| bytes / f64::from(campaigns)),
            bytes_per_user: alone.bytes_per_user,
            rate,
            empty: theirs,
            send_lag_p99_ms: lag(&at_rate),
            empty_send_lag_p99_ms: lag(&empty_rate),
            shed,
            failed: sent.saturating_sub(bids + no_bids + shed),
            start_seconds,
        })
    }
}

/// A configuration as in the field, on free ports, with one worker; where no campaign is generated, with [`EVERYONE`].
fn configure(folder: &Path, campaigns: u32, seed: u64) -> Result<(), Failure> {
    write_campaigns(&folder.join("campaigns"), campaigns as usize, seed, |_| {})?;
    // Labels come within seconds, so that the model learns in the time there is. Nothing is let go: a refusal is cheaper than an
    // answer.
    let settings = format!(
        "listen = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\nworkers = 1\nload_shedding = \"observe\"\ntcf_vendor_id = {VENDOR}\n\
         event_key_file = \"event.key\"\nclick_window = \"1s\"\norder_window = \"2s\"\n\n\
         [[exchange]]\nname = \"{EXCHANGE}\"\nbill_on = \"burl\"\n"
    );
    let mut texts = vec![("haggle.toml", settings.as_str()), ("event.key", EVENT_KEY)];
    if campaigns == 0 {
        texts.push(("campaigns/everyone.toml", EVERYONE));
    }
    for (name, text) in texts {
        fs::write(folder.join(name), text).map_err(|error| {
            ExitError::new(Exit::CannotCreate, format!("{} cannot be written: {error}", folder.display()))
        })?;
    }
    Ok(())
}

/// The middle one; of an even number the upper of the two.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
