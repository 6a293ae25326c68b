//! Training, judging and asking models from the command line, on logs whose truth is known.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "helpers of tests")]

#[path = "model/training.rs"]
mod training;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use haggle::exit::Exit;
use serde_json::Value;

fn haggle(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_haggle")).args(args).output().unwrap()
}

fn failed(args: &[&str]) -> (i32, String) {
    let output = haggle(args);
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

fn succeed(args: &[&str]) -> String {
    let output = haggle(args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&succeed(&[args, &["--json"]].concat())).unwrap()
}

/// Two logs of one world, with their schema, in a folder that goes when the test ends.
struct Logs {
    folder: tempfile::TempDir,
    /// The log loss of the truth on the second, and of the rate alone.
    truth: (f64, f64),
}

impl Logs {
    fn new(rows: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut said = String::new();
        for (seed, name) in [("1", "train.tsv"), ("2", "test.tsv")] {
            let path = folder.path().join(name);
            said = succeed(&[
                "generate",
                "clicks",
                "--rows",
                &rows.to_string(),
                "--seed",
                seed,
                "--out",
                path.to_str().unwrap(),
            ]);
        }
        let after = |words: &str| -> f64 {
            let rest = said.split_once(words).unwrap().1;
            rest.split([',', '\n']).next().unwrap().trim().parse().unwrap()
        };
        Self { truth: (after("loss of the truth"), after("of the rate alone")), folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn train(&self, model: &str, out: &str, more: &[&str]) -> Value {
        let (data, test) = (self.path("train.tsv"), self.path("test.tsv"));
        let (schema, out) = (self.path("train.schema.toml"), self.path(out));
        let args = [
            "model", "train", "--data", &data, "--test", &test, "--schema", &schema, "--out", &out,
            "--model", model,
        ];
        json(&[&args[..], more].concat())
    }
}

fn number(report: &Value, key: &str) -> f64 {
    report[key].as_f64().unwrap_or_else(|| panic!("{key} in {report}"))
}

/// A folder's only file whose name ends so.
fn file_in(folder: &Path, end: &str) -> PathBuf {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let found: Vec<_> = names.filter(|path| path.to_str().unwrap().ends_with(end)).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].clone()
}

#[test]
fn every_model_beats_the_rate_and_none_beats_the_truth() {
    let logs = Logs::new(200_000);
    let (truth, rate) = logs.truth;
    for model in ["logistic", "ffm", "deep"] {
        let report = logs.train(model, model, &[]);
        let loss = number(&report, "test_log_loss");
        println!("{model}: {loss:.5}, truth {truth:.5}, rate {rate:.5}, {report}");
        assert!(loss < 0.97 * number(&report, "baseline_log_loss"), "{model}: {loss}, rate alone {rate}");
        assert!(loss > truth, "{model}: {loss} is below the truth's {truth}");
        assert!((0.6..0.9).contains(&number(&report, "test_auc")), "{model}");
        assert!((0.9..1.1).contains(&number(&report, "test_calibration")), "{model}");
        assert_eq!((number(&report, "rows"), number(&report, "test_rows")), (200_000.0, 200_000.0));
        for key in ["rows_per_second", "seconds", "train_log_loss", "parameters", "bytes"] {
            assert!(number(&report, key) > 0.0, "{model}: {key}");
        }
        let page = fs::read_to_string(logs.folder.path().join(model).join("report.html")).unwrap();
        assert!(page.contains("<path class=\"a\" d=\"M") && !page.contains("http"), "{model}");
    }
}

impl Logs {
    /// Adds a column that says which clicks led to an order: every other one of some devices, hardly one of others, and of each
    /// tenth it is not known.
    fn with_orders(&self) {
        for name in ["train.tsv", "test.tsv"] {
            let path = self.path(name);
            let text = fs::read_to_string(&path).unwrap();
            let mut rows = text.lines();
            let header: Vec<&str> = rows.next().unwrap().split('\t').collect();
            let device = header.iter().position(|column| *column == "device").unwrap();
            let mut clicks = 0;
            let order = |row: &str| {
                if row.starts_with('0') {
                    return "";
                }
                clicks += 1;
                let even = row.split('\t').nth(device).unwrap().ends_with(['0', '2', '4']);
                match clicks % 10 {
                    0 => "",
                    of if even => ["0", "1"][of % 2],
                    of => ["0", "1"][usize::from(of == 5)],
                }
            };
            let orders: Vec<&str> = rows.clone().map(order).collect();
            let rows: Vec<String> =
                rows.zip(orders).map(|(row, order)| format!("{row}\t{order}\n")).collect();
            fs::write(&path, format!("{}\torder\n{}", header.join("\t"), rows.concat())).unwrap();
        }
        let schema = self.path("train.schema.toml");
        fs::write(&schema, format!("conversion = \"order\"\n{}", fs::read_to_string(&schema).unwrap()))
            .unwrap();
    }
}

#[test]
fn orders_are_learned_beside_clicks_judged_apart_and_kept_by_smaller_models() {
    let logs = Logs::new(60_000);
    let plain = logs.train("deep", "plain", &["--bits", "16", "--vector-bits", "14"]);
    assert_eq!((number(&plain, "conversion_rows"), &plain["test_conversion_auc"]), (0.0, &Value::Null));
    logs.with_orders();
    let report = logs.train("deep", "deep", &["--bits", "16", "--vector-bits", "14"]);
    let (clicks, settled) = (number(&report, "clicks"), number(&report, "conversion_rows"));
    let known = |clicks: f64| clicks as u64 - clicks as u64 / 10;
    assert_eq!(settled as u64, known(clicks), "{report}");
    assert!((0.2..0.5).contains(&(number(&report, "conversions") / settled)), "{report}");
    let (loss, rate) =
        (number(&report, "test_conversion_log_loss"), number(&report, "baseline_conversion_log_loss"));
    println!("orders: {loss:.4}, their rate alone {rate:.4}, AUC {}", report["test_conversion_auc"]);
    assert!(loss < rate - 0.01 && number(&report, "test_conversion_auc") > 0.65, "{report}");
    let page = fs::read_to_string(logs.folder.path().join("deep/report.html")).unwrap();
    assert!(page.contains("test AUC of orders"));
    // Impressions are the same as without orders, and are judged as ever.
    for key in ["rows", "clicks", "test_rows", "test_clicks", "baseline_log_loss"] {
        assert_eq!(report[key], plain[key], "{key}");
    }
    assert!(number(&report, "test_log_loss") < number(&plain, "test_log_loss") + 0.001, "{report}");

    let test = logs.path("test.tsv");
    let judged = json(&["model", "evaluate", "--model", &logs.path("deep"), "--data", &test]);
    assert_eq!(judged["conversion_log_loss"], report["test_conversion_log_loss"]);
    assert_eq!(judged["conversion_auc"], report["test_conversion_auc"]);
    assert_eq!(judged["baseline_conversion_log_loss"], report["baseline_conversion_log_loss"]);
    let answers = succeed(&["model", "predict", "--model", &logs.path("deep"), "--data", &test]);
    assert_eq!(answers.lines().count(), 60_000, "a line for each impression");
    let said = json(&["model", "compare", &logs.path("deep"), &logs.path("deep"), "--data", &test]);
    assert_eq!(said["rows"], report["test_rows"]);

    let (small, train) = (logs.path("small"), logs.path("train.tsv"));
    for methods in ["prune,i8", "distil"] {
        let deep = logs.path("deep");
        let compress = ["model", "compress", "--model", &deep, "--data", &test, "--train", &train];
        let said =
            json(&[&compress[..], &["--ad-fields", "ad", "--method", methods, "--out", &small]].concat());
        let last = said["forms"].as_array().unwrap().last().unwrap().clone();
        let judged = json(&["model", "evaluate", "--model", &small, "--data", &test]);
        assert_eq!(judged["conversion_rows"].as_u64(), judged["clicks"].as_f64().map(known));
        assert!(number(&judged, "conversion_log_loss") < rate - 0.01, "{methods}: {judged}");
        for key in ["conversion_log_loss", "conversion_auc"] {
            assert_eq!(judged[key], last[key], "{methods}");
        }
    }

    // A model that cannot learn orders says that it passes them over, and counts none.
    let schema = logs.path("train.schema.toml");
    let logistic = logs.path("logistic");
    let args =
        ["model", "train", "--data", &train, "--schema", &schema, "--model", "logistic", "--out", &logistic];
    let output = haggle(&[&args[..], &["--json"]].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(&format!("passed {settled} clicks' orders over")), "{said}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (number(&report, "conversion_rows"), &report["baseline_conversion_log_loss"]),
        (0.0, &Value::Null)
    );

    // A manifest of before says nothing of orders.
    let manifest = logs.folder.path().join("plain/manifest.json");
    let mut old: Value = serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
    let metrics = old["metrics"].as_object_mut().unwrap();
    let before = metrics.len();
    metrics.retain(|key, _| !key.contains("conversion"));
    assert_eq!(metrics.len(), before - 5);
    fs::write(&manifest, old.to_string()).unwrap();
    let judged = json(&["model", "evaluate", "--model", &logs.path("plain"), "--data", &test]);
    assert_eq!((number(&judged, "conversion_rows"), &judged["conversion_auc"]), (0.0, &Value::Null));
}

#[test]
fn a_saved_model_is_judged_as_it_was_and_answers_each_row() {
    let logs = Logs::new(30_000);
    let trained = logs.train("logistic", "model", &["--passes", "2", "--threads", "1", "--collisions"]);
    let again = logs.train("logistic", "again", &["--passes", "2", "--threads", "2"]);
    assert_eq!(trained["test_log_loss"], again["test_log_loss"], "threads change nothing");
    assert!(trained["collisions"]["values"].as_u64().unwrap() > 10_000, "{trained}");
    let (folder, test) = (logs.path("model"), logs.path("test.tsv"));
    let judged = json(&["model", "evaluate", "--model", &folder, "--data", &test]);
    assert_eq!(judged["log_loss"], trained["test_log_loss"]);
    assert_eq!(judged["auc"], trained["test_auc"]);
    assert_eq!(judged["baseline_log_loss"], trained["baseline_log_loss"]);
    // Without the label and the truth, and with some rows twice.
    let unlabelled: String = fs::read_to_string(&test)
        .unwrap()
        .lines()
        .map(|line| line.split_once('\t').unwrap().1.rsplit_once('\t').unwrap().0.to_owned() + "\n")
        .collect();
    fs::write(logs.path("ask.tsv"), &unlabelled).unwrap();
    let answers = succeed(&["model", "predict", "--model", &folder, "--data", &logs.path("ask.tsv")]);
    let answers: Vec<f64> = answers.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(answers.len(), 30_000);
    assert!(answers.iter().all(|it| *it > 0.0 && *it < 1.0));
    let clicks = fs::read_to_string(&test).unwrap();
    let clicks = clicks.lines().skip(1).map(|line| line.starts_with('1'));
    let loss: f64 = clicks.zip(&answers).map(|(click, p)| -if click { p.ln() } else { (1.0 - p).ln() }).sum();
    assert!((loss / 30_000.0 - number(&judged, "log_loss")).abs() < 1e-6);
}

#[test]
fn a_model_that_was_altered_or_does_not_fit_is_refused_with_the_reason() {
    let logs = Logs::new(5_000);
    logs.train("logistic", "model", &["--bits", "12"]);
    let (folder, test) = (PathBuf::from(logs.path("model")), logs.path("test.tsv"));
    let evaluate = || failed(&["model", "evaluate", "--model", folder.to_str().unwrap(), "--data", &test]);
    let unusable = i32::from(Exit::InputUnusable.code());
    let spoil = |path: &Path, spoiled: &[u8], expected: &str| {
        let whole = fs::read(path).unwrap();
        fs::write(path, spoiled).unwrap();
        let (code, message) = evaluate();
        assert!(code == unusable && message.contains(expected), "{code} {message}");
        fs::write(path, whole).unwrap();
    };
    let (model, schema) = (file_in(&folder, ".bin"), file_in(&folder, ".schema.toml"));
    let mut altered = fs::read(&model).unwrap();
    let middle = altered.len() / 2;
    altered[middle] ^= 1;
    spoil(&model, &altered, "its checksum is");
    spoil(&model, &altered[..middle], "its checksum is");
    let text = fs::read_to_string(&schema).unwrap();
    spoil(&schema, text.replace("bits = 22", "bits = 21").as_bytes(), "its schema was changed");
    let manifest = folder.join("manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    spoil(&manifest, text.replace("\"format\": 1", "\"format\": 9").as_bytes(), "is of format 9");
    spoil(
        &manifest,
        text.replace("\"file\": \"model", "\"file\": \"../model").as_bytes(),
        "outside its folder",
    );
    spoil(&manifest, b"{", "is no manifest");
    // Another model's file, of which the manifest gives the right checksum, still knows its own schema.
    let own = fs::read_to_string(logs.path("train.schema.toml")).unwrap();
    fs::write(logs.path("train.schema.toml"), own.replace("bits = 22", "bits = 20")).unwrap();
    logs.train("logistic", "other", &["--bits", "12"]);
    let other = PathBuf::from(logs.path("other"));
    let sum = |folder: &Path| -> String {
        let manifest: Value =
            serde_json::from_slice(&fs::read(folder.join("manifest.json")).unwrap()).unwrap();
        manifest["checksum"].as_str().unwrap().to_owned()
    };
    let whole = fs::read(&model).unwrap();
    fs::copy(file_in(&other, ".bin"), &model).unwrap();
    // The file's name holds the checksum too, and stays.
    let fields =
        [format!("\"checksum\": \"{}\"", sum(&folder)), format!("\"checksum\": \"{}\"", sum(&other))];
    spoil(&manifest, text.replace(&fields[0], &fields[1]).as_bytes(), "was trained on schema");
    fs::write(&model, whole).unwrap();
    let (code, _) = evaluate();
    assert_eq!(code, 0, "what was restored is taken again");
}

#[test]
fn a_new_model_replaces_the_old_one_and_leaves_nothing_behind() {
    let logs = Logs::new(5_000);
    let folder = PathBuf::from(logs.path("model"));
    logs.train("logistic", "model", &["--bits", "12"]);
    let old = file_in(&folder, ".bin");
    logs.train("ffm", "model", &["--bits", "12", "--vector-bits", "10"]);
    assert_ne!(file_in(&folder, ".bin"), old);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 4, "model, manifest, schema and report");
}

