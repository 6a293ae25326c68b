//! Which of the campaigns that match are considered.
//!
//! Blocks are looked into by class, those whose campaigns may bid most first, and within a class from where the draw says, so
//! that equals take turns. Of what matches and may bid a pool is filled. The pool's best by what they are expected to bid are
//! scored, and the best by their scores are judged one after the other, until [`MOST_CANDIDATES`] would bid: one of them is
//! mostly all that is needed, and judging costs many times what scoring does. With few matches that is all of them.

use std::hint::black_box;

use haggle_domain::draw::Stream;
use haggle_domain::{CpmMicros, NoBidReason, Opportunity};
use smallvec::SmallVec;

use crate::card::Card;
use crate::index::{Asking, BLOCK, Search};
use crate::rank::{Judge, Known, Ranking};
use crate::targeting;

/// Candidates beyond which no more campaigns are considered, besides holders of guaranteed deals. More than one
/// because the first may turn out to have no money left, or the user no room for it.
pub const MOST_CANDIDATES: usize = 4;
/// The same where there is a pod to fill, or one of its other imps may have taken the first of them.
const MOST_IN_POD: usize = 16;
/// Campaigns that are scored together.
const SCORED: usize = 16;
/// Campaigns among which the expected bid chooses, and up to a block more. More choose better and cost more.
const POOL: usize = 32;
/// Campaigns that are judged in one walk, whatever becomes of them: it bounds what an imp can cost for which thousands are found that
/// then refuse, because the user has seen them often enough or their hours are others.
const MOST_JUDGED: usize = 4096;
/// Campaigns that are asked why there is no bid.
const MOST_ASKED: usize = 8;

/// Campaigns waiting to be considered.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    /// What a campaign is expected to bid, above its slot, which the draw has scrambled so that it breaks ties.
    waiting: Vec<u64>,
    /// The same of those that were scored, by their scores.
    scored: Vec<u64>,
    /// Slots that were considered already, where deals have a turn of their own.
    done: Vec<u32>,
    /// How many campaigns were judged.
    judged: usize,
}

/// Fills `ranking` with candidates, and says why there are none.
pub(crate) fn pick(judge: &Judge<'_>, ranking: &mut Ranking) {
    let (context, opportunity) = (judge.asked.context, judge.asked.opportunity);
    let index = judge.snapshot.catalog.index();
    let asking = Asking::of(&judge.asked);
    let mut search = Search::new(index, &asking);
    let targeted = search.mark();
    let safety_open = !search.respect(context);
    ranking.pool.waiting.clear();
    ranking.pool.done.clear();
    let most = wanted(opportunity);
    let (passed_over, too_cheap) = (PassedOver::new(), None);
    let mut walk = Walk { judge, ranking, passed_over, too_cheap, remembers: false, safety_open };
    if !opportunity.deals.is_empty() {
        walk.remembers = true;
        for guaranteed in [true, false] {
            let deals = opportunity.deals.iter().filter(|deal| deal.guaranteed == guaranteed);
            let mut holders = search.clone();
            holders.only_holders(deals.map(|deal| deal.key));
            // What was promised is bid on, however many hold such a deal.
            walk.through(&holders, if guaranteed { usize::MAX } else { most }, CpmMicros::ZERO);
        }
    }
    if !opportunity.deals_only {
        walk.through(&search, most, lowest_floor(opportunity));
    }
    let Walk { mut passed_over, too_cheap, .. } = walk;
    if ranking.candidates.is_empty() {
        passed_over.extend(too_cheap.map(|slot| slot as u32));
        search.back_to(targeted);
        ranking.reason = ranking.reason.max(reason(judge, &asking, &search, &passed_over));
    }
}

/// Below this no ad of any duration is sold in the open auction, if there is no deal.
fn lowest_floor(opportunity: &Opportunity) -> CpmMicros {
    if !opportunity.deals.is_empty() {
        return CpmMicros::ZERO;
    }
    let slots = [&opportunity.video, &opportunity.audio].into_iter().flatten();
    let by_duration = slots.flat_map(|slot| &slot.duration_floors).map(|range| range.floor);
    by_duration.fold(opportunity.floor, CpmMicros::min)
}

/// Slots of some campaigns that matched and were not judged.
type PassedOver = SmallVec<[u32; MOST_ASKED + 1]>;

/// What spreads numbers that differ little over all that 32 bits hold (Knuth's multiplicative hashing), and what brings them back.
const SPREAD: u32 = 0x9e37_79b1;
const GATHER: u32 = {
    // Newton's iteration doubles the bits that are right.
    let (mut inverse, mut step) = (SPREAD, 0);
    while step < 5 {
        inverse = inverse.wrapping_mul(2u32.wrapping_sub(SPREAD.wrapping_mul(inverse)));
        step += 1;
    }
    inverse
};

