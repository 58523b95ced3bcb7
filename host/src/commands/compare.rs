//! `inferhost compare`: two and more run folders, cell by cell.

use crate::cli::CompareArgs;
use crate::compare::{CompareError, Compared, Listed, Settings, compare, markdown, terminal};
use crate::error::AppError;
use crate::output::{print, print_json};
use crate::report::Layout;

pub(super) fn execute(args: &CompareArgs) -> Result<(), AppError> {
    let [before, afters @ ..] = args.runs.as_slice() else {
        return Err(AppError::bad_input("compare takes two run folders or more"));
    };
    let settings = Settings { threshold: args.threshold, fail_above: args.fail_above };
    let compared = compare(before, afters, &args.backends, settings).map_err(refused)?;
    show(args, &compared)?;
    if compared.regressed {
        return Err(AppError::failed(summary(&compared)));
    }
    Ok(())
}

fn refused(error: CompareError) -> AppError {
    match error {
        CompareError::Store(error) => AppError::store(&error),
        other => AppError::bad_input(format!("failed to {other}")),
    }
}

fn show(args: &CompareArgs, compared: &Compared) -> Result<(), AppError> {
    if args.json {
        print_json(compared)
    } else if args.markdown {
        print(markdown(compared).trim_end())
    } else {
        let listed = if args.all { Listed::All } else { Listed::Changed };
        print(terminal(compared, Layout::of_stdout(), listed).trim_end())
    }
}

/// The line on standard error where the exit code is 1; standard output names each.
fn summary(compared: &Compared) -> String {
    let regressions: usize = compared.comparisons.iter().map(|of| of.failures.len()).sum();
    let of = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let against = of(compared.comparisons.len(), "comparison");
    format!("{} in {against}; standard output names each", of(regressions, "regression"))
}
