//! Smaller models: hidden units, vectors and ranks that do little are left out, and tables folded.
//!
//! What does little is seen on a sample of rows, of which labels are not used.

use std::borrow::Cow;

use super::plain::{Plain, PlainLayer};
use crate::offline::math::value;
use crate::offline::matrix::PANEL;
use crate::rows::{Batch, Slot};

/// Means and covariances of what goes through a layer, over the rows of a sample.
struct Moments {
    rows: f64,
    sums: Vec<f64>,
    products: Vec<f64>,
}

impl Moments {
    fn new(units: usize) -> Self {
        Self { rows: 0.0, sums: vec![0.0; units], products: vec![0.0; units * units] }
    }

    fn note(&mut self, units: &[f32]) {
        self.rows += 1.0;
        for ((unit, sum), products) in
            units.iter().zip(&mut self.sums).zip(self.products.chunks_exact_mut(units.len()))
        {
            *sum += f64::from(*unit);
            let products = products.iter_mut().zip(units);
            products.for_each(|(product, other)| *product += f64::from(unit * other));
        }
    }

    fn means(&self) -> Vec<f64> {
        self.sums.iter().map(|sum| sum / self.rows.max(1.0)).collect()
    }

    fn covariances(&self) -> Vec<f64> {
        let means = self.means();
        let pairs = means.iter().flat_map(|a| means.iter().map(move |b| a * b));
        self.products.iter().zip(pairs).map(|(product, pair)| product / self.rows.max(1.0) - pair).collect()
    }
}

impl Plain {
    /// Takes out the vectors that were learned from least: those whose sums of squared gradients are up to `least`. From 0
    /// on these are the ones that were never learned, and say nothing but where they started.
    pub fn drop_vectors(&mut self, least: f32) {
        for (vector, evidence) in self.vectors.chunks_exact_mut(self.size).zip(&mut self.evidence) {
            if *evidence <= least {
                vector.fill(0.0);
                *evidence = 0.0;
            }
        }
    }

    /// Takes out weights up to this on both sides of 0.
    pub fn drop_weights(&mut self, least: f32) {
        let orders = self.orders.iter_mut().flat_map(|head| &mut head.weights);
        self.weights
            .iter_mut()
            .chain(orders)
            .filter(|weight| weight.abs() <= least)
            .for_each(|weight| *weight = 0.0);
    }

    /// Folds both tables to no more than 2 to these powers rows: values that come to share a row share its weight, and the
    /// mean of their vectors, each counting as much as it was learned.
    pub fn fold(&mut self, weight_bits: u8, vector_bits: u8) {
        fold_weights(&mut self.weights, weight_bits);
        if let Some(head) = &mut self.orders {
            fold_weights(&mut head.weights, weight_bits);
        }
        let vectors = self.evidence.len().min(1 << vector_bits);
        let (mut sums, mut evidence) = (vec![0.0; vectors * self.size], vec![0.0; vectors]);
        // What was never learned counts, but hardly.
        let counts = |evidence: f32| evidence.max(0.0) + 1e-6;
        for (at, (vector, mine)) in self.vectors.chunks_exact(self.size).zip(&self.evidence).enumerate() {
            let place = at % vectors.max(1);
            let Some(sums) = sums.get_mut(place * self.size..(place + 1) * self.size) else { continue };
            sums.iter_mut().zip(vector).for_each(|(sum, number)| *sum += counts(*mine) * number);
            if let Some(evidence) = evidence.get_mut(place) {
                *evidence += counts(*mine);
            }
        }
        for (vector, evidence) in sums.chunks_exact_mut(self.size).zip(&evidence) {
            vector.iter_mut().for_each(|number| *number /= evidence.max(1e-6));
        }
        (self.vectors, self.evidence) = (sums, evidence);
    }

    /// Leaves of each hidden layer so many parts of a hundred of its units, but at least 16: those that move the next layer
    /// most on these rows. For the others their means stand in.
    pub fn drop_units(&mut self, percent: usize, sample: &Batch) {
        for depth in 0..self.layers.len() {
            let units = self.layers.get(depth).map_or(0, |layer| layer.units);
            let keep = (units * percent / 100).next_multiple_of(PANEL).clamp(PANEL, units);
            let (kept, shift) = self.choose(depth, keep, sample);
            self.keep_units(depth, &kept, &shift);
        }
    }

