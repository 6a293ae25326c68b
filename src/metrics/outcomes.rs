//! The values of labels that are closed lists.

macro_rules! labels {
    ($(#[doc = $about:literal])+ $list:ident { $( $(#[doc = $help:literal])+ $variant:ident = $word:literal, )+ }) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum $list { $( $(#[doc = $help])+ $variant, )+ }

        impl $list {
            /// Every value, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The label's value.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The position in `ALL`.
            pub const fn index(self) -> usize {
                self as usize
            }
        }
    };
}

labels! {
    /// What a campaign's actor says of it.
    CampaignState {
        /// Nothing yet.
        Starting = "starting",
        /// It has no actor, or one that keeps failing.
        Down = "down",
        /// It bids.
        Active = "active",
        /// The plan says: not yet.
        Paced = "paced",
        /// The budget is spent or reserved.
        Exhausted = "exhausted",
        /// Somebody has said that it shall not bid.
        Paused = "paused",
    }
}

labels! {
    /// How a bid request was answered.
    RequestOutcome {
        /// With at least one bid.
        Bid = "bid",
        /// With none.
        NoBid = "no_bid",
        /// It is not a bid request.
        Malformed = "malformed",
        /// It is larger than `max_body_bytes`.
        TooLarge = "too_large",
        /// It was let go unread, because more came than can be answered in time.
        Overloaded = "overloaded",
        /// It was let go unread, because the exchange sent more than its `max_qps`.
        RateLimited = "rate_limited",
        /// It is not JSON, or compressed in a way that is not supported.
        UnsupportedMedia = "unsupported_media",
    }
}

labels! {
    /// Why a bid did not know what nodes share of its user.
    UserAway {
        /// No answer came within `redis_timeout`.
        Timeout = "timeout",
        /// The connection broke, or the server refused.
        Error = "error",
        /// There was no connection, so nobody was asked.
        Down = "down",
        /// The request had no time left to ask or to wait.
        Late = "late",
    }
}

labels! {
    /// What became of changes to what nodes share of users.
    UserWrite {
        /// They stand there.
        Written = "written",
        /// Another node was first, so they were made again.
        Again = "again",
        /// They were given up.
        GivenUp = "given_up",
        /// They found no room to wait in.
        Dropped = "dropped",
    }
}

labels! {
    /// Why an exchange says that a bid lost (`${AUCTION_LOSS}`; OpenRTB 2.6, list of loss reason codes in AdCOM 1.0).
    LossReason {
        /// It was won after all, or the code is unknown, missing or the exchange's own.
        Other = "other",
        /// The exchange failed, or the impression came to nothing (1, 2).
        NotShown = "not_shown",
        /// The bid was late, invalid or could not be used (3 to 14).
        Invalid = "invalid",
        /// Below the floor or the deal's floor (100, 101).
        BelowFloor = "below_floor",
        /// Another bid was higher, or a deal went first (102, 103).
        Outbid = "outbid",
        /// Our seat is blocked (104).
        SeatBlocked = "seat_blocked",
        /// The creative was refused (200 and above).
        Creative = "creative",
    }
}

impl LossReason {
    /// What the macro became.
    pub fn of(text: Option<&str>) -> Self {
        match text.and_then(|text| text.parse::<u16>().ok()) {
            Some(1 | 2) => Self::NotShown,
            Some(3..=14) => Self::Invalid,
            Some(100 | 101) => Self::BelowFloor,
            Some(102 | 103) => Self::Outbid,
            Some(104) => Self::SeatBlocked,
            Some(200..=499) => Self::Creative,
            _ => Self::Other,
        }
    }
}

labels! {
    /// What a notice says.
    NoticeKind {
        /// The auction is won.
        Win = "win",
        /// The impression is billed.
        Bill = "bill",
        /// The auction is lost.
        Loss = "loss",
        /// The ad was shown.
        Impression = "impression",
        /// The ad was clicked.
        Click = "click",
        /// The shop got an order.
        Conversion = "conversion",
    }
}

labels! {
    /// What became of a notice.
    NoticeOutcome {
        /// It counts.
        Accepted = "accepted",
        /// It had counted already.
        Duplicate = "duplicate",
        /// It contradicts an earlier one, such as a bill after a loss.
        Conflict = "conflict",
        /// Its token is not one of ours.
        Forged = "forged",
        /// It came too late.
        Expired = "expired",
        /// Its price cannot be read.
        BadPrice = "bad_price",
        /// It asked for more than the bid, and got the bid.
        Capped = "capped",
        /// It could not be taken in now; the sender may repeat it.
        Busy = "busy",
        /// Its campaign is not configured any more.
        UnknownCampaign = "unknown_campaign",
    }
}

labels! {
    /// What became of a shop's event about a user.
    ProfileOutcome {
        /// It was noted.
        Accepted = "accepted",
        /// It cannot be read.
        Malformed = "malformed",
        /// It does not carry the shop's key.
        Unauthorized = "unauthorized",
        /// It could not be taken in now; the shop may repeat it.
        Busy = "busy",
    }
}

labels! {
    /// Which probability a model predicts.
    Head {
        /// That an impression is clicked.
        Click = "click",
        /// That a click leads to an order.
        Conversion = "conversion",
    }
}
