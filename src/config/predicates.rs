//! A campaign's `[targeting]` table.

use std::fmt::Write as _;

use haggle_domain::{
    BehaviourKind, Connection, DeviceKind, ExchangeKey, ListKey, Place, Postcode, Predicate, Tag, Targeting,
};
use haggle_openrtb::browser_name;

use super::address::domain;
use super::document::{Node, Table};
use super::exchange::Exchange;
use super::knowledge::{List, ListKind};
use super::words::{category, country, language, word};
use super::{dayparts, duration};

const PREDICATES: &str = "country, region, city, postcode, near, category, keyword, segment, interest, behaviour, device, os, \
                          browser, connection, language, inventory, list, publisher, placement, deal, exchange, user_list, \
                          hours";

/// Half the way round the earth, in metres: nothing is farther.
const FARTHEST: u32 = 20_040_000;

/// What a predicate may name that stands elsewhere in the configuration.
pub(super) struct Names<'a> {
    pub(super) exchanges: &'a [Exchange],
    pub(super) lists: &'a [List],
}

/// A targeting and how a person would say it.
pub(super) fn read(node: &Node<'_>, names: &Names<'_>) -> Option<(Targeting, String)> {
    let mut table = node.table()?;
    let mut summary = String::new();
    let all = group(&mut table, "all", " and ", names, &mut summary);
    let any = group(&mut table, "any", " or ", names, &mut summary);
    let none = group(&mut table, "none", " or ", names, &mut summary);
    table.finish();
    Some((Targeting { all: all?, any: any?, none: none? }, summary))
}

fn group(
    table: &mut Table<'_>,
    key: &'static str,
    joint: &str,
    names: &Names<'_>,
    summary: &mut String,
) -> Option<Vec<Predicate>> {
    let Some(node) = table.get(key) else { return Some(Vec::new()) };
    let read: Vec<_> = node.list()?.iter().map(|node| predicate(node, names)).collect();
    let read: Vec<_> = read.into_iter().collect::<Option<_>>()?;
    let (predicates, texts): (Vec<_>, Vec<_>) = read.into_iter().unzip();
    if !texts.is_empty() {
        let space = if summary.is_empty() { "" } else { "; " };
        let _ = write!(summary, "{space}{key}: {}", texts.join(joint));
    }
    Some(predicates)
}

/// One table with one key: the question, and what answers it.
fn predicate(node: &Node<'_>, names: &Names<'_>) -> Option<(Predicate, String)> {
    let mut table = node.table()?;
    if table.len() != 1 {
        table.fail(format!(
            "has {} keys, must have one; write each predicate in braces of its own, out of {PREDICATES}",
            table.len()
        ));
        return None;
    }
    let mut found = None;
    type Make = fn(Vec<Tag>) -> Predicate;
    let mut tags = |key, read: fn(&str) -> Result<String, String>, tag: fn(&str) -> Tag, make: Make| {
        if let Some(node) = table.get(key) {
            found = words(&node, read).map(|words| {
                let text = format!("{key} {}", words.join("|"));
                (make(words.iter().map(|word| tag(word)).collect()), text)
            });
        }
    };
    tags("country", country, Tag::of, Predicate::Country);
    tags("region", word, Tag::of, Predicate::Region);
    tags("city", word, Tag::of, Predicate::City);
    tags("postcode", postcode, postcode_tag, Predicate::Postcode);
    tags("category", category_word, category_tag, Predicate::Category);
    tags("keyword", word, Tag::of, Predicate::Keyword);
    tags("segment", word, Tag::of, Predicate::Segment);
    tags("interest", word, Tag::of, Predicate::Interest);
    tags("os", word, Tag::of, Predicate::Os);
    tags("browser", browser, Tag::of, Predicate::Browser);
    tags("language", language, Tag::of, Predicate::Language);
    tags("inventory", inventory, Tag::of, Predicate::Inventory);
    tags("publisher", word, Tag::of, Predicate::Publisher);
    tags("placement", word, Tag::of, Predicate::Placement);
    tags("deal", word, Tag::exactly, Predicate::Deal);
    if let Some(node) = table.get("near") {
        found = near(&node);
    }
    if let Some(node) = table.get("behaviour") {
        found = behaviour(&node);
    }
    if let Some(node) = table.get("device") {
        found = choices(&node, &DEVICES)
            .map(|(kinds, text)| (Predicate::Device(kinds), format!("device {text}")));
    }
    if let Some(node) = table.get("connection") {
        found = choices(&node, &CONNECTIONS)
            .map(|(kinds, text)| (Predicate::Connection(kinds), format!("connection {text}")));
    }
    if let Some(node) = table.get("exchange") {
        found = words(&node, |text| known_exchange(text, names.exchanges)).map(|names| {
            let keys = names.iter().map(|name| ExchangeKey::of(name)).collect();
            (Predicate::Exchange(keys), format!("exchange {}", names.join("|")))
        });
    }
    let mut lists = |key, kind, make: fn(Vec<ListKey>) -> Predicate| {
        if let Some(node) = table.get(key) {
            found = words(&node, |text| known_list(text, kind, names.lists)).map(|names| {
                let text = format!("{key} {}", names.join("|"));
                (make(names.iter().map(|name| ListKey::of(name)).collect()), text)
            });
        }
    };
    lists("list", ListKind::Inventory, Predicate::List);
    lists("user_list", ListKind::Users, Predicate::UserList);
    if let Some(node) = table.get("hours") {
        found = dayparts::read_all(&node).map(|hours| {
            let text: Vec<_> = hours.iter().map(dayparts::show).collect();
            (Predicate::Hours(hours), format!("hours {}", text.join("|")))
        });
    }
    table.finish();
    found
}

