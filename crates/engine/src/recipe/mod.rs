//! Recipes: from YAML text to a checked [`Recipe`], with every finding at once.
//!
//! The text becomes a tree that knows where everything stands ([`parse`]); the tree is checked by path against the
//! schema that the registries give ([`recipe_schema`], [`validate`]); then what a schema cannot say is checked, each
//! method checks its own parameters, and only a recipe without errors is decoded ([`load`]).

mod columns;
mod decode;
mod expect;
mod finding;
mod honesty;
mod init;
mod methods;
mod names;
mod references;
mod render;
mod resolved;
mod scalar;
mod schema;
mod tree;
mod types;
mod validate;
mod yaml;

use consilience_core::Error;
use finding::List;

pub use columns::{check_against, check_names};
pub use finding::{Finding, Findings, Severity};
pub use init::{Facts, Sounds, init};
pub use methods::{MethodInfo, Methods, MetricInfo};
pub use resolved::resolved_yaml;
pub use schema::{complaints, recipe_schema};
pub use tree::{Content, Entry, MAX_BYTES, MAX_DEPTH, MAX_NODES, Node, Span, parse};
pub use types::{Call, Judge, Member, Recipe, Seen, Synthesis, augment_value};
pub use validate::validate;

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
