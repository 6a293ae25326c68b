//! `haggle simulate calibrate`: a scenario whose world looks like one's own log.
//!
//! What is bought decides what is seen, so marginals are not set but fitted: the scenario is simulated, each marginal compared with
//! the log's by the same estimator, and its key corrected (indirect inference, Gouriéroux, Monfort and Renault 1993). Prices to
//! beat are fitted on all requests of the world, which is cheap, to targets that are moved by how what the bidder sees differs
//! from that (space mapping, Bandler et al. 1994).

mod args;
mod censored;
mod fitted;
pub(super) mod journal;
mod marginal;
mod orders;
mod records;
mod report;
mod search;
mod simulated;
mod survey;
mod write;

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::Ordering;

use haggle_domain::ExchangeKey;
use toml::{Table, Value};

pub use args::CalibrateArgs;
use fitted::{Fitted, Market};
use marginal::{Estimate, PERCENTS, What, marginals, quantile, sorted};
use records::{Names, Records};
use report::{Report, Row};
use simulated::{Simulated, simulate};
use survey::survey;

use super::scenario::{Scenario, Setup};
use crate::cli::print;
use crate::exit::{Exit, ExitError};
use crate::model::{Progress, to_json, watched};
use crate::replay;

/// The scenario that it begins with where none is named.
const QUIET_SHOP: &str = include_str!("../../../config/scenarios/quiet-shop.toml");
/// Worlds, and requests of each, in which prices are fitted.
const PRICED: (u64, u32) = (2, 4_000);
/// Tries at prices in the first round, and in a later one.
const TRIES: (usize, usize) = (200, 60);
/// A marginal that is off by no more is not corrected again.
const CLOSE: f64 = 0.01;
/// One round corrects by no more than this factor.
const FARTHEST: f64 = 10.0;
/// What the quantiles at 10 and 90 % weigh beside the quartiles.
const TAILS: f64 = 0.1;
/// What is found of prices is drawn to what the base has by this much, so that what they do not tell stays.
const PULL: f64 = 0.0002;

/// Calibrates, writes the scenario, and prints what was found.
///
/// # Errors
///
/// Files that cannot be read, used or written; a log that tells nothing; an invariant that does not hold; or it was stopped.
pub fn run(args: &CalibrateArgs) -> Result<(), ExitError> {
    let asked = args.clone();
    let report = watched(args.json, move |progress| calibrate(&asked, progress))?;
    print(if args.json { to_json(&report)? } else { report.text() })?;
    match report.problems.len() {
        0 => Ok(()),
        count => Err(ExitError::new(Exit::CheckFailed, format!("{count} checks failed; see above"))),
    }
}

fn calibrate(args: &CalibrateArgs, progress: &Progress) -> Result<Report, ExitError> {
    let refuse = |problem: String| Err(ExitError::new(Exit::CannotCreate, problem));
    if args.out.exists() {
        return refuse(format!("{} is there already; name another --out", args.out.display()));
    }
    let base = match &args.scenario {
        Some(path) => Scenario::read(path)?,
        None => Scenario::of("built-in quiet-shop.toml", QUIET_SHOP, Path::new(""))?,
    };
    let (records, mut notes) = read(args, &base.setup(&[])?, progress)?;
    let (world, mut report) = fit(&base, &records, args, progress)?;
    notes.append(&mut report.notes);
    report.notes = notes;
    let text = write::text(&beside(world, args)?, &comments(&report))?;
    // What is written is what was simulated.
    let folder = args.out.parent().unwrap_or(Path::new(""));
    Scenario::of(&args.out.display().to_string(), &text, folder)?;
    let file = std::fs::File::create_new(&args.out);
    match file.and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes())) {
        Ok(()) => Ok(report),
        Err(error) => refuse(format!("{} cannot be written: {error}", args.out.display())),
    }
}

