//! Generation is that of each row alone: by graphs or without, with a cache or without, chosen here or there.

use crate::libraries::{contexts, counters, fail_captures, isolated};
use crate::plan::{Plan, generate, greedy, rows};
use inferhost_plugin_api::{ErrorKind, GenerateOptions};
use serde_json::json;

#[test]
fn greedy_tokens_are_those_of_rows_alone() {
    isolated("generation::greedy_tokens_are_those_of_rows_alone", || {
        for types in [["f32", "f32"], ["f16", "f16"], ["bf16", "bf16"]] {
            for (cuda_graph, device_argmax, keep) in
                [(true, true, "host"), (false, true, "device"), (true, false, "host"), (true, true, "none")]
            {
                let plan = Plan { types, keep, ..Plan::default() };
                let mut session =
                    plan.open(json!({"cuda_graph": cuda_graph, "device_argmax": device_argmax}));
                // Each shape comes by several times, with other tokens, and others come between.
                for (round, lengths) in
                    [&[5][..], &[3, 7, 1], &[5], &[3, 7, 2], &[8, 8, 8, 8], &[5], &[3, 7, 1]]
                        .iter()
                        .enumerate()
                {
                    let rows = rows(lengths, round as u32);
                    for use_cache in [true, false, true] {
                        let options = GenerateOptions { use_cache, ..greedy(9) };
                        let found = generate(&mut session, &rows, &options).unwrap();
                        let case =
                            format!("{types:?} {cuda_graph} {device_argmax} {keep} {round} {use_cache}");
                        assert_eq!(found, plan.model.generate(&rows, &options), "{case}");
                    }
                }
            }
        }
    });
}

#[test]
fn the_first_of_the_likeliest_is_chosen_by_a_whole_block_of_threads() {
    isolated("generation::the_first_of_the_likeliest_is_chosen_by_a_whole_block_of_threads", || {
        for types in [["f32", "f32"], ["f16", "f16"], ["bf16", "bf16"]] {
            // Of 256 different values, so that many are the largest.
            let mut plan = Plan { types, ..Plan::default() };
            plan.model.vocab = 5_003;
            let rows = rows(&[4, 2], 1);
            let found = generate(&mut plan.open(json!({})), &rows, &greedy(4)).unwrap();
            assert_eq!(found, plan.model.generate(&rows, &greedy(4)), "{types:?}");
        }
    });
}

#[test]
fn rows_that_end_early_and_sampled_ones_are_those_of_rows_alone() {
    isolated("generation::rows_that_end_early_and_sampled_ones_are_those_of_rows_alone", || {
        let plan = Plan::default();
        let mut session = plan.open(json!({}));
        let rows = rows(&[4, 6, 2], 1);
        let plain = plan.model.generate(&rows, &greedy(12));
        let stop = [plain[0][3], plain[1][1]];
        for use_cache in [true, false] {
            let stopping = GenerateOptions { stop_tokens: stop.as_slice().into(), use_cache, ..greedy(12) };
            let sampling =
                GenerateOptions { temperature: 3.0, top_k: 20, top_p: 0.9, use_cache, ..greedy(12) };
            for options in [stopping, sampling] {
                let expected = plan.model.generate(&rows, &options);
                assert_ne!(expected, plain);
                assert_eq!(generate(&mut session, &rows, &options).unwrap(), expected);
            }
        }
    });
}

#[test]
fn steps_are_captured_once_and_replayed() {
    isolated("generation::steps_are_captured_once_and_replayed", || {
        let plan = Plan::default();
        let mut session = plan.open(json!({}));
        let mut launched = Vec::new();
        for seed in 0..3 {
            let (before, rows) = (counters(), rows(&[6, 4], seed));
            assert_eq!(
                generate(&mut session, &rows, &greedy(8)).unwrap(),
                plan.model.generate(&rows, &greedy(8))
            );
            let after = counters();
            launched.push((after.captures - before.captures, after.graph_launches - before.graph_launches));
        }
        assert_eq!(launched, [(7, 0), (0, 7), (0, 7)]);
    });
}

#[test]
fn a_step_that_cannot_be_captured_runs_as_it_is() {
    isolated("generation::a_step_that_cannot_be_captured_runs_as_it_is", || {
        let plan = Plan::default();
        let mut session = plan.open(json!({}));
        fail_captures();
        for seed in 0..3 {
            let rows = rows(&[6, 4], seed);
            assert_eq!(
                generate(&mut session, &rows, &greedy(8)).unwrap(),
                plan.model.generate(&rows, &greedy(8))
            );
        }
        assert_eq!((counters().captures, counters().graph_launches, contexts()), (0, 0, 1));
        // Where graphs were asked for by name, what is measured would not be what was asked for.
        let mut session = plan.open(json!({"cuda_graph": true}));
        fail_captures();
        for _ in 0..2 {
            let error = generate(&mut session, &rows(&[6, 4], 1), &greedy(8)).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Unsupported, "{error}");
            assert!(error.message.contains("leave cuda_graph = true out"), "{error}");
            let single = rows(&[6, 4], 2);
            assert_eq!(
                generate(&mut session, &single, &greedy(1)).unwrap(),
                plan.model.generate(&single, &greedy(1))
            );
        }
    });
}

#[test]
fn there_is_an_end_to_how_many_graphs_are_kept() {
    isolated("generation::there_is_an_end_to_how_many_graphs_are_kept", || {
        let plan = Plan::default();
        let mut session = plan.open(json!({}));
        for seed in 0..2 {
            let rows = rows(&[3], seed);
            assert_eq!(
                generate(&mut session, &rows, &greedy(530)).unwrap(),
                plan.model.generate(&rows, &greedy(530))
            );
            assert_eq!(contexts(), 513, "512 graphs, and what runs the rest");
        }
        assert_eq!((counters().captures, counters().graph_launches), (512, 512));
        // Others take the place of what is no longer used.
        for seed in 0..3 {
            let rows = rows(&[4, 4], seed);
            assert_eq!(
                generate(&mut session, &rows, &greedy(10)).unwrap(),
                plan.model.generate(&rows, &greedy(10))
            );
        }
        assert!(contexts() < 513 && counters().captures > 512);
    });
}
