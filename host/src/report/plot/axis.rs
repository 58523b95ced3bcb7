//! What an axis is: its label, its kind and how its ticks are written.

use super::scale::Scale;
use crate::report::figure::figure;

/// How the numbers at an axis are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::report) enum Unit {
    /// As they are: `1,000`.
    #[default]
    Plain,
    /// With a letter for thousands, millions and thousand millions: `125M`.
    Short,
    /// Shares of one: `12%`.
    Percent,
    /// Ratios: `2x`.
    Times,
}

impl Unit {
    pub(super) fn write(self, value: f64) -> String {
        match self {
            Self::Plain if value != 0.0 && !(1e-4..1e7).contains(&value.abs()) => format!("{value:.0e}"),
            Self::Plain => plain(value),
            Self::Short => short(value),
            Self::Percent => format!("{}%", plain(value * 100.0)),
            Self::Times => format!("{}x", plain(value)),
        }
    }
}

impl Axis {
    /// The labels of `ticks`: with as many decimals as tell neighbours apart.
    pub(super) fn labels(&self, ticks: &[f64]) -> Vec<String> {
        let labels: Vec<String> = ticks.iter().map(|tick| self.unit.write(*tick)).collect();
        if labels.windows(2).all(|pair| pair[0] != pair[1]) {
            return labels;
        }
        let least = ticks.windows(2).map(|pair| pair[1] - pair[0]).fold(f64::INFINITY, f64::min);
        let decimals = (-least.log10().floor()).clamp(0.0, 12.0) as usize;
        ticks.iter().map(|tick| format!("{tick:.decimals$}")).collect()
    }
}

/// Ticks are round: the zeros that a figure's three digits add say nothing.
fn plain(value: f64) -> String {
    let text = figure(Some(value));
    if !text.contains('.') || text.contains('e') {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').into()
}

fn short(value: f64) -> String {
    for (size, letter) in [(1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")] {
        // Rounding may lift a value to the next letter.
        if value.abs() >= size * 0.9995 {
            return plain(value / size) + letter;
        }
    }
    plain(value)
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Linear { from_zero: bool },
    Log,
    Categories(Vec<String>),
}

/// One of a panel's two axes.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::report) struct Axis {
    pub(super) label: String,
    pub(super) kind: Kind,
    pub(super) unit: Unit,
}

impl Axis {
    /// From the smallest value to the largest.
    pub(in crate::report) fn linear(label: impl Into<String>) -> Self {
        Self { label: label.into(), kind: Kind::Linear { from_zero: false }, unit: Unit::Plain }
    }

    /// From 0: what bars need.
    pub(in crate::report) fn from_zero(label: impl Into<String>) -> Self {
        Self { label: label.into(), kind: Kind::Linear { from_zero: true }, unit: Unit::Plain }
    }

    /// Logarithmic; values of 0 and below have no place.
    pub(in crate::report) fn log(label: impl Into<String>) -> Self {
        Self { label: label.into(), kind: Kind::Log, unit: Unit::Plain }
    }

    /// From 0 where that leaves the smallest of `values` room to be seen, else logarithmic.
    pub(in crate::report) fn fitting(label: impl Into<String>, values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = values
            .filter(|value| value.is_finite() && *value > 0.0)
            .fold((f64::INFINITY, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
        if low.is_finite() && high / low > 12.0 { Self::log(label) } else { Self::from_zero(label) }
    }

    /// Names at 0, 1, 2, …
    pub(in crate::report) fn categories(names: Vec<String>) -> Self {
        Self { label: String::new(), kind: Kind::Categories(names), unit: Unit::Plain }
    }

    /// With its numbers written as `unit` says.
    pub(in crate::report) fn unit(self, unit: Unit) -> Self {
        Self { unit, ..self }
    }

    pub(super) fn names(&self) -> Option<&[String]> {
        match &self.kind {
            Kind::Categories(names) => Some(names),
            _ => None,
        }
    }

    /// Whether a value has a place here. Beyond 1e100 no scale could be computed.
    pub(super) fn places(&self, value: f64) -> bool {
        value.is_finite()
            && value.abs() <= 1e100
            && match &self.kind {
                Kind::Log => value >= 1e-100,
                Kind::Linear { .. } => true,
                Kind::Categories(names) => (-0.5..=names.len() as f64 - 0.5).contains(&value),
            }
    }

    /// The scale that shows `extent`, the smallest and largest value, from pixel `from` to pixel `to`.
    pub(super) fn scale(&self, extent: Option<(f64, f64)>, from: f64, to: f64) -> Scale {
        match &self.kind {
            Kind::Categories(names) => Scale::categories(names.len(), from, to),
            Kind::Log => Scale::log(extent, from, to),
            Kind::Linear { from_zero } => Scale::linear(extent, *from_zero, from, to),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_written_short() {
        for (unit, value, text) in [
            (Unit::Plain, 0.0, "0"),
            (Unit::Plain, 1500.0, "1,500"),
            (Unit::Plain, 0.25, "0.25"),
            (Unit::Plain, 1e9, "1e9"),
            (Unit::Plain, 1e-7, "1e-7"),
            (Unit::Short, 124_000_000.0, "124M"),
            (Unit::Short, 1_500_000_000.0, "1.5B"),
            (Unit::Short, 999_900.0, "1M"),
            (Unit::Percent, 0.5, "50%"),
            (Unit::Times, 0.5, "0.5x"),
        ] {
            assert_eq!(unit.write(value), text, "{value}");
        }
    }

    #[test]
    fn neighbouring_ticks_are_told_apart() {
        assert_eq!(Axis::linear("x").labels(&[200.0, 200.05, 200.1]), ["200.00", "200.05", "200.10"]);
        assert_eq!(Axis::linear("x").labels(&[0.0, 1.5]), ["0", "1.5"]);
    }

    #[test]
    fn wide_ranges_get_a_logarithmic_axis() {
        assert_eq!(Axis::fitting("x", [1.0, 100.0].into_iter()).kind, Kind::Log);
        assert_eq!(
            Axis::fitting("x", [5.0, f64::NAN, 10.0].into_iter()).kind,
            Kind::Linear { from_zero: true }
        );
        assert_eq!(Axis::fitting("x", [].into_iter()).kind, Kind::Linear { from_zero: true });
    }
}
