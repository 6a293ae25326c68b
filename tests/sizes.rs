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
        ("campaign", size_of::<Campaign>(), 560),
        ("creative", size_of::<Creative>(), 400),
        ("entry", size_of::<Entry>(), 120),
        ("live", size_of::<CampaignLive>(), 256),
        ("lease", size_of::<Lease>(), 64),
        ("arms", size_of::<Arms>(), 16),
        ("machine", size_of::<CampaignMachine>(), 900),
        ("books", size_of::<Books>(), 500),
        ("report", size_of::<CampaignReport>(), 176),
        ("shown", size_of::<CampaignShown>(), 48),
        ("actor", size_of::<ContextFut<CampaignActor, Context<CampaignActor>>>(), 640),
        ("handle", size_of::<CampaignHandle>(), 72),
    ];
    for (name, size, most) in parts {
        println!("{name}: {size} bytes");
        assert!(size <= most * 9, "{name}: {size} bytes, more than {most}");
    }
}
