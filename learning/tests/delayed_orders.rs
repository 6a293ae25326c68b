//! Orders come hours and days after their click: what waiting for them costs, and whether teaching at once would pay.
//!
//! A made-up shop whose order rates drift, with exponential delays that differ by campaign. Every arm predicts each
//! click when it happens and is judged against the truth then; they differ in when they are taught what.
//!
//! Teaching at once with the correction is ahead of the joiner's window once it has run for days, by little. In the first
//! days it is behind where orders take a day: clicks are taught as failures long before orders can come. So the joiner waits.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use haggle_learning::{Model, Trainer};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const CAMPAIGNS: usize = 8;
const PLACES: usize = 20;
const CLICKS: usize = 40_000;
/// Clicks a day, for twenty days.
const DAILY: f64 = 2000.0;
/// Clicks of the first two days.
const FIRST: usize = 4000;
/// Clicks between two published models.
const PUBLISH: usize = 100;

fn logistic(score: f64) -> f64 {
    1.0 / (1.0 + (-score).exp())
}

/// Log loss of predicting `q` in expectation over what happens with probability `p`.
fn log_loss(p: f64, q: f64) -> f64 {
    -(p * q.ln() + (1.0 - p) * (1.0 - q).ln())
}

struct Click {
    request: [u32; 2],
    ad: [u32; 2],
    truth: f64,
    /// Days from the click to its order, if there will be one.
    order: Option<f64>,
}

/// `delay`: mean days from click to order of the slowest campaign; the quickest takes a quarter of it.
fn shop(seed: u64, delay: f64) -> Vec<Click> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut spread = |scale: f64| scale * (random.random::<f64>() + random.random::<f64>() - 1.0);
    let places: [f64; PLACES] = std::array::from_fn(|_| spread(1.5));
    let base: [f64; CAMPAIGNS] = std::array::from_fn(|_| spread(2.0));
    let phase: [f64; CAMPAIGNS] = std::array::from_fn(|_| spread(3.0));
    (0..CLICKS)
        .map(|number| {
            let (campaign, place) = (random.random_range(0..CAMPAIGNS), random.random_range(0..PLACES));
            let day = number as f64 / DAILY;
            let drift = 0.7 * (day / 1.5 + phase[campaign]).sin();
            let truth = logistic(-2.6 + base[campaign] + places[place] + drift);
            let mean = delay * (0.25 + 0.75 * campaign as f64 / (CAMPAIGNS - 1) as f64);
            let (happens, late) =
                (random.random::<f64>() < truth, -mean * (1.0 - random.random::<f64>()).ln());
            let (campaign, place) = (campaign as u32, place as u32);
            Click {
                request: [(9 << 18) + place, (10 << 18) + place / 4],
                ad: [(32 << 18) + campaign, (33 << 18) + campaign],
                truth,
                order: happens.then_some(late),
            }
        })
        .collect()
}

/// What is taught of a click, and how many days after it.
type Lessons = fn(Option<f64>, &mut dyn FnMut(f64, bool));

/// As if the future were known: the label at the click.
fn oracle(order: Option<f64>, teach: &mut dyn FnMut(f64, bool)) {
    teach(0.0, order.is_some());
}

/// The window closes after two hours, and what comes later is lost.
fn vanilla(order: Option<f64>, teach: &mut dyn FnMut(f64, bool)) {
    let window = 2.0 / 24.0;
    teach(window, order.is_some_and(|late| late <= window));
}

/// As `LabelJoiner` does by default: six hours, which most orders keep; those that do not are taught when they come.
fn waiting(order: Option<f64>, teach: &mut dyn FnMut(f64, bool)) {
    let window = 0.25;
    teach(window, order.is_some_and(|late| late <= window));
    if let Some(late) = order.filter(|late| *late > window) {
        teach(late, true);
    }
}

/// Every click is taught as none at once, and each order when it comes: then the odds of what is learned are the
/// probability (fake negative calibration, Ktena et al. 2019, section 3.3).
fn at_once(order: Option<f64>, teach: &mut dyn FnMut(f64, bool)) {
    teach(0.0, false);
    if let Some(late) = order {
        teach(late, true);
    }
}

/// Mean log losses, in expectation over the orders, of the first two days and of the second half.
fn run(clicks: &[Click], lessons: Lessons, probability: fn(f64) -> f64) -> [f64; 2] {
    let mut trainer = Trainer::default();
    // By when it is taught, in microdays.
    let mut due: BinaryHeap<Reverse<(u64, usize, bool)>> = BinaryHeap::new();
    let mut model = Model::default();
    let mut sums = [0.0; 2];
    for (number, click) in clicks.iter().enumerate() {
        let day = number as f64 / DAILY;
        while due.peek().is_some_and(|Reverse((at, ..))| *at <= (day * 1e6) as u64) {
            let Some(Reverse((_, earlier, label))) = due.pop() else { break };
            trainer.learn_conversion(&clicks[earlier].request, &clicks[earlier].ad, label);
        }
        if number % PUBLISH == 0 {
            model = trainer.snapshot();
        }
        let predicted = model.predict(&model.request_part(&click.request), &model.ad_part(&click.ad));
        let loss = log_loss(click.truth, probability(f64::from(predicted.conversion)));
        if number < FIRST {
            sums[0] += loss / FIRST as f64;
        } else if number >= CLICKS / 2 {
            sums[1] += loss / (CLICKS - CLICKS / 2) as f64;
        }
        lessons(click.order, &mut |after, label| {
            due.push(Reverse((((day + after) * 1e6) as u64, number, label)));
        });
    }
    sums
}

#[test]
fn waiting_for_orders_against_teaching_at_once() {
    let as_it_is: fn(f64) -> f64 = |b| b;
    let odds: fn(f64) -> f64 = |b| (b / (1.0 - b)).clamp(1e-6, 1.0 - 1e-6);
    let arms = [(oracle as Lessons, as_it_is), (vanilla, as_it_is), (waiting, as_it_is), (at_once, odds)];
    println!(
        "mean delay, seed | part | oracle | vanilla | waiting | at once | gap closed by waiting, at once"
    );
    for delay in [0.1, 1.0] {
        for seed in 1..=3 {
            let clicks = shop(seed, delay);
            let losses = arms.map(|(lessons, probability)| run(&clicks, lessons, probability));
            for (part, name) in ["first two days", "second half"].into_iter().enumerate() {
                let [oracle, vanilla, waiting, at_once] = losses.map(|loss| loss[part]);
                let closed = |loss: f64| (vanilla - loss) / (vanilla - oracle);
                println!(
                    "{delay:.1} d, {seed} | {name} | {oracle:.5} | {vanilla:.5} | {waiting:.5} | {at_once:.5} | {:.0} %, {:.0} %",
                    100.0 * closed(waiting),
                    100.0 * closed(at_once)
                );
                if part == 1 {
                    assert!(
                        oracle < vanilla,
                        "delay {delay}, seed {seed}: not the experiment that was meant"
                    );
                    assert!(closed(waiting) > 0.8, "delay {delay}, seed {seed}: the joiner's window");
                    assert!(closed(at_once) > 0.9, "delay {delay}, seed {seed}: fake negatives");
                }
            }
        }
    }
}
