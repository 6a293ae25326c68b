//! How many rows of a table a thread reads and hashes in a second: 16 categorical columns, as logs of clicks have.

#![allow(clippy::expect_used, reason = "a benchmark")]

use std::fmt::Write;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use haggle_learning::Batch;
use haggle_learning::data::{ReadOptions, Reader, Schema};

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

fn reading(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut text = String::from("label = 'click'\n");
    for column in 0..COLUMNS {
        let _ = writeln!(text, "[[feature]]\nname = 'c{column}'\nkind = 'categorical'");
    }
    let schema = Schema::read("schema.toml", &text).expect("a schema");
    let mut group = criterion.benchmark_group("reading");
    group.throughput(Throughput::Elements(ROWS)).sample_size(10);
    for (name, text, collisions) in [
        ("rows.tsv", table('\t'), false),
        ("rows.csv", table(','), false),
        ("rows.vw", vw(), false),
        ("collisions.tsv", table('\t'), true),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
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
