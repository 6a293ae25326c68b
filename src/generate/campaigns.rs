//! Campaigns as advertisers write them: most for some places and some interests, on some devices, with lists of sites that
//! they want or avoid.

use std::fmt::Write;

use super::world::{CITIES, Chance, SITES, SIZES, TOPICS, TOUCHY, Zipf, site};

/// How many campaigns a file holds.
pub const FILE: usize = 1_000;

/// Makes campaigns, one after the other.
pub struct Campaigns {
    chance: Chance,
    sites: Zipf,
    topics: Zipf,
    made: usize,
}

impl Campaigns {
    /// The same seed makes the same campaigns.
    pub fn new(seed: u64) -> Self {
        Self {
            chance: Chance::new(seed, 2),
            sites: Zipf::new(SITES, 0.8),
            topics: Zipf::new(TOPICS.len(), 0.6),
            made: 0,
        }
    }

    /// The text of a file with the next so many.
    pub fn next_file(&mut self, count: usize) -> String {
        let mut out = String::new();
        for _ in 0..count {
            out.push_str("[[campaign]]\n");
            // Writing to a string cannot fail.
            let _ = self.write(&mut out);
        }
        out
    }

    fn write(&mut self, out: &mut String) -> std::fmt::Result {
        let number = self.made;
        self.made += 1;
        let chance = &mut self.chance;
        let about = &TOPICS[self.topics.draw(chance)];
        let advertiser = chance.index(4_000);
        let domain = format!("advertiser-{advertiser:04}.example");
        writeln!(out, "id = \"campaign-{number:06}\"")?;
        writeln!(out, "name = \"Campaign {number}: {}\"", about.words[0])?;
        writeln!(out, "advertiser_domain = \"{domain}\"")?;
        writeln!(out, "categories = [\"{}\"]", about.category)?;
        writeln!(out, "pacing = \"{}\"", if chance.hit(0.3) { "asap" } else { "even" })?;
        writeln!(out, "max_bid_cpm = \"{:.2}\"", chance.amount(3.0, 22.0))?;
        let goal = match chance.share() {
            share if share < 0.40 => format!("{{ cpm = {{ price = \"{:.2}\" }} }}", chance.amount(1.0, 12.0)),
            share if share < 0.75 => format!("{{ cpc = {{ max = \"{:.2}\" }} }}", chance.amount(0.2, 2.0)),
            share if share < 0.90 => {
                format!("{{ cpa = {{ target = \"{:.2}\" }} }}", chance.amount(8.0, 60.0))
            }
            _ => format!(
                "{{ roas = {{ target = {:.1}, order_value = \"{:.2}\" }} }}",
                chance.amount(2.0, 6.0),
                chance.amount(30.0, 200.0)
            ),
        };
        writeln!(out, "goal = {goal}")?;
        let daily = chance.amount(20_000.0, 500_000.0);
        writeln!(out, "budget = {{ daily = \"{daily:.2}\", total = \"{:.2}\" }}", daily * 30.0)?;
        if chance.hit(0.1) {
            out.push_str("dayparts = [{ days = \"mon-sun\", from = \"00:00\", to = \"24:00\" }]\n");
        }
        if chance.hit(0.04) {
            writeln!(out, "deals = [\"deal-{:05}\"]", chance.index(20_000))?;
        }
        if chance.hit(0.7) {
            let (most, hours) = (chance.between(2, 8), chance.pick(&["1h", "6h", "1d"]));
            write!(out, "frequency = [{{ per = \"campaign\", most = {most}, within = \"{hours}\" }}")?;
            if chance.hit(0.4) {
                write!(out, ", {{ per = \"advertiser\", most = {}, within = \"7d\" }}", most * 4)?;
            }
            if chance.hit(0.2) {
                write!(out, ", {{ per = \"creative\", most = {most}, within = \"lifetime\" }}")?;
            }
            out.push_str("]\n");
        }
        let about = about.words;
        out.push_str("\n[campaign.targeting]\n");
        self.targeting(&about, out)?;
        self.creatives(&domain, &about, out)
    }

