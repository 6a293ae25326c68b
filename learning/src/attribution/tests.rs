use proptest::prelude::*;

use haggle_domain::Micros;

use super::*;

const DAY: Duration = Duration::from_secs(86_400);

fn touch(hours: i64, campaign: u64, clicked: bool) -> Touch {
    Touch { at: Timestamp(hours * 3_600_000_000), campaign: CampaignKey(campaign), clicked }
}

fn close(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{found:?}");
    assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9), "{found:?} is not {expected:?}");
}

#[test]
fn rules_as_everybody_computes_them() {
    let path = [touch(0, 1, false), touch(24, 2, true), touch(48, 3, true), touch(72, 1, false)];
    let at = Timestamp(96 * 3_600_000_000);
    let of = |model| shares(model, &path, at, DAY, None).unwrap();
    close(&of(AttributionModel::Last), &[0.0, 0.0, 1.0, 0.0]);
    close(&of(AttributionModel::First), &[0.0, 1.0, 0.0, 0.0]);
    close(&of(AttributionModel::Linear), &[0.25; 4]);
    // One, two, three and four half-lives before the order: 1, 2, 4 and 8 of 15.
    close(&of(AttributionModel::Decay), &[1.0 / 15.0, 2.0 / 15.0, 4.0 / 15.0, 8.0 / 15.0]);
    close(&of(AttributionModel::Position), &[0.4, 0.1, 0.1, 0.4]);
    let views = [touch(0, 1, false), touch(1, 2, false)];
    close(&shares(AttributionModel::Last, &views, at, DAY, None).unwrap(), &[0.0, 1.0]);
    close(&shares(AttributionModel::First, &views, at, DAY, None).unwrap(), &[1.0, 0.0]);
    close(&shares(AttributionModel::Position, &views, at, DAY, None).unwrap(), &[0.5, 0.5]);
    assert_eq!(shares(AttributionModel::Shapley, &path, at, DAY, None), None, "nothing was fitted");
    assert_eq!(shares(AttributionModel::Last, &[], at, DAY, None), None);
}

/// Three players (Shapley's glove game): one has a left glove, two a right one, and only a pair is worth anything.
#[test]
fn shapleys_value_of_the_glove_game() {
    let worth = |mask: u64| f64::from(u8::from(mask & 1 == 1 && mask & 6 != 0));
    close(&shapley::exact(3, worth), &[4.0 / 6.0, 1.0 / 6.0, 1.0 / 6.0]);
    let sampled = shapley::sampled(3, 20_000, 1, worth);
    assert!((sampled[0] - 4.0 / 6.0).abs() < 0.02 && (sampled[1] - sampled[2]).abs() < 0.02, "{sampled:?}");
}

/// Of 1,000 users each: A alone 10 % order, B alone 20 %, both 40 %. In a path with both A adds (10 + 20) ÷ 2, B (20 + 30) ÷ 2.
#[test]
fn shapley_of_two_campaigns_by_hand() {
    let mut journeys = Journeys::default();
    let (a, b) = (touch(0, 1, false), touch(1, 2, true));
    for user in 0..100_000 {
        journeys.note(&[a], user % 10 == 0);
        journeys.note(&[b], user % 5 == 0);
        journeys.note(&[a, b], user % 5 < 2);
    }
    let fitted = Fitted::of(&journeys).unwrap();
    let path = [a, b, touch(2, 1, true)];
    let found = shares(AttributionModel::Shapley, &path, Timestamp(0), DAY, Some(&fitted)).unwrap();
    let expected = [0.375 / 2.0, 0.625, 0.375 / 2.0];
    assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-3), "{found:?}");
}

/// Four journeys: A → B → order, A → away, B → order, B → away. From A half go to B and half away; from B two of three order.
/// Orders: ½·½·⅔ + ½·⅔ = ½. Without A: ½·⅔ = ⅓, an effect of ⅓; without B nobody orders, an effect of 1.
#[test]
fn removal_effects_of_two_campaigns_by_hand() {
    let mut journeys = Journeys::default();
    let (a, b) = (touch(0, 1, false), touch(1, 2, true));
    for (path, ordered) in [(&[a, b][..], true), (&[a], false), (&[b], true), (&[b], false)] {
        journeys.note(path, ordered);
    }
    let removal = markov::Removal::of(&journeys);
    close(&[removal.effect(a.campaign).unwrap(), removal.effect(b.campaign).unwrap()], &[1.0 / 3.0, 1.0]);
    close(&removal.shares(&[a.campaign, b.campaign]), &[0.25, 0.75]);
}

#[test]
fn little_is_not_fitted_to() {
    let mut journeys = Journeys::default();
    for _ in 0..ENOUGH - 1 {
        journeys.note(&[touch(0, 1, true)], true);
        journeys.note(&[touch(0, 1, true)], false);
    }
    assert!(Fitted::of(&journeys).is_none());
    journeys.note(&[touch(0, 1, true)], true);
    journeys.note(&[touch(0, 1, true)], false);
    assert!(Fitted::of(&journeys).is_some());
}

