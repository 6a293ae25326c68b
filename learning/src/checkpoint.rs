//! A trainer as bytes: what a restart goes on from.
//!
//! Inside the envelope, little-endian: for each head its progress, its offset, and four tables; for each table how many
//! pages were ever written, then each page's number and rows. Untouched pages are not kept.

use crate::envelope::{Kind, Reader, open, seal};
use crate::error::ModelError;
use crate::progress::Progress;
use crate::table::{Page, Row, Table};
use crate::trainer::{HeadTrainer, Trainer};

const KIND: Kind = Kind { magic: *b"HAGTRAIN", format: 1, name: "trainer checkpoint" };

impl Trainer {
    /// Appends the trainer's whole state to `out`.
    pub fn save(&self, out: &mut Vec<u8>) {
        let mut payload = Vec::new();
        for head in [&self.click, &self.conversion] {
            save_head(head, &mut payload);
        }
        seal(&KIND, &payload, out);
    }

    /// Goes on from what [`Trainer::save`] wrote.
    ///
    /// # Errors
    ///
    /// The bytes are cut short, altered, of another kind or of another version.
    pub fn load(bytes: &[u8]) -> Result<Self, ModelError> {
        let mut reader = Reader(open(&KIND, bytes)?);
        let mut trainer = Self::default();
        for head in [&mut trainer.click, &mut trainer.conversion] {
            load_head(head, &mut reader).ok_or(ModelError::Invalid("a field is out of range"))?;
        }
        if reader.0.is_empty() { Ok(trainer) } else { Err(ModelError::Invalid("a field is out of range")) }
    }
}

fn save_head(head: &HeadTrainer, out: &mut Vec<u8>) {
    let progress = &head.progress;
    out.extend_from_slice(&progress.examples.to_le_bytes());
    out.extend_from_slice(&progress.positives.to_le_bytes());
    out.extend_from_slice(&progress.log_loss.to_le_bytes());
    out.extend_from_slice(&progress.baseline_log_loss.to_le_bytes());
    out.extend_from_slice(&head.offset.to_le_bytes());
    out.extend_from_slice(&head.offset_squares.to_le_bytes());
    for table in [&head.head.request, &head.head.ad, &head.request_squares, &head.ad_squares] {
        save_table(table, out);
    }
}

fn load_head(head: &mut HeadTrainer, reader: &mut Reader<'_>) -> Option<()> {
    head.progress = Progress {
        examples: reader.u64()?,
        positives: reader.u64()?,
        log_loss: finite(reader.f64()?)?,
        baseline_log_loss: finite(reader.f64()?)?,
    };
    let [offset, offset_squares] = [reader.f32()?, reader.f32()?];
    head.offset = offset.is_finite().then_some(offset)?;
    head.offset_squares = offset_squares.is_finite().then_some(offset_squares)?;
    for table in
        [&mut head.head.request, &mut head.head.ad, &mut head.request_squares, &mut head.ad_squares]
    {
        load_table(table, reader)?;
    }
    head.set_bias();
    Some(())
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

fn save_table(table: &Table, out: &mut Vec<u8>) {
    let written: Vec<usize> = table.written().collect();
    out.extend_from_slice(&(written.len() as u32).to_le_bytes());
    for number in written {
        let Some(page) = table.page(number) else { continue };
        out.extend_from_slice(&(number as u32).to_le_bytes());
        for row in page {
            for value in std::iter::once(&row.linear).chain(&row.factors) {
                out.extend_from_slice(&value.to_le_bytes());
            }
        }
    }
}

fn load_table(table: &mut Table, reader: &mut Reader<'_>) -> Option<()> {
    let pages = reader.u32()? as usize;
    if pages > table.len() {
        return None;
    }
    for _ in 0..pages {
        let page = table.page_mut(reader.u32()? as usize)?;
        load_page(page, reader)?;
    }
    Some(())
}

fn load_page(page: &mut Page, reader: &mut Reader<'_>) -> Option<()> {
    for row in page {
        *row = Row::ZERO;
        for value in std::iter::once(&mut row.linear).chain(&mut row.factors) {
            let read = reader.f32()?;
            *value = read.is_finite().then_some(read)?;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn trained() -> Trainer {
        let mut trainer = Trainer::default();
        for i in 0..500u32 {
            trainer.learn_click(&[i % 50 * 977, i % 7], &[i % 6], i % 9 == 0);
            trainer.learn_conversion(&[i % 50 * 977], &[i % 6], i % 4 == 0);
        }
        trainer
    }

    #[test]
    fn a_restored_trainer_goes_on_exactly_where_the_saved_one_was() {
        let mut trainer = trained();
        let mut bytes = Vec::new();
        trainer.save(&mut bytes);
        let mut restored = Trainer::load(&bytes).unwrap();
        assert_eq!(restored.click_progress(), trainer.click_progress());
        for i in 0..200u32 {
            let (request, ad) = ([i % 50 * 977, i % 7], [i % 6]);
            let (a, b) = (trainer.learn_click(&request, &ad, i % 5 == 0), restored.learn_click(&request, &ad, i % 5 == 0));
            assert_eq!(a.to_bits(), b.to_bits());
            let (a, b) = (trainer.learn_conversion(&request, &ad, true), restored.learn_conversion(&request, &ad, true));
            assert_eq!(a.to_bits(), b.to_bits());
        }
    }

    #[test]
    fn a_lying_count_allocates_nothing() {
        let mut payload = vec![0; 2 * 8 + 2 * 8 + 2 * 4];
        payload.extend_from_slice(&u32::MAX.to_le_bytes());
        let mut bytes = Vec::new();
        seal(&KIND, &payload, &mut bytes);
        assert!(matches!(Trainer::load(&bytes), Err(ModelError::Invalid(_))));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn cut_or_altered_bytes_are_refused(cut in 0.0f64..1.0, at in 0.0f64..1.0, bit in 0u8..8) {
            let mut bytes = Vec::new();
            trained().save(&mut bytes);
            let cut = (cut * bytes.len() as f64) as usize;
            prop_assert!(Trainer::load(&bytes[..cut]).is_err());
            let at = (at * bytes.len() as f64) as usize;
            bytes[at] ^= 1 << bit;
            prop_assert!(Trainer::load(&bytes).is_err());
        }
    }
}
