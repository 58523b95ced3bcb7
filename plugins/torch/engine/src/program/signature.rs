//! What a program takes and gives, held against what it says of itself, or, where it says nothing, against its names and
//! the `config.json` beside it.

use super::derive::derive;
use super::description::{Argument, Description};
use super::float::float;
use super::sizes::Sizes;
use inferhost_plugin_api::Error;
use inferhost_plugin_api::program::{Contract, Port, Size};
use std::ffi::c_int;
use std::path::Path;
use tch::Kind;

/// Inputs that programs may have besides the cache.
pub(super) const INPUTS: [(&str, Role); 4] = [
    ("input_ids", Role::Ids),
    ("attention_mask", Role::Mask),
    ("position_ids", Role::Positions),
    ("logits_indices", Role::Indices),
];
pub(super) const PAST: &str = "past_key_values";

/// What is to be given for an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Token ids, `[batch, sequence]`.
    Ids,
    /// `[batch, past + sequence]`, 0 where a position is to be hidden.
    Mask,
    /// `[batch, sequence]`.
    Positions,
    /// Which of the sequence's positions get logits, `[kept]`.
    Indices,
    /// Keys or values of one layer, by their place in the cache.
    Past(usize),
}

/// An input.
#[derive(Debug, Clone)]
pub(super) struct Input {
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) kind: Kind,
}

/// Keys or values of one layer, `[batch, heads, positions, size]`.
#[derive(Debug, Clone)]
pub(super) struct CachePort {
    pub(super) present: String,
    pub(super) heads: i64,
    pub(super) size: i64,
    pub(super) kind: Kind,
}

/// A program's inputs and outputs.
#[derive(Debug, Clone)]
pub(super) struct Signature {
    /// In the order in which they are given.
    pub(super) inputs: Vec<Input>,
    /// The argument that each belongs to.
    pub(super) slots: Vec<c_int>,
    /// Keys and values of all layers; empty where it has no cache.
    pub(super) cache: Vec<CachePort>,
    /// The type of its logits.
    pub(super) kind: Kind,
    pub(super) vocab_size: usize,
    /// Whether rows of different lengths can share a run, padded on the left.
    pub(super) pads: bool,
    /// Whether what it gives may have no names: the logits come first then.
    pub(super) foreign: bool,
    /// Names of results, where they do not come with every run.
    pub(super) results: Vec<String>,
}

impl Signature {
    /// Of the program at `path`.
    ///
    /// # Errors
    /// `InvalidInput` naming the input or output that is missing or not understood, or the size that nothing tells.
    pub(super) fn read(
        path: &Path,
        contract: Option<&Contract>,
        description: &Description,
        sizes: &Sizes,
    ) -> Result<Self, Error> {
        let derived;
        let said = match contract {
            Some(contract) => contract,
            None => {
                derived = derive(path, description, sizes)?;
                &derived
            }
        };
        let mut places = 0..;
        let inputs = said.inputs.iter().map(|port| input(path, port, &mut places));
        let inputs: Vec<Input> = inputs.collect::<Result<_, _>>()?;
        let roles = || inputs.iter().map(|input| input.role);
        let has = |role| roles().any(|one| one == role);
        if !has(Role::Ids) {
            return Err(not_a_language_model(
                path,
                said.inputs.iter().map(|port| port.name.as_str()),
                "input_ids",
            ));
        }
        let cache = said.inputs.iter().filter(|port| port.name.starts_with(PAST));
        let cache: Vec<CachePort> =
            cache.map(|port| cache_port(path, port, said)).collect::<Result<_, _>>()?;
        let logits = said.outputs.iter().find(|port| port.name == "logits");
        let logits = logits.ok_or_else(|| {
            let names: Vec<&str> = said.outputs.iter().map(|port| port.name.as_str()).take(6).collect();
            broken(path, &format!("gives {}, expected logits among them", names.join(", ")))
        })?;
        let vocab_size =
            said.vocab_size().ok_or_else(|| unknown(path, "the vocabulary's size (vocab_size)"))?;
        if let Some(other) = sizes.vocab_size.filter(|&other| other != u64::from(vocab_size)) {
            return Err(broken(
                path,
                &format!(
                    "gives logits of {vocab_size} tokens, but the config.json beside it says vocab_size {other}; put the config.json there that it was exported with"
                ),
            ));
        }
        Ok(Self {
            slots: slots(path, &inputs, &description.arguments)?,
            cache,
            kind: float(path, logits)?,
            vocab_size: vocab_size as usize,
            pads: said.padding == "left" && has(Role::Mask) && has(Role::Positions),
            foreign: contract.is_none(),
            results: results(path, said, description)?,
            inputs,
        })
    }

    pub(super) fn takes(&self, role: Role) -> bool {
        self.inputs.iter().any(|input| input.role == role)
    }
}

