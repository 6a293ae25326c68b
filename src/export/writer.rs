//! One Parquet file of rows of one kind, written row group by row group.
//!
//! Types are those that DuckDB, Spark and pandas read alike: times are TIMESTAMP in microseconds and UTC, money is INT64 in
//! millionths (exact, summed as whole numbers everywhere, and never out of a DECIMAL's digits), ids are 16 hexadecimal
//! digits (unsigned numbers of 64 bits become floats where a reader meets a missing one, and lose digits).

use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::table::{COMMON, Cell, Column, Kind, Type};
use crate::exit::{Exit, ExitError};

/// Rows of a row group, at most.
const GROUP_ROWS: usize = 65_536;

/// The values of a column that wait for their row group.
enum Values {
    Int(Vec<i32>),
    Long(Vec<i64>),
    Float(Vec<f32>),
    Double(Vec<f64>),
    Bool(Vec<bool>),
    Text(Vec<ByteArray>),
}

struct Buffer {
    values: Values,
    /// Of columns with missing values, and of lists, a level for each value or what stands for one; see Parquet's format.
    definitions: Option<Vec<i16>>,
    repetitions: Option<Vec<i16>>,
}

/// A file that is being written.
pub(super) struct Table {
    path: PathBuf,
    writer: SerializedFileWriter<File>,
    buffers: Vec<Buffer>,
    waiting: usize,
    /// About how many bytes wait.
    pub(super) bytes: usize,
    pub(super) rows: u64,
    /// Rises with each row of any file: that of its last.
    pub(super) used: u64,
}

fn columns(kind: &Kind) -> Vec<Column> {
    COMMON.iter().chain(kind.columns()).copied().collect()
}

/// The schema, in Parquet's own notation.
fn message(kind: &Kind) -> String {
    let mut message = format!("message {} {{\n", kind.name);
    for Column { name, of, optional, .. } in columns(kind) {
        let needed = if optional { "optional" } else { "required" };
        let (plain, logical) = match of {
            Type::Int => ("int32", ""),
            Type::Long => ("int64", ""),
            Type::Float => ("float", ""),
            Type::Double => ("double", ""),
            Type::Bool => ("boolean", ""),
            Type::Text => ("binary", " (STRING)"),
            Type::Time => ("int64", " (TIMESTAMP(MICROS,true))"),
            Type::Date => ("int32", " (DATE)"),
            Type::Longs | Type::Texts => {
                let element = if of == Type::Longs { "int64 element" } else { "binary element (STRING)" };
                // Writing to a string cannot fail.
                let _ = writeln!(
                    message,
                    "  {needed} group {name} (LIST) {{ repeated group list {{ required {element}; }} }}"
                );
                continue;
            }
        };
        let _ = writeln!(message, "  {needed} {plain} {name}{logical};");
    }
    message.push('}');
    message
}

impl Buffer {
    fn new(column: &Column) -> Self {
        let values = match column.of {
            Type::Int | Type::Date => Values::Int(Vec::new()),
            Type::Long | Type::Time | Type::Longs => Values::Long(Vec::new()),
            Type::Float => Values::Float(Vec::new()),
            Type::Double => Values::Double(Vec::new()),
            Type::Bool => Values::Bool(Vec::new()),
            Type::Text | Type::Texts => Values::Text(Vec::new()),
        };
        let list = matches!(column.of, Type::Longs | Type::Texts);
        Self {
            values,
            definitions: (list || column.optional).then(Vec::new),
            repetitions: list.then(Vec::new),
        }
    }

    /// Takes a value in; gives about how many bytes it has. False if the column holds nothing like it.
    fn push(&mut self, cell: Cell) -> Option<usize> {
        if let Some(repetitions) = &mut self.repetitions {
            let definitions = self.definitions.get_or_insert_default();
            let mut levels = |length: usize| {
                // An empty list has one place, where no value is.
                for at in 0..length.max(1) {
                    definitions.push(i16::from(length > 0));
                    repetitions.push(i16::from(at > 0));
                }
                12 * length.max(1)
            };
            return match (&mut self.values, cell) {
                (Values::Long(values), Cell::Longs(list)) => {
                    values.extend_from_slice(&list);
                    Some(levels(list.len()))
                }
                (Values::Text(values), Cell::Texts(list)) => {
                    values.extend(list.iter().map(|text| ByteArray::from(text.as_str())));
                    Some(2 * levels(list.len()))
                }
                _ => None,
            };
        }
        if let Some(definitions) = &mut self.definitions {
            definitions.push(i16::from(cell != Cell::Null));
            if cell == Cell::Null {
                return Some(2);
            }
        }
        match (&mut self.values, cell) {
            (Values::Int(values), Cell::Int(value)) => values.push(value),
            (Values::Long(values), Cell::Long(value)) => values.push(value),
            (Values::Float(values), Cell::Float(value)) => values.push(value),
            (Values::Double(values), Cell::Double(value)) => values.push(value),
            (Values::Bool(values), Cell::Bool(value)) => values.push(value),
            (Values::Text(values), Cell::Text(value)) => {
                let bytes = value.len() + size_of::<ByteArray>();
                values.push(ByteArray::from(value.into_bytes()));
                return Some(bytes);
            }
            _ => return None,
        }
        Some(8)
    }

