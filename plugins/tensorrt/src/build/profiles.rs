//! What a profile says of each of the graph's inputs: dimensions at its least, at what it is tuned for and at its most, and
//! for `num_logits_to_keep`, whose value decides a shape, values.

use inferhost_plugin_api::Error;
use inferhost_plugin_api::shapes::{Extent, Profile};

/// An input whose value decides a shape: how many last positions logits are wanted of, 0 for all.
pub(super) const KEEP: &str = "num_logits_to_keep";

/// Least, tuned for, most.
pub(super) type Three<T> = [T; 3];

/// An input of the graph as the parser tells it; -1 for what changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Input {
    pub(super) name: String,
    pub(super) dimensions: Vec<i64>,
}

/// What `input` may be under `profile`.
///
/// # Errors
/// `Unsupported` where the graph has other inputs than the portable dialect's.
pub(super) fn dimensions(input: &Input, profile: &Profile) -> Result<Three<Vec<i64>>, Error> {
    let past = three(profile.past);
    let batch = three(profile.batch);
    let tokens = three(profile.tokens);
    // The mask spans what the cache holds and what is fed.
    let total = [0, 1, 2].map(|at| past[at] + tokens[at]);
    let axes: Vec<Three<i64>> = match input.name.as_str() {
        "input_ids" | "position_ids" => vec![batch, tokens],
        "attention_mask" => vec![batch, total],
        KEEP => vec![],
        name if name.starts_with("past_key_values.") && input.dimensions.len() == 4 => {
            vec![batch, fixed(input, 1)?, past, fixed(input, 3)?]
        }
        name => return Err(unknown(name)),
    };
    if axes.len() != input.dimensions.len() {
        return Err(Error::unsupported(format!(
            "the graph's input {} has {} dimensions, expected {}; build from the portable dialect",
            input.name,
            input.dimensions.len(),
            axes.len()
        )));
    }
    for (axis, found) in axes.iter().zip(&input.dimensions) {
        if *found >= 0 && axis.iter().any(|size| size != found) {
            return Err(Error::unsupported(format!(
                "the graph's input {} is fixed to {:?}, which does not cover the profile {profile}; build from a graph with dynamic shapes",
                input.name, input.dimensions
            )));
        }
    }
    Ok([0, 1, 2].map(|at| axes.iter().map(|axis| axis[at]).collect()))
}

/// The values of [`KEEP`]: all, the last, each of the longest call.
pub(super) fn kept(profile: &Profile) -> Three<i64> {
    [0, 1, i64::from(profile.tokens.max).max(1)]
}

fn three(extent: Extent) -> Three<i64> {
    [extent.min, extent.opt, extent.max].map(i64::from)
}

/// A dimension that the graph must fix.
fn fixed(input: &Input, axis: usize) -> Result<Three<i64>, Error> {
    match input.dimensions[axis] {
        size if size >= 0 => Ok([size; 3]),
        _ => Err(Error::unsupported(format!(
            "the graph's input {} leaves dimension {axis} open, expected heads and head size to be fixed",
            input.name
        ))),
    }
}

fn unknown(name: &str) -> Error {
    Error::unsupported(format!(
        "the graph has an input '{name}'; expected input_ids, attention_mask, position_ids, past_key_values.N.key, \
         past_key_values.N.value and {KEEP}, as inferhost's portable dialect has them"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use inferhost_plugin_api::shapes::{Shape, Shapes, Span};

    fn profile() -> Profile {
        let shapes = Shapes { batch: Span::new(1, 8), tokens: Span::new(1, 64), past: Span::new(0, 100) };
        Profile::tuned(&shapes, Shape { batch: 4, tokens: 32, past: 10 })
    }

    fn input(name: &str, dimensions: &[i64]) -> Input {
        Input { name: name.into(), dimensions: dimensions.to_vec() }
    }

    #[test]
    fn every_input_gets_its_extents() {
        for (name, found, expected) in [
            ("input_ids", &[-1, -1][..], [vec![1, 1], vec![4, 32], vec![8, 64]]),
            ("position_ids", &[-1, -1], [vec![1, 1], vec![4, 32], vec![8, 64]]),
            ("attention_mask", &[-1, -1], [vec![1, 1], vec![4, 42], vec![8, 164]]),
            (KEEP, &[], [vec![], vec![], vec![]]),
            (
                "past_key_values.11.value",
                &[-1, 12, -1, 64],
                [vec![1, 12, 0, 64], vec![4, 12, 10, 64], vec![8, 12, 100, 64]],
            ),
        ] {
            assert_eq!(dimensions(&input(name, found), &profile()).unwrap(), expected, "{name}");
        }
        assert_eq!(kept(&profile()), [0, 1, 64]);
    }

    #[test]
    fn a_graph_that_is_not_the_portable_dialects_is_refused_by_name() {
        for (name, found, told) in [
            ("token_type_ids", &[-1, -1][..], "'token_type_ids'"),
            ("input_ids", &[-1], "has 1 dimensions, expected 2"),
            ("input_ids", &[1, 8], "fixed to [1, 8]"),
            ("past_key_values.0.key", &[-1, -1, -1, 64], "leaves dimension 1 open"),
            ("past_key_values.0.key", &[-1, 12, 64], "'past_key_values.0.key'"),
            (KEEP, &[1], "has 1 dimensions, expected 0"),
        ] {
            let message = dimensions(&input(name, found), &profile()).unwrap_err().message;
            assert!(message.contains(told), "{message}");
        }
    }
}
