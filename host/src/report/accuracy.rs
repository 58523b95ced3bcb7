//! The figures of an evaluation as text, for every output alike, and `accuracy.csv`.

use super::figure::{NONE, count};
use crate::accuracy::{Evaluation, Figures, Verdict};
use crate::analysis::Accuracy;
use crate::text;

/// `3 of 4 evaluations recorded, 1 baseline, 2 pass, 1 FAILED`.
pub(super) fn sentence(accuracy: &Accuracy) -> String {
    use Verdict::{Baseline, Degraded, Failed, NoBaseline, NoSignal, Pass};
    let mut parts = vec![format!(
        "{} of {} evaluations recorded",
        count(accuracy.recorded),
        count(accuracy.planned.max(accuracy.recorded))
    )];
    for verdict in [Baseline, Pass, Failed, NoSignal, NoBaseline, Degraded] {
        match accuracy.count(verdict) {
            0 => {}
            number => parts.push(format!("{} {}", count(number), verdict.name())),
        }
    }
    parts.join(", ")
}

/// `179,194 tokens of text.txt predicted, in 176 windows of 1,024`.
pub(super) fn corpus(of: &Evaluation) -> String {
    let corpus = &of.corpus;
    let step = if corpus.stride == corpus.window {
        String::new()
    } else {
        format!(", {} apart", count(corpus.stride.into()))
    };
    format!(
        "{} tokens of {} predicted, in {} windows of {}{step}",
        count(corpus.predicted),
        corpus.name,
        count(corpus.windows),
        count(corpus.window.into())
    )
}

/// `fp32 0.1%`.
pub(super) fn limit(of: &Evaluation) -> String {
    match (of.precision, of.threshold) {
        (Some(precision), Some(threshold)) => format!("{} {}%", precision.name(), short(threshold * 100.0)),
        _ => NONE.into(),
    }
}

/// Without the zeros that rounding leaves: `0.1`, not `0.1000`.
fn short(value: f64) -> String {
    let text = format!("{value:.6}");
    text.trim_end_matches('0').trim_end_matches('.').into()
}

/// Four decimals while they say something.
pub(super) fn perplexity(of: &Evaluation) -> String {
    of.figures.as_ref().map_or(NONE.into(), |figures| match figures.perplexity {
        huge if huge >= 1e6 => format!("{huge:.3e}"),
        perplexity => format!("{perplexity:.4}"),
    })
}

/// `+0.0123%`, `-1.2e-7%`.
pub(super) fn difference(of: &Evaluation) -> String {
    let against = of.figures.as_ref().and_then(|figures| figures.against);
    against.map_or(NONE.into(), |against| match against.relative_difference * 100.0 {
        0.0 => "0%".into(),
        percent if (0.001..1000.0).contains(&percent.abs()) => format!("{percent:+.4}%"),
        percent => format!("{percent:+.1e}%"),
    })
}

/// Mean KL divergence, nats.
pub(super) fn kl(of: &Evaluation) -> String {
    distributions(of, |found| tiny(found.kl_mean))
}

/// Share of positions with the same likeliest token.
pub(super) fn top1(of: &Evaluation) -> String {
    distributions(of, |found| format!("{:.2}%", (found.top1_agreement * 1e4).floor() / 100.0))
}

/// Largest and mean logit difference.
pub(super) fn logits(of: &Evaluation) -> String {
    distributions(of, |found| {
        format!("{}, {}", tiny(found.logit_difference_max), tiny(found.logit_difference_mean))
    })
}

fn distributions(of: &Evaluation, text: impl Fn(&crate::accuracy::Distributions) -> String) -> String {
    let found = of.figures.as_ref().and_then(|figures| figures.distributions.as_ref());
    found.map_or(NONE.into(), text)
}

/// What is next to nothing keeps its magnitude.
pub(super) fn tiny(value: f64) -> String {
    if value == 0.0 { "0".into() } else { format!("{value:.1e}") }
}

/// What a pass would not say: worth a mark beside a speed.
pub(super) fn mark(verdict: Option<Verdict>) -> Option<&'static str> {
    verdict.filter(|verdict| !verdict.is_pass()).map(Verdict::name)
}