/// All that was named.
fn read(
    args: &CalibrateArgs,
    base: &Setup,
    progress: &Progress,
) -> Result<(Records, Vec<String>), ExitError> {
    let mut notes = Vec::new();
    let names = names(base);
    let mut records = Records::default();
    if let Some(data) = &args.data {
        records = journal::read(data, &names, progress)?;
        if records.elsewhere > 0 {
            notes.push(format!(
                "left out: {} results of bids on exchanges that the scenario does not have; it has {}",
                records.elsewhere,
                base.exchanges().collect::<Vec<_>>().join(", ")
            ));
        }
        if records.days.is_none() {
            notes.push("the journal is of less than a day, so requests_a_day is left".to_owned());
        }
        if records.clicks == 0 {
            notes.push("no click is in the journal, so click rates are left".to_owned());
        }
    }
    if let Some(path) = &args.log {
        let sold = replay::recorded(path, args.format, args.clicks.as_deref(), args.bad_rows, progress)?;
        records.prices = sold.prices.iter().map(|price| price.0 as f64 * 1e-6).collect();
        (records.shown, records.clicks) = (sold.prices.len() as u64, sold.clicks);
        notes.extend(sold.notes);
        notes.push(
            "the log tells prices and clicks; how many requests there are, whose exchanges and what orders come to are left; \
             a hundred of its fen are a unit of the scenario's currency"
                .to_owned(),
        );
        if records.clicks == 0 {
            notes.push("no click is in the log, so click rates are left".to_owned());
        }
    }
    if let Some(path) = &args.orders {
        let orders = orders::read(path, &args.order_column, args.bad_rows, progress)?;
        if orders.left_out > 0 {
            notes.push(format!("left out: {} orders of nothing or less, such as refunds", orders.left_out));
        }
        if orders.bad.count > 0 {
            notes.push(format!("left out: {} bad rows; the first: {}", orders.bad.count, orders.bad));
        }
        records.order_values = orders.values;
    }
    Ok((records, notes))
}

fn names(setup: &Setup) -> Names {
    setup.exchanges().map(|name| (ExchangeKey::of(name), name.to_owned())).collect()
}

/// The scenario's keys that were fitted, and how well.
fn fit(
    base: &Scenario,
    records: &Records,
    args: &CalibrateArgs,
    progress: &Progress,
) -> Result<(Table, Report), ExitError> {
    let setup = base.setup(&[])?;
    let names = names(&setup);
    let targets = marginals(records, args.seed);
    if targets.is_empty() {
        let problem =
            "there is too little in it to fit anything to: no results of bids, no clicks, no orders";
        return Err(ExitError::new(Exit::InputUnusable, problem));
    }
    let seeds = u64::from(args.seeds.get());
    let (Some(middle), Some(_)) = (args.seed.checked_add(seeds), args.seed.checked_add(2 * seeds)) else {
        let problem = "--seed is too high for so many --seeds; choose a lower one";
        return Err(ExitError::new(Exit::Usage, problem));
    };
    let jobs = args.jobs.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
    let of_day = setup.settings.requests_a_day * setup.settings.span.as_secs_f64() / 86_400.0;
    let runs = (f64::from(args.rounds.get()) + 3.0) * seeds as f64;
    progress.length.store((of_day * runs) as u64, Ordering::Relaxed);
    progress.read.store(0, Ordering::Relaxed);
    let try_in = |setup: &Setup, seeds| simulate(setup, &names, seeds, jobs, progress);
    let before = try_in(&setup, middle..middle + seeds)?;
    let mut fitting = Fitting { base, setup: &setup, targets: &targets, fitted: told(records), slope: None };
    let (mut rounds, mut best) = (0, (f64::INFINITY, Fitted::default()));
    loop {
        let now = try_in(&fitting.now()?, args.seed..middle)?;
        // Keys act on each other, so that the last round need not be the best. What is told is no fit yet.
        let apart = fitting.apart(&now);
        if rounds > 0 && apart < best.0 {
            best = (apart, fitting.fitted.clone());
        }
        if rounds == args.rounds.get() || rounds > 0 && fitting.is_close(&now) {
            break;
        }
        rounds += 1;
        fitting.correct(&now, rounds == 1, args.seed, progress)?;
    }
    fitting.fitted = best.1;
    let world = fitting.fitted.world(base.world(), &setup)?;
    let after = try_in(&fitting.now()?, middle..middle + seeds)?;
    let rows = targets.iter().map(|(what, log)| Row::of(what, *log, before.value(what), after.value(what)));
    let mut notes = Vec::new();
    let bids = |it: &Simulated| it.records.heard();
    if bids(&after) < bids(&before) / 4 {
        notes.push(format!(
            "in the fitted world the campaigns have {} results of bids, of {} before: what they bid or their budgets may not fit it",
            bids(&after),
            bids(&before)
        ));
    }
    let report = Report {
        scenario: setup.name.clone(),
        out: args.out.display().to_string(),
        seed: args.seed,
        seeds: args.seeds.get(),
        rounds,
        marginals: rows.collect(),
        notes,
        problems: after.problems,
    };
    Ok((world, report))
}

/// What a log says of exchanges and needs no fitting.
fn told(records: &Records) -> Fitted {
    let mut fitted = Fitted::default();
    for (name, sold) in &records.exchanges {
        match (sold.first, sold.second) {
            (0, 0) => {}
            (first, second) => {
                let price = if first >= second { "first" } else { "second" };
                fitted.auctions.insert(name.clone(), price);
            }
        }
        if sold.told * 2 < sold.heard {
            fitted.silent.insert(name.clone());
        }
    }
    fitted
}

