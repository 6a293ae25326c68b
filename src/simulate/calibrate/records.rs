//! What a log tells: the same of a node's journal, of recorded auctions, and of what happens in a simulated world.

use std::collections::{BTreeMap, HashMap};

use haggle_domain::{BidId, CpmMicros, Event, ExchangeKey, Footing, Micros, Notice, Quote, Timestamp};
use haggle_simulator::drive::{Made, Watches};
use haggle_simulator::{SimAd, SimRequest, Truth};

use super::censored::Price;

/// What an exchange told of our bids.
#[derive(Clone, Debug, Default)]
pub(super) struct Sold {
    /// Bids that were won or lost.
    pub(super) heard: u64,
    /// Those of which it said what it took to win.
    pub(super) told: u64,
    /// Those in auctions whose winner pays its bid, and the next one's.
    pub(super) first: u64,
    pub(super) second: u64,
    /// What is known of the prices to beat.
    pub(super) prices: Vec<Price>,
}

/// What was observed.
#[derive(Clone, Debug, Default)]
pub(super) struct Records {
    /// Over how many days, where that is known.
    pub(super) days: Option<f64>,
    /// By exchange.
    pub(super) exchanges: BTreeMap<String, Sold>,
    /// Results of bids on exchanges that the scenario does not have.
    pub(super) elsewhere: u64,
    /// Prices to beat of auctions of which no exchange is named.
    pub(super) prices: Vec<f64>,
    /// Ads shown, clicks, and orders.
    pub(super) shown: u64,
    pub(super) clicks: u64,
    pub(super) orders: u64,
    /// In units of currency.
    pub(super) order_values: Vec<f64>,
    /// From bid to click, and from click to order, in seconds.
    pub(super) click_delays: Vec<f64>,
    pub(super) order_delays: Vec<f64>,
    pub(super) clicked: HashMap<BidId, Timestamp>,
}

/// Which exchanges there are, by their keys.
pub(super) type Names = HashMap<ExchangeKey, String>;

fn units(price: CpmMicros) -> f64 {
    price.0 as f64 * 1e-6
}

/// A bid's result.
struct Result {
    exchange: ExchangeKey,
    quote: Quote,
    /// What the winner paid, where we won.
    paid: Option<CpmMicros>,
    /// What our bid could cost.
    ceiling: CpmMicros,
    min_to_win: Option<CpmMicros>,
}

impl Records {
    fn result(&mut self, names: &Names, result: &Result) {
        let Result { exchange, quote, paid, ceiling, min_to_win } = *result;
        // What deals cost was agreed, and is no price of the open market.
        if quote.footing == Footing::Deal {
            return;
        }
        let Some(name) = names.get(&exchange) else {
            self.elsewhere += 1;
            return;
        };
        let sold = self.exchanges.entry(name.clone()).or_default();
        sold.heard += 1;
        sold.first += u64::from(quote.footing == Footing::First);
        sold.second += u64::from(quote.footing == Footing::Second);
        sold.told += u64::from(min_to_win.is_some());
        // Who pays the second price pays what it took to win.
        let second = |paid| match quote.footing {
            Footing::Second => true,
            Footing::Unknown => paid < ceiling,
            Footing::First | Footing::Deal => false,
        };
        let price = match (min_to_win, paid) {
            (Some(price), _) => Price::Known(units(price)),
            (None, Some(paid)) if second(paid) => Price::Known(units(paid)),
            (None, Some(_)) => Price::AtMost(units(ceiling)),
            (None, None) => Price::Above(units(ceiling)),
        };
        sold.prices.push(price);
    }

    fn click(&mut self, bid: BidId, decided: Timestamp, now: Timestamp) {
        self.clicks += 1;
        self.clicked.insert(bid, now);
        self.click_delays.push(now.since(decided).as_secs_f64());
    }

    fn order(&mut self, bid: BidId, revenue: Micros, now: Timestamp) {
        self.orders += 1;
        if revenue > Micros::ZERO {
            self.order_values.push(revenue.to_f64());
        }
        if let Some(clicked) = self.clicked.get(&bid) {
            self.order_delays.push(now.since(*clicked).as_secs_f64());
        }
    }

