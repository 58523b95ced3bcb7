//! Whether backends gave the same output for the same prompts.
//!
//! Informative: two exact backends may part where two logits are nearly equal, so a difference is a reason to look at
//! accuracy, not a verdict.

use super::group::{Call, Group, Scenario};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::HashMap;

/// The outputs of one model, scenario and call, against one backend's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Agreement {
    /// The model.
    pub model: String,
    /// The scenario.
    pub scenario: Scenario,
    /// What was called.
    pub call: Call,
    /// The backend whose outputs the others' were held against: the baseline, or the first that has any.
    pub reference: String,
    /// The other backends that have outputs of the same runs.
    pub compared: Vec<Difference>,
}

/// How far one backend's outputs are the reference's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Difference {
    /// The backend.
    pub backend: String,
    /// Runs of which both have an output.
    pub runs: u64,
    /// Those where the outputs differ.
    pub differing: u64,
}

impl Agreement {
    /// Whether every output compared is the reference's.
    pub fn holds(&self) -> bool {
        self.compared.iter().all(|difference| difference.differing == 0)
    }
}

/// One for each row of the tables in which two backends have outputs of the same runs.
pub(super) fn agreement(groups: &[Group], baseline: Option<&str>) -> Vec<Agreement> {
    let rows = groups.chunk_by(|a, b| a.key.same_row(&b.key));
    rows.filter_map(|row| row_agreement(row, baseline)).collect()
}

fn row_agreement(row: &[Group], baseline: Option<&str>) -> Option<Agreement> {
    let outputs: Vec<Outputs<'_>> =
        row.iter().map(Outputs::of).filter(|outputs| !outputs.digests.is_empty()).collect();
    let is_baseline = |outputs: &&Outputs<'_>| Some(outputs.backend) == baseline;
    let reference = outputs.iter().find(is_baseline).or(outputs.first())?;
    let others = outputs.iter().filter(|other| other.backend != reference.backend);
    let compared: Vec<Difference> = others.filter_map(|other| other.against(reference)).collect();
    let key = &row.first()?.key;
    (!compared.is_empty()).then(|| Agreement {
        model: key.model.clone(),
        scenario: key.scenario.clone(),
        call: key.call,
        reference: reference.backend.into(),
        compared,
    })
}

/// One backend's digests by round and repetition: prompts may change with these, never with the backend.
struct Outputs<'a> {
    backend: &'a str,
    digests: HashMap<(u32, u32), u128>,
}

impl<'a> Outputs<'a> {
    fn of(group: &'a Group) -> Self {
        let digests = group.ok().filter_map(|run| Some(((run.round, run.repetition), run.digest?)));
        Self { backend: &group.key.backend, digests: digests.collect() }
    }

    fn against(&self, reference: &Self) -> Option<Difference> {
        let pairs =
            self.digests.iter().filter_map(|(run, digest)| Some((digest, reference.digests.get(run)?)));
        let (mut runs, mut differing) = (0, 0);
        for (digest, expected) in pairs {
            runs += 1;
            differing += u64::from(digest != expected);
        }
        (runs > 0).then(|| Difference { backend: self.backend.into(), runs, differing })
    }
}
