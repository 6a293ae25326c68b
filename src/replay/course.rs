//! What a strategy has spent by when.

use std::cell::RefCell;
use std::rc::Rc;

use haggle_domain::{CpmMicros, Micros};

use super::auction::{Episodes, Seen, Strategy};

/// Points of a course: as many as a chart can show.
const POINTS: usize = 400;

/// Spend after equal parts of the auctions, from none of them to all.
pub type Course = Rc<RefCell<Vec<Micros>>>;

/// A strategy whose spend is written down while it bids.
pub struct Recorded {
    strategy: Box<dyn Strategy>,
    rows: usize,
    /// Auctions so far, and those before the episode.
    passed: usize,
    episodes: usize,
    spent: Micros,
    course: Course,
}

impl Recorded {
    /// One that goes through so many auctions, and where its course will stand.
    pub fn new(strategy: Box<dyn Strategy>, rows: usize) -> (Self, Course) {
        let course = Course::default();
        let written = Rc::clone(&course);
        (Self { strategy, rows, passed: 0, episodes: 0, spent: Micros::ZERO, course }, written)
    }

    fn write(&self) {
        let points = self.passed * POINTS / self.rows.max(1) + 1;
        let mut course = self.course.borrow_mut();
        if course.len() < points {
            course.resize(points, self.spent);
        }
    }
}

impl Strategy for Recorded {
    fn begin(&mut self, episodes: &Episodes) {
        // Auctions that a spent budget kept it from were not seen.
        self.passed = self.episodes * episodes.auctions.get();
        self.episodes += 1;
        self.write();
        self.strategy.begin(episodes);
    }

    fn bid(&mut self, ctr: f64) -> Option<CpmMicros> {
        self.strategy.bid(ctr)
    }

    fn seen(&mut self, seen: Seen) {
        if let Seen::Won(paid) = seen {
            self.spent += paid;
        }
        self.passed += 1;
        self.write();
        self.strategy.seen(seen);
    }

    fn told(&mut self, price: CpmMicros) {
        self.strategy.told(price);
    }
}

/// A course to its end, which a spent budget may have come before.
pub fn whole(course: &Course) -> Vec<Micros> {
    let mut course = course.borrow().clone();
    let last = course.last().copied().unwrap_or_default();
    course.resize(POINTS + 1, last);
    course
}

/// What an even spread of the episodes' budgets would have spent by each point.
pub fn plan(episodes: &Episodes, rows: usize) -> Vec<Micros> {
    let of_row = episodes.budget.0 as f64 / episodes.auctions.get() as f64;
    (0..=POINTS).map(|point| Micros((of_row * (rows * point) as f64 / POINTS as f64) as i64)).collect()
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::super::auction::{Auction, Rules, play};
    use super::super::log::{FEN, Row};
    use super::*;

    struct Fixed;

    impl Strategy for Fixed {
        fn bid(&mut self, _: f64) -> Option<CpmMicros> {
            Some(CpmMicros(100 * FEN))
        }
    }

    #[test]
    fn a_course_ends_where_the_budget_does_and_goes_on_in_the_next_episode() {
        let row = Row { clicked: false, price: CpmMicros(50 * FEN), ctr: 0.5 };
        let rows = vec![row; 2_000];
        let cost = 50 * FEN / 1_000;
        let episodes = Episodes { auctions: NonZeroUsize::new(1_000).unwrap(), budget: Micros(250 * cost) };
        let rules = Rules { auction: Auction::Second, ties_win: false, capped: false, highest: None };
        let (mut recorded, course) = Recorded::new(Box::new(Fixed), rows.len());
        play(rows.iter(), &episodes, &rules, &mut recorded, &mut || Ok(())).unwrap();
        let (course, plan) = (whole(&course), plan(&episodes, rows.len()));
        assert_eq!((course.len(), plan.len()), (POINTS + 1, POINTS + 1));
        for (point, bought) in [(0, 0), (25, 125), (50, 250), (199, 250), (225, 375), (250, 500), (400, 500)]
        {
            assert_eq!(course[point], Micros(bought * cost), "{point}");
        }
        assert_eq!((plan[0], plan[100], plan[400]), (Micros(0), Micros(125 * cost), Micros(500 * cost)));
    }
}
