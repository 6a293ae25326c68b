//! What a user sees of exploration: what can be said, and what each mistake is told as.

use haggle::config::explain;
use haggle_domain::{CandidatePolicy, CreativePolicy, Explore};

use super::{GOOD, SERVER, load};

fn with(explore: &str) -> String {
    GOOD.replacen("[targeting]", &format!("explore = {explore}\n[targeting]"), 1)
}

#[test]
fn policies_are_read_and_explained() {
    let all = "{ creatives = \"epsilon_greedy\", candidates = \"ucb\", epsilon = 0.2, budget = 0.125 }";
    let loaded = load(SERVER, &[&with(all)]).unwrap();
    let expected = Explore {
        creatives: CreativePolicy::EpsilonGreedy,
        candidates: CandidatePolicy::Ucb,
        epsilon: 0.2,
        budget_ppm: 125_000,
    };
    assert_eq!(loaded.campaigns[0].explore, expected);
    let text = explain::explain(&loaded);
    assert!(text.contains("creatives by epsilon_greedy, tries by ucb for 12.5 % of its money"), "{text}");
    let loaded = load(SERVER, &[&with("{ creatives = \"squarecb\" }")]).unwrap();
    assert_eq!(
        loaded.campaigns[0].explore,
        Explore { creatives: CreativePolicy::SquareCb, ..Explore::default() }
    );
    let plain = load(SERVER, &[GOOD]).unwrap();
    assert_eq!(plain.campaigns[0].explore, Explore::default());
    assert!(!explain::explain(&plain).contains("creatives by"));
}

#[test]
fn each_mistake_in_exploration_is_told() {
    for (explore, told) in [
        ("5", "explore: is a whole number, must be a table like { key = \"value\" }"),
        ("{ creative = \"ucb\" }", "explore.creative: unknown key; did you mean creatives?"),
        (
            "{ creatives = \"thomson\" }",
            "explore.creatives: \"thomson\" is none of \"thompson\", \"ucb\", \"epsilon_greedy\", \"squarecb\", \
             \"uniform\", \"greedy\", \"first\"",
        ),
        (
            "{ candidates = \"uniform\" }",
            "explore.candidates: \"uniform\" is none of \"none\", \"thompson\", \"ucb\", \"epsilon_greedy\", \"squarecb\"",
        ),
        (
            "{ epsilon = 0.1 }",
            "explore.epsilon: says nothing where no policy is \"epsilon_greedy\"; leave it out, or name that policy",
        ),
        (
            "{ creatives = \"epsilon_greedy\", epsilon = 0.0 }",
            "explore.epsilon: must be a number above 0 and at most 1, without quotes, like 0.05",
        ),
        (
            "{ creatives = \"epsilon_greedy\", epsilon = nan }",
            "explore.epsilon: must be a number above 0 and at most 1, without quotes, like 0.05",
        ),
        (
            "{ budget = 0.1 }",
            "explore.budget: says nothing where no bid is raised; leave it out, or add a policy like \
             candidates = \"thompson\"",
        ),
        (
            "{ candidates = \"ucb\", budget = 0.6 }",
            "explore.budget: must be a number above 0 and at most 0.5, without quotes, like 0.05",
        ),
        (
            "{ candidates = \"ucb\", budget = \"0.1\" }",
            "explore.budget: must be a number above 0 and at most 0.5, without quotes, like 0.05",
        ),
    ] {
        let text = load(SERVER, &[&with(explore)]).unwrap_err().to_string();
        assert!(text.contains(told), "{explore}: {text}");
    }
    let fixed = with("{ candidates = \"ucb\" }")
        .lines()
        .map(|line| if line.starts_with("goal") { "goal = { cpm = { price = \"4.00\" } }" } else { line })
        .collect::<Vec<_>>()
        .join("\n");
    let text = load(SERVER, &[&fixed]).unwrap_err().to_string();
    let told = "explore.candidates: has nothing to find out under a goal that pays for impressions, whatever becomes of \
                them; leave it out";
    assert!(text.contains(told), "{text}");
}
