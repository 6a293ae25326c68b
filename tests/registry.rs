//! From a trained model to the one that serves: the registry's commands, and comparing two models.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "helpers of tests")]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use haggle::exit::Exit;
use serde_json::Value;

/// Two logs of one world, three models of it, and a registry, in a folder that goes when the test ends.
struct World {
    folder: tempfile::TempDir,
}

impl World {
    fn new(rows: u32) -> Self {
        let world = Self { folder: tempfile::tempdir().unwrap() };
        for (seed, name) in [("1", "train.tsv"), ("2", "test.tsv")] {
            let out = world.path(name);
            world.succeed(&[
                "generate",
                "clicks",
                "--rows",
                &rows.to_string(),
                "--seed",
                seed,
                "--out",
                &out,
            ]);
        }
        world
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// The program, whose data folder is in the world's.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_haggle"));
        command.args(args).env("HAGGLE_DATA", self.path("data")).current_dir(self.folder.path());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn succeed(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn model(&self, args: &[&str]) -> String {
        self.succeed(&[&["model"], args].concat())
    }

    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.model(&[args, &["--json"]].concat())).unwrap()
    }

    /// It fails with this code, and says this.
    fn refused(&self, exit: Exit, args: &[&str], problem: &str) {
        let output = self.run(&[&["model"], args].concat());
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(i32::from(exit.code())), "{args:?}: {message}");
        assert!(message.contains(problem), "{args:?}: {message}");
    }

    /// Trains a logistic model with so many bits: few make it worse, because values share weights.
    fn train(&self, name: &str, bits: &str) -> String {
        let schema = self.path("train.schema.toml");
        let args = ["--data", "train.tsv", "--schema", &schema, "--model", "logistic", "--bits", bits];
        self.model(&[&["train", "--out", name], &args[..]].concat());
        self.path(name)
    }
}

fn number(report: &Value, path: &str) -> f64 {
    report.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("{path} in {report}"))
}

#[test]
fn a_better_model_is_shown_to_be_and_promoted_and_taken_back() {
    let world = World::new(60_000);
    let (good, bad) = (world.train("good", "20"), world.train("bad", "8"));
    let report = world.json(&["compare", &good, &bad, "--data", "test.tsv"]);
    println!("{report:#}");
    assert_eq!(report["verdict"], "better");
    assert!(number(&report, "/log_loss/high") < 0.0 && number(&report, "/auc/low") > 0.0);
    assert_eq!(report["rows"].as_u64(), Some(60_000));
    for (side, folder) in [("candidate", &good), ("base", &bad)] {
        let alone = world.json(&["evaluate", "--model", folder, "--data", "test.tsv"]);
        for (name, within) in [("log_loss", 1e-9), ("calibration", 1e-9), ("auc", 1e-5)] {
            let found = number(&report, &format!("/{name}/{side}"));
            assert!((found - number(&alone, &format!("/{name}"))).abs() < within, "{name} {side} {alone}");
        }
        assert!(number(&report, &format!("/{side}/rows_per_second")) > 0.0);
        assert!(number(&report, &format!("/{side}/bytes")) > 0.0);
    }
    assert_eq!(world.json(&["compare", &bad, &good, "--data", "test.tsv"])["verdict"], "worse");
    let text = world.model(&["compare", &good, &good, "--data", "test.tsv"]);
    assert!(text.contains("candidate: no difference shown") && text.contains("normalised entropy"), "{text}");

    let old = world.model(&["register", &bad]).trim().to_owned();
    let new = world.model(&["register", &good]).trim().to_owned();
    world.refused(Exit::Usage, &["promote", &new, "--if-better", "test.tsv"], "none to be better than");
    world.model(&["promote", &old, "--reason", "the first"]);
    let same = world.model(&["register", &bad, "--name", "same"]).trim().to_owned();
    let problem = format!("not promoted, because {same} is not shown to be better");
    world.refused(Exit::CheckFailed, &["promote", &same, "--if-better", "test.tsv"], &problem);
    world.refused(Exit::Usage, &["promote", &old, "--if-better", "test.tsv"], "serves already");
    let state = world.json(&["promote", &new, "--if-better", "test.tsv"]);
    assert_eq!(state["roles"]["serving"], *new);
    assert_eq!((state["version"].as_u64(), &state["history"][0]["reason"]), (Some(2), &"the first".into()));
    let reason = state["history"][1]["reason"].as_str().unwrap();
    assert!(reason.contains(&format!("better than {old} on test.tsv")), "{reason}");
    world.refused(Exit::CheckFailed, &["promote", &old, "--if-better", "test.tsv"], "candidate: worse");
    let text = world.model(&["rollback", "--reason", "a try"]);
    assert!(text.contains(&format!("serving  {old}")), "{text}");
}

