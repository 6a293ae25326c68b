//! Reading training data as users have it: tables, LIBSVM, Vowpal Wabbit's text and iPinYou's logs, packed or not, with
//! mistakes in them.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "helpers of tests")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use haggle_learning::data::{
    DataError, Encoder, FeatureIndex, Format, ReadOptions, ReadReport, Reader, Schema,
};
use haggle_learning::{Batch, Slot};

type Rows = Vec<(f32, Vec<Slot>)>;

/// A folder of files that goes when the test ends.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn plain(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn packed(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        let mut packer =
            flate2::write::GzEncoder::new(fs::File::create(&path).unwrap(), flate2::Compression::fast());
        packer.write_all(text.as_bytes()).unwrap();
        packer.finish().unwrap();
        path
    }
}

fn schema(text: &str) -> Schema {
    Schema::read("schema.toml", text).unwrap()
}

fn with(schema: &Schema) -> ReadOptions {
    ReadOptions { schema: Some(schema.clone()), ..ReadOptions::default() }
}

fn read(path: &Path, options: &ReadOptions) -> Result<(Rows, ReadReport), DataError> {
    let mut reader = Reader::open(path, options)?;
    let mut batch = Batch::default();
    let mut rows = Rows::new();
    // Small batches, so that most rows are in a batch that was used before.
    while reader.fill(&mut batch, 7)? > 0 {
        rows.extend(batch.rows().map(|(label, slots)| (label, slots.to_vec())));
    }
    let report = reader.report();
    assert_eq!(report.rows, rows.len() as u64);
    assert_eq!(report.clicks as usize, rows.iter().filter(|(label, _)| *label > 0.5).count());
    Ok((rows, report))
}

const SCHEMA: &str = r#"
label = "click"
[[feature]]
name = "user"
kind = "categorical"
[[feature]]
name = "hour"
column = "at"
kind = "time"
transform = "hour"
[[feature]]
name = "price"
kind = "numeric"
transform = "log"
[[feature]]
name = "tags"
kind = "multi"
separator = "|"
[[feature]]
name = "title"
kind = "text"
[[feature]]
name = "user_x_hour"
cross = ["user", "hour"]
"#;

const ROWS: [[&str; 6]; 4] = [
    ["1", "u1", "2026-06-01 10:30:00", "12.5", "a|b|c", "Blue shoes"],
    ["0", "u2", "1780311600", "", "b", ""],
    ["0", "", "2026-06-01 23:59:59", "0", "", "Shoes, blue"],
    ["1", "u1", "20260602103000", "1e3", "a", "\"quoted\""],
];

fn tsv() -> String {
    let rows = ROWS.map(|row| row.join("\t"));
    format!("click\tuser\tat\tprice\ttags\ttitle\n{}\n", rows.join("\n"))
}

fn csv() -> String {
    let rows = ROWS.map(|row| row.map(|field| format!("\"{}\"", field.replace('"', "\"\""))).join(","));
    format!("\u{feff}click,user,at,price,tags,title\r\n{}\r\n", rows.join("\r\n"))
}

#[test]
fn a_table_is_the_same_in_every_format_packed_or_not() {
    let (files, options) = (Files::new(), with(&schema(SCHEMA)));
    let (expected, report) = read(&files.plain("rows.tsv", &tsv()), &options).unwrap();
    assert_eq!((report.rows, report.clicks, report.bad.count), (4, 2, 0));
    for path in [
        files.packed("rows.tsv.gz", &tsv()),
        files.plain("rows.csv", &csv()),
        files.packed("rows.CSV.gz", &csv()),
        files.plain("crlf.tsv", &tsv().replace('\n', "\r\n")),
        files.plain("open_end.tsv", tsv().trim_end()),
    ] {
        assert_eq!(read(&path, &options).unwrap().0, expected, "{}", path.display());
    }
    let named = ReadOptions { format: Some(Format::Tsv), ..options };
    assert_eq!(read(&files.plain("rows.dat", &tsv()), &named).unwrap().0, expected);
}

