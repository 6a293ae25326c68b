//! Where ads go on a page or screen.

use crate::inventory::Inventory;
use crate::people::{COMPUTER, PHONE, TABLET};

/// Where on a page or screen an ad goes.
#[derive(Debug)]
pub(crate) struct Placement {
    /// The end of `imp.tagid`, after the inventory's name.
    pub(crate) tag: &'static str,
    pub(crate) sizes: &'static [(u16, u16)],
    /// OpenRTB `banner.pos`: 1 above the fold, 3 below, 7 full screen.
    pub(crate) position: u8,
    /// The floor in units per thousand, times the inventory's quality.
    pub(crate) floor: f64,
    pub(crate) interstitial: bool,
    devices: &'static [u8],
    /// In apps or on sites.
    app: bool,
    weight: f64,
}

const LARGE: &[u8] = &[COMPUTER, TABLET];
const SMALL: &[u8] = &[PHONE, TABLET];
const ALL: &[u8] = &[COMPUTER, PHONE, TABLET];

macro_rules! placement {
    ($app:literal, $tag:literal, $sizes:expr, $position:literal, $floor:literal, $devices:expr, $weight:literal) => {
        Placement {
            tag: $tag,
            sizes: $sizes,
            position: $position,
            floor: $floor,
            interstitial: $position == 7,
            devices: $devices,
            app: $app,
            weight: $weight,
        }
    };
}

pub(crate) const PLACEMENTS: [Placement; 9] = [
    placement!(false, "top", &[(728, 90), (970, 250)], 1, 0.6, LARGE, 2.0),
    placement!(false, "side", &[(300, 600), (300, 250)], 1, 0.8, &[COMPUTER], 2.0),
    placement!(false, "article", &[(300, 250), (336, 280)], 3, 0.5, ALL, 2.5),
    placement!(false, "sticky", &[(320, 50), (320, 100)], 1, 0.4, &[PHONE], 2.0),
    placement!(false, "skyscraper", &[(160, 600)], 3, 0.4, &[COMPUTER], 0.3),
    placement!(true, "banner", &[(320, 50)], 1, 0.3, SMALL, 2.5),
    placement!(true, "feed", &[(300, 250)], 3, 0.5, SMALL, 2.0),
    placement!(true, "break", &[(300, 250), (320, 480)], 7, 1.0, SMALL, 0.8),
    placement!(true, "tabletop", &[(728, 90)], 1, 0.5, &[TABLET], 1.2),
];

impl Placement {
    /// How much of the inventory's traffic on this kind of device it has, relative to the other placements.
    pub(crate) fn weight_on(&self, inventory: &Inventory, device: u8) -> f64 {
        let fits = self.app == inventory.app && self.devices.contains(&device);
        if fits { self.weight } else { 0.0 }
    }
}
