//! Strings for tests, written bit by bit as the specifications have it.

use std::fmt::Write;

/// Bits as letters of web-safe base64, padded with zeros.
pub(super) fn letters(bits: &[bool]) -> String {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    bits.chunks(6)
        .map(|six| {
            (0..6).fold(0, |value, at| value << 1 | usize::from(six.get(at).copied().unwrap_or(false)))
        })
        .map(|value| char::from(alphabet[value]))
        .collect()
}

/// Appends a big-endian field.
pub(super) fn push(bits: &mut Vec<bool>, value: u64, width: u32) {
    bits.extend((0..width).rev().map(|at| value >> at & 1 == 1));
}

/// A list of vendors, in either encoding.
#[derive(Clone, Debug)]
pub(super) enum Vendors {
    Field(Vec<bool>),
    Ranges(Vec<(u16, u16)>),
}

impl Vendors {
    pub(super) fn none() -> Self {
        Self::Field(Vec::new())
    }

    pub(super) fn only(vendor: u16) -> Self {
        Self::Ranges(vec![(vendor, vendor)])
    }

    pub(super) fn has(&self, vendor: u16) -> bool {
        match self {
            Self::Field(field) => vendor > 0 && field.get(usize::from(vendor) - 1).copied().unwrap_or(false),
            Self::Ranges(ranges) => ranges.iter().any(|(start, end)| (*start..=*end).contains(&vendor)),
        }
    }

    /// The same list without a vendor.
    pub(super) fn without(&self, vendor: u16) -> Self {
        let max = match self {
            Self::Field(field) => field.len() as u16,
            Self::Ranges(ranges) => ranges.iter().map(|(_, end)| *end).max().unwrap_or(0),
        };
        Self::Field((1..=max).map(|id| id != vendor && self.has(id)).collect())
    }

    fn push(&self, bits: &mut Vec<bool>) {
        match self {
            Self::Field(field) => {
                push(bits, field.len() as u64, 16);
                bits.push(false);
                bits.extend(field);
            }
            Self::Ranges(ranges) => {
                push(bits, u64::from(ranges.iter().map(|(_, end)| *end).max().unwrap_or(0)), 16);
                bits.push(true);
                push_ranges(bits, ranges);
            }
        }
    }
}

fn push_ranges(bits: &mut Vec<bool>, ranges: &[(u16, u16)]) {
    push(bits, ranges.len() as u64, 12);
    for &(start, end) in ranges {
        bits.push(start != end);
        push(bits, u64::from(start), 16);
        if start != end {
            push(bits, u64::from(end), 16);
        }
    }
}

/// Purpose, kind, vendors.
pub(super) type Restriction = (u64, u64, Vec<(u16, u16)>);

/// A TC string. Sets of numbers have number 1 in bit 0.
#[derive(Clone, Debug)]
pub(super) struct Tc {
    pub(super) version: u64,
    pub(super) policy: u64,
    pub(super) service_specific: bool,
    pub(super) special_features: u32,
    pub(super) purposes: u32,
    pub(super) interests: u32,
    pub(super) purpose_one_treatment: bool,
    pub(super) consents: Vendors,
    pub(super) vendor_interests: Vendors,
    pub(super) restrictions: Vec<Restriction>,
    pub(super) disclosed: Option<Vendors>,
    pub(super) publisher: bool,
}

impl Tc {
    /// Everything allowed to one vendor, by consent.
    pub(super) fn full(vendor: u16) -> Self {
        Self {
            version: 2,
            policy: 4,
            service_specific: true,
            special_features: 0b11,
            purposes: 0x7ff,
            interests: 0,
            purpose_one_treatment: false,
            consents: Vendors::only(vendor),
            vendor_interests: Vendors::none(),
            restrictions: Vec::new(),
            disclosed: None,
            publisher: false,
        }
    }

    pub(super) fn core(&self) -> String {
        let mut bits = Vec::new();
        push(&mut bits, self.version, 6);
        push(&mut bits, 17_000_000_000, 36);
        push(&mut bits, 17_000_000_000, 36);
        for (value, width) in [(31, 12), (640, 12), (1, 6), (4, 6), (13, 6), (126, 12), (self.policy, 6)] {
            push(&mut bits, value, width);
        }
        bits.extend([self.service_specific, false]);
        for (set, width) in [(self.special_features, 12), (self.purposes, 24), (self.interests, 24)] {
            bits.extend((0..width).map(|at| set >> at & 1 == 1));
        }
        bits.push(self.purpose_one_treatment);
        push(&mut bits, 3, 6);
        push(&mut bits, 4, 6);
        self.consents.push(&mut bits);
        self.vendor_interests.push(&mut bits);
        push(&mut bits, self.restrictions.len() as u64, 12);
        for (purpose, kind, vendors) in &self.restrictions {
            push(&mut bits, *purpose, 6);
            push(&mut bits, *kind, 2);
            push_ranges(&mut bits, vendors);
        }
        letters(&bits)
    }

    pub(super) fn text(&self) -> String {
        let mut text = self.core();
        if let Some(disclosed) = &self.disclosed {
            let mut bits = vec![false, false, true];
            disclosed.push(&mut bits);
            text = format!("{text}.{}", letters(&bits));
        }
        if self.publisher {
            let mut bits = vec![false, true, true];
            push(&mut bits, 0, 54);
            text = format!("{text}.{}", letters(&bits));
        }
        text
    }
}

fn push_fibonacci(bits: &mut Vec<bool>, mut number: u32) {
    let weights: Vec<u32> =
        std::iter::successors(Some((1, 2)), |&(a, b)| Some((b, a + b))).map(|(a, _)| a).take(20).collect();
    let highest = weights.iter().rposition(|&weight| weight <= number).unwrap();
    let mut code = vec![false; highest + 1];
    for at in (0..=highest).rev() {
        if weights[at] <= number {
            number -= weights[at];
            code[at] = true;
        }
    }
    bits.extend(code);
    bits.push(true);
}

/// A GPP string of sections in ascending order of their ids.
pub(super) fn gpp(sections: &[(u32, &str)]) -> String {
    let mut bits = Vec::new();
    push(&mut bits, 3, 6);
    push(&mut bits, 1, 6);
    push(&mut bits, sections.len() as u64, 12);
    let mut last = 0;
    for &(id, _) in sections {
        bits.push(false);
        push_fibonacci(&mut bits, id - last);
        last = id;
    }
    let mut text = letters(&bits);
    for (_, section) in sections {
        write!(text, "~{section}").unwrap();
    }
    text
}

/// A section of the US: the version, and fields of two bits.
pub(super) fn us(version: u64, fields: &[u64], gpc: Option<bool>) -> String {
    let mut bits = Vec::new();
    push(&mut bits, version, 6);
    for &field in fields {
        push(&mut bits, field, 2);
    }
    let mut text = letters(&bits);
    if let Some(gpc) = gpc {
        write!(text, ".{}", letters(&[false, true, gpc])).unwrap();
    }
    text
}
