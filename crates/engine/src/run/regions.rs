//! Conformal regions of the exported model: thresholds from rows that set nothing else, coverage measured on the judged rows.

use std::collections::BTreeSet;
use std::sync::Arc;

use consilience_core::calibrate::conformal::{self, Calibration, measure};
use consilience_core::model::{Batch, Column, Mask, Origin, Predictions};
use consilience_core::{Error, Result};

use super::Round;
use super::session::{Session, Shared};
use crate::outcome::RegionsFound;
use crate::regioned::{Attached, Regioned, Stratum};

/// Puts regions beside the exported model, where the recipe asks for them, and measures them on the judged rows.
pub(super) fn regions(round: &Round<'_>, exported: usize) -> Result<Option<(Shared, RegionsFound)>> {
    let Round { session, drafts } = round;
    let Some(call) = &session.recipe.regions else { return Ok(None) };
    let Some((draft, model)) = drafts.get(exported).and_then(|d| Some((d, d.kept()?))) else {
        return Ok(None);
    };
    let rows = &session.split.regions;
    let stratum = stratum(session)?;
    let codes = |rows: &[usize]| -> Option<Vec<u32>> {
        let stratum = stratum.as_ref()?;
        let cells = session.data.roles.cells.get(&stratum.column)?;
        Some(stratum.codes(rows.iter().filter_map(|r| cells.get(*r)).map(String::as_str)))
    };
    let said = said(round, model, rows)?;
    let method = conformal::REGISTRY.build(&call.name, &call.parameters)?;
    let (target, group, own) = (session.truth(rows), session.groups(rows), codes(rows));
    let calibration = Calibration {
        said: std::slice::from_ref(&said),
        origin: Origin::Validation,
        target: &target,
        fold: None,
        group: group.as_deref(),
        stratum: own.as_deref(),
    };
    let fitted = method.fit(&calibration, session.seed.child("regions")).map_err(|e| e.at("regions"))?;
    let judged = &session.split.judge;
    let strata = codes(judged);
    let sets = fitted.apply(std::slice::from_ref(&draft.judged), strata.as_deref())?;
    let promise = fitted.promise();
    let coverage = measure(&sets, &session.truth(judged), strata.as_deref(), &promise)?;
    let found = RegionsFound {
        method: call.name.clone(),
        guaranteed: promise.guaranteed,
        rows: rows.len(),
        coverage,
        strata: stratum.as_ref().map(|s| s.values.clone()).unwrap_or_default(),
        notes: fitted.notes(),
    };
    let attached = Attached { regions: fitted, stratum };
    Ok(Some((Arc::new(Regioned::new(Arc::clone(model), attached)), found)))
}

/// The column of strata with its values in all rows.
fn stratum(session: &Session<'_>) -> Result<Option<Stratum>> {
    let Some(column) = &session.recipe.stratum else { return Ok(None) };
    let cells = session.data.roles.cells.get(column).ok_or_else(|| {
        Error::argument(format!("the data have no column \"{column}\""))
            .at("regions: stratum")
            .expected(session.data.roles.cells.keys().cloned().collect::<Vec<_>>().join(", "))
    })?;
    let values: BTreeSet<&String> = cells.iter().collect();
    Ok(Some(Stratum { column: column.clone(), values: values.into_iter().cloned().collect() }))
}

/// What the model says of rows. What it reads from tables of predictions stands in the tables.
fn said(round: &Round<'_>, model: &Shared, rows: &[usize]) -> Result<Predictions> {
    let Round { session, drafts } = round;
    let known = session.source().schema().names();
    let (own, given): (Vec<&str>, Vec<&str>) =
        model.schema().names().into_iter().partition(|n| known.contains(n));
    let mut parts = Vec::new();
    for block in rows.chunks(2048) {
        session.stop.check()?;
        let mut batch: Batch = session.source().read(block, &own)?;
        for name in &given {
            let column = drafts.iter().find_map(|d| d.table.as_ref()?.column(name, session, block));
            let (values, missing) =
                column.ok_or_else(|| Error::internal(format!("no table gives the column \"{name}\"")))?;
            batch.set(*name, Column::Number { values, missing })?;
        }
        parts.push(model.predict(&batch)?);
    }
    Predictions::concat(&parts)
}

/// A table of predictions by the names of the columns in which they stand.
pub(crate) struct TableColumns {
    pub names: Vec<String>,
    pub all: Predictions,
    pub position: std::collections::BTreeMap<u64, usize>,
}

impl TableColumns {
    fn column(&self, name: &str, session: &Session<'_>, rows: &[usize]) -> Option<(Vec<f64>, Mask)> {
        let k = self.names.iter().position(|n| n == name)?;
        let matrix = self.all.matrix();
        let ids = session.source().ids();
        let places: Vec<Option<usize>> =
            rows.iter().map(|r| ids.get(*r).and_then(|id| self.position.get(id)).copied()).collect();
        let values =
            places.iter().map(|p| p.map_or(f64::NAN, |p| f64::from(matrix[[p, k]]))).collect::<Vec<_>>();
        let missing = values.iter().map(|v| v.is_nan()).collect();
        Some((values, missing))
    }
}
