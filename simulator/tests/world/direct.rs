//! A simulated bidder that skips the JSON knows exactly what one knows that reads it.

use haggle_domain::{Context, ExchangeKey, NoBidReason, Opportunity, Rates};
use haggle_openrtb::privacy::Policy;
use haggle_openrtb::{Asker, UserId, parse};
use haggle_simulator::{SimRequest, World, WorldSettings};
use proptest::prelude::*;

use crate::{day_of_requests, start};

/// What a bidder that reads it has of a request.
fn read(request: &SimRequest) -> (Context, Result<Opportunity, NoBidReason>) {
    let rates = Rates { account: "USD".to_owned(), pairs: Vec::new() };
    let user_ids = [UserId::Buyeruid, UserId::Id];
    let exchange = ExchangeKey::of(request.exchange);
    let asker = Asker { exchange, seat: "haggle", user_ids: &user_ids, rates: &rates };
    let body = request.body();
    let parsed = parse(&body).unwrap();
    let (basis, _) = parsed.basis(&Policy::default());
    let context = parsed.context(&asker, basis);
    let mut imps = parsed.imps_for(&context, &asker);
    let (imp, opportunity) = imps.next().unwrap();
    assert_eq!((&*parsed.id, &*imp.id), (&*request.id, request.imp_id));
    assert!(imps.next().is_none());
    drop(imps);
    (context, opportunity)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_request_is_the_same_read_and_unread(seed: u64) {
        let mut world = World::new(seed, start(), WorldSettings { users: 300, ..WorldSettings::default() });
        for request in day_of_requests(&mut world, 400) {
            let unread = (request.context(), request.opportunity());
            // Every field is in the text.
            prop_assert_eq!(format!("{unread:#?}"), format!("{:#?}", read(&request)));
        }
    }
}
