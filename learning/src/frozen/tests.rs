//! What whoever serves a frozen model relies on.

use super::score::tests::{LEAST_SCORE, kernel_scores};
use super::*;
use crate::envelope;
use crate::offline::file::{FileError, KIND};
use crate::offline::learner::tests::{small_shop, small_world};
use crate::offline::math::{mix, value};
use crate::offline::{DeepSettings, Learner};
use crate::rows::{Batch, Slot};
use proptest::prelude::*;

const SCHEMA: u64 = 0x5eed;
const PRECISIONS: [Precision; 3] = [Precision::Whole, Precision::Half, Precision::Byte];
const SIDES: [Side; 3] = [Side::Request, Side::Ad, Side::Ad];

/// Settings that differ in all that changes how a score is put together, with the sides of their fields.
fn kinds() -> Vec<(DeepSettings, Vec<Side>)> {
    let kind = |size, hidden: &[u16], normalise, dropout| DeepSettings {
        fields: 3,
        size,
        bits: 6,
        hidden: hidden.to_vec(),
        normalise,
        dropout,
        minibatch: 64,
        ..DeepSettings::default()
    };
    use Side::{Ad, Request};
    vec![
        (kind(8, &[64, 32], false, 0.0), SIDES.to_vec()),
        (kind(8, &[32, 16, 16], true, 0.1), vec![Ad, Request, Ad]),
        (kind(16, &[16], true, 0.0), vec![Ad, Ad, Request]),
        (kind(16, &[32, 48], false, 0.3), vec![Request; 3]),
        (kind(8, &[], false, 0.0), vec![Ad, Request, Request]),
        (kind(8, &[16], false, 0.0), vec![Ad; 3]),
    ]
}

/// Of clicks alone.
fn trained(settings: &DeepSettings) -> Deep {
    trained_on(settings, small_world)
}

fn trained_on(settings: &DeepSettings, world: fn(std::ops::Range<u32>) -> Batch) -> Deep {
    let mut settings = settings.clone();
    settings.linear.bits = 8;
    let mut model = Deep::new(settings).unwrap();
    for pass in 0..4 {
        model.learn(&world(pass * 100..3000));
    }
    model
}

/// Each kind in each precision, of clicks alone and of clicks and orders.
fn models() -> Vec<Frozen> {
    let mut models = Vec::new();
    for (settings, sides) in kinds() {
        for world in [small_world, small_shop] {
            let plain = Plain::new(&trained_on(&settings, world), &sides);
            models.extend(PRECISIONS.map(|precision| Frozen::of(&plain, precision)));
        }
    }
    models
}

fn parts(model: &Frozen, slots: &[Slot]) -> (RequestPart, AdPart) {
    let mut request = RequestPart::default();
    model.request_part(slots, &mut request);
    (request, model.ad_part(slots))
}

/// The scores of a whole row, number by number, summed in the order in which the parts are.
fn literal(model: &Frozen, slots: &[Slot]) -> Scores {
    let order = model.orders.as_ref();
    Scores {
        click: literal_of(model, slots, (model.bias, &model.weights, &model.output)),
        conversion: order.map(|head| literal_of(model, slots, (head.bias, &head.weights, &head.output))),
    }
}

