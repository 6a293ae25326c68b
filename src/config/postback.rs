//! Who is told of credited orders, from the `[[postback]]` tables.

use std::path::Path;
use std::time::Duration;

use haggle_domain::{Attribution, Standing};
use url::Url;

use super::document::{Node, Table};
use super::duration;
use super::files::{self, Secret};
use super::words::identifier;
use crate::postback::Template;

/// An address that credited orders are posted to.
#[derive(Clone, Debug, PartialEq)]
pub struct Postback {
    /// Its name, by which what is still to be sent is kept.
    pub name: String,
    /// Where it is sent.
    pub url: Template,
    /// What is sent.
    pub events: Vec<Standing>,
    /// What it is signed with.
    pub key: Secret,
    /// It may be an address that is not on the internet, and need not be https.
    pub allow_private: bool,
    /// How long an answer may take.
    pub timeout: Duration,
    /// How often one is tried, at most.
    pub tries: u32,
    /// For how long.
    pub give_up_after: Duration,
    /// How many are sent at once, at most.
    pub concurrency: usize,
}

impl Postback {
    /// Whether it is told. Of an order that nobody was credited with, and of which it was not told as such, it is told no correction.
    pub fn wants(&self, attribution: &Attribution) -> bool {
        let has = |standing| self.events.contains(&standing);
        let known = !attribution.credits.is_empty() || has(Standing::Late) || has(Standing::Orphan);
        has(attribution.standing) && (attribution.standing != Standing::Corrected || known)
    }
}

/// What is sent where nothing is said.
const EVENTS: [Standing; 2] = [Standing::Credited, Standing::Corrected];

/// `folder` is what the keys' paths are relative to; none for the built-in file.
pub(super) fn read_all(root: &mut Table<'_>, folder: Option<&Path>) -> Vec<Postback> {
    let mut postbacks: Vec<Postback> = Vec::new();
    for node in root.get("postback").and_then(|node| node.list()).unwrap_or_default() {
        let Some(mut table) = node.table() else { continue };
        let name_node = table.need("name", "\"crm\"");
        let name = name_node.as_ref().and_then(|node| node.read(identifier));
        let allow_private = table.get("allow_private").and_then(|node| node.truth());
        let private = allow_private.unwrap_or(false);
        let url = table
            .need("url", "\"https://crm.shop.example/orders\"")
            .and_then(|node| node.read(|text| address(text, private)));
        let events = table.get("events").and_then(|node| events(&node));
        let key = table
            .need("key_file", "\"postback.key\"")
            .and_then(|node| node.read(|path| files::secret(&folder.unwrap_or(Path::new("")).join(path))));
        let span = |node: Option<Node<'_>>, least: u64, most: u64| {
            node.and_then(|node| node.read(|text| within(text, least, most)))
        };
        let timeout = span(table.get("timeout"), 1, 60);
        let give_up_after = span(table.get("give_up_after"), 60, 30 * 86_400);
        let tries = table.get("tries").and_then(|node| node.integer(1..=1_000));
        let concurrency = table.get("concurrency").and_then(|node| node.integer(1..=64));
        table.finish();
        // What is wrong with the rest was reported, and stops the start.
        let (Some(name), Some(url), Some(key)) = (name, url, key) else { continue };
        if postbacks.iter().any(|known| known.name.eq_ignore_ascii_case(&name)) {
            if let Some(node) = name_node {
                node.fail(format!("{name:?} is another postback's name too (letters' case is ignored)"));
            }
            continue;
        }
        postbacks.push(Postback {
            name,
            url,
            events: events.unwrap_or_else(|| EVENTS.to_vec()),
            key,
            allow_private: private,
            timeout: timeout.unwrap_or(Duration::from_secs(5)),
            tries: tries.and_then(|tries| u32::try_from(tries).ok()).unwrap_or(30),
            give_up_after: give_up_after.unwrap_or(Duration::from_secs(86_400)),
            concurrency: concurrency.and_then(|most| usize::try_from(most).ok()).unwrap_or(4),
        });
    }
    postbacks
}

