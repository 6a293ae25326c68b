//! What requests and campaigns speak of: places, sites, apps, interests, sizes. Requests draw it as it is met, campaigns as
//! it is bought, from the same tables.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Chance that a seed repeats, with the few forms of it that are needed here.
pub(crate) struct Chance(StdRng);

impl Chance {
    /// Each use has a stream of its own, so that more of one changes nothing of another.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        Self(StdRng::seed_from_u64(seed ^ stream.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
    }

    pub(crate) fn share(&mut self) -> f64 {
        self.0.random()
    }

    pub(crate) fn hit(&mut self, probability: f64) -> bool {
        self.share() < probability
    }

    /// From 0 to below `count`.
    pub(crate) fn index(&mut self, count: usize) -> usize {
        ((self.share() * count as f64) as usize).min(count.saturating_sub(1))
    }

    /// From `least` to `most`, both included.
    pub(crate) fn between(&mut self, least: usize, most: usize) -> usize {
        least + self.index(most - least + 1)
    }

    /// Between two amounts, small ones as often as large ones by order of magnitude.
    pub(super) fn amount(&mut self, least: f64, most: f64) -> f64 {
        least * (most / least).powf(self.share())
    }

    pub(crate) fn pick<'t, T>(&mut self, table: &'t [T]) -> &'t T {
        &table[self.index(table.len())]
    }

    /// One of a table whose rows name their weight.
    pub(super) fn weighted<'t, T>(&mut self, table: &'t [T], weight: impl Fn(&T) -> f64) -> &'t T {
        let mut left = self.share() * table.iter().map(&weight).sum::<f64>();
        for row in table {
            left -= weight(row);
            if left < 0.0 {
                return row;
            }
        }
        &table[table.len() - 1]
    }

    pub(super) fn bits(&mut self) -> u64 {
        self.0.random()
    }
}

/// Numbers from 0 whose frequency falls with their rank (Zipf's law).
pub(super) struct Zipf(Vec<f64>);

impl Zipf {
    pub(super) fn new(count: usize, exponent: f64) -> Self {
        let mut sum = 0.0;
        let sums = (1..=count).map(|rank| {
            sum += (rank as f64).powf(-exponent);
            sum
        });
        Self(sums.collect())
    }

    pub(super) fn draw(&self, chance: &mut Chance) -> usize {
        let at = chance.share() * self.0.last().copied().unwrap_or(0.0);
        self.0.partition_point(|sum| *sum <= at).min(self.0.len().saturating_sub(1))
    }

    /// Some different numbers, in the order in which they came.
    pub(super) fn some(&self, chance: &mut Chance, count: usize) -> Vec<usize> {
        let mut found = Vec::with_capacity(count);
        // Frequent ones come again; after some tries fewer are enough.
        for _ in 0..count * 8 {
            let number = self.draw(chance);
            if !found.contains(&number) {
                found.push(number);
            }
            if found.len() == count {
                break;
            }
        }
        found
    }
}

/// A city: country, region (ISO 3166-2 without the country), name, postcode's beginning, place, language, and how many
/// requests come from it.
pub(super) struct City {
    pub(super) country: &'static str,
    pub(super) region: &'static str,
    pub(super) name: &'static str,
    pub(super) zip: &'static str,
    pub(super) lat: f64,
    pub(super) lon: f64,
    pub(super) language: &'static str,
    pub(super) weight: f64,
}

#[allow(clippy::too_many_arguments, reason = "a row of the table")]
const fn city(
    country: &'static str,
    region: &'static str,
    name: &'static str,
    zip: &'static str,
    lat: f64,
    lon: f64,
    language: &'static str,
    weight: f64,
) -> City {
    City { country, region, name, zip, lat, lon, language, weight }
}

