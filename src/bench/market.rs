//! What goes on around a bidder before it is measured: auctions are won and lost, ads are seen and clicked, shops sell and
//! tell of it. The model learns from it, and users become known.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use super::client::Client;
use super::{BEARER, EXCHANGE, PATH};
use crate::clock::monotonic;
use crate::generate::{Chance, TOPICS, user};

/// Events in one request.
const BATCH: usize = 1000;
/// Clients that show ads.
const AT_ONCE: usize = 32;
/// How often a full journal is asked again before its events are given up.
const TRIES: usize = 200;

/// A path within a URL of the bidder's own.
fn path(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    rest.find('/').and_then(|slash| rest.get(slash..))
}

/// The address with a token that stands in markup behind `mark`.
fn in_markup<'m>(markup: &'m str, mark: &str) -> Option<&'m str> {
    let from = markup.find(mark)?;
    let rest = markup.get(from..)?;
    let token = rest.get(mark.len()..)?;
    let end = token.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-' && letter != '_');
    rest.get(..mark.len() + end.unwrap_or(token.len()))
}

/// Sends requests for a while and tells of what followed each bid: one in two is won and seen, some are clicked, some buy.
pub(super) fn train(
    address: SocketAddr,
    bodies: &[String],
    seed: u64,
    span: Duration,
    stopped: impl Fn() -> bool,
) -> std::io::Result<()> {
    let mut client = Client::connect(address)?;
    let mut chance = Chance::new(seed, 21);
    let begun = monotonic();
    for body in bodies.iter().cycle() {
        if begun.elapsed() >= span || stopped() {
            break;
        }
        let reply = client.post(&format!("{PATH}{EXCHANGE}"), "", body)?;
        if reply.status != 200 {
            continue;
        }
        let answer: Value = serde_json::from_str(&reply.body).unwrap_or_default();
        let bids = answer.pointer("/seatbid/0/bid").and_then(Value::as_array);
        for bid in bids.into_iter().flatten() {
            follow(&mut client, &mut chance, bid)?;
        }
    }
    Ok(())
}

fn follow(client: &mut Client, chance: &mut Chance, bid: &Value) -> std::io::Result<()> {
    let text = |name: &str| bid.get(name).and_then(Value::as_str).unwrap_or_default();
    let price = bid.get("price").and_then(Value::as_f64).unwrap_or(0.0);
    let filled = |url: &str| {
        let url = url.replace("${AUCTION_PRICE}", &format!("{price:.4}"));
        url.replace("${AUCTION_MIN_TO_WIN}", &format!("{:.4}", price * 0.8)).replace("${AUCTION_LOSS}", "102")
    };
    if chance.hit(0.5) {
        if let Some(path) = path(&filled(text("lurl"))) {
            client.get(path)?;
        }
        return Ok(());
    }
    for notice in ["nurl", "burl"] {
        if let Some(path) = path(&filled(text(notice))) {
            client.get(path)?;
        }
    }
    let markup = text("adm");
    if let Some(seen) = in_markup(markup, "/n/imp/") {
        client.get(seen)?;
    }
    // Ads for some things are liked better, so there is something to learn.
    let liked = text("cid").bytes().map(u32::from).sum::<u32>() % 7 == 0;
    if chance.hit(if liked { 0.08 } else { 0.01 })
        && let Some(clicked) = in_markup(markup, "/n/click/")
    {
        let reply = client.get(clicked)?;
        let token = reply.location.as_deref().and_then(|page| page.split_once("haggle_click="));
        if let Some((_, token)) = token.filter(|_| chance.hit(0.2)) {
            client.get(&format!("/n/conv/{token}?value=59.90"))?;
        }
    }
    Ok(())
}

