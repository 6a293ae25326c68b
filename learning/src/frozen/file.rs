//! A frozen model in a file: in the envelope of trained models, its shape first, then its numbers. Of tables only rows
//! that are not all 0 are written. One that learned orders is in format 2: behind all else the bias, what the last layer's units
//! count, the bits of the weights' table and that table, of orders.

use super::number::{Half, Number};
use super::plain::{Plain, PlainHead, PlainLayer};
use super::score::UNITS;
use super::table::Table;
use super::{Frozen, Precision, Side};
use crate::offline::file::{self, FileError, Reader};
use crate::offline::matrix::PANEL;

/// Hidden layers that a model has at most.
const LAYERS: usize = 8;
/// Far beyond what learning gives; products of such are still finite.
const LARGEST: f32 = 1e12;

impl Frozen {
    /// Appends all that [`Frozen::load`] needs. `schema` is a hash of what fields and indices mean; who loads must
    /// have the same.
    pub fn save(&self, schema: u64, out: &mut Vec<u8>) {
        let format = if self.orders.is_some() { file::WITH_CONVERSIONS } else { file::FIRST };
        file::save(file::FROZEN, format, schema, out, |out| {
            let layers = if self.shift.is_empty() { 0 } else { 1 + self.layers.len() };
            let units = std::iter::once((self.shift.len(), self.rectified));
            let units = units.chain(self.layers.iter().map(|layer| (layer.shift.len(), layer.rectified)));
            out.extend_from_slice(&[self.size as u8, self.weights.bits(), self.vectors.bits(), layers as u8]);
            for (units, rectified) in units.take(layers) {
                out.extend_from_slice(&(units as u32).to_le_bytes());
                out.push(u8::from(rectified));
            }
            out.extend_from_slice(&(self.fields.sides.len() as u32).to_le_bytes());
            out.extend(self.fields.sides.iter().map(|side| u8::from(*side == Side::Ad)));
            out.push(self.precision.number());
            out.extend_from_slice(&self.bias.to_le_bytes());
            let mut put = |numbers: &mut dyn Iterator<Item = &f32>| self.put(numbers, out);
            put(&mut self.pairs.lower().iter());
            // The first layer field by field, as learning has it.
            let length = self.size * self.shift.len();
            let [request, ad] =
                [&self.request, &self.ad].map(|side| side.numbers().copied().collect::<Vec<f32>>());
            let (mut request, mut ad) = (request.chunks_exact(length.max(1)), ad.chunks_exact(length.max(1)));
            for side in &self.fields.sides {
                let rows = match side {
                    Side::Request => request.next(),
                    Side::Ad => ad.next(),
                };
                put(&mut rows.unwrap_or_default().iter());
            }
            put(&mut self.shift.iter());
            for layer in &self.layers {
                put(&mut layer.matrix.numbers());
                put(&mut layer.shift.iter());
            }
            put(&mut self.output.iter());
            self.weights.write(out);
            self.vectors.write(out);
            if let Some(head) = &self.orders {
                out.extend_from_slice(&head.bias.to_le_bytes());
                self.put(&mut head.output.iter(), out);
                out.push(head.weights.bits());
                head.weights.write(out);
            }
        });
    }

    /// Appends numbers of layers and pairs.
    fn put(&self, numbers: &mut dyn Iterator<Item = &f32>, out: &mut Vec<u8>) {
        for number in numbers {
            match self.precision {
                Precision::Whole => out.extend_from_slice(&number.to_le_bytes()),
                Precision::Half | Precision::Byte => {
                    out.extend_from_slice(&Half::of(*number).to_le_bytes());
                }
            }
        }
    }

