//! Logits and logprobs are those of each row alone.

use crate::libraries::isolated;
use crate::plan::{Plan, rows};
use inferhost_plugin_api::shapes::{Profile, Shapes, Span};
use inferhost_plugin_api::{Logits, OpenSession, Positions, RVec, Rows};
use serde_json::json;

fn prefill(session: &mut OpenSession, rows: &[Vec<u32>], positions: Positions) -> Vec<f32> {
    let mut logits = Logits::default();
    session.prefill(Rows::new(rows).batch(), positions, &mut logits).unwrap();
    logits.rows_f64().concat().into_iter().map(|logit| logit as f32).collect()
}

fn logprobs(session: &mut OpenSession, rows: &[Vec<u32>]) -> Vec<f64> {
    let mut logprobs = RVec::new();
    session.logprobs(Rows::new(rows).batch(), &mut logprobs).unwrap();
    logprobs.to_vec()
}

#[test]
fn prefill_is_that_of_rows_alone() {
    isolated("results::prefill_is_that_of_rows_alone", || {
        for types in [["f32", "f32"], ["f16", "f16"], ["bf16", "bf16"], ["f16", "f32"]] {
            for keep in ["host", "device", "none"] {
                let plan = Plan { types, keep, ..Plan::default() };
                let mut session = plan.open(json!({}));
                for lengths in [&[5][..], &[3, 7, 1], &[4, 4], &[1], &[9, 2, 6, 9]] {
                    let rows = rows(lengths, 1);
                    let last = prefill(&mut session, &rows, Positions::Last);
                    assert!(last == plan.model.last_logits(&rows), "{plan:?} {lengths:?}");
                    let all = prefill(&mut session, &rows, Positions::All);
                    let expected: Vec<f32> =
                        rows.iter().flat_map(|row| plan.model.logits(row).concat()).collect();
                    assert!(all == expected, "{plan:?} {lengths:?}");
                }
            }
        }
    });
}

#[test]
fn logits_larger_than_the_staging_memory_arrive_whole() {
    isolated("results::logits_larger_than_the_staging_memory_arrive_whole", || {
        for types in [["f16", "f32"], ["f16", "f16"]] {
            let mut plan = Plan { types, ..Plan::default() };
            plan.model.vocab = 60_001;
            let mut session = plan.open(json!({}));
            for lengths in [[37, 37], [37, 20]] {
                let rows = rows(&lengths, 2);
                let expected: Vec<f32> =
                    rows.iter().flat_map(|row| plan.model.logits(row).concat()).collect();
                assert!(prefill(&mut session, &rows, Positions::All) == expected, "{types:?} {lengths:?}");
            }
        }
    });
}

#[test]
fn logprobs_are_reduced_on_the_device() {
    isolated("results::logprobs_are_reduced_on_the_device", || {
        for (types, vocab) in [(["f32", "f32"], 50), (["f16", "f16"], 1_500), (["bf16", "bf16"], 50)] {
            let mut plan = Plan { types, ..Plan::default() };
            plan.model.vocab = vocab;
            let mut session = plan.open(json!({}));
            // More rows than a profile runs go in several runs; a row of one token predicts nothing.
            for lengths in [&[6][..], &[3, 9, 1, 5], &[1], &[2; 4], &[8, 3, 3, 7, 1, 6, 12, 2, 9]] {
                let rows = rows(lengths, 3);
                let found = logprobs(&mut session, &rows);
                let expected: Vec<f64> = rows.iter().flat_map(|row| plan.model.logprobs(row)).collect();
                assert_eq!(found.len(), expected.len());
                for (found, expected) in found.iter().zip(&expected) {
                    assert!((found - expected).abs() < 1e-11, "{types:?} {lengths:?}: {found} {expected}");
                }
            }
        }
    });
}

#[test]
fn logprobs_run_where_a_profile_wants_the_whole_row() {
    isolated("results::logprobs_run_where_a_profile_wants_the_whole_row", || {
        let shapes = Shapes::prefill(Span::of(2), Span::of(8));
        let plan = Plan { profiles: vec![Profile::tuned(&shapes, shapes.largest())], ..Plan::default() };
        let rows = rows(&[8, 8, 6, 8], 4);
        let found = logprobs(&mut plan.open(json!({})), &rows);
        let expected: Vec<f64> = rows.iter().flat_map(|row| plan.model.logprobs(row)).collect();
        assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-11), "{found:?} {expected:?}");
    });
}
