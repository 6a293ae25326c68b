//! Fills batches from a file, whatever its format.

use std::path::{Path, PathBuf};

use super::clicks::Clicks;
use super::collisions::{CollisionReport, Collisions};
use super::csv::Records;
use super::encoder::{Encoder, Sink};
use super::error::{BadRows, DataError, Flaw};
use super::ipinyou;
use super::libsvm::{FeatureIndex, LibSvm};
use super::lines::Lines;
use super::parquet::Parquet;
use super::schema::Schema;
use super::source::Source;
use super::table::{Fields, Labels, Row, Table};
use super::vw::Vw;
use crate::rows::{Batch, Slot};

/// A batch ends early when its rows took so many bytes of the file: with long rows, few are enough.
const BATCH_BYTES: usize = 1 << 24;

/// How a file writes rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A table with a header: fields by tabs, nothing in quotes.
    Tsv,
    /// A table with a header, by RFC 4180.
    Csv,
    /// Apache Parquet: a table by columns.
    Parquet,
    /// `label index:value …` or `label field:index:value …`.
    LibSvm,
    /// `label |namespace feature:value …`.
    Vw,
    /// iPinYou's logs.
    Ipinyou,
    /// A node's own journal. It is no file of rows: whoever has the node's campaigns reads it.
    Haggle,
}

impl Format {
    /// Names, as people write them.
    pub const NAMES: [(&str, Self); 7] = [
        ("tsv", Self::Tsv),
        ("csv", Self::Csv),
        ("parquet", Self::Parquet),
        ("libsvm", Self::LibSvm),
        ("vw", Self::Vw),
        ("ipinyou", Self::Ipinyou),
        ("haggle", Self::Haggle),
    ];

    /// What a file's name says, before a `.gz`.
    pub fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        let name = name.strip_suffix(".gz").unwrap_or(&name);
        let endings: [(&[&str], Self); 5] = [
            (&[".tsv"], Self::Tsv),
            (&[".csv"], Self::Csv),
            (&[".parquet"], Self::Parquet),
            // The last is what make-ipinyou-data and deep-ctr write.
            (&[".libsvm", ".svm", ".libffm", ".ffm", ".fm.txt"], Self::LibSvm),
            (&[".vw"], Self::Vw),
        ];
        let found = endings.into_iter().find(|(endings, _)| endings.iter().any(|end| name.ends_with(end)));
        found.map(|(_, format)| format)
    }
}

/// What is to be read, and how.
#[derive(Clone, Debug)]
pub struct ReadOptions {
    /// The format; without it what the file's name says.
    pub format: Option<Format>,
    /// What a table's columns mean. Tables need one, iPinYou's logs have one, the others want none.
    pub schema: Option<Schema>,
    /// Which field a LIBSVM file's indices are of.
    pub index: Option<FeatureIndex>,
    /// The log of clicks to an iPinYou log of impressions.
    pub clicks: Option<PathBuf>,
    /// Namespaces of Vowpal Wabbit's text in the order of their fields; others are then left out.
    pub namespaces: Vec<String>,
    /// How many bits indices have that are hashed without a schema: 8 to 30.
    pub bits: u32,
    /// How many bad rows are left out before reading fails.
    pub bad_rows: u64,
    /// Whether rows must have labels. Without, they may, but do not have to.
    pub labels: bool,
    /// Whether rows that repeat a key of the schema's are read all the same.
    pub repeats: bool,
    /// Whether to count how many values share an index.
    pub collisions: bool,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            format: None,
            schema: None,
            index: None,
            clicks: None,
            namespaces: Vec::new(),
            bits: 22,
            bad_rows: 100,
            labels: true,
            repeats: false,
            collisions: false,
        }
    }
}

/// Reads a file's rows into batches.
pub struct Reader {
    file: String,
    form: Form,
    bad: BadRows,
    limit: u64,
    rows: u64,
    clicks: u64,
    conversion_rows: u64,
    conversions: u64,
    repeated: u64,
    collisions: Option<Collisions>,
    ended: bool,
}

/// Where rows come from, and what makes slots of them.
enum Form {
    Csv(Box<Records<Source>>, Table),
    /// With the ends of the fields of the line at hand.
    Tabs(Lines<Source>, Table, Vec<usize>),
    Parquet(Box<Parquet>, Table),
    LibSvm(Lines<Source>, LibSvm),
    Vw(Lines<Source>, Vw),
}

