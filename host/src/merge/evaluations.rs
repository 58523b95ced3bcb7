//! Evaluations of several folders as one list: each model on each backend once.

use super::MergeError;
use super::part::Part;
use crate::accuracy::{Evaluation, Figures};
use crate::store::read_evaluations;

/// Those of `parts`, in the order of time.
///
/// # Errors
/// Two of the same backend and model that say different things, or of two corpora.
pub(super) fn read(parts: &[Part]) -> Result<Vec<Evaluation>, MergeError> {
    let mut found: Vec<(usize, Evaluation)> = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        for evaluation in read_evaluations(&part.path)?.evaluations {
            let of_model = found.iter().filter(|(_, known)| known.model == evaluation.model);
            let other = of_model.into_iter().find(|(_, known)| !fits(known, &evaluation));
            if let Some((other, _)) = other {
                let Evaluation { model, backend, .. } = evaluation;
                let (a, b) = (parts[*other].path.clone(), part.path.clone());
                return Err(MergeError::Evaluations { a, b, model, backend });
            }
            if !found.iter().any(|(_, known)| is_of_same(known, &evaluation)) {
                found.push((index, evaluation));
            }
        }
    }
    let mut evaluations: Vec<Evaluation> = found.into_iter().map(|(_, evaluation)| evaluation).collect();
    evaluations.sort_by(|a, b| a.started_at.cmp(&b.started_at));
    Ok(evaluations)
}

fn is_of_same(a: &Evaluation, b: &Evaluation) -> bool {
    (&a.model, &a.backend) == (&b.model, &b.backend)
}

/// Whether both can stand in one folder: of one corpus and, where they are of one backend, with one result.
fn fits(a: &Evaluation, b: &Evaluation) -> bool {
    a.corpus == b.corpus && (!is_of_same(a, b) || result(a) == result(b))
}

/// What was found, without when, by which process and how fast.
fn result(of: &Evaluation) -> Evaluation {
    let timeless = |figures: Figures| Figures { seconds: 0.0, call_seconds: 0.0, tok_s: 0.0, ..figures };
    Evaluation {
        figures: of.figures.clone().map(timeless),
        started_at: String::new(),
        worker_pid: None,
        ..of.clone()
    }
}
