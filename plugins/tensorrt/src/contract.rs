//! What an engine must take and give for this plugin to run it: the inputs and outputs of the graphs that the host writes.
//!
//! `input_ids` and `position_ids` `[batch, sequence]`, `attention_mask` `[batch, total]`, all i64,
//! `past_key_values.N.key` and `.value` `[batch, kv_heads, past, head_size]`, and perhaps the scalar `num_logits_to_keep`
//! (0: all); `logits` `[batch, kept, vocab]` and the grown `present.N.key` and `.value`.

use crate::element::Element;
use crate::engine::Sizes;
use crate::nvinfer::Port;
use inferhost_plugin_api::Error;
use std::ffi::{CStr, CString};
use trtx::DataType;

/// An engine's inputs and outputs, understood.
#[derive(Debug)]
pub(crate) struct Contract {
    pub(crate) ids: CString,
    pub(crate) positions: CString,
    pub(crate) mask: CString,
    pub(crate) keep: Option<Keep>,
    pub(crate) logits: CString,
    pub(crate) logits_element: Element,
    pub(crate) vocab: usize,
    /// Keys and values of each layer.
    pub(crate) cache: Vec<CachePort>,
    pub(crate) cache_element: Element,
    pub(crate) kv_heads: usize,
    pub(crate) head_size: usize,
}

/// The input that says of how many last positions logits are wanted.
#[derive(Debug)]
pub(crate) struct Keep {
    pub(crate) name: CString,
    /// Whether TensorRT reads it in the host's memory.
    pub(crate) on_host: bool,
}

/// A layer's keys or values.
#[derive(Debug)]
pub(crate) struct CachePort {
    pub(crate) past: CString,
    pub(crate) present: CString,
}

impl Contract {
    /// # Errors
    /// [`InvalidInput`](inferhost_plugin_api::ErrorKind::InvalidInput) naming the tensor that is missing, unknown or
    /// different, with what was found and what was expected.
    pub(crate) fn of(ports: Vec<Port>, sizes: &Sizes) -> Result<Self, Error> {
        let mut ports = Ports(ports);
        let ids = ports.integers("input_ids", &[-1, -1])?;
        let positions = ports.integers("position_ids", &[-1, -1])?;
        let mask = ports.integers("attention_mask", &[-1, -1])?;
        let keep = ports.keep()?;
        let vocab = ports.find("logits", false)?.dims.last().copied().unwrap_or(-1);
        let (logits, logits_element) = ports.floats("logits", false, &[-1, -1, vocab])?;
        let vocab = fixed("logits", "vocabulary", vocab, sizes.vocab)?;
        let cache = Cache::read(&mut ports)?;
        ports.end()?;
        let Some((cache_element, kv_heads, head_size)) = cache.kind else {
            return Err(missing("past_key_values.0.key", true));
        };
        let layers = cache.ports.len() / 2;
        if let Some(expected) = sizes.layers.filter(|expected| *expected != layers) {
            return Err(Error::invalid(format!(
                "the engine has the cache of {layers} layers, but config.json says {expected}"
            )));
        }
        let kv_heads = fixed("past_key_values.0.key", "number of heads", kv_heads, sizes.kv_heads)?;
        let head_size = fixed("past_key_values.0.key", "head size", head_size, sizes.head_size)?;
        let cache = cache.ports;
        Ok(Self {
            ids,
            positions,
            mask,
            keep,
            logits,
            logits_element,
            vocab,
            cache,
            cache_element,
            kv_heads,
            head_size,
        })
    }

    /// Bytes of one position of one row in one of the cache's tensors.
    pub(crate) fn cache_bytes(&self) -> usize {
        self.kv_heads * self.head_size * self.cache_element.size()
    }

    /// Of how many of `fed` positions the engine gives logits when the last one's are wanted.
    pub(crate) fn kept(&self, fed: usize, last: bool) -> usize {
        if last && self.keep.is_some() { 1 } else { fed }
    }
}

/// What of the cache has been found so far.
#[derive(Default)]
struct Cache {
    ports: Vec<CachePort>,
    /// Element, heads and head size of the first tensor, which all others must have.
    kind: Option<(Element, i64, i64)>,
}

impl Cache {
    fn read(ports: &mut Ports) -> Result<Self, Error> {
        let mut cache = Self::default();
        while ports.0.iter().any(|port| port.name.to_bytes().starts_with(b"past_key_values.")) {
            cache.take_layer(ports)?;
        }
        Ok(cache)
    }

