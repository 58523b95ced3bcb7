//! What the plugin says of itself, on machines without a driver and without TensorRT too.

use crate::driver;
use crate::library::{self, Need};
use crate::options::Options;
use inferhost_plugin_api::{Description, Error, ErrorKind, ModelForm, Runtime};

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
            problem: problem(device.err(), library.as_ref().err()),
        },
        devices: names,
        precisions: precisions.into_iter().map(String::from).collect(),
        forms: vec![ModelForm::EnginePlan],
        options: Options::descriptions(),
    }
}

/// Looks for the device and for the library, so that what is wrong with one does not hide what is wrong with the other.
///
/// # Errors
/// What is missing, and what to do about all of it.
pub(crate) fn ready(options: &Options, need: Need) -> Result<(), Error> {
    let device = driver::device(options.device.0).err();
    let library = library::find(options).and_then(|library| match need {
        Need::Run => Ok(()),
        Need::Build => library::with_builder(&library),
    });
    let library = library.err();
    let kind = device.as_ref().or(library.as_ref()).map_or(ErrorKind::RuntimeMissing, |error| error.kind);
    problem(device, library.as_ref()).map_or(Ok(()), |message| Err(Error::new(kind, message)))
}

/// Why nothing can be run here: every fault, then every remedy, in one line. The lean runtime is no fault: it runs what
/// was built elsewhere, and its version says that it is lean.
fn problem(device: Option<Error>, library: Option<&Error>) -> Option<String> {
    let faults: Vec<&str> = device.iter().chain(library).map(|error| error.message.as_str()).collect();
    let parts: Vec<(&str, &str)> =
        faults.iter().map(|fault| fault.rsplit_once("; ").unwrap_or((fault, ""))).collect();
    let joined = |parts: Vec<&str>| {
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", and ")
    };
    let (faults, remedies): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
    (!faults.is_empty()).then(|| format!("{}; {}", joined(faults), joined(remedies)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_come_first_and_remedies_last() {
        let error = |text: &str| Error::internal(text);
        for (device, library, told) in [
            (None, None, None),
            (Some("no driver; install it"), None, Some("no driver; install it")),
            (None, Some("no library (tried a; b); set it"), Some("no library (tried a; b); set it")),
            (
                Some("no driver; install it"),
                Some("no library; set it"),
                Some("no driver, and no library; install it, and set it"),
            ),
        ] {
            let found = problem(device.map(error), library.map(error).as_ref());
            assert_eq!(found.as_deref(), told);
        }
    }
}
