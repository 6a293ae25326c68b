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
