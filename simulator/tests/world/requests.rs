//! Requests are what a bidder expects to read.

use std::collections::HashSet;
use std::time::Duration;

use haggle_domain::{AuctionType, CpmMicros};
use serde_json::Value;

use crate::{day_of_requests, start, world};

#[test]
fn requests_are_openrtb_and_have_what_a_bidder_reads() {
    let mut world = world(7);
    let requests = day_of_requests(&mut world, 4000);
    let mut shop_users = HashSet::new();
    let (mut without_basis, mut apps, mut second_price, mut odd, mut bytes) = (0, 0, 0, 0, 0);
    for request in &requests {
        let sent = request.body();
        let body: Value = serde_json::from_slice(&sent).unwrap();
        assert_eq!(body["id"], request.id.as_str());
        assert_eq!(body["imp"].as_array().unwrap().len(), 1);
        let imp = &body["imp"][0];
        assert_eq!(imp["id"], request.imp_id);
        assert_eq!(
            CpmMicros::from_f64_rounded_up(imp["bidfloor"].as_f64().unwrap()),
            Some(request.floor),
            "the floor survives the float"
        );
        assert!(imp["tagid"].is_string());
        assert_eq!(body["at"], if request.auction == AuctionType::First { 1 } else { 2 });
        assert_eq!(body["tmax"], request.tmax_ms);
        assert!(body["site"].is_object() != body["app"].is_object());
        let place = if body["app"].is_object() { &body["app"] } else { &body["site"] };
        assert!(place["cat"][0].as_str().unwrap().starts_with("IAB"));
        assert!(place["publisher"]["id"].is_string() && place["keywords"].is_string());
        for field in ["ua", "os", "language", "ip"] {
            assert!(!body["device"][field].as_str().unwrap().is_empty(), "device.{field}");
        }
        assert_eq!(body["device"]["geo"]["country"].as_str().unwrap().len(), 3);
        assert!(body["user"]["id"].is_string());
        assert!(body["user"]["data"][0]["segment"].is_array());
        assert!(body["bcat"].is_array() && body["badv"].is_array());
        shop_users.insert(body["user"]["buyeruid"].as_str().unwrap().to_owned());
        without_basis +=
            u32::from(body["regs"]["gdpr"] == 1 || body["device"]["lmt"] == 1 || body["device"]["dnt"] == 1);
        odd += u32::from(imp["banner"].is_null() || imp["bidfloorcur"] != "USD" || body["wseat"].is_array());
        apps += u32::from(body["app"].is_object());
        second_price += u32::from(request.auction == AuctionType::SecondPlus);
        bytes += sent.len();
    }
    assert_eq!(requests.iter().map(|it| &it.id).collect::<HashSet<_>>().len(), requests.len());
    assert!((240..400).contains(&without_basis), "{without_basis} of 4000 without a basis");
    assert!((80..240).contains(&odd), "{odd} of 4000 that no banner bidder can take");
    assert!((800..2400).contains(&apps), "{apps} of 4000 in apps");
    assert!((1850..2150).contains(&second_price), "{second_price} of 4000 second-price");
    let mean = bytes / requests.len();
    assert!((1000..2000).contains(&mean), "{mean} bytes a request");
    let events = world.next_shop_events(start() + Duration::from_secs(86_400));
    assert!(events.iter().any(|event| shop_users.contains(&event.user_id)), "the same users shop and surf");
}
