//! How a world is doing, beside how it was made: what can change while days pass.

/// Factors of what a world would be without them; 1 where nothing is said.
///
/// They change what draws are compared with and never what is drawn, so two runs of one world that differ in them share their
/// users, rivals and luck.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conditions {
    /// Of what rivals bid.
    pub rival_prices: f64,
    /// Of the probability that what is shown is clicked.
    pub click_rate: f64,
    /// Of the probability that a click leads to an order.
    pub order_rate: f64,
    /// Of how many requests there are.
    pub traffic: f64,
    /// Of how long clicks take.
    pub click_delay: f64,
    /// Of how long orders take.
    pub order_delay: f64,
    /// Of how long notices take.
    pub notice_delay: f64,
}

impl Default for Conditions {
    fn default() -> Self {
        Self {
            rival_prices: 1.0,
            click_rate: 1.0,
            order_rate: 1.0,
            traffic: 1.0,
            click_delay: 1.0,
            order_delay: 1.0,
            notice_delay: 1.0,
        }
    }
}
