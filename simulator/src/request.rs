//! Bid requests: OpenRTB 2.6 JSON as two invented exchanges send it.

use haggle_domain::{AuctionType, CpmMicros, Tag, Timestamp};
use serde_json::{Map, Value, json};

use crate::SHOP_DOMAIN;
use crate::auction::rival_price;
use crate::catalog::{AISLE_COUNT, AISLES};
use crate::chance::Chance;
use crate::conditions::Conditions;
use crate::diurnal::hour;
use crate::inventory::{INVENTORY, Inventory};
use crate::people::{Basis, COMPUTER, PHONE, Person};
use crate::placements::{PLACEMENTS, Placement};
use crate::shop::Recent;

/// A bid request with one imp, and what the world knows of it.
#[derive(Clone, Debug)]
pub struct SimRequest {
    /// `id`, unique in the world.
    pub id: String,
    /// The only imp's `id`.
    pub imp_id: String,
    /// Which exchange asks: `alder` holds first-price auctions, `birch` second-price ones.
    pub exchange: &'static str,
    /// `at`.
    pub auction: AuctionType,
    /// The only one in `cur`, and `imp.bidfloorcur`.
    pub currency: &'static str,
    /// `imp.bidfloor`.
    pub floor: CpmMicros,
    /// `tmax`, in milliseconds.
    pub tmax_ms: u32,
    /// When it was sent.
    pub at: Timestamp,
    /// The request itself.
    pub body: Vec<u8>,
    /// What the bidder is not told.
    pub hidden: HiddenContext,
}

/// What the world knows of a request and the bidder must not: it decides the auction and what follows.
#[derive(Clone, Debug)]
pub struct HiddenContext {
    pub(crate) person: usize,
    /// As they were when it was sent; what follows is decided by them, however late.
    pub(crate) conditions: Conditions,
    pub(crate) tastes: [f64; AISLE_COUNT],
    pub(crate) readiness: f64,
    /// How easily ads are tapped here, in log-odds.
    pub(crate) tappiness: f64,
    pub(crate) content_aisle: Option<usize>,
    pub(crate) device: u8,
    pub(crate) position: u8,
    pub(crate) at: Timestamp,
    pub(crate) hour: f64,
    pub(crate) recent: Vec<Recent>,
    pub(crate) rival: Option<CpmMicros>,
    /// Sizes offered; none where the imp takes no banner.
    pub(crate) sizes: Vec<(u16, u16)>,
    pub(crate) bcat: Vec<&'static str>,
    pub(crate) badv: Vec<&'static str>,
}

