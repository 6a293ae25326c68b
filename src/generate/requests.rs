//! Bid requests as exchanges send them: OpenRTB 2.6, one to three kilobytes.
//!
//! About four in ten are such that hardly any campaign can answer them: odd sizes, floors above what anybody pays, deals of
//! others, other currencies and seats, formats that ask for more than ads have.

use serde_json::{Map, Value, json};

use super::consent;
use super::world::{
    APPS, CITIES, Chance, City, DEVICES, Device, ODD_SIZES, SITES, SIZES, TOPICS, TOUCHY, Topic, USERS, Zipf,
    app, site, topics, user,
};

/// Makes requests, one after the other.
pub struct Requests {
    chance: Chance,
    sites: Zipf,
    apps: Zipf,
    users: Zipf,
    topics: Zipf,
    made: u64,
}

impl Requests {
    /// The same seed makes the same requests.
    pub fn new(seed: u64) -> Self {
        Self {
            chance: Chance::new(seed, 1),
            sites: Zipf::new(SITES, 0.95),
            apps: Zipf::new(APPS, 1.0),
            users: Zipf::new(USERS, 0.4),
            topics: Zipf::new(TOPICS.len(), 0.8),
            made: 0,
        }
    }

    /// The next.
    pub fn next_request(&mut self) -> String {
        self.made += 1;
        let chance = &mut self.chance;
        let place = chance.weighted(&CITIES, |it| it.weight);
        let in_app = chance.hit(0.22);
        let device = loop {
            let device = chance.weighted(&DEVICES, |it| it.weight);
            if !in_app || device.kind != 2 {
                break device;
            }
        };
        let rank = if in_app { self.apps.draw(chance) } else { self.sites.draw(chance) };
        let about = topics(if in_app { rank + SITES } else { rank });
        let number = self.users.draw(chance);
        let first_price = chance.hit(0.8);
        let id = format!("{:016x}{:08x}", chance.bits(), self.made);
        let imps = match chance.share() {
            share if share < 0.93 => 1,
            share if share < 0.98 => 2,
            _ => 3,
        };
        // Of the whole request, so that several imps are refused together, as they are.
        let hard = chance.hit(0.36);
        let imp: Vec<Value> = (1..=imps).map(|number| imp(chance, number, in_app, device, hard)).collect();
        let mut body = Map::new();
        let mut put = |key: &str, value: Value| body.insert(key.to_owned(), value);
        put("id", json!(id));
        put("imp", json!(imp));
        put(if in_app { "app" } else { "site" }, channel(chance, rank, in_app, &about));
        put("device", device_of(chance, device, place, in_app, number));
        let law = Law::of(chance, place);
        put("user", person(chance, &self.topics, number, &law));
        put("at", json!(if first_price { 1 } else { 2 }));
        put("tmax", json!(chance.pick(&[100, 120, 150, 200, 250])));
        put("cur", json!([if chance.hit(0.01) { "JPY" } else { "USD" }]));
        put("bcat", blocked_categories(chance));
        put("badv", blocked_advertisers(chance));
        if chance.hit(0.01) {
            put("wseat", json!(["seat-of-another", "agency-17"]));
        }
        put("regs", law.regs());
        put("source", source(chance, &id, rank, in_app));
        Value::Object(body).to_string()
    }
}

fn imp(chance: &mut Chance, number: usize, in_app: bool, device: &Device, hard: bool) -> Value {
    let floor = match hard && chance.hit(0.35) {
        true => chance.amount(30.0, 90.0),
        false => chance.amount(0.05, 1.6),
    };
    let mut imp = Map::new();
    let mut put = |key: &str, value: Value| imp.insert(key.to_owned(), value);
    put("id", json!(number.to_string()));
    put(
        "tagid",
        json!(format!("{}-{}", chance.pick(&["atf", "mid", "btf", "rail", "sticky"]), chance.index(40))),
    );
    put("bidfloor", json!((floor * 100.0).round() / 100.0));
    put("bidfloorcur", json!("USD"));
    put("secure", json!(1));
    put("exp", json!(chance.pick(&[300, 600, 900])));
    if in_app {
        put("displaymanager", json!("northpole-sdk"));
        put("displaymanagerver", json!("7.4.1"));
    } else {
        put("ext", json!({ "gpid": format!("/1{}/home/unit-{}", chance.index(100_000), chance.index(30)) }));
    }
    match chance.share() {
        share if share < 0.86 => {
            let interstitial = in_app && chance.hit(0.15);
            put("instl", json!(u8::from(interstitial)));
            put("banner", banner(chance, device, in_app, hard));
        }
        share if share < 0.94 => {
            put("video", video(chance, hard));
        }
        _ => {
            put("native", native(hard));
        }
    }
    if chance.hit(0.06) {
        put("pmp", deals(chance, hard));
    } else if hard && chance.hit(0.15) {
        put("pmp", json!({ "private_auction": 1, "deals": [deal(chance, 20.0)] }));
    }
    Value::Object(imp)
}