#[test]
fn counts_stay_within_their_bounds_and_come_back_from_bytes() {
    let mut journeys = Journeys::default();
    for user in 0..3 * MOST_SETS as u64 {
        journeys.note(&[touch(0, user, false), touch(1, user + 1, true)], user % 3 == 0);
        journeys.note(&[touch(0, 7, false)], false);
    }
    assert!(journeys.sets().count() <= MOST_SETS && journeys.steps().count() <= MOST_STEPS);
    let often = journeys.sets().find(|(set, ..)| *set == [CampaignKey(7)]).unwrap();
    assert!(often.1 > 1_000, "what comes often is not forgotten: {often:?}");
    let bytes = minicbor::to_vec(&journeys).unwrap();
    assert_eq!(minicbor::decode::<Journeys>(&bytes).unwrap(), journeys);
}

fn any_path() -> impl Strategy<Value = Vec<Touch>> {
    let touches = proptest::collection::vec((0i64..2_000, 0u64..16, any::<bool>()), 1..30);
    touches.prop_map(|mut touches| {
        touches.sort_unstable();
        touches.into_iter().map(|(hours, campaign, clicked)| touch(hours, campaign, clicked)).collect()
    })
}

fn fitted(paths: &[Vec<Touch>]) -> Fitted {
    let mut journeys = Journeys::default();
    for (at, path) in paths.iter().cycle().take(200).enumerate() {
        journeys.note(path, at % 3 == 0);
    }
    Fitted::of(&journeys).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn credits_are_not_negative_and_sum_to_the_value_to_the_micro(
        path in any_path(),
        others in proptest::collection::vec(any_path(), 1..20),
        value in 0i64..1_000_000_000_000_000,
    ) {
        let fitted = fitted(&others);
        for model in AttributionModel::ALL {
            let shares = shares(model, &path, Timestamp(i64::MAX / 2), DAY, Some(&fitted)).unwrap();
            prop_assert!(shares.iter().all(|share| (0.0..=1.0 + 1e-12).contains(share)), "{model:?} {shares:?}");
            prop_assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{model:?} {shares:?}");
            let parts = split(Micros(value), &shares);
            prop_assert!(parts.iter().all(|part| *part >= Micros::ZERO));
            prop_assert_eq!(parts.iter().map(|part| part.0).sum::<i64>(), value);
        }
    }

    #[test]
    fn no_part_is_off_by_a_micro(value in 0i64..1_000_000_000, weights in proptest::collection::vec(0.0f64..1.0, 1..20)) {
        prop_assume!(weights.iter().sum::<f64>() > 0.1);
        let sum: f64 = weights.iter().sum();
        for (part, weight) in split(Micros(value), &weights).into_iter().zip(&weights) {
            prop_assert!((part.0 as f64 - value as f64 * weight / sum).abs() < 1.0 + 1e-2);
        }
    }

    #[test]
    fn any_weights_are_split(value in any::<i64>(), weights in proptest::collection::vec(any::<f64>(), 0..9)) {
        let parts = split(Micros(value), &weights);
        let expected = if weights.is_empty() { 0 } else { value.max(0) };
        prop_assert_eq!(parts.iter().map(|part| part.0).sum::<i64>(), expected);
    }

    /// By whom the touches were is all that data-driven models look at, so their order does not matter; nor does it to a mean.
    #[test]
    fn what_looks_at_no_order_does_not_depend_on_it(path in any_path(), others in proptest::collection::vec(any_path(), 1..9)) {
        let (fitted, reversed) = (fitted(&others), path.iter().rev().copied().collect::<Vec<_>>());
        for model in [AttributionModel::Linear, AttributionModel::Shapley, AttributionModel::Markov] {
            let of = |path: &[Touch]| shares(model, path, Timestamp(0), DAY, Some(&fitted)).unwrap();
            let mut back = of(&reversed);
            back.reverse();
            close(&of(&path), &back);
        }
    }

    /// Campaigns that do the same get the same, whatever they are called.
    #[test]
    fn alike_is_credited_alike(paths in proptest::collection::vec(any_path(), 1..9)) {
        let twin = |path: &Vec<Touch>| -> Vec<Touch> {
            let swap = |campaign: CampaignKey| CampaignKey(campaign.0 ^ 1);
            path.iter().map(|touch| Touch { campaign: swap(touch.campaign), ..*touch }).collect()
        };
        let mut journeys = Journeys::default();
        for (at, path) in paths.iter().cycle().take(200).enumerate() {
            journeys.note(path, at % 3 == 0);
            journeys.note(&twin(path), at % 3 == 0);
        }
        let fitted = Fitted::of(&journeys).unwrap();
        let both = [CampaignKey(0), CampaignKey(1)];
        for shares in [fitted.rates.shares(&both), fitted.removal.shares(&both)] {
            prop_assert!((shares[0] - shares[1]).abs() < 1e-9, "{shares:?}");
        }
    }

    #[test]
    fn sampling_comes_close_to_the_exact_value(rates in proptest::collection::vec(0.0f64..1.0, 64)) {
        // Any game of six players in which more are worth more.
        let worth = |mask: u64| (0..64u64).filter(|set| set & mask == *set).map(|set| rates[set as usize]).fold(0.0, f64::max);
        let exact = shapley::exact(6, worth);
        let sampled = shapley::sampled(6, 4_096, 9, worth);
        for (exact, sampled) in exact.iter().zip(&sampled) {
            prop_assert!((exact - sampled).abs() < 0.05, "{exact} {sampled}");
        }
        prop_assert!((exact.iter().sum::<f64>() - (worth(63) - worth(0))).abs() < 1e-9);
        prop_assert!((sampled.iter().sum::<f64>() - (worth(63) - worth(0))).abs() < 1e-9);
    }
}
