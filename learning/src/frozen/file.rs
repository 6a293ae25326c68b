//! A frozen model in a file: in the envelope of trained models, its shape first, then its numbers. Of tables only rows
//! that are not all 0 are written.

use super::matrix::{Layer, Matrix};
use super::pairs::Pairs;
use super::score::UNITS;
use super::table::Table;
use super::{Fields, Frozen, Side};
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
        file::save(file::FROZEN, schema, out, |out| {
            let layers = if self.shift.is_empty() { 0 } else { 1 + self.layers.len() };
            let units = std::iter::once(self.shift.len()).chain(self.layers.iter().map(|it| it.shift.len()));
            out.extend_from_slice(&[self.size as u8, self.weights.bits(), self.vectors.bits(), layers as u8]);
            units.take(layers).for_each(|units| out.extend_from_slice(&(units as u32).to_le_bytes()));
            out.extend_from_slice(&(self.fields.sides.len() as u32).to_le_bytes());
            out.extend(self.fields.sides.iter().map(|side| u8::from(*side == Side::Ad)));
            out.extend_from_slice(&self.bias.to_le_bytes());
            let mut put = |numbers: &mut dyn Iterator<Item = &f32>| {
                numbers.for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
            };
            put(&mut self.pairs.lower().iter());
            put(&mut self.request.numbers());
            put(&mut self.ad.numbers());
            put(&mut self.shift.iter());
            for layer in &self.layers {
                put(&mut layer.matrix.numbers());
                put(&mut layer.shift.iter());
            }
            put(&mut self.output.iter());
            for (table, width) in [(&self.weights, 1), (&self.vectors, self.size)] {
                let touched = |row: &[f32]| row.iter().any(|number| number.to_bits() != 0);
                file::write_rows(table.rows().chunks_exact(width), touched, out);
            }
        });
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

    fn read(reader: &mut Reader<'_>) -> Result<Self, FileError> {
        let size = usize::from(reader.u8()?);
        let (weight_bits, vector_bits, layers) = (reader.u8()?, reader.u8()?, usize::from(reader.u8()?));
        if ![8, 16].contains(&size) || weight_bits > 30 || vector_bits > 28 || layers > LAYERS {
            return Err(FileError::Invalid("its shape is out of range"));
        }
        let mut units = Vec::new();
        for _ in 0..layers {
            let count = reader.u32()? as usize;
            if !(PANEL..=UNITS).contains(&count) || !count.is_multiple_of(PANEL) {
                return Err(FileError::Invalid("its shape is out of range"));
            }
            units.push(count);
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
        let fields = Fields::new(sides);
        let mut bias = [0.0];
        fill(reader, bias.iter_mut())?;
        let mut lower = vec![0.0; count * (count - 1) / 2];
        fill(reader, lower.iter_mut())?;
        let first = units.first().copied().unwrap_or_default();
        let (mut request, mut ad) =
            (Matrix::zeros(size * fields.requests, first), Matrix::zeros(size * fields.ads, first));
        let mut shift = vec![0.0; first];
        fill(reader, request.numbers_mut())?;
        fill(reader, ad.numbers_mut())?;
        fill(reader, shift.iter_mut())?;
        let mut rest = Vec::new();
        for pair in units.windows(2) {
            let [inputs, units] = pair else { continue };
            let mut layer = Layer { matrix: Matrix::zeros(*inputs, *units), shift: vec![0.0; *units] };
            fill(reader, layer.matrix.numbers_mut())?;
            fill(reader, layer.shift.iter_mut())?;
            rest.push(layer);
        }
        let mut output = vec![0.0; units.last().copied().unwrap_or_default()];
        fill(reader, output.iter_mut())?;
        reader.expect_rows((1 << weight_bits) + (1 << vector_bits))?;
        let weights = read_table(reader, weight_bits, 1)?;
        let vectors = read_table(reader, vector_bits, size)?;
        Ok(Self {
            size,
            bias: bias[0],
            weights,
            vectors,
            pairs: Pairs::new(&lower, &fields),
            request,
            ad,
            shift,
            layers: rest,
            output,
            fields,
        })
    }
}

fn valid(number: f32) -> bool {
    number.abs() <= LARGEST
}

fn fill<'a>(reader: &mut Reader<'_>, numbers: impl Iterator<Item = &'a mut f32>) -> Result<(), FileError> {
    for number in numbers {
        *number = reader.f32()?;
        if !valid(*number) {
            return Err(FileError::Invalid("a parameter is out of range"));
        }
    }
    Ok(())
}

fn read_table(reader: &mut Reader<'_>, bits: u8, width: usize) -> Result<Table, FileError> {
    let mut table = Table::zeros(1 << bits, width);
    let valid = |row: &[f32]| row.iter().all(|number| valid(*number));
    file::read_rows(reader, table.rows_mut().chunks_exact_mut(width), valid)?;
    Ok(table)
}
