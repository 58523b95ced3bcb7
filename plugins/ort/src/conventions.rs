//! How a graph wants its rows and its cache laid out: what its ports cannot say. Graphs that inferhost writes say
//! it in their metadata; all others get what exporters have in common.

use inferhost_plugin_api::{Error, GenaiConfig};

/// Where a run's keys and values go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Growth {
    /// The graph gives past and new positions together, as a tensor of their own.
    #[default]
    Concatenated,
    /// Past and present are one buffer of full capacity, which the graph's operators fill in place.
    InPlace,
}

/// The side on which rows of different lengths are made one length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Padding {
    /// Before the first token; the mask hides it and positions count from the first real token.
    #[default]
    Left,
    /// After the last token; the mask's sums say how many tokens are real.
    Right,
    /// On neither: rows of different lengths do not share a run.
    Never,
}

/// What is known of a graph besides its ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Conventions {
    pub(crate) growth: Growth,
    pub(crate) padding: Padding,
}

impl Conventions {
    /// Reads the metadata through `lookup`, which knows the values of keys; none where it says nothing.
    ///
    /// # Errors
    /// [`InvalidInput`](inferhost_plugin_api::ErrorKind::InvalidInput) for values that this version does not know:
    /// to guess would give wrong numbers.
    pub(crate) fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, Error> {
        let one_of = |key: &str, known: &str| match lookup(key) {
            None => Ok(false),
            Some(value) if value == known => Ok(true),
            Some(value) => Err(Error::invalid(format!(
                "the graph's {key} is '{value}', expected {known} or nothing; open it with the plugin of its writer's \
                 version"
            ))),
        };
        let in_place = one_of("inferhost.kv_cache", "in_place")?;
        let right = one_of("inferhost.padding", "right")?;
        let growth = if in_place { Growth::InPlace } else { Growth::Concatenated };
        let padding = if right { Padding::Right } else { Padding::Never };
        Ok((in_place || right).then_some(Self { growth, padding }))
    }

    /// Of a graph that says nothing, by its `genai_config.json` or its operators. `GroupQueryAttention` takes only
    /// the number of real tokens from the mask, so that padding on the left would be attended to.
    pub(crate) fn of_other(genai: Option<&GenaiConfig>, has_group_query: impl FnOnce() -> bool) -> Self {
        let shares = genai.is_some_and(|genai| genai.shares_buffer);
        let growth = if shares { Growth::InPlace } else { Growth::Concatenated };
        let padding = if genai.is_some() || has_group_query() { Padding::Never } else { Padding::Left };
        Self { growth, padding }
    }
}

/// What a graph computes in, by the name that its writer gave its weights: `int8-dynamic` is `int8`.
pub(crate) fn precision_of(artifact: &str) -> Option<&'static str> {
    match artifact.split('-').next()? {
        "fp32" => Some("f32"),
        "fp16" => Some("f16"),
        "bf16" => Some("bf16"),
        "int8" => Some("int8"),
        "int4" => Some("int4"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_graph_says_its_own_and_others_get_what_is_common() {
        assert_eq!(Conventions::read(|_| None).unwrap(), None);
        assert_eq!(Conventions::of_other(None, || false), Conventions::default());
        assert_eq!(Conventions::of_other(None, || true).padding, Padding::Never);
        let own = |key: &str| Some(if key.ends_with("padding") { "right" } else { "in_place" }.to_string());
        let expected = Conventions { growth: Growth::InPlace, padding: Padding::Right };
        assert_eq!(Conventions::read(own).unwrap(), Some(expected));
        let message = Conventions::read(|_| Some("ring".into())).unwrap_err().message;
        assert!(message.contains("inferhost.kv_cache is 'ring', expected in_place"), "{message}");
    }

    #[test]
    fn an_artifact_has_the_precision_of_its_weights() {
        for (artifact, precision) in [
            ("fp32", Some("f32")),
            ("fp16", Some("f16")),
            ("bf16", Some("bf16")),
            ("int8-qdq", Some("int8")),
            ("int4-weight", Some("int4")),
            ("fp6", None),
        ] {
            assert_eq!(precision_of(artifact), precision, "{artifact}");
        }
    }
}
