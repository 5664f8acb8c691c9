//! What the columns of a table are for, guessed from their names and cells: file names, ids, groups, dates, prose.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use consilience_core::data::{ColumnSpec, Role};
use consilience_core::files::confine;
use consilience_core::members::TABLE;
use consilience_core::model::Kind;

/// In fewer rows it says nothing that values are unique or repeat.
const FEWEST_ROWS: usize = 10;
/// From so many on, whole groups can be held out and dealt to folds; and from so many in each class.
const FEWEST_GROUPS: usize = 10;
const FEWEST_GROUPS_A_CLASS: usize = 4;
/// Texts of so many words on average are prose.
const WORDS_OF_PROSE: usize = 4;

/// Whoever or whatever several rows of a table are often of.
const WHO: [&str; 20] = [
    "patient",
    "subject",
    "participant",
    "person",
    "user",
    "customer",
    "client",
    "speaker",
    "voice",
    "writer",
    "author",
    "donor",
    "respondent",
    "student",
    "driver",
    "player",
    "household",
    "family",
    "group",
    "session",
];
/// What is put behind such a word.
const NAMING: [&str; 8] = ["id", "ids", "no", "nr", "num", "number", "name", "code"];
/// How columns end that name rows.
const OF_ROWS: [&str; 8] = ["id", "ids", "uid", "uuid", "guid", "index", "idx", "row"];
/// How columns end that hold file names.
const OF_FILES: [&str; 6] = ["file", "files", "filename", "path", "paths", "filepath"];

/// What was guessed, with the reason for each.
#[derive(Debug, Default)]
pub(super) struct Guessed {
    /// The columns that are not what they would be taken for without a word.
    pub(super) columns: BTreeMap<String, ColumnSpec>,
    /// Why, by column; also for some columns that are left as they are.
    pub(super) reasons: BTreeMap<String, String>,
}

impl Guessed {
    fn role(&mut self, name: &str, role: Role, why: &str) {
        let column = ColumnSpec { role: Some(role), ..ColumnSpec::default() };
        self.columns.insert(name.to_owned(), column);
        self.reasons.insert(name.to_owned(), why.to_owned());
    }

    fn input(&mut self, name: &str, kind: Kind, path: Option<&str>, why: &str) {
        let path = path.map(str::to_owned);
        self.columns.insert(name.to_owned(), ColumnSpec { kind: Some(kind), path, ..ColumnSpec::default() });
        self.reasons.insert(name.to_owned(), why.to_owned());
    }

    /// The columns that are read from files of their own.
    pub(super) fn modalities(&self) -> Vec<String> {
        self.columns.iter().filter(|(_, c)| c.path.is_some()).map(|(n, _)| n.clone()).collect()
    }

    /// Ignores a column of file names after all, because the files cannot be read.
    pub(super) fn give_up(&mut self, name: &str, why: &str) {
        if let Some(path) = self.columns.remove(name).and_then(|c| c.path) {
            self.reasons.remove(name);
            self.role(&path, Role::Ignore, &format!("names of files that cannot be read: {why}"));
        }
    }
}