fn banner(chance: &mut Chance, device: &Device, in_app: bool, hard: bool) -> Value {
    let mut sizes = Vec::new();
    let fits = |width: u16| device.kind == 2 || width <= 336;
    let count = if in_app { 1 } else { *chance.weighted(&[1, 2, 3], |count| [0.55, 0.3, 0.15][count - 1]) };
    while sizes.len() < count {
        let size = match hard {
            true => *chance.pick(&ODD_SIZES),
            false => {
                let (width, height, _) =
                    *chance.weighted(&SIZES, |(width, _, weight)| if fits(*width) { *weight } else { 0.0 });
                (width, height)
            }
        };
        if !sizes.contains(&size) {
            sizes.push(size);
        }
    }
    let (width, height) = sizes[0];
    let format: Vec<Value> = sizes.iter().map(|(w, h)| json!({ "w": w, "h": h })).collect();
    json!({
        "w": width, "h": height, "format": format, "pos": chance.pick(&[0, 1, 1, 3, 3]),
        "mimes": ["text/html", "text/javascript", "image/jpeg", "image/png", "image/gif"],
        "btype": [4], "battr": [1, 2, 3, 6, 8, 9, 10, 14], "api": if in_app { json!([5, 6, 7]) } else { json!([7]) },
        "topframe": 0, "expdir": [2, 4],
    })
}

fn video(chance: &mut Chance, hard: bool) -> Value {
    let (mimes, protocols) = match hard {
        // A script that plays: hardly an ad is one.
        true => (json!(["application/javascript"]), json!([1])),
        false => (json!(["video/mp4", "video/webm"]), json!([2, 3, 5, 6, 7, 8])),
    };
    json!({
        "mimes": mimes, "protocols": protocols, "minduration": 5, "maxduration": chance.pick(&[15, 30, 30, 60]),
        "w": 640, "h": 360, "startdelay": chance.pick(&[0, 0, -1]), "plcmt": chance.pick(&[1, 2, 2, 4]), "linearity": 1,
        "skip": 1, "skipmin": 15, "skipafter": 5, "playbackmethod": [2, 6], "delivery": [2], "pos": 1, "api": [2, 7],
        "battr": [1, 2, 8, 9], "maxbitrate": 4_000,
    })
}

fn native(hard: bool) -> Value {
    let mut assets = vec![
        json!({ "id": 1, "required": 1, "title": { "len": 90 } }),
        json!({ "id": 2, "required": 1, "img": { "type": 3, "wmin": 600, "hmin": 300, "mimes": ["image/jpeg", "image/png"] } }),
        json!({ "id": 3, "required": 0, "img": { "type": 1, "wmin": 64, "hmin": 64 } }),
        json!({ "id": 4, "required": 1, "data": { "type": 1, "len": 40 } }),
        json!({ "id": 5, "required": 0, "data": { "type": 2, "len": 140 } }),
        json!({ "id": 6, "required": 0, "data": { "type": 12, "len": 20 } }),
    ];
    if hard {
        assets.push(json!({ "id": 7, "required": 1, "video":
            { "mimes": ["video/mp4"], "minduration": 5, "maxduration": 30, "protocols": [2, 3] } }));
    }
    let request = json!({
        "ver": "1.2", "context": 1, "plcmttype": 1, "plcmtcnt": 1, "assets": assets, "privacy": 1,
        "eventtrackers": [{ "event": 1, "methods": [1, 2] }],
    });
    json!({ "request": request.to_string(), "ver": "1.2", "api": [7] })
}

