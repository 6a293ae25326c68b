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
        // 7: measure advertising performance; 10: develop and improve services. What may not be kept under a key could not be
        // found to be erased, so nothing is learned from it either.
        if basis.allows(Basis::STORE) && self.by_either(7) && self.by_either(10) {
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

#[cfg(test)]
mod tests {
    use super::super::encode::{Tc, Vendors};
    use super::*;
    use iab_gpp::sections::tcfeuv2::TcfEuV2;
    use proptest::prelude::*;

    const US: u16 = 755;

    fn basis(tc: &Tc) -> (Basis, BasisSource) {
        Consent::decode(&tc.text(), US).unwrap().basis()
    }

    /// A set of purposes without some.
    fn all_but(numbers: &[u32]) -> u32 {
        numbers.iter().fold(0x7ff, |set, number| set & !(1 << (number - 1)))
    }

    #[test]
    fn each_permission_rests_on_its_purposes() {
        let lost = |numbers: &[u32]| {
            let allowed = basis(&Tc { purposes: all_but(numbers), ..Tc::full(US) }).0;
            let parts = [Basis::READ, Basis::TARGET, Basis::STORE, Basis::LEARN, Basis::PRECISE_PLACE];
            parts.into_iter().filter(|part| !allowed.allows(*part)).collect::<Vec<_>>()
        };
        assert_eq!(lost(&[]), []);
        assert_eq!(lost(&[1]).len(), 5);
        assert_eq!(lost(&[2]), [Basis::TARGET]);
        assert_eq!(lost(&[3]), [Basis::STORE, Basis::LEARN]);
        assert_eq!(lost(&[4]), [Basis::TARGET]);
        assert_eq!(lost(&[7]), [Basis::LEARN]);
        assert_eq!(lost(&[10]), [Basis::LEARN]);
        assert_eq!(lost(&[5, 6, 8, 9, 11]), []);
        let rough = basis(&Tc { special_features: 0b10, ..Tc::full(US) });
        assert_eq!(rough, (Basis::TARGET.or(Basis::STORE).or(Basis::LEARN), BasisSource::GdprConsent));
    }

    #[test]
    fn without_the_vendor_there_is_nothing() {
        for consents in [Vendors::none(), Vendors::only(US - 1), Vendors::only(US + 1)] {
            let tc = Tc { consents, interests: 0x7ff, vendor_interests: Vendors::only(US), ..Tc::full(US) };
            assert_eq!(basis(&tc), (Basis::NONE, BasisSource::GdprRefused));
        }
        for vendor in [0, 1, 755, u16::MAX] {
            let text = Tc { consents: Vendors::Ranges(vec![(1, u16::MAX)]), ..Tc::full(1) }.text();
            assert_eq!(Consent::decode(&text, vendor).unwrap().vendor_consent, vendor != 0);
        }
    }

    #[test]
    fn a_vendor_that_the_user_was_not_shown_has_nothing() {
        let shown = |disclosed| basis(&Tc { disclosed, publisher: true, ..Tc::full(US) });
        assert_eq!(shown(None), (Basis::ALL, BasisSource::GdprConsent));
        assert_eq!(shown(Some(Vendors::only(US))), (Basis::ALL, BasisSource::GdprConsent));
        assert_eq!(shown(Some(Vendors::only(1))), (Basis::NONE, BasisSource::GdprRefused));
    }

    #[test]
    fn interest_stands_in_for_consent_where_the_policies_let_it() {
        let by_interest = |numbers: &[u32], vendor_interests| {
            let interests = numbers.iter().fold(0, |set, number| set | 1 << (number - 1));
            basis(&Tc { purposes: all_but(numbers), interests, vendor_interests, ..Tc::full(US) }).0
        };
        assert_eq!(by_interest(&[2, 7, 10], Vendors::only(US)), Basis::ALL);
        assert_eq!(by_interest(&[2, 7, 10], Vendors::none()).or(Basis::TARGET).or(Basis::LEARN), Basis::ALL);
        assert!(!by_interest(&[2], Vendors::none()).allows(Basis::TARGET));
        assert!(!by_interest(&[7], Vendors::only(US + 1)).allows(Basis::LEARN));
        assert_eq!(by_interest(&[1], Vendors::only(US)), Basis::NONE);
        assert!(!by_interest(&[3], Vendors::only(US)).allows(Basis::STORE));
        assert!(!by_interest(&[4], Vendors::only(US)).allows(Basis::TARGET));
    }

    #[test]
    fn publishers_restrict_purposes_and_their_grounds() {
        let both = Tc { interests: 0x7ff, vendor_interests: Vendors::only(US), ..Tc::full(US) };
        let restricted = |tc: &Tc, purpose, kind, vendors: (u16, u16)| {
            basis(&Tc {
                restrictions: vec![(5, 0, vec![(1, 3)]), (purpose, kind, vec![vendors])],
                ..tc.clone()
            })
            .0
        };
        // 0: not allowed, on whatever ground. 3 is not defined and taken for the same.
        for kind in [0, 3] {
            assert_eq!(restricted(&both, 1, kind, (US, US)), Basis::NONE);
            assert!(!restricted(&both, 2, kind, (1, 2000)).allows(Basis::TARGET));
            assert!(!restricted(&both, 10, kind, (US, US)).allows(Basis::LEARN));
        }
        // 1: by consent alone.
        let by_interest = Tc { purposes: all_but(&[2]), ..both.clone() };
        assert_eq!(restricted(&both, 2, 1, (US, US)), Basis::ALL);
        assert!(!restricted(&by_interest, 2, 1, (US, US)).allows(Basis::TARGET));
        // 2: by legitimate interest alone, which purpose 3 cannot have.
        let by_consent = Tc { interests: 0, ..both.clone() };
        assert_eq!(restricted(&both, 7, 2, (US, US)), Basis::ALL);
        assert!(!restricted(&by_consent, 7, 2, (US, US)).allows(Basis::LEARN));
        assert!(!restricted(&both, 3, 2, (US, US)).allows(Basis::STORE));
        // Those of other vendors are theirs.
        for kind in 0..4 {
            assert_eq!(restricted(&both, 1, kind, (1, US - 1)), Basis::ALL);
        }
    }

    #[test]
    fn strings_that_are_not_valid_give_nothing() {
        let consent = Consent::decode(&Tc { service_specific: false, ..Tc::full(US) }.text(), US).unwrap();
        assert_eq!(consent.basis(), (Basis::NONE, BasisSource::GdprUnreadable));
        let untold = Tc { purpose_one_treatment: true, purposes: all_but(&[1]), ..Tc::full(US) };
        assert_eq!(basis(&untold), (Basis::NONE, BasisSource::GdprRefused));
        let core = Tc::full(US).core();
        let backwards = Tc { consents: Vendors::Ranges(vec![(800, 1)]), ..Tc::full(US) }.text();
        for text in [
            Tc { version: 1, ..Tc::full(US) }.text(),
            Tc { version: 3, ..Tc::full(US) }.text(),
            // The example of the first version's specification.
            "BOEFEAyOEFEAyAHABDENAI4AAAB9vABAASA".to_owned(),
            "gdprConsentString".to_owned(),
            format!("{core}."),
            format!("{core}.{core}"),
            format!("{core}.AAAA"),
            format!("{core}.I"),
            format!("{core}=="),
            format!(" {core}"),
            format!("{core}.{}", "Y".repeat(MAX_BYTES)),
            backwards,
        ] {
            assert_eq!(Consent::decode(&text, US), None, "{text}");
        }
    }

    /// The examples of the specification's text, and of the IAB's own libraries, by what those say of them.
    #[test]
    fn published_strings_decode_as_published() {
        let decode = |text, vendor| Consent::decode(text, vendor).unwrap();
        // "Transparency and Consent String with Global Vendor & CMP List Formats", version 2.3.
        for text in [
            "CQSbk4AQSbk4ANwAAAENAwCgAAAAAAAAAAYgACPAAAAA.IDKQA4AAgAKAGQAygAAA",
            "CQSbk4AQSbk4ANwAAAENAwCgAAAAAAAAAAYgACPAAAAA.IDKQA4AAgAKAGQAygAAA.YAAAAAAAAAAA",
        ] {
            let consent = decode(text, 2);
            assert!(consent.service_specific, "{text}");
            assert_eq!((consent.purposes, consent.basis().1), (Numbers::default(), BasisSource::GdprRefused));
            let disclosed: Vec<u16> =
                (1..500).filter(|id| decode(text, *id).disclosed == Some(true)).collect();
            assert_eq!(disclosed, [1, 2, 3, 4, 5, 100, 404]);
        }
        // "Global Privacy Platform String", examples 1 to 3.
        let example = decode("CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA", 2);
        assert_eq!(example, Consent { service_specific: true, ..Consent::default() });
        // The IAB's TCF library for Java and others: purposes 1 to 3, vendors 2, 6 and 8 by either ground.
        let text = "COvFyGBOvFyGBAbAAAENAPCAAOAAAAAAAAAAAEEUACCKAAA.IFoEUQQgAIQwgIwQABAEAAAAOIAACAIAAAAQAIAgEAACEAAAAAgAQBAAAAAAAGBAAgAAAAAAAFAAECAAAgAAQARAEQAAAAAJAAIAAgAAAYQEAAAQmAgBC3ZAYzUw";
        for vendor in 1..=800 {
            let consent = decode(text, vendor);
            assert_eq!(consent.purposes, Numbers(0b111));
            assert_eq!(consent.vendor_consent, [2, 6, 8].contains(&vendor));
            assert_eq!(consent.vendor_interest, [2, 6, 8].contains(&vendor));
        }
        let disclosed = [2, 6, 8, 12, 18, 23, 720].map(|vendor| decode(text, vendor).disclosed);
        assert_eq!(disclosed, [Some(true); 7]);
        // Of the global kind, which is not valid any more.
        assert_eq!(decode(text, 2).basis(), (Basis::NONE, BasisSource::GdprUnreadable));
    }

    fn vendors() -> impl Strategy<Value = Vendors> {
        let range = prop_oneof![(1..1500_u16, 0..40_u16), Just((US, 0)), (1..US, Just(US))];
        let ranges = proptest::collection::vec(range, 0..6);
        prop_oneof![
            proptest::collection::vec(any::<bool>(), 0..900).prop_map(Vendors::Field),
            ranges.prop_map(|all| Vendors::Ranges(all.iter().map(|(at, long)| (*at, at + long)).collect())),
        ]
    }

    fn strings() -> impl Strategy<Value = Tc> {
        let restriction = (
            1..12_u64,
            0..4_u64,
            prop_oneof![Just(vec![(US, US)]), Just(vec![(1, 2), (700, 800)]), Just(vec![])],
        );
        let sets = (0..4_u32, 0..0x800_u32, 0..0x800_u32);
        let mostly = |set: u32, more: bool| if more { set | 0x247 } else { set };
        let lists = (vendors(), vendors(), proptest::option::of(vendors()));
        let more = (any::<[bool; 4]>(), proptest::collection::vec(restriction, 0..4));
        (sets, lists, more).prop_map(
            move |(sets, lists, ([named, purposes, publisher, global], restrictions))| Tc {
                special_features: sets.0,
                purposes: mostly(sets.1, purposes),
                interests: mostly(sets.2, !purposes),
                consents: if named { Vendors::Ranges(vec![(1, 2), (US, US + 9)]) } else { lists.0 },
                vendor_interests: lists.1,
                disclosed: lists.2,
                restrictions,
                publisher,
                service_specific: !(global && publisher),
                ..Tc::full(US)
            },
        )
    }

    /// Every way of taking something away from a string.
    fn taken_away(tc: &Tc) -> Vec<Tc> {
        let mut all: Vec<Tc> = (0..11)
            .flat_map(|bit| {
                [
                    Tc { purposes: tc.purposes & !(1 << bit), ..tc.clone() },
                    Tc { interests: tc.interests & !(1 << bit), ..tc.clone() },
                    Tc { special_features: tc.special_features & !(1 << bit), ..tc.clone() },
                ]
            })
            .collect();
        all.push(Tc { consents: tc.consents.without(US), ..tc.clone() });
        all.push(Tc { vendor_interests: tc.vendor_interests.without(US), ..tc.clone() });
        all.push(Tc { disclosed: Some(Vendors::only(US + 1)), ..tc.clone() });
        for (purpose, kind) in (1..12).flat_map(|purpose| (0..4).map(move |kind| (purpose, kind))) {
            let mut restrictions = tc.restrictions.clone();
            restrictions.push((purpose, kind, vec![(1, 2), (US, US)]));
            all.push(Tc { restrictions, ..tc.clone() });
        }
        all
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(tc in strings()) {
            let consent = Consent::decode(&tc.text(), US).unwrap();
            prop_assert_eq!(consent.purposes, Numbers(tc.purposes));
            prop_assert_eq!(consent.interests, Numbers(tc.interests));
            prop_assert_eq!(consent.special_features, Numbers(tc.special_features));
            prop_assert_eq!(consent.vendor_consent, tc.consents.has(US));
            prop_assert_eq!(consent.vendor_interest, tc.vendor_interests.has(US));
            prop_assert_eq!(consent.disclosed, tc.disclosed.as_ref().map(|list| list.has(US)));
            for purpose in 1..12 {
                let holds = |kinds: &[u64]| {
                    let ours = |list: &[(u16, u16)]| list.iter().any(|(start, end)| (*start..=*end).contains(&US));
                    tc.restrictions.iter().any(|(at, kind, list)| *at == purpose && kinds.contains(kind) && ours(list))
                };
                prop_assert_eq!(consent.forbidden.has(purpose), holds(&[0, 3]));
                prop_assert_eq!(consent.consent_required.has(purpose), holds(&[1]));
                prop_assert_eq!(consent.interest_required.has(purpose), holds(&[2]));
            }
        }

        /// A decoder by others agrees, but for restrictions, which it expects in another form.
        #[test]
        fn another_decoder_reads_the_same(tc in strings()) {
            let tc = Tc { restrictions: Vec::new(), ..tc };
            let text = tc.text();
            let (ours, theirs) = (Consent::decode(&text, US).unwrap(), text.parse::<TcfEuV2>().unwrap());
            let numbers = |ids: &std::collections::BTreeSet<u16>| {
                ids.iter().fold(Numbers::default(), |set, id| set.with(Numbers::of(u64::from(*id))))
            };
            prop_assert_eq!(ours.purposes, numbers(&theirs.core.purpose_consents));
            prop_assert_eq!(ours.interests, numbers(&theirs.core.purpose_legitimate_interests));
            prop_assert_eq!(ours.special_features, numbers(&theirs.core.special_feature_optins));
            prop_assert_eq!(ours.vendor_consent, theirs.core.vendor_consents.contains(&US));
            prop_assert_eq!(ours.vendor_interest, theirs.core.vendor_legitimate_interests.contains(&US));
            prop_assert_eq!(ours.disclosed, theirs.disclosed_vendors.map(|ids| ids.contains(&US)));
        }

        #[test]
        fn taking_something_away_never_adds_a_permission(tc in strings()) {
            let whole = basis(&tc).0;
            for less in taken_away(&tc) {
                prop_assert!(whole.allows(basis(&less).0), "{:?}", less);
            }
        }

        /// A cut right behind a segment leaves a string as valid as the whole; only that may allow more, where it takes
        /// the list of disclosed vendors away.
        #[test]
        fn a_cut_never_adds_a_permission(tc in strings()) {
            let (text, whole) = (tc.text(), basis(&tc).0);
            for cut in (0..text.len()).filter(|cut| text.as_bytes()[*cut] != b'.') {
                let left = Consent::decode(&text[..cut], US).map_or(Basis::NONE, |consent| consent.basis().0);
                prop_assert!(whole.allows(left), "{}", &text[..cut]);
            }
        }

        #[test]
        fn no_string_panics(tc in strings(), at in any::<prop::sample::Index>(), letter: char, noise: String) {
            let text = tc.text();
            let at = at.index(text.len());
            let _ = Consent::decode(&format!("{}{letter}{}", &text[..at], &text[at + 1..]), US);
            let _ = Consent::decode(&format!("{}{noise}", &text[..at]), US);
            let _ = Consent::decode(&noise, US);
        }

        #[test]
        fn no_letters_panic(text in "C[A-Za-z0-9_-]{0,300}(\\.[A-Za-z0-9_-]{0,40}){0,3}", vendor: u16) {
            let _ = Consent::decode(&text, vendor).map(|consent| consent.basis());
        }
    }
}
