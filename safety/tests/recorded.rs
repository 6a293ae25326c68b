//! Recorded requests against the gate as it is without any setting: no person's request may be refused.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "in a test, a panic is a failure"
)]

use std::path::{Path, PathBuf};

use haggle_safety::{Facts, SafetyReason, TrafficGate};
use serde_json::Value;

#[test]
fn recorded_requests_pass_unless_they_say_that_they_are_bots() {
    let folder = std::env::var_os("HAGGLE_TEST_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from);
    let Ok(lines) = std::fs::read_to_string(folder.join("openrtb/valid.jsonl")) else {
        println!("skipped: no openrtb/valid.jsonl in {}; set HAGGLE_TEST_DATA", folder.display());
        return;
    };
    let gate = TrafficGate::new(None, None, None).unwrap();
    let mut devices = 0;
    for (line, number) in lines.lines().zip(1..) {
        let row: Value = serde_json::from_str(line).unwrap();
        let device = &row["request"]["device"];
        let text = |value: &'static str| device[value].as_str().unwrap_or("");
        let brands = device["sua"]["browsers"].as_array().into_iter().flatten();
        let brands: Vec<_> = brands.filter_map(|browser| browser["brand"].as_str()).collect();
        let facts = Facts {
            user_agent: text("ua"),
            brands: &brands,
            ip: text("ip"),
            ipv6: text("ipv6"),
            os: text("os"),
            ..Facts::default()
        };
        devices += usize::from(device.is_object());
        // Addresses that are nobody's are counted by default and refuse nothing.
        let counted = [SafetyReason::UnreadableAddress, SafetyReason::SpecialAddress];
        let found: Vec<_> = gate.check(&facts).iter().filter(|reason| !counted.contains(reason)).collect();
        assert!(found.is_empty(), "line {number}: {found:?}: {device}");
    }
    assert!(devices > 40, "{devices}");
}
