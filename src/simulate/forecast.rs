//! Will a campaign deliver? What other worlds say, and how good that was where it is known what came.
//!
//! A forecast for one world is made from the others alone: a line through what they had delivered by a moment and what they
//! delivered in the end, and how far they lay off it. It is scored against what came in that world, beside two that need no
//! simulation: that the plan is met, and that it goes on at the pace so far.

use haggle_simulator::drive::{MOMENTS, Outcome};
use serde::Serialize;

use super::difference::FEWEST;

/// A campaign that spends this share of its budget is said to deliver.
pub(super) const DELIVERS: f64 = 0.95;
/// How often a world delivers less than the interval's lower end, and more than its upper one.
const TAIL: f64 = 0.1;
/// Parts of the measured span at whose beginnings forecasts are scored.
const PARTS: usize = 4;

/// What the worlds say of a campaign, before any of it is spent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Forecast {
    /// Which variant.
    pub variant: String,
    /// Which campaign.
    pub campaign: String,
    /// The share of worlds in which at least 95 % of the budget is spent.
    pub delivers: f64,
    /// The share of the budget that is spent in the world in the middle.
    pub median: f64,
    /// Nine of ten worlds spend more than this share.
    pub low: f64,
    /// Nine of ten worlds spend less than this share.
    pub high: f64,
}

/// How good forecasts of all campaigns are that are made at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Scored {
    /// Days after the start at which they are made.
    pub day: f64,
    /// From other worlds.
    pub worlds: Score,
    /// That the plan is met.
    pub plan: Score,
    /// That it goes on at the pace so far.
    pub pace: Score,
    /// How often what came lay within the 80 % interval of the other worlds'.
    pub within: f64,
}

/// How good forecasts are; 0 are without fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Score {
    /// The mean distance from the share of the budget that was spent.
    pub error: f64,
    /// The mean square distance of the probability that at least 95 % is spent from what came, 1 or 0 (Brier 1950).
    pub brier: f64,
}

/// What a campaign had delivered by a moment, should have by its plan, and delivered in the end, as shares of its budget.
#[derive(Clone, Copy, Debug)]
struct Course {
    so_far: f64,
    planned: f64,
    end: f64,
}

/// A forecast's point, and its guesses, of which each is as likely as the others.
struct Guess {
    point: f64,
    all: Vec<f64>,
}

impl Guess {
    /// From other worlds' courses: least squares, with what they are off by.
    fn of(so_far: f64, others: &[Course]) -> Self {
        let count = others.len().max(1) as f64;
        let mean = |of: &dyn Fn(&Course) -> f64| others.iter().map(of).sum::<f64>() / count;
        let (x, y) = (mean(&|it| it.so_far), mean(&|it| it.end));
        let spread = mean(&|it| (it.so_far - x).powi(2));
        let slope = if spread > 1e-9 { mean(&|it| (it.so_far - x) * (it.end - y)) / spread } else { 0.0 };
        // What is spent stays spent, and more than all cannot be.
        let possible = |share: f64| share.clamp(so_far.min(1.0), 1.0);
        let line = |at: f64| y + slope * (at - x);
        let mut all: Vec<f64> =
            others.iter().map(|it| possible(line(so_far) + it.end - line(it.so_far))).collect();
        all.sort_by(f64::total_cmp);
        Self { point: possible(line(so_far)), all }
    }

    fn median(&self) -> f64 {
        self.all.get(self.all.len() / 2).copied().unwrap_or(self.point)
    }

    /// Between which another world lies in at least as many cases as are not tails: of `n` worlds it is below the `k`th in `k` of
    /// `n + 1` cases.
    fn interval(&self) -> (f64, f64) {
        let below = (((self.all.len() + 1) as f64 * TAIL) as usize).max(1);
        let at = |place: usize| self.all.get(place).copied().unwrap_or(self.point);
        (at(below - 1), at(self.all.len().saturating_sub(below)))
    }

    fn delivers(&self) -> f64 {
        let delivering = self.all.iter().filter(|share| **share >= DELIVERS).count();
        delivering as f64 / self.all.len().max(1) as f64
    }
}

impl Score {
    fn add(&mut self, point: f64, delivers: f64, end: f64) {
        self.error += (point - end).abs();
        let came = if end >= DELIVERS { 1.0 } else { 0.0 };
        self.brier += (delivers - came).powi(2);
    }

    fn over(self, count: f64) -> Self {
        Self { error: self.error / count, brier: self.brier / count }
    }
}

/// A campaign's course in each world, as it stood at a moment of the span. Worlds in which it had no money are left out.
fn courses(worlds: &[Outcome], campaign: usize, from: usize, moment: usize) -> Vec<Course> {
    let of_world = |world: &Outcome| {
        let (_, campaigned) = world.campaigns.get(campaign)?;
        let course = world.courses.get(campaign)?;
        let (first, now) = (course.get(from)?, course.get(moment)?);
        let budget = campaigned.budget.to_f64();
        (budget > 0.0).then(|| Course {
            so_far: (now.spend - first.spend).to_f64() / budget,
            planned: (now.planned - first.planned).to_f64() / budget,
            end: campaigned.spend.to_f64() / budget,
        })
    };
    worlds.iter().filter_map(of_world).collect()
}

/// The moment from which on it is measured.
fn first_moment(measured_from: f64, days: f64) -> usize {
    // The cast saturates, and shares lie between 0 and 1.
    (measured_from / days * f64::from(MOMENTS)).round() as usize
}