type Column = (&'static str, fn(&Evaluation) -> String);

const COLUMNS: [Column; 34] = [
    ("model", |of| text::csv(&of.model)),
    ("backend", |of| text::csv(&of.backend)),
    ("baseline", |of| text::csv(&of.baseline)),
    ("gate", |of| of.verdict.name().into()),
    ("precision", |of| field(of.precision.map(|precision| precision.name()))),
    ("threshold", |of| field(of.threshold)),
    ("tokens", |of| figure(of, |f| Some(f.tokens as f64))),
    ("perplexity", |of| figure(of, |f| Some(f.perplexity))),
    ("relative_difference", |of| figure(of, |f| Some(f.against?.relative_difference))),
    ("ln_ppl_ratio", |of| figure(of, |f| Some(f.against?.ln_ppl_ratio))),
    ("ln_ppl_ratio_se", |of| figure(of, |f| f.against?.ln_ppl_ratio_se)),
    ("kl_mean", |of| figure(of, |f| Some(f.distributions?.kl_mean))),
    ("top1_agreement", |of| figure(of, |f| Some(f.distributions?.top1_agreement))),
    ("logit_difference_max", |of| figure(of, |f| Some(f.distributions?.logit_difference_max))),
    ("logit_difference_mean", |of| figure(of, |f| Some(f.distributions?.logit_difference_mean))),
    ("logprob_mean", |of| figure(of, |f| Some(f.logprob_mean))),
    ("logprob_sd", |of| figure(of, |f| f.logprob_sd)),
    ("logprob_min", |of| figure(of, |f| Some(f.logprob_min))),
    ("logprob_max", |of| figure(of, |f| Some(f.logprob_max))),
    ("seconds", |of| figure(of, |f| Some(f.seconds))),
    ("call_seconds", |of| figure(of, |f| Some(f.call_seconds))),
    ("tok_s", |of| figure(of, |f| Some(f.tok_s))),
    ("vocab_size", |of| of.vocab_size.to_string()),
    ("corpus", |of| text::csv(&of.corpus.name)),
    ("corpus_sha256", |of| text::csv(&of.corpus.sha256)),
    ("corpus_tokens", |of| of.corpus.tokens.to_string()),
    ("predicted", |of| of.corpus.predicted.to_string()),
    ("windows", |of| of.corpus.windows.to_string()),
    ("window", |of| of.corpus.window.to_string()),
    ("stride", |of| of.corpus.stride.to_string()),
    ("started_at", |of| text::csv(&of.started_at)),
    ("degraded_kind", |of| field(of.degraded.as_ref().map(|lost| lost.kind.name()))),
    ("degraded_stage", |of| field(of.degraded.as_ref().map(|lost| lost.stage.name()))),
    ("degraded_message", |of| field(of.degraded.as_ref().map(|lost| text::csv(&lost.message)))),
];

/// One row per evaluation, figures unrounded, an empty field where there is none.
///
/// # Errors
/// None in memory; the writer's type has them.
pub(super) fn csv(accuracy: &Accuracy) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(COLUMNS.map(|(name, _)| name))?;
    for of in &accuracy.evaluations {
        writer.write_record(COLUMNS.map(|(_, value)| value(of)))?;
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}

fn figure(of: &Evaluation, value: fn(&Figures) -> Option<f64>) -> String {
    field(of.figures.as_ref().and_then(value))
}

fn field<T: ToString>(value: Option<T>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accuracy::sample::{degraded, evaluation};

    #[test]
    fn differences_keep_their_magnitude() {
        for (value, text) in [
            (0.0, "0%"),
            (0.0012346, "+0.1235%"),
            (-0.5, "-50.0000%"),
            (1.2e-9, "+1.2e-7%"),
            (99.0, "+9.9e3%"),
        ] {
            assert_eq!(difference(&evaluation("x", Verdict::Pass, value)), text);
        }
        assert_eq!(difference(&degraded("x")), NONE);
        assert_eq!(limit(&evaluation("x", Verdict::Pass, 0.0)), "fp32 0.1%");
    }

    #[test]
    fn an_agreement_that_is_not_whole_does_not_read_as_whole() {
        let mut of = evaluation("x", Verdict::Pass, 0.0);
        if let Some(found) = of.figures.as_mut().and_then(|figures| figures.distributions.as_mut()) {
            found.top1_agreement = 0.999_99;
        }
        assert_eq!(top1(&of), "99.99%");
    }
}
