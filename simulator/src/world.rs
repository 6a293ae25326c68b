//! The world as the program drives it.

use std::sync::Arc;

use haggle_domain::{Tag, Timestamp};

use crate::ad::{SimAd, SimBid};
use crate::auction::{self, AuctionOutcome};
use crate::bots::Bots;
use crate::catalog::Advertised;
use crate::chance::{Chance, Use};
use crate::churn::{Absences, Churn};
use crate::conditions::Conditions;
use crate::diurnal::day_of;
use crate::exchange::Exchange;
use crate::goods::Goods;
use crate::people::{Basis, Person};
use crate::reach::Reach;
use crate::request::{self, Circumstances, SimRequest};
use crate::rivals::{Rival, Rivals};
use crate::season::{Season, interest, shifts};
use crate::shop::{Shop, ShopEvent};
use crate::truth::{self, Aftermath, Truth};

/// How large and how busy the world is, and who is in it.
#[derive(Clone, Debug, PartialEq)]
pub struct WorldSettings {
    /// How many users there are; at least one.
    pub users: usize,
    /// Shop visits of a user a day, on average.
    pub visits_a_day: f64,
    /// Whole days of shop traffic before the start day: the first call of [`World::next_shop_events`] tells them
    /// too, so that retargeting has an audience from the first minute. At most a week.
    pub history_days: u32,
    /// How busy the days of the week are, from Monday on, as factors.
    pub week: [f64; 7],
    /// How users come and go; without it all are always there.
    pub churn: Option<Churn>,
    /// Programs among the users.
    pub bots: Option<Bots>,
    /// How interest comes and goes.
    pub seasons: Vec<Season>,
    /// What the shop's goods bring.
    pub goods: Goods,
    /// The exchanges; at least one.
    pub exchanges: Vec<Exchange>,
    /// The other bidders.
    pub rivals: Vec<Rival>,
}

impl Default for WorldSettings {
    fn default() -> Self {
        Self {
            users: 5000,
            visits_a_day: 0.25,
            history_days: 1,
            week: [1.0; 7],
            churn: None,
            bots: None,
            seasons: Vec::new(),
            goods: Goods::default(),
            exchanges: Exchange::usual(),
            rivals: vec![Rival::usual()],
        }
    }
}

/// A shop, its users, and the exchanges that sell their attention.
///
/// What happens to a request depends on the seed, its number, its time, its user's past and what rivals have learned alone, so
/// answers may come back in any order where no rival learns.
pub struct World {
    seed: u64,
    people: Vec<Arc<Person>>,
    /// Draws one of the people in proportion to their activity.
    reach: Reach,
    shop: Shop,
    requests: u64,
    conditions: Conditions,
    start: Timestamp,
    exchanges: Vec<Exchange>,
    rivals: Rivals,
    absences: Option<Absences>,
    bots: Option<Bots>,
    seasons: Vec<Season>,
    goods: Goods,
}

/// Draws for somebody who is not away, before it is taken that nobody is there.
const DRAWS: u32 = 1000;

impl World {
    /// The world of this seed, in the day of `start`.
    pub fn new(seed: u64, start: Timestamp, settings: WorldSettings) -> Self {
        let bot = |index| settings.bots.and_then(|bots| bots.of(seed, index));
        let people: Vec<Arc<Person>> = (0..settings.users.max(1))
            .map(|index| Arc::new(Person::new(seed, index).made_bot(bot(index))))
            .collect();
        let mut absences = settings.churn.map(|churn| Absences::new(seed, churn, people.len()));
        if let Some(absences) = &mut absences {
            absences.advance(day_of(start));
        }
        let reach = Reach::new(people.iter().map(|person| person.activity));
        let visits = (settings.visits_a_day, settings.week);
        let shop =
            Shop::new(seed, visits, settings.seasons.clone(), people.len(), start, settings.history_days);
        let exchanges = if settings.exchanges.is_empty() { Exchange::usual() } else { settings.exchanges };
        Self {
            seed,
            people,
            reach,
            shop,
            requests: 0,
            conditions: Conditions::default(),
            start,
            exchanges,
            rivals: Rivals::new(seed, settings.rivals),
            absences,
            bots: settings.bots,
            seasons: settings.seasons,
            goods: settings.goods,
        }
    }

