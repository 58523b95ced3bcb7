//! From values to pixels, and the round values that get a tick.

/// A mapping of the values `low` to `high` onto the pixels `from` to `to`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    kind: Kind,
    /// In logarithms where the scale is logarithmic.
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Linear,
    Log,
    Categories,
}

/// What is left free beside the outermost values, as a share of the range.
const MARGIN: f64 = 0.05;
/// No loop over ticks runs longer.
const MOST_TICKS: usize = 60;

impl Scale {
    pub(super) fn linear(extent: Option<(f64, f64)>, from_zero: bool, from: f64, to: f64) -> Self {
        let (mut low, mut high) = extent.unwrap_or((0.0, 1.0));
        if from_zero {
            (low, high) = (low.min(0.0), high.max(0.0));
        }
        if high <= low {
            let half = if low == 0.0 { 1.0 } else { low.abs() * 0.1 };
            (low, high) = (low - half, high + half);
        }
        let margin = (high - low) * MARGIN;
        let bottom = if from_zero && low >= 0.0 { 0.0 } else { low - margin };
        let top = if from_zero && high <= 0.0 { 0.0 } else { high + margin };
        Self { kind: Kind::Linear, low: bottom, high: top, from, to }
    }

    pub(super) fn log(extent: Option<(f64, f64)>, from: f64, to: f64) -> Self {
        let (low, high) = extent.unwrap_or((1.0, 10.0));
        let (mut low, mut high) = (low.log10(), high.log10());
        if high - low < 0.1 {
            let middle = (low + high) / 2.0;
            (low, high) = (middle - 0.15, middle + 0.15);
        }
        let margin = (high - low) * MARGIN;
        Self { kind: Kind::Log, low: low - margin, high: high + margin, from, to }
    }

    /// Names lie in the middles of bands of equal width.
    pub(super) fn categories(count: usize, from: f64, to: f64) -> Self {
        Self { kind: Kind::Categories, low: -0.5, high: count.max(1) as f64 - 0.5, from, to }
    }

    /// The pixel of `value`, at the nearer end where it lies outside.
    pub(super) fn at(&self, value: f64) -> f64 {
        let value = match self.kind {
            Kind::Log => value.max(1e-200).log10(),
            Kind::Linear | Kind::Categories => value,
        };
        let share = ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        self.from + share * (self.to - self.from)
    }

    /// Whether `value` lies outside.
    pub(super) fn clips(&self, value: f64) -> bool {
        match self.kind {
            Kind::Log => value <= 0.0 || !(self.low..=self.high).contains(&value.log10()),
            Kind::Linear | Kind::Categories => !(self.low..=self.high).contains(&value),
        }
    }

    /// The pixels between two neighbouring names.
    pub(super) fn band(&self) -> f64 {
        (self.to - self.from).abs() / (self.high - self.low)
    }

    /// Where a bar begins: at 0, or at the axis where there is no 0.
    pub(super) fn base(&self) -> f64 {
        if self.kind == Kind::Log { self.from } else { self.at(0.0) }
    }

    /// Round values inside, about `wanted` of them and in order; those of names are the caller's.
    pub(super) fn ticks(&self, wanted: usize) -> Vec<f64> {
        match self.kind {
            Kind::Linear => round_values(self.low, self.high, wanted),
            Kind::Log => self.log_ticks(wanted),
            Kind::Categories => Vec::new(),
        }
    }

