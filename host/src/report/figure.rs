//! Numbers for people: three significant digits, thousands set apart.

use crate::stats::{Interval, Summary};

/// What stands where there is no number.
pub(crate) const NONE: &str = "–";

/// A number, or [`NONE`].
pub(crate) fn figure(value: Option<f64>) -> String {
    value.filter(|value| value.is_finite()).map_or_else(|| NONE.into(), |value| fixed(value, decimals(value)))
}

/// Median and standard deviation, to the median's precision; the median alone where one run has no deviation.
pub(super) fn spread(summary: &Summary) -> String {
    plus_minus(summary.median, summary.sd)
}

/// Mean and standard deviation in another unit, one of which is worth `1 / scale`; else as [`spread`].
pub(super) fn mean_spread(summary: &Summary, scale: f64) -> String {
    plus_minus(summary.mean.map(|mean| mean * scale), summary.sd.map(|sd| sd * scale))
}

fn plus_minus(middle: Option<f64>, sd: Option<f64>) -> String {
    match (middle, sd) {
        (Some(middle), Some(sd)) if middle.is_finite() && sd.is_finite() => {
            let decimals = decimals(middle);
            format!("{} ± {}", fixed(middle, decimals), fixed(sd, decimals))
        }
        (middle, _) => figure(middle),
    }
}

/// How many times the baseline's.
pub(crate) fn ratio(value: Option<f64>) -> String {
    match value.filter(|value| value.is_finite()) {
        Some(value) if value < 0.1 => format!("{}x", figure(Some(value))),
        Some(value) => format!("{}x", fixed(value, 2)),
        None => NONE.into(),
    }
}

/// How many times as much.
pub(super) fn times(value: f64) -> String {
    ratio(Some(value))
}

/// `1.35x to 1.43x`, each end as `text` has it.
pub(super) fn interval(of: Interval, text: impl Fn(f64) -> String) -> String {
    format!("{} to {}", text(of.low), text(of.high))
}

/// `p 0.034`, `p 3.1e-9`.
pub(crate) fn p_value(p: f64) -> String {
    match p {
        p if p < 1e-300 => "p < 1e-300".into(),
        p if p < 0.001 => format!("p {p:.1e}"),
        p => format!("p {p:.3}"),
    }
}

/// A count with thousands set apart.
pub(super) fn count(value: u64) -> String {
    grouped(&value.to_string())
}

/// Bytes in the largest binary unit that leaves one digit before the point.
pub(super) fn bytes(value: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut scaled = value as f64;
    let mut unit = 0;
    while scaled >= 1024.0 && unit + 1 < UNITS.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    format!("{} {}", figure(Some(scaled)), UNITS[unit])
}

fn decimals(value: f64) -> usize {
    match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        size if size >= 0.1 || size == 0.0 => 3,
        size if size >= 0.01 => 4,
        _ => 5,
    }
}

fn fixed(value: f64, decimals: usize) -> String {
    if value.abs() >= 1e15 {
        return format!("{value:.2e}");
    }
    let text = format!("{value:.decimals$}");
    match text.split_once('.') {
        Some((whole, fraction)) => format!("{}.{fraction}", grouped(whole)),
        None => grouped(&text),
    }
}

/// `1234567` as `1,234,567`.
fn grouped(digits: &str) -> String {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |rest| ("-", rest));
    let mut text = String::from(sign);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::summary;

    #[test]
    fn figures_keep_three_digits() {
        for (value, text) in [
            (1234567.8, "1,234,568"),
            (999.6, "1,000"),
            (413.2, "413"),
            (30.14, "30.1"),
            (1.934, "1.93"),
            (0.0614, "0.0614"),
            (0.0, "0.000"),
            (-1234.0, "-1,234"),
            (1e300, "1.00e300"),
        ] {
            assert_eq!(figure(Some(value)), text, "{value}");
        }
        assert_eq!(figure(None), NONE);
        assert_eq!(figure(Some(f64::NAN)), NONE);
    }

    #[test]
    fn a_spread_needs_two_runs() {
        assert_eq!(spread(&summary(&[1.9, 2.0, 2.1])), "2.00 ± 0.10");
        assert_eq!(spread(&summary(&[2.0])), "2.00");
        assert_eq!(spread(&summary(&[])), NONE);
        assert_eq!(mean_spread(&summary(&[1500.0, 1700.0, 2500.0]), 1e-3), "1.90 ± 0.53");
    }

    #[test]
    fn ratios_counts_and_bytes() {
        assert_eq!(
            (ratio(Some(1.0)), ratio(Some(0.0312)), ratio(None)),
            ("1.00x".into(), "0.0312x".into(), NONE.into())
        );
        assert_eq!(count(5_037_312), "5,037,312");
        assert_eq!((bytes(512), bytes(8 << 30)), ("512 B".into(), "8.00 GiB".into()));
    }
}
