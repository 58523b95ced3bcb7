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
    assert_eq!(
        (&*info.details["kv_cache"], &*info.details["padding"]),
        ("past_key_values, in place", "right")
    );
    assert_eq!((info.precision.as_str(), &*info.details["artifact_precision"]), ("f32", "fp32"));
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

#[test]
fn a_genai_folder_agrees_with_transformers() {
    let Some(plugin) = plugin() else { return };
    let folder = fixtures().join("ort/genai");
    // Its cache is float16, its inputs are int32; the names are its own.
    let check = Check { tolerance: 4e-3, cached: true };
    for path in [folder.clone(), folder.join("text.onnx")] {
        let mut session = open(&plugin, &path);
        let info = session.info().clone();
        assert_eq!((info.vocab_size, info.context_length, info.precision.as_str()), (97, Some(48), "f16"));
        assert_eq!(info.details["kv_cache"], "past_key_values, in place");
        assert_eq!(info.details["padding"], "none, rows of one length share a run");
        check.session(&mut session, &expected());
    }
}

#[test]
fn group_query_attention_without_a_word_on_padding_gets_none() {
    let Some(plugin) = plugin() else { return };
    let folder = tempfile::tempdir().unwrap();
    let graph = folder.path().join("model.onnx");
    let bytes = std::fs::read(fixtures().join("ort/in-place/model.onnx")).unwrap();
    // The same graph as its exporter would give it, with the metadata's keys made meaningless.
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("inferhost.padding") && text.contains("inferhost.kv_cache"));
    let unsaid = replace(
        &replace(&bytes, b"inferhost.padding", b"someother.padding"),
        b"inferhost.kv_cache",
        b"someother.kv_cache",
    );
    std::fs::write(&graph, unsaid).unwrap();
    let mut session = open(&plugin, &graph);
    assert_eq!(session.info().details["kv_cache"], "past_key_values");
    Check { tolerance: F32, cached: true }.session(&mut session, &expected());
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}

#[test]
fn a_merged_decoder_agrees_with_transformers() {
    let Some(plugin) = plugin() else { return };
    let mut session = open(&plugin, &fixtures().join("ort/merged"));
    let info = session.info().clone();
    assert_eq!((info.precision.as_str(), &*info.details["padding"]), ("bf16", "left"));
    // Its cache and logits are bfloat16: 8 bits of mantissa.
    Check { tolerance: 1.0 / 256.0, cached: true }.session(&mut session, &expected());
}
