//! A request's body: OpenRTB 2.6 JSON as invented exchanges send it. The bidder that is driven takes the request as it is
//! ([`crate::direct`]); who is asked over HTTP, or reads what was sent, has this.

use haggle_domain::{AuctionType, DealPrice};
use serde_json::{Map, Value, json};

use crate::bots::Bot;
use crate::catalog::AISLES;
use crate::exchange::DealOffer;
use crate::inventory::Inventory;
use crate::people::{Basis, Person};
use crate::placements::Placement;
use crate::request::{IMP_ID, OTHERS_SEAT, SimRequest};

impl SimRequest {
    /// The request as it is sent.
    pub fn body(&self) -> Vec<u8> {
        let (person, place, placement) = (&*self.who, self.place, self.placement);
        let mut imp = Map::new();
        let mut put = |key: &str, value: Value| imp.insert(key.to_owned(), value);
        put("id", json!(IMP_ID));
        put("tagid", json!(format!("{}/{}", place.domain, placement.tag)));
        put("bidfloor", json!(self.floor.to_f64()));
        put("bidfloorcur", json!(self.currency));
        put("secure", json!(1));
        put("instl", json!(u8::from(placement.interstitial)));
        put("exp", json!(EXPIRES_WITHIN));
        if !self.hidden.deals.is_empty() {
            put("pmp", pmp(&self.hidden.deals, self.currency));
        }
        if place.app {
            put("displaymanager", json!("northpole-sdk"));
            put("displaymanagerver", json!("7.4.1"));
        }
        if self.video_only {
            put("video", video());
        } else {
            put("banner", banner(placement));
        }

        let mut body = Map::new();
        let mut put = |key: &str, value: Value| body.insert(key.to_owned(), value);
        put("id", json!(self.id));
        put("at", json!(if self.auction == AuctionType::First { 1 } else { 2 }));
        put("tmax", json!(self.tmax_ms));
        put("cur", json!([self.currency]));
        put("bcat", json!(self.hidden.bcat));
        put("badv", json!(self.hidden.badv));
        if self.other_seats_only {
            put("wseat", json!([OTHERS_SEAT]));
        }
        put("imp", json!([imp]));
        put(if place.app { "app" } else { "site" }, self.content());
        put("device", self.device());
        put("user", user(person));
        put("regs", regs(person));
        put("source", source(place, &self.id));
        Value::Object(body).to_string().into_bytes()
    }

    fn content(&self) -> Value {
        let place = self.place;
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
                "page": format!("https://{}/stories/{}", place.domain, 1000 + self.story),
                "ref": format!("https://{}/", place.domain),
                "cat": place.categories, "keywords": place.keywords.join(","), "privacypolicy": 1,
                "publisher": publisher,
            })
        }
    }

    /// `device.ip`: in TEST-NET-3 of RFC 5737, and of data centres in TEST-NET-2.
    pub(crate) fn ip(&self) -> String {
        let network = if self.who.bot == Some(Bot::DataCentre) { "198.51.100" } else { "203.0.113" };
        format!("{network}.{}", self.address)
    }

    fn device(&self) -> Value {
        let person = &self.who;
        let (device, city) = (person.device, person.city);
        let mut object = json!({
            "ua": person.user_agent(), "devicetype": device.kind, "os": device.os, "osv": device.osv,
            "make": device.make, "model": device.model, "language": city.language, "js": 1,
            "w": device.width, "h": device.height,
            "connectiontype": self.connection,
            "ip": self.ip(),
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
            if self.place.app {
                fields.insert("ifa".to_owned(), json!(format!("{}-ifa", person.exchange_id)));
            }
        }
        object
    }
}

fn pmp(deals: &[DealOffer], currency: &str) -> Value {
    let offer = |deal: &DealOffer| {
        json!({
            "id": &*deal.id, "bidfloor": deal.floor.to_f64(), "bidfloorcur": currency,
            "at": match deal.price {
                DealPrice::Auction(AuctionType::First) => 1,
                DealPrice::Auction(AuctionType::SecondPlus) => 2,
                DealPrice::Fixed => 3,
            },
            "wseat": deal.seats,
        })
    };
    json!({
        "private_auction": u8::from(deals.iter().any(|deal| deal.private)),
        "deals": deals.iter().map(offer).collect::<Vec<_>>(),
    })
}

fn banner(placement: &Placement) -> Value {
    let format: Vec<Value> = placement.sizes.iter().map(|(w, h)| json!({ "w": w, "h": h })).collect();
    json!({
        "format": format,
        "pos": placement.position,
        "mimes": BANNER_MIMES,
        "btype": BLOCKED_TYPES,
        "battr": BLOCKED_ATTRIBUTES,
        "api": BANNER_APIS,
    })
}

/// `exp`, in seconds.
pub(crate) const EXPIRES_WITHIN: u32 = 300;

/// What every banner of the two exchanges says.
pub(crate) const BANNER_MIMES: [&str; 3] = ["image/jpeg", "image/png", "text/html"];
pub(crate) const BLOCKED_TYPES: [i64; 1] = [1];
pub(crate) const BLOCKED_ATTRIBUTES: [i64; 4] = [1, 3, 8, 9];
pub(crate) const BANNER_APIS: [i64; 3] = [5, 6, 7];

/// What every video says.
pub(crate) const VIDEO_MIME: &str = "video/mp4";
pub(crate) const VIDEO_SECONDS: (u32, u32) = (5, 30);
pub(crate) const VIDEO_PROTOCOLS: [i64; 3] = [2, 3, 7];
pub(crate) const LINEAR: u8 = 1;
pub(crate) const PLAYER: (u16, u16) = (640, 360);

fn video() -> Value {
    json!({
        "mimes": [VIDEO_MIME], "minduration": VIDEO_SECONDS.0, "maxduration": VIDEO_SECONDS.1,
        "protocols": VIDEO_PROTOCOLS, "w": PLAYER.0, "h": PLAYER.1, "startdelay": 0, "plcmt": 2, "linearity": LINEAR,
    })
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
