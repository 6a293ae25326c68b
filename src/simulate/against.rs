//! `haggle simulate SCENARIO --against URL`: one world's requests to a bidder that runs, in real time or faster.

use std::io::Write;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use haggle_domain::Micros;
use haggle_simulator::World;
use serde::Serialize;
use url::Url;

use super::SimulateArgs;
use super::scenario::Scenario;
use crate::cli::{print, signals};
use crate::clock::AcceleratedClock;
use crate::demo::exchange::{self, ExchangeDeps};
use crate::demo::tally::{Latency, Tally};
use crate::exit::{Exit, ExitError};
use crate::model::to_json;

/// How long a bidder may take to take a connection.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two lines of progress.
const LINE: Duration = Duration::from_secs(5);

/// What came of it, as far as exchanges, browsers and the shop can see.
#[derive(Debug, Serialize)]
struct Seen {
    scenario: String,
    against: String,
    seed: u64,
    speed: f64,
    stopped: bool,
    requests: u64,
    bids: u64,
    wins: u64,
    impressions: u64,
    clicks: u64,
    orders: u64,
    /// What its wins cleared at.
    spend: f64,
    revenue: f64,
    win_rate: Option<f64>,
    ecpc: Option<f64>,
    cpa: Option<f64>,
    roas: Option<f64>,
    /// Answers that should not have been, to requests and notices.
    errors: u64,
    first_error: Option<String>,
    retries: u64,
    unsent: u64,
    round_trip_ms: Latency,
}

/// Sends the world, and prints what came of it.
///
/// # Errors
///
/// A scenario or flag that cannot be used, a bidder that cannot be reached, or one that never answered as it should.
pub(super) fn run(args: &SimulateArgs, base: &Url) -> Result<(), ExitError> {
    let setup = Scenario::read(&args.scenario)?.setup(&[])?;
    if !setup.settings.changes.is_empty() {
        let problem = format!(
            "{}: change: a bidder that runs is sent a world as it is; leave the changes out",
            args.scenario.display()
        );
        return Err(ExitError::new(Exit::Configuration, problem));
    }
    if !setup.settings.faults.is_quiet() {
        let problem = format!(
            "{}: faults: nothing is made to go wrong for a bidder that runs; leave the faults out",
            args.scenario.display()
        );
        return Err(ExitError::new(Exit::Configuration, problem));
    }
    let event_key = match &args.event_key_file {
        None => None,
        Some(path) => {
            let key = std::fs::read_to_string(path).map_err(|error| {
                ExitError::new(Exit::IoFailed, format!("{} cannot be read: {error}", path.display()))
            })?;
            Some(key.trim().to_owned())
        }
    };
    reach(base)?;
    let (start, span) = (setup.settings.start, setup.settings.span);
    let tally = Arc::new(Tally::new().map_err(|error| ExitError::new(Exit::Internal, error))?);
    let deps = ExchangeDeps {
        base: base.as_str().trim_end_matches('/').to_owned(),
        event_key,
        clock: AcceleratedClock::new(start, start + span, span.div_f64(args.speed)),
        qps: setup.settings.requests_a_day / 86_400.0 * args.speed,
        tally: Arc::clone(&tally),
        stop: Arc::default(),
    };
    let world = World::new(args.seed, start, setup.settings.world);
    let stopped = actix_rt::System::new().block_on(send(world, deps))?;
    let seen = Seen::of(setup.name, base, args, stopped, &tally);
    print(if args.json { to_json(&seen)? } else { seen.text() })?;
    match &seen.first_error {
        Some(first) if seen.bids == 0 => Err(ExitError::new(
            Exit::CheckFailed,
            format!("not one bid, and {} answers that should not have been; the first: {first}", seen.errors),
        )),
        _ => Ok(()),
    }
}

