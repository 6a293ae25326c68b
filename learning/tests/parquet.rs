//! Reading Parquet as people have it: the same rows as from text, whatever the types, the packing and the row groups; and
//! a clear word where a file is damaged or holds what no feature can be made of.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use haggle_learning::data::{ReadOptions, ReadReport, Reader, Schema};
use haggle_learning::{Batch, Slot};
use parquet::basic::Compression;
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DoubleType, FixedLenByteArray, FixedLenByteArrayType, FloatType,
    Int32Type, Int64Type, Int96, Int96Type,
};
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder, WriterVersion};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use proptest::prelude::*;

type Rows = Vec<(f32, Vec<Slot>)>;

enum Values {
    Bool(Vec<bool>),
    Int(Vec<i32>),
    Long(Vec<i64>),
    Old(Vec<Int96>),
    Single(Vec<f32>),
    Double(Vec<f64>),
    Bytes(Vec<ByteArray>),
    Fixed(Vec<FixedLenByteArray>),
}

/// A column of a row group: the values that are there, and the levels where some are not, or are in lists.
struct Column {
    values: Values,
    definitions: Option<Vec<i16>>,
    repetitions: Option<Vec<i16>>,
}

impl From<Values> for Column {
    fn from(values: Values) -> Self {
        Self { values, definitions: None, repetitions: None }
    }
}

fn texts(texts: &[&str]) -> Values {
    Values::Bytes(texts.iter().map(|text| ByteArray::from(*text)).collect())
}

/// One that may be missing.
fn optional<T: Clone>(all: &[Option<T>], values: impl Fn(Vec<T>) -> Values) -> Column {
    Column {
        definitions: Some(all.iter().map(|it| i16::from(it.is_some())).collect()),
        repetitions: None,
        values: values(all.iter().flatten().cloned().collect()),
    }
}

/// Lists of texts that may be missing, as a whole and each by itself: `optional group x (LIST)` of optional elements.
fn lists(lists: &[Option<Vec<Option<&str>>>]) -> Column {
    let (mut values, mut definitions, mut repetitions) = (Vec::new(), Vec::new(), Vec::new());
    for list in lists {
        let mut push = |definition, repetition| {
            definitions.push(definition);
            repetitions.push(repetition);
        };
        match list.as_deref() {
            None => push(0, 0),
            Some([]) => push(1, 0),
            Some(texts) => {
                texts
                    .iter()
                    .enumerate()
                    .for_each(|(at, text)| push(2 + i16::from(text.is_some()), i16::from(at > 0)));
            }
        }
        values.extend(list.iter().flatten().flatten().map(|text| ByteArray::from(*text)));
    }
    Column { values: Values::Bytes(values), definitions: Some(definitions), repetitions: Some(repetitions) }
}

fn plain() -> WriterPropertiesBuilder {
    WriterProperties::builder()
}

fn write(path: &Path, message: &str, properties: WriterPropertiesBuilder, groups: Vec<Vec<Column>>) {
    let schema = Arc::new(parse_message_type(message).unwrap());
    let file = File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties.build())).unwrap();
    for columns in groups {
        let mut group = writer.next_row_group().unwrap();
        for Column { values, definitions, repetitions } in columns {
            let mut column = group.next_column().unwrap().unwrap();
            let (of, in_list) = (definitions.as_deref(), repetitions.as_deref());
            match values {
                Values::Bool(values) => column.typed::<BoolType>().write_batch(&values, of, in_list),
                Values::Int(values) => column.typed::<Int32Type>().write_batch(&values, of, in_list),
                Values::Long(values) => column.typed::<Int64Type>().write_batch(&values, of, in_list),
                Values::Old(values) => column.typed::<Int96Type>().write_batch(&values, of, in_list),
                Values::Single(values) => column.typed::<FloatType>().write_batch(&values, of, in_list),
                Values::Double(values) => column.typed::<DoubleType>().write_batch(&values, of, in_list),
                Values::Bytes(values) => column.typed::<ByteArrayType>().write_batch(&values, of, in_list),
                Values::Fixed(values) => {
                    column.typed::<FixedLenByteArrayType>().write_batch(&values, of, in_list)
                }
            }
            .unwrap();
            column.close().unwrap();
        }
        group.close().unwrap();
    }
    writer.close().unwrap();
}

