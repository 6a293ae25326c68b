//! The campaigns of a file: one at its root, or several in `[[campaign]]` tables.

use haggle_domain::time::Zone;
use haggle_domain::{
    Budget, Campaign, CampaignKey, Category, CpmMicros, Daypart, Flight, Holdout, Limits, Micros, Pacing,
    Tag, Timestamp,
};
use toml::de::DeValue;

use super::address::domain;
use super::document::{Document, Node, Table};
use super::error::Source;
use super::predicates::Names;
use super::words::{category, identifier, label, language, money, word};
use super::{creative, dayparts, explore, frequency, goal, pacing, predicates};

/// A campaign, and its targeting as a person would say it.
pub(super) struct Read {
    pub(super) campaign: Campaign,
    pub(super) targeting: String,
}

/// Reads one file, each campaign with the place of its id; what is wrong with it is left in `document`.
pub(super) fn read_all<'a>(
    document: &'a Document<'a>,
    entries: &'a toml::de::DeTable<'a>,
    names: &Names<'_>,
) -> Vec<(Read, Source)> {
    let mut root = document.root(entries);
    let Some(several) = root.get_unlisted("campaign") else {
        return read(root, names).into_iter().collect();
    };
    // Asked for again, so that it is proposed where something else stands beside it.
    root.get("campaign");
    root.finish();
    let tables = several.list().unwrap_or_default();
    tables.iter().filter_map(|node| read(node.table()?, names)).collect()
}

/// One campaign.
fn read(mut root: Table<'_>, names: &Names<'_>) -> Option<(Read, Source)> {
    let id_node = root.need("id", "\"spring-hiking\"");
    let id = id_node.as_ref().and_then(|node| node.read(identifier));
    let name = root.need("name", "\"Hiking boots, spring\"").and_then(|node| node.read(label));
    let advertiser_domain =
        root.need("advertiser_domain", "\"shop.example\"").and_then(|node| node.read(domain));
    let categories = root.need("categories", "[\"IAB20\"]").and_then(|node| categories(&node));
    let app_bundle = root.get("app_bundle").map_or(Some(String::new()), |node| node.read(word));
    let language = root
        .get("language")
        .map_or(Some(String::new()), |node| node.read(language).map(|code| code.to_ascii_lowercase()));
    let deals = root.get("deals").map_or(Some(Vec::new()), |node| deals(&node));
    let zone = root.get("timezone").map_or(Some(Zone::default()), |node| node.read(time_zone));
    let pacing = root.get("pacing").map_or_else(|| Some(Default::default()), |node| pacing::read(&node));
    let max_bid = root.need("max_bid_cpm", "\"12.00\"").and_then(|node| money::<CpmMicros>(&node));
    let goal = root.need("goal", "{ cpc = { max = \"0.60\" } }").and_then(|node| goal::read(&node));
    let limits =
        root.get("limits").map_or(Some(Limits::default()), |node| goal::limits(&node, goal.as_ref()));
    let budget = root.need("budget", "{ daily = \"40.00\" }").and_then(|node| budget(&node));
    let always = Flight { start: Timestamp::default(), end: Timestamp::MAX };
    let flight = root.get("flight").map_or(Some(always), |node| flight(&node, always));
    let dayparts = root.get("dayparts").map_or(Some(Vec::new()), |node| dayparts::read_all(&node));
    let targeting =
        root.get("targeting").map_or_else(|| Some(Default::default()), |node| predicates::read(&node, names));
    if let (Some((Pacing::Hours(weights), _)), Some(hours)) = (&pacing, &dayparts)
        && !hours.is_empty()
        && !weights.iter().zip(0u16..).any(|(weight, hour)| *weight > 0 && covers(hours, hour))
    {
        root.fail("pacing: its curve has no money for any hour of dayparts; weigh one of those");
    }
    let frequency = frequency::read(&mut root);
    let state_away = root.get("user_state_away");
    let explore = explore::read(&mut root, goal);
    let holdout = root.get("holdout").map_or(Some(Holdout::default()), |node| holdout(&node));
    let creatives = root
        .need("creatives", "a [[creatives]] table with id, width, height, image, landing and title")
        .and_then(|node| creative::read_all(&node));
    root.finish();

    let (id, (targeting, summary), (pacing, control)) = (id?, targeting?, pacing?);
    let campaign = Campaign {
        key: CampaignKey::of(&id),
        id,
        name: name?,
        advertiser_domain: advertiser_domain?,
        categories: categories?,
        app_bundle: app_bundle?,
        language: language?,
        deals: deals?,
        goal: goal?,
        limits: limits?,
        budget: budget?,
        flight: flight?,
        pacing,
        control,
        zone: zone?,
        dayparts: dayparts?,
        targeting,
        frequency: frequency?,
        bids_without_user_state: state_away.as_ref().map_or(Some(false), away)?,
        holdout: holdout?,
        max_bid: max_bid?,
        explore: explore?,
        creatives: creatives?,
    };
    if let Some(node) = state_away.filter(|_| !campaign.asks_of_users()) {
        node.fail("says nothing where neither frequency, a goal of reach nor a behaviour goes by users; leave it out");
        return None;
    }
    Some((Read { campaign, targeting: summary }, id_node?.source()))
}

