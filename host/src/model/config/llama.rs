//! The part of `config.json` that Llama, Mistral and Qwen2 models have: one architecture with different defaults.

use super::keys::Keys;
use super::{Activation, MOST, Rope};
use serde_json::{Map, Value};

/// Beyond this, positions are not exact in float32, in which angles are computed.
const MOST_POSITIONS: u32 = 1 << 24;
const MOST_LAYERS: u32 = 100_000;
const MOST_HEAD_DIM: u32 = 1 << 16;

/// The hyperparameters of the Llama family, under transformers' names.
#[derive(Debug, Clone, PartialEq)]
pub struct LlamaConfig {
    /// Width.
    pub hidden_size: u32,
    /// Number of layers.
    pub num_hidden_layers: u32,
    /// Query heads of each layer.
    pub num_attention_heads: u32,
    /// Heads of keys and values, each for as many query heads; divides `num_attention_heads`.
    pub num_key_value_heads: u32,
    /// Width of one attention head; even, and not always `hidden_size / num_attention_heads`.
    pub head_dim: u32,
    /// Width of the MLP.
    pub intermediate_size: u32,
    /// Most positions of one row.
    pub max_position_embeddings: u32,
    /// Number of token ids.
    pub vocab_size: u32,
    /// Added to the mean square.
    pub rms_norm_eps: f64,
    /// Of the MLP's gate.
    pub activation: Activation,
    /// How queries and keys turn with their position.
    pub rope: Rope,
    /// The projections to queries, keys and values have a bias.
    pub qkv_bias: bool,
    /// The projection after attention has a bias.
    pub output_bias: bool,
    /// The three projections of the MLP have a bias.
    pub mlp_bias: bool,
    /// The output head is the token embedding.
    pub tie_word_embeddings: bool,
    /// One per layer: how many of the last positions a query sees, its own included; none where it sees all that
    /// a row can have.
    pub sliding_windows: Vec<Option<u32>>,
}

impl LlamaConfig {
    /// What attention scores are multiplied by.
    pub fn attention_scale(&self) -> f64 {
        f64::from(self.head_dim).sqrt().recip()
    }
}

/// Which of transformers' configurations says what an absent key means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Llama,
    Mistral,
    Qwen2,
}

impl Family {
    pub(super) fn of(model_type: &str) -> Option<Self> {
        match model_type {
            "llama" => Some(Self::Llama),
            "mistral" => Some(Self::Mistral),
            "qwen2" => Some(Self::Qwen2),
            _ => None,
        }
    }

    /// Of `max_position_embeddings`.
    pub(super) const fn default_positions(self) -> u32 {
        match self {
            Self::Llama => 2048,
            Self::Mistral => 131_072,
            Self::Qwen2 => 32_768,
        }
    }

    const fn default_inner(self) -> u32 {
        match self {
            Self::Llama => 11_008,
            Self::Mistral => 14_336,
            Self::Qwen2 => 22_016,
        }
    }

    /// Keys' and values' heads, where the key is absent; none where they are as many as the queries'.
    const fn default_kv_heads(self) -> Option<u32> {
        match self {
            Self::Llama => None,
            Self::Mistral => Some(8),
            Self::Qwen2 => Some(32),
        }
    }
}

/// Every default is that of transformers' `LlamaConfig`, `MistralConfig` or `Qwen2Config`. The candle plugin reads
/// the same keys in its own `config`: what is accepted here must open there.
pub(super) fn read(family: Family, object: &Map<String, Value>) -> Result<LlamaConfig, String> {
    let keys = Keys::new(object);
    let size = |key: &str, default: u32| keys.size(key, default, MOST);
    let (heads, kv_heads, head_dim) = attention_shape(family, &keys)?;
    let positions = keys.size("max_position_embeddings", family.default_positions(), MOST_POSITIONS)?;
    let layers = keys.size("num_hidden_layers", 32, MOST_LAYERS)?;
    let is_llama = family == Family::Llama;
    let attention_bias = is_llama && keys.flag("attention_bias", false)?;
    Ok(LlamaConfig {
        hidden_size: size("hidden_size", 4096)?,
        num_hidden_layers: layers,
        num_attention_heads: heads,
        num_key_value_heads: kv_heads,
        head_dim,
        intermediate_size: size("intermediate_size", family.default_inner())?,
        max_position_embeddings: positions,
        vocab_size: size("vocab_size", if family == Family::Qwen2 { 151_936 } else { 32_000 })?,
        rms_norm_eps: epsilon(&keys)?,
        activation: Activation::named("hidden_act", keys.text("hidden_act")?.unwrap_or("silu"))?,
        rope: Rope::read(&keys, head_dim, positions)?,
        qkv_bias: attention_bias || family == Family::Qwen2,
        output_bias: attention_bias,
        mlp_bias: is_llama && keys.flag("mlp_bias", false)?,
        tie_word_embeddings: keys.flag("tie_word_embeddings", false)?,
        sliding_windows: windows(family, &keys, layers, positions)?,
    })
}