/// What is being fitted.
struct Fitting<'a> {
    base: &'a Scenario,
    setup: &'a Setup,
    targets: &'a [(What, Estimate)],
    fitted: Fitted,
    /// The logarithms of requests and bids a day of the last round.
    slope: Option<(f64, f64)>,
}

impl Fitting<'_> {
    fn now(&self) -> Result<Setup, ExitError> {
        self.with(&self.fitted)
    }

    fn with(&self, fitted: &Fitted) -> Result<Setup, ExitError> {
        self.base.with_world(fitted.world(self.base.world(), self.setup)?).setup(&[])
    }

    /// How far off all is: the sum of squares of logarithms, of the tails of prices less.
    fn apart(&self, now: &Simulated) -> f64 {
        let of = |(what, log): &(What, Estimate)| {
            let weight = if matches!(what, What::Price(_, 10 | 90)) { TAILS } else { 1.0 };
            let value = now.value(what).filter(|value| *value > 0.0 && log.value > 0.0);
            // What does not come at all is as far off as can be corrected at once.
            let miss = value.map_or(FARTHEST.ln(), |value| (value / log.value).ln());
            weight * miss * miss
        };
        self.targets.iter().map(of).sum()
    }

    fn is_close(&self, now: &Simulated) -> bool {
        self.targets.iter().all(|(what, log)| match now.value(what) {
            Some(value) => {
                let half = (log.high - log.low) / 4.0;
                (value / log.value).ln().abs() < CLOSE || (value - log.value).abs() < half
            }
            None => true,
        })
    }

    /// Corrects all keys by how far off the simulated marginals are.
    fn correct(
        &mut self,
        now: &Simulated,
        first: bool,
        seed: u64,
        progress: &Progress,
    ) -> Result<(), ExitError> {
        self.share(now);
        let mut priced: Vec<&Option<String>> = Vec::new();
        for (what, log) in self.targets {
            if let What::Price(exchange, _) = what {
                // Prices of all requests are fitted at once, and need no correction.
                if !priced.contains(&exchange) && (first || exchange.is_some()) {
                    priced.push(exchange);
                }
                continue;
            }
            let Some(value) = now.value(what).filter(|value| *value > 0.0 && log.value > 0.0) else {
                continue;
            };
            let ratio = (log.value / value).clamp(1.0 / FARTHEST, FARTHEST);
            let fitted = &mut self.fitted;
            match what {
                What::BidsADay => {
                    let (requests, bids) = (fitted.requests.ln(), value.ln());
                    let step = |(before, had): (f64, f64)| (bids - had) / (requests - before);
                    // How many bids more requests bring was seen; at first, as many more.
                    let slope = self.slope.map(step).filter(|slope| slope.is_finite()).unwrap_or(1.0);
                    self.slope = Some((requests, bids));
                    fitted.requests =
                        (fitted.requests * ratio.powf(1.0 / slope.clamp(0.3, 2.0))).clamp(0.02, 50.0);
                }
                What::ClickRate => fitted.click_rate *= ratio,
                What::OrderRate => fitted.order_rate *= ratio,
                What::ClickDelay => fitted.click_delay *= ratio,
                What::OrderDelay => fitted.order_delay *= ratio,
                What::OrderValue => fitted.order_value *= ratio,
                What::OrderSpread => {
                    // Of the aisles' means and what orders of one aisle differ by, the second gives way.
                    let own = fitted.order_spread.unwrap_or(0.4);
                    let squares = own * own + log.value * log.value - value * value;
                    fitted.order_spread = Some(squares.max(1e-4).sqrt().min(3.0));
                }
                What::Share(_) | What::Price(..) => {}
            }
        }
        for exchange in priced {
            let market =
                self.price(exchange.as_deref(), now, if first { TRIES.0 } else { TRIES.1 }, seed, progress)?;
            self.fitted.markets.insert(exchange.clone(), market);
        }
        Ok(())
    }

    /// Exchanges' shares of traffic, by their shares of bids.
    fn share(&mut self, now: &Simulated) {
        let told = |name: &str| {
            let what = What::Share(name.to_owned());
            let (_, log) = self.targets.iter().find(|(it, _)| *it == what)?;
            Some(log.value / now.value(&what).filter(|share| *share > 0.0)?)
        };
        if !self.targets.iter().any(|(what, _)| matches!(what, What::Share(_))) {
            return;
        }
        let exchanges = &self.setup.settings.world.exchanges;
        let shares: Vec<(String, f64)> = exchanges
            .iter()
            .map(|exchange| {
                let name = exchange.name.to_string();
                let own = self.fitted.shares.get(&name).copied().unwrap_or(exchange.share);
                let share = told(&name).map_or(0.0, |ratio| own * ratio);
                (name, share)
            })
            .collect();
        let all: f64 = shares.iter().map(|(_, share)| share).sum();
        if all > 0.0 {
            self.fitted.shares = shares.into_iter().map(|(name, share)| (name, share / all)).collect();
        }
    }

    /// The market in which prices to beat are spread as the log's.
    fn price(
        &self,
        exchange: Option<&str>,
        now: &Simulated,
        tries: usize,
        seed: u64,
        progress: &Progress,
    ) -> Result<Market, ExitError> {
        let place = exchange.and_then(|name| now.place(name));
        let seen = |setup: &Setup| {
            let seeds = seed..seed.saturating_add(PRICED.0);
            sorted(&survey(setup, seeds, PRICED.1, &[]).of(place))
        };
        let of = |prices: &[f64], percent: u8| quantile(prices, f64::from(percent) / 100.0).max(0.01);
        let as_it_is = seen(&self.now()?);
        // What the bidder sees differs from what there is; by how much is taken to change slowly.
        let wanted: Vec<(u8, f64, f64)> = self
            .targets
            .iter()
            .filter_map(|(what, log)| {
                let What::Price(of_exchange, percent) = what else { return None };
                let moved = exchange
                    .map_or(Some(1.0), |_| Some(of(&as_it_is, *percent) / now.value(what)?.max(0.01)));
                let weight = if (25..=75).contains(percent) { 1.0 } else { TAILS };
                (of_exchange.as_deref() == exchange).then_some(())?;
                Some((*percent, (log.value.max(0.01) * moved.unwrap_or(1.0)).ln(), weight))
            })
            .collect();
        let start = self.fitted.markets.get(&exchange.map(str::to_owned)).copied().unwrap_or_default();
        let median = wanted.iter().find(|(percent, ..)| *percent == PERCENTS[2]);
        let by = median.map_or(0.0, |(percent, wanted, _)| wanted - of(&as_it_is, *percent).ln());
        let start = [start.factor.ln() + by, start.spread.ln(), start.presence.ln(), start.floor.ln() + by];
        let market = |[factor, spread, presence, floor]: &[f64; 4]| Market {
            factor: factor.exp(),
            spread: spread.exp(),
            presence: presence.exp(),
            floor: floor.exp(),
        };
        let mut miss = |point: &[f64; 4]| {
            progress.check()?;
            let mut fitted = self.fitted.clone();
            fitted.markets.insert(exchange.map(str::to_owned), market(point));
            let prices = seen(&self.with(&fitted)?);
            let squares = |(percent, wanted, weight): &(u8, f64, f64)| {
                weight * (of(&prices, *percent).ln() - wanted).powi(2)
            };
            let apart: f64 = wanted.iter().map(squares).sum();
            Ok::<f64, ExitError>(apart + PULL * point[1..].iter().map(|it| it * it).sum::<f64>())
        };
        let least = search::least(start, [0.2, 0.3, -0.15, -0.5], tries, &mut miss)?;
        Ok(market(&least))
    }
}