fn words(node: &Node<'_>, read: impl Fn(&str) -> Result<String, String>) -> Option<Vec<String>> {
    let list = node.list()?;
    if list.is_empty() {
        node.fail("is empty, so it would never hold; name at least one, or remove the predicate");
        return None;
    }
    let words: Vec<_> = list.iter().map(|node| node.read(&read)).collect();
    words.into_iter().collect()
}

/// A site's domain or an app's bundle, which may be a bare number.
fn inventory(text: &str) -> Result<String, String> {
    if text.contains("://") || text.contains('/') {
        return Err(format!("{text:?} is an address; write the site's domain or the app's bundle alone"));
    }
    domain(text).or_else(|_| word(text))
}

fn known_exchange(text: &str, exchanges: &[Exchange]) -> Result<String, String> {
    let key = ExchangeKey::of(text);
    if exchanges.iter().any(|exchange| exchange.key == key) {
        return Ok(text.to_owned());
    }
    let names: Vec<_> = exchanges.iter().map(|exchange| exchange.name.as_str()).collect();
    Err(format!("{text:?} is no configured exchange; there are: {}", names.join(", ")))
}

fn known_list(text: &str, kind: ListKind, lists: &[List]) -> Result<String, String> {
    let key = ListKey::of(text);
    match lists.iter().find(|list| list.key == key) {
        Some(list) if list.kind == kind => Ok(text.to_owned()),
        Some(list) => {
            let key = if list.kind == ListKind::Users { "user_list" } else { "list" };
            Err(format!("{text:?} is a list of {}; ask for it with {key}", list.kind.as_str()))
        }
        None => {
            let names: Vec<_> =
                lists.iter().filter(|list| list.kind == kind).map(|list| list.name.as_str()).collect();
            let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            Err(format!("{text:?} is no configured list of {}; there are: {known}", kind.as_str()))
        }
    }
}

/// A postcode, or how it begins, as it is written.
fn postcode(text: &str) -> Result<String, String> {
    let letters = text.bytes().filter(u8::is_ascii_alphanumeric).count();
    let other = text.chars().any(|letter| !letter.is_ascii_alphanumeric() && letter != ' ' && letter != '-');
    if other || !(Postcode::SHORTEST..=Postcode::LONGEST).contains(&letters) {
        return Err(format!(
            "{text:?} is no postcode or beginning of one; write {} to {} letters and digits, like \"SW1A\" or \"902\"",
            Postcode::SHORTEST,
            Postcode::LONGEST
        ));
    }
    Ok(text.to_owned())
}

fn postcode_tag(text: &str) -> Tag {
    Postcode::of(text).map_or(Tag::NONE, |postcode| postcode.tag())
}

/// A category of any taxonomy, as it is written.
fn category_word(text: &str) -> Result<String, String> {
    category(text).map(|_| text.to_owned())
}

fn category_tag(text: &str) -> Tag {
    category(text).map_or(Tag::NONE, |category| Tag::category(category.taxonomy, &category.code))
}