#[test]
fn a_click_whose_orders_are_known_is_a_row_of_orders_too() {
    let files = Files::new();
    let text = "click\tuser\torder\n1\ta\t1\n1\tb\t0\n0\tc\t1\n1\td\t\n1\te\tTrue\n1\tf\tnull\n0\tg\tnobody asks\n1\th\tmaybe\n";
    let path = files.plain("rows.tsv", text);
    let head = "label = 'click'\nmissing = ['null']\n";
    let feature = "feature = [{name = 'user', kind = 'categorical'}]";
    let with_orders = schema(&format!("{head}conversion = 'order'\n{feature}"));
    let mut reader = Reader::open(&path, &with(&with_orders)).unwrap();
    let mut batch = Batch::default();
    assert_eq!(reader.fill(&mut batch, 100).unwrap(), 7);
    let report = reader.report();
    assert_eq!((report.rows, report.clicks, report.conversion_rows, report.conversions), (7, 5, 3, 2));
    let line = report.bad.to_string();
    assert!(line.contains(":9") && line.contains("order") && line.contains("\"maybe\""), "{line}");
    assert_eq!(batch.conversions().labels(), [1.0, 0.0, 1.0]);
    for (row, click) in [(0, 0), (1, 1), (2, 4)] {
        assert_eq!(batch.conversions().slots(row), batch.slots(click));
    }
    // The impressions are those of a schema that says nothing of orders.
    let (rows, report) = read(&path, &with(&schema(&format!("{head}{feature}")))).unwrap();
    assert_eq!((rows.len(), report.conversion_rows), (8, 0));
    assert_eq!(batch.rows().map(|(label, slots)| (label, slots.to_vec())).collect::<Rows>(), rows[..7]);
    // Who learns needs the column, who asks does not.
    let without = files.plain("plain.tsv", "click\tuser\n1\ta\n");
    let refused = read(&without, &with(&with_orders)).unwrap_err().to_string();
    assert!(refused.contains("a column `order`, which is not there"), "{refused}");
    let asking = ReadOptions { labels: false, ..with(&with_orders) };
    assert_eq!(Reader::open(&without, &asking).unwrap().fill(&mut batch, 9).unwrap(), 1);
    for (text, problem) in [
        ("label = 'a'\nconversion = 'a'", "conversion` is the label's column"),
        ("label = 'click'\nconversion = 'user'", "`user` is made of the conversion"),
        ("label = 'click'\nconversion = 1", "`conversion` must be a text"),
    ] {
        let refused = Schema::read("s.toml", &format!("{text}\n{feature}")).unwrap_err().to_string();
        assert!(refused.contains(problem), "{refused}");
    }
}

#[test]
fn one_record_gets_the_same_features_as_the_row_of_a_file() {
    let (files, schema) = (Files::new(), schema(SCHEMA));
    let (rows, _) = read(&files.plain("rows.csv", &csv()), &with(&schema)).unwrap();
    let encoder = Encoder::new(schema);
    let mut batch = Batch::default();
    for (row, (label, slots)) in ROWS.iter().zip(&rows) {
        let names = ["click", "user", "at", "price", "tags", "title"];
        batch.clear();
        let value = |name: &str| names.iter().position(|known| *known == name).map(|at| row[at]);
        // Online there is no label, and nobody asks for it.
        encoder.record(|name| value(name).filter(|_| name != "click"), &mut batch).unwrap();
        batch.end(*label);
        let (_, online) = batch.rows().next().unwrap();
        assert_eq!(online.len(), slots.len(), "{row:?}");
        for (online, offline) in online.iter().zip(slots) {
            assert_eq!(online, offline, "{row:?}");
        }
    }
}

