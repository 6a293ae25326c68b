//! Whether a video or a sound fits a player, and which of its files are sent, and in which template.

use super::mime::name_in;
use crate::creative::{Media, MediaFile, Stream};
use crate::opportunity::{Size, StreamSlot};

/// OpenRTB's `linearity` of what is laid over the content; ours plays in its place.
const OVERLAY: u8 = 2;

/// The ad serving templates that ads are sent in, in the order in which they were published: IAB's VAST, and DAAST, which
/// is for audio and follows VAST 3.0 but for the names of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Template {
    /// VAST 2.0.
    Vast2,
    /// VAST 3.0.
    Vast3,
    /// DAAST 1.0.
    Daast,
    /// VAST 4.0.
    Vast40,
    /// VAST 4.1.
    Vast41,
    /// VAST 4.2, where the player does not say.
    #[default]
    Vast42,
}

impl Template {
    /// The best first: VAST, which replaced DAAST, from the newest version on.
    const BEST: [Self; 6] = [Self::Vast42, Self::Vast41, Self::Vast40, Self::Vast3, Self::Vast2, Self::Daast];

    /// What stands in a document's `version`.
    pub const fn version(self) -> &'static str {
        match self {
            Self::Vast2 => "2.0",
            Self::Vast3 => "3.0",
            Self::Daast => "1.0",
            Self::Vast40 => "4.0",
            Self::Vast41 => "4.1",
            Self::Vast42 => "4.2",
        }
    }

    /// AdCOM 1.0, list of creative subtypes: the number in `protocols`, of a wrapper or of an ad in full.
    pub const fn protocol(self, wrapper: bool) -> u8 {
        match (self, wrapper) {
            (Self::Vast2, false) => 2,
            (Self::Vast2, true) => 5,
            (Self::Vast3, false) => 3,
            (Self::Vast3, true) => 6,
            (Self::Daast, false) => 9,
            (Self::Daast, true) => 10,
            (Self::Vast40, false) => 7,
            (Self::Vast40, true) => 8,
            (Self::Vast41, false) => 11,
            (Self::Vast41, true) => 12,
            (Self::Vast42, false) => 13,
            (Self::Vast42, true) => 14,
        }
    }
}

/// The template that `stream` is sent in to `slot`: the best of the slot's `protocols`, and VAST 4.2 where those are
/// empty. None where none of ours is among them; DAAST is none for video.
pub fn template(slot: &StreamSlot, stream: &Stream) -> Option<Template> {
    if slot.protocols.is_empty() {
        return Some(Template::default());
    }
    let wrapper = matches!(stream.media, Media::Wrapper { .. });
    Template::BEST
        .into_iter()
        .filter(|&template| slot.audio || template != Template::Daast)
        .find(|template| slot.protocols.contains(template.protocol(wrapper)))
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
        && template(slot, stream).is_some()
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
    use crate::codes::Codes;
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

    /// In what is a player of these protocols sent an ad in full and a wrapper?
    fn templates(codes: &[i64], audio: bool) -> (Option<Template>, Option<Template>) {
        let slot = StreamSlot { protocols: protocols(codes), audio, ..player() };
        (template(&slot, &film(vec![])), template(&slot, &wrapped(&[])))
    }

    #[test]
    fn the_newest_version_that_the_player_speaks_is_picked() {
        for (codes, inline, wrapper) in [
            (&[][..], Some(Template::Vast42), Some(Template::Vast42)),
            (&[2, 3, 5, 6], Some(Template::Vast3), Some(Template::Vast3)),
            (&[2, 5, 7, 8], Some(Template::Vast40), Some(Template::Vast40)),
            (&[2, 11, 13, 14], Some(Template::Vast42), Some(Template::Vast42)),
            (&[2, 3, 12], Some(Template::Vast3), Some(Template::Vast41)),
            (&[2], Some(Template::Vast2), None),
            (&[5], None, Some(Template::Vast2)),
            // VAST 1.0 and 4.3, neither of which is ours.
            (&[1, 4, 15, 16], None, None),
        ] {
            for audio in [false, true] {
                assert_eq!(templates(codes, audio), (inline, wrapper), "{codes:?}");
            }
        }
    }

    #[test]
    fn audio_is_sent_as_daast_where_the_player_takes_no_vast() {
        let daast = Some(Template::Daast);
        for (codes, inline, wrapper) in [
            (&[9, 10][..], daast, daast),
            (&[1, 4, 9], daast, None),
            (&[10], None, daast),
            (&[2, 9, 10], Some(Template::Vast2), daast),
        ] {
            assert_eq!(templates(codes, true), (inline, wrapper), "{codes:?}");
        }
        assert_eq!(templates(&[9, 10], false), (None, None), "a video is no sound");
        assert_eq!(templates(&[2, 9, 10], false), (Some(Template::Vast2), None));
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
