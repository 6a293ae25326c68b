//! Media types, under the names that requests use for them.

use crate::id::Tag;

/// Names in use for one and the same type, the registered one first.
const SYNONYMS: [[&str; 2]; 3] =
    [["image/jpeg", "image/jpg"], ["audio/mpeg", "audio/mp3"], ["audio/mp4", "audio/x-m4a"]];

/// The name by which `wanted` lists the media type `mime`, if it does. An empty list wants all, by their own names.
pub(super) fn name_in<'m>(wanted: &[Tag], mime: &'m str) -> Option<&'m str> {
    let listed = |name: &&str| wanted.contains(&Tag::of(name));
    if wanted.is_empty() || listed(&mime) {
        return Some(mime);
    }
    let names = SYNONYMS.iter().find(|names| names.iter().any(|name| name.eq_ignore_ascii_case(mime)))?;
    names.iter().copied().find(listed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_goes_by_the_name_that_the_request_knows() {
        let wanted = [Tag::of("IMAGE/JPG"), Tag::of("audio/mpeg")];
        for (mime, name) in [
            ("image/jpeg", Some("image/jpg")),
            ("image/JPG", Some("image/JPG")),
            ("audio/mp3", Some("audio/mpeg")),
            ("audio/mp4", None),
            ("video/mp4", None),
            ("", None),
        ] {
            assert_eq!(name_in(&wanted, mime), name, "{mime}");
        }
        assert_eq!(name_in(&[], "video/mp4"), Some("video/mp4"));
    }
}
