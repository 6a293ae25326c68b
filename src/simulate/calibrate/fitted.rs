//! What was fitted, and the scenario that it makes of another.

use std::collections::{BTreeMap, BTreeSet};

use haggle_simulator::{MOST_RIVALS, aisles};
use toml::{Table, Value};

use super::super::scenario::Setup;
use crate::exit::{Exit, ExitError};

/// Factors of what rivals and floors are in the base.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Market {
    pub(super) factor: f64,
    pub(super) spread: f64,
    /// Of the share of requests that rivals do not let pass.
    pub(super) presence: f64,
    pub(super) floor: f64,
}

impl Default for Market {
    fn default() -> Self {
        Self { factor: 1.0, spread: 1.0, presence: 1.0, floor: 1.0 }
    }
}

/// Factors of what the base has, but where it says otherwise.
#[derive(Clone, Debug)]
pub(super) struct Fitted {
    pub(super) requests: f64,
    /// Exchanges' shares, not factors; none where they are left.
    pub(super) shares: BTreeMap<String, f64>,
    /// `first` or `second`, of exchanges of which it was told.
    pub(super) auctions: BTreeMap<String, &'static str>,
    /// Exchanges that do not say what it takes to win.
    pub(super) silent: BTreeSet<String>,
    /// By exchange, or one for all alike.
    pub(super) markets: BTreeMap<Option<String>, Market>,
    pub(super) click_rate: f64,
    pub(super) order_rate: f64,
    pub(super) click_delay: f64,
    pub(super) order_delay: f64,
    pub(super) order_value: f64,
    /// Not a factor.
    pub(super) order_spread: Option<f64>,
}

impl Default for Fitted {
    fn default() -> Self {
        Self {
            requests: 1.0,
            shares: BTreeMap::new(),
            auctions: BTreeMap::new(),
            silent: BTreeSet::new(),
            markets: BTreeMap::new(),
            click_rate: 1.0,
            order_rate: 1.0,
            click_delay: 1.0,
            order_delay: 1.0,
            order_value: 1.0,
            order_spread: None,
        }
    }
}

/// What factors may be.
const FACTORS: (f64, f64) = (0.01, 100.0);

/// Four digits: more are noise.
fn number(value: f64, (low, high): (f64, f64)) -> Value {
    let value = value.clamp(low, high);
    let scale = 10f64.powf(3.0 - value.abs().max(1e-9).log10().floor());
    Value::Float(((value * scale).round() / scale).clamp(low, high))
}

fn read(table: &Table, key: &str, usual: f64) -> f64 {
    match table.get(key) {
        Some(Value::Float(value)) => *value,
        Some(Value::Integer(value)) => *value as f64,
        _ => usual,
    }
}

fn text<'t>(table: &'t Table, key: &str) -> &'t str {
    table.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn tables(world: &Table, key: &str) -> Option<Vec<Table>> {
    let all = world.get(key)?.as_array()?;
    Some(all.iter().filter_map(Value::as_table).cloned().collect())
}

fn table(pairs: &[(&str, &str)]) -> Table {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), Value::String((*value).to_owned()))).collect()
}

fn put(world: &mut Table, key: &str, all: Vec<Table>) {
    world.insert(key.to_owned(), Value::Array(all.into_iter().map(Value::Table).collect()));
}

fn changed(factor: f64) -> bool {
    (factor - 1.0).abs() > 1e-9
}

impl Fitted {
    /// The market of an exchange.
    pub(super) fn market(&self, exchange: &str) -> Market {
        let own = self.markets.get(&Some(exchange.to_owned()));
        own.or_else(|| self.markets.get(&None)).copied().unwrap_or_default()
    }

    /// The base's keys with what was fitted. `setup` is the base's.
    ///
    /// # Errors
    ///
    /// More rivals than a scenario may have.
    pub(super) fn world(&self, base: &Table, setup: &Setup) -> Result<Table, ExitError> {
        let mut world = base.clone();
        if changed(self.requests) {
            let requests = number(setup.settings.requests_a_day * self.requests, (1.0, 1e9));
            world.insert("requests_a_day".to_owned(), requests);
        }
        self.exchanges(&mut world);
        self.rivals(&mut world, setup)?;
        self.changes(&mut world);
        self.aisles(&mut world, setup);
        Ok(world)
    }

