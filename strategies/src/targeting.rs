//! Whether a campaign is meant for an opportunity.

use haggle_domain::planted::{Bug, planted};
use haggle_domain::time::Local;
use haggle_domain::{Context, Opportunity, Predicate, Profile, Tag, Targeting, Timestamp};

/// All that a targeting expression may ask about.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// What the imps of the request share.
    pub context: &'a Context,
    /// The imp.
    pub opportunity: &'a Opportunity,
    /// `None` where there is no legal basis to read one, or nothing is known; behaviour then never holds.
    pub profile: Option<&'a Profile>,
    /// When.
    pub now: Timestamp,
}

/// Evaluates a targeting expression: all of `all`, one of `any` if there are any, none of `none`.
pub fn matches(targeting: &Targeting, asked: &Asked<'_>) -> bool {
    let holds = |predicate: &Predicate| holds(predicate, asked);
    targeting.all.iter().all(holds)
        && (targeting.any.is_empty() || targeting.any.iter().any(holds))
        && (planted(Bug::NoneIgnored) || !targeting.none.iter().any(holds))
}

/// Whether it would match for a user of whom enough were known: all that is asked of users alone counts as given.
pub fn matches_some_user(targeting: &Targeting, asked: &Asked<'_>) -> bool {
    let nobody = Asked { profile: None, ..*asked };
    let holds = |predicate: &Predicate| holds(predicate, &nobody);
    let could = |predicate: &Predicate| is_of_users(predicate) || holds(predicate);
    targeting.all.iter().all(could)
        && (targeting.any.is_empty() || targeting.any.iter().any(could))
        && !targeting.none.iter().any(holds)
}

/// Whether a predicate asks for what is known of users by their ids alone, not for what a request says.
fn is_of_users(predicate: &Predicate) -> bool {
    matches!(predicate, Predicate::Behaviour { .. } | Predicate::UserList(_))
}

fn holds(predicate: &Predicate, asked: &Asked<'_>) -> bool {
    let context = asked.context;
    let one_of = |wanted: &[Tag], actual: Tag| actual.is_some() && wanted.contains(&actual);
    let some_of = |wanted: &[Tag], actual: &[Tag]| actual.iter().any(|tag| one_of(wanted, *tag));
    match predicate {
        Predicate::Country(wanted) => one_of(wanted, context.country),
        Predicate::Region(wanted) => one_of(wanted, context.region),
        Predicate::City(wanted) => one_of(wanted, context.city),
        Predicate::Postcode(wanted) => some_of(wanted, &context.postcodes),
        Predicate::Near { centre, metres } => {
            context.place.is_some_and(|place| centre.metres_to(place) <= f64::from(*metres))
        }
        Predicate::Category(wanted) => some_of(wanted, &context.categories),
        Predicate::Keyword(wanted) => some_of(wanted, &context.keywords),
        Predicate::Segment(wanted) => some_of(wanted, &context.segments),
        Predicate::Interest(wanted) => {
            some_of(wanted, &context.interests) || some_of(wanted, &context.segments)
        }
        Predicate::Behaviour { did, what, within, at_least } => asked
            .profile
            .filter(|_| context.user.is_some())
            .and_then(|profile| profile.find(*did, *what))
            .is_some_and(|seen| seen.count >= *at_least && asked.now.since(seen.last) <= *within),
        Predicate::Device(wanted) => wanted.contains(&context.device),
        Predicate::Os(wanted) => one_of(wanted, context.os),
        Predicate::Browser(wanted) => one_of(wanted, context.browser),
        Predicate::Connection(wanted) => wanted.contains(&context.connection),
        Predicate::Language(wanted) => one_of(wanted, context.language),
        Predicate::Inventory(wanted) => one_of(wanted, context.inventory),
        Predicate::List(wanted) => context.lists.iter().any(|list| wanted.contains(list)),
        Predicate::Publisher(wanted) => one_of(wanted, context.publisher),
        Predicate::Placement(wanted) => one_of(wanted, asked.opportunity.placement),
        Predicate::Deal(wanted) => asked.opportunity.deals.iter().any(|deal| one_of(wanted, deal.key)),
        Predicate::Exchange(wanted) => wanted.contains(&context.exchange),
        Predicate::UserList(wanted) => {
            context.user.is_some() && context.user_lists.iter().any(|list| wanted.contains(list))
        }
        Predicate::Hours(dayparts) => context.utc_offset.is_some_and(|offset| {
            let local = Local::at_offset(asked.now, offset);
            dayparts.iter().any(|daypart| daypart.contains(local))
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use haggle_domain::{BehaviourKind, UserKey};

    use super::*;

    fn asked<'a>(context: &'a Context, profile: Option<&'a Profile>, now: Timestamp) -> Asked<'a> {
        // Nothing in these tests asks about the imp.
        static IMP: std::sync::LazyLock<Opportunity> = std::sync::LazyLock::new(Opportunity::default);
        Asked { context, opportunity: &IMP, profile, now }
    }

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
        let check = |targeting: Targeting| matches(&targeting, &asked(&context, None, now));
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
            &asked(&silent, None, now)
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
        assert!(matches(&wants(7, 1), &asked(&known, Some(&profile), now)));
        assert!(!matches(&wants(2, 1), &asked(&known, Some(&profile), now)));
        assert!(!matches(&wants(7, 2), &asked(&known, Some(&profile), now)));
        assert!(!matches(&wants(7, 1), &asked(&known, None, now)));
        assert!(
            !matches(&wants(7, 1), &asked(&Context::default(), Some(&profile), now)),
            "no basis, no profile"
        );
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
            matches_some_user(&Targeting { all, any, none }, &asked(&context, None, Timestamp(0)))
        };
        assert!(some(vec![behaviour()], vec![], vec![]));
        assert!(some(vec![country("USA"), behaviour()], vec![], vec![behaviour()]));
        assert!(!some(vec![country("DEU"), behaviour()], vec![], vec![]), "no user changes the country");
        assert!(some(vec![], vec![country("DEU"), behaviour()], vec![]));
        assert!(!some(vec![], vec![country("DEU")], vec![]));
        assert!(!some(vec![behaviour()], vec![], vec![country("USA")]));
    }
}
