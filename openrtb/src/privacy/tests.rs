//! The tables of `docs/privacy.md`, regime by regime and together.

use haggle_domain::{Basis, BasisSource};
use iab_gpp::v1::GPPString;
use proptest::prelude::*;

use super::encode::{Tc, Vendors, gpp, letters, push};
use super::{Policy, Signal, Signals, decide};

const POLICY: Policy = Policy { vendor: Some(755) };

/// Nothing opted out of, no child, no precise place.
const NOT_OPTED_OUT: &str = "BVVqAAAAAqA";
/// Opted out of sale, sharing and targeted advertising.
const OPTED_OUT: &str = "BVVVAAAAAqA";

fn all() -> String {
    Tc::full(755).text()
}

fn none_of_us() -> String {
    Tc { consents: Vendors::only(1), ..Tc::full(755) }.text()
}

fn source(signals: &Signals<'_>) -> BasisSource {
    let (basis, source) = decide(signals, &POLICY);
    let allows =
        matches!(source, BasisSource::GdprConsent | BasisSource::UsNotOptedOut | BasisSource::NoSignal);
    assert_eq!(basis.allows(Basis::READ), allows, "{source:?}");
    assert!(allows || basis == Basis::NONE, "{source:?}");
    source
}

#[test]
fn silence_and_explicit_permission_allow_everything() {
    let lowered = Signals {
        coppa: Signal::Lowered,
        gdpr: Signal::Lowered,
        gpc: Signal::Lowered,
        lmt: Signal::Lowered,
        dnt: Signal::Lowered,
        ..Signals::default()
    };
    for signals in [
        Signals::default(),
        lowered,
        Signals { consent: "CPc", ..lowered },
        Signals { countries: ["DEU", "FRA"], ..lowered },
        Signals { countries: ["USA", ""], us_privacy: "1---", ..Signals::default() },
        Signals { gpp: "DBAA", gpp_sid: &[-1], ..Signals::default() },
    ] {
        assert_eq!(decide(&signals, &POLICY), (Basis::ALL, BasisSource::NoSignal), "{signals:?}");
    }
}

#[test]
fn each_flag_withholds_raised_or_malformed() {
    let nothing = Signals::default();
    for (signals, expected) in [
        (Signals { coppa: Signal::Raised, ..nothing }, BasisSource::Child),
        (Signals { gdpr: Signal::Raised, ..nothing }, BasisSource::GdprMissing),
        (Signals { gpc: Signal::Raised, ..nothing }, BasisSource::Gpc),
        (Signals { lmt: Signal::Raised, ..nothing }, BasisSource::Lmt),
        (Signals { dnt: Signal::Raised, ..nothing }, BasisSource::Lmt),
        (Signals { coppa: Signal::Malformed, ..nothing }, BasisSource::Malformed),
        (Signals { gdpr: Signal::Malformed, ..nothing }, BasisSource::Malformed),
        (Signals { gpc: Signal::Malformed, ..nothing }, BasisSource::Malformed),
        (Signals { lmt: Signal::Malformed, ..nothing }, BasisSource::Malformed),
        (Signals { dnt: Signal::Malformed, ..nothing }, BasisSource::Malformed),
        (Signals { malformed: true, ..nothing }, BasisSource::Malformed),
        (Signals { us_privacy: "1YYN", ..nothing }, BasisSource::UsOptOut),
        (Signals { us_privacy: "1YNN", ..nothing }, BasisSource::UsNotOptedOut),
        (Signals { us_privacy: "2YNN", ..nothing }, BasisSource::Malformed),
    ] {
        assert_eq!(source(&signals), expected, "{signals:?}");
    }
}

