//! The signature of a program that says nothing of itself: its names, with the sizes of the `config.json` beside it.

use super::description::{Argument, Description};
use super::float::{python_name, short_name};
use super::signature::{INPUTS, PAST, not_a_language_model, present, unknown};
use super::sizes::Sizes;
use inferhost_plugin_api::Error;
use inferhost_plugin_api::program::{Contract, Port, Size};
use std::path::Path;

/// What our script would have left in a program of these names and sizes.
pub(super) fn derive(path: &Path, description: &Description, sizes: &Sizes) -> Result<Contract, Error> {
    let arguments = understood(path, &description.arguments)?;
    let own = description.floats.as_deref().and_then(python_name).map(String::from);
    let dtype = own.or_else(|| sizes.dtype.clone());
    let dtype = dtype.ok_or_else(|| unknown(path, "the type of its weights (dtype)"))?;
    let open = |name: &str| Size::Open(name.into());
    let port = |name: &str, dtype: &str, last| {
        let shape = vec![open("batch"), open("sequence"), last];
        Port { name: name.into(), dtype: dtype.into(), shape }
    };
    let mut inputs = Vec::new();
    for argument in arguments {
        if !argument.name.starts_with(PAST) {
            inputs.push(port(&argument.name, "int64", open("")));
            continue;
        }
        let names = match argument.list {
            true => cache_names(sizes.layers.ok_or_else(|| unknown(path, "its number of layers"))?),
            false => vec![argument.name.clone()],
        };
        let heads = sizes.kv_heads.zip(sizes.head_size);
        let (heads, size) = heads.ok_or_else(|| unknown(path, "its heads and their size"))?;
        let shape = vec![open("batch"), Size::Fixed(heads), open("past"), Size::Fixed(size)];
        inputs.extend(names.into_iter().map(|name| Port {
            name,
            dtype: dtype.clone(),
            shape: shape.clone(),
        }));
    }
    let vocab = sizes.vocab_size.ok_or_else(|| unknown(path, "the vocabulary's size (vocab_size)"))?;
    let presents = inputs.iter().filter(|port| port.name.starts_with(PAST));
    let presents = presents.map(|port| Port { name: present(&port.name), ..port.clone() });
    let outputs = std::iter::once(port("logits", &dtype, Size::Fixed(vocab))).chain(presents).collect();
    Ok(Contract {
        version: 1,
        inputs,
        outputs,
        padding: "left".into(),
        precision: short_name(&dtype).unwrap_or(&dtype).into(),
        device: String::new(),
        parameters: None,
        context_length: None,
        architecture: None,
        torch: None,
    })
}

/// The arguments that are to be given, of those that a program has. One that can be left out is, if nothing here knows
/// it, and so is a cache that can be: how it would be given, nothing tells.
fn understood<'a>(path: &Path, arguments: &'a [Argument]) -> Result<Vec<&'a Argument>, Error> {
    let is_known = |argument: &Argument| {
        argument.name.starts_with(PAST) || INPUTS.iter().any(|(name, _)| *name == argument.name)
    };
    if let Some(other) = arguments.iter().find(|one| !is_known(one) && !one.optional) {
        return Err(not_a_language_model(path, arguments.iter().map(|one| one.name.as_str()), &other.name));
    }
    let is_given = |one: &&Argument| is_known(one) && !(one.optional && one.list);
    Ok(arguments.iter().filter(is_given).collect())
}

fn cache_names(layers: u64) -> Vec<String> {
    (0..layers).flat_map(|layer| ["key", "value"].map(|half| format!("{PAST}.{layer}.{half}"))).collect()
}
