//! Which laws hold, and what the user has said.

use super::lenient::{Sections, Statement};
use super::object::{Strict, object};
use crate::privacy::Signal;

object! {
    /// Regulations (section 3.2.3).
    pub(super) Regs<'a> {
        b"coppa" => pub(super) coppa: Signal,
        b"gdpr" => pub(super) gdpr: Signal,
        b"us_privacy" => pub(super) us_privacy: Statement<'a>,
        b"gpp" => pub(super) gpp: Statement<'a>,
        b"gpp_sid" => pub(super) gpp_sid: Sections,
        b"gpc" => pub(super) gpc: Signal,
        b"ext" => pub(super) ext: Strict<RegsExt<'a>>,
    }
}

object! {
    /// Where regulations stood before OpenRTB 2.6.
    pub(super) RegsExt<'a> {
        b"gdpr" => pub(super) gdpr: Signal,
        b"us_privacy" => pub(super) us_privacy: Statement<'a>,
        b"gpp" => pub(super) gpp: Statement<'a>,
        b"gpp_sid" => pub(super) gpp_sid: Sections,
        b"gpc" => pub(super) gpc: Signal,
    }
}
