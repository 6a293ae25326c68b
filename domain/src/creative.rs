//! Ads: what a campaign may show, in one of four formats.

use crate::codes::Codes;
use crate::id::Tag;
use crate::opportunity::Size;

/// One ad.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Creative {
    /// The configured id, sent as `crid`.
    pub id: String,
    /// The stable hash of `id`, a feature of the model.
    pub tag: Tag,
    /// `https` address that a click leads to.
    pub landing: String,
    /// Alternative text of a banner, title of everything else.
    pub title: String,
    /// AdCOM 1.0, list of creative attributes: sent as `attr` and compared with `battr`.
    pub attributes: Codes,
    /// Who measures that it was seen, where the slot allows.
    pub verification: Option<Verification>,
    /// What is shown.
    pub ad: Ad,
}

/// What is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ad {
    /// A linked image.
    Banner {
        /// In CSS pixels.
        size: Size,
        /// `https` address of the image.
        image: String,
    },
    /// A film, as VAST.
    Video(Stream),
    /// Sound, as VAST.
    Audio(Stream),
    /// Parts that the page puts together in its own style (OpenRTB Native 1.2).
    Native(NativeAd),
}

/// The four formats that an imp can offer and a bid can answer with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// HTML of a fixed size.
    Banner,
    /// VAST with pictures.
    Video,
    /// VAST without.
    Audio,
    /// OpenRTB Native.
    Native,
}

/// A video's or audio's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// In seconds, at least 1.
    pub duration: u16,
    /// Seconds after which it may be skipped; `None` where it may not.
    pub skip_after: Option<u16>,
    /// Where it comes from.
    pub media: Media,
}

/// Where a stream comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Media {
    /// Files of ours, sent inline; at least one.
    Files(Vec<MediaFile>),
    /// Somebody else's VAST, sent as a wrapper around its address.
    Wrapper {
        /// `https` address of the VAST.
        tag: String,
        /// What it is known to contain, as media types; at least one.
        mimes: Vec<String>,
        /// The size of its picture; zero for audio.
        size: Size,
    },
}

/// One encoding of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaFile {
    /// `https` address.
    pub url: String,
    /// Media type, as `video/mp4`.
    pub mime: String,
    /// Of the picture; zero for audio.
    pub size: Size,
    /// In kilobits per second; 0 where unknown.
    pub bitrate: u32,
}

/// The parts of a native ad. Its title is the creative's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NativeAd {
    /// Pictures, at most one of a kind and size.
    pub images: Vec<NativeImage>,
    /// Texts by their kind (OpenRTB Native 1.2, list of data asset types: 1 sponsored by, 2 description, …).
    pub data: Vec<(u16, String)>,
}

/// A picture of a native ad.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NativeImage {
    /// OpenRTB Native 1.2, list of image asset types: 1 icon, 3 main image.
    pub kind: u16,
    /// `https` address.
    pub url: String,
    /// Media type, as `image/jpeg`.
    pub mime: String,
    /// In pixels.
    pub size: Size,
}

/// A viewability vendor's script, run by the Open Measurement SDK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// The vendor's key, as `shop.example-omid`.
    pub vendor: String,
    /// `https` address of its script.
    pub script: String,
    /// What the script is told.
    pub parameters: String,
}

impl Creative {
    /// A linked image with nothing special to it.
    pub fn banner(id: &str, size: Size, image: &str, landing: &str, title: &str) -> Self {
        Self {
            id: id.to_owned(),
            tag: Tag::of(id),
            landing: landing.to_owned(),
            title: title.to_owned(),
            attributes: Codes::NONE,
            verification: None,
            ad: Ad::Banner { size, image: image.to_owned() },
        }
    }

    /// Which format it is in.
    pub fn format(&self) -> Format {
        match self.ad {
            Ad::Banner { .. } => Format::Banner,
            Ad::Video(_) => Format::Video,
            Ad::Audio(_) => Format::Audio,
            Ad::Native(_) => Format::Native,
        }
    }

    /// A banner's size; zero by zero for everything else, whose size is the slot's matter.
    pub fn banner_size(&self) -> Size {
        match self.ad {
            Ad::Banner { size, .. } => size,
            _ => Size::default(),
        }
    }

    /// A video's or audio's content.
    pub fn stream(&self) -> Option<&Stream> {
        match &self.ad {
            Ad::Video(stream) | Ad::Audio(stream) => Some(stream),
            _ => None,
        }
    }
}
