//! What a campaign tries beyond what it holds for best: `explore`.

use haggle_domain::{CandidatePolicy, CreativePolicy, Explore, Goal};

use super::document::{Node, Table};

/// Millionths.
const WHOLE: f64 = 1e6;
/// More of the money than that for trying is a slip.
const HIGHEST_BUDGET: f64 = 0.5;

const CREATIVES: [(&str, CreativePolicy); 7] = [
    ("thompson", CreativePolicy::Thompson),
    ("ucb", CreativePolicy::Ucb),
    ("epsilon_greedy", CreativePolicy::EpsilonGreedy),
    ("squarecb", CreativePolicy::SquareCb),
    ("uniform", CreativePolicy::Uniform),
    ("greedy", CreativePolicy::Greedy),
    ("first", CreativePolicy::First),
];
const CANDIDATES: [(&str, CandidatePolicy); 5] = [
    ("none", CandidatePolicy::None),
    ("thompson", CandidatePolicy::Thompson),
    ("ucb", CandidatePolicy::Ucb),
    ("epsilon_greedy", CandidatePolicy::EpsilonGreedy),
    ("squarecb", CandidatePolicy::SquareCb),
];

/// Reads the key of a campaign with this goal.
pub(super) fn read(root: &mut Table<'_>, goal: Option<Goal>) -> Option<Explore> {
    let Some(node) = root.get("explore") else { return Some(Explore::default()) };
    let mut table = node.table()?;
    let creatives_node = table.get("creatives");
    let candidates_node = table.get("candidates");
    let (epsilon_node, budget_node) = (table.get("epsilon"), table.get("budget"));
    table.finish();
    let standard = Explore::default();
    let creatives = creatives_node.map_or(Some(standard.creatives), |node| node.choice(&CREATIVES));
    let candidates =
        candidates_node.as_ref().map_or(Some(standard.candidates), |node| node.choice(&CANDIDATES));
    let epsilon = epsilon_node.as_ref().map_or(Some(standard.epsilon), |node| share(node, 1.0));
    let budget_ppm = budget_node.as_ref().map_or(Some(standard.budget_ppm), |node| {
        // At most half a million.
        share(node, HIGHEST_BUDGET).map(|share| (share * WHOLE).round() as u32)
    });
    let (creatives, candidates) = (creatives?, candidates?);
    let (epsilon, budget_ppm) = (epsilon?, budget_ppm?);
    let random = creatives == CreativePolicy::EpsilonGreedy || candidates == CandidatePolicy::EpsilonGreedy;
    if let Some(node) = epsilon_node.filter(|_| !random) {
        node.fail("says nothing where no policy is \"epsilon_greedy\"; leave it out, or name that policy");
        return None;
    }
    if candidates == CandidatePolicy::None {
        if let Some(node) = budget_node {
            node.fail(
                "says nothing where no bid is raised; leave it out, or add a policy like candidates = \"thompson\"",
            );
            return None;
        }
    } else if let (Some(Goal::Cpm { .. } | Goal::Vcpm { .. } | Goal::Reach { .. }), Some(node)) =
        (goal, candidates_node)
    {
        node.fail("has nothing to find out under a goal that pays for impressions, whatever becomes of them; leave it out");
        return None;
    }
    Some(Explore { creatives, candidates, epsilon, budget_ppm })
}

/// A number above 0; no money, so without quotes.
fn share(node: &Node<'_>, most: f64) -> Option<f64> {
    let found = node.number().filter(|number| *number >= 1.0 / WHOLE && *number <= most);
    if found.is_none() {
        node.fail(format!("must be a number above 0 and at most {most}, without quotes, like 0.05"));
    }
    found
}

/// As a person would say it; empty where it is as nothing was said.
pub(super) fn show(explore: &Explore) -> String {
    let standard = Explore::default();
    let mut parts = Vec::new();
    if explore.creatives != standard.creatives {
        let word =
            CREATIVES.iter().find(|(_, policy)| *policy == explore.creatives).map_or("", |(word, _)| word);
        parts.push(format!("creatives by {word}"));
    }
    if explore.candidates != CandidatePolicy::None {
        let word =
            CANDIDATES.iter().find(|(_, policy)| *policy == explore.candidates).map_or("", |(word, _)| word);
        parts.push(format!("tries by {word} for {} % of its money", f64::from(explore.budget_ppm) / 1e4));
    }
    parts.join(", ")
}