    fn take_layer(&mut self, ports: &mut Ports) -> Result<(), Error> {
        let layer = self.ports.len() / 2;
        for part in ["key", "value"] {
            let (past, present) =
                (format!("past_key_values.{layer}.{part}"), format!("present.{layer}.{part}"));
            let (heads, size) = match (self.kind, ports.find(&past, true)?.dims.as_slice()) {
                (Some((_, heads, size)), _) => (heads, size),
                (None, &[_, heads, _, size]) => (heads, size),
                (None, _) => (-1, -1),
            };
            let dims = [-1, heads, -1, size];
            let (past, element) = ports.floats(&past, true, &dims)?;
            let (present, grown) = ports.floats(&present, false, &dims)?;
            let (expected, ..) = *self.kind.get_or_insert((element, heads, size));
            for (name, found) in [(&past, element), (&present, grown)] {
                if found != expected {
                    return Err(Error::invalid(format!(
                        "{} is {}, but the cache began as {}",
                        name.to_string_lossy(),
                        found.name(),
                        expected.name()
                    )));
                }
            }
            self.ports.push(CachePort { past, present });
        }
        Ok(())
    }
}

/// What has not been understood yet.
struct Ports(Vec<Port>);

impl Ports {
    fn find(&self, name: &str, is_input: bool) -> Result<&Port, Error> {
        let found =
            self.0.iter().find(|port| port.name.as_bytes() == name.as_bytes() && port.is_input == is_input);
        found.ok_or_else(|| missing(name, is_input))
    }

    /// Takes a tensor of the device.
    fn take(&mut self, name: &str, is_input: bool, dims: &[i64]) -> Result<Port, Error> {
        let found = self.find(name, is_input)?;
        // A dimension that profiles leave one size may be told as that size.
        let fits = |(found, wanted): (&i64, &i64)| *wanted == -1 || found == wanted;
        if found.dims.len() != dims.len() || !found.dims.iter().zip(dims).all(fits) {
            return Err(Error::invalid(format!(
                "{name} is {:?}, expected {dims:?} (-1: of any size)",
                found.dims
            )));
        }
        let at = self.0.iter().position(|port| std::ptr::eq(port, found)).unwrap_or(0);
        let port = self.0.swap_remove(at);
        if port.on_host && !dims.is_empty() {
            return Err(Error::invalid(format!(
                "{name} is to lie in the host's memory, expected the device's"
            )));
        }
        Ok(port)
    }

    /// That nothing is left.
    fn end(&self) -> Result<(), Error> {
        let Some(unknown) = self.0.first() else { return Ok(()) };
        Err(Error::invalid(format!(
            "the engine has {} {}, which this plugin does not know; build it from a graph of the portable dialect",
            if unknown.is_input { "an input" } else { "an output" },
            unknown.name.to_string_lossy()
        )))
    }

    fn integers(&mut self, name: &str, dims: &[i64]) -> Result<CString, Error> {
        let port = self.take(name, true, dims)?;
        is_integer(&port.name, &port.kind)?;
        Ok(port.name)
    }

    fn keep(&mut self) -> Result<Option<Keep>, Error> {
        if self.find("num_logits_to_keep", true).is_err() {
            return Ok(None);
        }
        let port = self.take("num_logits_to_keep", true, &[])?;
        is_integer(&port.name, &port.kind)?;
        Ok(Some(Keep { name: port.name, on_host: port.on_host }))
    }

    fn floats(&mut self, name: &str, is_input: bool, dims: &[i64]) -> Result<(CString, Element), Error> {
        let port = self.take(name, is_input, dims)?;
        let element = Element::of(&port.kind).ok_or_else(|| {
            Error::invalid(format!(
                "{name} is of TensorRT's type {:?}, expected kFLOAT, kHALF or kBF16",
                port.kind
            ))
        })?;
        Ok((port.name, element))
    }
}

fn is_integer(name: &CStr, kind: &DataType) -> Result<(), Error> {
    match kind {
        DataType::kINT64 => Ok(()),
        other => Err(Error::invalid(format!(
            "{} is of TensorRT's type {other:?}, expected kINT64",
            name.to_string_lossy()
        ))),
    }
}

/// A size that the engine has fixed, and that the model agrees with.
fn fixed(name: &str, what: &str, found: i64, expected: Option<usize>) -> Result<usize, Error> {
    let size = usize::try_from(found).ok().filter(|size| *size > 0);
    match (size, expected) {
        (None, _) => Err(Error::invalid(format!("{name} leaves its {what} open, expected a fixed one"))),
        (Some(size), Some(expected)) if size != expected => {
            Err(Error::invalid(format!("the {what} of {name} is {size}, but config.json says {expected}")))
        }
        (Some(size), _) => Ok(size),
    }
}

