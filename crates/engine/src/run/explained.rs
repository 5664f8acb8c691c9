//! What each member is worth to the composition that was found best.

use consilience_core::Result;
use consilience_core::explain::{Composition, ReadingSettings, read_members};
use consilience_core::metrics;
use consilience_core::model::{Honest, Predictions, Stop, cross_fitted};
use serde_json::json;

use super::Round;
use super::candidate::Draft;
use super::choice::settings;
use crate::catalog;
use crate::codec::{read_json, write_json};
use crate::outcome::Explained;
use crate::recipe::Synthesis;

/// Of more members than this a composition is not fitted again without each of them: its weights are divided anew instead.
const MANY: usize = 12;

/// Reads the members of a composition of predictions on honest rows; nothing for other kinds.
pub(super) fn explained(round: &Round<'_>, composition: Option<usize>) -> Result<Option<Explained>> {
    let Round { session, drafts } = round;
    let Some(draft) = composition.and_then(|c| drafts.get(c)) else { return Ok(None) };
    let found = session.recipe.synthesis.iter().find(|(name, _)| *name == draft.name);
    let Some((name, Synthesis::Fuse { method, of, prune })) = found else { return Ok(None) };
    let of: Vec<&Draft> = of.iter().filter_map(|n| drafts.iter().find(|d| d.name == *n)).collect();
    let fuser = catalog::fuser(method, *prune, session.recipe.calibrate.get(name))?;
    // Settings that are one for each member cannot do without one.
    let fixed = of.len() > 1 && fuser.check(&session.task, of.len() - 1).is_err();
    if fixed && draft.weights.is_none() {
        return Ok(None);
    }
    let (judge, calibrate) = (&session.recipe.judge, session.recipe.calibrate.get(name));
    let key = json!({
        "composition": session.composing_key(name, &of, json!({
            "method": method, "prune": prune, "calibrate": calibrate, "weights": draft.weights,
        }))?,
        "metric": judge.choose, "resamples": judge.resamples, "level": judge.level,
    });
    let label = format!("{name}: explain");
    let step = session.step(&label, "explain", &key, |dir| {
        let honest = session.composed_honest(name, &of)?;
        let weights: Option<Vec<f64>> = draft.weights.as_ref().map(|w| w.iter().map(|(_, w)| *w).collect());
        let seed = session.seed.child("explain").child(name);
        let (source, rows) = session.narrowed(&of);
        session.with_rows(&label, seed, rows, |_, context| {
            let inputs =
                fuser.wants_inputs().then_some(consilience_core::model::Inputs { source: &source, rows });
            let refit = |part: &Honest| -> Result<Predictions> {
                cross_fitted(fuser.as_ref(), part, inputs, context)
            };
            let weights = weights.as_deref();
            let composition = match weights {
                Some(weights) if of.len() > MANY || fixed => Composition::Pool(weights),
                Some(weights) => Composition::Refitted(weights, &refit),
                None => Composition::Other(&refit),
            };
            let metric = metrics::get(&session.recipe.judge.choose)?;
            let stop: &Stop = session.stop;
            let read = read_members(
                &honest,
                &composition,
                metric,
                &ReadingSettings::default(),
                &settings(session, "explain"),
                stop,
            )?;
            write_json(&dir.join("members.json"), &read)
        })
    })?;
    let readings = read_json(&step.path.join("members.json"))?;
    Ok(Some(Explained { composition: name.clone(), readings }))
}
