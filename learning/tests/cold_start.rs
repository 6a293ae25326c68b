//! What a model of other advertisers' campaigns is worth to a campaign that begins: the log loss on its next impressions, once
//! a thousand of its own were learned.
//!
//! In each world users and sites have vectors, and campaigns have tastes in both: those of their category, and a part of their
//! own. The new campaign's category is known, its own part is not, and it is the larger one. Losses are those to be expected of
//! the true probabilities, so nothing but the models and what they learned from differs by chance.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests")]

use haggle_learning::offline::{DeepSettings, Learner, LinearSettings, Settings, load};
use haggle_learning::{Batch, Slot};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const RANK: usize = 4;
const USERS: u32 = 300;
const SITES: u32 = 150;
const CATEGORIES: u32 = 6;
/// Other advertisers' campaigns; the new one comes after them.
const CAMPAIGNS: u32 = 36;
const SEEDS: u64 = 24;
/// Student's t of 23 degrees of freedom, of which 95 % lie within this on both sides.
const T: f64 = 2.069;
/// Impressions of the others, of the new campaign to learn from, and of it to be judged on.
const OTHERS: usize = 50_000;
const FIRST: usize = 1_000;
const NEXT: usize = 5_000;

type Vector = [f32; RANK];

fn normal(random: &mut StdRng) -> f32 {
    let radius = (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt();
    (radius * (std::f64::consts::TAU * random.random::<f64>()).cos()) as f32
}

fn vector(random: &mut StdRng, scale: f32) -> Vector {
    std::array::from_fn(|_| scale * normal(random))
}

fn product(a: &Vector, b: &Vector) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// What a campaign likes: how good it is for all, and in which users and sites.
struct Taste {
    category: u32,
    constant: f32,
    users: Vector,
    sites: Vector,
}

struct World {
    random: StdRng,
    /// Of each user and site a weight and a vector.
    users: Vec<(f32, Vector)>,
    sites: Vec<(f32, Vector)>,
    campaigns: Vec<Taste>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let mut values = |count: u32| -> Vec<(f32, Vector)> {
            (0..count).map(|_| (0.3 * normal(&mut random), vector(&mut random, 1.0))).collect()
        };
        let (users, sites) = (values(USERS), values(SITES));
        let categories: Vec<[Vector; 2]> =
            (0..CATEGORIES).map(|_| [vector(&mut random, 0.25), vector(&mut random, 0.25)]).collect();
        let campaigns = (0..=CAMPAIGNS).map(|number| {
            let category = number % CATEGORIES;
            let [of_users, of_sites] = categories[category as usize];
            let own = |random: &mut StdRng, shared: Vector| {
                let own = vector(random, 0.3);
                std::array::from_fn(|at| shared[at] + own[at])
            };
            Taste {
                category,
                constant: -2.7 + 0.4 * normal(&mut random),
                users: own(&mut random, of_users),
                sites: own(&mut random, of_sites),
            }
        });
        let campaigns = campaigns.collect();
        Self { random, users, sites, campaigns }
    }

    /// Impressions of campaigns out of `campaigns`, and their true probabilities.
    fn draw(&mut self, rows: usize, campaigns: std::ops::Range<u32>) -> (Batch, Vec<f64>) {
        let (mut batch, mut truth) = (Batch::default(), Vec::new());
        for _ in 0..rows {
            let random = &mut self.random;
            let (user, site) = (random.random_range(0..USERS), random.random_range(0..SITES));
            let (hour, campaign) = (random.random_range(0..24u32), random.random_range(campaigns.clone()));
            let taste = &self.campaigns[campaign as usize];
            let (user_weight, user_vector) = &self.users[user as usize];
            let (site_weight, site_vector) = &self.sites[site as usize];
            let score = taste.constant
                + user_weight
                + site_weight
                + product(user_vector, &taste.users)
                + product(site_vector, &taste.sites);
            let probability = 1.0 / (1.0 + f64::from(-score).exp());
            let mut first = 0;
            let values = [
                (user, USERS),
                (site, SITES),
                (hour, 24),
                (campaign, CAMPAIGNS + 1),
                (taste.category, CATEGORIES),
            ];
            for (field, (value, count)) in (0..).zip(values) {
                batch.push(Slot { field, index: first + value, value: 1.0 });
                first += count;
            }
            batch.end(f32::from(random.random::<f64>() < probability));
            truth.push(probability);
        }
        (batch, truth)
    }
}

