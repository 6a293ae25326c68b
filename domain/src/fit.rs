//! Placeholder until the real one is merged.
use crate::creative::{Creative, Format};
use crate::opportunity::Opportunity;

/// How a creative fills an imp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fit {
    /// Format.
    pub format: Format,
    /// Seconds.
    pub duration: u32,
}

/// Whether it fits.
pub fn fits(creative: &Creative, opportunity: &Opportunity) -> Option<Fit> {
    let slot = opportunity.banner.as_ref()?;
    slot.sizes.contains(&creative.banner_size()).then_some(Fit { format: creative.format(), duration: 0 })
}
