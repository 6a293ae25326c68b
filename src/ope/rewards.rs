//! What a model of rewards expects, cross-fitted: no row is judged by a model that learned it.
//!
//! The model is logistic regression on the context, the action, and both together. A weight starts with a deviation
//! of 2 in log odds, as those of the model that bids do, one of both together with a deviation of 1/2: of most pairs
//! a log has few rows, and then the action's own weight has to do.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use haggle_learning::offline::{Learner, Logistic, LogisticSettings};
use haggle_learning::{Batch, Slot};

use super::estimators::Term;
use super::log::{Action, Context, Log};
use super::policy::Target;
use crate::exit::{Exit, ExitError};
use crate::model::Progress;

/// Parts of the log, each judged by a model of the others.
pub const FOLDS: u8 = 5;
/// Passes over the rows: the smaller the log, the more it takes until FTRL has settled.
const PASSES: RangeInclusive<usize> = 3..=20;
/// Rows that are learned in all passes together, where the bounds allow.
const LEARNED: usize = 200_000;
/// Steps until predictions sum to the clicks. Where clicks are rare, the first does nearly all.
const STEPS: u32 = 3;
/// Of a weight, before anything is learned: 1 by the square of 2.
const PRECISION: f32 = 0.25;
/// What makes the deviation of pairs a quarter of that of single features.
const OF_PAIRS: f32 = 0.25;
/// Rows learned or asked about at once.
const ROWS: usize = 4_096;

/// Which fold each row is of: by a hash of its number, so that it depends on nothing else.
pub fn folds(rows: usize, seed: u64) -> Vec<u8> {
    (0..rows as u64).map(|row| (mixed(seed ^ mixed(row)) % u64::from(FOLDS)) as u8).collect()
}

/// Well mixed bits of a number (Steele et al. 2014, SplitMix64).
pub(super) fn mixed(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ n >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ n >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ n >> 31
}

fn push(batch: &mut Batch, context: &Context, action: &Action, label: f32) {
    let slot = |field, index, value| Slot { field, index, value };
    context.features.iter().for_each(|it| batch.push(slot(0, *it, 1.0)));
    action.features.iter().for_each(|it| batch.push(slot(1, *it, 1.0)));
    if let Some(own) = action.features.first() {
        let pair = |it: u32| mixed(u64::from(it) << 32 | u64::from(*own)) as u32;
        context.features.iter().for_each(|it| batch.push(slot(2, pair(*it), OF_PAIRS)));
    }
    batch.end(label);
}

/// Hands the rows that a model for a fold may learn to `take`, by batches, each row as often as it counts.
fn each_batch(
    log: &Log,
    folds: &[u8],
    (target, fold): (&Target, u8),
    counts: &[u8],
    progress: &Progress,
    mut take: impl FnMut(&Batch),
) -> Result<(), ExitError> {
    let mut batch = Batch::default();
    for ((row, of), count) in log.rows.iter().zip(folds).zip(counts) {
        let context = log.contexts.get(row.context as usize);
        let action = log.possible(log.group(row)).get(row.action as usize);
        let action = action.and_then(|action| log.actions.get(*action as usize));
        let Some((context, action)) = context.zip(action).filter(|_| target.leaves(fold, *of)) else {
            continue;
        };
        (0..*count).for_each(|_| push(&mut batch, context, action, f32::from(u8::from(row.clicked))));
        if batch.len() >= ROWS {
            progress.check()?;
            take(&batch);
            batch.clear();
        }
    }
    take(&batch);
    Ok(())
}

