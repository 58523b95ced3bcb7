//! What the commands take that write run folders: `run` and `merge`.

use super::PluginDirs;
use crate::plan::Shard;
use crate::run::Isolation;
use clap::Args;
use std::path::PathBuf;

/// Of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The config
    pub config: PathBuf,
    /// The run folder [default: runs/NAME-TIME]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Go on with a run that ended early: in --out, or in the config's newest folder under runs/
    #[arg(long)]
    pub resume: bool,
    /// Run only the K-th of N parts of the plan; `merge` puts the parts together
    #[arg(long, value_name = "K/N")]
    pub shard: Option<Shard>,
    /// Where plugins run
    #[arg(long, value_enum, default_value = "process")]
    pub isolation: Isolation,
    /// Where plugins are.
    #[command(flatten)]
    pub plugins: PluginDirs,
    /// Print the outcome as JSON
    #[arg(long)]
    pub json: bool,
}

/// Of `merge`.
#[derive(Debug, Args)]
pub struct MergeArgs {
    /// The run folders, two or more
    #[arg(required = true, num_args = 1..)]
    pub run_dirs: Vec<PathBuf>,
    /// The new run folder
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Count the runs of each further folder as further rounds
    #[arg(long)]
    pub as_rounds: bool,
    /// Merge also where a backend's plugin or runtime differs between the folders
    #[arg(long)]
    pub allow_versions: bool,
    /// Print the outcome as JSON
    #[arg(long)]
    pub json: bool,
}
