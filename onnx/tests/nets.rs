//! Networks that are asked, and those that are refused.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test, a panic is a failure")]

#[path = "../../tests/support/onnx.rs"]
mod onnx;

use haggle_onnx::{Net, NetError, Scores};
use proptest::prelude::*;

fn probability(odds: f32) -> f32 {
    1.0 / (1.0 + (-odds).exp())
}

fn said(net: &Net, rows: &[f32]) -> Vec<f32> {
    let mut out = Vec::new();
    net.predict(rows, &mut out).unwrap();
    out
}

fn refusal(bytes: &[u8], width: usize, output: Option<&str>) -> String {
    Net::load(bytes, width, output, Scores::Probability).unwrap_err().to_string()
}

#[test]
fn each_row_has_its_probability_however_many_are_asked_about() {
    let weights = [1.0, -2.0, 0.5];
    let net = Net::load(&onnx::logistic(&weights, -1.0), 3, None, Scores::Probability).unwrap();
    let odds = Net::load(&onnx::linear(&weights, -1.0), 3, Some("probability"), Scores::LogOdds).unwrap();
    for count in [0, 1, 2, 255, 256, 257, 700] {
        let rows: Vec<f32> = (0..count * 3).map(|n| (n % 7) as f32 / 7.0).collect();
        let expected: Vec<f32> = rows
            .chunks(3)
            .map(|row| probability(row.iter().zip(weights).map(|(x, weight)| x * weight).sum::<f32>() - 1.0))
            .collect();
        for net in [&net, &odds] {
            let said = said(net, &rows);
            assert_eq!(said.len(), count);
            let far = said.iter().zip(&expected).find(|(said, expected)| (**said - **expected).abs() > 1e-6);
            assert_eq!(far, None, "of {count}");
        }
    }
}

#[test]
fn what_is_no_probability_is_no_answer() {
    let net = Net::load(&onnx::linear(&[1.0], 0.0), 1, None, Scores::Probability).unwrap();
    let mut out = Vec::new();
    assert_eq!(net.predict(&[0.25], &mut out), Ok(()));
    for wild in [1.5, -0.1, f32::NAN, f32::INFINITY] {
        let error = net.predict(&[wild], &mut out).unwrap_err();
        assert!(error.to_string().contains("say with --scores"), "{error}");
    }
    // Certain is as certain as can be said.
    assert_eq!(said(&net, &[0.0, 1.0]), [1e-6, 1.0 - 1e-6]);
    let odds = Net::load(&onnx::linear(&[1.0], 0.0), 1, None, Scores::LogOdds).unwrap();
    assert!(said(&odds, &[1e30, -1e30]).iter().all(|p| *p > 0.0 && *p < 1.0));
    assert!(matches!(odds.predict(&[f32::NAN], &mut out), Err(NetError::Score { .. })));
}

#[test]
fn a_refusal_says_why() {
    let net = onnx::logistic(&[1.0, 2.0], 0.0);
    assert_eq!(refusal(&net, 3, None), "it takes 2 numbers a row, and rows have 3 features");
    assert!(
        refusal(&net, 2, Some("label")).contains("no such output"),
        "{}",
        refusal(&net, 2, Some("label"))
    );
    assert!(refusal(&net[..net.len() / 2], 2, None).starts_with("it cannot be read as ONNX"));
    assert!(refusal(b"", 2, None).starts_with("it cannot be read as ONNX"));
    assert!(refusal(b"HAGGLEOM and something else", 2, None).starts_with("it cannot be read as ONNX"));
    assert!(refusal(&onnx::unknown(&[1.0]), 1, None).contains("Divine"));
    let said = refusal(&onnx::beside_others(&[1.0, 2.0], 0.0), 2, None);
    assert_eq!(said, "what it says of a row depends on the rows beside it");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Whatever became of a file, there is a refusal or a net that answers.
    #[test]
    fn no_file_makes_it_panic(at in any::<prop::sample::Index>(), with in any::<[u8; 2]>(), keep in 1usize..4) {
        let mut bytes = onnx::logistic(&[1.0, -2.0, 0.5], -1.0);
        let at = at.index(bytes.len() - 1);
        bytes[at..at + 2].copy_from_slice(&with);
        if keep == 1 {
            bytes.truncate(at);
        }
        if let Ok(net) = Net::load(&bytes, 3, None, Scores::Probability) {
            let mut out = Vec::new();
            if net.predict(&[0.5; 9], &mut out).is_ok() {
                prop_assert!(out.len() == 3 && out.iter().all(|p| *p > 0.0 && *p < 1.0));
            }
        }
    }
}
