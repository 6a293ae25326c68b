//! Bids that nobody tells the end of.
//!
//! An exchange that sends no loss notices leaves wins alone to learn from, which would say that every bid wins. Some bids are
//! in the journal's sample, and of those it can be told when their time is over: without a win they lost. Each stands for as many
//! as the sample leaves out, whose losses nobody sees either.

use std::collections::{BTreeSet, HashMap};

use haggle_domain::{BidId, CpmMicros, Decision, Event, ExchangeKey, Footing, Segment, Timestamp};
use haggle_strategies::Landscape;
use haggle_strategies::market::Seen;
use minicbor::{Decode, Encode};

/// Sampled bids that are waited for at once; more are passed over.
const MOST: usize = 65_536;

/// Sampled bids whose time is not over.
#[derive(Debug, Default)]
pub(super) struct Unanswered {
    waiting: HashMap<BidId, Waiting>,
    order: BTreeSet<(Timestamp, BidId)>,
}

/// What is kept of a bid.
#[derive(Clone, Copy, Debug, PartialEq, Encode, Decode)]
pub(super) struct Waiting {
    #[n(0)]
    bid: BidId,
    #[n(1)]
    expires_at: Timestamp,
    #[n(2)]
    exchange: ExchangeKey,
    #[n(3)]
    segment: Segment,
    #[n(4)]
    ceiling: CpmMicros,
    /// It was billed or shown, so it won, though no win notice said so.
    #[n(5)]
    shown: bool,
}

impl Unanswered {
    /// Takes in an event: a sampled bid begins to be waited for, and what is told of one ends it. Only bids in the open auction
    /// say something of its prices.
    pub(super) fn note(&mut self, event: &Event) {
        match event {
            Event::Bid { decision } => self.wait(decision),
            // These teach by themselves.
            Event::Won { bid, .. } | Event::Lost { bid, .. } => {
                if let Some(waiting) = self.waiting.remove(bid) {
                    self.order.remove(&(waiting.expires_at, *bid));
                }
            }
            Event::Billed { bid, .. } => self.shown(bid),
            Event::Impression { decision } => self.shown(&decision.bid),
            _ => {}
        }
    }

    fn shown(&mut self, bid: &BidId) {
        if let Some(waiting) = self.waiting.get_mut(bid) {
            waiting.shown = true;
        }
    }

    fn wait(&mut self, decision: &Decision) {
        let open = matches!(decision.quote.footing, Footing::First | Footing::Second);
        if open && self.waiting.len() < MOST {
            self.restore([Waiting {
                bid: decision.bid,
                expires_at: decision.expires_at,
                exchange: decision.exchange,
                segment: decision.quote.segment,
                ceiling: decision.ceiling,
                shown: false,
            }]);
        }
    }

    /// Teaches the landscape those whose time is over. `share` is that of the bids that are sampled.
    pub(super) fn expire(&mut self, now: Timestamp, share: f64, landscape: &mut Landscape) {
        while let Some((expires_at, bid)) = self.order.first().copied().filter(|(at, _)| *at <= now) {
            self.order.remove(&(expires_at, bid));
            let Some(ended) = self.waiting.remove(&bid) else { continue };
            let seen = if ended.shown { Seen::AtMost(ended.ceiling) } else { Seen::Above(ended.ceiling) };
            if share > 0.0 {
                landscape.observe(ended.exchange, Some(ended.segment), seen, 1.0 / share);
            }
        }
    }

    /// Those that are waited for, for a checkpoint.
    pub(super) fn save(&self) -> Vec<Waiting> {
        self.order.iter().filter_map(|(_, bid)| self.waiting.get(bid).copied()).collect()
    }

