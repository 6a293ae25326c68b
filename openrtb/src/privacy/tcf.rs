//! The IAB's Transparency & Consent Framework: TC strings of version 2 (TCF 2.0 to 2.3), as far as one vendor is
//! concerned.
//!
//! Sections are those of "Transparency and Consent String with Global Vendor & CMP List Formats" of the IAB Tech Lab.
//! Lists of vendors are looked through, not unpacked: a hostile string cannot make us allocate.

use haggle_domain::{Basis, BasisSource};

use super::bits::{Bits, MAX_BYTES};

/// A set of purposes, or of special features; bit 0 is number 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Numbers(u32);

impl Numbers {
    const fn of(number: u64) -> Self {
        if matches!(number, 1..=32) { Self(1 << (number - 1)) } else { Self(0) }
    }

    /// From a bit field whose first bit is number 1.
    fn of_field(field: u64, width: u32) -> Self {
        Self((field as u32).reverse_bits() >> (32 - width))
    }

    const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    const fn has(self, number: u64) -> bool {
        self.0 & Self::of(number).0 != 0
    }
}

/// Purposes that rest on consent alone: storing and reading on the device (policies, appendix A), and since TCF 2.2
/// profiles and what is chosen by them. Older strings are held to it, too.
const BY_CONSENT_ALONE: Numbers =
    Numbers::of(1).with(Numbers::of(3)).with(Numbers::of(4)).with(Numbers::of(5)).with(Numbers::of(6));

/// What a TC string says to one vendor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Consent {
    /// Whether the string holds for one site or app. The global kind is not valid any more.
    pub(super) service_specific: bool,
    /// Special features opted in to.
    pub(super) special_features: Numbers,
    /// Purposes consented to.
    pub(super) purposes: Numbers,
    /// Purposes disclosed as a legitimate interest and not objected to.
    pub(super) interests: Numbers,
    /// The user consented to the vendor.
    pub(super) vendor_consent: bool,
    /// The vendor's legitimate interests were disclosed and not objected to.
    pub(super) vendor_interest: bool,
    /// Purposes that the publisher does not allow to the vendor.
    pub(super) forbidden: Numbers,
    /// Purposes that the publisher allows to the vendor by consent alone.
    pub(super) consent_required: Numbers,
    /// Purposes that the publisher allows to the vendor by legitimate interest alone.
    pub(super) interest_required: Numbers,
    /// Whether the vendor was shown to the user, where the string says who was.
    pub(super) disclosed: Option<bool>,
}

impl Consent {
    /// Of a whole TC string; `None` where it is no well-formed one of version 2.
    pub(super) fn decode(text: &str, vendor: u16) -> Option<Self> {
        if text.len() > MAX_BYTES {
            return None;
        }
        let mut segments = text.split('.');
        let mut consent = Self::decode_core(&mut Bits::of(segments.next()?)?, vendor)?;
        for segment in segments {
            let mut bits = Bits::of(segment)?;
            match bits.take(3)? {
                0 => return None,
                1 => {
                    let disclosed = is_listed(&mut bits, vendor)?;
                    consent.disclosed = Some(disclosed && consent.disclosed.unwrap_or(true));
                }
                // The publisher's own purposes, and a list that is no longer in use.
                _ => {}
            }
        }
        Some(consent)
    }

    /// "The Core String".
    fn decode_core(bits: &mut Bits<'_>, vendor: u16) -> Option<Self> {
        let mut consent = Self::default();
        if bits.take(6)? != 2 {
            return None;
        }
        // Created, LastUpdated, CmpId, CmpVersion, ConsentScreen, ConsentLanguage, VendorListVersion, TcfPolicyVersion.
        bits.skip(36 + 36 + 12 + 12 + 6 + 12 + 12 + 6)?;
        consent.service_specific = bits.flag()?;
        // UseNonStandardTexts.
        bits.skip(1)?;
        consent.special_features = Numbers::of_field(bits.take(12)?, 12);
        consent.purposes = Numbers::of_field(bits.take(24)?, 24);
        consent.interests = Numbers::of_field(bits.take(24)?, 24);
        // PurposeOneTreatment, PublisherCC: where purpose 1 was not disclosed, nobody consented to it.
        bits.skip(1 + 12)?;
        consent.vendor_consent = is_listed(bits, vendor)?;
        consent.vendor_interest = is_listed(bits, vendor)?;
        for _ in 0..bits.take(12)? {
            let purpose = Numbers::of(bits.take(6)?);
            let kind = bits.take(2)?;
            if !is_in_ranges(bits, vendor)? {
                continue;
            }
            let restricted = match kind {
                1 => &mut consent.consent_required,
                2 => &mut consent.interest_required,
                // 3 is not defined. Whatever it comes to mean, it is a restriction.
                _ => &mut consent.forbidden,
            };
            *restricted = restricted.with(purpose);
        }
        Some(consent)
    }

    /// Whether the user consents to the vendor's use of data for a purpose, and the publisher does not object.
    fn by_consent(&self, purpose: u64) -> bool {
        let open = self.purposes.without(self.forbidden).without(self.interest_required);
        self.vendor_consent && open.has(purpose)
    }

    /// The same, or the vendor has a legitimate interest in the purpose.
    fn by_either(&self, purpose: u64) -> bool {
        let open = self.interests.without(self.forbidden).without(self.consent_required);
        self.by_consent(purpose) || self.vendor_interest && open.without(BY_CONSENT_ALONE).has(purpose)
    }

    /// What the string lets the vendor do.
    pub(super) fn basis(&self) -> (Basis, BasisSource) {
        if !self.service_specific {
            return (Basis::NONE, BasisSource::GdprUnreadable);
        }
        // Purpose 1: store and/or access information on a device, as every id was.
        if self.disclosed == Some(false) || !self.by_consent(1) {
            return (Basis::NONE, BasisSource::GdprRefused);
        }
        let mut basis = Basis::READ;
        // 2: use limited data to select advertising; 4: use profiles to select personalised advertising.
        if self.by_either(2) && self.by_consent(4) {
            basis = basis.or(Basis::TARGET);
        }
        // 3: create profiles for personalised advertising.
        if self.by_consent(3) {
            basis = basis.or(Basis::STORE);
        }
        // 7: measure advertising performance; 10: develop and improve services.
        if self.by_either(7) && self.by_either(10) {
            basis = basis.or(Basis::LEARN);
        }
        // Special feature 1: use precise geolocation data.
        if self.special_features.has(1) {
            basis = basis.or(Basis::PRECISE_PLACE);
        }
        (basis, BasisSource::GdprConsent)
    }
}

/// Whether a list of vendors names this one ("Vendor Consent Section" and its like).
fn is_listed(bits: &mut Bits<'_>, vendor: u16) -> Option<bool> {
    let max = bits.id()?;
    let in_scope = (1..=max).contains(&vendor);
    if bits.flag()? {
        return is_in_ranges(bits, vendor).map(|found| found && in_scope);
    }
    let mut field = bits.clone();
    bits.skip(usize::from(max))?;
    if !in_scope {
        return Some(false);
    }
    field.skip(usize::from(vendor - 1))?;
    field.flag()
}

/// Whether a range section names a vendor.
fn is_in_ranges(bits: &mut Bits<'_>, vendor: u16) -> Option<bool> {
    let mut found = false;
    for _ in 0..bits.take(12)? {
        let is_range = bits.flag()?;
        let start = bits.id()?;
        let end = if is_range { bits.id()? } else { start };
        if start > end {
            return None;
        }
        found |= (start..=end).contains(&vendor);
    }
    Some(found)
}