#[test]
fn what_cannot_be_trained_says_why_before_it_begins() {
    let logs = Logs::new(1_000);
    let (data, out) = (logs.path("train.tsv"), logs.path("model"));
    let train =
        |more: &[&str]| failed(&[&["model", "train", "--data", &data, "--out", &out][..], more].concat());
    let bad = logs.path("bad.toml");
    fs::write(&bad, "label = \"clicked\"\nbit = 3\n[[feature]]\nname = \"colour\"\nkind = \"categorical\"\n")
        .unwrap();
    let (code, message) = train(&["--model", "logistic", "--schema", &bad]);
    assert!(
        code == i32::from(Exit::Configuration.code()) && message.contains("bad.toml:2: unknown key `bit`"),
        "{message}"
    );
    fs::write(&bad, "label = \"clicked\"\n[[feature]]\nname = \"colour\"\nkind = \"categorical\"\n").unwrap();
    let (code, message) = train(&["--model", "logistic", "--schema", &bad]);
    assert_eq!(code, i32::from(Exit::InputUnusable.code()), "{message}");
    assert!(
        message.contains("`clicked`, which is not there") && message.contains("`colour`, which is not there"),
        "{message}"
    );
    let (code, message) = train(&["--model", "logistic"]);
    assert!(code == i32::from(Exit::InputUnusable.code()) && message.contains("--schema"), "{message}");
    let schema = logs.path("train.schema.toml");
    for (more, problem) in [
        (&["--model", "ffm", "--vector-size", "3"][..], "size of the vectors is 3; it must be"),
        (&["--model", "logistic", "--vector-size", "4"], "leave --vector-size out"),
        (&["--model", "ffm", "--hidden", "32"], "only deep models have a network; leave --hidden out"),
        (&["--model", "deep", "--hidden", "32,30"], "a multiple of 16 from 16 to 512"),
        (&["--model", "deep", "--hidden", "many"], "write it like 64,32, or none"),
        (&["--model", "deep", "--dropout", "0.95"], "from 0 to 0.9"),
        (&["--model", "logistic", "--rate", "nan"], "rate is NaN"),
    ] {
        let (code, message) = train(&[more, &["--schema", &schema]].concat());
        assert!(code == i32::from(Exit::Usage.code()) && message.contains(problem), "{code} {message}");
    }
    assert!(!Path::new(&out).exists(), "nothing was written");
}

