//! Artifacts: what is built from a model once and kept in the cache.
//!
//! `<cache>/artifacts/<key>/` holds one, with an `artifact.json` that says what it is. The key covers all that
//! decides the content, so a changed model or writer never meets an old artifact; a folder whose files are not
//! as `artifact.json` says is built again.

mod build;
mod calibration;
mod engine;
mod info;
mod spec;
mod store;

pub use calibration::{Calibration, Method};
pub use info::{ArtifactFile, ArtifactInfo, CalibrationInfo};
pub use spec::{Artifact, Dialect, IdType, Precision, Target};
pub use store::{Stored, list, prune, verify};

pub use engine::EngineBuilder;

pub(super) use build::{Ensured, ensure};
pub(super) use engine::ensure_engine;

/// An artifact's description in its folder.
const DESCRIPTION: &str = "artifact.json";
/// The artifacts' folder in the cache.
const FOLDER: &str = "artifacts";
