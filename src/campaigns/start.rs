//! Starting campaigns' actors, at the node's start and later.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use actix::{Addr, ArbiterHandle, AsyncContext, Context};
use haggle_actors::books::Books;
use haggle_actors::campaign::{
    CampaignActor, CampaignDeps, CampaignSettings, CampaignShared, CampaignShown, Others, Wheel,
};
use haggle_actors::journal::Journal;
use haggle_actors::supervisor::{RestartPolicy, supervise};
use haggle_domain::{Campaign, Clock};
use haggle_strategies::{CampaignLive, CampaignState, Entry};
use tokio::sync::oneshot;

use super::roster::CampaignHandle;
use crate::config::Settings;

/// A campaign that is to start: what was configured, where bids see it, whether it is retired, and its books, where they are at
/// hand.
pub struct Starting {
    /// What was configured.
    pub campaign: Arc<Campaign>,
    /// Where bids see it.
    pub live: Arc<CampaignLive>,
    /// It only settles what is open.
    pub retired: bool,
    /// Its books; without them its actor looks into the journal.
    pub books: Option<Books>,
}

/// Starts campaigns' actors, all on one arbiter with one wheel.
pub struct Starter {
    arbiter: ArbiterHandle,
    shared: Arc<CampaignShared>,
}

impl Starter {
    /// Sets the arbiter's wheel turning, where it `turns` by itself.
    pub fn new(
        arbiter: ArbiterHandle,
        settings: &Settings,
        journal: &Arc<dyn Journal>,
        clock: &Arc<dyn Clock>,
        others: Option<Arc<dyn Others>>,
        turns: bool,
    ) -> Self {
        let wheel = Arc::new(Wheel::new(settings.tick, settings.checkpoint_interval));
        let shared = Arc::new(CampaignShared {
            settings: CampaignSettings {
                notice_timeout: settings.notice_timeout,
                lease_duration: settings.lease_duration,
                click_expiry: settings.click_expiry,
                conversion_window: settings.conversion_window,
            },
            journal: Arc::clone(journal),
            clock: Arc::clone(clock),
            wheel: Arc::clone(&wheel),
            mailbox: settings.mailbox,
            others,
            gone: AtomicU32::new(0),
        });
        if turns {
            arbiter.spawn(wheel.run(Arc::clone(clock)));
        }
        Self { arbiter, shared }
    }

    /// Starts supervised actors; none where the arbiter has stopped.
    pub async fn start(&self, campaigns: Vec<Starting>) -> Option<Vec<Arc<CampaignHandle>>> {
        let (sender, started) = oneshot::channel();
        let shared = Arc::clone(&self.shared);
        self.arbiter.spawn_fn(move || {
            let handles = campaigns.into_iter().map(|campaign| start_one(campaign, &shared)).collect();
            // The receiver is gone only if the start was given up.
            let _ = sender.send(handles);
        });
        started.await.ok()
    }

    /// Whether other nodes bid for the campaigns, too.
    pub(super) fn is_one_of_several(&self) -> bool {
        self.shared.others.is_some()
    }

    /// How many actors cannot be started again in this process.
    pub fn gone(&self) -> u32 {
        self.shared.gone.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// What ticks the actors.
    pub fn wheel(&self) -> &Arc<Wheel> {
        &self.shared.wheel
    }

    /// Where the actors' events go.
    pub(super) fn journal(&self) -> &Arc<dyn Journal> {
        &self.shared.journal
    }
}

/// On the arbiter's thread.
fn start_one(starting: Starting, shared: &Arc<CampaignShared>) -> Arc<CampaignHandle> {
    let Starting { campaign, live, retired, books } = starting;
    let context: Context<CampaignActor> = Context::new();
    let address: Arc<Addr<CampaignActor>> = Arc::new(context.address());
    let (number, bell) = shared.wheel.join(Arc::clone(&address));
    // Where other nodes bid for it, too, its purse hears what bids have to say.
    let desk = match shared.others {
        Some(_) => Entry::new(Arc::clone(&campaign)).live,
        None => Arc::clone(&live),
    };
    desk.hang(bell);
    let shown: Arc<CampaignShown> = Arc::default();
    let handle = CampaignHandle::new(&campaign.id, address, Arc::clone(&live), Arc::clone(&shown), retired);
    let deps = CampaignDeps { campaign, live, desk, shared: Arc::clone(shared), shown: Arc::clone(&shown) };
    let (key, desk) = (deps.campaign.key, Arc::clone(&deps.desk));
    let context = Box::new(context.into_future(CampaignActor::new(deps, number, books)));
    actix_rt::spawn(async move {
        let on_panic = || {
            // Nobody looks after its money now, so it takes no more bids.
            desk.set_state(CampaignState::Down);
            tracing::error!(%key, "a campaign's actor panicked; it is restarted");
        };
        supervise(context, RestartPolicy::default(), &shown.supervision, on_panic).await;
    });
    Arc::new(handle)
}
