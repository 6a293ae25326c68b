//! Training: passes over the rows, and the model's worth on rows that it has not learned.

use std::path::Path;

use haggle_learning::data::{ReadOptions, ReadReport};
use haggle_learning::offline::metrics::{Losses, auc};
use haggle_learning::offline::{
    DeepSettings, FactorSettings, FfmSettings, HoldOut, Learned, Learner, LinearSettings, Sample, Settings,
};
use haggle_learning::{Batch, Rows};

use super::args::{ModelKind, TrainArgs};
use super::input::{Progress, each_batch};
use super::report::Point;
use crate::exit::{Exit, ExitError};

/// Points of a pass's learning curve; up to twice as many.
const POINTS: usize = 100;
/// Rows that a point has at least, so that its loss means something.
const POINT_ROWS: u64 = 4_096;

/// A model's settings from the command line; `fields` and `bits` are the data's.
pub(super) fn settings(args: &TrainArgs, fields: usize, bits: u32) -> Result<Settings, ExitError> {
    let usage = |problem: String| ExitError::new(Exit::Usage, problem);
    let Some(model) = args.model else {
        return Err(usage("no model is named; name one with --model".to_owned()));
    };
    if model != ModelKind::Deep {
        no_network(args, "only deep models have a network")?;
    }
    if model == ModelKind::Logistic {
        no_vectors(args)?;
    } else if fields < 2 {
        return Err(usage(
            "all features are of one field, so there are no pairs of fields to learn; name --feature-index, or train logistic"
                .to_owned(),
        ));
    }
    let own = LinearSettings::default();
    let linear = LinearSettings {
        bits: args.bits.unwrap_or(bits as u8),
        rate: args.rate.unwrap_or(own.rate),
        l2: args.l2.unwrap_or(own.l2),
        ..own
    };
    // More fields than any model takes are refused by the model itself.
    let fields = u16::try_from(fields).unwrap_or(u16::MAX);
    Ok(match model {
        ModelKind::Logistic => Settings::Logistic(linear),
        ModelKind::Ffm => {
            let own = FactorSettings::default();
            let factors = FactorSettings {
                fields,
                size: args.vector_size.unwrap_or(own.size),
                bits: args.vector_bits.unwrap_or(own.bits),
                rate: args.vector_rate.unwrap_or(own.rate),
                l2: args.vector_l2.unwrap_or(own.l2),
                seed: args.seed,
                ..own
            };
            Settings::Ffm(FfmSettings { linear, factors })
        }
        ModelKind::Deep => {
            let own = DeepSettings::default();
            Settings::Deep(DeepSettings {
                linear,
                fields,
                size: args.vector_size.unwrap_or(own.size),
                bits: args.vector_bits.unwrap_or(own.bits),
                rate: args.vector_rate.unwrap_or(own.rate),
                l2: args.vector_l2.unwrap_or(own.l2),
                seed: args.seed,
                hidden: args.hidden.as_ref().map_or(own.hidden, |hidden| hidden.0.clone()),
                dropout: args.dropout.unwrap_or(own.dropout),
                normalise: args.normalise,
                decay: args.decay.unwrap_or(own.decay),
                ..own
            })
        }
    })
}

/// Which model such settings are of.
pub(super) fn kind_of(settings: &Settings) -> ModelKind {
    match settings {
        Settings::Logistic(_) => ModelKind::Logistic,
        Settings::Ffm(_) => ModelKind::Ffm,
        Settings::Deep(_) => ModelKind::Deep,
    }
}

/// Refuses what only new deep models can be told.
pub(super) fn no_network(args: &TrainArgs, reason: &str) -> Result<(), ExitError> {
    for (flag, given) in [
        ("--hidden", args.hidden.is_some()),
        ("--dropout", args.dropout.is_some()),
        ("--normalise", args.normalise),
        ("--decay", args.decay.is_some()),
    ] {
        if given {
            return Err(ExitError::new(Exit::Usage, format!("{reason}; leave {flag} out")));
        }
    }
    Ok(())
}

/// Refuses what only models with vectors can be told.
pub(super) fn no_vectors(args: &TrainArgs) -> Result<(), ExitError> {
    for (flag, given) in [
        ("--vector-rate", args.vector_rate.is_some()),
        ("--vector-l2", args.vector_l2.is_some()),
        ("--vector-bits", args.vector_bits.is_some()),
        ("--vector-size", args.vector_size.is_some()),
    ] {
        if given {
            let problem = format!("logistic has no vectors; leave {flag} out");
            return Err(ExitError::new(Exit::Usage, problem));
        }
    }
    Ok(())
}

/// The course of a pass.
pub(super) struct Pass {
    pub(super) read: ReadReport,
    pub(super) learned: Learned,
    pub(super) curve: Vec<Point>,
}

/// A learning curve that grows coarser as it grows longer: how many rows there will be is not known.
struct Curve {
    points: Vec<Losses>,
    rows: u64,
}

