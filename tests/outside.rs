//! Models that were trained elsewhere: taken in, judged, compared and watched like our own.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

#[path = "support/onnx.rs"]
mod onnx;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

#[cfg(feature = "onnx")]
use serde_json::Value;

const SCHEMA: &str = "label = \"click\"\nbits = 20\n\n[[feature]]\nname = \"x\"\nkind = \"numeric\"\n\n\
                      [[feature]]\nname = \"y\"\nkind = \"numeric\"\n";
const WEIGHTS: [f32; 2] = [1.5, -2.0];
const BIAS: f32 = -1.0;

fn haggle(folder: &Path, args: &str) -> Output {
    let args = args.split(' ').filter(|it| !it.is_empty());
    Command::new(env!("CARGO_BIN_EXE_haggle")).current_dir(folder).args(args).output().unwrap()
}

#[cfg(feature = "onnx")]
fn succeed(folder: &Path, args: &str) -> String {
    let output = haggle(folder, args);
    assert!(output.status.success(), "{args}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn refusal(folder: &Path, args: &str) -> String {
    let output = haggle(folder, args);
    assert!(!output.status.success(), "{args}");
    String::from_utf8(output.stderr).unwrap()
}

/// A folder with rows whose truth is a model's that is there too.
fn world() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut state = 7u64;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32
    };
    let mut rows = String::from("x,y,click\n");
    for _ in 0..4_000 {
        let (x, y) = (uniform() * 2.0, uniform());
        let odds = BIAS + WEIGHTS[0] * x + WEIGHTS[1] * y;
        let click = u8::from(uniform() < 1.0 / (1.0 + (-odds).exp()));
        rows += &format!("{x},{y},{click}\n");
    }
    for (name, content) in [
        ("rows.csv", rows.as_bytes()),
        ("schema.toml", SCHEMA.as_bytes()),
        ("net.onnx", &onnx::logistic(&WEIGHTS, BIAS)),
        ("odds.onnx", &onnx::linear(&WEIGHTS, BIAS)),
        ("wide.onnx", &onnx::logistic(&[1.0; 3], 0.0)),
        ("nodes.onnx", &onnx::logistic(&[0.0; 20], -4.0)),
    ] {
        fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

#[cfg(not(feature = "onnx"))]
#[test]
fn a_program_that_was_built_without_says_so() {
    let folder = world();
    let said = refusal(folder.path(), "model import net.onnx --schema schema.toml --out net");
    assert!(said.contains("built without ONNX; build it with --features onnx"), "{said}");
}

#[cfg(feature = "onnx")]
#[test]
fn a_model_of_another_make_is_judged_beside_our_own() {
    let folder = world();
    let path = folder.path();
    let said = succeed(path, "model import net.onnx --schema schema.toml --out net");
    assert_eq!(said.trim(), "net: takes 2 numbers a row, as haggle model encode writes them");
    succeed(
        path,
        "model import odds.onnx --schema schema.toml --scores log-odds --output probability --out odds",
    );
    // The very same numbers, for whoever trains one.
    succeed(path, "model encode --data rows.csv --schema schema.toml --out numbers.csv");
    let numbers = fs::read_to_string(path.join("numbers.csv")).unwrap();
    let rows = fs::read_to_string(path.join("rows.csv")).unwrap();
    assert_eq!(numbers.lines().next(), Some("click,x,y"));
    let probabilities = succeed(path, "model predict --model net --data rows.csv");
    let mut loss = 0.0;
    for ((number, row), probability) in
        numbers.lines().skip(1).zip(rows.lines().skip(1)).zip(probabilities.lines())
    {
        let [click, x, y] = number.split(',').map(|it| it.parse::<f32>().unwrap()).collect::<Vec<_>>()[..]
        else {
            panic!("{number}");
        };
        let (features, label) = row.rsplit_once(',').unwrap();
        assert_eq!((format!("{x},{y}"), click.to_string()), (features.to_owned(), label.to_owned()));
        let expected = 1.0 / (1.0 + (-(BIAS + WEIGHTS[0] * x + WEIGHTS[1] * y)).exp());
        let probability: f32 = probability.parse().unwrap();
        assert!((probability - expected).abs() < 1e-6);
        loss -= f64::from(if click > 0.5 { probability.ln() } else { (1.0 - probability).ln() }) / 4_000.0;
    }
    for model in ["net", "odds"] {
        let judged = succeed(path, &format!("model evaluate --model {model} --data rows.csv --json"));
        let judged: Value = serde_json::from_str(&judged).unwrap();
        assert_eq!((judged["model"].as_str(), judged["rows"].as_u64()), (Some("onnx"), Some(4_000)));
        assert!((judged["log_loss"].as_f64().unwrap() - loss).abs() < 1e-5, "{judged} {loss}");
        assert!(judged["log_loss"].as_f64() < judged["baseline_log_loss"].as_f64(), "{judged}");
    }
    succeed(path, "model train --data rows.csv --schema schema.toml --model logistic --passes 3 --out own");
    let compared = succeed(path, "model compare own net --data rows.csv --json");
    let compared: Value = serde_json::from_str(&compared).unwrap();
    assert_eq!(compared["base"]["model"], "onnx");
    assert_ne!(compared["verdict"], "better", "the truth is not beaten: {compared}");
}

#[cfg(feature = "onnx")]
#[test]
fn nodes_watch_a_model_of_another_make_and_never_bid_with_it() {
    let folder = world();
    let path = folder.path();
    succeed(path, "model import nodes.onnx --format haggle --out nodes");
    let id = succeed(path, "model register nodes --registry models");
    let id = id.trim();
    let output = haggle(path, &format!("model shadow {id} --registry models"));
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    for role in ["", " --canary 5%"] {
        let said = refusal(path, &format!("model promote {id}{role} --registry models"));
        assert!(said.contains("is of another make"), "{said}");
    }
    // One that takes other rows means nothing to a node.
    succeed(path, "model import net.onnx --schema schema.toml --out net");
    let other = succeed(path, "model register net --registry models");
    let said = haggle(path, &format!("model shadow {} --registry models", other.trim())).stderr;
    let said = String::from_utf8(said).unwrap();
    assert!(said.contains("takes other rows than a node's own"), "{said}");
}

#[cfg(feature = "onnx")]
#[test]
fn what_cannot_be_asked_is_refused_with_the_reason_and_leaves_no_folder() {
    let folder = world();
    let path = folder.path();
    let with = |file: &str, more: &str| refusal(path, &format!("model import {file} --out gone {more}"));
    let schema = "--schema schema.toml";
    for (said, reason) in [
        (with("wide.onnx", schema), "it takes 3 numbers a row, and rows have 2 features"),
        (with("rows.csv", schema), "it cannot be read as ONNX"),
        (with("absent.onnx", schema), "cannot be read"),
        (with("net.onnx", ""), "say what rows mean"),
        (with("net.onnx", "--schema schema.toml --output clicks"), "no such output"),
        (with("net.onnx", "--schema schema.toml --format haggle"), "leave --schema out"),
        (with("net.onnx", "--schema schema.toml --scores odd"), "invalid value"),
    ] {
        assert!(said.contains(reason), "{said}");
    }
    assert!(!path.join("gone").exists());
    // A row with a gap, unless the number is named that the model was trained with.
    succeed(path, "model import net.onnx --schema schema.toml --out strict");
    succeed(path, "model import net.onnx --schema schema.toml --missing -2 --out filled");
    fs::write(path.join("gap.csv"), "x,y,click\n1,,0\n").unwrap();
    let said = refusal(path, "model predict --model strict --data gap.csv");
    assert!(said.contains("a row has no number for \"y\"; import it with --missing"), "{said}");
    let said: f32 = succeed(path, "model predict --model filled --data gap.csv").trim().parse().unwrap();
    let expected = 1.0 / (1.0 + (-(BIAS + WEIGHTS[0] - 2.0 * WEIGHTS[1])).exp());
    assert!((said - expected).abs() < 1e-6, "{said} {expected}");
    // Nothing has its name before it is whole, so what had it stays, were it the rows themselves.
    for command in
        ["predict --model strict", "encode --schema schema.toml --missing nan", "predict --model gone"]
    {
        refusal(path, &format!("model {command} --data gap.csv --out gap.csv"));
        assert_eq!(fs::read_to_string(path.join("gap.csv")).unwrap(), "x,y,click\n1,,0\n");
    }
    succeed(path, "model encode --schema schema.toml --missing -2 --data gap.csv --out gap.csv");
    assert_eq!(fs::read_to_string(path.join("gap.csv")).unwrap(), "click,x,y\n0,1,-2\n");
    assert_eq!(
        fs::read_dir(path)
            .unwrap()
            .filter(|it| it.as_ref().unwrap().file_name().to_string_lossy().starts_with(".tmp"))
            .count(),
        0
    );
    // A file that was altered, and one that says what is no probability.
    succeed(path, "model import odds.onnx --schema schema.toml --out odds");
    let said = refusal(path, "model evaluate --model odds --data rows.csv");
    assert!(said.contains("say with --scores what it gives"), "{said}");
    let model = fs::read_dir(path.join("odds")).unwrap().map(|it| it.unwrap().path());
    let model = model.into_iter().find(|it| it.extension().is_some_and(|it| it == "onnx")).unwrap();
    let mut bytes = fs::read(&model).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&model, bytes).unwrap();
    assert!(refusal(path, "model evaluate --model odds --data rows.csv").contains("checksum"));
}
