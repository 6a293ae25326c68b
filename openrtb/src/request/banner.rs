//! Banners.

use std::borrow::Cow;

use super::lenient::{Ints, Words};
use super::object::object;

object! {
    /// A banner (section 3.2.6).
    pub Banner<'a> {
        b"id" =>
        /// Unique within the imp.
        pub id: Cow<'a, str>,
        b"w" =>
        /// Exact width, where there is no `format`.
        pub w: Option<i64>,
        b"h" =>
        /// Exact height, where there is no `format`.
        pub h: Option<i64>,
        b"format" =>
        /// Sizes that fit; elements that are no objects are left out.
        pub format: Vec<Format>,
        b"pos" =>
        /// Position on the screen.
        pub pos: Option<i64>,
        b"btype" =>
        /// Banner types that are not wanted.
        pub btype: Ints,
        b"battr" =>
        /// Creative attributes that are not wanted.
        pub battr: Ints,
        b"mimes" =>
        /// Media types that are wanted; empty for any.
        pub mimes: Words<'a>,
        b"api" =>
        /// Frameworks that the slot supports.
        pub api: Ints,
        b"expdir" =>
        /// Directions in which it may expand.
        pub expdir: Ints,
        b"topframe" =>
        /// In the page itself, not in a frame.
        pub topframe: bool,
        b"vcm" =>
        /// As a companion: 0 beside the video, 1 in its end frame.
        pub vcm: Option<i64>,
    }
}

object! {
    /// A size, or a proportion, of a banner (section 3.2.10).
    pub Format {
        b"w" =>
        /// Width.
        pub w: Option<i64>,
        b"h" =>
        /// Height.
        pub h: Option<i64>,
        b"wratio" =>
        /// Proportional width of a flexible ad.
        pub wratio: Option<i64>,
        b"hratio" =>
        /// Proportional height of a flexible ad.
        pub hratio: Option<i64>,
    }
}