/// A key of the pool: by what a campaign is worth, and of equals by chance.
fn key_of(worth: u32, slot: u32, scramble: u32) -> u64 {
    u64::from(worth) << 32 | u64::from((slot ^ scramble).wrapping_mul(SPREAD))
}

/// The slot in a key.
fn slot_of(key: u64, scramble: u32) -> u32 {
    (key as u32).wrapping_mul(GATHER) ^ scramble
}

/// Candidates that an imp is given.
fn wanted(opportunity: &Opportunity) -> usize {
    let slots = [&opportunity.video, &opportunity.audio];
    let in_pod = slots.into_iter().flatten().any(|slot| slot.pod.is_some());
    if in_pod { MOST_IN_POD } else { MOST_CANDIDATES }
}

struct Walk<'w, 'a> {
    judge: &'w Judge<'a>,
    ranking: &'w mut Ranking,
    /// Some that may not bid.
    passed_over: PassedOver,
    /// One that may, but that the floor is too high for.
    too_cheap: Option<usize>,
    /// Whether there is more than one walk, so that it matters who was considered.
    remembers: bool,
    /// Whether what was found may still be unwanted.
    safety_open: bool,
}

impl Walk<'_, '_> {
    /// Considers what a search finds until there are `more` candidates beside those of earlier walks. Blocks in which nobody pays
    /// the floor are left out.
    fn through(&mut self, search: &Search<'_>, more: usize, floor: CpmMicros) {
        let most = self.ranking.candidates.len().saturating_add(more);
        self.ranking.pool.judged = 0;
        let catalog = &*self.judge.snapshot.catalog;
        let bits = self.judge.draw.bits(Stream::Walk, 0);
        let (first, scramble) = (bits as usize % (search.blocks().words() * 64).max(1), (bits >> 32) as u32);
        for class in catalog.classes() {
            for block in search.blocks().both_from(class, first) {
                if catalog.most(block) < floor {
                    self.pass_over_cheap(search, block);
                    continue;
                }
                let Some(seats) = catalog.seats(block) else { continue };
                for place in search.places(block).iter() {
                    let slot = (block * BLOCK + place) as u32;
                    match seats.worth(place) {
                        _ if self.remembers && self.ranking.pool.done.contains(&slot) => {}
                        Some(worth) => self.ranking.pool.waiting.push(key_of(worth, slot, scramble)),
                        None if self.passed_over.len() < MOST_ASKED => self.passed_over.push(slot),
                        None => {}
                    }
                }
                if self.ranking.pool.waiting.len() >= POOL && self.is_over_after_considering(most, scramble) {
                    return;
                }
            }
            // Whoever comes later is worth less.
            if self.ranking.candidates.len() + self.ranking.pool.waiting.len() >= most
                && self.is_over_after_considering(most, scramble)
            {
                return;
            }
        }
        self.consider(most, scramble);
    }

    fn is_over_after_considering(&mut self, most: usize, scramble: u32) -> bool {
        self.consider(most, scramble);
        self.ranking.candidates.len() >= most
            || (most != usize::MAX && self.ranking.pool.judged >= MOST_JUDGED)
    }

    /// Judges the best of the pool until there are enough candidates or nobody is left in it.
    fn consider(&mut self, most: usize, scramble: u32) {
        let enough = |walk: &Self| walk.ranking.candidates.len() >= most;
        while !enough(self) && !self.ranking.pool.waiting.is_empty() {
            // Where all are judged anyway, in which order does not matter.
            let left = most - self.ranking.candidates.len();
            let together = if most == usize::MAX { usize::MAX } else { SCORED.max(left) };
            let waiting = &mut self.ranking.pool.waiting;
            let kept = waiting.len().saturating_sub(together);
            if kept > 0 {
                waiting.select_nth_unstable(kept);
            }
            self.score(kept, scramble);
            while !enough(self)
                && let Some(key) = self.ranking.pool.scored.pop()
            {
                self.judge_one(slot_of(key, scramble));
            }
        }
        self.ranking.pool.waiting.clear();
    }

