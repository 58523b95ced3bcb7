//! Every function against SciPy's values of `tests/stats/scipy.json`, which `scripts/stats_fixtures.py` makes.

use super::*;
use serde::Deserialize;

/// What every value meets relative to its size, or that of its interval or scale.
const TOLERANCE: f64 = 1e-11;

#[derive(Deserialize)]
struct Fixture {
    samples: Vec<Sample>,
    pairs: Vec<Pair>,
    holm: Vec<Holm>,
    wilson: Vec<Share>,
    t_tails: Vec<TTail>,
    t_criticals: Vec<TCritical>,
    f_tails: Vec<FTail>,
    lines: Vec<Line>,
    anova: Vec<Anova>,
}

#[derive(Deserialize)]
struct Sample {
    name: String,
    values: Vec<f64>,
    mean: f64,
    sd: f64,
    cv: f64,
    ci95: [f64; 2],
    quantiles: [f64; 3],
    geometric_mean: Option<f64>,
    scores: Vec<f64>,
    trend: Option<Trend>,
}

#[derive(Deserialize)]
struct Trend {
    tau: f64,
    p: f64,
    method: TauMethod,
    slope: f64,
}

#[derive(Deserialize)]
struct Pair {
    a: String,
    b: String,
    factor: f64,
    welch: Tested,
    pooled: Tested,
    effect: Effect,
    ratio: Option<Ratio>,
}

#[derive(Deserialize)]
struct Tested {
    difference: f64,
    t: f64,
    df: f64,
    p: f64,
    ci95: [f64; 2],
}

#[derive(Deserialize)]
struct Effect {
    cohens_d: f64,
    hedges_g: f64,
}

#[derive(Deserialize)]
struct Ratio {
    ratio: f64,
    ci95: [f64; 2],
}

#[derive(Deserialize)]
struct Holm {
    p: Vec<f64>,
    adjusted: Vec<f64>,
}

#[derive(Deserialize)]
struct Share {
    hits: u64,
    total: u64,
    ci95: [f64; 2],
}

#[derive(Deserialize)]
struct TTail {
    t: f64,
    df: f64,
    p: f64,
}

#[derive(Deserialize)]
struct TCritical {
    confidence: f64,
    df: f64,
    t: f64,
}

#[derive(Deserialize)]
struct FTail {
    f: f64,
    between: f64,
    within: f64,
    p: f64,
}

#[derive(Deserialize)]
struct Line {
    x: Vec<f64>,
    y: Vec<f64>,
    slope: f64,
    intercept: f64,
    slope_se: f64,
    intercept_se: f64,
    r_squared: f64,
    p: f64,
}

#[derive(Deserialize)]
struct Anova {
    groups: Vec<String>,
    f: f64,
    p: f64,
    eta_squared: f64,
    within_variance: f64,
    between_variance: f64,
}

