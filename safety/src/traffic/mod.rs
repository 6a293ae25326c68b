//! Invalid traffic: who asks says itself that it is a program, comes from a data centre, or contradicts itself.
//!
//! This is what the Media Rating Council calls general invalid traffic ("Invalid Traffic Detection and Filtration
//! Standards", 2020): what lists and a look at single requests find. What needs a look at many requests is not here.

mod networks;
mod patterns;

use std::net::IpAddr;

use crate::address::is_global;
use crate::facts::Facts;
use crate::file::LineError;
use crate::host::trimmed;
use crate::reason::{Reasons, SafetyReason};

pub use networks::{MAX_NETWORKS_BYTES, Networks};
pub use patterns::{MAX_PATTERNS_BYTES, PatternKind, Patterns};

/// The built-in lists: bots that are known without any list of the operator's, and browsers without a window with what
/// drives browsers.
const BUILT_IN: [&str; 2] = [
    include_str!("bots.txt"),
    "headless\nphantomjs\nslimerjs\npuppeteer\nplaywright\nselenium\nwebdriver\nhtmlunit\njsdom\n",
];
/// The place of the latter.
const AUTOMATED: usize = 1;

/// The longest user agent of a browser, in bytes, with much to spare.
const LONGEST_USER_AGENT: usize = 4096;

/// The gate against invalid traffic, with its lists.
#[derive(Debug)]
pub struct TrafficGate {
    /// See [`BUILT_IN`].
    built_in: Patterns,
    own_bots: Option<Patterns>,
    browsers: Option<Patterns>,
    data_centres: Networks,
}

impl TrafficGate {
    /// The gate with the built-in list of bots, and what the operator adds: bots, valid browsers (without a list every
    /// browser is valid), networks of data centres.
    ///
    /// # Errors
    /// None in practice: only where the built-in lists were wrong.
    pub fn new(
        bots: Option<Patterns>,
        browsers: Option<Patterns>,
        data_centres: Option<Networks>,
    ) -> Result<Self, LineError> {
        Ok(Self {
            built_in: Patterns::together(&BUILT_IN.map(|list| (list.as_bytes(), PatternKind::Bots)))?,
            own_bots: bots,
            browsers,
            data_centres: data_centres.unwrap_or_default(),
        })
    }

    /// What is odd about a request. Allocates nothing, and takes time in proportion to the user agent's length.
    pub fn check(&self, facts: &Facts<'_>) -> Reasons {
        let mut found = Reasons::NONE;
        self.check_user_agent(facts, &mut found);
        if is_contradictory(facts) {
            found.add(SafetyReason::ContradictoryDevice);
        }
        self.check_address(facts.ip, &mut found);
        self.check_address(facts.ipv6, &mut found);
        found
    }

    fn check_user_agent(&self, facts: &Facts<'_>, found: &mut Reasons) {
        let user_agent = trimmed(facts.user_agent);
        if user_agent.len() > LONGEST_USER_AGENT || has_control(user_agent) {
            // Matched against nothing: the bound on its length is the bound on the time.
            found.add(SafetyReason::MalformedUserAgent);
            return;
        }
        let reason =
            |list| if list == AUTOMATED { SafetyReason::AutomatedBrowser } else { SafetyReason::KnownSpider };
        self.built_in.matching(user_agent).for_each(|list| found.add(reason(list)));
        for brand in facts.brands.iter().take(16) {
            if self.built_in.matching(prefix(brand)).any(|list| list == AUTOMATED) {
                found.add(SafetyReason::AutomatedBrowser);
            }
        }
        if user_agent.is_empty() {
            return;
        }
        if self.own_bots.as_ref().is_some_and(|bots| bots.matches(user_agent)) {
            found.add(SafetyReason::KnownSpider);
        }
        if self.browsers.as_ref().is_some_and(|browsers| !browsers.matches(user_agent)) {
            found.add(SafetyReason::UnlistedBrowser);
        }
    }

    fn check_address(&self, text: &str, found: &mut Reasons) {
        let text = trimmed(text);
        if text.is_empty() {
            return;
        }
        match text.parse::<IpAddr>().map(|address| address.to_canonical()) {
            Ok(address) => {
                if self.data_centres.contains(address) {
                    found.add(SafetyReason::DataCentre);
                }
                if !is_global(address) {
                    found.add(SafetyReason::SpecialAddress);
                }
            }
            Err(_) => found.add(SafetyReason::UnreadableAddress),
        }
    }
}

/// Whether a text holds a control character. Of graphic ASCII, which nearly every user agent is, it is soon known.
fn has_control(text: &str) -> bool {
    let odd = text.bytes().fold(false, |odd, byte| odd | !(0x20..0x7f).contains(&byte));
    odd && text.contains(char::is_control)
}

/// The first bytes of a text, so that a brand of megabytes costs no more than a long one.
fn prefix(text: &str) -> &str {
    text.get(..text.floor_char_boundary(256)).unwrap_or("")
}

