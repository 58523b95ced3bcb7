//! When the time that building an artifact takes has been won back by its speed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is asked of the backend, to say it in runs and hours too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Load {
    /// Tokens that one run processes.
    pub tokens_per_run: Option<f64>,
    /// Tokens wanted each hour.
    pub tokens_per_hour: Option<f64>,
}

/// How much work it takes until a build pays for itself.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Amortisation {
    /// Tokens after which build and work together took no longer than the baseline's work alone.
    pub tokens: f64,
    /// Seconds from the build's start to that point with work all the time: what the baseline needs for those tokens.
    pub seconds: f64,
    /// The same in runs; none without tokens for each run.
    pub runs: Option<f64>,
    /// Hours of the given load after which the time spent on its tokens is that much less; none without a load, or for
    /// one that is more than the backend can process.
    pub hours: Option<f64>,
}

/// The break-even of a build of `build_seconds` for `rate` in place of `baseline_rate`, both in tokens per second; none
/// where it is not faster, or a number is not positive and finite.
///
/// Each token saves 1/r_0 - 1/r_1 seconds, so t_b / (1/r_0 - 1/r_1) tokens save the build's t_b.
pub fn amortisation(build_seconds: f64, baseline_rate: f64, rate: f64, load: Load) -> Option<Amortisation> {
    let positive = |value: f64| value > 0.0 && value.is_finite();
    if !(build_seconds >= 0.0 && positive(baseline_rate) && rate.is_finite() && rate > baseline_rate) {
        return None;
    }
    let seconds = build_seconds * (rate / (rate - baseline_rate));
    let tokens = seconds * baseline_rate;
    if !tokens.is_finite() {
        return None;
    }
    let per = |size: f64| Some(tokens / size).filter(|_| positive(size)).filter(|count| count.is_finite());
    Some(Amortisation {
        tokens,
        seconds,
        runs: load.tokens_per_run.and_then(per),
        hours: load.tokens_per_hour.filter(|wanted| wanted / 3600.0 <= rate).and_then(per),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_pays_for_itself() {
        // 60 s to go from 100 to 400 tokens/s: 3/400 s saved for each of 8,000 tokens.
        let load = Load { tokens_per_run: Some(32.0), tokens_per_hour: Some(1000.0) };
        let found = amortisation(60.0, 100.0, 400.0, load).unwrap();
        assert_eq!((found.tokens, found.seconds), (8000.0, 80.0));
        assert_eq!((found.runs, found.hours), (Some(250.0), Some(8.0)));
        // At that moment both are even: the build and 8,000 tokens at 400, or 8,000 tokens at 100.
        assert_eq!(60.0 + found.tokens / 400.0, found.tokens / 100.0);
        let free = amortisation(0.0, 1.0, 2.0, Load::default()).unwrap();
        assert_eq!((free.tokens, free.runs, free.hours), (0.0, None, None));
    }

    #[test]
    fn what_never_pays_has_no_answer() {
        for (build, baseline, rate) in [
            (60.0, 100.0, 100.0),
            (60.0, 100.0, 90.0),
            (-1.0, 100.0, 200.0),
            (60.0, 0.0, 200.0),
            (60.0, 100.0, f64::INFINITY),
            (f64::NAN, 100.0, 200.0),
            (60.0, f64::NAN, 200.0),
            (f64::MAX, 1.0, 1.0 + f64::EPSILON),
        ] {
            assert_eq!(
                amortisation(build, baseline, rate, Load::default()),
                None,
                "{build} {baseline} {rate}"
            );
        }
        for (run, hour) in [(0.0, 0.0), (-1.0, f64::NAN), (f64::NAN, 400.0 * 3601.0)] {
            let load = Load { tokens_per_run: Some(run), tokens_per_hour: Some(hour) };
            let found = amortisation(60.0, 100.0, 400.0, load).unwrap();
            assert_eq!((found.runs, found.hours), (None, None), "{run} {hour}");
        }
    }
}
