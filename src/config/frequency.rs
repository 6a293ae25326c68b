//! How often one user sees a campaign's ads: `frequency` and `frequency_unknown`.

use std::time::Duration;

use haggle_domain::{CapScope, CapWindow, Frequency, FrequencyCap};

use super::document::{Node, Table};
use super::duration;

/// Caps of one campaign, at most.
const MOST_CAPS: usize = 8;
/// Impressions that a cap can allow, at most: counts end there.
const MOST: i64 = 255;
const SHORTEST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(90 * 86_400);
const EXAMPLE: &str = "[{ per = \"campaign\", most = 5, within = \"1d\" }]";
const SCOPES: [(&str, CapScope); 3] = [
    ("campaign", CapScope::Campaign),
    ("creative", CapScope::Creative),
    ("advertiser", CapScope::Advertiser),
];

/// Reads both keys of a campaign.
pub(super) fn read(root: &mut Table<'_>) -> Option<Frequency> {
    let frequency = root.get("frequency");
    let unknown = root.get("frequency_unknown");
    let bids_on_unknown =
        unknown.as_ref().map_or(Some(false), |node| node.choice(&[("skip", false), ("bid", true)]));
    if let (Some(node), None) = (&unknown, &frequency) {
        node.fail(format!(
            "says nothing where there are no caps; leave it out, or add frequency = {EXAMPLE}"
        ));
        return None;
    }
    let caps = frequency.map_or(Some(Vec::new()), |node| caps(&node));
    Some(Frequency { caps: caps?, bids_on_unknown: bids_on_unknown? })
}

fn caps(node: &Node<'_>) -> Option<Vec<FrequencyCap>> {
    let list = node.list()?;
    if list.is_empty() {
        node.fail(format!("is empty; leave it out, or write it like {EXAMPLE}"));
        return None;
    }
    if list.len() > MOST_CAPS {
        node.fail(format!("has {} caps, and at most {MOST_CAPS} are counted; leave some out", list.len()));
        return None;
    }
    let read: Vec<_> = list.iter().map(cap).collect();
    let caps: Vec<FrequencyCap> = read.into_iter().collect::<Option<_>>()?;
    for (index, cap) in caps.iter().enumerate() {
        let same = |earlier: &FrequencyCap| (earlier.per, earlier.within) == (cap.per, cap.within);
        if caps.iter().take(index).any(same) {
            list.get(index)?.fail("counts the same as an earlier cap; keep the one that is meant");
            return None;
        }
    }
    Some(caps)
}

fn cap(node: &Node<'_>) -> Option<FrequencyCap> {
    let mut table = node.table()?;
    let per = table.need("per", "\"campaign\"").and_then(|node| node.choice(&SCOPES));
    let most = table.need("most", "5").and_then(|node| node.integer(1..=MOST));
    let within = table.need("within", "\"1d\"").and_then(|node| node.read(window));
    table.finish();
    Some(FrequencyCap { per: per?, most: u16::try_from(most?).ok()?, within: within? })
}

pub(super) fn window(text: &str) -> Result<CapWindow, String> {
    if text == "lifetime" {
        return Ok(CapWindow::Lifetime);
    }
    match duration::parse(text) {
        Ok(span) if (SHORTEST..=LONGEST).contains(&span) => Ok(CapWindow::Last(span)),
        Ok(_) => Err(format!("{text:?} is not between \"1m\" and \"90d\"; for longer write \"lifetime\"")),
        Err(_) => {
            Err(format!("{text:?} is not a span of time; write it like \"1h\", \"7d\" or \"lifetime\""))
        }
    }
}

/// As a person would say it; empty without caps.
pub(super) fn show(frequency: &Frequency) -> String {
    let caps = frequency.caps.iter().map(|cap| {
        let per = SCOPES.iter().find(|(_, scope)| *scope == cap.per).map_or("", |(word, _)| word);
        match cap.within {
            CapWindow::Last(span) => format!("{} per {per} in {}", cap.most, duration::show(span)),
            CapWindow::Lifetime => format!("{} per {per} ever", cap.most),
        }
    });
    let mut text = caps.collect::<Vec<_>>().join(", ");
    if !text.is_empty() {
        text.insert_str(0, "at most ");
        if frequency.bids_on_unknown {
            text.push_str("; unknown users too");
        }
    }
    text
}