fn with(schema: &str) -> ReadOptions {
    let schema = Schema::read("schema.toml", schema).unwrap();
    ReadOptions { schema: Some(schema), ..ReadOptions::default() }
}

/// All rows, or what is wrong.
fn read(path: &Path, options: &ReadOptions) -> Result<(Rows, ReadReport), String> {
    let mut reader = Reader::open(path, options).map_err(|error| error.to_string())?;
    let (mut batch, mut rows) = (Batch::default(), Rows::new());
    let (mut before, length) = reader.progress();
    while reader.fill(&mut batch, 100).map_err(|error| error.to_string())? > 0 {
        rows.extend(batch.rows().map(|(label, slots)| (label, slots.to_vec())));
        let (now, _) = reader.progress();
        assert!(before <= now && now <= length);
        before = now;
    }
    assert_eq!(before, length, "all was read");
    Ok((rows, reader.report()))
}

fn csv(folder: &Path, rows: &[Vec<String>]) -> PathBuf {
    let quoted = |field: &String| format!("\"{}\"", field.replace('"', "\"\""));
    let lines = rows.iter().map(|row| row.iter().map(quoted).collect::<Vec<_>>().join(","));
    let path = folder.join("rows.csv");
    fs::write(&path, lines.collect::<Vec<_>>().join("\n")).unwrap();
    path
}

#[test]
fn every_type_is_what_it_would_be_in_a_table_of_text() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.parquet");
    let message = "message rows {
        required boolean click;
        optional int32 small;
        required int32 byte (INTEGER(8, false));
        required int64 large (INTEGER(64, false));
        required int32 day (DATE);
        required int64 millis (TIMESTAMP(MILLIS, true));
        required int64 micros (TIMESTAMP(MICROS, false));
        required int64 nanos (TIMESTAMP(NANOS, true));
        required int96 old;
        required float single;
        optional double double;
        required binary text (STRING);
        required binary bytes;
        required int32 price (DECIMAL(9, 2));
        required int64 cost (DECIMAL(18, 3));
        required fixed_len_byte_array(4) rate (DECIMAL(9, 1));
        required binary long (DECIMAL(30, 0));
        required fixed_len_byte_array(16) id (UUID);
        required fixed_len_byte_array(2) raw;
        optional group tags (LIST) { repeated group list { optional binary element (STRING); } }
        repeated int32 numbers;
    }";
    let fixed = |values: Vec<Vec<u8>>| {
        Values::Fixed(
            values.into_iter().map(|bytes| FixedLenByteArray::from(ByteArray::from(bytes))).collect(),
        )
    };
    // Julian day 2440588 is the first of 1970; 18224 days later it is 2019-11-24.
    let old = |day: u32, hour: u64| {
        let nanoseconds = hour * 3_600_000_000_000;
        let mut old = Int96::new();
        old.set_data(nanoseconds as u32, (nanoseconds >> 32) as u32, 2_440_588 + day);
        old
    };
    let second = 1_574_553_663;
    let columns = vec![
        Values::Bool(vec![true, false]).into(),
        optional(&[Some(-5), None], Values::Int),
        Values::Int(vec![-1, 7]).into(),
        Values::Long(vec![-1, 7]).into(),
        Values::Int(vec![18_224, -1]).into(),
        Values::Long(vec![second * 1_000, 0]).into(),
        Values::Long(vec![second * 1_000_000 + 500_000, -1]).into(),
        Values::Long(vec![second * 1_000_000_000, 1]).into(),
        Values::Old(vec![old(18_224, 23), old(0, 0)]).into(),
        Values::Single(vec![0.1, 1e-7]).into(),
        optional(&[None, Some(123.456)], Values::Double),
        texts(&["Grüße, \"Welt\"", ""]).into(),
        Values::Bytes(vec![vec![b'a', b' '].into(), vec![b'b'].into()]).into(),
        Values::Int(vec![12_345, -5]).into(),
        Values::Long(vec![7, 1_000]).into(),
        fixed(vec![vec![0, 0, 0, 15], vec![0xff, 0xff, 0xff, 0xff]]).into(),
        Values::Bytes(vec![vec![1, 0].into(), vec![0xff].into()]).into(),
        fixed(vec![(0..16).collect(), vec![0xab; 16]]).into(),
        fixed(vec![b"xy".to_vec(), b"zz".to_vec()]).into(),
        lists(&[Some(vec![Some("b"), None, Some("a")]), None]),
        Column {
            values: Values::Int(vec![4, -4]),
            definitions: Some(vec![0, 1, 1]),
            repetitions: Some(vec![0, 0, 1]),
        },
    ];
    write(&path, message, plain(), vec![columns]);
    let rows = "click;small;byte;large;day;millis;micros;nanos;old;single;double;text;bytes;price;cost;rate;long;id;raw;tags;\
                numbers
        1;-5;4294967295;18446744073709551615;2019-11-24;2019-11-24T00:01:03;2019-11-24T00:01:03.5;2019-11-24T00:01:03;\
                2019-11-24T23:00:00;0.1;;Grüße, \"Welt\";a ;123.45;0.007;1.5;256;00010203-0405-0607-0809-0a0b0c0d0e0f;xy;b|a;
        0;;7;7;1969-12-31;1970-01-01T00:00:00;1969-12-31T23:59:59.999999;1970-01-01T00:00:00.000000001;1970-01-01T00:00:00;\
                0.0000001;123.456;;b;-0.05;1.000;-0.1;-1;abababab-abab-abab-abab-abababababab;zz;;4|-4";
    let rows: Vec<Vec<String>> =
        rows.lines().map(|line| line.trim_start().split(';').map(str::to_owned).collect()).collect();
    let csv = csv(folder.path(), &rows);
    // As texts, to the sign; and as what they are.
    let mut schema = String::from("label = 'click'\n");
    for name in &rows[0][1..] {
        let kind = if matches!(name.as_str(), "tags" | "numbers") {
            "multi'\nseparator = '|"
        } else {
            "categorical"
        };
        schema += &format!("[[feature]]\nname = '{name}'\nkind = '{kind}'\n");
    }
    for name in ["day", "millis", "micros", "nanos", "old"] {
        schema += &format!("[[feature]]\nname = '{name} part'\ncolumn = '{name}'\nkind = 'time'\n");
    }
    for name in ["small", "single", "double", "price", "cost", "rate", "long"] {
        schema += &format!("[[feature]]\nname = '{name} number'\ncolumn = '{name}'\nkind = 'numeric'\n");
    }
    let options = with(&schema);
    let (expected, _) = read(&csv, &options).unwrap();
    let (found, report) = read(&path, &options).unwrap();
    assert_eq!((report.rows, report.clicks, report.bad.count), (2, 1, 0));
    for ((label, slots), (expected_label, expected)) in found.iter().zip(&expected) {
        assert_eq!(label.to_bits(), expected_label.to_bits());
        let fields = options.schema.as_ref().unwrap().features();
        for (slot, expected) in slots.iter().zip(expected) {
            assert_eq!(slot, expected, "{}", fields[usize::from(slot.field)].name);
        }
        assert_eq!(slots.len(), expected.len());
    }
}

