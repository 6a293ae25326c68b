//! One probability of several models', with weights that are learned while they serve.
//!
//! Three rules ([`Rule`]), of which Bayesian averaging is the one to take unless there is a reason: its summed log loss is above
//! that of the best single model by no more than the logarithm of that one's first share and what switching costs (Hoeting et al.
//! 1999; fixed share, Herbster and Warmuth 1998), and a weighted sum of the logits, which may be better than each, is one
//! of the opinions it averages.

use crate::envelope::Reader;
use crate::error::ModelError;
use crate::frozen::probability;

/// Models that are fused at once, at most.
pub const MOST_FUSED: usize = 8;

/// The part of all shares that goes back to where they began at each example, so that a model that was bad can be heard again.
const RETURN: f64 = 1e-5;
/// The home model's share before anything is seen; the others have the rest between them.
const FIRST_SHARE: f64 = 0.5;
/// The weighted sum's rate and what its squared gradients begin with (AdaGrad: Duchi, Hazan, Singer 2011).
const RATE: f32 = 0.05;
const CAUTION: f32 = 1.0;
/// Weights end here on both sides, and logits here.
const MOST_WEIGHT: f32 = 4.0;
const MOST_LOGIT: f32 = 15.0;

/// How one probability is made of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rule {
    /// A weighted sum of the logits, learned by gradient; begins with the first model alone.
    Weighted,
    /// The middle one of the logits, of an even number the mean of the two in the middle. Learns nothing.
    Vote,
    /// The average of all models' probabilities and the weighted sum's, each by how well it predicted so far.
    #[default]
    Bayes,
}

/// Fuses the logits of up to [`MOST_FUSED`] models, of which the first is the home model.
#[derive(Clone, Debug, PartialEq)]
pub struct Fusion {
    rule: Rule,
    models: usize,
    /// Of the weighted sum: one weight a model, the offset last.
    weights: [f32; MOST_FUSED + 1],
    squares: [f32; MOST_FUSED + 1],
    /// Of the average: one share a model, the weighted sum's last of those in use. They sum to one.
    shares: [f64; MOST_FUSED + 1],
}

/// A logit that can be reckoned with.
fn bounded(logit: f32) -> f32 {
    // What is no number promises nothing.
    if logit.is_nan() { -MOST_LOGIT } else { logit.clamp(-MOST_LOGIT, MOST_LOGIT) }
}

fn first_shares(models: usize) -> [f64; MOST_FUSED + 1] {
    let others = (1.0 - FIRST_SHARE) / models as f64;
    std::array::from_fn(|at| match at {
        0 => FIRST_SHARE,
        _ if at <= models => others,
        _ => 0.0,
    })
}

impl Fusion {
    /// Of so many models, from 1 to [`MOST_FUSED`], by Bayesian averaging.
    pub fn new(models: usize) -> Self {
        Self::by(Rule::default(), models)
    }

    /// By a rule.
    pub fn by(rule: Rule, models: usize) -> Self {
        let models = models.clamp(1, MOST_FUSED);
        let mut weights = [0.0; MOST_FUSED + 1];
        weights[0] = 1.0;
        Self { rule, models, weights, squares: [CAUTION; MOST_FUSED + 1], shares: first_shares(models) }
    }

    /// One logit of the models', within ±15. Logits beyond the number of models are left out, missing ones are 0.
    #[inline]
    pub fn predict(&self, logits: &[f32]) -> f32 {
        match self.rule {
            Rule::Weighted => self.line(logits),
            Rule::Vote => vote(&logits[..logits.len().min(self.models)]),
            Rule::Bayes => {
                let mixed: f64 = self.opinions(logits).zip(self.shares).map(|(p, share)| p * share).sum();
                let mixed = probability_kept(mixed);
                (mixed / (1.0 - mixed)).ln() as f32
            }
        }
    }

    /// Learns what became of an example with these logits.
    pub fn learn(&mut self, logits: &[f32], label: bool) {
        if self.rule == Rule::Vote {
            return;
        }
        if self.rule == Rule::Bayes {
            let opinions: Vec8 = self.opinions(logits).collect();
            for (share, opinion) in self.shares.iter_mut().zip(&opinions) {
                *share *= if label { *opinion } else { 1.0 - opinion };
            }
            let sum: f64 = self.shares.iter().sum();
            for (share, first) in self.shares.iter_mut().zip(first_shares(self.models)) {
                *share = *share / sum * (1.0 - RETURN) + first * RETURN;
            }
        }
        let slope = probability(self.line(logits)) - if label { 1.0 } else { 0.0 };
        let inputs = logits.iter().take(self.models).map(|logit| bounded(*logit)).chain([1.0]);
        // The offset stands behind the models' weights.
        let models = self.models.min(logits.len());
        let places = (0..models).chain([MOST_FUSED]);
        for (at, input) in places.zip(inputs) {
            let gradient = slope * input;
            self.squares[at] += gradient * gradient;
            let moved = self.weights[at] - RATE * gradient / self.squares[at].sqrt();
            self.weights[at] = moved.clamp(-MOST_WEIGHT, MOST_WEIGHT);
        }
    }

