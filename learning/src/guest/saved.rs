//! What was learned of guests, in a checkpoint.
//!
//! Little-endian, in an [`envelope`]: `u8` guests, and of each `u16` bytes of its name, the name, `u64` examples, three times
//! recent progress (home, alone, fused), what was served (`u64` impressions, `u64` clicks, `f64` promised), and of clicks and of
//! orders the calibration and the fusion.
//!
//! Format 1, which is still read, knew nothing of orders: what is learned of them begins anew.

use super::{Guests, Heard, Known, MOST_GUESTS};
use crate::calibration::Calibrator;
use crate::checkpoint::{read_recent, write_recent};
use crate::envelope::{self, Kind, Reader};
use crate::error::ModelError;
use crate::fusion::Fusion;
use crate::guard::Tally;

const KIND: Kind = Kind { magic: *b"HAGGLEGU", format: 2, oldest: 1, name: "knowledge of models" };
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
                for heard in [&known.clicks, &known.orders] {
                    heard.calibrator.write(out);
                    heard.fusion.write(out);
                }
            }
        });
    }

    /// Remembers what [`Guests::save`] wrote until these guests come. Anything damaged is refused, and nothing changed.
    pub(crate) fn remember(&mut self, bytes: &[u8]) -> Result<(), ModelError> {
        let (format, payload) = envelope::open(&KIND, bytes)?;
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
                clicks: read_heard(&mut reader)?,
                orders: if format >= 2 { read_heard(&mut reader)? } else { Heard::default() },
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

fn read_heard(reader: &mut Reader<'_>) -> Result<Heard, ModelError> {
    Ok(Heard { calibrator: Calibrator::read(reader)?, fusion: Fusion::read(reader)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Known {
        let mut known = Known::default();
        for number in 0..500u32 {
            let score = if number.is_multiple_of(3) { -1.0 } else { -3.0 };
            known.clicks.learn(0.1, score, number.is_multiple_of(6));
            known.orders.learn(0.05, score, number.is_multiple_of(9));
            known.examples += 1;
        }
        known
    }

    fn remembered(bytes: &[u8]) -> Known {
        let mut guests = Guests::default();
        guests.remember(bytes).unwrap();
        guests.remembered.remove("archive").unwrap()
    }

    #[test]
    fn what_is_known_of_clicks_and_orders_comes_back_and_from_before_orders_that_of_clicks() {
        let mut guests = Guests::default();
        let known = known();
        guests.remembered.insert("archive".to_owned(), known.clone());
        let mut bytes = Vec::new();
        guests.save(&mut bytes);
        assert_eq!(remembered(&bytes), known);

        // As it was written when guests said nothing of orders.
        let (mut payload, mut old) = (vec![1, 7, 0], Vec::new());
        payload.extend_from_slice(b"archive");
        payload.extend_from_slice(&known.examples.to_le_bytes());
        for recent in [&known.home, &known.alone, &known.fused] {
            write_recent(recent, &mut payload);
        }
        payload.extend_from_slice(&[0; 24]);
        known.clicks.calibrator.write(&mut payload);
        known.clicks.fusion.write(&mut payload);
        envelope::seal(&Kind { format: 1, ..KIND }, &payload, &mut old);
        assert_eq!(remembered(&old), Known { orders: Heard::default(), ..known });
    }
}