    /// Takes a journal's event in.
    pub(super) fn note(&mut self, names: &Names, event: &Event, now: Timestamp) {
        match event {
            Event::Won { price, ceiling, exchange, min_to_win, quote, .. } => {
                let (exchange, quote, ceiling, min_to_win) = (*exchange, *quote, *ceiling, *min_to_win);
                self.result(names, &Result { exchange, quote, paid: Some(*price), ceiling, min_to_win });
            }
            Event::Lost { ceiling, exchange, min_to_win, quote, .. } => {
                let (exchange, quote, ceiling, min_to_win) = (*exchange, *quote, *ceiling, *min_to_win);
                self.result(names, &Result { exchange, quote, paid: None, ceiling, min_to_win });
            }
            Event::Impression { .. } => self.shown += 1,
            Event::Click { decision } => self.click(decision.bid, decision.at, now),
            Event::Conversion { decision, revenue, .. } => self.order(decision.bid, *revenue, now),
            _ => {}
        }
    }

    /// The event that a notice becomes in a journal, as far as it is asked for here.
    pub(super) fn event(notice: &Notice) -> Option<Event> {
        Some(match notice {
            Notice::Won { decision, price, min_to_win } => Event::Won {
                bid: decision.bid,
                price: *price,
                ceiling: decision.ceiling,
                exchange: decision.exchange,
                min_to_win: *min_to_win,
                quote: decision.quote,
            },
            Notice::Lost { decision, min_to_win } => Event::Lost {
                bid: decision.bid,
                reserved: decision.ceiling.per_impression_rounded_up(),
                min_to_win: *min_to_win,
                ceiling: decision.ceiling,
                exchange: decision.exchange,
                quote: decision.quote,
            },
            Notice::Impression { decision } => Event::Impression { decision: decision.clone() },
            Notice::Click { decision } => Event::Click { decision: decision.clone() },
            Notice::Conversion { decision, revenue, order } => {
                Event::Conversion { decision: decision.clone(), revenue: *revenue, order: *order }
            }
            Notice::Bill { .. } => return None,
        })
    }

    /// Those of another world too.
    pub(super) fn append(&mut self, mut other: Self) {
        self.days = self.days.zip(other.days).map(|(own, other)| own + other);
        for (name, mut sold) in other.exchanges {
            let own = self.exchanges.entry(name).or_default();
            own.heard += sold.heard;
            own.told += sold.told;
            own.first += sold.first;
            own.second += sold.second;
            own.prices.append(&mut sold.prices);
        }
        self.elsewhere += other.elsewhere;
        self.prices.append(&mut other.prices);
        self.shown += other.shown;
        self.clicks += other.clicks;
        self.orders += other.orders;
        self.order_values.append(&mut other.order_values);
        self.click_delays.append(&mut other.click_delays);
        self.order_delays.append(&mut other.order_delays);
    }

    /// Bids of which a result was heard.
    pub(super) fn heard(&self) -> u64 {
        self.exchanges.values().map(|sold| sold.heard).sum()
    }
}

/// Notes a simulated bidder's notices as a node's journal would have them.
pub(super) struct Recorder<'n> {
    pub(super) names: &'n Names,
    /// From when on.
    pub(super) from: Timestamp,
    pub(super) records: Records,
    pub(super) expected: Expected,
    /// What was expected of bids whose results are not known yet.
    pub(super) open: HashMap<BidId, Expected>,
}

/// What is hidden of the ads that were shown: what comes of them without its luck.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Expected {
    pub(super) shown: f64,
    pub(super) clicks: f64,
    pub(super) orders: f64,
}

impl Expected {
    fn of(request: &SimRequest, Made { campaign, committed }: &Made) -> Self {
        let (truth, ad) = (Truth::default(), SimAd::of(campaign, committed.decision.creative));
        let clicks = truth.click_probability(request, &ad);
        Self { shown: 1.0, clicks, orders: clicks * truth.order_probability(request, &ad) }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.shown += other.shown;
        self.clicks += other.clicks;
        self.orders += other.orders;
    }
}

impl Watches for Recorder<'_> {
    fn bid(&mut self, request: &SimRequest, made: &Made) {
        self.open.insert(made.committed.decision.bid, Expected::of(request, made));
    }

    fn notice(&mut self, notice: &Notice, now: Timestamp) {
        let bid = notice.decision().bid;
        match notice {
            Notice::Impression { .. } => {
                let expected = self.open.remove(&bid).filter(|_| now >= self.from);
                let expected = expected.unwrap_or_default();
                self.expected.add(expected);
            }
            Notice::Lost { .. } => drop(self.open.remove(&bid)),
            _ => {}
        }
        if now >= self.from
            && let Some(event) = Records::event(notice)
        {
            self.records.note(self.names, &event, now);
        }
    }
}
