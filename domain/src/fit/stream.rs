//! Whether a video or a sound fits a player, and which of its files and which VAST it is sent as.

use super::mime::name_in;
use crate::codes::Codes;
use crate::creative::{Media, MediaFile, Stream};
use crate::opportunity::{Size, StreamSlot};

/// OpenRTB's `linearity` of what is laid over the content; ours plays in its place.
const OVERLAY: u8 = 2;

/// The versions of VAST that ads are sent in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VastVersion {
    /// 2.0
    V2,
    /// 3.0
    V3,
    /// 4.0
    V40,
    /// 4.1
    V41,
    /// 4.2, where the player does not say.
    #[default]
    V42,
}

impl VastVersion {
    /// Newest first.
    const NEWEST: [Self; 5] = [Self::V42, Self::V41, Self::V40, Self::V3, Self::V2];

    /// What stands in a document's `version`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V2 => "2.0",
            Self::V3 => "3.0",
            Self::V40 => "4.0",
            Self::V41 => "4.1",
            Self::V42 => "4.2",
        }
    }

    /// AdCOM 1.0, list of creative subtypes: the number in `protocols`, of a wrapper or of an ad in full.
    pub const fn protocol(self, wrapper: bool) -> u8 {
        match (self, wrapper) {
            (Self::V2, false) => 2,
            (Self::V2, true) => 5,
            (Self::V3, false) => 3,
            (Self::V3, true) => 6,
            (Self::V40, false) => 7,
            (Self::V40, true) => 8,
            (Self::V41, false) => 11,
            (Self::V41, true) => 12,
            (Self::V42, false) => 13,
            (Self::V42, true) => 14,
        }
    }
}

/// The newest version among `protocols`; 4.2 where those are empty, none where no version of ours is among them.
pub fn pick_vast_version(protocols: Codes, wrapper: bool) -> Option<VastVersion> {
    if protocols.is_empty() {
        return Some(VastVersion::default());
    }
    VastVersion::NEWEST.into_iter().find(|version| protocols.contains(version.protocol(wrapper)))
}

/// The version of VAST that `stream` is sent in to `slot`; none where it cannot be.
pub fn vast_version(slot: &StreamSlot, stream: &Stream) -> Option<VastVersion> {
    pick_vast_version(slot.protocols, matches!(stream.media, Media::Wrapper { .. }))
}

/// A file that a player takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FittingFile<'a> {
    /// The file.
    pub file: &'a MediaFile,
    /// Its media type, by the name that the request uses (`audio/mp3` for `audio/mpeg`).
    pub mime: &'a str,
}

/// Those files of a stream that the player takes, in their order; none for a wrapper. A file fits by its media type, if
/// it is not larger than the player, and if its bit rate is unknown or within what is asked for.
pub fn files_that_fit<'a>(slot: &'a StreamSlot, stream: &'a Stream) -> impl Iterator<Item = FittingFile<'a>> {
    let files = match &stream.media {
        Media::Files(files) => files.as_slice(),
        Media::Wrapper { .. } => &[],
    };
    files.iter().filter_map(|file| {
        let mime = name_in(&slot.mimes, &file.mime)?;
        let bitrate_fits =
            file.bitrate == 0 || (slot.least_bitrate..=slot.most_bitrate).contains(&file.bitrate);
        (bitrate_fits && size_fits(slot, file.size)).then_some(FittingFile { file, mime })
    })
}

/// Whether a stream fits a player's duration, media types, size, bit rates and protocols (OpenRTB 2.6 sections 3.2.7 and
/// 3.2.8), and whether it may be skipped where it can be.
pub fn stream_fits(slot: &StreamSlot, stream: &Stream) -> bool {
    slot.linearity != OVERLAY
        && !(slot.skippable == Some(false) && stream.skip_after.is_some())
        && duration_fits(slot, u32::from(stream.duration))
        && vast_version(slot, stream).is_some()
        && match &stream.media {
            Media::Files(_) => files_that_fit(slot, stream).next().is_some(),
            Media::Wrapper { mimes, size, .. } => {
                size_fits(slot, *size) && mimes.iter().any(|mime| name_in(&slot.mimes, mime).is_some())
            }
        }
}

fn duration_fits(slot: &StreamSlot, duration: u32) -> bool {
    let allowed = if slot.exactly.is_empty() {
        (slot.shortest..=slot.longest).contains(&duration)
    } else {
        slot.exactly.contains(&duration)
    };
    allowed && slot.pod.is_none_or(|pod| pod.duration == 0 || duration <= pod.duration)
}