/// What was read so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadReport {
    /// Rows that came into batches.
    pub rows: u64,
    /// Those of them that are clicks.
    pub clicks: u64,
    /// Clicks of which it is known whether an order followed, each a row more.
    pub conversion_rows: u64,
    /// Those of them that led to one.
    pub conversions: u64,
    /// Rows that were left out because something in them is wrong.
    pub bad: BadRows,
    /// Rows that were left out because they repeat another one's key.
    pub repeated: u64,
    /// Namespaces that were left out of rows because they are not known.
    pub unknown_namespaces: u64,
    /// How many values share an index, if that was asked for.
    pub collisions: Option<CollisionReport>,
}

impl Reader {
    /// Opens a file and reads its header, if its format has one.
    ///
    /// # Errors
    ///
    /// What the system says, a format that is not known, or a schema that does not fit.
    pub fn open(path: &Path, options: &ReadOptions) -> Result<Self, DataError> {
        let file = path.display().to_string();
        let unusable = |problem: String| DataError::Unusable { file: file.clone(), problem };
        let failed = |error| DataError::Io { file: file.clone(), error };
        let Some(format) = options.format.or_else(|| Format::of(path)) else {
            let names = Format::NAMES.map(|(name, _)| name).join(", ");
            return Err(unusable(format!(
                "its name does not say its format; say --format with one of {names}"
            )));
        };
        let source = Source::open(path).map_err(failed)?;
        let encoder = || {
            let schema = options.schema.clone();
            schema.map(Encoder::new).ok_or_else(|| {
                unusable(
                    "a table needs a schema that says what its columns mean; name one with --schema"
                        .to_owned(),
                )
            })
        };
        if let (Some(_), Format::LibSvm | Format::Vw) = (&options.schema, format) {
            return Err(unusable("a schema says nothing of this format; leave --schema out".to_owned()));
        }
        let bits = options.schema.as_ref().map_or(options.bits.clamp(8, 30), Schema::bits);
        let labels = if options.labels { Labels::Column } else { Labels::None };
        let mut collision_bits = bits;
        let form = match format {
            Format::Csv => {
                let encoder = encoder()?;
                let mut records = Box::new(Records::new(source));
                let header = csv_header(&mut records).map_err(failed)?;
                let labels = Labels::found(labels, &encoder, &header);
                Form::Csv(records, Table::new(encoder, &header, labels, options.repeats).map_err(unusable)?)
            }
            Format::Tsv => {
                let encoder = encoder()?;
                let mut lines = Lines::new(source);
                let header = lines.next().map_err(failed)?.unwrap_or_default();
                let header: Vec<String> = header
                    .split(|byte| *byte == b'\t')
                    .map(|name| String::from_utf8_lossy(name).into_owned())
                    .collect();
                let labels = Labels::found(labels, &encoder, &header);
                Form::Tabs(
                    lines,
                    Table::new(encoder, &header, labels, options.repeats).map_err(unusable)?,
                    Vec::new(),
                )
            }
            Format::Parquet => {
                let encoder = encoder()?;
                let mut rows = Parquet::open(path)?;
                let header = rows.names();
                let labels = Labels::found(labels, &encoder, &header);
                let mut table = Table::new(encoder, &header, labels, options.repeats).map_err(unusable)?;
                rows.select(&table.narrow(), table.encoder().schema()).map_err(unusable)?;
                Form::Parquet(Box::new(rows), table)
            }
            Format::Ipinyou => {
                let (lines, table) = open_ipinyou(path, source, options).map_err(|error| match error {
                    Ok(problem) => unusable(problem),
                    Err(error) => error,
                })?;
                Form::Tabs(lines, table, Vec::new())
            }
            Format::LibSvm => {
                // Indices are what they are.
                collision_bits = 32;
                let reader = LibSvm { index: options.index.clone(), labels: options.labels };
                Form::LibSvm(Lines::new(source), reader)
            }
            Format::Haggle => {
                return Err(unusable("a node's journal is not read as a file of rows".to_owned()));
            }
            Format::Vw => Form::Vw(Lines::new(source), Vw::new(bits, options.labels, &options.namespaces)),
        };
        Ok(Self {
            bad: BadRows { file: file.clone(), by_row: format == Format::Parquet, ..BadRows::default() },
            file,
            form,
            limit: options.bad_rows,
            rows: 0,
            clicks: 0,
            conversion_rows: 0,
            conversions: 0,
            repeated: 0,
            collisions: options.collisions.then(|| Collisions::new(collision_bits)),
            ended: false,
        })
    }