#[test]
fn the_gdpr_applies_wherever_it_may() {
    let (all, none) = (all(), none_of_us());
    let within = gpp(&[(2, &all)]);
    let nothing = Signals::default();
    let raised = Signals { gdpr: Signal::Raised, ..nothing };
    for (signals, expected) in [
        (Signals { consent: &all, ..raised }, BasisSource::GdprConsent),
        (Signals { consent: &none, ..raised }, BasisSource::GdprRefused),
        (Signals { consent: "CPc", ..raised }, BasisSource::GdprUnreadable),
        (Signals { consent: &all, ..nothing }, BasisSource::GdprConsent),
        (Signals { consent: &none, ..nothing }, BasisSource::GdprRefused),
        (Signals { countries: ["DEU", ""], ..nothing }, BasisSource::GdprMissing),
        (Signals { countries: ["USA", "gb"], ..nothing }, BasisSource::GdprMissing),
        (Signals { countries: ["DEU", ""], consent: &all, ..nothing }, BasisSource::GdprConsent),
        (Signals { gpp: &within, gpp_sid: &[2], ..nothing }, BasisSource::GdprConsent),
        // What is said to be in force is, whatever `gdpr` says.
        (
            Signals { gpp: "DBABM~A", gpp_sid: &[2], gdpr: Signal::Lowered, ..nothing },
            BasisSource::GdprUnreadable,
        ),
        // Two strings: both have to allow it.
        (Signals { gpp: &within, gpp_sid: &[2], consent: &none, ..nothing }, BasisSource::GdprRefused),
        // The string within the GPP serves where the GDPR applies for another reason.
        (Signals { gpp: &within, gpp_sid: &[-1], ..raised }, BasisSource::GdprConsent),
        (Signals { gpp: &within, ..nothing }, BasisSource::GdprConsent),
        (Signals { gpp: &within, gdpr: Signal::Lowered, ..nothing }, BasisSource::NoSignal),
    ] {
        assert_eq!(source(&signals), expected, "{signals:?}");
    }
    let nameless = decide(&Signals { consent: &all, ..raised }, &Policy::default());
    assert_eq!(nameless, (Basis::NONE, BasisSource::GdprNoVendor));
    assert_eq!(decide(&nothing, &Policy::default()), (Basis::ALL, BasisSource::NoSignal));
}

#[test]
fn sections_in_force_count_and_others_do_not() {
    let (all, none) = (all(), none_of_us());
    let us = gpp(&[(6, "1YNN"), (7, NOT_OPTED_OUT), (8, "BVVVVVVY")]);
    let both = gpp(&[(2, &none), (7, NOT_OPTED_OUT)]);
    let canada = gpp(&[(5, "BPXuQIAPXuQIAAfKABENB-CgAAAAAAAAAAAAAAAA"), (6, "1YNN")]);
    let unknown = gpp(&[(7, NOT_OPTED_OUT), (24, "BAAA"), (90, "BAAA")]);
    let refused = gpp(&[(7, OPTED_OUT)]);
    let opposed = gpp(&[(2, &all), (7, OPTED_OUT)]);
    let broken = format!("{us}~");
    for (text, gpp_sid, expected) in [
        (&*us, &[7][..], BasisSource::UsNotOptedOut),
        (&us, &[6, 7], BasisSource::UsNotOptedOut),
        (&us, &[7, 8], BasisSource::Child),
        // Nothing is said to be in force: all of it counts.
        (&us, &[], BasisSource::Child),
        (&us, &[-1], BasisSource::Child),
        (&us, &[0], BasisSource::Child),
        (&refused, &[7], BasisSource::UsOptOut),
        (&refused, &[], BasisSource::UsOptOut),
        (&opposed, &[2], BasisSource::GdprConsent),
        (&opposed, &[2, 7], BasisSource::UsOptOut),
        (&both, &[7], BasisSource::UsNotOptedOut),
        (&both, &[], BasisSource::GdprRefused),
        // Named, but not there, or not to be read.
        (&us, &[9], BasisSource::GppUnreadable),
        (&us, &[7, 2], BasisSource::GppUnreadable),
        (&us, &[7, 64], BasisSource::GppUnreadable),
        (&us, &[i64::MAX], BasisSource::GppUnreadable),
        (&canada, &[5], BasisSource::GppUnreadable),
        (&canada, &[6], BasisSource::UsNotOptedOut),
        (&unknown, &[7], BasisSource::UsNotOptedOut),
        (&unknown, &[24], BasisSource::GppUnreadable),
        (&unknown, &[], BasisSource::GppUnreadable),
        (&broken, &[7], BasisSource::GppUnreadable),
        ("", &[7], BasisSource::GppUnreadable),
        ("", &[-1], BasisSource::NoSignal),
        ("", &[], BasisSource::NoSignal),
        ("DBABTA", &[6], BasisSource::GppUnreadable),
        ("gpp", &[], BasisSource::GppUnreadable),
        ("~", &[], BasisSource::GppUnreadable),
        // Version 2 of the platform, and a TC string where a GPP string belongs.
        ("DCABTA~1YNN", &[6], BasisSource::GppUnreadable),
        ("CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA", &[2], BasisSource::GppUnreadable),
    ] {
        assert_eq!(
            source(&Signals { gpp: text, gpp_sid, ..Signals::default() }),
            expected,
            "{text} {gpp_sid:?}"
        );
    }
    let long = format!("{}~{}", gpp(&[(6, "1YNN")]), "A".repeat(9000));
    assert_eq!(source(&Signals { gpp: &long, ..Signals::default() }), BasisSource::GppUnreadable);
}

