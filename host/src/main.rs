//! The `inferhost` program: a command line in, an exit code out.

use clap::Parser;
use clap::error::ErrorKind;
use inferhost::cli::Cli;
use inferhost::error::AppError;
use inferhost::worker::guard;
use inferhost::{commands, output, platform};

fn main() {
    platform::quiet_panics();
    platform::survive_file_size_limit();
    let ended = parse().and_then(commands::execute);
    guard::dismiss();
    if let Err(error) = ended {
        output::say(&format!("inferhost: {}", error.message));
        std::process::exit(error.exit_code);
    }
}

/// The command line, or what is wrong with it in one line; help and version are printed here.
fn parse() -> Result<Cli, AppError> {
    Cli::try_parse().map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => error.exit(),
        _ => {
            let text = error.to_string();
            let what = text.split("\nUsage:").next().unwrap_or_default();
            let what = what.split("\nFor more information").next().unwrap_or_default();
            AppError::bad_input(format!("{}; see --help", what.trim().trim_start_matches("error: ")))
        }
    })
}
