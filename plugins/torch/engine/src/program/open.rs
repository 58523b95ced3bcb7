//! From a request to a session: the file, the machine, the options, the program, its signature, in that order.

use super::description::Description;
use super::float::precision_of;
use super::runner::Runner;
use super::session::ProgramSession;
use super::signature::{Signature, broken};
use super::sizes::Sizes;
use super::{libtorch, processor};
use crate::options::{Device, Layout, Options, Quantize};
use crate::shim;
use crate::shim::program::Program;
use inferhost_plugin_api::program::{ProgramFile, find_program};
use inferhost_plugin_api::{Error, ErrorKind, ModelForm, OpenRequest, SessionInfo};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Opens the program that `request` names, on `device`, which is there.
///
/// # Errors
/// `InvalidInput` for a file that is no program of that form or of no language model, `Unsupported` for one that this
/// machine or these options do not fit.
pub(crate) fn open(
    request: &OpenRequest<'_>,
    options: &Options,
    device: tch::Device,
) -> Result<ProgramSession, Error> {
    let path = &file_of(request.path)?;
    let file = ProgramFile::read(path).map_err(|problem| broken(path, &problem))?;
    if file.form != request.form {
        return Err(broken(
            path,
            &format!(
                "is of the form {}, not {}; name it as what it is",
                file.form.name(),
                request.form.name()
            ),
        ));
    }
    check_device(path, &file, options)?;
    check_options(path, &file, options)?;
    let sizes = Sizes::beside(path)?;
    let packaged = file.form == ModelForm::AotInductor;
    if packaged {
        processor::check(path, &file.metadata)?;
        if context_length(&file, &sizes).is_none() {
            return Err(broken(
                path,
                "does not tell how many positions it has, and one that it does not have would end the process; put the model's config.json beside it",
            ));
        }
        libtorch::load(options.device == Device::Cpu)?;
    }
    let threads = i32::try_from(options.threads()).unwrap_or(i32::MAX);
    tch::set_num_threads(threads);
    let cuda = match options.device {
        Device::Cpu => None,
        Device::Cuda(number) => Some(number),
    };
    let _mode = shim::InferenceMode::enter();
    let program = Program::open(path, packaged.then_some(file.model.as_str()), cuda)
        .map_err(|fault| not_loaded(path, fault.into()))?;
    let description = Description::read(path, &program.describe()?)?;
    let signature = Signature::read(path, file.contract.as_ref(), &description, &sizes)?;
    check_dtype(path, &signature, &file, options)?;
    let info = info(path, &file, &signature, &description, &sizes, options);
    let mut runner = Runner::new(program, signature, device);
    if file.contract.is_none() {
        runner.probe(path)?;
    }
    Ok(ProgramSession::new(runner, info, threads))
}

fn file_of(path: &Path) -> Result<PathBuf, Error> {
    if !path.is_dir() {
        return Ok(path.to_path_buf());
    }
    let found =
        find_program(path).and_then(|found| found.ok_or_else(|| "holds no .pt2, .ts or .pt file".into()));
    found.map_err(|problem| broken(path, &problem))
}

fn not_loaded(path: &Path, error: Error) -> Error {
    // What the loader says of a file is the file's fault, unless it is known to be the machine's.
    let kind = if error.kind == ErrorKind::Internal { ErrorKind::InvalidInput } else { error.kind };
    Error::new(
        kind,
        format!(
            "cannot load {}: {}; export it again with this version of PyTorch",
            path.display(),
            error.message
        ),
    )
}

/// What the program was made for; none where it does not say.
fn made_for(file: &ProgramFile) -> Option<&str> {
    let said =
        file.metadata.get("AOTI_DEVICE_KEY").or(file.contract.as_ref().map(|contract| &contract.device));
    said.map(|device| device.split(':').next().unwrap_or_default())
}

