//! What a chart is made of, as data.

use super::axis::Axis;
use crate::stats::Interval;

/// A chart of one panel or several.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::report) struct Figure {
    /// Unique in the report, of `a-z`, `0-9` and `-`: the file's stem, and the prefix of ids in the page.
    pub(in crate::report) id: String,
    /// What is shown.
    pub(in crate::report) title: String,
    /// How to read it, in a sentence or two; for those who cannot see it, the chart itself.
    pub(in crate::report) description: String,
    /// At least one.
    pub(in crate::report) panels: Vec<Panel>,
    /// Panels beside each other.
    pub(in crate::report) columns: usize,
    /// Which axes the panels have in common.
    pub(in crate::report) share: Share,
}

/// Which axes of a grid of panels show the same range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::report) enum Share {
    /// Both.
    #[default]
    Both,
    /// The vertical alone; each panel has a horizontal range of its own.
    Y,
}

/// Where a chart is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::report) enum Form {
    /// In the page, below a caption.
    Inline,
    /// In a file of its own.
    StandAlone,
}

/// One pair of axes with what is drawn on them.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::report) struct Panel {
    /// Empty where there is one panel.
    pub(in crate::report) title: String,
    /// To the right.
    pub(in crate::report) x: Axis,
    /// Upwards; names go downwards.
    pub(in crate::report) y: Axis,
    /// Drawn in this order.
    pub(in crate::report) series: Vec<Series>,
}

/// A low and a high end.
pub(in crate::report) type Range = Option<Interval>;

/// A value with its intervals.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::report) struct Point {
    /// On the horizontal axis.
    pub(in crate::report) x: f64,
    /// On the vertical axis.
    pub(in crate::report) y: f64,
    /// Whiskers to left and right.
    pub(in crate::report) x_range: Range,
    /// Whiskers up and down.
    pub(in crate::report) y_range: Range,
    /// The value in full, with unit, interval and n.
    pub(in crate::report) text: String,
}

/// A bar to the right, on an axis of names.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::report) struct Bar {
    /// Its end.
    pub(in crate::report) x: f64,
    /// Its name's place.
    pub(in crate::report) y: f64,
    /// Its thickness, as a share of a name's band.
    pub(in crate::report) thickness: f64,
    /// Whiskers.
    pub(in crate::report) range: Range,
    /// The value in full.
    pub(in crate::report) text: String,
}

/// A box with whiskers, on an axis of names.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::report) struct BoxMark {
    /// Its name's place.
    pub(in crate::report) y: f64,
    /// Ends of whiskers and box, and the median, in order.
    pub(in crate::report) quantiles: [f64; 5],
    /// Its thickness, as a share of a name's band.
    pub(in crate::report) thickness: f64,
    /// The values in full.
    pub(in crate::report) text: String,
}

/// A rectangle of a heat map: column, row, and how deep its colour is.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::report) struct Cell {
    /// Which name of the horizontal axis.
    pub(in crate::report) column: usize,
    /// Which name of the vertical axis.
    pub(in crate::report) row: usize,
    /// From -1 (the second colour) over 0 (paper) to 1 (the first colour).
    pub(in crate::report) depth: f64,
    /// What stands in it.
    pub(in crate::report) label: String,
    /// The value in full.
    pub(in crate::report) text: String,
}

/// What is drawn together in one colour.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::report) struct Series {
    /// In the legend; empty keeps it out.
    pub(in crate::report) name: String,
    /// Colour, marker and dash; the same backend has the same in every chart.
    pub(in crate::report) style: usize,
    pub(super) marks: Marks,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Marks {
    Points(Vec<Point>),
    /// Small marks of single runs: seen together, not listed one by one.
    Dots(Vec<Point>),
    Line(Vec<(f64, f64)>),
    Band(Vec<(f64, Interval)>),
    Bars(Vec<Bar>),
    Boxes(Vec<BoxMark>),
    Cells(Vec<Cell>),
    /// An upright area between two values of the horizontal axis.
    Across(Interval),
    /// A dashed line across.
    AtX(f64),
    AtY(f64),
}

impl Series {
    fn of(name: &str, style: usize, marks: Marks) -> Self {
        Self { name: name.into(), style, marks }
    }

    /// Values with their intervals.
    pub(in crate::report) fn points(name: &str, style: usize, points: Vec<Point>) -> Self {
        Self::of(name, style, Marks::Points(points))
    }

    /// Single runs.
    pub(in crate::report) fn dots(name: &str, style: usize, points: Vec<Point>) -> Self {
        Self::of(name, style, Marks::Dots(points))
    }