    /// Requests from the next one on, and what follows from them, are under these. How many there are, and how long notices take,
    /// is for whoever asks for them.
    pub const fn set_conditions(&mut self, conditions: Conditions) {
        self.conditions = conditions;
    }

    /// The next bid request, sent at `now`. Times must not go backwards.
    pub fn next_request(&mut self, now: Timestamp) -> SimRequest {
        self.pass_until(now);
        let number = self.requests;
        self.requests += 1;
        let mut chance = Chance::new(self.seed, Use::Request, number, 0);
        let index = self.who(chance.uniform(), number);
        let recent = self.shop.recent(index);
        let person = (index, &self.people[index]);
        let mut tastes = person.1.tastes;
        let interest = interest(&self.seasons, now.since(self.start).as_secs_f64() / 86_400.0);
        if !self.seasons.is_empty() {
            tastes.iter_mut().zip(shifts(&interest)).for_each(|(taste, shift)| *taste += shift);
        }
        let world = Circumstances {
            seed: self.seed,
            exchanges: &self.exchanges,
            rivals: &self.rivals,
            conditions: self.conditions,
            interest,
            tastes,
            bot_clicks: self.bots.map_or(0.0, |bots| bots.click_rate),
        };
        request::make(&mut chance, number, person, recent, &world, now)
    }

    /// Whose the `number`th request is, in proportion to activity. Others' requests stay theirs where somebody is away.
    fn who(&self, draw: f64, number: u64) -> usize {
        let first = self.reach.find(draw);
        let away = self.absences.as_ref().map_or(&[][..], Absences::away);
        if away.get(first).is_none_or(|away| !away) {
            return first;
        }
        let mut chance = Chance::new(self.seed, Use::WhoElse, number, 0);
        let mut others = (0..DRAWS).map(|_| self.reach.find(chance.uniform()));
        others.find(|index| away.get(*index).is_none_or(|away| !away)).unwrap_or(first)
    }

    fn pass_until(&mut self, now: Timestamp) {
        if let Some(absences) = &mut self.absences {
            absences.advance(day_of(now));
        }
        let away = self.absences.as_ref().map_or(&[][..], Absences::away);
        self.shop.advance(now, &self.people, away);
    }

    /// Who sells a request.
    pub fn exchange(&self, request: &SimRequest) -> &Exchange {
        // A request is the world's own, so its exchange is there.
        &self.exchanges[request.hidden.exchange.min(self.exchanges.len() - 1)]
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

    /// Lets rivals see how the auction of a request went; to be told once, in the order of requests, where any of them learns.
    pub fn conclude(&mut self, request: &SimRequest, outcome: &AuctionOutcome) {
        if self.rivals.any_learns() {
            self.rivals.learn(&request.hidden.rivals, request.floor, outcome, request.at);
        }
    }

    /// What follows from winning `request` with `ad` at `now`. A click also shows as a visit to the shop.
    pub fn after_win(&mut self, request: &SimRequest, ad: &SimAd, now: Timestamp) -> Aftermath {
        let shown = Tag::of(&[&*ad.campaign_id, "\n", &*ad.creative_id].concat());
        let mut chance = Chance::new(self.seed, Use::AfterWin, Tag::of(&request.id).0, shown.0);
        let aftermath = truth::draw(&mut chance, request, ad, &self.goods, now);
        if let (Some(click), Some(product)) = (aftermath.click, Advertised::by(ad).product) {
            let bought = aftermath.order.as_ref().map(|order| order.at);
            self.shop.visit_by_ad(request.hidden.person, product, click, bought);
        }
        aftermath
    }

    /// What users did in the shop since the last call, up to `now`, oldest first. Times must not go backwards.
    pub fn next_shop_events(&mut self, now: Timestamp) -> Vec<ShopEvent> {
        self.pass_until(now);
        self.shop.take_events()
    }

    /// The hidden probabilities, for tests and evaluation **only**.
    pub const fn truth(&self) -> Truth {
        Truth::new()
    }
}
