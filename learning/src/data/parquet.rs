//! Rows of a Parquet file: of each row group the columns that a schema reads, a few hundred rows at a time.
//!
//! Values are written out as a table of text would have them, so that the same code makes slots of them. Of each column
//! that is read, memory holds a page (as it is stored and unpacked), its dictionary and the values of [`ROWS`] rows,
//! however large the row groups are.

mod column;
mod value;

use std::fs::{self, File};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use ::parquet::basic::CompressionCodec;
use ::parquet::errors::ParquetError;
use ::parquet::file::metadata::ColumnChunkMetaData;
use ::parquet::file::reader::{FileReader, SerializedFileReader};

use self::column::{Column, column};
use super::error::DataError;
use super::schema::{How, Schema};

/// Rows that are unpacked at a time.
const ROWS: u64 = 256;

/// Reads row by row.
pub(super) struct Parquet {
    file: SerializedFileReader<File>,
    columns: Vec<Selected>,
    /// How many row groups were begun, and how many rows of the last of them are not unpacked yet.
    groups: usize,
    left: u64,
    /// Rows that are unpacked and not given out.
    ready: u64,
    /// The rows that were given out, and all there are.
    number: u64,
    rows: u64,
    /// Bytes of the file.
    length: u64,
    /// The row that was read last: its values, one after the other, and their ends.
    text: Vec<u8>,
    ends: Vec<usize>,
}

/// A column that is read.
struct Selected {
    name: String,
    /// Its place among those that hold values; those in lists and groups count too.
    leaf: usize,
    column: Box<dyn Column>,
}

impl Parquet {
    /// Opens a file and reads its footer. No column is selected yet.
    ///
    /// # Errors
    ///
    /// What the system says, or what is no Parquet file.
    pub(super) fn open(path: &Path) -> Result<Self, DataError> {
        let shown = path.display().to_string();
        let failed = |error| DataError::Io { file: shown.clone(), error };
        let unusable = |problem: String| DataError::Unusable { file: shown.clone(), problem };
        // The footer, at the end, has to be read first.
        let metadata = fs::metadata(path).map_err(failed)?;
        if !metadata.is_file() {
            let problem = "Parquet is read from a file; name one, not a folder or a pipe";
            return Err(unusable(problem.to_owned()));
        }
        if path.extension().is_some_and(|end| end.eq_ignore_ascii_case("gz")) {
            return Err(unusable("Parquet packs its own columns; unpack the .gz first".to_owned()));
        }
        let file = File::open(path).map_err(failed)?;
        let file = contained(|| SerializedFileReader::new(file).map_err(|error| no_parquet(&error)))
            .map_err(unusable)?;
        let rows = file.metadata().row_groups().iter().map(|group| u64::try_from(group.num_rows()));
        let rows = rows.sum::<Result<u64, _>>().map_err(|_| unusable(damaged("a row group's length")))?;
        Ok(Self {
            file,
            columns: Vec::new(),
            groups: 0,
            left: 0,
            ready: 0,
            number: 0,
            rows,
            length: metadata.len(),
            text: Vec::new(),
            ends: Vec::new(),
        })
    }

    /// The names of all columns.
    pub(super) fn names(&self) -> Vec<String> {
        let root = self.file.metadata().file_metadata().schema();
        root.get_fields().iter().map(|field| field.name().to_owned()).collect()
    }

    /// Selects the columns at these places, in this order: rows have no others.
    ///
    /// # Errors
    ///
    /// All columns whose types cannot be read, and why; or the first that is packed in a way that is not.
    pub(super) fn select(&mut self, places: &[usize], schema: &Schema) -> Result<(), String> {
        let columns = contained(|| {
            let found: Vec<_> = places.iter().map(|place| self.selected(*place, schema)).collect();
            let problems: Vec<&str> =
                found.iter().filter_map(|it| it.as_ref().err()).map(String::as_str).collect();
            if problems.is_empty() { found.into_iter().collect() } else { Err(problems.join("; ")) }
        });
        self.columns = columns?;
        for group in self.file.metadata().row_groups() {
            for Selected { name, leaf, .. } in &self.columns {
                let chunk = group.columns().get(*leaf).ok_or_else(|| damaged("the number of its columns"))?;
                readable(chunk).map_err(|problem| format!("column `{name}` {problem}"))?;
            }
        }
        Ok(())
    }

    fn selected(&self, place: usize, schema: &Schema) -> Result<Selected, String> {
        let metadata = self.file.metadata();
        let described = metadata.file_metadata().schema_descr();
        let fields = described.root_schema().get_fields();
        let name = fields.get(place).map_or("", |field| field.name()).to_owned();
        let leaves: Vec<usize> = (0..described.num_columns())
            .filter(|leaf| described.get_column_root_idx(*leaf) == place)
            .collect();
        let &[leaf] = leaves.as_slice() else {
            let problem = "holds groups of values; write each part that is needed as a column of its own";
            return Err(format!("column `{name}` {problem}"));
        };
        let column = column(&described.column(leaf), separator(schema, &name))
            .map_err(|problem| format!("column `{name}` {problem}"))?;
        Ok(Selected { name, leaf, column })
    }

    /// The next row: the values of its columns, and their ends. `None` at the end.
    ///
    /// # Errors
    ///
    /// What reading says, or what is damaged, and where.
    #[inline]
    pub(super) fn next(&mut self) -> io::Result<Option<(&[u8], &[usize])>> {
        if self.ready == 0 && !self.unpack()? {
            return Ok(None);
        }
        self.ready -= 1;
        self.number += 1;
        self.text.clear();
        self.ends.clear();
        for Selected { column, .. } in &mut self.columns {
            column.write(&mut self.text);
            self.ends.push(self.text.len());
        }
        Ok(Some((&self.text, &self.ends)))
    }