#[test]
fn libsvm_and_vowpal_wabbits_text_need_no_schema() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (mut libsvm, mut vw) = (String::new(), String::new());
    for row in 0..4_000_u32 {
        let (user, ad) = (row * 7 % 13, row * 5 % 11);
        let click = u32::from((user + ad) % 4 == 0);
        libsvm += &format!("{click} 0:{user}:1 1:{}:1\n", 100 + ad);
        vw += &format!("{} |user u{user} |ad a{ad}\n", if click == 1 { "1" } else { "-1" });
    }
    fs::write(path("rows.ffm"), libsvm).unwrap();
    fs::write(path("rows.vw"), vw).unwrap();
    for name in ["rows.ffm", "rows.vw"] {
        let (data, out) = (path(name), path(&format!("{name}.model")));
        let report = json(&[
            "model", "train", "--data", &data, "--out", &out, "--model", "ffm", "--passes", "5", "--test",
            &data,
        ]);
        assert!(
            number(&report, "test_log_loss") < 0.6 * number(&report, "baseline_log_loss"),
            "{name}: {report}"
        );
        let judged = json(&["model", "evaluate", "--model", &out, "--data", &data]);
        assert_eq!(judged["log_loss"], report["test_log_loss"], "{name}");
        let shown =
            json(&["model", "ablate", "--data", &data, "--test", &data, "--model", "ffm", "--passes", "5"]);
        assert_eq!(shown["log_loss"], report["test_log_loss"], "{name}");
        let features = shown["features"].as_array().unwrap();
        let mut fields: Vec<&str> = features.iter().map(|it| it["feature"].as_str().unwrap()).collect();
        fields.sort_unstable();
        assert_eq!(fields, if name == "rows.vw" { ["ad", "user"] } else { ["0", "1"] });
        assert!(features.iter().all(|it| it["verdict"] == "helps"), "clicks are by both together: {shown}");
    }
}

