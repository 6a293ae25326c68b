//! What happens between a request's imps and its bids: the node and the simulator decide by this, and by nothing else.
//!
//! Nothing is awaited or asked of anybody, and nothing is locked but a shard of the opt-outs and one of the users.

use haggle_domain::{Basis, Context, Draw, Event, NoBidReason, Opportunity, Record, Timestamp};
use haggle_strategies::commit::is_sampled;
use haggle_strategies::{Bids, Pods, Ranking, Snapshot, UserView, commit, funnel, rank};
use smallvec::SmallVec;

use crate::audience::Audience;
use crate::holdout::OncePerDay;

/// One request, and what it is decided on.
#[derive(Clone, Copy)]
pub struct Asking<'a> {
    /// The campaigns, the model and the market.
    pub snapshot: &'a Snapshot,
    /// What is known of users.
    pub audience: &'a Audience,
    /// Of whom the journal was told today that a campaign could have bid for them.
    pub told: &'a OncePerDay,
    /// Nodes share what is known of users, and of this one it cannot be read now.
    pub user_away: bool,
    /// The request, with no more of the user than the law and the user allow.
    pub context: &'a Context,
    /// Its id: with the imp's what every draw comes from.
    pub request_id: &'a str,
    /// Why nothing of it is bid on, whatever it asks for.
    pub refused: Option<NoBidReason>,
    /// Whether our addresses are good for imps that take only https.
    pub fit_for_secure: bool,
    /// The share of bids that the journal is told of; 0..=1.
    pub bid_log_sample: f64,
    /// When it is decided.
    pub now: Timestamp,
}

/// Who is told of what happens on the way. Nothing is decided by what it does.
pub trait Witness {
    /// To be journalled, if there is room; may be lost.
    fn record(&mut self, record: Record);
    /// An imp ends without a bid.
    fn no_bid(&mut self, reason: NoBidReason);
}

/// The imps that are bid on: the place of each in the request, what it is, and its bids, which are several in a pod.
pub type Answers = SmallVec<[(usize, Opportunity, Bids); 1]>;

impl Asking<'_> {
    /// Decides on every imp, given as its id and what is for sale, or why it is not for us. Each ends in a bid (a pod in several)
    /// or in one reason for none. `ranking` is scratch space; afterwards it holds the last imp that was ranked.
    ///
    /// # Errors
    ///
    /// Where nothing is bid on: the reason of the imp that came furthest.
    pub fn decide<'i>(
        &self,
        imps: impl Iterator<Item = (&'i str, Result<Opportunity, NoBidReason>)>,
        ranking: &mut Ranking,
        witness: &mut impl Witness,
    ) -> Result<Answers, NoBidReason> {
        let Self { snapshot, audience, context, now, .. } = *self;
        let known = context.user.and_then(|user| audience.get(user, now)).unwrap_or_default();
        let countable = context.user.filter(|_| context.basis.allows(Basis::STORE));
        let to_user = audience.to_user(countable);
        let mut answers = Answers::new();
        let mut reason = NoBidReason::InvalidRequest;
        let mut pods = Pods::default();
        for (position, (imp, opportunity)) in imps.enumerate() {
            let draw = Draw::new(snapshot.salt, self.request_id, imp);
            let made = match (opportunity, self.refused) {
                (Err(reason), _) | (Ok(_), Some(reason)) => Err(reason),
                (Ok(opportunity), None) if opportunity.secure && !self.fit_for_secure => {
                    Err(NoBidReason::Insecure)
                }
                (Ok(opportunity), None) => {
                    let seen = countable.map(|_| &known.seen);
                    let user = UserView { profile: known.profile.as_ref(), seen, away: self.user_away };
                    rank(snapshot, context, &opportunity, user, now, draw, ranking);
                    let made = commit(snapshot, context, &opportunity, ranking, &mut pods, &to_user, now);
                    // What costs nothing is no part of the story.
                    if !context.test {
                        funnel::count(snapshot, ranking, made.as_deref().unwrap_or_default());
                        if self.user_away {
                            funnel::count_away(snapshot, made.as_deref().unwrap_or_default());
                        }
                        self.note_groups(ranking, witness);
                    }
                    made.map(|made| (opportunity, made))
                }
            };
            match made {
                Ok((opportunity, made)) => {
                    for committed in &made {
                        if !context.test && is_sampled(draw, self.bid_log_sample) {
                            let campaign = committed.decision.bid.campaign;
                            let event = Event::Bid { decision: committed.decision.clone() };
                            witness.record(Record { at: now, campaign, event });
                        }
                    }
                    answers.push((position, opportunity, made));
                }
                Err(refused) => {
                    reason = reason.max(refused);
                    witness.no_bid(refused);
                }
            }
        }
        if answers.is_empty() { Err(reason) } else { Ok(answers) }
    }

    /// Has it journalled, once a day, that an imp was for a campaign whose effect is measured, where its user is one of those that
    /// are compared and may be kept and learned from.
    fn note_groups(&self, ranking: &Ranking, witness: &mut impl Witness) {
        let may = self.context.basis.allows(Basis::STORE.or(Basis::LEARN));
        let Some(user) = self.context.user.filter(|_| may) else { return };
        for (slot, group) in &ranking.groups {
            let Some(entry) = self.snapshot.catalog.at(*slot) else { continue };
            let campaign = entry.campaign.key;
            if self.told.is_new(campaign, user, self.now) {
                let event = Event::Eligible { user, group: *group };
                witness.record(Record { at: self.now, campaign, event });
            }
        }
    }
}
