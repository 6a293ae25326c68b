//! What a user sees of holding users out.

use haggle::config::explain;
use haggle_domain::Holdout;

use super::{GOOD, SERVER, load};

fn with(share: &str) -> String {
    GOOD.replacen("[targeting]", &format!("holdout = {share}\n[targeting]"), 1)
}

#[test]
fn a_share_is_read_and_explained() {
    let loaded = load(SERVER, &[&with("0.05")]).unwrap();
    assert_eq!(loaded.campaigns[0].holdout, Holdout::of(0.05));
    assert!(explain::explain(&loaded).contains("holds out 5 % of users"));
    for none in [load(SERVER, &[GOOD]).unwrap(), load(SERVER, &[&with("0")]).unwrap()] {
        assert!(none.campaigns[0].holdout.is_none() && !explain::explain(&none).contains("holds out"));
    }
    assert_eq!(load(SERVER, &[&with("0.5")]).unwrap().campaigns[0].holdout, Holdout::of(0.5));
}

#[test]
fn each_mistake_is_told() {
    for wrong in ["0.7", "-0.1", "nan", "\"0.05\"", "true"] {
        let text = load(SERVER, &[&with(wrong)]).unwrap_err().to_string();
        let told = "holdout: must be a share of the users from 0 to 0.5, without quotes, like 0.05: as many again are watched to \
                    compare them with";
        assert!(text.contains(told), "{wrong}: {text}");
    }
}