    /// The number of the row that was read last, counted through the file from 1.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// How much of the file its rows that were read are, in bytes, and its length: most of it may not have to be read.
    pub(super) fn progress(&self) -> (u64, u64) {
        let (read, rows) = if self.rows == 0 { (1, 1) } else { (self.number, self.rows) };
        let share = u128::from(self.length) * u128::from(read) / u128::from(rows);
        (u64::try_from(share).unwrap_or(self.length), self.length)
    }

    /// Unpacks rows; whether there are any.
    #[cold]
    fn unpack(&mut self) -> io::Result<bool> {
        let unpacked = contained(|| {
            while self.left == 0 {
                if self.groups == self.file.num_row_groups() {
                    return Ok(false);
                }
                self.begin()?;
            }
            let rows = self.left.min(ROWS);
            for Selected { name, column, .. } in &mut self.columns {
                let place =
                    |problem: String| format!("row group {}, column `{name}`: {problem}", self.groups);
                let found = column.read(rows as usize).map_err(|error| place(plain(&error)))?;
                if found as u64 != rows {
                    return Err(place(damaged("it has fewer values than its row group has rows")));
                }
            }
            self.left -= rows;
            self.ready = rows;
            Ok(true)
        });
        unpacked.map_err(|problem| io::Error::new(io::ErrorKind::InvalidData, problem))
    }

    /// Begins the next row group.
    fn begin(&mut self) -> Result<(), String> {
        let of = |error: &ParquetError| format!("row group {}: {}", self.groups + 1, plain(error));
        let group = self.file.get_row_group(self.groups).map_err(|error| of(&error))?;
        for Selected { leaf, column, .. } in &mut self.columns {
            column.begin(group.get_column_reader(*leaf).map_err(|error| of(&error))?);
        }
        // That none is less than 0 was seen when the file was opened.
        self.left = group.metadata().num_rows().unsigned_abs();
        self.groups += 1;
        Ok(())
    }
}

/// What is put between the values of a list: what the feature takes them apart by, if all that are made of the column are of
/// several values, by the same sign.
fn separator<'s>(schema: &'s Schema, column: &str) -> Option<&'s str> {
    let named = |at: usize| schema.columns().get(at).is_some_and(|name| name == column);
    if schema.label() == column || schema.unique.is_some_and(named) {
        return None;
    }
    let mut features = schema.features().iter().filter(|feature| feature.how.column().is_some_and(named));
    let of =
        |how: &'s How| if let How::Several(_, separator) = how { Some(separator.as_str()) } else { None };
    let first = of(&features.next()?.how)?;
    features.all(|feature| of(&feature.how) == Some(first)).then_some(first)
}

/// Whether a column's values in a row group can be read at all.
fn readable(chunk: &ColumnChunkMetaData) -> Result<(), String> {
    if chunk.file_path().is_some() {
        return Err("is in another file; name the files that hold rows".to_owned());
    }
    let codec = chunk.compression_codec();
    match codec {
        CompressionCodec::LZO | CompressionCodec::BROTLI => Err(format!(
            "is packed with {codec}, which is not read; write the file with zstd, snappy, gzip or lz4"
        )),
        _ => Ok(()),
    }
}

/// Does something with a file that may be damaged. Most damage is an error of the crate that reads it; but where offsets and
/// lengths contradict each other, it may panic instead. That is as good a sign, and nothing that it had begun is used
/// after it.
fn contained<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(damaged("what it says of itself")))
}

fn damaged(what: &str) -> String {
    format!("the file is damaged ({what}); copy it again, or write it again")
}

fn no_parquet(error: &ParquetError) -> String {
    format!("cannot be read as Parquet: {}", plain(error))
}

/// An error of the crate, without its kind in front, which says nothing to a user.
fn plain(error: &ParquetError) -> String {
    match error {
        ParquetError::General(text) | ParquetError::NYI(text) | ParquetError::EOF(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::parquet::file::metadata::ColumnChunkMetaDataBuilder;
    use ::parquet::schema::parser::parse_message_type;
    use ::parquet::schema::types::SchemaDescriptor;
    use std::sync::Arc;

    #[test]
    fn a_packing_that_is_not_read_is_named_before_any_row_is() {
        let message = parse_message_type("message rows { required int32 a; }").unwrap();
        let column = SchemaDescriptor::new(Arc::new(message)).column(0);
        let of = |change: &dyn Fn(ColumnChunkMetaDataBuilder) -> ColumnChunkMetaDataBuilder| {
            readable(&change(ColumnChunkMetaData::builder(column.clone())).build().unwrap())
        };
        for codec in [CompressionCodec::LZO, CompressionCodec::BROTLI] {
            let problem = of(&|chunk| chunk.set_compression_codec(codec)).unwrap_err();
            assert!(problem.contains(&format!("packed with {codec}, which is not read")), "{problem}");
        }
        assert_eq!(of(&|chunk| chunk.set_compression_codec(CompressionCodec::LZ4)), Ok(()));
        assert!(
            of(&|chunk| chunk.set_file_path("part-0".to_owned())).unwrap_err().contains("in another file")
        );
    }

    #[test]
    fn a_panic_of_the_crate_is_an_error() {
        #[allow(clippy::panic, reason = "that is what is contained")]
        let problem = contained::<()>(|| panic!("offset is negative")).unwrap_err();
        assert!(problem.starts_with("the file is damaged"), "{problem}");
    }
}