#[test]
fn published_strings_of_the_platform_read_as_published() {
    // "Global Privacy Platform String", examples 1 to 3: the TC string in them consents to nothing. The third has one of
    // version 2 where Canada's belongs.
    for (text, gpp_sid, expected) in [
        ("DBABM~CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA", &[2], BasisSource::GdprRefused),
        ("DBACNY~CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA~1YNN", &[2], BasisSource::GdprRefused),
        ("DBACNY~CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA~1YNN", &[6], BasisSource::UsNotOptedOut),
        ("DBABjw~CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA~1YNN", &[6], BasisSource::UsNotOptedOut),
        ("DBABjw~CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA~1YNN", &[5], BasisSource::GppUnreadable),
        // The IAB's own libraries, one section each: opted out of everything, or not applicable.
        ("DBABLA~BVVVVVVVVWA", &[7], BasisSource::Child),
        ("DBABLA~BAAAAAAAAQA", &[7], BasisSource::UsNotOptedOut),
        ("DBABRg~BAAAABA", &[9], BasisSource::UsNotOptedOut),
        ("DBABJg~BAAAAEA", &[10], BasisSource::UsNotOptedOut),
        ("DBABVg~BAAAAAEA", &[12], BasisSource::UsNotOptedOut),
        ("DBABFg~BAAAAAQA", &[11], BasisSource::UsNotOptedOut),
    ] {
        assert_eq!(source(&Signals { gpp: text, gpp_sid, ..Signals::default() }), expected, "{text}");
    }
}

#[test]
fn several_regimes_allow_what_all_of_them_allow() {
    let no_store = Tc { purposes: 0x7ff & !0b100, ..Tc::full(755) }.text();
    let text = gpp(&[(2, &no_store), (7, NOT_OPTED_OUT)]);
    let (basis, source) = decide(&Signals { gpp: &text, gpp_sid: &[2, 7], ..Signals::default() }, &POLICY);
    assert_eq!((basis, source), (Basis::TARGET, BasisSource::GdprConsent));
    let everything =
        Signals { coppa: Signal::Raised, malformed: true, lmt: Signal::Raised, ..Signals::default() };
    assert_eq!(decide(&everything, &POLICY), (Basis::NONE, BasisSource::Child));
}