    fn exchanges(&self, world: &mut Table) {
        let floors = self.markets.values().any(|market| changed(market.floor));
        if self.shares.is_empty() && self.auctions.is_empty() && self.silent.is_empty() && !floors {
            return;
        }
        let mut all = tables(world, "exchange").unwrap_or_else(|| {
            vec![
                table(&[("name", "alder"), ("price", "first")]),
                table(&[("name", "birch"), ("price", "second"), ("bill", "win")]),
            ]
        });
        for exchange in &mut all {
            let name = text(exchange, "name").to_owned();
            if let Some(share) = self.shares.get(&name) {
                exchange.insert("share".to_owned(), number(*share, (0.0, 1.0)));
            }
            if let Some(price) = self.auctions.get(&name) {
                exchange.insert("price".to_owned(), Value::String((*price).to_owned()));
            }
            if self.silent.contains(&name) {
                exchange.insert("min_to_win".to_owned(), Value::Boolean(false));
            }
            let floor = self.market(&name).floor;
            if changed(floor) {
                let floor = number(read(exchange, "floor", 1.0) * floor, FACTORS);
                exchange.insert("floor".to_owned(), floor);
            }
        }
        put(world, "exchange", all);
    }

    fn rivals(&self, world: &mut Table, setup: &Setup) -> Result<(), ExitError> {
        if self.markets.is_empty() {
            return Ok(());
        }
        let rivals = tables(world, "rival").unwrap_or_else(|| vec![table(&[("name", "usual")])]);
        let split = self.markets.keys().any(Option::is_some);
        let mut all = Vec::new();
        for rival in rivals {
            if !split {
                all.push(fit(rival, self.market("")));
                continue;
            }
            // One that bids on several exchanges becomes one for each of them.
            let own: Vec<String> = match rival.get("exchanges").and_then(Value::as_array) {
                Some(own) if !own.is_empty() => {
                    own.iter().filter_map(Value::as_str).map(str::to_owned).collect()
                }
                _ => setup.exchanges().map(str::to_owned).collect(),
            };
            for exchange in own {
                let name: String = format!("{}-{exchange}", text(&rival, "name")).chars().take(64).collect();
                let mut one = fit(rival.clone(), self.market(&exchange));
                one.insert("name".to_owned(), Value::String(name));
                one.insert("exchanges".to_owned(), Value::Array(vec![Value::String(exchange)]));
                all.push(one);
            }
        }
        if all.len() > MOST_RIVALS {
            let problem = format!(
                "each rival becomes one an exchange, and {} are more than {MOST_RIVALS}; begin with a scenario of fewer rivals",
                all.len()
            );
            return Err(ExitError::new(Exit::Configuration, problem));
        }
        put(world, "rival", all);
        Ok(())
    }

    fn changes(&self, world: &mut Table) {
        let factors = [
            ("click_rate", self.click_rate),
            ("order_rate", self.order_rate),
            ("click_delay", self.click_delay),
            ("order_delay", self.order_delay),
        ];
        if !factors.iter().any(|(_, factor)| changed(*factor)) {
            return;
        }
        let mut all = tables(world, "change").unwrap_or_default();
        if all.first().is_none_or(|first| read(first, "at", 0.0) > 0.0) {
            all.insert(0, Table::from_iter([("at".to_owned(), Value::Float(0.0))]));
        }
        for (at, change) in all.iter_mut().enumerate() {
            for (key, factor) in factors {
                if changed(factor) && (at == 0 || change.contains_key(key)) {
                    change.insert(key.to_owned(), number(read(change, key, 1.0) * factor, FACTORS));
                }
            }
        }
        put(world, "change", all);
    }

    fn aisles(&self, world: &mut Table, setup: &Setup) {
        if !changed(self.order_value) && self.order_spread.is_none() {
            return;
        }
        let said = tables(world, "aisle").unwrap_or_default();
        let goods = &setup.settings.world.goods;
        let mut all = Vec::new();
        for (name, value) in aisles().into_iter().zip(goods.order_value) {
            let known = said.iter().find(|it| text(it, "name") == name);
            let mut aisle = known.cloned().unwrap_or_else(|| table(&[("name", name)]));
            aisle.insert("order_value".to_owned(), number(value * self.order_value, (0.01, 1e5)));
            if let Some(spread) = self.order_spread {
                aisle.insert("order_spread".to_owned(), number(spread, (0.0, 3.0)));
            }
            all.push(aisle);
        }
        put(world, "aisle", all);
    }
}

/// A rival in a market.
fn fit(mut rival: Table, market: Market) -> Table {
    let factor = number(read(&rival, "factor", 1.0) * market.factor, FACTORS);
    let spread = number(read(&rival, "spread", 0.55) * market.spread, (0.0, 2.0));
    let absent = number(1.0 - (1.0 - read(&rival, "absent", 0.07)) * market.presence, (0.0, 0.95));
    rival.extend(
        [("factor", factor), ("spread", spread), ("absent", absent)].map(|(key, it)| (key.to_owned(), it)),
    );
    rival
}
