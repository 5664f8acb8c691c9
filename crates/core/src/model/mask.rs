//! Marks on rows. What a mark means is said by the field that holds it: `missing` (a value), `absent` (a modality, or
//! a member's prediction). The three never merge.

/// One mark a row; `true` marks it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mask(Vec<bool>);

impl Mask {
    /// `rows` rows, none marked.
    pub fn none(rows: usize) -> Self {
        Self(vec![false; rows])
    }

    /// The marks as given, one a row.
    pub fn from_marks(marks: Vec<bool>) -> Self {
        Self(marks)
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `row` is marked; a row that does not exist is not.
    pub fn is_set(&self, row: usize) -> bool {
        self.0.get(row).copied().unwrap_or(false)
    }

    /// Marks `row`.
    pub fn set(&mut self, row: usize, mark: bool) {
        if let Some(m) = self.0.get_mut(row) {
            *m = mark;
        }
    }

    /// Adds a row.
    pub fn push(&mut self, mark: bool) {
        self.0.push(mark);
    }

    /// Whether any row is marked.
    pub fn any(&self) -> bool {
        self.0.contains(&true)
    }

    /// How many rows are marked.
    pub fn count(&self) -> usize {
        self.0.iter().filter(|m| **m).count()
    }

    /// The marks, one a row.
    pub fn marks(&self) -> &[bool] {
        &self.0
    }

    /// The marks of `rows`, in that order; `rows` must exist.
    #[must_use]
    pub fn take(&self, rows: &[usize]) -> Self {
        Self(rows.iter().map(|&r| self.is_set(r)).collect())
    }
}

impl FromIterator<bool> for Mask {
    fn from_iter<I: IntoIterator<Item = bool>>(iter: I) -> Self {
        Self(iter.into_iter().collect())
    }
}
