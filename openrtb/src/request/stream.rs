//! Video and audio.

use std::borrow::Cow;

use super::deal::DurFloor;
use super::lenient::{Floor, Ints, Words};
use super::object::object;

object! {
    /// Video (section 3.2.7) or audio (section 3.2.8). Durations are in seconds.
    pub Stream<'a> {
        b"mimes" =>
        /// Media types that are wanted.
        pub mimes: Words<'a>,
        b"minduration" =>
        /// The shortest that fits.
        pub minduration: Option<i64>,
        b"maxduration" =>
        /// The longest that fits.
        pub maxduration: Option<i64>,
        b"rqddurs" =>
        /// The only durations that fit; empty for all between the two.
        pub rqddurs: Ints,
        b"startdelay" =>
        /// When in the content it starts: seconds, 0 before, -1 somewhere in the middle, -2 after.
        pub startdelay: Option<i64>,
        b"protocols" =>
        /// What the player understands (AdCOM list of creative subtypes for audio and video).
        pub protocols: Ints,
        b"protocol" =>
        /// The same, one alone: before OpenRTB 2.3.
        pub protocol: Option<i64>,
        b"w" =>
        /// The player's width.
        pub w: Option<i64>,
        b"h" =>
        /// The player's height.
        pub h: Option<i64>,
        b"placement" =>
        /// How it shows, by the older list.
        pub placement: Option<i64>,
        b"plcmt" =>
        /// How it shows, by the newer list.
        pub plcmt: Option<i64>,
        b"linearity" =>
        /// 1 in the stream, 2 over it.
        pub linearity: Option<i64>,
        b"skip" =>
        /// Whether the player lets the user skip.
        pub skip: Option<i64>,
        b"battr" =>
        /// Creative attributes that are not wanted.
        pub battr: Ints,
        b"api" =>
        /// Frameworks that the player supports.
        pub api: Ints,
        b"minbitrate" =>
        /// The least bit rate, in kilobits a second.
        pub minbitrate: Option<i64>,
        b"maxbitrate" =>
        /// The most, in kilobits a second.
        pub maxbitrate: Option<i64>,
        b"pos" =>
        /// Position on the screen.
        pub pos: Option<i64>,
        b"podid" =>
        /// The pod that it is part of.
        pub podid: Cow<'a, str>,
        b"podseq" =>
        /// Which of the content's pods that is.
        pub podseq: Option<i64>,
        b"poddur" =>
        /// How long the pod is.
        pub poddur: Option<i64>,
        b"maxseq" =>
        /// How many ads the pod takes.
        pub maxseq: Option<i64>,
        b"slotinpod" =>
        /// Which places in the pod are for sale.
        pub slotinpod: Option<i64>,
        b"mincpmpersec" =>
        /// The least price for each second.
        pub mincpmpersec: Floor,
        b"durfloors" =>
        /// Floors for some durations; elements that are no objects are left out.
        pub durfloors: Vec<DurFloor>,
        b"poddedupe" =>
        /// What must not come twice in a pod (AdCOM list of pod deduplication settings).
        pub poddedupe: Ints,
        b"ext" => pub(super) ext: StreamExt,
    }
}

object! {
    /// What exchanges add to a video, as far as it is read.
    pub(super) StreamExt {
        b"rewarded" => pub(super) rewarded: bool,
    }
}