fn browser(text: &str) -> Result<String, String> {
    word(text).map(|brand| browser_name(&brand).to_owned())
}

fn near(node: &Node<'_>) -> Option<(Predicate, String)> {
    let mut table = node.table()?;
    let degrees = |node: &Node<'_>, most: f64| {
        let found = node.number().filter(|degrees| degrees.abs() <= most);
        if found.is_none() {
            node.fail(format!("must be degrees from -{most} to {most}, without quotes, like 13.405"));
        }
        found
    };
    let north = table.need("latitude", "52.52").and_then(|node| degrees(&node, 90.0));
    let east = table.need("longitude", "13.405").and_then(|node| degrees(&node, 180.0));
    let metres = table.need("radius", "\"10km\"").and_then(|node| node.read(distance));
    table.finish();
    let (north, east, metres) = (north?, east?, metres?);
    let Some(centre) = Place::from_degrees(north, east) else {
        node.fail("is at 0, 0, which stands for \"not known\" in requests; write the place's own degrees");
        return None;
    };
    let text = if metres % 1000 == 0 { format!("{}km", metres / 1000) } else { format!("{metres}m") };
    Some((Predicate::Near { centre, metres }, format!("within {text} of {north}, {east}")))
}

/// Metres, from a whole number and a unit.
fn distance(text: &str) -> Result<u32, String> {
    let unit = |unit, metres: u32| {
        let number = text.strip_suffix(unit)?;
        let digits = number.bytes().all(|byte| byte.is_ascii_digit());
        number.parse::<u32>().ok().filter(|_| digits)?.checked_mul(metres)
    };
    unit("km", 1000).or_else(|| unit("m", 1)).filter(|metres| (1..=FARTHEST).contains(metres)).ok_or_else(
        || format!("{text:?} is no distance; write it like \"10km\" or \"500m\", at most \"20040km\""),
    )
}

const DEVICES: [(&str, DeviceKind); 5] = [
    ("phone", DeviceKind::Phone),
    ("tablet", DeviceKind::Tablet),
    ("computer", DeviceKind::Computer),
    ("tv", DeviceKind::Tv),
    ("out_of_home", DeviceKind::OutOfHome),
];

const CONNECTIONS: [(&str, Connection); 3] =
    [("wifi", Connection::Wifi), ("wired", Connection::Wired), ("cellular", Connection::Cellular)];

/// Some of a few words, and how they were written.
fn choices<T: Copy>(node: &Node<'_>, known: &[(&str, T)]) -> Option<(Vec<T>, String)> {
    let list = node.list()?;
    if list.is_empty() {
        node.fail("is empty, so it would never hold; name at least one, or remove the predicate");
        return None;
    }
    let read: Vec<_> = list.iter().map(|node| node.choice(known).zip(node.text())).collect();
    let read: Vec<_> = read.into_iter().collect::<Option<_>>()?;
    let (chosen, names): (Vec<_>, Vec<_>) = read.into_iter().unzip();
    Some((chosen, names.join("|")))
}

fn behaviour(node: &Node<'_>) -> Option<(Predicate, String)> {
    let kinds = [
        ("viewed", BehaviourKind::Viewed),
        ("carted", BehaviourKind::Carted),
        ("bought", BehaviourKind::Bought),
        ("searched", BehaviourKind::Searched),
    ];
    let mut table = node.table()?;
    let did_node = table.need("did", "\"viewed\"");
    let did = did_node.as_ref().and_then(|node| node.choice(&kinds));
    let what = table.need("what", "\"boots\"").and_then(|node| node.read(word));
    let within = table.need("within", "\"7d\"").and_then(|node| {
        node.read(|text| match duration::parse(text)? {
            span if span.is_zero() => {
                Err("is zero, so it would never hold; write a span like \"7d\"".to_owned())
            }
            span => Ok(span),
        })
    });
    let at_least = table.get("at_least").map_or(Some(1), |node| node.integer(1..=1_000_000));
    table.finish();
    let (did, what, within, at_least) = (did?, what?, within?, u32::try_from(at_least?).ok()?);
    let times = if at_least > 1 { format!(" {at_least} times") } else { String::new() };
    let verb = did_node.and_then(|node| node.text()).unwrap_or_default();
    let text = format!("{verb} {what}{times} within {}", duration::show(within));
    Some((Predicate::Behaviour { did, what: Tag::of(&what), within, at_least }, text))
}
