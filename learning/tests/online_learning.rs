//! How fast the model learns a made-up world whose truth is known.

use haggle_domain::{
    BannerSlot, Budget, Campaign, Category, Context, CpmMicros, Creative, DeviceKind, ExchangeKey, Flight,
    Goal, Micros, Opportunity, Pacing, Size, Tag, Timestamp, UserKey,
};
use haggle_learning::{AdFeatures, Progress, RequestFeatures, Trainer, ad_features, request_features};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const CAMPAIGNS: usize = 6;
const INTERESTS: usize = 12;
const SITES: usize = 30;
const IMPRESSIONS: usize = 20_000;

fn logistic(score: f64) -> f64 {
    1.0 / (1.0 + (-score).exp())
}

fn log_loss(probability: f64, label: bool) -> f64 {
    if label { -probability.ln() } else { -(1.0 - probability).ln() }
}

/// A normal deviate of the standard kind (Box and Muller 1958).
fn normal(random: &mut StdRng) -> f64 {
    let (u, v): (f64, f64) = (random.random(), random.random());
    (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

fn campaign(number: usize) -> Campaign {
    let id = format!("campaign-{number}");
    let size =
        |number: usize| [Size { width: 300, height: 250 }, Size { width: 728, height: 90 }][number % 2];
    Campaign {
        name: id.clone(),
        // Two campaigns an advertiser, and one category each.
        advertiser_domain: format!("shop-{}.example", number / 2),
        categories: vec![Category::iab(format!("IAB{}", number / 2 + 1))],
        goal: Goal::Cpc { max: Micros::from_units(1) },
        budget: Budget { daily: Some(Micros::from_units(100)), total: None },
        flight: Flight { start: Timestamp::default(), end: Timestamp::MAX },
        pacing: Pacing::Even,
        max_bid: CpmMicros::from_per_impression(Micros(10_000)),
        creatives: ["a", "b"]
            .iter()
            .enumerate()
            .map(|(i, id)| {
                Creative::banner(
                    id,
                    size(number + i),
                    "https://cdn.example/a.png",
                    "https://shop.example/",
                    "a",
                )
            })
            .collect(),
        ..Campaign::named(&id)
    }
}

/// What is true and the model may not see: each campaign's taste for each interest, and how good each site is.
struct World {
    random: StdRng,
    campaigns: Vec<Campaign>,
    appeal: [[f64; INTERESTS]; CAMPAIGNS],
    main: [f64; CAMPAIGNS],
    sites: [f64; SITES],
}

struct Impression {
    request: RequestFeatures,
    ad: AdFeatures,
    /// The true probability of a click, from 0.3 to 15 %, and of an order after one.
    click: f64,
    conversion: f64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        Self {
            campaigns: (0..CAMPAIGNS).map(campaign).collect(),
            appeal: std::array::from_fn(|_| std::array::from_fn(|_| 1.3 * normal(&mut random))),
            main: std::array::from_fn(|_| 0.3 * normal(&mut random)),
            sites: std::array::from_fn(|_| 0.3 * normal(&mut random)),
            random,
        }
    }

    /// The `n`th impression: who sees it decides most; of sixteen features of a request one or two matter.
    fn impression(&mut self, n: usize) -> Impression {
        let random = &mut self.random;
        let mut pick =
            |prefix: &str, values: usize| Tag::of(&format!("{prefix}{}", random.random_range(0..values)));
        let context = Context {
            country: pick("country", 3),
            region: pick("region", 10),
            city: pick("city", 40),
            os: pick("os", 4),
            language: pick("language", 3),
            ..Context::default()
        };
        let (campaign, interest) = (random.random_range(0..CAMPAIGNS), random.random_range(0..INTERESTS));
        let site = (random.random::<f64>() * random.random::<f64>() * SITES as f64) as usize;
        let context = Context {
            exchange: ExchangeKey(1 + random.random_range(0..2)),
            user: Some(UserKey(n as u64)),
            inventory: Tag::of(&format!("site-{site}.example")),
            publisher: Tag::of(&format!("publisher-{}", site / 2)),
            device: [DeviceKind::Computer, DeviceKind::Phone, DeviceKind::Tablet][random.random_range(0..3)],
            interests: [Tag::of(&format!("interest-{interest}"))].into_iter().collect(),
            ..context
        };
        let opportunity = Opportunity {
            banner: Some(BannerSlot::of([Size { width: 300 + 20 * random.random_range(0..5), height: 250 }])),
            placement: Tag::of(&format!("slot-{site}-{}", random.random_range(0..4))),
            position: random.random_range(0..3),
            ..Opportunity::default()
        };
        // A day from the first to the last.
        let now = Timestamp(1_780_272_000_000_000 + n as i64 * 4_320_000);
        let odds = |probability: f64| (probability / (1.0 - probability)).ln();
        let score = -4.0 + self.main[campaign] + self.appeal[campaign][interest] + self.sites[site];
        Impression {
            request: request_features(&context, &opportunity, None, now),
            ad: ad_features(&self.campaigns[campaign], random.random_range(0..2)),
            click: logistic(score.clamp(odds(0.003), odds(0.15))),
            conversion: logistic((-2.5 + self.appeal[campaign][(interest + 5) % INTERESTS]).clamp(-5.0, 0.0)),
        }
    }

    fn happens(&mut self, probability: f64) -> bool {
        self.random.random::<f64>() < probability
    }
}

/// How much less is lost than by the constant rate.
fn gain(progress: Progress) -> f64 {
    progress.baseline_log_loss - progress.log_loss
}

#[test]
fn clicks_are_learned_within_thousands_of_impressions() {
    let mut closed = Vec::new();
    for seed in 1..=5 {
        let mut world = World::new(seed);
        let mut trainer = Trainer::default();
        let (mut truth, mut half) = (0.0, Progress::default());
        for n in 0..IMPRESSIONS {
            let impression = world.impression(n);
            let clicked = world.happens(impression.click);
            trainer.learn_click(&impression.request, &impression.ad, clicked);
            if n + 1 == 5000 {
                let early = gain(trainer.click_progress());
                assert!(
                    early > 0.0,
                    "seed {seed}: {early} nats against the constant rate after 5,000 impressions"
                );
            }
            if n + 1 == IMPRESSIONS / 2 {
                half = trainer.click_progress();
            } else if n >= IMPRESSIONS / 2 {
                truth += log_loss(impression.click, clicked);
            }
        }
        let all = trainer.click_progress();
        let rate = all.positives as f64 / all.examples as f64;
        assert!(
            (0.01..0.07).contains(&rate),
            "seed {seed}: a rate of {rate} is not the world that was meant"
        );
        assert!(gain(all) > 0.0, "seed {seed}");
        let gap = all.baseline_log_loss - half.baseline_log_loss - truth;
        let part = (gain(all) - gain(half)) / gap;
        println!(
            "seed {seed}: rate {rate:.4}, log loss {:.5} against {:.5}, {:.1} % of the gap in the second half",
            all.mean_log_loss(),
            all.mean_baseline_log_loss(),
            part * 100.0
        );
        assert!(part > 0.5, "seed {seed}: only {part:.2} of the gap to the truth was closed");
        closed.push(part);
    }
    let mean = closed.iter().sum::<f64>() / closed.len() as f64;
    assert!(mean > 0.6, "{closed:?}");
}

#[test]
fn orders_are_learned_from_a_few_thousand_clicks() {
    for seed in 1..=5 {
        let mut world = World::new(seed);
        let mut trainer = Trainer::default();
        for n in 0..5000 {
            let click = world.impression(n);
            let converted = world.happens(click.conversion);
            trainer.learn_conversion(&click.request, &click.ad, converted);
        }
        let progress = trainer.conversion_progress();
        println!(
            "seed {seed}: {:.5} against {:.5}",
            progress.mean_log_loss(),
            progress.mean_baseline_log_loss()
        );
        assert!(gain(progress) > 0.0, "seed {seed}: {progress:?}");
        assert_eq!(trainer.click_progress(), Progress::default(), "clicks are another head's business");
    }
}

/// Where there is nothing to learn but the rate, the features' noise must cost next to nothing.
#[test]
fn pure_noise_is_not_mistaken_for_a_signal() {
    for seed in 1..=3 {
        let mut world = World::new(seed);
        let mut trainer = Trainer::default();
        for n in 0..IMPRESSIONS {
            let impression = world.impression(n);
            let clicked = world.happens(0.03);
            trainer.learn_click(&impression.request, &impression.ad, clicked);
        }
        let progress = trainer.click_progress();
        let worse = progress.log_loss / progress.baseline_log_loss - 1.0;
        println!("seed {seed}: {:.2} % worse than the constant rate", worse * 100.0);
        // Without calibration it is 0.6 to 0.7 %.
        assert!(worse < 0.004, "seed {seed}: {worse}");
    }
}

/// What the model says of how unsure it is tells where it errs, and about how much.
#[test]
fn the_model_errs_more_where_it_is_less_sure() {
    let odds = |p: f64| (p / (1.0 - p)).ln();
    // By how sure it was, in fifths: the sums of errors squared and of what it said of them.
    let mut fifths = [(0.0, 0.0); 5];
    let (mut within, mut all) = (0usize, 0u32);
    for seed in 1..=10 {
        let mut world = World::new(seed);
        let mut trainer = Trainer::default();
        let mut seen = Vec::new();
        for n in 0..IMPRESSIONS {
            let impression = world.impression(n);
            let clicked = world.happens(impression.click);
            if n % 50 == 0 {
                let model = trainer.snapshot();
                let (request, ad) = (model.request_part(&impression.request), model.ad_part(&impression.ad));
                let error = odds(model.predict(&request, &ad).click.into()) - odds(impression.click);
                seen.push((f64::from(model.click_deviation(&request, &ad)), error));
            }
            trainer.learn_click(&impression.request, &impression.ad, clicked);
        }
        seen.sort_by(|a, b| a.0.total_cmp(&b.0));
        for (fifth, part) in fifths.iter_mut().zip(seen.chunks(seen.len() / 5)) {
            fifth.0 += part.iter().map(|(_, error)| error * error).sum::<f64>();
            fifth.1 += part.iter().map(|(deviation, _)| deviation * deviation).sum::<f64>();
        }
        within += seen.iter().filter(|(deviation, error)| error.abs() < 1.96 * deviation).count();
        all += seen.len() as u32;
    }
    let roots = fifths.map(|(error, said)| [error, said].map(|sum| (sum * 5.0 / f64::from(all)).sqrt()));
    let within = f64::from(within as u32) / f64::from(all);
    println!(
        "error and deviation of log odds, by fifths: {roots:.3?}; {:.0} % within 1.96 deviations",
        within * 100.0
    );
    assert!(roots[4][0] > 1.2 * roots[0][0], "{roots:?}");
    assert!(roots.iter().all(|[error, said]| (0.5..2.0).contains(&(error / said))), "{roots:?}");
    assert!((0.8..0.98).contains(&within), "{within}");
}
