//! Where two resolved configs differ, as manifests keep them.

use super::Config;
use crate::plan::file_name;
use serde_json::{Map, Value};

/// A key at which two configs differ.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Difference {
    /// From the top: `backends.0.options.threads`; empty where one is no config at all.
    pub(crate) key: String,
    /// What each has there.
    pub(crate) values: [Value; 2],
}

/// The first key at which two configs differ.
pub(crate) fn first_difference(a: &Value, b: &Value) -> Option<Difference> {
    below(a, b, "")
}

fn below(a: &Value, b: &Value, at: &str) -> Option<Difference> {
    let key_of = |key: &str| if at.is_empty() { key.to_string() } else { format!("{at}.{key}") };
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let keys = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key)));
            keys.into_iter().find_map(|key| {
                let of = |map: &Map<String, Value>| map.get(key).cloned().unwrap_or(Value::Null);
                below(&of(a), &of(b), &key_of(key))
            })
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).enumerate().find_map(|(i, (a, b))| below(a, b, &key_of(&i.to_string())))
        }
        _ => (a != b).then(|| Difference { key: at.to_string(), values: [a.clone(), b.clone()] }),
    }
}

/// `config` without the folders that its files lie in, which differ from machine to machine: what cells' ids leave
/// out too, and the corpus. A key that an older host did not know has its default.
pub(crate) fn without_places(config: &Value) -> Value {
    let known = serde_json::from_value::<Config>(config.clone()).and_then(serde_json::to_value);
    let mut config = measured(&known.unwrap_or_else(|_| config.clone()));
    let lists = [("models", "source"), ("backends", "plugin")];
    for (list, key) in lists {
        let entries = config.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
        entries.for_each(|entry| strip(entry, key));
    }
    for (table, key) in [("run", "prompt_text"), ("accuracy", "text"), ("accuracy", "tokens")] {
        if let Some(table) = config.get_mut(table) {
            strip(table, key);
        }
    }
    config
}

/// `config` without what is said of reports alone, which may change from one part of a run to the next.
pub(crate) fn measured(config: &Value) -> Value {
    let mut config = config.clone();
    if let Some(keys) = config.as_object_mut() {
        keys.remove("report");
    }
    config
}

fn strip(table: &mut Value, key: &str) {
    let Some(value) = table.get_mut(key) else { return };
    if let Some(path) = value.as_str() {
        *value = file_name(path).into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_first_difference_is_named_with_both_values() {
        let a = json!({"seed": 1, "run": {"rounds": 2}, "models": [{"name": "a"}]});
        let cases = [
            (json!({"seed": 1, "run": {"rounds": 2}, "models": [{"name": "a"}]}), None),
            (
                json!({"seed": 1, "run": {"rounds": 3}, "models": [{"name": "a"}]}),
                Some(("run.rounds", json!(3))),
            ),
            (
                json!({"seed": 1, "run": {"rounds": 2}, "models": [{"name": "b"}]}),
                Some(("models.0.name", json!("b"))),
            ),
            (json!({"seed": 1, "run": {"rounds": 2}, "models": []}), Some(("models", json!([])))),
            (json!({"seed": 1, "models": [{"name": "a"}]}), Some(("run", Value::Null))),
            (Value::Null, Some(("", Value::Null))),
        ];
        for (b, expected) in cases {
            let found = first_difference(&a, &b);
            let found = found.map(|Difference { key, values: [_, b] }| (key, b));
            assert_eq!(found, expected.map(|(key, value)| (key.to_string(), value)), "{b}");
        }
    }

    #[test]
    fn a_key_that_an_older_host_did_not_write_is_no_difference() {
        let config = |run: Value| {
            json!({"name": "t", "seed": 1, "baseline": "x", "run": run, "models": [], "backends": [],
                "scenarios": []})
        };
        let [a, b] = [json!({}), json!({"rounds": 1})].map(|run| without_places(&config(run)));
        assert_eq!(first_difference(&a, &b), None);
        let other = without_places(&config(json!({"rounds": 2})));
        assert_eq!(first_difference(&a, &other).unwrap().key, "run.rounds");
    }

    #[test]
    fn places_of_files_are_no_difference_but_their_names_are() {
        let config = |folder: &str, file: &str| {
            json!({
                "models": [{"source": format!("{folder}/{file}")}, {"source": "hf:org/name"}],
                "backends": [{"plugin": format!("{folder}/lib.so"), "options": {"library": "/r/lib.so"}}],
                "run": {"prompt_text": format!("{folder}/prompts.txt")},
                "accuracy": {"text": format!("{folder}/wiki.txt"), "tokens": null},
            })
        };
        let [a, b] = [config("/a", "gpt2"), config("/b/c", "gpt2")].map(|config| without_places(&config));
        assert_eq!(first_difference(&a, &b), None);
        let other = without_places(&config("/a", "gpt3"));
        assert_eq!(first_difference(&a, &other).unwrap().key, "models.0.source");
        assert_eq!(a["models"][1]["source"], "hf:org/name");
        assert_eq!(without_places(&Value::Null), Value::Null);
    }
}