fn check_device(path: &Path, file: &ProgramFile, options: &Options) -> Result<(), Error> {
    let asked = if options.device == Device::Cpu { "cpu" } else { "cuda" };
    match made_for(file).filter(|made_for| *made_for != asked) {
        None => Ok(()),
        Some(made_for) => Err(Error::unsupported(format!(
            "{} was compiled for {made_for}, but device is {}; set device = \"{made_for}\", or export it with --device {asked}",
            path.display(),
            options.device
        ))),
    }
}

/// Nothing of what a program computes can be changed once it is compiled.
fn check_options(path: &Path, file: &ProgramFile, options: &Options) -> Result<(), Error> {
    let what = if options.quantize != Quantize::None {
        format!("quantize = \"{}\"", options.quantize)
    } else if options.linear == Layout::Plain {
        "linear = \"plain\"".into()
    } else if options.cuda_graph == Some(true) {
        "cuda_graph = true".into()
    } else {
        return Ok(());
    };
    Err(Error::unsupported(format!(
        "{what} was asked for, but {} is a program ({}), which is run as it was exported; leave it out",
        path.display(),
        file.form.name()
    )))
}

fn check_dtype(
    path: &Path,
    signature: &Signature,
    file: &ProgramFile,
    options: &Options,
) -> Result<(), Error> {
    let own = precision(file, signature);
    match options.dtype.map(|dtype| dtype.to_string()).filter(|asked| asked != own) {
        None => Ok(()),
        Some(asked) => Err(Error::unsupported(format!(
            "dtype is {asked}, but {} was exported in {own}; leave dtype out, or export it with --dtype {asked}",
            path.display()
        ))),
    }
}

fn precision<'a>(file: &'a ProgramFile, signature: &Signature) -> &'a str {
    file.contract.as_ref().map_or_else(|| precision_of(signature.kind), |contract| &contract.precision)
}

fn context_length(file: &ProgramFile, sizes: &Sizes) -> Option<u32> {
    file.contract.as_ref().and_then(|contract| contract.context_length).or(sizes.context_length)
}

fn info(
    path: &Path,
    file: &ProgramFile,
    signature: &Signature,
    description: &Description,
    sizes: &Sizes,
    options: &Options,
) -> SessionInfo {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let on_cpu = options.device == Device::Cpu;
    SessionInfo {
        device: options.device.to_string(),
        precision: precision(file, signature).into(),
        threads: on_cpu.then(|| number(options.threads())),
        runtime_version: None,
        vocab_size: number(signature.vocab_size),
        context_length: context_length(file, sizes),
        // A package does not say what its weights take; they are nearly all of it.
        model_bytes: Some(description.bytes.unwrap_or(file.bytes)),
        details: details(path, file, signature, on_cpu),
    }
}

fn details(path: &Path, file: &ProgramFile, signature: &Signature, on_cpu: bool) -> BTreeMap<String, String> {
    let packaged = file.form == ModelForm::AotInductor;
    let kernels = match (packaged, on_cpu) {
        (true, true) => "C++, compiled by AOTInductor",
        (true, false) => "Triton, compiled by AOTInductor",
        (false, _) => "libtorch's, called by TorchScript's interpreter",
    };
    let contract = file.contract.as_ref();
    let compiled_by = contract.and_then(|contract| contract.torch.clone());
    let instructions = file.metadata.get("AOTI_CPU_ISA").filter(|set| on_cpu && !set.is_empty());
    let details = [
        ("program", Some(path.display().to_string())),
        ("form", Some(file.form.name().into())),
        ("kernels", Some(kernels.into())),
        ("architecture", contract.and_then(|contract| contract.architecture.clone())),
        ("compiled_by", compiled_by.map(|torch| format!("torch {torch}"))),
        ("compiled_for", instructions.cloned()),
        ("kv_cache", Some(if signature.cache.is_empty() { "none" } else { "past_key_values" }.into())),
        (
            "padding",
            Some(if signature.pads { "left" } else { "none, rows of one length share a run" }.into()),
        ),
        ("vector_instructions", on_cpu.then(shim::cpu_capability)),
    ];
    details.into_iter().filter_map(|(key, value)| Some((key.into(), value?))).collect()
}