pub(super) const CITIES: [City; 52] = [
    city("USA", "NY", "New York", "100", 40.71, -74.01, "en", 80.0),
    city("USA", "CA", "Los Angeles", "900", 34.05, -118.24, "en", 62.0),
    city("USA", "IL", "Chicago", "606", 41.88, -87.63, "en", 42.0),
    city("USA", "TX", "Houston", "770", 29.76, -95.37, "en", 36.0),
    city("USA", "TX", "Dallas", "752", 32.78, -96.80, "en", 34.0),
    city("USA", "PA", "Philadelphia", "191", 39.95, -75.17, "en", 28.0),
    city("USA", "DC", "Washington", "200", 38.91, -77.04, "en", 28.0),
    city("USA", "FL", "Miami", "331", 25.76, -80.19, "en", 27.0),
    city("USA", "GA", "Atlanta", "303", 33.75, -84.39, "en", 26.0),
    city("USA", "MA", "Boston", "021", 42.36, -71.06, "en", 22.0),
    city("USA", "AZ", "Phoenix", "850", 33.45, -112.07, "en", 21.0),
    city("USA", "CA", "San Francisco", "941", 37.77, -122.42, "en", 21.0),
    city("USA", "CA", "Riverside", "925", 33.95, -117.40, "en", 19.0),
    city("USA", "MI", "Detroit", "482", 42.33, -83.05, "en", 18.0),
    city("USA", "WA", "Seattle", "981", 47.61, -122.33, "en", 18.0),
    city("USA", "MN", "Minneapolis", "554", 44.98, -93.27, "en", 15.0),
    city("USA", "CA", "San Diego", "921", 32.72, -117.16, "en", 14.0),
    city("USA", "FL", "Tampa", "336", 27.95, -82.46, "en", 14.0),
    city("USA", "CO", "Denver", "802", 39.74, -104.99, "en", 13.0),
    city("USA", "MD", "Baltimore", "212", 39.29, -76.61, "en", 12.0),
    city("USA", "MO", "St. Louis", "631", 38.63, -90.20, "en", 12.0),
    city("USA", "FL", "Orlando", "328", 28.54, -81.38, "en", 11.0),
    city("USA", "NC", "Charlotte", "282", 35.23, -80.84, "en", 11.0),
    city("USA", "TX", "San Antonio", "782", 29.42, -98.49, "en", 11.0),
    city("USA", "OR", "Portland", "972", 45.52, -122.68, "en", 11.0),
    city("USA", "CA", "Sacramento", "958", 38.58, -121.49, "en", 10.0),
    city("USA", "PA", "Pittsburgh", "152", 40.44, -80.00, "en", 10.0),
    city("USA", "TX", "Austin", "787", 30.27, -97.74, "en", 10.0),
    city("USA", "NV", "Las Vegas", "891", 36.17, -115.14, "en", 10.0),
    city("USA", "OH", "Cincinnati", "452", 39.10, -84.51, "en", 9.0),
    city("USA", "OH", "Columbus", "432", 39.96, -83.00, "en", 9.0),
    city("USA", "OH", "Cleveland", "441", 41.50, -81.69, "en", 9.0),
    city("USA", "MO", "Kansas City", "641", 39.10, -94.58, "en", 9.0),
    city("USA", "IN", "Indianapolis", "462", 39.77, -86.16, "en", 9.0),
    city("USA", "TN", "Nashville", "372", 36.16, -86.78, "en", 8.0),
    city("USA", "WI", "Milwaukee", "532", 43.04, -87.91, "en", 7.0),
    city("USA", "UT", "Salt Lake City", "841", 40.76, -111.89, "en", 6.0),
    city("USA", "NC", "Raleigh", "276", 35.78, -78.64, "en", 6.0),
    city("USA", "LA", "New Orleans", "701", 29.95, -90.07, "en", 5.0),
    city("USA", "OK", "Oklahoma City", "731", 35.47, -97.52, "en", 5.0),
    city("CAN", "ON", "Toronto", "M5V", 43.65, -79.38, "en", 20.0),
    city("CAN", "QC", "Montreal", "H2Y", 45.50, -73.57, "fr", 12.0),
    city("CAN", "BC", "Vancouver", "V6B", 49.28, -123.12, "en", 9.0),
    city("GBR", "LND", "London", "EC1", 51.51, -0.13, "en", 34.0),
    city("GBR", "MAN", "Manchester", "M1", 53.48, -2.24, "en", 12.0),
    city("DEU", "BE", "Berlin", "101", 52.52, 13.40, "de", 14.0),
    city("DEU", "BY", "Munich", "803", 48.14, 11.58, "de", 9.0),
    city("DEU", "HH", "Hamburg", "200", 53.55, 9.99, "de", 8.0),
    city("FRA", "IDF", "Paris", "750", 48.86, 2.35, "fr", 16.0),
    city("FRA", "ARA", "Lyon", "690", 45.76, 4.84, "fr", 6.0),
    city("ESP", "MD", "Madrid", "280", 40.42, -3.70, "es", 9.0),
    city("ITA", "25", "Milan", "201", 45.46, 9.19, "it", 9.0),
];

