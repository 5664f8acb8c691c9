//! Small tokenizers, merged. The rows that are compared with mergekit are those of its version 0.1.4 on the same files.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use consilience_core::document::{Finding, Grammar, List, Node, Severity, parse};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

const NAMES: [&str; 3] = ["first", "second", "third"];

fn added(id: usize, content: &str, special: bool) -> Value {
    json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": !special, "special": special})
}

fn numbered(tokens: &[&str]) -> Value {
    tokens
        .iter()
        .enumerate()
        .map(|(i, t)| ((*t).to_owned(), json!(i)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn bpe(tokens: &[&str], merges: Value, added: Value) -> Value {
    json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": null,
        "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null, "decoder": null,
        "model": {"type": "BPE", "dropout": null, "unk_token": "<unk>", "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": numbered(tokens), "merges": merges}})
}

fn three() -> [Value; 3] {
    [
        bpe(
            &["<unk>", "a", "b", "c", "ab"],
            json!([["a", "b"]]),
            json!([added(5, "<s>", true), added(6, "<pad>", true)]),
        ),
        bpe(
            &["<unk>", "b", "a", "c", "d", "bc", "cd"],
            json!([["b", "c"], ["c", "d"]]),
            json!([added(7, "<|im_start|>", true), added(8, "<s>", true)]),
        ),
        bpe(
            &["<unk>", "a", "c", "b", "e", "d", "ab", "de"],
            json!([["a", "b"], ["d", "e"]]),
            json!([added(8, "zz", false), added(9, "<|im_start|>", false)]),
        ),
    ]
}

fn unigram(pieces: Value, added: Value) -> Value {
    json!({"added_tokens": added, "model": {"type": "Unigram", "unk_id": 0, "vocab": pieces}})
}

/// A folder with a tokenizer.
fn folder(tokenizer: &Value) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
    dir
}

fn read(tokenizer: &Value) -> Vocabulary {
    Vocabulary::read(folder(tokenizer).path()).unwrap()
}

fn yaml(text: &str) -> Node {
    let grammar = Grammar { what: "merge file", documents: false, aliases: true, start: "" };
    parse(text, grammar).0.unwrap()
}

fn decode(text: &str, findings: &mut List) -> TokenizerSettings {
    let member = |node: &Node, path: &str, findings: &mut List| {
        let name = node.text().or(node.get("model").and_then(Node::text)).unwrap_or_default();
        let found = NAMES.iter().position(|n| *n == name);
        if found.is_none() {
            findings.push(Finding::error("no such model", node.span).at(path));
        }
        found
    };
    TokenizerSettings::decode(&yaml(text), "tokenizer", &member, findings)
}

fn members(all: &[Vocabulary]) -> Vec<Member<'_>> {
    let member = |(vocabulary, name): (_, &'static &str)| (vocabulary, *name);
    all.iter()
        .zip(&NAMES)
        .map(member)
        .map(|(v, name)| Member { name, vocabulary: v, rows: v.len() })
        .collect()
}

/// The rows of each member by token: row `r` of member `m` is `1000 (m + 1) + r`.
fn values(merged: &MergedTokenizer<'_>) -> Vec<BTreeMap<String, f64>> {
    let number = |m: u32, r: u32| f64::from(1000 * (m + 1) + r);
    let rows = &merged.rows;
    let value = |m: usize, row: &Row| match *row {
        Row::Own(r) => number(m as u32, r),
        Row::Other { member, row } => number(member, row),
        Row::Mean { .. } => {
            let of = rows.mean(*row);
            of.iter().map(|(m, r)| number(*m, *r)).sum::<f64>() / of.len() as f64
        }
        Row::Zero => 0.0,
        Row::Padding => -1.0,
    };
    let token = |i: usize| merged.vocabulary().token(i as u32).map_or(format!("{i}"), str::to_owned);
    let of = |m: usize| rows.of[m].iter().enumerate().map(|(i, row)| (token(i), value(m, row))).collect();
    (0..rows.of.len()).map(of).collect()
}

