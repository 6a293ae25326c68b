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
