//! Why a spec gives no usable model. Every message is one line that names the file, tensor or key at fault, and
//! what to do where that is not plain.

use std::path::{Path, PathBuf};

/// Why a model cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A spec string that means nothing.
    #[error("model {spec:?}: {problem}")]
    Spec {
        /// As it was written.
        spec: String,
        /// What is wrong with it, and what is right.
        problem: String,
    },
    /// The operating system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file or folder that does not hold what it should.
    #[error("{path}: {problem}")]
    Malformed {
        /// The file or folder.
        path: PathBuf,
        /// What was found and what was expected.
        problem: String,
    },
    /// A tensor that is missing or not as the config says.
    #[error("{path}: tensor {tensor} {problem}")]
    Tensor {
        /// The weights' file or folder.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// What was found and what was expected.
        problem: String,
    },
    /// Sound, but of a kind that this program does not read.
    #[error("{path}: {problem}")]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What was found and what is supported.
        problem: String,
    },
    /// A model of the hub that is neither cached nor to be had.
    #[error("hf:{repo}: {problem}")]
    Hub {
        /// `<org>/<name>`, with the revision.
        repo: String,
        /// What happened and what to do.
        problem: String,
    },
    /// A model that is not the size it is said to be.
    #[error(
        "model {spec:?} has {found} parameters, but claimed_params says {claimed} (more than 1% apart); correct the claim or the model"
    )]
    Claim {
        /// The model.
        spec: String,
        /// Counted from its tensors.
        found: u64,
        /// From the config.
        claimed: u64,
    },
}

impl ModelError {
    pub(crate) fn spec(spec: &str, problem: impl Into<String>) -> Self {
        Self::Spec { spec: spec.into(), problem: problem.into() }
    }

    pub(crate) fn malformed(path: &Path, problem: impl Into<String>) -> Self {
        Self::Malformed { path: path.into(), problem: problem.into() }
    }

    pub(crate) fn unsupported(path: &Path, problem: impl Into<String>) -> Self {
        Self::Unsupported { path: path.into(), problem: problem.into() }
    }

    pub(crate) fn tensor(path: &Path, tensor: &str, problem: impl Into<String>) -> Self {
        Self::Tensor { path: path.into(), tensor: tensor.into(), problem: problem.into() }
    }

    /// For `map_err` on an operation at `path`.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { path: path.into(), source }
    }
}
