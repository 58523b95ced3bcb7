//! What is open: a model whose layers are computed here, or a program that computes them itself.

use crate::program::ProgramSession;
use crate::session::TorchSession;
use inferhost_plugin_api::{
    Batch, Error, GenerateOptions, Logits, Positions, RVec, Session, SessionInfo, TokenSink,
};

/// An open model.
pub(crate) enum Opened {
    /// By its layers.
    Layers(Box<TorchSession>),
    /// By a program.
    Program(Box<ProgramSession>),
}

impl Opened {
    fn session(&mut self) -> &mut dyn Session {
        match self {
            Self::Layers(session) => &mut **session,
            Self::Program(session) => &mut **session,
        }
    }
}

impl Session for Opened {
    fn info(&self) -> SessionInfo {
        match self {
            Self::Layers(session) => session.info(),
            Self::Program(session) => session.info(),
        }
    }

    fn prefill(&mut self, batch: Batch<'_>, positions: Positions, logits: &mut Logits) -> Result<(), Error> {
        self.session().prefill(batch, positions, logits)
    }

    fn generate(
        &mut self,
        batch: Batch<'_>,
        options: &GenerateOptions<'_>,
        sink: &mut dyn TokenSink,
    ) -> Result<(), Error> {
        self.session().generate(batch, options, sink)
    }

    fn logprobs(&mut self, batch: Batch<'_>, logprobs: &mut RVec<f64>) -> Result<(), Error> {
        self.session().logprobs(batch, logprobs)
    }
}
