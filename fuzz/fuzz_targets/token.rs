//! Any text as a notice's token: none opens that was not sealed.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../src/entropy.rs"]
mod entropy;
#[allow(dead_code, unused_imports, reason = "the program uses the rest")]
#[path = "../../src/token.rs"]
mod token;

use token::{Sealer, TokenKind};

fuzz_target!(|text: &str| {
    let sealer = Sealer::new([5; 32], [6; 16]);
    for kind in [TokenKind::Money, TokenKind::Event, TokenKind::Order] {
        assert!(sealer.open(kind, text).is_err());
    }
});