/// Whether it bids while what nodes share of users cannot be read.
fn away(node: &Node<'_>) -> Option<bool> {
    node.choice(&[("closed", false), ("open", true)])
}

/// Whether some of an hour of the day lies in dayparts.
fn covers(dayparts: &[Daypart], hour: u16) -> bool {
    dayparts.iter().any(|part| part.from_minute < (hour + 1) * 60 && part.to_minute > hour * 60)
}

/// A share of the users.
fn holdout(node: &Node<'_>) -> Option<Holdout> {
    let share = node.number().filter(|share| (0.0..=Holdout::MOST).contains(share));
    if share.is_none() {
        node.fail(format!(
            "must be a share of the users from 0 to {}, without quotes, like 0.05: as many again are watched to compare them with",
            Holdout::MOST
        ));
    }
    share.map(Holdout::of)
}

/// Those of taxonomy 1.0 first, as the domain keeps them.
fn categories(node: &Node<'_>) -> Option<Vec<Category>> {
    let list = node.list()?;
    if list.is_empty() {
        node.fail("is empty; exchanges want to know what an ad is about, write it like [\"IAB20\"]");
        return None;
    }
    let read: Vec<_> = list.iter().map(|node| node.read(category)).collect();
    let mut categories: Vec<_> = read.into_iter().collect::<Option<_>>()?;
    categories.sort_by_key(|category: &Category| category.taxonomy != Category::CONTENT_1);
    if categories.first().is_some_and(|category| category.taxonomy != Category::CONTENT_1) {
        node.fail(
            "has none of content taxonomy 1.0, in which exchanges block by default; add one like \"IAB20\"",
        );
        return None;
    }
    Some(categories)
}

fn deals(node: &Node<'_>) -> Option<Vec<Tag>> {
    let list = node.list()?;
    if list.is_empty() {
        node.fail("is empty; name at least one deal, or leave it out");
        return None;
    }
    let read: Vec<_> = list.iter().map(|node| node.read(word).map(|id| Tag::exactly(&id))).collect();
    read.into_iter().collect()
}

fn time_zone(text: &str) -> Result<Zone, String> {
    Zone::named(text).ok_or_else(|| {
        format!("{text:?} is not a time zone; write its IANA name, like \"America/New_York\" or \"UTC\"")
    })
}

fn budget(node: &Node<'_>) -> Option<Budget> {
    let mut table = node.table()?;
    let daily_node = table.get("daily");
    let total_node = table.get("total");
    if daily_node.is_none() && total_node.is_none() {
        table.fail("has neither daily nor total; write it like { daily = \"40.00\", total = \"400.00\" }");
        table.finish();
        return None;
    }
    table.finish();
    let amount = |node: &Option<Node<'_>>| match node {
        Some(node) => money::<Micros>(node).map(Some),
        None => Some(None),
    };
    let (daily, total) = (amount(&daily_node), amount(&total_node));
    let (daily, total) = (daily?, total?);
    if let (Some(daily), Some(total)) = (daily, total)
        && total < daily
    {
        total_node?.fail(format!("{total} is less than one day's {daily}; raise it, or lower daily"));
        return None;
    }
    Some(Budget { daily, total })
}

fn flight(node: &Node<'_>, always: Flight) -> Option<Flight> {
    let mut table = node.table()?;
    let start = table.get("start").map_or(Some(always.start), |node| instant(&node));
    let end_node = table.get("end");
    let end = end_node.as_ref().map_or(Some(always.end), instant);
    table.finish();
    let (start, end) = (start?, end?);
    if end <= start {
        let problem = format!("the flight ends ({end}) before it begins ({start}); swap or correct them");
        match end_node {
            Some(node) => node.fail(problem),
            None => node.fail(problem),
        }
        return None;
    }
    Some(Flight { start, end })
}

/// RFC 3339, as a text or as TOML's own date and time.
fn instant(node: &Node<'_>) -> Option<Timestamp> {
    if let DeValue::Datetime(datetime) = node.value() {
        let read = datetime.to_string().parse::<Timestamp>();
        return read.map_err(|problem| node.fail(problem)).ok();
    }
    node.read(str::parse)
}
