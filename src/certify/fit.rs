//! Whether a bid is of a format that the imp offers, and of a size that it takes.

use serde_json::Value;

use super::check::{Check, Findings};
use super::format::Format;
use super::offer::{Markup, Offer};
use super::value::{flag, list, member, whole_at};

/// Checks format and size.
pub(super) fn check(offer: &Offer<'_>, findings: &mut Findings) {
    let name = &offer.name;
    let offered: Vec<_> = Format::offered(offer.imp).map(Format::as_str).collect();
    match offer.format {
        None => findings
            .fail(Check::Format, format!("{name}: mtype is missing and no markup tells the format; name it")),
        Some(format) => {
            findings.require(Check::Format, offered.contains(&format.as_str()), || {
                format!("{name}: it is {}, the imp offers {}", format.as_str(), offered.join(", "))
            });
            let agrees = match &offer.markup {
                Markup::None => true,
                Markup::Html(_) => format == Format::Banner,
                Markup::Vast(Ok(vast)) if vast.is_daast => format == Format::Audio,
                Markup::Vast(_) => format.is_timed(),
                Markup::Native(_) => format == Format::Native,
            };
            findings.require(Check::Format, agrees, || {
                format!("{name}: mtype says {}, the markup is something else", format.as_str())
            });
        }
    }
    let Some(slot) = offer.slot() else { return };
    match offer.format {
        Some(Format::Banner) => banner(offer, slot, findings),
        Some(Format::Video) => super::timed::check_size(offer, slot, findings),
        _ => {}
    }
}

/// A size or a proportion that the imp takes.
#[derive(Clone, Copy, Debug)]
enum Place {
    Exact(i64, i64),
    /// Width to height, and the least width.
    Ratio(i64, i64, i64),
    /// An interstitial: this or smaller.
    UpTo(i64, i64),
}

impl Place {
    fn takes(self, width: i64, height: i64) -> bool {
        match self {
            Self::Exact(w, h) => (width, height) == (w, h),
            Self::UpTo(w, h) => width <= w && height <= h,
            // Within a pixel of the proportion.
            Self::Ratio(w, h, least) => {
                let apart = width.saturating_mul(h).saturating_sub(height.saturating_mul(w)).saturating_abs();
                width >= least && apart <= w.max(h)
            }
        }
    }
}

fn places(offer: &Offer<'_>, banner: &Value) -> Vec<Place> {
    let pair = |object: &Value, width: &str, height: &str| {
        let side = |name| whole_at(object, name).filter(|side| (1..1_000_000).contains(side));
        Some((side(width)?, side(height)?))
    };
    let mut places = Vec::new();
    for object in std::iter::once(banner).chain(list(banner, "format")) {
        places.extend(pair(object, "w", "h").map(|(w, h)| Place::Exact(w, h)));
        let least = whole_at(object, "wmin").unwrap_or(0);
        places.extend(pair(object, "wratio", "hratio").map(|(w, h)| Place::Ratio(w, h, least)));
    }
    if flag(offer.imp, &["instl"]) {
        let screen = member(offer.request, "device").and_then(|device| pair(device, "w", "h"));
        places.extend(screen.map(|(w, h)| Place::UpTo(w, h)));
        let slots: Vec<_> = places
            .iter()
            .filter_map(|place| match place {
                Place::Exact(w, h) => Some(Place::UpTo(*w, *h)),
                _ => None,
            })
            .collect();
        places.extend(slots);
    }
    places
}

fn banner(offer: &Offer<'_>, banner: &Value, findings: &mut Findings) {
    let name = &offer.name;
    let places = places(offer, banner);
    if let (Some(width), Some(height)) = (whole_at(offer.bid, "wratio"), whole_at(offer.bid, "hratio")) {
        let fits = places.iter().any(|place| match place {
            Place::Ratio(w, h, _) => width > 0 && width.saturating_mul(*h) == height.saturating_mul(*w),
            _ => false,
        });
        findings.require(Check::Size, fits, || {
            format!("{name}: no format has the proportion {width} to {height}")
        });
        if offer.bid.get("w").is_none() {
            return;
        }
    }
    let (Some(width), Some(height)) = (whole_at(offer.bid, "w"), whole_at(offer.bid, "h")) else {
        let only = matches!(places.as_slice(), [Place::Exact(..)]);
        findings.require(Check::Size, only, || {
            format!("{name}: no w and h, and the imp does not have just one size")
        });
        return;
    };
    let fits = width > 0 && height > 0 && places.iter().any(|place| place.takes(width, height));
    findings.require(Check::Size, fits, || format!("{name}: {width}x{height} is none of {places:?}"));
}
