//! What all nodes say of their campaigns at about one time.

use serde_json::Value;

use crate::cluster::get;
use crate::lab::addresses;
use crate::{CAMPAIGNS, NODES};

/// Of nodes that do not answer, nothing.
pub struct View([Vec<Value>; NODES]);

/// Its books are here, or its owner has said lately how it stands.
fn is_shown(campaign: &Value) -> bool {
    campaign["state"] != "starting"
}

impl View {
    pub fn now() -> Self {
        let said = |node: usize| {
            let (_, body) = get(&addresses(node).1, "/campaigns")?;
            serde_json::from_str(&body).ok()
        };
        Self(std::array::from_fn(|node| said(node).unwrap_or_default()))
    }

    fn of(&self, node: usize, campaign: usize) -> Option<&Value> {
        self.0[node].iter().find(|one| one["id"] == CAMPAIGNS[campaign].id && is_shown(one))
    }

    /// The nodes that say that a campaign is theirs.
    pub fn owners(&self, campaign: usize) -> Vec<usize> {
        let is_own = |node: &usize| self.of(*node, campaign).is_some_and(|one| one.get("owner").is_none());
        (0..NODES).filter(is_own).collect()
    }

    /// What each node says was spent by each campaign.
    pub fn spent(&self) -> [[Option<u64>; CAMPAIGNS.len()]; NODES] {
        let spent = |node, campaign| self.of(node, campaign)?["spend_micros"].as_u64();
        std::array::from_fn(|node| std::array::from_fn(|campaign| spent(node, campaign)))
    }

    /// What was spent as those say who know best: their owners; the others repeat it some seconds later. Some are not asked.
    pub fn latest(&self, but: &[usize]) -> [u64; CAMPAIGNS.len()] {
        let spent = self.spent();
        let of = |campaign: usize| {
            let asked = (0..NODES).filter(|node| !but.contains(node));
            asked.filter_map(|node| spent[node][campaign]).max().unwrap_or(0)
        };
        std::array::from_fn(of)
    }

    /// What is reserved for bids of which nothing is known, of all campaigns.
    pub fn reserved(&self) -> u64 {
        self.0.iter().flatten().filter_map(|one| one["reserved_micros"].as_u64()).sum()
    }

    /// What is not as it should be where nothing is broken.
    pub fn trouble(&self) -> Option<String> {
        for (campaign, id) in CAMPAIGNS.iter().map(|campaign| campaign.id).enumerate() {
            if let Some(node) = (0..NODES).find(|node| self.of(*node, campaign).is_none()) {
                return Some(format!("node {node} hears nothing of {id}"));
            }
            let owners = self.owners(campaign);
            if owners.len() != 1 {
                return Some(format!("{id} is owned by {owners:?}"));
            }
        }
        None
    }
}
