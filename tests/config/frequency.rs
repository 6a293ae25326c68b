//! What a user sees of frequency caps: what can be said, and what each mistake is told as.

use std::time::Duration;

use haggle::config::explain;
use haggle_domain::{CapScope, CapWindow, Frequency, FrequencyCap};

use super::{GOOD, SERVER, load};

fn with(lines: &str) -> String {
    GOOD.replacen("[targeting]", &format!("{lines}\n[targeting]"), 1)
}

#[test]
fn caps_are_read_and_explained() {
    let lines = "frequency = [{ per = \"campaign\", most = 5, within = \"1d\" }, \
                 { per = \"creative\", most = 2, within = \"90m\" }, \
                 { per = \"advertiser\", most = 255, within = \"lifetime\" }]\nfrequency_unknown = \"bid\"";
    let loaded = load(SERVER, &[&with(lines)]).unwrap();
    let last = |seconds| CapWindow::Last(Duration::from_secs(seconds));
    let cap = |per, most, within| FrequencyCap { per, most, within };
    let caps = vec![
        cap(CapScope::Campaign, 5, last(86_400)),
        cap(CapScope::Creative, 2, last(5400)),
        cap(CapScope::Advertiser, 255, CapWindow::Lifetime),
    ];
    assert_eq!(loaded.campaigns[0].frequency, Frequency { caps, bids_on_unknown: true });
    let text = explain::explain(&loaded);
    let said =
        "at most 5 per campaign in 1d, 2 per creative in 90m, 255 per advertiser ever; unknown users too";
    assert!(text.contains(said), "{text}");
    let plain = load(SERVER, &[GOOD]).unwrap();
    assert_eq!(plain.campaigns[0].frequency, Frequency::default());
    assert!(!explain::explain(&plain).contains("at most"));
}

#[test]
fn each_mistake_in_a_cap_is_told() {
    let one = |cap: &str| format!("frequency = [{cap}]");
    let campaign = |rest: &str| one(&format!("{{ per = \"campaign\", {rest} }}"));
    let good = "{ per = \"campaign\", most = 5, within = \"1d\" }";
    for (lines, told) in [
        (
            one(""),
            "frequency: is empty; leave it out, or write it like [{ per = \"campaign\", most = 5, within = \"1d\" }]",
        ),
        (one(&[good; 9].join(", ")), "frequency: has 9 caps, and at most 8 are counted; leave some out"),
        (
            one(&[good; 2].join(", ")),
            "frequency[1]: counts the same as an earlier cap; keep the one that is meant",
        ),
        (one("5"), "frequency[0]: is a whole number, must be a table like { key = \"value\" }"),
        (campaign("most = 5"), "frequency[0].within: is missing; add within = \"1d\""),
        (
            campaign("most = 0, within = \"1d\""),
            "frequency[0].most: is 0, must be a whole number from 1 to 255",
        ),
        (
            campaign("most = 256, within = \"1d\""),
            "frequency[0].most: is 256, must be a whole number from 1 to 255",
        ),
        (
            campaign("most = 1, within = \"59s\""),
            "frequency[0].within: \"59s\" is not between \"1m\" and \"90d\"; for longer write \"lifetime\"",
        ),
        (
            campaign("most = 1, within = \"91d\""),
            "frequency[0].within: \"91d\" is not between \"1m\" and \"90d\"; for longer write \"lifetime\"",
        ),
        (
            campaign("most = 1, within = \"ever\""),
            "frequency[0].within: \"ever\" is not a span of time; write it like \"1h\", \"7d\" or \"lifetime\"",
        ),
        (
            one("{ per = \"user\", most = 1, within = \"1d\" }"),
            "frequency[0].per: \"user\" is none of \"campaign\", \"creative\", \"advertiser\"",
        ),
        (
            campaign("most = 1, within = \"1d\", whithin = 1"),
            "frequency[0].whithin: unknown key; did you mean within?",
        ),
        (
            "frequency_unknown = \"bid\"".to_owned(),
            "frequency_unknown: says nothing where there are no caps; leave it out, or add frequency = \
             [{ per = \"campaign\", most = 5, within = \"1d\" }]",
        ),
        (
            format!("{}\nfrequency_unknown = \"no\"", one(good)),
            "frequency_unknown: \"no\" is none of \"skip\", \"bid\"",
        ),
    ] {
        let error = load(SERVER, &[&with(&lines)]).expect_err(told);
        assert!(error.trim_end().ends_with(told), "{error}\n{told}");
    }
}

#[test]
fn what_a_campaign_does_while_shared_users_are_away_is_said_where_it_matters() {
    let capped = "frequency = [{ per = \"campaign\", most = 5, within = \"1d\" }]\n";
    let of = |lines: &str| load(SERVER, &[&with(lines)]);
    let open = of(&format!("{capped}user_state_away = \"open\"")).unwrap();
    assert!(open.campaigns[0].bids_without_user_state);
    assert!(explain::explain(&open).contains("bids while shared users are away"));
    let closed = of(&format!("{capped}user_state_away = \"closed\"")).unwrap();
    assert!(!closed.campaigns[0].bids_without_user_state);
    assert_eq!(closed.campaigns, of(capped).unwrap().campaigns);
    // The good campaign asks for a behaviour, this one does not.
    let (start, end) = (GOOD.find("[targeting]").unwrap(), GOOD.find("[[creatives]]").unwrap());
    let plain = format!("{}user_state_away = \"open\"\n{}", &GOOD[..start], &GOOD[end..]);
    for (campaign, says) in [
        (with("user_state_away = \"ajar\""), "user_state_away: \"ajar\" is none of \"closed\", \"open\""),
        (
            plain,
            "user_state_away: says nothing where neither frequency, a goal of reach nor a behaviour goes by users",
        ),
    ] {
        let told = load(SERVER, &[&campaign]).unwrap_err();
        assert!(told.contains(says), "{says:?} not in {told}");
    }
}
