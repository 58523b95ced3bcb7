//! A builder of engines that hold nothing but the profiles they run: sessions opened from one refuse every other shape,
//! so that a host which submits what it did not plan for is found out.

use crate::Faulty;
use crate::fault::Faults;
use crate::options::{Options, Stage};
use inferhost_plugin_api::build::{
    Build, BuildIdentity, BuildReport, BuildRequest, ENGINE, Progress, REPORT,
};
use inferhost_plugin_api::shapes::{Profile, Shape, covering};
use inferhost_plugin_api::{Batch, Error, ErrorKind, ModelForm, parse_options};
use serde_json::Value;
use std::path::Path;

/// As a builder's.
const PHASES: [&str; 2] = ["reading the graph", "choosing kernels"];

impl Build for Faulty {
    fn identity(options: &Value) -> Result<BuildIdentity, Error> {
        let options: Options = parse_options(options)?;
        Faults::new(options)?.before(Stage::Identity)?;
        Ok(BuildIdentity {
            runtime: format!("fake {}", env!("CARGO_PKG_VERSION")),
            device: "none".into(),
            ..BuildIdentity::default()
        })
    }

    fn build(request: &BuildRequest<'_>, progress: &mut dyn Progress) -> Result<BuildReport, Error> {
        if request.form != ModelForm::Onnx {
            let form = request.form.name();
            return Err(Error::unsupported(format!("faulty builds of the form onnx, not {form}")));
        }
        let mut faults = Faults::new(parse_options(request.options)?)?;
        for phase in PHASES {
            for step in 0..2 {
                if !progress.report(phase, step, 2) {
                    return Err(Error::internal("the build was called off"));
                }
            }
        }
        faults.before(Stage::Build)?;
        let engine = request.folder.join(ENGINE);
        std::fs::write(&engine, "an engine that holds nothing\n")
            .map_err(|e| Error::internal(format!("cannot write {}: {e}", engine.display())))?;
        let profiles = request.spec.profiles.clone();
        let compute = request.spec.precision.split('-').next().unwrap_or_default();
        let layers = [(compute.to_string(), 3)].into();
        let (precision, identity) = (request.spec.precision.clone(), Self::identity(request.options)?);
        Ok(BuildReport { precision, profiles, identity, layers, ..BuildReport::default() })
    }
}

/// The profiles of the engine in `folder`.
pub(crate) fn profiles(folder: &Path) -> Result<Vec<Profile>, Error> {
    let path = folder.join(REPORT);
    let wrong = |problem: String| Error::invalid(format!("cannot use {}: {problem}", path.display()));
    let text = std::fs::read_to_string(&path).map_err(|e| wrong(e.to_string()))?;
    let report: BuildReport = serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))?;
    Ok(report.profiles)
}

/// Refuses what no profile runs; anything goes where there is no engine.
pub(crate) fn check(profiles: Option<&[Profile]>, shape: Shape) -> Result<(), Error> {
    match profiles {
        Some(profiles) if covering(profiles, &shape.into()).is_none() => {
            let message = format!("no profile of the engine runs {shape}; build it for that");
            Err(Error::new(ErrorKind::ShapeNotCovered, message))
        }
        _ => Ok(()),
    }
}

/// What a prefill of `batch` is.
pub(crate) fn shape_of(batch: Batch<'_>) -> Shape {
    let narrow = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Shape { batch: narrow(batch.rows()), tokens: narrow(batch.longest()), past: 0 }
}
