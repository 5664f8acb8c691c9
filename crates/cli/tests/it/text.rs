//! Texts the whole way: vocabularies learned or given in a file, networks that read tokens, fusions with a table.

use serde_json::{Value, json};

use super::sandbox::{Chance, Sandbox, same_bytes};

const DATA: &str = "\
version: 1
name: reviews
task: classify
seed: 7
data:
  table: t.csv
  columns:
    id: {role: id}
    y: {role: target}
    text: {type: text}
split: {holdout: 0.25, validation: 0.2, stratify: y}
honest: validation
";

/// Reviews whose verdict lies in the order of their words, a table with a number that knows a little; every 17th has no text.
fn reviews(rows: usize) -> Vec<String> {
    let mut chance = Chance(3);
    let mut lines = vec!["id,text,a,y".to_owned()];
    let things = ["film", "book", "lamp", "kettle", "song", "chair", "radio", "knife"];
    for i in 0..rows {
        let likes = chance.unit() < 0.5;
        let mut thing = || things[(chance.bits() % 8) as usize];
        let (one, two) = (thing(), thing());
        let (first, second) = if likes { ("good", "bad") } else { ("bad", "good") };
        let text = match i % 17 {
            5 => String::new(),
            _ => format!("The {one} is {first} not {second} and so is the {two}."),
        };
        let a = 0.5 * f64::from(u8::from(likes)) + chance.noise();
        lines.push(format!("{i},{text},{a:.4},{}", if likes { "yes" } else { "no" }));
    }
    lines
}

fn score(outcome: &Value, name: &str) -> f64 {
    let all = outcome["candidates"].as_array().unwrap();
    let one = all.iter().find(|c| c["name"] == name).unwrap_or_else(|| panic!("no {name}"));
    let scores = one["scores"].as_array().unwrap();
    scores.iter().find(|s| s["metric"] == "accuracy").unwrap()["value"].as_f64().unwrap()
}

#[test]
fn words_in_their_order_are_learned_and_models_hold_their_vocabulary() {
    let sandbox = Sandbox::new();
    let lines = reviews(400);
    sandbox.table("t.csv", &lines);
    let quick = "epochs: 12, rate: 0.01, inner: 0";
    sandbox.write(
        "r.yaml",
        format!(
            "{DATA}members:
  words: {{fit: logistic, on: [text], features: {{text: [{{tfidf: {{ngrams: 1}}}}]}}}}
  bag: {{fit: text_bag, on: [text], {quick}}}
  scans: {{fit: text_cnn, on: [text], width: 16, filters: 16, {quick}}}
  attends: {{fit: transformer, on: [text], width: 32, heads: 2, {quick}, features: {{text: [{{tokens: {{length: 20, vocabulary: 300, lowercase: true}}}}]}}}}
  knows: {{fit: logistic, on: [table]}}
synthesis:
  vote: {{fuse: soft_vote, of: [scans, knows]}}
  joint: {{fusion: concat, on: [text, table], encoders: {{text: {{text_cnn: {{width: 16, filters: 16}}}}}}, {quick}}}
judge: {{choose: log_loss, report: [accuracy], resamples: 200}}
"
        ),
    );
    let plan = sandbox.csl(&["plan", "r.yaml", "--json"]).fine().json().to_string();
    for line in ["text[128]", "text[20]", "encoders.text.window3 16", "block2.attention 20x32, 2 heads"] {
        assert!(plan.contains(line), "{line}: {plan}");
    }
    let outcome = sandbox.csl(&["run", "r.yaml", "--json", "--threads", "1", "--runs", "one"]).fine().json();
    for name in ["scans", "attends", "joint"] {
        let got = score(&outcome, name);
        assert!(got > 0.9, "{name}: {got}");
    }
    for name in ["words", "bag"] {
        let got = score(&outcome, name);
        assert!(got < 0.7, "{name} has read what it cannot: {got}");
    }
    sandbox.csl(&["run", "r.yaml", "--threads", "2", "--runs", "two"]).fine();
    same_bytes(&sandbox.run("one"), &sandbox.run("two"));
    let model = sandbox.run("one").join("model");
    let new =
        ["id,text,a", "a,the sofa is good not bad and so is the drum.,0", "b,,0", "c,\u{6f22} \u{1f642},0"];
    sandbox.table("new.csv", &new.map(str::to_owned));
    sandbox.csl(&["predict", model.to_str().unwrap(), "new.csv", "--out", "p.csv"]).fine();
    let said = std::fs::read_to_string(sandbox.path("p.csv")).unwrap();
    assert!(said.contains("\na,yes,") && said.lines().count() == 4, "{said}");
}

