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

#[cfg(test)]
mod tests {
    use super::*;

    fn image(kind: u16, width: u16, height: u16) -> NativeImage {
        NativeImage {
            kind,
            url: format!("https://cdn.test/{width}.jpg"),
            mime: "image/jpeg".to_owned(),
            size: Size { width, height },
        }
    }

    fn ad() -> NativeAd {
        NativeAd {
            images: vec![image(3, 1200, 627), image(1, 80, 80), image(3, 600, 315)],
            data: vec![
                (2, "a long description".to_owned()),
                (2, "short".to_owned()),
                (1, "Sho\u{df}".to_owned()),
                (6, String::new()),
            ],
        }
    }

    fn asset(required: bool, kind: NativeKind) -> NativeAsset {
        NativeAsset { id: 1, required, kind }
    }

    fn slot(assets: Vec<NativeAsset>) -> NativeSlot {
        NativeSlot { assets: assets.into(), image_tracker: true, ..NativeSlot::default() }
    }

    /// The width of the picture that answers.
    fn picture(kind: u16, size: (u16, u16), least: (u16, u16), mimes: &[&str]) -> Option<u16> {
        let asset = asset(
            true,
            NativeKind::Image {
                kind,
                size: Size { width: size.0, height: size.1 },
                least: Size { width: least.0, height: least.1 },
                mimes: mimes.iter().map(|mime| Tag::of(mime)).collect(),
            },
        );
        match native_answer(&asset, &ad(), "") {
            Some(NativeAnswer::Image(image)) => Some(image.size.width),
            _ => None,
        }
    }

    #[test]
    fn a_picture_answers_by_kind_type_and_size() {
        assert_eq!(picture(1, (0, 0), (0, 0), &[]), Some(80));
        assert_eq!(picture(0, (0, 0), (0, 0), &[]), Some(1200), "any kind: the first");
        assert_eq!(picture(2, (0, 0), (0, 0), &[]), None);
        assert_eq!(picture(3, (600, 315), (0, 0), &[]), Some(600));
        assert_eq!(picture(3, (600, 314), (0, 0), &[]), None, "a size without a minimum is exact");
        assert_eq!(picture(3, (600, 0), (0, 0), &[]), Some(600));
        assert_eq!(picture(3, (0, 0), (300, 150), &[]), Some(600), "the nearest above the minimum");
        assert_eq!(picture(3, (0, 0), (601, 150), &[]), Some(1200));
        assert_eq!(picture(3, (0, 0), (1201, 0), &[]), None);
        assert_eq!(picture(3, (1000, 500), (300, 150), &[]), Some(1200), "the nearest to the size wanted");
        assert_eq!(picture(3, (0, 0), (0, 0), &["image/jpg"]), Some(1200));
        assert_eq!(picture(3, (0, 0), (0, 0), &["image/png", "image/gif"]), None);
    }

    #[test]
    fn texts_answer_whole_or_not_at_all() {
        let title = |longest| {
            native_answer(&asset(true, NativeKind::Title { longest }), &ad(), "Sch\u{fc}he").is_some()
        };
        assert!(title(0) && title(6) && !title(5), "characters are counted, not bytes");
        let data = |kind, longest| match native_answer(
            &asset(true, NativeKind::Data { kind, longest }),
            &ad(),
            "",
        ) {
            Some(NativeAnswer::Data { value, .. }) => Some(value.chars().count()),
            _ => None,
        };
        assert_eq!(data(2, 0), Some(18));
        assert_eq!(data(2, 10), Some(5), "the first that is short enough");
        assert_eq!(data(2, 4), None);
        assert_eq!(data(1, 4), Some(4));
        assert_eq!((data(6, 0), data(12, 0)), (None, None), "an empty text is none");
    }

    #[test]
    fn all_that_is_required_is_answered_and_of_the_rest_what_can_be() {
        let ad = ad();
        let title = || asset(true, NativeKind::Title { longest: 25 });
        let film = |required| asset(required, NativeKind::Video);
        let sponsor = asset(false, NativeKind::Data { kind: 1, longest: 0 });
        let offered = slot(vec![film(false), title(), sponsor]);
        assert!(native_fits(&offered, &ad, "Shoes"));
        let answers: Vec<_> = native_answers(&offered, &ad, "Shoes").map(|(_, answer)| answer).collect();
        assert_eq!(
            answers,
            [NativeAnswer::Title("Shoes"), NativeAnswer::Data { kind: 1, value: "Sho\u{df}" }]
        );
        assert!(!native_fits(&slot(vec![title(), film(true)]), &ad, "Shoes"));
        assert!(!native_fits(&slot(vec![title()]), &ad, "A title of more than 25 letters"));
        assert!(!native_fits(&slot(vec![film(false)]), &ad, "Shoes"), "nothing to show");
        let uncounted = NativeSlot { image_tracker: false, ..slot(vec![title()]) };
        assert!(!native_fits(&uncounted, &ad, "Shoes"));
    }
}
