//! From a safe [`Backend`] to the module a shared library exports: text to types, batches checked, panics caught
//! at every edge.

use crate::abi::{
    PluginModule, PluginModule_Ref, RawBatch, RawError, RawGenerateOptions, RawLogits, RawOpenRequest,
    RawResult, RawSession, RawSession_TO, SessionBox, TokenSinkRef,
};
use crate::check;
use crate::{Backend, Error, ModelForm, OpenRequest, Positions, Session, SessionInfo, Token, TokenSink};
use abi_stable::erased_types::TD_Opaque;
use abi_stable::library::LibHeader;
use abi_stable::prefix_type::PrefixTypeTrait;
use abi_stable::std_types::{ROption, RResult, RSlice, RStr, RString, RVec};
use serde_json::Value;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Exports a type that implements [`Backend`] as this shared library's plugin.
///
/// The crate needs `crate-type = ["cdylib"]` and `abi_stable` among its dependencies.
#[macro_export]
macro_rules! export_backend {
    ($backend:ty) => {
        #[abi_stable::export_root_module]
        fn inferhost_plugin_module() -> $crate::abi::PluginModule_Ref {
            $crate::export::module::<$backend>()
        }
    };
}

/// The root module of a backend.
pub fn module<B: Backend>() -> PluginModule_Ref {
    PluginModule { describe: describe::<B>, open: open::<B>, extension: extension::<B> }.leak_into_prefix()
}

extern "C" fn describe<B: Backend>(options: RStr<'_>) -> RawResult<RString> {
    contained(|| to_json(&B::describe(&parse_json(options.as_str())?)?))
}

extern "C" fn open<B: Backend>(request: &RawOpenRequest<'_>) -> RawResult<SessionBox> {
    contained(|| {
        let options = parse_json(request.options.as_str())?;
        let path = Path::new(request.path.as_str());
        if !path.exists() {
            return Err(Error::invalid(format!("no such model file or folder: {}", path.display())));
        }
        let form = ModelForm::from_name(request.form.as_str());
        let session = B::open(&OpenRequest { path, form, options: &options })?;
        let info = session.info();
        Ok(RawSession_TO::from_value(Adapter { session: ManuallyDrop::new(session), info }, TD_Opaque))
    })
}

extern "C" fn extension<B: Backend>(name: RStr<'_>) -> ROption<&'static LibHeader> {
    catch_unwind(|| B::extension(name.as_str())).unwrap_or(None).into()
}

/// A safe session behind the raw trait. `info` is taken once: what a session uses does not change while it is
/// open, and the checks on the hot path need it.
struct Adapter<S> {
    /// Dropped by hand, where a panic can be caught.
    session: ManuallyDrop<S>,
    info: SessionInfo,
}

impl<S> Drop for Adapter<S> {
    fn drop(&mut self) {
        // SAFETY: the field is dropped here alone, and an adapter that is being dropped has no later call.
        let drop_session = || unsafe { ManuallyDrop::drop(&mut self.session) };
        // A host that drops a session asks for no answer; the panic hook has told the log.
        let _ = catch_unwind(AssertUnwindSafe(drop_session));
    }
}

impl<S: Session> RawSession for Adapter<S> {
    fn info(&self) -> RawResult<RString> {
        contained(|| to_json(&self.info))
    }

    fn prefill(&mut self, batch: RawBatch<'_>, all_positions: bool, logits: &mut RawLogits) -> RawResult<()> {
        contained(|| {
            check::batch(batch, &self.info)?;
            let positions = if all_positions { Positions::All } else { Positions::Last };
            self.session.prefill(batch, positions, logits)
        })
    }

    fn generate(
        &mut self,
        batch: RawBatch<'_>,
        options: &RawGenerateOptions<'_>,
        mut sink: TokenSinkRef<'_>,
    ) -> RawResult<()> {
        contained(|| {
            check::generate(batch, options, &self.info)?;
            self.session.generate(batch, options, &mut sink)
        })
    }

    fn logprobs(&mut self, batch: RawBatch<'_>, logprobs: &mut RVec<f64>) -> RawResult<()> {
        contained(|| {
            check::batch(batch, &self.info)?;
            self.session.logprobs(batch, logprobs)
        })
    }
}

impl TokenSink for TokenSinkRef<'_> {
    fn step(&mut self, tokens: &[Token]) -> bool {
        crate::abi::RawTokenSink_TO::step(self, RSlice::from_slice(tokens))
    }
}

pub(crate) fn parse_json(text: &str) -> Result<Value, Error> {
    let value =
        serde_json::from_str(text).map_err(|e| Error::invalid(format!("options are not JSON: {e}")))?;
    match value {
        Value::Object(_) => Ok(value),
        _ => Err(Error::invalid("options must be a JSON object")),
    }
}

pub(crate) fn to_json<T: serde::Serialize>(value: &T) -> Result<RString, Error> {
    serde_json::to_string(value).map(RString::from).map_err(|e| Error::internal(e.to_string()))
}

/// `text` as what it should be: `what`, of the other side.
pub(crate) fn from_json<T: serde::de::DeserializeOwned>(what: &str, text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|e| Error::internal(format!("{what} is malformed: {e}")))
}

/// Runs `call` so that neither an error nor a panic unwinds into the host.
pub(crate) fn contained<T>(call: impl FnOnce() -> Result<T, Error>) -> RawResult<T> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => RResult::ROk(value),
        Ok(Err(error)) => RResult::RErr(error.into()),
        Err(panic) => {
            let text = panic
                .downcast_ref::<&str>()
                .map(ToString::to_string)
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| "no message".into());
            RResult::RErr(RawError::from(Error::internal(format!("the plugin panicked: {text}"))))
        }
    }
}
