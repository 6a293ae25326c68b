//! Any bytes as a bid request: read, judged, and each imp accounted for.
#![no_main]

use haggle_domain::{Basis, ExchangeKey, Rates};
use haggle_openrtb::privacy::Policy;
use haggle_openrtb::{Asker, UserId, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let Ok(request) = parse(body) else { return };
    let rates = Rates { account: "USD".to_owned(), pairs: Vec::new() };
    let user_ids = [UserId::Buyeruid, UserId::Id, UserId::Extended("ids.example".to_owned())];
    let asker =
        Asker { exchange: ExchangeKey::of("fuzz"), seat: "haggle", user_ids: &user_ids, rates: &rates };
    let (basis, _) = request.basis(&Policy { vendor: Some(812) });
    let context = request.context(&asker, basis);
    assert!(basis.allows(Basis::TARGET) || context.user.is_none());
    assert_eq!(request.imps_for(&context, &asker).count(), request.imps.len());
    let _ = (request.tmax(), request.supply_chain());
});
