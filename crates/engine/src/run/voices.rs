//! Who can speak about a row together: a member speaks where any of its modalities is present.

use std::collections::BTreeSet;

use consilience_core::explain::Part;
use consilience_core::model::{Predictions, Voices};

use super::candidate::Draft;

/// Up to so many modalities every set of them is looked at.
const ALL_SETS: usize = 8;

/// A modality as a member reads it: its name, and the columns of a table.
type Read = (String, BTreeSet<String>);

/// The voices that the members of a composition can have on rows to come; `None` where that is not known, as of tables of
/// predictions with gaps, or where there are too many modalities. A table without a gap is taken to have none later.
///
/// Numbers and categories are one modality, the table. Members that read different columns of it can be silent apart
/// where all that one of them reads is missing; that is expected where the honest rows show it, and else not.
pub(super) fn voices(of: &[&Draft]) -> Option<BTreeSet<Voices>> {
    let gaps = of.iter().any(|d| d.honest.as_ref().is_some_and(|p| p.absent().count() > 0));
    let mut read: Vec<BTreeSet<Read>> = Vec::new();
    for draft in of {
        let silent = |p: &Predictions| p.absent().count() > 0;
        let Some(made) = &draft.model else {
            // It always speaks, or nobody knows when.
            if draft.honest.as_ref().is_none_or(silent) || silent(&draft.judged) {
                return None;
            }
            read.push(BTreeSet::new());
            continue;
        };
        let schema = made.model.schema();
        let columns =
            |part: &Part| if gaps { part.columns.iter().cloned().collect() } else { BTreeSet::new() };
        read.push(
            Part::modalities_of(schema).iter().map(|part| (part.name.clone(), columns(part))).collect(),
        );
    }
    sets(&read)
}

/// The voices for every set of present modalities that can be, from those that each member reads; one that reads none always speaks.
fn sets(read: &[BTreeSet<Read>]) -> Option<BTreeSet<Voices>> {
    let all: Vec<&Read> = read.iter().flatten().collect::<BTreeSet<_>>().into_iter().collect();
    if all.len() > ALL_SETS {
        return None;
    }
    let present = |set: usize, i: usize| set >> i & 1 == 1;
    // Where some columns of a table are there, so is every wider part of it.
    let can_be = |set: &usize| {
        let wider = |i: usize, j: usize| all[i].0 == all[j].0 && all[i].1.is_subset(&all[j].1);
        (0..all.len()).all(|i| (0..all.len()).all(|j| !present(*set, i) || present(*set, j) || !wider(i, j)))
    };
    let voices = |set: usize| {
        let speaks = |r: &BTreeSet<Read>| {
            r.is_empty() || (0..all.len()).any(|i| present(set, i) && r.contains(all[i]))
        };
        read.iter().map(speaks).collect::<Voices>()
    };
    let none = usize::from(!read.iter().any(BTreeSet::is_empty));
    Some((none..1usize << all.len()).filter(can_be).map(voices).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(names: &[&str]) -> BTreeSet<Read> {
        names.iter().map(|n| ((*n).to_owned(), BTreeSet::new())).collect()
    }

    fn table(columns: &[&str]) -> BTreeSet<Read> {
        BTreeSet::from([("table".to_owned(), columns.iter().map(|c| (*c).to_owned()).collect())])
    }

    #[test]
    fn members_of_one_modality_are_silent_together() {
        let one = sets(&[read(&["table"]), read(&["table"])]).unwrap();
        assert_eq!(one, BTreeSet::from([vec![true, true]]));
        let two = sets(&[read(&["image"]), read(&["sound"]), read(&["image", "sound"])]).unwrap();
        let expected = [vec![true, false, true], vec![false, true, true], vec![true, true, true]];
        assert_eq!(two, BTreeSet::from(expected));
        // A table beside an image: it speaks alone where there is no image.
        let beside = sets(&[read(&[]), read(&["image"])]).unwrap();
        assert_eq!(beside, BTreeSet::from([vec![true, false], vec![true, true]]));
        assert_eq!(sets(&[read(&[]), read(&[])]).unwrap(), BTreeSet::from([vec![true, true]]));
        let many: BTreeSet<Read> = (0..9).map(|i| (format!("m{i}"), BTreeSet::new())).collect();
        assert_eq!(sets(&[many]), None);
    }

    #[test]
    fn columns_of_a_table_can_be_missing_apart_but_not_those_within_others() {
        let apart = sets(&[table(&["a"]), table(&["b"])]).unwrap();
        assert_eq!(apart, BTreeSet::from([vec![true, false], vec![false, true], vec![true, true]]));
        let within = sets(&[table(&["a"]), table(&["a", "b"])]).unwrap();
        assert_eq!(within, BTreeSet::from([vec![false, true], vec![true, true]]));
    }
}
