//! Why an imp got no bid: one closed list, so that bids and reasons sum exactly to the imps seen.

macro_rules! reasons {
    ($( $(#[doc = $help:literal])+ $variant:ident = $name:literal => $code:literal, )+) => {
        /// Why an imp got no bid. Where several campaigns refused for different reasons, the one that came furthest
        /// speaks for the imp; the order here is the order of the stages.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum NoBidReason { $( $(#[doc = $help])+ $variant, )+ }

        impl NoBidReason {
            /// Every reason, in the order of the stages.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name in metrics and reports.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// The code of `nbr` (OpenRTB 2.6, list of no-bid reason codes in AdCOM 1.0). The list has none for what a
            /// bidder decides on its own business's grounds; those are 0.
            pub const fn code(self) -> u16 {
                match self { $(Self::$variant => $code),+ }
            }
        }
    };
}

reasons! {
    /// The request as a whole contradicts the specification (a site and an app, a text where an object belongs, …).
    InvalidRequest = "invalid_request" => 2,
    /// The imp itself breaks the specification (no format, no id, …).
    InvalidImp = "invalid_imp" => 2,
    /// The request has more imps than are looked at, and this is one of the rest.
    TooManyImps = "too_many_imps" => 1,
    /// None of the offered formats is one we make.
    UnsupportedFormat = "unsupported_format" => 0,
    /// No price of ours can be said in a currency that the request takes.
    UnsupportedCurrency = "unsupported_currency" => 0,
    /// The imp takes only https, and `public_url`, where its notices go, is http.
    Insecure = "insecure" => 0,
    /// `wseat`/`bseat` keep us out.
    SeatBlocked = "seat_blocked" => 0,
    /// A web spider that says so.
    KnownSpider = "known_spider" => 3,
    /// Traffic that looks made by a machine.
    SuspectedBot = "suspected_bot" => 4,
    /// Traffic from a data centre or proxy.
    DataCentre = "data_centre" => 5,
    /// A device that no ad of ours is made for.
    UnsupportedDevice = "unsupported_device" => 6,
    /// The site, app, publisher or seller is on a block list, or not on an allow list.
    BlockedPublisher = "blocked_publisher" => 7,
    /// The publisher's ads.txt is not known.
    SellerUnknown = "seller_unknown" => 11,
    /// The publisher's ads.txt does not authorise the seller.
    SellerUnauthorised = "seller_unauthorised" => 12,
    /// The supply chain is not complete.
    IncompleteChain = "incomplete_chain" => 16,
    /// A node of the supply chain is blocked or not what it says it is.
    BlockedChain = "blocked_chain" => 17,
    /// The request had waited so long that an answer would come after its deadline (`tmax`).
    TooLate = "too_late" => 15,
    /// The node is draining or its journal has failed, so it takes on no new money.
    NotServing = "not_serving" => 1,
    /// No campaign is running at all.
    NoCampaigns = "no_campaigns" => 0,
    /// No campaign's flight or daypart holds now.
    OutsideFlight = "outside_flight" => 0,
    /// No running campaign's targeting matches.
    TargetingMismatch = "targeting_mismatch" => 0,
    /// What matched asks what the user did, and there is no basis to look.
    NoBasis = "no_basis" => 8,
    /// What matched goes by what is known of users, and where nodes share that it cannot be read now.
    UserStateAway = "user_state_away" => 1,
    /// `bcat`, `acat`, `badv`, `bapp` or `wlang` exclude what matched.
    BrandSafety = "brand_safety" => 0,
    /// Only deals are wanted, and what matched has none of them.
    NoDeal = "no_deal" => 0,
    /// No creative of what matched fits the imp.
    CreativeMismatch = "creative_mismatch" => 0,
    /// The user is one of those whom what matched leaves alone, to know what its ads bring.
    Holdout = "holdout" => 0,
    /// The user has seen what matched as often as they may.
    FrequencyCapped = "frequency_capped" => 9,
    /// The campaign's actor is down and its breaker open.
    CampaignDown = "campaign_down" => 1,
    /// The budget is spent.
    BudgetExhausted = "budget_exhausted" => 0,
    /// The budget's plan says: not yet, or this auction is one that throttling leaves out.
    Pacing = "pacing" => 0,
    /// The campaign is paused.
    Paused = "paused" => 0,
    /// What matched is worth less than the floor.
    BelowFloor = "below_floor" => 0,
    /// The pod has an ad of the same advertiser or category already, or no time left.
    PodSeparation = "pod_separation" => 0,
    /// The lease ran out between ranking and reserving.
    LeaseRaced = "lease_raced" => 1,
    /// Another candidate was better. Of campaigns alone, never of an imp.
    Outranked = "outranked" => 0,
}

impl NoBidReason {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The position in [`NoBidReason::ALL`], for arrays of counters.
    pub const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_complete_and_named_once() {
        for (index, reason) in NoBidReason::ALL.iter().enumerate() {
            assert_eq!(reason.index(), index);
        }
        let names: std::collections::HashSet<_> = NoBidReason::ALL.iter().map(|r| r.as_str()).collect();
        assert_eq!(names.len(), NoBidReason::COUNT);
    }

    #[test]
    fn codes_are_of_the_specifications_list() {
        assert!(NoBidReason::ALL.iter().all(|reason| reason.code() <= 17));
        assert_eq!(NoBidReason::KnownSpider.code(), 3);
        assert_eq!(NoBidReason::BlockedChain.code(), 17);
    }
}
