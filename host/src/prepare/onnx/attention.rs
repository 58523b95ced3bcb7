//! Attention, in one operator or written out.
//!
//! `GroupQueryAttention` keeps keys and values where they are: with past and present in the same memory, of any
//! capacity, it appends in place. It counts each row's keys from the row's beginning, so rows are padded on the right. Sliding
//! windows are written out.
//! Written out, the cache grows by concatenation, and rows are padded on the left.

use super::decoder::Layer;
use super::encode::Float;
use super::graph::{ABSENT, CONTRIB, Dim, float, int, ints};
use super::places::{Kept, Places, Reach, TOTAL};
use super::writer::{BATCH, Writer};

const PAST: Dim = Dim::Named("past");
const PRESENT: Dim = Dim::Named("present");

impl Writer<'_> {
    /// What the heads of `layer` see, joined: `[batch, sequence or kept, heads * head_size]`.
    pub(super) fn attention(
        &mut self,
        index: usize,
        layer: &Layer,
        qkv: &str,
        places: &Places,
        kept: Option<&Kept>,
    ) -> String {
        let dims = |positions| {
            [BATCH, Dim::Fixed(self.decoder.kv_heads), positions, Dim::Fixed(self.decoder.head_size)]
        };
        let (past_dims, present_dims) = (dims(PAST), dims(if self.in_place { PRESENT } else { TOTAL }));
        let cache = ["key", "value"].map(|part| {
            let past = format!("past_key_values.{index}.{part}");
            let present = format!("present.{index}.{part}");
            self.g.input(&past, self.compute.data_type(), &past_dims);
            self.g.output(&present, self.compute.data_type(), &present_dims);
            [past, present]
        });
        match &places.attention {
            Reach::Lengths(lengths) => self.in_one(layer, qkv, &cache, lengths, places, kept),
            Reach::Bias(bias) => {
                let bias = bias.get(&layer.window).cloned().unwrap_or_default();
                self.written_out(layer, qkv, &cache, bias, places, kept)
            }
        }
    }

    fn in_one(
        &mut self,
        layer: &Layer,
        qkv: &str,
        [[past_key, key], [past_value, value]]: &[[String; 2]; 2],
        [lengths, total]: &[String; 2],
        places: &Places,
        kept: Option<&Kept>,
    ) -> String {
        let mut inputs = vec![qkv, ABSENT, ABSENT, past_key, past_value, lengths, total];
        let mut attributes = vec![
            int("num_heads", self.decoder.heads.into()),
            int("kv_num_heads", self.decoder.kv_heads.into()),
            float("scale", layer.scale),
        ];
        if let Some([cos, sin]) = &places.rotary {
            inputs.extend([cos.as_str(), sin]);
            attributes.push(int("do_rotary", 1));
        }
        let name = format!("{}.context", layer.name);
        let outputs = [name.as_str(), key, value];
        self.g.push("GroupQueryAttention", Some(CONTRIB), &name, &inputs, &attributes, &outputs);
        match kept {
            None => name,
            Some(kept) => self.keep("kept/context", &name, kept, 1),
        }
    }

    /// Softmax of scaled scores over past and present keys, times their values. In the last block, positions whose
    /// logits nobody wants are dropped as soon as their keys and values are stored.
    fn written_out(
        &mut self,
        layer: &Layer,
        qkv: &str,
        cache: &[[String; 2]; 2],
        mut bias: String,
        places: &Places,
        kept: Option<&Kept>,
    ) -> String {
        let name = |part: &str| format!("{}.attention/{part}", layer.name);
        let [mut query, mut key, value] = self.split_heads(layer, qkv);
        if let Some(tables) = &places.rotary {
            query = self.rotated(&name("query_rotated"), &query, tables);
            key = self.rotated(&name("key_rotated"), &key, tables);
        }
        let mut stored = [key, value];
        for (new, [past, present]) in stored.iter_mut().zip(cache) {
            *new = self.g.node("Concat", present, &[past, new], &[int("axis", 2)]);
        }
        let groups = self.decoder.heads / self.decoder.kv_heads;
        if let Some(kept) = kept {
            query = self.keep("kept/query", &query, kept, 2);
            bias = self.keep("kept/bias", &bias, kept, if groups > 1 { 3 } else { 2 });
        }
        if groups > 1 {
            query = self.grouped(&name("query_grouped"), &query);
            let axis_2 = self.g.integers("[2]", &[2]);
            stored = stored.map(|one| {
                self.g.node("Unsqueeze", &format!("{}/{one}_grouped", layer.name), &[&one, &axis_2], &[])
            });
        }
        let context = self.attended(layer, &query, &stored, &bias, groups > 1);
        self.join_heads(layer, &context, groups > 1)
    }

    /// `[batch, heads or kv_heads, sequence, head_size]` each. One transposition serves all three: seen as
    /// heads + 2 x kv_heads heads, the columns are the queries' heads, then the keys', then the values'.
    fn split_heads(&mut self, layer: &Layer, qkv: &str) -> [String; 3] {
        let (heads, kv) = (i64::from(self.decoder.heads), i64::from(self.decoder.kv_heads));
        let name = |part: &str| format!("{}.attention/{part}", layer.name);
        let shape = self.g.integers("split_heads", &[0, 0, heads + 2 * kv, self.decoder.head_size.into()]);
        let split = self.g.node("Reshape", &name("split"), &[qkv, &shape], &[]);
        let by_head = self.g.node("Transpose", &name("by_head"), &[&split], &[ints("perm", &[0, 2, 1, 3])]);
        let sizes = self.g.integers("query_key_value", &[heads, kv, kv]);
        let parts = ["query", "key", "value"].map(name);
        let outputs = parts.each_ref().map(String::as_str);
        self.g.push("Split", None, &name("parts"), &[&by_head, &sizes], &[int("axis", 1)], &outputs);
        parts
    }

    /// Each half of a head turned against the other (Su et al. 2021, "RoFormer", with transformers' pairing).
    fn rotated(&mut self, name: &str, value: &str, [cos, sin]: &[String; 2]) -> String {
        let half = i64::from(self.decoder.head_size / 2);
        let halves = ["first", "second"].map(|part| format!("{name}/{part}"));
        let [first, second] = halves.each_ref().map(String::as_str);
        let sizes = self.g.integers("halves", &[half, half]);
        let split = format!("{name}/halves");
        self.g.push("Split", None, &split, &[value, &sizes], &[int("axis", -1)], &[first, second]);
        let mut product =
            |part: &str, a: &str, b: &str| self.g.node("Mul", &format!("{name}/{part}"), &[a, b], &[]);
        let [a, b] = [product("first_cos", first, cos), product("second_sin", second, sin)];
        let [c, d] = [product("second_cos", second, cos), product("first_sin", first, sin)];
        let first = self.g.node("Sub", &format!("{name}/turned_first"), &[&a, &b], &[]);
        let second = self.g.node("Add", &format!("{name}/turned_second"), &[&c, &d], &[]);
        self.g.node("Concat", name, &[&first, &second], &[int("axis", -1)])
    }

    /// Heads that share keys together: `[batch, kv_heads, groups, sequence, head_size]`.
    fn grouped(&mut self, name: &str, query: &str) -> String {
        let (kv, size) = (i64::from(self.decoder.kv_heads), i64::from(self.decoder.head_size));
        let groups = i64::from(self.decoder.heads) / kv;
        let shape = self.g.integers("group_heads", &[0, kv, groups, -1, size]);
        self.g.node("Reshape", name, &[query, &shape], &[])
    }

    fn attended(
        &mut self,
        layer: &Layer,
        query: &str,
        [keys, values]: &[String; 2],
        bias: &str,
        grouped: bool,
    ) -> String {
        let name = |part: &str| format!("{}.attention/{part}", layer.name);
        let scale = self.g.float(&format!("scale_{}", layer.scale), layer.scale);
        let scale = self.cast_once(&scale, Float::F32, self.compute);
        let query = self.g.node("Mul", &name("scaled"), &[query, &scale], &[]);
        let perm: &[i64] = if grouped { &[0, 1, 2, 4, 3] } else { &[0, 1, 3, 2] };
        let keys = self.g.node("Transpose", &name("keys"), &[keys], &[ints("perm", perm)]);
        let scores = self.g.node("MatMul", &name("scores"), &[&query, &keys], &[]);
        let scores = self.cast(&scores, self.compute, Float::F32);
        let biased = self.g.node("Add", &name("masked"), &[&scores, bias], &[]);
        let weights = self.g.node("Softmax", &name("weights"), &[&biased], &[int("axis", -1)]);
        let weights = self.cast(&weights, Float::F32, self.compute);
        self.g.node("MatMul", &name("context"), &[&weights, values], &[])
    }

    fn join_heads(&mut self, layer: &Layer, context: &str, grouped: bool) -> String {
        let (heads, size) = (i64::from(self.decoder.heads), i64::from(self.decoder.head_size));
        let name = |part: &str| format!("{}.attention/{part}", layer.name);
        let mut context = context.to_string();
        if grouped {
            let shape = self.g.integers("ungroup_heads", &[0, heads, -1, size]);
            context = self.g.node("Reshape", &name("ungrouped"), &[&context, &shape], &[]);
        }
        let perm = ints("perm", &[0, 2, 1, 3]);
        let by_position = self.g.node("Transpose", &name("by_position"), &[&context], &[perm]);
        let shape = self.g.integers("join_heads", &[0, 0, heads * size]);
        self.g.node("Reshape", &name("joined"), &[&by_position, &shape], &[])
    }
}
