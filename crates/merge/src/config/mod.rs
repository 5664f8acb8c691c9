//! Merge files: the grammar of mergekit, with every mistake found at once.

mod decode;
mod model_name;
mod setting;

use std::collections::BTreeMap;

use consilience_core::document::{Content, Finding, Findings, Grammar, Node, Span, parse_all};

pub use model_name::ModelName;
pub use setting::Setting;

use consilience_core::document::List;
use consilience_core::weights::Dtype;

/// What of YAML a merge file may use: all that mergekit reads.
const GRAMMAR: Grammar = Grammar {
    what: "merge file",
    documents: true,
    aliases: true,
    start: "write merge_method: linear, and models: with the models to merge",
};

/// Parameters by name.
pub type Settings = BTreeMap<String, Setting>;

/// One merge: a document of a merge file.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The name by which later documents of the file can use the result.
    pub name: Option<String>,
    /// Where the document stands.
    pub span: Span,
    /// The method's name.
    pub method: String,
    /// Where it stands.
    pub method_span: Span,
    /// The model that all members started from.
    pub base: Option<(ModelName, Span)>,
    /// The parts of the model: one without a name, or several.
    pub modules: Vec<Module>,
    /// Parameters for everything.
    pub parameters: Settings,
    /// What members are rounded to when they are read.
    pub dtype: Option<Dtype>,
    /// What the result is rounded to.
    pub out_dtype: Option<Dtype>,
    /// `tokenizer` or `tokenizer_source`, as it stands.
    pub tokenizer: Option<Node>,
    /// The chat template: a known name or text.
    pub chat_template: Option<(String, Span)>,
    /// The document.
    pub tree: Node,
}

/// A part of a model with layers of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Module {
    /// Its name; `None` for the whole model.
    pub name: Option<String>,
    /// Where it stands.
    pub span: Span,
    /// Its layers, piece by piece.
    pub slices: Vec<Slice>,
    /// Parameters for all of it.
    pub parameters: Settings,
}

/// Layers that follow each other in the result.
#[derive(Debug, Clone, PartialEq)]
pub struct Slice {
    /// Where it stands.
    pub span: Span,
    /// The members, each with the layers that are taken.
    pub sources: Vec<Source>,
    /// The base of this slice instead of the merge's.
    pub base: Option<(ModelName, Span)>,
    /// Parameters for all of it.
    pub parameters: Settings,
}

/// A member of a slice.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// Which model.
    pub model: ModelName,
    /// Where its name stands.
    pub span: Span,
    /// The layers from the first to before the second; `None` for all.
    pub layers: Option<(usize, usize)>,
    /// Parameters for this member.
    pub parameters: Settings,
}

impl Config {
    /// Whether the tokenizers of all models go into the result, and not only the donor's.
    pub fn reads_all_tokenizers(&self) -> bool {
        self.tokenizer.is_some() || self.chat_template.as_ref().is_some_and(|(name, _)| name == "auto")
    }

    /// Every model that it names, each once, in the order of the text; the base last where it is no member.
    pub fn models(&self) -> Vec<(&ModelName, Span)> {
        let mut all: Vec<(&ModelName, Span)> = Vec::new();
        let slices = || self.modules.iter().flat_map(|m| &m.slices);
        let sources = slices().flat_map(|s| s.sources.iter().map(|s| (&s.model, s.span)));
        let bases = self.base.iter().chain(slices().filter_map(|s| s.base.as_ref())).map(|(m, s)| (m, *s));
        for (model, span) in sources.chain(bases) {
            if all.iter().all(|(known, _)| *known != model) {
                all.push((model, span));
            }
        }
        all
    }
}

/// Reads a merge file: its documents in the order in which they are merged, the result last, and warnings. `file_name` is shown in findings.
///
/// # Errors
/// Every finding, if at least one is an error.
pub fn read(text: &str, file_name: &str) -> Result<(Vec<Config>, Findings), Findings> {
    let (configs, findings) = read_all(text);
    let (failed, all) = (findings.has_errors(), Findings::new(file_name, text, findings.into_vec()));
    if failed || configs.is_empty() { Err(all) } else { Ok((configs, all)) }
}

/// As [`read`]: what could be understood, and every finding. Without a document there is an error.
pub(crate) fn read_all(text: &str) -> (Vec<Config>, List) {
    let (roots, refused) = parse_all(text, GRAMMAR);
    let mut findings = List::default();
    findings.extend(refused);
    let mut configs = Vec::new();
    for root in &roots {
        numbers_of_two_kinds(root, text, &mut findings);
        configs.extend(decode::decode(root, &mut findings));
    }
    (decode::ordered(configs, &mut findings), findings)
}

/// Finds whole numbers with a zero in front that are others in YAML 1.1, which mergekit reads, than in YAML 1.2.
fn numbers_of_two_kinds(node: &Node, text: &str, findings: &mut List) {
    match &node.content {
        Content::Int(value) => {
            let written = text.get(node.span.start..node.span.end).unwrap_or_default();
            let octal = written.strip_prefix('0').and_then(|digits| i128::from_str_radix(digits, 8).ok());
            if let Some(octal) = octal.filter(|octal| octal != value) {
                findings.push(
                    Finding::error(
                        format!("{written} is {octal} to mergekit, and {value} in YAML 1.2"),
                        node.span,
                    )
                    .expected("a number without a zero in front")
                    .remedy(format!("write {octal} or {value}")),
                );
            }
        }
        Content::Seq(items) => items.iter().for_each(|item| numbers_of_two_kinds(item, text, findings)),
        Content::Map(entries) => {
            entries.iter().for_each(|entry| numbers_of_two_kinds(&entry.value, text, findings));
        }
        _ => {}
    }
}
