//! A part of a plan, for plans that are run on several machines or in several sittings.

use std::fmt;
use std::str::FromStr;

/// The `index`-th of `count` parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    pub(super) index: u32,
    pub(super) count: u32,
}

impl Shard {
    /// Which one, from 1.
    pub fn index(self) -> u32 {
        self.index
    }

    /// Of how many.
    pub fn count(self) -> u32 {
        self.count
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/').and_then(|(index, count)| {
            Some(Self { index: index.trim().parse().ok()?, count: count.trim().parse().ok()? })
        });
        numbers
            .filter(|shard| (1..=shard.count).contains(&shard.index))
            .ok_or_else(|| format!("`{text}` is no shard; give K/N with K from 1 to N, such as 1/4"))
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_one_of_so_many() {
        for (text, found) in [("1/1", Some((1, 1))), ("2/3", Some((2, 3))), ("3/3", Some((3, 3)))] {
            assert_eq!(text.parse::<Shard>().ok().map(|s| (s.index(), s.count())), found);
            assert_eq!(text.parse::<Shard>().unwrap().to_string(), text);
        }
        for text in ["", "1", "0/2", "3/2", "-1/2", "1/0", "a/b", "1/2/3", "1/99999999999"] {
            assert!(text.parse::<Shard>().unwrap_err().contains("K/N"), "{text}");
        }
    }
}
