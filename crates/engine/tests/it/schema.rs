//! The JSON schema of a recipe.

use consilience_engine::recipe::{complaints, load, parse, recipe_schema, validate};
use serde_json::{Value, json};

use crate::methods::methods;

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap()
}

#[test]
fn the_schema_is_what_it_was() {
    let schema = recipe_schema(&methods());
    assert_eq!(pretty(&schema), pretty(&recipe_schema(&methods())));
    insta::assert_snapshot!(pretty(&schema));
}

/// Every map whose keys are named is closed, every reference leads somewhere, every parameter has a description.
#[test]
fn the_schema_is_closed_and_described() {
    let schema = recipe_schema(&methods());
    let mut seen = (0, 0, 0);
    walk(&schema, &schema, &mut seen);
    assert!(seen.0 > 20 && seen.1 > 5 && seen.2 > 60, "{seen:?}");
    assert_eq!(complaints(&methods()), Vec::<String>::new());
}

fn walk(root: &Value, value: &Value, seen: &mut (usize, usize, usize)) {
    match value {
        Value::Array(items) => items.iter().for_each(|v| walk(root, v, seen)),
        Value::Object(map) => {
            if let (Some(properties), Some(_)) =
                (map.get("properties").and_then(Value::as_object), map.get("type"))
            {
                seen.0 += 1;
                assert!(map.contains_key("additionalProperties"), "{value}");
                for (key, inner) in properties {
                    seen.2 += 1;
                    let tag = key == "kind" && inner.get("const").is_some();
                    assert!(tag || inner.get("description").is_some(), "{key}: {inner}");
                }
            }
            if let Some(target) = map.get("$ref") {
                seen.1 += 1;
                let pointer = target.as_str().unwrap().strip_prefix('#').unwrap();
                assert!(root.pointer(pointer).is_some(), "{target}");
            }
            map.values().for_each(|v| walk(root, v, seen));
        }
        _ => {}
    }
}

#[test]
fn complaints_name_what_the_check_would_let_through() {
    let mut methods = methods();
    methods.learners[0].schema = json!({
        "type": "object",
        "properties": {
            "on": {"type": "string"},
            "p": {"type": "string", "pattern": "a+"},
            "q": {"type": "array", "items": {"not": {"type": "string"}}},
        },
    });
    let again = methods.fusers[0].clone();
    methods.fusers.push(again);
    let said = complaints(&methods);
    assert_eq!(said.len(), 4, "{said:?}");
    for words in [
        "on is a key of the recipe",
        "logistic.p: the schema word pattern",
        "word not is",
        "soft_vote: the name",
    ] {
        assert!(said.iter().any(|s| s.contains(words)), "{words}: {said:?}");
    }
}

#[test]
fn a_recipe_without_any_method_still_has_a_schema() {
    let none = consilience_engine::recipe::Methods::default();
    let text =
        "version: 1\ntask: classify\ndata: {folder: a}\nsplit: {holdout: 0.2}\nmembers: {a: {fit: x}}\n";
    let findings = load(text, "r.yaml", &none).unwrap_err();
    assert!(findings.findings.iter().any(|f| f.message == "there is no learner named \"x\""), "{findings}");
    assert!(findings.findings.iter().any(|f| f.message.contains("no metric")), "{findings}");
}

/// The words of JSON schema that registered methods use, one by one.
#[test]
fn each_word_of_the_schema_is_checked() {
    for (schema, good, bad) in [
        (json!({"type": "integer"}), "[1, -3, 0x10]", "[1.0, 1.5, a, true, \"1\", ~]"),
        (json!({"type": "number"}), "[1, 1.5, 1e3]", "[a, true, \"1\", [], {}]"),
        (json!({"type": ["string", "null"]}), "[a, \"1\", ~]", "[1, true]"),
        (json!({"type": "integer", "format": "uint8"}), "[0, 255]", "[-1, 256]"),
        (
            json!({"type": "integer", "format": "uint64"}),
            "[18446744073709551615]",
            "[18446744073709551616, -1]",
        ),
        (json!({"type": "number", "exclusiveMinimum": 0, "maximum": 1}), "[1, 0.5]", "[0, 1.01]"),
        (json!({"type": "number", "minimum": 0, "exclusiveMaximum": 1}), "[0, 0.5]", "[-0.1, 1]"),
        (json!({"type": "string", "minLength": 1, "maxLength": 2}), "[a, éé]", "[\"\", abc]"),
        (json!({"enum": ["a", "b", 3]}), "[a, b, 3]", "[c, 4, ~]"),
        (json!({"const": 3}), "[3]", "[4, \"3\"]"),
        (
            json!({"anyOf": [{"oneOf": [{"const": "a"}, {"const": "b"}]}, {"type": "null"}]}),
            "[a, ~]",
            "[c, 1]",
        ),
        (
            json!({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "integer"}}]}),
            "[a, [1]]",
            "[1, [a]]",
        ),
        (json!({"allOf": [{"type": "integer"}, {"minimum": 2}]}), "[2]", "[1, a]"),
        (
            json!({"type": "array", "prefixItems": [{"type": "string"}], "items": {"type": "integer"}}),
            "[[a, 1]]",
            "[[1], [a, b]]",
        ),
        (json!({"type": "array", "minItems": 1, "maxItems": 2}), "[[1], [1, 2]]", "[[], [1, 2, 3]]"),
        (json!({"type": "array", "uniqueItems": true}), "[[1, 2], []]", "[[1, 1]]"),
        (
            json!({"type": "object", "properties": {"a": true}, "additionalProperties": {"type": "integer"}}),
            "[{a: x, b: 1}]",
            "[{b: x}]",
        ),
        (json!({"type": "object", "properties": {"a": true}, "required": ["a"]}), "[{a: 1}]", "[{b: 1}]"),
        (json!({"type": "object", "additionalProperties": false}), "[{}]", "[{a: 1}]"),
        (json!({"type": "object", "minProperties": 1, "maxProperties": 1}), "[{a: 1}]", "[{}, {a: 1, b: 2}]"),
        (json!(true), "[1, a, ~]", "[]"),
        (json!(false), "[]", "[1, a]"),
        (json!({"$ref": "#/$defs/d"}), "[1]", "[a]"),
        (
            json!({"oneOf": [
                {"type": "object", "properties": {"kind": {"const": "a"}, "x": {"type": "integer"}}, "required": ["kind", "x"], "additionalProperties": false},
                {"type": "object", "properties": {"kind": {"const": "b"}}, "required": ["kind"], "additionalProperties": false},
            ]}),
            "[{kind: a, x: 1}, {kind: b}]",
            "[{kind: a, x: q}, {kind: b, y: 1}]",
        ),
    ] {
        let list = json!({"type": "array", "items": schema, "$defs": {"d": {"type": "integer"}}});
        let check = |text: &str| validate(&parse(text).0.unwrap(), &list);
        assert_eq!(check(good), [], "{schema} {good}");
        let (items, found) = (parse(bad).0.unwrap().items().len(), check(bad));
        assert_eq!(found.len(), items, "{schema} {bad}: {found:#?}");
        for (i, finding) in found.iter().enumerate() {
            assert!(finding.path.starts_with(&format!("[{i}]")), "{schema}: {finding:?}");
        }
    }
}
