//! Which of a graph's nodes ONNX Runtime gave to which provider, read from what a session logs while it is made: no
//! call of its interface tells it in all versions.
//!
//! What is to be known is whether a node fell back: it was meant for the device, but the provider has no kernel for
//! it, so it runs on the CPU and its tensors cross the bus. Nodes that the runtime puts on the CPU on purpose are
//! none of these. They compute shapes: their inputs come from `Shape` and lie in host memory already. The runtime
//! names each of them in its log ("Force fallback to CPU execution for node"), and that decides here; nodes
//! without a name are taken to be of that sort unless the provider said that it has no kernel for their operator.

use ort::logging::{LogLevel, LoggerFunction};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

const PREFERRED: &str = "Force fallback to CPU execution for node: ";
const NO_KERNEL: &str = "or Op type: ";
const CPU: &str = "CPUExecutionProvider";

/// What a session said of its nodes while it was made.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Placement {
    /// Providers with their nodes, copies between memories included.
    providers: Vec<(String, usize)>,
    /// The provider whose nodes are being listed, by its place in `providers`.
    listing: Option<usize>,
    /// Operators and names of the nodes on the CPU, where other providers have nodes too.
    on_cpu: Vec<(String, String)>,
    /// Names of the nodes that were put there on purpose.
    preferred: BTreeSet<String>,
    /// Operators without a kernel on the device.
    without_kernel: BTreeSet<String>,
    copies: Copies,
}

/// Copies between the memories of device and host that the graph was given.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Copies {
    pub(crate) to_host: usize,
    pub(crate) from_host: usize,
}

impl Placement {
    /// Takes one message of the session's log.
    fn hear(&mut self, message: &str) {
        if let Some((provider, count)) = heading(message) {
            self.open_list(provider, count);
        } else if let Some((operator, name)) = self.listing.and_then(|_| node(message)) {
            self.list(operator, name);
        } else {
            self.listing = None;
            if let Some((_, rest)) = message.split_once(PREFERRED) {
                let name = rest.split_once(" because").map_or(rest, |(name, _)| name);
                self.preferred.insert(name.trim().to_string());
            } else if message.starts_with("Add MemcpyToHost ") {
                self.copies.to_host += 1;
            } else if message.starts_with("Add MemcpyFromHost ") {
                self.copies.from_host += 1;
            } else if let Some((_, rest)) = message.split_once(NO_KERNEL) {
                self.without_kernel.extend(rest.split_whitespace().next().map(String::from));
            }
        }
    }

    fn open_list(&mut self, provider: &str, count: usize) {
        let known = self.providers.iter().position(|(name, _)| name == provider);
        let at = known.unwrap_or_else(|| {
            self.providers.push((provider.to_string(), 0));
            self.providers.len() - 1
        });
        self.providers[at].1 += count;
        self.listing = Some(at);
    }

    fn list(&mut self, operator: &str, name: &str) {
        if self.listing.is_some_and(|at| self.providers[at].0 == CPU) {
            self.on_cpu.push((operator.to_string(), name.to_string()));
        }
    }

    /// Whether the log told anything.
    pub(crate) fn is_known(&self) -> bool {
        !self.providers.is_empty()
    }

    /// Nodes of a provider.
    pub(crate) fn nodes_of(&self, provider: &str) -> usize {
        self.providers.iter().filter(|(name, _)| name == provider).map(|(_, count)| count).sum()
    }

    /// Nodes that fell back to the CPU, by operator.
    pub(crate) fn fallen_back(&self) -> Operators {
        self.operators(|operator, name| !self.is_preferred(operator, name))
    }

    /// Nodes that are on the CPU on purpose, by operator.
    pub(crate) fn on_purpose(&self) -> Operators {
        self.operators(|operator, name| self.is_preferred(operator, name))
    }

    fn operators(&self, wanted: impl Fn(&str, &str) -> bool) -> Operators {
        let mut found = BTreeMap::new();
        for (operator, _) in self.on_cpu.iter().filter(|(operator, name)| wanted(operator, name)) {
            *found.entry(operator.clone()).or_default() += 1;
        }
        Operators(found)
    }

    fn is_preferred(&self, operator: &str, name: &str) -> bool {
        self.preferred.contains(name) && !(name.is_empty() && self.without_kernel.contains(operator))
    }

    /// Copies between memories.
    pub(crate) fn copies(&self) -> Copies {
        self.copies
    }
}

/// "All nodes placed on [P]. Number of nodes: N", or "Node(s) placed on [P]. Number of nodes: N".
fn heading(message: &str) -> Option<(&str, usize)> {
    let (_, rest) = message.split_once(" placed on [")?;
    let (provider, rest) = rest.split_once("]. Number of nodes: ")?;
    Some((provider, rest.trim().parse().ok()?))
}

/// "  Operator (name)".
fn node(message: &str) -> Option<(&str, &str)> {
    message.strip_prefix("  ")?.strip_suffix(')')?.split_once(" (")
}

impl fmt::Display for Placement {
    /// `CUDAExecutionProvider (412 nodes), CPUExecutionProvider (9)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut providers: Vec<_> = self.providers.iter().collect();
        providers.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        for (place, (provider, count)) in providers.into_iter().enumerate() {
            match place {
                0 => write!(f, "{provider} ({count} nodes)")?,
                _ => write!(f, ", {provider} ({count})")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Copies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to the host, {} from it", self.to_host, self.from_host)
    }
}

/// Operators with the number of their nodes.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Operators(BTreeMap<String, usize>);

impl Operators {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn has(&self, operator: &str) -> bool {
        self.0.contains_key(operator)
    }

