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

/// Rows of one kind, one after the other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// Of each row 1 or 0.
    labels: Vec<f32>,
    /// Where each row's slots end.
    ends: Vec<u32>,
    slots: Vec<Slot>,
}

impl Rows {
    fn clear(&mut self) {
        self.labels.clear();
        self.ends.clear();
        self.slots.clear();
    }

    fn end(&mut self, label: f32) {
        self.labels.push(label);
        self.ends.push(self.slots.len() as u32);
    }

    /// Where the slots begin that no row has yet.
    fn begun(&self) -> usize {
        self.ends.last().map_or(0, |end| *end as usize)
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The labels of all rows: 1 for what happened, 0 for what did not.
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

/// Some rows of impressions, and apart from them rows of clicks that say whether an order followed. Reused from batch to
/// batch, so that reading allocates nothing in steady state.
///
/// All but what is named after conversions speaks of the impressions alone: who knows nothing of orders neither learns nor
/// judges them by mistake.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    clicks: Rows,
    conversions: Rows,
}

impl Batch {
    /// Takes all rows out.
    pub fn clear(&mut self) {
        self.clicks.clear();
        self.conversions.clear();
    }

    /// How many impressions there are.
    pub fn len(&self) -> usize {
        self.clicks.len()
    }

    /// Whether there is no impression.
    pub fn is_empty(&self) -> bool {
        self.clicks.is_empty()
    }

    /// Adds a slot to the row that [`Batch::end`] or [`Batch::end_conversion`] will end.
    #[inline]
    pub fn push(&mut self, slot: Slot) {
        self.clicks.slots.push(slot);
    }

    /// Ends an impression's row: 1 if it was clicked, 0 if not.
    #[inline]
    pub fn end(&mut self, label: f32) {
        self.clicks.end(label);
    }

    /// Ends a click's row: 1 if an order followed, 0 if none did.
    pub fn end_conversion(&mut self, label: f32) {
        let begun = self.clicks.begun();
        self.conversions.slots.extend(self.clicks.slots.drain(begun..));
        self.conversions.end(label);
    }

    /// Adds a click's row with the slots of the impression that was ended last.
    pub fn repeat_as_conversion(&mut self, label: f32) {
        let last = self.clicks.len().saturating_sub(1);
        self.conversions.slots.extend_from_slice(self.clicks.slots(last));
        self.conversions.end(label);
    }

    /// Drops the slots of a row that was begun and turns out to be bad.
    pub fn abandon(&mut self) {
        self.clicks.slots.truncate(self.clicks.begun());
    }

    /// The labels of all impressions: 1 for a click and 0 for none.
    pub fn labels(&self) -> &[f32] {
        self.clicks.labels()
    }

    /// The slots of the impression at `at`, none where there is no such row.
    #[inline]
    pub fn slots(&self, at: usize) -> &[Slot] {
        self.clicks.slots(at)
    }

    /// The impressions in their order: label and slots.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = (f32, &[Slot])> {
        self.clicks.rows()
    }

    /// The impressions.
    pub fn clicks(&self) -> &Rows {
        &self.clicks
    }

    /// The clicks, with whether an order followed.
    pub fn conversions(&self) -> &Rows {
        &self.conversions
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
    #[test]
    fn rows_of_clicks_stand_apart() {
        let slot = |index| Slot { field: 0, index, value: 1.0 };
        let mut batch = Batch::default();
        batch.push(slot(1));
        batch.end(1.0);
        batch.repeat_as_conversion(0.0);
        batch.push(slot(2));
        batch.push(slot(3));
        batch.end_conversion(1.0);
        batch.push(slot(4));
        batch.abandon();
        batch.push(slot(5));
        batch.end(0.0);
        assert_eq!(batch.rows().collect::<Vec<_>>(), [(1.0, &[slot(1)][..]), (0.0, &[slot(5)][..])]);
        let clicks: Vec<_> = batch.conversions().rows().collect();
        assert_eq!(clicks, [(0.0, &[slot(1)][..]), (1.0, &[slot(2), slot(3)][..])]);
        assert_eq!(
            (batch.len(), batch.labels(), batch.conversions().slots(1).len()),
            (2, &[1.0, 0.0][..], 2)
        );
        batch.clear();
        assert!(batch.conversions().is_empty());
    }
}
