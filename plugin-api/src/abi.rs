//! The types that cross the boundary between host and plugin, version 1: layout only, no logic.
//!
//! Frozen once released. A field added, removed or retyped here breaks every plugin that exists, and the layout
//! check at load says so. Growth goes through [`PluginModule::extension`]: each extension is a root module of its
//! own with its own layout check, so old and new hosts and plugins keep working together.
#![expect(
    non_local_definitions,
    non_camel_case_types,
    unused_qualifications,
    reason = "expanded by abi_stable 0.11's derive macros"
)]
#![expect(missing_docs, reason = "sabi_trait expands to undocumented items; every written item has its docs")]

use abi_stable::{
    StableAbi,
    library::{LibHeader, RootModule},
    package_version_strings, sabi_trait,
    sabi_types::{RMut, VersionStrings},
    std_types::{RBox, ROption, RResult, RSlice, RStr, RString, RVec},
};

/// What every call that can fail returns.
pub type RawResult<T> = RResult<T, RawError>;
/// An open model, owned by the host.
pub type SessionBox = RawSession_TO<'static, RBox<()>>;
/// Where the tokens of one `generate` call go; borrowed for that call.
pub type TokenSinkRef<'a> = RawTokenSink_TO<'a, RMut<'a, ()>>;

/// The root module of a plugin.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = PluginModule_Ref, prefix_fields = PluginModule_Prefix)))]
pub struct PluginModule {
    /// JSON of a [`Description`](crate::Description), for options given as JSON text. Answers even when the
    /// runtime library is missing.
    pub describe: extern "C" fn(options: RStr<'_>) -> RawResult<RString>,
    /// Opens a model.
    pub open: extern "C" fn(request: &RawOpenRequest<'_>) -> RawResult<SessionBox>,
    /// The header of the extension module of that name (`build/1`, …); none where the plugin does not know it.
    #[sabi(last_prefix_field)]
    pub extension: extern "C" fn(name: RStr<'_>) -> ROption<&'static LibHeader>,
}

impl RootModule for PluginModule_Ref {
    abi_stable::declare_root_module_statics! {PluginModule_Ref}
    const BASE_NAME: &'static str = "inferhost_plugin";
    const NAME: &'static str = "inferhost plugin";
    const VERSION_STRINGS: VersionStrings = package_version_strings!();
}

/// A failed call: a [`kind`](crate::ErrorKind) by number, and a message.
#[repr(C)]
#[derive(StableAbi, Debug, Clone)]
pub struct RawError {
    pub kind: u32,
    pub message: RString,
}

/// Which model to open, in which form, how.
#[repr(C)]
#[derive(StableAbi, Debug, Clone, Copy)]
pub struct RawOpenRequest<'a> {
    /// A file or folder.
    pub path: RStr<'a>,
    /// The name of a [`ModelForm`](crate::ModelForm).
    pub form: RStr<'a>,
    /// A JSON object; the plugin refuses keys it does not know.
    pub options: RStr<'a>,
}

/// Rows of token ids, one after another, with the length of each row.
#[repr(C)]
#[derive(StableAbi, Debug, Clone, Copy)]
pub struct RawBatch<'a> {
    pub tokens: RSlice<'a, u32>,
    pub lengths: RSlice<'a, u32>,
}

/// Logits in the type the plugin computes in, `[positions, vocab_size]`: the rows of the batch one after another,
/// one position each or as many as the row has tokens.
#[repr(C)]
#[derive(StableAbi, Debug, Clone)]
pub struct RawLogits {
    pub vocab_size: u32,
    pub values: RawFloats,
}

/// Floats of one type. The receiver's buffer is reused from call to call.
#[repr(u8)]
#[derive(StableAbi, Debug, Clone)]
pub enum RawFloats {
    F32(RVec<f32>),
    F64(RVec<f64>),
}

/// How `generate` continues the rows of its batch.
#[repr(C)]
#[derive(StableAbi, Debug, Clone, Copy)]
pub struct RawGenerateOptions<'a> {
    /// At least 1, for every row.
    pub max_new_tokens: u32,
    /// Keep `past_key_values` between steps; without, every step runs the whole row.
    pub use_cache: bool,
    /// A row ends after any of these (none: never early).
    pub stop_tokens: RSlice<'a, u32>,
    /// 0 is greedy.
    pub temperature: f32,
    /// 0 is off.
    pub top_k: u32,
    /// 1 is off.
    pub top_p: f32,
    pub seed: u64,
}

/// The next token of one row.
#[repr(C)]
#[derive(StableAbi, Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawToken {
    pub row: u32,
    pub id: u32,
}

/// Takes tokens as they reach host memory.
#[sabi_trait]
pub trait RawTokenSink {
    /// The tokens of one step, for the rows that are not finished. False asks the plugin to stop early.
    #[sabi(last_prefix_field)]
    fn step(&mut self, tokens: RSlice<'_, RawToken>) -> bool;
}

/// An open model. Every call returns when its results are in host memory and the device is idle.
#[sabi_trait]
pub trait RawSession {
    /// JSON of a [`SessionInfo`](crate::SessionInfo).
    fn info(&self) -> RawResult<RString>;
    /// Runs the batch through an empty cache and writes the logits of every row's last position, or of all.
    fn prefill(&mut self, batch: RawBatch<'_>, all_positions: bool, logits: &mut RawLogits) -> RawResult<()>;
    /// Continues every row.
    fn generate(
        &mut self,
        batch: RawBatch<'_>,
        options: &RawGenerateOptions<'_>,
        sink: TokenSinkRef<'_>,
    ) -> RawResult<()>;
    /// Appends ln p(t_i | t_<i) for i >= 1 of every row, the rows one after another.
    #[sabi(last_prefix_field)]
    fn logprobs(&mut self, batch: RawBatch<'_>, logprobs: &mut RVec<f64>) -> RawResult<()>;
}
