//! A lane's inputs of whole numbers and its own logits: memory that grows and stays, with a tensor over it that is made
//! anew only for another shape.

use crate::binding::{Memories, Memory, Source, Tensor};
use crate::element::Element;
use crate::signature::{IntPort, Signature};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use inferhost_plugin_api::Error;
use std::ops::Range;
use std::rc::Rc;

/// An input of whole numbers with its memory.
pub(crate) struct IntInput {
    element: Element,
    rank: usize,
    host: Rc<Source>,
    memory: Option<Memory>,
    pub(crate) tensor: Option<Tensor<'static>>,
    shape: [usize; 2],
}

impl IntInput {
    pub(crate) fn new(port: &IntPort, host: Rc<Source>) -> Self {
        Self { element: port.element, rank: port.rank, host, memory: None, tensor: None, shape: [0, 0] }
    }

    /// Sets shape and values.
    pub(crate) fn set(&mut self, shape: [usize; 2], values: impl Iterator<Item = i64>) -> Result<(), Error> {
        let element = self.element;
        let (memory, len) = self.shape_to(shape, 0)?;
        match element {
            Element::I64 => memory.slice_mut(len).iter_mut().zip(values).for_each(|(to, value)| *to = value),
            Element::I32 => {
                memory.slice_mut(len).iter_mut().zip(values).for_each(|(to, value)| *to = value as i32);
            }
            _ => memory.slice_mut(len).iter_mut().zip(values).for_each(|(to, value)| *to = value as u8),
        }
        Ok(())
    }

    /// The first `len` values as they were set.
    pub(crate) fn values(&mut self, len: usize) -> impl ExactSizeIterator<Item = i64> {
        let is_wide = self.element == Element::I64;
        let memory = self.memory.as_mut();
        let (wide, narrow): (&[i64], &[i32]) = match memory {
            Some(memory) if is_wide => (memory.slice_mut(len), &[]),
            Some(memory) => (&[], memory.slice_mut(len)),
            None => (&[], &[]),
        };
        let len = wide.len().max(narrow.len());
        (0..len)
            .map(move |at| wide.get(at).copied().unwrap_or_else(|| narrow.get(at).map_or(0, |&id| id.into())))
    }

    /// Sets the shape, and in each row 1 where its range is and 0 elsewhere. Rows are to grow to `capacity` values.
    pub(crate) fn set_ranges(
        &mut self,
        shape: [usize; 2],
        capacity: usize,
        ranges: impl Iterator<Item = Range<usize>>,
    ) -> Result<(), Error> {
        let element = self.element;
        let (memory, len) = self.shape_to(shape, capacity)?;
        match element {
            Element::I64 => mark(memory.slice_mut(len), 0i64, 1, shape[1], ranges),
            _ => mark(memory.slice_mut(len), 0i32, 1, shape[1], ranges),
        }
        Ok(())
    }

    /// The memory with its number of values, under a tensor of that shape; memory that must grow grows to rows of
    /// `capacity` at once.
    fn shape_to(&mut self, shape: [usize; 2], capacity: usize) -> Result<(&mut Memory, usize), Error> {
        let len = shape[0] * shape[1];
        let memory = match self.memory.take() {
            Some(memory) if memory.bytes() >= len * self.element.size() => memory,
            _ => {
                self.tensor = None;
                let room = shape[0] * shape[1].max(capacity);
                Memory::new(&self.host, room * self.element.size())?
            }
        };
        let memory = self.memory.insert(memory);
        if self.tensor.is_none() || self.shape != shape {
            let dims: &[usize] = match self.rank {
                0 => &[],
                1 => &[len],
                _ => &shape,
            };
            self.tensor = Some(Tensor::within(memory, 0, dims, self.element)?);
            self.shape = shape;
        }
        Ok((memory, len))
    }
}

/// Sets each row of `width` values to `one` where its range is and to `zero` elsewhere.
fn mark<T: Copy>(
    values: &mut [T],
    zero: T,
    one: T,
    width: usize,
    ranges: impl Iterator<Item = Range<usize>>,
) {
    for (row, range) in values.chunks_exact_mut(width).zip(ranges) {
        row[..range.start].fill(zero);
        row[range.end..].fill(zero);
        row[range].fill(one);
    }
}

/// Logits where the caller's buffer does not have the graph's shape or type.
pub(crate) struct OwnLogits {
    element: Element,
    pub(crate) vocab: usize,
    host: Rc<Source>,
    pageable: Rc<Source>,
    memory: Option<Memory>,
    tensor: Option<Tensor<'static>>,
    pub(crate) shape: [usize; 3],
    converted: Vec<f32>,
}

impl OwnLogits {
    pub(crate) fn new(signature: &Signature, memories: &Memories) -> Self {
        Self {
            element: signature.logits_element,
            vocab: signature.vocab_size,
            host: Rc::clone(&memories.host),
            pageable: Rc::clone(&memories.pageable),
            memory: None,
            tensor: None,
            shape: [0; 3],
            converted: Vec::new(),
        }
    }

    pub(crate) fn over<'m>(&self, floats: &'m mut [f32], shape: &[usize]) -> Result<Tensor<'m>, Error> {
        Tensor::over(&self.pageable, floats, shape)
    }

    pub(crate) fn tensor(&mut self, shape: [usize; 3]) -> Result<&Tensor<'static>, Error> {
        let bytes = shape.iter().product::<usize>() * self.element.size();
        let memory = match &mut self.memory {
            Some(memory) if memory.bytes() >= bytes => memory,
            outgrown => {
                self.tensor = None;
                // The smaller block goes first: two of these at once can be more than there is.
                *outgrown = None;
                outgrown.insert(Memory::new(&self.host, bytes)?)
            }
        };
        if self.shape != shape {
            self.tensor = None;
        }
        self.shape = shape;
        match &mut self.tensor {
            Some(tensor) => Ok(tensor),
            none => Ok(none.insert(Tensor::within(memory, 0, &shape, self.element)?)),
        }
    }

    /// The memory that logits of `shape` are read from.
    pub(crate) fn memory(&mut self, shape: [usize; 3]) -> Result<&mut Memory, Error> {
        self.tensor(shape)?;
        self.memory.as_mut().ok_or_else(|| Error::internal("logits without memory"))
    }

    pub(crate) fn read(&mut self) -> &[f32] {
        let len = self.shape.iter().product();
        match (&mut self.memory, self.element) {
            (None, _) => &[],
            (Some(memory), Element::F16) => {
                self.converted.resize(len, 0.0);
                memory.slice_mut::<f16>(len).convert_to_f32_slice(&mut self.converted);
                &self.converted
            }
            (Some(memory), Element::Bf16) => {
                self.converted.resize(len, 0.0);
                memory.slice_mut::<bf16>(len).convert_to_f32_slice(&mut self.converted);
                &self.converted
            }
            (Some(memory), _) => memory.slice_mut(len),
        }
    }
}