/// A label, a text, a number and a list of texts; the last three may be missing.
type Line = (bool, Option<String>, Option<f64>, Option<Vec<Option<String>>>);

const MESSAGE: &str = "message rows {
    required int32 click;
    optional binary site (STRING);
    optional double price;
    optional group tags (LIST) { repeated group list { optional binary element (STRING); } }
}";

const SCHEMA: &str = r#"
label = "click"
[[feature]]
name = "site"
kind = "categorical"
[[feature]]
name = "price"
kind = "numeric"
bins = [0.0, 1.0, 2.5]
[[feature]]
name = "tags"
kind = "multi"
separator = "|"
[[feature]]
name = "site_x_price"
cross = ["site", "price"]
"#;

fn columns(lines: &[Line]) -> Vec<Column> {
    let sites: Vec<_> = lines.iter().map(|line| line.1.as_deref().map(ByteArray::from)).collect();
    let prices: Vec<_> = lines.iter().map(|line| line.2).collect();
    let tags: Vec<Option<Vec<Option<&str>>>> = lines
        .iter()
        .map(|line| line.3.as_ref().map(|tags| tags.iter().map(Option::as_deref).collect()))
        .collect();
    vec![
        Values::Int(lines.iter().map(|line| line.0.into()).collect()).into(),
        optional(&sites, Values::Bytes),
        optional(&prices, Values::Double),
        lists(&tags),
    ]
}

