//! Numbers and texts of an SVG: fixed decimals, so that the same chart is the same bytes; widths by estimate, because
//! a file cannot ask for the reader's font.

use crate::text::one_line;
use std::fmt::Write;

/// A coordinate, to a tenth of a pixel, without trailing zeros.
pub(super) fn px(value: f64) -> String {
    let value = if value.is_finite() { value.clamp(-1e6, 1e6) } else { 0.0 };
    let text = format!("{value:.1}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".into() } else { text.into() }
}

/// A path through `points`.
pub(super) fn path(points: impl IntoIterator<Item = (f64, f64)>) -> String {
    let mut text = String::new();
    for (index, (x, y)) in points.into_iter().enumerate() {
        let command = if index == 0 { 'M' } else { 'L' };
        // Writing to a String cannot fail.
        let _ = write!(text, "{command}{} {}", px(x), px(y));
    }
    text
}

/// A name or message as XML can hold it: one line, without the two characters that XML 1.0 forbids beside controls.
pub(super) fn safe(text: &str) -> String {
    one_line(text).chars().filter(|c| !matches!(c, '\u{fffe}' | '\u{ffff}')).collect()
}

/// The width of `text` in pixels at `size` pixels, as common sans-serif fonts set it; a little wide rather than narrow.
pub(super) fn width(text: &str, size: f64) -> f64 {
    text.chars().map(em).sum::<f64>() * size
}

fn em(c: char) -> f64 {
    match c {
        'i' | 'j' | 'l' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' | 'I' | '(' | ')' | '[' | ']' => 0.36,
        ' ' | 'f' | 't' | 'r' | '-' | '/' => 0.42,
        'm' | 'w' | 'M' | 'W' | '%' | '@' => 0.95,
        'A'..='Z' => 0.7,
        '0'..='9' => 0.64,
        c if (c as u32) >= 0x1100 => 1.05,
        _ => 0.61,
    }
}

/// `text` cut to `room` pixels, with an ellipsis where something is gone.
pub(super) fn fitted(text: &str, size: f64, room: f64) -> String {
    if width(text, size) <= room {
        return text.into();
    }
    let kept: String = within(text.chars(), size, room - width("…", size)).into_iter().collect();
    kept.trim_end().to_string() + "…"
}

/// A name cut to `room` pixels in its middle: names often differ at their end.
pub(super) fn abridged(name: &str, size: f64, room: f64) -> String {
    if width(name, size) <= room {
        return name.into();
    }
    let half = (room - width("…", size)) / 2.0;
    let (start, end) = (within(name.chars(), size, half), within(name.chars().rev(), size, half));
    let start = start.into_iter().collect::<String>();
    let end = end.into_iter().rev().collect::<String>();
    format!("{}…{}", start.trim_end(), end.trim_start())
}

/// The first characters that take no more than `room`.
fn within(text: impl Iterator<Item = char>, size: f64, room: f64) -> Vec<char> {
    let mut used = 0.0;
    let mut fits = move |c: &char| {
        used += em(*c) * size;
        used <= room
    };
    text.take_while(|c| fits(c)).collect()
}

/// `text` in lines of at most `room` pixels, broken at spaces; the last of `most` lines is cut.
pub(super) fn wrapped(text: &str, size: f64, room: f64, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        match lines.last_mut() {
            Some(line) if width(line, size) + width(word, size) + size * 0.42 <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.into()),
        }
    }
    if lines.len() > most {
        let rest = lines.split_off(most.saturating_sub(1)).join(" ");
        lines.push(rest);
    }
    lines.iter().map(|line| fitted(line, size, room)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_are_short_and_never_broken() {
        for (value, text) in
            [(1.0, "1"), (1.04, "1"), (-0.01, "0"), (12.34, "12.3"), (f64::NAN, "0"), (1e300, "1000000")]
        {
            assert_eq!(px(value), text, "{value}");
        }
        assert_eq!(path([(0.0, 1.5), (2.0, 3.0)]), "M0 1.5L2 3");
    }

    #[test]
    fn long_texts_are_cut_to_their_room() {
        assert_eq!(fitted("short", 12.0, 100.0), "short");
        let cut = fitted(&"x".repeat(100), 12.0, 100.0);
        assert!(cut.ends_with('…') && width(&cut, 12.0) <= 100.0, "{cut}");
        let cut = abridged(&format!("{}-fp32", "x".repeat(100)), 12.0, 100.0);
        assert!(cut.starts_with("xx") && cut.ends_with("-fp32") && width(&cut, 12.0) <= 100.0, "{cut}");
        let lines = wrapped("one two three four five six seven", 12.0, 60.0, 2);
        assert!(lines.len() == 2 && lines.iter().all(|line| width(line, 12.0) <= 60.0), "{lines:?}");
        assert!(wrapped("", 12.0, 60.0, 2).is_empty());
    }
}
