//! A trainer on disk.
//!
//! Little-endian, in an [`envelope`]. For each of the two heads, click first: `u64` examples, `u64` positives, `f64`
//! log loss, `f64` baseline log loss, four `f64` of recent progress, the calibration (`calibration/saved.rs`), `f32` offset,
//! `f32` its squares; then for each of the two sides, request first:
//! `u32` pages of the table, `u32` pages that follow, and these in rising order: `u32` number, `u64` bits of the rows
//! that follow, and for each of these 9 `f32` of parameters and 9 of squares. What was never touched is not written.
//!
//! Format 1, which is still read, had neither recent progress nor calibration: they begin anew.

use crate::calibration::Calibrator;
use crate::envelope::{self, Kind, Reader};
use crate::error::ModelError;
use crate::head::settled;
use crate::progress::{Progress, Recent};
use crate::rates;
use crate::table::{PAGE_ROWS, Row, Table};
use crate::trainer::{HeadTrainer, Trainer};

const KIND: Kind = Kind { magic: *b"HAGGLEMT", format: 2, oldest: 1, name: "model" };

const CUT: ModelError = ModelError::Invalid("the saved model ends before its parameters do");

impl Trainer {
    /// Appends all that is needed to go on learning as if nothing had happened.
    pub fn save(&self, out: &mut Vec<u8>) {
        let mut payload = Vec::new();
        for head in [&self.click, &self.conversion] {
            write_head(head, &mut payload);
        }
        envelope::seal(&KIND, &payload, out);
    }

    /// Reads what [`Trainer::save`] wrote. Anything cut, altered, of another layout or out of range is refused.
    pub fn load(bytes: &[u8]) -> Result<Self, ModelError> {
        let (format, payload) = envelope::open(&KIND, bytes)?;
        let mut reader = Reader(payload);
        let mut trainer = Self::default();
        for head in [&mut trainer.click, &mut trainer.conversion] {
            read_head(&mut reader, head, format)?;
        }
        if !reader.0.is_empty() {
            return Err(ModelError::Invalid("the saved model goes on after its end"));
        }
        Ok(trainer)
    }
}

fn write_head(head: &HeadTrainer, out: &mut Vec<u8>) {
    out.extend_from_slice(&head.progress.examples.to_le_bytes());
    out.extend_from_slice(&head.progress.positives.to_le_bytes());
    out.extend_from_slice(&head.progress.log_loss.to_le_bytes());
    out.extend_from_slice(&head.progress.baseline_log_loss.to_le_bytes());
    write_recent(&head.recent, out);
    head.calibrator.write(out);
    out.extend_from_slice(&head.offset.to_le_bytes());
    out.extend_from_slice(&head.offset_squares.to_le_bytes());
    write_table(&head.head.request, &head.request_squares, out);
    write_table(&head.head.ad, &head.ad_squares, out);
}

fn read_head(reader: &mut Reader<'_>, head: &mut HeadTrainer, format: u32) -> Result<(), ModelError> {
    let progress = Progress {
        examples: reader.u64().ok_or(CUT)?,
        positives: reader.u64().ok_or(CUT)?,
        log_loss: reader.f64().ok_or(CUT)?,
        baseline_log_loss: reader.f64().ok_or(CUT)?,
    };
    let loss = |sum: f64| sum.is_finite() && sum >= 0.0;
    if progress.positives > progress.examples || !loss(progress.log_loss) || !loss(progress.baseline_log_loss)
    {
        return Err(ModelError::Invalid("the saved model's progress is impossible"));
    }
    head.progress = progress;
    if format >= 2 {
        head.recent = read_recent(reader)?;
        head.calibrator = Calibrator::read(reader)?;
    }
    head.offset = parameter(reader)?;
    head.offset_squares = square(reader)?;
    head.set_bias();
    read_table(reader, &mut head.head.request, &mut head.request_squares)?;
    read_table(reader, &mut head.head.ad, &mut head.ad_squares)
}

pub(crate) fn write_recent(recent: &Recent, out: &mut Vec<u8>) {
    for sum in [recent.examples, recent.positives, recent.predicted, recent.log_loss] {
        out.extend_from_slice(&sum.to_le_bytes());
    }
}

pub(crate) fn read_recent(reader: &mut Reader<'_>) -> Result<Recent, ModelError> {
    let recent = Recent {
        examples: reader.f64().ok_or(CUT)?,
        positives: reader.f64().ok_or(CUT)?,
        predicted: reader.f64().ok_or(CUT)?,
        log_loss: reader.f64().ok_or(CUT)?,
    };
    // Sums of thousands, so rounding may lift the part above the whole by a little.
    let counted = (0.0..=1e9).contains(&recent.examples);
    let part = |sum: f64| (0.0..=recent.examples * 1.001).contains(&sum);
    let loss = recent.log_loss.is_finite() && recent.log_loss >= 0.0;
    if counted && part(recent.positives) && part(recent.predicted) && loss {
        Ok(recent)
    } else {
        Err(ModelError::Invalid("the saved model's recent progress is impossible"))
    }
}