/// What pages are about: categories of content taxonomy 1.0, and words that go with them.
pub(crate) struct Topic {
    pub(super) category: &'static str,
    pub(crate) words: [&'static str; 4],
}

const fn topic(category: &'static str, words: [&'static str; 4]) -> Topic {
    Topic { category, words }
}

/// The most read first.
pub(crate) const TOPICS: [Topic; 40] = [
    topic("IAB12", ["news", "politics", "local-news", "world"]),
    topic("IAB17", ["sports", "scores", "league", "fixtures"]),
    topic("IAB1", ["entertainment", "celebrity", "films", "series"]),
    topic("IAB9-30", ["games", "puzzles", "quizzes", "consoles"]),
    topic("IAB15-10", ["weather", "forecast", "storms", "radar"]),
    topic("IAB8", ["recipes", "cooking", "dinner", "baking"]),
    topic("IAB7", ["health", "fitness", "sleep", "wellness"]),
    topic("IAB19", ["technology", "phones", "laptops", "software"]),
    topic("IAB22", ["shopping", "coupons", "deals", "gifts"]),
    topic("IAB13", ["finance", "investing", "savings", "mortgage"]),
    topic("IAB2", ["cars", "suv", "electric-cars", "test-drive"]),
    topic("IAB20", ["travel", "hotels", "flights", "beaches"]),
    topic("IAB18", ["fashion", "shoes", "dresses", "outfits"]),
    topic("IAB10", ["home", "decor", "kitchen", "furniture"]),
    topic("IAB6", ["parenting", "babies", "schools", "toys"]),
    topic("IAB3", ["business", "marketing", "startups", "jobs"]),
    topic("IAB16", ["pets", "dogs", "cats", "puppies"]),
    topic("IAB5", ["education", "college", "courses", "exams"]),
    topic("IAB17-44", ["football", "transfer", "cup", "goals"]),
    topic("IAB17-12", ["touchdown", "quarterback", "draft", "stadium"]),
    topic("IAB17-3", ["basketball", "playoffs", "dunk", "rookie"]),
    topic("IAB18-1", ["beauty", "skincare", "makeup", "hair"]),
    topic("IAB10-4", ["gardening", "flowers", "lawn", "vegetables"]),
    topic("IAB10-5", ["diy", "tools", "paint", "plumbing"]),
    topic("IAB20-9", ["camping", "tents", "sleeping-bags", "campsites"]),
    topic("IAB17-8", ["hiking", "trails", "boots", "summits"]),
    topic("IAB17-35", ["skiing", "snow", "slopes", "parkas"]),
    topic("IAB17-2", ["cycling", "bikes", "e-bikes", "helmets"]),
    topic("IAB17-33", ["running", "marathon", "sneakers", "pace"]),
    topic("IAB9", ["hobbies", "crafts", "photography", "guitars"]),
    topic("IAB21", ["real-estate", "apartments", "houses", "rent"]),
    topic("IAB4", ["careers", "resume", "interviews", "salary"]),
    topic("IAB14", ["society", "dating", "weddings", "etiquette"]),
    topic("IAB11", ["law", "elections", "government", "courts"]),
    topic("IAB1-6", ["music", "concerts", "albums", "festivals"]),
    topic("IAB19-6", ["cameras", "video", "editing", "streaming"]),
    topic("IAB8-5", ["restaurants", "coffee", "wine", "brunch"]),
    topic("IAB15", ["science", "space", "climate", "biology"]),
    topic("IAB23", ["religion", "faith", "charity", "history"]),
    topic("IAB7-39", ["diet", "vegan", "protein", "vitamins"]),
];

/// Categories that advertisers keep away from and publishers block.
pub(super) const TOUCHY: [&str; 7] = ["IAB7-39", "IAB8-5", "IAB9-9", "IAB14-1", "IAB23", "IAB25", "IAB26"];

/// Banner sizes that campaigns have, with how often requests offer them.
pub(super) const SIZES: [(u16, u16, f64); 8] = [
    (300, 250, 36.0),
    (320, 50, 24.0),
    (728, 90, 16.0),
    (300, 600, 9.0),
    (160, 600, 7.0),
    (970, 250, 5.0),
    (320, 100, 4.0),
    (336, 280, 3.0),
];

