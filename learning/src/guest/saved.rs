//! What was learned of guests, in a checkpoint.
//!
//! Little-endian, in an [`envelope`]: `u8` guests, and of each `u16` bytes of its name, the name, `u64` examples, three times
//! recent progress (home, alone, fused), what was served (`u64` impressions, `u64` clicks, `f64` promised), the calibration and the fusion.

use super::{Guests, Known, MOST_GUESTS};
use crate::calibration::Calibrator;
use crate::checkpoint::{read_recent, write_recent};
use crate::envelope::{self, Kind, Reader};
use crate::error::ModelError;
use crate::fusion::Fusion;
use crate::guard::Tally;

const KIND: Kind = Kind { magic: *b"HAGGLEGU", format: 1, oldest: 1, name: "knowledge of models" };
const CUT: ModelError = ModelError::Invalid("what is saved of models ends early");

impl Guests {
    /// Appends what was learned of all that are here, and of those that are still to come.
    pub(crate) fn save(&self, out: &mut Vec<u8>) {
        let here = self.watched.iter().map(|watched| (watched.guest.id(), &watched.known));
        let known: Vec<(&str, &Known)> = here
            .chain(self.remembered.iter().map(|(id, known)| (id.as_str(), known)))
            .take(MOST_GUESTS)
            .collect();
        envelope::seal_with(&KIND, out, |out| {
            out.push(known.len() as u8);
            for (id, known) in known {
                // Ids are short; a longer one would be unreadable rather than wrong.
                out.extend_from_slice(&(id.len() as u16).to_le_bytes());
                out.extend_from_slice(id.as_bytes());
                out.extend_from_slice(&known.examples.to_le_bytes());
                for recent in [&known.home, &known.alone, &known.fused] {
                    write_recent(recent, out);
                }
                let Tally { impressions, clicks, promised, .. } = known.served;
                out.extend_from_slice(&impressions.to_le_bytes());
                out.extend_from_slice(&clicks.to_le_bytes());
                out.extend_from_slice(&promised.to_le_bytes());
                known.calibrator.write(out);
                known.fusion.write(out);
            }
        });
    }

    /// Remembers what [`Guests::save`] wrote until these guests come. Anything damaged is refused, and nothing changed.
    pub(crate) fn remember(&mut self, bytes: &[u8]) -> Result<(), ModelError> {
        let (_, payload) = envelope::open(&KIND, bytes)?;
        let mut reader = Reader(payload);
        let [count] = reader.array::<1>().ok_or(CUT)?;
        let mut remembered = std::collections::BTreeMap::new();
        for _ in 0..usize::from(count).min(MOST_GUESTS) {
            let length = u16::from_le_bytes(reader.array::<2>().ok_or(CUT)?);
            let (id, rest) = reader.0.split_at_checked(usize::from(length)).ok_or(CUT)?;
            let id = std::str::from_utf8(id).map_err(|_| ModelError::Invalid("a model's name is no text"))?;
            reader.0 = rest;
            let examples = reader.u64().ok_or(CUT)?;
            let known = Known {
                examples,
                home: read_recent(&mut reader)?,
                alone: read_recent(&mut reader)?,
                fused: read_recent(&mut reader)?,
                served: read_tally(&mut reader)?,
                calibrator: Calibrator::read(&mut reader)?,
                fusion: Fusion::read(&mut reader)?,
            };
            remembered.insert(id.to_owned(), known);
        }
        if !reader.0.is_empty() {
            return Err(ModelError::Invalid("what is saved of models goes on after its end"));
        }
        self.remembered = remembered;
        Ok(())
    }
}

fn read_tally(reader: &mut Reader<'_>) -> Result<Tally, ModelError> {
    let (impressions, clicks) = (reader.u64().ok_or(CUT)?, reader.u64().ok_or(CUT)?);
    let promised = reader.f64().ok_or(CUT)?;
    // Sums of millions are a little off.
    let possible = (0.0..=impressions as f64 * 1.001).contains(&promised);
    if clicks > impressions || !possible {
        return Err(ModelError::Invalid("what is saved of models is impossible"));
    }
    Ok(Tally { impressions, clicks, promised, ..Tally::default() })
}