    fn targeting(&mut self, about: &[&str; 4], out: &mut String) -> std::fmt::Result {
        let chance = &mut self.chance;
        let (mut all, mut any, mut none) = (Vec::new(), Vec::new(), Vec::new());
        place(chance, &mut all);
        // Whom: by what they read or like, or by what they did in the shop.
        match chance.share() {
            share if share < 0.62 => {
                let count = chance.between(1, 4);
                let mut words: Vec<&str> = Vec::new();
                for topic in self.topics.some(chance, count) {
                    words.push(TOPICS[topic].category);
                    words.push(TOPICS[topic].words[chance.index(4)]);
                }
                all.push(list("interest", &words));
            }
            share if share < 0.80 => {
                for did in ["viewed", "searched", "carted"] {
                    let what = about[chance.index(4)];
                    let within = chance.pick(&["1d", "7d", "30d"]);
                    any.push(format!(
                        "{{ behaviour = {{ did = \"{did}\", what = \"{what}\", within = \"{within}\" }} }}"
                    ));
                }
                any.push(list("interest", &[about[0], about[1]]));
            }
            _ => {
                let count = chance.between(20, 120);
                let sites: Vec<String> = self.sites.some(chance, count).into_iter().map(site).collect();
                all.push(list("inventory", &sites));
            }
        }
        if chance.hit(0.5) {
            all.push(list(
                "device",
                chance.pick::<&[&str]>(&[
                    &["phone"][..],
                    &["phone", "tablet"],
                    &["computer"],
                    &["computer", "tablet"],
                ]),
            ));
        } else if chance.hit(0.35) {
            all.push(list(
                "os",
                chance.pick::<&[&str]>(&[&["iOS"][..], &["Android"], &["Windows"], &["iOS", "macOS"]]),
            ));
        }
        if chance.hit(0.1) {
            all.push(list("language", &["en"]));
        }
        extended(chance, &self.topics, about, &mut all, &mut none);
        if chance.hit(0.3) {
            none.push(list("interest", &[*chance.pick(&TOUCHY), *chance.pick(&TOUCHY)]));
        }
        if chance.hit(0.25) {
            let count = chance.between(10, 60);
            let sites: Vec<String> = self.sites.some(chance, count).into_iter().map(site).collect();
            none.push(list("inventory", &sites));
        }
        if chance.hit(0.15) {
            none.push(format!(
                "{{ behaviour = {{ did = \"bought\", what = \"{}\", within = \"30d\" }} }}",
                about[0]
            ));
        }
        for (name, group) in [("all", all), ("any", any), ("none", none)] {
            if !group.is_empty() {
                writeln!(out, "{name} = [{}]", group.join(", "))?;
            }
        }
        out.push('\n');
        Ok(())
    }

