//! Recipes: from YAML text to a checked [`Recipe`], with every finding at once.
//!
//! The text becomes a tree that knows where everything stands ([`parse`]); the tree is checked by path against the
//! schema that the registries give ([`recipe_schema`], [`validate`]); then what a schema cannot say is checked, each
//! method checks its own parameters, and only a recipe without errors is decoded ([`load`]).

mod columns;
mod decode;
mod expect;
mod honesty;
mod init;
mod methods;
mod names;
mod references;
mod resolved;
mod schema;
mod schema_synthesis;
mod types;
mod validate;

use consilience_core::Error;
use consilience_core::document::{self, Grammar, List};

pub use consilience_core::document::{Content, Entry, Finding, Findings, Node, Severity, Span};

pub use columns::{check_against, check_names};
pub use init::{Facts, Sounds, init};
pub use methods::{BuildMerger, MethodInfo, Methods, MetricInfo};
pub use resolved::resolved_yaml;
pub use schema::{complaints, recipe_schema};
pub use types::{Budget, Call, Judge, Member, Recipe, Seen, Synthesis, augment_value};
pub use validate::validate;

/// What of YAML a recipe may use: neither names nor several documents.
pub const GRAMMAR: Grammar = Grammar {
    what: "recipe",
    documents: false,
    aliases: false,
    start: "`csl init` writes a recipe for a data folder",
};

/// The tree of a recipe, with what is wrong with its text. See [`document::parse`].
pub fn parse(text: &str) -> (Option<Node>, Vec<Finding>) {
    document::parse(text, GRAMMAR)
}

/// A recipe that can be run, with what is needed to say more about it later.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The recipe, every default written out.
    pub recipe: Recipe,
    /// The text with places.
    pub tree: Node,
    /// What may not be meant as it is written; no errors.
    pub warnings: Findings,
}

impl Checked {
    /// A typed error of a later check at the place of the recipe it is about: `["members", "looks", "fit"]`.
    pub fn finding(&self, path: &[&str], error: &Error) -> Finding {
        Finding::of(error, self.tree.locate(path)).at(path.join("."))
    }

    /// Later findings (of [`check_against`] or [`Checked::finding`]) with this recipe's text, ready to render.
    pub fn findings(&self, list: Vec<Finding>) -> Findings {
        Findings::new(self.warnings.file.clone(), self.warnings.text.clone(), list)
    }
}

/// Reads a recipe and checks all of it that can be checked without its data.
///
/// `file_name` is shown in findings, and names the runs of a recipe without `name`.
///
/// # Errors
/// Every finding, warnings among them (500 of each at most), if at least one is an error. The program ends with exit code 2.
pub fn load(text: &str, file_name: &str, methods: &Methods) -> Result<Checked, Findings> {
    let (root, refused) = parse(text);
    let Some(root) = root else { return Err(Findings::new(file_name, text, refused)) };
    let mut findings = List::default();
    findings.extend(refused);
    findings.extend(validate(&root, &recipe_schema(methods)));
    if !root.entries().is_empty() {
        names::check(&root, &mut findings);
        references::check(&root, &mut findings);
        columns::check(&root, &mut findings);
        honesty::check(&root, methods, &mut findings);
    }
    let recipe = decode::decode(&root, methods, file_name, &mut findings);
    if recipe.is_none() && !findings.has_errors() {
        findings.push(Finding::error(
            "internal error: a sound recipe was not decoded; please report it",
            root.span,
        ));
    }
    let findings = Findings::new(file_name, text, findings.into_vec());
    match recipe {
        Some(recipe) => Ok(Checked { recipe, tree: root, warnings: findings }),
        None => Err(findings),
    }
}
