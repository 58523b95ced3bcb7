//! Which positions there are: how long each row is, which keys a query may look at, whose logits are wanted, and the
//! rotary tables. Computed once; all blocks share it.

use super::encode::Float;
use super::graph::{Dim, Graph, int};
use super::writer::{BATCH, Writer};
use crate::model::onnx::proto::{BOOL, FLOAT, INT32, INT64};
use std::collections::{BTreeMap, BTreeSet};

pub(super) const TOTAL: Dim = Dim::Named("total");

/// The names of shared values.
pub(super) struct Places {
    pub(super) kept: Kept,
    pub(super) attention: Reach,
    /// Cosines and sines.
    pub(super) rotary: Option<[String; 2]>,
}

/// Which positions' logits are wanted.
#[derive(Clone)]
pub(super) enum Kept {
    /// All from this one on, counted from the end; 0: all.
    From(String),
    /// By row, `[batch, kept, 1]`.
    At(String),
}

/// What says which keys a query sees.
pub(super) enum Reach {
    /// For `GroupQueryAttention`: the number of keys of each row less one, `[batch]`, and of the longest.
    Lengths([String; 2]),
    /// By window: 0 where a query may look, else half the lowest float, `[batch, 1, sequence, total]`.
    Bias(BTreeMap<Option<u32>, String>),
}

impl Places {
    pub(super) fn write(writer: &mut Writer<'_>, ids_type: i32, positions: &str) -> Self {
        let mask = writer.g.input("attention_mask", ids_type, &[BATCH, TOTAL]);
        let keep = writer.g.input("num_logits_to_keep", INT64, &[]);
        let rotary = rotary(writer, positions);
        let g = &mut writer.g;
        if writer.in_place {
            let axis_1 = g.integers("[1]", &[1]);
            let ends = g.node("ReduceSum", "row/ends", &[&mask, &axis_1], &[]);
            let kept = Kept::At(kept_at(g, &keep, &ends, positions));
            return Self { kept, attention: Reach::Lengths(lengths(g, &mask, &ends)), rotary };
        }
        let from = kept_from(g, &keep);
        let grid = Grid::write(g, &mask);
        let windows: BTreeSet<_> = writer.decoder.layers.iter().map(|layer| layer.window).collect();
        let grouped = writer.decoder.heads != writer.decoder.kv_heads;
        let bias = windows.into_iter().map(|window| (window, grid.bias(&mut writer.g, window, grouped)));
        Self { kept: Kept::From(from), attention: Reach::Bias(bias.collect()), rotary }
    }
}

/// `seqlens_k` and `total_sequence_length`.
fn lengths(g: &mut Graph, mask: &str, ends: &str) -> [String; 2] {
    let one = g.integer("1", 1);
    let to_int32 = [int("to", INT32.into())];
    let flat = g.integers("[-1]", &[-1]);
    let last = g.node("Sub", "row/last", &[ends, &one], &[]);
    let last = g.node("Reshape", "row/last_flat", &[&last, &flat], &[]);
    let last = g.node("Cast", "seqlens_k", &[&last], &to_int32);
    let total = g.node("Shape", "mask/total", &[mask], &[int("start", 1), int("end", 2)]);
    let total = g.node("Squeeze", "mask/count", &[&total], &[]);
    [last, g.node("Cast", "total_sequence_length", &[&total], &to_int32)]
}

/// The last positions of each row, wherever it ends: position `end - keep + i`, or `i` where all are wanted.
fn kept_at(g: &mut Graph, keep: &str, ends: &str, positions: &str) -> String {
    let zero = g.integer("0", 0);
    let one = g.integer("1", 1);
    let [axis_0, axis_1] = [g.integers("[0]", &[0]), g.integers("[1]", &[1])];
    let fed = g.node("Shape", "kept/fed", &[positions], &[int("start", 1), int("end", 2)]);
    let fed = g.node("Squeeze", "kept/sequence", &[&fed], &[]);
    let all = g.node("Equal", "kept/all", &[keep, &zero], &[]);
    let count = g.node("Where", "kept/count", &[&all, &fed, keep], &[]);
    let past = g.node("Slice", "kept/past", &[positions, &axis_0, &axis_1, &axis_1], &[]);
    let own = g.node("Sub", "kept/own", &[ends, &past], &[]);
    let from = g.node("Sub", "kept/first", &[&own, &count], &[]);
    let from = g.node("Where", "kept/from", &[&all, &zero, &from], &[]);
    let steps = g.node("Range", "kept/steps", &[&zero, &count, &one], &[]);
    let at = g.node("Add", "kept/places", &[&from, &steps], &[]);
    let at = g.node("Max", "kept/sound", &[&at, &zero], &[]);
    let last = g.integers("[-1]", &[-1]);
    g.node("Unsqueeze", "kept/at", &[&at, &last], &[])
}