/// Query heads, heads of keys and values, and the width of a head.
fn attention_shape(family: Family, keys: &Keys<'_>) -> Result<(u32, u32, u32), String> {
    let hidden = keys.size("hidden_size", 4096, MOST)?;
    let heads = keys.size("num_attention_heads", 32, MOST)?;
    let absent = keys.given("num_key_value_heads").is_none();
    let kv_heads = match family.default_kv_heads() {
        Some(default) if absent => default,
        _ => keys.size("num_key_value_heads", heads, MOST)?,
    };
    if heads % kv_heads != 0 {
        return Err(format!(
            "num_attention_heads {heads} is not divisible by num_key_value_heads {kv_heads}"
        ));
    }
    let head_dim = match keys.set("head_dim") {
        None => hidden / heads,
        Some(_) => keys.size("head_dim", 1, MOST)?,
    };
    if head_dim == 0 || head_dim % 2 != 0 || head_dim > MOST_HEAD_DIM {
        return Err(format!(
            "head_dim (or hidden_size / num_attention_heads) is {head_dim}; expected an even number from 2 to \
             {MOST_HEAD_DIM}"
        ));
    }
    if u64::from(heads) * u64::from(head_dim) > u64::from(MOST) {
        return Err(format!("{heads} attention heads of {head_dim} are wider than {MOST}"));
    }
    match keys.set("partial_rotary_factor") {
        Some(part) if part.as_f64() != Some(1.0) => {
            Err(keys.wrong("partial_rotary_factor", part, "none or 1: whole heads turn"))
        }
        _ => Ok((heads, kv_heads, head_dim)),
    }
}

fn epsilon(keys: &Keys<'_>) -> Result<f64, String> {
    let Some(found) = keys.set("rms_norm_eps") else { return Ok(1e-6) };
    let eps = found.as_f64().filter(|eps| (0.0..1.0).contains(eps));
    eps.ok_or_else(|| keys.wrong("rms_norm_eps", found, "a number from 0 to below 1"))
}

fn windows(family: Family, keys: &Keys<'_>, layers: u32, positions: u32) -> Result<Vec<Option<u32>>, String> {
    // A window as wide as the longest row hides nothing.
    let window = |default| keys.size("sliding_window", default, MOST).map(|w| (w < positions).then_some(w));
    let none = matches!(keys.given("sliding_window"), Some(Value::Null));
    match family {
        Family::Llama => Ok(vec![None; layers as usize]),
        Family::Mistral if none => Ok(vec![None; layers as usize]),
        Family::Mistral => Ok(vec![window(4096)?; layers as usize]),
        Family::Qwen2 => {
            let used = keys.flag("use_sliding_window", false)? && !none;
            let slides = sliding_layers(keys, layers, used)?;
            let window = if used { window(4096)? } else { None };
            Ok(slides.into_iter().map(|slides| window.filter(|_| slides)).collect())
        }
    }
}

