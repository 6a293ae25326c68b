//! One campaign, one actor: the single writer of its money, pacing, counts and posteriors.

mod actor;
mod exploration;
mod machine;
mod outcome;
mod posted;
mod recovery;
mod report;
mod steer;
mod tranches;
mod watch;
mod wheel;

pub use actor::{
    CampaignActor, CampaignDeps, CampaignShared, CampaignShown, Deliver, Drain, InjectPanic, Pause, Redefine,
};
pub use machine::{CampaignMachine, CampaignSettings, Effects, Grant};
pub use outcome::Outcome;
pub use posted::Posted;
pub use recovery::{
    RecoveryError, checkpoint_name, checkpoint_of, recover_all, recover_from, recover_one, replay_all,
};
pub use report::CampaignReport;
pub use steer::{Average, Held};
pub use wheel::Wheel;
