//! A hidden layer: a matrix, batch normalisation (Ioffe and Szegedy, ICML 2015), ReLU, dropout.
//!
//! While learning, a unit is centred and scaled by the minibatch at hand; for predictions by running means of those, which
//! are folded into matrix and shift, so that normalisation costs a prediction nothing.

use super::adam::{Dense, Step};
use super::file::{FileError, Reader};
use super::math::{mix, unit};
use super::matrix::{PANEL, multiply, transpose};

/// Added to variances.
const TINY: f32 = 1e-5;
/// What a minibatch counts in the running means.
const SHARE: f32 = 0.02;

#[derive(Clone, Debug)]
pub(crate) struct Layer {
    inputs: usize,
    units: usize,
    /// By input, a number for each unit.
    weights: Dense,
    shift: Dense,
    /// What normalised units are multiplied with; of none where there is no normalisation.
    scale: Dense,
    mean: Vec<f32>,
    variance: Vec<f32>,
}

/// What one minibatch leaves in a layer between forth and back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pass {
    /// By row: the units, normalised if they are.
    units: Vec<f32>,
    /// By row: what comes out.
    pub(crate) out: Vec<f32>,
    /// By row: the slope of the loss along what comes out, then along the units.
    pub(crate) slope: Vec<f32>,
    /// By unit: one by the deviation within the minibatch.
    inverse: Vec<f32>,
    turned: Vec<f32>,
    panel: Vec<[f32; PANEL]>,
}

/// Which outputs are dropped: a share of 256, chosen by a seed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dropout {
    pub(crate) share: u8,
    pub(crate) seed: u64,
}

impl Dropout {
    fn kept(self) -> f32 {
        256.0 / (256.0 - f32::from(self.share))
    }
}

impl Layer {
    /// `units` is a multiple of [`PANEL`].
    pub(crate) fn new(inputs: usize, units: usize, normalise: bool, seed: u64) -> Self {
        // He et al. 2015: what comes out varies as much as what goes in.
        let reach = (6.0 / inputs as f32).sqrt();
        let weights =
            (0..inputs * units).map(|at| reach * (2.0 * unit(mix(seed ^ mix(at as u64))) - 1.0)).collect();
        Self {
            inputs,
            units,
            weights: Dense::new(weights),
            shift: Dense::new(vec![0.0; units]),
            scale: Dense::new(if normalise { vec![1.0; units] } else { Vec::new() }),
            mean: vec![0.0; units],
            variance: vec![1.0; units],
        }
    }

    /// Rows through the layer as it learns; `first` of all minibatches, whose means the running ones start from.
    #[inline(always)]
    pub(crate) fn forth(&mut self, input: &[f32], pass: &mut Pass, dropout: Dropout, first: bool) {
        let rows = input.len() / self.inputs;
        pass.units.resize(rows * self.units, 0.0);
        multiply(input, self.inputs, &self.weights.numbers, self.units, &mut pass.units, &mut pass.panel);
        if !self.scale.numbers.is_empty() {
            self.normalise(pass, rows, first);
        }
        pass.out.resize(rows * self.units, 0.0);
        let plain = vec![1.0; self.units];
        let scale = if self.scale.numbers.is_empty() { &plain } else { &self.scale.numbers };
        for (out, units) in pass.out.chunks_exact_mut(self.units).zip(pass.units.chunks_exact(self.units)) {
            for (((out, unit), scale), shift) in out.iter_mut().zip(units).zip(scale).zip(&self.shift.numbers)
            {
                *out = (unit * scale + shift).max(0.0);
            }
        }
        if dropout.share > 0 {
            for (at, outs) in pass.out.chunks_mut(8).enumerate() {
                let bytes = mix(dropout.seed ^ mix(at as u64)).to_le_bytes();
                for (out, byte) in outs.iter_mut().zip(bytes) {
                    *out *= if byte < dropout.share { 0.0 } else { dropout.kept() };
                }
            }
        }
    }

    #[inline(always)]
    fn normalise(&mut self, pass: &mut Pass, rows: usize, first: bool) {
        let (mut mean, mut variance) = (vec![0.0; self.units], vec![0.0; self.units]);
        let share = 1.0 / rows.max(1) as f32;
        for row in pass.units.chunks_exact(self.units) {
            mean.iter_mut().zip(row).for_each(|(mean, unit)| *mean += share * unit);
        }
        for row in pass.units.chunks_exact_mut(self.units) {
            for ((unit, mean), variance) in row.iter_mut().zip(&mean).zip(&mut variance) {
                *unit -= mean;
                *variance += share * *unit * *unit;
            }
        }
        pass.inverse.clear();
        pass.inverse.extend(variance.iter().map(|variance| 1.0 / (variance + TINY).sqrt()));
        for row in pass.units.chunks_exact_mut(self.units) {
            row.iter_mut().zip(&pass.inverse).for_each(|(unit, inverse)| *unit *= inverse);
        }
        let share = if first { 1.0 } else { SHARE };
        for (running, now) in self.mean.iter_mut().zip(&mean).chain(self.variance.iter_mut().zip(&variance)) {
            *running += share * (now - *running);
        }
    }