#[test]
fn a_deep_model_becomes_smaller_and_answers_nearly_the_same() {
    let logs = Logs::new(20_000);
    // Few enough bits that what is said of rows that hold nothing weighs little.
    logs.train("deep", "deep", &["--vector-bits", "14", "--bits", "16"]);
    let (deep, test) = (logs.path("deep"), logs.path("test.tsv"));
    let compress = ["model", "compress", "--model", &deep, "--data", &test, "--ad-fields", "ad,advertiser"];
    let report = json(&[&compress[..], &["--train", &logs.path("train.tsv")]].concat());
    let forms = report["forms"].as_array().unwrap();
    let form = |name: &str| forms.iter().find(|form| form["method"] == name).unwrap();
    assert_eq!(forms.len(), 13, "{report}");
    let full = form("full");
    assert!(number(full, "log_loss_change").abs() < 1e-6 && number(full, "auc_change").abs() < 1e-5);
    for (name, size) in [("f16", 0.51), ("i8", 0.3), ("prune,i8", 0.25)] {
        assert!(number(form(name), "file_bytes") < size * number(full, "file_bytes"), "{name}: {report}");
        assert!(number(form(name), "candidate_ns") > 0.0);
    }
    assert!(number(form("f16"), "auc_change").abs() < 2e-4, "{report}");
    assert!(number(form("distil"), "parameters") < number(full, "parameters"));

    let small = logs.path("small");
    let said = json(&[&compress[..], &["--method", "prune,i8", "--out", &small]].concat());
    let last = said["forms"].as_array().unwrap().last().unwrap().clone();
    let judged = json(&["model", "evaluate", "--model", &small, "--data", &test]);
    assert_eq!((&judged["auc"], &judged["log_loss"]), (&last["auc"], &last["log_loss"]));
    assert_eq!(judged["model"], "deep-prune-i8");
    let answers = succeed(&["model", "predict", "--model", &small, "--data", &test]);
    assert_eq!(answers.lines().count(), 20_000);

    let (code, said) = failed(&[&compress[..], &["--method", "distil"]].concat());
    assert!(code == i32::from(Exit::Usage.code()) && said.contains("--train"), "{said}");
    let unknown = ["model", "compress", "--model", &deep, "--data", &test, "--ad-fields", "adv"];
    let (_, said) = failed(&unknown);
    assert!(said.contains("the model has no field adv; its fields are user, region"), "{said}");
    let (_, said) = failed(&["model", "evaluate", "--model", &deep, "--data", &test, "--format", "haggle"]);
    assert!(said.contains("was not trained on a node's journal"), "{said}");
    let (_, said) = failed(&["model", "compress", "--model", &small, "--data", &test]);
    assert!(said.contains("it is no deep model"), "{said}");
}

