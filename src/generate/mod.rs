//! `haggle generate`: requests and campaigns for trying how fast a bidder is, and logs of clicks for trying how well models
//! learn. The same seed makes the same files.

mod campaigns;
mod clicks;
mod consent;
mod requests;
mod world;

use std::fs::{self, File};
use std::io::{BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

pub use self::campaigns::Campaigns;
pub use self::clicks::{Clicks, ClicksSummary};
pub use self::consent::VENDOR;
pub use self::requests::Requests;
pub(crate) use self::world::{Chance, TOPICS, USERS, user};

use crate::cli::print;
use crate::exit::{Exit, ExitError};

/// What to make.
#[derive(Clone, Debug, Subcommand)]
pub enum GenerateCommand {
    /// Bid requests as exchanges send them, one a line.
    Requests(RequestsArgs),
    /// Campaigns with realistic targeting, as files for the `campaigns` folder.
    Campaigns(CampaignsArgs),
    /// A log of impressions whose clicks follow a rule that is known, and the schema to learn from it by.
    Clicks(ClicksArgs),
}

/// How many requests, and where to.
#[derive(Clone, Debug, Args)]
pub struct RequestsArgs {
    /// How many.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub count: u32,
    /// The same seed makes the same requests.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The file to write; without it standard output.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// How many campaigns, and where to.
#[derive(Clone, Debug, Args)]
pub struct CampaignsArgs {
    /// How many.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub count: u32,
    /// The same seed makes the same campaigns.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The folder to make; one that is there has to be empty.
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,
}

/// How many rows, and where to.
#[derive(Clone, Debug, Args)]
pub struct ClicksArgs {
    /// How many.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000_000_000))]
    pub rows: u64,
    /// The same seed makes the same rows.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The same world has the same rule: train on one seed's rows, test on another's.
    #[arg(long, default_value_t = 1)]
    pub world: u64,
    /// The file to write, of fields by tabs; the schema comes beside it, as NAME.schema.toml.
    #[arg(long, value_name = "FILE.tsv")]
    pub out: PathBuf,
}

/// Runs the command.
///
/// # Errors
///
/// A file or folder that cannot be written, or that holds something already.
pub fn run(command: &GenerateCommand) -> Result<(), ExitError> {
    match command {
        GenerateCommand::Requests(args) => requests(args),
        GenerateCommand::Clicks(args) => clicks(args),
        GenerateCommand::Campaigns(args) => {
            let bar = bar(args.count.into());
            write_campaigns(&args.out, args.count as usize, args.seed, |made| bar.set_position(made as u64))?;
            bar.finish_and_clear();
            Ok(())
        }
    }
}

fn requests(args: &RequestsArgs) -> Result<(), ExitError> {
    let shown = args.out.as_ref().map_or("standard output".to_owned(), |path| path.display().to_string());
    let failed =
        |exit, error: std::io::Error| ExitError::new(exit, format!("{shown} cannot be written: {error}"));
    let out: Box<dyn Write> = match &args.out {
        Some(path) => Box::new(File::create(path).map_err(|error| failed(Exit::CannotCreate, error))?),
        None => Box::new(std::io::stdout().lock()),
    };
    let mut out = BufWriter::new(out);
    let bar = bar(args.count.into());
    let mut requests = Requests::new(args.seed);
    for made in 0..args.count {
        match writeln!(out, "{}", requests.next_request()) {
            // A reader that has gone (`| head`) has all it wants.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
            result => result.map_err(|error| failed(Exit::IoFailed, error))?,
        }
        if made % 1_000 == 0 {
            bar.set_position(made.into());
        }
    }
    bar.finish_and_clear();
    match out.flush() {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(failed(Exit::IoFailed, error)),
        _ => Ok(()),
    }
}

fn clicks(args: &ClicksArgs) -> Result<(), ExitError> {
    let failed = |path: &Path, exit, error: std::io::Error| {
        ExitError::new(exit, format!("{} cannot be written: {error}", path.display()))
    };
    let schema = args.out.with_extension("schema.toml");
    fs::write(&schema, Clicks::schema()).map_err(|error| failed(&schema, Exit::CannotCreate, error))?;
    let out = File::create(&args.out).map_err(|error| failed(&args.out, Exit::CannotCreate, error))?;
    let mut out = BufWriter::with_capacity(1 << 20, out);
    let io_failed = |error| failed(&args.out, Exit::IoFailed, error);
    writeln!(out, "{}", Clicks::header()).map_err(io_failed)?;
    let bar = bar(args.rows);
    let mut clicks = Clicks::new(args.world, args.seed);
    let mut row = Vec::with_capacity(256);
    for made in 0..args.rows {
        row.clear();
        clicks.next_row(&mut row);
        out.write_all(&row).map_err(io_failed)?;
        if made % 10_000 == 0 {
            bar.set_position(made);
        }
    }
    bar.finish_and_clear();
    out.flush().map_err(io_failed)?;
    let ClicksSummary { rows, clicks, truth_log_loss, rate_log_loss } = clicks.summary();
    print(format!(
        "{rows} rows, {clicks} clicks; log loss of the truth {truth_log_loss:.6}, of the rate alone {rate_log_loss:.6}\n\
         wrote {} and {}",
        args.out.display(),
        schema.display()
    ))
}

/// Writes files of campaigns into a folder, which is made, or has to be empty. `progress` is told how many are written.
///
/// # Errors
///
/// A folder that holds something or cannot be written.
pub fn write_campaigns(
    folder: &Path,
    count: usize,
    seed: u64,
    progress: impl Fn(usize),
) -> Result<(), ExitError> {
    let shown = folder.display();
    let cannot = |error: std::io::Error| {
        ExitError::new(Exit::CannotCreate, format!("{shown} cannot be written: {error}"))
    };
    fs::create_dir_all(folder).map_err(cannot)?;
    if fs::read_dir(folder).map_err(cannot)?.next().is_some() {
        return Err(ExitError::new(
            Exit::CannotCreate,
            format!("{shown} is not empty; name a new folder, or remove what is in it"),
        ));
    }
    let mut campaigns = Campaigns::new(seed);
    let mut made = 0;
    for number in 0.. {
        let next = campaigns::FILE.min(count - made);
        if next == 0 {
            break;
        }
        let path = folder.join(format!("campaigns-{number:04}.toml"));
        fs::write(&path, campaigns.next_file(next)).map_err(|error| {
            ExitError::new(Exit::IoFailed, format!("{} cannot be written: {error}", path.display()))
        })?;
        made += next;
        progress(made);
    }
    Ok(())
}

/// A progress bar on a terminal's standard error; elsewhere nothing.
fn bar(count: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::with_draw_target(Some(count), ProgressDrawTarget::hidden());
    }
    let bar = ProgressBar::with_draw_target(Some(count), ProgressDrawTarget::stderr());
    // A template that cannot be read leaves the bar's own look.
    match ProgressStyle::with_template("{bar:40} {pos}/{len}  {eta} left") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