    /// From the slope along what came out to those along the layer's parameters and, in `before`, along what went in.
    #[inline(always)]
    pub(crate) fn back(&mut self, input: &[f32], pass: &mut Pass, dropout: Dropout, before: &mut Vec<f32>) {
        let kept = dropout.kept();
        // What is 0 was cut by ReLU or dropped.
        for (slope, out) in pass.slope.iter_mut().zip(&pass.out) {
            *slope *= if *out > 0.0 { kept } else { 0.0 };
        }
        let shift = &mut self.shift.gradient;
        shift.fill(0.0);
        for slopes in pass.slope.chunks_exact(self.units) {
            shift.iter_mut().zip(slopes).for_each(|(sum, slope)| *sum += slope);
        }
        if !self.scale.numbers.is_empty() {
            self.back_normalise(pass);
        }
        transpose(input, self.inputs, &mut pass.turned);
        let rows = input.len() / self.inputs;
        multiply(&pass.turned, rows, &pass.slope, self.units, &mut self.weights.gradient, &mut pass.panel);
        transpose(&self.weights.numbers, self.units, &mut pass.turned);
        before.resize(input.len(), 0.0);
        multiply(&pass.slope, self.units, &pass.turned, self.inputs, before, &mut pass.panel);
    }

    #[inline(always)]
    fn back_normalise(&mut self, pass: &mut Pass) {
        let share = self.units as f32 / pass.slope.len().max(1) as f32;
        let scale = &mut self.scale.gradient;
        scale.fill(0.0);
        for (slopes, units) in pass.slope.chunks_exact(self.units).zip(pass.units.chunks_exact(self.units)) {
            for ((sum, slope), unit) in scale.iter_mut().zip(slopes).zip(units) {
                *sum += slope * unit;
            }
        }
        let rows = pass.slope.chunks_exact_mut(self.units).zip(pass.units.chunks_exact(self.units));
        for (slopes, units) in rows {
            for (at, (slope, unit)) in slopes.iter_mut().zip(units).enumerate() {
                let through_means = share * (self.shift.gradient[at] + unit * self.scale.gradient[at]);
                *slope = (*slope - through_means) * self.scale.numbers[at] * pass.inverse[at];
            }
        }
    }

    #[inline(always)]
    pub(crate) fn step(&mut self, step: Step) {
        self.weights.step(step);
        self.shift.step(step);
        self.scale.step(step);
    }

    /// Matrix and shift with what is known of means and deviations folded in.
    pub(crate) fn folded(&self) -> Folded {
        let mut folded = Folded {
            inputs: self.inputs,
            units: self.units,
            weights: self.weights.numbers.clone(),
            shift: self.shift.numbers.clone(),
        };
        for (at, scale) in self.scale.numbers.iter().enumerate() {
            let factor = scale / (self.variance[at] + TINY).sqrt();
            folded.weights.iter_mut().skip(at).step_by(self.units).for_each(|weight| *weight *= factor);
            folded.shift[at] -= factor * self.mean[at];
        }
        folded
    }

    pub(crate) fn parameters(&self) -> usize {
        self.weights.numbers.len() + self.shift.numbers.len() + self.scale.numbers.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.weights.bytes() + self.shift.bytes() + self.scale.bytes() + 8 * self.units
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        [&self.weights, &self.shift, &self.scale].iter().for_each(|dense| dense.write(out));
        for number in self.mean.iter().chain(&self.variance) {
            out.extend_from_slice(&number.to_le_bytes());
        }
    }

    /// Reads what a layer of the same shape wrote.
    pub(crate) fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), FileError> {
        self.weights.read(reader)?;
        self.shift.read(reader)?;
        self.scale.read(reader)?;
        for number in self.mean.iter_mut().chain(&mut self.variance) {
            *number = reader.f32()?;
            if number.is_nan() || number.abs() > 1e12 {
                return Err(FileError::Invalid("a running mean is out of range"));
            }
        }
        if self.variance.iter().any(|variance| *variance < 0.0) {
            return Err(FileError::Invalid("a variance is negative"));
        }
        Ok(())
    }
}

/// A layer for predictions: a matrix, a shift, ReLU.
#[derive(Clone, Debug)]
pub(crate) struct Folded {
    pub(crate) inputs: usize,
    pub(crate) units: usize,
    /// By input, a number for each unit.
    pub(crate) weights: Vec<f32>,
    pub(crate) shift: Vec<f32>,
}

