//! A campaign's `[targeting]` table.

use std::fmt::Write as _;

use haggle_domain::{BehaviourKind, DeviceKind, ExchangeKey, Predicate, Tag, Targeting};

use super::address::domain;
use super::document::{Node, Table};
use super::duration;
use super::exchange::Exchange;
use super::words::{country, language, word};

const PREDICATES: &str =
    "country, region, city, interest, behaviour, device, os, language, inventory, exchange";

/// A targeting and how a person would say it.
pub(super) fn read(node: &Node<'_>, exchanges: &[Exchange]) -> Option<(Targeting, String)> {
    let mut table = node.table()?;
    let mut summary = String::new();
    let all = group(&mut table, "all", " and ", exchanges, &mut summary);
    let any = group(&mut table, "any", " or ", exchanges, &mut summary);
    let none = group(&mut table, "none", " or ", exchanges, &mut summary);
    table.finish();
    Some((Targeting { all: all?, any: any?, none: none? }, summary))
}

fn group(
    table: &mut Table<'_>,
    key: &'static str,
    joint: &str,
    exchanges: &[Exchange],
    summary: &mut String,
) -> Option<Vec<Predicate>> {
    let Some(node) = table.get(key) else { return Some(Vec::new()) };
    let read: Vec<_> = node.list()?.iter().map(|node| predicate(node, exchanges)).collect();
    let read: Vec<_> = read.into_iter().collect::<Option<_>>()?;
    let (predicates, texts): (Vec<_>, Vec<_>) = read.into_iter().unzip();
    if !texts.is_empty() {
        let space = if summary.is_empty() { "" } else { "; " };
        let _ = write!(summary, "{space}{key}: {}", texts.join(joint));
    }
    Some(predicates)
}

/// One table with one key: the question, and what answers it.
fn predicate(node: &Node<'_>, exchanges: &[Exchange]) -> Option<(Predicate, String)> {
    let mut table = node.table()?;
    if table.len() != 1 {
        table.fail(format!(
            "has {} keys, must have one; write each predicate in braces of its own, out of {PREDICATES}",
            table.len()
        ));
        return None;
    }
    let mut found = None;
    let mut tags = |key, read: fn(&str) -> Result<String, String>, make: fn(Vec<Tag>) -> Predicate| {
        if let Some(node) = table.get(key) {
            found = words(&node, read).map(|words| {
                let text = format!("{key} {}", words.join("|"));
                (make(words.iter().map(|word| Tag::of(word)).collect()), text)
            });
        }
    };
    tags("country", country, Predicate::Country);
    tags("region", word, Predicate::Region);
    tags("city", word, Predicate::City);
    tags("interest", word, Predicate::Interest);
    tags("os", word, Predicate::Os);
    tags("language", language, Predicate::Language);
    tags("inventory", inventory, Predicate::Inventory);
    if let Some(node) = table.get("behaviour") {
        found = behaviour(&node);
    }
    if let Some(node) = table.get("device") {
        found = devices(&node);
    }
    if let Some(node) = table.get("exchange") {
        found = words(&node, |text| known_exchange(text, exchanges)).map(|names| {
            let keys = names.iter().map(|name| ExchangeKey::of(name)).collect();
            (Predicate::Exchange(keys), format!("exchange {}", names.join("|")))
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

fn devices(node: &Node<'_>) -> Option<(Predicate, String)> {
    let kinds = [
        ("phone", DeviceKind::Phone),
        ("tablet", DeviceKind::Tablet),
        ("computer", DeviceKind::Computer),
        ("tv", DeviceKind::Tv),
        ("out_of_home", DeviceKind::OutOfHome),
    ];
    let list = node.list()?;
    if list.is_empty() {
        node.fail("is empty, so it would never hold; name at least one, or remove the predicate");
        return None;
    }
    let read: Vec<_> = list.iter().map(|node| node.choice(&kinds).zip(node.text())).collect();
    let read: Vec<_> = read.into_iter().collect::<Option<_>>()?;
    let (devices, names): (Vec<_>, Vec<_>) = read.into_iter().unzip();
    Some((Predicate::Device(devices), format!("device {}", names.join("|"))))
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