/// Guesses about all columns but the target. `all_cells` are the table's by column, empty where they are missing; `classes`
/// are the target's, row by row, where it has any.
pub(super) fn guess(
    all_cells: &BTreeMap<String, Arc<Vec<String>>>,
    target: &str,
    classes: Option<&[String]>,
    root: &Path,
) -> Guessed {
    let mut out = Guessed::default();
    // Columns with another value in every row that may name the rows.
    let mut names: Vec<(&str, &str)> = Vec::new();
    let mut group: Option<&str> = None;
    for (name, cells) in all_cells.iter().filter(|(n, _)| n.as_str() != target) {
        let present: Vec<&str> = cells.iter().map(String::as_str).filter(|c| !c.is_empty()).collect();
        let distinct: BTreeSet<&str> = present.iter().copied().collect();
        if let Some(kind) = kind_of_files(&present) {
            let taken = |n: &str| n != name && all_cells.contains_key(n);
            files(&mut out, name, kind, &distinct, root, taken);
            continue;
        }
        if cells.len() < FEWEST_ROWS || present.is_empty() {
            continue;
        }
        let (numbers, whole) = (all::<f64>(&present), all::<i64>(&present));
        if present.iter().all(|c| is_date(c)) {
            let why = "dates; {role: time} fits on the earlier rows and judges on the latest";
            out.role(name, Role::Ignore, why);
        } else if !numbers && is_prose(&present, distinct.len()) {
            out.input(name, Kind::Text, None, "texts of several words; category if they are levels");
        } else if distinct.len() == cells.len() {
            if !numbers {
                names.push((
                    name,
                    "another text in every row: it names rows; {type: category} makes it an input",
                ));
            } else if whole && (counts_up(&present) || ends_in(name, &OF_ROWS)) {
                names.push((
                    name,
                    "another whole number in every row: it names rows; {type: number} makes it an input",
                ));
            } else if whole {
                let why = "every value is another whole number; {role: id} if they only name the rows";
                out.reasons.insert(name.clone(), why.to_owned());
            }
        } else if is_of_whom(name) {
            match can_be_group(cells, distinct.len(), classes) {
                Err(why) => drop(out.reasons.insert(name.clone(), why)),
                Ok(()) if group.is_some() => {
                    let why =
                        "groups rows as another column does; {role: group} if this is the one to keep whole";
                    out.role(name, Role::Ignore, why);
                }
                Ok(()) => {
                    group = Some(name);
                    let why = format!(
                        "{} of them in {} rows: rows of one stay together; {{role: ignore}} if rows are independent",
                        distinct.len(),
                        cells.len()
                    );
                    out.role(name, Role::Group, &why);
                }
            }
        } else if ends_in(name, &OF_ROWS) {
            let why = "called an id, but values repeat: {role: group} keeps rows of one together, {role: ignore} \
                       leaves it out";
            out.reasons.insert(name.clone(), why.to_owned());
        }
    }
    // One column names the rows: the first that is called so, else the first.
    let chosen = names.iter().position(|(name, _)| ends_in(name, &OF_ROWS)).unwrap_or(0);
    for (i, (name, why)) in names.iter().enumerate() {
        if i == chosen {
            out.role(name, Role::Id, why);
        } else {
            let why = "another value in every row, as in the id; {type: category} makes it an input";
            out.role(name, Role::Ignore, why);
        }
    }
    out
}

fn all<T: std::str::FromStr>(cells: &[&str]) -> bool {
    cells.iter().all(|c| c.parse::<T>().is_ok())
}

/// Whether different whole numbers leave no gap, in whatever order they stand.
fn counts_up(cells: &[&str]) -> bool {
    let numbers = || cells.iter().filter_map(|c| c.parse::<i64>().ok());
    let (Some(low), Some(high)) = (numbers().min(), numbers().max()) else { return false };
    high.checked_sub(low).and_then(|d| usize::try_from(d).ok()) == cells.len().checked_sub(1)
}

/// The words of a name, in lower case: `patientId`, `patient_id` and `Patient ID` are two words.
fn words(name: &str) -> Vec<String> {
    let mut out: Vec<String> = vec![String::new()];
    let mut small = false;
    for c in name.chars() {
        if !c.is_alphanumeric() || (c.is_uppercase() && small) {
            out.push(String::new());
        }
        small = c.is_lowercase();
        if let Some(word) = out.last_mut().filter(|_| c.is_alphanumeric()) {
            word.extend(c.to_lowercase());
        }
    }
    out.retain(|w| !w.is_empty());
    out
}

fn ends_in(name: &str, endings: &[&str]) -> bool {
    words(name).last().is_some_and(|w| endings.contains(&w.as_str()))
}

/// Whether a column is called after somebody or something that has several rows.
fn is_of_whom(name: &str) -> bool {
    let words = words(name);
    let named: Vec<&str> = words.iter().map(String::as_str).collect();
    match named.as_slice() {
        [who] => WHO.contains(who) || who.strip_suffix("id").is_some_and(|w| WHO.contains(&w)),
        [who, naming] => WHO.contains(who) && NAMING.contains(naming),
        _ => false,
    }
}

/// Whether rows can be parted by whole groups, or why not.
fn can_be_group(cells: &[String], groups: usize, classes: Option<&[String]>) -> Result<(), String> {
    if cells.iter().any(String::is_empty) {
        return Err(
            "may name what rows are of, but some rows lack it: fill it in for {role: group}".to_owned()
        );
    }
    if groups < FEWEST_GROUPS {
        return Err(format!("may name what rows are of, but {groups} are too few to hold some of them out"));
    }
    let mut by_class: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (class, cell) in classes.unwrap_or_default().iter().zip(cells) {
        by_class.entry(class).or_default().insert(cell);
    }
    match by_class.iter().find(|(_, groups)| groups.len() < FEWEST_GROUPS_A_CLASS) {
        Some((class, groups)) => Err(format!(
            "may name what rows are of, but the class {class} has {} of them: too few for {{role: group}}",
            groups.len()
        )),
        None => Ok(()),
    }
}

fn is_prose(cells: &[&str], distinct: usize) -> bool {
    let words: usize = cells.iter().map(|c| c.split_whitespace().count()).sum();
    words >= WORDS_OF_PROSE * cells.len() && 2 * distinct > cells.len()
}

