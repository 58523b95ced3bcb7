//! One decode step of a lane at fixed places and in fixed shapes, so that CUDA can capture it once and replay it.
//!
//! Everything lies on the device: tokens, positions, logits, and a mask as wide as the cache, of which the ones grow.
//! `GroupQueryAttention` takes each row's length from the mask's sum, and its width only as the most that any row can
//! have, so the result is that of the mask that grows with the row. It needs a cache that grows in place, and a
//! graph that has nothing to compute on the host.
//!
//! A captured step writes where the runtime's own intermediate tensors were when it was captured. Memory that is
//! taken from the same arena later may lie there, so a step is captured anew after any memory was taken.

use crate::binding::{Memories, Memory, Tensor};
use crate::cache::KvCache;
use crate::conventions::{Conventions, Growth, Padding};
use crate::element::Element;
use crate::runner::Runner;
use crate::signature::{IntPort, Signature};
use inferhost_plugin_api::Error;

/// Each input starts at a multiple of this many bytes, as the runtime's own tensors do.
const ALIGNMENT: usize = 256;

/// An input of the step, at its place in the block of all inputs.
struct Part {
    element: Element,
    offset: usize,
    len: usize,
}

/// The fixed steps of a lane: one at a time, made for the rows and the room that it has.
pub(crate) struct FixedSteps {
    signature: Signature,
    memories: Memories,
    step: Option<FixedStep>,
}

impl FixedSteps {
    pub(crate) fn new(signature: &Signature, memories: &Memories) -> Self {
        Self { signature: signature.clone(), memories: memories.clone(), step: None }
    }

    /// Feeds every row its token, at the end of `lengths` positions with it, and brings its logits to `logits`.
    pub(crate) fn run(
        &mut self,
        runner: &mut Runner,
        cache: &KvCache,
        tokens: impl ExactSizeIterator<Item = i64>,
        lengths: impl Iterator<Item = usize> + Clone,
        logits: &mut Memory,
    ) -> Result<(), Error> {
        let (batch, capacity) = (tokens.len(), cache.capacity());
        let Self { signature, memories, step } = self;
        if step.as_ref().is_some_and(|step| !step.is_for(batch, capacity)) {
            *step = None;
        }
        let step = match step {
            Some(step) => step,
            none => none.insert(FixedStep::new(signature, memories, batch, capacity)?),
        };
        step.set(tokens, lengths)?;
        let graph = step.graph(memories.device.taken(), || runner.new_graph());
        let inputs = step.tensors.iter().chain(cache.past());
        let outputs = std::iter::once(&step.logits_tensor).chain(cache.present());
        runner.replay(graph, inputs, outputs)?;
        logits.copy_from(&step.logits, step.logits.bytes())
    }
}

/// The step of rows that can grow to one capacity.
struct FixedStep {
    batch: usize,
    capacity: usize,
    /// What the host fills, and what the graph reads.
    inputs: [Memory; 2],
    parts: Vec<Part>,
    tensors: Vec<Tensor<'static>>,
    logits: Memory,
    logits_tensor: Tensor<'static>,
    /// The captured graph's number, and how much memory had been taken by then.
    graph: Option<(u32, u32)>,
}

impl FixedSteps {
    /// Refuses a graph whose steps cannot have fixed shapes.
    ///
    /// # Errors
    /// [`Unsupported`](inferhost_plugin_api::ErrorKind::Unsupported) with the reason.
    pub(crate) fn check(signature: &Signature, conventions: Conventions) -> Result<(), Error> {
        let reason = match conventions {
            _ if signature.cache.is_empty() || conventions.growth != Growth::InPlace => {
                "its cache does not grow in place, so every step has other shapes"
            }
            _ if signature.mask.is_none() || conventions.padding == Padding::Left => {
                "it has no mask whose sums are its rows' lengths"
            }
            _ if signature.keep.is_some() || signature.branch.is_some() => {
                "what it computes depends on numbers that it reads on the host"
            }
            _ => return Ok(()),
        };
        Err(Error::unsupported(format!(
            "cuda_graph needs another graph than this: {reason}; set cuda_graph = false"
        )))
    }
}

impl FixedStep {
    fn new(signature: &Signature, memories: &Memories, batch: usize, capacity: usize) -> Result<Self, Error> {
        let wide = |port: &IntPort, width| (port.element, vec![batch, width]);
        let shapes: Vec<(Element, Vec<usize>)> = [
            Some(wide(&signature.ids, 1)),
            signature.mask.as_ref().map(|mask| wide(mask, capacity)),
            signature.positions.as_ref().map(|positions| wide(positions, 1)),
        ]
        .into_iter()
        .flatten()
        .collect();
        let mut bytes = 0;
        let mut parts = Vec::new();
        for (element, shape) in &shapes {
            let len = shape.iter().product::<usize>();
            parts.push(Part { element: *element, offset: bytes, len });
            bytes = (bytes + len * element.size()).next_multiple_of(ALIGNMENT);
        }
        let inputs = [Memory::new(&memories.host, bytes)?, Memory::new(&memories.device, bytes)?];
        let placed = parts.iter().zip(&shapes);
        let tensors = placed
            .map(|(part, (element, shape))| Tensor::within(&inputs[1], part.offset, shape, *element))
            .collect::<Result<_, _>>()?;
        let (vocab, element) = (signature.vocab_size, signature.logits_element);
        let logits = Memory::new(&memories.device, batch * vocab * element.size())?;
        let logits_tensor = Tensor::within(&logits, 0, &[batch, 1, vocab], element)?;
        Ok(Self { batch, capacity, inputs, parts, tensors, logits, logits_tensor, graph: None })
    }