    /// Reads what [`Frozen::save`] wrote, if it was trained on this schema. Anything cut, altered, of another layout
    /// or out of range is refused.
    pub fn load(bytes: &[u8], schema: u64) -> Result<Self, FileError> {
        file::open(bytes, schema, |kind, reader| {
            if kind == file::FROZEN {
                Self::read(reader)
            } else {
                Err(FileError::Invalid("it is not frozen"))
            }
        })
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, FileError> {
        let size = usize::from(reader.u8()?);
        let (weight_bits, vector_bits, layers) = (reader.u8()?, reader.u8()?, usize::from(reader.u8()?));
        if ![8, 16].contains(&size) || weight_bits > 30 || vector_bits > 28 || layers > LAYERS {
            return Err(FileError::Invalid("its shape is out of range"));
        }
        let mut units = Vec::new();
        for _ in 0..layers {
            let (count, rectified) = (reader.u32()? as usize, reader.u8()? != 0);
            if !(PANEL..=UNITS).contains(&count) || !count.is_multiple_of(PANEL) {
                return Err(FileError::Invalid("its shape is out of range"));
            }
            units.push((count, rectified));
        }
        let count = reader.u32()? as usize;
        if !(1..=256).contains(&count) {
            return Err(FileError::Invalid("its shape is out of range"));
        }
        let mut sides = Vec::new();
        for _ in 0..count {
            sides.push(match reader.u8()? {
                0 => Side::Request,
                1 => Side::Ad,
                _ => return Err(FileError::Invalid("a field is of no side")),
            });
        }
        let precision = Precision::of(reader.u8()?).ok_or(OUT_OF_RANGE)?;
        let bias = numbers(reader, 1, Precision::Whole)?.first().copied().unwrap_or_default();
        let strengths = numbers(reader, count * (count - 1) / 2, precision)?;
        let mut layers = Vec::new();
        let mut inputs = size * count;
        for (units, rectified) in units {
            let weights = numbers(reader, inputs * units, precision)?;
            let shift = numbers(reader, units, precision)?;
            layers.push(PlainLayer { inputs, units, weights, shift, rectified });
            inputs = units;
        }
        let units = if layers.is_empty() { 0 } else { inputs };
        let output = numbers(reader, units, precision)?;
        let weights = Table::read(reader, weight_bits, 1, valid)?;
        let vectors = Table::read(reader, vector_bits, size, valid)?;
        let mut table = None;
        let mut orders = None;
        if reader.format() >= file::WITH_CONVERSIONS {
            let bias = numbers(reader, 1, Precision::Whole)?.first().copied().unwrap_or_default();
            let output = numbers(reader, units, precision)?;
            let bits = reader.u8()?;
            if bits > 30 {
                return Err(FileError::Invalid("its shape is out of range"));
            }
            table = Some(Table::read(reader, bits, 1, valid)?);
            orders = Some(PlainHead { bias, weights: Vec::new(), output });
        }
        let plain = Plain {
            size,
            sides,
            bias,
            weights: Vec::new(),
            vectors: Vec::new(),
            evidence: Vec::new(),
            strengths,
            layers,
            output,
            orders,
        };
        Ok(Self::with_tables(&plain, precision, weights, vectors, table))
    }
}

/// Whether a file of a trained model holds a frozen one; whether all of it is as it should be is for [`Frozen::load`].
pub fn is_frozen(bytes: &[u8]) -> bool {
    file::kind(bytes) == Some(file::FROZEN)
}

fn valid(number: f32) -> bool {
    number.abs() <= LARGEST
}

const OUT_OF_RANGE: FileError = FileError::Invalid("a parameter is out of range");

fn numbers(reader: &mut Reader<'_>, count: usize, precision: Precision) -> Result<Vec<f32>, FileError> {
    let mut numbers = Vec::new();
    for _ in 0..count {
        let number = match precision {
            Precision::Whole => reader.f32()?,
            Precision::Half | Precision::Byte => {
                Half::from_le_bytes(reader.bytes()?).ok_or(OUT_OF_RANGE)?.get()
            }
        };
        if !valid(number) {
            return Err(OUT_OF_RANGE);
        }
        numbers.push(number);
    }
    Ok(numbers)
}
