//! Many texts in one piece of memory: of a vocabulary they are too many for one each.

use std::hash::{BuildHasher, RandomState};

/// Texts in the order in which they came.
#[derive(Debug, Clone, Default)]
pub(super) struct Texts {
    all: String,
    ends: Vec<u32>,
}

impl Texts {
    /// Adds a text. `false` where there is no room for it.
    pub(super) fn push(&mut self, text: &str) -> bool {
        let Ok(end) = u32::try_from(self.all.len() + text.len()) else { return false };
        self.all.push_str(text);
        self.ends.push(end);
        true
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn get(&self, i: usize) -> Option<&str> {
        let start = i.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied())?;
        self.all.get(start as usize..*self.ends.get(i)? as usize)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).filter_map(|i| self.get(i))
    }

    /// Its bytes in memory.
    fn bytes(&self) -> usize {
        self.all.capacity() + self.ends.capacity() * 4
    }
}

/// What stands where there is none.
const NONE: u32 = u32::MAX;

/// Texts that differ, each with a number, found by either. Numbers may have gaps.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    texts: Texts,
    /// For each number the place of its text.
    places: Vec<u32>,
    /// The numbers by the hashes of their texts, each at the first free place from there on; a quarter of them is free.
    table: Vec<u32>,
    hasher: RandomState,
}

impl Names {
    /// One more than the largest number.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// The text of a number.
    pub(super) fn get(&self, number: u32) -> Option<&str> {
        self.texts.get(*self.places.get(number as usize).filter(|p| **p != NONE)? as usize)
    }

    /// The number of a text.
    pub(super) fn number(&self, text: &str) -> Option<u32> {
        let at = self.slot(text)?;
        self.table.get(at).copied().filter(|n| *n != NONE)
    }

    /// Gives a text its number; neither may be taken. `false` where there is no room for it.
    pub(super) fn insert(&mut self, text: &str, number: u32) -> bool {
        if !self.texts.push(text) {
            return false;
        }
        if self.places.len() <= number as usize {
            self.places.resize(number as usize + 1, NONE);
        }
        if let Some(place) = self.places.get_mut(number as usize) {
            *place = self.texts.len() as u32 - 1;
        }
        if self.texts.len() * 4 > self.table.len() * 3 {
            self.table = vec![NONE; (self.texts.len() * 2).next_power_of_two()];
            (0..self.places.len() as u32).for_each(|n| self.enter(n));
        } else {
            self.enter(number);
        }
        true
    }

    fn enter(&mut self, number: u32) {
        let at = self.get(number).and_then(|text| self.slot(text));
        if let Some(slot) = at.and_then(|at| self.table.get_mut(at)) {
            *slot = number;
        }
    }

    /// The place of a text in the table, or the free one where it would be.
    fn slot(&self, text: &str) -> Option<usize> {
        let last = self.table.len().checked_sub(1)?;
        let mut at = self.hasher.hash_one(text) as usize & last;
        while self.table.get(at).is_some_and(|n| *n != NONE && self.get(*n) != Some(text)) {
            at = (at + 1) & last;
        }
        Some(at)
    }

    /// The text of each number, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Option<&str>> {
        (0..self.len() as u32).map(|n| self.get(n))
    }

    /// Its bytes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.texts.bytes() + (self.places.capacity() + self.table.capacity()) * 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_numbers_find_each_other() {
        let mut names = Names::default();
        assert_eq!((names.len(), names.get(0), names.number("x")), (0, None, None));
        // In an order that is not that of the numbers, with gaps, and one text that is empty.
        let text = |n: u32| if n == 21 { String::new() } else { format!("t{n}") };
        let numbers: Vec<u32> = (0..5000).map(|i| i * 7919 % 5003 * 3).collect();
        numbers.iter().for_each(|n| assert!(names.insert(&text(*n), *n)));
        for n in &numbers {
            assert_eq!((names.get(*n), names.number(&text(*n))), (Some(text(*n).as_str()), Some(*n)));
        }
        assert_eq!((names.get(1), names.number("t1"), names.get(1 << 20)), (None, None, None));
        assert_eq!(names.iter().flatten().count(), 5000);
        assert!(names.bytes() < 5000 * 48, "{}", names.bytes());
    }
}
