//! What learning clicks and orders together is worth: a made-up shop whose truth is known.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests")]

use haggle_learning::offline::metrics::Losses;
use haggle_learning::offline::{Deep, DeepSettings, Learner, LinearSettings};
use haggle_learning::{Batch, Slot};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const USERS: usize = 100;
const PRODUCTS: usize = 100;
const SITES: usize = 50;
const RANK: usize = 4;
/// Which parts of taste matter for clicks, and which for orders: half of them for both.
const CLICK_TASTE: [f64; RANK] = [0.5, 0.5, 0.5, 0.0];
const ORDER_TASTE: [f64; RANK] = [0.5, 0.5, 0.0, 0.5];

fn normal(random: &mut StdRng) -> f64 {
    let (u, v): (f64, f64) = (random.random(), random.random());
    (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

fn logistic(score: f64) -> f64 {
    1.0 / (1.0 + (-score).exp())
}

/// What is true: what users and products are like, how good products and sites are for clicks, and for orders.
struct Shop {
    users: Vec<[f64; RANK]>,
    products: Vec<[f64; RANK]>,
    click_weights: Vec<f64>,
    order_weights: Vec<f64>,
    sites: Vec<f64>,
}

/// A shown ad, and what came of it; an order only of a click.
struct Shown {
    slots: [Slot; 3],
    clicked: bool,
    order: f64,
    ordered: bool,
}

impl Shop {
    fn new(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let mut taste =
            |count: usize| (0..count).map(|_| std::array::from_fn(|_| normal(&mut random))).collect();
        let (users, products) = (taste(USERS), taste(PRODUCTS));
        let mut weights = |count: usize| (0..count).map(|_| 0.4 * normal(&mut random)).collect();
        let (click_weights, order_weights, sites) = (weights(PRODUCTS), weights(PRODUCTS), weights(SITES));
        Self { users, products, click_weights, order_weights, sites }
    }

    fn show(&self, random: &mut StdRng) -> Shown {
        let (user, product) = (random.random_range(0..USERS), random.random_range(0..PRODUCTS));
        let site = random.random_range(0..SITES);
        let taste = |weights: [f64; RANK]| {
            (0..RANK).map(|at| weights[at] * self.users[user][at] * self.products[product][at]).sum::<f64>()
        };
        let click = logistic(-3.0 + taste(CLICK_TASTE) + self.click_weights[product] + self.sites[site]);
        let order = logistic(-2.0 + taste(ORDER_TASTE) + self.order_weights[product]);
        let slot =
            |field, index: usize| Slot { field, index: u32::from(field) << 9 | index as u32, value: 1.0 };
        Shown {
            slots: [slot(0, user), slot(1, product), slot(2, site)],
            clicked: random.random::<f64>() < click,
            order,
            ordered: random.random::<f64>() < order,
        }
    }
}

fn model() -> Deep {
    let linear = LinearSettings { bits: 12, ..LinearSettings::default() };
    Deep::new(DeepSettings { linear, fields: 3, bits: 12, hidden: vec![32, 16], ..DeepSettings::default() })
        .unwrap()
}

/// Rows to learn from, in batches, and to judge by.
struct Exam {
    train: Vec<Batch>,
    test: Batch,
    /// Of the clicks to judge by, how likely an order truly was.
    truth: Vec<f32>,
}

impl Exam {
    fn new(seed: u64, rows: usize) -> Self {
        let (shop, mut random) = (Shop::new(seed), StdRng::seed_from_u64(seed + 100));
        let mut fill = |count: usize, truth: &mut Vec<f32>| {
            let mut batch = Batch::default();
            for _ in 0..count {
                let shown = shop.show(&mut random);
                shown.slots.iter().for_each(|slot| batch.push(*slot));
                batch.end(f32::from(shown.clicked));
                if shown.clicked {
                    batch.repeat_as_conversion(f32::from(shown.ordered));
                    truth.push(shown.order as f32);
                }
            }
            batch
        };
        let train = (0..rows / 4096).map(|_| fill(4096, &mut Vec::new())).collect();
        let mut truth = Vec::new();
        let test = fill(100_000, &mut truth);
        Self { train, test, truth }
    }

    /// The log losses of clicks and of orders after two passes over what `rows` makes of the batches.
    fn take(&self, rows: impl Fn(&Batch) -> Batch) -> (f64, f64) {
        let train: Vec<Batch> = self.train.iter().map(rows).collect();
        let mut model = model();
        for _ in 0..2 {
            for batch in &train {
                model.learn(batch);
            }
            model.end_pass();
        }
        let mut out = Vec::new();
        model.predict(&self.test, &mut out);
        let clicks = Losses::of(&out, self.test.labels()).mean_log_loss();
        let conversions = self.test.conversions();
        model.predict_conversions(conversions, &mut out);
        (clicks, Losses::of(&out, conversions.labels()).mean_log_loss())
    }
}

/// Mean and the half width of its interval of 95 %, of five paired differences.
fn interval(differences: &[f64]) -> (f64, f64) {
    let count = differences.len() as f64;
    let mean = differences.iter().sum::<f64>() / count;
    let variance = differences.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / (count - 1.0);
    // Student's t for 4 degrees of freedom.
    (mean, 2.776 * (variance / count).sqrt())
}

fn only_clicks(batch: &Batch) -> Batch {
    let mut clicks = Batch::default();
    for (label, slots) in batch.rows() {
        slots.iter().for_each(|slot| clicks.push(*slot));
        clicks.end(label);
    }
    clicks
}

fn only_orders(batch: &Batch) -> Batch {
    let mut orders = Batch::default();
    for (label, slots) in batch.conversions().rows() {
        slots.iter().for_each(|slot| orders.push(*slot));
        orders.end_conversion(label);
    }
    orders
}

/// Two hundred thousand impressions, some thirteen thousand clicks, of which every fifth ends in an order.
#[test]
fn orders_are_learned_better_beside_clicks_which_lose_nothing() {
    let (mut gained, mut lost) = (Vec::new(), Vec::new());
    for seed in 0..5 {
        let exam = Exam::new(seed, 200_000);
        let together = exam.take(Batch::clone);
        let (clicks, orders) = (exam.take(only_clicks), exam.take(only_orders));
        let labels = exam.test.conversions().labels();
        let truth = Losses::of(&exam.truth, labels);
        let rate = Losses::of(&vec![truth.rate() as f32; labels.len()], labels).mean_log_loss();
        println!(
            "seed {seed}: clicks {:.5} together, {:.5} alone; orders {:.5} together, {:.5} alone, rate {rate:.5}, truth {:.5}",
            together.0,
            clicks.0,
            together.1,
            orders.1,
            truth.mean_log_loss()
        );
        assert!(together.1 < rate - 0.01, "they are learned at all");
        gained.push(orders.1 - together.1);
        lost.push(together.0 - clicks.0);
    }
    let (gain, half) = interval(&gained);
    println!("orders: {gain:.5} ± {half:.5} less log loss together");
    assert!(gain - half > 0.002);
    let (loss, half) = interval(&lost);
    println!("clicks: {loss:.5} ± {half:.5} more log loss together");
    // A hundredth of their log loss; which seed learns taste a little earlier makes more of a difference than orders do.
    assert!(loss < 0.0005 && loss + half < 0.0025, "clicks lose nothing that can be seen");
}