fn literal_of(model: &Frozen, slots: &[Slot], (bias, weights, output): (f32, &Table, &[f32])) -> f32 {
    let size = model.size;
    let side = |mine: Side| {
        let at: Vec<usize> =
            (0..model.fields.sides.len()).filter(|f| model.fields.sides[*f] == mine).collect();
        let mut own = 0.0;
        let mut row = vec![vec![0.0; size]; at.len()];
        for slot in slots {
            let place = at.iter().position(|f| *f == usize::from(slot.field));
            if place.is_none() && (mine == Side::Ad || model.fields.sides.len() > usize::from(slot.field)) {
                continue;
            }
            let (weights, vectors) = (weights.expand(), model.vectors.expand());
            own += value(slot.value) * weights[slot.index as usize % weights.len()];
            let Some(place) = place else { continue };
            let start = slot.index as usize % (vectors.len() / size) * size;
            for lane in 0..size {
                row[place][lane] += value(slot.value) * vectors[start + lane];
            }
        }
        (at, own, row)
    };
    let (request_fields, request_own, request) = side(Side::Request);
    let (ad_fields, ad_own, ad) = side(Side::Ad);
    let strength = |f: usize, g: usize| model.pairs.lower()[f.max(g) * (f.max(g) - 1) / 2 + f.min(g)];
    let fold = |mut lanes: Vec<f32>| {
        while lanes.len() > 1 {
            let (left, right) = lanes.split_at(lanes.len() / 2);
            lanes = left.iter().zip(right).map(|(a, b)| a + b).collect();
        }
        lanes[0]
    };
    let within = |fields: &[usize], row: &[Vec<f32>]| {
        let mut total = vec![0.0; size];
        for f in 0..fields.len() {
            for lane in 0..size {
                let pull = (0..f).fold(0.0, |sum, g| sum + strength(fields[f], fields[g]) * row[g][lane]);
                total[lane] += pull * row[f][lane];
            }
        }
        fold(total)
    };
    let own = (bias + request_own + within(&request_fields, &request)) + (ad_own + within(&ad_fields, &ad));
    // What an ad's part keeps.
    let keep = |number: f32| if model.precision == Precision::Whole { number } else { rounded(number) };
    let mut lanes = [0.0; 8];
    for (f, mine) in ad_fields.iter().zip(&ad) {
        for lane in 0..size {
            let pull = request_fields
                .iter()
                .zip(&request)
                .fold(0.0, |sum, (g, vector)| sum + strength(*f, *g) * vector[lane]);
            lanes[lane % 8] += pull * keep(mine[lane]);
        }
    }
    let weight = |matrix: &Matrix, input: usize, unit: usize| {
        *matrix.numbers().nth(input * matrix.units + unit).unwrap()
    };
    let product = |matrix: &Matrix, inputs: &[f32], unit: usize| {
        inputs.iter().enumerate().fold(0.0, |sum, (at, input)| sum + input * weight(matrix, at, unit))
    };
    let (request, ad) = (request.concat(), ad.concat());
    let mut units: Vec<f32> = (0..model.shift.len())
        .map(|unit| {
            let mine = product(&model.request, &request, unit) + model.shift[unit];
            (mine + keep(product(&model.ad, &ad, unit))).max(0.0)
        })
        .collect();
    for layer in &model.layers {
        units = (0..layer.shift.len())
            .map(|unit| (product(&layer.matrix, &units, unit) + layer.shift[unit]).max(0.0))
            .collect();
    }
    for (at, (unit, weight)) in units.iter().zip(output).enumerate() {
        lanes[at % 8] += unit * weight;
    }
    (own + crate::offline::simd::sum(&lanes)).clamp(-15.0, 15.0)
}

#[test]
fn parts_give_the_bits_that_a_whole_row_gives() {
    let batch = small_world(5000..5200);
    for model in models() {
        for (_, slots) in batch.rows() {
            let (request, ad) = parts(&model, slots);
            let (found, expected) = (model.scores(&request, &ad), literal(&model, slots));
            assert_eq!(found.click.to_bits(), expected.click.to_bits(), "{:?}", model.precision);
            assert_eq!(
                found.conversion.map(f32::to_bits),
                expected.conversion.map(f32::to_bits),
                "{:?}",
                model.precision
            );
            assert_eq!(found.conversion.is_some(), model.predicts_conversions());
        }
    }
}

#[test]
fn it_predicts_what_the_model_that_learned_predicts() {
    let batch = small_shop(5000..7000);
    let mut pairs = Vec::new();
    for (settings, sides) in kinds() {
        for world in [small_world, small_shop] {
            let deep = trained_on(&settings, world);
            let model = Frozen::new(&deep, &sides);
            let (mut expected, mut found) = (Vec::new(), Vec::new());
            deep.predict(&batch, &mut expected);
            model.predict(&batch, &mut found);
            assert_eq!(expected.len(), batch.len());
            pairs.push((settings.clone(), expected.clone(), found.clone()));
            deep.predict_conversions(batch.conversions(), &mut expected);
            model.predict_conversions(batch.conversions(), &mut found);
            assert_eq!(
                expected.len(),
                if model.predicts_conversions() { batch.conversions().len() } else { 0 }
            );
            if model.predicts_conversions() {
                pairs.push((settings.clone(), expected, found));
            }
        }
    }
    assert_eq!(pairs.len(), 3 * kinds().len());
    for (settings, expected, found) in pairs {
        assert_eq!(expected.len(), found.len());
        for (expected, found) in expected.iter().zip(&found) {
            assert!((expected - found).abs() < 2e-6, "{expected} {found} {settings:?}");
        }
        let spread = found.iter().fold((1.0f32, 0.0f32), |(low, high), p| (low.min(*p), high.max(*p)));
        assert!(spread.1 - spread.0 > 0.1, "the model learned something: {spread:?}");
    }
}

