//! The members that a first recipe proposes: for each kind of column a few that err differently.

use consilience_core::model::{Field, Kind};
use serde_json::{Value, json};

use super::{Facts, TABLE, flow};
use crate::recipe::methods::{MethodInfo, Methods, find};
use crate::recipe::names;
use consilience_core::document::{write_key, write_text};

/// Images with a longer side, in pixels, are brought to a usual size first, and so are those that a cnn cannot halve.
const LARGE: usize = 64;
/// That size.
const USUAL: usize = 32;
/// A recurrent network reads at most so many steps; longer sequences keep their last ones.
const MANY_STEPS: usize = 400;
/// A spectrogram has at most so many frames.
const MANY_FRAMES: usize = 256;
/// The sides of an image, or the steps of a sequence, that the blocks of a cnn can halve.
const HALVED: usize = 4;

/// In fewer rows an epoch has few steps, and networks get more epochs.
const FEW_ROWS: usize = 10_000;
/// So many; early stopping ends most trainings before.
const EPOCHS: u32 = 60;

/// A member that the recipe proposes.
pub(super) struct Proposal {
    pub(super) name: String,
    pub(super) line: String,
    pub(super) about: String,
}

/// Feature steps other than the default ones, as the recipe writes them, and why.
pub(super) struct Chain {
    pub(super) steps: Vec<Value>,
    pub(super) why: String,
}

impl Chain {
    /// Whether every step of it is known.
    pub(super) fn is_known(&self, methods: &Methods) -> bool {
        let mut names = self.steps.iter().map(|s| match s {
            Value::Object(map) => map.keys().next().map_or("", String::as_str),
            other => other.as_str().unwrap_or_default(),
        });
        names.all(|n| find(&methods.features, n).is_some())
    }
}

/// Settings of a network other than its default ones, as they stand behind the others of its line: more epochs for few
/// rows, and for recurrent layers larger steps with a bound on their gradients, and more patience, for they often learn
/// nothing at first.
pub(super) fn settings(facts: &Facts<'_>, method: &MethodInfo, recurrent: bool) -> String {
    let mut out = String::new();
    let takes = |key: &str| method.schema["properties"].get(key).is_some();
    if facts.rows < FEW_ROWS && takes("epochs") {
        out += &format!(", epochs: {EPOCHS}");
    }
    if recurrent && takes("rate") && takes("clip") {
        out += ", rate: 0.005, clip: 1, patience: 15";
    }
    out
}

/// Members for every kind of column that some known method reads.
pub(super) fn propose(facts: &Facts<'_>, methods: &Methods) -> Vec<Proposal> {
    let tabular = facts.fields().any(|f| f.kind.is_tabular());
    let modalities: Vec<&Field> = facts.fields().filter(|f| !f.kind.is_tabular()).collect();
    let several = usize::from(tabular) + modalities.len() > 1;
    let mut out: Vec<Proposal> = Vec::new();
    if tabular {
        for method in on_numbers(facts).iter().filter_map(|n| find(&methods.learners, n)) {
            let settings = settings(facts, method, false);
            add(&mut out, method, TABLE, several, &settings);
        }
    }
    for field in modalities {
        let readers = readers(facts, field);
        let known = readers.iter().filter_map(|n| find(&methods.learners, n)).filter(|_| {
            // Sounds and texts become numbers by one step alone.
            match field.kind {
                Kind::Audio => find(&methods.features, "log_mel").is_some(),
                Kind::Text => find(&methods.features, "tfidf").is_some(),
                _ => true,
            }
        });
        let with = known.map(|m| (m, chain(facts, field, &m.name)));
        let fine = with.filter(|(_, chain)| chain.as_ref().is_none_or(|c| c.is_known(methods)));
        for (method, chain) in fine.take(if several { 2 } else { readers.len() }) {
            let column = write_text(&field.name);
            let steps = chain.map(|c| format!(", features: {{{column}: {}}}", flow(&c.steps)));
            let settings = settings(facts, method, method.name == "gru") + &steps.unwrap_or_default();
            add(&mut out, method, &field.name, several, &settings);
        }
    }
    out
}

fn add(out: &mut Vec<Proposal>, method: &MethodInfo, column: &str, several: bool, settings: &str) {
    let plain = if several { format!("{}_{}", column, method.name) } else { method.name.clone() };
    let stem = names::fit(&plain);
    let mut name = stem.clone();
    for number in 2.. {
        if !out.iter().any(|p| p.name.eq_ignore_ascii_case(&name)) {
            break;
        }
        name = names::fit(&format!("{number}_{stem}"));
    }
    let (key, column) = (write_key(&name), write_text(column));
    let line = format!("{key}: {{fit: {}, on: [{column}]{settings}}}", write_text(&method.name));
    out.push(Proposal { name, line, about: method.about.clone() });
}

