//! What stands around everything that is saved: what it is, in which layout, how long, and a checksum.
//!
//! Little-endian: 8 bytes of name, `u32` format, `u64` length of the payload, `u64` XXH3 of the payload, the payload.

use xxhash_rust::xxh3::xxh3_64;

use crate::error::ModelError;

/// A kind of saved thing.
pub(crate) struct Kind {
    /// The first eight bytes.
    pub(crate) magic: [u8; 8],
    /// The layout that is written, and the newest that is read.
    pub(crate) format: u32,
    /// The oldest that is read.
    pub(crate) oldest: u32,
    /// For people.
    pub(crate) name: &'static str,
}

const HEADER: usize = 8 + 4 + 8 + 8;

/// Appends a payload in its envelope.
pub(crate) fn seal(kind: &Kind, payload: &[u8], out: &mut Vec<u8>) {
    out.reserve(HEADER + payload.len());
    seal_with(kind, out, |out| out.extend_from_slice(payload));
}

/// The same of a payload that `write` appends: large ones are not held twice.
pub(crate) fn seal_with(kind: &Kind, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.resize(start + HEADER, 0);
    write(out);
    let payload = out.get(start + HEADER..).unwrap_or_default();
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(&kind.magic);
    header[8..12].copy_from_slice(&kind.format.to_le_bytes());
    header[12..20].copy_from_slice(&(payload.len() as u64).to_le_bytes());
    header[20..].copy_from_slice(&xxh3_64(payload).to_le_bytes());
    if let Some(place) = out.get_mut(start..start + HEADER) {
        place.copy_from_slice(&header);
    }
}

/// The payload and its format, if everything around it holds. Allocates nothing.
pub(crate) fn open<'a>(kind: &Kind, bytes: &'a [u8]) -> Result<(u32, &'a [u8]), ModelError> {
    let mut reader = Reader(bytes);
    if reader.array::<8>() != Some(kind.magic) {
        return Err(ModelError::NotOurs(kind.name));
    }
    let cut = |rest: usize| ModelError::Length { found: rest as u64, expected: HEADER as u64 };
    let found = reader.u32().ok_or_else(|| cut(bytes.len()))?;
    if !(kind.oldest..=kind.format).contains(&found) {
        return Err(ModelError::Format { found, readable: kind.format });
    }
    let expected = reader.u64().ok_or_else(|| cut(bytes.len()))?;
    let checksum = reader.u64().ok_or_else(|| cut(bytes.len()))?;
    let payload = reader.0;
    if payload.len() as u64 != expected {
        return Err(ModelError::Length { found: payload.len() as u64, expected });
    }
    if xxh3_64(payload) != checksum {
        return Err(ModelError::Checksum);
    }
    Ok((found, payload))
}

/// Reads little-endian numbers off the front; `None` at the end.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl Reader<'_> {
    /// The next `N` bytes.
    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    /// The next `u32`.
    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// The next `u64`.
    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// The next `f32`.
    pub(crate) fn f32(&mut self) -> Option<f32> {
        self.array().map(f32::from_le_bytes)
    }

    /// The next `f64`.
    pub(crate) fn f64(&mut self) -> Option<f64> {
        self.array().map(f64::from_le_bytes)
    }
}
