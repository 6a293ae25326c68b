//! Users: what an exchange sees of them, and what it does not.

use haggle_domain::Tag;

use crate::bots::{Bot, HEADLESS, HEADLESS_BROWSER};
use crate::catalog::{AISLE_COUNT, AISLES, Product};
use crate::chance::{Chance, Use};
use crate::places::{CITIES, City};
use crate::season::TASTE;
use crate::seen::Seen;

/// A device with what an exchange says of it.
#[derive(Debug)]
pub(crate) struct Device {
    /// OpenRTB `devicetype`.
    pub(crate) kind: u8,
    pub(crate) os: &'static str,
    pub(crate) osv: &'static str,
    pub(crate) make: &'static str,
    pub(crate) model: &'static str,
    pub(crate) user_agent: &'static str,
    /// Which browser that is.
    pub(crate) browser: &'static str,
    pub(crate) width: u16,
    pub(crate) height: u16,
    weight: f64,
}

/// OpenRTB's `devicetype` numbers that occur here.
pub const COMPUTER: u8 = 2;
/// See [`COMPUTER`].
pub const PHONE: u8 = 4;
/// See [`COMPUTER`].
pub const TABLET: u8 = 5;

const DEVICES: [Device; 6] = [
    Device {
        kind: PHONE,
        os: "iOS",
        osv: "18.6",
        make: "Apple",
        model: "iPhone16,1",
        user_agent: "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1",
        browser: "safari",
        width: 393,
        height: 852,
        weight: 30.0,
    },
    Device {
        kind: PHONE,
        os: "Android",
        osv: "15",
        make: "Google",
        model: "Pixel 9",
        user_agent: "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Mobile Safari/537.36",
        browser: "chrome",
        width: 412,
        height: 923,
        weight: 25.0,
    },
    Device {
        kind: TABLET,
        os: "iOS",
        osv: "18.6",
        make: "Apple",
        model: "iPad14,8",
        user_agent: "Mozilla/5.0 (iPad; CPU OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1",
        browser: "safari",
        width: 820,
        height: 1180,
        weight: 9.0,
    },
    Device {
        kind: COMPUTER,
        os: "Windows",
        osv: "10.0",
        make: "",
        model: "",
        user_agent: "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
        browser: "chrome",
        width: 1920,
        height: 1080,
        weight: 22.0,
    },
    Device {
        kind: COMPUTER,
        os: "macOS",
        osv: "15.6",
        make: "Apple",
        model: "",
        user_agent: "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Safari/605.1.15",
        browser: "safari",
        width: 1512,
        height: 982,
        weight: 11.0,
    },
    Device {
        kind: COMPUTER,
        os: "Linux",
        osv: "",
        make: "",
        model: "",
        user_agent: "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0",
        browser: "firefox",
        width: 1920,
        height: 1200,
        weight: 3.0,
    },
];

/// What a user's device or law says about user-level data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Basis {
    /// It may be used.
    Given,
    /// GDPR applies and there is no consent.
    NoConsent,
    /// `lmt = 1`.
    LimitTracking,
    /// `dnt = 1`.
    DoNotTrack,
}

/// A user.
#[derive(Debug)]
pub(crate) struct Person {
    /// The shop's id, which the exchanges send back as `buyeruid`.
    pub(crate) shop_id: String,
    /// The exchanges' id.
    pub(crate) exchange_id: String,
    pub(crate) city: &'static City,
    pub(crate) device: &'static Device,
    pub(crate) born: u16,
    pub(crate) basis: Basis,
    /// How much they surf, relative to the others.
    pub(crate) activity: f64,
    /// Hidden: how dear each aisle is to them.
    pub(crate) tastes: [f64; AISLE_COUNT],
    /// Hidden, and shown by nothing: how readily they click at all, in log-odds.
    pub(crate) readiness: f64,
    /// What rivals would pay for them, relative to the others.
    pub(crate) worth: f64,
    /// Aisles that a data vendor believes they like: mostly right, sometimes wrong.
    pub(crate) segments: Vec<usize>,
    /// Product words that they looked for.
    pub(crate) keywords: Vec<&'static str>,
    /// How much more they look at what is about each aisle.
    pub(crate) interests: [f64; AISLE_COUNT],
    /// As a bidder has them.
    pub(crate) seen: Seen,
    /// Whether it is none but a program.
    pub(crate) bot: Option<Bot>,
}

