//! The bundled exchange: sends the simulated world's requests over real HTTP, holds the auctions, calls notices back,
//! and lets users look, click and order.
//!
//! It is an open loop: requests leave when they are due, however the bidder does. Everything runs on one thread.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use awc::http::{StatusCode, header};
use awc::{Client, Connector};
use haggle_domain::{Clock, CpmMicros};
use haggle_simulator::{ShopEvent, SimAd, SimBid, SimRequest, World};
use serde::Deserialize;

use super::tally::Tally;
use crate::clock::{AcceleratedClock, monotonic};
use crate::server::CLICK_PARAMETER;

/// Requests that may be unanswered at once; one more is not sent, and counted.
const MOST_UNANSWERED: usize = 1024;
/// The exchange gives up on a bid after this.
const TIMEOUT: Duration = Duration::from_secs(1);
/// How often an exchange repeats a notice that was answered 503.
const NOTICE_TRIES: u32 = 8;
/// Shop events in one call.
const EVENTS_AT_ONCE: usize = 500;
/// How often the sender looks what is due.
const BEAT: Duration = Duration::from_millis(1);

/// What the exchange works with.
#[derive(Clone)]
pub struct ExchangeDeps {
    /// The bidder's address, without a slash at its end.
    pub base: String,
    /// What the shop's events carry; none where they are not told.
    pub event_key: Option<String>,
    /// The campaign's time.
    pub clock: AcceleratedClock,
    /// Requests a real second, on average.
    pub qps: f64,
    /// What it saw.
    pub tally: Arc<Tally>,
    /// Set: sends no more.
    pub stop: Arc<AtomicBool>,
}

/// The parts of a bid response that an exchange looks at.
#[derive(Debug, Deserialize)]
struct Response {
    #[serde(default)]
    seatbid: Vec<SeatBid>,
}

#[derive(Debug, Deserialize)]
struct SeatBid {
    bid: Vec<Bid>,
}

#[derive(Debug, Deserialize)]
struct Bid {
    impid: String,
    price: serde_json::Number,
    adm: String,
    nurl: Option<String>,
    burl: Option<String>,
    lurl: Option<String>,
    cid: String,
    crid: String,
    #[serde(default)]
    adomain: Vec<String>,
    #[serde(default)]
    cat: Vec<String>,
    #[serde(default)]
    dealid: String,
    w: u16,
    h: u16,
}

struct Exchange {
    deps: ExchangeDeps,
    client: Client,
    world: RefCell<World>,
    unanswered: Cell<usize>,
    notices: Cell<usize>,
}