fn as_text(lines: &[Line]) -> Vec<Vec<String>> {
    let header = ["click", "site", "price", "tags"].map(str::to_owned).to_vec();
    let rows = lines.iter().map(|(click, site, price, tags)| {
        let tags: Vec<&str> = tags.iter().flatten().flatten().map(String::as_str).collect();
        let price = price.map(|price| price.to_string());
        vec![
            u8::from(*click).to_string(),
            site.clone().unwrap_or_default(),
            price.unwrap_or_default(),
            tags.join("|"),
        ]
    });
    std::iter::once(header).chain(rows).collect()
}

fn line() -> impl Strategy<Value = Line> {
    let text = || proptest::option::of("[a-z \",é\n]{0,6}");
    let tags = proptest::option::of(proptest::collection::vec(text(), 0..4));
    (any::<bool>(), text(), proptest::option::of(-5.0..5.0), tags)
}

/// Ways in which files are packed.
fn packings() -> Vec<WriterPropertiesBuilder> {
    let packed = [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(Default::default()),
        Compression::ZSTD(Default::default()),
        Compression::LZ4,
        Compression::LZ4_RAW,
    ]
    .map(|codec| plain().set_compression(codec));
    let pages =
        plain().set_data_page_row_count_limit(7).set_write_batch_size(3).set_dictionary_enabled(false);
    let newer = plain().set_writer_version(WriterVersion::PARQUET_2_0).set_compression(Compression::SNAPPY);
    packed.into_iter().chain([pages, newer]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn rows_are_those_of_the_same_table_as_text_however_they_are_packed_and_grouped(
        groups in proptest::collection::vec(proptest::collection::vec(line(), 0..40), 0..4),
        repeat in 1_usize..30,
    ) {
        // Long groups too, of more rows than are unpacked at a time.
        let groups: Vec<Vec<Line>> = groups.into_iter().map(|group| vec![group; repeat].concat()).collect();
        let folder = tempfile::tempdir().unwrap();
        let options = with(SCHEMA);
        let (expected, _) = read(&csv(folder.path(), &as_text(&groups.concat())), &options).unwrap();
        for (number, packing) in packings().into_iter().enumerate() {
            let path = folder.path().join("rows.parquet");
            write(&path, MESSAGE, packing, groups.iter().map(|group| columns(group)).collect());
            let (rows, report) = read(&path, &options).unwrap();
            prop_assert_eq!(&rows, &expected, "packing {}", number);
            prop_assert_eq!(report.bad.count, 0);
        }
    }
}

/// Some lines without much chance in them.
fn lines(count: usize) -> Vec<Line> {
    let line = |at: usize| {
        let tags = (!at.is_multiple_of(3))
            .then(|| vec![Some(format!("t{}", at % 4)), None, Some(format!("u{}", at % 7))]);
        let site = (!at.is_multiple_of(5)).then(|| format!("s{}", at % 11));
        (at.is_multiple_of(4), site, (!at.is_multiple_of(6)).then(|| at as f64 / 100.0), tags)
    };
    (0..count).map(line).collect()
}

#[test]
fn only_the_columns_that_the_schema_names_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.parquet");
    let message = "message rows {
        required binary other (STRING);
        required int32 click;
        optional group user { required int32 id; required int32 age; }
        required binary site (STRING);
    }";
    let marked = texts(&["@@@@@@@@"; 4]);
    let nested = || Column { definitions: Some(vec![1; 4]), ..Values::Int(vec![1; 4]).into() };
    let clicks = Values::Int(vec![0, 1, 0, 1]).into();
    let columns = vec![marked.into(), clicks, nested(), nested(), texts(&["a", "b", "c", "d"]).into()];
    write(&path, message, plain().set_dictionary_enabled(false), vec![columns]);
    let schema = "label = 'click'\n[[feature]]\nname = 'site'\nkind = 'categorical'\n";
    let (expected, _) = read(&path, &with(schema)).unwrap();
    assert_eq!(expected.len(), 4);
    // The other column's page, which begins the file, becomes what cannot be unpacked.
    let mut bytes = fs::read(&path).unwrap();
    bytes[4..40].fill(0xff);
    fs::write(&path, bytes).unwrap();
    assert_eq!(read(&path, &with(schema)).unwrap().0, expected);
    let error = read(&path, &with(&schema.replace("site", "other"))).unwrap_err();
    assert!(error.contains("row group 1, column `other`"), "{error}");
    // Of a group no feature can be made.
    let error = read(&path, &with(&schema.replace("site", "user"))).unwrap_err();
    assert!(error.ends_with(
        "column `user` holds groups of values; write each part that is needed as a column of its own"
    ));
}