fn address(text: &str, private: bool) -> Result<Template, String> {
    let template = Template::parse(text)?;
    let url = Url::parse(&template.example()).map_err(|error| format!("{text:?} is no address: {error}"))?;
    match url.scheme() {
        "https" => {}
        "http" if private => {}
        _ => return Err(format!("{text:?} is not https; only with allow_private = true it may be http")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("carries credentials; what is sent is signed with the key of key_file".to_owned());
    }
    Ok(template)
}

fn events(node: &Node<'_>) -> Option<Vec<Standing>> {
    let words = Standing::ALL.map(|standing| (standing.as_str(), standing));
    let list = node.list()?;
    if list.is_empty() {
        node.fail("is empty; leave it out for credited and corrected orders");
    }
    let read: Vec<_> = list.iter().map(|node| node.choice(&words)).collect();
    read.into_iter().collect()
}

fn within(text: &str, least: u64, most: u64) -> Result<Duration, String> {
    let (least, most) = (Duration::from_secs(least), Duration::from_secs(most));
    match duration::parse(text)? {
        span if (least..=most).contains(&span) => Ok(span),
        _ => Err(format!(
            "{text} is out of range; choose from {} to {}",
            duration::show(least),
            duration::show(most)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::super::document::{self, Document};
    use super::*;

    /// What is read of a file with one table, and what is wrong with it.
    fn read(keys: &str) -> (Vec<Postback>, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("postback.key"), "a-key-of-many-letters").unwrap();
        let text = format!("[[postback]]\n{keys}\n");
        let tree = document::parse("f.toml", &text).unwrap();
        let document = Document::new("f.toml", &text);
        let mut root = document.root(&tree);
        let postbacks = read_all(&mut root, Some(folder.path()));
        root.finish();
        (postbacks, document.into_problems().iter().map(ToString::to_string).collect())
    }

    const GOOD: &str = "name = \"crm\"\nkey_file = \"postback.key\"";

    #[test]
    fn what_is_left_out_has_its_default_and_no_secret_is_shown() {
        let (postbacks, problems) = read(&format!("{GOOD}\nurl = \"https://crm.example/{{order}}\""));
        assert_eq!((postbacks.len(), problems), (1, Vec::new()));
        let postback = &postbacks[0];
        assert_eq!((postback.tries, postback.concurrency, &postback.events[..]), (30, 4, &EVENTS[..]));
        assert!(!format!("{postback:?}").contains("many-letters"));
    }

    #[test]
    fn corrections_are_told_of_what_was_told() {
        let told = |events: &str, standing, credited: bool| {
            let (postbacks, _) = read(&format!("{GOOD}\nurl = \"https://crm.example/\"\n{events}"));
            let campaign = haggle_domain::CampaignKey(1);
            let amount = haggle_domain::Micros(5);
            let credit = haggle_domain::Credit { campaign, amount, touches: 1, clicks: 0, share: Some(1.0) };
            postbacks[0].wants(&Attribution {
                order: haggle_domain::Tag(1),
                id: None,
                placed_at: haggle_domain::Timestamp(0),
                value: amount,
                standing,
                model: haggle_domain::AttributionModel::Last,
                credits: if credited { vec![credit] } else { Vec::new() },
            })
        };
        assert!(told("", Standing::Credited, true) && told("", Standing::Corrected, true));
        assert!(!told("", Standing::Orphan, false) && !told("", Standing::Corrected, false));
        for events in ["events = [\"orphan\", \"corrected\"]", "events = [\"late\", \"corrected\"]"] {
            assert!(told(events, Standing::Corrected, false));
        }
        assert!(!told("events = [\"credited\", \"orphan\"]", Standing::Corrected, true));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let url = "url = \"https://crm.example/\"";
        for (keys, says) in [
            (format!("{GOOD}\nurl = \"http://crm.example/\""), "is not https; only with allow_private"),
            (format!("{GOOD}\nurl = \"https://me:secret@crm.example/\""), "carries credentials"),
            (format!("{GOOD}\nurl = \"https://{{order}}/\""), "in front of the path"),
            (format!("{GOOD}\nurl = \"nowhere\""), "is no address"),
            (format!("{GOOD}\n{url}\nevents = [\"click\"]"), "is none of \"credited\""),
            (format!("{GOOD}\n{url}\ntimeout = \"2m\""), "choose from 1s to 1m"),
            (format!("{GOOD}\n{url}\nallow_private = \"yes\""), "must be true or false"),
            (format!("{GOOD}\n{url}\nretries = 3"), "did you mean tries?"),
            (format!("name = \"crm\"\n{url}\nkey_file = \"no.key\""), "cannot be read"),
            (GOOD.to_owned(), "url: is missing"),
        ] {
            let (_, problems) = read(&keys);
            assert!(problems.iter().any(|problem| problem.contains(says)), "{keys}: {problems:?}");
        }
        let allowed = format!("{GOOD}\nurl = \"http://127.0.0.1:8000/\"\nallow_private = true");
        assert_eq!(read(&allowed).1, Vec::<String>::new());
    }
}
