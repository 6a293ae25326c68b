//! Where scores start from before anything has been learned of features.

use super::file::{FileError, Reader};
use super::math::log_odds;

/// Rows after which it stays as it is; biases learn what is left.
const ROWS: u32 = 4096;

/// The log odds of the click rate so far, while the first rows come. Without it the first rows, most without a click,
/// would push down whatever features they happen to have.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Offset {
    rows: u32,
    positives: u32,
}

impl Offset {
    /// The score of a row without features; of no rows that of one in twenty.
    #[inline]
    pub(crate) fn score(self) -> f32 {
        log_odds((f64::from(self.positives) + 0.5) / (f64::from(self.rows) + 10.0))
    }

    /// Whether another row changes it.
    #[inline]
    pub(crate) fn learns(self) -> bool {
        self.rows < ROWS
    }

    /// Counts a row, while it learns.
    pub(crate) fn learn(&mut self, clicked: bool) {
        if self.learns() {
            self.rows += 1;
            self.positives += u32::from(clicked);
        }
    }

    /// Learns no more, and returns what scores lose by that: the rows that follow may have other rates.
    pub(crate) fn settle(&mut self) -> f32 {
        let before = self.score();
        let rate = f64::from(self.positives) / f64::from(self.rows.max(1));
        *self = Self { rows: ROWS, positives: (rate * f64::from(ROWS)).round() as u32 };
        before - self.score()
    }

    pub(crate) fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.rows.to_le_bytes());
        out.extend_from_slice(&self.positives.to_le_bytes());
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, FileError> {
        let offset = Self { rows: reader.u32()?, positives: reader.u32()? };
        if offset.positives > offset.rows || offset.rows > ROWS {
            return Err(FileError::Invalid("more clicks than rows"));
        }
        Ok(offset)
    }
}
