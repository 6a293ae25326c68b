//! Whether a campaign is meant for an opportunity.

use haggle_domain::{Context, Predicate, Profile, Tag, Targeting, Timestamp};

/// Evaluates a targeting expression: all of `all`, one of `any` if there are any, none of `none`.
///
/// `profile` is `None` where there is no legal basis to read one, or nothing is known; behaviour then never holds.
pub fn matches(targeting: &Targeting, context: &Context, profile: Option<&Profile>, now: Timestamp) -> bool {
    let holds = |predicate: &Predicate| holds(predicate, context, profile, now);
    targeting.all.iter().all(holds)
        && (targeting.any.is_empty() || targeting.any.iter().any(holds))
        && !targeting.none.iter().any(holds)
}

/// Whether it would match for a user who did what it asks for: all that is not behaviour does.
pub fn matches_some_user(targeting: &Targeting, context: &Context, now: Timestamp) -> bool {
    let holds = |predicate: &Predicate| holds(predicate, context, None, now);
    let could = |predicate: &Predicate| matches!(predicate, Predicate::Behaviour { .. }) || holds(predicate);
    targeting.all.iter().all(could)
        && (targeting.any.is_empty() || targeting.any.iter().any(could))
        && !targeting.none.iter().any(holds)
}

fn holds(predicate: &Predicate, context: &Context, profile: Option<&Profile>, now: Timestamp) -> bool {
    let one_of = |wanted: &[Tag], actual: Tag| actual.is_some() && wanted.contains(&actual);
    match predicate {
        Predicate::Country(wanted) => one_of(wanted, context.country),
        Predicate::Region(wanted) => one_of(wanted, context.region),
        Predicate::City(wanted) => one_of(wanted, context.city),
        Predicate::Interest(wanted) => {
            context.interests.iter().chain(&context.segments).any(|interest| wanted.contains(interest))
        }
        Predicate::Behaviour { did, what, within, at_least } => profile
            .filter(|_| context.user.is_some())
            .and_then(|profile| profile.find(*did, *what))
            .is_some_and(|seen| seen.count >= *at_least && now.since(seen.last) <= *within),
        Predicate::Device(wanted) => wanted.contains(&context.device),
        Predicate::Os(wanted) => one_of(wanted, context.os),
        Predicate::Language(wanted) => one_of(wanted, context.language),
        Predicate::Inventory(wanted) => one_of(wanted, context.inventory),
        Predicate::Exchange(wanted) => wanted.contains(&context.exchange),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use haggle_domain::{BehaviourKind, UserKey};

    use super::*;

    fn country(code: &str) -> Predicate {
        Predicate::Country(vec![Tag::of(code)])
    }

    #[test]
    fn all_any_and_none_combine() {
        let context = Context {
            country: Tag::of("USA"),
            interests: [Tag::of("hiking")].into_iter().collect(),
            ..Context::default()
        };
        let now = Timestamp(0);
        let check = |targeting: Targeting| matches(&targeting, &context, None, now);
        assert!(check(Targeting::default()), "empty matches everything");
        assert!(check(Targeting { all: vec![country("usa")], ..Targeting::default() }));
        assert!(!check(Targeting { all: vec![country("USA"), country("DEU")], ..Targeting::default() }));
        assert!(check(Targeting { any: vec![country("DEU"), country("USA")], ..Targeting::default() }));
        assert!(!check(Targeting { any: vec![country("DEU")], ..Targeting::default() }));
        assert!(!check(Targeting { none: vec![country("USA")], ..Targeting::default() }));
        assert!(!check(Targeting {
            none: vec![Predicate::Interest(vec![Tag::of("Hiking")])],
            ..Targeting::default()
        }));
        let silent = Context::default();
        assert!(!matches(
            &Targeting { all: vec![Predicate::Country(vec![Tag::NONE])], ..Targeting::default() },
            &silent,
            None,
            now
        ));
    }

    #[test]
    fn behaviour_counts_recency_and_needs_a_basis() {
        let now = Timestamp(0) + Duration::from_secs(10 * 86_400);
        let mut profile = Profile::default();
        profile.note(BehaviourKind::Viewed, Tag::of("boots"), now - Duration::from_secs(3 * 86_400));
        let wants = |days: u64, at_least| Targeting {
            all: vec![Predicate::Behaviour {
                did: BehaviourKind::Viewed,
                what: Tag::of("boots"),
                within: Duration::from_secs(days * 86_400),
                at_least,
            }],
            ..Targeting::default()
        };
        let known = Context { user: Some(UserKey(1)), ..Context::default() };
        assert!(matches(&wants(7, 1), &known, Some(&profile), now));
        assert!(!matches(&wants(2, 1), &known, Some(&profile), now));
        assert!(!matches(&wants(7, 2), &known, Some(&profile), now));
        assert!(!matches(&wants(7, 1), &known, None, now));
        assert!(!matches(&wants(7, 1), &Context::default(), Some(&profile), now), "no basis, no profile");
    }

    #[test]
    fn only_behaviour_waits_for_a_user() {
        let behaviour = || Predicate::Behaviour {
            did: BehaviourKind::Viewed,
            what: Tag::of("boots"),
            within: Duration::from_secs(1),
            at_least: 1,
        };
        let context = Context { country: Tag::of("USA"), ..Context::default() };
        let some = |all: Vec<Predicate>, any: Vec<Predicate>, none: Vec<Predicate>| {
            matches_some_user(&Targeting { all, any, none }, &context, Timestamp(0))
        };
        assert!(some(vec![behaviour()], vec![], vec![]));
        assert!(some(vec![country("USA"), behaviour()], vec![], vec![behaviour()]));
        assert!(!some(vec![country("DEU"), behaviour()], vec![], vec![]), "no user changes the country");
        assert!(some(vec![], vec![country("DEU"), behaviour()], vec![]));
        assert!(!some(vec![], vec![country("DEU")], vec![]));
        assert!(!some(vec![behaviour()], vec![], vec![country("USA")]));
    }
}
