//! What `haggle config validate` and `haggle config explain` print.

use std::fmt::Write as _;

use haggle_domain::{Budget, Creative, Rate};

use super::creative::FORMATS;
use super::exchange::{Exchange, user_id_word};
use super::knowledge::{List, Taxonomy};
use super::postback::Postback;
use super::{ConfigErrors, Loaded, duration, explore, frequency, goal};

/// How many campaigns are shown each.
const MOST_SHOWN: usize = 200;

/// One line that says all is well; `Err` prints every error.
pub fn validate(loaded: &Result<Loaded, ConfigErrors>) -> Result<String, String> {
    match loaded {
        Ok(loaded) => {
            let mut line =
                format!("ok: {} exchanges, {} campaigns", loaded.exchanges.len(), loaded.campaigns.len());
            if !loaded.rates.pairs.is_empty() {
                let _ = write!(line, ", {} exchange rates", loaded.rates.pairs.len());
            }
            Ok(line)
        }
        Err(errors) => Err(errors.to_string()),
    }
}

/// Every setting with its value, where that comes from and what it is for; then rates, exchanges and campaigns. No
/// secret is in it: of the event key only the file's name, of keys of prices that there are some.
pub fn explain(loaded: &Loaded) -> String {
    let mut out = format!("configuration: {}\n\n", loaded.file);
    let rows = loaded.sources.iter().map(|effective| {
        let setting = effective.setting;
        [
            setting.key.to_owned(),
            effective.value.clone(),
            effective.source.to_string(),
            setting.help.to_owned(),
        ]
    });
    table(&mut out, &rows.collect::<Vec<_>>());
    rates(&mut out, loaded);
    out.push_str("\nexchanges\n");
    table(&mut out, &loaded.exchanges.iter().map(exchange).collect::<Vec<_>>());
    postbacks(&mut out, &loaded.postbacks);
    knowledge(&mut out, loaded);
    out.push_str("\ncampaigns\n");
    let currency = loaded.settings.currency.as_str();
    let shown = loaded.campaigns.iter().zip(&loaded.targeting).take(MOST_SHOWN);
    let rows = shown.map(|(campaign, targeting)| {
        let targeting = if targeting.is_empty() { "everyone".to_owned() } else { targeting.clone() };
        [
            format!("  {}", campaign.id),
            goal::show(&campaign.goal, &campaign.limits),
            format!(
                "{}, spent {} ({})",
                budget(campaign.budget, currency),
                campaign.pacing.as_str(),
                campaign.control.as_str()
            ),
            creatives(&campaign.creatives),
            targeting,
            frequency::show(&campaign.frequency),
            if campaign.bids_without_user_state { "bids while shared users are away" } else { "" }.to_owned(),
            explore::show(&campaign.explore),
            match campaign.holdout {
                holdout if holdout.is_none() => String::new(),
                holdout => format!("holds out {} % of users", (holdout.share() * 1e6).round() / 1e4),
            },
        ]
    });
    table(&mut out, &rows.collect::<Vec<_>>());
    let more = loaded.campaigns.len().saturating_sub(MOST_SHOWN);
    if more > 0 {
        let _ = writeln!(out, "  and {more} more");
    }
    out
}

/// Who is told of orders; nothing where nobody is.
fn postbacks(out: &mut String, postbacks: &[Postback]) {
    if postbacks.is_empty() {
        return;
    }
    out.push_str("\npostbacks\n");
    let row = |postback: &Postback| {
        let events: Vec<_> = postback.events.iter().map(|event| event.as_str()).collect();
        let tries = format!("{} tries in {}", postback.tries, duration::show(postback.give_up_after));
        let private = if postback.allow_private { "private addresses allowed" } else { "" };
        [
            format!("  {}", postback.name),
            postback.url.to_string(),
            events.join(", "),
            tries,
            private.to_owned(),
        ]
    };
    table(out, &postbacks.iter().map(row).collect::<Vec<_>>());
}

/// Lists and taxonomies; nothing where there are none.
fn knowledge(out: &mut String, loaded: &Loaded) {
    if !loaded.lists.is_empty() {
        out.push_str("\nlists\n");
        let row = |list: &List| {
            [format!("  {}", list.name), list.kind.as_str().to_owned(), list.file.display().to_string()]
        };
        table(out, &loaded.lists.iter().map(row).collect::<Vec<_>>());
    }
    if !loaded.taxonomies.is_empty() {
        out.push_str("\ntaxonomies\n");
        let row = |taxonomy: &Taxonomy| [format!("  {}", taxonomy.id), taxonomy.file.display().to_string()];
        table(out, &loaded.taxonomies.iter().map(row).collect::<Vec<_>>());
    }
}

/// Nothing where there are none.
fn rates(out: &mut String, loaded: &Loaded) {
    let rates = &loaded.rates;
    if rates.pairs.is_empty() {
        return;
    }
    let as_of = loaded.rates_as_of.as_ref().map_or_else(String::new, |day| format!(" of {day}"));
    let _ = writeln!(out, "\nrates{as_of}");
    let row = |(code, rate): &(String, Rate)| [format!("  1 {code}"), format!("{rate} {}", rates.account)];
    table(out, &rates.pairs.iter().map(row).collect::<Vec<_>>());
}

fn exchange(exchange: &Exchange) -> [String; 5] {
    let prices = if exchange.price_encryption.is_some() { ", prices encrypted" } else { "" };
    let users: Vec<_> = exchange.user_ids.iter().map(user_id_word).collect();
    let most = exchange.max_qps.map_or_else(String::new, |most| format!(", at most {most} a second"));
    [
        format!("  {}", exchange.name),
        format!("billed on {}{prices}{most}", exchange.bill_on.as_str()),
        format!("no bid: {}, prices tried {}", exchange.no_bid.as_str(), exchange.explore_prices),
        if users.is_empty() { "users not read".to_owned() } else { format!("users by {}", users.join(", ")) },
        exchange.domain.clone().unwrap_or_default(),
    ]
}

/// How many there are of each format.
fn creatives(creatives: &[Creative]) -> String {
    let count = |format| creatives.iter().filter(|creative| creative.format() == format).count();
    let counts = FORMATS.iter().map(|(name, format)| (count(*format), name)).filter(|(count, _)| *count > 0);
    counts.map(|(count, name)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
}

fn budget(budget: Budget, currency: &str) -> String {
    let daily = budget.daily.map(|amount| format!("{amount} {currency} a day"));
    let total = budget.total.map(|amount| format!("{amount} {currency} in total"));
    [daily, total].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Columns as wide as their widest cell.
fn table<const N: usize>(out: &mut String, rows: &[[String; N]]) {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
}
