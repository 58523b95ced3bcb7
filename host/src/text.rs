//! Names and messages from outside, made harmless for the output they go into.

use std::iter::Peekable;
use std::str::Chars;

const ESC: char = '\u{1b}';
const BEL: char = '\u{7}';
/// Control sequence introducer and operating system command, as single characters.
const CSI: char = '\u{9b}';
const OSC: char = '\u{9d}';

/// How many characters are looked at for one that is kept: the others are white space, or invisible.
const LOOKED_AT: usize = 16;

/// `text` on one line of visible characters: terminal escape sequences, control and direction-changing characters are
/// gone, runs of white space are one space.
pub fn one_line(text: &str) -> String {
    let mut visible = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(next) = rest.next() {
        match next {
            ESC | CSI | OSC => skip_sequence(next, &mut rest),
            _ if is_format(next) => {}
            _ if next.is_control() || next.is_whitespace() => visible.push(' '),
            _ => visible.push(next),
        }
    }
    visible.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `text` as it is, but for control characters other than line breaks and tabs: nothing that a terminal obeys.
pub fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}

/// `text` on one line as a field of a CSV file. A spreadsheet computes what begins like a formula: that begins with an
/// apostrophe here, by which spreadsheets know text.
pub fn csv(text: &str) -> String {
    let line = one_line(text);
    if line.starts_with(['=', '+', '-', '@']) { format!("'{line}") } else { line }
}

/// At most `limit` characters of `text`, on one line.
pub fn clipped(text: &str, limit: usize) -> String {
    // A message of megabytes is not looked at as a whole for the few characters that are kept.
    let whole = text.char_indices().nth(limit.saturating_mul(LOOKED_AT)).map(|(at, _)| &text[..at]);
    let line = one_line(whole.unwrap_or(text));
    if line.chars().count() <= limit && whole.is_none() {
        return line;
    }
    line.chars().take(limit.saturating_sub(1)).chain(['…']).collect()
}

/// `text` on one line, shown by Markdown as it is: also in a table, and without its HTML.
pub fn markdown(text: &str) -> String {
    let line = one_line(text);
    let mut escaped = String::with_capacity(line.len());
    let mut before = ' ';
    let mut rest = line.chars().peekable();
    while let Some(next) = rest.next() {
        match next {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '|' | '\\' | '`' | '*' | '[' | ']' | '~' | '#' | '$' => escaped.extend(['\\', next]),
            // Inside a word an underscore is itself, and names are full of them.
            '_' if !(before.is_alphanumeric() && rest.peek().is_some_and(|c| c.is_alphanumeric())) => {
                escaped.push_str("\\_");
            }
            _ => escaped.push(next),
        }
        before = next;
    }
    escaped
}

/// Characters that take no room but turn or join the text around them (general category Cf, the ones in use).
fn is_format(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// Passes over the rest of an escape sequence, ECMA-48 section 5.
fn skip_sequence(first: char, rest: &mut Peekable<Chars<'_>>) {
    let introducer = if first == ESC { rest.next() } else { Some(first) };
    match introducer {
        Some('[' | CSI) => {
            while rest.next_if(|c| matches!(c, ' '..='?')).is_some() {}
            rest.next_if(|c| matches!(c, '@'..='~'));
        }
        // A string that nothing ends would take the whole message with it, so it ends with its line.
        Some(']' | 'P' | '^' | '_' | 'X' | OSC) => {
            while let Some(c) = rest.next_if(|c| *c != '\n') {
                if c == BEL || c == '\u{9c}' || (c == ESC && rest.next_if_eq(&'\\').is_some()) {
                    break;
                }
            }
        }
        Some(' '..='/') => {
            rest.next();
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_gone() {
        for (text, line) in [
            ("plain", "plain"),
            ("two\nlines\r\n\tand more", "two lines and more"),
            ("\u{1b}[1;31mred\u{1b}[0m", "red"),
            ("\u{1b}]0;title\u{7}after", "after"),
            ("\u{1b}]8;;http://x\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link"),
            ("\u{1b}]0;open\nnext", "next"),
            ("\u{9b}2Jx\u{0}y\u{8}z", "x y z"),
            ("\u{1b}(Bx\u{1b}cy\u{1b}", "xy"),
            ("a\u{202e}b\u{feff}c", "abc"),
            ("", ""),
        ] {
            assert_eq!(one_line(text), line, "{text:?}");
        }
    }

    #[test]
    fn markdown_shows_the_text_itself() {
        for (text, escaped) in [
            ("single_micro", "single_micro"),
            ("_x_ y_", "\\_x\\_ y\\_"),
            ("a|b\nc", "a\\|b c"),
            ("<script>&", "&lt;script&gt;&amp;"),
            ("[a](b) *c* `d` \\", "\\[a\\](b) \\*c\\* \\`d\\` \\\\"),
        ] {
            assert_eq!(markdown(text), escaped, "{text:?}");
        }
    }

    #[test]
    fn printed_text_keeps_its_lines_and_loses_what_a_terminal_obeys() {
        assert_eq!(printable("a\tb\n\u{1b}[2Jc\r\u{7}\u{9b}d é 日本"), "a\tb\n[2Jcd é 日本");
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        assert_eq!(clipped("äöüß", 4), "äöüß");
        assert_eq!(clipped("äöüßx", 4), "äöü…");
    }
}
