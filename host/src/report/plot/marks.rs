//! What stands for values: markers with whiskers, dots, lines, bands, bars, boxes, cells.

use super::figure::{Bar, BoxMark, Cell, Marks, Point, Series};
use super::layout::{Frame, SIZE};
use super::scale::Scale;
use super::theme::PALETTE;
use super::write::{fitted, path, px, safe};
use crate::stats::Interval;
use maud::{Markup, html};

/// Dashes of lines, by style; the first is none.
const DASHES: [&str; 8] = ["", "7 3", "2 3", "9 3 2 3", "5 2", "12 4", "3 2 1 2", "1 3"];
const RADIUS: f64 = 4.2;

/// The class of a style's colour.
pub(super) fn colour(style: usize) -> String {
    format!("c{}", style % PALETTE.len())
}

/// After the colours are used up they come again with other markers and dashes.
fn shape(style: usize) -> usize {
    (style % 8 + style / PALETTE.len() % 8) % 8
}

pub(super) fn series(frame: &Frame<'_>, of: &Series) -> Markup {
    let drawn = match &of.marks {
        Marks::Points(points) => html! { @for of_point in points { (point(frame, of_point, of.style)) } },
        Marks::Dots(points) => html! { @for of_point in points { (dot(frame, of_point)) } },
        Marks::Line(points) => line(frame, points, of.style),
        Marks::Band(ranges) => band(frame, ranges),
        Marks::Bars(bars) => html! { @for of_bar in bars { (bar(frame, of_bar)) } },
        Marks::Boxes(boxes) => html! { @for of_box in boxes { (box_mark(frame, of_box)) } },
        Marks::Cells(cells) => return html! { @for of_cell in cells { (cell(frame, of_cell)) } },
        Marks::Across(of) => across(frame, *of),
        Marks::AtX(at) => at_x(frame, *at),
        Marks::AtY(at) => at_y(frame, *at),
    };
    html! { g class=(colour(of.style)) { (drawn) } }
}

fn point(frame: &Frame<'_>, of: &Point, style: usize) -> Markup {
    let (x, y) = (frame.x.at(of.x), frame.y.at(of.y));
    let level = of.x_range.map(|range| whisker(&frame.x, range, |at, off| (at, y + off)));
    let upright = of.y_range.map(|range| whisker(&frame.y, range, |at, off| (x + off, at)));
    let whiskers = [level, upright].into_iter().flatten().collect::<String>();
    html! {
        g class="v" {
            @if !whiskers.is_empty() { path class="w" d=(whiskers) {} }
            path class="m" d=(marker(style, x, y, RADIUS)) {}
            title { (safe(&of.text)) }
        }
    }
}

/// From end to end, with a cap at each end that lies on the chart; `at` puts a place along the axis and one beside it
/// where they belong.
fn whisker(scale: &Scale, range: Interval, at: impl Fn(f64, f64) -> (f64, f64)) -> String {
    let ends = [range.low, range.high];
    let mut text = path(ends.map(|end| at(scale.at(end), 0.0)));
    for end in ends.into_iter().filter(|end| !scale.clips(*end)) {
        text.push_str(&path([at(scale.at(end), -3.0), at(scale.at(end), 3.0)]));
    }
    text
}

fn dot(frame: &Frame<'_>, of: &Point) -> Markup {
    html! {
        circle class="v d" cx=(px(frame.x.at(of.x))) cy=(px(frame.y.at(of.y))) r="2.2" { title { (safe(&of.text)) } }
    }
}

fn line(frame: &Frame<'_>, points: &[(f64, f64)], style: usize) -> Markup {
    let dashes = DASHES[shape(style)];
    let d = path(points.iter().map(|(x, y)| (frame.x.at(*x), frame.y.at(*y))));
    html! {
        @if dashes.is_empty() { path class="o" d=(d) {} } @else { path class="o" stroke-dasharray=(dashes) d=(d) {} }
    }
}

fn band(frame: &Frame<'_>, ranges: &[(f64, Interval)]) -> Markup {
    let above = ranges.iter().map(|(x, range)| (frame.x.at(*x), frame.y.at(range.high)));
    let below = ranges.iter().rev().map(|(x, range)| (frame.x.at(*x), frame.y.at(range.low)));
    html! { @if !ranges.is_empty() { path class="b" d=(path(above.chain(below)) + "Z") {} } }
}

fn bar(frame: &Frame<'_>, of: &Bar) -> Markup {
    let (base, end, y) = (frame.x.base(), frame.x.at(of.x), frame.y.at(of.y));
    let half = of.thickness.clamp(0.02, 1.0) * frame.y.band() / 2.0;
    // A bar of no length is still a mark that can be pointed at.
    let (left, long) = (base.min(end), (end - base).abs().max(1.5));
    html! {
        g class="v" {
            rect class="q" x=(px(left)) y=(px(y - half)) width=(px(long)) height=(px(half * 2.0)) {}
            @if let Some(range) = of.range { path class="w" d=(whisker(&frame.x, range, |at, off| (at, y + off))) {} }
            title { (safe(&of.text)) }
        }
    }
}

