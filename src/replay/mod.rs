//! `haggle replay`: what strategies, and the bidder itself, would have bought in recorded auctions.

mod args;
pub mod auction;
mod course;
pub mod history;
mod ipinyou;
mod journal;
pub mod log;
pub mod optimum;
mod page;
pub mod pairs;
mod recorded;
mod report;
pub mod strategies;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use haggle_domain::{CpmMicros, Micros};

pub use args::{Fraction, ReplayArgs};
use auction::{Episodes, Rules, play};
use course::Recorded;
use history::{History, Train};
use page::Courses;
pub(crate) use recorded::recorded;
pub use report::{Line, Optimum, Report};
use strategies::{ENTRANTS, Setting};

use crate::cli::print;
use crate::exit::{Exit, ExitError};
use crate::model::{Progress, say, watched};
use log::{FEN, Format, Log};

/// Replays, and prints what came of it.
///
/// # Errors
///
/// That a file cannot be used, or that the replay was stopped.
pub fn run(args: &ReplayArgs) -> Result<(), ExitError> {
    let (asked, json) = (args.clone(), args.json);
    let (report, courses) = watched(json, move |progress| replay(&asked, progress))?;
    if let Some(path) = &args.report {
        std::fs::write(path, page::page(&report, &courses)).map_err(|error| {
            ExitError::new(Exit::CannotCreate, format!("{} cannot be written: {error}", path.display()))
        })?;
    }
    if !json {
        return print(report.text());
    }
    let text = serde_json::to_string_pretty(&report)
        .map_err(|error| ExitError::new(Exit::Internal, format!("the report cannot be written: {error}")))?;
    print(text)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn warn(log: &Log) {
    if log.bad.count > 0 {
        say(&format!("{}\nleft {} bad rows out", log.bad, log.bad.count));
    }
}

/// The report of a replay, and who spent what by when.
fn replay(args: &ReplayArgs, progress: &Progress) -> Result<(Report, Courses), ExitError> {
    if let Some(path) = &args.report {
        let read = [Some(&args.log), args.train.as_ref(), args.clicks.as_ref()];
        crate::page::refuse_overwriting(
            path,
            &read.into_iter().flatten().map(PathBuf::as_path).collect::<Vec<_>>(),
        )?;
    }
    let log = log::read(&args.log, args, progress)?;
    warn(&log);
    progress.check()?;
    let train = match &args.train {
        Some(path) => {
            let train = Train::read(path, args, progress)?;
            if let Train::Log(train) = &train {
                warn(train);
            }
            Some((name(path), train))
        }
        None => None,
    };
    let history = History::new(&log, train)?;
    let setting = setting(args, &log, &history)?;
    let passes =
        setting.passes() * history.rows.len() + (ENTRANTS + setting.passes_in_hindsight()) * log.rows.len();
    progress.length.store(passes as u64, Ordering::Relaxed);
    let mut pass = || {
        progress.read.fetch_add(1, Ordering::Relaxed);
        progress.rows.fetch_add(1, Ordering::Relaxed);
        progress.check()
    };
    let (budget, payoff) = (setting.episodes.total(log.rows.len()), setting.payoff);
    let click = history::fen(setting.click);
    let best = optimum::optimum(&log.rows, budget);
    let plan = course::plan(&setting.episodes, log.rows.len());
    let mut courses = Courses { budget, plan, strategies: Vec::new() };
    let mut strategies = Vec::new();
    for entrant in setting.entrants(&log.rows, &history, &mut pass)? {
        let (mut strategy, course) = Recorded::new(entrant.strategy, log.rows.len());
        let bought = play(log.rows.iter(), &setting.episodes, &setting.rules, &mut strategy, &mut pass)?;
        courses.strategies.push((entrant.name, course::whole(&course)));
        let against = report::Against { budget, optimum: best.value, payoff, click };
        strategies.push(Line::of(entrant.name, entrant.tuned_on, &bought, &against));
    }
    let episodes = setting.episodes.count(log.rows.len());
    let itself = history.rows_from == history::ITSELF;
    let mut notes = report::notes(&log, args.auction, args.feedback, itself, episodes);
    if best.value < 1.0 && args.max_cpc.is_none() {
        notes.push(
            "the budget is less than a click costs, and ours takes it for the most that one is worth, so it holds back; say what one is \
             worth with --max-cpc"
                .to_owned(),
        );
    }
    let report = Report {
        log: name(&args.log),
        auctions: log.rows.len(),
        clicks: log.rows.iter().filter(|row| row.clicked).count() as u64,
        bad_rows: log.bad.count,
        episodes,
        budget: report::units(budget),
        auction: match args.auction {
            auction::Auction::First => "first",
            auction::Auction::Second => "second",
        },
        payoff,
        click_worth: click,
        optimum: Optimum::of(&best),
        optimum_in_episodes: (episodes > 1)
            .then(|| Optimum::of(&optimum::in_episodes(&log.rows, &setting.episodes))),
        strategies,
        notes,
        unit: log.format.unit(),
    };
    Ok((report, courses))
}

/// What the bidder itself bids at most, where nothing is said.
fn highest_bid(log: &Log) -> CpmMicros {
    let highest = log.rows.iter().map(|row| row.price).max().filter(|_| log.format == Format::Haggle);
    // Above the highest price, so that it can be beaten.
    highest.map_or(CpmMicros(300 * FEN), |price| CpmMicros(price.0.saturating_add(FEN)))
}

fn setting(args: &ReplayArgs, log: &Log, history: &History) -> Result<Setting, ExitError> {
    let all: Micros = log.rows.iter().map(|row| auction::cost(row.price)).sum();
    let totals = &history.totals;
    let (auctions, budget) = match args.episode {
        Some(auctions) => {
            let times = u64::try_from(auctions.get()).unwrap_or(u64::MAX);
            (Some(auctions), args.budget_fraction.of(totals.cost, times, totals.auctions))
        }
        None => (NonZeroUsize::new(log.rows.len()), args.budget_fraction.of(all, 1, 1)),
    };
    let auctions = auctions.filter(|_| budget > Micros::ZERO).ok_or_else(|| {
        ExitError::new(Exit::Usage, "the budget comes to nothing; choose a larger --budget-fraction")
    })?;
    let episodes = Episodes { auctions, budget };
    Ok(Setting {
        format: log.format,
        rules: Rules::published(log.format, args.auction),
        episodes,
        payoff: totals.click_cost() * args.payoff,
        base_bid: args.base_bid,
        click: args.max_cpc.map_or(episodes.total(log.rows.len()), |fen| Micros(i64::from(fen) * FEN)),
        max_bid: args.max_bid.map_or_else(|| highest_bid(log), |fen| CpmMicros(i64::from(fen) * FEN)),
        feedback: args.feedback,
        explore_prices: args.explore_prices.unwrap_or(0.02),
        scale: match log.format {
            Format::Haggle => highest_bid(log).0 as f64 / (300 * FEN) as f64,
            Format::Pairs | Format::Sam | Format::Rlb | Format::Ipinyou => 1.0,
        },
        seed: args.seed,
    })
}
