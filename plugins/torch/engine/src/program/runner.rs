//! A program with its signature: every tensor is held against it before a run and after.

use super::signature::{Input, Role, Signature};
use crate::error::Outcome;
use crate::shim::program::Program;
use inferhost_plugin_api::Error;
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// What one run is fed, on the program's device but for the ids.
pub(super) struct Feed<'a> {
    /// `[batch, sequence]`
    pub(super) ids: Tensor,
    /// `[batch, past + sequence]`
    pub(super) mask: Tensor,
    /// `[batch, sequence]`
    pub(super) positions: Tensor,
    /// `[kept]`
    pub(super) indices: Tensor,
    /// Keys and values in turn, `[batch, heads, past, size]`.
    pub(super) past: &'a [Tensor],
}

/// What one run gives.
pub(super) struct Given {
    /// `[batch, kept, vocab_size]`; of all positions where the program takes no indices.
    pub(super) logits: Tensor,
    /// Keys and values in turn, `[batch, heads, past + sequence, size]`.
    pub(super) present: Vec<Tensor>,
}

/// The numbers that the shapes of one run are made of.
#[derive(Clone, Copy)]
struct Sizes {
    batch: i64,
    sequence: i64,
    past: i64,
    kept: i64,
}

/// A loaded program.
pub(super) struct Runner {
    program: Program,
    signature: Signature,
    device: Device,
    /// Where logits and presents stand among the results; known after the first run.
    places: Option<Vec<usize>>,
}

impl Runner {
    pub(super) fn new(program: Program, signature: Signature, device: Device) -> Self {
        Self { program, signature, device, places: None }
    }

    pub(super) fn signature(&self) -> &Signature {
        &self.signature
    }

    pub(super) fn device(&self) -> Device {
        self.device
    }

    /// Keys and values of no positions.
    pub(super) fn empty_past(&self, batch: i64) -> Outcome<Vec<Tensor>> {
        let one = |port: &super::signature::CachePort| {
            Tensor::f_zeros([batch, port.heads, 0, port.size], (port.kind, self.device))
        };
        Ok(self.signature.cache.iter().map(one).collect::<Result<_, _>>()?)
    }

    /// Two tokens through a program that says nothing of itself, so that what it gives is known when it is opened.
    pub(super) fn probe(&mut self, path: &Path) -> Result<(), Error> {
        let tokens = |from: i64| Tensor::f_arange_start(from, from + 2, (Kind::Int64, self.device));
        let past = self.empty_past(1)?;
        let row = |tensor: Tensor| tensor.f_unsqueeze(0);
        let made = || {
            Ok::<_, tch::TchError>(Feed {
                ids: row(tokens(0)?.f_zeros_like()?)?,
                mask: row(tokens(0)?.f_ones_like()?)?,
                positions: row(tokens(0)?)?,
                indices: tokens(0)?,
                past: &past,
            })
        };
        let feed = made().map_err(crate::error::Fault::from)?;
        self.run(feed).map(|_| ()).map_err(|fault| {
            let error = Error::from(fault);
            let message = format!(
                "{} does not run on two tokens as a language model does: {}",
                path.display(),
                error.message
            );
            Error::invalid(message)
        })
    }

    /// One run.
    pub(super) fn run(&mut self, feed: Feed<'_>) -> Outcome<Given> {
        let ids = feed.ids.size();
        let [batch, sequence] = ids.as_slice() else {
            return Err(Error::internal("token ids of other than two dimensions").into());
        };
        let past = feed.mask.size().last().copied().unwrap_or_default() - sequence;
        let kept = match self.signature.takes(Role::Indices) {
            true => feed.indices.numel() as i64,
            false => *sequence,
        };
        let sizes = Sizes { batch: *batch, sequence: *sequence, past, kept };
        let inputs = self.signature.inputs.iter().map(|input| self.input(input, &feed, sizes));
        let inputs: Vec<Tensor> = inputs.collect::<Outcome<_>>()?;
        let results = self.program.run(&inputs, &self.signature.slots)?;
        drop(inputs);
        if self.places.is_none() {
            self.places = Some(self.find(&results.names, results.tensors.len())?);
        }
        let mut tensors: Vec<Option<Tensor>> = results.tensors.into_iter().map(Some).collect();
        let mut places = self.places.as_deref().unwrap_or_default().iter();
        let mut take = || places.next().and_then(|&place| tensors.get_mut(place)?.take());
        let mut output = |name: &str, kind, shape: &[i64]| {
            let tensor =
                take().ok_or_else(|| Error::invalid(format!("the program gave no {name} this time")))?;
            self.checked("gave", name, tensor, kind, shape)
        };
        let vocab = self.signature.vocab_size as i64;
        let logits = output("logits", self.signature.kind, &[sizes.batch, kept, vocab])?;
        let total = sizes.past + sizes.sequence;
        let present = self.signature.cache.iter();
        let present = present
            .map(|port| output(&port.present, port.kind, &[sizes.batch, port.heads, total, port.size]));
        Ok(Given { logits, present: present.collect::<Outcome<_>>()? })
    }

    fn input(&self, input: &Input, feed: &Feed<'_>, sizes: Sizes) -> Outcome<Tensor> {
        let Sizes { batch, sequence, past, kept } = sizes;
        let (tensor, shape) = match input.role {
            Role::Ids => (&feed.ids, vec![batch, sequence]),
            Role::Mask => (&feed.mask, vec![batch, past + sequence]),
            Role::Positions => (&feed.positions, vec![batch, sequence]),
            Role::Indices => (&feed.indices, vec![kept]),
            Role::Past(place) => {
                let port = &self.signature.cache[place];
                let tensor =
                    feed.past.get(place).ok_or_else(|| Error::internal("a cache of too few layers"))?;
                (tensor, vec![batch, port.heads, past, port.size])
            }
        };
        let tensor = match input.role {
            Role::Past(_) => tensor.shallow_clone(),
            _ => tensor.f_to_kind(input.kind)?.f_to_device(self.device)?,
        };
        self.checked("was to be given", &input.name, tensor, input.kind, &shape)
    }

    /// The tensor, dense, if it is what it should be.
    fn checked(&self, was: &str, name: &str, tensor: Tensor, kind: Kind, shape: &[i64]) -> Outcome<Tensor> {
        let (found, place) = (tensor.f_kind()?, tensor.device());
        if found == kind && tensor.size() == shape && place == self.device {
            return Ok(if tensor.is_contiguous() { tensor } else { tensor.f_contiguous()? });
        }
        Err(Error::invalid(format!(
            "the program {was} {name} as {found:?} {:?} on {place:?}, expected {kind:?} {shape:?} on {:?}; export it again",
            tensor.size(),
            self.device
        ))
        .into())
    }

    /// The places of logits and presents among results of these names.
    fn find(&self, names: &[String], count: usize) -> Result<Vec<usize>, Error> {
        let names = if names.is_empty() { &self.signature.results } else { names };
        let place = |wanted: &str| {
            let first =
                self.signature.foreign && wanted == "logits" && !names.iter().any(|name| name == wanted);
            let found = if first { Some(0) } else { names.iter().position(|name| name == wanted) };
            found.filter(|&place| place < count).ok_or_else(|| {
                let shown: Vec<&str> = names.iter().map(String::as_str).take(6).collect();
                let shown = shown.join(", ");
                Error::invalid(format!("the program gives {count} results ({shown}), expected {wanted} among them; export it again"))
            })
        };
        let wanted = self.signature.cache.iter().map(|port| port.present.as_str());
        std::iter::once("logits").chain(wanted).map(place).collect()
    }
}
