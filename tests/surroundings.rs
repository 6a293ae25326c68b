//! What the operator's own files add to requests: where addresses are, what categories belong to, who is on which list.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test, a panic is a failure")]

mod support;

use std::fs;
use std::path::Path;

use haggle::config::{self, SettingsLayer};
use haggle::surroundings::Surroundings;
use haggle_domain::{Basis, Context, ExchangeKey, ListKey, Place, Tag, Timestamp};
use haggle_openrtb::{Asker, UserId, parse};
use serde_json::{Value, json};
use support::mmdb::database;
use support::{HandClock, Rig, write_config};

const EXCHANGE: &str = "[[exchange]]\nname = \"one\"\nbill_on = \"burl\"\n";

/// Loads what a configuration in `folder` names.
fn load(folder: &Path, server: &str) -> Result<Surroundings, String> {
    fs::create_dir_all(folder.join("campaigns")).unwrap();
    fs::write(folder.join("haggle.toml"), format!("{server}\n{EXCHANGE}")).unwrap();
    let loaded = config::load(Some(&folder.join("haggle.toml")), &SettingsLayer::default()).unwrap();
    let prefix = format!("{}/", folder.display());
    Surroundings::load(&loaded).map_err(|error| error.to_string().replace(&prefix, ""))
}

/// The context of a request whose basis is this.
fn context(surroundings: &Surroundings, members: &Value, basis: Basis) -> Context {
    let mut request = json!({ "id": "r", "imp": [{ "id": "1" }] });
    request.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    let body = request.to_string();
    let request = parse(body.as_bytes()).unwrap();
    let rates = config::load_built_in(&SettingsLayer::default()).unwrap().rates;
    let asker = Asker {
        exchange: ExchangeKey::of("one"),
        seat: "haggle",
        user_ids: &[UserId::Buyeruid],
        rates: &rates,
    };
    let mut context = request.context(&asker, basis);
    let winter: Timestamp = "2026-01-15T12:00:00Z".parse().unwrap();
    surroundings.complete(&request, &mut context, winter);
    context
}

/// One network in the country alone, and within it one that is known better.
fn cities() -> Vec<u8> {
    let whole = json!({
        "country": { "iso_code": "US", "names": { "en": "United States" } },
        "subdivisions": [{ "iso_code": "NV" }, { "iso_code": "X" }],
        "city": { "names": { "de": "Rino", "en": "Reno" } },
        "postal": { "code": "89501" },
        "location": { "latitude": 39.5, "longitude": -119.8, "time_zone": "America/Los_Angeles", "accuracy_radius": 20 },
    });
    database(&[
        ("71.2.3.0", 24, whole.clone()),
        ("71.2.4.0", 24, json!({ "country": { "iso_code": "US" } })),
        ("62.0.0.0", 8, json!({ "country": { "iso_code": "DE" }, "traits": { "is_anycast": 1 } })),
        ("2600:1700::", 48, whole),
    ])
}

#[test]
fn an_address_fills_what_a_request_leaves_out() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("cities.mmdb"), cities()).unwrap();
    let surroundings = load(folder.path(), "geoip_file = \"cities.mmdb\"").unwrap();
    let reno = Place::from_degrees(39.5, -119.8);
    for address in [
        json!({ "ip": "71.2.3.77" }),
        json!({ "ipv6": "2600:1700:0:1::7" }),
        json!({ "ip": "::ffff:71.2.3.4" }),
    ] {
        let found = context(&surroundings, &json!({ "device": address }), Basis::ALL);
        assert_eq!(
            (found.country, found.region, found.city),
            (Tag::of("USA"), Tag::of("NV"), Tag::of("Reno"))
        );
        assert_eq!(
            (found.place, found.utc_offset, found.postcodes.len()),
            (reno, Some(-480), 4),
            "{address}"
        );
    }
    let country = context(&surroundings, &json!({ "device": { "ip": "71.2.4.1" } }), Basis::ALL);
    assert_eq!((country.country, country.region, country.place), (Tag::of("USA"), Tag::NONE, None));
    let unknown = context(&surroundings, &json!({ "device": { "ip": "9.9.9.9" } }), Basis::ALL);
    assert_eq!((unknown.country, unknown.utc_offset), (Tag::NONE, None));
}

