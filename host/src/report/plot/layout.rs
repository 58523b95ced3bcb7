//! Where everything lies: title and legend above, panels in a grid, room for the longest name at the left.

use super::axis::{Axis, Kind};
use super::figure::{Figure, Form, Marks, Panel, Share};
use super::scale::Scale;
use super::write::{abridged, safe, width, wrapped};
use crate::stats::Interval;
use std::collections::BTreeSet;

/// All charts are as wide as this and scale with their surroundings.
pub(super) const WIDTH: f64 = 720.0;
/// Of axis labels, names and legend.
pub(super) const SIZE: f64 = 12.0;
pub(super) const TITLE_SIZE: f64 = 15.0;
/// How much wider bold letters are.
pub(super) const BOLD: f64 = 1.12;
pub(super) const LINE: f64 = 18.0;
const EDGE: f64 = 14.0;
const GAP: f64 = 30.0;
/// A name takes no more of the width than this.
const LONGEST_NAME: f64 = 230.0;
/// How far names below a heat map are turned.
pub(super) const TURN: f64 = 35.0;

/// A panel's place and its scales.
pub(super) struct Frame<'a> {
    pub(super) panel: &'a Panel,
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) x: Scale,
    pub(super) y: Scale,
    /// Whether the vertical axis's names are written here: in the first column.
    pub(super) has_names: bool,
    /// Whether the horizontal axis's label is written here: with no panel below.
    pub(super) has_label: bool,
}

/// A whole chart.
pub(super) struct Layout<'a> {
    pub(super) title: Vec<String>,
    pub(super) legend: Vec<Entry<'a>>,
    pub(super) frames: Vec<Frame<'a>>,
    pub(super) height: f64,
}

/// A series in the legend.
pub(super) struct Entry<'a> {
    pub(super) name: String,
    pub(super) style: usize,
    pub(super) marks: &'a Marks,
    pub(super) x: f64,
    pub(super) y: f64,
}

impl<'a> Layout<'a> {
    pub(super) fn of(figure: &'a Figure, form: Form) -> Self {
        let title = match form {
            Form::Inline => Vec::new(),
            Form::StandAlone => wrapped(&safe(&figure.title), TITLE_SIZE * BOLD, WIDTH - 2.0 * EDGE, 3),
        };
        let below_title = 6.0 + title.len() as f64 * (TITLE_SIZE + 6.0);
        let (legend, top) = legend(figure, below_title);
        let frames = frames(figure, top);
        let bottom = frames.iter().map(|frame| frame.top + frame.height + frame.below()).fold(top, f64::max);
        Self { title, legend, frames, height: (bottom + 8.0).ceil() }
    }
}

fn legend(figure: &Figure, top: f64) -> (Vec<Entry<'_>>, f64) {
    let mut entries: Vec<Entry<'_>> = Vec::new();
    let (mut x, mut y) = (EDGE, top + LINE / 2.0);
    for series in figure.panels.iter().flat_map(|panel| &panel.series) {
        let name = abridged(&safe(&series.name), SIZE, WIDTH / 2.0);
        if name.is_empty() || entries.iter().any(|entry| entry.name == name && entry.style == series.style) {
            continue;
        }
        let room = 26.0 + width(&name, SIZE) + 14.0;
        if x > EDGE && x + room > WIDTH {
            (x, y) = (EDGE, y + LINE);
        }
        entries.push(Entry { name, style: series.style, marks: &series.marks, x, y });
        x += room;
    }
    let below = if entries.is_empty() { top } else { y + LINE / 2.0 + 6.0 };
    (entries, below)
}

fn frames(figure: &Figure, top: f64) -> Vec<Frame<'_>> {
    let columns = figure.columns.clamp(1, figure.panels.len().max(1));
    let titled = figure.panels.iter().any(|panel| !panel.title.is_empty());
    let panels: Vec<&Panel> = figure.panels.iter().collect();
    let (shared_x, shared_y) = (extent(&panels, Way::X), extent(&panels, Way::Y));
    let left = left(figure, shared_y);
    let room = (WIDTH - left - EDGE - (columns - 1) as f64 * GAP) / columns as f64;
    let height = figure.panels.iter().map(|panel| height(panel, columns)).fold(0.0, f64::max);
    let head = if titled { LINE + 4.0 } else { 4.0 };
    let mut frames = Vec::new();
    let mut top = top;
    for (index, panel) in figure.panels.iter().enumerate() {
        let column = index % columns;
        let at = left + column as f64 * (room + GAP);
        let own_x = match figure.share {
            Share::Both => shared_x,
            Share::Y => extent(&[panel], Way::X),
        };
        let upright = (top + head, top + head + height);
        // Names are read downwards, numbers upwards.
        let (from, to) = if panel.y.names().is_some() { upright } else { (upright.1, upright.0) };
        let frame = Frame {
            panel,
            left: at,
            top: upright.0,
            width: room,
            height,
            x: panel.x.scale(own_x, at, at + room),
            y: panel.y.scale(shared_y, from, to),
            has_names: column == 0,
            has_label: index + columns >= figure.panels.len(),
        };
        let below = frame.below();
        frames.push(frame);
        if column + 1 == columns {
            top = upright.1 + below.max(LINE) + 6.0;
        }
    }
    frames
}

