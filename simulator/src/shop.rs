//! The shop's own traffic: who looks at, carts, buys and searches what, and when.

use std::collections::BTreeSet;
use std::sync::Arc;

use haggle_domain::{BehaviourKind, Timestamp};
use serde_json::{Value, json};

use crate::catalog::{AISLE_COUNT, AISLES, Product};
use crate::chance::{Chance, Use};
use crate::diurnal::{BUSIEST, DAY_MICROS, day_of, traffic_share, weekday};
use crate::people::{Basis, Person};
use crate::season::{Season, interest, shifts};

/// Something a user did in the shop, for the audience endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShopEvent {
    /// The user's id in the shop, equal to `user.buyeruid` of the requests.
    pub user_id: String,
    /// What was done.
    pub kind: BehaviourKind,
    /// To which product.
    pub what: &'static str,
    /// When.
    pub at: Timestamp,
}

impl ShopEvent {
    /// As a bidder's `POST /events` takes it.
    pub fn to_json(&self) -> Value {
        let did = match self.kind {
            BehaviourKind::Viewed => "viewed",
            BehaviourKind::Carted => "carted",
            BehaviourKind::Bought => "bought",
            BehaviourKind::Searched => "searched",
        };
        json!({ "user": self.user_id, "did": did, "what": self.what, "at": self.at.to_string() })
    }
}

/// One act of one user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Act {
    at: Timestamp,
    person: usize,
    product: Product,
    /// [`BehaviourKind`] has no order; this has.
    kind: u8,
}

/// What a user did last to a product, of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Recent {
    pub(crate) kind: BehaviourKind,
    pub(crate) product: Product,
    pub(crate) at: Timestamp,
}

const KINDS: [BehaviourKind; 4] =
    [BehaviourKind::Viewed, BehaviourKind::Carted, BehaviourKind::Bought, BehaviourKind::Searched];
const VIEWED: u8 = 0;
const CARTED: u8 = 1;
const BOUGHT: u8 = 2;
const SEARCHED: u8 = 3;

/// No user has more (kind, product) pairs than there are, but memory stays small even so.
const REMEMBERED: usize = 24;

/// Days that a jump in time makes up for; anything older no longer matters to anybody.
const LONGEST_JUMP: i64 = 7;

/// The shop's acts, planned a day ahead and independent of how often anybody asks.
pub(crate) struct Shop {
    seed: u64,
    visits_a_day: f64,
    /// Factors of that, from Monday on.
    week: [f64; 7],
    seasons: Vec<Season>,
    first_day: i64,
    next_day: i64,
    planned: BTreeSet<Act>,
    /// What is remembered of nobody.
    nothing: Arc<Vec<Recent>>,
    told: Vec<ShopEvent>,
    /// Shared with the requests that are under way.
    memory: Vec<Arc<Vec<Recent>>>,
}

impl Shop {
    /// A shop whose traffic begins `history_days` before the day of `start`.
    pub(crate) fn new(
        seed: u64,
        (visits_a_day, week): (f64, [f64; 7]),
        seasons: Vec<Season>,
        people: usize,
        start: Timestamp,
        history_days: u32,
    ) -> Self {
        Self {
            seed,
            visits_a_day,
            week,
            seasons,
            first_day: day_of(start),
            next_day: day_of(start).saturating_sub(i64::from(history_days).min(LONGEST_JUMP)),
            planned: BTreeSet::new(),
            nothing: Arc::default(),
            told: Vec::new(),
            memory: vec![Arc::default(); people],
        }
    }

    /// Lets everything up to `now` happen. Who is `away` does not come, whose list may be shorter.
    pub(crate) fn advance(&mut self, now: Timestamp, people: &[Arc<Person>], away: &[bool]) {
        let today = day_of(now);
        self.next_day = self.next_day.max(today.saturating_sub(LONGEST_JUMP));
        while self.next_day <= today {
            self.plan(self.next_day, people, away);
            self.next_day += 1;
        }
        while let Some(act) = self.planned.first().copied().filter(|act| act.at <= now) {
            self.planned.remove(&act);
            self.happen(act, people);
        }
    }

