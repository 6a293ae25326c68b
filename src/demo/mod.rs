//! `haggle demo`: the real server on loopback, the bundled exchange in front of it, and one campaign day in a minute.

mod args;
pub(crate) mod exchange;
mod summary;
pub(crate) mod tally;
mod view;

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_rt::Arbiter;
use haggle_actors::journal::{EmbeddedJournal, Journal, JournalOptions};
use haggle_domain::time::Zone;
use haggle_domain::{Campaign, Clock, Predicate, Timestamp};
use haggle_simulator::{World, WorldSettings};
use tokio::sync::oneshot;

use self::exchange::ExchangeDeps;
use self::summary::Summary;
use self::tally::Tally;
use self::view::{Picture, View};
use crate::cli::{print, signals, start_logging};
use crate::clock::AcceleratedClock;
use crate::config::{self, BillOn, Exchange, Loaded, Secret, SettingsLayer};
use crate::entropy;
use crate::exit::{Exit, ExitError};
use crate::server::{Node, StartError, journal_exit};

pub use self::args::{DemoArgs, Fault};

/// The demo's day begins here, a Monday; a later run on the same data goes on where the last one ended.
const FIRST_DAY: &str = "2026-11-23T00:00:00Z";
/// What is left of a day must be worth a run.
const SHORTEST_REST: Duration = Duration::from_secs(3600);
/// How often the view is drawn, and how often a line is printed where there is no terminal.
const FRAME: Duration = Duration::from_millis(200);
const FRAMES_PER_LINE: u32 = 25;

/// Runs the demo.
pub fn run(args: &DemoArgs) -> Result<(), ExitError> {
    let temporary;
    let data = match &args.data {
        Some(data) => data.as_path(),
        None => {
            temporary = tempfile::tempdir().map_err(|error| {
                ExitError::new(Exit::CannotCreate, format!("cannot make a temporary data folder: {error}"))
            })?;
            temporary.path()
        }
    };
    let loaded = configure(args, data)?;
    start_logging(&loaded.settings);
    for fault in &args.fault {
        if !loaded.campaigns.iter().any(|campaign| campaign.id == fault.campaign) {
            let ids: Vec<&str> = loaded.campaigns.iter().map(|campaign| campaign.id.as_str()).collect();
            let message = format!("--fault: no campaign {:?}; there are {}", fault.campaign, ids.join(", "));
            return Err(ExitError::new(Exit::Usage, message));
        }
    }
    let (start, end) = the_day(data)?;
    let summary = actix_rt::System::new().block_on(play(args, loaded, start, end))?;
    if args.json {
        let json = serde_json::to_string(&summary)
            .map_err(|error| ExitError::new(Exit::Internal, format!("cannot write the summary: {error}")))?;
        print(json)
    } else {
        print(summary.text())
    }
}

/// The example campaigns (or one's own, where `config/haggle.toml` is at hand) on demo settings.
fn configure(args: &DemoArgs, data: &Path) -> Result<Loaded, ExitError> {
    let admin_port = if args.port == 0 { 0 } else { args.port + 1 };
    let layer = SettingsLayer::default()
        .with("listen", format!("127.0.0.1:{}", args.port))
        .with("admin_listen", format!("127.0.0.1:{admin_port}"))
        .with("public_url", format!("http://127.0.0.1:{}", args.port.max(1)))
        .with("data", data.display().to_string())
        .with("workers", "1")
        // Nothing is let go: the day is to be the same on a busy machine.
        .with("load_shedding", "observe")
        .with("tick", "50ms")
        .with("checkpoint_interval", "1s")
        .with("drain", "2s")
        .with("log", "warn");
    let mut loaded = config::load(None, &layer)?;
    let mut key = [0; 16];
    entropy::fill(&mut key).map_err(|error| {
        ExitError::new(Exit::Internal, format!("the system gives no randomness: {error}"))
    })?;
    loaded.event_key = Some(Secret::new(key.iter().map(|byte| format!("{byte:02x}")).collect()));
    // The simulated exchanges: one bills when the ad is shown, the other with the win.
    loaded.exchanges = [("alder", BillOn::Burl), ("birch", BillOn::Nurl)]
        .map(|(name, bill_on)| Exchange::new(name.to_owned(), bill_on))
        .into();
    // What is for other exchanges alone would stand in the table and do nothing.
    loaded.campaigns.retain(|campaign| may_be_asked(campaign, &loaded.exchanges));
    Ok(loaded)
}

/// Whether a campaign's targeting lets it bid on one of `exchanges`.
pub(crate) fn may_be_asked(campaign: &Campaign, exchanges: &[Exchange]) -> bool {
    exchanges.iter().any(|exchange| {
        campaign.targeting.all.iter().all(|predicate| match predicate {
            Predicate::Exchange(keys) => keys.contains(&exchange.key),
            _ => true,
        })
    })
}

/// From when to when the run plays: a whole day, or what an earlier run on the same data left of it.
fn the_day(data: &Path) -> Result<(Timestamp, Timestamp), ExitError> {
    let first: Timestamp = FIRST_DAY.parse().map_err(|error| ExitError::new(Exit::Internal, error))?;
    let folder = data.join("journal");
    let mut start = first;
    if folder.is_dir() {
        let journal = EmbeddedJournal::open(&folder, &JournalOptions::default()).map_err(StartError::from)?;
        // Records lie in order but for what shops report late; the last thousand hold the latest time.
        let tail = journal.durable_end().saturating_sub(1000).max(journal.durable_start());
        let records = journal.read_from(tail, 1000).map_err(StartError::from)?;
        start = records.iter().map(|(_, record)| record.at).fold(start, Timestamp::max);
        journal.close().map_err(StartError::from)?;
    }
    let (_, end) = Zone::default().day_bounds(start);
    if end.since(start) >= SHORTEST_REST {
        return Ok((start, end));
    }
    Ok((end, Zone::default().day_bounds(end).1))
}

