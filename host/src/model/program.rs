//! A program that PyTorch exported, as a model: what it says of itself and what a `config.json` beside it adds.

use super::config::eos_token_ids;
use super::{ModelConfig, ModelError, ModelKind, ResolvedModel, TokenizerFiles, file_digest};
use inferhost_plugin_api::config_beside;
use inferhost_plugin_api::program::{Contract, ProgramFile};
use std::path::{Path, PathBuf};

/// The program in `file`, whose extension says nothing of its form.
///
/// # Errors
/// A file that is no program, or a malformed `config.json` beside it.
pub(super) fn resolve(spec: &str, file: PathBuf, cache: &Path) -> Result<ResolvedModel, ModelError> {
    let program = read(&file)?;
    let path = config_beside(&file);
    let folder = file.parent().unwrap_or(Path::new("")).to_path_buf();
    let mut config =
        path.as_deref().map_or_else(|| Ok(ModelConfig::unknown()), ModelConfig::read_beside_graph)?;
    complete(&mut config, program.contract.as_ref());
    let files: Vec<PathBuf> = [file.clone()].into_iter().chain(path).collect();
    Ok(ResolvedModel {
        spec: spec.into(),
        bytes: program.bytes,
        sha256: file_digest::of_files(&files, cache)?,
        eos_token_ids: eos_token_ids(&folder)?,
        tokenizer: TokenizerFiles::find(&folder),
        parameters: program.contract.and_then(|contract| contract.parameters),
        kind: ModelKind::Program { file, form: program.form },
        config,
        folder,
    })
}

/// The most positions of one row that the program in `file` itself tells.
pub(super) fn context_length(file: &Path) -> Option<u32> {
    read(file).ok()?.contract?.context_length
}

fn read(file: &Path) -> Result<ProgramFile, ModelError> {
    ProgramFile::read(file).map_err(|problem| ModelError::malformed(file, problem))
}

/// What the program says of itself goes first: it was compiled with it.
fn complete(config: &mut ModelConfig, contract: Option<&Contract>) {
    let Some(contract) = contract else { return };
    config.vocab_size = contract.vocab_size().or(config.vocab_size);
    config.context_length = contract.context_length.or(config.context_length);
}

#[cfg(test)]
mod tests {
    use crate::model::{ModelKind, check_claim, context_length, resolve};
    use inferhost_plugin_api::ModelForm;
    use std::fs;
    use std::path::Path;

    #[test]
    fn a_program_is_known_by_its_folder_and_by_its_file() {
        let cache = tempfile::tempdir().unwrap();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/torch/gpt2-erf");
        let file = folder.join("model.ts");
        for spec in [&folder, &file].map(|path| path.to_str().unwrap()) {
            let model = resolve(spec, cache.path()).unwrap();
            assert_eq!((model.config.vocab_size, model.config.context_length), (Some(211), Some(45)));
            assert_eq!((model.parameters, model.eos_token_ids.as_slice()), (Some(17_798), &[0][..]));
            assert_eq!(model.bytes, file.metadata().unwrap().len());
            assert_eq!(context_length(spec).unwrap(), Some(45));
            let ModelKind::Program { file: found, form } = model.kind else { panic!("not a program") };
            assert_eq!((found, form), (file.clone(), ModelForm::TorchScript));
        }
    }

    #[test]
    fn parameters_that_nothing_tells_are_not_claimed() {
        let cache = tempfile::tempdir().unwrap();
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/torch/recipe.pt");
        let model = resolve(file.to_str().unwrap(), cache.path()).unwrap();
        assert_eq!((model.parameters, model.config.vocab_size), (None, None));
        let message = check_claim(&model, 1).unwrap_err().to_string();
        assert!(message.ends_with("leave claimed_params out"), "{message}");
    }

    #[test]
    fn what_is_no_program_is_said_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("model.pt2");
        fs::write(&file, "text").unwrap();
        for spec in [folder.path(), file.as_path()] {
            let message = resolve(spec.to_str().unwrap(), folder.path()).unwrap_err().to_string();
            assert!(message.contains("model.pt2: is no program of PyTorch: it is not a ZIP"), "{message}");
        }
        fs::write(folder.path().join("model.ts"), "text").unwrap();
        let message = resolve(folder.path().to_str().unwrap(), folder.path()).unwrap_err().to_string();
        assert!(message.ends_with("holds model.pt2, model.ts; name the one to open"), "{message}");
        fs::write(folder.path().join("model.onnx"), "graph").unwrap();
        fs::remove_file(folder.path().join("model.ts")).unwrap();
        let message = resolve(folder.path().to_str().unwrap(), folder.path()).unwrap_err().to_string();
        assert!(message.ends_with("holds model.onnx and model.pt2; name the one to open"), "{message}");
    }
}