#[test]
fn bad_rows_are_counted_through_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.parquet");
    let message = "message rows { required int32 click; required double price; }";
    let group =
        |clicks: Vec<i32>, prices: Vec<f64>| vec![Values::Int(clicks).into(), Values::Double(prices).into()];
    let groups = vec![
        group(vec![1, 0, 2], vec![1.0, f64::NAN, 1.0]),
        group(vec![0, 0, 1], vec![1.0, 1e300, f64::INFINITY]),
    ];
    write(&path, message, plain(), groups);
    let options = with("label = 'click'\n[[feature]]\nname = 'price'\nkind = 'numeric'\n");
    let (rows, report) = read(&path, &options).unwrap();
    assert_eq!((rows.len(), report.bad.count), (2, 4));
    let text = report.bad.to_string();
    let lines: Vec<&str> =
        text.lines().map(|line| line.strip_prefix(&path.display().to_string()).unwrap()).collect();
    assert_eq!(lines[0], ": row 2: column `price`: \"NaN\" is not a finite number");
    assert!(lines[1].starts_with(": row 3: column `click`: \"2\" is not a label"), "{text}");
    assert!(lines[2].starts_with(": row 5: column `price`: \"1000000"), "{text}");
    assert_eq!(lines[3], ": row 6: column `price`: \"inf\" is not a finite number");
    let none = ReadOptions { bad_rows: 1, ..options };
    let error = read(&path, &none).unwrap_err();
    assert!(error.contains("row 3") && error.contains("more than 1 bad rows"), "{error}");
}

#[test]
fn what_no_feature_can_be_made_of_is_said_all_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.parquet");
    let message = "message rows {
        required int32 click;
        repeated int32 list;
        required fixed_len_byte_array(2) half (FLOAT16);
        optional group lists (LIST) { repeated group list { optional group element (LIST) {
            repeated group list { optional int32 element; } } } }
        required fixed_len_byte_array(12) span (INTERVAL);
        required int32 fine;
    }";
    write(&path, message, plain(), vec![]);
    let feature = |name: &str, kind: &str| format!("[[feature]]\nname = '{name}'\nkind = '{kind}'\n");
    let schema = |names: &[&str]| {
        let features = names.iter().map(|name| feature(name, "categorical"));
        format!("label = 'click'\n{}", features.collect::<String>())
    };
    let error = read(&path, &with(&schema(&["list", "half", "lists", "fine", "span"]))).unwrap_err();
    for part in [
        "column `list` holds lists, which only features of kind \"multi\"",
        "column `half` holds numbers of 16 bits",
        "column `lists` holds lists of lists",
        "column `span` holds intervals",
    ] {
        assert!(error.contains(part), "{error}");
    }
    assert!(!error.contains("fine"), "{error}");
    assert_eq!(read(&path, &with(&schema(&["fine"]))).unwrap().0, Rows::new(), "there are no rows");
    // Two signs cannot both stand between a list's values.
    let separated = |name: &str, sign: &str| {
        format!("[[feature]]\nname = '{name}'\ncolumn = 'list'\nkind = 'multi'\nseparator = '{sign}'\n")
    };
    let two = |sign| format!("label = 'click'\n{}{}", separated("one", ","), separated("other", sign));
    assert!(read(&path, &with(&two(","))).is_ok());
    assert!(read(&path, &with(&two(";"))).unwrap_err().contains("all with the same separator"));
    let error = read(&path, &with(&schema(&["gone", "fine", "away"]))).unwrap_err();
    assert!(
        error.contains("names a column `gone`, which is not there; the schema names a column `away`"),
        "{error}"
    );
    assert!(error.ends_with("its columns are `click`, `list`, `half`, `lists`, `span`, `fine`"), "{error}");
}

#[test]
fn labels_may_be_absent_where_nobody_needs_them_and_repeated_keys_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.parquet");
    let message = "message rows { required binary key; required int32 site; }";
    write(
        &path,
        message,
        plain(),
        vec![vec![texts(&["a", "b", "a"]).into(), Values::Int(vec![1, 2, 1]).into()]],
    );
    let options = with("label = 'click'\nunique = 'key'\n[[feature]]\nname = 'site'\nkind = 'categorical'\n");
    assert!(read(&path, &options).unwrap_err().contains("names a column `click`, which is not there"));
    let (rows, report) = read(&path, &ReadOptions { labels: false, ..options }).unwrap();
    assert_eq!((rows.len(), report.repeated), (2, 1));
}