    /// Clears a batch and fills it with up to `most` rows; how many there are, 0 at the end of the file.
    ///
    /// # Errors
    ///
    /// What the system says, or one bad row too many. What is in the batch is then not all there is, and reading is over.
    pub fn fill(&mut self, batch: &mut Batch, most: usize) -> Result<usize, DataError> {
        batch.clear();
        let mut bytes = 0;
        while batch.len() < most && bytes < BATCH_BYTES && !self.ended {
            let row = match &mut self.collisions {
                Some(collisions) => self.form.row(&mut Watched { batch, collisions }),
                None => self.form.row(batch),
            };
            match row {
                Ok(Some((length, Ok(Row::Label(label, conversion))))) => {
                    bytes += length;
                    self.rows += 1;
                    self.clicks += u64::from(label > 0.5);
                    batch.end(label);
                    if let Some(conversion) = conversion {
                        batch.repeat_as_conversion(conversion);
                        self.conversion_rows += 1;
                        self.conversions += u64::from(conversion > 0.5);
                    }
                }
                Ok(Some((_, Ok(Row::Empty)))) => {}
                Ok(Some((_, Ok(Row::Repeated)))) => {
                    batch.abandon();
                    self.repeated += 1;
                }
                Ok(Some((_, Err(flaw)))) => {
                    batch.abandon();
                    self.leave_out(flaw)?;
                }
                Ok(None) => self.ended = true,
                Err(error) => {
                    self.ended = true;
                    return Err(DataError::Io { file: self.file.clone(), error });
                }
            }
        }
        Ok(batch.len())
    }

    #[cold]
    fn leave_out(&mut self, flaw: Flaw) -> Result<(), DataError> {
        self.bad.add(self.form.line(), flaw);
        if self.bad.count > self.limit {
            self.ended = true;
            return Err(DataError::TooManyBad { bad: self.bad.clone(), limit: self.limit });
        }
        Ok(())
    }

    /// Bytes of the file read so far, and in all.
    pub fn progress(&self) -> (u64, u64) {
        match &self.form {
            Form::Csv(records, _) => records.source().progress(),
            Form::Parquet(rows, _) => rows.progress(),
            Form::Tabs(lines, ..) | Form::LibSvm(lines, _) | Form::Vw(lines, _) => lines.source().progress(),
        }
    }

    /// Names of the fields in the order of their numbers, as far as the format has any. Of Vowpal Wabbit's text those that
    /// were met so far.
    pub fn fields(&self) -> Vec<String> {
        match &self.form {
            Form::Csv(_, table) | Form::Tabs(_, table, _) | Form::Parquet(_, table) => {
                table.encoder().schema().features().iter().map(|feature| feature.name.clone()).collect()
            }
            Form::LibSvm(_, reader) => {
                reader.index.as_ref().map_or_else(Vec::new, |index| index.names().to_vec())
            }
            Form::Vw(_, reader) => reader.names().to_vec(),
        }
    }

    /// The schema that rows are read by.
    pub fn schema(&self) -> Option<&Schema> {
        match &self.form {
            Form::Csv(_, table) | Form::Tabs(_, table, _) | Form::Parquet(_, table) => {
                Some(table.encoder().schema())
            }
            Form::LibSvm(..) | Form::Vw(..) => None,
        }
    }

    /// What was read so far.
    pub fn report(&self) -> ReadReport {
        ReadReport {
            rows: self.rows,
            clicks: self.clicks,
            conversion_rows: self.conversion_rows,
            conversions: self.conversions,
            bad: self.bad.clone(),
            repeated: self.repeated,
            unknown_namespaces: if let Form::Vw(_, reader) = &self.form { reader.unknown() } else { 0 },
            collisions: self.collisions.as_ref().map(Collisions::report),
        }
    }
}

/// A row, good or bad, with how many bytes it had.
type Read = std::io::Result<Option<(usize, Result<Row, Flaw>)>>;

