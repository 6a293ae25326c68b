//! Where notices come in: the addresses that bids carry and that the server listens on.

use std::fmt::Write;

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

/// A bid's id and its notice addresses, of one bid after the other in the same memory. The exchange fills the macros in.
#[derive(Debug, Default)]
pub struct NoticeUrls {
    /// All of them in a row.
    text: String,
    /// Where each of them ends: win, bill, loss, impression, click.
    ends: [usize; 5],
    id: String,
    token: String,
}

impl NoticeUrls {
    /// Makes the addresses of a decision under `base` (without a slash at its end). The page behind a click that is only
    /// told of (`told`) is somebody else's.
    pub fn write(&mut self, base: &str, sealer: &Sealer, decision: &Decision, bill_on: BillOn, told: bool) {
        let Self { text, ends, id, token } = self;
        [&mut *text, &mut *id, &mut *token].into_iter().for_each(String::clear);
        // To write into memory does not fail.
        let _ = write!(id, "{}", decision.bid);
        sealer.seal(TokenKind::Money, decision, token);
        // How many impressions a screen showed the ad to is known only afterwards.
        let quantity = if decision.terms.quantity == Quantity::ONE { "" } else { "&q=${AUCTION_MULTIPLIER}" };
        let mut push = |parts: &[&str]| {
            parts.iter().for_each(|part| text.push_str(part));
            text.len()
        };
        let won = "?p=${AUCTION_PRICE}&m=${AUCTION_MIN_TO_WIN}";
        ends[0] = push(&[base, WIN, token, won, quantity]);
        ends[1] = match bill_on {
            BillOn::Burl => push(&[base, BILL, token, "?p=${AUCTION_PRICE}", quantity]),
            BillOn::Nurl => ends[0],
        };
        ends[2] = push(&[base, LOSS, token, "?m=${AUCTION_MIN_TO_WIN}&r=${AUCTION_LOSS}"]);
        token.clear();
        sealer.seal(TokenKind::Event, decision, token);
        ends[3] = push(&[base, IMPRESSION, token]);
        let query = if told { ["?", TRACKING] } else { [""; 2] };
        ends[4] = push(&[base, CLICK, token, query[0], query[1]]);
    }

    fn part(&self, from: usize, to: usize) -> &str {
        self.text.get(from..to).unwrap_or_default()
    }

    /// The bid's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// `nurl`.
    pub fn win(&self) -> &str {
        self.part(0, self.ends[0])
    }

    /// `burl`; empty where the exchange bills by its win notice.
    pub fn bill(&self) -> &str {
        self.part(self.ends[0], self.ends[1])
    }

    /// `lurl`.
    pub fn loss(&self) -> &str {
        self.part(self.ends[1], self.ends[2])
    }

    /// The pixel in the markup.
    pub fn impression(&self) -> &str {
        self.part(self.ends[2], self.ends[3])
    }

    /// The link in the markup.
    pub fn click(&self) -> &str {
        self.part(self.ends[3], self.ends[4])
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
    use haggle_domain::BidId;

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
        let mut urls = NoticeUrls::default();
        urls.write("http://h", &sealer, &Decision::default(), BillOn::Nurl, false);
        assert_eq!(urls.bill(), "");
        assert!(urls.win().starts_with("http://h/n/win/") && urls.win().contains("${AUCTION_PRICE}"));
    }

    #[test]
    fn each_address_carries_the_token_of_its_kind_whatever_was_written_before() {
        let sealer = Sealer::new([1; 32], [2; 16]);
        let mut urls = NoticeUrls::default();
        for (number, told) in [(70_000, false), (1, true)] {
            let bid = BidId { number, ..BidId::default() };
            let decision = Decision { bid, ..Decision::default() };
            urls.write("http://h", &sealer, &decision, BillOn::Burl, told);
            assert_eq!(urls.click().ends_with("?track=1"), told);
            let tokens = [
                (urls.win(), WIN, TokenKind::Money),
                (urls.bill(), BILL, TokenKind::Money),
                (urls.loss(), LOSS, TokenKind::Money),
                (urls.impression(), IMPRESSION, TokenKind::Event),
                (urls.click(), CLICK, TokenKind::Event),
            ];
            for (url, path, kind) in tokens {
                let rest = url.strip_prefix("http://h").and_then(|url| url.strip_prefix(path)).unwrap();
                let token = rest.split('?').next().unwrap();
                assert_eq!(sealer.open(kind, token).unwrap().bid, bid, "{url}");
            }
        }
    }
}
