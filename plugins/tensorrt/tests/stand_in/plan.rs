//! Engines in the stand-in's form, in folders such as the host makes.

use crate::libraries::tensorrt;
use crate::oracle::Model;
use inferhost_plugin_api::build::{BuildReport, ENGINE, REPORT};
use inferhost_plugin_api::shapes::{Profile, Shapes, Span};
use inferhost_plugin_api::{Error, GenerateOptions, ModelForm, OpenSession, Plugin, Rows, Token, TokenSink};
use inferhost_plugin_tensorrt::TensorRt;
use serde_json::{Value, json};
use std::fmt::Write;
use tempfile::TempDir;

/// Most positions of a row.
pub(crate) const CONTEXT: usize = 600;

/// An engine to be.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) model: Model,
    /// Types of the cache and of the logits.
    pub(crate) types: [&'static str; 2],
    /// Where `num_logits_to_keep` lies: `host`, `device` or `none`.
    pub(crate) keep: &'static str,
    pub(crate) profiles: Vec<Profile>,
    /// More lines of the plan.
    pub(crate) more: String,
}

impl Default for Plan {
    fn default() -> Self {
        let batch = Span::new(1, 4);
        let shapes = [
            Shapes::prefill(batch, Span::new(1, 40)),
            Shapes::decode(batch, Span::new(1, 40)),
            Shapes::decode(Span::of(1), Span::new(1, CONTEXT as u32 - 1)),
        ];
        let profiles = shapes.map(|shapes| Profile::tuned(&shapes, shapes.largest())).to_vec();
        let model = Model { layers: 2, kv_heads: 2, head_size: 4, vocab: 50 };
        Self { model, types: ["f32", "f32"], keep: "host", profiles, more: String::new() }
    }
}

impl Plan {
    /// The plan's text.
    pub(crate) fn text(&self) -> String {
        let Model { layers, kv_heads, head_size, vocab } = self.model;
        let [cache, logits] = self.types;
        let mut text = format!(
            "stand-in plan\nlayers {layers}\nkv_heads {kv_heads}\nhead_size {head_size}\nvocab {vocab}\n\
             activations 3000\ncache {cache}\nlogits {logits}\nkeep {}\n{}\n",
            self.keep, self.more
        );
        for profile in &self.profiles {
            let Shapes { batch, tokens, past } = profile.shapes();
            let spans = [batch, tokens, past].map(|span| format!("{} {}", span.min, span.max));
            writeln!(text, "profile {}", spans.join(" ")).unwrap();
        }
        text
    }

    pub(crate) fn report(&self) -> BuildReport {
        let identity = inferhost_plugin_api::build::BuildIdentity {
            runtime: "TensorRT 11.4.0".into(),
            device: "Stand-in, sm_90".into(),
            ..Default::default()
        };
        let profiles = self.profiles.clone();
        BuildReport { precision: "fp16".into(), profiles, identity, ..BuildReport::default() }
    }

    pub(crate) fn folder(&self) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        let Model { layers, kv_heads, head_size, vocab } = self.model;
        let config = json!({
            "vocab_size": vocab, "n_positions": CONTEXT, "num_hidden_layers": layers, "num_attention_heads": 4,
            "num_key_value_heads": kv_heads, "head_dim": head_size
        });
        std::fs::write(folder.path().join(ENGINE), self.text()).unwrap();
        std::fs::write(folder.path().join(REPORT), serde_json::to_vec(&self.report()).unwrap()).unwrap();
        std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
        folder
    }

    pub(crate) fn open(&self, options: Value) -> OpenSession {
        open(&self.folder(), options).unwrap()
    }
}

pub(crate) fn open(folder: &TempDir, mut options: Value) -> Result<OpenSession, Error> {
    options["library"] = json!(tensorrt());
    Plugin::in_process::<TensorRt>().open(folder.path(), ModelForm::EnginePlan, &options)
}

/// Rows of varied tokens, of the given lengths.
pub(crate) fn rows(lengths: &[usize], seed: u32) -> Vec<Vec<u32>> {
    let token = |row: usize, at: usize| (seed * 31 + row as u32 * 17 + at as u32 * 7 + 3) % 50;
    lengths.iter().enumerate().map(|(row, &length)| (0..length).map(|at| token(row, at)).collect()).collect()
}

/// Greedy, with a cache.
pub(crate) fn greedy(new: u32) -> GenerateOptions<'static> {
    GenerateOptions {
        max_new_tokens: new,
        use_cache: true,
        stop_tokens: abi_stable::std_types::RSlice::EMPTY,
        temperature: 0.0,
        top_k: 0,
        top_p: 1.0,
        seed: 5,
    }
}

/// The tokens of each row, and what it sees after each step.
pub(crate) struct Collected<'a>(pub(crate) Vec<Vec<u32>>, pub(crate) &'a mut dyn FnMut());

impl TokenSink for Collected<'_> {
    fn step(&mut self, tokens: &[Token]) -> bool {
        tokens.iter().for_each(|token| self.0[token.row as usize].push(token.id));
        (self.1)();
        true
    }
}

pub(crate) fn generate(
    session: &mut OpenSession,
    rows: &[Vec<u32>],
    options: &GenerateOptions<'_>,
) -> Result<Vec<Vec<u32>>, Error> {
    let mut nothing = || ();
    let mut sink = Collected(vec![Vec::new(); rows.len()], &mut nothing);
    session.generate(Rows::new(rows).batch(), options, &mut sink)?;
    Ok(sink.0)
}
