//! Rows of a table: which column of the file is which of the schema's, the label, repetitions, and the features.

use super::encoder::{BadValue, Encoder, Sink};
use super::error::Flaw;
use super::schema::How;
use super::seen::{REACH, Seen};

/// The fields of a row: their ends within a text, and how many signs lie between them.
#[derive(Clone, Copy)]
pub(super) struct Fields<'t> {
    pub(super) text: &'t [u8],
    pub(super) ends: &'t [usize],
    pub(super) between: usize,
}

impl<'t> Fields<'t> {
    #[inline]
    fn get(&self, column: usize) -> &'t [u8] {
        let start = match column {
            0 => 0,
            _ => self.ends.get(column - 1).map_or(0, |end| end + self.between),
        };
        let end = self.ends.get(column).copied().unwrap_or(start);
        self.text.get(start..end).unwrap_or_default()
    }
}

/// What a row turned out to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Row {
    /// A row with its label, and of a click whether an order followed, where that is known.
    Label(f32, Option<f32>),
    /// One that was there already.
    Repeated,
    /// Nothing: an empty line.
    Empty,
}

/// Where labels come from.
pub(super) enum Labels {
    /// The schema's label column.
    Column,
    /// A set of keys: rows whose key in this column of the file is among them are clicks.
    Keys(usize, super::clicks::Clicks),
    /// There are none; rows get 0.
    None,
}

/// Turns rows of one file into slots.
pub(super) struct Table {
    encoder: Encoder,
    /// For each of the schema's columns, which of the file's it is.
    places: Vec<usize>,
    /// How many columns the file has; `least`: rows may have more.
    width: usize,
    least: bool,
    labels: Labels,
    seen: Option<Seen>,
}

impl Table {
    /// Finds the schema's columns among those of the file.
    ///
    /// # Errors
    ///
    /// All that are not there, or there twice.
    pub(super) fn new(
        encoder: Encoder,
        header: &[String],
        labels: Labels,
        repeats: bool,
    ) -> Result<Self, String> {
        let schema = encoder.schema();
        let mut problems = Vec::new();
        let mut places = Vec::new();
        for (number, name) in schema.columns().iter().enumerate() {
            let mut found = header.iter().enumerate().filter(|(_, column)| *column == name).map(|(at, _)| at);
            let place = found.next();
            // A file without labels need not have their column.
            let needed = match labels {
                Labels::None => number != schema.label && Some(number) != schema.conversion,
                Labels::Keys(..) => number != schema.label,
                Labels::Column => true,
            };
            match (place, found.next()) {
                (None, _) if needed => {
                    problems.push(format!("the schema names a column `{name}`, which is not there"));
                }
                (Some(_), Some(_)) => problems.push(format!("two columns are called `{name}`; rename one")),
                _ => {}
            }
            places.push(place.unwrap_or(usize::MAX));
        }
        if !problems.is_empty() {
            let header: Vec<String> = header.iter().map(|name| format!("`{name}`")).collect();
            return Err(format!("{}; its columns are {}", problems.join("; "), header.join(", ")));
        }
        let seen = schema.unique.filter(|_| !repeats).map(|_| Seen::new(REACH));
        Ok(Self { places, width: header.len(), least: false, labels, seen, encoder })
    }

    pub(super) fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// From now on rows have only those columns that are read, in the order of the places in the file that this gives.
    pub(super) fn narrow(&mut self) -> Vec<usize> {
        let mut read = Vec::new();
        for place in self.places.iter_mut().filter(|place| **place != usize::MAX) {
            read.push(std::mem::replace(place, read.len()));
        }
        self.width = read.len();
        read
    }

    /// Lets rows have more columns than are known.
    pub(super) fn at_least(mut self) -> Self {
        self.least = true;
        self
    }

    /// One row.
    #[inline]
    pub(super) fn row(&mut self, fields: Fields<'_>, sink: &mut impl Sink) -> Result<Row, Flaw> {
        let count = fields.ends.len();
        if count != self.width && !(self.least && count > self.width) {
            if fields.text.trim_ascii().is_empty() {
                return Ok(Row::Empty);
            }
            return Err(self.wrong_width(count));
        }
        let text = |column: usize| {
            self.places
                .get(column)
                .map_or(&[][..], |place| if *place == usize::MAX { &[] } else { fields.get(*place) })
        };
        let schema = self.encoder.schema();
        let label = match &self.labels {
            Labels::Column => {
                let text = text(schema.label);
                schema.label_of(text).ok_or_else(|| Flaw::of(schema.label(), text, BadValue::NotALabel))?
            }
            Labels::Keys(column, clicks) => f32::from(u8::from(clicks.has(fields.get(*column)))),
            Labels::None => 0.0,
        };
        // Of what was not clicked nothing is asked.
        let conversion = match schema.conversion.filter(|_| label > 0.5) {
            Some(column) => {
                let text = text(column);
                schema.conversion_of(text).ok_or_else(|| {
                    let name = schema.columns().get(column).map_or("", String::as_str);
                    Flaw::of(name, text, BadValue::NotAConversion)
                })?
            }
            None => None,
        };
        self.encoder.row(text, sink).map_err(|(feature, bad)| {
            let column = schema.features().get(feature).and_then(|feature| feature.how.column());
            let column = column.unwrap_or(usize::MAX);
            let name = schema.columns().get(column).map_or("", String::as_str);
            Flaw::of(name, text(column), bad)
        })?;
        // After all else, so that a bad row does not count as the first of its kind.
        if let (Some(unique), Some(seen)) = (schema.unique, &mut self.seen)
            && seen.note(text(unique))
        {
            return Ok(Row::Repeated);
        }
        Ok(Row::Label(label, conversion))
    }

    #[cold]
    fn wrong_width(&self, count: usize) -> Flaw {
        Flaw::row(format!("has {count} columns where there should be {}", self.width))
    }
}

impl How {
    /// The column that a feature is made of; a cross is made of none.
    pub(super) fn column(&self) -> Option<usize> {
        match self {
            Self::Category(column)
            | Self::Number(column, _)
            | Self::Bins(column, _)
            | Self::Several(column, _)
            | Self::Words(column)
            | Self::Time(column, _) => Some(*column),
            Self::Cross(_) => None,
        }
    }
}
