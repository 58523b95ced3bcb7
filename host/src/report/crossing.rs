//! Where the faster of two backends changes with model size, and when builds pay for themselves, in words.

use super::figure::{NONE, count, figure, interval, p_value, ratio};
use crate::analysis::{Payback, SizeCrossover};
use crate::stats::{Amortisation, Crossing, CrossingBootstrap, Fieller, Interval};

/// The answer of one crossover, with what it rests on.
pub(super) fn sentence(of: &SizeCrossover) -> String {
    let (a, b) = (&of.backend, &of.against);
    let range = interval(of.fit.measured, params);
    let models = of.points.len();
    match of.fit.crossing {
        Crossing::Inside { params: at } => {
            let Fieller::Bounded(ends) = of.fit.fieller else {
                return format!(
                    "no crossing shown (n = {models} models, {range}): the ratio's change with size is within its noise; {}",
                    winner(of)
                );
            };
            let (below, above) = if of.fit.fit.slope < 0.0 { (a, b) } else { (b, a) };
            format!(
                "{below} is faster below {} parameters, {above} above (95% CI {} by Fieller, n = {models} models, {range})",
                params(at),
                interval(ends, params)
            )
        }
        Crossing::Below { params: at } | Crossing::Above { params: at } => format!(
            "no crossing inside the measured range of {range} (n = {models} models): {}; the line, extrapolated, would reach \
             1x at {} parameters, which no run shows",
            winner(of),
            params(at)
        ),
        Crossing::None => {
            format!(
                "no crossing: the ratio does not change with size (n = {models} models, {range}); {}",
                winner(of)
            )
        }
    }
}

/// Who won how many sizes.
fn winner(of: &SizeCrossover) -> String {
    let wins = of.points.iter().filter(|point| point.ratio > 1.0).count();
    let all = of.points.len();
    format!("{} is faster at {wins} of {all} sizes, {} at {}", of.backend, of.against, all - wins)
}

/// Name and value of everything the fit says, in reading order.
pub(super) fn facts(of: &SizeCrossover) -> Vec<(&'static str, String)> {
    let fit = &of.fit;
    vec![
        ("fit", power(of)),
        ("R²", fit.fit.r_squared.map_or_else(|| NONE.into(), |r| format!("{r:.3}"))),
        ("crossing", fit.crossing.params().map_or_else(|| NONE.into(), params)),
        ("95% by pairs bootstrap", bootstrap(&fit.pairs_bootstrap)),
        ("95% by residual bootstrap", bootstrap(&fit.residual_bootstrap)),
        ("95% by Fieller", fieller(fit.fieller)),
        ("95% by the delta method", optional(fit.delta_ci95)),
        ("transition band", transition(fit.transition)),
    ]
}

fn power(of: &SizeCrossover) -> String {
    let factor = figure(of.fit.factor);
    format!("{} / {} = {factor} x parameters^{:.4}", of.backend, of.against, of.fit.fit.slope)
}

fn bootstrap(of: &CrossingBootstrap) -> String {
    let resamples = count(of.resamples as u64);
    let some = |number: usize, what: &str| match number {
        0 => String::new(),
        number => format!(", {} {what}", count(number as u64)),
    };
    let none = some(of.without_crossing, "without a crossing");
    let turned = some(of.other_direction, "crossing the other way");
    format!("{} ({resamples} resamples{none}{turned})", optional(of.ci95))
}

fn fieller(of: Fieller) -> String {
    match of {
        Fieller::Bounded(ends) => interval(ends, params),
        Fieller::Unbounded => "unbounded (the slope does not differ from 0 at 5%)".into(),
    }
}

fn transition(of: Option<Interval>) -> String {
    of.map_or_else(
        || "none (the same backend wins at the smallest and the largest size)".into(),
        |band| {
            format!(
                "{} (the winners on either side are the same at every measured size)",
                interval(band, params)
            )
        },
    )
}

fn optional(of: Option<Interval>) -> String {
    of.map_or_else(|| NONE.into(), |ends| interval(ends, params))
}

/// `76.4M`.
pub(super) fn params(value: f64) -> String {
    let (scale, unit) = match value {
        value if value >= 1e9 => (1e9, "B"),
        value if value >= 1e6 => (1e6, "M"),
        value if value >= 1e3 => (1e3, "k"),
        _ => (1.0, ""),
    };
    format!("{}{unit}", figure(Some(value / scale)))
}

/// The columns of a payback, without model, call and backend: text, and the value it stands for.
pub(super) fn payback(of: &Payback) -> Vec<(String, Option<f64>)> {
    let recovered = |value: fn(&Amortisation) -> Option<f64>| match (&of.recovered, of.test) {
        (Some(recovered), _) => (figure(value(recovered)), value(recovered)),
        (None, Some(test)) if test.difference > 0.0 => {
            (format!("not shown to be faster ({}, {})", test.test.name(), p_value(test.p)), None)
        }
        (None, _) => ("never (no faster than the baseline)".into(), None),
    };
    let number = |value: f64| (figure(Some(value)), Some(value));
    let counted = |value: usize| (count(value as u64), Some(value as f64));
    vec![
        (of.artifact.clone(), None),
        number(of.build_seconds),
        number(of.baseline_tok_s),
        (
            format!("{} ({})", figure(Some(of.tok_s)), ratio(Some(of.tok_s / of.baseline_tok_s))),
            Some(of.tok_s),
        ),
        counted(of.scenarios),
        counted(of.n),
        recovered(|of| of.runs),
        recovered(|of| Some(of.tokens)),
        recovered(|of| Some(of.seconds / 3600.0)),
        of.tokens_per_hour.map_or_else(|| (NONE.into(), None), |_| recovered(|of| of.hours)),
    ]
}

/// Their names.
pub(super) const PAYBACK: [&str; 10] = [
    "artifact",
    "build s",
    "baseline tok/s",
    "tok/s",
    "scenarios",
    "n",
    "runs to recover",
    "tokens to recover",
    "hours at full load",
    "hours at the given load",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::Call;
    use crate::record::Mode;
    use crate::stats::{Load, amortisation};

    #[test]
    fn every_column_of_a_payback_has_a_name() {
        let load = Load { tokens_per_run: Some(16.0), tokens_per_hour: Some(1e6) };
        let of = Payback {
            model: "gpt2-5m".into(),
            call: Call { mode: Mode::Prefill, use_cache: None },
            backend: "ort".into(),
            artifact: "onnx-fp32".into(),
            build_seconds: 60.0,
            scenarios: 6,
            n: 60,
            baseline_tok_s: 1000.0,
            tok_s: 4000.0,
            tokens_per_run: 16.0,
            test: None,
            tokens_per_hour: load.tokens_per_hour,
            recovered: amortisation(60.0, 1000.0, 4000.0, load),
        };
        let columns = payback(&of);
        assert_eq!(columns.len(), PAYBACK.len());
        let hours = PAYBACK.iter().position(|name| *name == "hours at the given load").unwrap();
        assert_eq!(columns[hours].1, Some(0.08));
        let never = payback(&Payback { recovered: None, ..of });
        assert_eq!(never[hours], ("never (no faster than the baseline)".into(), None));
    }

    #[test]
    fn sizes_are_named_by_their_unit() {
        for (value, text) in [(102_714.0, "103k"), (76_420_000.0, "76.4M"), (1.5e9, "1.50B"), (12.0, "12.0")]
        {
            assert_eq!(params(value), text);
        }
    }
}
