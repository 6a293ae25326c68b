//! Whether an ad fits what is for sale: size, media types, durations, protocols, assets, and the kinds of ad that are
//! not wanted. Brand safety, floors and deals are judged elsewhere.

mod banner;
mod mime;
mod native;
mod stream;

pub use banner::banner_fits;
pub use native::{NativeAnswer, native_answer, native_answers, native_fits};
pub use stream::{FittingFile, VastVersion, files_that_fit, pick_vast_version, stream_fits, vast_version};

use crate::codes::Codes;
use crate::creative::{Ad, Creative, Format, Verification};
use crate::opportunity::Opportunity;

/// AdCOM 1.0, list of creative attributes: the ad can be skipped.
const SKIPPABLE: u8 = 16;

/// AdCOM 1.0, list of API frameworks: the Open Measurement SDK.
pub const OMID: u8 = 7;

/// Banner type of OpenRTB's `btype`: scripts.
const BANNER_SCRIPT: u8 = 3;

/// How an ad fits an imp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fit {
    /// As what it would be shown.
    pub format: Format,
    /// Its seconds, which floors may depend on; 0 for what has no duration.
    pub duration: u32,
}

/// Whether and how `creative` fits `opportunity`.
pub fn fits(creative: &Creative, opportunity: &Opportunity) -> Option<Fit> {
    let attributes = attributes(creative);
    let (blocked, fits, duration) = match &creative.ad {
        Ad::Banner { size, image } => {
            let slot = opportunity.banner.as_ref()?;
            (slot.blocked_attributes, banner_fits(slot, *size, image), 0)
        }
        Ad::Video(stream) => {
            let slot = opportunity.video.as_ref()?;
            (slot.blocked_attributes, stream_fits(slot, stream), u32::from(stream.duration))
        }
        Ad::Audio(stream) => {
            let slot = opportunity.audio.as_ref()?;
            (slot.blocked_attributes, stream_fits(slot, stream), u32::from(stream.duration))
        }
        Ad::Native(ad) => {
            let slot = opportunity.native.as_ref()?;
            (slot.blocked_attributes, native_fits(slot, ad, &creative.title), 0)
        }
    };
    (fits && !blocked.intersects(attributes)).then(|| Fit { format: creative.format(), duration })
}

/// The attributes of an ad, for `attr` and `battr`: those configured, and that it can be skipped where it can.
pub fn attributes(creative: &Creative) -> Codes {
    let mut attributes = creative.attributes;
    if creative.stream().is_some_and(|stream| stream.skip_after.is_some()) {
        attributes.insert(i64::from(SKIPPABLE));
    }
    attributes
}

/// Who measures that `creative` was seen in `opportunity`: nobody where the slot runs no such scripts.
pub fn verification<'c>(creative: &'c Creative, opportunity: &Opportunity) -> Option<&'c Verification> {
    let allowed = match creative.format() {
        Format::Banner => opportunity
            .banner
            .as_ref()
            .is_some_and(|slot| slot.apis.contains(OMID) && !slot.blocked_types.contains(BANNER_SCRIPT)),
        Format::Video => opportunity.video.as_ref().is_some_and(|slot| slot.apis.contains(OMID)),
        Format::Audio => opportunity.audio.as_ref().is_some_and(|slot| slot.apis.contains(OMID)),
        Format::Native => opportunity
            .native
            .as_ref()
            .is_some_and(|slot| slot.apis.contains(OMID) && slot.script_tracker && slot.event_trackers),
    };
    creative.verification.as_ref().filter(|_| allowed)
}
