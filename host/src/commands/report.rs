//! `inferhost report`: from a run folder alone.

use crate::cli::ReportArgs;
use crate::error::AppError;
use crate::output::{print, print_json};
use crate::report::{Layout, Report};

pub(super) fn execute(args: &ReportArgs) -> Result<(), AppError> {
    let report = Report::read(&args.run_dir, args.test).map_err(AppError::report)?;
    let files = report.write(&args.run_dir).map_err(AppError::report)?;
    if args.json {
        return print_json(&report.analysis);
    }
    print(report.terminal(Layout::of_stdout()).trim_end())?;
    files.iter().try_for_each(|file| print(&format!("written: {}", file.display())))
}