fn expect(values: &BTreeMap<String, f64>, expected: &[(&str, f64)]) {
    for (token, value) in expected {
        assert_eq!(values.get(*token), Some(value), "{token}");
    }
}

/// What a merge says of the three.
fn said(settings: &str, base: Option<usize>) -> (Vec<BTreeMap<String, f64>>, Vec<Finding>) {
    let all = three().map(|t| read(&t));
    let mut findings = List::default();
    let settings = decode(settings, &mut findings);
    let merged = MergedTokenizer::plan(&settings, &members(&all), base, &mut findings);
    (merged.map(|m| values(&m)).unwrap_or_default(), findings.into_vec())
}

#[test]
fn a_union_has_the_tokens_of_the_base_first_and_every_row_its_origin() {
    let all = three().map(|t| read(&t));
    let mut findings = List::default();
    let settings = decode("{source: union, pad_to_multiple_of: 8}", &mut findings);
    let merged = MergedTokenizer::plan(&settings, &members(&all), Some(0), &mut findings).unwrap();
    let order: Vec<_> = (0..14).map(|i| merged.vocabulary().token(i).unwrap()).collect();
    let expected =
        ["<unk>", "a", "b", "c", "ab", "<s>", "<pad>", "d", "bc", "cd", "<|im_start|>", "e", "de", "zz"];
    assert_eq!(order, expected);
    assert_eq!((merged.rows.tokens, merged.donor()), (16, 0));
    let rows = values(&merged);
    let own: Vec<(&str, f64)> = order[..7].iter().zip(1000..).map(|(t, v)| (*t, f64::from(v))).collect();
    expect(&rows[0], &own);
    // As mergekit has them.
    expect(&rows[0], &[("d", 2504.5), ("cd", 2006.0), ("bc", 2005.0), ("e", 3004.0), ("de", 3007.0)]);
    expect(&rows[0], &[("<|im_start|>", 2508.0), ("zz", 3008.0), ("14", -1.0), ("15", -1.0)]);
    expect(&rows[1], &[("<unk>", 2000.0), ("a", 2002.0), ("b", 2001.0), ("ab", 1004.0), ("<s>", 2008.0)]);
    expect(&rows[1], &[("<pad>", 1006.0), ("d", 2004.0), ("e", 3004.0), ("<|im_start|>", 2007.0)]);
    expect(&rows[2], &[("b", 3003.0), ("c", 3002.0), ("ab", 3006.0), ("<s>", 1005.0), ("bc", 2005.0)]);
    let found = findings.into_vec();
    assert!(found.iter().all(|f| f.severity == Severity::Warning));
    let added = |f: &Finding| {
        f.message.contains("added in another way in \"third\"") && f.got.contains("<|im_start|>")
    };
    assert!(found.iter().any(added), "{found:?}");
}

#[test]
fn without_a_base_a_token_that_one_lacks_is_the_mean_of_the_others() {
    let (rows, _) = said("union", None);
    expect(&rows[2], &[("<s>", 1506.5), ("<pad>", 1006.0), ("bc", 2005.0)]);
    expect(&rows[1], &[("ab", 2005.0)]);
}

#[test]
fn one_vocabulary_is_kept_and_the_rows_of_others_move() {
    let (rows, findings) = said("{source: base}", Some(0));
    assert_eq!(rows[1].len(), 7);
    expect(&rows[1], &[("a", 2002.0), ("b", 2001.0), ("ab", 1004.0), ("<s>", 2008.0), ("<pad>", 1006.0)]);
    assert!(findings.is_empty());
    let (rows, _) = said("second", Some(0));
    expect(&rows[0], &[("b", 1002.0), ("a", 1001.0), ("d", 2504.5), ("<|im_start|>", 2508.0)]);
    expect(&rows[2], &[("d", 3005.0), ("bc", 2005.0), ("<|im_start|>", 3009.0), ("<s>", 1005.0)]);
    let all = three().map(|t| read(&t));
    let mut findings = List::default();
    let settings = decode("base", &mut findings);
    let merged = MergedTokenizer::plan(&settings, &members(&all), Some(1), &mut findings).unwrap();
    assert!(merged.rows.is_whole(1, 9) && !merged.rows.is_whole(0, 7) && !merged.rows.is_whole(1, 10));
}