impl Curve {
    fn note(&mut self, losses: &Losses) {
        if losses.rows == 0 {
            return;
        }
        match self.points.last_mut().filter(|last| last.rows < self.rows) {
            Some(last) => last.add(losses),
            None => self.points.push(*losses),
        }
        if self.points.len() > 2 * POINTS {
            self.rows *= 2;
            let pairs = self.points.chunks(2).map(|pair| {
                let mut sum = Losses::default();
                pair.iter().for_each(|point| sum.add(point));
                sum
            });
            self.points = pairs.collect();
        }
    }

    /// The points, where `before` rows were gone through in other passes.
    fn points(&self, before: u64) -> Vec<Point> {
        let mut rows = before;
        let points = self.points.iter().map(|point| {
            rows += point.rows;
            Point { rows, log_loss: point.mean_log_loss() }
        });
        points.collect()
    }
}

/// Goes over the rows once and learns what `sample` says; `before` rows were gone through in other passes.
pub(super) fn pass(
    model: &mut dyn Learner,
    sample: &mut Sample,
    path: &Path,
    options: &ReadOptions,
    threads: u32,
    before: u64,
    progress: &Progress,
) -> Result<Pass, ExitError> {
    let mut learned = Learned::default();
    let mut curve = Curve { points: Vec::new(), rows: POINT_ROWS };
    let mut note = |of: &Learned| {
        learned.add(of);
        curve.note(&of.losses);
    };
    let read = each_batch(path, options, threads, progress, |batch| {
        note(&sample.learn(model, batch));
        Ok(())
    })?;
    note(&sample.end_pass(model));
    Ok(Pass { read, learned, curve: curve.points(before) })
}

/// Judges a model by the rows held out. They are read again after each pass: there may be more than memory holds.
pub(super) fn judge_held(
    model: &dyn Learner,
    hold_out: &HoldOut,
    path: &Path,
    options: &ReadOptions,
    threads: u32,
    progress: &Progress,
) -> Result<Losses, ExitError> {
    let (mut losses, mut held, mut out) = (Losses::default(), Batch::default(), Vec::new());
    each_batch(path, options, threads, progress, |batch| {
        hold_out.pick(batch, &mut held);
        model.predict(&held, &mut out);
        losses.add(&Losses::of(&out, held.labels()));
        Ok(())
    })?;
    Ok(losses)
}

/// What a model is worth on a file of rows.
pub(super) struct Worth {
    pub(super) read: ReadReport,
    pub(super) losses: Losses,
    pub(super) auc: Option<f64>,
    /// Of rows of orders, where the model learned them.
    pub(super) orders: Losses,
    pub(super) order_auc: Option<f64>,
}

/// Judges a model: `predict` gives the probability of a click of each impression, `orders` that of an order of each click, or
/// none. Predictions and labels are kept for the AUC, 8 bytes a row, and twice as many while they are sorted.
pub(super) fn judge(
    predict: impl Fn(&Batch, &mut Vec<f32>) -> Result<(), ExitError>,
    orders: impl Fn(&Rows, &mut Vec<f32>),
    path: &Path,
    options: &ReadOptions,
    threads: u32,
    progress: &Progress,
) -> Result<Worth, ExitError> {
    let (mut losses, mut out) = (Losses::default(), Vec::new());
    let (mut predicted, mut labels) = (Vec::new(), Vec::new());
    let (mut order_losses, mut foretold, mut ordered) = (Losses::default(), Vec::new(), Vec::new());
    let read = each_batch(path, options, threads, progress, |batch| {
        orders(batch.conversions(), &mut out);
        if !out.is_empty() {
            let labels = batch.conversions().labels();
            order_losses.add(&Losses::of(&out, labels));
            foretold.extend_from_slice(&out);
            ordered.extend_from_slice(labels);
        }
        predict(batch, &mut out)?;
        losses.add(&Losses::of(&out, batch.labels()));
        predicted.extend_from_slice(&out);
        labels.extend_from_slice(batch.labels());
        Ok(())
    })?;
    let order_auc = auc(&foretold, &ordered);
    Ok(Worth { read, losses, auc: auc(&predicted, &labels), orders: order_losses, order_auc })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_keeps_every_row_and_stays_short() {
        let mut curve = Curve { points: Vec::new(), rows: POINT_ROWS };
        for batch in 1..=3_000_u64 {
            curve.note(&Losses { rows: 4_096, log_loss: 4_096.0 / batch as f64, ..Losses::default() });
            assert!(curve.points.len() <= 2 * POINTS);
        }
        let points = curve.points(10);
        assert!(points.len() >= POINTS / 2);
        assert_eq!(points.last().unwrap().rows, 10 + 3_000 * 4_096);
        let mean: f64 = curve.points.iter().map(|point| point.log_loss).sum();
        let expected: f64 = (1..=3_000).map(|batch| 4_096.0 / f64::from(batch)).sum();
        assert!((mean - expected).abs() < 1e-6 * expected);
        assert!(points.is_sorted_by(|one, other| one.log_loss >= other.log_loss));
    }
}
