//! Laws of the United States: the sections of the Global Privacy Platform for the states and the nation, and the older
//! US Privacy String.
//!
//! All ask the same few things in another order, so each section is one line of [`LAYOUTS`].

use haggle_domain::{Basis, BasisSource};

use super::bits::Bits;

/// The fields of a core segment after its version. Each is two bits wide, and 3 is never a value of one:
///
/// | mark | field | matters |
/// | --- | --- | --- |
/// | `n` | a notice of the processing, or of the right to opt out | 2, not given: nobody can have declined |
/// | `s` | a notice about sensitive data | 2, not given: no precise place |
/// | `o` | an opt-out of sale, sharing or targeted advertising | 1, opted out |
/// | `p` | sensitive data: the precise place | anything but 2 (consent, or not opted out): no precise place |
/// | `c` | sensitive data of a known child | anything but 0 (there is none) |
/// | `x` | consent to uses that do not fit the disclosed ones | 1, no consent: nothing is learned |
/// | `m` | the publisher makes us its service provider | 1: only what the publisher itself may do, which is not this |
/// | `.` | other sensitive data, other modes of the agreement | never |
struct Layout {
    section: u32,
    version: u64,
    fields: &'static str,
}

/// From the technical specification of each section.
const LAYOUTS: [Layout; 18] = [
    layout(7, 1, "nnnnssooo.......p....ccx..m"),
    layout(7, 2, "nnnnssooo.......p........cccx..m"),
    layout(8, 1, "nnsoo..p......ccx..m"),
    layout(9, 1, "nnnoo.......pc..m"),
    layout(10, 1, "nnnoo.......c..m"),
    layout(11, 1, "nnnsoo.......pc..m"),
    layout(12, 1, "nnnoo.......pccc..m"),
    layout(13, 1, "nnnoo.......pcccx..m"),
    layout(14, 1, "nnnoo.......pcccx..m"),
    layout(15, 1, "nnnoo..........pcccx..m"),
    layout(16, 1, "nnnoo.......pcx..m"),
    layout(17, 1, "nnnoo.......p.cccccx..m"),
    layout(18, 1, "nnnsoo.......pc..m"),
    layout(19, 1, "nnnoo.......pcx..m"),
    layout(20, 1, "nnnoo.......pcccx..m"),
    layout(21, 1, "nnnoo.......p..cccccx..m"),
    layout(22, 1, "nnnoo.......pcx..m"),
    layout(23, 1, "nnnoo.......pcx..m"),
];

const fn layout(section: u32, version: u64, fields: &'static str) -> Layout {
    Layout { section, version, fields }
}

/// What the section of a state, or of the nation, lets us do; `None` where it cannot be read or is none we know.
pub(super) fn section(id: u32, text: &str) -> Option<(Basis, BasisSource)> {
    let mut segments = text.split('.');
    let mut bits = Bits::of(segments.next()?)?;
    let version = bits.take(6)?;
    let layout = LAYOUTS.iter().find(|layout| layout.section == id && layout.version == version)?;
    let (mut child, mut opted_out, mut learn, mut place) = (false, false, true, true);
    for field in layout.fields.bytes() {
        let value = bits.take(2)?;
        match field {
            _ if value == 3 => return None,
            b'n' => opted_out |= value == 2,
            b's' => place &= value != 2,
            b'o' | b'm' => opted_out |= value == 1,
            b'p' => place &= value == 2,
            b'c' => child |= value != 0,
            b'x' => learn &= value != 1,
            _ => {}
        }
    }
    for segment in segments {
        let mut bits = Bits::of(segment)?;
        // The one reusable subsection there is: Global Privacy Control.
        if bits.take(2)? != 1 {
            return None;
        }
        opted_out |= bits.flag()?;
    }
    if child {
        return Some((Basis::NONE, BasisSource::Child));
    }
    if opted_out {
        return Some((Basis::NONE, BasisSource::UsOptOut));
    }
    let mut basis = Basis::TARGET.or(Basis::STORE);
    if learn {
        basis = basis.or(Basis::LEARN);
    }
    if place {
        basis = basis.or(Basis::PRECISE_PLACE);
    }
    Some((basis, BasisSource::UsNotOptedOut))
}

