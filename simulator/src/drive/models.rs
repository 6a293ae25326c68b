//! Models that were trained elsewhere and are tried in a world.

use std::fmt;
use std::sync::Arc;

use haggle_learning::{Guest, Role};

/// Models that are asked beside the one that learns while it bids, and whom each serves.
#[derive(Clone, Default)]
pub struct Models(pub Vec<(Arc<Guest>, Role)>);

impl fmt::Debug for Models {
    /// Their names: what they hold is long, and of one name always the same.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(guest, role)| (guest.id(), role))).finish()
    }
}
