//! The command line.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use haggle_domain::Clock;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::attribution;
use crate::backup;
use crate::bench;
use crate::certify;
use crate::clock::WallClock;
use crate::config::{self, Loaded, LogFormat, Settings, SettingsLayer};
use crate::demo;
use crate::exit::{Exit, ExitError};
use crate::export;
use crate::generate;
use crate::keys;
use crate::ledger;
use crate::load;
use crate::model;
use crate::ope;
use crate::postback;
use crate::privacy;
use crate::reconcile;
use crate::replay;
use crate::server::{Node, Stopped, journal_exit, keep_in_step};
use crate::simulate;
use crate::supply;
use crate::surroundings::Surroundings;

/// A self-hosted real-time ad bidder and optimiser for e-commerce advertisers.
#[derive(Debug, Parser)]
#[command(name = "haggle", version, about, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the bidder against a simulated exchange for one campaign day, live.
    Demo(demo::DemoArgs),
    /// Run the bidder.
    Serve(ServeArgs),
    /// Send recorded bid requests to any OpenRTB bidder and check its answers against the specification.
    Certify(certify::CertifyArgs),
    /// Send requests to a bidder at a fixed rate, or as fast as it answers, and measure its latency.
    Load(load::LoadArgs),
    /// Train models on archives of impressions, judge them and ask them.
    #[command(subcommand)]
    Model(model::ModelCommand),
    /// Replay recorded auctions, and compare what bidding strategies, and the bidder itself, would have bought.
    Replay(replay::ReplayArgs),
    /// Try changes in simulated worlds, and say what would come of them and how sure that is.
    Simulate(simulate::SimulateCommand),
    /// Estimate what another policy would have earned, from a log with propensities.
    Ope(ope::OpeArgs),
    /// Make requests and campaigns to try a bidder's speed with, or clicks to train models on.
    #[command(subcommand)]
    Generate(generate::GenerateCommand),
    /// Measure how fast the bidder is on this machine.
    #[command(subcommand)]
    Bench(bench::BenchCommand),
    /// The server that `bench serve` compares with.
    #[command(hide = true)]
    BenchEmpty,
    /// Check or explain the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Check the money.
    #[command(subcommand)]
    Ledger(LedgerCommand),
    /// Copy the data of a node that is not running into a folder.
    Backup(backup::BackupArgs),
    /// Make a data folder from a backup.
    Restore(backup::RestoreArgs),
    /// Write the records of a journal as Parquet files, one for each kind of event.
    Export(export::ExportArgs),
    /// Credit orders to campaigns and products, by several models side by side.
    Attribution(attribution::AttributionArgs),
    /// Compare an exchange's report with the books, and say why they differ.
    Reconcile(reconcile::ReconcileArgs),
    /// List and send again what could not be posted, while the node is stopped.
    #[command(subcommand)]
    Postback(postback::PostbackCommand),
    /// Opt users out or erase their data, while the node is stopped.
    #[command(subcommand)]
    Privacy(PrivacyCommand),
    /// Change the keys that notices' tokens are sealed with; nodes that run take it over by themselves.
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Keep and try the store of ads.txt, app-ads.txt and sellers.json.
    #[command(subcommand)]
    Supply(supply::SupplyCommand),
}

#[derive(Debug, Args)]
struct ServeArgs {
    /// The settings' file; without it config/haggle.toml, or where there is none, the built-in one.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: SettingsLayer,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Check everything and say what is wrong; starts nothing.
    Validate(ServeArgs),
    /// Show every setting's value and where it comes from.
    Explain(ServeArgs),
}

#[derive(Debug, Subcommand)]
enum LedgerCommand {
    /// Replay the journal and check that settled + reserved + unspent = budget for every campaign.
    Verify {
        /// The data folder of a node that is not running.
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
    },
    /// Say what differs between checkpoints, the journal and what was billed.
    Reconcile {
        /// The data folder of a node that is not running.
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
        /// Make checkpoints of the journal where they are damaged or differ; the old ones are put aside.
        #[arg(long)]
        repair: bool,
    },
}

#[derive(Debug, Subcommand)]
enum PrivacyCommand {
    /// From now on, read, store and learn nothing of these users.
    OptOut(PrivacyArgs),
    /// Remove what was written of these users; see docs/operations.md for what stays.
    Erase(PrivacyArgs),
}

#[derive(Debug, Args)]
struct PrivacyArgs {
    /// The data folder of a node that is not running.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// A file with one user id a line, as exchanges write it; - for standard input.
    #[arg(long, value_name = "FILE")]
    user_file: PathBuf,
}

