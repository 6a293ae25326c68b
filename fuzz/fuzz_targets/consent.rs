//! Any text as each of the consent strings.
#![no_main]

use haggle_openrtb::privacy::{Policy, Signals, decide};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let policy = Policy { vendor: Some(812) };
    let sections: Vec<i64> = text.bytes().take(4).map(|byte| i64::from(byte) - 40).collect();
    let _ = decide(&Signals { consent: text, ..Signals::default() }, &policy);
    let _ = decide(&Signals { us_privacy: text, ..Signals::default() }, &policy);
    let _ = decide(&Signals { gpp: text, gpp_sid: &sections, ..Signals::default() }, &policy);
});
