//! Where a folder of the form [`Onnx`](crate::ModelForm::Onnx) keeps its graph, and the graph its config: one rule
//! for the host and for every plugin that opens graphs.

use crate::genai::{GENAI_CONFIG, GenaiConfig};
use std::path::{Path, PathBuf};

/// Names that exporters give the whole decoder, the preferred first.
const NAMES: [&str; 3] = ["model.onnx", "decoder_model_merged.onnx", "decoder_model.onnx"];
/// Where model hubs put graphs, below `config.json`.
const SUBFOLDER: &str = "onnx";

/// The graph in `folder`, or else in its subfolder `onnx`: the one that a `genai_config.json` names, one with a usual
/// name, or the only `.onnx` file. None where there is none at all.
///
/// # Errors
/// A text that fits after the folder's path, where several files could be meant, the `genai_config.json` is
/// malformed or the folder cannot be read.
pub fn find_graph(folder: &Path) -> Result<Option<PathBuf>, String> {
    let genai = GenaiConfig::of_folder(folder);
    if let Some(genai) = genai.map_err(|e| format!("holds a bad {GENAI_CONFIG}: {}", e.problem))? {
        return Ok(Some(genai.graph));
    }
    let below = folder.join(SUBFOLDER);
    match graph_in(folder)? {
        None if below.is_dir() => graph_in(&below),
        found => Ok(found),
    }
}

fn graph_in(folder: &Path) -> Result<Option<PathBuf>, String> {
    if let Some(file) = NAMES.iter().map(|name| folder.join(name)).find(|file| file.is_file()) {
        return Ok(Some(file));
    }
    let entries = std::fs::read_dir(folder).map_err(|e| format!("cannot be read: {e}"))?;
    let is_graph =
        |file: &PathBuf| file.extension().is_some_and(|extension| extension == "onnx") && file.is_file();
    let mut graphs: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_graph).collect();
    graphs.sort();
    if graphs.len() > 1 {
        let names = graphs.iter().filter_map(|file| file.file_name()).map(|name| name.to_string_lossy());
        let names = names.collect::<Vec<_>>().join(", ");
        return Err(format!("holds {names}, none of them {}; name the one to open", NAMES.join(" or ")));
    }
    Ok(graphs.pop())
}

/// The `config.json` in the graph's folder, or above it where that folder is `onnx`.
pub fn config_beside(graph: &Path) -> Option<PathBuf> {
    let folder = graph.parent()?;
    let above = folder.parent().filter(|_| folder.file_name().is_some_and(|name| name == SUBFOLDER));
    let files = [Some(folder), above].into_iter().flatten().map(|folder| folder.join("config.json"));
    files.into_iter().find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_graph_is_the_usual_one_or_the_only_one() {
        type Found = Result<Option<&'static str>, &'static str>;
        let cases: [(&[&str], Found); 7] = [
            (&["config.json"], Ok(None)),
            (&["a.onnx", "a.onnx_data"], Ok(Some("a.onnx"))),
            (&["a.onnx", "model.onnx"], Ok(Some("model.onnx"))),
            (
                &["decoder_model.onnx", "decoder_with_past_model.onnx", "decoder_model_merged.onnx"],
                Ok(Some("decoder_model_merged.onnx")),
            ),
            (&["decoder_model.onnx", "decoder_with_past_model.onnx"], Ok(Some("decoder_model.onnx"))),
            (&["config.json", "onnx/model.onnx", "onnx/model_fp16.onnx"], Ok(Some("onnx/model.onnx"))),
            (&["b.onnx", "a.onnx"], Err("holds a.onnx, b.onnx, none of them model.onnx or ")),
        ];
        for (index, (files, expected)) in cases.into_iter().enumerate() {
            let folder = std::env::temp_dir().join(format!("inferhost-graph-{}-{index}", std::process::id()));
            for file in files {
                let file = folder.join(file);
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(file, "").unwrap();
            }
            match (find_graph(&folder), expected) {
                (Ok(found), Ok(expected)) => {
                    assert_eq!(found, expected.map(|name| folder.join(name)));
                    let config = files.contains(&"config.json").then(|| folder.join("config.json"));
                    assert_eq!(
                        found.and_then(|graph| config_beside(&graph)),
                        config.filter(|_| expected.is_some())
                    );
                }
                (Err(found), Err(expected)) => assert!(found.starts_with(expected), "{found}"),
                (found, expected) => panic!("{files:?}: {found:?} is not {expected:?}"),
            }
            fs::remove_dir_all(folder).unwrap();
        }
    }
}
