//! A row as one number for each feature, side by side: what models of other makes take.

use super::encoder::{index_of, number_hash};
use super::schema::{How, Schema};
use crate::archive::{SEVERAL, archive_fields};
use crate::rows::Slot;

/// Indices of more bits than this are not told apart by single precision.
const MOST_BITS: u32 = 24;

/// Makes one number of each feature of a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Cells {
    /// By the number of the field; features with several values have no cell.
    cells: Vec<Option<Cell>>,
    names: Vec<String>,
}

/// Where a feature's number goes, and what it is.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Cell {
    place: usize,
    /// Of a number the index that it has where it is not missing.
    number: Option<u32>,
}

impl Cells {
    /// Of rows by a schema. A number is what the schema makes of it, and NaN where it is missing; of anything else it is the index
    /// of its value.
    ///
    /// # Errors
    ///
    /// A feature has several values, or indices have more than 24 bits.
    pub fn of(schema: &Schema) -> Result<Self, String> {
        if schema.bits() > MOST_BITS {
            return Err(format!(
                "the schema's indices have {} bits, and single numbers tell apart {MOST_BITS}; say bits = {MOST_BITS}",
                schema.bits()
            ));
        }
        let cell = |(place, feature): (usize, &super::schema::Feature)| match feature.how {
            How::Several(..) | How::Words(_) => Err(format!(
                "feature {:?} has several values, and a row has one number for each feature; leave it out of the schema",
                feature.name
            )),
            How::Number(..) => {
                Ok(Some(Cell { place, number: Some(index_of(number_hash(&feature.name), schema.bits())) }))
            }
            _ => Ok(Some(Cell { place, number: None })),
        };
        let cells = schema.features().iter().enumerate().map(cell).collect::<Result<_, String>>()?;
        Ok(Self { cells, names: schema.features().iter().map(|feature| feature.name.clone()).collect() })
    }

    /// Of a node's own features: each is its index. Those that a request has several of are left out.
    pub fn archive() -> Self {
        let mut names = Vec::new();
        let cell = |name: &str| {
            let single = !SEVERAL.contains(&name);
            single.then(|| {
                names.push(name.to_owned());
                Cell { place: names.len() - 1, number: None }
            })
        };
        Self { cells: archive_fields().map(cell).collect(), names }
    }

    /// The names of the cells in their order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether some feature is a number, which may have a fraction or be missing.
    pub fn has_numbers(&self) -> bool {
        self.cells.iter().flatten().any(|cell| cell.number.is_some())
    }

    /// Appends the numbers of a row, as many as there are names; NaN for what the row does not have.
    pub fn row(&self, slots: &[Slot], out: &mut Vec<f32>) {
        let start = out.len();
        out.resize(start + self.names.len(), f32::NAN);
        for slot in slots {
            let Some(Some(cell)) = self.cells.get(usize::from(slot.field)) else { continue };
            let Some(number) = out.get_mut(start + cell.place) else { continue };
            *number = match cell.number {
                Some(index) if index == slot.index => slot.value,
                Some(_) => f32::NAN,
                // At most 24 bits, so nothing is lost.
                None => slot.index as f32,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::push_archived;
    use crate::data::Encoder;
    use crate::rows::Batch;

    const FEATURES: &str = "label = 'click'\nbits = 24\nfeature = [{name = 'site', kind = 'categorical'}, \
                            {name = 'price', kind = 'numeric', transform = 'sqrt'}, \
                            {name = 'both', cross = ['site', 'at']}, {name = 'at', kind = 'time'}]";

    #[test]
    fn a_row_is_a_number_for_each_feature() {
        let schema = Schema::read("s", FEATURES).unwrap();
        let cells = Cells::of(&schema).unwrap();
        assert_eq!(cells.names(), ["site", "price", "both", "at"]);
        let encoder = Encoder::new(schema);
        let of = |price: &'static str| {
            let mut batch = Batch::default();
            let value = |name: &str| match name {
                "site" => Some("news.example"),
                "price" => Some(price),
                _ => None,
            };
            encoder.record(value, &mut batch).unwrap();
            batch.end(0.0);
            let (mut row, slots) = (Vec::new(), batch.slots(0));
            cells.row(slots, &mut row);
            let index = |field: u16| slots.iter().find(|slot| slot.field == field).unwrap().index;
            assert_eq!([row[0], row[2], row[3]].map(|it| it as u32), [index(0), index(2), index(3)]);
            row[1]
        };
        assert!((of("16") - 4.0).abs() < 1e-6);
        assert!(of("0").abs() < 1e-6, "0 is a number");
        assert!(of("").is_nan(), "and nothing is none");
    }

    #[test]
    fn what_has_no_single_number_is_refused() {
        let refusal = |text: &str| Cells::of(&Schema::read("s", text).unwrap()).unwrap_err();
        let tags = "label = 'click'\nfeature = [{name = 'tags', kind = 'multi', separator = ','}]";
        assert!(refusal(tags).starts_with("feature \"tags\" has several values"));
        let wide = "label = 'click'\nbits = 25\nfeature = [{name = 'site', kind = 'categorical'}]";
        assert!(refusal(wide).contains("say bits = 24"));
    }

    #[test]
    fn a_nodes_own_features_are_their_indices_but_for_those_that_come_several_times() {
        let cells = Cells::archive();
        assert_eq!(cells.names().len(), 20);
        assert!(!cells.names().iter().any(|name| SEVERAL.contains(&name.as_str())));
        let mut batch = Batch::default();
        let (exchange, interest, campaign) = (5, 14 << 18 | 3, 32 << 18 | 9);
        push_archived(&mut batch, &[exchange, interest, interest + 1], &[campaign], false);
        let mut row = Vec::new();
        cells.row(batch.slots(0), &mut row);
        let named = |name: &str| row[cells.names().iter().position(|it| it == name).unwrap()];
        assert_eq!([named("exchange"), named("campaign")].map(|it| it as u32), [exchange, campaign]);
        assert!(named("country").is_nan());
        assert_eq!(row.iter().filter(|it| it.is_finite()).count(), 2);
    }
}
