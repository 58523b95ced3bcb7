//! The figures of the study that the project began with come out again, from `tests/stats/reference`.

use super::*;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::path::PathBuf;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/stats/reference");

/// Where the project's shared files lie beside the checkout, the study's own tables.
const ORIGINALS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/reference");

const FILES: [&str; 3] = ["crossover_points.csv", "gpt2_100m_prefill.csv", "amortisation.csv"];

fn rows<T: DeserializeOwned>(file: &str) -> Vec<T> {
    let path = PathBuf::from(FOLDER).join(file);
    let mut reader = csv::ReaderBuilder::new().comment(Some(b'#')).from_path(path).unwrap();
    reader.deserialize().map(|row| row.unwrap()).collect()
}

fn close(found: f64, expected: f64, tolerance: f64) -> bool {
    (found / expected - 1.0).abs() <= tolerance
}

#[test]
fn the_transcription_is_the_original() {
    if !PathBuf::from(ORIGINALS).is_dir() {
        println!("skipped: {ORIGINALS} is not there, so the transcription is not compared with it");
        return;
    }
    for file in FILES {
        let read = |folder: &str| std::fs::read_to_string(PathBuf::from(folder).join(file)).unwrap();
        let ours = read(FOLDER);
        let ours: Vec<&str> = ours.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(ours, read(ORIGINALS).lines().collect::<Vec<&str>>(), "{file}");
    }
}

#[derive(Deserialize)]
struct Size {
    params: f64,
    ort_cpu_tok_s: f64,
    pytorch_tok_s: f64,
}

fn points() -> Vec<CrossoverPoint> {
    let point = |Size { params, ort_cpu_tok_s, pytorch_tok_s }| CrossoverPoint {
        params,
        ratio: ort_cpu_tok_s / pytorch_tok_s,
    };
    rows("crossover_points.csv").into_iter().map(point).collect()
}

/// In millions of parameters.
fn millions(interval: Option<Interval>) -> (f64, f64) {
    interval.map(|ci| (ci.low / 1e6, ci.high / 1e6)).unwrap()
}

#[test]
fn the_crossover() {
    let found = crossover(&points(), 1).unwrap();
    let rounds_to = |value: f64, printed: f64, digit: f64| (value - printed).abs() <= digit / 2.0;
    assert!(rounds_to(found.fit.slope, -0.5057, 1e-4), "{found:?}");
    assert!(rounds_to(found.factor.unwrap(), 9696.0, 1.0), "{found:?}");
    assert!(
        matches!(found.crossing, Crossing::Inside { params } if rounds_to(params, 76.42e6, 1e4)),
        "{found:?}"
    );
    assert!(rounds_to(found.fit.r_squared.unwrap(), 0.947, 1e-3), "{found:?}");
    // The study printed these rounded further, from throughputs with more digits.
    assert!(rounds_to(found.fit.slope, -0.506, 1e-3) && close(found.factor.unwrap(), 9700.2, 5e-4));

    let Fieller::Bounded(fieller) = found.fieller else { panic!("{found:?}") };
    let (low, high) = millions(Some(fieller));
    assert!(rounds_to(low, 47.3, 0.1) && rounds_to(high, 140.8, 0.1), "Fieller {low} to {high}");
    let (low, high) = millions(found.delta_ci95);
    assert!(rounds_to(low, 45.0, 0.1) && rounds_to(high, 129.8, 0.1), "delta {low} to {high}");
    assert_eq!(found.transition, Some(Interval { low: 51.48e6, high: 74.82e6 }));
}

/// From seed to seed the upper ends of 10,000 resamples have a standard deviation of 1.
#[test]
fn the_crossovers_bootstraps() {
    for seed in 0..5 {
        let again = crossover(&points(), seed).unwrap();
        let (low, high) = millions(again.pairs_bootstrap.ci95);
        assert!(
            (low - 56.0).abs() < 1.0 && (high - 118.0).abs() < 4.0,
            "pairs {low} to {high} of seed {seed}"
        );
        let (low, high) = millions(again.residual_bootstrap.ci95);
        assert!(
            (low - 54.5).abs() < 1.0 && (high - 121.0).abs() < 4.0,
            "residuals {low} to {high} of seed {seed}"
        );
        assert_eq!((again.pairs_bootstrap.resamples, again.pairs_bootstrap.without_crossing), (RESAMPLES, 0));
    }
}

#[derive(Deserialize)]
struct Latency {
    backend: String,
    n: usize,
    latency_mean_ms: f64,
    ci95_low: f64,
    ci95_high: f64,
    printed_p: Option<f64>,
    printed_d: Option<f64>,
}

