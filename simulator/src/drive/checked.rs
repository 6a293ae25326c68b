//! A bidder with all that checks it.

use haggle_domain::{NoBidReason, Notice, Timestamp};

use super::bidder::{Bidder, BidderSettings, Made, Standing};
use super::bids::Bids;
use super::checks::Checks;
use super::limits::Placed;
use crate::auction::AuctionOutcome;
use crate::request::SimRequest;
use crate::shop::ShopEvent;

/// See the module's text.
pub(super) struct Checked {
    bidder: Bidder,
    checks: Checks,
}

impl Checked {
    pub(super) fn new(bidder: Bidder, settings: BidderSettings, now: Timestamp) -> Self {
        Self { checks: Checks::new(&bidder, settings, now), bidder }
    }
}

impl Bids for Checked {
    fn next_due(&self) -> Timestamp {
        self.bidder.next_due()
    }

    fn advance(&mut self, now: Timestamp) {
        self.bidder.advance(now);
    }

    fn bid(&mut self, request: &SimRequest, now: Timestamp) -> Result<Made, NoBidReason> {
        self.bidder.answer(request, now)
    }

    fn notice(&mut self, notice: Notice, now: Timestamp) {
        let told = notice.clone();
        let outcome = self.bidder.notice(notice, now);
        self.checks.notice(&self.bidder, &told, outcome, now);
    }

    fn behaviour(&mut self, events: &[ShopEvent], now: Timestamp) {
        Bids::behaviour(&mut self.bidder, events, now);
    }

    fn standings(&self) -> Vec<Standing<'_>> {
        self.bidder.reports().collect()
    }

    fn problems(&mut self, is_up: bool, now: Timestamp) -> Vec<String> {
        // What was told last is learned, too, before it is counted.
        self.bidder.learn();
        self.checks.end(&self.bidder, is_up, now)
    }

    fn restart(&mut self, now: Timestamp) {
        self.bidder.restart(now);
        self.checks.restarted(now);
    }

    fn look(&mut self, now: Timestamp, clock: Timestamp) {
        self.checks.look(&self.bidder, now, clock);
    }

    fn watch_bid(
        &mut self,
        request: &SimRequest,
        made: &Made,
        (country, may_be_known): (&str, bool),
        now: Timestamp,
    ) {
        if let Some(live) = self.bidder.live(made.campaign.key) {
            self.checks.bid(&Placed { request, made, live, country, may_be_known, now });
        }
    }

    fn watch_auction(
        &mut self,
        request: &SimRequest,
        made: &Made,
        (country, may_be_known): (&str, bool),
        auction: &AuctionOutcome,
        now: Timestamp,
    ) {
        if let Some(live) = self.bidder.live(made.campaign.key) {
            self.checks.decided(&Placed { request, made, live, country, may_be_known, now }, auction);
        }
    }
}
