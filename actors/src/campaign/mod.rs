//! One campaign, one actor: the single writer of its money, pacing, counts and posteriors.

mod actor;
mod machine;
mod message;
mod recovery;
mod report;

pub use actor::{CampaignActor, CampaignDeps, Deliver, Drain, InjectPanic};
pub use machine::{CampaignMachine, CampaignSettings, Effects, Grant};
pub use message::{Notice, Outcome};
pub use recovery::{RecoveryError, checkpoint_name, recover_all, recover_one, replay_all};
pub use report::CampaignReport;