    /// Moves those that wait from `kept` on to the scored, the best last.
    ///
    /// What scoring them needs is fetched for all at once. Where there are very many campaigns it comes from memory, and one
    /// after the other they would be waited for longer than they are scored.
    fn score(&mut self, kept: usize, scramble: u32) {
        let (catalog, scorer) = (&*self.judge.snapshot.catalog, &*self.judge.snapshot.scorer);
        let passed_over = &mut self.passed_over;
        let Pool { waiting, scored, judged, .. } = &mut self.ranking.pool;
        let chosen = waiting.get(kept..).unwrap_or_default();
        let slots = || chosen.iter().map(|key| slot_of(*key, scramble) as usize);
        let mut read = 0;
        for slot in slots() {
            read ^= scorer.warm(slot) ^ catalog.card(slot).map_or(0, Card::warm);
        }
        for slot in slots() {
            read ^= catalog.card(slot).map_or(0, |card| card.live.warm());
            black_box(scorer.ad(slot, 0).copied());
        }
        black_box(read);
        scored.clear();
        scored.extend(chosen.iter().filter_map(|key| {
            let slot = slot_of(*key, scramble);
            let card = catalog.card(slot as usize);
            if card.is_some_and(|card| card.live.is_throttled(self.judge.draw, card.key)) {
                // It leaves its place to others, and may have to say why there is no bid.
                *judged += 1;
                if passed_over.len() < MOST_ASKED {
                    passed_over.push(slot);
                }
                return None;
            }
            Some(key_of(card.map_or(0, |card| self.judge.score(slot as usize, card)), slot, scramble))
        }));
        scored.sort_unstable();
        waiting.truncate(kept);
    }

    fn judge_one(&mut self, slot: u32) {
        let (catalog, ranking) = (&*self.judge.snapshot.catalog, &mut *self.ranking);
        let at = slot as usize;
        let Some(card) = catalog.card(at) else { return };
        ranking.pool.judged += 1;
        if self.remembers {
            ranking.pool.done.push(slot);
        }
        let targeting_open = catalog.index().is_residual(at);
        let known = Known::Found { targeting_open, safety_open: self.safety_open };
        match self.judge.judge(at, card, known) {
            Ok(candidate) => ranking.candidates.push(candidate),
            Err(reason) => ranking.reason = ranking.reason.max(reason),
        }
    }

    /// Remembers somebody who would have been considered, had the floor been lower, as long as there is nobody else.
    fn pass_over_cheap(&mut self, search: &Search<'_>, block: usize) {
        if self.ranking.candidates.is_empty()
            && self.ranking.pool.waiting.is_empty()
            && self.too_cheap.is_none()
            && let Some(seats) = self.judge.snapshot.catalog.seats(block)
        {
            let open = search.places(block).iter().find(|place| seats.worth(*place).is_some());
            self.too_cheap = open.map(|place| block * BLOCK + place);
        }
    }
}

/// Why nobody bids, from some of those that came furthest.
#[cold]
fn reason(
    judge: &Judge<'_>,
    asking: &Asking,
    targeted: &Search<'_>,
    passed_over: &PassedOver,
) -> NoBidReason {
    let catalog = &*judge.snapshot.catalog;
    let asked = |slots: &mut dyn Iterator<Item = usize>| {
        let reasons = slots.filter_map(|slot| judge.judge(slot, catalog.card(slot)?, Known::Nothing).err());
        reasons.max()
    };
    let some = |search: &Search<'_>, most: usize| -> SmallVec<[usize; 16]> {
        let all = |block: usize| search.places(block).iter().map(move |place| block * BLOCK + place);
        search.blocks().iter().flat_map(all).take(most).collect()
    };
    let mut found = NoBidReason::TargetingMismatch;
    if let Some(reason) = asked(&mut passed_over.iter().map(|slot| *slot as usize)) {
        found = found.max(reason);
    }
    if found == NoBidReason::TargetingMismatch {
        // Who matches may be unwanted, or hold none of the deals.
        if let Some(reason) = asked(&mut some(targeted, MOST_ASKED).into_iter()) {
            found = found.max(reason);
        }
    }
    if found == NoBidReason::TargetingMismatch && judge.asked.context.user.is_none() {
        let search = Search::of_some_user(catalog.index(), asking);
        let matches = |slot: &usize| {
            catalog
                .at(*slot)
                .is_some_and(|entry| targeting::matches_some_user(&entry.campaign.targeting, &judge.asked))
        };
        if some(&search, MOST_ASKED).iter().any(matches) {
            found = NoBidReason::NoBasis;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_key_gives_its_slot_back_and_is_above_those_of_lesser_worth(worth: u32, slot: u32, other: u32, scramble: u32) {
            let key = key_of(worth, slot, scramble);
            prop_assert_eq!(slot_of(key, scramble), slot);
            prop_assert!(worth == 0 || key > key_of(worth - 1, other, scramble));
        }
    }
}
