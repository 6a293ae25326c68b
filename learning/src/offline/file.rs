//! A model in a file.
//!
//! Little-endian, in an [`envelope`]: `u32` kind of the model, `u64` hash of the schema, and what the kind writes: its
//! settings first, its state then. Of large tables only touched rows are written.
//!
//! What knows of orders is in format 2, which is format 1 and behind it the head of orders. Everything else is in format 1.

use super::deep::Deep;
use super::ffm::Ffm;
use super::learner::{Learner, SettingsError};
use super::logistic::Logistic;
use crate::envelope::{self, Kind};
use crate::error::ModelError;
use crate::frozen::Frozen;

pub(crate) const KIND: Kind =
    Kind { magic: *b"HAGGLEOM", format: WITH_CONVERSIONS, oldest: FIRST, name: "trained model" };

/// The formats.
pub(crate) const FIRST: u32 = 1;
pub(crate) const WITH_CONVERSIONS: u32 = 2;

/// Why a file is refused. Nothing of it is used then.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum FileError {
    /// What is around the model does not hold.
    #[error("{0}")]
    Envelope(&'static str),
    /// Written by another version of the program.
    #[error("the model is in format {found}, this program reads {readable}; train it again")]
    Format {
        /// What the file says.
        found: u32,
        /// What can be read.
        readable: u32,
    },
    /// Cut, or something was appended.
    #[error(
        "the model has {found} bytes where its header says {expected}; copy the whole file again, or train it again"
    )]
    Length {
        /// How many there are after the header.
        found: u64,
        /// How many there should be.
        expected: u64,
    },
    /// It was trained on rows that mean something else.
    #[error(
        "the model was trained on schema {found:016x}, and {expected:016x} is in use; train it again, or use its schema"
    )]
    Schema {
        /// The model's.
        found: u64,
        /// The one asked for.
        expected: u64,
    },
    /// The checksum holds, but what it covers makes no sense.
    #[error("the model is invalid: {0}; train it again")]
    Invalid(&'static str),
    /// The same of a setting.
    #[error("the model is invalid: {0}; train it again")]
    Settings(#[from] SettingsError),
}

impl From<ModelError> for FileError {
    fn from(error: ModelError) -> Self {
        match error {
            ModelError::NotOurs(_) => Self::Envelope("this is no trained model; name the right file"),
            ModelError::Format { found, readable } => Self::Format { found, readable },
            ModelError::Length { found, expected } => Self::Length { found, expected },
            ModelError::Checksum => Self::Envelope(
                "the model's checksum does not match, so the file was altered; copy it again, or train it again",
            ),
            ModelError::Invalid(what) => Self::Invalid(what),
        }
    }
}

/// The kinds of models, by the number in the file.
pub(crate) const LOGISTIC: u32 = 1;
pub(crate) const FFM: u32 = 2;
pub(crate) const DEEP: u32 = 3;
pub(crate) const FROZEN: u32 = 4;

/// Appends a model of a kind in a format, whose settings and state `write` appends.
pub(crate) fn save(kind: u32, format: u32, schema: u64, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    envelope::seal_with(&Kind { format, ..KIND }, out, |out| {
        out.extend_from_slice(&kind.to_le_bytes());
        out.extend_from_slice(&schema.to_le_bytes());
        write(out);
    });
}

/// Reads what [`Learner::save`] wrote, if it was trained on this schema. Anything cut, altered, of another layout or
/// out of range is refused.
pub fn load(bytes: &[u8], schema: u64) -> Result<Box<dyn Learner>, FileError> {
    open(bytes, schema, |kind, reader| {
        let model: Box<dyn Learner> = match kind {
            LOGISTIC => Box::new(Logistic::read(reader)?),
            FFM => Box::new(Ffm::read(reader)?),
            DEEP => Box::new(Deep::read(reader)?),
            FROZEN => return Err(FileError::Invalid("it serves only and cannot learn")),
            _ => return Err(FileError::Invalid("it is of an unknown kind")),
        };
        Ok(model)
    })
}

/// Reads a deep model that [`Learner::save`] wrote; see [`load`].
pub fn load_deep(bytes: &[u8], schema: u64) -> Result<Deep, FileError> {
    open(bytes, schema, |kind, reader| {
        if kind == DEEP { Deep::read(reader) } else { Err(FileError::Invalid("it is no deep model")) }
    })
}

/// Of which kind the model of a file is, as far as that can be told.
pub(crate) fn kind(bytes: &[u8]) -> Option<u32> {
    let payload = envelope::open(&KIND, bytes).ok()?.1;
    envelope::Reader(payload).u32()
}

/// Whether a file holds a model of any kind, one that serves only too, that was trained on this schema and can be read.
pub fn verify(bytes: &[u8], schema: u64) -> Result<(), FileError> {
    open(bytes, schema, |kind, reader| match kind {
        LOGISTIC => Logistic::read(reader).map(drop),
        FFM => Ffm::read(reader).map(drop),
        DEEP => Deep::read(reader).map(drop),
        FROZEN => Frozen::read(reader).map(drop),
        _ => Err(FileError::Invalid("it is of an unknown kind")),
    })
}

/// Opens a file and reads the model of its kind.
pub(crate) fn open<M>(
    bytes: &[u8],
    schema: u64,
    read: impl FnOnce(u32, &mut Reader<'_>) -> Result<M, FileError>,
) -> Result<M, FileError> {
    let (format, payload) = envelope::open(&KIND, bytes)?;
    let mut reader = Reader { rest: envelope::Reader(payload), format };
    let kind = reader.u32()?;
    let found = reader.u64()?;
    if found != schema {
        return Err(FileError::Schema { found, expected: schema });
    }
    let model = read(kind, &mut reader)?;
    if reader.rest.0.is_empty() { Ok(model) } else { Err(FileError::Invalid("it goes on after its end")) }
}

/// Reads numbers off the front.
pub(crate) struct Reader<'a> {
    rest: envelope::Reader<'a>,
    format: u32,
}

const CUT: FileError = FileError::Invalid("it ends before its parameters do");

impl<'a> Reader<'a> {
    #[cfg(test)]
    pub(crate) fn of(bytes: envelope::Reader<'a>) -> Self {
        Self { rest: bytes, format: FIRST }
    }
}

impl Reader<'_> {
    /// The format of what is read.
    pub(crate) fn format(&self) -> u32 {
        self.format
    }

    pub(crate) fn u8(&mut self) -> Result<u8, FileError> {
        self.rest.array::<1>().map(|[byte]| byte).ok_or(CUT)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, FileError> {
        self.rest.u32().ok_or(CUT)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, FileError> {
        self.rest.u64().ok_or(CUT)
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> Result<[u8; N], FileError> {
        self.rest.array().ok_or(CUT)
    }

    pub(crate) fn f32(&mut self) -> Result<f32, FileError> {
        self.rest.f32().ok_or(CUT)
    }

    /// Refuses a table of `rows` rows that cannot follow, before memory is taken for it: each 64 have at least 8 bytes.
    pub(crate) fn expect_rows(&self, rows: usize) -> Result<(), FileError> {
        if self.rest.0.len() >= rows.div_ceil(64) * 8 { Ok(()) } else { Err(CUT) }
    }
}

/// Appends a table: of each 64 rows the bits of those that were touched, and these.
pub(crate) fn write_rows<'a>(
    mut rows: impl Iterator<Item = &'a [f32]>,
    mut touched: impl FnMut(&[f32]) -> bool,
    out: &mut Vec<u8>,
) {
    loop {
        let at = out.len();
        out.extend_from_slice(&[0; 8]);
        let (mut bits, mut seen) = (0u64, 0);
        for row in rows.by_ref().take(64) {
            if touched(row) {
                bits |= 1 << seen;
                row.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
            }
            seen += 1;
        }
        if seen == 0 {
            return out.truncate(at);
        }
        if let Some(slot) = out.get_mut(at..at + 8) {
            slot.copy_from_slice(&bits.to_le_bytes());
        }
    }
}

/// Reads what [`write_rows`] wrote over untouched rows; `valid` refuses numbers that learning never gives.
pub(crate) fn read_rows<'a>(
    reader: &mut Reader<'_>,
    rows: impl Iterator<Item = &'a mut [f32]>,
    valid: impl Fn(&[f32]) -> bool,
) -> Result<(), FileError> {
    let mut bits = 0u64;
    for (number, row) in rows.enumerate() {
        if number % 64 == 0 {
            // A bit of a row that is not there.
            if bits != 0 {
                return Err(FileError::Invalid("a row too many"));
            }
            bits = reader.u64()?;
        }
        if bits & 1 == 1 {
            for value in row.iter_mut() {
                *value = reader.f32()?;
            }
            if !valid(row) {
                return Err(FileError::Invalid("a parameter is out of range"));
            }
        }
        bits >>= 1;
    }
    if bits == 0 { Ok(()) } else { Err(FileError::Invalid("a row too many")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offline::Settings;
    use crate::offline::learner::tests::{settings, small_shop, small_world};
    use crate::rows::Batch;
    use proptest::prelude::*;

    const SCHEMA: u64 = 0x5eed;

    fn trained(settings: &Settings, rows: u32) -> Box<dyn Learner> {
        let mut model = settings.build().unwrap();
        model.learn(&small_world(0..rows));
        model
    }

    /// Each model as it learned of clicks alone, and of clicks and orders where it can.
    fn models(rows: u32) -> Vec<(String, Box<dyn Learner>)> {
        let mut models = Vec::new();
        for settings in settings() {
            for world in [small_world, small_shop] {
                let mut model = settings.build().unwrap();
                model.learn(&world(0..rows));
                models.push((format!("{settings:?}"), model));
            }
        }
        models
    }

    fn saved(model: &dyn Learner) -> Vec<u8> {
        let mut bytes = Vec::new();
        model.save(SCHEMA, &mut bytes);
        bytes
    }

    fn predicted(model: &dyn Learner, batch: &Batch) -> Vec<u32> {
        let (mut out, mut orders) = (Vec::new(), Vec::new());
        model.predict(batch, &mut out);
        model.predict_conversions(batch.conversions(), &mut orders);
        out.iter().chain(&orders).map(|p| p.to_bits()).collect()
    }

    fn refusal(bytes: &[u8], schema: u64) -> String {
        load(bytes, schema).err().map_or_else(|| "none".to_owned(), |error| error.to_string())
    }

    #[test]
    fn a_loaded_model_predicts_and_goes_on_to_the_bit() {
        for (settings, mut original) in models(700) {
            let bytes = saved(&*original);
            let mut copy = load(&bytes, SCHEMA).unwrap();
            assert_eq!(saved(&*copy), bytes, "{settings}");
            assert_eq!(verify(&bytes, SCHEMA), Ok(()), "{settings}");
            let next = small_shop(700..1200);
            assert_eq!(predicted(&*original, &next), predicted(&*copy, &next), "{settings}");
            assert_eq!(original.learn(&next), copy.learn(&next), "{settings}");
            assert_eq!(saved(&*original), saved(&*copy), "{settings}");
            assert_eq!((original.parameters(), original.bytes()), (copy.parameters(), copy.bytes()));
        }
    }

    /// Models from before orders were learned, and those that know nothing of them, are in the format of before.
    #[test]
    fn format_1_is_the_model_without_the_head_of_orders() {
        let format = |bytes: &[u8]| u32::from_le_bytes(bytes[8..12].try_into().unwrap());
        for settings in settings() {
            let mut original = trained(&settings, 700);
            let before = saved(&*original);
            assert_eq!(format(&before), FIRST, "{settings:?}");
            let clicks = predicted(&*original, &small_world(0..100));
            original.learn(&small_shop(700..900));
            let after = saved(&*original);
            let expected = if original.learns_conversions() { WITH_CONVERSIONS } else { FIRST };
            assert_eq!(format(&after), expected, "{settings:?}");
            let old = load(&before, SCHEMA).unwrap();
            assert_eq!(predicted(&*old, &small_world(0..100)), clicks);
            if original.learns_conversions() {
                // The same without what came with format 2: what a program from before reads.
                let mut model = load_deep(&after, SCHEMA).unwrap();
                let clicks = predicted(&model, &small_world(0..100));
                model.forget_conversions();
                let old = load(&saved(&model), SCHEMA).unwrap();
                assert_eq!(predicted(&*old, &small_world(0..100)), clicks);
                let mut grafted = Vec::new();
                let payload = envelope::open(&KIND, &after).unwrap().1;
                envelope::seal(&Kind { format: FIRST, ..KIND }, payload, &mut grafted);
                assert!(refusal(&grafted, SCHEMA).contains("goes on after its end"));
            }
        }
    }

    #[test]
    fn a_refusal_says_why() {
        for settings in settings() {
            let bytes = saved(&*trained(&settings, 300));
            assert!(
                refusal(&bytes, SCHEMA + 1)
                    .contains("trained on schema 0000000000005eed, and 0000000000005eee")
            );
            assert!(refusal(&bytes[..bytes.len() - 1], SCHEMA).contains("copy the whole file"));
            assert!(refusal(&bytes[..10], SCHEMA).contains("copy the whole file"));
            assert!(refusal(&[bytes.clone(), vec![0]].concat(), SCHEMA).contains("copy the whole file"));
            let mut altered = bytes.clone();
            *altered.last_mut().unwrap() ^= 1;
            assert!(refusal(&altered, SCHEMA).contains("checksum"));
            assert_eq!(verify(&altered, SCHEMA).unwrap_err().to_string(), refusal(&altered, SCHEMA));
            let mut newer = bytes.clone();
            newer[8] = 9;
            assert!(refusal(&newer, SCHEMA).contains("format 9, this program reads 2"));
        }
        assert!(refusal(b"", SCHEMA).contains("no trained model"));
        assert!(refusal(b"PK\x03\x04 something else altogether", SCHEMA).contains("no trained model"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        /// Whoever makes a file with a good checksum around nonsense gets a refusal, or a model that works.
        #[test]
        fn no_payload_makes_it_panic(
            which in any::<prop::sample::Index>(),
            at in any::<prop::sample::Index>(),
            with in any::<[u8; 4]>(),
            keep in any::<prop::sample::Index>(),
        ) {
            let models = models(60);
            let bytes = saved(&*models[which.index(models.len())].1);
            let (format, payload) = envelope::open(&KIND, &bytes).unwrap();
            let mut payload = payload.to_vec();
            // Most of what can go wrong is at the front, and where the head of orders begins: behind all else.
            let reach = payload.len().min(160);
            let at = if format == FIRST || keep.index(2) == 0 {
                at.index(reach)
            } else {
                payload.len() - 1 - at.index(payload.len().min(1500))
            };
            let end = (at + 4).min(payload.len());
            payload[at..end].copy_from_slice(&with[..end - at]);
            if keep.index(3) == 0 {
                payload.truncate(keep.index(payload.len()));
            }
            let mut forged = Vec::new();
            envelope::seal(&Kind { format, ..KIND }, &payload, &mut forged);
            if let Ok(mut model) = load(&forged, SCHEMA) {
                let batch = small_shop(0..50);
                model.learn(&batch);
                let mut out = Vec::new();
                model.predict(&batch, &mut out);
                prop_assert!(out.iter().all(|p| *p > 0.0 && *p < 1.0));
                model.predict_conversions(batch.conversions(), &mut out);
                prop_assert!(out.iter().all(|p| *p > 0.0 && *p < 1.0));
            }
        }
    }
}
