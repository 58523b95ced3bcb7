//! The half of inferhost's torch plugin that is compiled against libtorch. `plugins/torch` finds and loads libtorch, then
//! this library; it is a plugin of the same interface, so nothing between the two is unchecked.

mod attention;
mod embedding;
mod error;
mod gpt2;
mod linear;
mod llama;
mod model;
mod opened;
#[path = "../../src/options.rs"]
#[cfg_attr(not(test), expect(dead_code, reason = "the other half checks and describes them"))]
#[expect(unreachable_pub, reason = "public in the other half")]
mod options;
mod program;
mod replay;
mod session;
mod shim;
mod storage;
mod weights;

use inferhost_plugin_api::hf::Config;
use inferhost_plugin_api::{
    Backend, Description, Error, ErrorKind, ModelForm, OpenRequest, Runtime, SessionInfo, export_backend,
};
use model::{Loader, Model};
use opened::Opened;
use options::{Device, Dtype, Options, Quantize};
use replay::Replay;
use serde_json::Value;
use session::TorchSession;
use std::collections::BTreeMap;
use storage::Storage;
use tch::Kind;
use weights::Weights;

/// libtorch, loaded.
struct Engine;

export_backend!(Engine);

impl Backend for Engine {
    type Session = Opened;

    fn describe(_: &Value) -> Result<Description, Error> {
        Ok(Description {
            name: "torch-engine".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            runtime: Runtime { name: "libtorch".into(), version: None, library: None, problem: None },
            devices: Vec::new(),
            precisions: Vec::new(),
            forms: vec![ModelForm::HuggingFace, ModelForm::TorchScript, ModelForm::AotInductor],
            options: Vec::new(),
        })
    }

    fn open(request: &OpenRequest<'_>) -> Result<Opened, Error> {
        let options: Options = request.parse_options()?;
        match request.form {
            ModelForm::HuggingFace => Ok(Opened::Layers(open_layers(request, &options)?.into())),
            ModelForm::TorchScript | ModelForm::AotInductor => {
                let device = device(&options)?;
                Ok(Opened::Program(program::open(request, &options, device)?.into()))
            }
            other => Err(Error::unsupported(format!(
                "torch opens the forms \"hf\", \"torchscript\" and \"aotinductor\", not \"{}\"",
                other.name()
            ))),
        }
    }
}

/// A model whose layers this crate computes.
fn open_layers(request: &OpenRequest<'_>, options: &Options) -> Result<TorchSession, Error> {
    let config = Config::read(request.path)?;
    let device = device(options)?;
    let threads = i32::try_from(options.threads()).unwrap_or(i32::MAX);
    tch::set_num_threads(threads);
    let _mode = shim::InferenceMode::enter();
    let kind = kind(options.dtype());
    let storage = Storage::choose(device, kind, options);
    let weights = Weights::open(request.path, kind, device)?;
    shim::return_memory(true);
    let model = Model::load(config, Loader::new(weights, storage));
    shim::return_memory(false);
    let model = model?;
    let replay = Replay::new(options, device)?;
    let mut info = info(&model, options, storage);
    info.details.insert("steps".into(), replay.describe().into());
    Ok(TorchSession::new(model, info, threads, replay))
}

fn kind(dtype: Dtype) -> Kind {
    match dtype {
        Dtype::F64 => Kind::Double,
        Dtype::F32 => Kind::Float,
        Dtype::Bf16 => Kind::BFloat16,
        Dtype::F16 => Kind::Half,
    }
}

fn device(options: &Options) -> Result<tch::Device, Error> {
    let Device::Cuda(number) = options.device else { return Ok(tch::Device::Cpu) };
    let count = tch::Cuda::device_count();
    if i64::from(number) >= count {
        return Err(Error::new(
            ErrorKind::RuntimeMissing,
            format!(
                "device is {}, but libtorch sees {count} CUDA devices here; check the driver with nvidia-smi, or set device = \"cpu\"",
                options.device
            ),
        ));
    }
    shim::allow_tf32(options.tf32);
    Ok(tch::Device::Cuda(number.into()))
}

fn info(model: &Model, options: &Options, storage: Storage) -> SessionInfo {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let coverage = model.coverage();
    let precision = match options.quantize {
        Quantize::None => options.dtype().to_string(),
        // What is said is what most of the matrices are in.
        _ => coverage.most().into(),
    };
    let mut details = BTreeMap::from([
        ("linear".into(), storage.describe(model.device()).into()),
        ("matrices".into(), coverage.to_string()),
        ("activations".into(), options.dtype().to_string()),
    ]);
    if options.device == Device::Cpu {
        details.insert("vector_instructions".into(), shim::cpu_capability());
    }
    SessionInfo {
        device: options.device.to_string(),
        precision,
        threads: (options.device == Device::Cpu).then(|| number(options.threads())),
        runtime_version: None,
        vocab_size: number(model.config().vocab_size()),
        context_length: Some(number(model.config().context_length())),
        model_bytes: Some(model.bytes() as u64),
        details,
    }
}