fn missing(name: &str, is_input: bool) -> Error {
    let side = if is_input { "input" } else { "output" };
    Error::invalid(format!("the engine has no {side} {name}; build it from a graph of the portable dialect"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(name: &str, is_input: bool, kind: DataType, dims: &[i64]) -> Port {
        Port { name: CString::new(name).unwrap(), is_input, kind, dims: dims.to_vec(), on_host: false }
    }

    fn whole() -> Vec<Port> {
        let mut ports = vec![
            port("input_ids", true, DataType::kINT64, &[-1, -1]),
            port("position_ids", true, DataType::kINT64, &[-1, -1]),
            port("attention_mask", true, DataType::kINT64, &[-1, -1]),
            Port { on_host: true, ..port("num_logits_to_keep", true, DataType::kINT64, &[]) },
            port("logits", false, DataType::kFLOAT, &[-1, -1, 50]),
        ];
        for name in ["0.key", "0.value", "1.key", "1.value"] {
            ports.push(port(&format!("past_key_values.{name}"), true, DataType::kHALF, &[-1, 2, -1, 4]));
            ports.push(port(&format!("present.{name}"), false, DataType::kHALF, &[-1, 2, -1, 4]));
        }
        ports
    }

    const SIZES: Sizes =
        Sizes { vocab: Some(50), context: Some(64), kv_heads: Some(2), head_size: Some(4), layers: Some(2) };

    #[test]
    fn a_written_graph_is_understood() {
        for sizes in [SIZES, Sizes::default()] {
            let contract = Contract::of(whole(), &sizes).unwrap();
            assert_eq!((contract.vocab, contract.kv_heads, contract.head_size), (50, 2, 4));
            assert_eq!(
                (contract.cache.len(), contract.cache_element, contract.cache_bytes()),
                (4, Element::F16, 16)
            );
            assert!(contract.keep.as_ref().unwrap().on_host);
            assert_eq!((contract.kept(7, true), contract.kept(7, false)), (1, 7));
        }
        let without =
            whole().into_iter().filter(|port| port.name.as_bytes() != b"num_logits_to_keep").collect();
        let contract = Contract::of(without, &SIZES).unwrap();
        assert!(contract.keep.is_none() && contract.kept(7, true) == 7);
    }

    #[test]
    fn what_differs_is_named() {
        type Change = fn(&mut Vec<Port>);
        let cases: [(Change, &str); 13] = [
            (|ports| drop(ports.remove(0)), "no input input_ids"),
            (|ports| ports[0].kind = DataType::kINT32, "input_ids is of TensorRT's type kINT32"),
            (|ports| ports[1].dims = vec![-1], "position_ids is [-1], expected [-1, -1]"),
            (|ports| ports[2].on_host = true, "attention_mask is to lie in the host's memory"),
            (|ports| ports[3].kind = DataType::kFLOAT, "num_logits_to_keep is of TensorRT's type kFLOAT"),
            (|ports| ports[4].dims[2] = -1, "logits leaves its vocabulary open"),
            (|ports| ports[4].dims[2] = 51, "vocabulary of logits is 51, but config.json says 50"),
            (|ports| ports[4].kind = DataType::kINT8, "logits is of TensorRT's type kINT8"),
            (|ports| drop(ports.remove(6)), "no output present.0.key"),
            (|ports| ports[8].kind = DataType::kBF16, "present.0.value is bf16, but the cache began as f16"),
            (|ports| ports[9].dims[3] = 8, "past_key_values.1.key is [-1, 2, -1, 8]"),
            (|ports| ports.truncate(9), "the cache of 1 layers, but config.json says 2"),
            (
                |ports| ports.push(port("token_type_ids", true, DataType::kINT64, &[-1, -1])),
                "an input token_type_ids",
            ),
        ];
        for (change, expected) in cases {
            let mut ports = whole();
            change(&mut ports);
            let message = Contract::of(ports, &SIZES).unwrap_err().message;
            assert!(message.contains(expected), "{message} should hold {expected}");
        }
        let mut ports = whole();
        ports.truncate(5);
        let message = Contract::of(ports, &SIZES).unwrap_err().message;
        assert!(message.contains("no input past_key_values.0.key"), "{message}");
    }
}