/// Runs the program; its exit code says how it ended.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Demo(args) => demo::run(&args),
        Command::Serve(args) => serve(&args),
        Command::Certify(args) => certify::run(&args),
        Command::Load(args) => load::run(&args),
        Command::Model(command) => model::run(command),
        Command::Replay(args) => replay::run(&args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Ope(args) => ope::run(&args),
        Command::Bench(command) => bench::run(&command),
        Command::BenchEmpty => bench::run_empty(),
        Command::Generate(command) => generate::run(&command),
        Command::Config(ConfigCommand::Validate(args)) => {
            let loaded = config::load(args.config.as_deref(), &args.settings);
            config::explain::validate(&loaded)
                .map_err(|errors| ExitError::new(Exit::Configuration, errors))
                .and_then(|line| {
                    loaded.as_ref().map_or(Ok(()), |loaded| Surroundings::load(loaded).map(drop))?;
                    print(line)
                })
        }
        Command::Config(ConfigCommand::Explain(args)) => {
            load(&args).and_then(|loaded| print(config::explain::explain(&loaded)))
        }
        Command::Ledger(LedgerCommand::Verify { data }) => {
            replaying(|progress| ledger::verify(&data, progress))
        }
        Command::Ledger(LedgerCommand::Reconcile { data, repair }) => {
            replaying(|progress| ledger::reconcile(&data, repair, WallClock::new().now(), progress))
        }
        Command::Backup(args) => backup::run(&args),
        Command::Restore(args) => backup::run_restore(&args),
        Command::Export(args) => export::run(&args),
        Command::Attribution(args) => attribution::run(&args),
        Command::Reconcile(args) => reconcile::run(&args),
        Command::Postback(command) => postback::run(&command),
        Command::Privacy(PrivacyCommand::OptOut(args)) => privacy(privacy::Request::OptOut, &args),
        Command::Privacy(PrivacyCommand::Erase(args)) => privacy(privacy::Request::Erase, &args),
        Command::Keys(command) => keys::run(&command, WallClock::new().now()).and_then(print),
        Command::Supply(command) => supply::run(&command),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.message);
            error.exit.into()
        }
    }
}

/// What somebody else wrote, as it can be shown: what would move the cursor, colour or reorder what stands there is written out.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        // Beside control characters those that turn the direction of writing.
        if letter.is_control()
            || matches!(letter, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        {
            out.extend(letter.escape_default());
        } else {
            out.push(letter);
        }
    }
    out
}

/// Writes to standard output. A reader that has gone (`| head`) is not an error.
pub(crate) fn print(text: impl AsRef<str>) -> Result<(), ExitError> {
    let mut out = std::io::stdout().lock();
    let written = out
        .write_all(text.as_ref().as_bytes())
        .and_then(|()| if text.as_ref().ends_with('\n') { Ok(()) } else { out.write_all(b"\n") })
        .and_then(|()| out.flush());
    match written {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(ExitError::new(Exit::IoFailed, format!("cannot write the output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes an error's message to standard error.
fn complain(message: &str) {
    // Nowhere is left to report that standard error cannot be written.
    let _ = writeln!(std::io::stderr().lock(), "haggle: {message}");
}

fn load(args: &ServeArgs) -> Result<Loaded, ExitError> {
    Ok(config::load(args.config.as_deref(), &args.settings)?)
}

/// Sends log lines to standard error.
pub(crate) fn start_logging(settings: &Settings) {
    let filter = EnvFilter::try_new(&settings.log).unwrap_or_default();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(BoxMakeWriter::new(std::io::stderr));
    match settings.log_format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
}

fn serve(args: &ServeArgs) -> Result<(), ExitError> {
    let loaded = load(args)?;
    start_logging(&loaded.settings);
    actix_rt::System::new().block_on(async {
        let signals = signals()?;
        let hangups = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())
            .map_err(|error| ExitError::new(Exit::Internal, format!("cannot listen for signals: {error}")))?;
        let file = loaded.file.clone();
        let clock = WallClock::new();
        actix_rt::spawn(keep_in_step(clock));
        let node = Node::start(loaded, Arc::new(clock)).await?;
        node.ready().await;
        tracing::info!(
            address = %node.address,
            admin = %node.admin_address,
            campaigns = node.state.campaigns.len(),
            config = file,
            "serving"
        );
        let stopped = tokio::select! {
            () = signals => Stopped::Asked,
            error = node.failed() => Stopped::Journal(error),
            () = reload_on(hangups, &node) => Stopped::Asked,
        };
        if matches!(stopped, Stopped::Asked) {
            tracing::info!("stopping: no new bids, settling what is open");
        }
        let closed = node.stop().await;
        match (stopped, closed) {
            (Stopped::Journal(error), _) | (Stopped::Asked, Err(error)) => {
                Err(ExitError::new(journal_exit(&error), error))
            }
            (Stopped::Asked, Ok(())) => {
                tracing::info!("stopped");
                Ok(())
            }
        }
    })
}

/// Reads the campaigns again at each SIGHUP. Completes when no more signals can come, which is a stop.
async fn reload_on(mut hangups: tokio::signal::unix::Signal, node: &Node) {
    while hangups.recv().await.is_some() {
        match node.state.changes.reload().await {
            Ok(summary) => tracing::info!(?summary, "reloaded the campaigns"),
            Err(error) => tracing::error!(%error, "the campaigns are not reloaded"),
        }
    }
}

/// Completes on SIGTERM or Ctrl-C. Registered before anything else, so that an early signal is not lost.
pub(crate) fn signals() -> Result<impl Future<Output = ()>, ExitError> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| {
        signal(kind)
            .map_err(|error| ExitError::new(Exit::Internal, format!("cannot listen for signals: {error}")))
    };
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => (),
            _ = interrupt.recv() => (),
        }
    })
}

fn privacy(request: privacy::Request, args: &PrivacyArgs) -> Result<(), ExitError> {
    let users = privacy::read_users(&args.user_file)?;
    print(privacy::apply(request, &args.data, &users, WallClock::new().now())?)
}

/// Shows how far a replay is, and prints what came of it.
fn replaying(
    work: impl FnOnce(&mut dyn FnMut(u64, u64)) -> Result<String, ExitError>,
) -> Result<(), ExitError> {
    let show = std::io::stderr().is_terminal();
    let mut shown = 0;
    let table = work(&mut |offset, end| {
        if show && offset >= shown + 100_000 {
            shown = offset;
            // Progress only; see `complain`.
            let _ = write!(std::io::stderr().lock(), "\rreplaying: {offset} of {end}");
        }
    });
    if shown > 0 {
        let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
    }
    print(table?)
}
