//! Parts that the data name: by a column of part names, or by domain.

use super::{Part, Rows, Split, cells};
use crate::data::spec::SplitSpec;
use crate::error::{Error, Result};
use crate::registry::nearest;

const FIT: [&str; 3] = ["train", "training", "fit"];
const CHOOSE: [&str; 5] = ["val", "valid", "validation", "dev", "choose"];
const JUDGE: [&str; 3] = ["test", "judge", "holdout"];

/// Parts by the values of a column: those listed, or the usual names in any case.
pub(super) fn by_column(spec: &SplitSpec, column: &str, rows: &Rows) -> Result<Split> {
    let cells = cells(rows.data, column, "column")?;
    let usual = spec.fit.is_empty() && spec.choose.is_empty() && spec.judge.is_empty();
    let part_of = |cell: &str| -> Option<Part> {
        let lower = cell.to_lowercase();
        let named = |listed: &[String], names: &[&str]| {
            if usual { names.contains(&lower.as_str()) } else { listed.iter().any(|l| l == cell) }
        };
        [(Part::Fit, named(&spec.fit, &FIT)), (Part::Choose, named(&spec.choose, &CHOOSE))]
            .into_iter()
            .chain([(Part::Judge, named(&spec.judge, &JUDGE))])
            .find(|(_, is)| *is)
            .map(|(part, _)| part)
    };
    let mut seen: Vec<&String> = spec.fit.iter().chain(&spec.choose).chain(&spec.judge).collect();
    seen.sort();
    if let Some([a, _]) = seen.windows(2).find(|p| p.first() == p.last()) {
        return Err(Error::argument(format!("the value \"{a}\" is in two parts")).at("split"));
    }
    if let Some(absent) = seen.iter().find(|v| !cells.contains(v)) {
        let error = Error::argument(format!("the column \"{column}\" never is \"{absent}\"")).at("split");
        return Err(match nearest(absent, cells.iter().map(String::as_str)) {
            Some(near) => error.remedy(format!("did you mean \"{near}\"?")),
            None => error,
        });
    }
    let mut out = Split::default();
    for (row, cell) in cells.iter().enumerate() {
        match part_of(cell) {
            Some(Part::Fit) => out.fit.push(row),
            Some(Part::Choose) => out.choose.push(row),
            Some(Part::Judge) => out.judge.push(row),
            None => {
                let expected = if usual {
                    format!("{}; {}; or {}", FIT.join(", "), CHOOSE.join(", "), JUDGE.join(", "))
                } else {
                    "a value that fit, choose or judge lists".to_owned()
                };
                return Err(Error::data(format!("the column \"{column}\" names no part"))
                    .at(format!("row {row}"))
                    .expected(expected)
                    .got(format!("\"{cell}\""))
                    .remedy("list the values of each part: split: {column: ..., fit: [...], judge: [...]}"));
            }
        }
    }
    Ok(out)
}

/// The rows of one domain judge, all others fit.
pub(super) fn by_domain(domain: &str, rows: &Rows) -> Result<Split> {
    let Some(domains) = &rows.data.roles.domain else {
        return Err(Error::argument("a split by domain needs domains")
            .at(format!("split: {{domain: {domain}}}"))
            .expected("a column of role domain"));
    };
    if !domains.iter().any(|d| d == domain) {
        let error = Error::argument(format!("no row has the domain \"{domain}\"")).at("split");
        return Err(match nearest(domain, domains.iter().map(String::as_str)) {
            Some(near) => error.remedy(format!("did you mean \"{near}\"?")),
            None => error,
        });
    }
    let mut out = Split::default();
    for (row, d) in domains.iter().enumerate() {
        if d == domain { out.judge.push(row) } else { out.fit.push(row) }
    }
    Ok(out)
}
