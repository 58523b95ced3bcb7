//! The keys of Llama, Mistral and Qwen2 models: one architecture with different defaults.

use super::Rope;
use super::config::{Activation, Heads, activation};
use super::keys::Keys;
use crate::Error;
use serde_json::Value;

/// More is a damaged file, and would overflow later arithmetic.
const MOST: usize = 100_000_000;
const MOST_LAYERS: usize = 100_000;
const MOST_HEAD_WIDTH: usize = 1 << 16;
/// Beyond this, positions are not exact in float32, in which angles are computed.
const MOST_POSITIONS: usize = 1 << 24;

/// The shape of a model of the Llama family.
#[derive(Debug, Clone)]
pub struct LlamaConfig {
    /// Number of token ids.
    pub vocab_size: usize,
    /// Most positions of one row, `max_position_embeddings`.
    pub positions: usize,
    /// Width of the states, `hidden_size`.
    pub width: usize,
    /// Number of layers.
    pub layers: usize,
    /// The heads of every layer; all of them together need not be as wide as the states.
    pub heads: Heads,
    /// Width inside the MLP, `intermediate_size`.
    pub inner: usize,
    /// Of the MLP's gate, `hidden_act`.
    pub activation: Activation,
    /// What RMS norms add to the mean square, `rms_norm_eps`.
    pub eps: f64,
    /// How queries and keys turn with their positions.
    pub rope: Rope,
    /// Whether the projections to queries, keys and values have biases.
    pub qkv_bias: bool,
    /// Whether the attention's output projection has a bias.
    pub output_bias: bool,
    /// Whether the MLP's projections have biases.
    pub mlp_bias: bool,
    /// Whether the head is the token embedding.
    pub tie_word_embeddings: bool,
    /// One per layer: how many positions up to its own a query sees; none where it sees all of them.
    pub windows: Vec<Option<usize>>,
}

/// Which of transformers' configurations says what an absent key means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Llama,
    Mistral,
    Qwen2,
}

/// What an absent key means.
struct Defaults {
    inner: usize,
    positions: usize,
    vocab_size: usize,
    /// None where there are as many as heads of queries.
    key_heads: Option<usize>,
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

    const fn defaults(self) -> Defaults {
        match self {
            Self::Llama => Defaults { inner: 11_008, positions: 2048, vocab_size: 32_000, key_heads: None },
            Self::Mistral => {
                Defaults { inner: 14_336, positions: 131_072, vocab_size: 32_000, key_heads: Some(8) }
            }
            Self::Qwen2 => {
                Defaults { inner: 22_016, positions: 32_768, vocab_size: 151_936, key_heads: Some(32) }
            }
        }
    }
}

impl LlamaConfig {
    /// Every default is that of transformers' `LlamaConfig`, `MistralConfig` or `Qwen2Config`.
    pub(super) fn resolve(family: Family, keys: &Keys<'_>) -> Result<Self, Error> {
        let defaults = family.defaults();
        let width = keys.size("hidden_size", 4096, MOST)?;
        let heads = heads(&defaults, keys, width)?;
        let positions = keys.size("max_position_embeddings", defaults.positions, MOST_POSITIONS)?;
        let layers = keys.size("num_hidden_layers", 32, MOST_LAYERS)?;
        let is_llama = family == Family::Llama;
        let attention_bias = is_llama && keys.flag("attention_bias", false)?;
        Ok(Self {
            vocab_size: keys.size("vocab_size", defaults.vocab_size, MOST)?,
            positions,
            width,
            layers,
            heads,
            inner: keys.size("intermediate_size", defaults.inner, MOST)?,
            activation: activation("hidden_act", keys.text("hidden_act")?.unwrap_or("silu"))?,
            eps: epsilon(keys)?,
            rope: Rope::resolve(keys, heads.width, positions)?,
            qkv_bias: attention_bias || family == Family::Qwen2,
            output_bias: attention_bias,
            mlp_bias: is_llama && keys.flag("mlp_bias", false)?,
            tie_word_embeddings: keys.flag("tie_word_embeddings", false)?,
            windows: windows(family, keys, layers)?,
        })
    }
}

fn heads(defaults: &Defaults, keys: &Keys<'_>, width: usize) -> Result<Heads, Error> {
    let queries = keys.size("num_attention_heads", 32, MOST)?;
    let of_keys = match (keys.given("num_key_value_heads"), defaults.key_heads) {
        (None, Some(default)) => default,
        _ => keys.size("num_key_value_heads", queries, MOST)?,
    };
    if !queries.is_multiple_of(of_keys) {
        return Err(Error::invalid(format!(
            "num_attention_heads {queries} is not a multiple of num_key_value_heads {of_keys}"
        )));
    }
    let head = keys.size("head_dim", width / queries, MOST)?;
    if head == 0 || !head.is_multiple_of(2) || head > MOST_HEAD_WIDTH || queries * head > MOST {
        return Err(Error::invalid(format!(
            "head_dim is {head}, expected an even number from 2 to {MOST_HEAD_WIDTH}, and {MOST} at most in all heads"
        )));
    }
    match keys.set("partial_rotary_factor") {
        Some(part) if part.as_f64() != Some(1.0) => {
            Err(Error::unsupported(format!("partial_rotary_factor is {part}, but whole heads turn here")))
        }
        _ => Ok(Heads { queries, keys: of_keys, width: head }),
    }
}

fn epsilon(keys: &Keys<'_>) -> Result<f64, Error> {
    let Some(found) = keys.set("rms_norm_eps") else { return Ok(1e-6) };
    let eps = found.as_f64().filter(|eps| (0.0..1.0).contains(eps));
    eps.ok_or_else(|| keys.wrong("rms_norm_eps", found, "at least 0 and below 1"))
}

