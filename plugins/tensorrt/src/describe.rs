//! What the plugin says of itself, on machines without a driver and without TensorRT too.

use crate::driver;
use crate::library::{self, Kind, Library};
use crate::options::Options;
use inferhost_plugin_api::{Description, Error, ModelForm, Runtime};

pub(crate) fn describe(options: &Options) -> Description {
    let devices = driver::devices();
    let device = driver::device(options.device.0);
    let library = library::find(options);
    // Where the device cannot be asked, FP8 is not ruled out.
    let fp8 = device.as_ref().map_or(true, driver::Device::has_fp8);
    let mut precisions = vec!["f32", "f16", "bf16", "int8"];
    precisions.extend(fp8.then_some("fp8"));
    let names = match &devices {
        Ok(devices) => devices.iter().map(|device| format!("cuda:{}", device.number)).collect(),
        Err(_) => vec!["cuda:0".to_string()],
    };
    Description {
        name: "tensorrt".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        runtime: Runtime {
            name: "TensorRT".into(),
            version: library.as_ref().ok().map(ToString::to_string),
            library: match &library {
                Ok(library) => Some(library.path.display().to_string()),
                Err(_) => library::chosen(options).ok().flatten().map(|path| path.display().to_string()),
            },
            problem: problem(device.err(), &library),
        },
        devices: names,
        precisions: precisions.into_iter().map(String::from).collect(),
        forms: vec![ModelForm::EnginePlan],
        options: Options::descriptions(),
    }
}

/// Why nothing can be run here, all reasons in one line; a lean library runs what was built elsewhere, which is told too.
fn problem(device: Option<Error>, library: &Result<Library, Error>) -> Option<String> {
    let library = match library {
        Ok(library) if library.kind == Kind::Lean => Some(format!(
            "the lean runtime runs plans built with version_compatible=true and builds none; {}",
            library::REMEDY
        )),
        Ok(_) => None,
        Err(error) => Some(error.message.clone()),
    };
    let reasons: Vec<String> = device.map(|error| error.message).into_iter().chain(library).collect();
    (!reasons.is_empty()).then(|| reasons.join("; also, "))
}
