//! Comparisons with the baseline as text, for every output alike, and `comparisons.csv`.

use super::figure::{NONE, count, figure, interval, p_value, ratio, times};
use crate::analysis::{Comparison, Standing};
use crate::stats::{EffectSize, Interval, Summary, TTest};
use crate::text;

/// `1.32x [1.28x to 1.36x]`.
pub(super) fn ratio_with_interval(value: Option<f64>, ci95: Option<Interval>) -> String {
    match ci95.filter(|_| value.is_some()) {
        Some(ci) => format!("{} [{}]", ratio(value), interval(ci, times)),
        None => ratio(value),
    }
}

/// `5.24 [5.01 to 5.47]`: the mean with its 95% interval.
pub(super) fn mean_with_interval(of: &Summary) -> String {
    match of.ci95 {
        Some(ci) => format!("{} [{}]", figure(of.mean), interval(ci, |value| figure(Some(value)))),
        None => figure(of.mean),
    }
}

/// `-1.20 ms [-1.31 to -1.09]`.
pub(super) fn difference(test: Option<&TTest>, unit: &str) -> String {
    let number = |value: f64| figure(Some(value));
    test.map_or(NONE.into(), |test| {
        format!("{} {unit} [{}]", number(test.difference), interval(test.ci95, number))
    })
}

/// `Welch's t 8.31, df 7.2: p 3.1e-5, after Holm of 36: p 0.001`.
pub(super) fn tested(of: &Comparison) -> String {
    let Some(test) = &of.test else { return NONE.into() };
    let holm = of.p_holm.map_or(String::new(), |p| format!("; Holm of {}: {}", of.family, p_value(p)));
    format!("{} {:.2}, df {:.1}: {}{holm}", test.test.name(), test.t, test.df, p_value(test.p))
}

/// `d -1.18, g -1.16 (large)`.
pub(super) fn effect(of: Option<&EffectSize>) -> String {
    of.map_or(NONE.into(), |effect| {
        format!("d {:.2}, g {:.2} ({})", effect.cohens_d, effect.hedges_g, effect.magnitude.name())
    })
}

/// The test of the runs of all scenarios together.
pub(super) fn pooled_test(of: &Standing) -> String {
    of.pooled.latency_test.as_ref().map_or(NONE.into(), |test| {
        format!("{} {:.2}, df {:.1}: {}", test.test.name(), test.t, test.df, p_value(test.p))
    })
}

/// `2 of 40 (5.0%, 95% CI 1.4% to 16.5%)`.
pub(super) fn rate(of: &crate::analysis::Rate) -> String {
    let percent = |share: f64| format!("{:.1}%", share * 100.0);
    let counts = format!("{} of {}", count(of.count), count(of.of));
    match of.share.zip(of.ci95) {
        Some((share, ci)) => format!("{counts} ({}, 95% CI {})", percent(share), interval(ci, percent)),
        None => counts,
    }
}

type Column = (&'static str, fn(&Comparison) -> String);

const COLUMNS: [Column; 32] = [
    ("model", |of| text::csv(&of.model)),
    ("mode", |of| of.call.mode.name().into()),
    ("use_cache", |of| field(of.call.use_cache)),
    ("scenario", |of| text::csv(&of.scenario.name)),
    ("batch", |of| of.scenario.batch.to_string()),
    ("prompt_tokens", |of| of.scenario.prompt_tokens.to_string()),
    ("new_tokens", |of| of.scenario.new_tokens.to_string()),
    ("metric", |of| of.metric.name().into()),
    ("backend", |of| text::csv(&of.backend)),
    ("baseline", |of| text::csv(&of.baseline)),
    ("cell", |of| text::csv(&of.cell)),
    ("baseline_cell", |of| text::csv(&of.baseline_cell)),
    ("n", |of| of.n.to_string()),
    ("baseline_n", |of| of.baseline_n.to_string()),
    ("mean", |of| field(of.mean)),
    ("baseline_mean", |of| field(of.baseline_mean)),
    ("difference", |of| test(of, |test| test.difference)),
    ("difference_ci95_low", |of| test(of, |test| test.ci95.low)),
    ("difference_ci95_high", |of| test(of, |test| test.ci95.high)),
    ("ratio", |of| field(of.ratio)),
    ("ratio_ci95_low", |of| field(of.ratio_ci95.map(|ci| ci.low))),
    ("ratio_ci95_high", |of| field(of.ratio_ci95.map(|ci| ci.high))),
    ("test", |of| field(of.test.map(|test| test.test.name()))),
    ("t", |of| test(of, |test| test.t)),
    ("df", |of| test(of, |test| test.df)),
    ("p", |of| test(of, |test| test.p)),
    ("p_holm", |of| field(of.p_holm)),
    ("family", |of| of.family.to_string()),
    ("cohens_d", |of| field(of.effect.map(|effect| effect.cohens_d))),
    ("hedges_g", |of| field(of.effect.map(|effect| effect.hedges_g))),
    ("effect", |of| field(of.effect.map(|effect| effect.magnitude.name()))),
    ("outcome", |of| of.outcome.name().into()),
];

/// One row per comparison, figures unrounded, an empty field where there is none.
///
/// # Errors
/// None in memory; the writer's type has them.
pub(super) fn csv(comparisons: &[Comparison]) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(COLUMNS.map(|(name, _)| name))?;
    for of in comparisons {
        writer.write_record(COLUMNS.map(|(_, value)| value(of)))?;
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}

fn test(of: &Comparison, value: fn(&TTest) -> f64) -> String {
    field(of.test.as_ref().map(value))
}

fn field<T: ToString>(value: Option<T>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}