    /// What a layer's units count in the next one, or in the scores, unit by unit; and how many numbers each has there.
    fn onward(&self, depth: usize) -> (Cow<'_, [f32]>, usize) {
        match (self.layers.get(depth + 1), &self.orders) {
            (Some(next), _) => (Cow::Borrowed(&next.weights), next.units),
            (None, None) => (Cow::Borrowed(&self.output), 1),
            (None, Some(head)) => {
                let both = self.output.iter().zip(&head.output).flat_map(|(click, order)| [*click, *order]);
                (both.collect(), 2)
            }
        }
    }

    /// The so many units of a layer that move the next layer, or the scores, most, and what the others' means add there.
    fn choose(&self, depth: usize, keep: usize, sample: &Batch) -> (Vec<usize>, Vec<f32>) {
        let moments = self.moments(depth, sample, true);
        let (means, covariances) = (moments.means(), moments.covariances());
        let units = means.len();
        let (onward, next_units) = self.onward(depth);
        let row = |at: usize| onward.get(at * next_units..(at + 1) * next_units).unwrap_or_default();
        let effect = |at: usize| {
            let variance = covariances.get(at * (units + 1)).copied().unwrap_or_default();
            variance * row(at).iter().map(|weight| f64::from(weight * weight)).sum::<f64>()
        };
        let mut order: Vec<usize> = (0..units).collect();
        order.sort_by(|a, b| effect(*b).total_cmp(&effect(*a)).then(a.cmp(b)));
        let dropped = order.split_off(keep.min(units));
        let mut shift = vec![0.0; next_units];
        for at in dropped {
            let mean = means.get(at).copied().unwrap_or_default() as f32;
            shift.iter_mut().zip(row(at)).for_each(|(shift, weight)| *shift += mean * weight);
        }
        order.sort_unstable();
        (order, shift)
    }

    /// Keeps these units of a layer; `shift` is what the others added to the next layer, or to the scores.
    fn keep_units(&mut self, depth: usize, kept: &[usize], shift: &[f32]) {
        let Some(layer) = self.layers.get_mut(depth) else { return };
        let columns = |row: &[f32]| kept.iter().filter_map(|at| row.get(*at).copied()).collect::<Vec<f32>>();
        layer.weights = layer.weights.chunks_exact(layer.units).flat_map(columns).collect();
        layer.shift = columns(&layer.shift);
        layer.units = kept.len();
        let Some(next) = self.layers.get_mut(depth + 1) else {
            self.output = columns(&self.output);
            self.bias += shift.first().copied().unwrap_or_default();
            if let Some(head) = &mut self.orders {
                head.output = columns(&head.output);
                head.bias += shift.get(1).copied().unwrap_or_default();
            }
            return;
        };
        let rows = kept.iter().filter_map(|at| next.weights.get(at * next.units..(at + 1) * next.units));
        next.weights = rows.flatten().copied().collect();
        next.inputs = kept.len();
        next.shift.iter_mut().zip(shift).for_each(|(old, more)| *old += more);
    }

    /// Puts layers of `rank` units, a multiple of 16, before those that come to fewer numbers by that: on these rows
    /// they keep as much of what the layer says as so few numbers can (principal components).
    pub fn lower_rank(&mut self, rank: usize, sample: &Batch) {
        let rank = rank.next_multiple_of(PANEL).max(PANEL);
        let mut depth = 0;
        while let Some(layer) = self.layers.get(depth) {
            let (inputs, units) = (layer.inputs, layer.units);
            if rank * (inputs + units) >= inputs * units {
                depth += 1;
                continue;
            }
            let moments = self.moments(depth, sample, false);
            let directions = principal(&moments.covariances(), units, rank);
            let means = moments.means();
            let Some(layer) = self.layers.get_mut(depth) else { return };
            // Onto the directions, and back from them; what lies across stays at its mean.
            let down = layer.weights.chunks_exact(units).flat_map(|row| {
                directions.chunks_exact(units).map(move |direction| {
                    row.iter().zip(direction).map(|(weight, part)| f64::from(*weight) * part).sum::<f64>()
                        as f32
                })
            });
            let down: Vec<f32> = down.collect();
            let mut shift = means.clone();
            for direction in directions.chunks_exact(units) {
                let offsets = layer.shift.iter().zip(&means).zip(direction);
                let along: f64 = offsets.map(|((shift, mean), part)| (f64::from(*shift) - mean) * part).sum();
                shift.iter_mut().zip(direction).for_each(|(shift, part)| *shift += along * part);
            }
            layer.inputs = rank;
            layer.weights = directions.iter().map(|part| *part as f32).collect();
            layer.shift = shift.iter().map(|shift| *shift as f32).collect();
            let before =
                PlainLayer { inputs, units: rank, weights: down, shift: vec![0.0; rank], rectified: false };
            self.layers.insert(depth, before);
            depth += 2;
        }
    }

