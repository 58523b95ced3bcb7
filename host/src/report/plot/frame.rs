//! A panel's surroundings: title, grid lines, ticks, names and labels.

use super::axis::{Axis, Kind};
use super::layout::{BOLD, Frame, LINE, SIZE, TURN};
use super::write::{abridged, fitted, path, px, safe, width};
use maud::{Markup, html};

pub(super) fn frame(frame: &Frame<'_>) -> Markup {
    let Frame { panel, left, top, width, height, .. } = *frame;
    let title = abridged(&safe(&panel.title), SIZE * BOLD, width);
    html! {
        @if !title.is_empty() {
            text class="t" x=(px(left)) y=(px(top - 7.0)) {
                (title)
                @if title != safe(&panel.title) { title { (safe(&panel.title)) } }
            }
        }
        path class="g" d=(grid(frame)) {}
        rect class="g" x=(px(left)) y=(px(top)) width=(px(width)) height=(px(height)) {}
        g class="u" { (x_ticks(frame)) @if frame.has_names { (y_ticks(frame)) } }
        (labels(frame))
    }
}

/// Lines at ticks, and between names.
fn grid(frame: &Frame<'_>) -> String {
    let Frame { panel, left, top, width, height, x, y, .. } = frame;
    let between = |axis: &Axis| axis.names().map_or(0, <[String]>::len);
    let upright = match between(&panel.x) {
        0 => x.ticks(x_wanted(*width)),
        names => (1..names).map(|name| name as f64 - 0.5).collect(),
    };
    let level = match between(&panel.y) {
        0 => y.ticks(y_wanted(*height)),
        names => (1..names).map(|name| name as f64 - 0.5).collect(),
    };
    let upright = upright.into_iter().map(|at| path([(x.at(at), *top), (x.at(at), top + height)]));
    let level = level.into_iter().map(|at| path([(*left, y.at(at)), (left + width, y.at(at))]));
    upright.chain(level).collect()
}

fn x_wanted(width: f64) -> usize {
    (width / 80.0).clamp(2.0, 9.0) as usize
}

fn y_wanted(height: f64) -> usize {
    (height / 40.0).clamp(2.0, 7.0) as usize
}

fn x_ticks(frame: &Frame<'_>) -> Markup {
    let Frame { panel, left, top, width: room, height, x, .. } = frame;
    let bottom = top + height;
    if let Some(names) = panel.x.names() {
        return x_names(frame, names);
    }
    // What would run into its neighbour or over the panel's end is left out.
    let mut free_from = left - 14.0;
    let mut shown = Vec::new();
    let ticks = x.ticks(x_wanted(*room));
    for (tick, label) in ticks.iter().copied().zip(panel.x.labels(&ticks)) {
        let half = width(&label, SIZE) / 2.0;
        let at = x.at(tick);
        if at - half >= free_from && at + half <= left + room + 12.0 {
            free_from = at + half + 6.0;
            shown.push((at, label));
        }
    }
    html! {
        @for (at, label) in shown {
            text x=(px(at)) y=(px(bottom + LINE - 3.0)) text-anchor="middle" { (label) }
        }
    }
}

fn x_names(frame: &Frame<'_>, names: &[String]) -> Markup {
    let bottom = frame.top + frame.height;
    let turned = frame.turned();
    html! {
        @for (index, name) in names.iter().enumerate() {
            @let at = frame.x.at(index as f64);
            @if turned {
                @let y = bottom + 12.0;
                text x=(px(at + 4.0)) y=(px(y)) text-anchor="end" transform=(format!("rotate(-{TURN} {} {})", px(at + 4.0), px(y))) {
                    (abridged(&safe(name), SIZE, 168.0)) title { (safe(name)) }
                }
            } @else {
                text x=(px(at)) y=(px(bottom + LINE - 3.0)) text-anchor="middle" { (safe(name)) }
            }
        }
    }
}

fn y_ticks(frame: &Frame<'_>) -> Markup {
    let right = frame.left - 8.0;
    let Some(names) = frame.panel.y.names() else {
        let ticks = frame.y.ticks(y_wanted(frame.height));
        return html! {
            @for (tick, label) in ticks.iter().copied().zip(frame.panel.y.labels(&ticks)) {
                text x=(px(right)) y=(px(frame.y.at(tick) + 4.0)) text-anchor="end" { (label) }
            }
        };
    };
    html! {
        @for (index, name) in names.iter().enumerate() {
            @let name = safe(name);
            @let shown = abridged(&name, SIZE, right - 4.0);
            text x=(px(right)) y=(px(frame.y.at(index as f64) + 4.0)) text-anchor="end" {
                (shown) @if shown != name { title { (name) } }
            }
        }
    }
}

fn labels(frame: &Frame<'_>) -> Markup {
    let Frame { panel, left, top, width, height, .. } = *frame;
    let below = top + height + frame.below() - 3.0;
    let middle = top + height / 2.0;
    html! {
        @if frame.has_label && !panel.x.label.is_empty() {
            text x=(px(left + width / 2.0)) y=(px(below)) text-anchor="middle" { (label(&panel.x, width + 20.0)) }
        }
        @if frame.has_names && !panel.y.label.is_empty() {
            text x="14" y=(px(middle)) text-anchor="middle" transform=(format!("rotate(-90 14 {})", px(middle))) {
                (label(&panel.y, height + 20.0))
            }
        }
    }
}

/// The longest form that fits.
fn label(axis: &Axis, room: f64) -> String {
    let text = safe(&axis.label);
    let forms: &[&str] = if axis.kind == Kind::Log { &[" (log scale)", " (log)"] } else { &[""] };
    let whole = forms.iter().map(|form| format!("{text}{form}")).find(|form| width(form, SIZE) <= room);
    whole.unwrap_or_else(|| fitted(&text, SIZE, room))
}