impl Person {
    /// `hidden` is how much of them no request shows, as a share of what that usually is.
    pub(crate) fn new(seed: u64, index: usize, hidden: f64) -> Self {
        let mut chance = Chance::new(seed, Use::Person, index as u64, 0);
        let city = &CITIES[chance.weighted(&CITIES.map(|city| city.weight))];
        let device = &DEVICES[chance.weighted(&DEVICES.map(|device| device.weight))];
        let basis = match chance.uniform() {
            _ if shows_all(seed, index, hidden) => Basis::Given,
            _ if city.under_gdpr() => Basis::NoConsent,
            share if share < 0.015 => Basis::LimitTracking,
            share if share < 0.022 => Basis::DoNotTrack,
            _ => Basis::Given,
        };
        let favourites = favourites(&mut chance, city);
        let mut tastes = [0.0; AISLE_COUNT];
        let mut segments = Vec::new();
        let mut keywords = Vec::new();
        for (aisle, taste) in tastes.iter_mut().enumerate() {
            let favourite = favourites[aisle];
            let own = if favourite { chance.between(0.7, 1.6) } else { -0.4 + 0.25 * chance.normal() };
            let usual = if favourite { 1.15 } else { -0.4 };
            *taste = if hidden < 1.0 { usual + hidden * (own - usual) } else { own };
            if chance.hit(if favourite { 1.0 - 0.15 * hidden } else { 0.05 * hidden }) {
                segments.push(aisle);
            }
            if chance.hit(if favourite { 0.55 } else { 0.03 }) {
                let item = chance.index(AISLES[aisle].products.len());
                keywords.push(Product { aisle, item }.word());
            }
        }
        let shop_id = format!("fw-{index:06}");
        Self {
            seen: Seen::of((&shop_id, basis), (city, device), &segments, &keywords),
            interests: tastes.map(|taste| (TASTE * taste).exp()),
            shop_id,
            exchange_id: format!("{:016x}", chance.bits()),
            city,
            device,
            born: 1955 + chance.index(52) as u16,
            basis,
            activity: chance.lognormal(1.0, 0.7),
            tastes,
            readiness: 0.3 * hidden * chance.normal(),
            worth: chance.lognormal(1.0, 0.25),
            segments,
            keywords,
            bot: None,
        }
    }
}

impl Person {
    /// The same, but a program.
    pub(crate) fn made_bot(mut self, bot: Option<Bot>) -> Self {
        self.bot = bot;
        if bot == Some(Bot::Headless) {
            self.seen.browser = Tag::of(HEADLESS_BROWSER);
        }
        self
    }

    /// What its browser calls itself.
    pub(crate) fn user_agent(&self) -> &'static str {
        if self.bot == Some(Bot::Headless) { HEADLESS } else { self.device.user_agent }
    }
}

/// Whether somebody lets themselves be known, whatever their law and device say: where little is hidden, most do.
fn shows_all(seed: u64, index: usize, hidden: f64) -> bool {
    hidden < 1.0 && !Chance::new(seed, Use::Shows, index as u64, 0).hit(hidden)
}

/// One to three aisles, by their popularity and the city's love.
fn favourites(chance: &mut Chance, city: &City) -> [bool; AISLE_COUNT] {
    let mut weights = [0.0; AISLE_COUNT];
    for (weight, aisle) in weights.iter_mut().zip(&AISLES) {
        *weight = aisle.popularity * if aisle.word == city.loves { 2.5 } else { 1.0 };
    }
    let mut chosen = [false; AISLE_COUNT];
    for _ in 0..=chance.index(3) {
        let aisle = chance.weighted(&weights);
        chosen[aisle] = true;
        weights[aisle] = 0.0;
    }
    chosen
}