#[test]
fn the_registry_is_used_from_the_command_line() {
    let world = World::new(2_000);
    assert!(world.model(&["list"]).contains("no models"));
    let (a, b) = (world.train("a", "10"), world.train("b", "11"));
    let first = world.model(&["register", &a]).trim().to_owned();
    assert_eq!(world.model(&["register", &a]).trim(), first, "once more is the same");
    world.model(&["promote", &first]);
    let second = world.model(&["register", &b, "--name", "next"]).trim().to_owned();
    assert!(second.starts_with("next-"), "{second}");
    let text = world.model(&["promote", &second, "--canary", "5%"]);
    assert!(text.contains(&format!("serving  {first}\ncanary   {second} (5%)")), "{text}");
    let listed = world.json(&["list"]);
    let of = |id: &str| {
        let models = listed["models"].as_array().unwrap();
        models.iter().find(|model| model["id"] == *id).cloned().unwrap_or_else(|| panic!("{id} in {listed}"))
    };
    assert_eq!((&of(&first)["role"], &of(&second)["role"]), (&"serving".into(), &"canary 5%".into()));
    assert_eq!(of(&second)["parent"], *first);
    assert!(of(&first)["registered"].as_str().unwrap().ends_with('Z'));
    assert_eq!(listed["state"]["roles"]["canary"]["share_per_mille"], 50);
    world.refused(Exit::Usage, &["remove", &second], "is in use: canary 5%");
    world.model(&["rollback"]);
    world.model(&["shadow", &second]);
    world.refused(Exit::Usage, &["remove", &second], "is in use: shadow");
    let table = world.model(&["list"]);
    let row = table.lines().find(|line| line.starts_with(&second)).unwrap();
    assert!(row.contains("shadow") && row.contains("logistic") && row.contains(&first), "{table}");
    world.model(&["shadow", &second, "--off"]);
    world.model(&["remove", &second]);
    world.refused(Exit::Usage, &["promote", &second], "is not in the registry");
    // In the data folder, if no other is named; a registered model's folder is as good as a trained one's.
    let folder = PathBuf::from(world.path("data")).join("models").join(&first);
    world.model(&["evaluate", "--model", folder.to_str().unwrap(), "--data", "test.tsv"]);
    assert!(world.model(&["list", "--registry", "elsewhere"]).contains("no models"));
    world.refused(Exit::InputUnusable, &["list", "--registry", "test.tsv"], "is no folder");
    world.refused(Exit::Usage, &["promote", &first, "--canary", "100%"], "such as 5%");
}