impl Latency {
    /// The sample's summary, from its mean and interval moved by so many halves of their last digit.
    fn summary(&self, mean: f64, width: f64) -> Summary {
        // Four significant digits at most are printed.
        let half_digit = |value: f64| if value < 10.0 { 0.0005 } else { 0.005 };
        let half_width = (self.ci95_high - self.ci95_low) / 2.0
            + width * (half_digit(self.ci95_low) + half_digit(self.ci95_high)) / 2.0;
        let n = self.n as f64;
        Summary {
            n: self.n,
            mean: Some(self.latency_mean_ms + mean * half_digit(self.latency_mean_ms)),
            sd: Some(half_width / t_critical(CONFIDENCE, n - 1.0).unwrap() * n.sqrt()),
            ..Summary::default()
        }
    }
}

/// The study's p are pooled, its text says Welch: both come out, each under its name. From what was printed rounded, the
/// printed p and d must lie in the range that the rounding leaves.
#[test]
fn the_tests_against_the_baseline() {
    let rows: Vec<Latency> = rows("gpt2_100m_prefill.csv");
    let (baseline, others) = rows.split_first().unwrap();
    let pooled = [0.431, 2.66e-5, 1.47e-5, 1.18e-5, 1.32e-5];
    let welch = [0.433, 5.50e-5, 4.32e-5, 3.71e-5, 3.90e-5];
    assert_eq!(others.len(), pooled.len());
    for ((row, pooled), welch) in others.iter().zip(pooled).zip(welch) {
        let name = &row.backend;
        let p = |a: &Summary, b: &Summary, test| t_test(a, b, test).unwrap().p;
        let (a, b) = (row.summary(0.0, 0.0), baseline.summary(0.0, 0.0));
        assert!(close(p(&a, &b, Test::Pooled), pooled, 0.005), "{name}: {}", p(&a, &b, Test::Pooled));
        assert!(close(p(&a, &b, Test::Welch), welch, 0.005), "{name}: {}", p(&a, &b, Test::Welch));
        let (sa, sb) = (a.sd.unwrap(), b.sd.unwrap());
        let d = (a.mean.unwrap() - b.mean.unwrap()) / ((sa * sa + sb * sb) / 2.0).sqrt();
        assert!(close(effect_size(&a, &b).unwrap().cohens_d, d, 1e-12), "{name}");

        let ends = [-1.0, 1.0];
        let (mut ps, mut ds) = (Vec::new(), Vec::new());
        for (mean_a, mean_b) in ends.iter().flat_map(|a| ends.map(|b| (*a, b))) {
            for (width_a, width_b) in ends.iter().flat_map(|a| ends.map(|b| (*a, b))) {
                let (a, b) = (row.summary(mean_a, width_a), baseline.summary(mean_b, width_b));
                ps.push(p(&a, &b, Test::Pooled));
                ds.push(effect_size(&a, &b).unwrap().cohens_d);
            }
        }
        // The printed values are rounded too, to three digits at the least.
        let within = |found: &[f64], printed: f64, rounding: f64| {
            let low = found.iter().copied().fold(f64::INFINITY, f64::min);
            let high = found.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            assert!(
                (low - rounding..=high + rounding).contains(&printed),
                "{name}: {low} to {high}, {printed}"
            );
        };
        let printed = row.printed_p.unwrap();
        within(&ps, printed, if printed > 0.01 { 0.005 } else { printed * 5e-4 });
        within(&ds, row.printed_d.unwrap(), 5e-4);
    }
}

#[derive(Deserialize)]
struct Build {
    build_s: f64,
    baseline_tok_s: f64,
    tok_s: f64,
    printed_tokens_to_recover: f64,
}

#[test]
fn the_amortisation() {
    let builds: Vec<Build> = rows("amortisation.csv");
    assert_eq!(builds.len(), 1);
    for Build { build_s, baseline_tok_s, tok_s, printed_tokens_to_recover: printed } in builds {
        let tokens = |baseline, rate| amortisation(build_s, baseline, rate, Load::default()).unwrap().tokens;
        // The study printed 768,355, 35 fewer: its rates had digits behind those it printed.
        assert_eq!(tokens(baseline_tok_s, tok_s).round(), 768_390.0);
        let (low, high) =
            (tokens(baseline_tok_s - 0.5, tok_s + 0.5), tokens(baseline_tok_s + 0.5, tok_s - 0.5));
        assert!((low..=high).contains(&printed), "{low} to {high}, not {printed}");
    }
}
