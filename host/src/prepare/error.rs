//! Why a model cannot be brought into a form that a plugin opens.

use crate::model::ModelError;
use crate::record::{Degraded, DegradedKind};
use std::path::{Path, PathBuf};

/// Why nothing could be prepared.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// No way from this model to what the plugin opens.
    #[error("model {spec:?}: {problem}")]
    Unsuited {
        /// The model.
        spec: String,
        /// What it is and what the plugin opens.
        problem: String,
    },
    /// What a plugin's builder said, or how it was lost.
    #[error("model {spec:?}: {artifact} was not built: {}", degraded.message)]
    NotBuilt {
        /// The model.
        spec: String,
        /// What was to be built.
        artifact: String,
        /// Why not.
        degraded: Box<Degraded>,
    },
    /// The model's own files.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The operating system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
}

impl PrepareError {
    /// What this says of a backend's runs, where it is a fact about the model and the backend; none for what may be gone
    /// at the next try, as a full disk.
    pub const fn degraded_kind(&self) -> Option<DegradedKind> {
        match self {
            Self::Unsuited { .. }
            | Self::Model(ModelError::Unsupported { .. } | ModelError::Tensor { .. }) => {
                Some(DegradedKind::Unsupported)
            }
            Self::NotBuilt { degraded, .. } => Some(degraded.kind),
            Self::Model(_) | Self::Io { .. } => None,
        }
    }

    /// For `map_err` on an operation at `path`.
    pub(crate) fn io(path: &Path) -> impl Fn(std::io::Error) -> Self {
        move |source| Self::Io { path: path.into(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_with_the_machine_is_not_the_models() {
        let unsuited = PrepareError::Unsuited { spec: "m".into(), problem: String::new() };
        let dtype = PrepareError::from(ModelError::unsupported(Path::new("m"), "tensor a is stored as I8"));
        let full = || std::io::Error::from(std::io::ErrorKind::StorageFull);
        let (disk, read) = (PrepareError::io(Path::new("m"))(full()), ModelError::io(Path::new("m"))(full()));
        assert_eq!(unsuited.degraded_kind(), Some(DegradedKind::Unsupported));
        assert_eq!(dtype.degraded_kind(), Some(DegradedKind::Unsupported));
        assert_eq!((disk.degraded_kind(), PrepareError::from(read).degraded_kind()), (None, None));
    }
}