    /// Of what comes out of a layer, or of its sums before they are rectified.
    fn moments(&self, depth: usize, sample: &Batch, rectified: bool) -> Moments {
        let mut moments = Moments::new(self.layers.get(depth).map_or(0, |layer| layer.units));
        let (mut units, mut next) = (Vec::new(), Vec::new());
        for (_, slots) in sample.rows() {
            self.inputs(slots, &mut units);
            for (at, layer) in self.layers.iter().enumerate().take(depth + 1) {
                layer.forth(&units, &mut next, layer.rectified && (at < depth || rectified));
                std::mem::swap(&mut units, &mut next);
            }
            moments.note(&units);
        }
        moments
    }

    fn inputs(&self, slots: &[Slot], row: &mut Vec<f32>) {
        row.clear();
        row.resize(self.sides.len() * self.size, 0.0);
        let rows = self.evidence.len().max(1);
        for slot in slots {
            let (to, from) = (usize::from(slot.field) * self.size, slot.index as usize % rows * self.size);
            let vector = self.vectors.get(from..from + self.size).unwrap_or_default();
            let sums = row.get_mut(to..to + self.size).unwrap_or_default();
            sums.iter_mut().zip(vector).for_each(|(sum, number)| *sum += value(slot.value) * number);
        }
    }
}

/// Folds a table of weights to no more than 2 to the power `bits`; those that meet become their mean, but for zeros.
fn fold_weights(table: &mut Vec<f32>, bits: u8) {
    let weights = table.len().min(1 << bits);
    let (kept, rest) = table.split_at_mut_checked(weights).unwrap_or_default();
    let mut counts: Vec<f32> = kept.iter().map(|weight| f32::from(weight.abs() > 0.0)).collect();
    for rest in rest.chunks(weights.max(1)) {
        for ((weight, count), other) in kept.iter_mut().zip(&mut counts).zip(rest) {
            *weight += other;
            *count += f32::from(other.abs() > 0.0);
        }
    }
    kept.iter_mut().zip(counts).for_each(|(weight, count)| *weight /= count.max(1.0));
    table.truncate(weights);
}

impl PlainLayer {
    fn forth(&self, input: &[f32], out: &mut Vec<f32>, rectified: bool) {
        out.clear();
        out.extend_from_slice(&self.shift);
        for (input, row) in input.iter().zip(self.weights.chunks_exact(self.units)) {
            out.iter_mut().zip(row).for_each(|(sum, weight)| *sum += input * weight);
        }
        if rectified {
            out.iter_mut().for_each(|unit| *unit = unit.max(0.0));
        }
    }
}

/// The `count` directions along which a symmetric matrix reaches furthest, each of length 1, the furthest first (Jacobi's
/// method: Golub and Van Loan, *Matrix computations*, section 8.5).
fn principal(matrix: &[f64], size: usize, count: usize) -> Vec<f64> {
    let mut a = matrix.to_vec();
    let mut v: Vec<f64> = (0..size * size).map(|at| f64::from(u8::from(at % (size + 1) == 0))).collect();
    let scale: f64 = a.iter().map(|number| number * number).sum();
    // It halves the digits that are left in each turn; so many are never needed.
    for _ in 0..30 {
        let off: f64 = (0..size * size).filter(|at| at % (size + 1) != 0).map(|at| a[at] * a[at]).sum();
        // Also where something is no number.
        if off.is_nan() || off <= 1e-20 * scale {
            break;
        }
        for p in 0..size {
            for q in p + 1..size {
                rotate(&mut a, &mut v, size, p, q);
            }
        }
    }
    let mut order: Vec<usize> = (0..size).collect();
    order.sort_by(|p, q| a[q * (size + 1)].total_cmp(&a[p * (size + 1)]));
    order.truncate(count);
    order.iter().flat_map(|at| (0..size).map(|row| v[row * size + at]).collect::<Vec<f64>>()).collect()
}