/// The model that judges a fold.
fn learn(
    log: &Log,
    folds: &[u8],
    of: (&Target, u8),
    counts: &[u8],
    progress: &Progress,
) -> Result<Logistic, ExitError> {
    let passes = (LEARNED / log.rows.len().max(1)).clamp(*PASSES.start(), *PASSES.end());
    let settings = LogisticSettings {
        bits: 18,
        rate: 0.5,
        // FTRL's draw to 0 is for all passes together.
        l2: PRECISION * passes as f32,
        ..LogisticSettings::default()
    };
    let mut model = Logistic::new(settings).map_err(|error| ExitError::new(Exit::Internal, error))?;
    for _ in 0..passes {
        each_batch(log, folds, of, counts, progress, |batch| {
            model.learn(batch);
        })?;
        model.end_pass();
    }
    // Where the bias has settled, predictions sum to the clicks.
    for _ in 0..STEPS {
        let (mut clicks, mut predicted, mut out) = (0.0, 0.0, Vec::new());
        each_batch(log, folds, of, counts, progress, |batch| {
            model.predict(batch, &mut out);
            clicks += batch.labels().iter().map(|label| f64::from(*label)).sum::<f64>();
            predicted += out.iter().map(|it| f64::from(*it)).sum::<f64>();
        })?;
        if clicks > 0.0 && predicted > 0.0 {
            model.shift((clicks / predicted).ln() as f32);
        }
    }
    Ok(model)
}

/// What a model expects of each action that is possible in these contexts.
fn expect(log: &Log, contexts: &[u32], model: &Logistic) -> HashMap<u32, Vec<f32>> {
    let (mut batch, mut of, mut out) = (Batch::default(), Vec::new(), Vec::new());
    let mut found = HashMap::with_capacity(contexts.len());
    let mut ask = |batch: &mut Batch, of: &mut Vec<(u32, usize)>| {
        model.predict(batch, &mut out);
        let mut from = 0;
        for (context, actions) in of.drain(..) {
            found.insert(context, out.get(from..from + actions).unwrap_or_default().to_vec());
            from += actions;
        }
        batch.clear();
    };
    for number in contexts {
        let Some(context) = log.contexts.get(*number as usize) else { continue };
        let possible = log.possible(context.group as usize);
        let actions = possible.iter().filter_map(|action| log.actions.get(*action as usize));
        actions.for_each(|action| push(&mut batch, context, action, 0.0));
        of.push((*number, possible.len()));
        if batch.len() >= ROWS {
            ask(&mut batch, &mut of);
        }
    }
    ask(&mut batch, &mut of);
    found
}

/// The terms of all rows that count, for a policy. `counts` says how often each row counts.
///
/// # Errors
///
/// A stop.
pub fn terms(
    log: &Log,
    folds: &[u8],
    target: &Target,
    counts: &[u8],
    progress: &Progress,
) -> Result<Vec<Term>, ExitError> {
    let mut terms = Vec::with_capacity(log.rows.len());
    for fold in 0..FOLDS {
        let model = learn(log, folds, (target, fold), counts, progress)?;
        let own =
            log.rows.iter().zip(folds).zip(counts).filter(|((_, of), count)| **of == fold && **count > 0);
        let mut contexts: Vec<u32> = own.clone().map(|((row, _), _)| row.context).collect();
        contexts.sort_unstable();
        contexts.dedup();
        let expectations = expect(log, &contexts, &model);
        progress.check()?;
        for ((row, _), count) in own {
            let expectations = expectations.get(&row.context).map_or(&[][..], Vec::as_slice);
            let predicted = expectations.get(row.action as usize).map_or(0.0, |it| f64::from(*it));
            let expected = match target {
                // What else it might have done is not in the log; what it did stands for that.
                Target::Logged => predicted,
                Target::Table(_) | Target::Learned(_) => {
                    let probabilities = target.of(usize::from(fold), log.group(row));
                    probabilities.iter().zip(expectations).map(|(p, it)| p * f64::from(*it)).sum()
                }
            };
            terms.push(Term {
                count: f64::from(*count),
                weight: target.weight(log, row, usize::from(fold)),
                reward: f64::from(u8::from(row.clicked)),
                predicted,
                expected,
            });
        }
    }
    Ok(terms)
}