#[test]
fn a_column_of_dice_is_not_shown_to_help_and_what_the_truth_rests_on_is() {
    let logs = Logs::new(60_000);
    // A column whose values have nothing to do with clicks.
    for name in ["train.tsv", "test.tsv"] {
        let (path, mut state) = (logs.path(name), 7_u32);
        let mut thrown = String::new();
        for (row, line) in fs::read_to_string(&path).unwrap().lines().enumerate() {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let dice = if row == 0 { "dice".to_owned() } else { (state >> 29).to_string() };
            thrown += &format!("{line}\t{dice}\n");
        }
        fs::write(path, thrown).unwrap();
    }
    let (data, test, schema) =
        (logs.path("train.tsv"), logs.path("test.tsv"), logs.path("train.schema.toml"));
    let features = "\n[[feature]]\nname = \"dice\"\nkind = \"categorical\"\n\
                    [[feature]]\nname = \"dice_x_weekday\"\ncross = [\"dice\", \"weekday\"]\n";
    fs::write(&schema, fs::read_to_string(&schema).unwrap() + features).unwrap();
    let ablate = ["model", "ablate", "--data", &data, "--test", &test, "--schema", &schema, "--bits", "18"];
    let report = json(&ablate);
    let features = report["features"].as_array().unwrap();
    let of = |name: &str| features.iter().find(|it| it["feature"] == name).unwrap();
    assert_eq!(features.len(), 15, "{report}");
    for name in ["ad", "site"] {
        assert_eq!(of(name)["verdict"], "helps", "{name}: {report}");
        assert!(
            number(of(name), "low") > 0.0 && number(of(name), "auc_difference") < 0.0,
            "{name}: {report}"
        );
    }
    assert_ne!(of("dice")["verdict"], "helps", "{report}");
    assert_eq!(of("dice")["with"], serde_json::json!(["dice_x_weekday"]));
    assert_eq!(of("dice_x_weekday")["with"], serde_json::json!([]));
    let differences: Vec<f64> = features.iter().map(|it| number(it, "difference")).collect();
    assert!(differences.is_sorted_by(|one, other| one >= other), "{differences:?}");
    assert_eq!(report["rate_alone"]["verdict"], "helps", "all features together: {report}");
    for feature in features {
        let (all, without) = (number(&report, "log_loss"), number(feature, "log_loss"));
        assert!((number(feature, "difference") - (without - all)).abs() < 1e-12);
    }

    // The model that has all is the one that training makes, and the one without a feature that of a schema without it.
    let trained = logs.train("logistic", "all", &["--bits", "18"]);
    let same = |one: f64, other: f64| (one - other).abs() < 1e-9;
    assert!(same(number(&trained, "test_log_loss"), number(&report, "log_loss")), "{trained}");
    let whole = fs::read_to_string(&schema).unwrap();
    let hour = "[[feature]]\nname = \"hour\"\nkind = \"categorical\"\n";
    assert!(whole.contains(hour));
    fs::write(&schema, whole.replace(hour, "")).unwrap();
    let trained = logs.train("logistic", "some", &["--bits", "18"]);
    assert!(same(number(&trained, "test_log_loss"), number(of("hour"), "log_loss")), "{trained}");
    fs::write(&schema, whole).unwrap();

    // A few features by name, of a model that learns pairs; and for a person.
    let some = ["--features", "ad,dice", "--model", "ffm", "--vector-bits", "12"];
    let said = succeed(&[&ablate[..], &some].concat());
    let rows: Vec<&str> = said.lines().skip(4).collect();
    assert!(
        rows[0].starts_with("without") && rows[1].starts_with("ad ") && rows[1].ends_with("helps"),
        "{said}"
    );
    assert!(
        rows[2].ends_with("with dice_x_weekday") && rows[3].starts_with("all (click rate alone)"),
        "{said}"
    );
    let (code, said) = failed(&[&ablate[..], &["--features", "adv"]].concat());
    assert!(
        code == i32::from(Exit::Usage.code()) && said.contains("there is no feature adv; there are user"),
        "{said}"
    );
}