fn box_mark(frame: &Frame<'_>, of: &BoxMark) -> Markup {
    let [low, q1, median, q3, high] = of.quantiles.map(|value| frame.x.at(value));
    let y = frame.y.at(of.y);
    let half = of.thickness.clamp(0.02, 1.0) * frame.y.band() / 2.0;
    let lines = [
        path([(low, y), (q1, y)]),
        path([(q3, y), (high, y)]),
        path([(low, y - half / 2.0), (low, y + half / 2.0)]),
        path([(high, y - half / 2.0), (high, y + half / 2.0)]),
        path([(median, y - half), (median, y + half)]),
    ];
    html! {
        g class="v" {
            rect class="q" x=(px(q1)) y=(px(y - half)) width=(px((q3 - q1).max(1.0))) height=(px(half * 2.0)) {}
            path class="w" d=(lines.concat()) {}
            title { (safe(&of.text)) }
        }
    }
}

fn cell(frame: &Frame<'_>, of: &Cell) -> Markup {
    let (wide, high) = (frame.x.band(), frame.y.band());
    let (x, y) = (frame.x.at(of.column as f64), frame.y.at(of.row as f64));
    let depth = if of.depth.is_finite() { of.depth.clamp(-1.0, 1.0) } else { 0.0 };
    // Text on it must stay readable, so that the deepest colour is not full.
    let opacity = format!("{:.2}", depth.abs() * 0.5);
    html! {
        g class="v" {
            rect class=(colour(if depth < 0.0 { 1 } else { 0 })) fill="currentColor" fill-opacity=(opacity)
                x=(px(x - wide / 2.0 + 1.0)) y=(px(y - high / 2.0 + 1.0)) width=(px(wide - 2.0)) height=(px(high - 2.0)) {}
            // A number cut short would be another number.
            @if fitted(&safe(&of.label), SIZE, wide - 4.0) == safe(&of.label) {
                text x=(px(x)) y=(px(y + 4.0)) text-anchor="middle" { (safe(&of.label)) }
            }
            title { (safe(&of.text)) }
        }
    }
}

fn across(frame: &Frame<'_>, of: Interval) -> Markup {
    let (left, right) = (frame.x.at(of.low), frame.x.at(of.high));
    html! {
        rect class="b" x=(px(left)) y=(px(frame.top)) width=(px((right - left).max(1.0))) height=(px(frame.height)) {}
    }
}

fn at_x(frame: &Frame<'_>, at: f64) -> Markup {
    let x = frame.x.at(at);
    html! { path class="r" d=(path([(x, frame.top), (x, frame.top + frame.height)])) {} }
}

fn at_y(frame: &Frame<'_>, at: f64) -> Markup {
    let y = frame.y.at(at);
    html! { path class="r" d=(path([(frame.left, y), (frame.left + frame.width, y)])) {} }
}

/// The style's marker about (`x`, `y`), of about the same area whichever it is.
fn marker(style: usize, x: f64, y: f64, r: f64) -> String {
    let polygon = |corners: &[(f64, f64)]| path(corners.iter().map(|(a, b)| (x + a * r, y + b * r))) + "Z";
    match shape(style) {
        0 => {
            let (start, y, r, d) = (px(x - r), px(y), px(r), px(2.0 * r));
            format!("M{start} {y}a{r} {r} 0 1 0 {d} 0a{r} {r} 0 1 0 -{d} 0Z")
        }
        1 => polygon(&[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)]),
        2 => polygon(&[(0.0, -1.2), (1.15, 0.9), (-1.15, 0.9)]),
        3 => polygon(&[(0.0, -1.3), (1.2, 0.0), (0.0, 1.3), (-1.2, 0.0)]),
        4 => polygon(&[(0.0, 1.2), (1.15, -0.9), (-1.15, -0.9)]),
        5 => polygon(&PLUS),
        6 => polygon(&PLUS.map(|(a, b)| ((a - b) * 0.707, (a + b) * 0.707))),
        _ => polygon(&[(0.0, -1.2), (1.1, -0.3), (0.7, 1.0), (-0.7, 1.0), (-1.1, -0.3)]),
    }
}

const PLUS: [(f64, f64); 12] = [
    (-0.4, -1.25),
    (0.4, -1.25),
    (0.4, -0.4),
    (1.25, -0.4),
    (1.25, 0.4),
    (0.4, 0.4),
    (0.4, 1.25),
    (-0.4, 1.25),
    (-0.4, 0.4),
    (-1.25, 0.4),
    (-1.25, -0.4),
    (-0.4, -0.4),
];

/// What stands before a name in the legend, about (`x`, `y`).
pub(super) fn sample(marks: &Marks, style: usize, x: f64, y: f64) -> Markup {
    let dashes = DASHES[shape(style)];
    html! {
        @match marks {
            Marks::Line(_) => { path class="o" stroke-dasharray=[(!dashes.is_empty()).then_some(dashes)] d=(path([(x - 10.0, y), (x + 10.0, y)])) {} }
            Marks::Band(_) | Marks::Across(_) => { rect class="b" x=(px(x - 9.0)) y=(px(y - 5.0)) width="18" height="10" {} }
            Marks::Bars(_) | Marks::Boxes(_) => { rect class="q" x=(px(x - 8.0)) y=(px(y - 5.0)) width="16" height="10" {} }
            Marks::AtX(_) | Marks::AtY(_) => { path class="r" d=(path([(x - 10.0, y), (x + 10.0, y)])) {} }
            Marks::Dots(_) => { circle class="d" cx=(px(x)) cy=(px(y)) r="2.6" {} }
            _ => { path class="m" d=(marker(style, x, y, RADIUS)) {} }
        }
    }
}