    fn write(&self, writer: &mut ColumnWriter<'_>) -> Result<(), ParquetError> {
        let (of, in_list) = (self.definitions.as_deref(), self.repetitions.as_deref());
        match (&self.values, writer) {
            (Values::Int(values), ColumnWriter::Int32ColumnWriter(to)) => to.write_batch(values, of, in_list),
            (Values::Long(values), ColumnWriter::Int64ColumnWriter(to)) => {
                to.write_batch(values, of, in_list)
            }
            (Values::Float(values), ColumnWriter::FloatColumnWriter(to)) => {
                to.write_batch(values, of, in_list)
            }
            (Values::Double(values), ColumnWriter::DoubleColumnWriter(to)) => {
                to.write_batch(values, of, in_list)
            }
            (Values::Bool(values), ColumnWriter::BoolColumnWriter(to)) => to.write_batch(values, of, in_list),
            (Values::Text(values), ColumnWriter::ByteArrayColumnWriter(to)) => {
                to.write_batch(values, of, in_list)
            }
            _ => Err(ParquetError::General("a column's type is not its schema's".to_owned())),
        }
        .map(drop)
    }

    fn clear(&mut self) {
        match &mut self.values {
            Values::Int(values) => values.clear(),
            Values::Long(values) => values.clear(),
            Values::Float(values) => values.clear(),
            Values::Double(values) => values.clear(),
            Values::Bool(values) => values.clear(),
            Values::Text(values) => values.clear(),
        }
        self.definitions.iter_mut().chain(&mut self.repetitions).for_each(Vec::clear);
    }
}

impl Table {
    /// A new file at `path`.
    pub(super) fn create(path: &Path, kind: &Kind) -> Result<Self, ExitError> {
        let failed = |error: ParquetError| failed(path, &error);
        let schema = Arc::new(parse_message_type(&message(kind)).map_err(failed)?);
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by(format!("haggle {}", env!("CARGO_PKG_VERSION")))
            .build();
        let file = File::create(path).map_err(|error| failed(error.into()))?;
        let writer = SerializedFileWriter::new(file, schema, Arc::new(properties)).map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            writer,
            buffers: columns(kind).iter().map(Buffer::new).collect(),
            waiting: 0,
            bytes: 0,
            rows: 0,
            used: 0,
        })
    }

    /// Adds a row, whose values are in the order of the columns.
    pub(super) fn push(&mut self, cells: impl IntoIterator<Item = Cell>) -> Result<(), ExitError> {
        let mut cells = cells.into_iter();
        for buffer in &mut self.buffers {
            let taken = cells.next().and_then(|cell| buffer.push(cell));
            self.bytes += taken.ok_or_else(|| {
                failed(&self.path, &ParquetError::General("a row is not of its table".to_owned()))
            })?;
        }
        self.rows += 1;
        self.waiting += 1;
        if self.waiting >= GROUP_ROWS { self.flush() } else { Ok(()) }
    }

    /// Writes what waits as a row group.
    pub(super) fn flush(&mut self) -> Result<(), ExitError> {
        if self.waiting > 0 {
            self.write_group().map_err(|error| failed(&self.path, &error))?;
            self.buffers.iter_mut().for_each(Buffer::clear);
            (self.waiting, self.bytes) = (0, 0);
        }
        Ok(())
    }

    fn write_group(&mut self) -> Result<(), ParquetError> {
        let mut group = self.writer.next_row_group()?;
        for buffer in &self.buffers {
            if let Some(mut column) = group.next_column()? {
                buffer.write(column.untyped())?;
                column.close()?;
            }
        }
        group.close().map(drop)
    }

    /// Writes the rest and syncs the file; gives its rows.
    pub(super) fn close(mut self) -> Result<u64, ExitError> {
        self.flush()?;
        let Self { path, writer, rows, .. } = self;
        let file = writer.into_inner().map_err(|error| failed(&path, &error))?;
        file.sync_all().map_err(|error| failed(&path, &error.into()))?;
        Ok(rows)
    }
}

fn failed(path: &Path, error: &ParquetError) -> ExitError {
    ExitError::new(Exit::IoFailed, format!("{} cannot be written: {error}", path.display()))
}
