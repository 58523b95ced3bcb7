//! What a loaded program tells of its arguments and results: TorchScript's schema, or the tree of a package's call.

use super::signature::broken;
use inferhost_plugin_api::Error;
use serde_json::Value;
use std::path::Path;

/// One argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Argument {
    pub(super) name: String,
    /// Can be left out.
    pub(super) optional: bool,
    /// Takes any number of tensors.
    pub(super) list: bool,
}

/// What the program itself tells.
#[derive(Debug, Clone, Default)]
pub(super) struct Description {
    pub(super) arguments: Vec<Argument>,
    /// Names of results; empty where they come with every run.
    pub(super) results: Vec<String>,
    /// The type of most of its weights, as PyTorch's C++ calls it: `Float`.
    pub(super) floats: Option<String>,
    /// Of its weights.
    pub(super) bytes: Option<u64>,
}

impl Description {
    /// Reads the lines that the shim writes.
    ///
    /// # Errors
    /// `InvalidInput` for an argument that is no tensor, or a tree that is not understood.
    pub(super) fn read(path: &Path, text: &str) -> Result<Self, Error> {
        let mut description = Self::default();
        for line in text.lines() {
            let (key, rest) = line.split_once(' ').unwrap_or((line, ""));
            match key {
                "input" => description.arguments.extend(argument(path, rest)?),
                "takes" => {
                    let names = call_names(rest).ok_or_else(|| no_tree(path))?;
                    let named = |name| Argument { name, optional: false, list: false };
                    description.arguments = names.into_iter().map(named).collect();
                }
                "gives" => description.results = call_names(rest).ok_or_else(|| no_tree(path))?,
                "floats" => description.floats = Some(rest.into()),
                "bytes" => description.bytes = rest.parse().ok(),
                _ => {}
            }
        }
        Ok(description)
    }
}

fn no_tree(path: &Path) -> Error {
    broken(path, "has a call spec of a kind that is not understood")
}

/// From "name optional Type"; none for one that is no tensor and can be left out.
fn argument(path: &Path, line: &str) -> Result<Option<Argument>, Error> {
    let mut words = line.splitn(3, ' ');
    let mut word = || words.next().unwrap_or_default();
    let (name, optional, kind) = (word(), word() == "optional", word());
    let list = match kind {
        "Tensor" | "Optional[Tensor]" => false,
        "List[Tensor]" | "Optional[List[Tensor]]" => true,
        // Stays in its place: places are counted.
        _ if optional => false,
        _ => {
            return Err(broken(
                path,
                &format!("takes '{name}' of type {kind}, expected tensors and lists of them alone"),
            ));
        }
    };
    Ok(Some(Argument { name: name.into(), optional, list }))
}

/// The names of a call's tensors, in order: the path to each in its tree.
fn call_names(spec: &str) -> Option<Vec<String>> {
    let spec: Value = serde_json::from_str(spec).ok()?;
    let tree = spec.get(1)?;
    let mut names = Vec::new();
    // A call is a pair of positional and named arguments; a result is not.
    let children = tree.get("children_spec")?.as_array()?;
    match (tree.get("type")?.as_str(), children.as_slice()) {
        (Some("builtins.tuple"), [positional, named])
            if kind(positional) == Some("builtins.tuple") && kind(named) == Some("builtins.dict") =>
        {
            collect(positional, "", &mut names)?;
            collect(named, "", &mut names)?;
        }
        _ => collect(tree, "", &mut names)?,
    }
    Some(names)
}

fn kind(tree: &Value) -> Option<&str> {
    tree.get("type")?.as_str()
}

fn collect(tree: &Value, path: &str, names: &mut Vec<String>) -> Option<()> {
    let Some(kind) = kind(tree) else {
        names.push(path.into());
        return Some(());
    };
    let children = tree.get("children_spec")?.as_array()?;
    let keys: Vec<String> = match kind {
        "builtins.dict" => serde_json::from_str(tree.get("context")?.as_str()?).ok()?,
        "builtins.list" | "builtins.tuple" => (0..children.len()).map(|at| at.to_string()).collect(),
        _ => return None,
    };
    for (key, child) in keys.iter().zip(children) {
        let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        collect(child, &below, names)?;
    }
    Some(())
}
