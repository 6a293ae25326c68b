//! Chance as an argument.

use crate::id::Tag;

/// A random draw that can be made again: a hash of (salt, request id, imp id), so any bid replays from its log.
///
/// Each use names its own stream, so adding a draw somewhere never changes the draws elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw(u64);

/// The uses of a draw. A new use gets a new number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Stream {
    /// Which creative is shown.
    Creative = 1,
    /// Probabilistic throttling by pacing.
    Throttle = 2,
    /// Order among candidates of equal worth.
    Tie = 3,
    /// Whether the bid is written to the bid log.
    Sample = 4,
    /// Where the walk through campaigns of equal class begins.
    Walk = 5,
    /// Whether and of which campaigns the imp says what became of them.
    Explain = 6,
    /// Whether the imp adds to what campaigns are expected to bid.
    Observe = 7,
    /// Whether and how far a campaign bids above what the prediction says.
    Explore = 9,
    /// Whether the imp's prices are tried out, and by how much they are changed.
    Price = 12,
}

/// SplitMix64's output function (Steele, Lea, Flood 2014): every input bit changes every output bit.
pub const fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

impl Draw {
    /// The draw of one imp of one request.
    pub fn new(salt: u64, request_id: &str, imp_id: &str) -> Self {
        Self(mix(mix(salt ^ Tag::of(request_id).0).wrapping_add(Tag::of(imp_id).0)))
    }

    /// 64 uniform bits for one use; `index` tells apart, for example, candidates.
    pub fn bits(self, stream: Stream, index: u64) -> u64 {
        mix(self.0 ^ mix((stream as u64) << 56 ^ index).wrapping_add(0x9e37_79b9_7f4a_7c15))
    }

    /// Uniform in `[0, 1)` for one use.
    pub fn uniform(self, stream: Stream, index: u64) -> f64 {
        // 53 bits: all that fit a double's mantissa.
        (self.bits(stream, index) >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_uniform_and_repeatable() {
        let mut sum = 0.0;
        let mut below_tenth = 0;
        for i in 0..100_000 {
            let draw = Draw::new(7, &format!("request-{i}"), "1");
            let value = draw.uniform(Stream::Creative, 0);
            assert_eq!(value.to_bits(), draw.uniform(Stream::Creative, 0).to_bits());
            assert!((0.0..1.0).contains(&value));
            sum += value;
            below_tenth += i32::from(value < 0.1);
        }
        assert!((sum / 1e5 - 0.5).abs() < 0.005, "mean {}", sum / 1e5);
        assert!((below_tenth - 10_000).abs() < 400, "below a tenth: {below_tenth}");
    }

    #[test]
    fn streams_and_imps_are_independent() {
        let a = Draw::new(7, "request", "1");
        assert_ne!(a.bits(Stream::Creative, 0), a.bits(Stream::Throttle, 0));
        assert_ne!(a.bits(Stream::Creative, 0), a.bits(Stream::Creative, 1));
        assert_ne!(a, Draw::new(7, "request", "2"));
        assert_ne!(a, Draw::new(8, "request", "1"));
    }
}
