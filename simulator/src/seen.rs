//! What a bidder makes of a user, found out once.

use haggle_domain::{Basis, DeviceKind, Place, Tag, UserKey};

use crate::catalog::AISLES;
use crate::people::{self, COMPUTER, Device, PHONE, TABLET};
use crate::places::City;
use crate::surroundings::add;

/// Of one user: no more than there is a basis for.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) basis: Basis,
    pub(crate) user: Option<UserKey>,
    pub(crate) country: Tag,
    pub(crate) region: Tag,
    pub(crate) city: Tag,
    pub(crate) place: Option<Place>,
    pub(crate) device: DeviceKind,
    pub(crate) os: Tag,
    pub(crate) browser: Tag,
    pub(crate) language: Tag,
    pub(crate) segments: Box<[Tag]>,
}

impl Seen {
    pub(crate) fn of(
        (shop_id, basis): (&str, people::Basis),
        (city, device): (&City, &Device),
        segments: &[usize],
        keywords: &[&str],
    ) -> Self {
        // None of them was asked for consent, and in a state of the US none opted out.
        let given = basis == people::Basis::Given;
        let mut about = Vec::new();
        let words = keywords.iter().copied().chain(segments.iter().map(|aisle| AISLES[*aisle].word));
        words.filter(|_| given).for_each(|word| add(&mut about, Tag::of(word)));
        Self {
            basis: if given { Basis::ALL } else { Basis::NONE },
            user: given.then(|| UserKey::of(shop_id)),
            country: Tag::of(city.country),
            region: Tag::of(city.region),
            city: if given { Tag::of(city.name) } else { Tag::NONE },
            place: Place::from_degrees(city.latitude, city.longitude).filter(|_| given),
            device: match device.kind {
                COMPUTER => DeviceKind::Computer,
                PHONE => DeviceKind::Phone,
                TABLET => DeviceKind::Tablet,
                _ => DeviceKind::Unknown,
            },
            os: Tag::of(device.os),
            browser: Tag::of(device.browser),
            language: Tag::of(city.language),
            segments: about.into_boxed_slice(),
        }
    }
}
