//! Names as parts of file names and ids.

use std::collections::HashSet;

const LONGEST: usize = 72;

/// `text` in lower case, of `a-z`, `0-9` and single hyphens alone; never empty.
pub(in crate::report) fn slug(text: &str) -> String {
    let mut made = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            made.push(c.to_ascii_lowercase());
        } else if !made.is_empty() && !made.ends_with('-') {
            made.push('-');
        }
        if made.len() == LONGEST {
            break;
        }
    }
    let made = made.trim_end_matches('-');
    if made.is_empty() { "chart".into() } else { made.into() }
}

/// Slugs given out, each once.
#[derive(Default)]
pub(super) struct Slugs(HashSet<String>);

impl Slugs {
    /// The slug of `text`, with a number where another text has it already.
    pub(super) fn unique(&mut self, text: &str) -> String {
        let first = slug(text);
        let numbered = (2_u64..).map(|number| format!("{first}-{number}"));
        let free = std::iter::once(first.clone()).chain(numbered).find(|name| !self.0.contains(name));
        let chosen = free.unwrap_or(first);
        self.0.insert(chosen.clone());
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_safe_and_apart() {
        let mut slugs = Slugs::default();
        for (text, expected) in [
            ("latency GPT-2 5M, generate cached", "latency-gpt-2-5m-generate-cached"),
            ("latency gpt 2 5m generate  cached", "latency-gpt-2-5m-generate-cached-2"),
            ("../../etc/passwd", "etc-passwd"),
            ("日本", "chart"),
            ("<script>", "script"),
        ] {
            assert_eq!(slugs.unique(text), expected, "{text}");
        }
        assert!(slug(&"x".repeat(500)).len() <= LONGEST);
    }
}