fn windows(family: Family, keys: &Keys<'_>, layers: usize) -> Result<Vec<Option<usize>>, Error> {
    let none = matches!(keys.given("sliding_window"), Some(Value::Null));
    let slides = match family {
        Family::Llama => vec![false; layers],
        Family::Mistral => vec![!none; layers],
        Family::Qwen2 => {
            let used = keys.flag("use_sliding_window", false)? && !none;
            sliding_layers(keys, layers, used)?
        }
    };
    if !slides.contains(&true) {
        return Ok(vec![None; layers]);
    }
    let window = keys.size("sliding_window", 4096, MOST)?;
    Ok(slides.into_iter().map(|slides| slides.then_some(window)).collect())
}

/// Qwen2's list of kinds of layers, or what `max_window_layers` makes of it.
fn sliding_layers(keys: &Keys<'_>, layers: usize, used: bool) -> Result<Vec<bool>, Error> {
    let Some(kinds) = keys.set("layer_types") else {
        let full = match keys.set("max_window_layers").and_then(Value::as_u64) {
            Some(0) => 0,
            _ => keys.size("max_window_layers", 28, usize::MAX)?,
        };
        return Ok((0..layers).map(|layer| used && layer >= full).collect());
    };
    let wrong = |found, expected: &str| keys.wrong("layer_types", found, expected);
    let list = kinds.as_array().filter(|list| list.len() == layers);
    let list = list.ok_or_else(|| wrong(kinds, "a list of num_hidden_layers strings"))?;
    let slides = list.iter().map(|kind| match kind.as_str() {
        Some("full_attention") => Ok(false),
        Some("sliding_attention") if used => Ok(true),
        Some("sliding_attention") => Err(wrong(kind, "a sliding window in use with it")),
        _ => Err(wrong(kind, "\"full_attention\" or \"sliding_attention\"")),
    });
    slides.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::hf::Config;
    use serde_json::json;

    fn read(config: &Value) -> Result<LlamaConfig, Error> {
        match Config::parse(&config.to_string())? {
            Config::Llama(config) => Ok(config),
            Config::Gpt2(_) => panic!("not of the Llama family"),
        }
    }

    #[test]
    fn absent_keys_have_the_defaults_of_transformers() {
        let shape = |model_type: &str| {
            let config = read(&json!({"model_type": model_type})).unwrap();
            (config.heads.keys, config.inner, config.positions, config.vocab_size, config.windows[31])
        };
        assert_eq!(shape("llama"), (32, 11_008, 2048, 32_000, None));
        assert_eq!(shape("mistral"), (8, 14_336, 131_072, 32_000, Some(4096)));
        assert_eq!(shape("qwen2"), (32, 22_016, 32_768, 151_936, None));
        let null = json!({"model_type": "mistral", "num_key_value_heads": null, "sliding_window": null});
        let config = read(&null).unwrap();
        assert_eq!((config.heads.keys, config.heads.width, config.windows[0]), (32, 128, None));
    }

    #[test]
    fn biases_and_windows_are_the_familys() {
        let config = read(&json!({"model_type": "qwen2", "num_hidden_layers": 3, "attention_bias": true,
            "mlp_bias": true, "use_sliding_window": true, "sliding_window": 7, "max_window_layers": 2}));
        let config = config.unwrap();
        assert_eq!(config.windows, [None, None, Some(7)]);
        assert_eq!((config.qkv_bias, config.output_bias, config.mlp_bias), (true, false, false));
        let config =
            read(&json!({"model_type": "llama", "attention_bias": true, "sliding_window": 7})).unwrap();
        assert_eq!((config.qkv_bias, config.output_bias, config.mlp_bias), (true, true, false));
        assert_eq!(config.windows, [None; 32]);
    }

    #[test]
    fn what_cannot_run_is_refused_in_one_line() {
        use ErrorKind::{InvalidInput, Unsupported};
        let stretched = |rope_type: &str| json!({"rope_type": rope_type, "factor": 1e30});
        for (key, value, kind, expected) in [
            ("hidden_size", json!(0), InvalidInput, "hidden_size is 0, expected a whole number from 1"),
            ("num_key_value_heads", json!(3), InvalidInput, "32 is not a multiple of num_key_value_heads 3"),
            ("head_dim", json!(5), InvalidInput, "head_dim is 5, expected an even number"),
            ("rms_norm_eps", json!(1), InvalidInput, "rms_norm_eps is 1, expected at least 0"),
            ("hidden_act", json!("mish"), Unsupported, "hidden_act is \"mish\", expected gelu"),
            ("rope_theta", json!(0.5), InvalidInput, "rope_theta is 0.5, expected a number above 1"),
            (
                "rope_scaling",
                stretched("longrope"),
                Unsupported,
                "rope_type is \"longrope\", expected default",
            ),
            ("rope_scaling", stretched("dynamic"), InvalidInput, "angles that are not finite"),
            ("partial_rotary_factor", json!(0.5), Unsupported, "partial_rotary_factor is 0.5"),
            ("model_type", json!("bert"), Unsupported, "runs gpt2, llama, mistral and qwen2"),
        ] {
            let mut config = json!({"model_type": "llama"});
            config[key] = value;
            let error = read(&config).unwrap_err();
            assert_eq!(error.kind, kind, "{error}");
            assert!(error.message.contains(expected) && error.message.lines().count() == 1, "{error}");
        }
    }
}