/// Turns rows and columns `p` and `q` so that what they share becomes 0.
fn rotate(a: &mut [f64], v: &mut [f64], size: usize, p: usize, q: usize) {
    let shared = a[p * size + q];
    if shared.abs() < f64::MIN_POSITIVE {
        return;
    }
    let theta = (a[q * size + q] - a[p * size + p]) / (2.0 * shared);
    let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
    let cos = 1.0 / (t * t + 1.0).sqrt();
    let sin = t * cos;
    for k in 0..size {
        let (x, y) = (a[k * size + p], a[k * size + q]);
        (a[k * size + p], a[k * size + q]) = (cos * x - sin * y, sin * x + cos * y);
    }
    for k in 0..size {
        let (x, y) = (a[p * size + k], a[q * size + k]);
        (a[p * size + k], a[q * size + k]) = (cos * x - sin * y, sin * x + cos * y);
    }
    for k in 0..size {
        let (x, y) = (v[k * size + p], v[k * size + q]);
        (v[k * size + p], v[k * size + q]) = (cos * x - sin * y, sin * x + cos * y);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frozen::{Frozen, Precision, Side};
    use crate::offline::learner::tests::{small_shop, small_world};
    use crate::offline::math::{mix, unit};
    use crate::offline::{Deep, DeepSettings, Learner};

    fn plain(normalise: bool) -> Plain {
        plain_of(normalise, small_world)
    }

    fn plain_of(normalise: bool, world: fn(std::ops::Range<u32>) -> Batch) -> Plain {
        let mut settings = DeepSettings { fields: 3, bits: 8, normalise, ..DeepSettings::default() };
        settings.linear.bits = 9;
        settings.hidden = vec![96, 48];
        let mut model = Deep::new(settings).unwrap();
        for _ in 0..3 {
            model.learn(&world(0..3000));
        }
        Plain::new(&model, &[Side::Request, Side::Ad, Side::Ad])
    }

    /// How far probabilities of new rows go from what the model says: in the mean, and the furthest.
    fn distances(plain: &Plain, other: &Plain) -> (f32, f32) {
        let batch = small_world(5000..6000);
        let [before, after] = [plain, other].map(|plain| {
            let mut out = Vec::new();
            Frozen::of(plain, Precision::Whole).predict(&batch, &mut out);
            out
        });
        let distances = before.iter().zip(after).map(|(a, b)| (a - b).abs());
        (distances.clone().sum::<f32>() / before.len() as f32, distances.fold(0.0, f32::max))
    }

    fn distance(plain: &Plain, other: &Plain) -> f32 {
        distances(plain, other).1
    }

    #[test]
    fn directions_are_those_along_which_a_matrix_reaches_furthest() {
        const SIZE: usize = 12;
        let part = |seed: u64| f64::from(unit(mix(seed))) - 0.5;
        // A product of a matrix with itself, so nothing reaches below 0.
        let product = |at: usize| {
            let (p, q) = (at / SIZE, at % SIZE);
            (0..SIZE).map(|k| part((k * SIZE + p) as u64) * part((k * SIZE + q) as u64)).sum::<f64>()
        };
        let matrix: Vec<f64> = (0..SIZE * SIZE).map(product).collect();
        let directions = principal(&matrix, SIZE, SIZE);
        let mut reaches = Vec::new();
        for x in directions.chunks(SIZE) {
            let image: Vec<f64> =
                matrix.chunks(SIZE).map(|row| row.iter().zip(x).map(|(a, b)| a * b).sum()).collect();
            let reach: f64 = image.iter().zip(x).map(|(a, b)| a * b).sum();
            assert!(image.iter().zip(x).all(|(image, x)| (image - reach * x).abs() < 1e-9));
            reaches.push(reach);
        }
        assert!(reaches.is_sorted_by(|a, b| a >= b) && reaches[0] > 2.0 * reaches[SIZE - 1]);
        let trace: f64 = (0..SIZE).map(|at| matrix[at * (SIZE + 1)]).sum();
        assert!((reaches.iter().sum::<f64>() - trace).abs() < 1e-9);
    }

    #[test]
    fn what_was_never_learned_takes_no_room() {
        let plain = plain(false);
        let mut other = plain.clone();
        other.drop_vectors(0.0);
        assert!(distance(&plain, &other) < 1e-6);
        let [before, after] = [&plain, &other].map(|plain| Frozen::of(plain, Precision::Whole).bytes());
        assert!(after + 4000 < before, "{after} {before}");
    }

    #[test]
    fn units_that_do_little_go_and_little_changes() {
        for normalise in [false, true] {
            let (plain, sample) = (plain(normalise), small_world(0..2000));
            let mut fewer = plain.clone();
            fewer.drop_units(75, &sample);
            assert_eq!(fewer.layers.iter().map(|layer| layer.units).collect::<Vec<_>>(), [80, 48]);
            let mut worse = plain.clone();
            worse.drop_units(1, &sample);
            assert_eq!(worse.layers.iter().map(|layer| layer.units).collect::<Vec<_>>(), [16, 16]);
            let (near, far) = (distance(&plain, &fewer), distance(&plain, &worse));
            assert!(near < 0.02 && near < far, "{near} {far}");
            // The others of the first layer are a worse choice.
            let (kept, shift) = plain.choose(0, 48, &sample);
            let others: Vec<usize> = (0..96).filter(|at| !kept.contains(at)).collect();
            let means = [(kept, shift), (others, vec![0.0; 48])].map(|(kept, shift)| {
                let mut other = plain.clone();
                other.keep_units(0, &kept, &shift);
                distances(&plain, &other).0
            });
            assert!(means[0] < means[1], "{means:?}");
        }
    }

    #[test]
    fn a_lower_rank_says_nearly_the_same_in_fewer_numbers() {
        let (plain, sample) = (plain(true), small_world(0..2000));
        let mut lower = plain.clone();
        lower.lower_rank(16, &sample);
        assert_eq!(lower.layers.iter().map(|layer| layer.units).collect::<Vec<_>>(), [16, 96, 16, 48]);
        assert_eq!(
            lower.layers.iter().map(|layer| layer.rectified).collect::<Vec<_>>(),
            [false, true, false, true]
        );
        let near = distance(&plain, &lower);
        assert!(near < 0.05, "{near}");
        let numbers = |plain: &Plain| plain.layers.iter().map(|layer| layer.weights.len()).sum::<usize>();
        assert!(numbers(&lower) * 3 < numbers(&plain) * 2);
        // And through a file.
        let model = Frozen::of(&lower, Precision::Whole);
        let mut bytes = Vec::new();
        model.save(1, &mut bytes);
        let (mut before, mut after) = (Vec::new(), Vec::new());
        model.predict(&sample, &mut before);
        Frozen::load(&bytes, 1).unwrap().predict(&sample, &mut after);
        assert_eq!(before, after);
    }

    #[test]
    fn what_is_said_of_orders_changes_as_little() {
        let (plain, sample) = (plain_of(true, small_shop), small_shop(0..2000));
        let clicks = small_shop(5000..8000);
        let say = |plain: &Plain, precision| {
            let mut out = Vec::new();
            Frozen::of(plain, precision).predict_conversions(clicks.conversions(), &mut out);
            out
        };
        let before = say(&plain, Precision::Whole);
        let spread = before.iter().fold((1.0f32, 0.0f32), |(low, high), p| (low.min(*p), high.max(*p)));
        assert!(spread.1 - spread.0 > 0.1, "orders were learned: {spread:?}");
        let far = |plain: &Plain, precision| {
            let after = say(plain, precision);
            assert_eq!(before.len(), after.len());
            let distances = before.iter().zip(&after).map(|(a, b)| (a - b).abs());
            distances.fold(0.0, f32::max)
        };
        for (precision, most) in [(Precision::Half, 2e-3), (Precision::Byte, 3e-2)] {
            assert!(far(&plain, precision) < most, "{precision:?}: {}", far(&plain, precision));
        }
        type Change<'a> = &'a dyn Fn(&mut Plain);
        let changes: [(&str, f32, Change<'_>); 5] = [
            ("vectors", 1e-6, &|plain| plain.drop_vectors(0.0)),
            ("weights", 0.02, &|plain| plain.drop_weights(0.01)),
            ("units", 0.05, &|plain| plain.drop_units(75, &sample)),
            ("rank", 0.02, &|plain| plain.lower_rank(16, &sample)),
            ("fold", 1e-5, &|plain| plain.fold(30, 28)),
        ];
        for (name, most, change) in changes {
            let mut other = plain.clone();
            change(&mut other);
            let far = far(&other, Precision::Whole);
            assert!(far < most, "{name}: {far}");
        }
        let mut folded = plain.clone();
        folded.fold(8, 6);
        assert_eq!(folded.orders.map(|head| head.weights.len()), Some(256));
    }

    #[test]
    fn folded_tables_are_smaller_and_values_that_meet_share() {
        let plain = plain(false);
        let mut folded = plain.clone();
        folded.fold(30, 28);
        assert!(distance(&plain, &folded) < 1e-5, "to as many bits as there are nothing changes");
        folded.fold(8, 6);
        assert_eq!((folded.weights.len(), folded.vectors.len(), folded.evidence.len()), (256, 64 * 8, 64));
        // Fields' indices lie far apart in this world, so that at 2^8 none of them meet.
        let used = |index: usize| (plain.weights[index], plain.weights[index + 256]);
        let (one, other) = used(3);
        let expected = if other.abs() > 0.0 && one.abs() > 0.0 { (one + other) / 2.0 } else { one + other };
        assert!((folded.weights[3] - expected).abs() < 1e-6);
        let model = Frozen::of(&folded, Precision::Byte);
        let mut out = Vec::new();
        model.predict(&small_world(0..10), &mut out);
        assert!(out.iter().all(|p| *p > 0.0 && *p < 1.0));
    }
}
