//! The price axis: buckets evenly spaced in the logarithm.

use std::sync::LazyLock;

use haggle_domain::CpmMicros;

/// Buckets from [`LOWEST`] to [`HIGHEST`]: each 2.6 % wide, which is the most that a bid at a bucket's upper edge overpays.
pub const BUCKETS: usize = 384;
/// Currency units per thousand impressions.
pub const LOWEST: f64 = 0.01;
/// The same; what is dearer counts as this.
pub const HIGHEST: f64 = 200.0;

/// The upper edges of the buckets, in currency units per thousand. Worked out once: a power a bucket and candidate was
/// most of a first-price ranking's time.
pub static EDGES: LazyLock<[f64; BUCKETS]> = LazyLock::new(|| {
    std::array::from_fn(|bucket| LOWEST * (HIGHEST / LOWEST).powf((bucket + 1) as f64 / BUCKETS as f64))
});

/// The edges as bids have them: rounded down to what one impression can cost. At low prices several are the same bid.
static BIDS: LazyLock<[CpmMicros; BUCKETS]> = LazyLock::new(|| EDGES.map(CpmMicros::from_f64_rounded_down));

/// The bucket that holds a price: the first whose edge, as a bid, reaches it.
pub fn bucket(price: CpmMicros) -> usize {
    BIDS.partition_point(|bid| *bid < price).min(BUCKETS - 1)
}

/// How many buckets a bid beats, in 0..=[`BUCKETS`]: those up to its edge, since most bids are edges, or up to the nearest.
pub fn beaten(bid: CpmMicros) -> usize {
    let beaten = BIDS.partition_point(|edge| *edge <= bid);
    let Some(below) = beaten.checked_sub(1).and_then(|at| BIDS.get(at)) else { return beaten };
    match BIDS.get(beaten) {
        Some(above) if *below < bid && bid.to_f64().powi(2) > below.to_f64() * above.to_f64() => {
            BIDS.partition_point(|edge| edge <= above)
        }
        _ => beaten,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bid_of_an_edge_beats_the_prices_of_its_bucket_and_no_more() {
        for edge in EDGES.iter() {
            let bid = CpmMicros::from_f64_rounded_down(*edge);
            assert!(bucket(bid) < beaten(bid), "{edge}");
            let more = CpmMicros(bid.0 + 1);
            assert!(bucket(more) >= beaten(bid) || bid == BIDS[BUCKETS - 1], "{edge}");
        }
        assert_eq!((beaten(CpmMicros(1)), bucket(CpmMicros(1))), (0, 0));
        assert_eq!((beaten(CpmMicros(i64::MAX)), bucket(CpmMicros(i64::MAX))), (BUCKETS, BUCKETS - 1));
        assert_eq!((beaten(CpmMicros(-1)), bucket(CpmMicros(-1))), (0, 0));
    }

    #[test]
    fn a_bid_between_two_edges_counts_for_the_nearer_one() {
        let (low, high) = (EDGES[200], EDGES[201]);
        let at = |share: f64| beaten(CpmMicros::from_f64_rounded_down(low * (high / low).powf(share)));
        assert_eq!([at(0.2), at(0.8)], [201, 202]);
    }
}