impl Frame<'_> {
    /// What ticks and label take below the panel.
    pub(super) fn below(&self) -> f64 {
        let ticks = match self.panel.x.names() {
            Some(names) if self.turned() => {
                let longest = names.iter().map(|name| width(&safe(name), SIZE)).fold(0.0, f64::max);
                longest.min(LONGEST_NAME * 0.8) * TURN.to_radians().sin() + 16.0
            }
            _ => LINE,
        };
        ticks + if self.has_label && !self.panel.x.label.is_empty() { LINE } else { 0.0 }
    }

    /// Whether the names below are too long to stand level.
    pub(super) fn turned(&self) -> bool {
        let longest = self.panel.x.names().into_iter().flatten().map(|name| width(&safe(name), SIZE));
        longest.fold(0.0, f64::max) > self.x.band() - 6.0
    }
}

/// Room for the vertical axis: names or numbers, and its label.
fn left(figure: &Figure, extent: Option<(f64, f64)>) -> f64 {
    let widths = figure.panels.iter().flat_map(|panel| match panel.y.names() {
        Some(names) => names.iter().map(|name| width(&safe(name), SIZE)).collect::<Vec<_>>(),
        None => {
            let scale = panel.y.scale(extent, height(panel, figure.columns), 0.0);
            panel.y.labels(&scale.ticks(6)).iter().map(|label| width(label, SIZE)).collect()
        }
    });
    let names = widths.fold(20.0, f64::max).min(LONGEST_NAME);
    let labelled = figure.panels.iter().any(|panel| !panel.y.label.is_empty());
    names + EDGE + if labelled { LINE } else { 0.0 }
}

fn height(panel: &Panel, columns: usize) -> f64 {
    match panel.y.names() {
        Some(names) => names.len().max(1) as f64 * row_height(panel),
        None if columns > 1 => 170.0,
        None => 280.0,
    }
}

/// A name's band has room for every mark that lies in it.
fn row_height(panel: &Panel) -> f64 {
    let mut lanes: BTreeSet<(i64, i64)> = BTreeSet::new();
    let mut lane = 11.0_f64;
    for series in &panel.series {
        let places: Vec<f64> = match &series.marks {
            Marks::Points(points) => points.iter().map(|point| point.y).collect(),
            Marks::Bars(bars) => bars.iter().map(|bar| bar.y).collect(),
            Marks::Boxes(boxes) => {
                lane = 22.0;
                boxes.iter().map(|mark| mark.y).collect()
            }
            Marks::Cells(_) => {
                lane = 20.0;
                continue;
            }
            _ => continue,
        };
        lanes.extend(places.iter().map(|y| (y.round() as i64, (y * 100.0).round() as i64)));
    }
    let mut most = 1;
    for name in 0..panel.y.names().map_or(0, <[String]>::len) as i64 {
        most = most.max(lanes.range((name, i64::MIN)..=(name, i64::MAX)).count());
    }
    (most as f64 * lane + 8.0).max(24.0)
}

/// Which of the two axes.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    X,
    Y,
}

/// The smallest and the largest value along one axis. Intervals widen it, but by no more than the values' own range to
/// either side, and on a logarithmic axis no more than three times: one wild interval would else hide all values in a corner.
fn extent(panels: &[&Panel], way: Way) -> Option<(f64, f64)> {
    let axis = |panel: &Panel| if way == Way::X { panel.x.clone() } else { panel.y.clone() };
    let is_log = panels.first().is_some_and(|panel| axis(panel).kind == Kind::Log);
    let (mut core, mut ranges) = (Span::default(), Span::default());
    for panel in panels {
        let axis = axis(panel);
        panel.series.iter().for_each(|series| measure(&series.marks, way, &axis, &mut core, &mut ranges));
    }
    let (low, high) = core.0?;
    let (range_low, range_high) = ranges.0.map_or((low, high), |(a, b)| (a.min(low), b.max(high)));
    if is_log {
        let slack = (high / low).clamp(1.5, 3.0);
        return Some((range_low.max(low / slack), range_high.min(high * slack)));
    }
    let slack = (high - low).max(low.abs().max(high.abs()) * 0.5);
    Some((range_low.max(low - slack), range_high.min(high + slack)))
}

#[derive(Default)]
struct Span(Option<(f64, f64)>);

impl Span {
    fn add(&mut self, value: f64) {
        self.0 = Some(self.0.map_or((value, value), |(low, high)| (low.min(value), high.max(value))));
    }
}

fn measure(marks: &Marks, way: Way, axis: &Axis, core: &mut Span, ranges: &mut Span) {
    let mut range = |of: Option<Interval>| {
        let ends = of.into_iter().flat_map(|of| [of.low, of.high]);
        ends.filter(|value| axis.places(*value)).for_each(|value| ranges.add(value));
    };
    match marks {
        Marks::Points(points) | Marks::Dots(points) => points.iter().for_each(|point| {
            core.add(if way == Way::X { point.x } else { point.y });
            range(if way == Way::X { point.x_range } else { point.y_range });
        }),
        Marks::Line(points) => points.iter().for_each(|at| core.add(if way == Way::X { at.0 } else { at.1 })),
        Marks::Band(band) if way == Way::X => band.iter().for_each(|(at, _)| core.add(*at)),
        Marks::Band(band) => band.iter().for_each(|(_, of)| range(Some(*of))),
        Marks::Bars(bars) if way == Way::X => bars.iter().for_each(|bar| {
            core.add(bar.x);
            range(bar.range);
        }),
        Marks::Boxes(boxes) if way == Way::X => {
            boxes.iter().flat_map(|mark| mark.quantiles).for_each(|value| core.add(value));
        }
        Marks::AtX(at) if way == Way::X => core.add(*at),
        Marks::AtY(at) if way == Way::Y => core.add(*at),
        Marks::Across(of) if way == Way::X => range(Some(*of)),
        Marks::Bars(_)
        | Marks::Boxes(_)
        | Marks::Cells(_)
        | Marks::Across(_)
        | Marks::AtX(_)
        | Marks::AtY(_) => {}
    }
}
