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
        /// It is not JSON, or compressed in a way that is not supported.
        UnsupportedMedia = "unsupported_media",
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
