//! Marks on rows. What a mark means is said by the field that holds it: `missing` (a value), `absent` (a modality, or
//! a member's prediction). The three never merge.

/// One mark a row; `true` marks it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mask {
    marks: Vec<bool>,
    /// How many are set, so that none is known at once.
    set: usize,
}

impl Mask {
    /// `rows` rows, none marked.
    pub fn none(rows: usize) -> Self {
        Self { marks: vec![false; rows], set: 0 }
    }

    /// The marks as given, one a row.
    pub fn from_marks(marks: Vec<bool>) -> Self {
        let set = marks.iter().filter(|m| **m).count();
        Self { marks, set }
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.marks.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// Whether `row` is marked; a row that does not exist is not.
    pub fn is_set(&self, row: usize) -> bool {
        self.marks.get(row).copied().unwrap_or(false)
    }

    /// Marks `row`.
    pub fn set(&mut self, row: usize, mark: bool) {
        if let Some(m) = self.marks.get_mut(row) {
            self.set = self.set - usize::from(*m) + usize::from(mark);
            *m = mark;
        }
    }

    /// Adds a row.
    pub fn push(&mut self, mark: bool) {
        self.marks.push(mark);
        self.set += usize::from(mark);
    }

    /// Whether any row is marked.
    pub fn any(&self) -> bool {
        self.set > 0
    }

    /// How many rows are marked.
    pub fn count(&self) -> usize {
        self.set
    }

    /// The marks, one a row.
    pub fn marks(&self) -> &[bool] {
        &self.marks
    }

    /// The marks of `rows`, in that order; `rows` must exist.
    #[must_use]
    pub fn take(&self, rows: &[usize]) -> Self {
        rows.iter().map(|&r| self.is_set(r)).collect()
    }
}

impl FromIterator<bool> for Mask {
    fn from_iter<I: IntoIterator<Item = bool>>(iter: I) -> Self {
        Self::from_marks(iter.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_counted_however_they_came() {
        let mut mask = Mask::none(3);
        assert!(!mask.any());
        mask.set(1, true);
        mask.set(1, true);
        mask.set(9, true);
        mask.push(true);
        assert_eq!((mask.count(), mask.marks()), (2, [false, true, false, true].as_slice()));
        mask.set(1, false);
        assert_eq!(mask, Mask::from_marks(vec![false, false, false, true]));
        assert!(mask.any() && !mask.take(&[0, 2]).any());
        assert_eq!([true, false, true].into_iter().collect::<Mask>().count(), 2);
    }
}