    fn creatives(&mut self, domain: &str, about: &[&str; 4], out: &mut String) -> std::fmt::Result {
        let chance = &mut self.chance;
        let banners = chance.between(2, 4);
        let mut sizes: Vec<(u16, u16)> = Vec::new();
        while sizes.len() < banners {
            let (width, height, _) = *chance.weighted(&SIZES, |(_, _, weight)| *weight);
            if !sizes.contains(&(width, height)) {
                sizes.push((width, height));
            }
        }
        let cdn = format!("https://cdn.{domain}/{}", about[0]);
        let rest = format!(
            "landing = \"https://{domain}/{}\"\ntitle = \"The {} that you looked for\"\n\n",
            about[0], about[1]
        );
        for (width, height) in sizes {
            write!(
                out,
                "[[campaign.creatives]]\nid = \"{0}-{width}x{height}\"\nwidth = {width}\nheight = {height}\n\
                 image = \"{cdn}-{width}x{height}.jpg\"\n{rest}",
                about[0]
            )?;
        }
        if chance.hit(0.12) {
            write!(
                out,
                "[[campaign.creatives]]\nid = \"film\"\nformat = \"video\"\nduration = \"15s\"\nskip_after = \"5s\"\nfiles = [\n  \
                 {{ url = \"{cdn}-360p.mp4\", type = \"video/mp4\", width = 640, height = 360, bitrate = 1000 }},\n  \
                 {{ url = \"{cdn}-180p.mp4\", type = \"video/mp4\", width = 320, height = 180, bitrate = 300 }},\n]\n{rest}"
            )?;
        }
        if chance.hit(0.12) {
            write!(
                out,
                "[[campaign.creatives]]\nid = \"native\"\nformat = \"native\"\nimages = [\n  \
                 {{ kind = \"icon\", url = \"{cdn}-icon.png\", type = \"image/png\", width = 128, height = 128 }},\n  \
                 {{ kind = \"main\", url = \"{cdn}-wide.jpg\", type = \"image/jpeg\", width = 1200, height = 627 }},\n]\n\
                 data = {{ sponsored = \"{domain}\", description = \"All about {}\", call_to_action = \"Shop now\" }}\n{rest}",
                about[2]
            )?;
        }
        Ok(())
    }
}

/// Where: a country alone, some regions, or some cities, each as often as people live there.
fn place(chance: &mut Chance, all: &mut Vec<String>) {
    let mut names = |count: usize, of: fn(&super::world::City) -> &'static str, country: &str| {
        let mut found: Vec<&str> = Vec::new();
        for _ in 0..count * 4 {
            let city =
                chance.weighted(&CITIES, |it| if it.country == country { it.weight.sqrt() } else { 0.0 });
            if found.len() < count && !found.contains(&of(city)) {
                found.push(of(city));
            }
        }
        found
    };
    let (first, second) = (names(3, |city| city.region, "USA"), names(4, |city| city.name, "USA"));
    let abroad = chance.weighted(&CITIES, |it| it.weight).country;
    match chance.share() {
        share if share < 0.12 => all.push(list("country", &["USA"])),
        share if share < 0.16 => all.push(list("country", &[abroad])),
        share if share < 0.58 => {
            all.push(list("country", &["USA"]));
            all.push(list("region", &first));
        }
        _ => {
            all.push(list("country", &["USA"]));
            all.push(list("city", &second));
        }
    }
}

/// Predicates of the complete vocabulary. Each narrows a few campaigns; to add one is to add a line.
fn extended(
    chance: &mut Chance,
    topics: &Zipf,
    about: &[&str; 4],
    all: &mut Vec<String>,
    none: &mut Vec<String>,
) {
    let topic = &TOPICS[topics.draw(chance)];
    let hours = "{ days = \"mon-sun\", from = \"05:00\", to = \"24:00\" }";
    let publishers: Vec<String> =
        (0..chance.between(2, 12)).map(|_| format!("pub-{:05}", chance.index(1_200))).collect();
    let postcodes: Vec<&str> = (0..3).map(|_| chance.pick(&CITIES).zip).collect();
    for (share, into_none, predicate) in [
        (0.02, false, list("segment", &[about[0], topic.words[0]])),
        (0.02, false, list("keyword", &topic.words)),
        (0.05, true, list("category", &[topic.category])),
        (0.02, false, list("postcode", &postcodes)),
        (0.10, false, list("browser", &["Chrome", "Safari"])),
        (0.05, true, list("placement", &[format!("btf-{}", chance.index(40))])),
        (0.10, true, list("publisher", &publishers)),
        (0.15, false, format!("{{ hours = [{hours}] }}")),
    ] {
        if chance.hit(share) {
            if into_none { &mut *none } else { &mut *all }.push(predicate);
        }
    }
}

/// A predicate: `{ city = ["A", "B"] }`.
fn list(name: &str, words: &[impl AsRef<str>]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("\"{}\"", word.as_ref())).collect();
    format!("{{ {name} = [{}] }}", words.join(", "))
}