#[test]
fn bad_rows_are_located_left_out_and_counted_until_there_are_too_many() {
    let (files, schema) = (Files::new(), schema(SCHEMA));
    let mut text = tsv();
    text.push_str("2\tu\t2026-06-01\t1\t\t\n\n0\tu\tnoon\t1\t\t\n1\tu\t2026-06-01\tNaN\t\t\n0\tu\n1\tu9\t2026-06-01\t-inf\t\t\n");
    text.push_str("0\tu\t2026-06-01\t1e300\t\t\n1\tlast\t2026-06-01\t7\t\t\n");
    let path = files.plain("rows.tsv", &text);
    let (rows, report) = read(&path, &with(&schema)).unwrap();
    assert_eq!((rows.len(), report.bad.count), (5, 6));
    let said = report.bad.to_string();
    let expected = [
        "rows.tsv:6: column `click`: \"2\" is not a label; write 0 or 1",
        "rows.tsv:8: column `at`: \"noon\" is not a time; write 2019",
        "rows.tsv:9: column `price`: \"NaN\" is not a finite number",
        "rows.tsv:10: has 2 columns where there should be 6",
        "rows.tsv:11: column `price`: \"-inf\" is not a finite number",
        "rows.tsv:12: column `price`: \"1e300\" is beyond ±1e15",
    ];
    assert_eq!(said.lines().count(), expected.len(), "{said}");
    for (line, expected) in said.lines().zip(expected) {
        assert!(line.contains(expected), "{expected}\nnot in\n{line}");
    }
    let enough = ReadOptions { bad_rows: 6, ..with(&schema) };
    assert_eq!(read(&path, &enough).unwrap().0, rows);
    let error = read(&path, &ReadOptions { bad_rows: 5, ..with(&schema) }).unwrap_err().to_string();
    assert!(error.contains("rows.tsv:12: ") && error.contains("more than 5 bad rows"), "{error}");
    // The line of a CSV record is where it begins, whatever its fields hold.
    let csv = "click,user,at,price,tags,title\n1,\"u\n\nv\",2026-06-01,1,,\n0,u,2026-06-01,x,,\n";
    let (_, report) = read(&files.plain("rows.csv", csv), &with(&schema)).unwrap();
    assert_eq!(report.bad.first[0].line, 5);
}

#[test]
fn a_header_without_the_schemas_columns_is_refused_with_all_that_is_missing() {
    let files = Files::new();
    let path = files.plain("rows.tsv", "click\tuser\tuser\tat\ttitle\n1\ta\tb\t2026-06-01\tx\n");
    let error = read(&path, &with(&schema(SCHEMA))).unwrap_err().to_string();
    for expected in [
        "rows.tsv: ",
        "names a column `price`, which is not there",
        "names a column `tags`, which is not there",
        "two columns are called `user`",
        "its columns are `click`, `user`",
    ] {
        assert!(error.contains(expected), "{expected}\nnot in\n{error}");
    }
    let empty = read(&files.plain("empty.csv", ""), &with(&schema(SCHEMA))).unwrap_err().to_string();
    assert!(empty.contains("`click`, which is not there"), "{empty}");
}

#[test]
fn what_cannot_be_read_says_what_to_do() {
    let (files, schema) = (Files::new(), schema(SCHEMA));
    let error = |path: &Path, options: &ReadOptions| read(path, options).unwrap_err().to_string();
    let none = ReadOptions::default();
    assert!(
        error(&files.plain("a.txt", ""), &none)
            .contains("--format with one of tsv, csv, parquet, libsvm, vw, ipinyou")
    );
    assert!(error(&files.plain("a.tsv", ""), &none).contains("name one with --schema"));
    assert!(error(&files.plain("a.vw", ""), &with(&schema)).contains("leave --schema out"));
    assert!(error(Path::new("/nowhere/a.tsv"), &with(&schema)).contains("/nowhere/a.tsv cannot be read"));
    let whole = files.packed("whole.tsv.gz", &tsv().repeat(1000));
    let bytes = fs::read(&whole).unwrap();
    let cut = files.0.path().join("cut.tsv.gz");
    fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    let patient = ReadOptions { bad_rows: u64::MAX, ..with(&schema) };
    assert!(error(&cut, &patient).contains("cut.tsv.gz cannot be read"), "{}", error(&cut, &patient));
}

#[test]
fn rows_that_repeat_a_key_are_left_out_but_not_after_a_bad_row() {
    let files = Files::new();
    let schema = schema("label = 'click'\nunique = 'id'\nfeature = [{name = 'n', kind = 'numeric'}]");
    let path =
        files.plain("rows.tsv", "id\tclick\tn\na\t1\tx\na\t0\t1\nb\t0\t2\na\t1\t3\nc\t0\t4\nb\t0\t5\n");
    let (rows, report) = read(&path, &with(&schema)).unwrap();
    let values: Vec<_> = rows.iter().map(|(_, slots)| slots[0].value).collect();
    assert_eq!((values, report.repeated, report.bad.count), (vec![1.0, 2.0, 4.0], 2, 1));
}