/// `2024-05-31` or `2024/5/31`, whatever follows.
fn is_date(cell: &str) -> bool {
    let mut parts = cell.splitn(3, ['-', '/']);
    let mut digits = |least: usize, most: usize| {
        let part = parts.next().unwrap_or_default();
        let digits = part.chars().take_while(char::is_ascii_digit).count();
        (least..=most).contains(&digits)
    };
    cell.is_ascii() && digits(4, 4) && digits(1, 2) && digits(1, 2)
}

/// What the files hold that all cells name, by their endings.
fn kind_of_files(cells: &[&str]) -> Option<Kind> {
    let kind = |cell: &&str| -> Option<Kind> {
        let (stem, ending) = cell.rsplit_once('.')?;
        match ending.to_lowercase().as_str() {
            _ if stem.is_empty() => None,
            "png" | "jpg" | "jpeg" => Some(Kind::Image),
            "wav" => Some(Kind::Audio),
            "txt" | "md" => Some(Kind::Text),
            "csv" | "tsv" | "npy" => Some(Kind::Sequence),
            _ => None,
        }
    };
    let first = kind(cells.first()?)?;
    cells.iter().all(|c| kind(c) == Some(first)).then_some(first)
}

/// A column of file names becomes what the files hold, if all of them are there.
fn files(
    out: &mut Guessed,
    name: &str,
    kind: Kind,
    files: &BTreeSet<&str>,
    root: &Path,
    taken: impl Fn(&str) -> bool,
) {
    let missing: Vec<&&str> =
        files.iter().filter(|f| !confine(root, f).is_ok_and(|path| path.is_file())).collect();
    if let Some(first) = missing.first() {
        let why = format!(
            "file names, but {} of {} are not there, such as {first}; put them below the data folder, and write \
             {{type: {}, path: {name}}} under another name",
            missing.len(),
            files.len(),
            kind.name()
        );
        out.role(name, Role::Ignore, &why);
        return;
    }
    let mut short = words(name);
    if ends_in(name, &OF_FILES) {
        short.pop();
    }
    let short = if short.is_empty() { kind.name().to_owned() } else { short.join("_") };
    let free = |n: &str| n != TABLE && !taken(n) && !out.columns.contains_key(n);
    let called = if free(&short) { short } else { name.to_owned() };
    let why = format!("{} files, known by their endings; an empty name is an absent {0}", kind.name());
    out.input(&called, kind, Some(name), &why);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guessed(columns: &[(&str, Vec<String>)], classes: Option<&[String]>) -> Guessed {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("d")).unwrap();
        for name in ["d/a.png", "d/b.png"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let cells = columns.iter().map(|(n, c)| ((*n).to_owned(), Arc::new(c.clone()))).collect();
        guess(&cells, "y", classes, dir.path())
    }

    fn column(of: impl Fn(usize) -> String) -> Vec<String> {
        (0..40).map(of).collect()
    }

    fn role(guessed: &Guessed, name: &str) -> Option<Role> {
        guessed.columns.get(name).and_then(|c| c.role)
    }

    #[test]
    fn what_names_rows_is_an_id_and_what_measures_is_not() {
        for (name, cells, expected) in [
            ("n", column(|i| i.to_string()), Some(Role::Id)),
            ("n", column(|i| (1000 - i).to_string()), Some(Role::Id)),
            ("n", column(|i| format!("row {i}")), Some(Role::Id)),
            ("case_id", column(|i| (7 * i * i).to_string()), Some(Role::Id)),
            ("caseID", column(|i| (7 * i * i).to_string()), Some(Role::Id)),
            ("people", column(|i| (7 * i * i).to_string()), None),
            ("n", column(|i| format!("{}.5", i)), None),
            ("id", column(|i| format!("{}.5", i)), None),
            ("n", column(|i| (i / 2).to_string()), None),
            ("id", column(|i| (i / 2).to_string()), None),
            ("n", column(|i| if i == 3 { String::new() } else { i.to_string() }), None),
        ] {
            let got = guessed(&[(name, cells.clone())], None);
            assert_eq!(role(&got, name), expected, "{name} {:?}", &cells[..3]);
            assert!(expected.is_none() || got.reasons[name].contains("makes it an input"));
        }
        let left = guessed(&[("people", column(|i| (7 * i * i).to_string()))], None);
        assert!(left.reasons["people"].contains("{role: id}"));
        // One column names the rows; the target never does.
        let got = guessed(
            &[
                ("code", column(|i| format!("c{i}"))),
                ("row_id", column(|i| i.to_string())),
                ("y", column(|i| i.to_string())),
            ],
            None,
        );
        assert_eq!((role(&got, "row_id"), role(&got, "code")), (Some(Role::Id), Some(Role::Ignore)));
        assert!(!got.columns.contains_key("y"));
        assert!(guessed(&[("n", (0..5).map(|i| i.to_string()).collect())], None).columns.is_empty());
    }

    #[test]
    fn whoever_has_several_rows_is_a_group_if_there_are_enough() {
        let twos = || column(|i| format!("p{}", i / 2));
        for (name, cells, expected) in [
            ("patient", twos(), Some(Role::Group)),
            ("PatientID", twos(), Some(Role::Group)),
            ("speaker name", twos(), Some(Role::Group)),
            ("userid", twos(), Some(Role::Group)),
            ("client_type", twos(), None),
            ("height", twos(), None),
            ("patient", column(|i| format!("p{}", i % 5)), None),
            ("patient", column(|i| if i == 0 { String::new() } else { format!("p{}", i / 2) }), None),
            ("patient", column(|i| format!("p{i}")), Some(Role::Id)),
        ] {
            let got = guessed(&[(name, cells)], None);
            assert_eq!(role(&got, name), expected, "{name}");
            assert!(got.reasons.contains_key(name) || expected.is_none(), "{name}");
        }
        // Three patients of a class are too few to part.
        let classes = column(|i| if i < 6 { "sick" } else { "well" }.to_owned());
        let got = guessed(&[("patient", twos())], Some(&classes));
        assert_eq!(role(&got, "patient"), None);
        assert!(got.reasons["patient"].contains("the class sick has 3"), "{:?}", got.reasons);
        let got = guessed(&[("patient", twos()), ("session", twos())], None);
        assert_eq!((role(&got, "patient"), role(&got, "session")), (Some(Role::Group), Some(Role::Ignore)));
    }

    #[test]
    fn dates_prose_and_files_are_told_apart() {
        let got = guessed(
            &[
                ("day", column(|i| format!("2024-01-{:02} 10:00", 1 + i % 28))),
                ("note", column(|i| format!("a text about case {i}"))),
                ("kind", column(|i| format!("the same {} few words", i % 2))),
                ("scan_file", column(|i| if i == 0 { "" } else { ["d/a.png", "d/b.png"][i % 2] }.to_owned())),
                ("far", column(|_| "d/none.wav".to_owned())),
                ("mixed", column(|i| ["d/a.png", "d/a.wav"][i % 2].to_owned())),
                ("path", column(|_| "../a.txt".to_owned())),
            ],
            None,
        );
        assert_eq!(role(&got, "day"), Some(Role::Ignore));
        assert!(got.reasons["day"].contains("{role: time}"));
        assert_eq!(got.columns["note"].kind, Some(Kind::Text));
        assert!(!got.columns.contains_key("kind") && !got.columns.contains_key("mixed"));
        assert_eq!(
            (got.columns["scan"].kind, got.columns["scan"].path.as_deref()),
            (Some(Kind::Image), Some("scan_file"))
        );
        assert_eq!((role(&got, "far"), role(&got, "path")), (Some(Role::Ignore), Some(Role::Ignore)));
        assert!(got.reasons["far"].contains("1 of 1 are not there, such as d/none.wav"), "{:?}", got.reasons);
        let (mut got, before) = (got, 5);
        assert_eq!((got.modalities(), got.columns.len()), (vec!["scan".to_owned()], before));
        got.give_up("scan", "no image");
        assert_eq!(role(&got, "scan_file"), Some(Role::Ignore));
        // The word for all numbers is no name of a column.
        let got = guessed(&[("table_file", column(|_| "d/a.png".to_owned()))], None);
        assert_eq!(got.columns.keys().collect::<Vec<_>>(), ["table_file"]);
        let got = guessed(
            &[("scan", column(|i| (i % 2).to_string())), ("scan_file", column(|_| "d/a.png".to_owned()))],
            None,
        );
        assert_eq!(got.columns.keys().collect::<Vec<_>>(), ["scan_file"]);
        let got = guessed(&[("file", column(|_| "d/a.png".to_owned()))], None);
        assert_eq!(got.columns.keys().collect::<Vec<_>>(), ["image"]);
    }

    #[test]
    fn names_have_words() {
        assert_eq!(words("PatientID"), ["patient", "id"]);
        assert_eq!(words("patient-name (1)"), ["patient", "name", "1"]);
        assert_eq!(words("row2id"), ["row2id"]);
        assert!(words("__").is_empty());
        assert!(is_date("2024/5/1") && !is_date("24-05-01") && !is_date("2024-x-1") && !is_date("20240501"));
    }
}
