//! How much is learned: passes until the rows held out say enough, a share of the rows without a click, and going on from a
//! trained model.

use super::*;

fn count(report: &Value, key: &str) -> u64 {
    report[key].as_u64().unwrap_or_else(|| panic!("{key} in {report}"))
}

fn losses(report: &Value, curve: &str) -> Vec<f64> {
    report[curve].as_array().unwrap().iter().map(|point| number(point, "log_loss")).collect()
}

#[test]
fn rows_held_out_say_when_to_stop_and_the_best_pass_is_kept() {
    let logs = Logs::new(20_000);
    let held = ["--passes", "30", "--hold-out", "20%", "--rate", "0.04", "--vector-rate", "0.04"];
    let report = logs.train("ffm", "model", &[&held[..], &["--patience", "2"]].concat());
    let curve = losses(&report, "held_out_curve");
    println!("{report}");
    let best = (0..curve.len()).min_by(|a, b| curve[*a].total_cmp(&curve[*b])).unwrap();
    assert_eq!(count(&report, "kept_pass"), best as u64 + 1);
    assert_eq!(curve.len(), best + 3, "two passes without gain were the last");
    assert_eq!(
        (count(&report, "passes"), &report["stopped_early"]),
        (curve.len() as u64, &Value::Bool(true))
    );
    assert_eq!(number(&report, "held_out_log_loss").to_bits(), curve[best].to_bits());
    let held_out = count(&report, "held_out_rows");
    assert!((3_600..4_400).contains(&held_out), "{held_out}");
    assert!(best > 0, "the steps are small enough that one pass is not the best: {curve:?}");
    assert_eq!(held_out + count(&report, "learned_rows"), 20_000);
    // What was written is the model of that pass, and what is said of the test is said of it.
    let tests = losses(&report, "test_curve");
    assert_eq!(number(&report, "test_log_loss").to_bits(), tests[best].to_bits());
    let (folder, test) = (logs.path("model"), logs.path("test.tsv"));
    let judged = json(&["model", "evaluate", "--model", &folder, "--data", &test]);
    assert_eq!(judged["log_loss"], report["test_log_loss"]);
    assert_ne!(tests[best].to_bits(), tests.last().unwrap().to_bits());
    let page = fs::read_to_string(logs.folder.path().join("model/report.html")).unwrap();
    assert!(page.contains("<path class=\"d\" d=\"M") && page.contains("<td>stopped early<td>yes"));
    // Patience is one pass if nothing else is said, and it changes nothing but when it is over.
    let short = logs.train("ffm", "short", &held);
    assert_eq!(losses(&short, "held_out_curve"), curve[..count(&short, "passes") as usize]);
    // The same rows, whatever their order.
    let rows = fs::read_to_string(logs.path("train.tsv")).unwrap();
    let (header, rows) = rows.split_once('\n').unwrap();
    let turned: Vec<&str> = rows.lines().rev().collect();
    fs::write(logs.path("turned.tsv"), format!("{header}\n{}\n", turned.join("\n"))).unwrap();
    let (data, schema, out) = (logs.path("turned.tsv"), logs.path("train.schema.toml"), logs.path("turned"));
    let train = ["model", "train", "--data", &data, "--schema", &schema, "--out", &out];
    let args = [&train[..], &["--model", "logistic", "--hold-out", "20%"]].concat();
    let turned = json(&args);
    for key in ["held_out_rows", "held_out_clicks"] {
        assert_eq!(turned[key], report[key]);
    }
    let said = succeed(&args);
    assert!(said.contains(&format!("pass 1 was kept: log loss of the {held_out} rows held out")), "{said}");
    let (code, said) = failed(&[&train[..], &["--model", "logistic", "--patience", "2"]].concat());
    assert!(code == i32::from(Exit::Usage.code()) && said.contains("--hold-out"), "{code} {said}");
}

