//! The plugin, its fixtures, and holding a session against float64.

use abi_stable::std_types::RSlice;
use inferhost_plugin_api::conformance::{Golden, Suite, Tolerance, built_library};
use inferhost_plugin_api::{
    GenerateOptions, Logits, ModelForm, OpenSession, Plugin, Positions, RVec, Rows, Token, TokenSink,
};
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};

/// On the terminal itself: the test harness swallows what a passing test prints.
pub(crate) fn skipped(why: &str) {
    std::io::stderr().write_all(format!("skipped: {why}\n").as_bytes()).unwrap();
}

/// The plugin, where libtorch and the engine are there.
pub(crate) fn plugin() -> Option<Plugin> {
    let plugin = Plugin::load(&built_library("torch")).unwrap();
    let problem = plugin.describe(&json!({})).unwrap().runtime.problem;
    if let Some(problem) = &problem {
        skipped(problem);
    }
    problem.is_none().then_some(plugin)
}

pub(crate) fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests").canonicalize().unwrap()
}

/// The shared suite over `golden`, each as the program that `program` names for it.
pub(crate) fn conforms(plugin: Plugin, golden: &[&str], program: &dyn Fn(&Path) -> PathBuf, form: ModelForm) {
    let cases: Vec<PathBuf> = golden.iter().map(|name| tests().join("golden").join(name)).collect();
    let prepare = |folder: &Path| Ok((program(folder), form));
    let options = json!({"threads": 2});
    let report = Suite { plugin, options, tolerance: Tolerance::F32, prepare: &prepare }.run(&cases);
    println!("{report}");
    report.assert_passed();
}

/// All that a session without a cache computes, for all rows at once, which have different lengths, and one by one.
pub(crate) fn agrees_uncached(session: &mut OpenSession, golden: &Golden) {
    let all = 0..golden.prompts.len();
    let alone = all.clone().map(|row| row..row + 1);
    let mut logits = Logits::default();
    for which in std::iter::once(all.clone()).chain(alone) {
        let rows = &golden.prompts[which.clone()];
        let batch = Rows::new(rows);
        session.prefill(batch.batch(), Positions::All, &mut logits).unwrap();
        close(&logits.rows_f64().concat(), &golden.logits[which.clone()].concat().concat());
        session.prefill(batch.batch(), Positions::Last, &mut logits).unwrap();
        let last: Vec<f64> =
            golden.logits[which.clone()].iter().flat_map(|row| row.last().unwrap().clone()).collect();
        close(&logits.rows_f64().concat(), &last);
        let mut logprobs = RVec::new();
        session.logprobs(batch.batch(), &mut logprobs).unwrap();
        close(&logprobs, &golden.logprobs[which.clone()].concat());
        assert_eq!(generate(session, rows, golden.max_new_tokens, false), golden.greedy[which]);
    }
}

fn close(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= Tolerance::F32.logits, "{found} for {expected}");
    }
}

struct Collected(Vec<Vec<u32>>);

impl TokenSink for Collected {
    fn step(&mut self, tokens: &[Token]) -> bool {
        tokens.iter().for_each(|token| self.0[token.row as usize].push(token.id));
        true
    }
}

pub(crate) fn greedy(new: usize, use_cache: bool) -> GenerateOptions<'static> {
    GenerateOptions {
        max_new_tokens: u32::try_from(new).unwrap(),
        use_cache,
        stop_tokens: RSlice::EMPTY,
        temperature: 0.0,
        top_k: 0,
        top_p: 1.0,
        seed: 0,
    }
}

pub(crate) fn generate(
    session: &mut OpenSession,
    rows: &[Vec<u32>],
    new: usize,
    use_cache: bool,
) -> Vec<Vec<u32>> {
    let mut sink = Collected(vec![Vec::new(); rows.len()]);
    session.generate(Rows::new(rows).batch(), &greedy(new, use_cache), &mut sink).unwrap();
    sink.0
}

/// A ZIP archive of entries stored as they are, as PyTorch writes its files.
pub(crate) fn zip(entries: &[(&str, &str)]) -> Vec<u8> {
    let four = |number: usize| u32::try_from(number).unwrap().to_le_bytes();
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (name, text) in entries {
        let header = four(bytes.len());
        // Of both headers: version to CRC, both sizes, the lengths of the name and of an extra field.
        let length = &four(name.len())[..2];
        let fields = [&[0; 14], &four(text.len())[..], &four(text.len()), length, &[0; 2]].concat();
        bytes.extend([b"PK\x03\x04", &fields[..], name.as_bytes(), text.as_bytes()].concat());
        directory.extend([b"PK\x01\x02\0\0", &fields[..], &[0; 10], &header, name.as_bytes()].concat());
    }
    let place = [four(directory.len()), four(bytes.len())].concat();
    let count = &four(entries.len())[..2];
    bytes.extend(directory);
    bytes.extend([b"PK\x05\x06\0\0\0\0", count, count, &place[..], &[0; 2]].concat());
    bytes
}