    /// The part that one model has in what is predicted, from 0 to 1.
    pub fn weight(&self, model: usize) -> f32 {
        if model >= self.models {
            return 0.0;
        }
        let sum: f32 = self.weights[..self.models].iter().map(|weight| weight.abs()).sum();
        let in_line = self.weights[model].abs() / sum.max(f32::MIN_POSITIVE);
        match self.rule {
            Rule::Weighted => in_line,
            Rule::Vote => 1.0 / self.models as f32,
            Rule::Bayes => self.shares[model] as f32 + self.shares[self.models] as f32 * in_line,
        }
    }

    /// The weighted sum.
    fn line(&self, logits: &[f32]) -> f32 {
        let terms = logits.iter().take(self.models).zip(&self.weights);
        bounded(terms.map(|(logit, weight)| bounded(*logit) * weight).sum::<f32>() + self.weights[MOST_FUSED])
    }

    /// The probabilities that are averaged, in the order of their shares.
    fn opinions<'a>(&'a self, logits: &'a [f32]) -> impl Iterator<Item = f64> + 'a {
        let missing = self.models.saturating_sub(logits.len());
        let own = logits.iter().take(self.models).copied().chain(std::iter::repeat_n(0.0, missing));
        own.chain([self.line(logits)]).map(|logit| f64::from(probability(bounded(logit))))
    }

    /// Appends all that is needed to go on.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let rule = match self.rule {
            Rule::Weighted => 0,
            Rule::Vote => 1,
            Rule::Bayes => 2,
        };
        out.extend_from_slice(&[rule, self.models as u8]);
        self.weights
            .iter()
            .chain(&self.squares)
            .for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
        self.shares.iter().for_each(|share| out.extend_from_slice(&share.to_le_bytes()));
    }

    /// Reads what [`Fusion::write`] wrote; refuses what could not have been learned.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, ModelError> {
        const CUT: ModelError = ModelError::Invalid("the saved weights of models end early");
        const IMPOSSIBLE: ModelError = ModelError::Invalid("the saved weights of models are impossible");
        let [rule, models] = reader.array::<2>().ok_or(CUT)?;
        let rule = match rule {
            0 => Rule::Weighted,
            1 => Rule::Vote,
            2 => Rule::Bayes,
            _ => return Err(IMPOSSIBLE),
        };
        if !(1..=MOST_FUSED).contains(&usize::from(models)) {
            return Err(IMPOSSIBLE);
        }
        let mut fusion = Self::by(rule, usize::from(models));
        for number in fusion.weights.iter_mut().chain(&mut fusion.squares) {
            *number = reader.f32().ok_or(CUT)?;
        }
        for share in &mut fusion.shares {
            *share = reader.f64().ok_or(CUT)?;
        }
        let weights = fusion.weights.iter().all(|weight| weight.abs() <= MOST_WEIGHT);
        let squares = fusion.squares.iter().all(|sum| sum.is_finite() && *sum >= CAUTION);
        let shares = fusion.shares.iter().all(|share| (0.0..=1.0).contains(share));
        let sum: f64 = fusion.shares.iter().sum();
        if weights && squares && shares && (sum - 1.0).abs() < 1e-6 { Ok(fusion) } else { Err(IMPOSSIBLE) }
    }
}

type Vec8 = smallvec::SmallVec<[f64; MOST_FUSED + 1]>;

/// Off 0 and 1 as all that is served.
fn probability_kept(mixed: f64) -> f64 {
    mixed.clamp(1e-6, 1.0 - 1e-6)
}

fn vote(logits: &[f32]) -> f32 {
    let mut sorted: smallvec::SmallVec<[f32; MOST_FUSED]> =
        logits.iter().map(|logit| bounded(*logit)).collect();
    sorted.sort_unstable_by(f32::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.get(middle), sorted.len() % 2) {
        (None, _) => 0.0,
        (Some(upper), 1) => *upper,
        (Some(upper), _) => 0.5 * (upper + sorted.get(middle.wrapping_sub(1)).unwrap_or(upper)),
    }
}

#[cfg(test)]
mod tests {
    use haggle_domain::Draw;
    use haggle_domain::draw::Stream;
    use proptest::prelude::*;

    use super::*;

    const EXAMPLES: u64 = 40_000;

    /// Mean log losses of each model and of the fusion, on a stream that `truth` and `models` are made of by two hidden causes.
    fn run(rule: Rule, seed: u64, models: impl Fn(u64, [f32; 2]) -> Vec<f32>) -> (Vec<f64>, f64, Fusion) {
        let count = models(0, [0.0; 2]).len();
        let (mut fusion, mut losses, mut fused) = (Fusion::by(rule, count), vec![0.0; count], 0.0);
        let loss = |logit: f32, label: bool| {
            let p = f64::from(probability(logit));
            -(if label { p } else { 1.0 - p }).ln()
        };
        for number in 0..EXAMPLES {
            let draw = Draw::new(seed, &number.to_string(), "1");
            let uniform = |salt| draw.uniform(Stream::Tie, salt);
            let causes = [uniform(1) as f32 * 4.0 - 2.0, uniform(2) as f32 * 4.0 - 2.0];
            let label = uniform(3) < f64::from(probability(causes[0] + causes[1] - 2.0));
            let logits = models(number, causes);
            for (sum, logit) in losses.iter_mut().zip(&logits) {
                *sum += loss(*logit, label);
            }
            fused += loss(fusion.predict(&logits), label);
            fusion.learn(&logits, label);
        }
        (losses.iter().map(|sum| sum / EXAMPLES as f64).collect(), fused / EXAMPLES as f64, fusion)
    }

