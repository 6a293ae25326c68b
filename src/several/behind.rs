//! What is done in order for each campaign, where one that is slow holds up no other.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use haggle_domain::CampaignKey;
use tokio::sync::mpsc;

/// Who takes longer than this is left behind.
const SLOW: Duration = Duration::from_millis(500);
/// What may wait for one that was left behind; then all wait for it.
const MOST: usize = 1024;

type Doing = Pin<Box<dyn Future<Output = ()>>>;

/// What is done with an item.
pub(super) type Act<T> = dyn Fn(T) -> Doing;

/// Which campaigns were left behind, for others to see.
#[derive(Clone, Debug, Default)]
pub(super) struct Lagging(Arc<Mutex<HashSet<CampaignKey>>>);

impl Lagging {
    /// Something was passed for the campaign that is not done, though what was passed later for others is.
    pub(super) fn holds(&self, key: CampaignKey) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&key)
    }

    fn set(&self, key: CampaignKey, lags: bool) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lags {
            all.insert(key)
        } else {
            all.remove(&key)
        };
    }
}

/// Campaigns that were left behind, each with what waits for it. For one thread.
pub(super) struct Behind<T> {
    lanes: Rc<RefCell<HashMap<CampaignKey, mpsc::Sender<T>>>>,
    lagging: Lagging,
}

impl<T: 'static> Behind<T> {
    pub(super) fn new(lagging: Lagging) -> Self {
        Self { lanes: Rc::default(), lagging }
    }

    /// Does something for a campaign, after all that was passed for it before. Returns when it is done, or waits its turn.
    pub(super) async fn pass(&self, key: CampaignKey, item: T, act: &Rc<Act<T>>) {
        let mut item = item;
        loop {
            let lane = self.lanes.borrow().get(&key).cloned();
            let Some(lane) = lane else { break };
            match lane.send(item).await {
                Ok(()) => return,
                // It has just caught up.
                Err(back) => item = back.0,
            }
        }
        let mut doing = act(item);
        if tokio::time::timeout(SLOW, &mut doing).await.is_ok() {
            return;
        }
        tracing::warn!(campaign = %key, "what was seen of it waits for its actor; others go on");
        let (lane, mut waiting) = mpsc::channel(MOST);
        self.lanes.borrow_mut().insert(key, lane);
        self.lagging.set(key, true);
        let (lanes, act, lagging) = (Rc::clone(&self.lanes), Rc::clone(act), self.lagging.clone());
        actix_rt::spawn(async move {
            doing.await;
            while let Ok(next) = waiting.try_recv() {
                act(next).await;
            }
            // Nothing is awaited in between, so nothing is put into a lane that nobody reads.
            lanes.borrow_mut().remove(&key);
            lagging.set(key, false);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_slow_holds_up_nobody_and_keeps_its_order() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let done: Rc<RefCell<Vec<(u64, u32)>>> = Rc::default();
            let kept = Rc::clone(&done);
            let act: Rc<Act<(u64, u32)>> = Rc::new(move |(campaign, number)| {
                let kept = Rc::clone(&kept);
                Box::pin(async move {
                    // The first campaign takes two seconds for the first, and no time once that is over.
                    if (campaign, number) == (1, 0) {
                        tokio::time::sleep(Duration::from_secs(2)).await;
                    }
                    kept.borrow_mut().push((campaign, number));
                })
            });
            let lagging = Lagging::default();
            let behind = Behind::new(lagging.clone());
            for number in 0..5 {
                for campaign in [1, 2] {
                    behind.pass(CampaignKey(campaign), (campaign, number), &act).await;
                }
            }
            assert!(lagging.holds(CampaignKey(1)) && !lagging.holds(CampaignKey(2)));
            let others: Vec<_> = (0..5).map(|number| (2, number)).collect();
            assert_eq!(*done.borrow(), others);
            tokio::time::sleep(Duration::from_secs(3)).await;
            assert_eq!(done.borrow()[5..], (0..5).map(|number| (1, number)).collect::<Vec<_>>()[..]);
            behind.pass(CampaignKey(1), (1, 5), &act).await;
            assert_eq!(done.borrow().last(), Some(&(1, 5)), "it is not behind any more");
            assert!(behind.lanes.borrow().is_empty() && !lagging.holds(CampaignKey(1)));
        });
    }

    #[test]
    fn what_waits_is_bounded() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let act: Rc<Act<usize>> = Rc::new(|_| Box::pin(std::future::pending()));
            let behind = Behind::new(Lagging::default());
            let most = Duration::from_secs(2);
            for number in 0..=MOST {
                let passed = tokio::time::timeout(most, behind.pass(CampaignKey(1), number, &act)).await;
                assert!(passed.is_ok(), "{number}");
            }
            assert!(tokio::time::timeout(most, behind.pass(CampaignKey(1), 0, &act)).await.is_err());
            assert!(tokio::time::timeout(most, behind.pass(CampaignKey(2), 0, &act)).await.is_ok());
        });
    }
}