/// Sizes that are asked for and hardly anybody has.
pub(super) const ODD_SIZES: [(u16, u16); 8] =
    [(468, 60), (234, 60), (120, 240), (180, 150), (88, 31), (300, 1050), (292, 30), (980, 120)];

/// A device: user agent, kind (AdCOM's list of device types), system, its version, maker, model, screen, weight.
pub(super) struct Device {
    pub(super) ua: &'static str,
    pub(super) kind: u8,
    pub(super) os: &'static str,
    pub(super) osv: &'static str,
    pub(super) make: &'static str,
    pub(super) model: &'static str,
    pub(super) screen: (u16, u16),
    pub(super) weight: f64,
}

const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36";
const EDGE: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36 Edg/131.0.0.0";
const FIREFOX: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:133.0) Gecko/20100101 Firefox/133.0";
const SAFARI: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15";
const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1";
const IPAD: &str = "Mozilla/5.0 (iPad; CPU OS 17_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.6 Mobile/15E148 Safari/604.1";
const PIXEL: &str = "Mozilla/5.0 (Linux; Android 15; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36";
const GALAXY: &str = "Mozilla/5.0 (Linux; Android 14; SM-S921U) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Mobile Safari/537.36";

pub(super) const DEVICES: [Device; 8] = [
    device(IPHONE, 4, "iOS", "18.1", "Apple", "iPhone", (393, 852), 30.0),
    device(GALAXY, 4, "Android", "14", "Samsung", "SM-S921U", (360, 780), 18.0),
    device(PIXEL, 4, "Android", "15", "Google", "Pixel 8", (412, 915), 10.0),
    device(CHROME, 2, "Windows", "10.0", "", "", (1920, 1080), 22.0),
    device(EDGE, 2, "Windows", "10.0", "", "", (1536, 864), 8.0),
    device(SAFARI, 2, "macOS", "10.15.7", "Apple", "Macintosh", (1512, 982), 7.0),
    device(FIREFOX, 2, "Windows", "10.0", "", "", (1920, 1080), 3.0),
    device(IPAD, 5, "iOS", "17.6", "Apple", "iPad", (820, 1180), 4.0),
];

#[allow(clippy::too_many_arguments, reason = "a row of the table")]
const fn device(
    ua: &'static str,
    kind: u8,
    os: &'static str,
    osv: &'static str,
    make: &'static str,
    model: &'static str,
    screen: (u16, u16),
    weight: f64,
) -> Device {
    Device { ua, kind, os, osv, make, model, screen, weight }
}

/// Sites that there are, the most visited first.
pub(super) const SITES: usize = 3_000;
/// Apps, likewise.
pub(super) const APPS: usize = 600;
/// People whose requests come.
pub(crate) const USERS: usize = 200_000;

const FIRST: [&str; 20] = [
    "daily", "north", "blue", "open", "quick", "metro", "bright", "river", "green", "first", "happy", "wide",
    "true", "silver", "local", "fresh", "prime", "clear", "grand", "little",
];
const SECOND: [&str; 15] = [
    "post", "times", "kitchen", "scores", "planet", "weather", "market", "garden", "motors", "journal",
    "stage", "trail", "parent", "ledger", "arcade",
];

fn name(index: usize) -> String {
    let (first, second) = (FIRST[index % FIRST.len()], SECOND[index / FIRST.len() % SECOND.len()]);
    match index / (FIRST.len() * SECOND.len()) {
        0 => format!("{first}{second}"),
        round => format!("{first}{second}{}", round + 1),
    }
}

/// The domain of a site by its rank.
pub(super) fn site(index: usize) -> String {
    format!("{}.example", name(index))
}

/// The bundle of an app by its rank.
pub(super) fn app(index: usize) -> String {
    format!("com.example.{}", name(index))
}

/// Topics of a site or app: what its rank says, so that it is the same in every run.
pub(super) fn topics(index: usize) -> [&'static Topic; 2] {
    let mut chance = Chance::new(index as u64, 7);
    let by_reach = Zipf::new(TOPICS.len(), 0.7);
    [&TOPICS[by_reach.draw(&mut chance)], &TOPICS[by_reach.draw(&mut chance)]]
}

/// The id by which a person is known to the bidder.
pub(crate) fn user(index: usize) -> String {
    format!("buyer-{index:07}")
}