/// Makes the `number`th request. Rivals draw from their own chance, so no change to the request moves a price.
pub(crate) fn make(
    chance: &mut Chance,
    mut rivals: Chance,
    number: u64,
    (index, person): (usize, &Person),
    recent: Vec<Recent>,
    conditions: Conditions,
    now: Timestamp,
) -> SimRequest {
    let place = surf(chance, person);
    let placement =
        &PLACEMENTS[chance.weighted(&PLACEMENTS.map(|it| it.weight_on(place, person.device.kind)))];
    let steps = (placement.floor * place.quality * chance.between(0.7, 1.3) * 20.0).round().max(1.0) as i64;
    let floor = CpmMicros(steps * 50_000);
    let (exchange, auction) =
        if chance.hit(0.5) { ("alder", AuctionType::First) } else { ("birch", AuctionType::SecondPlus) };
    let id = format!("{:016x}{number:08x}", chance.bits());
    let video_only = chance.hit(0.02);
    let foreign_currency = chance.hit(0.015);
    let other_seats_only = chance.hit(0.005);
    let mut bcat = vec!["IAB25", "IAB26"];
    if place.categories.contains(&"IAB13") {
        bcat.push("IAB17");
    }
    let mut badv = vec!["summit-rival.example", "cheapgear.example"];
    if chance.hit(0.01) {
        badv.push(SHOP_DOMAIN);
    }
    let tmax_ms = chance.pick(&[100, 120, 150, 200]);
    let usual = usual_price(place, placement, person, now);
    let rival = rival_price(&mut rivals, usual * conditions.rival_prices);

    let currency = if foreign_currency { "JPY" } else { "USD" };
    let mut imp = Map::new();
    let mut put = |key: &str, value: Value| imp.insert(key.to_owned(), value);
    put("id", json!("1"));
    put("tagid", json!(format!("{}/{}", place.domain, placement.tag)));
    put("bidfloor", json!(floor.to_f64()));
    put("bidfloorcur", json!(currency));
    put("secure", json!(1));
    put("instl", json!(u8::from(placement.interstitial)));
    put("exp", json!(300));
    if place.app {
        put("displaymanager", json!("northpole-sdk"));
        put("displaymanagerver", json!("7.4.1"));
    }
    if video_only {
        put("video", video());
    } else {
        put("banner", banner(placement));
    }

    let mut body = Map::new();
    let mut put = |key: &str, value: Value| body.insert(key.to_owned(), value);
    put("id", json!(id));
    put("at", json!(if auction == AuctionType::First { 1 } else { 2 }));
    put("tmax", json!(tmax_ms));
    put("cur", json!([currency]));
    put("bcat", json!(bcat));
    put("badv", json!(badv));
    if other_seats_only {
        put("wseat", json!(["seat-of-another"]));
    }
    put("imp", json!([imp]));
    put(if place.app { "app" } else { "site" }, content(chance, place));
    put("device", device(chance, person, place.app));
    put("user", user(person));
    put("regs", regs(person));
    put("source", source(place, &id));

    SimRequest {
        hidden: HiddenContext {
            person: index,
            conditions,
            tastes: person.tastes,
            readiness: person.readiness,
            tappiness: tappiness(place),
            content_aisle: place.aisle(),
            device: person.device.kind,
            position: placement.position,
            at: now,
            hour: hour(now),
            recent,
            rival,
            sizes: if video_only { Vec::new() } else { placement.sizes.to_vec() },
            bcat,
            badv,
        },
        id,
        imp_id: "1".to_owned(),
        exchange,
        auction,
        currency,
        floor,
        tmax_ms,
        at: now,
        body: Value::Object(body).to_string().into_bytes(),
    }
}

/// Where a user is when the request is made: somewhere popular, or about what they like.
fn surf(chance: &mut Chance, person: &Person) -> &'static Inventory {
    let weights = INVENTORY.each_ref().map(|place| {
        let interest = place.aisle().map_or(1.0, |aisle| (0.9 * person.tastes[aisle]).exp());
        if place.app && person.device.kind == COMPUTER { 0.0 } else { place.popularity * interest }
    });
    &INVENTORY[chance.weighted(&weights)]
}

/// The median of the rivals' best price, in units per thousand.
fn usual_price(place: &Inventory, placement: &Placement, person: &Person, now: Timestamp) -> f64 {
    let device = match person.device.kind {
        COMPUTER => 1.15,
        PHONE => 0.9,
        _ => 1.0,
    };
    let position = match placement.position {
        1 => 1.1,
        7 => 1.6,
        _ => 0.9,
    };
    let hours = 1.0 + 0.15 * ((hour(now) - 20.0) / 24.0 * std::f64::consts::TAU).cos();
    let known = if person.basis == Basis::Given { 1.0 } else { 0.65 };
    2.2 * place.quality.powf(0.7) * device * position * hours * person.worth * known
}

/// Games and quizzes are tapped by accident; a page where people read is not. And each site and app has its own way with
/// ads: in real logs the click rates of two placements of one kind easily differ tenfold.
fn tappiness(place: &Inventory) -> f64 {
    let by_accident = 0.35 * (1.05 - place.quality).clamp(-0.5, 0.6)
        + if place.categories.contains(&"IAB9-30") { 0.15 } else { 0.0 };
    // From the name alone, so that a place is the same in every world. 53 bits: all that fit a double's mantissa.
    let share = (Tag::of(place.domain).0 >> 11) as f64 / (1u64 << 53) as f64;
    by_accident + 2.4 * (share - 0.5)
}

