//! A session of the engine, handed on.

use crate::library::Library;
use inferhost_plugin_api::{
    Batch, Error, GenerateOptions, Logits, OpenSession, Positions, RVec, Session, SessionInfo, TokenSink,
};

/// An open model.
pub struct TorchSession {
    session: OpenSession,
    info: SessionInfo,
}

impl TorchSession {
    pub(crate) fn new(session: OpenSession, library: &Library) -> Result<Self, Error> {
        let mut info = session.info().clone();
        info.runtime_version = Some(library.version.clone());
        info.details.insert("library".into(), library.path.display().to_string());
        Ok(Self { session, info })
    }
}

impl Session for TorchSession {
    fn info(&self) -> SessionInfo {
        self.info.clone()
    }

    fn prefill(&mut self, batch: Batch<'_>, positions: Positions, logits: &mut Logits) -> Result<(), Error> {
        self.session.prefill(batch, positions, logits)
    }

    fn generate(
        &mut self,
        batch: Batch<'_>,
        options: &GenerateOptions<'_>,
        sink: &mut dyn TokenSink,
    ) -> Result<(), Error> {
        self.session.generate(batch, options, sink)
    }

    fn logprobs(&mut self, batch: Batch<'_>, logprobs: &mut RVec<f64>) -> Result<(), Error> {
        self.session.logprobs(batch, logprobs)
    }
}
