//! Where notices come in: the addresses that bids carry and that the server listens on.

use haggle_domain::{Decision, Quantity};

use crate::config::BillOn;
use crate::token::{Sealer, TokenKind};

/// The path of each notice, before the token.
pub const WIN: &str = "/n/win/";
/// See [`WIN`].
pub const BILL: &str = "/n/bill/";
/// See [`WIN`].
pub const LOSS: &str = "/n/loss/";
/// See [`WIN`].
pub const IMPRESSION: &str = "/n/imp/";
/// See [`WIN`].
pub const CLICK: &str = "/n/click/";
/// See [`WIN`].
pub const CONVERSION: &str = "/n/conv/";

/// The query of a click's address in a wrapper, where the player only reports it.
pub const TRACKING: &str = "track=1";

/// The parameter with which a click's landing page learns the token that its orders are reported with.
pub const CLICK_PARAMETER: &str = "haggle_click";

/// The notice addresses of one bid. The exchange fills the macros in.
#[derive(Debug, Default)]
pub struct NoticeUrls {
    /// `nurl`.
    pub win: String,
    /// `burl`; none where the exchange bills by its win notice.
    pub bill: Option<String>,
    /// `lurl`.
    pub loss: String,
    /// The pixel in the markup.
    pub impression: String,
    /// The link in the markup.
    pub click: String,
}

impl NoticeUrls {
    /// The addresses of a decision under `base` (without a slash at its end).
    pub fn new(base: &str, sealer: &Sealer, decision: &Decision, bill_on: BillOn) -> Self {
        let money = sealer.seal(TokenKind::Money, decision);
        let event = sealer.seal(TokenKind::Event, decision);
        // How many impressions a screen showed the ad to is known only afterwards.
        let quantity = if decision.terms.quantity == Quantity::ONE { "" } else { "&q=${AUCTION_MULTIPLIER}" };
        let priced = format!("?p=${{AUCTION_PRICE}}&m=${{AUCTION_MIN_TO_WIN}}{quantity}");
        Self {
            win: format!("{base}{WIN}{money}{priced}"),
            bill: (bill_on == BillOn::Burl)
                .then(|| format!("{base}{BILL}{money}?p=${{AUCTION_PRICE}}{quantity}")),
            loss: format!("{base}{LOSS}{money}?m=${{AUCTION_MIN_TO_WIN}}&r=${{AUCTION_LOSS}}"),
            impression: format!("{base}{IMPRESSION}{event}"),
            click: format!("{base}{CLICK}{event}"),
        }
    }
}

/// Whether a base address is good for imps that take only https. One of this very machine is for trying things out.
pub fn fit_for_secure(base: &str) -> bool {
    base.strip_prefix("http://")
        .is_none_or(|host| ["127.", "localhost", "[::1]"].iter().any(|local| host.starts_with(local)))
}

/// A landing page with the click's token added to its query.
pub fn landing(page: &str, token: &str) -> String {
    let (page, fragment) = match page.split_once('#') {
        Some((page, fragment)) => (page, format!("#{fragment}")),
        None => (page, String::new()),
    };
    let separator = if page.contains('?') { '&' } else { '?' };
    format!("{page}{separator}{CLICK_PARAMETER}={token}{fragment}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_and_this_machine_are_good_for_secure_imps() {
        assert!(fit_for_secure("https://bid.shop.example") && fit_for_secure("http://127.0.0.1:8080"));
        assert!(!fit_for_secure("http://bid.shop.example"));
    }

    #[test]
    fn the_token_joins_whatever_query_the_landing_page_has() {
        assert_eq!(landing("https://a.example/x", "t"), "https://a.example/x?haggle_click=t");
        assert_eq!(landing("https://a.example/?q=1#top", "t"), "https://a.example/?q=1&haggle_click=t#top");
    }

    #[test]
    fn an_exchange_that_bills_on_the_win_gets_no_second_address_to_bill_at() {
        let sealer = Sealer::new([1; 32], [2; 16]);
        let urls = NoticeUrls::new("http://h", &sealer, &Decision::default(), BillOn::Nurl);
        assert!(urls.bill.is_none());
        assert!(urls.win.starts_with("http://h/n/win/") && urls.win.contains("${AUCTION_PRICE}"));
    }
}