    #[test]
    fn models_that_know_different_things_are_better_together_than_each_and_than_their_average() {
        let halves = |_: u64, causes: [f32; 2]| vec![causes[0] - 1.7, causes[1] - 1.7];
        let (alone, weighted, _) = run(Rule::Weighted, 1, halves);
        let (_, bayes, fusion) = run(Rule::Bayes, 1, halves);
        let (_, vote, _) = run(Rule::Vote, 1, halves);
        println!("alone {alone:?}, weighted {weighted}, vote (their mean) {vote}, bayes {bayes}");
        let best = alone[0].min(alone[1]);
        assert!(weighted < best - 0.01 && bayes < best - 0.01);
        assert!(bayes < vote - 0.005, "the naive average");
        assert!(bayes < weighted + 0.001);
        assert!(fusion.weight(0) > 0.3 && fusion.weight(1) > 0.3);
    }

    #[test]
    fn a_worthless_model_costs_next_to_nothing() {
        let noise = |number: u64, causes: [f32; 2]| {
            vec![causes[0] + causes[1] - 2.0, if number.is_multiple_of(2) { 5.0 } else { -8.0 }]
        };
        let (alone, bayes, fusion) = run(Rule::Bayes, 2, noise);
        // The logarithm of the first share, and the part of it that is given back.
        let bound = (std::f64::consts::LN_2 + 2.0 * RETURN * EXAMPLES as f64) / EXAMPLES as f64;
        assert!(bayes <= alone[0] + bound, "{bayes}, {alone:?}");
        assert!(fusion.weight(1) < 0.05, "{}", fusion.weight(1));
    }

    #[test]
    fn a_model_that_goes_bad_loses_its_weight_and_gets_it_back() {
        let half = EXAMPLES / 2;
        let models = |number: u64, causes: [f32; 2]| {
            let good = causes[0] + causes[1] - 2.0;
            let sick = (half..half + 3_000).contains(&number);
            vec![-1.5, if sick { -good } else { good }]
        };
        let (alone, bayes, fusion) = run(Rule::Bayes, 3, models);
        assert!(bayes < alone[1] && bayes < alone[0] - 0.05, "{bayes}, {alone:?}");
        assert!(fusion.weight(1) > 0.8, "it is heard again");
        // Within a spell of promising far too much it is hardly heard any more.
        let mut short = Fusion::new(2);
        let teach = |fusion: &mut Fusion, number: u64, sick: bool| {
            let label = number.is_multiple_of(5);
            let good = if label { 2.0 } else { -3.0 };
            fusion.learn(&[-1.4, if sick { 3.0 } else { good }], label);
        };
        (0..2_000).for_each(|number| teach(&mut short, number, false));
        assert!(short.predict(&[-1.4, 2.0]) > 1.0 && short.predict(&[-1.4, -3.0]) < -2.0);
        (0..200).for_each(|number| teach(&mut short, number, true));
        assert!(short.predict(&[-1.4, 3.0]) < -0.5, "{}: {short:?}", short.predict(&[-1.4, 3.0]));
    }

    #[test]
    fn the_middle_of_an_odd_number_outvotes_one_that_is_mad() {
        let fusion = Fusion::by(Rule::Vote, 3);
        assert_eq!(fusion.predict(&[-2.0, 14.0, -1.0]).to_bits(), (-1.0f32).to_bits());
        assert_eq!(Fusion::by(Rule::Vote, 2).predict(&[-2.0, -1.0]).to_bits(), (-1.5f32).to_bits());
    }

    proptest! {
        #[test]
        fn nothing_makes_a_prediction_impossible(
            lessons in prop::collection::vec((prop::num::f32::ANY, prop::num::f32::ANY, any::<bool>()), 0..200),
            rule in prop_oneof![Just(Rule::Weighted), Just(Rule::Vote), Just(Rule::Bayes)],
        ) {
            let mut fusion = Fusion::by(rule, 2);
            for (one, other, label) in lessons {
                prop_assert!(fusion.predict(&[one, other]).abs() <= MOST_LOGIT);
                fusion.learn(&[one, other], label);
            }
            prop_assert!(fusion.predict(&[]).is_finite() && fusion.predict(&[1.0; 20]).is_finite());
            let mut bytes = Vec::new();
            fusion.write(&mut bytes);
            prop_assert_eq!(Fusion::read(&mut Reader(&bytes)).unwrap(), fusion);
        }

        #[test]
        fn damaged_bytes_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Fusion::read(&mut Reader(&bytes));
        }
    }
}