async fn play(
    args: &DemoArgs,
    loaded: Loaded,
    start: Timestamp,
    end: Timestamp,
) -> Result<Summary, ExitError> {
    let mut signals = std::pin::pin!(signals()?);
    let event_key = loaded.event_key.as_ref().map(|key| key.expose().to_owned());
    // The clock starts now; starting up is part of the day, and takes milliseconds.
    let clock = AcceleratedClock::new(start, end, Duration::from_secs(args.seconds));
    let node = Node::start(loaded, Arc::new(clock)).await.map_err(|error| match error {
        StartError::Bind { address, error, .. } => ExitError::new(
            Exit::AddressUnavailable,
            format!("cannot listen on {address}: {error}; choose another with --port"),
        ),
        other => other.into(),
    })?;
    node.ready().await;
    let tally = Arc::new(Tally::new().map_err(|error| ExitError::new(Exit::Internal, error))?);
    let stop = Arc::new(AtomicBool::new(false));
    let deps = ExchangeDeps {
        base: format!("http://{}", node.address),
        event_key,
        clock,
        qps: f64::from(args.qps),
        tally: Arc::clone(&tally),
        stop: Arc::clone(&stop),
    };
    // A later start gives other users and orders than an earlier one on the same data.
    let seed = args.seed.wrapping_add(start.0.unsigned_abs());
    let (done, mut finished) = oneshot::channel();
    let arbiter = Arbiter::new();
    arbiter.spawn_fn(move || {
        actix_rt::spawn(async move {
            exchange::run(World::new(seed, start, WorldSettings::default()), deps).await;
            // Nobody waits any more.
            let _ = done.send(());
        });
    });
    let mut screen = Screen::new(&node, clock, start, end);
    let mut frames = tokio::time::interval(FRAME);
    let mut faults = args.fault.clone();
    let begun = crate::clock::monotonic();
    let failure = loop {
        tokio::select! {
            _ = frames.tick() => {
                faults.retain(|fault| {
                    let due = begun.elapsed() >= fault.after;
                    if due { node.inject_panic(&fault.campaign); }
                    !due
                });
                screen.draw(&Summary::new(&node.state, &tally, args.seed));
            }
            _ = &mut finished => break None,
            () = &mut signals => stop.store(true, Ordering::Relaxed),
            error = node.failed() => break Some(error),
        }
        if stop.load(Ordering::Relaxed) {
            // Told to stop: the exchange finishes what it began, then the day is over early.
            let _ = (&mut finished).await;
            break None;
        }
    };
    stop.store(true, Ordering::Relaxed);
    screen.close();
    arbiter.stop();
    let state = node.state.clone();
    let closed = node.stop().await;
    if let Some(error) = failure.or(closed.err()) {
        return Err(ExitError::new(journal_exit(&error), error));
    }
    Ok(Summary::new(&state, &tally, args.seed))
}

/// The live view, or a line now and then where standard error is no terminal.
struct Screen {
    view: Option<View>,
    state: actix_web::web::Data<crate::server::State>,
    clock: AcceleratedClock,
    start: Timestamp,
    end: Timestamp,
    metrics_url: String,
    frame: u32,
}

impl Screen {
    fn new(node: &Node, clock: AcceleratedClock, start: Timestamp, end: Timestamp) -> Self {
        let metrics_url = format!("http://{}/metrics", node.admin_address);
        let view =
            if std::io::stderr().is_terminal() { View::new(node.state.campaigns.len()).ok() } else { None };
        let screen = Self { view, state: node.state.clone(), clock, start, end, metrics_url, frame: 0 };
        if screen.view.is_none() {
            screen.line(&format!("bidder on http://{}, metrics on {}", node.address, screen.metrics_url));
        }
        screen
    }

    fn line(&self, text: &str) {
        // Progress only: a closed standard error stops nothing.
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }

    fn draw(&mut self, summary: &Summary) {
        let local = Zone::default().local(self.clock.now());
        let time = format!("{:02}:{:02}", local.minute_of_day / 60, local.minute_of_day % 60);
        let progress = self.clock.now().since(self.start).as_secs_f64()
            / self.end.since(self.start).as_secs_f64().max(1.0);
        let pacing = self
            .state
            .campaigns
            .all()
            .iter()
            .filter_map(|handle| handle.report())
            .map(|report| (report.multiplier, report.state))
            .collect();
        self.frame += 1;
        match &mut self.view {
            Some(view) => {
                let metrics_url = &self.metrics_url;
                // A terminal that cannot be drawn on any more stops nothing.
                let _ = view.draw(&Picture { summary, pacing, time, progress, metrics_url });
            }
            None if self.frame.is_multiple_of(FRAMES_PER_LINE) => self.line(&format!(
                "{time}  {} requests, {} bids, {} wins, {} clicks, {} orders; log loss {:.5} (constant {:.5}); p99 {:.2} ms",
                summary.requests,
                summary.bids,
                summary.wins,
                summary.clicks,
                summary.conversions,
                summary.model.log_loss,
                summary.model.baseline_log_loss,
                summary.latency_ms.p99,
            )),
            None => {}
        }
    }

    fn close(self) {
        if let Some(view) = self.view {
            // As above.
            let _ = view.close();
        }
    }
}