impl Folded {
    /// Rows through the layer.
    #[inline(always)]
    pub(crate) fn forth(&self, input: &[f32], out: &mut Vec<f32>, panel: &mut Vec<[f32; PANEL]>) {
        out.resize(input.len() / self.inputs * self.units, 0.0);
        multiply(input, self.inputs, &self.weights, self.units, out, panel);
        for row in out.chunks_exact_mut(self.units) {
            row.iter_mut().zip(&self.shift).for_each(|(unit, shift)| *unit = (*unit + shift).max(0.0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INPUTS: usize = 16;
    const UNITS: usize = 16;
    const ROWS: usize = 7;
    const NONE: Dropout = Dropout { share: 0, seed: 0 };

    fn numbers(count: usize, seed: u64) -> Vec<f32> {
        (0..count).map(|at| 2.0 * unit(mix(seed ^ mix(at as u64))) - 1.0).collect()
    }

    /// A sum of what comes out, each with its own weight: a loss whose slope along the outputs is known.
    fn loss(layer: &Layer, input: &[f32], weights: &[f32], dropout: Dropout) -> f64 {
        let mut pass = Pass::default();
        layer.clone().forth(input, &mut pass, dropout, true);
        pass.out.iter().zip(weights).map(|(out, weight)| f64::from(*out) * f64::from(*weight)).sum()
    }

    #[test]
    fn slopes_are_those_of_finite_differences() {
        for (normalise, dropout) in [(false, NONE), (true, NONE), (true, Dropout { share: 77, seed: 5 })] {
            let mut layer = Layer::new(INPUTS, UNITS, normalise, 1);
            // Away from where ReLU bends for most units.
            layer.shift.numbers = numbers(UNITS, 2).iter().map(|shift| shift + 0.5).collect();
            let (input, weights) = (numbers(ROWS * INPUTS, 3), numbers(ROWS * UNITS, 4));
            let (mut pass, mut before) = (Pass::default(), Vec::new());
            layer.forth(&input, &mut pass, dropout, true);
            pass.slope.clone_from(&weights);
            layer.back(&input, &mut pass, dropout, &mut before);
            let step = 1e-3;
            let near = |slope: f32, up: f64, down: f64, what: &str| {
                let expected = (up - down) / (2.0 * f64::from(step));
                assert!(
                    (f64::from(slope) - expected).abs() < 0.03 + 0.05 * expected.abs(),
                    "{what}: {slope} {expected}"
                );
            };
            // A unit may bend within the step; seeds are chosen so that none of these does.
            for at in 0..input.len() {
                let (mut up, mut down) = (input.clone(), input.clone());
                up[at] += step;
                down[at] -= step;
                near(
                    before[at],
                    loss(&layer, &up, &weights, dropout),
                    loss(&layer, &down, &weights, dropout),
                    &format!("input {at}"),
                );
            }
            let groups: [fn(&mut Layer) -> &mut Dense; 3] =
                [|layer| &mut layer.weights, |layer| &mut layer.shift, |layer| &mut layer.scale];
            for (number, group) in groups.into_iter().enumerate() {
                for at in 0..group(&mut layer).numbers.len() {
                    let slope = group(&mut layer).gradient[at];
                    let (mut up, mut down) = (layer.clone(), layer.clone());
                    group(&mut up).numbers[at] += step;
                    group(&mut down).numbers[at] -= step;
                    near(
                        slope,
                        loss(&up, &input, &weights, dropout),
                        loss(&down, &input, &weights, dropout),
                        &format!("parameter {at} of group {number}"),
                    );
                }
            }
        }
    }

    #[test]
    fn folding_changes_nothing_but_the_order_of_sums() {
        let mut layer = Layer::new(INPUTS, UNITS, true, 1);
        layer.shift.numbers = numbers(UNITS, 2);
        layer.scale.numbers = numbers(UNITS, 3);
        let input = numbers(64 * INPUTS, 4);
        let mut pass = Pass::default();
        // The running means start from the first minibatch, so for the same rows they are that minibatch's own.
        layer.forth(&input, &mut pass, NONE, true);
        let (mut out, mut panel) = (Vec::new(), Vec::new());
        layer.folded().forth(&input, &mut out, &mut panel);
        assert!(out.iter().zip(&pass.out).all(|(a, b)| (a - b).abs() < 1e-4));
        assert!(out.iter().any(|out| *out > 0.1));
    }

    #[test]
    fn dropout_keeps_the_mean() {
        let mut layer = Layer::new(INPUTS, UNITS, false, 1);
        let input = numbers(4096 * INPUTS, 4);
        let mean = |pass: &Pass| pass.out.iter().sum::<f32>() / pass.out.len() as f32;
        let (mut whole, mut part) = (Pass::default(), Pass::default());
        layer.forth(&input, &mut whole, NONE, true);
        layer.forth(&input, &mut part, Dropout { share: 64, seed: 9 }, true);
        let zeros =
            |pass: &Pass| pass.out.iter().filter(|out| **out <= 0.0).count() as f32 / pass.out.len() as f32;
        let dropped = 1.0 - (1.0 - zeros(&part)) / (1.0 - zeros(&whole));
        assert!((dropped - 0.25).abs() < 0.01, "{dropped}");
        assert!((mean(&part) / mean(&whole) - 1.0).abs() < 0.02);
    }
}
