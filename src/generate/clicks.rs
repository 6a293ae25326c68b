//! A log of impressions with a known truth: how likely each was to be clicked follows from a hidden rule, which stands
//! in a column of its own, so that it can be said how near a model comes to the best there can be.
//!
//! The rule is a field-weighted factorisation machine (Pan et al. 2018): each value has a weight and a vector, and in some
//! pairs of fields the vectors' product counts. Weights alone explain about half of it.

use super::world::{Chance, Zipf};

/// Length of the hidden vectors.
const RANK: usize = 4;
/// The log-odds of a click where weights and products are 0: one in fifty or so.
const BIAS: f32 = -4.2;

/// A column: its name, how many values it has, and how much their weights vary (as a standard deviation of log-odds).
struct Column {
    name: &'static str,
    /// What its values begin with.
    sign: &'static str,
    values: usize,
    weight: f32,
}

const fn column(name: &'static str, sign: &'static str, values: usize, weight: f32) -> Column {
    Column { name, sign, values, weight }
}

const USER: usize = 0;
const REGION: usize = 1;
const DEVICE: usize = 2;
const OS: usize = 3;
const SITE: usize = 4;
const PLACEMENT: usize = 5;
const EXCHANGE: usize = 6;
const SIZE: usize = 7;
const AD: usize = 8;
const CAMPAIGN: usize = 9;
const ADVERTISER: usize = 10;
const HOUR: usize = 11;
const WEEKDAY: usize = 12;

const COLUMNS: [Column; 13] = [
    column("user", "u", 100_000, 0.3),
    column("region", "r", 60, 0.2),
    column("device", "d", 6, 0.2),
    column("os", "o", 10, 0.1),
    column("site", "s", 10_000, 0.4),
    column("placement", "p", 40_000, 0.2),
    column("exchange", "x", 5, 0.2),
    column("size", "z", 12, 0.3),
    column("ad", "a", 3_000, 0.4),
    column("campaign", "c", 400, 0.3),
    column("advertiser", "v", 80, 0.3),
    column("hour", "h", 24, 0.2),
    column("weekday", "w", 7, 0.1),
];

/// The pairs of columns whose vectors meet, and how much their product varies.
const PAIRS: [(usize, usize, f32); 8] = [
    (SITE, AD, 0.5),
    (USER, ADVERTISER, 0.4),
    (REGION, ADVERTISER, 0.5),
    (SITE, CAMPAIGN, 0.4),
    (DEVICE, CAMPAIGN, 0.5),
    (HOUR, DEVICE, 0.4),
    (SIZE, AD, 0.4),
    (OS, ADVERTISER, 0.3),
];

/// Placements of a site.
const PLACEMENTS: usize = 4;

/// What lies behind the log: the values' names, weights and vectors, how often they come, and which go together.
struct World {
    names: Vec<Vec<String>>,
    weights: Vec<Vec<f32>>,
    vectors: Vec<Vec<[f32; RANK]>>,
    users: Zipf,
    sites: Zipf,
    ads: Zipf,
    hours: Zipf,
    /// Of each user region, device and system; of each ad its campaign; of each campaign its advertiser; of each site its
    /// exchange; of each placement its size.
    user: Vec<[usize; 3]>,
    campaign: Vec<usize>,
    advertiser: Vec<usize>,
    exchange: Vec<usize>,
    size: Vec<usize>,
}

impl World {
    fn new(seed: u64) -> Self {
        let names = COLUMNS.iter().map(|it| (0..it.values).map(|n| format!("{}{n}", it.sign)).collect());
        let mut chance = Chance::new(seed, 21);
        let weights =
            COLUMNS.iter().map(|it| (0..it.values).map(|_| it.weight * normal(&mut chance)).collect());
        let weights = weights.collect();
        let mut chance = Chance::new(seed, 22);
        let mut vector = || std::array::from_fn(|_| normal(&mut chance));
        let vectors = COLUMNS.iter().map(|it| (0..it.values).map(|_| vector()).collect()).collect();
        let mut chance = Chance::new(seed, 23);
        let [regions, devices, systems] = [REGION, DEVICE, OS].map(|it| Zipf::new(COLUMNS[it].values, 0.8));
        let user = (0..COLUMNS[USER].values)
            .map(|_| [&regions, &devices, &systems].map(|it| it.draw(&mut chance)))
            .collect();
        let mut some = |count: usize, of: usize| -> Vec<usize> {
            let zipf = Zipf::new(COLUMNS[of].values, 0.5);
            (0..count).map(|_| zipf.draw(&mut chance)).collect()
        };
        Self {
            campaign: some(COLUMNS[AD].values, CAMPAIGN),
            advertiser: some(COLUMNS[CAMPAIGN].values, ADVERTISER),
            exchange: some(COLUMNS[SITE].values, EXCHANGE),
            size: some(COLUMNS[PLACEMENT].values, SIZE),
            user,
            names: names.collect(),
            weights,
            vectors,
            users: Zipf::new(COLUMNS[USER].values, 0.7),
            sites: Zipf::new(COLUMNS[SITE].values, 1.0),
            ads: Zipf::new(COLUMNS[AD].values, 0.9),
            hours: Zipf::new(COLUMNS[HOUR].values, 0.4),
        }
    }

