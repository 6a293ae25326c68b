//! Until when it is known what happened: what the owner of a partition may take for granted that it was told.
//!
//! Each node says every second that all it saw before was passed on. A lease's reservations are released when that is later than its
//! expiry for every node, so no notice that came in time comes too late because of the way that it took. A node of which nothing was
//! heard for `grace` is not waited for.

use std::collections::BTreeMap;
use std::time::Duration;

use haggle_domain::{NodeId, Timestamp};

/// What was heard of whom.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    nodes: BTreeMap<NodeId, Node>,
    grace: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    /// All that it saw before was told.
    until: Timestamp,
    /// When that was heard, by the owner's clock.
    at: Timestamp,
}

impl Heard {
    /// An owner that begins at `now`, where these nodes were ever heard of: each is waited for.
    pub fn new(nodes: impl Iterator<Item = NodeId>, grace: Duration, now: Timestamp) -> Self {
        let nodes = nodes.map(|node| (node, Node { until: Timestamp::default(), at: now }));
        Self { nodes: nodes.collect(), grace }
    }

    /// A node says that all it saw before `until` was told; `now` is the owner's time.
    pub fn hear(&mut self, node: NodeId, until: Timestamp, now: Timestamp) {
        let known = self.nodes.entry(node).or_insert(Node { until, at: now });
        known.until = known.until.max(until);
        known.at = known.at.max(now);
    }

    /// Everything that any node saw before that time was told.
    pub fn known_until(&self, now: Timestamp) -> Timestamp {
        let waited_for = self.nodes.values().filter(|node| now.since(node.at) < self.grace);
        waited_for.map(|node| node.until).min().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_silent_is_waited_for_but_not_for_ever() {
        let second = |second: i64| Timestamp(second * 1_000_000);
        let mut heard = Heard::new([NodeId(1), NodeId(2)].into_iter(), Duration::from_secs(60), second(100));
        heard.hear(NodeId(1), second(99), second(101));
        assert_eq!(heard.known_until(second(101)), Timestamp::default(), "the other may have seen anything");
        heard.hear(NodeId(2), second(90), second(102));
        heard.hear(NodeId(3), second(95), second(102));
        assert_eq!(heard.known_until(second(102)), second(90));
        heard.hear(NodeId(2), second(80), second(103));
        assert_eq!(heard.known_until(second(103)), second(90), "what was told stays told");
        heard.hear(NodeId(3), second(160), second(161));
        heard.hear(NodeId(1), second(150), second(162));
        assert_eq!(heard.known_until(second(162)), second(90));
        assert_eq!(heard.known_until(second(163)), second(150), "nothing was heard of it for a minute");
        heard.hear(NodeId(2), second(140), second(164));
        assert_eq!(heard.known_until(second(164)), second(140), "it is back");
    }
}
