//! Whether an artifact computes what its model does: a few tokens through ONNX Runtime and through candle in 64 bits.

use super::Starter;
use super::exchange::{Errand, RUNTIME, ask, opened};
use crate::model::ResolvedModel;
use crate::plugins::{FindError, PluginFolders};
use crate::prepare::Prepared;
use crate::prepare::artifact::{Artifact, Dialect, Precision};
use crate::record::Mode;
use crate::worker::protocol::{GenerateSettings, Output, Reply, Request, RunRequest, RunResult};
use inferhost_plugin_api::{ModelForm, Positions, Rows};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Computes in 64 bits.
const ORACLE: &str = "candle";
/// Lengths of the rows: padding must not show.
const LENGTHS: [u32; 2] = [13, 6];

/// How far an artifact's logits are from its model's.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Agreement {
    /// Root mean square of the difference, in standard deviations of the model's logits of a position.
    pub relative_difference: f64,
    /// Of a single logit.
    pub largest_difference: f64,
    /// The share of positions whose largest logit is the same.
    pub same_token: f64,
    /// Up to which `relative_difference` the precision may go.
    pub tolerance: f64,
}

impl Agreement {
    /// Whether the difference is one that the precision explains.
    pub fn holds(&self) -> bool {
        self.relative_difference <= self.tolerance
    }
}

/// Where the oracle and the artifact's runtime are found, and how they are started.
#[derive(Debug)]
pub struct Checker<'a> {
    /// Where both plugins are.
    pub folders: &'a PluginFolders,
    /// How workers are made.
    pub starter: &'a Starter,
}

impl Checker<'_> {
    /// Whether both plugins are there.
    ///
    /// # Errors
    /// Which is not.
    pub fn plugins(&self) -> Result<(), FindError> {
        [ORACLE, RUNTIME].into_iter().try_for_each(|plugin| self.folders.find(plugin).map(|_| ()))
    }

    /// Runs the same rows through `model` in candle and through `prepared` in ONNX Runtime, both at once.
    ///
    /// # Errors
    /// One line that says which of them could not be run and why.
    pub fn agreement(
        &self,
        model: &ResolvedModel,
        prepared: &Prepared,
        artifact: &Artifact,
    ) -> Result<Agreement, String> {
        let vocab = model.config.vocab_size.unwrap_or(1).max(1);
        let longest = model.config.context_length.unwrap_or(u32::MAX).max(1);
        let row =
            |length: u32| (0..length.min(longest)).map(|at| (at * 7919 + length * 104_729) % vocab).collect();
        let rows: Vec<Vec<u32>> = LENGTHS.into_iter().map(row).collect();
        let source = Prepared::as_it_is(model.folder.clone(), ModelForm::HuggingFace);
        let in_64_bits = Map::from_iter([("dtype".to_string(), json!("f64"))]);
        let (oracle, found) = std::thread::scope(|scope| {
            let oracle = scope.spawn(|| self.logits(ORACLE, &source, &in_64_bits, &rows));
            let found = self.logits(RUNTIME, prepared, &runtime_options(artifact), &rows);
            (oracle.join().unwrap_or_else(|_| Err("its thread ended".into())), found)
        });
        let (oracle, found) =
            (oracle.map_err(|e| format!("candle: {e}"))?, found.map_err(|e| format!("ort: {e}"))?);
        Ok(compare(&oracle, &found, tolerance(&artifact.precision)))
    }

    fn logits(
        &self,
        plugin: &str,
        prepared: &Prepared,
        options: &Map<String, Value>,
        rows: &[Vec<u32>],
    ) -> Result<Vec<Vec<f64>>, String> {
        let log = format!("check-{plugin}");
        let errand = Errand { plugin, log: &log, env: &BTreeMap::new(), prepared, options };
        let mut worker = opened(self.folders, self.starter, &errand)?;
        let request = RunRequest {
            mode: Mode::Prefill,
            rows: Rows::new(rows),
            positions: Positions::All,
            generate: GenerateSettings::default(),
            warmups: 0,
            last_latency: None,
            keep_output: true,
            stream: false,
        };
        match ask(worker.as_mut(), Request::Run(Box::new(request)))? {
            Reply::Ran(RunResult { output: Some(Output::Logits(logits)), .. }) => Ok(logits),
            _ => Err("the worker gave a reply of another kind".into()),
        }
    }
}

/// What rounding explains, generously: this finds wrong graphs, the accuracy gate finds poor ones.
const fn tolerance(precision: &Precision) -> f64 {
    match precision {
        Precision::Fp32 => 1e-3,
        Precision::Fp16 => 0.02,
        Precision::Bf16 => 0.1,
        Precision::Int8Dynamic { .. } | Precision::Int8Weight { .. } => 0.4,
        Precision::Int8Qdq(_) | Precision::Fp8Qdq(_) => 0.4,
        Precision::Int4Weight { .. } => 0.7,
    }
}

/// ONNX Runtime's extended optimisations take 8-bit floats between `DequantizeLinear` and `MatMul` for integers and then
/// refuse what they made (1.31.1: "Type 'tensor(float8e4m3fn)' of input parameter of operator (MatMulIntegerToFloat)").
fn runtime_options(artifact: &Artifact) -> Map<String, Value> {
    let is_mistaken =
        matches!(artifact.precision, Precision::Fp8Qdq(_)) && artifact.dialect == Dialect::Portable;
    Map::from_iter(is_mistaken.then(|| ("optimization".to_string(), json!("basic"))))
}

fn compare(oracle: &[Vec<f64>], found: &[Vec<f64>], tolerance: f64) -> Agreement {
    let (mut squares, mut spread, mut largest, mut same) = (0.0, 0.0, 0.0f64, 0);
    for (wanted, found) in oracle.iter().zip(found) {
        let mean = wanted.iter().sum::<f64>() / wanted.len().max(1) as f64;
        spread += wanted.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
        for (a, b) in wanted.iter().zip(found) {
            squares += (a - b).powi(2);
            largest = largest.max((a - b).abs());
        }
        same += usize::from(argmax(wanted) == argmax(found));
    }
    let relative_difference = if spread > 0.0 { (squares / spread).sqrt() } else { squares.sqrt() };
    let same_token = same as f64 / oracle.len().max(1) as f64;
    Agreement { relative_difference, largest_difference: largest, same_token, tolerance }
}

fn argmax(logits: &[f64]) -> Option<usize> {
    (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_measured_in_deviations() {
        let oracle = vec![vec![1.0, -1.0], vec![0.0, 2.0]];
        let found = vec![vec![1.1, -1.0], vec![2.0, 0.0]];
        let agreement = compare(&oracle, &found, 0.5);
        assert!((agreement.relative_difference - (8.01f64 / 4.0).sqrt()).abs() < 1e-12);
        assert_eq!((agreement.largest_difference, agreement.same_token), (2.0, 0.5));
        assert!(!agreement.holds() && compare(&oracle, &oracle, 1e-9).holds());
    }
}