fn fixture() -> Fixture {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/stats/scipy.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

impl Fixture {
    fn values(&self, name: &str) -> &[f64] {
        &self.samples.iter().find(|sample| sample.name == name).unwrap().values
    }
}

/// Collects what differs and the largest difference, so that one run names every wrong value.
#[derive(Default)]
struct Checks {
    wrong: Vec<String>,
    compared: usize,
    largest: f64,
}

impl Checks {
    fn near(&mut self, what: &str, found: impl Into<Option<f64>>, expected: f64) {
        self.within(what, found, expected, expected.abs());
    }

    /// `scale` stands for the size of what the value was computed from.
    fn within(&mut self, what: &str, found: impl Into<Option<f64>>, expected: f64, scale: f64) {
        let found = found.into();
        let off = found.map_or(f64::INFINITY, |found| (found - expected).abs());
        let off = if off == 0.0 { 0.0 } else { off / scale };
        self.compared += 1;
        self.largest = self.largest.max(off);
        if off.is_nan() || off > TOLERANCE {
            self.wrong.push(format!("{what}: {found:?}, not {expected:?}, off by {off:e}"));
        }
    }

    fn interval(&mut self, what: &str, found: Option<Interval>, expected: [f64; 2]) {
        let scale = expected[0].abs().max(expected[1].abs());
        self.within(&format!("{what} low"), found.map(|ci| ci.low), expected[0], scale);
        self.within(&format!("{what} high"), found.map(|ci| ci.high), expected[1], scale);
    }

    fn end(self, subject: &str) {
        println!("{subject}: {} values, the largest difference {:e}", self.compared, self.largest);
        assert!(
            self.wrong.is_empty(),
            "{} of {}:\n{}",
            self.wrong.len(),
            self.compared,
            self.wrong.join("\n")
        );
        assert!(self.compared > 0, "nothing was compared");
    }
}

#[test]
fn samples() {
    let mut checks = Checks::default();
    for Sample { name, values, mean, sd, cv, ci95, quantiles, geometric_mean: geometric, .. } in
        fixture().samples
    {
        let found = summary(&values);
        checks.near(&format!("{name} mean"), found.mean, mean);
        checks.near(&format!("{name} sd"), found.sd, sd);
        checks.near(&format!("{name} cv"), found.cv, cv);
        checks.interval(&format!("{name} ci95"), found.ci95, ci95);
        for (share, expected) in [0.5, 0.9, 0.99].into_iter().zip(quantiles) {
            checks.near(&format!("{name} quantile {share}"), quantile(&values, share), expected);
        }
        assert_eq!(geometric_mean(&values).is_some(), geometric.is_some(), "{name}");
        if let Some(expected) = geometric {
            checks.near(&format!("{name} geometric mean"), geometric_mean(&values), expected);
        }
    }
    checks.end("samples");
}

#[test]
fn scores_and_trends() {
    let mut checks = Checks::default();
    for Sample { name, values, scores, trend, .. } in fixture().samples {
        for (found, expected) in modified_z_scores(&values).into_iter().zip(scores) {
            checks.within(&format!("{name} score"), found, expected, expected.abs().max(1.0));
        }
        let found = drift(&values);
        assert_eq!(found.map(|drift| drift.method), trend.as_ref().map(|trend| trend.method), "{name}");
        if let (Some(found), Some(expected)) = (found, trend) {
            checks.near(&format!("{name} tau"), found.tau, expected.tau);
            checks.near(&format!("{name} p of tau"), found.p, expected.p);
            checks.near(&format!("{name} slope"), found.slope, expected.slope);
        }
    }
    checks.end("scores and trends");
}

#[test]
fn pairs_of_samples() {
    let fixture = fixture();
    let mut checks = Checks::default();
    for Pair { a, b, factor, welch, pooled, effect, ratio } in &fixture.pairs {
        let name = format!("{a} and {b}");
        let other: Vec<f64> = fixture.values(b).iter().map(|value| value * factor).collect();
        let (a, b) = (summary(fixture.values(a)), summary(&other));
        for (test, expected) in [(Test::Welch, welch), (Test::Pooled, pooled)] {
            let (found, name) = (t_test(&a, &b, test).unwrap(), format!("{name} {}", test.name()));
            checks.near(&format!("{name} difference"), found.difference, expected.difference);
            checks.near(&format!("{name} t"), found.t, expected.t);
            checks.near(&format!("{name} df"), found.df, expected.df);
            checks.near(&format!("{name} p"), found.p, expected.p);
            checks.interval(&format!("{name} ci95"), Some(found.ci95), expected.ci95);
        }
        let found = effect_size(&a, &b).unwrap();
        checks.near(&format!("{name} d"), found.cohens_d, effect.cohens_d);
        checks.near(&format!("{name} g"), found.hedges_g, effect.hedges_g);
        let found = ratio_of_means(&a, &b);
        assert_eq!(found.is_some(), ratio.is_some(), "{name}");
        if let (Some(found), Some(expected)) = (found, ratio) {
            checks.near(&format!("{name} ratio"), found.ratio, expected.ratio);
            checks.interval(&format!("{name} ratio ci95"), found.ci95, expected.ci95);
        }
    }
    checks.end("pairs");
}

#[test]
fn tails_and_critical_values() {
    let fixture = fixture();
    let mut checks = Checks::default();
    for TTail { t, df, p } in fixture.t_tails {
        checks.near(&format!("P(|T| >= {t}) of {df}"), t_two_sided(t, df), p);
    }
    for TCritical { confidence, df, t } in fixture.t_criticals {
        checks.near(&format!("t of {confidence} and {df}"), t_critical(confidence, df), t);
    }
    for FTail { f, between, within, p } in fixture.f_tails {
        checks.near(&format!("P(F >= {f}) of {between} and {within}"), fisher::f_tail(f, between, within), p);
    }
    checks.end("tails");
}

#[test]
fn lines() {
    let mut checks = Checks::default();
    for (at, line) in fixture().lines.into_iter().enumerate() {
        let fit = line_fit(&line.x, &line.y).unwrap();
        for (what, found, expected) in [
            ("slope", Some(fit.slope), line.slope),
            ("intercept", Some(fit.intercept), line.intercept),
            ("slope_se", fit.slope_se, line.slope_se),
            ("intercept_se", fit.intercept_se, line.intercept_se),
            ("r_squared", fit.r_squared, line.r_squared),
            ("p", fit.slope_p, line.p),
        ] {
            checks.near(&format!("line {at} {what}"), found, expected);
        }
    }
    checks.end("lines");
}

#[test]
fn analyses_of_variance() {
    let fixture = fixture();
    let mut checks = Checks::default();
    for case in &fixture.anova {
        let groups: Vec<&[f64]> = case.groups.iter().map(|name| fixture.values(name)).collect();
        let found = variance_split(&groups).unwrap();
        let name = case.groups.join(", ");
        checks.near(&format!("{name}: F"), found.f, case.f);
        checks.near(&format!("{name}: p"), found.p, case.p);
        checks.near(&format!("{name}: eta squared"), found.eta_squared, case.eta_squared);
        checks.near(&format!("{name}: within"), found.within_variance, case.within_variance);
        checks.near(&format!("{name}: between"), found.between_variance, case.between_variance);
    }
    checks.end("analyses of variance");
}

#[test]
fn families_and_shares() {
    let fixture = fixture();
    let mut checks = Checks::default();
    for case in fixture.holm {
        for (found, expected) in holm(&case.p).into_iter().zip(case.adjusted) {
            checks.near("Holm", found, expected);
        }
    }
    for Share { hits, total, ci95 } in fixture.wilson {
        checks.interval(&format!("Wilson {hits} of {total}"), wilson(hits, total), ci95);
    }
    checks.end("families and shares");
}
