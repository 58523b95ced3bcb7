//! Stands in until the branch with the real ones is merged.
use super::Interval;
use schemars::JsonSchema;
use serde::Serialize;

pub struct Drift {
    pub tau: f64,
    pub p: f64,
    pub change: Option<f64>,
}
pub fn drift(_: &[f64]) -> Option<Drift> {
    None
}
pub fn outliers(_: &[f64]) -> Vec<usize> {
    Vec::new()
}
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct VarianceSplit {
    pub groups: usize,
    pub n: usize,
    pub eta_squared: f64,
    pub icc: f64,
}
pub fn variance_split(_: &[&[f64]]) -> Option<VarianceSplit> {
    None
}
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct CrossoverPoint {
    pub params: f64,
    pub ratio: f64,
}
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Crossover {
    pub slope: f64,
    pub intercept: f64,
    pub r_squared: f64,
    pub ci: Option<Interval>,
}
pub fn crossover(_: &[CrossoverPoint], _: u64) -> Option<Crossover> {
    None
}
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct Amortisation {
    pub tokens: f64,
    pub seconds: f64,
    pub runs: f64,
    pub hours: Option<f64>,
}
pub fn amortisation(_: f64, _: f64, _: f64, _: f64, _: Option<f64>) -> Option<Amortisation> {
    None
}
