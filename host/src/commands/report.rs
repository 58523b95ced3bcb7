//! `inferhost report`: from a run folder alone.

use crate::analysis::Analysis;
use crate::cli::ReportArgs;
use crate::error::AppError;
use crate::output::{print, print_json};
use crate::report::{Layout, Report};

pub(super) fn execute(args: &ReportArgs) -> Result<(), AppError> {
    // The command line has either.
    let Some(run_dir) = &args.run_dir else { return print_json(&schemars::schema_for!(Analysis)) };
    let report = Report::read(run_dir, args.test).map_err(AppError::report)?;
    let files = report.write(run_dir).map_err(AppError::report)?;
    if args.json {
        return print_json(&report.analysis);
    }
    print(report.terminal(Layout::of_stdout()).trim_end())?;
    files.iter().try_for_each(|file| print(&format!("written: {}", file.display())))
}
