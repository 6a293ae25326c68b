//! A bidder that somebody watches.

use haggle_domain::{NoBidReason, Notice, Timestamp};

use super::bidder::{Made, Standing};
use super::bids::Bids;
use super::checked::Checked;
use crate::auction::AuctionOutcome;
use crate::request::SimRequest;
use crate::shop::ShopEvent;

/// Somebody who sees what a bidder bids, and what it is told of it, and changes nothing.
pub trait Watches {
    /// A request is bid on.
    fn bid(&mut self, request: &SimRequest, made: &Made);

    /// The bidder is told of a bid.
    fn notice(&mut self, notice: &Notice, now: Timestamp);
}

/// The bidder, checked, and who watches.
pub(super) struct Watched<'w> {
    pub(super) bidder: Checked,
    pub(super) watch: &'w mut dyn Watches,
}

impl Bids for Watched<'_> {
    fn next_due(&self) -> Timestamp {
        self.bidder.next_due()
    }

    fn advance(&mut self, now: Timestamp) {
        self.bidder.advance(now);
    }

    fn bid(&mut self, request: &SimRequest, now: Timestamp) -> Result<Made, NoBidReason> {
        let made = self.bidder.bid(request, now)?;
        self.watch.bid(request, &made);
        Ok(made)
    }

    fn notice(&mut self, notice: Notice, now: Timestamp) {
        self.watch.notice(&notice, now);
        self.bidder.notice(notice, now);
    }

    fn behaviour(&mut self, events: &[ShopEvent], now: Timestamp) {
        self.bidder.behaviour(events, now);
    }

    fn standings(&self) -> Vec<Standing<'_>> {
        self.bidder.standings()
    }

    fn problems(&mut self, is_up: bool, now: Timestamp) -> Vec<String> {
        self.bidder.problems(is_up, now)
    }

    fn restart(&mut self, now: Timestamp) {
        self.bidder.restart(now);
    }

    fn look(&mut self, now: Timestamp, clock: Timestamp) {
        self.bidder.look(now, clock);
    }

    fn watch_bid(&mut self, request: &SimRequest, made: &Made, shown: (&str, bool), now: Timestamp) {
        self.bidder.watch_bid(request, made, shown, now);
    }

    fn watch_auction(
        &mut self,
        request: &SimRequest,
        made: &Made,
        shown: (&str, bool),
        auction: &AuctionOutcome,
        now: Timestamp,
    ) {
        self.bidder.watch_auction(request, made, shown, auction, now);
    }
}