/// Whether somebody listens there at all, so that a mistyped address is told at once.
fn reach(base: &Url) -> Result<(), ExitError> {
    let unreachable = |error: std::io::Error| {
        let problem = format!("--against {base}: cannot be reached: {error}; is the bidder running?");
        ExitError::new(Exit::EndpointUnreachable, problem)
    };
    let host = base.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let addresses =
        (host, base.port_or_known_default().unwrap_or(80)).to_socket_addrs().map_err(unreachable)?;
    let mut last = std::io::Error::other("its name has no address");
    for address in addresses {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(_) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(unreachable(last))
}

/// Until the days are over or somebody stops it, which it says.
async fn send(world: World, deps: ExchangeDeps) -> Result<bool, ExitError> {
    let mut signals = std::pin::pin!(signals()?);
    let (tally, stop): (Arc<Tally>, Arc<AtomicBool>) = (Arc::clone(&deps.tally), Arc::clone(&deps.stop));
    let mut lines = tokio::time::interval(LINE);
    lines.tick().await;
    let mut run = std::pin::pin!(exchange::run(world, deps));
    let mut stopped = false;
    loop {
        tokio::select! {
            () = &mut run => return Ok(stopped),
            // What was begun is finished.
            () = &mut signals, if !stopped => {
                stopped = true;
                stop.store(true, Ordering::Relaxed);
            }
            _ = lines.tick() => {
                let [requests, bids, wins, errors] =
                    [&tally.requests, &tally.bids, &tally.wins, &tally.errors].map(Tally::read);
                // Progress only: a closed standard error stops nothing.
                let _ = writeln!(
                    std::io::stderr().lock(),
                    "{requests} requests, {bids} bids, {wins} wins, {errors} errors"
                );
            }
        }
    }
}

impl Seen {
    fn of(scenario: String, base: &Url, args: &SimulateArgs, stopped: bool, tally: &Tally) -> Self {
        let read = Tally::read;
        let [bids, wins, clicks, orders] =
            [&tally.bids, &tally.wins, &tally.clicks, &tally.conversions].map(read);
        let units = |micros: u64| Micros(i64::try_from(micros).unwrap_or(i64::MAX)).to_f64();
        let (spend, revenue) =
            (units(read(&tally.paid_cpm_micros) / 1000), units(read(&tally.revenue_micros)));
        let ratio = |of: f64, to: f64| (to > 0.0).then(|| of / to);
        Self {
            scenario,
            against: base.to_string(),
            seed: args.seed,
            speed: args.speed,
            stopped,
            requests: read(&tally.requests),
            bids,
            wins,
            impressions: read(&tally.impressions),
            clicks,
            orders,
            spend,
            revenue,
            win_rate: ratio(wins as f64, bids as f64),
            ecpc: ratio(spend, clicks as f64),
            cpa: ratio(spend, orders as f64),
            roas: ratio(revenue, spend),
            errors: read(&tally.errors),
            first_error: tally.first_error(),
            retries: read(&tally.retries),
            unsent: read(&tally.unsent),
            round_trip_ms: tally.latency(),
        }
    }

    fn text(&self) -> String {
        let known = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.4}"));
        let mut text = format!("{} against {}, seed {}", self.scenario, self.against, self.seed);
        if self.stopped {
            text.push_str(", stopped early");
        }
        let mut line = |name: &str, value: String| text.push_str(&format!("\n{name:<12} {value:>12}"));
        for (name, count) in [
            ("requests", self.requests),
            ("bids", self.bids),
            ("wins", self.wins),
            ("impressions", self.impressions),
            ("clicks", self.clicks),
            ("orders", self.orders),
        ] {
            line(name, count.to_string());
        }
        line("spend", format!("{:.4}", self.spend));
        line("revenue", format!("{:.2}", self.revenue));
        for (name, value) in
            [("win_rate", self.win_rate), ("ecpc", self.ecpc), ("cpa", self.cpa), ("roas", self.roas)]
        {
            line(name, known(value));
        }
        line("p50, ms", format!("{:.2}", self.round_trip_ms.p50));
        line("p99, ms", format!("{:.2}", self.round_trip_ms.p99));
        for (name, count) in [("errors", self.errors), ("retries", self.retries), ("unsent", self.unsent)] {
            line(name, count.to_string());
        }
        if let Some(first) = &self.first_error {
            line("first error", first.clone());
        }
        text
    }
}
