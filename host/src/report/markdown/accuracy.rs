//! Whether backends compute what the baseline computes.

use super::{header, table};
use crate::accuracy::{Evaluation, Figures};
use crate::analysis::Accuracy;
use crate::report::accuracy::{corpus, difference, kl, limit, logits, perplexity, tiny, top1};
use crate::report::figure::{NONE, count, figure};
use crate::text::{clipped, markdown};

const MESSAGE_LIMIT: usize = 300;
const NOTE: &str = "\
The same tokens for every backend. **Perplexity** is exp(-mean ln p) over the predicted tokens, the first of each window \
not among them; **against the baseline** is how much of the baseline's it differs by, and passes within the **limit** of \
what the backend computes in. **ln ratio** is ln(perplexity / the baseline's), with its standard error over tokens; \
**KL** is the mean divergence of the baseline's distribution from the backend's, in nats; **top-1** how often both have \
the same likeliest token. **No signal** means a perplexity of half the vocabulary and more: the model predicts next to \
nothing, so agreement is no pass. `accuracy.csv` has the same unrounded.
";

/// The section, with a table per model.
pub(super) fn accuracy(accuracy: &Accuracy) -> String {
    let mut text = format!("## Accuracy\n\n{NOTE}\n");
    let names = [
        "backend",
        "gate",
        "limit",
        "perplexity",
        "against the baseline",
        "ln ratio",
        "KL",
        "top-1",
        "logit difference: max, mean",
        "ln p: mean ± sd (min, max)",
        "tokens",
        "seconds",
        "tok/s",
    ];
    for evaluations in accuracy.models() {
        let Some(first) = evaluations.first() else { continue };
        text.push_str(&format!("### {}\n\n{}.\n\n", markdown(&first.model), markdown(&corpus(first))));
        let rows: Vec<Vec<String>> = evaluations.iter().map(row).collect();
        text.push_str(&table(&header(&names), 3, &rows));
    }
    text
}

fn row(of: &Evaluation) -> Vec<String> {
    let figures = of.figures.as_ref();
    let or_none = |value: Option<String>| value.unwrap_or_else(|| NONE.into());
    vec![
        markdown(&of.backend),
        gate(of),
        limit(of),
        perplexity(of),
        difference(of),
        or_none(figures.and_then(ln_ratio)),
        kl(of),
        top1(of),
        logits(of),
        or_none(figures.map(logprobs)),
        or_none(figures.map(|figures| count(figures.tokens))),
        figure(figures.map(|figures| figures.seconds)),
        figure(figures.map(|figures| figures.tok_s)),
    ]
}

fn gate(of: &Evaluation) -> String {
    let name = of.verdict.name();
    match &of.degraded {
        Some(lost) => {
            let (kind, stage) = (lost.kind.name(), lost.stage.name());
            format!("**{name}**: `{kind}` in {stage}: {}", markdown(&clipped(&lost.message, MESSAGE_LIMIT)))
        }
        None if of.verdict.is_pass() => name.into(),
        None => format!("**{name}**"),
    }
}

fn ln_ratio(figures: &Figures) -> Option<String> {
    let against = figures.against?;
    let ratio = format!("{:+.2e}", against.ln_ppl_ratio);
    Some(against.ln_ppl_ratio_se.map_or(ratio.clone(), |se| format!("{ratio} ± {}", tiny(se))))
}

fn logprobs(figures: &Figures) -> String {
    let Figures { logprob_mean: mean, logprob_min: min, logprob_max: max, .. } = figures;
    let sd = figures.logprob_sd.map_or(NONE.into(), |sd| format!("{sd:.3}"));
    format!("{mean:.4} ± {sd} ({min:.3}, {max:.3})")
}