fn fresh(seed: u64) -> Box<dyn Learner> {
    let linear = LinearSettings { bits: 10, ..LinearSettings::default() };
    let settings = DeepSettings { linear, fields: 5, bits: 10, seed, ..DeepSettings::default() };
    Settings::Deep(settings).build().unwrap()
}

fn teach(model: &mut dyn Learner, batch: &Batch, passes: usize) {
    for _ in 0..passes {
        model.learn(batch);
        model.end_pass();
    }
}

/// The mean log loss that is to be expected.
fn loss(model: &dyn Learner, batch: &Batch, truth: &[f64]) -> f64 {
    let mut predicted = Vec::new();
    model.predict(batch, &mut predicted);
    let losses = predicted.iter().zip(truth).map(|(p, truth)| {
        let p = f64::from(*p);
        -truth * p.ln() - (1.0 - truth) * (1.0 - p).ln()
    });
    losses.sum::<f64>() / truth.len() as f64
}

/// The mean of differences and half the width of its 95 % interval.
fn interval(differences: &[f64]) -> (f64, f64) {
    let count = differences.len() as f64;
    let mean = differences.iter().sum::<f64>() / count;
    let variance = differences.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / (count - 1.0);
    (mean, T * (variance / count).sqrt())
}

#[test]
fn a_new_campaign_begins_better_from_a_model_of_others() {
    const WAYS: [&str; 5] =
        ["constant rate", "from scratch", "as trained on others", "tuned, vectors frozen", "tuned, all"];
    let mut losses: Vec<Vec<f64>> = vec![Vec::new(); WAYS.len()];
    let mut truths = Vec::new();
    for seed in 1..=SEEDS {
        let mut world = World::new(seed);
        let (others, _) = world.draw(OTHERS, 0..CAMPAIGNS);
        let (first, _) = world.draw(FIRST, CAMPAIGNS..CAMPAIGNS + 1);
        let (next, truth) = world.draw(NEXT, CAMPAIGNS..CAMPAIGNS + 1);

        let mut trained = fresh(seed);
        teach(&mut *trained, &others, 1);
        let mut bytes = Vec::new();
        trained.save(seed, &mut bytes);
        let tuned = |frozen: bool| {
            let mut model = load(&bytes, seed).unwrap();
            assert!(model.freeze_vectors(frozen));
            model.begin();
            teach(&mut *model, &first, 1);
            loss(&*model, &next, &truth)
        };
        // The number of passes that turns out best on the very rows that it is judged on: more than anybody can know.
        let scratch = [1, 2, 4, 8].map(|passes| {
            let mut model = fresh(seed);
            teach(&mut *model, &first, passes);
            loss(&*model, &next, &truth)
        });
        let rate = first.labels().iter().map(|label| f64::from(*label)).sum::<f64>() / FIRST as f64;
        let entropy = |p: f64, truth: &f64| -truth * p.ln() - (1.0 - truth) * (1.0 - p).ln();
        let mean = |of: &dyn Fn(&f64) -> f64| truth.iter().map(of).sum::<f64>() / NEXT as f64;
        truths.push(mean(&|truth| entropy(*truth, truth)));
        let found = [
            mean(&|truth| entropy(rate, truth)),
            scratch.into_iter().fold(f64::INFINITY, f64::min),
            loss(&*trained, &next, &truth),
            tuned(true),
            tuned(false),
        ];
        losses.iter_mut().zip(found).for_each(|(losses, loss)| losses.push(loss));
    }
    let less = |a: &[f64], b: &[f64]| {
        let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        interval(&differences)
    };
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    println!("{SEEDS} worlds; log loss of the truth {:.5}", mean(&truths));
    for (way, of) in WAYS.iter().zip(&losses) {
        println!("{way:>22}: {:.5}, above the truth by {:.5}", mean(of), mean(of) - mean(&truths));
    }
    for (a, b) in [(2, 1), (3, 1), (4, 1), (3, 2), (4, 2), (3, 4)] {
        let (mean, half) = less(&losses[a], &losses[b]);
        println!("{} less {}: {mean:.5} ± {half:.5}", WAYS[a], WAYS[b]);
    }
    for tuned in [3, 4] {
        let (mean, half) = less(&losses[tuned], &losses[1]);
        assert!(mean + half < 0.0, "{}: {mean} ± {half} against from scratch", WAYS[tuned]);
        let (mean, half) = less(&losses[tuned], &losses[2]);
        assert!(mean + half < 0.0, "{}: {mean} ± {half} against no tuning", WAYS[tuned]);
    }
}
