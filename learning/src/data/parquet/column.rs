//! One column of a Parquet file, whose values are written as text, row by row.

use ::parquet::basic::Type as Stored;
use ::parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use ::parquet::data_type::{
    BoolType, ByteArrayType, DataType, DoubleType, FixedLenByteArrayType, FloatType, Int32Type, Int64Type,
    Int96Type,
};
use ::parquet::errors::ParquetError;
use ::parquet::schema::types::ColumnDescPtr;

use super::value::{self, Meaning};

/// A column that is read row group by row group, some rows at a time.
pub(super) trait Column: Send {
    /// Goes on with the values of another row group.
    fn begin(&mut self, reader: ColumnReader);

    /// Unpacks the values of so many rows in place of those it had; of how many there were any.
    fn read(&mut self, rows: usize) -> Result<usize, ParquetError>;

    /// Appends the next row's value, nothing for one that is missing.
    fn write(&mut self, text: &mut Vec<u8>);
}

/// A column that is stored as `T`; `write` makes text of a value.
struct Typed<T: DataType, W> {
    reader: Option<ColumnReaderImpl<T>>,
    write: W,
    /// The level of a value that is there: lesser ones stand for what is missing.
    present: i16,
    /// Between the values of a list.
    separator: Option<String>,
    /// The values of the rows that are unpacked, without those that are missing, and the next.
    values: Vec<T::T>,
    value: usize,
    /// For each value, those that are missing too, at what level it is there; and whether it is one more of a list (not
    /// 0). And the next.
    definitions: Vec<i16>,
    repetitions: Vec<i16>,
    level: usize,
}

impl<T: DataType, W: Fn(&T::T, &mut Vec<u8>) + Send> Column for Typed<T, W> {
    fn begin(&mut self, reader: ColumnReader) {
        self.reader = T::get_column_reader(reader);
    }

    fn read(&mut self, rows: usize) -> Result<usize, ParquetError> {
        (self.value, self.level) = (0, 0);
        self.values.clear();
        self.definitions.clear();
        self.repetitions.clear();
        let Some(reader) = &mut self.reader else { return Ok(0) };
        let levels = (Some(&mut self.definitions), Some(&mut self.repetitions));
        let (rows, _, _) = reader.read_records(rows, levels.0, levels.1, &mut self.values)?;
        Ok(rows)
    }

    fn write(&mut self, text: &mut Vec<u8>) {
        let mut first = true;
        loop {
            // Where nothing can be missing, there are no levels.
            let present = self.present == 0 || self.definitions.get(self.level) == Some(&self.present);
            self.level += 1;
            if present && let Some(value) = self.values.get(self.value) {
                self.value += 1;
                if let (false, Some(separator)) = (first, &self.separator) {
                    text.extend_from_slice(separator.as_bytes());
                }
                first = false;
                (self.write)(value, text);
            }
            // A list goes on, but for the first value of the next one.
            if self.separator.is_none() || self.repetitions.get(self.level).is_none_or(|level| *level == 0) {
                return;
            }
        }
    }
}

/// A column by its description. `separator` is what a list's values have between them, if a list will do.
pub(super) fn column(of: &ColumnDescPtr, separator: Option<&str>) -> Result<Box<dyn Column>, String> {
    let separator = match (of.max_rep_level(), separator) {
        (0, _) if of.path().parts().len() == 1 => None,
        (1, Some(separator)) => Some(separator.to_owned()),
        (1, None) => {
            return Err("holds lists, which only features of kind \"multi\" are made of, all with the same \
                        separator; write it flat"
                .to_owned());
        }
        (0, _) => {
            return Err("holds groups of values; write what is needed as a column of its own".to_owned());
        }
        _ => return Err("holds lists of lists; write it flat".to_owned()),
    };
    let new = Parts { present: of.max_def_level(), separator };
    Ok(match (of.physical_type(), Meaning::of(of)?) {
        (Stored::BOOLEAN, _) => new.typed::<BoolType, _>(|it, text| text.push(b'0' + u8::from(*it))),
        (Stored::INT32, Meaning::Date) => new.typed::<Int32Type, _>(|it, text| value::date(*it, text)),
        (Stored::INT32, Meaning::Unsigned) => {
            new.typed::<Int32Type, _>(|it, text| value::shown(it.cast_unsigned(), text))
        }
        (Stored::INT32, Meaning::Decimal(scale)) => {
            new.typed::<Int32Type, _>(move |it, text| value::decimal((*it).into(), scale, text))
        }
        (Stored::INT32, _) => new.typed::<Int32Type, _>(|it, text| value::shown(it, text)),
        (Stored::INT64, Meaning::Time(unit)) => {
            new.typed::<Int64Type, _>(move |it, text| value::time(i128::from(*it) * unit, text))
        }
        (Stored::INT64, Meaning::Unsigned) => {
            new.typed::<Int64Type, _>(|it, text| value::shown(it.cast_unsigned(), text))
        }
        (Stored::INT64, Meaning::Decimal(scale)) => {
            new.typed::<Int64Type, _>(move |it, text| value::decimal((*it).into(), scale, text))
        }
        (Stored::INT64, _) => new.typed::<Int64Type, _>(|it, text| value::shown(it, text)),
        (Stored::INT96, _) => new.typed::<Int96Type, _>(|it, text| value::old_time(it.data(), text)),
        (Stored::FLOAT, _) => new.typed::<FloatType, _>(|it, text| value::shown(it, text)),
        (Stored::DOUBLE, _) => new.typed::<DoubleType, _>(|it, text| value::shown(it, text)),
        (Stored::BYTE_ARRAY, Meaning::Decimal(scale)) => {
            new.typed::<ByteArrayType, _>(move |it, text| value::long_decimal(it.data(), scale, text))
        }
        (Stored::BYTE_ARRAY, _) => {
            new.typed::<ByteArrayType, _>(|it, text| text.extend_from_slice(it.data()))
        }
        (Stored::FIXED_LEN_BYTE_ARRAY, Meaning::Decimal(scale)) => {
            new.typed::<FixedLenByteArrayType, _>(move |it, text| value::long_decimal(it.data(), scale, text))
        }
        (Stored::FIXED_LEN_BYTE_ARRAY, Meaning::Uuid) => {
            new.typed::<FixedLenByteArrayType, _>(|it, text| value::uuid(it.data(), text))
        }
        (Stored::FIXED_LEN_BYTE_ARRAY, _) => {
            new.typed::<FixedLenByteArrayType, _>(|it, text| text.extend_from_slice(it.data()))
        }
    })
}

/// What columns of all types have.
struct Parts {
    present: i16,
    separator: Option<String>,
}

impl Parts {
    fn typed<T: DataType, W: Fn(&T::T, &mut Vec<u8>) + Send + 'static>(self, write: W) -> Box<dyn Column> {
        Box::new(Typed::<T, W> {
            reader: None,
            write,
            present: self.present,
            separator: self.separator,
            values: Vec::new(),
            value: 0,
            definitions: Vec::new(),
            repetitions: Vec::new(),
            level: 0,
        })
    }
}