#[test]
fn a_model_of_a_tenth_of_the_negatives_predicts_for_all() {
    let logs = Logs::new(100_000);
    let all = logs.train("logistic", "all", &[]);
    let part = logs.train("logistic", "part", &["--negatives", "10%", "--hold-out", "10%", "--passes", "2"]);
    println!("{all}\n{part}");
    let clicks = count(&all, "clicks") - count(&part, "held_out_clicks");
    let negatives = count(&part, "rows") - count(&part, "held_out_rows") - clicks;
    let drawn = count(&part, "learned_rows") - clicks;
    assert!((negatives * 9 / 100..negatives * 11 / 100).contains(&drawn), "{drawn} of {negatives}");
    // What is held out is all that came, with and without a click.
    let rate = |clicks: &str, rows: &str| number(&part, clicks) / number(&part, rows);
    let apart = rate("held_out_clicks", "held_out_rows") / rate("clicks", "rows");
    assert!((0.9..1.1).contains(&apart), "{apart}");
    assert_eq!(part["baseline_log_loss"], all["baseline_log_loss"]);
    let calibration = number(&part, "test_calibration");
    assert!((0.9..1.1).contains(&calibration), "{calibration}");
    assert!(number(&part, "test_auc") > number(&all, "test_auc") - 0.02);
    assert!(number(&part, "test_log_loss") < 1.02 * number(&all, "test_log_loss"));
    // The curve is of all rows too, as far as can be told from those that were learned.
    let first = number(&all, "train_log_loss");
    let estimated = losses(&part, "curve");
    let mean = estimated[..estimated.len() / 2].iter().sum::<f64>() / (estimated.len() / 2) as f64;
    assert!((0.95..1.05).contains(&(mean / first)), "{mean} {first}");
    // And the file says so too.
    let (folder, test) = (logs.path("part"), logs.path("test.tsv"));
    let judged = json(&["model", "evaluate", "--model", &folder, "--data", &test]);
    assert_eq!(judged["calibration"], part["test_calibration"]);
}

/// Models that were trained before there was any of this are read as they were.
#[test]
fn an_older_manifest_is_read() {
    let logs = Logs::new(2_000);
    let trained = logs.train("logistic", "model", &["--bits", "12"]);
    let manifest = logs.folder.path().join("model/manifest.json");
    let mut older: Value = serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
    older.as_object_mut().unwrap().remove("parent").unwrap();
    let metrics = older["metrics"].as_object_mut().unwrap();
    for key in [
        "learned_rows",
        "negatives",
        "held_out",
        "held_out_rows",
        "held_out_clicks",
        "held_out_log_loss",
        "held_out_curve",
        "kept_pass",
        "stopped_early",
        "from",
        "frozen_vectors",
    ] {
        assert!(metrics.remove(key).is_some(), "{key}");
    }
    fs::write(&manifest, older.to_string()).unwrap();
    let (folder, test) = (logs.path("model"), logs.path("test.tsv"));
    let judged = json(&["model", "evaluate", "--model", &folder, "--data", &test]);
    assert_eq!(judged["log_loss"], trained["test_log_loss"]);
    assert_eq!(judged["baseline_log_loss"], trained["baseline_log_loss"]);
}