/// Runs until it is told to stop and all answers have come. On a single-threaded actix runtime.
pub async fn run(world: World, deps: ExchangeDeps) {
    let connector = Connector::new().limit(256).conn_keep_alive(Duration::from_secs(60));
    let client = Client::builder().connector(connector).timeout(TIMEOUT).disable_redirects().finish();
    let exchange = Rc::new(Exchange {
        deps,
        client,
        world: RefCell::new(world),
        unanswered: Cell::new(0),
        notices: Cell::new(0),
    });
    exchange.post_shop_events().await;
    let shop = actix_rt::spawn({
        let exchange = Rc::clone(&exchange);
        async move {
            while !exchange.stopped() {
                exchange.post_shop_events().await;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    });
    Rc::clone(&exchange).send().await;
    // Whoever posts events stops within a beat of its own; a failed join leaves nothing behind.
    let _ = shop.await;
    let mut waited = Duration::ZERO;
    while exchange.unanswered.get() + exchange.notices.get() > 0 && waited < TIMEOUT * 2 {
        tokio::time::sleep(BEAT * 5).await;
        waited += BEAT * 5;
    }
}

impl Exchange {
    fn stopped(&self) -> bool {
        self.deps.stop.load(Ordering::Relaxed) || self.deps.clock.is_over()
    }

    async fn send(self: Rc<Self>) {
        let mut last = monotonic();
        let mut due = 0.0;
        while !self.stopped() {
            tokio::time::sleep(BEAT).await;
            let now = monotonic();
            let at = self.deps.clock.now();
            due += (now - last).as_secs_f64() * self.deps.qps * haggle_simulator::traffic_share(at);
            last = now;
            while due >= 1.0 && !self.stopped() {
                due -= 1.0;
                if self.unanswered.get() >= MOST_UNANSWERED {
                    Tally::count(&self.deps.tally.unsent);
                    continue;
                }
                let request = self.world.borrow_mut().next_request(self.deps.clock.now());
                self.unanswered.set(self.unanswered.get() + 1);
                let exchange = Rc::clone(&self);
                actix_rt::spawn(async move {
                    let bid = exchange.ask(&request).await;
                    exchange.unanswered.set(exchange.unanswered.get() - 1);
                    exchange.notices.set(exchange.notices.get() + 1);
                    exchange.hold(&request, bid).await;
                    exchange.notices.set(exchange.notices.get() - 1);
                });
            }
        }
    }

    /// Sends a request; gives the bid, if there is one.
    async fn ask(&self, request: &SimRequest) -> Option<Bid> {
        let tally = &self.deps.tally;
        Tally::count(&tally.requests);
        Tally::count(&tally.imps);
        let url = format!("{}/openrtb2/bid/{}", self.deps.base, request.exchange);
        let started = monotonic();
        let sent = self
            .client
            .post(url)
            .insert_header((header::CONTENT_TYPE, "application/json"))
            .insert_header(("x-openrtb-version", "2.6"))
            .send_body(request.body());
        let answer = match sent.await {
            Ok(mut response) => match response.body().limit(1 << 20).await {
                Ok(body) => Ok((response.status(), body)),
                Err(error) => Err(error.to_string()),
            },
            Err(error) => Err(error.to_string()),
        };
        tally.took(started.elapsed());
        let read = match answer {
            Ok((StatusCode::NO_CONTENT, _)) => return None,
            Ok((StatusCode::OK, body)) => {
                serde_json::from_slice::<Response>(&body).map_err(|error| format!("cannot be read: {error}"))
            }
            Ok((status, _)) => Err(format!("is {status}")),
            Err(error) => Err(format!("is none: {error}")),
        };
        match read {
            // Nothing in it is no bid, too.
            Ok(response) => {
                let bid = response.seatbid.into_iter().next()?.bid.into_iter().next()?;
                Tally::count(&tally.bids);
                Some(bid)
            }
            Err(what) => {
                tally.error(|| format!("the answer of /openrtb2/bid/{} {what}", request.exchange));
                None
            }
        }
    }

    /// Holds the auction and tells the bidder how it went; then what the user does follows.
    async fn hold(self: &Rc<Self>, request: &SimRequest, bid: Option<Bid>) {
        let sim_bid = bid.as_ref().map(|bid| SimBid {
            imp_id: bid.impid.clone(),
            price: CpmMicros::parse_rounded_up(&bid.price.to_string()).unwrap_or_default(),
            creative_id: bid.crid.clone(),
            advertiser_domains: bid.adomain.clone(),
            categories: bid.cat.clone(),
            width: bid.w,
            height: bid.h,
            has_markup: !bid.adm.is_empty(),
            deal_id: bid.dealid.clone(),
        });
        let outcome = self.world.borrow().auction(request, sim_bid.as_ref());
        let Some(bid) = bid else { return };
        let fill = |url: &str| {
            url.replace("${AUCTION_PRICE}", &outcome.clearing.to_string())
                .replace("${AUCTION_MIN_TO_WIN}", &outcome.min_to_win.to_string())
                .replace("${AUCTION_LOSS}", &outcome.loss.map_or(0, |loss| loss.code()).to_string())
        };
        if !outcome.won {
            if let Some(url) = &bid.lurl {
                self.notify(&fill(url), StatusCode::NO_CONTENT).await;
            }
            return;
        }
        Tally::count(&self.deps.tally.wins);
        Tally::add(&self.deps.tally.paid_cpm_micros, outcome.clearing.0);
        if let Some(url) = &bid.nurl {
            self.notify(&fill(url), StatusCode::NO_CONTENT).await;
        }
        let ad = SimAd {
            campaign_id: bid.cid.clone(),
            creative_id: bid.crid.clone(),
            category: bid.cat.first().cloned().unwrap_or_default(),
            landing: String::new(),
            width: bid.w,
            height: bid.h,
        };
        let after = self.world.borrow_mut().after_win(request, &ad, self.deps.clock.now());
        if !after.rendered {
            return;
        }
        if let Some(url) = &bid.burl {
            self.notify(&fill(url), StatusCode::NO_CONTENT).await;
        }
        let attribute = |name: &str, nth: usize| {
            let start = bid.adm.match_indices(name).nth(nth)?.0 + name.len();
            let end = bid.adm[start..].find('"')? + start;
            Some(bid.adm[start..end].replace("&amp;", "&"))
        };
        // The markup's first image is the ad, its second the impression's pixel.
        let (Some(pixel), Some(link)) = (attribute("<img src=\"", 1), attribute("<a href=\"", 0)) else {
            self.deps.tally.error(|| "the markup has no link or no pixel".to_owned());
            return;
        };
        Tally::count(&self.deps.tally.impressions);
        self.notify(&pixel, StatusCode::OK).await;
        let Some(click_at) = after.click else { return };
        let exchange = Rc::clone(self);
        // Later, and perhaps after the day has ended: then it does not happen.
        actix_rt::spawn(async move {
            tokio::time::sleep(exchange.deps.clock.real_until(click_at)).await;
            if exchange.stopped() {
                return;
            }
            Tally::count(&exchange.deps.tally.clicks);
            let landed = exchange.notify(&link, StatusCode::FOUND).await;
            let Some(order) = after.order else { return };
            let token = landed
                .as_deref()
                .and_then(|page| page.split_once(&format!("{CLICK_PARAMETER}=")))
                .map(|(_, token)| token.split(['&', '#']).next().unwrap_or_default().to_owned());
            let Some(token) = token else { return };
            tokio::time::sleep(exchange.deps.clock.real_until(order.at)).await;
            if exchange.stopped() {
                return;
            }
            Tally::count(&exchange.deps.tally.conversions);
            Tally::add(&exchange.deps.tally.revenue_micros, order.value.0);
            let url = format!(
                "{}/n/conv/{token}?value={}&order={}",
                exchange.deps.base, order.value, order.order_id
            );
            exchange.notify(&url, StatusCode::NO_CONTENT).await;
        });
    }

    /// Calls a notice; gives where it redirects to. Repeats it while the bidder says "not now", as exchanges do.
    async fn notify(&self, url: &str, expected: StatusCode) -> Option<String> {
        self.notices.set(self.notices.get() + 1);
        let mut location = None;
        let mut answered = false;
        for attempt in 0..NOTICE_TRIES {
            let Ok(response) = self.client.get(url).send().await else { break };
            if response.status() == StatusCode::SERVICE_UNAVAILABLE {
                Tally::count(&self.deps.tally.retries);
                tokio::time::sleep(Duration::from_millis(10 << attempt)).await;
                continue;
            }
            answered = response.status() == expected;
            location = response
                .headers()
                .get(header::LOCATION)
                .and_then(|location| location.to_str().ok())
                .map(str::to_owned);
            break;
        }
        if !answered {
            // Up to the token, which is secret.
            let path = url.rfind('/').and_then(|end| url.get(..end)).unwrap_or_default();
            self.deps.tally.error(|| format!("the notice {path}/… is not answered with {expected}"));
        }
        self.notices.set(self.notices.get() - 1);
        location
    }

    /// Tells the bidder what users did in the shop lately.
    async fn post_shop_events(&self) {
        let events = self.world.borrow_mut().next_shop_events(self.deps.clock.now());
        let Some(event_key) = &self.deps.event_key else { return };
        for chunk in events.chunks(EVENTS_AT_ONCE) {
            let events: Vec<_> = chunk.iter().map(ShopEvent::to_json).collect();
            let sent = self
                .client
                .post(format!("{}/events", self.deps.base))
                .insert_header((header::AUTHORIZATION, format!("Bearer {event_key}")))
                .insert_header((header::CONTENT_TYPE, "application/json"))
                .send_body(serde_json::Value::from(events).to_string());
            if !matches!(sent.await, Ok(response) if response.status() == StatusCode::NO_CONTENT) {
                self.deps.tally.error(|| "the shop's events are refused".to_owned());
            }
        }
    }
}
