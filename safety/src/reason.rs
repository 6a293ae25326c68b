//! Why a request is not bid on, or only looks odd: one closed list over all gates.

/// What a gate found. The order is that of the gates; the first that is enforced speaks for the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum SafetyReason {
    /// The user agent is on the list of spiders and bots.
    KnownSpider = 0,
    /// The user agent, or a brand of its client hints, is that of a browser without a window or one that a program drives.
    AutomatedBrowser,
    /// The user agent holds control characters or is longer than any browser's.
    MalformedUserAgent,
    /// What the request says of the device cannot be true together.
    ContradictoryDevice,
    /// The address belongs to a data centre or a proxy.
    DataCentre,
    /// A list of valid browsers is loaded and the user agent is not on it.
    UnlistedBrowser,
    /// What stands for an IP address is none.
    UnreadableAddress,
    /// The IP address is one that no device on the internet has: private, loopback, documentation …
    SpecialAddress,
    /// The site or the app is on a block list, or is not on an allow list.
    BlockedInventory,
    /// The publisher is on a block list, or is not on an allow list.
    BlockedPublisher,
    /// A seller in the supply chain is on a block list, or is not on an allow list.
    BlockedSeller,
    /// The supply chain says that it is not complete.
    IncompleteChain,
    /// The supply chain has no nodes, too many, a node without a system or a seller, or an unknown version.
    MalformedChain,
    /// The last node of the supply chain is not the exchange that asks.
    ForeignChain,
    /// The store holds no `ads.txt` (for an app: no `app-ads.txt`) of the inventory.
    AdsTxtUnavailable,
    /// The inventory's `ads.txt` does not name the seller.
    UnauthorisedSeller,
    /// The advertising system's `sellers.json` does not name the seller.
    UnlistedSeller,
    /// `ads.txt` and `sellers.json` contradict each other on whether the seller is the publisher.
    SellerTypeMismatch,
}

impl SafetyReason {
    /// Every reason, in order.
    pub const ALL: [Self; 18] = [
        Self::KnownSpider,
        Self::AutomatedBrowser,
        Self::MalformedUserAgent,
        Self::ContradictoryDevice,
        Self::DataCentre,
        Self::UnlistedBrowser,
        Self::UnreadableAddress,
        Self::SpecialAddress,
        Self::BlockedInventory,
        Self::BlockedPublisher,
        Self::BlockedSeller,
        Self::IncompleteChain,
        Self::MalformedChain,
        Self::ForeignChain,
        Self::AdsTxtUnavailable,
        Self::UnauthorisedSeller,
        Self::UnlistedSeller,
        Self::SellerTypeMismatch,
    ];

    /// The name in metrics and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::KnownSpider => "known_spider",
            Self::AutomatedBrowser => "automated_browser",
            Self::MalformedUserAgent => "malformed_user_agent",
            Self::ContradictoryDevice => "contradictory_device",
            Self::DataCentre => "data_centre",
            Self::UnlistedBrowser => "unlisted_browser",
            Self::UnreadableAddress => "unreadable_address",
            Self::SpecialAddress => "special_address",
            Self::BlockedInventory => "blocked_inventory",
            Self::BlockedPublisher => "blocked_publisher",
            Self::BlockedSeller => "blocked_seller",
            Self::IncompleteChain => "incomplete_chain",
            Self::MalformedChain => "malformed_chain",
            Self::ForeignChain => "foreign_chain",
            Self::AdsTxtUnavailable => "ads_txt_unavailable",
            Self::UnauthorisedSeller => "unauthorised_seller",
            Self::UnlistedSeller => "unlisted_seller",
            Self::SellerTypeMismatch => "seller_type_mismatch",
        }
    }

    /// The position in [`SafetyReason::ALL`], for arrays of counters.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The code for a response's `nbr` (OpenRTB 2.6, section 5.24; AdCOM 1.0, "No-Bid Reason Codes").
    pub const fn no_bid_code(self) -> u8 {
        match self {
            Self::KnownSpider => 3,
            Self::AutomatedBrowser
            | Self::MalformedUserAgent
            | Self::ContradictoryDevice
            | Self::UnreadableAddress
            | Self::SpecialAddress => 4,
            Self::DataCentre => 5,
            Self::UnlistedBrowser => 6,
            Self::BlockedInventory | Self::BlockedPublisher => 7,
            Self::AdsTxtUnavailable => 11,
            Self::UnauthorisedSeller | Self::SellerTypeMismatch => 12,
            Self::IncompleteChain | Self::MalformedChain | Self::ForeignChain => 16,
            Self::BlockedSeller | Self::UnlistedSeller => 17,
        }
    }
}

/// A set of reasons.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reasons(u32);

impl Reasons {
    /// No reason at all.
    pub const NONE: Self = Self(0);
    /// Every reason.
    pub const ALL: Self = Self((1 << SafetyReason::ALL.len()) - 1);

    /// Adds a reason.
    pub const fn add(&mut self, reason: SafetyReason) {
        self.0 |= 1 << reason as u8;
    }

    /// With another reason.
    #[must_use]
    pub const fn with(mut self, reason: SafetyReason) -> Self {
        self.add(reason);
        self
    }

    /// The reasons of either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The reasons of both sets.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether a reason is in it.
    pub const fn contains(self, reason: SafetyReason) -> bool {
        self.0 & (1 << reason as u8) != 0
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The reasons in order.
    pub fn iter(self) -> impl Iterator<Item = SafetyReason> {
        SafetyReason::ALL.into_iter().filter(move |reason| self.contains(*reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_complete_and_named_once() {
        for (index, reason) in SafetyReason::ALL.iter().enumerate() {
            assert_eq!(reason.index(), index);
        }
        let names: std::collections::HashSet<_> = SafetyReason::ALL.iter().map(|r| r.as_str()).collect();
        assert_eq!(names.len(), SafetyReason::ALL.len());
        assert!(SafetyReason::ALL.len() <= 32, "a set holds 32");
    }

    #[test]
    fn a_set_gives_its_reasons_in_order() {
        let set = Reasons::NONE.with(SafetyReason::DataCentre).with(SafetyReason::KnownSpider);
        assert_eq!(set.iter().collect::<Vec<_>>(), [SafetyReason::KnownSpider, SafetyReason::DataCentre]);
        assert_eq!(Reasons::ALL.iter().count(), SafetyReason::ALL.len());
        assert!(Reasons::NONE.is_empty() && !set.is_empty());
        let both = set.intersection(Reasons::NONE.with(SafetyReason::DataCentre));
        assert_eq!(both, Reasons::NONE.with(SafetyReason::DataCentre));
    }
}