#[test]
fn training_goes_on_from_a_trained_model_as_if_it_had_not_ended() {
    let logs = Logs::new(20_000);
    let rows = fs::read_to_string(logs.path("train.tsv")).unwrap();
    let lines: Vec<&str> = rows.lines().collect();
    for (name, part) in [("first.tsv", &lines[1..=12_000]), ("second.tsv", &lines[12_001..])] {
        fs::write(logs.path(name), format!("{}\n{}\n", lines[0], part.join("\n"))).unwrap();
    }
    let (test, schema) = (logs.path("test.tsv"), logs.path("train.schema.toml"));
    let train = |data: &str, out: &str, more: &[&str]| -> Value {
        let (data, out) = (logs.path(data), logs.path(out));
        let args = ["model", "train", "--data", &data, "--out", &out, "--test", &test];
        json(&[&args[..], more].concat())
    };
    let manifest = |folder: &str| -> Value {
        let path = logs.folder.path().join(folder).join("manifest.json");
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    };
    let (registry, from) = (logs.path("registry"), logs.path("first"));
    for model in ["logistic", "ffm"] {
        let begin = ["--model", model, "--schema", &schema, "--bits", "16"];
        let whole = train("train.tsv", "whole", &begin);
        train("first.tsv", "first", &begin);
        // Neither model nor schema need be said again.
        let further = train("second.tsv", "further", &["--from", &from]);
        assert_eq!((&further["model"], &further["from"]), (&Value::from(model), &Value::from(from.clone())));
        assert_eq!(further["test_log_loss"], whole["test_log_loss"], "{model}");
        assert_eq!(manifest("further")["parent"], manifest("first")["checksum"], "{model}");
        assert_eq!(manifest("further")["schema_hash"], manifest("first")["schema_hash"], "{model}");
        assert_eq!(manifest("whole")["parent"], Value::Null);
        let slow = train("second.tsv", "slow", &["--from", &from, "--rate", "0.001", "--schema", &schema]);
        assert_ne!(slow["test_log_loss"], whole["test_log_loss"], "{model}");
    }
    // In the registry it comes after what it went on from, if that is there.
    let register = |folder: &str| {
        let id = succeed(&["model", "register", &logs.path(folder), "--registry", &registry]);
        id.trim().to_owned()
    };
    let orphan = register("slow");
    let first = register("first");
    let child = register("further");
    let list = json(&["model", "list", "--registry", &registry]);
    let parent = |id: &str| {
        let models = list["models"].as_array().unwrap();
        models.iter().find(|model| model["id"] == id).unwrap()["parent"].clone()
    };
    assert_eq!((parent(&child), parent(&orphan)), (Value::from(first.clone()), Value::Null));

    let contradictions = [
        ("--model=deep", "--model says deep, the model is ffm"),
        ("--bits=18", "--bits says 18, the model has 16"),
        ("--vector-size=8", "--vector-size says 8, the model has 4"),
        ("--l2=0.5", "--l2 says 0.5, the model has 0"),
        ("--rate=-1", "rate is -1"),
    ];
    let (data, out) = (logs.path("second.tsv"), logs.path("refused"));
    let refused = |from: &str, more: &[&str]| {
        let args = ["model", "train", "--data", &data, "--out", &out, "--from", from];
        failed(&[&args[..], more].concat())
    };
    let usage = i32::from(Exit::Usage.code());
    for (flag, problem) in contradictions {
        let (code, said) = refused(&from, &[flag]);
        assert!(code == usage && said.contains(problem), "{code} {said}");
    }
    let other = logs.path("other.toml");
    fs::write(&other, fs::read_to_string(&schema).unwrap().replace("bits = 22", "bits = 21")).unwrap();
    let (code, said) = refused(&from, &["--schema", &other]);
    assert!(code == usage && said.contains("is another schema than the model's"), "{code} {said}");
    fs::write(logs.path("rows.vw"), "1 |a b |c d\n").unwrap();
    let vw = logs.path("rows.vw");
    let (code, said) = failed(&["model", "train", "--data", &vw, "--out", &out, "--from", &from]);
    let problem = "trained on a table, the data is Vowpal Wabbit's text";
    assert!(code == usage && said.contains(problem), "{code} {said}");
    assert!(!Path::new(&out).exists());
}

#[test]
fn a_model_goes_on_with_its_vectors_frozen_or_with_a_share_of_the_negatives() {
    let logs = Logs::new(30_000);
    let begin = ["--bits", "16", "--vector-bits", "14", "--negatives", "20%"];
    let begun = logs.train("deep", "begun", &begin);
    let from = logs.path("begun");
    let further = |out: &str, more: &[&str]| {
        logs.train("deep", out, &[&["--from", &from, "--vector-bits", "14"][..], more].concat())
    };
    let all = further("all", &[]);
    let frozen = further("frozen", &["--freeze", "vectors"]);
    let share = further("share", &["--negatives", "20%", "--freeze", "vectors"]);
    println!("{begun}\n{all}\n{frozen}\n{share}");
    assert_eq!(
        (&all["frozen_vectors"], &frozen["frozen_vectors"]),
        (&Value::Bool(false), &Value::Bool(true))
    );
    assert_ne!(all["test_log_loss"], frozen["test_log_loss"]);
    // Going on from a corrected model, with all rows or again with a share, is corrected once and not twice.
    for report in [&begun, &all, &frozen, &share] {
        let calibration = number(report, "test_calibration");
        assert!((0.85..1.15).contains(&calibration), "{calibration}: {report}");
    }
    assert!(count(&share, "learned_rows") < 10_000 && count(&all, "learned_rows") == 30_000);
    // A model that serves only cannot go on, and weights alone have nothing to freeze.
    let (small, data, out) = (logs.path("small"), logs.path("train.tsv"), logs.path("refused"));
    let compress =
        ["model", "compress", "--model", &from, "--data", &data, "--method", "f16", "--out", &small];
    succeed(&compress);
    // The correction is in the model, so the form in which it serves has it too.
    let judged = json(&["model", "evaluate", "--model", &small, "--data", &logs.path("test.tsv")]);
    let apart = number(&judged, "calibration") / number(&begun, "test_calibration");
    assert!((0.98..1.02).contains(&apart), "{apart}");
    let (code, said) = failed(&["model", "train", "--data", &data, "--out", &out, "--from", &small]);
    assert!(code == i32::from(Exit::InputUnusable.code()) && said.contains("serves only"), "{code} {said}");
    logs.train("logistic", "weights", &["--bits", "12"]);
    let weights = logs.path("weights");
    let freeze = ["model", "train", "--data", &data, "--out", &out, "--freeze", "vectors"];
    let (code, said) = failed(&[&freeze[..], &["--from", &weights]].concat());
    assert!(
        code == i32::from(Exit::Usage.code()) && said.contains("logistic has no vectors"),
        "{code} {said}"
    );
    let (code, said) = failed(&[&freeze[..], &["--model", "deep"]].concat());
    assert!(code == i32::from(Exit::Usage.code()) && said.contains("--from"), "{code} {said}");
    assert!(!Path::new(&out).exists());
}

