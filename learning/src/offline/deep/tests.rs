//! Deep models held to their formulas, to their files, and to what they can learn.

use std::ops::Range;

use super::*;
use crate::offline::learner::tests::{small_shop, small_world};

#[test]
fn wide_registers_change_no_bit() {
    for world in [small_world, small_shop] {
        the_same_without_wide_registers(world);
    }
}

fn the_same_without_wide_registers(world: fn(Range<u32>) -> Batch) {
    let model = || {
        let settings = DeepSettings { fields: 3, bits: 6, dropout: 0.2, ..DeepSettings::default() };
        Deep::new(settings).unwrap()
    };
    let (mut wide, mut plain) = (model(), model());
    let (mut from_wide, mut from_plain) = (Vec::new(), Vec::new());
    for rows in [0..1000, 1000..1003, 1003..3000] {
        let batch = world(rows);
        assert_eq!(learn(&mut wide, &batch), learn_kernel(&mut plain, &batch));
        predict::predict(&wide, batch.clicks(), None, &mut from_wide);
        predict::predict_kernel(&plain, batch.clicks(), None, &mut from_plain);
        assert_eq!(from_wide, from_plain);
        let orders = (wide.conversion.as_deref(), plain.conversion.as_deref());
        predict::predict(&wide, batch.conversions(), orders.0, &mut from_wide);
        predict::predict_kernel(&plain, batch.conversions(), orders.1, &mut from_plain);
        assert_eq!(from_wide, from_plain);
    }
}

#[test]
fn frozen_vectors_stay_while_all_else_learns() {
    let settings = DeepSettings { fields: 3, bits: 6, l2: 0.01, ..DeepSettings::default() };
    let mut model = Deep::new(settings).unwrap();
    model.learn(&small_world(0..1000));
    let before = model.clone();
    assert!(model.freeze_vectors(true));
    model.learn(&small_world(1000..2000));
    assert!(model.vectors.rows() == before.vectors.rows());
    assert_ne!(model.weighted.strengths.numbers, before.weighted.strengths.numbers);
    assert_ne!(model.output.numbers, before.output.numbers);
    let weights = |model: &Deep| model.linear.weights().1.collect::<Vec<_>>();
    assert!(weights(&model) != weights(&before));
    model.freeze_vectors(false);
    model.learn(&small_world(1000..2000));
    assert!(model.vectors.rows() != before.vectors.rows());
}

#[test]
fn parts_of_a_batch_are_alike() {
    let model = Deep::new(DeepSettings { fields: 3, bits: 6, ..DeepSettings::default() }).unwrap();
    assert_eq!([0, 1, 128, 129, 300].map(|rows| model.part(rows)), [1, 1, 128, 65, 100]);
}

#[test]
fn rows_of_one_kind_alone_move_no_head_of_the_other() {
    let settings = || DeepSettings { fields: 3, bits: 6, ..DeepSettings::default() };
    let mut model = Deep::new(settings()).unwrap();
    let (mut before, mut after) = (Vec::new(), Vec::new());
    model.learn(&small_world(0..2000));
    let batch = small_shop(2000..3000);
    model.predict_conversions(batch.conversions(), &mut before);
    assert!(model.conversion.is_none() && before.is_empty(), "it says nothing of what it never saw");
    model.learn(&batch);
    model.predict_conversions(batch.conversions(), &mut before);
    assert_eq!(before.len(), batch.conversions().len());
    let (output, head) = (model.output.numbers.clone(), model.conversion.clone().unwrap());
    model.learn(&small_world(3000..4000));
    let same = model.conversion.as_ref().unwrap();
    assert_eq!(
        (&same.output.numbers, same.steps, same.offset),
        (&head.output.numbers, head.steps, head.offset)
    );
    assert_ne!(model.output.numbers, output);
    let (output, offset) = (model.output.numbers.clone(), model.offset);
    let mut orders = Batch::default();
    for (label, slots) in small_shop(4000..6000).conversions().rows() {
        slots.iter().for_each(|slot| orders.push(*slot));
        orders.end_conversion(label);
    }
    assert_eq!(model.learn(&orders), Losses::default());
    assert_eq!((&model.output.numbers, model.offset), (&output, offset));
    model.predict_conversions(batch.conversions(), &mut after);
    assert_ne!(before, after);
}
