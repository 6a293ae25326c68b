//! Rows to learn from, many at once: what readers of archives fill and trainers take.

/// One feature of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slot {
    /// Which of the schema's features it comes from, from 0; what field-aware models tell pairs apart by.
    pub field: u16,
    /// Which value it has: a hash that every table reduces to its own size.
    pub index: u32,
    /// How strongly: 1 for what is there or not. Finite.
    pub value: f32,
}

/// Some rows, one after the other. Reused from batch to batch, so that reading allocates nothing in steady state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Of each row 1 for a click and 0 for none.
    labels: Vec<f32>,
    /// Where each row's slots end.
    ends: Vec<u32>,
    slots: Vec<Slot>,
}

impl Batch {
    /// Takes all rows out.
    pub fn clear(&mut self) {
        self.labels.clear();
        self.ends.clear();
        self.slots.clear();
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Adds a slot to the row that [`Batch::end`] will end.
    #[inline]
    pub fn push(&mut self, slot: Slot) {
        self.slots.push(slot);
    }

    /// Ends a row.
    #[inline]
    pub fn end(&mut self, label: f32) {
        self.labels.push(label);
        self.ends.push(self.slots.len() as u32);
    }

    /// Drops the slots of a row that was begun and turns out to be bad.
    pub fn abandon(&mut self) {
        self.slots.truncate(self.ends.last().map_or(0, |end| *end as usize));
    }

    /// The labels of all rows: 1 for a click and 0 for none.
    pub fn labels(&self) -> &[f32] {
        &self.labels
    }

    /// The slots of the row at `at`, none where there is no such row.
    #[inline]
    pub fn slots(&self, at: usize) -> &[Slot] {
        let start = at.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |end| *end as usize);
        self.ends.get(at).and_then(|end| self.slots.get(start..*end as usize)).unwrap_or_default()
    }

    /// The rows in their order: label and slots.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = (f32, &[Slot])> {
        let mut start = 0;
        self.labels.iter().zip(&self.ends).map(move |(label, end)| {
            let from = std::mem::replace(&mut start, *end as usize);
            (*label, self.slots.get(from..*end as usize).unwrap_or_default())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_as_they_were_put_in_but_for_abandoned_ones() {
        let slot = |index| Slot { field: 0, index, value: 1.0 };
        let mut batch = Batch::default();
        batch.push(slot(1));
        batch.push(slot(2));
        batch.end(1.0);
        batch.push(slot(3));
        batch.abandon();
        batch.end(0.0);
        batch.push(slot(4));
        batch.end(0.0);
        let rows: Vec<_> = batch.rows().collect();
        assert_eq!(rows, [(1.0, &[slot(1), slot(2)][..]), (0.0, &[][..]), (0.0, &[slot(4)][..])]);
        batch.clear();
        assert!(batch.is_empty() && batch.rows().next().is_none());
    }
}
