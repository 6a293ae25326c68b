//! The IAB's Global Privacy Platform: the header of a GPP string, and the sections that it lists.

use haggle_domain::{Basis, BasisSource};

use super::bits::{Bits, MAX_BYTES};
use super::{Verdict, stricter, us};

/// The section with a TC string of the European Union.
const TCF_EU: u32 = 2;

/// The section with a US Privacy String.
const US_PRIVACY: u32 = 6;

/// What a GPP string says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Platform<'a> {
    /// What the sections in force allow that are not Europe's. Where the string or one of them cannot be read: nothing.
    pub(super) us: Verdict,
    /// The TC string, in force or not; empty where there is none.
    pub(super) consent: &'a str,
    /// The TC string is said to be in force.
    pub(super) gdpr_in_force: bool,
    /// There is a TC string, and nothing is said of what is in force.
    pub(super) hints_at_gdpr: bool,
}

/// Reads `regs.gpp` by `regs.gpp_sid`. Where that names no section (absent, or -1 for "none applies"), every section
/// counts: a user's refusal is not to be lost over a list that somebody forgot.
pub(super) fn read<'a>(gpp: &'a str, gpp_sid: &[i64]) -> Platform<'a> {
    let silent = (Basis::ALL, BasisSource::NoSignal);
    let mut platform = Platform { us: silent, consent: "", gdpr_in_force: false, hints_at_gdpr: false };
    if platform.read(gpp, gpp_sid).is_none() {
        platform.us = (Basis::NONE, BasisSource::GppUnreadable);
    }
    platform
}

impl<'a> Platform<'a> {
    fn read(&mut self, gpp: &'a str, gpp_sid: &[i64]) -> Option<()> {
        let in_force = named(gpp_sid)?;
        if gpp.is_empty() {
            return (in_force == 0).then_some(());
        }
        let mut missing = in_force;
        for section in Sections::of(gpp)? {
            let (id, text) = section.ok()?;
            let bit = 1_u64.checked_shl(id).unwrap_or(0);
            missing &= !bit;
            if id == TCF_EU {
                self.consent = text;
                self.gdpr_in_force = in_force & bit != 0;
                self.hints_at_gdpr = in_force == 0;
            } else if in_force == 0 || in_force & bit != 0 {
                let read = if id == US_PRIVACY { us::privacy_string(text) } else { us::section(id, text) };
                self.us = stricter(self.us, read?);
            }
        }
        (missing == 0).then_some(())
    }
}

/// The sections that `gpp_sid` names, as bits; `None` where one is beyond any that exists.
fn named(gpp_sid: &[i64]) -> Option<u64> {
    gpp_sid
        .iter()
        .filter(|&&id| id > 0)
        .try_fold(0, |named, &id| Some(named | 1_u64.checked_shl(u32::try_from(id).ok()?)?))
}

/// The sections of a GPP string ("Global Privacy Platform String", version 1), in its order: id and text. An error ends
/// them, also where texts and ids do not come out even.
struct Sections<'a> {
    header: Bits<'a>,
    /// Entries of the header's range to come.
    entries: u64,
    /// Ids of the current group to come.
    group: u32,
    id: u32,
    texts: std::str::Split<'a, char>,
}

/// The string is no GPP string, or ends too early or too late.
struct Unreadable;

impl<'a> Sections<'a> {
    fn of(text: &'a str) -> Option<Self> {
        if text.len() > MAX_BYTES {
            return None;
        }
        let mut texts = text.split('~');
        let mut header = Bits::of(texts.next()?)?;
        let (kind, version) = (header.take(6)?, header.take(6)?);
        if (kind, version) != (3, 1) {
            return None;
        }
        let entries = header.take(12)?;
        Some(Self { header, entries, group: 0, id: 0, texts })
    }

    /// The next id ("Range (Fibonacci)"): offsets to the last one, so ids ascend and none comes twice.
    fn id(&mut self) -> Option<u32> {
        if self.group > 0 {
            self.group -= 1;
            self.id += 1;
        } else {
            self.entries -= 1;
            let is_group = self.header.flag()?;
            self.id += self.header.fibonacci()?;
            if is_group {
                self.group = self.header.fibonacci()?;
            }
        }
        Some(self.id)
    }
}

impl<'a> Iterator for Sections<'a> {
    type Item = Result<(u32, &'a str), Unreadable>;

    fn next(&mut self) -> Option<Self::Item> {
        let text = self.texts.next();
        if self.entries == 0 && self.group == 0 {
            return text.map(|_| Err(Unreadable));
        }
        let section = text.and_then(|text| Some((self.id()?, text)));
        if section.is_none() {
            (self.entries, self.group) = (0, 0);
        }
        Some(section.ok_or(Unreadable))
    }
}
