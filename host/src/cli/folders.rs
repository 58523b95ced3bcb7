//! What the commands take that write run folders: `run`, `merge` and `import`.

use super::PluginDirs;
use crate::plan::Shard;
use crate::run::Isolation;
use clap::Args;
use std::path::PathBuf;

/// How a config is run, and how its outcome is told: of `run`, `rerun` and `eval`.
#[derive(Debug, Args)]
pub struct Execution {
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
    /// How it is run and told.
    #[command(flatten)]
    pub execution: Execution,
}

/// Of `rerun`.
#[derive(Debug, Args)]
pub struct RerunArgs {
    /// The run folder to run again
    pub run_dir: PathBuf,
    /// The new run folder [default: runs/NAME-TIME]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// How it is run and told.
    #[command(flatten)]
    pub execution: Execution,
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

/// Of `import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// Result files; which tool wrote one is told by what is in it
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// A new run folder for them
    #[arg(long, value_name = "DIR", required_unless_present = "into", conflicts_with = "into")]
    pub out: Option<PathBuf>,
    /// A finished run folder to add them to
    #[arg(long, value_name = "RUN_DIR")]
    pub into: Option<PathBuf>,
    /// Call their model so, as the run folder does [default: as the tool does]
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// Call their backend so [default: llama-bench-BACKEND, optimum-BACKEND]
    #[arg(long, value_name = "NAME")]
    pub backend: Option<String>,
    /// Print the outcome as JSON
    #[arg(long)]
    pub json: bool,
}