    /// The events since the last call, of users who let the shop tell.
    pub(crate) fn take_events(&mut self) -> Vec<ShopEvent> {
        std::mem::take(&mut self.told)
    }

    /// What a user did lately.
    pub(crate) fn recent(&self, person: usize) -> &Arc<Vec<Recent>> {
        self.memory.get(person).unwrap_or(&self.nothing)
    }

    /// A click on an ad leads to the product's page, an order buys it.
    pub(crate) fn visit_by_ad(
        &mut self,
        person: usize,
        product: Product,
        viewed: Timestamp,
        bought: Option<Timestamp>,
    ) {
        self.planned.insert(Act { at: viewed, person, product, kind: VIEWED });
        if let Some(at) = bought {
            self.planned.insert(Act { at, person, product, kind: BOUGHT });
        }
    }

    fn happen(&mut self, act: Act, people: &[Arc<Person>]) {
        let kind = KINDS[usize::from(act.kind) % KINDS.len()];
        let (Some(person), Some(memory)) = (people.get(act.person), self.memory.get_mut(act.person)) else {
            return;
        };
        let memory = Arc::make_mut(memory);
        memory.retain(|known| known.kind != kind || known.product != act.product);
        if memory.len() >= REMEMBERED {
            memory.remove(0);
        }
        memory.push(Recent { kind, product: act.product, at: act.at });
        if person.basis == Basis::Given {
            self.told.push(ShopEvent {
                user_id: person.shop_id.clone(),
                kind,
                what: act.product.word(),
                at: act.at,
            });
        }
    }

    fn plan(&mut self, day: i64, people: &[Arc<Person>], away: &[bool]) {
        let midnight = Timestamp(day.saturating_mul(DAY_MICROS));
        // As interest is at noon.
        let interest = shifts(&interest(&self.seasons, day.saturating_sub(self.first_day) as f64 + 0.5));
        let visits_a_day = self.visits_a_day * self.week[weekday(day)];
        for (index, person) in people.iter().enumerate() {
            if person.bot.is_some() || away.get(index).is_some_and(|away| *away) {
                continue;
            }
            let mut chance = Chance::new(self.seed, Use::ShopDay, index as u64, day.cast_unsigned());
            // Eager users come up to twice a day.
            let mean = visits_a_day * person.activity;
            for share in [mean.min(1.0), (mean - 1.0).clamp(0.0, 1.0)] {
                if chance.hit(share) {
                    self.plan_visit(&mut chance, midnight, index, person, &interest);
                }
            }
        }
    }

    fn plan_visit(
        &mut self,
        chance: &mut Chance,
        midnight: Timestamp,
        index: usize,
        person: &Person,
        interest: &[f64; AISLE_COUNT],
    ) {
        let mut at = time_of_day(chance, midnight);
        let mut weights = [0.0; AISLE_COUNT];
        for ((weight, taste), interest) in weights.iter_mut().zip(person.tastes).zip(interest) {
            *weight = (1.6 * (taste + interest)).exp();
        }
        let aisle = chance.weighted(&weights);
        let product = Product { aisle, item: chance.index(AISLES[aisle].products.len()) };
        let mut act = |chance: &mut Chance, product: Product, kind: u8| {
            self.planned.insert(Act { at, person: index, product, kind });
            at = Timestamp(at.0.saturating_add((chance.between(15.0, 150.0) * 1e6) as i64));
        };
        if chance.hit(0.3) {
            act(chance, product, SEARCHED);
        }
        act(chance, product, VIEWED);
        while chance.hit(0.4) {
            let other = Product { aisle, item: chance.index(AISLES[aisle].products.len()) };
            act(chance, other, VIEWED);
        }
        if chance.hit(0.25) {
            act(chance, product, CARTED);
            if chance.hit(0.35) {
                act(chance, product, BOUGHT);
            }
        }
    }
}

/// A moment of the day, as likely as the traffic is dense (rejection sampling, von Neumann 1951).
fn time_of_day(chance: &mut Chance, midnight: Timestamp) -> Timestamp {
    loop {
        let at = Timestamp(midnight.0.saturating_add((chance.uniform() * DAY_MICROS as f64) as i64));
        if chance.uniform() * BUSIEST < traffic_share(at) {
            return at;
        }
    }
}
