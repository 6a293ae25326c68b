//! Models of archives on rows that people made, where the files are at hand.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests")]

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use haggle_learning::offline::metrics::{Losses, auc};
use haggle_learning::offline::{DeepSettings, FactorSettings, FfmSettings, LogisticSettings, Settings};
use haggle_learning::{Batch, Slot};

/// What a file says, or nothing and a line that says so.
fn text(name: &str) -> Option<String> {
    let folder = std::env::var_os("HAGGLE_TEST_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from);
    let Ok(bytes) = std::fs::read(folder.join(name)) else {
        println!("skipped: no {name} in {}; set HAGGLE_TEST_DATA", folder.display());
        return None;
    };
    let mut text = String::new();
    GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
    Some(text)
}

/// One-hot rows: the `n`th word is of field `n`.
fn one_hot(text: &str) -> Batch {
    let mut batch = Batch::default();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let label = words.next().unwrap().parse().unwrap();
        for (field, word) in words.enumerate() {
            let (index, value) = word.split_once(':').unwrap();
            let (index, value) = (index.parse().unwrap(), value.parse().unwrap());
            batch.push(Slot { field: field as u16, index, value });
        }
        batch.end(label);
    }
    batch
}

/// Ratings as rows, learned from and judged on: a click is a rating of four or five.
fn ratings() -> Option<(Batch, Batch)> {
    let [ratings, items, users] =
        ["inter", "item", "user"].map(|part| text(&format!("movielens_100k/ml-100k.{part}.tsv.gz")));
    let (ratings, items, users) = (ratings?, items?, users?);
    let mut numbers = HashMap::new();
    let mut number = |word: String| {
        let next = numbers.len() as u32;
        *numbers.entry(word).or_insert(next)
    };
    let table = |text: String| -> HashMap<String, Vec<String>> {
        let words = |line: &str| line.split('\t').map(str::to_owned).collect::<Vec<_>>();
        text.lines().skip(1).map(|line| (line.split('\t').next().unwrap().to_owned(), words(line))).collect()
    };
    let (items, users) = (table(items), table(users));
    let (mut train, mut test) = (Batch::default(), Batch::default());
    for (at, line) in ratings.lines().skip(1).enumerate() {
        let words: Vec<&str> = line.split('\t').collect();
        let batch = if at % 10 == 3 { &mut test } else { &mut train };
        let mut push = |field: u16, word: &str| {
            batch.push(Slot { field, index: number(format!("{field} {word}")), value: 1.0 });
        };
        push(0, words[0]);
        push(1, words[1]);
        let (user, item) = (&users[words[0]], &items[words[1]]);
        push(2, &user[1][..1]);
        push(3, &user[2]);
        push(4, &user[3]);
        push(5, &item[2]);
        item[3].split(' ').for_each(|class| push(6, class));
        batch.end(f32::from(words[2].parse::<f32>().unwrap() >= 4.0));
    }
    Some((train, test))
}

/// Learns in batches of some hundred rows and returns the losses and the area on the others.
fn judge(settings: &Settings, passes: usize, train: &Batch, test: &Batch) -> (f64, f64) {
    let mut parts = vec![Batch::default()];
    for (label, slots) in train.rows() {
        if parts.last().unwrap().len() == 1024 {
            parts.push(Batch::default());
        }
        let part = parts.last_mut().unwrap();
        slots.iter().for_each(|slot| part.push(*slot));
        part.end(label);
    }
    let mut model = settings.build().unwrap();
    let mut predicted = Vec::new();
    let mut best = (f64::MAX, 0.0);
    for pass in 1..=passes {
        let mut learned = Losses::default();
        parts.iter().for_each(|part| learned.add(&model.learn(part)));
        model.end_pass();
        model.predict(test, &mut predicted);
        let losses = Losses::of(&predicted, test.labels());
        let area = auc(&predicted, test.labels()).unwrap();
        println!(
            "{settings:?}, pass {pass}: learned {:.5}, test {:.5}, normalised entropy {:.4}, calibration {:.3}, AUC {area:.4}",
            learned.mean_log_loss(),
            losses.mean_log_loss(),
            losses.normalised_entropy().unwrap(),
            losses.calibration().unwrap(),
        );
        if losses.mean_log_loss() < best.0 {
            best = (losses.mean_log_loss(), area);
        }
    }
    best
}

fn models(fields: u16, bits: u8) -> [Settings; 3] {
    let linear = LogisticSettings { bits, ..LogisticSettings::default() };
    let factors = FactorSettings { fields, bits, ..FactorSettings::default() };
    let deep = DeepSettings { linear, fields, bits, ..DeepSettings::default() };
    [Settings::Logistic(linear), Settings::Ffm(FfmSettings { linear, factors }), Settings::Deep(deep)]
}

#[test]
fn clicks_on_ads() {
    let [Some(train), Some(test)] =
        ["train", "test"].map(|part| text(&format!("ipinyou_features/deepctr_{part}.fm.txt.gz")))
    else {
        return;
    };
    let (train, test) = (one_hot(&train), one_hot(&test));
    // Four times as many clicks in a thousand in the rows to learn from as in those to be judged on, and 50 of these: a
    // probability cannot be right, and an order a little.
    for settings in models(16, 14) {
        let (_, area) = judge(&settings, 2, &train, &test);
        assert!(area > 0.55, "{area}");
    }
}

#[test]
fn likes_of_films() {
    let Some((train, test)) = ratings() else { return };
    let [logistic, ffm, deep] = models(7, 13).map(|settings| judge(&settings, 5, &train, &test));
    assert!(logistic.0 < 0.575 && logistic.1 > 0.765, "{logistic:?}");
    // Taste is what a user and a film have in common, which no weight of either can say.
    assert!(ffm.0 < logistic.0 - 0.008 && ffm.1 > logistic.1 + 0.008, "{ffm:?}");
    assert!(deep.0 < ffm.0 - 0.003 && deep.1 > ffm.1 + 0.003, "{deep:?}");
}
