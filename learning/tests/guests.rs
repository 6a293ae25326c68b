//! What a model of archives brings to one that learns while it bids: a made-up shop whose truth is known.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests")]

use std::sync::Arc;

use haggle_domain::PrivacyKey;
use haggle_learning::frozen::Frozen;
use haggle_learning::offline::{Deep, DeepSettings, Learner, LinearSettings};
use haggle_learning::{
    ARCHIVE_SCHEMA, Batch, Guest, Outside, Prediction, Role, Slot, Trainer, archive_fields, archive_sides,
    frozen, push_archived, push_archived_conversion,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const INTERESTS: u32 = 24;
const SITES: u32 = 60;
const ADVERTISERS: u32 = 12;
const CATEGORIES: u32 = 6;
/// Numbers of fields, as they stand in journals for ever.
const SITE: u32 = 4;
const DEVICE: u32 = 7;
const INTEREST: u32 = 14;
const CAMPAIGN: u32 = 32;
const CREATIVE: u32 = 33;
const ADVERTISER: u32 = 34;
const CATEGORY: u32 = 35;

fn feature(field: u32, value: u32) -> u32 {
    let hash =
        (u64::from(value) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(u64::from(field) << 32);
    let hash = (hash ^ (hash >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    field << 18 | (hash >> 46) as u32
}

fn normal(random: &mut StdRng) -> f64 {
    let (u, v): (f64, f64) = (random.random(), random.random());
    (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

fn logistic(score: f64) -> f64 {
    1.0 / (1.0 + (-score).exp())
}

fn loss(probability: f64, label: bool) -> f64 {
    -(if label { probability } else { 1.0 - probability }).ln()
}

/// What is true: how each category appeals to each interest, how good sites and advertisers are, and how much advertisers'
/// shops sell to those who come.
struct World {
    appeal: Vec<f64>,
    sites: Vec<f64>,
    advertisers: Vec<f64>,
    shops: Vec<f64>,
}

struct Impression {
    request: Vec<u32>,
    ad: Vec<u32>,
    clicked: bool,
    /// How likely a click leads to an order.
    order: f64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let mut draw = |count: u32, spread: f64| (0..count).map(|_| spread * normal(&mut random)).collect();
        Self {
            appeal: draw(INTERESTS * CATEGORIES, 1.0),
            sites: draw(SITES, 0.5),
            advertisers: draw(ADVERTISERS, 0.4),
            shops: draw(ADVERTISERS, 0.6),
        }
    }

    /// Of one campaign, whose advertiser is a twelfth of all campaigns' and whose category is its advertiser's.
    fn impression(&self, campaign: u32, random: &mut StdRng) -> Impression {
        let (interest, site) = (random.random_range(0..INTERESTS), random.random_range(0..SITES));
        let (creative, advertiser) = (random.random_range(0..2), campaign % ADVERTISERS);
        let category = advertiser % CATEGORIES;
        let of = |numbers: &[f64], at: u32| numbers[at as usize];
        let score = -3.0
            + of(&self.appeal, category * INTERESTS + interest)
            + of(&self.sites, site)
            + of(&self.advertisers, advertiser);
        Impression {
            request: vec![
                feature(SITE, site),
                feature(DEVICE, random.random_range(0..3)),
                feature(INTEREST, interest),
            ],
            ad: vec![
                feature(CAMPAIGN, campaign),
                feature(CREATIVE, campaign * 2 + creative),
                feature(ADVERTISER, advertiser),
                feature(CATEGORY, category),
            ],
            clicked: random.random::<f64>() < logistic(score),
            order: logistic(
                -2.0 + 0.8 * of(&self.appeal, category * INTERESTS + interest) + of(&self.shops, advertiser),
            ),
        }
    }

    /// A model of an archive of so many impressions of 48 campaigns.
    fn guest(&self, id: &str, rows: usize, seed: u64) -> Arc<Guest> {
        self.guest_of(id, rows, seed, false)
    }

    /// The same, which learned too which clicks an order followed, or did not.
    fn guest_of(&self, id: &str, rows: usize, seed: u64, orders: bool) -> Arc<Guest> {
        let fields = archive_fields().count() as u16;
        let linear = LinearSettings { bits: 20, ..LinearSettings::default() };
        let settings = DeepSettings { linear, fields, hidden: vec![32, 16], ..DeepSettings::default() };
        let mut model = Deep::new(settings).unwrap();
        let mut random = StdRng::seed_from_u64(seed);
        let mut sales = StdRng::seed_from_u64(seed ^ 1);
        let mut batch = Batch::default();
        for _ in 0..rows.div_ceil(2048) {
            batch.clear();
            for _ in 0..2048 {
                let campaign = random.random_range(0..48);
                let Impression { request, ad, clicked, order } = self.impression(campaign, &mut random);
                push_archived(&mut batch, &request, &ad, clicked);
                if orders && clicked {
                    push_archived_conversion(&mut batch, &request, &ad, sales.random::<f64>() < order);
                }
            }
            model.learn(&batch);
        }
        let mut bytes = Vec::new();
        Frozen::new(&model, &archive_sides()).save(ARCHIVE_SCHEMA, &mut bytes);
        Arc::new(Guest::load(id, &bytes).unwrap())
    }
}

/// Mean log loss of what was served for impressions of `campaigns`.
fn served(trainer: &mut Trainer, world: &World, count: u32, campaigns: &[u32], random: &mut StdRng) -> f64 {
    let mut sum = 0.0;
    for _ in 0..count {
        let campaign = campaigns[random.random_range(0..campaigns.len())];
        let Impression { request, ad, clicked, .. } = world.impression(campaign, random);
        sum += loss(f64::from(trainer.learn_click(&request, &ad, clicked)), clicked);
    }
    sum / f64::from(count)
}

/// Mean and the half width of its interval of 95 %, of paired differences.
fn interval(differences: &[f64]) -> (f64, f64) {
    let count = differences.len() as f64;
    let mean = differences.iter().sum::<f64>() / count;
    let variance = differences.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / (count - 1.0);
    // Student's t for 19 degrees of freedom.
    (mean, 2.093 * (variance / count).sqrt())
}

/// A new campaign's first thousand impressions: a bidder that begins from nothing, one that knows 20,000 impressions of
/// others, and the same two with a model of an archive beside them.
#[test]
fn a_new_campaign_starts_better_with_a_model_of_the_archive() {
    let world = World::new(1);
    let guest = world.guest("archive", 200_000, 2);
    let (mut from_nothing, mut from_others) = (Vec::new(), Vec::new());
    for seed in 0..20 {
        let run = |others: u32, guests: &[(Arc<Guest>, Role)]| {
            let mut trainer = Trainer::default();
            trainer.set_guests(guests);
            let known: Vec<u32> = (0..48).collect();
            served(&mut trainer, &world, others, &known, &mut StdRng::seed_from_u64(100 + seed));
            served(&mut trainer, &world, 1_000, &[1000 + seed as u32], &mut StdRng::seed_from_u64(200 + seed))
        };
        let guests = [(Arc::clone(&guest), Role::Serving)];
        from_nothing.push(run(0, &[]) - run(0, &guests));
        from_others.push(run(20_000, &[]) - run(20_000, &guests));
    }
    for (name, differences) in [("nothing", from_nothing), ("20,000 of others", from_others)] {
        let (mean, half) = interval(&differences);
        println!(
            "log loss at 1,000 impressions, from {name}: {mean:.4} ± {half:.4} less with a model of the archive"
        );
        assert!(mean - half > 0.0, "the interval excludes no difference");
    }
}

#[test]
fn a_guest_that_knows_nothing_of_this_world_costs_next_to_nothing() {
    let (world, other) = (World::new(1), World::new(7));
    let stranger = other.guest("stranger", 100_000, 3);
    let all: Vec<u32> = (0..48).collect();
    let run = |guests: &[(Arc<Guest>, Role)]| {
        let mut trainer = Trainer::default();
        trainer.set_guests(guests);
        served(&mut trainer, &world, 60_000, &all, &mut StdRng::seed_from_u64(5))
    };
    let (alone, with) = (run(&[]), run(&[(stranger, Role::Serving)]));
    println!("log loss alone {alone:.5}, with a stranger {with:.5}");
    assert!(with < alone + 0.0003);
}

#[test]
fn a_shadow_changes_no_bit_and_a_canary_serves_its_share() {
    let world = World::new(1);
    let guest = world.guest("archive", 50_000, 2);
    let random = &mut StdRng::seed_from_u64(9);
    let (mut alone, mut shadowed, mut canary) = (Trainer::default(), Trainer::default(), Trainer::default());
    shadowed.set_guests(&[(Arc::clone(&guest), Role::Shadow)]);
    canary.set_guests(&[(Arc::clone(&guest), Role::Canary(100))]);
    let mut changed = 0;
    for user in 0..10_000u64 {
        let Impression { request, ad, clicked, .. } = world.impression(3, random);
        let user = Some(PrivacyKey(user));
        let own = alone.learn_click_of(user, &request, &ad, clicked);
        assert_eq!(shadowed.learn_click_of(user, &request, &ad, clicked).to_bits(), own.to_bits());
        let tried = canary.learn_click_of(user, &request, &ad, clicked);
        changed += u32::from(tried.to_bits() != own.to_bits());
    }
    // A tenth, give or take five standard deviations.
    assert!((850..1150).contains(&changed), "{changed} of 10,000");
    assert_eq!(canary.guest_reports()[0].served.impressions, u64::from(changed));
    let report = &shadowed.guest_reports()[0];
    assert_eq!((report.examples, report.served.impressions), (10_000, 0));
    assert!(report.alone.examples > 5_000.0 && shadowed.snapshot().seats().is_empty());
    // Nobody whom we may not know is tried anything on.
    let Impression { request, ad, .. } = world.impression(3, random);
    assert_eq!(
        canary.learn_click(&request, &ad, false).to_bits(),
        alone.learn_click(&request, &ad, false).to_bits()
    );
}

/// One that says the same of every row, and fails at every third.
#[derive(Debug, Default)]
struct Stranger(std::sync::atomic::AtomicU32);

impl Outside for Stranger {
    fn score(&self, row: &[Slot]) -> Option<f32> {
        assert!(!row.is_empty());
        let asked = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        (!asked.is_multiple_of(3)).then_some(-3.0)
    }
}

#[test]
fn a_model_of_another_make_is_watched_and_changes_no_bid() {
    let world = World::new(1);
    let random = &mut StdRng::seed_from_u64(9);
    let mut alone = Trainer::default();
    // Whatever role somebody gave it.
    let guests = [Role::Shadow, Role::Serving, Role::Canary(999)]
        .map(|role| (Arc::new(Guest::outside(&format!("{role:?}"), Box::<Stranger>::default())), role));
    assert!(!guests[0].0.may_serve());
    let mut watching = Trainer::default();
    watching.set_guests(&guests);
    for round in 0..3_000 {
        let Impression { request, ad, clicked, .. } = world.impression(round % 48, random);
        let user = Some(PrivacyKey(u64::from(round)));
        let said = [&mut alone, &mut watching].map(|it| it.learn_click_of(user, &request, &ad, clicked));
        assert_eq!(said[0].to_bits(), said[1].to_bits());
    }
    assert!(watching.snapshot().seats().is_empty());
    let reports = watching.guest_reports();
    assert!(
        reports.iter().all(|report| report.examples == 2_000 && report.served.impressions == 0),
        "{reports:?}"
    );
    // What it says is calibrated as any other's.
    assert!((reports[0].alone.calibration().unwrap() - 1.0).abs() < 0.1, "{:?}", reports[0].alone);
}

/// What a snapshot serves, as a bid works it out.
fn bid(trainer: &Trainer, request: &[u32], ad: &[u32]) -> Prediction {
    let model = trainer.snapshot();
    let own = model.predict(&model.request_part(request), &model.ad_part(ad));
    let Some(seat) = model.seat_of(None).and_then(|at| model.seats().get(at)) else { return own };
    let mut part = frozen::RequestPart::default();
    seat.guest.request_part(request, &mut part);
    model.with_guest(own, seat, seat.guest.scores(&part, &seat.guest.ad_part(ad)).unwrap())
}

#[test]
fn bids_and_the_learner_say_the_same_to_the_bit_before_and_after_a_restart() {
    let world = World::new(1);
    let guests = [(world.guest_of("archive", 50_000, 2, true), Role::Serving)];
    let mut trainer = Trainer::default();
    trainer.set_guests(&guests);
    let random = &mut StdRng::seed_from_u64(4);
    let mut changed = 0;
    for round in 0..2_000 {
        let Impression { request, ad, clicked, order } = world.impression(round % 48, random);
        let expected = bid(&trainer, &request, &ad).click;
        assert_eq!(trainer.learn_click(&request, &ad, clicked).to_bits(), expected.to_bits());
        if clicked {
            let expected = bid(&trainer, &request, &ad).conversion;
            let model = trainer.snapshot();
            let home = model.predict(&model.request_part(&request), &model.ad_part(&ad)).conversion;
            changed += u32::from(expected.to_bits() != home.to_bits());
            let ordered = random.random::<f64>() < order;
            assert_eq!(trainer.learn_conversion(&request, &ad, ordered).to_bits(), expected.to_bits());
        }
        if round == 1_000 {
            let (mut model, mut known) = (Vec::new(), Vec::new());
            trainer.save(&mut model);
            trainer.save_guests(&mut known);
            let before = trainer.guest_reports()[0].clone();
            trainer = Trainer::load(&model).unwrap();
            trainer.restore_guests(&known).unwrap();
            trainer.set_guests(&guests);
            assert_eq!(format!("{before:?}"), format!("{:?}", trainer.guest_reports()[0]));
            for cut in 0..known.len() {
                assert!(Trainer::default().restore_guests(&known[..cut]).is_err());
            }
        }
    }
    assert!(changed > 100, "the guest has a say in {changed} orders");
}

/// A new campaign's first two hundred clicks: with a model of an archive that learned orders beside the home model, and with
/// one that learned clicks alone, whose word on orders is the home model's.
#[test]
fn a_new_campaigns_orders_are_foretold_better_by_a_model_that_learned_orders() {
    let world = World::new(1);
    let (silent, knowing) = (world.guest("silent", 200_000, 2), world.guest_of("knowing", 200_000, 2, true));
    let mut differences = Vec::new();
    for seed in 0..20 {
        let run = |guests: &[(Arc<Guest>, Role)]| {
            let mut trainer = Trainer::default();
            trainer.set_guests(guests);
            let random = &mut StdRng::seed_from_u64(300 + seed);
            let mut learn = |clicks: u32, campaign: &dyn Fn(u32) -> u32| {
                let mut sum = 0.0;
                for number in 0..clicks {
                    let Impression { request, ad, order, .. } = world.impression(campaign(number), random);
                    let ordered = random.random::<f64>() < order;
                    sum += loss(f64::from(trainer.learn_conversion(&request, &ad, ordered)), ordered);
                }
                sum / f64::from(clicks)
            };
            learn(2_000, &|number| number % 48);
            learn(200, &|_| 1000 + seed as u32)
        };
        let home = run(&[]);
        assert_eq!(run(&[(Arc::clone(&silent), Role::Serving)]).to_bits(), home.to_bits());
        let shadow = [(Arc::clone(&silent), Role::Serving), (Arc::clone(&knowing), Role::Shadow)];
        assert_eq!(run(&shadow).to_bits(), home.to_bits(), "who is only watched changes nothing");
        differences.push(home - run(&[(Arc::clone(&knowing), Role::Serving)]));
    }
    let (mean, half) = interval(&differences);
    println!("log loss of orders at 200 clicks: {mean:.4} ± {half:.4} less with a model that learned them");
    assert!(mean - half > 0.0, "the interval excludes no difference");
}

#[test]
fn a_model_of_other_features_is_refused() {
    let settings = DeepSettings { fields: 3, bits: 6, ..DeepSettings::default() };
    let mut bytes = Vec::new();
    Frozen::new(&Deep::new(settings).unwrap(), &[]).save(ARCHIVE_SCHEMA, &mut bytes);
    let refused = Guest::load("other", &bytes).unwrap_err().to_string();
    assert!(refused.contains("fields"), "{refused}");
    bytes.clear();
    let fields = archive_fields().count() as u16;
    let settings = DeepSettings { fields, bits: 6, ..DeepSettings::default() };
    Frozen::new(&Deep::new(settings).unwrap(), &archive_sides()).save(ARCHIVE_SCHEMA + 1, &mut bytes);
    assert!(Guest::load("other", &bytes).is_err(), "another schema");
}
