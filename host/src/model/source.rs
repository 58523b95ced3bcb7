//! What a model spec means, before anything is looked up or made.

use super::ModelError;
use super::synthetic::SyntheticSpec;
use std::path::PathBuf;
use std::str::FromStr;

/// Where a model is to come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelSource {
    /// A folder, an `.onnx` file, or a program that PyTorch exported.
    Path(PathBuf),
    /// `hf:<org>/<name>[@revision]`: a repository of the Hugging Face hub.
    Hub {
        /// `<org>/<name>`.
        repo: String,
        /// A branch, tag or commit.
        revision: String,
    },
    /// `synthetic:<size>[?key=value&…]`: made on the spot.
    Synthetic(SyntheticSpec),
}

impl FromStr for ModelSource {
    type Err = ModelError;

    fn from_str(spec: &str) -> Result<Self, ModelError> {
        if let Some(rest) = spec.strip_prefix("synthetic:") {
            return rest.parse().map(Self::Synthetic).map_err(|problem| ModelError::spec(spec, problem));
        }
        if let Some(rest) = spec.strip_prefix("hf:") {
            return hub(rest).ok_or_else(|| {
                ModelError::spec(spec, "expected hf:<org>/<name> or hf:<org>/<name>@<revision>")
            });
        }
        if spec.trim().is_empty() {
            return Err(ModelError::spec(
                spec,
                "expected a folder, an .onnx, .ts or .pt2 file, hf:<org>/<name> or synthetic:<size>",
            ));
        }
        Ok(Self::Path(spec.into()))
    }
}

fn hub(text: &str) -> Option<ModelSource> {
    let (repo, revision) = text.split_once('@').unwrap_or((text, "main"));
    let (org, name) = repo.split_once('/')?;
    let is_name = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    let is_revision = revision.split('/').all(is_name) && !revision.contains("..");
    (is_name(org) && is_name(name) && is_revision)
        .then(|| ModelSource::Hub { repo: repo.into(), revision: revision.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_told_apart() {
        let hub =
            |repo: &str, revision: &str| ModelSource::Hub { repo: repo.into(), revision: revision.into() };
        for (spec, expected) in [
            ("models/gpt2", ModelSource::Path("models/gpt2".into())),
            ("./a b.onnx", ModelSource::Path("./a b.onnx".into())),
            ("hf:openai-community/gpt2", hub("openai-community/gpt2", "main")),
            ("hf:a/b.c_1@refs/pr/1", hub("a/b.c_1", "refs/pr/1")),
            ("synthetic:tiny-gpt2", ModelSource::Synthetic("tiny-gpt2".parse().unwrap())),
        ] {
            assert_eq!(spec.parse::<ModelSource>().unwrap(), expected, "{spec}");
        }
    }

    #[test]
    fn mistakes_quote_the_spec() {
        for spec in [
            "",
            " ",
            "hf:gpt2",
            "hf:a/b/c",
            "hf:/b",
            "hf:a/../b",
            "hf:a/b@",
            "hf:a/b@../x",
            "hf:a/b@/x",
            "hf:a/b@x//y",
            "synthetic:x",
        ] {
            let message = spec.parse::<ModelSource>().unwrap_err().to_string();
            assert!(message.starts_with(&format!("model {spec:?}: ")), "{message}");
        }
    }
}
