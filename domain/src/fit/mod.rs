//! Whether an ad fits what is for sale: size, media types, durations, protocols, assets, and the kinds of ad that are
//! not wanted. Brand safety, floors and deals are judged elsewhere.

mod banner;
mod mime;
mod native;
mod stream;

pub use banner::{banner_fits, banner_has_room};
pub use native::{NativeAnswer, native_answer, native_answers, native_fits};
pub use stream::{FittingFile, Template, files_that_fit, stream_fits, template};

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::creative::{Media, MediaFile, NativeAd, Stream};
    use crate::id::Tag;
    use crate::opportunity::{BannerSlot, NativeAsset, NativeKind, NativeSlot, Size, StreamSlot};

    const SIZE: Size = Size { width: 300, height: 250 };

    fn creative(ad: Ad) -> Creative {
        Creative {
            id: "c".to_owned(),
            tag: Tag::of("c"),
            landing: "https://shop.test".to_owned(),
            title: "Shoes".to_owned(),
            attributes: Codes::of(6),
            verification: Some(Verification {
                vendor: "vendor.test-omid".to_owned(),
                script: "https://vendor.test/omid.js".to_owned(),
                parameters: String::new(),
            }),
            ad,
        }
    }

    fn stream(mime: &str) -> Stream {
        let file = MediaFile {
            url: "https://cdn.test/a".to_owned(),
            mime: mime.to_owned(),
            size: Size::default(),
            bitrate: 0,
        };
        Stream { duration: 20, skip_after: Some(5), media: Media::Files(vec![file]) }
    }

    fn player(mime: &str) -> StreamSlot {
        StreamSlot {
            mimes: [Tag::of(mime)].into_iter().collect(),
            longest: 30,
            most_bitrate: u32::MAX,
            ..StreamSlot::default()
        }
    }

    /// One creative of each format, and an imp that offers room for all.
    fn each() -> ([Creative; 4], Opportunity) {
        let native = NativeAd { images: vec![], data: vec![] };
        let creatives = [
            Ad::Banner { size: SIZE, image: "https://cdn.test/a.png".to_owned() },
            Ad::Video(stream("video/mp4")),
            Ad::Audio(stream("audio/mpeg")),
            Ad::Native(native),
        ]
        .map(creative);
        let title = NativeAsset { id: 1, required: true, kind: NativeKind::Title { longest: 25 } };
        let opportunity = Opportunity {
            banner: Some(BannerSlot { sizes: [SIZE].into_iter().collect(), ..BannerSlot::default() }),
            video: Some(player("video/mp4")),
            audio: Some(player("audio/mpeg")),
            native: Some(NativeSlot {
                assets: [title].into_iter().collect(),
                image_tracker: true,
                ..NativeSlot::default()
            }),
            ..Opportunity::default()
        };
        (creatives, opportunity)
    }

    #[test]
    fn an_ad_fits_room_for_its_format_alone() {
        let (creatives, opportunity) = each();
        for (creative, duration) in creatives.iter().zip([0, 20, 20, 0]) {
            let format = creative.format();
            assert_eq!(fits(creative, &opportunity), Some(Fit { format, duration }));
            let mut others = opportunity.clone();
            match format {
                Format::Banner => others.banner = None,
                Format::Video => others.video = None,
                Format::Audio => others.audio = None,
                Format::Native => others.native = None,
            }
            assert_eq!(fits(creative, &others), None, "{format:?}");
        }
    }

    #[test]
    fn attributes_that_are_not_wanted_do_not_fit() {
        let (creatives, opportunity) = each();
        for (code, fitting) in [(6, [false; 4]), (16, [true, false, false, true]), (7, [true; 4])] {
            let mut picky = opportunity.clone();
            let blocked = Codes::of(code);
            picky.banner.as_mut().unwrap().blocked_attributes = blocked;
            picky.video.as_mut().unwrap().blocked_attributes = blocked;
            picky.audio.as_mut().unwrap().blocked_attributes = blocked;
            picky.native.as_mut().unwrap().blocked_attributes = blocked;
            assert_eq!(
                creatives.each_ref().map(|creative| fits(creative, &picky).is_some()),
                fitting,
                "battr {code}"
            );
        }
        assert!(attributes(&creatives[1]).contains(16), "what can be skipped says so");
        assert!(!attributes(&creatives[0]).contains(16));
    }

    #[test]
    fn viewability_is_measured_only_where_the_slot_runs_such_scripts() {
        let (creatives, mut opportunity) = each();
        let measured = |opportunity: &Opportunity| {
            creatives.each_ref().map(|creative| verification(creative, opportunity).is_some())
        };
        assert_eq!(measured(&opportunity), [false; 4]);
        opportunity.banner.as_mut().unwrap().apis = Codes::of(OMID);
        opportunity.video.as_mut().unwrap().apis = Codes::of(OMID);
        opportunity.audio.as_mut().unwrap().apis = Codes::of(OMID);
        let native = opportunity.native.as_mut().unwrap();
        native.apis = Codes::of(OMID);
        native.event_trackers = true;
        assert_eq!(measured(&opportunity), [true, true, true, false]);
        opportunity.native.as_mut().unwrap().script_tracker = true;
        assert_eq!(measured(&opportunity), [true; 4]);
        opportunity.banner.as_mut().unwrap().blocked_types = Codes::of(3);
        assert_eq!(measured(&opportunity), [false, true, true, true]);
    }
}
