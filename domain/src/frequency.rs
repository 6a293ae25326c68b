//! How often one user sees an ad, at most.

use std::time::Duration;

/// A campaign's limits, and what it does where it cannot count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frequency {
    /// All of them hold.
    pub caps: Vec<FrequencyCap>,
    /// Whether it bids for users who cannot be told from others, so that nothing is counted for them. A campaign without caps does
    /// in any case.
    pub bids_on_unknown: bool,
}

/// One limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrequencyCap {
    /// What is counted.
    pub per: CapScope,
    /// How many impressions one user gets; at least 1.
    pub most: u16,
    /// In which time.
    pub within: CapWindow,
}

/// What impressions are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CapScope {
    /// Those of the campaign.
    Campaign,
    /// Those of each creative by itself.
    Creative,
    /// Those of all campaigns of the advertiser.
    Advertiser,
}

/// The time in which impressions are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CapWindow {
    /// The last minutes, hours or days; at least a minute.
    Last(Duration),
    /// For as long as anything is known of the user.
    Lifetime,
}
