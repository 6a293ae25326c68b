//! Which words to pause or resume a campaign have come, so that one that comes again, after others that were told since, changes
//! nothing.
//!
//! Nodes' clocks differ, so a word is not taken for an old one because its time is before another's: it is known if that very time is
//! known, or is before all of many that are.

use std::collections::BTreeSet;

use haggle_domain::Timestamp;
use minicbor::{Decode, Encode};

/// Words that are remembered.
const MOST: usize = 16;

/// When the latest words were told.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode)]
pub(crate) struct Pauses {
    #[n(0)]
    at: BTreeSet<Timestamp>,
}

impl Pauses {
    /// Whether the word of that time has come.
    pub(crate) fn is_known(&self, at: Timestamp) -> bool {
        let is_older = || self.at.len() == MOST && self.at.first().is_some_and(|first| at < *first);
        self.at.contains(&at) || is_older()
    }

    /// It has.
    pub(crate) fn note(&mut self, at: Timestamp) {
        self.at.insert(at);
        if self.at.len() > MOST {
            self.at.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_known_once_it_came_and_clocks_that_differ_hide_none() {
        let mut pauses = Pauses::default();
        pauses.note(Timestamp(100));
        assert!(pauses.is_known(Timestamp(100)));
        assert!(!pauses.is_known(Timestamp(99)), "told by a node whose clock is behind");
        for at in 101..120 {
            assert!(!pauses.is_known(Timestamp(at)));
            pauses.note(Timestamp(at));
        }
        for at in 0..120 {
            assert!(pauses.is_known(Timestamp(at)), "{at}");
        }
        let bytes = minicbor::to_vec(&pauses).unwrap();
        assert_eq!(minicbor::decode::<Pauses>(&bytes).unwrap(), pauses);
    }
}
