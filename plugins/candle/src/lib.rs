//! inferhost's embedded runtime: GPT-2 and Llama-family models from a Hugging Face folder on candle, in pure Rust, on
//! the CPU.
//!
//! In f32 it is a runtime like the others; in f64 it is the oracle that they are measured against. It needs no
//! library on the machine, so it also runs where nothing else does.

mod attention;
mod gpt2;
mod linear;
mod llama;
mod model;
mod ops;
mod product;
mod session;
mod threads;
mod weights;

use candle_core::DType;
use inferhost_plugin_api::hf::Config;
use inferhost_plugin_api::{
    Backend, Description, Error, ErrorKind, ModelForm, OpenRequest, OptionDescription, Runtime, SessionInfo,
    export_backend, parse_options,
};
use model::Model;
use rayon::ThreadPool;
use serde::Deserialize;
use serde_json::Value;
use session::CandleSession;
use weights::Weights;

/// candle does not say its version at run time; a test holds this against Cargo.lock.
const CANDLE_VERSION: &str = "0.11.1";

/// The candle backend.
pub struct Candle;

export_backend!(Candle);

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Options {
    dtype: Precision,
    threads: Option<u32>,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Precision {
    #[default]
    F32,
    F64,
}

impl Precision {
    fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::F64 => DType::F64,
        }
    }
}

impl Backend for Candle {
    type Session = CandleSession;

    fn describe(options: &Value) -> Result<Description, Error> {
        threads::check(parse_options::<Options>(options)?.threads)?;
        Ok(Description {
            name: "candle".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            runtime: Runtime {
                name: "candle-core".into(),
                version: Some(CANDLE_VERSION.into()),
                library: None,
                problem: None,
            },
            devices: vec!["cpu".into()],
            precisions: vec!["f32".into(), "f64".into()],
            forms: vec![ModelForm::HuggingFace],
            options: vec![
                OptionDescription::new("dtype", "f32", "what is computed in: f32 or f64"),
                OptionDescription::new("threads", "available cores", "threads of the session"),
            ],
        })
    }

    fn open(request: &OpenRequest<'_>) -> Result<CandleSession, Error> {
        let options: Options = request.parse_options()?;
        if request.form != ModelForm::HuggingFace {
            let found = request.form.name();
            return Err(Error::unsupported(format!("candle opens the form \"hf\", not \"{found}\"")));
        }
        let config = Config::read(request.path)?;
        let dtype = options.dtype.dtype();
        let mut weights = Weights::open(request.path, dtype)?;
        let pool = threads::pool(options.threads)?;
        let model = pool.install(|| Model::load(config, &mut weights, pool.current_num_threads()))?;
        let info = info(&model, dtype, &pool);
        Ok(CandleSession::new(model, info, pool, dtype))
    }
}

fn info(model: &Model, dtype: DType, pool: &ThreadPool) -> SessionInfo {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    SessionInfo {
        device: "cpu".into(),
        precision: dtype.as_str().into(),
        threads: Some(number(pool.current_num_threads())),
        runtime_version: Some(CANDLE_VERSION.into()),
        vocab_size: number(model.config().vocab_size()),
        context_length: Some(number(model.config().context_length())),
        model_bytes: Some(model.bytes() as u64),
        ..SessionInfo::default()
    }
}

/// candle's errors are mistakes of this plugin; the first line says which, the rest is a backtrace.
fn internal(error: candle_core::Error) -> Error {
    let text = error.to_string();
    Error::new(ErrorKind::Internal, format!("candle: {}", text.lines().next().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_that_of_the_lock_file() {
        let lock = include_str!("../../../Cargo.lock");
        assert!(lock.contains(&format!("name = \"candle-core\"\nversion = \"{CANDLE_VERSION}\"")));
    }
}
