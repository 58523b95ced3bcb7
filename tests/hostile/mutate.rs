//! What is made of well-formed input to see whether its reader survives: bytes flipped, cut, repeated and spliced in any
//! file; values, keys and nesting changed in JSON; right-hand sides and lines in TOML. Everything comes from one seeded
//! generator, so a case is a number.

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde_json::{Map, Value};

/// Texts that have broken readers, paths, terminals and pages before.
pub(super) const STRINGS: [&str; 24] = [
    "",
    " ",
    "\0",
    "..",
    "../escaped",
    "../../escaped",
    "/tmp/../tmp/escaped",
    "/dev/zero",
    "C:\\escaped",
    "a/../../escaped",
    "\u{1b}[2J\u{1b}]0;title\u{7}",
    "\u{9b}31m\u{85}\u{2028}",
    "\u{202e}backwards\u{2066}",
    "line\nbreak\r\n",
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "\"><svg/onload=alert(1)>",
    "</style></script><!--",
    "[text](javascript:alert(1)) ![x](http://x) | `",
    "=HYPERLINK(\"http://x\")",
    "%s%n%d{}{0}",
    "NaN",
    "\u{fffd}\u{10ffff}\u{0}\u{300}",
    "$(touch escaped) `touch escaped` ; rm -rf x",
    "model.safetensors",
];

/// JSON and TOML literals that a value may be replaced by; not all of them are well-formed.
const LITERALS: [&str; 26] = [
    "null",
    "true",
    "0",
    "-0.0",
    "-1",
    "1",
    "1e308",
    "-1e308",
    "1e-308",
    "5e-324",
    "1e999",
    "NaN",
    "inf",
    "nan",
    "18446744073709551615",
    "18446744073709551616",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "-9223372036854775808",
    "0.1",
    "[]",
    "{}",
    "\"\\ud800\"",
    "\"\\u0000\"",
    "99999999999999999999999999999999",
];

/// Sizes and offsets that overflow.
const NUMBERS: [u64; 14] = [
    0,
    1,
    7,
    0x7f,
    0xff,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    0x1_0000_0000,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    u64::MAX - 8,
    u64::MAX,
    100_000_000,
];

/// A list that grows stays shorter: lists lie in lists.
const MOST_ITEMS: usize = 2_000;
/// Nesting deeper than any reader should follow on its stack.
const DEEP: usize = 100_000;
/// Around the index of one of [`LITERALS`], which no [`Value`] can hold, until it is written.
const RAW: char = '\u{e000}';

/// A seeded source of hostile input.
pub(super) struct Mutator {
    rng: Xoshiro256PlusPlus,
}

impl Mutator {
    pub(super) fn new(seed: u64) -> Self {
        Self { rng: Xoshiro256PlusPlus::seed_from_u64(seed) }
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        self.rng.random_range(0..end.max(1))
    }

