//! The report: one HTML file that needs no script and no network, made of an [`Outcome`].
//!
//! Each figure is one file that draws inline SVG; the words and tables are in `templates/report/`. Whatever comes
//! from the outcome is escaped: askama escapes the text of the templates, `svg.rs` that of the figures.

mod bars;
mod confusion;
mod curves;
mod data;
mod leaderboard;
mod members;
mod number;
mod pulls;
mod reading;
mod regions;
mod reliability;
mod scatter;
mod subsets;
mod svg;
mod text;
mod verdict;
mod whiskers;

#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;

use askama::Template;
use consilience_core::{Error, Result};

use crate::outcome::Outcome;
use reading::Reading;

/// The whole page. A section whose data are empty is not shown.
#[derive(Template)]
#[template(path = "report/page.html")]
struct Page {
    run: String,
    metric: String,
    direction: &'static str,
    verdict: verdict::Verdict,
    leaderboard: Option<leaderboard::Leaderboard>,
    scatter: Option<scatter::Scatter>,
    confusion: Option<confusion::Confusion>,
    reliability: Vec<reliability::Panel>,
    curves: Vec<curves::Curve>,
    curves_left_out: usize,
    weights: Vec<bars::Bars>,
    weights_left_out: usize,
    subsets: Vec<subsets::Table>,
    subsets_left_out: usize,
    importances: Option<bars::Bars>,
    members: Option<members::Members>,
    regions: Option<regions::Regions>,
    cascades: Vec<regions::Cascade>,
    pulls: Vec<pulls::Table>,
    data: Option<data::Data>,
    reproduce: Option<Reproduce>,
    version: &'static str,
}

/// What the regions of a run promise and do, in a sentence without an end.
pub fn regions_sentence(found: &crate::outcome::RegionsFound) -> String {
    regions::sentence(found)
}

/// A page about one merge.
#[derive(Template)]
#[template(path = "report/merge.html")]
struct MergePage {
    run: String,
    pulls: Vec<pulls::Table>,
    version: &'static str,
}

/// How the members of a merge pull, as one HTML file without script: for a merge file that is called `title`.
///
/// # Errors
/// [`Error::Internal`] if the template cannot be written.
pub fn merge_html(
    title: &str,
    method: &str,
    analysis: &consilience_merge::analyze::Analysis,
) -> Result<String> {
    let page = MergePage {
        run: text::name(title),
        pulls: vec![pulls::table(title, method, analysis)],
        version: env!("CARGO_PKG_VERSION"),
    };
    page.render().map_err(|e| Error::internal(format!("the report cannot be written: {e}")))
}

/// How to do it again, fit to be shown.
struct Reproduce {
    command: String,
    recipe: String,
    environment: Vec<(String, String)>,
    data: String,
}

impl Reproduce {
    /// `None` where the outcome says nothing about it.
    fn of(outcome: &Outcome) -> Option<Self> {
        let r = &outcome.reproduce;
        if r.command.is_empty() && r.recipe.is_empty() && r.environment.is_empty() && r.data.is_empty() {
            return None;
        }
        Some(Self {
            command: text::whole(&r.command),
            recipe: text::whole(&r.recipe),
            environment: r.environment.iter().map(|(k, v)| (text::words(k), text::full(v))).collect(),
            data: text::full(&r.data),
        })
    }
}

/// The report of a run as one HTML file without script and without a link to anything outside: the verdict, the
/// leaderboard, cost against quality, the confusion matrix, reliability, learning curves, weights, scores per subset
/// of modalities, importances, the data, how to reproduce. Sections without data are left out.
///
/// Differences (`against_best_single`, `difference`, `honest_difference`) are read as candidate less best single
/// member in units of the metric: for a loss, less than zero is better.
///
/// # Errors
/// [`Error::Internal`] if the template cannot be written, which no outcome should bring about.
pub fn html(outcome: &Outcome) -> Result<String> {
    let reading = Reading::of(outcome);
    let (curves, curves_left_out) = curves::curves(&reading);
    let (weights, weights_left_out) = bars::weights(&reading);
    let (subsets, subsets_left_out) = subsets::subsets(&reading);
    let page = Page {
        run: text::name(&outcome.run),
        metric: reading.metric_words(),
        direction: reading.direction(),
        verdict: verdict::verdict(&reading),
        leaderboard: leaderboard::leaderboard(&reading),
        scatter: scatter::scatter(&reading),
        confusion: confusion::confusion(outcome),
        reliability: reliability::reliability(&reading),
        curves,
        curves_left_out,
        weights,
        weights_left_out,
        subsets,
        subsets_left_out,
        importances: bars::importances(outcome),
        members: members::members(outcome),
        regions: regions::regions(outcome),
        cascades: regions::cascades(outcome),
        pulls: pulls::tables(outcome),
        data: data::data(outcome),
        reproduce: Reproduce::of(outcome),
        version: env!("CARGO_PKG_VERSION"),
    };
    page.render().map_err(|e| Error::internal(format!("the report cannot be written: {e}")))
}
