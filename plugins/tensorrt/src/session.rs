//! An engine in use.

use crate::driver::Driver;
use crate::library::Loaded;
use crate::options::Options;
use inferhost_plugin_api::{
    Batch, Error, GenerateOptions, Logits, OpenRequest, Positions, RVec, Session, SessionInfo, TokenSink,
};

/// An engine in use.
pub struct TensorRtSession {
    info: SessionInfo,
}

pub(crate) fn open(
    request: &OpenRequest<'_>,
    options: Options,
    library: Loaded,
    driver: Driver,
) -> Result<TensorRtSession, Error> {
    drop((options, library, driver));
    Err(Error::unsupported(format!("cannot run {} yet", request.path.display())))
}

impl Session for TensorRtSession {
    fn info(&self) -> SessionInfo {
        self.info.clone()
    }

    fn prefill(&mut self, _: Batch<'_>, _: Positions, _: &mut Logits) -> Result<(), Error> {
        Err(Error::unsupported("not yet"))
    }

    fn generate(
        &mut self,
        _: Batch<'_>,
        _: &GenerateOptions<'_>,
        _: &mut dyn TokenSink,
    ) -> Result<(), Error> {
        Err(Error::unsupported("not yet"))
    }

    fn logprobs(&mut self, _: Batch<'_>, _: &mut RVec<f64>) -> Result<(), Error> {
        Err(Error::unsupported("not yet"))
    }
}