#[test]
fn what_is_said_of_a_token_goes_before_the_rest() {
    let (rows, findings) = said(
        r#"{source: union, tokens: {
            a: {source: first, force: true}, e: {source: {kind: model_token, model: first, token: c}},
            de: {source: {kind: model_token, model: first, token_id: 2}}, d: {source: third},
            bc: {source: {kind: model_token, model: third, token_id: 9}, force: true}, ab: {source: third},
            nope: {source: {kind: model_token, model: first, token: c}}, "<pad>": {source: {kind: zero}}}}"#,
        Some(0),
    );
    assert!(findings.iter().all(|f| f.severity == Severity::Warning), "{findings:?}");
    expect(&rows[1], &[("a", 1001.0), ("e", 1003.0), ("de", 1002.0), ("d", 2004.0), ("bc", 3009.0)]);
    expect(&rows[1], &[("ab", 3006.0), ("nope", 1003.0), ("<pad>", 0.0), ("b", 2001.0)]);
    expect(&rows[0], &[("d", 3005.0), ("ab", 1004.0), ("<pad>", 1006.0), ("bc", 3009.0), ("nope", 1003.0)]);
    expect(&rows[2], &[("a", 1001.0), ("e", 3004.0), ("bc", 3009.0), ("<pad>", 0.0)]);
}

#[test]
fn every_mistake_in_the_section_is_found() {
    for (text, message) in [
        ("{sauce: union}", "\"sauce\" is not known"),
        ("[union]", "says nothing of a tokenizer"),
        ("fourth", "no such model"),
        ("{pad_to_multiple_of: 0}", "cannot be padded"),
        ("{pad_to_multiple_of: 1.5}", "cannot be padded"),
        ("{tokens: [a]}", "tokens are a map"),
        ("{tokens: {a: first}}", "is a map"),
        ("{tokens: {a: {force: true}}}", "not said where"),
        ("{tokens: {a: {source: first, force: maybe}}}", "true or false"),
        ("{tokens: {a: {source: first, farce: true}}}", "not known"),
        ("{tokens: {a: {source: fourth}}}", "no such model"),
        ("{tokens: {a: {source: {kind: zeroes}}}}", "does not come from this"),
        ("{tokens: {a: {source: {kind: zero, model: first}}}}", "not known"),
        ("{tokens: {a: {source: {kind: model_token}}}}", "which model"),
        ("{tokens: {a: {source: {kind: model_token, model: first, token: a, token_id: 1}}}}", "beside token"),
        ("{tokens: {a: {source: {kind: model_token, model: first, token: 1}}}}", "a token is text"),
        ("{tokens: {a: {source: {kind: model_token, model: first, token_id: -1}}}}", "no number of a token"),
        ("{tokens: {a: {source: {kind: model_token, model: first, token_id: 99}}}}", "no such row"),
        ("{tokens: {ab: {source: second}}}", "\"second\" has no row for the token \"ab\""),
        ("{source: base, tokens: {zz: {source: third}}}", "no token \"zz\""),
        ("{tokens: {a: {source: first}}}", "no model lacks the token \"a\""),
    ] {
        let (_, findings) = said(text, Some(0));
        let found = findings.iter().find(|f| f.message.contains(message));
        assert!(found.is_some(), "{text}: {findings:?}");
    }
}

