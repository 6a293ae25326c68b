//! Consent strings as requests carry them, written bit by bit as the specifications have it.

/// The vendor that every consent in generated requests includes, by its number in IAB Europe's Global Vendor List.
pub const VENDOR: u16 = 52;

/// Vendors that a consent speaks of.
const VENDORS: usize = 820;

#[derive(Default)]
struct Bits(Vec<bool>);

impl Bits {
    /// Appends a big-endian field.
    fn push(&mut self, value: u64, width: u32) {
        self.0.extend((0..width).rev().map(|at| value >> at & 1 == 1));
    }

    /// As letters of web-safe base64, padded with zeros.
    fn letters(&self) -> String {
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let value = |six: &[bool]| {
            (0..6).fold(0, |value, at| value << 1 | usize::from(six.get(at).copied().unwrap_or(false)))
        };
        self.0.chunks(6).map(|six| char::from(alphabet[value(six)])).collect()
    }
}

/// A TC string (IAB Europe, TCF 2.2): consent to all purposes for most vendors, or to nothing. `vendors` says which others
/// than ours.
pub(super) fn tc(consents: bool, vendors: impl Fn(usize) -> bool) -> String {
    let mut bits = Bits::default();
    bits.push(2, 6);
    // When, in tenths of a second.
    bits.push(17_300_000_000, 36);
    bits.push(17_300_000_000, 36);
    // Platform and its version, screen, language EN, version of the vendor list, policy.
    for (value, width) in [(31, 12), (640, 12), (1, 6), (4, 6), (13, 6), (126, 12), (4, 6)] {
        bits.push(value, width);
    }
    bits.push(0b10, 2);
    bits.push(0, 12);
    bits.push(if consents { 0x7ff << 13 } else { 0 }, 24);
    bits.push(0, 24);
    bits.push(0, 1);
    // Where the publisher is: DE.
    bits.push(3, 6);
    bits.push(4, 6);
    bits.push(VENDORS as u64, 16);
    bits.push(0, 1);
    bits.0.extend((1..=VENDORS).map(|vendor| consents && (vendor == usize::from(VENDOR) || vendors(vendor))));
    bits.push(0, 16);
    bits.push(0, 1);
    bits.push(0, 12);
    bits.letters()
}

/// A GPP string (IAB Tech Lab) with one section, the nation's of the US.
pub(super) fn gpp_national(opted_out: bool) -> String {
    let mut head = Bits::default();
    // Type, version, one section: its number, 7, as a Fibonacci code.
    for (value, width) in [(3, 6), (1, 6), (1, 12), (0, 1), (0b01011, 5)] {
        head.push(value, width);
    }
    let mut section = Bits::default();
    section.push(1, 6);
    // Notices given; sale, sharing and targeted advertising; nothing sensitive but the precise place; no children.
    section.0.extend([false, true].repeat(6));
    for _ in 0..3 {
        section.push(if opted_out { 1 } else { 2 }, 2);
    }
    for value in [0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 2, 1, 2, 2] {
        section.push(value, 2);
    }
    format!("{}~{}", head.letters(), section.letters())
}