#[test]
fn labels_may_be_absent_where_nobody_needs_them() {
    let (files, schema) = (Files::new(), schema(SCHEMA));
    let unlabelled: String =
        tsv().lines().map(|line| line.split_once('\t').unwrap().1.to_owned() + "\n").collect();
    let path = files.plain("rows.tsv", &unlabelled);
    assert!(read(&path, &with(&schema)).unwrap_err().to_string().contains("`click`, which is not there"));
    let options = ReadOptions { labels: false, ..with(&schema) };
    let (rows, _) = read(&path, &options).unwrap();
    let (labelled, _) = read(&files.plain("all.tsv", &tsv()), &options).unwrap();
    assert!(rows.iter().zip(&labelled).all(|(one, other)| one.1 == other.1));
    assert!(labelled[0].0 > 0.5, "labels that are there are read");
}

#[test]
fn ipinyou_logs_get_their_clicks_from_either_log() {
    let files = Files::new();
    let row = |id: &str| {
        format!(
            "{id}\t20130606000104192\t1\tuser\tMozilla\t1.2.3.*\t106\t117\t1\tdomain\turl\tnull\tslot\t950\t90\t0\t1\t0\t\
             creative\t227\t207\tpage\t3427\t10063,10684\n"
        )
    };
    let log = files.plain("imp.txt", &(row("a") + &row("b") + &row("c")));
    let clicks = files.packed("clk.txt.gz", &row("b"));
    let options = ReadOptions { format: Some(Format::Ipinyou), ..ReadOptions::default() };
    let error = read(&log, &options).unwrap_err().to_string();
    assert!(error.contains("name the log of clicks"), "{error}");
    let (rows, report) = read(&log, &ReadOptions { clicks: Some(clicks), ..options.clone() }).unwrap();
    assert_eq!(rows.iter().map(|(label, _)| *label).collect::<Vec<_>>(), [0.0, 1.0, 0.0]);
    assert_eq!((report.rows, report.repeated), (3, 0));
    assert_eq!(rows[0].1, rows[1].1);
    // The same impressions with the click in front are the same rows.
    let joined = files.plain("joined.txt", &format!("0\t3\t00\t{}1\t3\t00\t{}", row("a"), row("b")));
    let (joined, _) = read(&joined, &options).unwrap();
    assert_eq!(joined, rows[..2]);
}

#[test]
fn values_share_indices_no_more_often_than_chance_has_it() {
    let files = Files::new();
    let schema = schema(
        "label = 'y'\nbits = 22\nfeature = [{name = 'a', kind = 'categorical'}, {name = 'b', kind = 'categorical'}, \
         {name = 'c', kind = 'numeric', bins = [100, 1000]}, {name = 'ab', cross = ['a', 'b']}]",
    );
    // Numbers, as ids often are, and long words; 100,000 of each, twice.
    let rows: String =
        (0..200_000).map(|n| n % 100_000).map(|n| format!("0\t{n}\tuser-{n:024}\t{n}\n")).collect();
    let path = files.plain("rows.tsv", &format!("y\ta\tb\tc\n{rows}"));
    let (_, report) = read(&path, &ReadOptions { collisions: true, ..with(&schema) }).unwrap();
    let found = report.collisions.unwrap();
    assert_eq!((found.values, found.exact), (300_003, true));
    let (values, places) = (300_003_f64, f64::from(1 << 22));
    let expected = values - places * (1.0 - (1.0 - 1.0 / places).powf(values));
    let lost = (found.values - found.indices) as f64;
    // Five standard deviations; the count is all but Poisson's.
    assert!((lost - expected).abs() < 5.0 * expected.sqrt(), "{lost} values lost, {expected:.0} expected");
    println!("{lost} values lost, {expected:.0} expected");
}

