//! Dense layers, laid out as they are run through.

use crate::offline::matrix::PANEL;

/// A matrix cut into panels of some columns, of which each lies side by side.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Matrix {
    pub(super) inputs: usize,
    pub(super) units: usize,
    /// By panel, by input.
    numbers: Vec<[f32; PANEL]>,
}

/// A layer behind the first: a matrix, a shift, ReLU or nothing.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Layer {
    pub(super) matrix: Matrix,
    pub(super) shift: Vec<f32>,
    /// Whether what is below 0 becomes 0.
    pub(super) rectified: bool,
}

impl Matrix {
    /// Of rows for each input; `units` is a multiple of [`PANEL`].
    pub(super) fn new(rows: &[f32], inputs: usize, units: usize) -> Self {
        debug_assert!(units.is_multiple_of(PANEL) && rows.len() == inputs * units);
        let panel = |column| {
            rows.chunks_exact(units.max(1)).filter_map(move |row| row.get(column..)?.first_chunk::<PANEL>())
        };
        let numbers = (0..units).step_by(PANEL).flat_map(panel).copied().collect();
        Self { inputs, units, numbers }
    }

    pub(super) fn len(&self) -> usize {
        self.numbers.len() * PANEL
    }

    /// The panels, first columns first; none where there are no inputs.
    #[inline(always)]
    pub(super) fn panels(&self) -> impl Iterator<Item = &[[f32; PANEL]]> {
        self.numbers.chunks_exact(self.inputs.max(1))
    }

    /// All numbers, input by input.
    pub(super) fn numbers(&self) -> impl Iterator<Item = &f32> {
        let panels = move |input: usize| self.panels().filter_map(move |panel| panel.get(input)).flatten();
        (0..self.inputs).flat_map(panels)
    }
}
