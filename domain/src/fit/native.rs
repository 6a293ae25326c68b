//! Which parts of a native ad answer the assets that a page asks for.

use super::mime::name_in;
use crate::creative::{NativeAd, NativeImage};
use crate::id::Tag;
use crate::opportunity::{NativeAsset, NativeKind, NativeSlot, Size};

/// What answers an asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NativeAnswer<'a> {
    /// The title.
    Title(&'a str),
    /// A picture.
    Image(&'a NativeImage),
    /// A text.
    Data {
        /// OpenRTB Native 1.2, list of data asset types.
        kind: u16,
        /// The text.
        value: &'a str,
    },
}

/// Whether the ad answers all that is required, and its impression can be counted.
pub fn native_fits(slot: &NativeSlot, ad: &NativeAd, title: &str) -> bool {
    slot.image_tracker
        && slot.assets.iter().all(|asset| !asset.required || native_answer(asset, ad, title).is_some())
        && native_answers(slot, ad, title).next().is_some()
}

/// The assets that are answered, in the request's order, and with what.
pub fn native_answers<'a>(
    slot: &'a NativeSlot,
    ad: &'a NativeAd,
    title: &'a str,
) -> impl Iterator<Item = (&'a NativeAsset, NativeAnswer<'a>)> {
    slot.assets.iter().filter_map(move |asset| native_answer(asset, ad, title).map(|answer| (asset, answer)))
}

/// What answers one asset, if anything does. Texts are never cut to fit.
pub fn native_answer<'a>(asset: &NativeAsset, ad: &'a NativeAd, title: &'a str) -> Option<NativeAnswer<'a>> {
    match &asset.kind {
        NativeKind::Title { longest } => text_fits(title, *longest).then_some(NativeAnswer::Title(title)),
        NativeKind::Image { kind, size, least, mimes } => {
            best_image(&ad.images, *kind, *size, *least, mimes).map(NativeAnswer::Image)
        }
        NativeKind::Data { kind, longest } => ad
            .data
            .iter()
            .find(|(ours, value)| ours == kind && text_fits(value, *longest))
            .map(|(_, value)| NativeAnswer::Data { kind: *kind, value }),
        NativeKind::Video | NativeKind::Unknown => None,
    }
}

/// At most `longest` characters; 0 for any number. Nothing is no text.
fn text_fits(text: &str, longest: u32) -> bool {
    let longest = usize::try_from(longest).unwrap_or(usize::MAX);
    !text.is_empty() && (longest == 0 || text.len() <= longest || text.chars().count() <= longest)
}

/// The picture that fits and comes closest to the size asked for, the first of several.
fn best_image<'a>(
    images: &'a [NativeImage],
    kind: u16,
    size: Size,
    least: Size,
    mimes: &[Tag],
) -> Option<&'a NativeImage> {
    images
        .iter()
        .filter(|image| {
            (kind == 0 || image.kind == kind)
                && length_fits(image.size.width, size.width, least.width)
                && length_fits(image.size.height, size.height, least.height)
                && name_in(mimes, &image.mime).is_some()
        })
        .min_by_key(|image| {
            distance(image.size.width, size.width, least.width)
                + distance(image.size.height, size.height, least.height)
        })
}

/// Section 4.4: a length that comes without a minimum is an exact requirement; otherwise the page scales what is at
/// least the minimum.
fn length_fits(length: u16, wanted: u16, least: u16) -> bool {
    length >= least && (least > 0 || wanted == 0 || length == wanted)
}

/// How far a length is from the one wanted, else from the least.
fn distance(length: u16, wanted: u16, least: u16) -> u32 {
    match (wanted, least) {
        (0, 0) => 0,
        (0, least) => u32::from(length.abs_diff(least)),
        (wanted, _) => u32::from(length.abs_diff(wanted)),
    }
}