/// What the worlds of a variant say of its campaigns; nothing where they are too few.
pub(super) fn forecasts(variant: &str, worlds: &[Outcome]) -> Vec<Forecast> {
    let names = worlds.first().map_or(&[][..], |world| &world.campaigns);
    let of_campaign = |(at, (campaign, _)): (usize, &(String, _))| {
        let ends = courses(worlds, at, 0, 0);
        let guess = Guess::of(0.0, &ends.iter().map(|it| Course { so_far: 0.0, ..*it }).collect::<Vec<_>>());
        let (low, high) = guess.interval();
        (ends.len() >= FEWEST).then(|| Forecast {
            variant: variant.to_owned(),
            campaign: campaign.clone(),
            delivers: guess.delivers(),
            median: guess.median(),
            low,
            high,
        })
    };
    names.iter().enumerate().filter_map(of_campaign).collect()
}

/// How good such forecasts are at the beginning and after each quarter of the measured span.
pub(super) fn scores(worlds: &[Outcome], measured_from: f64, days: f64) -> Vec<Scored> {
    let from = first_moment(measured_from, days);
    let moments = (0..PARTS).map(|part| from + (MOMENTS as usize - from) * part / PARTS);
    moments
        .filter_map(|moment| {
            scored(worlds, from, moment)
                .map(|it| Scored { day: days * moment as f64 / f64::from(MOMENTS), ..it })
        })
        .collect()
}

fn scored(worlds: &[Outcome], from: usize, moment: usize) -> Option<Scored> {
    let [mut by_worlds, mut by_plan, mut by_pace] = [Score::default(); 3];
    let (mut within, mut count) = (0.0, 0.0);
    for campaign in 0..worlds.first()?.campaigns.len() {
        let all = courses(worlds, campaign, from, moment);
        if all.len() < FEWEST {
            continue;
        }
        for (at, it) in all.iter().enumerate() {
            let others: Vec<Course> =
                all.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, it)| *it).collect();
            let guess = Guess::of(it.so_far, &others);
            by_worlds.add(guess.point, guess.delivers(), it.end);
            by_plan.add(1.0, 1.0, it.end);
            let pace = if it.planned > 0.0 { (it.so_far / it.planned).min(1.0) } else { 1.0 };
            by_pace.add(pace, if pace >= DELIVERS { 1.0 } else { 0.0 }, it.end);
            // Sums of floats: the last digit is no miss.
            let (low, high) = guess.interval();
            let inside = (low - 1e-9..=high + 1e-9).contains(&it.end);
            within += f64::from(u8::from(inside));
            count += 1.0;
        }
    }
    (count > 0.0).then(|| Scored {
        day: 0.0,
        worlds: by_worlds.over(count),
        plan: by_plan.over(count),
        pace: by_pace.over(count),
        within: within / count,
    })
}

#[cfg(test)]
mod tests {
    use haggle_domain::Micros;
    use haggle_simulator::drive::{Campaigned, Spent};

    use super::*;

    /// A world in which half of what is spent in the end is spent by the middle, of a budget of 10.
    fn world(end: f64) -> Outcome {
        let units = |units: f64| Micros((units * 1e6) as i64);
        let spent = |moment: u32| Spent {
            spend: units(end * 10.0 * f64::from(moment) / 48.0),
            planned: units(10.0 * f64::from(moment) / 48.0),
            ..Spent::default()
        };
        let campaigned =
            Campaigned { budget: units(10.0), spend: units(end * 10.0), ..Campaigned::default() };
        Outcome {
            campaigns: vec![("boots".to_owned(), campaigned)],
            courses: vec![(0..=MOMENTS).map(spent).collect()],
            ..Outcome::default()
        }
    }

    #[test]
    fn worlds_that_deliver_differently_are_told_apart_as_soon_as_it_shows() {
        let worlds: Vec<Outcome> = (0..20).map(|at| world(0.5 + 0.025 * f64::from(at))).collect();
        let said = &forecasts("as it is", &worlds)[0];
        // Two of twenty lie outside on either side; of 21 cases that many.
        let shown =
            [said.delivers, said.low, said.median, said.high].map(|share| (share * 1000.0).round() as i64);
        assert_eq!(shown, [100, 525, 750, 950]);
        let scores = scores(&worlds, 0.0, 2.0);
        assert_eq!(scores.iter().map(|it| it.day).collect::<Vec<_>>(), [0.0, 0.5, 1.0, 1.5]);
        assert!(scores[0].worlds.error > 0.1 && scores[0].worlds.error < scores[0].plan.error, "{scores:?}");
        assert!((0.7..0.95).contains(&scores[0].within), "{scores:?}");
        // From then on the course says it all, to the plan's forecast nothing.
        assert!(scores[1].worlds.error < 1e-6 && scores[1].pace.error < 1e-6, "{scores:?}");
        assert_eq!(scores[1].plan, scores[0].plan);
        assert!(scores[1].worlds.brier < scores[0].worlds.brier);
    }

    #[test]
    fn too_few_worlds_say_nothing() {
        let worlds: Vec<Outcome> = (0..9).map(|_| world(1.0)).collect();
        assert_eq!((forecasts("", &worlds), scores(&worlds, 0.0, 1.0)), (vec![], vec![]));
    }

    #[test]
    fn where_all_is_always_spent_nothing_is_in_doubt() {
        let worlds: Vec<Outcome> = (0..10).map(|_| world(1.0)).collect();
        let said = &forecasts("", &worlds)[0];
        assert_eq!((said.delivers, said.low, said.high), (1.0, 1.0, 1.0));
        let score = scores(&worlds, 0.5, 1.0)[0];
        assert_eq!(
            (score.day, score.worlds, score.plan, score.within),
            (0.5, Score::default(), Score::default(), 1.0)
        );
    }
}
