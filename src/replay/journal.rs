//! A node's own journal as a log of auctions: those of which it says both what was predicted and what it took to win.

use std::collections::HashMap;
use std::path::Path;

use haggle_actors::journal::Journal;
use haggle_domain::{BidId, CampaignKey, CpmMicros, Decision, Event, Footing, Timestamp};
use haggle_learning::data::BadRows;

use super::log::{Format, Log, Row};
use crate::exit::{Exit, ExitError};
use crate::model::{Progress, open_journal};

/// Records read at once.
const CHUNK: usize = 4_096;

/// What the journal says of one auction, as far as it is known.
#[derive(Clone, Copy, Debug, Default)]
struct Auction {
    at: Timestamp,
    /// The click rate; none while no decision was seen.
    ctr: Option<f64>,
    /// Whether its bid is one of the sample of all bids.
    sampled: bool,
    /// Whether it was won; none while nothing was heard.
    won: Option<bool>,
    /// What it took to win.
    price: Option<CpmMicros>,
    clicked: bool,
}

impl Auction {
    fn decided(&mut self, decision: &Decision) {
        self.at = decision.at;
        self.ctr = Some(f64::from(decision.click_probability).clamp(0.0, 1.0));
    }
}

/// Which auctions the journal knows, and in which order it first heard of them.
#[derive(Default)]
struct Auctions {
    places: HashMap<BidId, usize>,
    all: Vec<Auction>,
}

impl Auctions {
    fn of(&mut self, bid: BidId) -> &mut Auction {
        let Self { places, all } = self;
        let place = *places.entry(bid).or_insert(all.len());
        if place == all.len() {
            all.push(Auction::default());
        }
        &mut all[place]
    }

    fn note(&mut self, event: &Event) {
        match event {
            Event::Bid { decision } => {
                let auction = self.of(decision.bid);
                auction.decided(decision);
                auction.sampled = true;
            }
            Event::Impression { decision } => self.of(decision.bid).decided(decision),
            Event::Click { decision } => {
                let auction = self.of(decision.bid);
                auction.decided(decision);
                auction.clicked = true;
            }
            Event::Won { bid, price, ceiling, min_to_win, quote, .. } => {
                let auction = self.of(*bid);
                auction.won = Some(true);
                // Who pays the second price pays what the next one bid; who pays its bid learns nothing of others'. Under a deal
                // the price was agreed.
                let is_second = match quote.footing {
                    Footing::Second => true,
                    Footing::First | Footing::Deal => false,
                    // Written before that was noted.
                    Footing::Unknown => price < ceiling,
                };
                auction.price = min_to_win.or(is_second.then_some(*price));
            }
            Event::Lost { bid, min_to_win, .. } => {
                let auction = self.of(*bid);
                auction.won = Some(false);
                auction.price = *min_to_win;
            }
            _ => {}
        }
    }

    /// The auctions that can be held again, in the order in which they were, and what is missing.
    ///
    /// All won auctions have their decisions in the journal and only a sample of the lost ones: together they would be won
    /// more often than they were. So where there is a sample of bids, it alone is taken. `one` says that they are of one campaign.
    fn rows(self, one: bool) -> (Vec<Row>, Vec<String>) {
        let whole = |auction: &&Auction| auction.ctr.is_some() && auction.price.is_some();
        let sample = self.all.iter().filter(whole).any(|auction| auction.sampled);
        let count = |holds: &dyn Fn(&Auction) -> bool| self.all.iter().filter(|it| holds(it)).count();
        let (bids, won, lost) =
            (count(&|it| it.sampled), count(&|it| it.won == Some(true)), count(&|it| it.won == Some(false)));
        let silent = count(&|it| it.won.is_none());
        let unpriced = count(&|it| it.won.is_some() && it.price.is_none());
        let mut kept: Vec<&Auction> =
            self.all.iter().filter(whole).filter(|it| it.sampled || !sample).collect();
        kept.sort_by_key(|auction| auction.at);
        let row = |auction: &&Auction| {
            Some(Row { clicked: auction.clicked, price: auction.price?, ctr: auction.ctr? })
        };
        let rows: Vec<Row> = kept.iter().filter_map(row).collect();
        let taken = if sample {
            "replayed are those of the sample of bids (bid_log_sample) whose price to beat is known"
        } else {
            "no bid is in the journal (bid_log_sample is 0, or too small), so only won auctions are replayed: dearer ones are missing"
        };
        let notes = vec![
            format!("the journal tells of {won} won and {lost} lost auctions, and holds {bids} bids; {taken}"),
            format!(
                "left out because nobody said what it took to win: {unpriced} auctions; because neither win nor loss was heard of: \
                 {silent}"
            ),
            match one {
                true => "the campaign is replayed as a buyer of clicks, whatever its goal and targeting".to_owned(),
                false => {
                    "the campaigns are replayed as one buyer of clicks, whatever their goals and targeting; --campaign takes one".to_owned()
                }
            },
        ];
        (rows, notes)
    }
}

