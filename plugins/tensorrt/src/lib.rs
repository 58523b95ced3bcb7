//! The inferhost plugin for TensorRT 11: builds engine plans from ONNX graphs, and runs them.
//!
//! TensorRT's library is found and loaded at run time ([`library`]), so one build of this plugin drives many versions of
//! it. The CUDA driver is asked before anything of TensorRT's: without one TensorRT crashes. An engine runs the
//! shapes of its optimisation profiles alone, so the host derives those from what a matrix will submit, and
//! a shape in none of them is refused before it reaches TensorRT.

mod buffers;
mod build;
mod contract;
mod describe;
mod driver;
mod element;
mod engine;
mod error;
mod graph;
mod kernels;
mod layout;
pub mod library;
mod loaded;
mod log;
mod memory;
mod nvinfer;
pub mod options;
mod profile;
mod runner;
mod session;

pub use session::TensorRtSession;

use abi_stable::library::LibHeader;
use driver::Driver;
use inferhost_plugin_api::build::{self as api, Build, BuildIdentity, BuildReport, BuildRequest, Progress};
use inferhost_plugin_api::{Backend, Description, Error, OpenRequest, export_backend, parse_options};
use library::Need;
use options::Options;
use serde_json::Value;
use std::sync::LazyLock;

/// TensorRT as an inferhost backend.
pub struct TensorRt;

impl Backend for TensorRt {
    type Session = TensorRtSession;

    fn describe(options: &Value) -> Result<Description, Error> {
        Ok(describe::describe(&parse_options(options)?))
    }

    fn open(request: &OpenRequest<'_>) -> Result<TensorRtSession, Error> {
        let options: Options = request.parse_options()?;
        describe::ready(&options, Need::Run)?;
        let driver = Driver::new(options.device.0)?;
        let library = library::load(&options, Need::Run)?;
        session::open(request, options, library, driver)
    }

    fn extension(name: &str) -> Option<&'static LibHeader> {
        static BUILD: LazyLock<LibHeader> = LazyLock::new(api::header::<TensorRt>);
        (name == api::NAME).then(|| &*BUILD)
    }
}

impl Build for TensorRt {
    fn identity(options: &Value) -> Result<BuildIdentity, Error> {
        build::identity(&parse_options(options)?)
    }

    fn build(request: &BuildRequest<'_>, progress: &mut dyn Progress) -> Result<BuildReport, Error> {
        build::build(request, progress)
    }
}

export_backend!(TensorRt);
