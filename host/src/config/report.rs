//! What a report needs to know that no measurement says: prices, the load, what difference matters.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The `[report]` table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ReportSettings {
    /// Difference, as a share, below which backends count as equally fast.
    pub threshold: f64,
    /// What an hour of the machine costs; none: no costs are reported.
    pub price_per_hour: Option<f64>,
    /// The same by backend, where it runs on something of its own price.
    pub prices_per_hour: BTreeMap<String, f64>,
    /// What prices are in.
    pub currency: String,
    /// The load at which the time until a build has paid for itself is told; none: full load alone.
    pub tokens_per_hour: Option<f64>,
}

impl Default for ReportSettings {
    fn default() -> Self {
        Self {
            threshold: 0.02,
            price_per_hour: None,
            prices_per_hour: BTreeMap::new(),
            currency: "USD".into(),
            tokens_per_hour: None,
        }
    }
}

impl ReportSettings {
    /// As a manifest's config has them; a folder of an older host has none.
    ///
    /// # Errors
    /// The first thing that makes no sense, in one line.
    pub fn of(config: &serde_json::Value) -> Result<Self, String> {
        let Some(written) = config.get("report") else { return Ok(Self::default()) };
        let settings: Self =
            serde_json::from_value(written.clone()).map_err(|error| format!("report: {error}"))?;
        settings.check_figures()?;
        Ok(settings)
    }

    /// The first thing that makes no sense, in one line.
    pub(super) fn check(&self, backends: &[super::Backend]) -> Result<(), String> {
        self.check_figures()?;
        if let Some(name) = self.prices_per_hour.keys().find(|name| backends.iter().all(|b| b.name != **name))
        {
            return Err(format!("report.prices_per_hour: `{name}` is not the name of a backend"));
        }
        Ok(())
    }

    fn check_figures(&self) -> Result<(), String> {
        if !(0.0..1.0).contains(&self.threshold) {
            return Err(format!(
                "report.threshold is {}; it must be 0 or more and less than 1 (0.02 is 2%)",
                self.threshold
            ));
        }
        let single = [("price_per_hour", self.price_per_hour), ("tokens_per_hour", self.tokens_per_hour)];
        let single = single.into_iter().filter_map(|(key, value)| Some((key.to_string(), value?)));
        let by_backend =
            self.prices_per_hour.iter().map(|(name, price)| (format!("prices_per_hour.{name}"), *price));
        for (key, value) in single.chain(by_backend) {
            if !(value > 0.0 && value.is_finite()) {
                return Err(format!("report.{key} is {value}; it must be a number above 0"));
            }
        }
        if self.currency.is_empty() || self.currency.chars().count() > 8 {
            return Err("report.currency must be 1 to 8 characters, such as USD".into());
        }
        Ok(())
    }

    /// What an hour of `backend` costs.
    pub fn price(&self, backend: &str) -> Option<f64> {
        self.prices_per_hour.get(backend).copied().or(self.price_per_hour)
    }
}