    /// Nodes in all.
    pub(crate) fn count(&self) -> usize {
        self.0.values().sum()
    }
}

impl fmt::Display for Operators {
    /// `GroupQueryAttention x 12, MatMulInteger x 4`, the most frequent first.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut operators: Vec<_> = self.0.iter().collect();
        operators.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let shown: Vec<_> =
            operators.into_iter().map(|(operator, count)| format!("{operator} x {count}")).collect();
        f.write_str(&shown.join(", "))
    }
}

/// Hears what a session logs while it is made, and hands its errors on to stderr, as the runtime would without it.
#[derive(Clone, Default)]
pub(crate) struct Listener(Arc<Mutex<Option<Placement>>>);

impl Listener {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Some(Placement::default()))))
    }

    /// What the session is given.
    pub(crate) fn logger(&self) -> LoggerFunction {
        let heard = Arc::clone(&self.0);
        Arc::new(move |level, _, _, location, message| {
            if let Some(placement) = &mut *heard.lock().unwrap_or_else(PoisonError::into_inner) {
                placement.hear(message);
            }
            if level >= LogLevel::Error {
                // Nowhere to report a stderr that is gone.
                let _ = writeln!(std::io::stderr(), "onnxruntime: {location}: {}", message.trim_end());
            }
        })
    }

    /// What was heard; nothing is kept from here on.
    pub(crate) fn heard(&self) -> Placement {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What versions of ONNX Runtime have logged, one message a line, of graphs that inferhost writes.
    fn logged(messages: &str) -> Placement {
        let mut placement = Placement::default();
        messages.lines().for_each(|message| placement.hear(message));
        placement
    }

    macro_rules! log {
        ($name:literal) => {
            ($name, include_str!(concat!("../tests/logs/", $name, ".txt")))
        };
    }

    #[test]
    fn a_session_on_the_cpu_says_so_in_every_version() {
        for (name, messages) in
            [log!("1.22.1-cpu"), log!("1.29.0-cpu"), log!("1.30.0-cpu"), log!("1.31.1-cpu")]
        {
            let placement = logged(messages);
            assert_eq!(placement.to_string(), "CPUExecutionProvider (39 nodes)", "{name}");
            assert!(placement.is_known() && placement.fallen_back().is_empty(), "{name}");
        }
    }

    #[test]
    fn what_fell_back_is_told_apart_from_shape_arithmetic() {
        let all = "CUDAExecutionProvider (40 nodes), CPUExecutionProvider (4)";
        let shapes = "Squeeze x 2, Cast x 1";
        for ((name, messages), providers, fallen, purpose, copies) in [
            (
                log!("1.29.0-cuda-fp32-ort"),
                all,
                "GroupQueryAttention x 1",
                shapes,
                "3 to the host, 2 from it",
            ),
            (
                log!("1.30.0-cuda-fp32-ort"),
                all,
                "GroupQueryAttention x 1",
                shapes,
                "3 to the host, 2 from it",
            ),
            (
                log!("1.31.1-cuda-fp32-ort"),
                all,
                "GroupQueryAttention x 1",
                shapes,
                "3 to the host, 2 from it",
            ),
            (
                log!("1.31.1-cuda-fp16-ort"),
                "CUDAExecutionProvider (39 nodes), CPUExecutionProvider (3)",
                "",
                shapes,
                "1 to the host, 1 from it",
            ),
            (
                log!("1.31.1-cuda-int8-dynamic-portable"),
                "CUDAExecutionProvider (120 nodes), CPUExecutionProvider (20)",
                "DynamicQuantizeLinear x 9, MatMulInteger x 9",
                "Squeeze x 1, Sub x 1",
                "10 to the host, 18 from it",
            ),
        ] {
            let placement = logged(messages);
            assert_eq!(placement.to_string(), providers, "{name}");
            assert_eq!(placement.fallen_back().to_string(), fallen, "{name}");
            assert_eq!(placement.on_purpose().to_string(), purpose, "{name}");
            assert_eq!(placement.copies().to_string(), copies, "{name}");
        }
    }

    #[test]
    fn nodes_without_names_are_told_apart_by_their_operators() {
        let placement = logged(
            "ORT optimization- Force fallback to CPU execution for node:  because the CPU execution path is deemed faster\n\
             CUDA kernel not found in registries for Op type: GroupQueryAttention node name: \n\
             Node placements\n Node(s) placed on [CPUExecutionProvider]. Number of nodes: 2\n  Gather ()\n\
             \u{20} GroupQueryAttention ()\n Node(s) placed on [CUDAExecutionProvider]. Number of nodes: 1\n  If ()",
        );
        assert_eq!(placement.fallen_back().to_string(), "GroupQueryAttention x 1");
        assert_eq!(placement.on_purpose().to_string(), "Gather x 1");
    }

    #[test]
    fn odd_messages_are_no_nodes() {
        for message in
            ["", "  ", "  ()", "  (", " placed on [", "x placed on [P]. Number of nodes: many", "  a (b)"]
        {
            let placement = logged(message);
            assert!(!placement.is_known() && placement.fallen_back().is_empty(), "{message:?}");
        }
        let placement =
            logged(" Node(s) placed on [CPUExecutionProvider]. Number of nodes: 9\nDone\n  Late (x)");
        assert!(placement.fallen_back().is_empty(), "{placement:?}");
    }
}
