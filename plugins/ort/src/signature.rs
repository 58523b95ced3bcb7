//! What a causal-LM graph takes and gives, understood by the names that exporters use: which inputs there are, in
//! which types, and how large one position of `past_key_values` is. Pure: it never meets the runtime.

use crate::config::ModelConfig;
use crate::conventions::Padding;
use crate::element::Element;
use inferhost_plugin_api::{DecoderNames, Error};

/// Of how many last positions logits are computed, by one name or the other.
const KEEP: [&str; 2] = ["num_logits_to_keep", "logits_to_keep"];
/// Which half of a merged decoder runs.
const BRANCH: &str = "use_cache_branch";

/// An input or output as the graph declares it; a dimension it leaves open is negative.
#[derive(Debug, Clone)]
pub(crate) struct Port {
    pub(crate) name: String,
    /// None for types that are not understood.
    pub(crate) element: Option<Element>,
    pub(crate) dims: Vec<i64>,
}

/// An input of whole numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IntPort {
    pub(crate) name: String,
    pub(crate) element: Element,
    /// Number of dimensions.
    pub(crate) rank: usize,
}

/// Keys or values of one layer, `[batch, heads, positions, head_dim]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CachePort {
    pub(crate) past: String,
    pub(crate) present: String,
    pub(crate) element: Element,
    pub(crate) heads: usize,
    pub(crate) head_dim: usize,
}

/// The graph's inputs and outputs.
#[derive(Debug, Clone)]
pub(crate) struct Signature {
    pub(crate) ids: IntPort,
    pub(crate) mask: Option<IntPort>,
    pub(crate) positions: Option<IntPort>,
    /// Of how many last positions logits are computed; 0 is all.
    pub(crate) keep: Option<IntPort>,
    /// Which half of a merged decoder runs: false is the one without past.
    pub(crate) branch: Option<IntPort>,
    /// Empty where the graph has no cache.
    pub(crate) cache: Vec<CachePort>,
    /// The output's name.
    pub(crate) logits: String,
    pub(crate) logits_element: Element,
    pub(crate) vocab_size: usize,
}

impl Signature {
    /// Reads a graph's ports by `names`, with the model's config for what the graph leaves open.
    ///
    /// # Errors
    /// [`InvalidInput`](inferhost_plugin_api::ErrorKind::InvalidInput) naming the port that is missing or not
    /// understood.
    pub(crate) fn read(
        inputs: &[Port],
        outputs: &[Port],
        config: &ModelConfig,
        names: &DecoderNames,
    ) -> Result<Self, Error> {
        let find = |name: &str| inputs.iter().find(|port| port.name == name);
        let ints = |name: &str| find(name).map(int_port).transpose();
        let keep = match ints(KEEP[0])? {
            None => ints(KEEP[1])?,
            found => found,
        };
        let (logits_element, vocab_size) = logits(outputs, config, &names.logits)?;
        let signature = Self {
            ids: ints(&names.input_ids)?.ok_or_else(|| missing("input", &names.input_ids, inputs))?,
            mask: ints(&names.attention_mask)?,
            positions: ints(&names.position_ids)?,
            keep,
            branch: find(BRANCH).map(bool_port).transpose()?,
            cache: cache_ports(inputs, outputs, config, names)?,
            logits: names.logits.clone(),
            logits_element,
            vocab_size,
        };
        match inputs.iter().find(|port| !signature.inputs().any(|name| name == port.name)) {
            None => Ok(signature),
            Some(port) => {
                let (name, understood) = (&port.name, understood(names));
                Err(Error::invalid(format!(
                    "the graph's input '{name}' is not understood; export it with no others than {understood}"
                )))
            }
        }
    }

    /// Names of the inputs in the order in which they are bound.
    pub(crate) fn inputs(&self) -> impl Iterator<Item = &str> {
        let optional = [&self.mask, &self.positions, &self.keep, &self.branch];
        std::iter::once(&self.ids)
            .chain(optional.into_iter().flatten())
            .map(|port| port.name.as_str())
            .chain(self.cache.iter().map(|port| port.past.as_str()))
    }