    fn log_ticks(&self, wanted: usize) -> Vec<f64> {
        let decades = self.high - self.low;
        // Less than a decade may hold one of 1, 2 and 5 alone.
        if decades < 0.7 {
            let inside = round_values(10f64.powf(self.low), 10f64.powf(self.high), wanted.min(5));
            return inside.into_iter().filter(|tick| *tick > 0.0).collect();
        }
        let step = (decades / wanted.max(1) as f64).round().max(1.0) as i32;
        let of = |mantissas: &[f64]| -> Vec<f64> {
            let first = (self.low.floor() as i32).div_euclid(step) * step;
            let powers = (first..=self.high.ceil() as i32).step_by(step as usize).take(MOST_TICKS);
            let all =
                powers.flat_map(|power| mantissas.iter().map(move |mantissa| mantissa * 10f64.powi(power)));
            all.filter(|tick| !self.clips(*tick)).collect()
        };
        // Between powers that are left out there is nothing regular to mark.
        let choices = match step {
            1 => vec![of(&[1.0]), of(&[1.0, 3.0]), of(&[1.0, 2.0, 5.0])],
            _ => vec![of(&[1.0])],
        };
        // The densest that is not too dense; one tick alone says nothing of a scale.
        let fits = |ticks: &&Vec<f64>| ticks.len() <= wanted + 1;
        let chosen = choices.iter().rev().find(fits).or_else(|| choices.iter().find(|ticks| ticks.len() > 1));
        chosen.cloned().unwrap_or_default()
    }
}

/// Multiples of 1, 2 or 5 times a power of ten between `low` and `high`.
fn round_values(low: f64, high: f64, wanted: usize) -> Vec<f64> {
    let rough = (high - low) / wanted.max(1) as f64;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|round| round * power).into_iter().find(|step| *step >= rough * 0.8);
    let Some(step) = step.filter(|step| step.is_normal()) else { return Vec::new() };
    let first = (low / step).ceil();
    // A step this small against its value would name one value many times.
    if first.abs() > 1e12 {
        return Vec::new();
    }
    (0..MOST_TICKS)
        .map(|index| (first + index as f64) * step)
        .take_while(|tick| *tick <= high * (1.0 + 1e-12))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_inside_and_few() {
        let linear = |low, high| Scale::linear(Some((low, high)), false, 0.0, 100.0);
        let log = |low, high| Scale::log(Some((low, high)), 0.0, 100.0);
        for (scale, ticks) in [
            (Scale::linear(Some((3.0, 9.7)), true, 0.0, 100.0), vec![0.0, 2.0, 4.0, 6.0, 8.0, 10.0]),
            (linear(-1.0, 1.0), vec![-1.0, -0.5, 0.0, 0.5, 1.0]),
            (log(1.0, 1000.0), vec![1.0, 10.0, 100.0, 1000.0]),
            (log(1.0, 20.0), vec![1.0, 2.0, 5.0, 10.0, 20.0]),
            (log(40.0, 60.0), vec![40.0, 45.0, 50.0, 55.0, 60.0]),
        ] {
            let found = scale.ticks(5);
            assert_eq!(found.len(), ticks.len(), "{found:?}");
            let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-9 * b.abs().max(1.0);
            assert!(found.iter().zip(&ticks).all(near), "{found:?} {ticks:?}");
        }
    }

    #[test]
    fn any_range_has_finite_pixels_and_a_bounded_number_of_ticks() {
        let extents = [
            None,
            Some((0.0, 0.0)),
            Some((5.0, 5.0)),
            Some((-3.0, -3.0)),
            Some((1e-100, 1e100)),
            Some((1e15, 1e15 + 1.0)),
            Some((1e-300_f64.max(1e-100), 1e-99)),
        ];
        for extent in extents {
            let mut scales = vec![
                Scale::linear(extent, false, 0.0, 100.0),
                Scale::linear(extent, true, 100.0, 0.0),
                Scale::categories(0, 0.0, 100.0),
            ];
            if extent.is_none_or(|(low, _)| low > 0.0) {
                scales.push(Scale::log(extent, 0.0, 100.0));
            }
            for scale in scales {
                for value in [0.0, -1.0, 5.0, 1e100, 1e-100] {
                    let at = scale.at(value);
                    assert!((0.0..=100.0).contains(&at), "{scale:?} {value} {at}");
                }
                assert!(scale.ticks(6).len() <= MOST_TICKS && scale.base().is_finite(), "{scale:?}");
            }
        }
    }
}
