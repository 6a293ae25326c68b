//! Our own features as the rows of an archive: what a model learns from the journal, and is asked when it serves.
//!
//! The fields of `features.rs`, numbered without gaps, the request's first. An index is a whole feature, so a field and a
//! value have the same index in a file and online: there is no second encoder that could differ.

use crate::features::Field;
use crate::frozen::Side;
use crate::rows::{Batch, Slot};

/// The fields in the order of their numbers here, with the names that people read.
const FIELDS: [(Field, &str); 22] = [
    (Field::Exchange, "exchange"),
    (Field::Country, "country"),
    (Field::Region, "region"),
    (Field::City, "city"),
    (Field::Inventory, "inventory"),
    (Field::Publisher, "publisher"),
    (Field::Placement, "placement"),
    (Field::Device, "device"),
    (Field::Os, "os"),
    (Field::Language, "language"),
    (Field::Size, "size"),
    (Field::Position, "position"),
    (Field::Hour, "hour"),
    (Field::Weekday, "weekday"),
    (Field::Interest, "interest"),
    (Field::UserKnown, "user_known"),
    (Field::Behaviour, "behaviour"),
    (Field::Campaign, "campaign"),
    (Field::Creative, "creative"),
    (Field::Advertiser, "advertiser"),
    (Field::Category, "category"),
    (Field::AdSize, "ad_size"),
];

/// Those that a request may have several of.
pub(crate) const SEVERAL: [&str; 2] = ["interest", "behaviour"];

/// The first field of the ad.
const FIRST_OF_AD: u16 = 17;

/// What fields and indices mean, for models' files: "features", first layout. Another layout needs another number.
pub const ARCHIVE_SCHEMA: u64 = 0x6665_6174_7572_0001;

/// The names of the fields, in the order of their numbers.
pub fn archive_fields() -> impl Iterator<Item = &'static str> {
    FIELDS.iter().map(|(_, name)| *name)
}

/// Whose each field is, in the order of their numbers.
pub fn archive_sides() -> [Side; FIELDS.len()] {
    std::array::from_fn(|field| if field < usize::from(FIRST_OF_AD) { Side::Request } else { Side::Ad })
}

/// Features as slots. What is of no known field, which only a newer program writes, is left out.
pub(crate) fn slots(features: &[u32]) -> impl Iterator<Item = Slot> + '_ {
    features.iter().filter_map(|feature| {
        // The ad's fields are numbered from 32, and follow the request's without a gap here.
        let field = match feature >> Field::SHIFT {
            number @ 0..=16 => number as u16,
            number @ 32..=36 => number as u16 - 32 + FIRST_OF_AD,
            _ => return None,
        };
        Some(Slot { field, index: *feature, value: 1.0 })
    })
}

/// Appends an impression to a batch: the request's features, the ad's, and whether it was clicked.
pub fn push_archived(batch: &mut Batch, request: &[u32], ad: &[u32], clicked: bool) {
    slots(request).chain(slots(ad)).for_each(|slot| batch.push(slot));
    batch.end(if clicked { 1.0 } else { 0.0 });
}

/// Appends a click to a batch: the request's features, the ad's, and whether an order followed.
pub fn push_archived_conversion(batch: &mut Batch, request: &[u32], ad: &[u32], ordered: bool) {
    slots(request).chain(slots(ad)).for_each(|slot| batch.push(slot));
    batch.end_conversion(if ordered { 1.0 } else { 0.0 });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_has_its_number() {
        let all: Vec<u32> = FIELDS.iter().map(|(field, _)| (*field as u32) << Field::SHIFT | 7).collect();
        let fields: Vec<u16> = slots(&all).map(|slot| slot.field).collect();
        assert_eq!(fields, (0..22).collect::<Vec<u16>>());
        assert_eq!(archive_sides().iter().filter(|side| **side == Side::Request).count(), 17);
        assert_eq!(slots(&[17 << Field::SHIFT, 31 << Field::SHIFT, 63 << Field::SHIFT]).count(), 0);
    }
}