    /// Names of the outputs in the order in which they are bound.
    pub(crate) fn outputs(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.logits.as_str()).chain(self.cache.iter().map(|port| port.present.as_str()))
    }

    /// Whether rows of different lengths can share a run, padded on that side. On the left, the mask must hide the
    /// padding and positions must count from the first real token; on the right, the mask alone tells each row's own
    /// length.
    pub(crate) fn takes_padding(&self, side: Padding) -> bool {
        match side {
            Padding::Left => self.mask.is_some() && self.positions.is_some(),
            Padding::Right => self.mask.is_some(),
            Padding::Never => false,
        }
    }

    /// `f16`, `bf16` or `f32`, whichever crosses the graph's edge.
    pub(crate) fn precision(&self) -> &'static str {
        let crosses =
            |element| self.logits_element == element || self.cache.iter().any(|port| port.element == element);
        match () {
            () if crosses(Element::F16) => "f16",
            () if crosses(Element::Bf16) => "bf16",
            () => "f32",
        }
    }
}

fn int_port(port: &Port) -> Result<IntPort, Error> {
    typed(port, &[Element::I64, Element::I32], "int64 or int32")
}

fn bool_port(port: &Port) -> Result<IntPort, Error> {
    typed(port, &[Element::Bool], "bool")
}

fn typed(port: &Port, accepted: &[Element], expected: &str) -> Result<IntPort, Error> {
    match port.element.filter(|element| accepted.contains(element)) {
        Some(element) => Ok(IntPort { name: port.name.clone(), element, rank: port.dims.len() }),
        None => Err(Error::invalid(format!("the graph's input '{}' is not {expected}", port.name))),
    }
}

fn logits(outputs: &[Port], config: &ModelConfig, name: &str) -> Result<(Element, usize), Error> {
    let port =
        outputs.iter().find(|port| port.name == name).ok_or_else(|| missing("output", name, outputs))?;
    let element = float(port)?;
    let declared = match port.dims.as_slice() {
        [_, _, vocab] => usize::try_from(*vocab).ok().filter(|&vocab| vocab > 0),
        dims => {
            let rank = dims.len();
            return Err(Error::invalid(format!("the graph's logits have {rank} dimensions, expected 3")));
        }
    };
    let vocab = declared.or(config.vocab_size).ok_or_else(|| {
        Error::invalid("neither the graph's logits nor a config.json beside it say the vocabulary's size")
    })?;
    Ok((element, vocab))
}

fn float(port: &Port) -> Result<Element, Error> {
    port.element.filter(|element| matches!(element, Element::F32 | Element::F16 | Element::Bf16)).ok_or_else(
        || Error::invalid(format!("the graph's '{}' is not float32, float16 or bfloat16", port.name)),
    )
}

/// Every past input with its present output, in the graph's own order.
fn cache_ports(
    inputs: &[Port],
    outputs: &[Port],
    config: &ModelConfig,
    names: &DecoderNames,
) -> Result<Vec<CachePort>, Error> {
    let past = inputs.iter().filter_map(|port| Some((port, present_of(&port.name, names)?)));
    past.map(|(port, present)| {
        if !outputs.iter().any(|output| output.name == present) {
            return Err(missing("output", &present, outputs));
        }
        let &[_, heads, _, head_dim] = port.dims.as_slice() else {
            let (name, rank) = (&port.name, port.dims.len());
            return Err(Error::invalid(format!("the graph's '{name}' has {rank} dimensions, expected 4")));
        };
        let size = |declared: i64, known: Option<usize>, what: &str| {
            usize::try_from(declared).ok().filter(|&size| size > 0).or(known).ok_or_else(|| {
                let name = &port.name;
                Error::invalid(format!(
                    "neither the graph's '{name}' nor a config.json beside it say its {what}"
                ))
            })
        };
        Ok(CachePort {
            past: port.name.clone(),
            present,
            element: float(port)?,
            heads: size(heads, config.kv_heads, "number of heads")?,
            head_dim: size(head_dim, config.head_dim, "head size")?,
        })
    })
    .collect()
}

