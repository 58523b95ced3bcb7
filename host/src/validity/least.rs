//! What a cell must have before anything is claimed of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Fewest valid runs of a cell for which anything is claimed, where a config does not say more.
pub const LEAST_RUNS: usize = 3;

/// Least number and least time of a cell's runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct Least {
    /// Runs.
    pub runs: usize,
    /// Of all of them together, seconds.
    pub measured_s: f64,
}

impl Default for Least {
    fn default() -> Self {
        Self { runs: LEAST_RUNS, measured_s: 0.0 }
    }
}

impl Least {
    /// As a manifest's config has them; the default where it is of an older host, or of another tool.
    pub fn of(config: &serde_json::Value) -> Self {
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Written {
            min_repetitions: Option<usize>,
            min_measured_s: f64,
        }
        let run = config.get("run").cloned().unwrap_or_default();
        let written: Written = serde_json::from_value(run).unwrap_or_default();
        Self { runs: written.min_repetitions.unwrap_or(LEAST_RUNS), measured_s: written.min_measured_s }
    }
}

impl fmt::Display for Least {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ok runs", self.runs)?;
        if self.measured_s > 0.0 {
            write!(f, " of {} s together", self.measured_s)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_config_that_says_nothing_asks_for_three_runs() {
        for config in [json!(null), json!({}), json!({"run": {"rounds": 2}}), json!({"run": 3})] {
            assert_eq!(Least::of(&config), Least::default(), "{config}");
        }
        let asked = json!({"run": {"min_repetitions": 10, "min_measured_s": 0.5, "rounds": 2}});
        assert_eq!(Least::of(&asked), Least { runs: 10, measured_s: 0.5 });
    }
}
