//! Where plugins are and which of them may be loaded, for every command that loads some.

use crate::plugins::{FindError, PluginFolders, Trust};
use clap::Args;
use std::path::PathBuf;

/// Where plugins are.
#[derive(Debug, Args)]
pub struct PluginDirs {
    /// A folder of plugins, searched before INFERHOST_PLUGIN_DIR, the binary's folder and the user's data folder
    #[arg(long = "plugin-dir", value_name = "DIR")]
    pub folders: Vec<PathBuf>,
    /// Load also plugins that any user of this machine may change (INFERHOST_ALLOW_WORLD_WRITABLE_PLUGINS=1 does the same)
    #[arg(long)]
    pub allow_world_writable_plugins: bool,
}

impl PluginDirs {
    /// The folders to search, and which of their plugins may be loaded.
    ///
    /// # Errors
    /// A folder that is none.
    pub fn open(&self) -> Result<PluginFolders, FindError> {
        PluginFolders::new(&self.folders, Trust::of(self.allow_world_writable_plugins))
    }
}
