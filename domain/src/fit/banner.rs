//! Whether a linked image fits a banner's slot.

use super::mime::name_in;
use crate::id::Tag;
use crate::opportunity::{BannerSlot, Size};

/// Banner type of OpenRTB's `btype` (section 5.2 of OpenRTB 2.5): ours, HTML around an image.
const BANNER_HTML: u8 = 2;

/// What a slot takes that takes HTML.
const HTML: [&str; 4] = ["text/html", "application/xhtml+xml", "text/javascript", "application/javascript"];

/// Whether an `image` of this `size` fits: OpenRTB 2.6 section 3.2.6. A slot that lists media types fits if HTML is
/// among them, or what the image is by the end of its address.
pub fn banner_fits(slot: &BannerSlot, size: Size, image: &str) -> bool {
    let mime_fits = || {
        slot.mimes.is_empty()
            || HTML.iter().any(|html| slot.mimes.contains(&Tag::of(html)))
            || image_type(image).is_some_and(|mime| name_in(&slot.mimes, mime).is_some())
    };
    banner_has_room(slot, size) && mime_fits()
}

/// Whether a linked image of this size fits a slot that lists no media types.
pub fn banner_has_room(slot: &BannerSlot, size: Size) -> bool {
    let size_fits = slot.sizes.iter().any(|&room| {
        room == size || (slot.at_most && size.width <= room.width && size.height <= room.height)
    });
    size_fits && !slot.blocked_types.contains(BANNER_HTML)
}

/// The media type of an image, by the end of its address.
fn image_type(address: &str) -> Option<&'static str> {
    let path = address.split(['?', '#']).next()?;
    let (_, ending) = path.rsplit_once('.')?;
    let types = [
        ("jpg", "image/jpeg"),
        ("jpeg", "image/jpeg"),
        ("png", "image/png"),
        ("gif", "image/gif"),
        ("webp", "image/webp"),
        ("avif", "image/avif"),
        ("svg", "image/svg+xml"),
    ];
    types.iter().find(|(known, _)| known.eq_ignore_ascii_case(ending)).map(|&(_, mime)| mime)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes::Codes;

    const SIZE: Size = Size { width: 300, height: 250 };

    fn slot() -> BannerSlot {
        BannerSlot {
            sizes: [Size { width: 728, height: 90 }, SIZE].into_iter().collect(),
            ..BannerSlot::default()
        }
    }

    #[test]
    fn the_size_is_one_of_those_offered() {
        let image = "https://cdn.test/a.png";
        assert!(banner_fits(&slot(), SIZE, image));
        let smaller = Size { width: 300, height: 249 };
        assert!(!banner_fits(&slot(), smaller, image));
        let frame = BannerSlot { at_most: true, ..slot() };
        assert!(banner_fits(&frame, smaller, image));
        assert!(
            !banner_fits(&frame, Size { width: 301, height: 250 }, image),
            "one size has to hold both lengths"
        );
        assert!(!banner_fits(&BannerSlot::default(), SIZE, image));
    }

    #[test]
    fn blocked_banner_types_do_not_fit() {
        for (blocked, fits) in [(1, true), (2, false), (3, true), (4, true)] {
            let slot = BannerSlot { blocked_types: Codes::of(blocked), ..slot() };
            assert_eq!(banner_fits(&slot, SIZE, "https://cdn.test/a.png"), fits, "btype {blocked}");
        }
    }

    #[test]
    fn a_slot_for_images_takes_html_around_such_an_image() {
        let listing =
            |mimes: &[&str]| BannerSlot { mimes: mimes.iter().map(|mime| Tag::of(mime)).collect(), ..slot() };
        for (mimes, image, fits) in [
            (&["text/html"][..], "https://cdn.test/a", true),
            (&["image/jpg", "image/gif"], "https://cdn.test/a.JPEG?v=1.png", true),
            (&["image/jpg", "image/gif"], "https://cdn.test/a.png", false),
            (&["image/png"], "https://cdn.test/a", false),
            (&["application/x-shockwave-flash"], "https://cdn.test/a.png", false),
        ] {
            assert_eq!(banner_fits(&listing(mimes), SIZE, image), fits, "{mimes:?} {image}");
        }
    }
}
