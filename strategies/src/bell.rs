//! How bids tell a campaign's actor that there is something for it to do: one bit a campaign, set without a lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const WORDS: usize = 64;

/// The bells of a few thousand campaigns, close together, so that whoever listens to all of them reads little.
#[derive(Debug)]
pub struct Board {
    bits: [AtomicU64; WORDS],
}

impl Default for Board {
    fn default() -> Self {
        Self { bits: std::array::from_fn(|_| AtomicU64::new(0)) }
    }
}

impl Board {
    /// How many bells it has.
    pub const BELLS: usize = WORDS * 64;

    /// The bell of that number, below [`Board::BELLS`]; a higher one is reduced to it.
    pub fn bell(self: &Arc<Self>, number: usize) -> Bell {
        Bell { board: Arc::clone(self), number: (number % Self::BELLS) as u16 }
    }

    /// Silences every bell that was rung, and names it.
    pub fn answer(&self, mut each: impl FnMut(usize)) {
        for (index, word) in self.bits.iter().enumerate() {
            // Most are silent, and reading alone leaves the line shared.
            if word.load(Ordering::Relaxed) == 0 {
                continue;
            }
            let mut rung = word.swap(0, Ordering::Acquire);
            while rung != 0 {
                each(index * 64 + rung.trailing_zeros() as usize);
                rung &= rung - 1;
            }
        }
    }
}

/// One campaign's bell.
#[derive(Clone, Debug)]
pub struct Bell {
    board: Arc<Board>,
    number: u16,
}

impl Bell {
    /// Rings it, if it has not been rung since it was last answered.
    pub fn ring(&self) {
        let bit = 1 << (self.number % 64);
        let word = self.board.bits.get(usize::from(self.number / 64));
        if let Some(word) = word.filter(|word| word.load(Ordering::Relaxed) & bit == 0) {
            word.fetch_or(bit, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bell_is_answered_once_however_often_it_was_rung() {
        let board = Arc::new(Board::default());
        for number in [0, 63, 64, Board::BELLS - 1, 64] {
            board.bell(number).ring();
        }
        let mut heard = Vec::new();
        board.answer(|number| heard.push(number));
        assert_eq!(heard, [0, 63, 64, Board::BELLS - 1]);
        board.answer(|number| panic!("{number} was not rung again"));
    }
}