fn write_table(parameters: &Table, squares: &Table, out: &mut Vec<u8>) {
    out.extend_from_slice(&(parameters.len() as u32).to_le_bytes());
    // The squares of a touched row are written whenever its parameters are, so one table's pages are both's.
    let pages: Vec<usize> = parameters.written().collect();
    out.extend_from_slice(&(pages.len() as u32).to_le_bytes());
    for number in pages {
        let (Some(values), Some(sums)) = (parameters.page(number), squares.page(number)) else { continue };
        let touched = |row: usize| values[row] != Row::ZERO || sums[row] != Row::ZERO;
        let bits = (0..PAGE_ROWS).filter(|row| touched(*row)).fold(0u64, |bits, row| bits | 1 << row);
        out.extend_from_slice(&(number as u32).to_le_bytes());
        out.extend_from_slice(&bits.to_le_bytes());
        for row in (0..PAGE_ROWS).filter(|row| bits >> row & 1 == 1) {
            for part in [&values[row], &sums[row]] {
                out.extend_from_slice(&part.linear.to_le_bytes());
                part.factors.iter().for_each(|factor| out.extend_from_slice(&factor.to_le_bytes()));
            }
        }
    }
}

fn read_table(
    reader: &mut Reader<'_>,
    parameters: &mut Table,
    squares: &mut Table,
) -> Result<(), ModelError> {
    if reader.u32().ok_or(CUT)? as usize != parameters.len() {
        return Err(ModelError::Invalid("the saved model's tables have another size"));
    }
    let pages = reader.u32().ok_or(CUT)?;
    let mut next = 0;
    // Pages rise and each must lie in the table, so a lying count ends here and allocates nothing.
    for _ in 0..pages {
        let number = reader.u32().ok_or(CUT)? as usize;
        let bits = reader.u64().ok_or(CUT)?;
        if number < next {
            return Err(ModelError::Invalid("the saved model's pages are out of order"));
        }
        next = number + 1;
        let (Some(values), Some(sums)) = (parameters.page_mut(number), squares.page_mut(number)) else {
            return Err(ModelError::Invalid("the saved model has a page outside its table"));
        };
        for row in (0..PAGE_ROWS).filter(|row| bits >> row & 1 == 1) {
            values[row] = read_row(reader, parameter)?;
            sums[row] = read_row(reader, square)?;
            values[row].settled = settled(sums[row].linear);
        }
    }
    Ok(())
}

