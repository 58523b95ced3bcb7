//! How a graph wants its rows and its cache laid out: what its ports cannot say. Graphs that inferhost writes say
//! it in their metadata; all others get what exporters have in common.

use inferhost_plugin_api::Error;

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
}

/// What a graph's metadata says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Conventions {
    pub(crate) growth: Growth,
    pub(crate) padding: Padding,
}

impl Conventions {
    /// Reads the metadata through `lookup`, which knows the values of keys.
    ///
    /// # Errors
    /// [`InvalidInput`](inferhost_plugin_api::ErrorKind::InvalidInput) for values that this version does not know:
    /// to guess would give wrong numbers.
    pub(crate) fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
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
        Ok(Self {
            growth: if in_place { Growth::InPlace } else { Growth::Concatenated },
            padding: if right { Padding::Right } else { Padding::Left },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_graph_says_its_own_and_others_get_what_is_common() {
        assert_eq!(Conventions::read(|_| None).unwrap(), Conventions::default());
        let own = |key: &str| Some(if key.ends_with("padding") { "right" } else { "in_place" }.to_string());
        let expected = Conventions { growth: Growth::InPlace, padding: Padding::Right };
        assert_eq!(Conventions::read(own).unwrap(), expected);
        let message = Conventions::read(|_| Some("ring".into())).unwrap_err().message;
        assert!(message.contains("inferhost.kv_cache is 'ring', expected in_place"), "{message}");
    }
}