#[test]
fn groups_of_sections_are_unfolded() {
    // A group from 6 to 8: offset 6, length 2.
    let mut bits = Vec::new();
    for (value, width) in [(3, 6), (1, 6), (1, 12), (1, 1), (0b10011, 5), (0b011, 3)] {
        push(&mut bits, value, width);
    }
    let text = format!("{}~1YNN~{NOT_OPTED_OUT}~BVVVVVVY", letters(&bits));
    let read = |gpp_sid| source(&Signals { gpp: &text, gpp_sid, ..Signals::default() });
    assert_eq!(read(&[6, 7]), BasisSource::UsNotOptedOut);
    assert_eq!(read(&[8]), BasisSource::Child);
}

fn signal() -> impl Strategy<Value = Signal> {
    prop_oneof![
        6 => Just(Signal::Absent), 6 => Just(Signal::Lowered), 1 => Just(Signal::Raised), 1 => Just(Signal::Malformed)
    ]
}

proptest! {
    /// A decoder by others finds the same sections.
    #[test]
    fn headers_list_what_was_written(ids in proptest::collection::btree_set(6..24_u32, 1..5)) {
        let sections: Vec<(u32, &str)> = ids.iter().map(|id| (*id, "1YNN")).collect();
        let text = gpp(&sections);
        for id in 6..24 {
            let named = super::gpp::read(&text, &[i64::from(id)]).us.1;
            let expected = if id == 6 && ids.contains(&6) { BasisSource::UsNotOptedOut } else { BasisSource::GppUnreadable };
            prop_assert_eq!(named, expected);
        }
        let theirs: GPPString = text.parse().unwrap();
        prop_assert_eq!(theirs.section_ids().len(), ids.len());
    }

    #[test]
    fn one_more_signal_never_adds_a_permission(
        flags in (signal(), signal(), signal(), signal(), signal()),
        opted_out in any::<[bool; 4]>(), which in 0..7_usize,
    ) {
        let tc = if opted_out[0] { none_of_us() } else { all() };
        let section = if opted_out[1] { OPTED_OUT } else { NOT_OPTED_OUT };
        let text = gpp(&[(2, &tc), (7, section)]);
        let signals = Signals {
            coppa: flags.0, gdpr: flags.1, gpc: flags.2, lmt: flags.3, dnt: flags.4,
            consent: if opted_out[2] { &tc } else { "" },
            gpp: if opted_out[3] { &text } else { "" },
            ..Signals::default()
        };
        let mut more = signals;
        match which {
            0 => more.coppa = Signal::Raised,
            1 => more.gpc = Signal::Raised,
            2 => more.lmt = Signal::Raised,
            3 => more.dnt = Signal::Malformed,
            4 => more.us_privacy = "1YYN",
            5 => more.malformed = true,
            _ => more.countries = ["NLD", ""],
        }
        // A place is a reason to ask for consent: where there is none, it takes everything.
        prop_assert!(decide(&signals, &POLICY).0.allows(decide(&more, &POLICY).0));
    }

    #[test]
    fn no_gpp_string_panics_and_no_cut_adds_a_permission(
        refused: bool, opted_out: bool, at in any::<prop::sample::Index>(), noise: String, gpp_sid: Vec<i64>,
    ) {
        let tc = if refused { none_of_us() } else { all() };
        let text = gpp(&[(2, &tc), (6, "1YNN"), (7, if opted_out { OPTED_OUT } else { NOT_OPTED_OUT })]);
        let read = |gpp: &str, gpp_sid: &[i64]| decide(&Signals { gpp, gpp_sid, ..Signals::default() }, &POLICY).0;
        let cut = at.index(text.len());
        // The last letter is but padding.
        if (1..text.len() - 1).contains(&cut) {
            prop_assert_eq!(read(&text[..cut], &[2, 6, 7]), Basis::NONE);
            prop_assert_eq!(read(&text[..cut], &[]), Basis::NONE);
        }
        read(&format!("{}{noise}{}", &text[..cut], &text[cut..]), &gpp_sid);
        read(&noise, &gpp_sid);
    }
}
