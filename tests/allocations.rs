//! How often a request asks for memory once its worker has answered a few.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use haggle::allocator::{Counting, allocations, allocations_here};
use haggle::server::{Reply, reply};
use support::{HandClock, Rig, write_config};

#[global_allocator]
static ALLOCATOR: Counting<std::alloc::System> = Counting(std::alloc::System);

/// The allocations of the last of several like requests, and how it is answered.
fn of_one(rig: &Rig, body: &str) -> (u64, Reply) {
    // The memory that is kept has its size after the first. More would spend what the lease has.
    for _ in 0..2 {
        reply(&rig.node.state, 0, body.as_bytes(), std::time::Duration::ZERO).unwrap();
    }
    let before = allocations_here();
    let answer = reply(&rig.node.state, 0, body.as_bytes(), std::time::Duration::ZERO).unwrap();
    (allocations_here() - before, answer)
}

#[actix_rt::test]
async fn a_request_allocates_its_parts_and_its_answer_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    write_config(folder.path());
    let rig = Rig::start(folder.path(), &HandClock::new()).await;
    rig.funded().await;
    let request = |size: &str| {
        format!(
            r#"{{"id":"r","at":2,"imp":[{{"id":"1","banner":{{{size}}}}}],"site":{{"domain":"a.example","page":"https://a.example/b",
            "cat":["IAB1"],"publisher":{{"id":"7"}}}},"device":{{"ua":"Mozilla/5.0 (X11; Linux x86_64)","ip":"8.8.8.8",
            "geo":{{"country":"USA"}}}},"user":{{"buyeruid":"u-1"}},"bcat":["IAB7","IAB8"],"badv":["rival.example"]}}"#
        )
    };
    // The list of imps, the banner and the site: three boxes of the parsed request.
    let (count, answer) = of_one(&rig, &request(r#""w":728,"h":90"#));
    assert!(matches!(answer, Reply::NoBid(None)), "{answer:?}");
    assert_eq!(count, 3);
    // Besides those the answer's text and the features that the bid's decision keeps.
    let (count, answer) = of_one(&rig, &request(r#""w":300,"h":250"#));
    assert!(matches!(answer, Reply::Bids(_)), "{answer:?}");
    assert_eq!(count, 5);
    assert!(allocations() > 0);
    rig.stop().await;
}