/// Whether the user agent names the one of the two big mobile systems and `os` the other. Nothing else is taken for a
/// contradiction: tablets ask for desktop pages with a desktop's user agent, and Windows Phone's names everybody.
fn is_contradictory(facts: &Facts<'_>) -> bool {
    let os = trimmed(facts.os);
    let is = |name: &str| os.eq_ignore_ascii_case(name);
    let names = |word| patterns::contains_ignoring_case(facts.user_agent, word);
    if facts.user_agent.len() > LONGEST_USER_AGENT || !(is("android") || is("ios")) {
        return false;
    }
    let apple = names("iphone") || names("ipad") || names("ipod");
    let android = names("android");
    apple != android && ((apple && is("android")) || (android && is("ios")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CHROME: &str = "Mozilla/5.0 (Linux; Android 13; Pixel 7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Mobile Safari/537.36";
    const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 14_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148";

    fn gate() -> TrafficGate {
        TrafficGate::new(None, None, None).unwrap()
    }

    fn user_agent(user_agent: &str) -> Facts<'_> {
        Facts { user_agent, ..Facts::default() }
    }

    fn found(facts: &Facts<'_>) -> Vec<SafetyReason> {
        gate().check(facts).iter().collect()
    }

    #[test]
    fn what_is_absent_is_not_suspicious() {
        assert_eq!(found(&Facts::default()), []);
        assert_eq!(found(&Facts { bundle: "com.example", os: "android", ..Facts::default() }), []);
    }

    #[test]
    fn programs_that_say_so_are_known() {
        for bot in [
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            "Mozilla/5.0 (compatible; YandexBot/3.0)",
            "Baiduspider+(+http://www.baidu.com/search/spider.htm)",
            "curl/8.5.0",
            "python-requests/2.31",
            "Go-http-client/2.0",
            "facebookexternalhit/1.1",
            "Mozilla/5.0 (Linux; Android 11) Chrome/119 Mobile Safari/537.36 Chrome-Lighthouse",
        ] {
            assert_eq!(found(&user_agent(bot)), [SafetyReason::KnownSpider], "{bot}");
        }
        for person in [
            CHROME,
            IPHONE,
            "Mozilla/5.0 (Linux; Android 9; CUBOT_X18) AppleWebKit/537.36 Chrome/75.0 Mobile Safari/537.36",
            "Dalvik/2.1.0 (Linux; U; Android 12; SM-G991B)",
            "okhttp/4.9.0",
            "Roku/DVP-9.10 (519.10E04111A)",
            "Nokia6300/2.0 Profile/MIDP-2.0 Java/1.1",
        ] {
            assert_eq!(found(&user_agent(person)), [], "{person}");
        }
    }

    #[test]
    fn automated_browsers_are_told_by_user_agent_or_hints() {
        let headless =
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 HeadlessChrome/120.0 Safari/537.36";
        assert_eq!(found(&user_agent(headless)), [SafetyReason::AutomatedBrowser]);
        let brands = ["Not:A-Brand", "HeadlessChrome"];
        assert_eq!(found(&Facts { brands: &brands, ..user_agent(CHROME) }), [SafetyReason::AutomatedBrowser]);
    }

    #[test]
    fn contradictions_are_found_and_oddities_are_not() {
        let with_os = |ua, os| found(&Facts { os, ..user_agent(ua) });
        assert_eq!(with_os(IPHONE, "Android"), [SafetyReason::ContradictoryDevice]);
        assert_eq!(with_os(CHROME, "iOS"), [SafetyReason::ContradictoryDevice]);
        let windows_phone = "Mozilla/5.0 (Mobile; Windows Phone 8.1; Android 4.0; ARM) like iPhone OS 7_0_3";
        let ipad_desktop =
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15) AppleWebKit/605.1.15 Safari/605.1.15";
        for (ua, os) in [
            (CHROME, "android"),
            (IPHONE, "ios"),
            (windows_phone, "android"),
            (ipad_desktop, "iOS"),
            (IPHONE, ""),
        ] {
            assert_eq!(with_os(ua, os), [], "{ua} {os}");
        }
    }

    #[test]
    fn user_agents_that_no_browser_sends_are_malformed() {
        assert_eq!(found(&user_agent("Mozilla/5.0\u{7}")), [SafetyReason::MalformedUserAgent]);
        assert_eq!(found(&user_agent("a\r\nHost: other")), [SafetyReason::MalformedUserAgent]);
        assert_eq!(found(&user_agent(&"x".repeat(4097))), [SafetyReason::MalformedUserAgent]);
    }

    #[test]
    fn addresses_are_held_against_lists_and_registries() {
        let gate = TrafficGate::new(None, None, Networks::parse(b"8.8.8.0/24\n2a00:1::/32").ok()).unwrap();
        let check = |ip, ipv6| gate.check(&Facts { ip, ipv6, ..Facts::default() }).iter().collect::<Vec<_>>();
        assert_eq!(check("8.8.8.8", ""), [SafetyReason::DataCentre]);
        assert_eq!(check("1.1.1.1", "2a00:1::5"), [SafetyReason::DataCentre]);
        assert_eq!(check("192.168.1.1", ""), [SafetyReason::SpecialAddress]);
        assert_eq!(check("203.0.113.9", "2001:db8::1"), [SafetyReason::SpecialAddress]);
        assert_eq!(check("111.222.333.444", ""), [SafetyReason::UnreadableAddress]);
        assert_eq!(check("73.221.0.0", "2607:fb90:f27:4512::"), []);
    }

    #[test]
    fn with_a_list_of_browsers_others_are_unlisted() {
        let browsers = Patterns::parse(b"mozilla|1|1", PatternKind::Browsers).ok();
        let own = Patterns::parse(b"pixel 7", PatternKind::Bots).ok();
        let gate = TrafficGate::new(own, browsers, None).unwrap();
        let check = |ua| gate.check(&user_agent(ua)).iter().collect::<Vec<_>>();
        assert_eq!(check("Opera/9"), [SafetyReason::UnlistedBrowser]);
        assert_eq!(check(IPHONE), []);
        assert_eq!(check(""), []);
        assert_eq!(check(CHROME), [SafetyReason::KnownSpider]);
    }

    proptest! {
        #[test]
        fn no_request_makes_it_panic(ua in ".{0,80}", brand in ".{0,400}", ip in ".{0,40}", os in ".{0,8}") {
            gate().check(&Facts { user_agent: &ua, brands: &[&brand], ip: &ip, ipv6: &ip, os: &os, ..Facts::default() });
        }
    }
}