    /// Waits for these, too.
    pub(super) fn restore(&mut self, saved: impl IntoIterator<Item = Waiting>) {
        for waiting in saved {
            if self.waiting.insert(waiting.bid, waiting).is_none() {
                self.order.insert((waiting.expires_at, waiting.bid));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use haggle_domain::{CampaignKey, Micros, Quote};

    use super::*;

    const QUOTE: Quote = Quote { segment: Segment(9), footing: Footing::First, propensity: None };
    const X: ExchangeKey = ExchangeKey(5);

    fn bid(number: u32) -> BidId {
        BidId { campaign: CampaignKey(1), lease: 1, number }
    }

    fn decision(number: u32, ceiling: i64) -> Decision {
        Decision {
            bid: bid(number),
            expires_at: Timestamp(1_000 + i64::from(number)),
            ceiling: CpmMicros(ceiling),
            exchange: X,
            quote: QUOTE,
            ..Decision::default()
        }
    }

    /// Prices to beat are spread evenly between nothing and four; one bid in ten is sampled; only wins are told, or nothing at
    /// all but what was billed.
    #[test]
    fn an_exchange_that_tells_no_losses_has_a_curve_all_the_same() {
        for tells_wins in [true, false] {
            let (mut waiting, mut landscape) = (Unanswered::default(), Landscape::default());
            for number in 0..40_000u32 {
                let [price, ceiling] = [7_919, 104_729].map(|step| i64::from(number) * step % 4_000_000);
                let (at, won) = (decision(number, ceiling), ceiling >= price);
                if number % 10 == 0 {
                    waiting.note(&Event::Bid { decision: at.clone() });
                }
                if won && tells_wins {
                    landscape.observe(X, Some(QUOTE.segment), Seen::AtMost(at.ceiling), 1.0);
                    let (price, ceiling, exchange) = (at.ceiling, at.ceiling, X);
                    let quote = QUOTE;
                    waiting.note(&Event::Won {
                        bid: at.bid,
                        price,
                        ceiling,
                        exchange,
                        min_to_win: None,
                        quote,
                    });
                } else if won {
                    let (reserved, charged) = (Micros(1), Micros(1));
                    waiting.note(&Event::Billed {
                        bid: at.bid,
                        reserved,
                        charged,
                        capped: false,
                        explored: false,
                    });
                }
                waiting.expire(Timestamp(i64::from(number)), 0.1, &mut landscape);
                if number % 1_000 == 0 {
                    landscape.prepare();
                }
            }
            waiting.expire(Timestamp(i64::MAX), 0.1, &mut landscape);
            assert!(waiting.save().is_empty());
            let market = landscape.prepare();
            let curve = market.curve(X, QUOTE.segment).unwrap();
            for share in [0.25, 0.5, 0.75] {
                let wins = curve.wins(CpmMicros((share * 4e6) as i64));
                assert!((wins - share).abs() < 0.12, "{tells_wins} {share}: {wins}");
            }
        }
    }

    #[test]
    fn what_is_told_in_time_and_what_is_no_open_bid_is_not_waited_for() {
        let mut waiting = Unanswered::default();
        waiting.note(&Event::Bid { decision: decision(1, 10) });
        waiting.note(&Event::Bid { decision: decision(1, 10) });
        waiting.note(&Event::Bid { decision: decision(2, 10) });
        let deal = Quote { footing: Footing::Deal, ..QUOTE };
        waiting.note(&Event::Bid { decision: Decision { quote: deal, ..decision(3, 10) } });
        waiting.note(&Event::Bid { decision: Decision { quote: Quote::default(), ..decision(4, 10) } });
        let (reserved, ceiling) = (Micros(1), CpmMicros(10));
        let told =
            Event::Lost { bid: bid(2), reserved, min_to_win: None, ceiling, exchange: X, quote: QUOTE };
        waiting.note(&told);
        let saved = waiting.save();
        assert_eq!(saved.iter().map(|waiting| waiting.bid).collect::<Vec<_>>(), [bid(1)]);
        let mut restored = Unanswered::default();
        restored.restore(saved.clone());
        assert_eq!(restored.save(), saved);
        for number in 0..70_000 {
            waiting.note(&Event::Bid { decision: decision(number, 10) });
        }
        assert_eq!(waiting.save().len(), MOST);
    }
}
