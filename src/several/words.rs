//! What campaigns' owners said last, on its way from the log to those who bid.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use haggle_domain::CampaignKey;
use tokio::sync::Notify;

/// Campaigns whose words may wait. Of each there is one, so more are not to be had but by somebody who makes them up.
const MOST: usize = 1 << 20;

/// Words that wait to be shown to bids: of each campaign the latest, so that however many come at once, as when a node reads what the
/// log has, none that counts is lost.
#[derive(Debug, Default)]
pub struct Words {
    latest: Mutex<HashMap<CampaignKey, Vec<u8>>>,
    more: Notify,
}

impl Words {
    /// An owner said that, after everything before.
    pub fn say(&self, campaign: CampaignKey, bytes: Vec<u8>) {
        let mut latest = self.latest();
        if latest.len() >= MOST && !latest.contains_key(&campaign) {
            tracing::error!(%campaign, "what its owner says has no room, and is lost");
            return;
        }
        latest.insert(campaign, bytes);
        drop(latest);
        self.more.notify_one();
    }

    /// All that was said since the last time; waits until there is something. Dropped while it waits, it has taken nothing.
    pub async fn heard(&self) -> HashMap<CampaignKey, Vec<u8>> {
        loop {
            let heard = std::mem::take(&mut *self.latest());
            if !heard.is_empty() {
                return heard;
            }
            self.more.notified().await;
        }
    }

    fn latest(&self) -> MutexGuard<'_, HashMap<CampaignKey, Vec<u8>>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_each_campaign_the_latest_word_comes_however_many_are_said_before() {
        let words = Words::default();
        for round in 0..3_u8 {
            for campaign in 0..50_000 {
                words.say(CampaignKey(campaign), vec![round]);
            }
        }
        words.say(CampaignKey(7), vec![9]);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut heard = words.heard().await;
            assert_eq!(heard.remove(&CampaignKey(7)), Some(vec![9]));
            assert_eq!(heard.len(), 49_999);
            assert!(heard.values().all(|word| *word == [2]));
            let waits = async { words.heard().await.len() };
            let says = async { words.say(CampaignKey(1), vec![3]) };
            assert_eq!(tokio::join!(waits, says).0, 1);
        });
    }
}
