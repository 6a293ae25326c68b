//! Products of small dense matrices, row after row in memory.

/// Columns that are worked on at once.
pub(crate) const PANEL: usize = 16;

/// `c = a · b`: `a` has rows of `inner` numbers, `b` has `inner` rows of `columns`, a multiple of [`PANEL`], and `c` as
/// many rows as `a`, of `columns`. Every number of `c` is one sum in the order of `inner`. `panel` is working memory.
#[inline(always)]
pub(crate) fn multiply(
    a: &[f32],
    inner: usize,
    b: &[f32],
    columns: usize,
    c: &mut [f32],
    panel: &mut Vec<[f32; PANEL]>,
) {
    debug_assert!(columns.is_multiple_of(PANEL) && b.len() == inner * columns);
    for column in (0..columns).step_by(PANEL) {
        // The columns' part of `b` side by side: it is run through once for each four rows.
        panel.clear();
        panel.extend(b.chunks_exact(columns).filter_map(|row| row.get(column..)?.first_chunk::<PANEL>()));
        let mut fours = a.chunks_exact(4 * inner);
        let mut targets = c.chunks_exact_mut(4 * columns);
        for (a, c) in fours.by_ref().zip(targets.by_ref()) {
            let (ab, cd) = a.split_at(2 * inner);
            let (a, b) = ab.split_at(inner);
            let (e, d) = cd.split_at(inner);
            let sums = four(panel, [a, b, e, d]);
            for (row, sums) in c.chunks_exact_mut(columns).zip(&sums) {
                row[column..column + PANEL].copy_from_slice(sums);
            }
        }
        let rest = fours.remainder().chunks_exact(inner);
        for (a, c) in rest.zip(targets.into_remainder().chunks_exact_mut(columns)) {
            c[column..column + PANEL].copy_from_slice(&one(panel, a));
        }
    }
}

#[inline(always)]
pub(crate) fn four(panel: &[[f32; PANEL]], [a, b, c, d]: [&[f32]; 4]) -> [[f32; PANEL]; 4] {
    let mut sums = [[0.0; PANEL]; 4];
    for ((((row, a), b), c), d) in panel.iter().zip(a).zip(b).zip(c).zip(d) {
        for lane in 0..PANEL {
            sums[0][lane] += a * row[lane];
            sums[1][lane] += b * row[lane];
            sums[2][lane] += c * row[lane];
            sums[3][lane] += d * row[lane];
        }
    }
    sums
}

#[inline(always)]
pub(crate) fn one(panel: &[[f32; PANEL]], a: &[f32]) -> [f32; PANEL] {
    let mut sums = [0.0; PANEL];
    for (row, a) in panel.iter().zip(a) {
        for lane in 0..PANEL {
            sums[lane] += a * row[lane];
        }
    }
    sums
}

/// `to` becomes `from`, of rows of `columns`, with rows and columns exchanged.
#[inline(always)]
pub(crate) fn transpose(from: &[f32], columns: usize, to: &mut Vec<f32>) {
    let rows = from.len() / columns;
    to.clear();
    to.resize(from.len(), 0.0);
    for (at, row) in from.chunks_exact(columns).enumerate() {
        for (number, place) in row.iter().zip(to.iter_mut().skip(at).step_by(rows)) {
            *place = *number;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn products_are_those_of_the_definition(
            rows in 0usize..11, inner in 1usize..20, panels in 1usize..4, seed in any::<u32>(),
        ) {
            let columns = panels * PANEL;
            let number = |at: usize| ((at as u32).wrapping_mul(2_654_435_761).wrapping_add(seed) >> 20) as f32 / 2048.0 - 1.0;
            let a: Vec<f32> = (0..rows * inner).map(number).collect();
            let b: Vec<f32> = (0..inner * columns).map(|at| number(at + 7)).collect();
            let mut c = vec![f32::NAN; rows * columns];
            multiply(&a, inner, &b, columns, &mut c, &mut Vec::new());
            let (mut turned, mut back) = (Vec::new(), Vec::new());
            transpose(&b, columns, &mut turned);
            transpose(&turned, inner, &mut back);
            prop_assert_eq!(&b, &back);
            for row in 0..rows {
                for column in 0..columns {
                    let expected: f32 = (0..inner).map(|at| a[row * inner + at] * turned[column * inner + at]).sum();
                    prop_assert!((c[row * columns + column] - expected).abs() < 1e-4);
                }
            }
        }
    }
}
