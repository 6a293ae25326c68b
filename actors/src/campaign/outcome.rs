//! What a campaign's actor answers to a notice.

/// What became of a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It counted, and is durable.
    Accepted,
    /// It counted at the signed ceiling, because it asked for more.
    Capped,
    /// It had come before; nothing changed.
    Duplicate,
    /// It contradicts what came before (a bill after a loss, a loss after a bill, an impression of a lost bid, more orders
    /// than a click can bring); nothing changed.
    Conflict,
    /// It came too late; nothing changed.
    Expired,
    /// Not now: the actor or the journal has no room, or is starting. Nothing changed; it may come again.
    Busy,
}