#[test]
fn what_is_no_parquet_file_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let options = with(SCHEMA);
    let text = folder.path().join("text.parquet");
    fs::write(&text, "click,site\n1,a\n").unwrap();
    let error = read(&text, &options).unwrap_err();
    assert!(error.contains("text.parquet: cannot be read as Parquet"), "{error}");
    let empty = folder.path().join("empty.parquet");
    fs::write(&empty, "").unwrap();
    assert!(read(&empty, &options).unwrap_err().contains("cannot be read as Parquet"));
    let packed = folder.path().join("rows.parquet.gz");
    fs::write(&packed, "").unwrap();
    assert!(read(&packed, &options).unwrap_err().contains("unpack the .gz first"));
    let parts = folder.path().join("parts.parquet");
    fs::create_dir(&parts).unwrap();
    assert!(read(&parts, &options).unwrap_err().contains("not a folder"));
    assert!(read(&folder.path().join("none.parquet"), &options).unwrap_err().contains("cannot be read"));
    let (schema, path) = (ReadOptions::default(), folder.path().join("rows.parquet"));
    write(&path, MESSAGE, plain(), vec![columns(&lines(3))]);
    assert!(read(&path, &schema).unwrap_err().contains("name one with --schema"));
}

#[test]
fn a_file_that_was_cut_short_is_refused_wherever_it_was_cut() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.parquet");
    write(&path, MESSAGE, plain().set_compression(Compression::SNAPPY), vec![columns(&lines(50))]);
    let bytes = fs::read(&path).unwrap();
    for length in 0..bytes.len() {
        fs::write(&path, &bytes[..length]).unwrap();
        assert!(read(&path, &with(SCHEMA)).is_err(), "cut to {length} of {} bytes", bytes.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Damage may go unnoticed where a file has no checksums, but nothing worse comes of it than wrong rows or an error.
    #[test]
    fn no_damage_to_a_file_brings_the_reader_down(
        packing in 0_usize..8,
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
        in_footer: bool,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.parquet");
        let packing = packings().swap_remove(packing);
        write(&path, MESSAGE, packing, vec![columns(&lines(60)), columns(&lines(20))]);
        let mut bytes = fs::read(&path).unwrap();
        let tail = bytes.len() - 8;
        let footer = u32::from_le_bytes(bytes[tail..tail + 4].try_into().unwrap()) as usize;
        let start = if in_footer { tail - footer } else { 0 };
        for (at, value) in changes {
            let at = start + at.index(bytes.len() - start);
            bytes[at] = value;
        }
        fs::write(&path, bytes).unwrap();
        if let Ok(mut reader) = Reader::open(&path, &with(SCHEMA)) {
            let mut batch = Batch::default();
            // Whoever asks again after an error is told that there is no more.
            for _ in 0..20 {
                match reader.fill(&mut batch, 16) {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(_) => prop_assert_eq!(reader.fill(&mut batch, 16).unwrap(), 0),
                }
            }
        }
    }
}

#[test]
fn orders_are_read_of_clicks_where_they_are_known() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.parquet");
    let message =
        "message rows { required int32 click; optional boolean order; required binary site (STRING); }";
    let orders = optional(&[Some(true), None, Some(true), Some(false)], Values::Bool);
    let columns = vec![Values::Int(vec![1, 1, 0, 1]).into(), orders, texts(&["a", "b", "c", "d"]).into()];
    write(&path, message, plain(), vec![columns]);
    let schema = "label = 'click'\nconversion = 'order'\n[[feature]]\nname = 'site'\nkind = 'categorical'\n";
    let mut reader = Reader::open(&path, &with(schema)).unwrap();
    let mut batch = Batch::default();
    assert_eq!(reader.fill(&mut batch, 10).unwrap(), 4);
    assert_eq!(batch.conversions().labels(), [1.0, 0.0]);
    assert_eq!(
        (batch.conversions().slots(0), batch.conversions().slots(1)),
        (batch.slots(0), batch.slots(3))
    );
    let report = reader.report();
    assert_eq!((report.conversion_rows, report.conversions, report.bad.count), (2, 1, 0));
}