/// A row's line, from whether it is a click, a user and an ad.
type Line = fn(bool, u32, u32) -> String;

fn vw(click: bool, user: u32, ad: u32) -> String {
    format!("{} |user u{user} |ad a{ad}\n", if click { "1" } else { "-1" })
}

/// The other way round, and with a namespace more.
fn turned(click: bool, user: u32, ad: u32) -> String {
    format!("{} |new n |ad a{ad} |user u{user}\n", if click { "1" } else { "-1" })
}

fn libsvm(click: bool, user: u32, ad: u32) -> String {
    format!("{} 0:{user}:1 1:{}:1\n", u8::from(click), 100 + ad)
}

fn wider(click: bool, user: u32, ad: u32) -> String {
    format!("{} 0:{user}:1 1:{}:1 2:7:1\n", u8::from(click), 100 + ad)
}

/// Formats without a schema: which fields there are is the model's to say, not that of the rows which happen to come first.
#[test]
fn rows_without_a_schema_go_on_with_the_fields_that_the_model_knows() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let write = |name: &str, rows: std::ops::Range<u32>, line: Line| {
        let lines = rows.map(|row| {
            let (user, ad) = (row * 7 % 13, row * 5 % 11);
            line((user + ad) % 4 == 0, user, ad)
        });
        fs::write(path(name), lines.collect::<String>()).unwrap();
    };
    for (end, first, second) in [("vw", vw as Line, turned as Line), ("ffm", libsvm, libsvm)] {
        let name = |part: &str| path(&format!("{part}.{end}"));
        write(&format!("first.{end}"), 0..3_000, first);
        write(&format!("second.{end}"), 3_000..6_000, second);
        let train = |data: &str, out: &str, more: &[&str]| {
            let (data, out, test) = (name(data), name(out), name("first"));
            let args = ["model", "train", "--data", &data, "--out", &out, "--test", &test];
            number(&json(&[&args[..], more].concat()), "test_log_loss")
        };
        let begun = train("first", "begun", &["--model", "ffm", "--bits", "14"]);
        let further = train("second", "further", &["--from", &name("begun")]);
        assert!(further < 0.8 * begun, "{end}: {begun} {further}");
    }
    write("wider.ffm", 0..100, wider);
    for (data, from, more, problem) in [
        ("wider.ffm", "begun.ffm", "--seed=1", "the data has 3 fields, the model knows 2"),
        ("second.vw", "begun.vw", "--bits=15", "--bits says 15"),
    ] {
        let (data, from, out) = (path(data), path(from), path("refused"));
        let (code, said) = failed(&["model", "train", "--data", &data, "--from", &from, "--out", &out, more]);
        assert!(code == i32::from(Exit::Usage.code()) && said.contains(problem), "{code} {said}");
    }
}

#[test]
fn a_deep_models_network_is_what_is_asked_for() {
    let logs = Logs::new(5_000);
    let parameters = |name: &str, more: &[&str]| {
        let report = logs.train("deep", name, more);
        assert!(number(&report, "test_log_loss") < 0.3, "{report}");
        count(&report, "parameters")
    };
    let own = parameters("own", &[]);
    let pairs = parameters("pairs", &["--hidden", "none"]);
    let wide =
        parameters("wide", &["--hidden", "96,48", "--dropout", "0.1", "--normalise", "--decay", "0.8"]);
    assert!(pairs < own && own < wide, "{pairs} {own} {wide}");
    let (folder, schema) = (logs.path("pairs"), logs.path("train.schema.toml"));
    let (data, out) = (logs.path("train.tsv"), logs.path("on"));
    let (_, said) = failed(&[
        "model", "train", "--data", &data, "--schema", &schema, "--out", &out, "--from", &folder, "--hidden",
        "32",
    ]);
    assert!(said.contains("a trained model keeps its network; leave --hidden out"), "{said}");
}