#[test]
fn rows_without_tokens_and_tokens_without_rows_are_said() {
    let [first, second, _] = three().map(|t| read(&t));
    let mut findings = List::default();
    let both = [
        Member { name: "first", vocabulary: &first, rows: 6 },
        Member { name: "second", vocabulary: &second, rows: 12 },
    ];
    let merged =
        MergedTokenizer::plan(&decode("union", &mut findings), &both, Some(0), &mut findings).unwrap();
    expect(&values(&merged)[0], &[("<s>", 1005.0), ("<pad>", 0.0)]);
    let found = findings.into_vec();
    for message in
        ["3 rows of \"second\" belong to no", "\"first\" has tokens without", "1 tokens have no row"]
    {
        assert!(found.iter().any(|f| f.message.contains(message)), "{message}: {found:?}");
    }
    // A member's token without a row does not come into the union.
    let mut findings = List::default();
    let both = [
        Member { name: "first", vocabulary: &first, rows: 7 },
        Member { name: "second", vocabulary: &second, rows: 7 },
    ];
    let merged =
        MergedTokenizer::plan(&decode("union", &mut findings), &both, Some(0), &mut findings).unwrap();
    assert_eq!(merged.vocabulary().number("<|im_start|>"), None);
}

#[test]
fn gaps_are_padding() {
    let mut gap = three()[0].clone();
    gap["added_tokens"][1]["id"] = json!(8);
    let all = [read(&gap), read(&three()[1])];
    let mut findings = List::default();
    let merged =
        MergedTokenizer::plan(&decode("union", &mut findings), &members(&all), Some(0), &mut findings)
            .unwrap();
    assert_eq!((all[0].len(), merged.vocabulary().number("d")), (9, Some(9)));
    assert_eq!(merged.rows.of[1][6..9], [Row::Padding, Row::Padding, Row::Other { member: 0, row: 8 }]);
    let out = tempfile::tempdir().unwrap();
    merged.write(out.path(), None).unwrap();
    assert_eq!(Vocabulary::read(out.path()).unwrap().number("d"), Some(9));
}

