//! A simulated bidder that skips the JSON knows exactly what one knows that reads it.

use std::sync::Arc;

use haggle_domain::{
    AuctionType, Context, CpmMicros, DealPrice, ExchangeKey, NoBidReason, Opportunity, Rates,
};
use haggle_openrtb::privacy::Policy;
use haggle_openrtb::{Asker, UserId, parse};
use haggle_simulator::{Bots, DealOffer, Exchange, SimRequest, World, WorldSettings};
use proptest::prelude::*;

use crate::{day_of_requests, start};

/// What a bidder that reads it has of a request.
fn read(request: &SimRequest) -> (Context, Result<Opportunity, NoBidReason>) {
    let rates = Rates { account: "USD".to_owned(), pairs: Vec::new() };
    let user_ids = [UserId::Buyeruid, UserId::Id];
    let exchange = ExchangeKey::of(&request.exchange);
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

/// With whatever else a request may say.
fn all(usual: WorldSettings) -> WorldSettings {
    let deal = |id: &str, price, seat: &str, private| DealOffer {
        id: Arc::from(id),
        price,
        floor: CpmMicros(2_570_000),
        seats: if seat.is_empty() { Vec::new() } else { vec![seat.to_owned()] },
        share: 0.4,
        private,
    };
    let deals = vec![
        deal("Ours", DealPrice::Fixed, "haggle", false),
        deal("theirs", DealPrice::Auction(AuctionType::First), "others", false),
        deal("all", DealPrice::Auction(AuctionType::SecondPlus), "", false),
        deal("first", DealPrice::Auction(AuctionType::First), "", true),
    ];
    let cedar = Exchange { deals, fee: 0.13, floor: 1.7, ..Exchange::named("cedar", AuctionType::First) };
    WorldSettings {
        exchanges: vec![
            cedar,
            Exchange { tmax_ms: Some(70), ..Exchange::named("oak", AuctionType::SecondPlus) },
        ],
        bots: Some(Bots { share: 0.3, recognisable: 0.8, click_rate: 0.5 }),
        ..usual
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_request_is_the_same_read_and_unread(seed: u64, with_all: bool) {
        let usual = WorldSettings { users: 300, ..WorldSettings::default() };
        let mut world = World::new(seed, start(), if with_all { all(usual) } else { usual });
        for request in day_of_requests(&mut world, 400) {
            let unread = (request.context(), request.opportunity());
            // Every field is in the text.
            prop_assert_eq!(format!("{unread:#?}"), format!("{:#?}", read(&request)));
        }
    }
}
