//! `inferhost doctor`: what is wrong here, and what would mend it.

use crate::cli::DoctorArgs;
use crate::doctor::{Interrupted, Level, Report, Subject, examine, terminal};
use crate::error::AppError;
use crate::interrupt;
use crate::output::{print, print_json};
use crate::plugins::{PluginFolders, Trust};

pub(super) fn execute(args: &DoctorArgs) -> Result<(), AppError> {
    let deadline = super::deadline(args.deadline_s)?;
    // Where it cannot be taken over, Ctrl-C ends the program at once, as anywhere else.
    let _ = interrupt::install();
    // The known model is tiny, and where no thread can be started none is needed.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build_global();
    let given = &args.plugins.folders;
    let folders =
        PluginFolders::whatever_is_there(given, Trust::of(args.plugins.allow_world_writable_plugins));
    let absent_folders = given.iter().filter(|folder| !folder.is_dir()).cloned().collect();
    let subject = Subject { plugin: args.plugin.as_deref(), folders: &folders, absent_folders, deadline };
    let report = examine(&subject).map_err(|Interrupted| AppError::interrupted("interrupted"))?;
    if args.json { print_json(&report) } else { print(&terminal(&report)) }?;
    verdict(&report)
}

fn verdict(report: &Report) -> Result<(), AppError> {
    let failed = report.failed_plugins();
    if failed > 0 {
        let all = report.plugins.len();
        return Err(AppError::backend(format!(
            "{failed} of {all} plugins do not work; the lines above say why"
        )));
    }
    if report.level == Level::Fail {
        return Err(AppError::failed(
            "this machine lacks something that runs need; the lines above say what",
        ));
    }
    Ok(())
}