/// Reads the journal of the node with this configuration. It must not be running.
///
/// # Errors
///
/// A configuration or journal that cannot be used, a campaign that is not configured, no auction to replay, or a stop.
pub(super) fn read(config: &Path, campaign: Option<&str>, progress: &Progress) -> Result<Log, ExitError> {
    let (loaded, journal) = open_journal(config)?;
    let name = config.display().to_string();
    let unusable = |problem: String| ExitError::new(Exit::InputUnusable, format!("{name}: {problem}"));
    if let Some(id) = campaign
        && !loaded.campaigns.iter().any(|known| known.id == id)
    {
        let known: Vec<&str> = loaded.campaigns.iter().map(|known| known.id.as_str()).collect();
        return Err(unusable(format!("no campaign is called {id:?}; there are {}", known.join(", "))));
    }
    let only = campaign.map(CampaignKey::of);
    let mut auctions = Auctions::default();
    let (mut cursor, end) = (journal.durable_start(), journal.durable_end());
    while cursor < end {
        progress.check()?;
        let records = journal.read_from(cursor, CHUNK).map_err(|error| {
            ExitError::new(Exit::IoFailed, format!("the journal cannot be read: {error}"))
        })?;
        let Some((last, _)) = records.last() else { break };
        cursor = last + 1;
        for (_, record) in &records {
            if only.is_none_or(|only| only == record.campaign) {
                auctions.note(&record.event);
            }
        }
    }
    let (rows, notes) = auctions.rows(only.is_some());
    if rows.is_empty() {
        return Err(unusable(format!("no auction in its journal can be replayed: {}", notes.join("; "))));
    }
    let bad = BadRows { file: name, by_row: true, ..BadRows::default() };
    Ok(Log { format: Format::Haggle, rows, bad, notes })
}

#[cfg(test)]
mod tests {
    use haggle_domain::ExchangeKey;

    use super::*;

    const CEILING: CpmMicros = CpmMicros(5_000_000);

    fn decision(number: u32, click_probability: f32) -> Decision {
        let bid = BidId { campaign: CampaignKey::of("boots"), lease: 1, number };
        // Later bids are heard of first.
        Decision { bid, at: Timestamp(1_000 - i64::from(number)), click_probability, ..Decision::default() }
    }

    fn won(number: u32, price: i64, min_to_win: Option<i64>) -> Event {
        Event::Won {
            bid: decision(number, 0.0).bid,
            price: CpmMicros(price),
            ceiling: CEILING,
            exchange: ExchangeKey::of("x"),
            quote: Default::default(),
            min_to_win: min_to_win.map(CpmMicros),
        }
    }

    fn lost(number: u32, min_to_win: Option<i64>) -> Event {
        Event::Lost {
            bid: decision(number, 0.0).bid,
            reserved: haggle_domain::Micros(1),
            min_to_win: min_to_win.map(CpmMicros),
            ceiling: CEILING,
            exchange: ExchangeKey::of("x"),
            quote: Default::default(),
        }
    }

    fn rows(events: &[Event]) -> (Vec<Row>, Vec<String>) {
        let mut auctions = Auctions::default();
        events.iter().for_each(|event| auctions.note(event));
        auctions.rows(false)
    }

    #[test]
    fn an_auction_is_replayed_if_its_decision_and_its_price_are_known() {
        let shown = |number| Event::Impression { decision: decision(number, 0.5) };
        let (found, notes) = rows(&[
            won(1, 2_000_000, None),
            shown(1),
            Event::Click { decision: decision(1, 0.5) },
            // Its own bid, and what it would have taken.
            won(2, CEILING.0, Some(1_000_000)),
            shown(2),
            won(3, CEILING.0, None),
            shown(3),
            lost(4, Some(7_000_000)),
        ]);
        let row = |clicked, price| Row { clicked, price: CpmMicros(price), ctr: 0.5 };
        assert_eq!(found, [row(false, 1_000_000), row(true, 2_000_000)]);
        assert!(
            notes[0].starts_with("the journal tells of 3 won and 1 lost auctions, and holds 0 bids; no bid")
        );
        assert!(
            notes[1].contains("what it took to win: 1 auctions") && notes[1].ends_with(": 0"),
            "{notes:?}"
        );
    }

    #[test]
    fn where_bids_were_sampled_nothing_else_is_replayed() {
        let (found, notes) = rows(&[
            Event::Bid { decision: decision(1, 0.25) },
            lost(1, Some(7_000_000)),
            won(2, 2_000_000, None),
            Event::Impression { decision: decision(2, 0.5) },
            Event::Bid { decision: decision(3, 0.25) },
        ]);
        assert_eq!(found, [Row { clicked: false, price: CpmMicros(7_000_000), ctr: 0.25 }]);
        assert!(notes[1].ends_with("heard of: 1"), "{notes:?}");
    }
}
