//! Any text as a native request within a bid request.
#![no_main]

use haggle_domain::{Basis, ExchangeKey, Rates};
use haggle_openrtb::{Asker, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let body = serde_json::json!({"id": "1", "imp": [{"id": "1", "native": {"request": text}}]}).to_string();
    let Ok(request) = parse(body.as_bytes()) else { panic!("a text within an imp costs the imp at most") };
    let rates = Rates { account: "USD".to_owned(), pairs: Vec::new() };
    let asker = Asker { exchange: ExchangeKey::of("fuzz"), seat: "haggle", user_ids: &[], rates: &rates };
    let context = request.context(&asker, Basis::NONE);
    assert_eq!(request.imps_for(&context, &asker).count(), 1);
});