/// What a US Privacy String lets us do (IAB Tech Lab, version 1): its third mark is the opt-out of sale. `None` where it
/// cannot be read.
pub(super) fn privacy_string(text: &str) -> Option<(Basis, BasisSource)> {
    let known = |mark: &u8| matches!(mark, b'Y' | b'y' | b'N' | b'n' | b'-');
    match text.as_bytes() {
        [b'1', b'-', b'-', b'-'] => Some((Basis::ALL, BasisSource::NoSignal)),
        [b'1', marks @ ..] if marks.len() == 3 && marks.iter().all(known) => {
            Some(if marks[1].eq_ignore_ascii_case(&b'Y') {
                (Basis::NONE, BasisSource::UsOptOut)
            } else {
                (Basis::ALL, BasisSource::UsNotOptedOut)
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::encode::us;
    use super::*;
    use iab_gpp::sections::{
        usca::UsCa, usco::UsCo, usct::UsCt, usde::UsDe, usfl::UsFl, usia::UsIa, usmn::UsMn, usmt::UsMt,
        usnat::UsNat, usne::UsNe, usnh::UsNh, usnj::UsNj, usor::UsOr, ustn::UsTn, ustx::UsTx, usut::UsUt,
        usva::UsVa,
    };
    use proptest::prelude::*;

    /// What a decoder by others makes of a section, as it prints it.
    fn by_others(section: u32, text: &str) -> String {
        macro_rules! decoders {
            ($($id:literal: $section:ty),*) => {
                match section {
                    $($id => format!("{:?}", text.parse::<$section>().unwrap()),)*
                    _ => unreachable!(),
                }
            };
        }
        decoders!(
            7: UsNat, 8: UsCa, 9: UsVa, 10: UsCo, 11: UsUt, 12: UsCt, 13: UsFl, 14: UsMt, 15: UsOr, 16: UsTx,
            17: UsDe, 18: UsIa, 19: UsNe, 20: UsNh, 21: UsNj, 22: UsTn, 23: UsMn
        )
    }

    /// Each field where it stands at rest: nothing refused, no child, the transaction not covered.
    fn at_rest(layout: &Layout) -> Vec<u64> {
        let count = layout.fields.len();
        (0..count).map(|at| if at == count - 3 { 2 } else { 0 }).collect()
    }

    fn mark_of(name: &str, in_child: bool) -> char {
        match name {
            _ if in_child => 'c',
            "sensitive_data_processing_opt_out_notice" | "sensitive_data_limit_use_notice" => 's',
            "sensitive_data_optout_notice" => 's',
            "precise_geolocation" | "precise_geolocation_data" | "specific_geolocation_data" => 'p',
            "personal_data_consent" | "additional_data_processing_consent" => 'x',
            "mspa_service_provider_mode" => 'm',
            "known_child_sensitive_data_consents" => 'c',
            _ if name.ends_with("_notice") => 'n',
            _ if name.ends_with("_opt_out") => 'o',
            _ => '.',
        }
    }

    /// Raises one field after the other, and looks which one others see raised.
    #[test]
    fn every_field_stands_where_others_find_it() {
        for layout in &LAYOUTS {
            let mut marks = String::new();
            for at in 0..layout.fields.len() {
                let mut fields = at_rest(layout);
                fields[at] = 1;
                let printed = by_others(layout.section, &us(layout.version, &fields, None));
                if at == layout.fields.len() - 3 {
                    assert!(printed.contains("mspa_covered_transaction: true"), "{printed}");
                    marks.push('.');
                    continue;
                }
                let raised: Vec<usize> = [": NoConsent", ": OptedOut", ": Provided", ": Yes"]
                    .iter()
                    .flat_map(|value| printed.match_indices(value).map(|(at, _)| at))
                    .collect();
                let [end] = raised[..] else { panic!("{} {at}: {printed}", layout.section) };
                let name = printed[..end].rsplit([' ', '{']).next().unwrap();
                let child = printed
                    .find("KnownChild")
                    .is_some_and(|start| start < end && !printed[start..end].contains('}'));
                marks.push(mark_of(name, child));
            }
            assert_eq!(marks, layout.fields, "section {}", layout.section);
        }
    }

    #[test]
    fn each_mark_matters_as_its_table_says() {
        let all_but_place = Basis::TARGET.or(Basis::STORE).or(Basis::LEARN);
        for layout in &LAYOUTS {
            let mut rest = at_rest(layout);
            let place = layout.fields.find('p');
            if let Some(place) = place {
                rest[place] = 2;
            }
            let read = |fields: &[u64], gpc| section(layout.section, &us(layout.version, fields, gpc));
            assert_eq!(read(&rest, Some(false)), Some((Basis::ALL, BasisSource::UsNotOptedOut)));
            assert_eq!(read(&rest, Some(true)), Some((Basis::NONE, BasisSource::UsOptOut)));
            assert_eq!(read(&rest[..rest.len() - 4], None), None);
            for (at, mark) in layout.fields.char_indices() {
                let with = |value| {
                    let mut fields = rest.clone();
                    fields[at] = value;
                    read(&fields, None)
                };
                let no_learning = Basis::TARGET.or(Basis::STORE).or(Basis::PRECISE_PLACE);
                let opted_out = (Basis::NONE, BasisSource::UsOptOut);
                let allowed = |basis| (basis, BasisSource::UsNotOptedOut);
                let (one, two) = match mark {
                    'n' => (allowed(Basis::ALL), opted_out),
                    's' => (allowed(Basis::ALL), allowed(all_but_place)),
                    'o' | 'm' => (opted_out, allowed(Basis::ALL)),
                    'p' => (allowed(all_but_place), allowed(Basis::ALL)),
                    'c' => ((Basis::NONE, BasisSource::Child), (Basis::NONE, BasisSource::Child)),
                    'x' => (allowed(no_learning), allowed(Basis::ALL)),
                    _ => (allowed(Basis::ALL), allowed(Basis::ALL)),
                };
                assert_eq!(
                    (with(1), with(2), with(3)),
                    (Some(one), Some(two), None),
                    "{} {at}",
                    layout.section
                );
            }
        }
    }

    #[test]
    fn what_is_no_section_is_not_read() {
        for (id, text) in [
            (7, ""),
            (7, "DVVVVVVVVWA"),
            (7, "BVVVVVVVVWA.AA"),
            (7, "BVVVVVVVVWA."),
            (7, "BVVVVVVVVWA.Y.~"),
            (8, "CVVVVVVY"),
            (9, "BVV=="),
            (1, "BOEFEAyOEFEAyAHABDENAI4AAAB9vABAASA"),
            (5, "BPXuQIAPXuQIAAfKABENB-CgAAAAAAAAAAAAAAAA"),
            (24, "BVVVVVVVVWA"),
            (0, "BVVVVVVVVWA"),
        ] {
            assert_eq!(section(id, text), None, "{id} {text}");
        }
    }

    #[test]
    fn privacy_strings_read_by_their_third_mark() {
        for (text, read) in [
            ("1---", Some((Basis::ALL, BasisSource::NoSignal))),
            ("1YNN", Some((Basis::ALL, BasisSource::UsNotOptedOut))),
            ("1N-N", Some((Basis::ALL, BasisSource::UsNotOptedOut))),
            ("1YYN", Some((Basis::NONE, BasisSource::UsOptOut))),
            ("1nyn", Some((Basis::NONE, BasisSource::UsOptOut))),
            ("1-Y-", Some((Basis::NONE, BasisSource::UsOptOut))),
            ("", None),
            ("1", None),
            ("1YN", None),
            ("2YNN", None),
            ("1YXN", None),
            ("1YNNN", None),
        ] {
            assert_eq!(privacy_string(text), read, "{text}");
        }
    }

    proptest! {
            #[test]
            fn no_text_panics(id in 0..40_u32, text in "[BC][A-Za-z0-9_-]{0,20}(\\.[A-Za-z]{0,3}){0,2}", noise: String) {
                let _ = (section(id, &text), section(id, &noise), privacy_string(&noise));
            }

            #[test]
            fn a_cut_never_adds_a_permission(
                which in 0..LAYOUTS.len(), mut fields in proptest::collection::vec(0..3_u64, 40), quiet: bool, gpc: bool,
            ) {
                let layout = &LAYOUTS[which];
                fields.truncate(layout.fields.len());
                if quiet {
                    fields = at_rest(layout);
                }
                let text = us(layout.version, &fields, Some(gpc));
                let whole = section(layout.section, &text).map_or(Basis::NONE, |read| read.0);
                for cut in (0..text.len()).filter(|cut| text.as_bytes()[*cut] != b'.') {
                    let left = section(layout.section, &text[..cut]).map_or(Basis::NONE, |read| read.0);
    prop_assert!(whole.allows(left), "{}", &text[..cut]);
                }
            }
        }
}
