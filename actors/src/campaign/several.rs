//! What a campaign's actor needs where several nodes bid for it: one of them owns it, and has an actor with books; on the others it
//! stands by.

use actix::Message;
use haggle_domain::{CampaignKey, Event, Timestamp};

use super::outcome::Outcome;
use crate::backbone::Term;
use crate::books::Books;

/// The other nodes, as a campaign's actor knows them.
pub trait Others: Send + Sync {
    /// Tells every node how to bid for a campaign from now on. Says whether there was room for that.
    fn post(&self, campaign: CampaignKey, bytes: Vec<u8>) -> bool;

    /// Everything that any node saw of a campaign before that time was told to its owner.
    fn known_until(&self, campaign: CampaignKey, now: Timestamp) -> Timestamp;
}

/// The campaign is this node's from now on. Everything that was committed for it is in the books.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Own {
    /// Under which claim of its partition: what follows from the books counts under no other.
    pub claim: Term,
    /// Its books.
    pub books: Box<Books>,
}

/// The campaign is another node's.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Disown;

/// How to bid for the campaign is to be said again, if it is this node's: somebody new listens.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Repost;

/// What a node saw. Answered with whether it was handled; if not, nothing happened, and it may come again.
#[derive(Message)]
#[rtype(result = "bool")]
pub struct Settle {
    /// Under which claim of the campaign's partition this node was told.
    pub claim: Term,
    /// When it was seen.
    pub at: Timestamp,
    /// What.
    pub event: Event,
    /// Called once what follows from it is durable, with what became of it if it is a notice; dropped, it may not be.
    pub durable: Box<dyn FnOnce(Option<Outcome>) + Send>,
}