/// A file among the public data, if it is there.
fn public(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("HAGGLE_TEST_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from);
    let path = folder.join(name);
    if !path.exists() {
        println!("skipped: no {name} in {}; set HAGGLE_TEST_DATA", folder.display());
        return None;
    }
    Some(path)
}

#[test]
fn deep_ctrs_rows_have_sixteen_fields_each() {
    let Some(path) = public("ipinyou_features/deepctr_train.fm.txt.gz") else { return };
    let Some(index) = public("ipinyou_features/deepctr_featindex.fm.txt.gz") else { return };
    let index = FeatureIndex::read(&index).unwrap();
    assert_eq!(index.names().len(), 16);
    let (rows, report) = read(&path, &ReadOptions { index: Some(index), ..ReadOptions::default() }).unwrap();
    assert_eq!((report.rows, report.clicks, report.bad.count), (26_773, 255, 0));
    assert!(rows.iter().all(|(_, slots)| slots.len() == 16));
    let mut fields: Vec<u16> = rows[0].1.iter().map(|slot| slot.field).collect();
    fields.sort_unstable();
    assert_eq!(fields, (0..16).collect::<Vec<_>>());
}

#[test]
fn ipinyous_own_logs_are_read_without_a_bad_row() {
    let options = ReadOptions { format: Some(Format::Ipinyou), ..ReadOptions::default() };
    for (name, count) in [
        ("ipinyou_features/dlf2259_train.log.txt.gz", 8_355),
        ("ipinyou_features/dlf2259_test.log.txt.gz", 4_171),
    ] {
        let Some(path) = public(name) else { return };
        let (_, report) = read(&path, &options).unwrap();
        assert_eq!((report.rows + report.repeated, report.bad.count), (count, 0), "{name}: {report:?}");
    }
    let Some(path) = public("ipinyou_features/raw_imp.20130606.part.txt.gz") else { return };
    let (rows, report) = read(&path, &ReadOptions { labels: false, collisions: true, ..options }).unwrap();
    // Some bids were logged twice, with two times.
    assert_eq!((rows.len(), report.repeated, report.bad.count), (9_857, 143, 0));
    let collisions = report.collisions.unwrap();
    assert!(collisions.exact, "{collisions:?}");
    println!("{collisions:?}");
}

#[test]
fn public_tables_are_read_by_a_schema() {
    for (name, text, rows, clicks) in [
        (
            "movielens_100k/ml-100k.inter.tsv.gz",
            "label = 'rating:float'\nat_least = 4\nfeature = [{name = 'user_id:token', kind = 'categorical'}, \
             {name = 'item_id:token', kind = 'categorical'}, {name = 'timestamp:float', kind = 'time'}]",
            100_000,
            55_375,
        ),
        (
            "jd_actions/bo_action.csv.gz",
            "label = 'type'\npositive = ['4']\nfeature = [{name = 'cate', kind = 'categorical'}, \
             {name = 'br', kind = 'categorical'}, {name = 'model_id', kind = 'categorical'}, \
             {name = 'hour', column = 'ingestionTime', kind = 'time', transform = 'hour'}]",
            89_187,
            0,
        ),
        (
            "online_shoppers/online_shoppers_intention.csv.gz",
            "label = 'Revenue'\nfeature = [{name = 'Month', kind = 'categorical'}, \
             {name = 'ProductRelated_Duration', kind = 'numeric', transform = 'log'}, \
             {name = 'BounceRates', kind = 'numeric'}, {name = 'VisitorType', kind = 'categorical'}]",
            12_330,
            1_908,
        ),
        (
            "open_bandit/bts_men.csv.gz",
            "label = 'click'\nfeature = [{name = 'item_id', kind = 'categorical'}, {name = 'position', kind = \
             'categorical'}, {name = 'user_feature_0', kind = 'categorical'}, {name = 'timestamp', kind = 'time'}]",
            10_000,
            0,
        ),
    ] {
        let Some(path) = public(name) else { continue };
        let (_, report) = read(&path, &with(&schema(text))).unwrap();
        assert_eq!((report.rows, report.bad.count), (rows, 0), "{name}: {}", report.bad);
        assert!(
            report.clicks > 0 && (clicks == 0 || report.clicks == clicks),
            "{name}: {} clicks",
            report.clicks
        );
    }
}
