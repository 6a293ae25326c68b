//! The same marginals of a scenario, simulated.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use haggle_simulator::drive::{DriveSettings, drive_watched};

use super::super::scenario::Setup;
use super::censored::points;
use super::marginal::{What, quantile, sorted, spread};
use super::records::{Expected, Names, Recorder, Records};
use super::survey::{Survey, survey};
use crate::exit::ExitError;
use crate::model::Progress;

/// Requests of each world that are looked at whoever bids.
const LOOKED_AT: u32 = 5_000;

/// What came of a scenario in some worlds.
pub(super) struct Simulated {
    pub(super) records: Records,
    pub(super) survey: Survey,
    pub(super) problems: Vec<String>,
    exchanges: Vec<String>,
    expected: Expected,
}

/// What came of one world.
struct World {
    records: Records,
    expected: Expected,
    problems: Vec<String>,
}

/// Lets the worlds of some seeds pass, so many side by side.
///
/// # Errors
///
/// It was to stop.
pub(super) fn simulate(
    setup: &Setup,
    names: &Names,
    seeds: Range<u64>,
    jobs: usize,
    progress: &Progress,
) -> Result<Simulated, ExitError> {
    let count = seeds.end - seeds.start;
    let slots: Vec<Mutex<Option<World>>> = (0..count).map(|_| Mutex::default()).collect();
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, slots.len().max(1)) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(slot) = usize::try_from(at).ok().and_then(|at| slots.get(at)) else { break };
                    let world = world(setup, names, seeds.start + at, progress);
                    *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(world);
                }
            });
        }
    });
    progress.check()?;
    let mut all = Simulated {
        records: Records { days: Some(0.0), ..Records::default() },
        survey: Survey::default(),
        problems: Vec::new(),
        exchanges: setup.exchanges().map(str::to_owned).collect(),
        expected: Expected::default(),
    };
    // All campaigns alike: their shares of few clicks differ from world to world, and orders' values with them.
    let weights = vec![1.0; setup.campaigns.len()];
    // In the order of their seeds, however they were shared out.
    for slot in slots {
        let Some(world) = slot.into_inner().unwrap_or_else(PoisonError::into_inner) else { continue };
        all.records.append(world.records);
        all.expected.add(world.expected);
        all.problems.extend(world.problems);
    }
    all.survey = survey(setup, seeds, LOOKED_AT, &weights);
    Ok(all)
}

fn world(setup: &Setup, names: &Names, seed: u64, progress: &Progress) -> World {
    let settings = DriveSettings { seed, ..setup.settings.clone() };
    let from = settings.start + settings.measured_from;
    let records = Records::default();
    let (expected, open) = Default::default();
    let mut recorder = Recorder { names, from, records, expected, open };
    let outcome = drive_watched(&settings, setup.campaigns.clone(), &mut recorder, &mut || {
        progress.rows.fetch_add(1, Ordering::Relaxed);
        progress.read.fetch_add(1, Ordering::Relaxed);
        !progress.stop.load(Ordering::Relaxed)
    });
    let Recorder { mut records, expected, .. } = recorder;
    records.days = Some(settings.span.saturating_sub(settings.measured_from).as_secs_f64() / 86_400.0);
    World {
        records,
        expected,
        problems: outcome.problems.iter().map(|problem| format!("seed {seed}: {problem}")).collect(),
    }
}

impl Simulated {
    /// A marginal's value; none where nothing such came.
    pub(super) fn value(&self, what: &What) -> Option<f64> {
        let by = |above: f64, below: f64| (below > 0.0).then(|| above / below);
        let median = |values: &[f64]| (!values.is_empty()).then(|| quantile(&sorted(values), 0.5));
        let Self { records, survey, .. } = self;
        match what {
            What::BidsADay => by(records.heard() as f64, records.days?),
            What::Share(exchange) => {
                let heard = records.exchanges.get(exchange).map_or(0, |sold| sold.heard);
                by(heard as f64, records.heard() as f64)
            }
            What::Price(None, percent) => {
                let prices = survey.of(None);
                (!prices.is_empty()).then(|| quantile(&sorted(&prices), f64::from(*percent) / 100.0))
            }
            What::Price(Some(exchange), percent) => {
                let sold = records.exchanges.get(exchange).filter(|sold| !sold.prices.is_empty())?;
                let [value] = points(&sold.prices, [f64::from(*percent) / 100.0]);
                Some(value)
            }
            What::ClickRate => by(self.expected.clicks, self.expected.shown),
            What::OrderRate => by(self.expected.orders, self.expected.clicks),
            What::OrderValue => median(&survey.order_values),
            What::OrderSpread => {
                let values = sorted(&survey.order_values);
                (!values.is_empty()).then(|| spread(&values))
            }
            What::ClickDelay => median(&survey.click_delays),
            What::OrderDelay => median(&survey.order_delays),
        }
    }

    /// Where an exchange is in the survey.
    pub(super) fn place(&self, exchange: &str) -> Option<usize> {
        self.exchanges.iter().position(|name| name == exchange)
    }
}
