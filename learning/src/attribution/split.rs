//! An amount, in parts that sum to it exactly.

use haggle_domain::Micros;

/// One as it is weighed: shares are rounded to multiples of 2⁻⁴⁰, and everything after that is exact.
const ONE: f64 = (1u64 << 40) as f64;

/// Splits an amount by weights (not negative, at least one above 0; others count as 0) by largest remainders (Hamilton's
/// method; Balinski and Young, *Fair Representation*, 1982): each part is what is due, rounded down, and what is left goes, a
/// micro each, to those that lost most by that, earlier places first. An amount below 0 is split as nothing.
pub fn split(amount: Micros, weights: &[f64]) -> Vec<Micros> {
    let amount = u128::from(amount.0.max(0).cast_unsigned());
    let largest = weights.iter().copied().filter(|weight| weight.is_finite()).fold(0.0, f64::max);
    let weigh = |weight: &f64| {
        let usable = weight.is_finite() && *weight > 0.0;
        if usable { (weight / largest * ONE).round() as u128 } else { 0 }
    };
    let mut weighed: Vec<u128> = weights.iter().map(weigh).collect();
    let mut total: u128 = weighed.iter().sum();
    if total == 0 {
        weighed.iter_mut().for_each(|weight| *weight = 1);
        total = weighed.len() as u128;
    }
    if total == 0 {
        return Vec::new();
    }
    let mut parts: Vec<u128> = weighed.iter().map(|weight| amount * weight / total).collect();
    let left = amount.saturating_sub(parts.iter().sum());
    let mut places: Vec<usize> = (0..parts.len()).collect();
    // Stable, so that earlier places go first among equals.
    places.sort_by_key(|&place| {
        std::cmp::Reverse(weighed.get(place).map_or(0, |weight| amount * weight % total))
    });
    for place in places.into_iter().take(usize::try_from(left).unwrap_or(0)) {
        if let Some(part) = parts.get_mut(place) {
            *part += 1;
        }
    }
    // No part is larger than the amount.
    parts.into_iter().map(|part| Micros(i64::try_from(part).unwrap_or(i64::MAX))).collect()
}