/// The output that belongs to an input of past keys or values; none for other inputs.
fn present_of(past: &str, names: &DecoderNames) -> Option<String> {
    let pairs = [(&names.past_key, &names.present_key), (&names.past_value, &names.present_value)];
    pairs.into_iter().find_map(|(pattern, present)| {
        let (before, after) = pattern.split_once("%d")?;
        let layer = past.strip_prefix(before)?.strip_suffix(after)?;
        layer.parse::<u32>().ok().map(|_| present.replace("%d", layer))
    })
}

/// The inputs that a graph may have.
fn understood(names: &DecoderNames) -> String {
    let (key, value) = (names.past_key.replace("%d", "N"), names.past_value.replace("%d", "N"));
    let own =
        [&names.input_ids, &names.attention_mask, &names.position_ids, &key, &value].map(String::as_str);
    [&own[..], &KEEP, &[BRANCH]].concat().join(", ")
}

fn missing(side: &str, name: &str, found: &[Port]) -> Error {
    let names: Vec<&str> = found.iter().map(|port| port.name.as_str()).take(6).collect();
    Error::invalid(format!(
        "the graph has no {side} '{name}' (found {}); export it for text-generation",
        names.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(name: &str, element: Element, dims: &[i64]) -> Port {
        Port { name: name.into(), element: Some(element), dims: dims.to_vec() }
    }

    fn graph() -> (Vec<Port>, Vec<Port>) {
        let inputs = vec![
            port("past_key_values.0.value", Element::F16, &[-1, 4, -1, 12]),
            port("attention_mask", Element::I64, &[-1, -1]),
            port("input_ids", Element::I32, &[-1, -1]),
            port("past_key_values.0.key", Element::F16, &[-1, -1, -1, -1]),
            port("num_logits_to_keep", Element::I64, &[]),
        ];
        let outputs = vec![
            port("logits", Element::F32, &[-1, -1, 512]),
            port("present.0.key", Element::F16, &[-1, -1, -1, -1]),
            port("present.0.value", Element::F16, &[-1, -1, -1, -1]),
        ];
        (inputs, outputs)
    }

    fn config() -> ModelConfig {
        ModelConfig { kv_heads: Some(4), head_dim: Some(12), ..ModelConfig::default() }
    }

    fn read(inputs: &[Port], outputs: &[Port], config: &ModelConfig) -> Result<Signature, Error> {
        Signature::read(inputs, outputs, config, &DecoderNames::default())
    }

    /// Each port in turn, with every odd name, type and shape: a signature that can be bound, or one line.
    #[test]
    fn no_port_that_a_graph_may_declare_is_too_odd() {
        let names = [
            "",
            "\u{1b}[2J",
            "input_ids",
            "logits",
            "past_key_values.99999999999999999999.key",
            "present.0.key",
        ];
        let shapes: [&[i64]; 7] =
            [&[], &[0], &[i64::MIN; 3], &[i64::MAX; 3], &[i64::MAX; 4], &[1, 0, 1, 0], &[7; 40]];
        let elements = [None, Some(Element::Bool), Some(Element::I64), Some(Element::F16)];
        let (inputs, outputs) = graph();
        let ports = inputs.len() + outputs.len();
        for place in 0..ports {
            for name in names.map(Some).into_iter().chain([None]) {
                for (dims, element) in shapes.iter().flat_map(|dims| elements.map(|element| (dims, element)))
                {
                    let (mut inputs, mut outputs) = (inputs.clone(), outputs.clone());
                    let port = inputs.iter_mut().chain(&mut outputs).nth(place).unwrap();
                    port.name = name.map_or_else(|| port.name.clone(), Into::into);
                    (port.dims, port.element) = (dims.to_vec(), element);
                    match read(&inputs, &outputs, &config()) {
                        Ok(found) => assert!(found.inputs().count() <= inputs.len()),
                        Err(error) => assert_eq!(error.message.lines().count(), 1, "{error}"),
                    }
                }
            }
        }
    }

    #[test]
    fn a_graph_is_read_in_one_order() {
        let (inputs, outputs) = graph();
        let signature = read(&inputs, &outputs, &config()).unwrap();
        let names: Vec<_> = signature.inputs().collect();
        assert_eq!(
            names,
            [
                "input_ids",
                "attention_mask",
                "num_logits_to_keep",
                "past_key_values.0.value",
                "past_key_values.0.key"
            ]
        );
        assert_eq!(signature.outputs().collect::<Vec<_>>(), ["logits", "present.0.value", "present.0.key"]);
        assert!(signature.cache.iter().all(|port| port.heads == 4 && port.head_dim == 12));
        assert_eq!((signature.vocab_size, signature.precision()), (512, "f16"));
        assert_eq!(signature.keep.as_ref().map(|keep| keep.rank), Some(0));
        assert!(!signature.takes_padding(Padding::Left) && signature.takes_padding(Padding::Right));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        type Change = fn(&mut Vec<Port>, &mut Vec<Port>);
        let cases: [(Change, &str); 9] = [
            (|inputs, _| inputs.push(port("token_type_ids", Element::I64, &[-1, -1])), "token_type_ids"),
            (
                |inputs, _| inputs.push(port("cache_position", Element::I64, &[-1])),
                "'cache_position' is not under",
            ),
            (
                |inputs, _| {
                    inputs.push(port("past_key_values.0.encoder.key", Element::F16, &[-1, 4, -1, 12]))
                },
                "input_ids, attention_mask, position_ids, past_key_values.N.key, past_key_values.N.value, \
                 num_logits_to_keep, logits_to_keep, use_cache_branch",
            ),
            (|inputs, _| inputs.retain(|port| port.name != "input_ids"), "input_ids"),
            (|_, outputs| outputs.retain(|port| port.name != "logits"), "logits"),
            (|_, outputs| outputs.retain(|port| port.name != "present.0.key"), "present.0.key"),
            (|inputs, _| inputs[0].dims.truncate(3), "3 dimensions"),
            (|inputs, _| inputs[1].element = Some(Element::F32), "attention_mask"),
            (|_, outputs| outputs[0].dims[2] = -1, "vocabulary"),
        ];
        for (change, named) in cases {
            let (mut inputs, mut outputs) = graph();
            change(&mut inputs, &mut outputs);
            let error = read(&inputs, &outputs, &config()).unwrap_err();
            assert!(error.message.contains(named), "{}", error.message);
        }
    }

    #[test]
    fn open_sizes_need_a_config() {
        let (inputs, outputs) = graph();
        let error = read(&inputs, &outputs, &ModelConfig::default()).unwrap_err();
        assert!(error.message.contains("past_key_values.0.key"), "{}", error.message);
    }

    #[test]
    fn ports_can_have_other_names_and_narrower_types() {
        let names = DecoderNames {
            input_ids: "tokens".into(),
            logits: "scores".into(),
            past_key: "k%d".into(),
            past_value: "v%d".into(),
            present_key: "new_k%d".into(),
            present_value: "new_v%d".into(),
            ..DecoderNames::default()
        };
        let past = |name| port(name, Element::Bf16, &[-1, 4, -1, 12]);
        let inputs = [port("tokens", Element::I32, &[-1, -1]), past("k10"), past("v10")];
        let outputs = [port("scores", Element::F32, &[-1, -1, 9]), past("new_k10"), past("new_v10")];
        let signature = Signature::read(&inputs, &outputs, &ModelConfig::default(), &names).unwrap();
        assert_eq!(signature.inputs().collect::<Vec<_>>(), ["tokens", "k10", "v10"]);
        assert_eq!(signature.outputs().collect::<Vec<_>>(), ["scores", "new_k10", "new_v10"]);
        assert_eq!(signature.precision(), "bf16");
    }
}
