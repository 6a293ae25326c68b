//! What a world asks of whoever bids in it.

use haggle_domain::{NoBidReason, Notice, Timestamp};

use super::bidder::{Bidder, Made, Standing};
use crate::auction::AuctionOutcome;
use crate::request::SimRequest;
use crate::shop::ShopEvent;

/// Somebody who bids, on virtual time: the bidder in this process, or a node that is asked over HTTP. Times do not go backwards.
pub trait Bids {
    /// When [`Bids::advance`] is to be called at the latest.
    fn next_due(&self) -> Timestamp;

    /// Moves time on to `now`.
    fn advance(&mut self, now: Timestamp);

    /// Answers a request.
    ///
    /// # Errors
    ///
    /// Why there is no bid.
    fn bid(&mut self, request: &SimRequest, now: Timestamp) -> Result<Made, NoBidReason>;

    /// Is told what became of a bid.
    fn notice(&mut self, notice: Notice, now: Timestamp);

    /// Is told what users did in the shop, oldest first.
    fn behaviour(&mut self, events: &[ShopEvent], now: Timestamp);

    /// The campaigns and what they show, always in the same order.
    fn standings(&self) -> Vec<Standing<'_>>;

    /// What was found wrong by the end, at `now`. Of a machine that is down nothing can be asked.
    fn problems(&mut self, is_up: bool, now: Timestamp) -> Vec<String>;

    /// Starts again after a crash, with its clock at `now`. Only called where there are crashes.
    fn restart(&mut self, _now: Timestamp) {}

    /// Time has moved on to `now`, which its clock calls `clock`: a moment to look at everything.
    fn look(&mut self, _now: Timestamp, _clock: Timestamp) {}

    /// It bids for somebody of whom the request says the country, and whether they may be known.
    fn watch_bid(&mut self, _request: &SimRequest, _made: &Made, _shown: (&str, bool), _now: Timestamp) {}

    /// The same bid's auction is over.
    fn watch_auction(
        &mut self,
        _request: &SimRequest,
        _made: &Made,
        _shown: (&str, bool),
        _auction: &AuctionOutcome,
        _now: Timestamp,
    ) {
    }
}

impl Bids for Bidder {
    fn next_due(&self) -> Timestamp {
        self.next_due()
    }

    fn advance(&mut self, now: Timestamp) {
        self.advance(now);
    }

    fn bid(&mut self, request: &SimRequest, now: Timestamp) -> Result<Made, NoBidReason> {
        self.answer(request, now)
    }

    fn notice(&mut self, notice: Notice, now: Timestamp) {
        // What comes too late or contradicts is no matter of the world's.
        let _ = self.notice(notice, now);
    }

    fn behaviour(&mut self, events: &[ShopEvent], now: Timestamp) {
        events.iter().for_each(|event| self.behaviour(event, now));
    }

    fn standings(&self) -> Vec<Standing<'_>> {
        self.reports().collect()
    }

    fn problems(&mut self, _: bool, _: Timestamp) -> Vec<String> {
        Bidder::problems(self).collect()
    }

    fn restart(&mut self, now: Timestamp) {
        self.restart(now);
    }
}
