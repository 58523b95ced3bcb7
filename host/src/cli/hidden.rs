//! What the commands take that the host itself starts.

use clap::Args;
use std::path::PathBuf;

/// Of `worker`.
#[derive(Debug, Args)]
pub struct WorkerArgs {
    /// Where the host listens
    pub server: String,
    /// Most memory to allocate, MiB
    #[arg(long)]
    pub memory_limit_mb: Option<u64>,
}

/// Of `guard`.
#[derive(Debug, Args)]
pub struct GuardArgs {
    /// The host's temporary folder
    pub scratch: PathBuf,
}