/// Where the last `num_logits_to_keep` positions start, counted from the end; 0, the beginning, for all.
fn kept_from(g: &mut Graph, keep: &str) -> String {
    let axis_0 = g.integers("[0]", &[0]);
    let negative = g.node("Neg", "kept/negative", &[keep], &[]);
    g.node("Unsqueeze", "kept/from", &[&negative, &axis_0], &[])
}

/// Queries and keys by their position in the padded row.
struct Grid {
    /// `[sequence, 1]`.
    queries: String,
    /// `[total]`.
    keys: String,
    /// Which keys are real, `[batch, 1, 1, total]`.
    real: String,
}

impl Grid {
    fn write(g: &mut Graph, mask: &str) -> Self {
        let dimension_1 = [int("start", 1), int("end", 2)];
        let zero = g.integer("0", 0);
        let one = g.integer("1", 1);
        let axis_0 = g.integers("[0]", &[0]);
        let axis_1 = g.integers("[1]", &[1]);
        let total = g.node("Shape", "mask/total", &[mask], &dimension_1);
        let sequence = g.node("Shape", "mask/sequence", &["input_ids"], &dimension_1);
        let past = g.node("Sub", "mask/past", &[&total, &sequence], &[]);
        let count = g.node("Squeeze", "mask/count", &[&total], &[]);
        let keys = g.node("Range", "mask/keys", &[&zero, &count, &one], &[]);
        let last = g.node("Slice", "mask/last", &[&keys, &past, &total, &axis_0], &[]);
        let queries = g.node("Unsqueeze", "mask/queries", &[&last, &axis_1], &[]);
        let rows = g.integers("[1, 2]", &[1, 2]);
        let real = g.node("Cast", "mask/real", &[mask], &[int("to", BOOL.into())]);
        let real = g.node("Unsqueeze", "mask/real_keys", &[&real, &rows], &[]);
        Self { queries, keys, real }
    }

    /// The lowest float and not -inf where a query may not look, so that the softmax over a padded query's row is
    /// uniform and not NaN.
    fn bias(&self, g: &mut Graph, window: Option<u32>, grouped: bool) -> String {
        let suffix = window.map_or_else(String::new, |window| format!("_{window}"));
        let name = |part: &str| format!("mask/{part}{suffix}");
        let Self { queries, keys, real } = self;
        let mut seen = g.node("LessOrEqual", &name("causal"), &[keys, queries], &[]);
        if let Some(window) = window {
            let width = g.integer(&name("window"), window.into());
            let behind = g.node("Sub", &name("first"), &[queries, &width], &[]);
            let near = g.node("Greater", &name("near"), &[keys, &behind], &[]);
            seen = g.node("And", &name("seen"), &[&seen, &near], &[]);
        }
        let allowed = g.node("And", &name("allowed"), &[&seen, real], &[]);
        let open = g.float("open", 0.0);
        // Not the lowest float: kernels that take powers of two scale scores by log2(e), and a row that sees nothing, which
        // is padding, would be of infinities.
        let closed = g.float("closed", f32::MIN / 2.0);
        let bias = g.node("Where", &name("bias"), &[&allowed, &open, &closed], &[]);
        if !grouped {
            return bias;
        }
        let axis_1 = g.integers("[1]", &[1]);
        g.node("Unsqueeze", &name("grouped_bias"), &[&bias, &axis_1], &[])
    }
}

/// `GroupQueryAttention` takes the tables; elsewhere the rows for these positions, `[batch, 1, sequence, head / 2]`.
fn rotary(writer: &mut Writer<'_>, positions: &str) -> Option<[String; 2]> {
    let tables = writer.decoder.rotary.as_ref()?;
    let dims = [i64::from(tables.context), i64::from(writer.decoder.head_size / 2)];
    let mut table = |name: &str, values: &[f32]| {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let table = writer.g.constant(name, FLOAT, dims.to_vec(), bytes);
        writer.cast(&table, Float::F32, writer.compute)
    };
    let both = [table("rotary.cos", &tables.cos), table("rotary.sin", &tables.sin)];
    if writer.in_place {
        return Some(both);
    }
    let axis_1 = writer.g.integers("[1]", &[1]);
    Some(both.map(|table| {
        let rows = writer.g.node("Gather", &format!("{table}/rows"), &[&table, positions], &[]);
        writer.g.node("Unsqueeze", &format!("{table}/heads"), &[&rows, &axis_1], &[])
    }))
}
