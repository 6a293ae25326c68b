//! Until when it is known what happened: what the owner of a partition may take for granted that it was told.
//!
//! Each node says every second that all it saw before was passed on. A lease's reservations are released when that is later than its
//! expiry for every node, so no notice that came in time comes too late because of the way that it took. A node of which nothing was
//! heard for `grace` is not waited for. Time counts against nobody while the owner does not hear itself either: then it is the log that is
//! away.

use std::collections::BTreeMap;
use std::time::Duration;

use haggle_domain::{NodeId, Timestamp};

/// An owner that has not read its own words for this long knows of nobody whether they are silent.
const DEAF: Duration = Duration::from_secs(10);

/// What was heard of whom.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    me: NodeId,
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
    /// The owner `me` begins at `now`, where these nodes were ever heard of: each is waited for.
    pub fn new(me: NodeId, nodes: impl Iterator<Item = NodeId>, grace: Duration, now: Timestamp) -> Self {
        let nodes = nodes.map(|node| (node, Node { until: Timestamp::default(), at: now }));
        Self { me, nodes: nodes.collect(), grace }
    }

    /// A node says that all it saw before `until` was told; `now` is the owner's time.
    pub fn hear(&mut self, node: NodeId, until: Timestamp, now: Timestamp) {
        let was_deaf = node == self.me && self.is_deaf(now);
        let known = self.nodes.entry(node).or_insert(Node { until, at: now });
        known.until = known.until.max(until);
        known.at = known.at.max(now);
        if was_deaf {
            self.nodes.values_mut().for_each(|node| node.at = node.at.max(now));
        }
    }

    fn is_deaf(&self, now: Timestamp) -> bool {
        self.nodes.get(&self.me).is_none_or(|node| now.since(node.at) >= DEAF)
    }

    /// Everything that any node saw before that time was told.
    pub fn known_until(&self, now: Timestamp) -> Timestamp {
        if self.is_deaf(now) {
            return Timestamp::default();
        }
        let waited_for = self.nodes.values().filter(|node| now.since(node.at) < self.grace);
        waited_for.map(|node| node.until).min().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: NodeId = NodeId(1);

    fn second(second: i64) -> Timestamp {
        Timestamp(second * 1_000_000)
    }

    fn heard() -> Heard {
        Heard::new(ME, [ME, NodeId(2)].into_iter(), Duration::from_secs(60), second(100))
    }

    #[test]
    fn who_is_silent_is_waited_for_but_not_for_ever() {
        let mut heard = heard();
        let mut hear = |node: u64, until: i64, now: i64| {
            heard.hear(NodeId(node), second(until), second(now));
            heard.known_until(second(now))
        };
        assert_eq!(hear(1, 99, 101), Timestamp::default(), "the other may have seen anything");
        assert_eq!(hear(2, 90, 102), second(90));
        assert_eq!(hear(3, 95, 102), second(90));
        assert_eq!(hear(2, 80, 103), second(90), "what was told stays told");
        let mut known = second(90);
        for now in 104..163 {
            hear(3, now - 1, now);
            known = hear(1, now, now);
        }
        assert_eq!(known, second(90));
        assert_eq!(hear(1, 163, 163), second(161), "nothing was heard of it for a minute");
        assert_eq!(hear(2, 140, 164), second(140), "it is back");
    }

    #[test]
    fn nobodys_time_is_over_because_the_log_was_away() {
        let mut heard = heard();
        heard.hear(NodeId(2), second(100), second(101));
        heard.hear(ME, second(100), second(101));
        assert_eq!(heard.known_until(second(102)), second(100));
        // An hour without the log; then words come, first those of one other.
        assert_eq!(heard.known_until(second(3600)), Timestamp::default());
        heard.hear(NodeId(3), second(3590), second(3601));
        assert_eq!(heard.known_until(second(3601)), Timestamp::default(), "it has not heard itself");
        heard.hear(ME, second(3590), second(3602));
        assert_eq!(heard.known_until(second(3602)), second(100), "the other has yet to pass on what it saw");
        heard.hear(NodeId(2), second(3585), second(3610));
        assert_eq!(heard.known_until(second(3610)), second(3585));
    }
}