/// Deals anybody may use beside the open auction, or, where hard, only others may.
fn deals(chance: &mut Chance, hard: bool) -> Value {
    let count = chance.between(1, 3);
    let deals: Vec<Value> = (0..count).map(|_| deal(chance, 3.0)).collect();
    json!({ "private_auction": u8::from(hard), "deals": deals })
}

fn deal(chance: &mut Chance, most: f64) -> Value {
    json!({
        "id": format!("deal-{:05}", chance.index(20_000)), "at": 1, "bidfloorcur": "USD",
        "bidfloor": (chance.amount(0.8, most) * 100.0).round() / 100.0, "wseat": ["seat-of-another"],
    })
}

fn channel(chance: &mut Chance, rank: usize, in_app: bool, about: &[&Topic; 2]) -> Value {
    let mut categories = vec![about[0].category];
    if about[1].category != about[0].category {
        categories.push(about[1].category);
    }
    let words =
        [about[0].words[chance.index(4)], about[0].words[chance.index(4)], about[1].words[chance.index(4)]];
    let publisher =
        json!({ "id": format!("pub-{:05}", rank % 1_200), "name": format!("Publisher {}", rank % 1_200) });
    let mut channel = json!({
        "cat": categories, "keywords": words.join(","), "publisher": publisher, "privacypolicy": 1,
        "content": { "language": "en", "cat": [categories[0]], "context": 5 },
    });
    if let Value::Object(fields) = &mut channel {
        let mut put = |key: &str, value: Value| fields.insert(key.to_owned(), value);
        if in_app {
            let bundle = app(rank);
            put("id", json!(format!("app-{rank:05}")));
            put("name", json!(format!("App {rank}")));
            put("storeurl", json!(format!("https://store.example/apps/details?id={bundle}")));
            put("bundle", json!(bundle));
            put("ver", json!("5.2.0"));
        } else {
            let domain = site(rank);
            let story = chance.index(9_000);
            put("id", json!(format!("site-{rank:05}")));
            put("name", json!(format!("Site {rank}")));
            put("page", json!(format!("https://www.{domain}/{}/{}-{story}", about[0].words[0], words[0])));
            put("ref", json!(format!("https://www.{domain}/")));
            put("domain", json!(domain));
            put("mobile", json!(1));
        }
    }
    channel
}

fn device_of(chance: &mut Chance, device: &Device, place: &City, in_app: bool, number: usize) -> Value {
    let off = |chance: &mut Chance| (chance.share() - 0.5) * 0.4;
    let round = |degrees: f64| (degrees * 1e4).round() / 1e4;
    let rest = chance.index(100);
    let zip = match place.country {
        "USA" => format!("{}{rest:02}", place.zip),
        "CAN" | "GBR" => place.zip.to_owned(),
        _ => format!("{}{rest:02}", place.zip),
    };
    let (lat, lon) = (place.lat + off(chance), place.lon + off(chance));
    let mut object = json!({
        "ua": device.ua, "ip": format!("{}.{}.{}.{}", 64 + chance.index(8), chance.index(256), chance.index(256), 1 + chance.index(250)),
        "devicetype": device.kind, "os": device.os, "osv": device.osv, "make": device.make, "model": device.model,
        "language": place.language, "js": 1, "dnt": 0, "lmt": u8::from(chance.hit(0.08)),
        "w": device.screen.0, "h": device.screen.1,
        "connectiontype": if device.kind == 4 { *chance.pick(&[2, 2, 6, 6, 7]) } else { 2 },
        "carrier": if device.kind == 4 { "Example Wireless" } else { "" },
        "geo": {
            "country": place.country, "region": place.region, "city": place.name, "zip": zip, "type": 2, "ipservice": 3,
            "lat": round(lat), "lon": round(lon), "utcoffset": (place.lon / 15.0).round() as i64 * 60,
        },
    });
    if let Value::Object(fields) = &mut object {
        fields.retain(|_, value| value.as_str() != Some(""));
        if in_app {
            fields.insert(
                "ifa".to_owned(),
                json!(format!("{:08x}-0000-4000-8000-{number:012x}", number * 2_654_435)),
            );
        }
        if device.kind == 2 || device.os == "Android" {
            let version = json!(["131", "0", "6778", "86"]);
            let brand = |name: &str| json!({ "brand": name, "version": version });
            fields.insert("sua".to_owned(), json!({
                "browsers": [brand("Chromium"), brand("Google Chrome")], "mobile": u8::from(device.kind != 2),
                "platform": { "brand": device.os, "version": [device.osv] }, "source": 2,
            }));
        }
        if device.ua.contains("Firefox") || device.os == "macOS" {
            fields.remove("sua");
        }
    }
    object
}