    /// Whether it is for so many rows of so much room.
    fn is_for(&self, batch: usize, capacity: usize) -> bool {
        (self.batch, self.capacity) == (batch, capacity)
    }

    /// The number of the graph that is captured or replayed, now that so much memory was `taken`.
    fn graph(&mut self, taken: u32, new: impl FnOnce() -> u32) -> u32 {
        match self.graph {
            Some((graph, then)) if then == taken => graph,
            _ => self.graph.insert((new(), taken)).0,
        }
    }

    /// Sets the step's tokens, each row's length with its new token, and positions, and takes them to the device.
    fn set(
        &mut self,
        tokens: impl Iterator<Item = i64>,
        lengths: impl Iterator<Item = usize> + Clone,
    ) -> Result<(), Error> {
        let capacity = self.capacity;
        let mask = lengths.clone().flat_map(|length| (0..capacity).map(move |at| i64::from(at < length)));
        let [host, device] = &mut self.inputs;
        // In the order of the signature's inputs: `check` saw that there is a mask.
        let mut parts = self.parts.iter();
        if let Some(ids) = parts.next() {
            ids.fill(host, tokens);
        }
        if let Some(part) = parts.next() {
            part.fill(host, mask);
        }
        if let Some(positions) = parts.next() {
            positions.fill(host, lengths.map(|length| length.saturating_sub(1) as i64));
        }
        device.copy_from(host, host.bytes())
    }
}

impl Part {
    fn fill(&self, memory: &mut Memory, values: impl Iterator<Item = i64>) {
        match self.element {
            Element::I64 => {
                let to: &mut [i64] = memory.part_mut(self.offset, self.len);
                to.iter_mut().zip(values).for_each(|(to, value)| *to = value);
            }
            _ => {
                let to: &mut [i32] = memory.part_mut(self.offset, self.len);
                to.iter_mut().zip(values).for_each(|(to, value)| *to = value as i32);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::open::open_graph;
    use crate::options::Options;
    use crate::session::OrtSession;
    use inferhost_plugin_api::decode::{NextLogits, StepModel};
    use inferhost_plugin_api::{Batch, ErrorKind};
    use std::io::Write;
    use std::path::{Path, PathBuf};

    fn graph(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/ort").join(name)
    }

    /// On the CPU nothing is captured, but everything else is as on a device.
    fn opened(name: &str, cuda_graph: bool) -> Result<OrtSession, inferhost_plugin_api::Error> {
        open_graph(&graph(name), &Options { cuda_graph, ..Options::default() })
    }

    /// Whether there is a runtime to open graphs with; where not, that is said on the terminal itself.
    fn has_runtime() -> bool {
        let found = crate::library::probe(&Options::default());
        if let Err(problem) = &found {
            writeln!(std::io::stderr(), "skipped: {}", problem.message).unwrap();
        }
        found.is_ok()
    }

    /// The logits of a start and of steps, and of a second start that finds everything as the first left it.
    fn stepped(session: &mut OrtSession, rows: &[&[u32]], room: usize) -> Vec<f32> {
        let tokens = rows.concat();
        let lengths: Vec<u32> = rows.iter().map(|row| row.len() as u32).collect();
        let mut all = Vec::new();
        let mut keep = |logits: NextLogits<'_>| match logits {
            NextLogits::F32(values) => all.extend_from_slice(values),
            NextLogits::F64(_) => panic!("f64 of a graph that has none"),
        };
        for _ in 0..2 {
            let batch = Batch::new(&tokens, &lengths);
            keep(session.start(batch, batch.longest() + room).unwrap());
            for step in 0..room as u32 {
                let fed: Vec<u32> = (0..rows.len() as u32).map(|row| (7 * step + 3 * row + 1) % 97).collect();
                keep(session.step(&fed).unwrap());
            }
        }
        all
    }

    #[test]
    fn fixed_steps_give_what_growing_ones_give() {
        if !has_runtime() {
            return;
        }
        let (mut fixed, mut growing) = (opened("genai", true).unwrap(), opened("genai", false).unwrap());
        // One lane; two of different lengths, which take turns; more rows; fewer rows and less room again.
        let cases: [(&[&[u32]], usize); 4] = [
            (&[&[1, 2, 3]], 6),
            (&[&[1, 2, 3], &[4, 5, 6, 7, 8]], 5),
            (&[&[9, 8], &[7, 6], &[5, 4], &[3, 2]], 20),
            (&[&[1, 2, 3]], 4),
        ];
        for (rows, room) in cases {
            let (fixed, growing) = (stepped(&mut fixed, rows, room), stepped(&mut growing, rows, room));
            assert_eq!(fixed.len(), 2 * (room + 1) * rows.len() * 97);
            assert_eq!(fixed, growing, "{rows:?}");
        }
    }

    #[test]
    fn a_graph_whose_steps_have_no_fixed_shapes_is_refused() {
        if !has_runtime() {
            return;
        }
        for (name, reason) in [("in-place", "reads on the host"), ("merged", "does not grow in place")] {
            let Err(error) = opened(name, true) else { panic!("{name} was opened") };
            assert_eq!(error.kind, ErrorKind::Unsupported);
            assert!(error.message.contains(reason), "{error}");
        }
    }
}
