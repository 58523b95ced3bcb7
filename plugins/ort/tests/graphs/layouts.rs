//! Graphs that lay out their rows and their cache in other ways than optimum's do.

use crate::support::{Check, Expected, F32, fixtures, generate, open, plugin};
use inferhost_plugin_api::{Logits, Positions, Rows};

fn expected() -> Expected {
    Expected::read(&fixtures().join("ort"))
}

#[test]
fn a_cache_in_place_with_padding_on_the_right_agrees_with_transformers() {
    let Some(plugin) = plugin() else { return };
    let mut session = open(&plugin, &fixtures().join("ort/in-place"));
    let info = session.info().clone();
    assert_eq!(info.details["kv_cache"], "past_key_values, in place");
    Check { tolerance: F32, cached: true }.session(&mut session, &expected());
}

#[test]
fn a_cache_in_place_grows_and_shrinks_from_call_to_call() {
    let Some(plugin) = plugin() else { return };
    let mut session = open(&plugin, &fixtures().join("ort/in-place"));
    let Expected { prompts, greedy, .. } = expected();
    for (rows, new) in [(1..2, 2), (0..4, 8), (2..3, 1), (1..4, 5), (0..4, 8), (0..1, 8)] {
        let wanted: Vec<&[u32]> = greedy[rows.clone()].iter().map(|row| &row[..new]).collect();
        assert_eq!(generate(&mut session, &prompts[rows], new, true), wanted);
    }
}

#[test]
fn a_call_that_fails_leaves_the_session_sound() {
    let Some(plugin) = plugin() else { return };
    // Without its config the context is unknown, so that too long a row reaches the graph, which refuses it.
    let folder = tempfile::tempdir().unwrap();
    let graph = folder.path().join("model.onnx");
    std::fs::copy(fixtures().join("ort/in-place/model.onnx"), &graph).unwrap();
    let mut session = open(&plugin, &graph);
    let Expected { prompts, greedy, .. } = expected();
    for too_long in [49, 60] {
        let rows = Rows::new(&[vec![1; too_long], vec![2; 3]]);
        let error = session.prefill(rows.batch(), Positions::Last, &mut Logits::default()).unwrap_err();
        assert!(error.message.contains("failed to run the graph"), "{error}");
        assert_eq!(generate(&mut session, &prompts, 8, true), greedy);
    }
}
