//! Whether other nodes' clocks agree with this one's.
//!
//! Each node says every second what time it is. A word is later than that by the way that it took, so what counts is the quickest of
//! many, beside this node's own that took the same way. A node that has much to pass on, as after it was cut off, is behind with it for a
//! while; one whose words are never newer has another clock, or is of as little use.

use std::collections::BTreeMap;
use std::time::Duration;

use haggle_domain::{NodeId, Timestamp};

/// So long are words compared; what both of the last two such times say holds.
const WINDOW: Duration = Duration::from_secs(30);
/// Clocks that differ by more are wrong.
const MOST: i64 = 10_000_000;

/// What was heard from one node.
#[derive(Clone, Copy, Debug, Default)]
struct Voice {
    /// By how many microseconds its quickest word was late: now, in the last time, and in the one before.
    now: Option<i64>,
    last: Option<i64>,
    before: Option<i64>,
    /// That it differs was said.
    said: bool,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Clocks {
    me: NodeId,
    ends: Timestamp,
    voices: BTreeMap<NodeId, Voice>,
}

impl Clocks {
    pub(super) fn new(me: NodeId) -> Self {
        Self { me, ends: Timestamp::default(), voices: BTreeMap::new() }
    }

    /// A node said at `said` by its clock that it is there. Gives those whose clocks were found to differ, and by how many seconds they
    /// are ahead.
    pub(super) fn hear(&mut self, node: NodeId, said: Timestamp, now: Timestamp) -> Vec<(NodeId, i64)> {
        let mut found = Vec::new();
        if now >= self.ends {
            self.ends = now + WINDOW;
            for voice in self.voices.values_mut() {
                (voice.before, voice.last) = (voice.last, voice.now.take());
            }
            self.voices.retain(|_, voice| voice.last.is_some() || voice.before.is_some());
            let ahead: Vec<_> = self.ahead().collect();
            for (node, micros) in ahead {
                let Some(voice) = self.voices.get_mut(&node) else { continue };
                let differs = micros.abs() > MOST;
                if differs && !voice.said {
                    found.push((node, micros / 1_000_000));
                }
                voice.said = differs;
            }
        }
        let late = now.0.saturating_sub(said.0);
        let voice = self.voices.entry(node).or_default();
        voice.now = Some(voice.now.map_or(late, |least| least.min(late)));
        found
    }

    /// By how much the clock differs that does most.
    pub(super) fn greatest(&self) -> Duration {
        let most = self.ahead().map(|(_, micros)| micros.unsigned_abs()).max();
        Duration::from_micros(most.unwrap_or_default())
    }

    /// By how many microseconds each other node's clock is ahead of this one's.
    fn ahead(&self) -> impl Iterator<Item = (NodeId, i64)> {
        let least = |voice: &Voice| Some(voice.last?.min(voice.before?));
        let own = self.voices.get(&self.me).and_then(least);
        let others = self.voices.iter().filter(|(node, _)| **node != self.me);
        others.filter_map(move |(node, voice)| Some((*node, own?.saturating_sub(least(voice)?))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: NodeId = NodeId(1);
    const OTHER: NodeId = NodeId(2);

    /// Two minutes in which all words take two seconds, and the other's clock is ahead by so many seconds. Gives what was found.
    fn minutes(clocks: &mut Clocks, from: i64, ahead: i64) -> Vec<(NodeId, i64)> {
        let at = |second: i64| Timestamp(second * 1_000_000);
        let seconds = from..from + 120;
        let heard = seconds.flat_map(|now| {
            let own = clocks.hear(ME, at(now - 2), at(now));
            own.into_iter().chain(clocks.hear(OTHER, at(now - 2 + ahead), at(now)))
        });
        heard.collect()
    }

    #[test]
    fn a_clock_that_differs_is_found_and_said_once() {
        for ahead in [-3600, -11, 11, 86_400] {
            let mut clocks = Clocks::new(ME);
            assert_eq!(minutes(&mut clocks, 1000, ahead), [(OTHER, ahead)]);
            assert_eq!(clocks.greatest(), Duration::from_secs(ahead.unsigned_abs()));
            assert_eq!(minutes(&mut clocks, 1120, ahead), []);
            // It was set right, and goes wrong again.
            assert_eq!(minutes(&mut clocks, 1240, 0), []);
            assert_eq!(clocks.greatest(), Duration::ZERO);
            assert_eq!(minutes(&mut clocks, 1360, ahead), [(OTHER, ahead)]);
        }
        let mut clocks = Clocks::new(ME);
        assert_eq!(minutes(&mut clocks, 1000, 9), []);
    }

    #[test]
    fn who_is_late_for_a_while_has_no_other_clock() {
        let mut clocks = Clocks::new(ME);
        let at = |second: i64| Timestamp(second * 1_000_000);
        for now in 1000..1300 {
            // For half a minute it passes on what it saw in the last hour.
            let late = if (1090..1120).contains(&now) { 3600 - 119 * (now - 1090) } else { 2 };
            let found = clocks.hear(ME, at(now - 2), at(now)).len()
                + clocks.hear(OTHER, at(now - late), at(now)).len();
            assert_eq!(found, 0, "{now}");
        }
        // Who says nothing any more is forgotten.
        for now in 1300..1400 {
            clocks.hear(ME, at(now - 2), at(now));
        }
        assert_eq!(clocks.voices.len(), 1);
    }
}