    /// A line through `points`, in their order.
    pub(in crate::report) fn line(name: &str, style: usize, points: Vec<(f64, f64)>) -> Self {
        Self::of(name, style, Marks::Line(points))
    }

    /// An area between low and high ends along the horizontal axis.
    pub(in crate::report) fn band(name: &str, style: usize, ranges: Vec<(f64, Interval)>) -> Self {
        Self::of(name, style, Marks::Band(ranges))
    }

    /// Bars from 0.
    pub(in crate::report) fn bars(name: &str, style: usize, bars: Vec<Bar>) -> Self {
        Self::of(name, style, Marks::Bars(bars))
    }

    /// Boxes with whiskers.
    pub(in crate::report) fn boxes(name: &str, style: usize, boxes: Vec<BoxMark>) -> Self {
        Self::of(name, style, Marks::Boxes(boxes))
    }

    /// A heat map's cells.
    pub(in crate::report) fn cells(cells: Vec<Cell>) -> Self {
        Self::of("", 0, Marks::Cells(cells))
    }

    /// An upright area from one value to another; nothing without them.
    pub(in crate::report) fn across(name: &str, style: usize, of: Range) -> Self {
        match of {
            Some(of) => Self::of(name, style, Marks::Across(of)),
            None => Self::of("", style, Marks::Line(Vec::new())),
        }
    }

    /// A dashed upright line at `x`.
    pub(in crate::report) fn at_x(x: f64, name: &str) -> Self {
        Self::of(name, 7, Marks::AtX(x))
    }

    /// A dashed level line at `y`.
    pub(in crate::report) fn at_y(y: f64, name: &str) -> Self {
        Self::of(name, 7, Marks::AtY(y))
    }
}

impl Figure {
    /// A chart of one panel.
    pub(in crate::report) fn single(
        id: &str,
        title: impl Into<String>,
        description: impl Into<String>,
        panel: Panel,
    ) -> Self {
        Self {
            id: id.into(),
            title: title.into(),
            description: description.into(),
            panels: vec![panel],
            columns: 1,
            share: Share::Both,
        }
    }

    /// A grid of panels.
    pub(in crate::report) fn grid(
        id: &str,
        title: impl Into<String>,
        description: impl Into<String>,
        panels: Vec<Panel>,
        columns: usize,
        share: Share,
    ) -> Self {
        Self {
            panels,
            columns: columns.max(1),
            share,
            ..Self::single(id, title, description, Panel::empty())
        }
    }

    /// The values that are listed below the chart: those of single runs are not.
    pub(in crate::report) fn texts(&self) -> Vec<&str> {
        self.panels.iter().flat_map(|panel| &panel.series).flat_map(|series| series.marks.texts()).collect()
    }

    /// Whether anything is drawn.
    pub(in crate::report) fn is_empty(&self) -> bool {
        self.panels.iter().flat_map(|panel| &panel.series).all(|series| series.marks.is_empty())
    }
}

impl Panel {
    fn empty() -> Self {
        Self { title: String::new(), x: Axis::linear(""), y: Axis::linear(""), series: Vec::new() }
    }
}

impl Marks {
    fn texts(&self) -> Vec<&str> {
        match self {
            Self::Points(points) => points.iter().map(|point| point.text.as_str()).collect(),
            Self::Bars(bars) => bars.iter().map(|bar| bar.text.as_str()).collect(),
            Self::Boxes(boxes) => boxes.iter().map(|mark| mark.text.as_str()).collect(),
            Self::Cells(cells) => cells.iter().map(|cell| cell.text.as_str()).collect(),
            Self::Dots(_) | Self::Line(_) | Self::Band(_) | Self::Across(_) | Self::AtX(_) | Self::AtY(_) => {
                Vec::new()
            }
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Points(points) | Self::Dots(points) => points.is_empty(),
            Self::Line(points) => points.is_empty(),
            Self::Band(ranges) => ranges.is_empty(),
            Self::Bars(bars) => bars.is_empty(),
            Self::Boxes(boxes) => boxes.is_empty(),
            Self::Cells(cells) => cells.is_empty(),
            Self::Across(_) | Self::AtX(_) | Self::AtY(_) => true,
        }
    }
}

/// Where the `index`th of `count` series lies within a name's band: -0.4 to 0.4 about its middle.
pub(in crate::report) fn dodge(index: usize, count: usize) -> f64 {
    let count = count.max(1) as f64;
    0.8 * ((index as f64 + 0.5) / count - 0.5)
}