#[test]
fn a_model_that_is_not_whole_is_not_registered_and_one_that_was_altered_not_promoted() {
    let world = World::new(2_000);
    let folder = world.train("model", "10");
    let id = world.model(&["register", &folder]).trim().to_owned();
    let model = |folder: &str| {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        names.into_iter().find(|path| path.extension().is_some_and(|it| it == "bin")).unwrap()
    };
    let registered = format!("{}/models/{id}", world.path("data"));
    for file in [model(&folder), model(&registered)] {
        let bytes = fs::read(&file).unwrap();
        fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
    }
    world.refused(Exit::InputUnusable, &["register", &folder, "--name", "cut"], "copy the folder again");
    world.refused(Exit::InputUnusable, &["promote", &id], "copy the folder again");
    world.refused(Exit::InputUnusable, &["shadow", &id], "copy the folder again");
    world.refused(Exit::IoFailed, &["register", &world.path("nothing")], "cannot be read");
    fs::write(format!("{registered}/manifest.json"), "{").unwrap();
    let table = world.model(&["list"]);
    assert!(table.contains("unusable: ") && table.contains("is no manifest"), "{table}");
    assert_eq!(world.json(&["list"])["state"]["version"], 0);
    world.model(&["remove", &id]);
}

#[test]
fn models_of_different_schemas_are_compared_row_by_row() {
    let world = World::new(20_000);
    let good = world.train("good", "16");
    let schema = fs::read_to_string(world.path("train.schema.toml")).unwrap();
    // Without its last feature.
    let cut = schema.rfind("[[feature]]").unwrap();
    fs::write(world.path("train.schema.toml"), &schema[..cut]).unwrap();
    let less = world.train("less", "16");
    let report = world.json(&["compare", &good, &less, "--data", "test.tsv"]);
    for (side, folder) in [("candidate", &good), ("base", &less)] {
        let alone = world.json(&["evaluate", "--model", folder, "--data", "test.tsv"]);
        let found = number(&report, &format!("/log_loss/{side}"));
        assert!((found - number(&alone, "/log_loss")).abs() < 1e-9, "{side}");
    }
    assert_ne!(report["log_loss"]["candidate"], report["log_loss"]["base"]);
    // One that takes other rows as clicks learned to predict something else.
    let (head, tail) = schema.split_once('\n').unwrap();
    assert!(head.starts_with("label"), "{head}");
    fs::write(world.path("train.schema.toml"), format!("{head}\npositive = [\"0\"]\n{tail}")).unwrap();
    let other = world.train("other", "16");
    world.refused(
        Exit::InputUnusable,
        &["compare", &good, &other, "--data", "test.tsv"],
        "take different rows as clicks",
    );
}

/// Kills commands at any moment: the state is always whole, and no change that was said to be done is lost.
#[test]
fn a_killed_command_leaves_a_whole_state() {
    let world = World::new(2_000);
    let [a, b] = [("a", "10"), ("b", "11")].map(|(name, bits)| {
        let folder = world.train(name, bits);
        world.model(&["register", &folder]).trim().to_owned()
    });
    let (mut version, mut killed) = (0, 0);
    for round in 0..40_u64 {
        let id = if round % 2 == 0 { &a } else { &b };
        let mut child = world
            .command(&["model", "promote", id, "--canary", "5%", "--json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_micros(500 * round));
        child.kill().unwrap();
        let output = child.wait_with_output().unwrap();
        let state = world.json(&["list"])["state"].clone();
        let now = state["version"].as_u64().unwrap();
        assert!(now == version || now == version + 1, "{version} {now}");
        if let Ok(done) = serde_json::from_slice::<Value>(&output.stdout) {
            assert_eq!(done, state, "what was said to be done is");
        } else {
            killed += 1;
        }
        if now > version {
            assert_eq!(state["roles"]["canary"]["id"], **id);
        }
        version = now;
    }
    println!("{killed} of 40 commands were killed before they were done, version {version}");
    assert!(killed > 0);
}

#[test]
fn a_pipe_in_place_of_the_state_is_refused_and_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let models = folder.path().join("models");
    fs::create_dir(&models).unwrap();
    let made = Command::new("mkfifo").arg(models.join("state.json")).status().unwrap();
    assert!(made.success());
    let output = Command::new(env!("CARGO_BIN_EXE_haggle"))
        .args(["model", "list", "--registry", models.to_str().unwrap()])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("state.json: is no file"), "{said}");
}
