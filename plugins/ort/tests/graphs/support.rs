//! What transformers computed in float64, and holding a session against it.

use inferhost_plugin_api::{
    GenerateOptions, Logits, ModelForm, OpenSession, Plugin, Positions, RVec, Rows, Token, TokenSink,
};
use inferhost_plugin_ort::Ort;
use safetensors::SafeTensors;
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Largest difference of an f32 graph from float64, for logits of the order of 1.
pub(crate) const F32: f64 = 2e-5;

/// Values that transformers computed in float64.
pub(crate) struct Expected {
    pub(crate) prompts: Vec<Vec<u32>>,
    pub(crate) greedy: Vec<Vec<u32>>,
    logprobs: Vec<Vec<f64>>,
    /// Of each prompt, `[positions, vocab]`.
    logits: Vec<Vec<f64>>,
}

impl Expected {
    pub(crate) fn read(folder: &Path) -> Self {
        let json: Value =
            serde_json::from_slice(&std::fs::read(folder.join("expected.json")).unwrap()).unwrap();
        let bytes = std::fs::read(folder.join("expected_logits.safetensors")).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let get = |key: &str| json[key].clone();
        let prompts: Vec<Vec<u32>> = serde_json::from_value(get("prompts")).unwrap();
        let logits = (0..prompts.len()).map(|at| {
            let data = tensors.tensor(&format!("logits.{at}")).unwrap().data().to_vec();
            data.chunks_exact(8).map(|x| f64::from_le_bytes(x.try_into().unwrap())).collect()
        });
        Self {
            logits: logits.collect(),
            prompts,
            greedy: serde_json::from_value(get("greedy")).unwrap(),
            logprobs: serde_json::from_value(get("logprobs")).unwrap(),
        }
    }
}

pub(crate) struct Collected(pub(crate) Vec<Vec<u32>>);

impl TokenSink for Collected {
    fn step(&mut self, tokens: &[Token]) -> bool {
        tokens.iter().for_each(|token| self.0[token.row as usize].push(token.id));
        true
    }
}

pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests")
}

/// The plugin, where its runtime can be found; says on the terminal itself why a test is skipped.
pub(crate) fn plugin() -> Option<Plugin> {
    let plugin = Plugin::in_process::<Ort>();
    let problem = plugin.describe(&json!({})).unwrap().runtime.problem;
    if let Some(problem) = &problem {
        let mut terminal = std::io::stderr();
        writeln!(terminal, "skipped: {problem}").unwrap();
    }
    problem.is_none().then_some(plugin)
}

pub(crate) fn open(plugin: &Plugin, graph: &Path) -> OpenSession {
    plugin.open(graph, ModelForm::Onnx, &json!({"threads": 1})).unwrap()
}

pub(crate) fn generate(
    session: &mut OpenSession,
    rows: &[Vec<u32>],
    new: usize,
    use_cache: bool,
) -> Vec<Vec<u32>> {
    let options = GenerateOptions {
        max_new_tokens: new as u32,
        use_cache,
        stop_tokens: abi_stable::std_types::RSlice::EMPTY,
        temperature: 0.0,
        top_k: 0,
        top_p: 1.0,
        seed: 0,
    };
    let mut sink = Collected(vec![Vec::new(); rows.len()]);
    session.generate(Rows::new(rows).batch(), &options, &mut sink).unwrap();
    sink.0
}

/// How closely a graph is held to float64, and whether it has a cache.
pub(crate) struct Check {
    pub(crate) tolerance: f64,
    pub(crate) cached: bool,
}

impl Check {
    /// All that a session computes, for all rows at once (of different lengths, so padded or grouped) and one by one.
    pub(crate) fn session(&self, session: &mut OpenSession, expected: &Expected) {
        let vocab = session.info().vocab_size as usize;
        let alone = expected.prompts.iter().enumerate().map(|(at, row)| (at..at + 1, vec![row.clone()]));
        let batches = std::iter::once((0..expected.prompts.len(), expected.prompts.clone())).chain(alone);
        let mut logits = Logits::default();
        for (which, rows) in batches {
            let batch = Rows::new(&rows);
            session.prefill(batch.batch(), Positions::All, &mut logits).unwrap();
            self.close(logits.rows_f64().concat(), &expected.logits[which.clone()].concat(), "all logits");
            session.prefill(batch.batch(), Positions::Last, &mut logits).unwrap();
            let last: Vec<f64> = expected.logits[which.clone()]
                .iter()
                .flat_map(|logits| logits[logits.len() - vocab..].to_vec())
                .collect();
            self.close(logits.rows_f64().concat(), &last, "last logits");
            let mut logprobs = RVec::new();
            session.logprobs(batch.batch(), &mut logprobs).unwrap();
            self.close(logprobs.iter().copied(), &expected.logprobs[which.clone()].concat(), "logprobs");
            let greedy = &expected.greedy[which];
            for use_cache in [false, true].into_iter().filter(|use_cache| self.cached || !use_cache) {
                assert_eq!(generate(session, &rows, greedy[0].len(), use_cache), greedy, "cache {use_cache}");
            }
        }
    }

    fn close(&self, found: impl IntoIterator<Item = f64>, expected: &[f64], what: &str) {
        let found: Vec<f64> = found.into_iter().collect();
        assert_eq!(found.len(), expected.len(), "{what}");
        let largest = expected.iter().fold(1.0f64, |most, x| most.max(x.abs()));
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() <= self.tolerance * largest, "{what}: {found} for {expected}");
        }
    }
}
