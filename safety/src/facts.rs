//! What the gates look at: a request's facts, borrowed.

/// What a request says that the gates need. An empty text, and a list without entries, is absent; what is absent
/// is never suspicious in itself, because many exchanges leave much out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// `device.ua`.
    pub user_agent: &'a str,
    /// The brands of `device.sua.browsers`.
    pub brands: &'a [&'a str],
    /// `device.ip`.
    pub ip: &'a str,
    /// `device.ipv6`.
    pub ipv6: &'a str,
    /// `device.os`.
    pub os: &'a str,
    /// `site.domain`, or where there is none `site.page`.
    pub site: &'a str,
    /// `app.bundle`.
    pub bundle: &'a str,
    /// `app.domain`: the developer's, where `app-ads.txt` lies.
    pub app_domain: &'a str,
    /// `publisher.id` of the site or the app.
    pub publisher: &'a str,
    /// The asking exchange's configured name.
    pub exchange: &'a str,
    /// The asking exchange's canonical domain as an advertising system, such as `exchange.example`: what `ads.txt`
    /// files call it. Empty where it is not configured; what needs it is then not checked.
    pub exchange_domain: &'a str,
    /// `source.schain`.
    pub chain: Option<Chain<'a>>,
}

/// A supply chain (IAB Tech Lab, "SupplyChain object", version 1.0).
#[derive(Clone, Copy, Debug, Default)]
pub struct Chain<'a> {
    /// `complete` is 1: the first node is the owner's.
    pub complete: bool,
    /// `ver`, empty where it is absent.
    pub version: &'a str,
    /// `nodes`, from the owner of the inventory to the asker.
    pub nodes: &'a [Node<'a>],
}

/// One node of a supply chain.
#[derive(Clone, Copy, Debug, Default)]
pub struct Node<'a> {
    /// `asi`: the advertising system's canonical domain.
    pub system: &'a str,
    /// `sid`: the seller's account there.
    pub seller: &'a str,
    /// `domain`: the seller's business domain, often absent.
    pub domain: &'a str,
}