    pub(super) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(super) fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }

    pub(super) fn number(&mut self) -> u64 {
        match self.below(4) {
            0 => self.rng.random_range(0..300),
            1 => self.rng.random(),
            _ => NUMBERS[self.below(NUMBERS.len())],
        }
    }

    /// Any of [`STRINGS`], a very long one, or random characters.
    pub(super) fn text(&mut self) -> String {
        match self.below(12) {
            0 => "x".repeat(self.below(200_000)),
            1 => (0..self.below(40)).map(|_| self.rng.random::<char>()).collect(),
            _ => self.pick(&STRINGS).into(),
        }
    }

    /// `seed` with a few changes anywhere.
    pub(super) fn bytes(&mut self, seed: &[u8]) -> Vec<u8> {
        let mut bytes = seed.to_vec();
        for _ in 0..=self.below(6) {
            self.change(&mut bytes);
        }
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        // Headers are where sizes and offsets are.
        let reach = if self.one_in(2) { bytes.len().min(256) } else { bytes.len() };
        let at = self.below(reach);
        let length = (1 + self.below(64)).min(bytes.len() - at.min(bytes.len()));
        match self.below(9) {
            _ if bytes.is_empty() => bytes.extend_from_slice(&self.number().to_le_bytes()),
            0 => bytes[at] ^= 1 << self.below(8),
            1 => bytes[at] = self.rng.random(),
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..at + length)),
            4 => {
                let piece = bytes[at..at + length].repeat(1 + self.below(50));
                bytes.splice(at..at, piece);
            }
            5 => {
                let from = self.below(bytes.len());
                let piece = bytes[from..(from + length).min(bytes.len())].to_vec();
                bytes.splice(at..at + length, piece);
            }
            6 => {
                let text = self.text();
                bytes.splice(at..at, text.into_bytes());
            }
            _ => {
                let number = self.number().to_le_bytes();
                let width = [1, 2, 4, 8][self.below(4)].min(bytes.len() - at);
                bytes[at..at + width].copy_from_slice(&number[..width]);
            }
        }
    }

    /// The JSON text `seed` with a few of its values and keys changed; now and then with bytes changed after that.
    pub(super) fn json(&mut self, seed: &str) -> Vec<u8> {
        let Ok(mut value) = serde_json::from_str(seed) else { return self.bytes(seed.as_bytes()) };
        for _ in 0..=self.below(4) {
            self.change_json(&mut value);
        }
        let mut text = self.written(&value).into_bytes();
        if self.one_in(4) {
            self.change(&mut text);
        }
        text
    }

    /// Changes one value somewhere below `value`.
    pub(super) fn change_json(&mut self, value: &mut Value) {
        match value {
            Value::Object(object) if !object.is_empty() && !self.one_in(12) => self.change_object(object),
            Value::Array(items) if !items.is_empty() && !self.one_in(8) => {
                let at = self.below(items.len());
                match self.below(10) {
                    0 => drop(items.remove(at)),
                    1 => items.push(items[at].clone()),
                    2 => {
                        let length = (items.len() * (1 + self.below(300))).min(MOST_ITEMS);
                        *items = items.iter().cycle().take(length).cloned().collect();
                    }
                    _ => self.change_json(&mut items[at]),
                }
            }
            other => *other = self.value(),
        }
    }

    fn change_object(&mut self, object: &mut Map<String, Value>) {
        let at = self.below(object.len());
        let key = object.keys().nth(at).cloned().unwrap_or_default();
        match self.below(12) {
            0 => drop(object.remove(&key)),
            1 => {
                let value = object.remove(&key).unwrap_or_default();
                object.insert(self.text(), value);
            }
            2 => drop(object.insert(self.text(), self.value())),
            _ => object.get_mut(&key).map_or((), |value| self.change_json(value)),
        }
    }

    fn value(&mut self) -> Value {
        match self.below(6) {
            0 | 1 => Value::String(self.text()),
            2 => Value::from(self.number()),
            3 => Value::from(-(self.number() as f64)),
            _ => Value::String(format!("{RAW}{}{RAW}", self.below(LITERALS.len()))),
        }
    }

    /// `value` as text, with what no value can be: raw literals, now and then a key twice or endless nesting.
    fn written(&mut self, value: &Value) -> String {
        let mut text = value.to_string();
        if text.contains(RAW) {
            for (index, literal) in LITERALS.iter().enumerate() {
                text = text.replace(&format!("\"{RAW}{index}{RAW}\""), literal);
            }
        }
        if self.one_in(40) {
            return "[".repeat(DEEP) + &text;
        }
        if self.one_in(20) && text.starts_with('{') && text.len() > 2 {
            let twice = &text[1..text.len() - 1];
            return format!("{{{twice},{twice}}}");
        }
        text
    }

    /// The TOML text `seed` with lines dropped, repeated and swapped, and right-hand sides replaced.
    pub(super) fn toml(&mut self, seed: &str) -> Vec<u8> {
        let mut lines: Vec<String> = seed.lines().map(str::to_string).collect();
        for _ in 0..=self.below(5) {
            let at = self.below(lines.len());
            let Some(line) = lines.get(at).cloned() else { continue };
            match (self.below(8), line.split_once('=')) {
                (0, _) => drop(lines.remove(at)),
                (1, _) => lines.insert(at, line),
                (2, _) => {
                    let other = self.below(lines.len());
                    lines.swap(at, other);
                }
                (3, _) => lines.insert(at, "a = ".to_string() + &"[".repeat(DEEP)),
                (_, Some((key, _))) => {
                    let value = match self.one_in(2) {
                        true => Value::String(self.text()).to_string(),
                        false => self.pick(&LITERALS).to_string(),
                    };
                    lines[at] = format!("{key}= {value}");
                }
                (_, None) => lines[at] = self.text(),
            }
        }
        let mut text = lines.join("\n").into_bytes();
        if self.one_in(5) {
            self.change(&mut text);
        }
        text
    }
}