/// Qwen2's list of kinds of layers, or what `max_window_layers` makes of it.
fn sliding_layers(keys: &Keys<'_>, layers: u32, used: bool) -> Result<Vec<bool>, String> {
    let Some(kinds) = keys.set("layer_types") else {
        let full = match keys.set("max_window_layers").and_then(Value::as_u64) {
            Some(0) => 0,
            _ => keys.size("max_window_layers", 28, u32::MAX)?,
        };
        return Ok((0..layers).map(|layer| used && layer >= full).collect());
    };
    let wrong = |found, expected: &str| keys.wrong("layer_types", found, expected);
    let list = kinds.as_array().filter(|list| list.len() == layers as usize);
    let list = list.ok_or_else(|| wrong(kinds, "a list of num_hidden_layers strings"))?;
    let slides = list.iter().map(|kind| match kind.as_str() {
        Some("full_attention") => Ok(false),
        Some("sliding_attention") if used => Ok(true),
        Some("sliding_attention") => Err("layer_types has \"sliding_attention\", but use_sliding_window \
                                          and sliding_window give no window"
            .into()),
        _ => Err(wrong(kind, "\"full_attention\" or \"sliding_attention\"")),
    });
    slides.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(model_type: &str, config: Value) -> Result<LlamaConfig, String> {
        super::read(Family::of(model_type).unwrap(), config.as_object().unwrap())
    }

    #[test]
    fn defaults_are_transformers() {
        for (model_type, kv_heads, inner, positions, vocab, qkv_bias, window) in [
            ("llama", 32, 11_008, 2048, 32_000, false, None),
            ("mistral", 8, 14_336, 131_072, 32_000, false, Some(4096)),
            ("qwen2", 32, 22_016, 32_768, 151_936, true, None),
        ] {
            let config = read(model_type, json!({"head_dim": null})).unwrap();
            assert_eq!(
                (config.hidden_size, config.num_hidden_layers, config.num_attention_heads, config.head_dim),
                (4096, 32, 32, 128)
            );
            assert_eq!(config.num_key_value_heads, kv_heads);
            assert_eq!((config.intermediate_size, config.max_position_embeddings), (inner, positions));
            assert_eq!((config.vocab_size, config.activation), (vocab, Activation::Silu));
            assert_eq!((config.qkv_bias, config.output_bias, config.mlp_bias), (qkv_bias, false, false));
            assert_eq!(config.sliding_windows, vec![window; 32]);
            assert!(!config.tie_word_embeddings);
            assert!((config.attention_scale() - 128.0f64.powf(-0.5)).abs() < 1e-15);
            assert!((config.rms_norm_eps - 1e-6).abs() < 1e-20);
            let null = read(model_type, json!({"num_key_value_heads": null})).unwrap();
            assert_eq!(null.num_key_value_heads, 32);
        }
    }

    #[test]
    fn biases_are_the_familys() {
        let both = json!({"attention_bias": true, "mlp_bias": true, "num_key_value_heads": 1});
        let biases = |model_type: &str| {
            let config = read(model_type, both.clone()).unwrap();
            (config.qkv_bias, config.output_bias, config.mlp_bias)
        };
        assert_eq!(biases("llama"), (true, true, true));
        assert_eq!(biases("mistral"), (false, false, false));
        assert_eq!(biases("qwen2"), (true, false, false));
    }

    #[test]
    fn windows_are_per_layer() {
        let windows = |model_type: &str, more: Value| {
            let mut config = json!({"num_hidden_layers": 3, "max_position_embeddings": 64});
            config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            read(model_type, config).map(|config| config.sliding_windows)
        };
        let (all, some) = (Ok(vec![None; 3]), Ok(vec![Some(7); 3]));
        assert_eq!(windows("mistral", json!({"sliding_window": 7})), some);
        assert_eq!(windows("mistral", json!({"sliding_window": null})), all);
        assert_eq!(windows("mistral", json!({"sliding_window": 64})), all);
        assert_eq!(windows("llama", json!({"sliding_window": 7})), all);
        assert_eq!(windows("qwen2", json!({"sliding_window": 7, "max_window_layers": 0})), all);
        let used = |more: Value| {
            let mut config = json!({"use_sliding_window": true, "sliding_window": 7});
            config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            windows("qwen2", config)
        };
        assert_eq!(used(json!({})), all);
        assert_eq!(used(json!({"max_window_layers": 0})), some);
        assert_eq!(used(json!({"max_window_layers": 2})), Ok(vec![None, None, Some(7)]));
        let kinds = json!({"layer_types": ["sliding_attention", "full_attention", "sliding_attention"]});
        assert_eq!(used(kinds.clone()), Ok(vec![Some(7), None, Some(7)]));
        assert!(windows("qwen2", kinds).unwrap_err().contains("give no window"));
        let wrong = used(json!({"layer_types": ["full_attention"]})).unwrap_err();
        assert!(wrong.contains("expected a list of num_hidden_layers strings"), "{wrong}");
    }

    #[test]
    fn mistakes_are_one_clear_line() {
        for (config, expected) in [
            (
                json!({"num_hidden_layers": 0}),
                "num_hidden_layers is 0; expected a whole number from 1 to 100000",
            ),
            (json!({"vocab_size": 5_000_000_000u64}), "vocab_size is 5000000000; expected a whole number"),
            (json!({"hidden_size": -8}), "hidden_size is -8; expected a whole number from 1 to 100000000"),
            (json!({"intermediate_size": "x"}), "intermediate_size is \"x\"; expected a whole number"),
            (
                json!({"num_key_value_heads": 5}),
                "num_attention_heads 32 is not divisible by num_key_value_heads 5",
            ),
            (json!({"num_key_value_heads": 64}), "32 is not divisible by num_key_value_heads 64"),
            (json!({"head_dim": 7}), "is 7; expected an even number from 2 to 65536"),
            (
                json!({"hidden_size": 16}),
                "head_dim (or hidden_size / num_attention_heads) is 0; expected an even",
            ),
            (json!({"head_dim": 65_536, "num_attention_heads": 32_000}), "are wider than 100000000"),
            (json!({"max_position_embeddings": 99_000_000}), "expected a whole number from 1 to 16777216"),
            (json!({"rms_norm_eps": 1.5}), "rms_norm_eps is 1.5; expected a number from 0 to below 1"),
            (json!({"rms_norm_eps": -1e-9}), "rms_norm_eps is -1e-9; expected"),
            (json!({"hidden_act": "mish"}), "hidden_act \"mish\" is not supported; known are gelu"),
            (json!({"attention_bias": 1}), "attention_bias is 1; expected true or false"),
            (json!({"partial_rotary_factor": 0.5}), "partial_rotary_factor is 0.5; expected none or 1"),
        ] {
            let message = read("llama", config).unwrap_err();
            assert!(message.contains(expected) && message.lines().count() == 1, "{message}");
        }
        let message = read("mistral", json!({"sliding_window": 0})).unwrap_err();
        assert!(message.contains("sliding_window is 0; expected a whole number"), "{message}");
    }
}
