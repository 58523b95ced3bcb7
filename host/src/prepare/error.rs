//! Why a model cannot be brought into a form that a plugin opens.

use crate::model::ModelError;
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
    /// Whether the model itself is the reason, on any machine; what is not may be gone at the next try, as a full
    /// disk.
    pub const fn is_unsuited(&self) -> bool {
        matches!(
            self,
            Self::Unsuited { .. } | Self::Model(ModelError::Unsupported { .. } | ModelError::Tensor { .. })
        )
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
        assert!(unsuited.is_unsuited() && dtype.is_unsuited());
        assert!(!disk.is_unsuited() && !PrepareError::from(read).is_unsuited());
    }
}