    /// Which value each column has in an impression.
    fn impression(&self, chance: &mut Chance) -> [usize; COLUMNS.len()] {
        let (user, site, ad) = (self.users.draw(chance), self.sites.draw(chance), self.ads.draw(chance));
        let [region, device, os] = self.user[user];
        let placement = site * PLACEMENTS + chance.index(PLACEMENTS);
        let campaign = self.campaign[ad];
        let mut values = [0; COLUMNS.len()];
        for (column, value) in [
            (USER, user),
            (REGION, region),
            (DEVICE, device),
            (OS, os),
            (SITE, site),
            (PLACEMENT, placement),
            (EXCHANGE, self.exchange[site]),
            (SIZE, self.size[placement]),
            (AD, ad),
            (CAMPAIGN, campaign),
            (ADVERTISER, self.advertiser[campaign]),
            // The first hours by frequency are the evening's.
            (HOUR, (self.hours.draw(chance) + 19) % COLUMNS[HOUR].values),
            (WEEKDAY, chance.index(COLUMNS[WEEKDAY].values)),
        ] {
            values[column] = value;
        }
        values
    }

    /// How likely a click is.
    fn truth(&self, values: &[usize; COLUMNS.len()]) -> f64 {
        let weights = self.weights.iter().zip(values).map(|(weights, value)| weights[*value]);
        let vector = |column: usize| &self.vectors[column][values[column]];
        let products = PAIRS.iter().map(|(one, other, strength)| {
            let product = vector(*one).iter().zip(vector(*other)).map(|(a, b)| a * b).sum::<f32>();
            // The product of two such vectors has the variance of their length.
            strength * product / (RANK as f32).sqrt()
        });
        let odds = BIAS + weights.sum::<f32>() + products.sum::<f32>();
        1.0 / (1.0 + f64::from(-odds).exp())
    }
}

/// A normal deviate (Box and Muller 1958).
fn normal(chance: &mut Chance) -> f32 {
    let radius = (-2.0 * (1.0 - chance.share()).ln()).sqrt();
    (radius * (std::f64::consts::TAU * chance.share()).cos()) as f32
}

/// A log of impressions, row by row.
pub struct Clicks {
    world: World,
    chance: Chance,
    /// What was written so far.
    summary: ClicksSummary,
}

/// What a log holds, and the best that a model can do on it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ClicksSummary {
    /// Impressions.
    pub rows: u64,
    /// Those that were clicked.
    pub clicks: u64,
    /// The mean log loss of the truth, which no model beats but by luck.
    pub truth_log_loss: f64,
    /// The mean log loss of saying the same of all, which any model should beat.
    pub rate_log_loss: f64,
}

impl Clicks {
    /// Rows that follow from `seed`, clicked by a rule that follows from `world`: logs of one world can be trained and
    /// tested on.
    pub fn new(world: u64, seed: u64) -> Self {
        Self { world: World::new(world), chance: Chance::new(seed, 24), summary: ClicksSummary::default() }
    }

    /// The header, without a line's end.
    pub fn header() -> String {
        let names: Vec<&str> = COLUMNS.iter().map(|it| it.name).collect();
        format!("click\t{}\ttruth", names.join("\t"))
    }

    /// The schema that tells what to learn from.
    pub fn schema() -> String {
        let features = COLUMNS
            .iter()
            .map(|it| format!("\n[[feature]]\nname = \"{}\"\nkind = \"categorical\"\n", it.name));
        format!("label = \"click\"\nbits = 22\n{}", features.collect::<String>())
    }

    /// Appends a row, with a line's end.
    pub fn next_row(&mut self, out: &mut Vec<u8>) {
        let values = self.world.impression(&mut self.chance);
        let truth = self.world.truth(&values);
        let clicked = self.chance.hit(truth);
        out.push(if clicked { b'1' } else { b'0' });
        for (names, value) in self.world.names.iter().zip(values) {
            out.push(b'\t');
            out.extend_from_slice(names[value].as_bytes());
        }
        // Six digits after the point.
        out.extend_from_slice(b"\t0.");
        let millionths = ((truth * 1e6) as u32).clamp(1, 999_999);
        out.extend([100_000, 10_000, 1_000, 100, 10, 1].map(|unit| b'0' + (millionths / unit % 10) as u8));
        out.push(b'\n');
        self.summary.rows += 1;
        self.summary.clicks += u64::from(clicked);
        self.summary.truth_log_loss -= if clicked { truth.ln() } else { (1.0 - truth).ln() };
    }

    /// What was written so far.
    pub fn summary(&self) -> ClicksSummary {
        let rows = self.summary.rows.max(1) as f64;
        let rate = self.summary.clicks as f64 / rows;
        let loss = |share: f64| if share > 0.0 { -share * share.ln() } else { 0.0 };
        ClicksSummary {
            truth_log_loss: self.summary.truth_log_loss / rows,
            rate_log_loss: loss(rate) + loss(1.0 - rate),
            ..self.summary
        }
    }
}