pub(super) fn present(past: &str) -> String {
    past.replacen(PAST, "present", 1)
}

/// `places` are those of the cache.
fn input(path: &Path, port: &Port, places: &mut impl Iterator<Item = usize>) -> Result<Input, Error> {
    let name = port.name.as_str();
    if name.starts_with(PAST) {
        let role = Role::Past(places.next().unwrap_or_default());
        return Ok(Input { name: name.into(), role, kind: float(path, port)? });
    }
    let Some((_, role)) = INPUTS.iter().find(|(known, _)| *known == name) else {
        return Err(not_a_language_model(path, [name].into_iter(), name));
    };
    let kind = match port.dtype.as_str() {
        "int64" => Kind::Int64,
        "int32" => Kind::Int,
        other => return Err(broken(path, &format!("takes '{name}' as {other}, expected int64 or int32"))),
    };
    Ok(Input { name: name.into(), role: *role, kind })
}

fn cache_port(path: &Path, port: &Port, said: &Contract) -> Result<CachePort, Error> {
    let present = present(&port.name);
    if !said.outputs.iter().any(|output| output.name == present) {
        return Err(broken(path, &format!("takes {}, but gives no {present}", port.name)));
    }
    let fixed = |size: &Size| match size {
        Size::Fixed(size) => i64::try_from(*size).ok(),
        Size::Open(_) => None,
    };
    match port.shape.as_slice() {
        [_, heads, _, size] => match fixed(heads).zip(fixed(size)) {
            Some((heads, size)) => Ok(CachePort { present, heads, size, kind: float(path, port)? }),
            None => Err(unknown(path, &format!("the heads of {}", port.name))),
        },
        shape => Err(broken(path, &format!("takes {} of {} dimensions, expected 4", port.name, shape.len()))),
    }
}

/// The argument of each input. A package's are in order, a script's list of the cache stands for all of it.
fn slots(path: &Path, inputs: &[Input], arguments: &[Argument]) -> Result<Vec<c_int>, Error> {
    let place = |input: &Input| {
        let fits = |argument: &Argument| {
            argument.name == input.name
                || argument.list && input.name.starts_with(PAST) && argument.name == PAST
        };
        arguments.iter().position(fits).ok_or_else(|| {
            let names: Vec<&str> = arguments.iter().map(|argument| argument.name.as_str()).take(6).collect();
            broken(
                path,
                &format!("says that it takes {}, but its call takes {}", input.name, names.join(", ")),
            )
        })
    };
    let places: Vec<usize> = inputs.iter().map(place).collect::<Result<_, _>>()?;
    let is_filled = |(at, argument): &(usize, &Argument)| argument.optional || places.contains(at);
    if let Some((_, argument)) = arguments.iter().enumerate().find(|one| !is_filled(one)) {
        return Err(broken(path, &format!("takes '{}', of which it says nothing", argument.name)));
    }
    if places.windows(2).any(|pair| pair[0] > pair[1]) {
        return Err(broken(path, "says that it takes its inputs in another order than it does"));
    }
    Ok(places.into_iter().map(|place| c_int::try_from(place).unwrap_or(c_int::MAX)).collect())
}

/// Names of a package's results: those of its call, which must have all that were promised.
fn results(path: &Path, said: &Contract, description: &Description) -> Result<Vec<String>, Error> {
    let given = &description.results;
    let is_missing = |port: &&Port| !given.is_empty() && !given.contains(&port.name);
    match said.outputs.iter().find(is_missing) {
        None => Ok(given.clone()),
        Some(port) => {
            let names: Vec<&str> = given.iter().map(String::as_str).take(6).collect();
            Err(broken(path, &format!("gives {}, expected {} among them", names.join(", "), port.name)))
        }
    }
}

pub(super) fn not_a_language_model<'a>(
    path: &Path,
    names: impl Iterator<Item = &'a str>,
    at_fault: &str,
) -> Error {
    let names: Vec<&str> = names.take(6).collect();
    let fault = match names.contains(&at_fault) {
        true => format!("'{at_fault}' is not understood"),
        false => format!("'{at_fault}' is missing"),
    };
    let names = if names.is_empty() { "nothing".into() } else { names.join(", ") };
    broken(
        path,
        &format!(
            "takes {names}: {fault}; expected input_ids, and no others than attention_mask, position_ids, logits_indices and \
         past_key_values.N.key and .value, as scripts/export/torch_export.py exports a model"
        ),
    )
}

pub(super) fn unknown(path: &Path, what: &str) -> Error {
    broken(
        path,
        &format!(
            "does not tell {what}, and no config.json beside it does; put the model's config.json there"
        ),
    )
}

pub(super) fn broken(path: &Path, problem: &str) -> Error {
    Error::invalid(format!("{} {problem}", path.display()))
}
