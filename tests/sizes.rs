//! What a campaign's parts weigh: a node carries very many.

use std::mem::size_of;

use actix::Context;
use actix::dev::ContextFut;
use haggle::campaigns::CampaignHandle;
use haggle_actors::books::Books;
use haggle_actors::campaign::{CampaignActor, CampaignMachine, CampaignReport, CampaignShown};
use haggle_domain::{Campaign, Creative};
use haggle_strategies::{Arms, CampaignLive, Entry, Lease};

#[test]
fn a_campaigns_parts_stay_small() {
    let parts = [
        ("campaign", size_of::<Campaign>(), 552),
        ("creative", size_of::<Creative>(), 256),
        ("entry", size_of::<Entry>(), 128),
        ("live", size_of::<CampaignLive>(), 320),
        // With the numbers that a tranche of one may give to bids.
        ("lease", size_of::<Lease>(), 64),
        ("arms", size_of::<Arms>(), 64),
        // Of which 40 are for several nodes: who else bids, where it publishes, until when all is known, and what of pauses is.
        ("machine", size_of::<CampaignMachine>(), 800),
        ("books", size_of::<Books>(), 416),
        ("report", size_of::<CampaignReport>(), 376),
        ("shown", size_of::<CampaignShown>(), 24),
        ("actor", size_of::<ContextFut<CampaignActor, Context<CampaignActor>>>(), 416),
        ("handle", size_of::<CampaignHandle>(), 64),
    ];
    for (name, size, most) in parts {
        println!("{name}: {size} bytes");
        assert!(size <= most, "{name}: {size} bytes, more than {most}");
    }
}
