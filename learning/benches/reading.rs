//! How many rows of a table a thread reads and hashes in a second: 16 categorical columns, as logs of clicks have.

#![allow(clippy::expect_used, reason = "a benchmark")]

use std::fmt::Write;
use std::fs::File;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use haggle_learning::Batch;
use haggle_learning::data::{ReadOptions, Reader, Schema};
use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, Int32Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

const ROWS: u64 = 200_000;
const COLUMNS: usize = 16;

/// Fields of one to twelve characters, as frequent values are shorter than rare ones.
fn table(between: char) -> String {
    let mut text = String::from("click");
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for column in 0..COLUMNS {
        let _ = write!(text, "{between}c{column}");
    }
    for row in 0..ROWS {
        let _ = write!(text, "\n{}", u8::from(row % 50 == 0));
        for column in 0..COLUMNS {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let _ = write!(text, "{between}{:x}", state >> (20 + (column * 2)) >> (state % 11));
        }
    }
    text
}

/// The same rows as Vowpal Wabbit's text, a namespace for each column.
fn vw() -> String {
    let table = table('\t');
    let mut text = String::new();
    for line in table.lines().skip(1) {
        for (at, field) in line.split('\t').enumerate() {
            let _ = match at {
                0 => write!(text, "{field}"),
                _ => write!(text, " |c{} {field}", at - 1),
            };
        }
        text.push('\n');
    }
    text
}

/// The same rows as Parquet, packed and not.
fn parquet(path: &Path, codec: Compression) {
    let table = table('\t');
    let columns: String = (0..COLUMNS).map(|at| format!(" required binary c{at} (STRING);")).collect();
    let message = format!("message rows {{ required int32 click;{columns} }}");
    let schema = Arc::new(parse_message_type(&message).expect("a message"));
    let properties = Arc::new(WriterProperties::builder().set_compression(codec).build());
    let file = File::create(path).expect("a file");
    let mut writer = SerializedFileWriter::new(file, schema, properties).expect("a writer");
    let rows: Vec<Vec<&str>> = table.lines().skip(1).map(|line| line.split('\t').collect()).collect();
    for rows in rows.chunks(100_000) {
        let mut group = writer.next_row_group().expect("a row group");
        let mut at = 0;
        while let Ok(Some(mut column)) = group.next_column() {
            if at == 0 {
                let labels: Vec<i32> = rows.iter().map(|row| i32::from(row[0] == "1")).collect();
                column.typed::<Int32Type>().write_batch(&labels, None, None).expect("labels");
            } else {
                let texts: Vec<ByteArray> = rows.iter().map(|row| ByteArray::from(row[at])).collect();
                column.typed::<ByteArrayType>().write_batch(&texts, None, None).expect("texts");
            }
            column.close().expect("a column");
            at += 1;
        }
        group.close().expect("a row group");
    }
    writer.close().expect("a footer");
}

fn reading(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut text = String::from("label = 'click'\n");
    for column in 0..COLUMNS {
        let _ = writeln!(text, "[[feature]]\nname = 'c{column}'\nkind = 'categorical'");
    }
    let schema = Schema::read("schema.toml", &text).expect("a schema");
    let mut group = criterion.benchmark_group("reading");
    group.throughput(Throughput::Elements(ROWS)).sample_size(10);
    for (name, text) in [
        ("rows.tsv", table('\t')),
        ("rows.csv", table(',')),
        ("rows.vw", vw()),
        ("collisions.tsv", table('\t')),
        ("plain.parquet", String::new()),
        ("snappy.parquet", String::new()),
        ("zstd.parquet", String::new()),
    ] {
        let path = folder.path().join(name);
        let collisions = name == "collisions.tsv";
        match name {
            "plain.parquet" => parquet(&path, Compression::UNCOMPRESSED),
            "snappy.parquet" => parquet(&path, Compression::SNAPPY),
            "zstd.parquet" => parquet(&path, Compression::ZSTD(Default::default())),
            _ => std::fs::write(&path, text).expect("a file"),
        }
        let schema = (!name.ends_with(".vw")).then(|| schema.clone());
        let options = ReadOptions { schema, collisions, ..ReadOptions::default() };
        let mut batch = Batch::default();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut reader = Reader::open(&path, &options).expect("a reader");
                let mut rows = 0;
                while let Ok(count @ 1..) = reader.fill(&mut batch, 4096) {
                    rows += count as u64;
                    black_box(&batch);
                }
                assert_eq!(rows, ROWS);
            });
        });
    }
}

criterion_group!(benches, reading);
criterion_main!(benches);