#[test]
fn what_is_written_is_read_as_the_same() {
    let dirs = three().map(|t| folder(&t));
    let write = |name: &str, text: &str| fs::write(dirs[0].path().join(name), text).unwrap();
    write(
        "tokenizer_config.json",
        r#"{"z": 1, "added_tokens_decoder": {"5": {"content": "<s>", "special": true}}, "model_max_length": 1000000000000000019884624838656, "a": 2}"#,
    );
    write("special_tokens_map.json", r#"{"bos_token": "<s>"}"#);
    write("vocab.json", "{}");
    write("chat_template.jinja", "{{ old }}");
    let all = dirs.each_ref().map(|d| Vocabulary::read(d.path()).unwrap());
    let mut findings = List::default();
    let merged =
        MergedTokenizer::plan(&decode("union", &mut findings), &members(&all), Some(0), &mut findings)
            .unwrap();
    let found = std::mem::take(&mut findings).into_vec();
    assert!(
        found.iter().any(|f| f.message.contains("vocab.json only hold the tokens of \"first\"")),
        "{found:?}"
    );
    let out = tempfile::tempdir().unwrap();
    let written = merged.write(out.path(), Some("{{ new }}")).unwrap();
    assert_eq!(written, ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"]);
    let again = Vocabulary::read(out.path()).unwrap();
    assert!(again.tokens.iter().eq(merged.vocabulary().tokens.iter()));
    assert_eq!(&again.merges, &merged.vocabulary().merges);
    assert_eq!((&again.added, again.chat_template()), (&merged.vocabulary().added, Some("{{ new }}")));
    let merges: Vec<_> =
        again.merges.iter().map(|[l, r]| [again.token(*l).unwrap(), again.token(*r).unwrap()]).collect();
    assert_eq!(merges, [["a", "b"], ["b", "c"], ["c", "d"], ["d", "e"]]);
    let text = fs::read_to_string(out.path().join("tokenizer_config.json")).unwrap();
    assert!(text.contains("\"model_max_length\": 1000000000000000019884624838656,"), "{text}");
    let config: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(config["added_tokens_decoder"]["13"]["content"], "zz");
    assert_eq!(config["added_tokens_decoder"]["10"]["special"], true);
    assert!(text.find("\"z\"") < text.find("\"a\""));
    let text = fs::read_to_string(out.path().join("tokenizer.json")).unwrap();
    assert!(text.find("\"zz\": 13") > text.find("\"<|im_start|>\": 10"), "tokens stand in order");

    let merged =
        MergedTokenizer::plan(&decode("base", &mut findings), &members(&all), Some(0), &mut findings)
            .unwrap();
    let out = tempfile::tempdir().unwrap();
    merged.write(out.path(), None).unwrap();
    for name in ["tokenizer.json", "tokenizer_config.json", "vocab.json", "chat_template.jinja"] {
        let bytes = |dir: &Path| fs::read(dir.join(name)).unwrap();
        assert_eq!(bytes(out.path()), bytes(dirs[0].path()), "{name}");
    }
}

#[test]
fn scored_tokens_keep_their_scores_and_kinds_do_not_mix() {
    let pieces = |extra: &str, score: f64| json!([["<unk>", 0.0], ["a", -1.5], [extra, score]]);
    let all = [
        read(&unigram(pieces("q", -3.0), json!([added(3, "<pad>", true)]))),
        read(&unigram(pieces("r", -2.5), json!([added(3, "<x>", true)]))),
    ];
    let mut findings = List::default();
    let settings = decode("union", &mut findings);
    let merged = MergedTokenizer::plan(&settings, &members(&all), Some(0), &mut findings).unwrap();
    let out = tempfile::tempdir().unwrap();
    merged.write(out.path(), None).unwrap();
    let file: Value = serde_json::from_slice(&fs::read(out.path().join("tokenizer.json")).unwrap()).unwrap();
    let expected =
        json!([["<unk>", 0.0], ["a", -1.5], ["q", -3.0], ["<pad>", -3.0], ["r", -2.5], ["<x>", -3.0]]);
    assert_eq!(file["model"]["vocab"], expected);

    let mixed = [all[0].clone(), read(&three()[0])];
    assert!(MergedTokenizer::plan(&settings, &members(&mixed), None, &mut findings).is_none());
    let base = decode("base", &mut findings);
    assert!(findings.has_errors());
    let merged = MergedTokenizer::plan(&base, &members(&mixed), None, &mut findings).unwrap();
    expect(&values(&merged)[1], &[("a", 2001.0), ("<pad>", 2006.0), ("q", 1002.0)]);
}

#[test]
fn ways_to_cut_texts_that_differ_are_said() {
    let mut other = three()[1].clone();
    other["pre_tokenizer"] = json!({"type": "ByteLevel"});
    other["model"]["byte_fallback"] = json!(true);
    let all = [read(&three()[0]), read(&other)];
    let mut findings = List::default();
    MergedTokenizer::plan(&decode("union", &mut findings), &members(&all), None, &mut findings).unwrap();
    let found = findings.into_vec();
    assert!(found[0].got.contains("pre_tokenizer, byte_fallback"), "{found:?}");
}

#[test]
fn the_most_common_template_is_taken_and_of_equals_the_first() {
    let with = |text: &str| {
        let dir = folder(&three()[0]);
        let config = json!({"chat_template": [{"name": "tool", "template": "x"}, {"name": "default", "template": text}]});
        fs::write(dir.path().join("tokenizer_config.json"), config.to_string()).unwrap();
        Vocabulary::read(dir.path()).unwrap()
    };
    let auto = |all: &[Vocabulary]| {
        let templates: Vec<&str> = all.iter().filter_map(Vocabulary::chat_template).collect();
        chat_template("auto", &templates).unwrap()
    };
    assert_eq!(auto(&[with("one"), with("two"), with("two")]).as_deref(), Some("two"));
    assert_eq!(auto(&[with("one"), with("two")]).as_deref(), Some("one"));
    assert_eq!(auto(&[read(&three()[0])]), None);
}

#[test]
fn files_that_cannot_be_are_refused() {
    let good = three()[0].to_string();
    let vocab = |text: &str| format!(r#"{{"model":{{"type":"WordLevel","vocab":{text}}}}}"#);
    let change = |key: &str, value: Value| {
        let mut file = three()[0].clone();
        *file.pointer_mut(key).unwrap() = value;
        file.to_string()
    };
    let many = format!(r#"{{"model":{{"type":"Unigram","vocab":[{}["",0]]}}}}"#, "[\"\",0],".repeat(1 << 22));
    for (text, message) in [
        (good[..good.len() / 2].to_owned(), "EOF"),
        (String::new(), "EOF"),
        ("[]".to_owned(), "the map of a tokenizer"),
        ("{}".to_owned(), "no model with a vocab"),
        (vocab("{}"), "no token"),
        (vocab("[[\"a\", 0]]"), "a map from tokens to numbers"),
        (vocab("{\"a\": -1}"), "u32"),
        (vocab("{\"a\": 1.5}"), "u32"),
        (vocab("{\"a\": NaN}"), "expected value"),
        (vocab("{\"a\": 99999999999}"), "u32"),
        (vocab("{\"a\": 4194304}"), "below 4194304"),
        (vocab("{\"a\": 0, \"a\": 1}"), "has two numbers"),
        (vocab("{\"a\": 0, \"b\": 0}"), "have the same number"),
        (many, "more than 4194304 tokens"),
        (vocab("{\"a\": 0}").replace("WordLevel", "Other"), "WordLevel or Unigram"),
        (vocab("{\"a\": 0}").replace("\"type\":\"WordLevel\",", ""), "does not say of which kind"),
        (vocab("[[\"a\", 1e999]]").replace("WordLevel", "Unigram"), "out of range"),
        (vocab("[[\"a\", NaN]]").replace("WordLevel", "Unigram"), "expected value"),
        (change("/model/merges", json!([["a", "nope"]])), "\"nope\", which has no number"),
        (change("/model/merges", json!([["a"]])), "of two tokens"),
        (change("/model/merges", json!(["a b c"])), "not of two tokens"),
        (change("/added_tokens/0/id", json!(4)), "\"ab\" and \"<s>\" have the same number"),
        (change("/added_tokens/0/content", json!("a")), "\"a\" has two numbers"),
        (change("/added_tokens/0/id", json!(u32::MAX)), "too large"),
        ("{\"model\": 1, \"model\": 2}".to_owned(), "the map of a model"),
        (format!("{{\"x\": {}", "[".repeat(100_000)), "recursion"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("tokenizer.json"), &text).unwrap();
        let error = Vocabulary::read(dir.path()).unwrap_err().to_string();
        assert!(error.contains(message) && error.contains("tokenizer.json"), "{message}: {error}");
    }
}

#[test]
fn other_files_must_agree() {
    for (name, text, message) in [
        ("tokenizer_config.json", r#"{"added_tokens_decoder": {"1": {"content": "<s>"}}}"#, "two numbers: 1"),
        ("tokenizer_config.json", r#"{"added_tokens_decoder": {"x": {"content": "<s>"}}}"#, "no added token"),
        ("tokenizer_config.json", "[]", "a map of settings"),
        ("tokenizer_config.json", "{", "EOF"),
        ("added_tokens.json", r#"{"<new>": 2}"#, "the same number"),
        ("chat_template.jinja", "\u{0}", ""),
    ] {
        let dir = folder(&three()[0]);
        fs::write(dir.path().join(name), text).unwrap();
        let read = Vocabulary::read(dir.path());
        if message.is_empty() {
            read.unwrap();
        } else {
            let error = read.unwrap_err().to_string();
            let words = message.split(": ").next().unwrap();
            assert!(error.contains(words) && error.contains(name), "{message}: {error}");
        }
    }
    let dir = tempfile::tempdir().unwrap();
    assert!(Vocabulary::read(dir.path()).unwrap_err().to_string().contains("no tokenizer.json"));
    fs::write(dir.path().join("tokenizer.model"), "x").unwrap();
    let error = Vocabulary::read(dir.path()).unwrap_err().to_string();
    assert!(error.contains("only tokenizer.model, which is not supported alone"), "{error}");
}
