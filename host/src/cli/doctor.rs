//! What `doctor` takes.

use super::PluginDirs;
use clap::Args;

/// Of `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Look at this plugin alone: a name, or the path of its library
    #[arg(long, value_name = "NAME|PATH")]
    pub plugin: Option<String>,
    /// Longest time for one step of one plugin: loading, describing, opening, each call; seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0)]
    pub deadline_s: f64,
    /// Where plugins are.
    #[command(flatten)]
    pub plugins: PluginDirs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
