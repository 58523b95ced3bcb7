//! From what workers say of each batch to the figures of one backend. Pure: nothing is kept but sums.

use crate::worker::protocol::{Divergence, EvaluateResult};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a corpus says of one backend.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Figures {
    /// Tokens predicted.
    pub tokens: u64,
    /// exp(-mean log-probability) (Jelinek et al., "Perplexity: a measure of the difficulty of speech recognition
    /// tasks", 1977).
    pub perplexity: f64,
    /// Mean ln p of a predicted token.
    pub logprob_mean: f64,
    /// Its standard deviation over the tokens, with n-1; null for one token.
    pub logprob_sd: Option<f64>,
    /// The least likely token's.
    pub logprob_min: f64,
    /// The likeliest token's.
    pub logprob_max: f64,
    /// Time in the worker: the plugin's calls and the reduction of their output.
    pub seconds: f64,
    /// The plugin's calls alone.
    pub call_seconds: f64,
    /// Predicted tokens over `seconds`.
    pub tok_s: f64,
    /// Against the baseline's log-probabilities of the same tokens; null for the baseline, and without it.
    pub against: Option<Against>,
    /// Against the baseline's distributions; null where they were not compared.
    pub distributions: Option<Distributions>,
}

/// A backend's log-probabilities against the baseline's, token by token.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Against {
    /// Perplexity over the baseline's, less 1.
    pub relative_difference: f64,
    /// ln(perplexity / the baseline's): the mean over tokens of the baseline's ln p less the backend's.
    pub ln_ppl_ratio: f64,
    /// Standard error of that mean, sd / sqrt(n) of the paired differences, tokens taken as independent; null for one
    /// token.
    pub ln_ppl_ratio_se: Option<f64>,
}

/// A backend's distributions over the next token against the baseline's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Distributions {
    /// Mean KL(baseline || backend), nats.
    pub kl_mean: f64,
    /// Share of positions at which both have their largest logit at the same token.
    pub top1_agreement: f64,
    /// Mean |logit difference|.
    pub logit_difference_mean: f64,
    /// Largest |logit difference|.
    pub logit_difference_max: f64,
}

/// The sums behind [`Figures`], batch after batch.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    logprobs: Moments,
    /// The baseline's ln p less this backend's.
    paired: Moments,
    divergence: Divergence,
    call_ns: u64,
    total_ns: u64,
}

impl Tally {
    /// Adds a batch; `baseline` holds the baseline's log-probabilities of the same tokens.
    pub fn add(&mut self, result: &EvaluateResult, baseline: Option<&[f64]>) {
        result.logprobs.iter().for_each(|&logprob| self.logprobs.add(logprob));
        for (own, base) in result.logprobs.iter().zip(baseline.into_iter().flatten()) {
            self.paired.add(base - own);
        }
        if let Some(more) = &result.divergence {
            let sums = &mut self.divergence;
            sums.positions += more.positions;
            sums.values += more.values;
            sums.kl += more.kl;
            sums.same_top += more.same_top;
            sums.difference_sum += more.difference_sum;
            sums.difference_max = sums.difference_max.max(more.difference_max);
        }
        self.call_ns += result.call_ns;
        self.total_ns += result.total_ns;
    }

    /// The figures so far. What is held against the baseline counts only where it covers every token.
    pub fn figures(&self) -> Figures {
        let Moments { n, mean, min, max, .. } = self.logprobs;
        let seconds = self.total_ns as f64 / 1e9;
        let whole = |covered: u64| n > 0 && covered == n;
        Figures {
            tokens: n,
            // A number in JSON, also where no model should be.
            perplexity: (-mean).exp().min(f64::MAX),
            logprob_mean: mean,
            logprob_sd: self.logprobs.sd(),
            logprob_min: min,
            logprob_max: max,
            seconds,
            call_seconds: self.call_ns as f64 / 1e9,
            tok_s: n as f64 / seconds.max(1e-9),
            against: whole(self.paired.n).then(|| Against {
                relative_difference: self.paired.mean.exp_m1().min(f64::MAX),
                ln_ppl_ratio: self.paired.mean,
                ln_ppl_ratio_se: self.paired.sd().map(|sd| sd / (n as f64).sqrt()),
            }),
            distributions: whole(self.divergence.positions).then(|| distributions(&self.divergence)),
        }
    }
}

fn distributions(sums: &Divergence) -> Distributions {
    let (positions, values) = (sums.positions as f64, sums.values as f64);
    Distributions {
        kl_mean: sums.kl / positions,
        top1_agreement: sums.same_top as f64 / positions,
        logit_difference_mean: sums.difference_sum / values,
        logit_difference_max: sums.difference_max,
    }
}