/// Tells through the shop's endpoint what users did: one thing each, of users `from` on.
pub(super) fn tell_events(address: SocketAddr, from: usize, count: usize) -> std::io::Result<()> {
    let mut client = Client::connect(address)?;
    let mut chance = Chance::new(from as u64, 22);
    let mut next = from;
    while next < from + count {
        let batch = BATCH.min(from + count - next);
        let events: Vec<Value> = (next..next + batch)
            .map(|number| {
                let what = TOPICS[chance.index(TOPICS.len())].words[chance.index(4)];
                json!({ "user": user(number), "did": chance.pick(&["viewed", "searched", "carted"]), "what": what })
            })
            .collect();
        let body = Value::Array(events).to_string();
        for _ in 0..TRIES {
            if client.post("/events", BEARER, &body)?.status == 204 {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        next += batch;
    }
    Ok(())
}

/// Shows an ad to each of these users, as far as there is a bid; to many at once, as each waits until it is on disk.
pub(super) fn show_ads(address: SocketAddr, from: usize, count: usize) -> std::io::Result<()> {
    let share = count.div_ceil(AT_ONCE).max(1);
    std::thread::scope(|scope| {
        let parts = (0..count).step_by(share);
        let running: Vec<_> = parts
            .map(|part| scope.spawn(move || show_some(address, from + part, share.min(count - part))))
            .collect();
        let panicked = || Err(std::io::Error::other("a client ended early"));
        running.into_iter().try_for_each(|client| client.join().unwrap_or_else(|_| panicked()))
    })
}

fn show_some(address: SocketAddr, from: usize, count: usize) -> std::io::Result<()> {
    let mut client = Client::connect(address)?;
    for number in from..from + count {
        let body = json!({
            "id": format!("user-{number}"), "at": 2, "cur": ["USD"],
            "imp": [{ "id": "1", "bidfloor": 0.01, "banner": { "format": [{ "w": 300, "h": 250 }, { "w": 320, "h": 50 }] } }],
            "site": { "domain": "dailypost.example", "cat": ["IAB12"] },
            "device": { "devicetype": 4, "os": "iOS", "geo": { "country": "USA", "region": "NY", "city": "New York" } },
            "user": { "buyeruid": user(number) },
        });
        let reply = client.post(&format!("{PATH}{EXCHANGE}"), "", &body.to_string())?;
        let answer: Value = serde_json::from_str(&reply.body).unwrap_or_default();
        let markup = answer.pointer("/seatbid/0/bid/0/adm").and_then(Value::as_str);
        if let Some(seen) = markup.and_then(|markup| in_markup(markup, "/n/imp/")) {
            client.get(seen)?;
        }
    }
    Ok(())
}

/// A counter of the bidder's metrics, all its labels together; none where it has no such counter.
pub(super) fn counter(admin: SocketAddr, name: &str) -> Option<f64> {
    let reply = Client::connect(admin).and_then(|mut client| client.get("/metrics")).ok()?;
    let values = reply.body.lines().filter_map(|line| {
        let rest = line.strip_prefix(name).filter(|rest| rest.starts_with([' ', '{']))?;
        rest.rsplit(' ').next()?.parse::<f64>().ok()
    });
    let values: Vec<f64> = values.collect();
    (!values.is_empty()).then(|| values.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_in_markup_of_any_format() {
        let html = "<img src=\"http://127.0.0.1:1/n/imp/a-B_9\" width=\"1\">";
        assert_eq!(in_markup(html, "/n/imp/"), Some("/n/imp/a-B_9"));
        assert_eq!(in_markup("{\"url\":\"http:\\/\\/x/n/imp/ab\\\"}", "/n/imp/"), Some("/n/imp/ab"));
        assert_eq!(in_markup("<![CDATA[http://x/n/click/ab]]>", "/n/click/"), Some("/n/click/ab"));
        assert_eq!(in_markup("http://x/n/imp/end", "/n/imp/"), Some("/n/imp/end"));
        assert_eq!(in_markup("nothing", "/n/imp/"), None);
        assert_eq!(path("http://127.0.0.1:8080/n/win/x?p=1"), Some("/n/win/x?p=1"));
        assert_eq!(path(""), None);
    }
}
