//! A lane's inputs of whole numbers and its own logits: memory that grows and stays, with a tensor over it that is made
//! anew only for another shape.

use crate::binding::{Element, Memory, Tensor};
use crate::signature::{IntPort, Signature};
use half::f16;
use half::slice::HalfFloatSliceExt;
use inferhost_plugin_api::Error;
use ort::memory::Allocator;
use std::rc::Rc;

/// An input of whole numbers with its memory.
pub(crate) struct IntInput {
    element: Element,
    rank: usize,
    host: Rc<Allocator>,
    memory: Option<Memory>,
    pub(crate) tensor: Option<Tensor<'static>>,
    shape: [usize; 2],
}

impl IntInput {
    pub(crate) fn new(port: &IntPort, host: Rc<Allocator>) -> Self {
        Self { element: port.element, rank: port.rank, host, memory: None, tensor: None, shape: [0, 0] }
    }

    /// Sets shape and values; memory that must grow grows to `reserve` values at once.
    pub(crate) fn set(
        &mut self,
        shape: [usize; 2],
        reserve: usize,
        values: impl Iterator<Item = i64>,
    ) -> Result<(), Error> {
        let len = shape[0] * shape[1];
        let memory = match &mut self.memory {
            Some(memory) if memory.bytes() >= len * self.element.size() => memory,
            outgrown => {
                self.tensor = None;
                outgrown.insert(Memory::new(&self.host, len.max(reserve) * self.element.size())?)
            }
        };
        if self.tensor.is_none() || self.shape != shape {
            let dims: &[usize] = match self.rank {
                0 => &[],
                1 => &[len],
                _ => &shape,
            };
            self.tensor = Some(Tensor::within(memory, 0, dims, self.element)?);
            self.shape = shape;
        }
        match self.element {
            Element::I64 => memory.slice_mut(len).iter_mut().zip(values).for_each(|(to, value)| *to = value),
            Element::I32 => {
                memory.slice_mut(len).iter_mut().zip(values).for_each(|(to, value)| *to = value as i32);
            }
            _ => memory.slice_mut(len).iter_mut().zip(values).for_each(|(to, value)| *to = value as u8),
        }
        Ok(())
    }
}

/// Logits where the caller's buffer does not have the graph's shape or type.
pub(crate) struct OwnLogits {
    element: Element,
    pub(crate) vocab: usize,
    host: Rc<Allocator>,
    memory: Option<Memory>,
    tensor: Option<Tensor<'static>>,
    pub(crate) shape: [usize; 3],
    converted: Vec<f32>,
}

impl OwnLogits {
    pub(crate) fn new(signature: &Signature, host: Rc<Allocator>) -> Self {
        Self {
            element: signature.logits,
            vocab: signature.vocab_size,
            host,
            memory: None,
            tensor: None,
            shape: [0; 3],
            converted: Vec::new(),
        }
    }

    pub(crate) fn over<'m>(&self, floats: &'m mut [f32], shape: &[usize]) -> Result<Tensor<'m>, Error> {
        Tensor::over(&self.host, floats, shape)
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

    pub(crate) fn read(&mut self) -> &[f32] {
        let len = self.shape.iter().product();
        match (&mut self.memory, self.element) {
            (None, _) => &[],
            (Some(memory), Element::F16) => {
                self.converted.resize(len, 0.0);
                memory.slice_mut::<f16>(len).convert_to_f32_slice(&mut self.converted);
                &self.converted
            }
            (Some(memory), _) => memory.slice_mut(len),
        }
    }
}
