//! The world as the program drives it.

use std::sync::Arc;

use haggle_domain::{Tag, Timestamp};

use crate::ad::{SimAd, SimBid};
use crate::auction::{self, AuctionOutcome};
use crate::catalog::Advertised;
use crate::chance::{Chance, Use};
use crate::conditions::Conditions;
use crate::people::{Basis, Person};
use crate::request::{self, SimRequest};
use crate::shop::{Shop, ShopEvent};
use crate::truth::{self, Aftermath, Truth};

/// How large and how busy the world is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WorldSettings {
    /// How many users there are; at least one.
    pub users: usize,
    /// Shop visits of a user a day, on average.
    pub visits_a_day: f64,
    /// Whole days of shop traffic before the start day: the first call of [`World::next_shop_events`] tells them
    /// too, so that retargeting has an audience from the first minute. At most a week.
    pub history_days: u32,
}

impl Default for WorldSettings {
    fn default() -> Self {
        Self { users: 5000, visits_a_day: 0.25, history_days: 1 }
    }
}

/// A shop, its users, and the exchanges that sell their attention.
///
/// What happens to a request depends on the seed, its number, its time and its user's past alone, so answers
/// may come back in any order.
pub struct World {
    seed: u64,
    people: Vec<Arc<Person>>,
    /// Running sums of the people's activity, for drawing one in proportion.
    reach: Vec<f64>,
    shop: Shop,
    requests: u64,
    conditions: Conditions,
}

impl World {
    /// The world of this seed, in the day of `start`.
    pub fn new(seed: u64, start: Timestamp, settings: WorldSettings) -> Self {
        let people: Vec<Arc<Person>> =
            (0..settings.users.max(1)).map(|index| Arc::new(Person::new(seed, index))).collect();
        let mut total = 0.0;
        let mut reach = Vec::with_capacity(people.len());
        for person in &people {
            total += person.activity;
            reach.push(total);
        }
        let shop = Shop::new(seed, settings.visits_a_day, people.len(), start, settings.history_days);
        Self { seed, people, reach, shop, requests: 0, conditions: Conditions::default() }
    }

    /// Requests from the next one on, and what follows from them, are under these. How many there are, and how long notices take,
    /// is for whoever asks for them.
    pub const fn set_conditions(&mut self, conditions: Conditions) {
        self.conditions = conditions;
    }

    /// The next bid request, sent at `now`. Times must not go backwards.
    pub fn next_request(&mut self, now: Timestamp) -> SimRequest {
        self.shop.advance(now, &self.people);
        let number = self.requests;
        self.requests += 1;
        let mut chance = Chance::new(self.seed, Use::Request, number, 0);
        let rivals = Chance::new(self.seed, Use::Rivals, number, 0);
        let target = chance.uniform() * self.reach.last().copied().unwrap_or_default();
        let index = self.reach.partition_point(|sum| *sum <= target).min(self.people.len() - 1);
        let recent = self.shop.recent(index);
        let person = (index, &self.people[index]);
        request::make(&mut chance, rivals, number, person, recent, self.conditions, now)
    }

    /// The country that a request names, and whether its user may be known to whoever is asked.
    pub(crate) fn shown_user(&self, request: &SimRequest) -> (&'static str, bool) {
        let person = self.people.get(request.hidden.person);
        person.map_or(("", false), |it| (it.city.country, it.basis == Basis::Given))
    }

    /// Runs the auction of a request, with our bid or without one.
    pub fn auction(&self, request: &SimRequest, bid: Option<&SimBid>) -> AuctionOutcome {
        auction::run(request, bid)
    }

    /// What follows from winning `request` with `ad` at `now`. A click also shows as a visit to the shop.
    pub fn after_win(&mut self, request: &SimRequest, ad: &SimAd, now: Timestamp) -> Aftermath {
        let shown = Tag::of(&format!("{}\n{}", ad.campaign_id, ad.creative_id));
        let mut chance = Chance::new(self.seed, Use::AfterWin, Tag::of(&request.id).0, shown.0);
        let aftermath = truth::draw(&mut chance, request, ad, now);
        if let (Some(click), Some(product)) = (aftermath.click, Advertised::by(ad).product) {
            let bought = aftermath.order.as_ref().map(|order| order.at);
            self.shop.visit_by_ad(request.hidden.person, product, click, bought);
        }
        aftermath
    }

    /// What users did in the shop since the last call, up to `now`, oldest first. Times must not go backwards.
    pub fn next_shop_events(&mut self, now: Timestamp) -> Vec<ShopEvent> {
        self.shop.advance(now, &self.people);
        self.shop.take_events()
    }

    /// The hidden probabilities, for tests and evaluation **only**.
    pub const fn truth(&self) -> Truth {
        Truth::new()
    }
}
