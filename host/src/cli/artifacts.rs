//! What `prepare` and `artifacts` take.

use super::PluginDirs;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Of `prepare`.
#[derive(Debug, Args)]
pub struct PrepareArgs {
    /// A folder, hf:ORG/NAME or hf:ORG/NAME@REV, or synthetic:SHAPE
    #[arg(long, value_name = "SPEC")]
    pub model: String,
    /// What to build
    #[arg(long, value_name = "NAME", default_value = "onnx-fp32")]
    pub artifact: String,
    /// For an engine (plan-…): the plugin that builds it [default: tensorrt]
    #[arg(long, value_name = "NAME|PATH")]
    pub plugin: Option<String>,
    /// For an engine: an option of that plugin
    #[arg(long = "option", value_name = "KEY=VALUE")]
    pub options: Vec<String>,
    /// For an engine: most rows that it runs at once, over the model's whole context (a matrix builds its own)
    /// [default: 8]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub rows: Option<u32>,
    /// A new folder to put it in [default: it stays in the cache]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Do not run it against the model in 64 bits
    #[arg(long)]
    pub no_check: bool,
    /// Where plugins are.
    #[command(flatten)]
    pub plugins: PluginDirs,
    /// Print the outcome as JSON
    #[arg(long)]
    pub json: bool,
}

/// Of `artifacts`.
#[derive(Debug, Args)]
pub struct ArtifactsArgs {
    /// What to do.
    #[command(subcommand)]
    pub action: ArtifactsAction,
}

/// What `artifacts` does.
#[derive(Debug, Subcommand)]
pub enum ArtifactsAction {
    /// Show what the cache holds
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Hash every file anew
    Verify,
    /// Remove artifacts; without a condition, all of them and all calibrations
    Prune {
        /// Only those built at least so many days ago
        #[arg(long, value_name = "DAYS", default_value_t = 0)]
        older_than: u32,
    },
}