/// 16 bits hold 11 of a number, so of a score of some units some thousandths are lost; 8 bits lose some hundredths.
#[test]
fn fewer_bits_change_little() {
    let batch = small_world(5000..7000);
    for (settings, sides) in kinds() {
        let plain = Plain::new(&trained(&settings), &sides);
        let mut expected = Vec::new();
        Frozen::of(&plain, Precision::Whole).predict(&batch, &mut expected);
        for (precision, most) in [(Precision::Half, 2e-3), (Precision::Byte, 3e-2)] {
            let model = Frozen::of(&plain, precision);
            let mut found = Vec::new();
            model.predict(&batch, &mut found);
            let far = expected.iter().zip(&found).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(far < most && far > 0.0, "{precision:?}: {far}");
            let tables = |model: &Frozen| model.weights.bytes() + model.vectors.bytes();
            assert!(tables(&model) < tables(&Frozen::of(&plain, Precision::Whole)) * 6 / 10);
            let (whole, other) = (Frozen::of(&plain, Precision::Whole), model);
            let slots = batch.slots(0);
            assert!(other.ad_part(slots).bytes() * 2 == whole.ad_part(slots).bytes());
        }
    }
}

#[test]
fn many_at_once_are_the_same_bits_as_one_by_one_and_so_are_wide_registers() {
    let batch = small_world(5000..5030);
    for model in models() {
        let mut request = RequestPart::default();
        model.request_part(batch.slots(3), &mut request);
        let mut plain = RequestPart::default();
        parts::request_kernel(&model, batch.slots(3), &mut plain);
        assert_eq!(request, plain);
        let ads: Vec<AdPart> = (0..batch.len()).map(|at| model.ad_part(batch.slots(at))).collect();
        for (at, ad) in ads.iter().enumerate() {
            let mut numbers = vec![0.0; model.ad_numbers()];
            let own = parts::ad_kernel(&model, batch.slots(at), &mut numbers);
            assert_eq!(*ad, AdPart::of(own, numbers, model.precision));
        }
        let scores: Vec<Scores> = ads.iter().map(|ad| model.scores(&request, ad)).collect();
        let one_by_one: Vec<f32> = scores.iter().map(|scores| scores.click).collect();
        let mut out = vec![f32::NAN; 3];
        for count in [0, 1, 2, 3, 4, 5, 8, 30] {
            model.score_all(&request, &ads[..count], &mut out);
            assert_eq!(out, one_by_one[..count]);
        }
        let both = scores.iter().map(|scores| [scores.click, scores.conversion.unwrap_or_default()]);
        assert_eq!(kernel_scores(&model, &request, &ads), both.collect::<Vec<_>>());
    }
}

#[test]
fn nothing_in_a_slot_makes_a_score_impossible() {
    let values = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, 1e-45, -0.0, 1.0];
    for model in models() {
        for seed in 0..500u64 {
            let bits = mix(seed);
            let slots: Vec<Slot> = (0..bits % 9)
                .map(|at| {
                    let bits = mix(bits ^ at);
                    let field = if bits.is_multiple_of(5) { u16::MAX } else { (bits >> 8) as u16 % 4 };
                    Slot { field, index: (bits >> 32) as u32, value: values[(bits >> 24) as usize % 7] }
                })
                .collect();
            let (request, ad) = parts(&model, &slots);
            let scores = model.scores(&request, &ad);
            for score in [Some(scores.click), scores.conversion].into_iter().flatten() {
                assert!(score.abs() <= 15.0 && (1e-6..=0.999_999).contains(&probability(score)));
            }
        }
    }
}

#[test]
fn parts_of_another_model_give_a_number_and_no_panic() {
    let models = models();
    let batch = small_world(0..1);
    for one in &models {
        let (request, _) = parts(one, batch.slots(0));
        for other in &models {
            let (_, ad) = parts(other, batch.slots(0));
            assert!(models.iter().all(|model| model.score(&request, &ad).is_finite()));
        }
    }
}

#[test]
fn what_is_no_number_inside_is_the_least_outside() {
    let (settings, sides) = kinds().remove(0);
    let mut model = Frozen::new(&trained(&settings), &sides);
    model.output.fill(f32::INFINITY);
    let mut least = false;
    for (_, slots) in small_world(0..200).rows() {
        let (request, ad) = parts(&model, slots);
        let score = model.score(&request, &ad);
        assert!(score.is_finite());
        least |= score.to_bits() == LEAST_SCORE.to_bits();
    }
    assert!(least && probability(f32::NAN) < 1e-5);
}

fn saved(model: &Frozen) -> Vec<u8> {
    let mut bytes = Vec::new();
    model.save(SCHEMA, &mut bytes);
    bytes
}

fn predicted(model: &Frozen, batch: &Batch) -> Vec<u32> {
    let (mut out, mut orders) = (Vec::new(), Vec::new());
    model.predict(batch, &mut out);
    model.predict_conversions(batch.conversions(), &mut orders);
    out.iter().chain(&orders).map(|p| p.to_bits()).collect()
}