#[test]
fn what_a_request_says_is_never_mixed_with_another_place() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("cities.mmdb"), cities()).unwrap();
    let surroundings = load(folder.path(), "geoip_file = \"cities.mmdb\"").unwrap();
    let at = |geo: Value| {
        context(&surroundings, &json!({ "device": { "ip": "71.2.3.77", "geo": geo } }), Basis::ALL)
    };
    let abroad = at(json!({ "country": "CAN" }));
    assert_eq!((abroad.country, abroad.region, abroad.place), (Tag::of("CAN"), Tag::NONE, None));
    let elsewhere = at(json!({ "country": "USA", "region": "CA" }));
    assert_eq!((elsewhere.region, elsewhere.city, elsewhere.utc_offset), (Tag::of("CA"), Tag::NONE, None));
    let next_door = at(json!({ "country": "USA", "region": "NV", "city": "Sparks" }));
    assert_eq!(
        (next_door.city, next_door.postcodes.len(), next_door.utc_offset),
        (Tag::of("Sparks"), 0, Some(-480))
    );
    let own = at(json!({ "country": "USA", "zip": "12345", "lat": 1.0, "lon": 2.0, "utcoffset": 60 }));
    assert_eq!(
        (own.city, own.utc_offset, own.place),
        (Tag::of("Reno"), Some(60), Place::from_degrees(1.0, 2.0))
    );
    assert!(own.postcodes.contains(&Tag::of("12345")) && !own.postcodes.contains(&Tag::of("89501")));
}

#[test]
fn without_the_basis_an_address_tells_country_and_region_alone() {
    let folder = tempfile::tempdir().unwrap();
    // The last part of the address is cut off, so what is known of it alone is not found.
    let host = json!({ "country": { "iso_code": "CA" }, "city": { "names": { "en": "Banff" } } });
    let network = json!({
        "country": { "iso_code": "US" }, "subdivisions": [{ "iso_code": "NV" }], "city": { "names": { "en": "Reno" } },
        "postal": { "code": "89501" }, "location": { "latitude": 39.5, "longitude": -119.8 },
    });
    fs::write(folder.path().join("a.mmdb"), database(&[("71.2.3.77", 32, host), ("71.2.3.0", 26, network)]))
        .unwrap();
    let surroundings = load(folder.path(), "geoip_file = \"a.mmdb\"").unwrap();
    let of = |basis| context(&surroundings, &json!({ "device": { "ip": "71.2.3.77" } }), basis);
    assert_eq!((of(Basis::ALL).country, of(Basis::ALL).city), (Tag::of("CAN"), Tag::of("Banff")));
    for basis in [Basis::NONE, Basis::READ, Basis::TARGET, Basis::LEARN.or(Basis::PRECISE_PLACE)] {
        let found = of(basis);
        assert_eq!((found.country, found.region), (Tag::of("USA"), Tag::of("NV")), "{basis:?}");
        assert_eq!((found.city, found.place, found.postcodes.len()), (Tag::NONE, None, 0), "{basis:?}");
    }
}

#[test]
fn a_category_belongs_to_what_its_taxonomy_says() {
    let folder = tempfile::tempdir().unwrap();
    let taxonomy = "Relational ID System\t\t\nUnique ID\tParent\tName\n483\t\tSports\n509\t483\tHiking\n";
    fs::write(folder.path().join("three.tsv"), taxonomy).unwrap();
    let surroundings = load(folder.path(), "[[taxonomy]]\nid = 7\nfile = \"three.tsv\"").unwrap();
    let of = |taxonomy: u8| {
        let site = json!({ "site": { "cattax": taxonomy, "cat": ["509"] } });
        context(&surroundings, &site, Basis::NONE).categories.to_vec()
    };
    assert_eq!(of(7), [Tag::category(7, "509"), Tag::category(7, "483")]);
    assert_eq!(of(6), [Tag::category(6, "509")]);
}

#[test]
fn sites_apps_and_users_know_their_lists() {
    let folder = tempfile::tempdir().unwrap();
    for (file, text) in [
        ("good.txt", "# ours\nnews.example\ncom.example.app\n"),
        ("best.txt", "sport.news.example\n"),
        ("seen.txt", "user-1\nUser-2 # tester\n"),
    ] {
        fs::write(folder.path().join(file), text).unwrap();
    }
    let list = |name: &str, kind: &str| {
        format!("[[list]]\nname = \"{name}\"\nkind = \"{kind}\"\nfile = \"{name}.txt\"\n")
    };
    let server = [list("good", "inventory"), list("best", "inventory"), list("seen", "users")].concat();
    let surroundings = load(folder.path(), &server).unwrap();
    let lists = |members: Value| context(&surroundings, &members, Basis::NONE).lists.to_vec();
    let (good, best) = (ListKey::of("good"), ListKey::of("best"));
    assert_eq!(lists(json!({ "site": { "domain": "News.example" } })), [good]);
    assert_eq!(lists(json!({ "site": { "page": "https://a.sport.news.example/x" } })), [best, good]);
    assert_eq!(lists(json!({ "site": { "domain": "othernews.example" } })), []);
    assert_eq!(lists(json!({ "app": { "bundle": "com.example.app" } })), [good]);
    assert_eq!(lists(json!({ "app": { "bundle": "org.news.example" } })), [], "a bundle has no parents");
    let users = |id: &str, basis| {
        context(&surroundings, &json!({ "user": { "buyeruid": id } }), basis).user_lists.to_vec()
    };
    assert_eq!(users("user-1", Basis::TARGET), [ListKey::of("seen")]);
    assert_eq!(users("user-2", Basis::ALL), [ListKey::of("seen")]);
    assert_eq!(users("user-3", Basis::ALL), []);
    for basis in [Basis::NONE, Basis::READ, Basis::STORE.or(Basis::LEARN)] {
        assert_eq!(users("user-1", basis), [], "{basis:?}");
    }
}

