//! What of a figure can be drawn: values without a place on their axes are left out, and beyond some 2,000 marks every
//! so manieth is kept. What was done is said in the description.

use super::axis::Axis;
use super::figure::{Figure, Marks, Panel, Point, Range, Series};
use crate::report::figure::count;

/// More marks than this make a file large and show no more.
pub(super) const MOST_MARKS: usize = 2_000;

/// The figure as it is drawn; its description says what is not.
pub(super) fn drawable(figure: &Figure) -> Figure {
    let mut drawn = figure.clone();
    let before = number(&drawn);
    drawn.panels.iter_mut().for_each(place);
    let placed = number(&drawn);
    let mut notes = Vec::new();
    if placed < before {
        let lost = count((before - placed) as u64);
        notes.push(format!("{lost} values that the axes have no place for are left out."));
    }
    if placed > MOST_MARKS {
        let series = drawn.panels.iter_mut().flat_map(|panel| &mut panel.series);
        series.for_each(|series| thin(&mut series.marks, MOST_MARKS as f64 / placed as f64));
        let (kept, all) = (count(number(&drawn) as u64), count(placed as u64));
        notes.push(format!("{kept} of {all} marks are drawn, evenly chosen."));
    }
    for note in notes {
        drawn.description.push(' ');
        drawn.description.push_str(&note);
    }
    drawn
}

fn number(figure: &Figure) -> usize {
    figure.panels.iter().flat_map(|panel| &panel.series).map(|series| series.marks.len()).sum()
}

fn place(panel: &mut Panel) {
    let Panel { x, y, series, .. } = panel;
    for Series { marks, .. } in series.iter_mut() {
        match marks {
            Marks::Points(points) | Marks::Dots(points) => {
                points.retain(|point| x.places(point.x) && y.places(point.y));
                points.iter_mut().for_each(Point::without_broken_ranges);
            }
            Marks::Line(points) => points.retain(|at| x.places(at.0) && y.places(at.1)),
            Marks::Band(ranges) => ranges.retain(|(at, range)| {
                x.places(*at) && range.low.is_finite() && range.high.is_finite() && y.places(range.high)
            }),
            Marks::Bars(bars) => {
                bars.retain(|bar| x.places(bar.x) && y.places(bar.y));
                bars.iter_mut().for_each(|bar| bar.range = whole(bar.range));
            }
            Marks::Boxes(boxes) => {
                boxes.retain(|mark| y.places(mark.y) && mark.quantiles.iter().all(|value| x.places(*value)));
            }
            Marks::Cells(cells) => cells.retain(|cell| has(x, cell.column) && has(y, cell.row)),
            Marks::Across(_) | Marks::AtX(_) | Marks::AtY(_) => {}
        }
    }
    series.retain(|series| match &series.marks {
        Marks::Across(of) => x.places(of.low) && x.places(of.high),
        Marks::AtX(at) => x.places(*at),
        Marks::AtY(at) => y.places(*at),
        _ => true,
    });
}

fn has(axis: &Axis, index: usize) -> bool {
    axis.names().is_some_and(|names| index < names.len())
}

fn whole(range: Range) -> Range {
    range.filter(|range| range.low.is_finite() && range.high.is_finite() && range.low <= range.high)
}

impl Point {
    fn without_broken_ranges(&mut self) {
        (self.x_range, self.y_range) = (whole(self.x_range), whole(self.y_range));
    }
}

fn thin(marks: &mut Marks, share: f64) {
    match marks {
        Marks::Points(points) | Marks::Dots(points) => evenly(points, share),
        Marks::Line(points) => evenly(points, share),
        Marks::Band(ranges) => evenly(ranges, share),
        Marks::Bars(bars) => evenly(bars, share),
        Marks::Boxes(boxes) => evenly(boxes, share),
        Marks::Cells(_) | Marks::Across(_) | Marks::AtX(_) | Marks::AtY(_) => {}
    }
}

/// Keeps `share` of `values`, the first and the last among them.
fn evenly<T>(values: &mut Vec<T>, share: f64) {
    let kept = (values.len() as f64 * share).floor().max(2.0) as usize;
    let length = values.len();
    if kept >= length {
        return;
    }
    let mut chosen = (0..kept).map(|index| index * (length - 1) / (kept - 1)).peekable();
    let mut index = 0;
    values.retain(|_| {
        let keep = chosen.next_if_eq(&index).is_some();
        index += 1;
        keep
    });
}

impl Marks {
    fn len(&self) -> usize {
        match self {
            Self::Points(points) | Self::Dots(points) => points.len(),
            Self::Line(points) => points.len(),
            Self::Band(ranges) => ranges.len(),
            Self::Bars(bars) => bars.len(),
            Self::Boxes(boxes) => boxes.len(),
            Self::Cells(cells) => cells.len(),
            Self::Across(_) | Self::AtX(_) | Self::AtY(_) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinning_keeps_both_ends_and_is_even() {
        for (length, share, kept) in
            [(10, 0.5, vec![0, 2, 4, 6, 9]), (3, 0.01, vec![0, 2]), (2, 0.1, vec![0, 1]), (1, 0.1, vec![0])]
        {
            let mut values: Vec<usize> = (0..length).collect();
            evenly(&mut values, share);
            assert_eq!(values, kept);
        }
    }
}