impl Form {
    #[inline]
    fn row(&mut self, sink: &mut impl Sink) -> Read {
        Ok(match self {
            Self::Tabs(lines, table, ends) => lines.next()?.map(|text| {
                ends.clear();
                ends.extend(memchr::memchr_iter(b'\t', text));
                ends.push(text.len());
                (text.len(), table.row(Fields { text, ends, between: 1 }, sink))
            }),
            Self::Csv(records, table) => records
                .next()?
                .map(|(text, ends)| (text.len(), table.row(Fields { text, ends, between: 0 }, sink))),
            Self::Parquet(rows, table) => rows
                .next()?
                .map(|(text, ends)| (text.len(), table.row(Fields { text, ends, between: 0 }, sink))),
            Self::LibSvm(lines, reader) => lines.next()?.map(|line| (line.len(), reader.row(line, sink))),
            Self::Vw(lines, reader) => lines.next()?.map(|line| (line.len(), reader.row(line, sink))),
        })
    }

    /// The line of the row at hand, or which row it is where there are no lines.
    fn line(&self) -> u64 {
        match self {
            Self::Csv(records, _) => records.number(),
            Self::Parquet(rows, _) => rows.number(),
            Self::Tabs(lines, ..) | Self::LibSvm(lines, _) | Self::Vw(lines, _) => lines.number(),
        }
    }
}

/// A batch whose collisions are counted.
struct Watched<'a> {
    batch: &'a mut Batch,
    collisions: &'a mut Collisions,
}

impl Sink for Watched<'_> {
    #[inline]
    fn put(&mut self, hash: u64, slot: Slot) {
        self.collisions.note(hash);
        self.batch.push(slot);
    }
}

impl Labels {
    /// Where labels are not needed, they are read all the same if the file has them.
    fn found(wanted: Self, encoder: &Encoder, header: &[String]) -> Self {
        let schema = encoder.schema();
        let mut wanting = std::iter::once(schema.label()).chain(schema.conversion());
        match wanted {
            Self::None if wanting.all(|column| header.iter().any(|name| name == column)) => Self::Column,
            wanted => wanted,
        }
    }
}

pub(super) fn csv_header(records: &mut Records<Source>) -> std::io::Result<Vec<String>> {
    let Some((text, ends)) = records.next()? else { return Ok(Vec::new()) };
    let starts = std::iter::once(0).chain(ends.iter().copied());
    let fields = starts.zip(ends).map(|(from, to)| text.get(from..*to).unwrap_or_default());
    let mut header: Vec<String> = fields.map(|field| String::from_utf8_lossy(field).into_owned()).collect();
    if let Some(first) = header.first_mut()
        && let Some(unmarked) = first.strip_prefix('\u{feff}')
    {
        *first = unmarked.to_owned();
    }
    Ok(header)
}

/// The kind of log shows in its first line, which is read again with the others.
fn open_ipinyou(
    path: &Path,
    source: Source,
    options: &ReadOptions,
) -> Result<(Lines<Source>, Table), Result<String, DataError>> {
    let failed = |error| Err(DataError::Io { file: path.display().to_string(), error });
    let mut lines = Lines::new(source);
    let first = lines.next().map_err(failed)?.unwrap_or_default();
    let count = first.split(|byte| *byte == b'\t').count();
    let Some((labelled, columns)) = ipinyou::columns(count) else {
        return Err(Ok(format!(
            "its first line has {count} columns; iPinYou's logs have 24, or 27 and more with clicks"
        )));
    };
    let key = columns.iter().position(|name| name == "bidid").unwrap_or_default();
    let labels = match &options.clicks {
        Some(clicks) => Labels::Keys(key, Clicks::read(clicks).map_err(Err)?),
        None if labelled => Labels::Column,
        None if !options.labels => Labels::None,
        None => {
            return Err(Ok(
                "a log of impressions does not say which were clicked; name the log of clicks".to_owned()
            ));
        }
    };
    let schema = match &options.schema {
        Some(schema) => schema.clone(),
        None => ipinyou::schema().map_err(|errors| Ok(errors.to_string()))?,
    };
    let mut table = Table::new(Encoder::new(schema), &columns, labels, options.repeats).map_err(Ok)?;
    if labelled {
        table = table.at_least();
    }
    let source = Source::open(path).map_err(failed)?;
    Ok((Lines::new(source), table))
}