#[test]
fn a_given_vocabulary_is_part_of_the_hash_and_of_the_model() {
    let sandbox = Sandbox::new();
    sandbox.table("t.csv", &reviews(80));
    let words = ["[UNK]", "the", "is", "not", "good", "bad", "##d", "film", "."];
    let vocabulary = |words: &[&str]| {
        let vocab: serde_json::Map<String, Value> =
            words.iter().enumerate().map(|(i, w)| ((*w).to_owned(), json!(i))).collect();
        let model = json!({"type": "WordPiece", "unk_token": "[UNK]", "vocab": vocab});
        let file = json!({
            "normalizer": {"type": "BertNormalizer"}, "pre_tokenizer": {"type": "BertPreTokenizer"}, "model": model,
        });
        sandbox.write("words/tokenizer.json", file.to_string());
    };
    let recipe = format!(
        "{DATA}members:\n  scans: {{fit: text_cnn, on: [text], epochs: 2, features: {{text: [{{tokens: {{file: words/tokenizer.json}}}}]}}}}\njudge: {{choose: log_loss, resamples: 0}}\n"
    );
    sandbox.write("r.yaml", &recipe);
    sandbox.csl(&["check", "r.yaml"]).fails(3, &["words/tokenizer.json"]);
    vocabulary(&words);
    sandbox.csl(&["run", "r.yaml"]).fine();
    let first = sandbox.run("runs");
    // The same words with other numbers are another step.
    vocabulary(&[&words[..2], &["film", "is"], &words[3..7], &["."]].concat());
    sandbox.csl(&["run", "r.yaml", "--runs", "other"]).fine();
    assert_ne!(first.file_name(), sandbox.run("other").file_name());
    // The model needs no file.
    std::fs::remove_dir_all(sandbox.path("words")).unwrap();
    let model = first.join("model");
    sandbox.csl(&["predict", model.to_str().unwrap(), "t.csv", "--out", "p.csv"]).fine();
    sandbox.write("words/tokenizer.json", "{\"model\": {\"type\": \"Unigram\", \"vocab\": []}}");
    sandbox.csl(&["run", "r.yaml", "--runs", "third"]).fails(3, &["Unigram", "tokenizer.json", "text"]);
}

#[test]
fn what_does_not_go_together_is_told_before_anything_is_fitted() {
    let sandbox = Sandbox::new();
    sandbox.table("t.csv", &reviews(80));
    let check = |member: &str, says: &[&str]| {
        sandbox.write("r.yaml", format!("{DATA}members:\n  one: {member}\njudge: {{choose: log_loss}}\n"));
        sandbox.csl(&["check", "r.yaml"]).fails(2, says);
    };
    check("{fit: mlp, on: [text], features: {text: [tokens]}}", &["numbers of tokens", "text_cnn", "tfidf"]);
    check("{fit: logistic, on: [text], features: {text: [tokens]}}", &["numbers of tokens", "text", "tfidf"]);
    check("{fit: text_cnn, on: [table]}", &["the text_cnn encoder cannot read", "tokens"]);
    check(
        "{fit: text_cnn, on: [text], features: {text: [tokens, standardize]}}",
        &["standardize", "names, not amounts"],
    );
    check(
        "{fit: text_cnn, on: [text], features: {text: [{tokens: {file: t.json, vocabulary: 500}}]}}",
        &["vocabulary", "file"],
    );
    sandbox.no_run();
}