/// The keys as they stand in the new file, whose folder may be another.
fn beside(mut world: Table, args: &CalibrateArgs) -> Result<Table, ExitError> {
    let (Some(Value::String(folder)), Some(scenario)) = (world.get("campaigns"), &args.scenario) else {
        return Ok(world);
    };
    let parent = |path: &Path| match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => Path::new(".").to_owned(),
    };
    let (own, new) = (parent(scenario), parent(&args.out));
    let whole = |path: &Path| {
        path.canonicalize().map_err(|error| {
            ExitError::new(Exit::IoFailed, format!("{} cannot be read: {error}", path.display()))
        })
    };
    if whole(&own)? != whole(&new)? {
        let folder = whole(&own.join(folder))?.display().to_string();
        world.insert("campaigns".to_owned(), Value::String(folder));
    }
    Ok(world)
}

/// What each key was fitted to.
fn comments(report: &Report) -> Vec<(&'static str, String)> {
    let mut said = vec![(
        "",
        format!(
            "The scenario {:?}, fitted to a log by haggle simulate calibrate, --seed {}, --seeds {}. What is simulated is of other worlds than \
             those that it was fitted in.",
            report.scenario, report.seed, report.seeds
        ),
    )];
    let notes: BTreeSet<&String> = report.notes.iter().collect();
    said.extend(notes.into_iter().map(|note| ("", format!("Note: {}", note.replace('\n', " ")))));
    for key in ["requests_a_day", "exchange", "rival", "change", "aisle"] {
        said.extend(report.said(key).into_iter().map(|line| (key, line)));
    }
    said
}

#[cfg(test)]
mod tests;