/// No larger than the player, in each length that is said.
fn size_fits(slot: &StreamSlot, size: Size) -> bool {
    let within = |room: u16, length: u16| room == 0 || length <= room;
    within(slot.size.width, size.width) && within(slot.size.height, size.height)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Tag;
    use crate::opportunity::Pod;

    fn file(mime: &str, width: u16, bitrate: u32) -> MediaFile {
        MediaFile {
            url: format!("https://cdn.test/{width}"),
            mime: mime.to_owned(),
            size: Size { width, height: width / 2 },
            bitrate,
        }
    }

    fn film(files: Vec<MediaFile>) -> Stream {
        Stream { duration: 15, skip_after: None, media: Media::Files(files) }
    }

    fn wrapped(mimes: &[&str]) -> Stream {
        let mimes = mimes.iter().map(|&mime| mime.to_owned()).collect();
        let media = Media::Wrapper {
            tag: "https://vast.test".to_owned(),
            mimes,
            size: Size { width: 640, height: 360 },
        };
        Stream { duration: 15, skip_after: None, media }
    }

    fn player() -> StreamSlot {
        StreamSlot {
            mimes: [Tag::of("video/mp4"), Tag::of("video/webm")].into_iter().collect(),
            longest: u32::MAX,
            most_bitrate: u32::MAX,
            ..StreamSlot::default()
        }
    }

    fn protocols(codes: &[i64]) -> Codes {
        codes.iter().copied().collect()
    }

    #[test]
    fn the_newest_version_that_the_player_speaks_is_picked() {
        for (codes, inline, wrapper) in [
            (&[][..], Some(VastVersion::V42), Some(VastVersion::V42)),
            (&[2, 3, 5, 6], Some(VastVersion::V3), Some(VastVersion::V3)),
            (&[2, 5, 7, 8], Some(VastVersion::V40), Some(VastVersion::V40)),
            (&[2, 11, 13, 14], Some(VastVersion::V42), Some(VastVersion::V42)),
            (&[2, 3, 12], Some(VastVersion::V3), Some(VastVersion::V41)),
            (&[2], Some(VastVersion::V2), None),
            (&[5], None, Some(VastVersion::V2)),
            // VAST 1.0, DAAST and 4.3, none of which is ours.
            (&[1, 4, 9, 10, 15, 16], None, None),
        ] {
            assert_eq!(pick_vast_version(protocols(codes), false), inline, "{codes:?}");
            assert_eq!(pick_vast_version(protocols(codes), true), wrapper, "{codes:?} wrapped");
        }
    }

    #[test]
    fn files_are_chosen_by_type_size_and_bit_rate() {
        let stream = film(vec![
            file("video/mp4", 1280, 2_000),
            file("video/mp4", 640, 800),
            file("video/ogg", 320, 200),
            file("VIDEO/WEBM", 320, 0),
        ]);
        let widths = |slot: &StreamSlot| -> Vec<u16> {
            files_that_fit(slot, &stream).map(|fitting| fitting.file.size.width).collect()
        };
        assert_eq!(widths(&player()), [1280, 640, 320]);
        assert_eq!(widths(&StreamSlot { size: Size { width: 640, height: 0 }, ..player() }), [640, 320]);
        assert_eq!(widths(&StreamSlot { size: Size { width: 0, height: 319 }, ..player() }), [320]);
        let rates = StreamSlot { least_bitrate: 800, most_bitrate: 1_500, ..player() };
        assert_eq!(widths(&rates), [640, 320], "an unknown bit rate is no reason against a file");
        assert!(stream_fits(&rates, &stream));
        let small = StreamSlot { size: Size { width: 300, height: 250 }, ..player() };
        assert!(!stream_fits(&small, &stream));
        assert!(!stream_fits(
            &StreamSlot { mimes: [Tag::of("video/x-flv")].into_iter().collect(), ..player() },
            &stream
        ));
    }

    #[test]
    fn a_file_goes_by_the_name_that_the_request_uses() {
        let slot = StreamSlot { mimes: [Tag::of("audio/mp3")].into_iter().collect(), ..player() };
        let stream = film(vec![file("audio/mpeg", 0, 128)]);
        assert_eq!(
            files_that_fit(&slot, &stream).map(|fitting| fitting.mime).collect::<Vec<_>>(),
            ["audio/mp3"]
        );
    }

    #[test]
    fn a_wrapper_fits_by_what_it_is_known_to_contain() {
        let stream = wrapped(&["video/ogg", "video/webm"]);
        assert!(stream_fits(&player(), &stream));
        assert!(!stream_fits(&player(), &wrapped(&["video/ogg"])));
        assert!(!stream_fits(&StreamSlot { size: Size { width: 639, height: 360 }, ..player() }, &stream));
        assert!(
            !stream_fits(&StreamSlot { protocols: protocols(&[2, 3, 7]), ..player() }, &stream),
            "no wrappers"
        );
        assert_eq!(files_that_fit(&player(), &stream).count(), 0);
    }

    #[test]
    fn the_duration_is_within_what_is_asked_for() {
        let stream = film(vec![file("video/mp4", 640, 0)]);
        let pod = |duration| Some(Pod { duration, most: 3, ..Pod::default() });
        for (slot, fits) in [
            (StreamSlot { shortest: 15, longest: 15, ..player() }, true),
            (StreamSlot { shortest: 16, ..player() }, false),
            (StreamSlot { longest: 14, ..player() }, false),
            (StreamSlot { exactly: [15, 30].into_iter().collect(), ..player() }, true),
            (StreamSlot { exactly: [14, 16].into_iter().collect(), ..player() }, false),
            (StreamSlot { pod: pod(14), ..player() }, false),
            (StreamSlot { pod: pod(15), ..player() }, true),
            (StreamSlot { pod: pod(0), ..player() }, true),
        ] {
            assert_eq!(stream_fits(&slot, &stream), fits, "{slot:?}");
        }
    }

    #[test]
    fn it_plays_in_the_stream_and_is_skipped_only_where_that_is_allowed() {
        let plain = film(vec![file("video/mp4", 640, 0)]);
        let skippable = Stream { skip_after: Some(5), ..plain.clone() };
        for (linearity, fits) in [(0, true), (1, true), (2, false)] {
            assert_eq!(stream_fits(&StreamSlot { linearity, ..player() }, &plain), fits);
        }
        for (skippable_slot, fits) in [(None, true), (Some(true), true), (Some(false), false)] {
            let slot = StreamSlot { skippable: skippable_slot, ..player() };
            assert!(stream_fits(&slot, &plain), "nobody has to be able to skip");
            assert_eq!(stream_fits(&slot, &skippable), fits);
        }
    }
}