/// What reads a table or vectors of one dimension.
fn on_numbers(facts: &Facts<'_>) -> &'static [&'static str] {
    if facts.classifies() {
        &["logistic", "naive_bayes", "knn", "random_forest", "gradient_boosting", "mlp"]
    } else {
        &["linear", "knn", "random_forest", "gradient_boosting", "mlp"]
    }
}

/// What reads a modality, in the order in which it is proposed.
fn readers(facts: &Facts<'_>, field: &Field) -> Vec<&'static str> {
    let line = if facts.classifies() { "logistic" } else { "linear" };
    // A side of 0 is one that is not known.
    let wide = |sides: &[usize]| sides.iter().all(|s| *s == 0 || *s >= HALVED);
    let mut names = match (field.kind, field.shape.as_slice()) {
        (Kind::Image, _) => vec!["cnn", line, "random_forest"],
        (Kind::Audio, _) => vec!["cnn", "gru", line],
        (Kind::Text, _) if facts.classifies() => vec![line, "naive_bayes", "random_forest", "mlp"],
        (Kind::Text, _) => vec![line, "random_forest", "mlp"],
        (Kind::Sequence, _) => vec!["gru", "cnn", line, "random_forest", "gradient_boosting"],
        (Kind::Vector, [steps, _]) if wide(&[*steps]) => vec!["gru", "cnn", line, "random_forest"],
        (Kind::Vector, [_, _]) => vec!["gru", line, "random_forest"],
        (Kind::Vector, [_, height, width]) if wide(&[*height, *width]) => vec!["cnn", line, "random_forest"],
        (Kind::Vector, [_, _, _]) => vec![line, "random_forest", "mlp"],
        (Kind::Vector, _) => on_numbers(facts).to_vec(),
        (Kind::Number | Kind::Category, _) => Vec::new(),
    };
    if field.kind == Kind::Sequence && !wide(&[field.longest]) {
        names.retain(|n| *n != "cnn");
    }
    names
}

/// The steps of a column before a method, if the default ones do not suit; fusions read as `gru` and `cnn` do.
pub(super) fn chain(facts: &Facts<'_>, field: &Field, method: &str) -> Option<Chain> {
    let network = ["cnn", "gru", "mlp"].contains(&method);
    let (steps, why) = match field.kind {
        Kind::Image => {
            let why = match field.shape.as_slice() {
                [h, w, _] if [h, w].iter().all(|s| (HALVED..=LARGE).contains(*s)) => return None,
                [h, w, _] => format!("its images of {h} x {w} pixels are"),
                _ => "its images have several sizes: all are".to_owned(),
            };
            let why = format!("{why} brought to {USUAL} x {USUAL}; more shows more and takes longer");
            (vec![json!({"tensor": {"height": USUAL, "width": USUAL}}), json!("standardize")], why)
        }
        Kind::Audio => {
            let sounds = facts.sounds.get(&field.name)?;
            let (size, hop, frames) = frames(sounds);
            if (size, hop) == (256, 128) && frames == 64 {
                return None;
            }
            let cut = if frames == MANY_FRAMES { "; longer sounds are cut" } else { "" };
            let why = format!(
                "its sounds of {} Hz, the longest of {:.2} s, fill {frames} frames of {:.0} ms{cut}",
                sounds.rate,
                sounds.longest as f64 / f64::from(sounds.rate.max(1)),
                1000.0 * size as f64 / f64::from(sounds.rate.max(1))
            );
            let mel = json!({"log_mel": {"n_fft": size, "hop": hop, "frames": frames}});
            (vec![mel, json!("standardize")], why)
        }
        Kind::Sequence if network && method != "cnn" && field.longest > MANY_STEPS => {
            let why = format!(
                "its sequences have up to {} steps: recurrent layers read the last {MANY_STEPS}",
                field.longest
            );
            let steps = json!({"steps": {"length": MANY_STEPS, "longer": "last"}});
            return Some(Chain { steps: vec![json!("standardize"), steps], why });
        }
        _ => return None,
    };
    let flat = (!network).then(|| json!("flatten"));
    Some(Chain { steps: steps.into_iter().chain(flat).collect(), why })
}

/// Samples in a frame, from one frame to the next, and frames: frames of about 32 ms that overlap by half, as many as
/// the longest sound fills.
fn frames(sounds: &super::Sounds) -> (usize, usize, usize) {
    let about = (f64::from(sounds.rate) * 0.032).clamp(64.0, 65_536.0);
    let mut size = 64usize;
    while (2 * size) as f64 <= about {
        size *= 2;
    }
    let hop = size / 2;
    (size, hop, sounds.longest.div_ceil(hop).clamp(HALVED, MANY_FRAMES))
}

#[cfg(test)]
mod tests {
    use super::super::Sounds;
    use super::*;

    #[test]
    fn frames_take_about_32_ms_and_hold_the_longest_sound() {
        assert_eq!(frames(&Sounds { rate: 8000, longest: 8192 }), (256, 128, 64));
        assert_eq!(frames(&Sounds { rate: 44_100, longest: 44_100 }), (1024, 512, 87));
        assert_eq!(frames(&Sounds { rate: 16_000, longest: 10_000_000 }), (512, 256, MANY_FRAMES));
        assert_eq!(frames(&Sounds { rate: 100, longest: 3 }), (64, 32, HALVED));
    }
}