fn read_row(
    reader: &mut Reader<'_>,
    value: fn(&mut Reader<'_>) -> Result<f32, ModelError>,
) -> Result<Row, ModelError> {
    let mut row = Row { linear: value(reader)?, ..Row::ZERO };
    for factor in &mut row.factors {
        *factor = value(reader)?;
    }
    Ok(row)
}

fn parameter(reader: &mut Reader<'_>) -> Result<f32, ModelError> {
    let value = reader.f32().ok_or(CUT)?;
    // False for NaN too.
    if value.abs() <= rates::LIMIT {
        Ok(value)
    } else {
        Err(ModelError::Invalid("a saved parameter is out of range"))
    }
}

fn square(reader: &mut Reader<'_>) -> Result<f32, ModelError> {
    let value = reader.f32().ok_or(CUT)?;
    if value.is_finite() && value >= 0.0 {
        Ok(value)
    } else {
        Err(ModelError::Invalid("a saved sum of squares is out of range"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lesson(i: u32) -> ([u32; 3], [u32; 2], bool) {
        let request = [i.wrapping_mul(2_654_435_761) >> 8, (14 << 18) + i % 12, i % 7];
        (request, [(32 << 18) + i % 6, (33 << 18) + i % 11], (i * 7 + i % 12).is_multiple_of(31))
    }

    fn trained(examples: u32) -> Trainer {
        let mut trainer = Trainer::default();
        for i in 0..examples {
            let (request, ad, label) = lesson(i);
            trainer.learn_click(&request, &ad, label);
            if label {
                trainer.learn_conversion(&request, &ad, i.is_multiple_of(4));
            }
        }
        trainer
    }

    fn saved(trainer: &Trainer) -> Vec<u8> {
        let mut bytes = Vec::new();
        trainer.save(&mut bytes);
        bytes
    }

    #[test]
    fn a_resumed_trainer_goes_on_to_the_bit() {
        let mut original = trained(400);
        let bytes = saved(&original);
        let mut resumed = Trainer::load(&bytes).unwrap();
        assert_eq!(saved(&resumed), bytes);
        let (request, ad, _) = lesson(7);
        let [sure, as_sure] = [&original, &resumed].map(|trainer| {
            let model = trainer.snapshot();
            model.click_deviation(&model.request_part(&request), &model.ad_part(&ad))
        });
        assert_eq!(sure.to_bits(), as_sure.to_bits());
        for i in 400..600 {
            let (request, ad, label) = lesson(i);
            let (a, b) =
                (original.learn_click(&request, &ad, label), resumed.learn_click(&request, &ad, label));
            assert_eq!(a.to_bits(), b.to_bits());
        }
        assert_eq!(original.click_progress(), resumed.click_progress());
        assert_eq!(original.version(), resumed.version());
        assert_eq!(saved(&original), saved(&resumed));
    }

    /// As they were written before there was a calibration.
    fn saved_in_format_1(trainer: &Trainer) -> Vec<u8> {
        let (mut payload, mut bytes) = (Vec::new(), Vec::new());
        for head in [&trainer.click, &trainer.conversion] {
            payload.extend_from_slice(&head.progress.examples.to_le_bytes());
            payload.extend_from_slice(&head.progress.positives.to_le_bytes());
            for value in [head.progress.log_loss, head.progress.baseline_log_loss] {
                payload.extend_from_slice(&value.to_le_bytes());
            }
            payload.extend_from_slice(&head.offset.to_le_bytes());
            payload.extend_from_slice(&head.offset_squares.to_le_bytes());
            write_table(&head.head.request, &head.request_squares, &mut payload);
            write_table(&head.head.ad, &head.ad_squares, &mut payload);
        }
        envelope::seal(&Kind { format: 1, ..KIND }, &payload, &mut bytes);
        bytes
    }

    #[test]
    fn a_model_from_before_calibration_goes_on_with_what_it_knows() {
        let original = trained(400);
        let mut resumed = Trainer::load(&saved_in_format_1(&original)).unwrap();
        assert_eq!(resumed.click_progress(), original.click_progress());
        assert_eq!(resumed.recent_clicks(), Recent::default());
        let (request, ad, label) = lesson(400);
        let score = |trainer: &Trainer| {
            let head = &trainer.click.head;
            head.score(&head.request_part(&request), &head.ad_part(&ad))
        };
        assert_eq!(score(&resumed).to_bits(), score(&original).to_bits());
        let own = crate::head::probability(score(&resumed));
        assert!((resumed.learn_click(&request, &ad, label) - own).abs() < 1e-6, "calibration begins anew");
        assert_eq!(saved(&Trainer::load(&saved(&resumed)).unwrap()), saved(&resumed));
    }

    #[test]
    fn only_what_was_touched_is_written() {
        let untrained = saved(&Trainer::default()).len();
        assert!(untrained < 270, "{untrained} bytes");
        let mut one = Trainer::default();
        one.learn_click(&[1, 2], &[3], true);
        // Two pages on one side (here the same one), one on the other; 72 bytes a row. The calibration: the line, the
        // shares and the examples since, steps, map, and one bin.
        let calibration = 8 * 8 + 4 + 64 * 8 + 64 * 4 + 8 + 3 * 8;
        assert_eq!(saved(&one).len(), untrained + 2 * 12 + 3 * 72 + calibration);
    }

    #[test]
    fn errors_say_what_is_wrong() {
        let bytes = saved(&trained(50));
        assert!(matches!(Trainer::load(b""), Err(ModelError::NotOurs("model"))));
        assert!(matches!(
            Trainer::load(b"something else entirely, of some length"),
            Err(ModelError::NotOurs(_))
        ));
        assert!(matches!(Trainer::load(&bytes[..bytes.len() - 1]), Err(ModelError::Length { .. })));
        let mut newer = bytes.clone();
        newer[8] = 3;
        assert_eq!(Trainer::load(&newer).err(), Some(ModelError::Format { found: 3, readable: 2 }));
        let mut altered = bytes.clone();
        *altered.last_mut().unwrap() ^= 1;
        assert_eq!(Trainer::load(&altered).err(), Some(ModelError::Checksum));
    }

    /// Where the payload begins.
    const PAYLOAD: usize = 28;

    proptest! {
        #[test]
        fn altered_bytes_are_refused(at: prop::sample::Index, bit in 0u8..8, cut: prop::sample::Index) {
            let bytes = saved(&trained(40));
            let mut altered = bytes.clone();
            altered[at.index(bytes.len())] ^= 1 << bit;
            prop_assert!(Trainer::load(&altered).is_err());
            prop_assert!(Trainer::load(&bytes[..cut.index(bytes.len())]).is_err());
        }

        /// Behind a right checksum too, bytes are either refused or give a trainer that predicts and learns.
        #[test]
        fn a_forged_payload_never_panics_nor_gives_nan(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
            cut: Option<prop::sample::Index>,
        ) {
            let bytes = saved(&trained(40));
            let mut payload = bytes[PAYLOAD..].to_vec();
            for (at, value) in changes {
                let at = at.index(payload.len());
                payload[at] = value;
            }
            if let Some(cut) = cut {
                payload.truncate(cut.index(payload.len()));
            }
            let mut forged = Vec::new();
            envelope::seal(&KIND, &payload, &mut forged);
            if let Ok(mut trainer) = Trainer::load(&forged) {
                for i in 0..40 {
                    let (request, ad, label) = lesson(i);
                    let p = trainer.learn_click(&request, &ad, label);
                    prop_assert!((1e-6..=1.0 - 1e-6).contains(&p));
                }
            }
        }

        #[test]
        fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(Trainer::load(&bytes).is_err());
            let mut forged = Vec::new();
            envelope::seal(&KIND, &bytes, &mut forged);
            prop_assert!(Trainer::load(&forged).is_err() || bytes.len() > 100);
        }
    }
}
