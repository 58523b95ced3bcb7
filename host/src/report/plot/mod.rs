//! Charts as SVG, written here and not by a library, because they follow the page's light and dark theme, carry every
//! value as text (hover, keyboard, screen readers) and come out byte for byte the same from run to run.
//!
//! A [`Figure`] is data: panels of series on two axes. It draws itself inside the page or as a file of its own. Values
//! that are not finite, or that a logarithmic axis has no place for, are left out and counted in the description.

mod axis;
mod draw;
mod figure;
mod frame;
mod layout;
mod marks;
mod scale;
mod theme;
mod thin;
mod write;

pub(super) use axis::{Axis, Unit};
pub(super) use figure::{Bar, BoxMark, Cell, Figure, Form, Panel, Point, Series, Share, dodge};
pub(super) use theme::{inline_rules, variables};

#[cfg(test)]
mod tests;
