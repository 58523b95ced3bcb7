//! `inferhost compare`: two and more run folders, cell by cell.

use crate::cli::CompareArgs;
use crate::compare::{CompareError, Compared, Settings, compare, markdown, terminal};
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
        print(terminal(compared, Layout::of_stdout()).trim_end())
    }
}

/// The line on standard error where the exit code is 1.
fn summary(compared: &Compared) -> String {
    const NAMED: usize = 3;
    let all: Vec<String> =
        compared.comparisons.iter().flat_map(|of| &of.failures).map(|failure| failure.to_string()).collect();
    let more = if all.len() > NAMED { format!("; and {} more", all.len() - NAMED) } else { String::new() };
    format!("{} regressions: {}{more}", all.len(), all[..all.len().min(NAMED)].join("; "))
}
