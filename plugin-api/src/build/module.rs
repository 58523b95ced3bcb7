//! The types of `build/1` that cross the boundary, and a [`Build`] behind them. Frozen, as `abi` is: another layout gets
//! another name.
#![expect(
    non_local_definitions,
    non_camel_case_types,
    unused_qualifications,
    reason = "expanded by abi_stable 0.11's derive macros"
)]

use super::{Build, BuildRequest};
use crate::ModelForm;
use crate::abi::RawResult;
use crate::export::{contained, from_json, parse_json, to_json};
use abi_stable::{
    StableAbi,
    library::{LibHeader, RootModule},
    package_version_strings,
    prefix_type::PrefixTypeTrait,
    sabi_trait,
    sabi_types::{RMut, VersionStrings},
    std_types::{RStr, RString},
};
use std::path::Path;

/// Where a build's progress goes; borrowed for that build.
pub type BuildProgressRef<'a> = RawProgress_TO<'a, RMut<'a, ()>>;

/// The module of the extension `build/1`.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = BuildModule_Ref, prefix_fields = BuildModule_Prefix)))]
pub struct BuildModule {
    /// JSON of a [`BuildIdentity`](super::BuildIdentity), for options given as JSON text.
    pub identity: extern "C" fn(options: RStr<'_>) -> RawResult<RString>,
    /// Builds; JSON of a [`BuildReport`](super::BuildReport).
    #[sabi(last_prefix_field)]
    pub build:
        extern "C" fn(request: &RawBuildRequest<'_>, progress: BuildProgressRef<'_>) -> RawResult<RString>,
}

impl RootModule for BuildModule_Ref {
    abi_stable::declare_root_module_statics! {BuildModule_Ref}
    const BASE_NAME: &'static str = "inferhost_build";
    const NAME: &'static str = "inferhost build extension";
    const VERSION_STRINGS: VersionStrings = package_version_strings!();
}

/// What to build; text is UTF-8 or JSON.
#[repr(C)]
#[derive(StableAbi, Debug, Clone, Copy)]
pub struct RawBuildRequest<'a> {
    /// A file or folder.
    pub source: RStr<'a>,
    /// The name of a [`ModelForm`].
    pub form: RStr<'a>,
    /// An empty folder for the artifact.
    pub folder: RStr<'a>,
    /// JSON of a [`BuildSpec`](super::BuildSpec).
    pub spec: RStr<'a>,
    /// A JSON object.
    pub options: RStr<'a>,
}

/// Is told how far a build is.
#[sabi_trait]
pub trait RawProgress {
    /// `done` of `total` steps of `phase`; false asks the plugin to give up.
    #[sabi(last_prefix_field)]
    fn report(&mut self, phase: RStr<'_>, done: u32, total: u32) -> bool;
}

/// The header of `B`'s extension module. Made once for a plugin: see [`build`](super).
pub fn header<B: Build>() -> LibHeader {
    LibHeader::from_module(BuildModule { identity: identity::<B>, build: build::<B> }.leak_into_prefix())
}

extern "C" fn identity<B: Build>(options: RStr<'_>) -> RawResult<RString> {
    contained(|| to_json(&B::identity(&parse_json(options.as_str())?)?))
}

extern "C" fn build<B: Build>(
    request: &RawBuildRequest<'_>,
    mut progress: BuildProgressRef<'_>,
) -> RawResult<RString> {
    contained(|| {
        let options = parse_json(request.options.as_str())?;
        let spec = from_json("the build's spec", request.spec.as_str())?;
        let request = BuildRequest {
            source: Path::new(request.source.as_str()),
            form: ModelForm::from_name(request.form.as_str()),
            folder: Path::new(request.folder.as_str()),
            spec: &spec,
            options: &options,
        };
        to_json(&B::build(&request, &mut progress)?)
    })
}