#[test]
fn a_file_that_is_wrong_is_named() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("bad.txt"), "good.example\nhttps://bad.example\n").unwrap();
    fs::write(folder.path().join("bad.tsv"), "a\tb\n").unwrap();
    for (server, told) in [
        (
            "[[list]]\nname = \"l\"\nkind = \"inventory\"\nfile = \"bad.txt\"",
            "list \"l\": bad.txt:2: \"https://bad.example\" is no site or app",
        ),
        (
            "[[list]]\nname = \"l\"\nkind = \"users\"\nfile = \"none.txt\"",
            "list \"l\": none.txt cannot be read",
        ),
        ("[[taxonomy]]\nid = 7\nfile = \"bad.tsv\"", "taxonomy 7: bad.tsv:1: no line names the columns"),
        ("geoip_file = \"bad.txt\"", "geoip_file: bad.txt is no database in MaxMind's format: "),
        ("geoip_file = \"none.mmdb\"", "geoip_file: none.mmdb cannot be read"),
    ] {
        let error = load(folder.path(), server).unwrap_err();
        assert!(error.starts_with(told), "{error}");
    }
}

#[actix_rt::test]
async fn a_node_targets_by_lists_and_takes_the_law_from_the_address() {
    let folder = tempfile::tempdir().unwrap();
    write_config(folder.path());
    let file = folder.path().join("haggle.toml");
    let server = fs::read_to_string(&file).unwrap();
    let list = "[[list]]\nname = \"seen\"\nkind = \"users\"\nfile = \"seen.txt\"\n";
    fs::write(&file, format!("geoip_file = \"cities.mmdb\"\n{server}{list}")).unwrap();
    fs::write(folder.path().join("cities.mmdb"), cities()).unwrap();
    fs::write(folder.path().join("seen.txt"), "user-1\n").unwrap();
    let file = folder.path().join("campaigns/eager.toml");
    let campaign = fs::read_to_string(&file).unwrap();
    let targeting = "[targeting]\nall = [{ user_list = [\"seen\"] }]\n[[creatives]]";
    fs::write(&file, campaign.replacen("[[creatives]]", targeting, 1)).unwrap();
    let rig = Rig::start(folder.path(), &HandClock::new()).await;
    rig.funded().await;
    let ask = async |id: &str, user: &str, ip: &str, regs: Value| {
        let country = regs["country"].as_str().unwrap_or_default().to_owned();
        let request = json!({
            "id": id, "imp": [{ "id": "1", "banner": { "w": 300, "h": 250 } }], "site": { "domain": "news.example" },
            "device": { "ua": "Mozilla/5.0", "devicetype": 2, "ip": ip, "geo": { "country": country } }, "user": { "buyeruid": user }, "regs": regs,
        });
        rig.post("/openrtb2/bid/demo", "application/json", &request.to_string()).await.0.as_u16()
    };
    assert_eq!(ask("1", "user-1", "71.2.3.77", json!({})).await, 200);
    assert_eq!(ask("2", "user-2", "71.2.3.77", json!({})).await, 204, "on no list");
    assert_eq!(ask("3", "user-1", "71.2.3.77", json!({ "gdpr": 1 })).await, 204, "nobody may know who it is");
    assert_eq!(ask("4", "user-1", "62.1.2.3", json!({})).await, 204, "in Germany the GDPR applies");
    for country in [" ", "Germany", "??"] {
        let told = json!({ "country": country });
        assert_eq!(ask("6", "user-1", "62.1.2.3", told).await, 204, "{country:?} is no country");
    }
    assert_eq!(
        ask("5", "user-1", "62.1.2.3", json!({ "gdpr": 0 })).await,
        200,
        "unless the exchange says no"
    );
    rig.stop().await;
}