/// Which law a request names, and what the user said under it.
enum Law {
    None,
    UsPrivacy(&'static str),
    Gpp(String),
    Gdpr(String),
}

impl Law {
    fn of(chance: &mut Chance, place: &City) -> Self {
        match place.country {
            "USA" => match chance.share() {
                share if share < 0.42 => Self::UsPrivacy(if chance.hit(0.05) { "1YYN" } else { "1YNN" }),
                share if share < 0.62 => Self::Gpp(consent::gpp_national(chance.hit(0.05))),
                _ => Self::None,
            },
            "CAN" => Self::None,
            _ => {
                let consents = chance.hit(0.8);
                let seed = chance.bits();
                let mut others = Chance::new(seed, 3);
                let vendors: Vec<bool> = (0..1024).map(|_| others.hit(0.8)).collect();
                Self::Gdpr(consent::tc(consents, |vendor| vendors.get(vendor).copied().unwrap_or(false)))
            }
        }
    }

    fn regs(&self) -> Value {
        match self {
            Self::None => json!({ "coppa": 0 }),
            Self::UsPrivacy(text) => json!({ "coppa": 0, "gdpr": 0, "us_privacy": text }),
            Self::Gpp(text) => json!({ "coppa": 0, "gpp": text, "gpp_sid": [7] }),
            Self::Gdpr(_) => json!({ "coppa": 0, "gdpr": 1 }),
        }
    }
}

fn person(chance: &mut Chance, by_reach: &Zipf, number: usize, law: &Law) -> Value {
    // What somebody likes stays the same from request to request.
    let mut own = Chance::new(number as u64, 11);
    let count = own.between(1, 4);
    let likes = by_reach.some(&mut own, count);
    let segments: Vec<Value> = likes
        .iter()
        .map(|like| &TOPICS[*like])
        .map(|topic| json!({ "id": topic.words[0], "name": topic.words[0] }))
        .collect();
    let mut person = json!({
        "id": format!("x{number:015x}"),
        "data": [{ "id": "cairn-data", "name": "Cairn Data", "segment": segments }],
    });
    if let Value::Object(fields) = &mut person {
        if chance.hit(0.72) {
            fields.insert("buyeruid".to_owned(), json!(user(number)));
            fields.insert(
                "eids".to_owned(),
                json!([
                    { "source": "id.example", "uids": [{ "id": format!("E1-{number:020x}"), "atype": 3 }] },
                ]),
            );
        }
        if let Law::Gdpr(consent) = law {
            fields.insert("consent".to_owned(), json!(consent));
        }
    }
    person
}

fn blocked_categories(chance: &mut Chance) -> Value {
    let mut blocked = vec!["IAB25", "IAB26", "IAB24", "IAB23", "IAB11", "IAB14-1", "IAB9-9", "IAB7-44"];
    for _ in 0..chance.index(5) {
        blocked.push(*chance.pick(&TOUCHY));
    }
    if chance.hit(0.3) {
        blocked.push(chance.pick(&TOPICS).category);
    }
    blocked.dedup();
    json!(blocked)
}

fn blocked_advertisers(chance: &mut Chance) -> Value {
    let count = chance.between(2, 9);
    let blocked: Vec<String> =
        (0..count).map(|_| format!("advertiser-{:04}.example", chance.index(4_000))).collect();
    json!(blocked)
}

fn source(chance: &mut Chance, id: &str, rank: usize, in_app: bool) -> Value {
    let seller = format!("pub-{:05}", rank % 1_200);
    let mut nodes = vec![json!({ "asi": "exchange.example", "sid": seller, "hp": 1 })];
    if chance.hit(0.35) {
        nodes.push(json!({ "asi": "reseller.example", "sid": format!("r-{}", chance.index(300)), "rid": id, "hp": 1 }));
    }
    json!({ "tid": id, "fd": u8::from(in_app), "schain": { "complete": 1, "ver": "1.0", "nodes": nodes } })
}
