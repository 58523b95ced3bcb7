//! What `compare` takes.

use crate::compare::BackendPair;
use clap::Args;
use std::path::PathBuf;

/// Of `compare`.
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// Run folders: the one before, then those to compare with it
    #[arg(required = true, num_args = 2.., value_name = "RUN_DIR")]
    pub runs: Vec<PathBuf>,
    /// A backend that has another name after; repeatable. With it, a folder can be compared with itself
    #[arg(long = "backend", value_name = "BEFORE=AFTER")]
    pub backends: Vec<BackendPair>,
    /// Smaller changes are not called faster or slower
    #[arg(long, value_name = "PERCENT", default_value = "2%", value_parser = percent)]
    pub threshold: f64,
    /// Exit with 1 where a worker, a call or a cell is significantly slower and by more than this
    #[arg(long, value_name = "PERCENT", default_value = "5%", value_parser = percent)]
    pub fail_above: f64,
    /// List every cell, not only those that changed
    #[arg(long, conflicts_with_all = ["markdown", "json"])]
    pub all: bool,
    /// Print Markdown, for a pull request
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `5%` as 0.05.
fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    number
        .filter(|percent| (0.0..=1000.0).contains(percent))
        .map(|percent| percent / 100.0)
        .ok_or_else(|| "give a percentage from 0% to 1000% with its sign, such as 5%".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_has_its_sign() {
        for (text, share) in
            [("5%", Some(0.05)), ("0%", Some(0.0)), ("12.5 %", Some(0.125)), ("1000%", Some(10.0))]
        {
            assert_eq!(percent(text).ok(), share, "{text}");
        }
        for text in ["5", "0.05", "-1%", "NaN%", "inf%", "1001%", "%", "five%", ""] {
            assert!(percent(text).unwrap_err().contains("such as 5%"), "{text}");
        }
    }
}