/// Mean and variance of a stream: Welford, "Note on a Method for Calculating Corrected Sums of Squares and Products",
/// Technometrics 4 (1962).
#[derive(Debug, Clone, Copy)]
struct Moments {
    n: u64,
    mean: f64,
    squares: f64,
    min: f64,
    max: f64,
}

impl Default for Moments {
    fn default() -> Self {
        Self { n: 0, mean: 0.0, squares: 0.0, min: f64::INFINITY, max: f64::NEG_INFINITY }
    }
}

impl Moments {
    fn add(&mut self, value: f64) {
        self.n += 1;
        let before = value - self.mean;
        self.mean += before / self.n as f64;
        self.squares += before * (value - self.mean);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// With n-1; needs two values.
    fn sd(&self) -> Option<f64> {
        (self.n > 1).then(|| (self.squares / (self.n - 1) as f64).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) -> bool {
        (found - expected).abs() < 1e-12
    }

    fn result(logprobs: &[f64], divergence: Option<Divergence>) -> EvaluateResult {
        let logprobs = logprobs.to_vec();
        EvaluateResult { logprobs, divergence, call_ns: 1_000_000, total_ns: 2_000_000, shared: None }
    }

    /// Probabilities 1/2, 1/4 and 1/8: the mean logarithm is -2 ln 2, the perplexity 4.
    #[test]
    fn figures_computed_by_hand() {
        let ln2 = 2.0_f64.ln();
        let baseline = [-ln2, -2.0 * ln2, -3.0 * ln2];
        let mut tally = Tally::default();
        tally.add(&result(&baseline[..2], None), None);
        tally.add(&result(&baseline[2..], None), None);
        let found = tally.figures();
        assert!(close(found.perplexity, 4.0) && close(found.logprob_mean, -2.0 * ln2));
        assert!(close(found.logprob_sd.unwrap(), ln2), "variance ln2^2 (1 + 0 + 1) / 2");
        assert!(close(found.logprob_min, -3.0 * ln2) && close(found.logprob_max, -ln2));
        assert_eq!((found.tokens, found.against, found.distributions), (3, None, None));
        assert!(close(found.tok_s, 3.0 / 0.004) && close(found.call_seconds, 0.002));
    }

    /// A backend with 1/4, 1/4, 1/16: differences ln2 (1, 0, 1), so the ratio of perplexities is 4^(1/3).
    #[test]
    fn a_backend_against_its_baseline_by_hand() {
        let ln2 = 2.0_f64.ln();
        let baseline = [-ln2, -2.0 * ln2, -3.0 * ln2];
        let sums = |positions, same_top| Divergence {
            positions,
            values: positions * 10,
            kl: 0.5 * positions as f64,
            same_top,
            difference_sum: 4.0,
            difference_max: same_top as f64,
        };
        let mut tally = Tally::default();
        tally.add(&result(&[-2.0 * ln2, -2.0 * ln2], Some(sums(2, 2))), Some(&baseline[..2]));
        tally.add(&result(&[-4.0 * ln2], Some(sums(1, 0))), Some(&baseline[2..]));
        let found = tally.figures();
        let against = found.against.unwrap();
        assert!(close(against.ln_ppl_ratio, 2.0 / 3.0 * ln2));
        assert!(close(against.relative_difference, 4.0_f64.powf(1.0 / 3.0) - 1.0));
        assert!(close(found.perplexity / 4.0 - 1.0, against.relative_difference));
        assert!(close(against.ln_ppl_ratio_se.unwrap(), ln2 / 3.0), "variance ln2^2 / 3, over n = 3");
        let distributions = found.distributions.unwrap();
        assert!(close(distributions.kl_mean, 0.5) && close(distributions.top1_agreement, 2.0 / 3.0));
        assert!(close(distributions.logit_difference_mean, 8.0 / 30.0));
        assert_eq!(distributions.logit_difference_max, 2.0);
    }

    #[test]
    fn a_comparison_that_lacks_tokens_is_none() {
        let mut tally = Tally::default();
        tally.add(
            &result(&[-1.0], Some(Divergence { positions: 1, values: 4, ..Divergence::default() })),
            Some(&[-1.0]),
        );
        tally.add(&result(&[-1.0], None), None);
        let found = tally.figures();
        assert_eq!((found.tokens, found.against, found.distributions), (2, None, None));
        assert_eq!(Tally::default().figures().against, None);
    }
}