fn banner(placement: &Placement) -> Value {
    let format: Vec<Value> = placement.sizes.iter().map(|(w, h)| json!({ "w": w, "h": h })).collect();
    json!({
        "format": format,
        "pos": placement.position,
        "mimes": ["image/jpeg", "image/png", "text/html"],
        "btype": [1],
        "battr": [1, 3, 8, 9],
        "api": [5, 6, 7],
    })
}

fn video() -> Value {
    json!({
        "mimes": ["video/mp4"], "minduration": 5, "maxduration": 30, "protocols": [2, 3, 7],
        "w": 640, "h": 360, "startdelay": 0, "plcmt": 2, "linearity": 1,
    })
}

fn content(chance: &mut Chance, place: &Inventory) -> Value {
    let publisher =
        json!({ "id": format!("pub-{}", place.domain), "name": place.name, "domain": place.domain });
    if place.app {
        json!({
            "id": format!("app-{}", place.domain), "name": place.name, "bundle": place.domain,
            "storeurl": format!("https://store.example/apps/{}", place.domain), "ver": "5.2.0",
            "cat": place.categories, "keywords": place.keywords.join(","), "privacypolicy": 1,
            "publisher": publisher,
        })
    } else {
        json!({
            "id": format!("site-{}", place.domain), "name": place.name, "domain": place.domain,
            "page": format!("https://{}/stories/{}", place.domain, 1000 + chance.index(400)),
            "ref": format!("https://{}/", place.domain),
            "cat": place.categories, "keywords": place.keywords.join(","), "privacypolicy": 1,
            "publisher": publisher,
        })
    }
}

fn device(chance: &mut Chance, person: &Person, in_app: bool) -> Value {
    let (device, city) = (person.device, person.city);
    let mut object = json!({
        "ua": device.user_agent, "devicetype": device.kind, "os": device.os, "osv": device.osv,
        "make": device.make, "model": device.model, "language": city.language, "js": 1,
        "w": device.width, "h": device.height,
        "connectiontype": if device.kind == PHONE { chance.pick(&[2, 6, 7]) } else { 2 },
        // TEST-NET-3 of RFC 5737.
        "ip": format!("203.0.113.{}", chance.index(256)),
        "dnt": u8::from(person.basis == Basis::DoNotTrack),
        "lmt": u8::from(person.basis == Basis::LimitTracking),
        "geo": {
            "country": city.country, "region": city.region, "city": city.name,
            "lat": city.latitude, "lon": city.longitude, "type": 2,
        },
    });
    if let Value::Object(fields) = &mut object {
        // Some exchanges would leave empty strings in; these leave the field out.
        fields.retain(|_, value| value.as_str() != Some(""));
        if in_app {
            fields.insert("ifa".to_owned(), json!(format!("{}-ifa", person.exchange_id)));
        }
    }
    object
}

/// User-level data goes out without a basis too, as some exchanges do: the bidder has to look away by itself.
fn user(person: &Person) -> Value {
    let segments: Vec<Value> = person
        .segments
        .iter()
        .map(|aisle| json!({ "id": AISLES[*aisle].word, "name": AISLES[*aisle].title }))
        .collect();
    let mut object = json!({
        "id": person.exchange_id, "buyeruid": person.shop_id, "yob": person.born,
        "data": [{ "id": "cairn-data", "name": "Cairn Data", "segment": segments }],
    });
    if let (Value::Object(fields), false) = (&mut object, person.keywords.is_empty()) {
        fields.insert("keywords".to_owned(), json!(person.keywords.join(",")));
    }
    object
}

fn regs(person: &Person) -> Value {
    let gdpr = u8::from(person.basis == Basis::NoConsent);
    if person.city.country == "USA" {
        json!({ "coppa": 0, "gdpr": gdpr, "us_privacy": "1YNN" })
    } else {
        json!({ "coppa": 0, "gdpr": gdpr })
    }
}

fn source(place: &Inventory, id: &str) -> Value {
    json!({
        "tid": id, "fd": 0,
        "schain": {
            "complete": 1, "ver": "1.0",
            "nodes": [{ "asi": "exchange.example", "sid": place.domain, "hp": 1 }],
        },
    })
}