fn refusal(bytes: &[u8], schema: u64) -> String {
    Frozen::load(bytes, schema).err().map_or_else(|| "none".to_owned(), |error| error.to_string())
}

#[test]
fn a_loaded_model_predicts_the_same() {
    let batch = small_shop(0..300);
    for model in models() {
        // What knows nothing of orders is in the format of before, which is still read.
        let format = if model.predicts_conversions() { 2 } else { 1 };
        assert_eq!(saved(&model)[8..12], u32::to_le_bytes(format));
        let copy = Frozen::load(&saved(&model), SCHEMA).unwrap();
        assert_eq!(predicted(&model, &batch), predicted(&copy, &batch), "{:?}", model.precision);
        assert_eq!(saved(&model), saved(&copy));
        assert_eq!((model.sides(), model.bytes()), (copy.sides(), copy.bytes()));
        assert_eq!(model.parameters(), copy.parameters());
    }
}

#[test]
fn a_refusal_says_why() {
    let (settings, sides) = kinds().remove(0);
    let deep = trained(&settings);
    let model = Frozen::new(&deep, &sides);
    let bytes = saved(&model);
    assert!(refusal(&bytes, SCHEMA + 1).contains("trained on schema 0000000000005eed"));
    assert!(refusal(&bytes[..bytes.len() - 1], SCHEMA).contains("copy the whole file"));
    let mut altered = bytes.clone();
    *altered.last_mut().unwrap() ^= 1;
    assert!(refusal(&altered, SCHEMA).contains("checksum"));
    assert!(refusal(b"", SCHEMA).contains("no trained model"));
    let mut learner = Vec::new();
    deep.save(SCHEMA, &mut learner);
    assert!(refusal(&learner, SCHEMA).contains("it is not frozen"));
    let error = crate::offline::load(&bytes, SCHEMA).err().unwrap();
    assert_eq!(error, FileError::Invalid("it serves only and cannot learn"));
    let deep = trained_on(&settings, small_shop);
    for bad in [f32::NAN, f32::INFINITY, 1e13] {
        let changes: [fn(&mut Plain, f32); 8] = [
            |plain, bad| plain.bias = bad,
            |plain, bad| plain.weights[5] = bad,
            |plain, bad| plain.vectors[9] = bad,
            |plain, bad| plain.layers[1].weights[5] = bad,
            |plain, bad| plain.output[31] = bad,
            |plain, bad| plain.orders.as_mut().unwrap().bias = bad,
            |plain, bad| plain.orders.as_mut().unwrap().weights[5] = bad,
            |plain, bad| plain.orders.as_mut().unwrap().output[31] = bad,
        ];
        for change in changes {
            let mut plain = Plain::new(&deep, &sides);
            change(&mut plain, bad);
            let bytes = saved(&Frozen::of(&plain, Precision::Whole));
            assert!(refusal(&bytes, SCHEMA).contains("out of range"));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Whoever makes a file with a good checksum around nonsense gets a refusal, or a model that works.
    #[test]
    fn no_payload_makes_it_panic(
        which in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        with in any::<[u8; 4]>(),
        keep in any::<prop::sample::Index>(),
    ) {
        let kinds = kinds();
        let (settings, sides) = &kinds[which.index(kinds.len())];
        let mut settings = settings.clone();
        settings.linear.bits = 8;
        let mut deep = Deep::new(settings).unwrap();
        if which.index(2) == 0 {
            deep.learn(&small_shop(0..20));
        }
        let bytes = saved(&Frozen::new(&deep, sides));
        let (format, payload) = envelope::open(&KIND, &bytes).unwrap();
        let mut payload = payload.to_vec();
        // Most of what can go wrong is at the front, and where the head of orders begins: behind all else.
        let at = if format == 1 || keep.index(2) == 0 {
            at.index(payload.len().min(100))
        } else {
            payload.len() - 1 - at.index(payload.len().min(600))
        };
        let end = (at + 4).min(payload.len());
        payload[at..end].copy_from_slice(&with[..end - at]);
        if keep.index(3) == 0 {
            payload.truncate(keep.index(payload.len()));
        }
        let mut forged = Vec::new();
        envelope::seal(&envelope::Kind { format, ..KIND }, &payload, &mut forged);
        if let Ok(model) = Frozen::load(&forged, SCHEMA) {
            let mut out = Vec::new();
            let batch = small_shop(0..50);
            model.predict(&batch, &mut out);
            prop_assert!(out.iter().all(|p| *p > 0.0 && *p < 1.0));
            model.predict_conversions(batch.conversions(), &mut out);
            prop_assert!(out.iter().all(|p| *p > 0.0 && *p < 1.0));
        }
    }
}
