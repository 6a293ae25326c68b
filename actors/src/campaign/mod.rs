//! One campaign, one actor: the single writer of its money, pacing, counts and posteriors.

mod actor;
mod exploration;
mod machine;
mod outcome;
mod posted;
mod recovery;
mod report;
mod retention;
mod several;
mod steer;
mod tranches;
mod watch;
mod wheel;

pub use actor::{
    CampaignActor, CampaignDeps, CampaignShared, CampaignShown, Deliver, Drain, InjectPanic, Pause, Redefine,
};
pub use machine::{CampaignMachine, CampaignSettings, Effects, Grant};
pub use outcome::Outcome;
pub use posted::{Posted, Sums};
pub use recovery::{
    COMPLETE, Recovered, RecoveryError, bases, checkpoint_name, checkpoint_of, checkpoints, keep_shared,
    passed_over, recover_all, recover_from, recover_one, recover_shared, recover_sound, replay_all,
};
pub(crate) use recovery::{base_name, recover_view};
pub use report::CampaignReport;
pub use retention::{Retention, start_keeper, trim};
pub use several::{Disown, Others, Own, Repost, Settle};
pub use steer::{Average, Held};
pub use wheel::Wheel;
