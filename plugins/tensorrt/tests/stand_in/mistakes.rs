//! What goes wrong is told in one line, and the next call is as if it had not been.

use crate::libraries::{fail_enqueues, isolated, tensorrt};
use crate::plan::{CONTEXT, Plan, generate, greedy, open, rows};
use inferhost_plugin_api::build::{ENGINE, REPORT};
use inferhost_plugin_api::shapes::{Profile, Shapes, Span};
use inferhost_plugin_api::{
    Error, ErrorKind, GenerateOptions, Logits, ModelForm, Plugin, Positions, RVec, Rows,
};
use inferhost_plugin_tensorrt::TensorRt;
use serde_json::json;

#[track_caller]
fn says(error: &Error, kind: ErrorKind, parts: &[&str]) {
    assert_eq!(error.kind, kind, "{}", error.message);
    assert!(!error.message.contains('\n'), "{}", error.message);
    for part in parts {
        assert!(error.message.contains(part), "`{part}` is not in: {}", error.message);
    }
}

#[test]
fn a_shape_that_no_profile_runs_is_refused() {
    isolated("mistakes::a_shape_that_no_profile_runs_is_refused", || {
        let plan = Plan::default();
        let mut session = plan.open(json!({}));
        let expected = plan.model.generate(&rows(&[4], 1), &greedy(6));
        for (lengths, new, shape) in
            [(&[3; 5][..], 2, "5 x 3 "), (&[41], 2, "1 x 41 "), (&[30, 30], 20, "2 x 1 after 41 ")]
        {
            let error = generate(&mut session, &rows(lengths, 1), &greedy(new)).unwrap_err();
            says(
                &error,
                ErrorKind::ShapeNotCovered,
                &[shape, "1..4 x 1..40, 1..4 x 1 after 1..40", "inferhost plan"],
            );
            let error = session.logprobs(Rows::new(&rows(&[50], 1)).batch(), &mut RVec::new()).unwrap_err();
            says(&error, ErrorKind::ShapeNotCovered, &["1 x 49 "]);
            assert_eq!(generate(&mut session, &rows(&[4], 1), &greedy(6)).unwrap(), expected);
        }
    });
}

#[test]
fn logits_that_are_no_numbers_are_a_fault_of_that_call_alone() {
    isolated("mistakes::logits_that_are_no_numbers_are_a_fault_of_that_call_alone", || {
        for (bad, types) in
            [("nan 7", ["f32", "f32"]), ("infinite 7", ["f16", "f16"]), ("nan 7", ["bf16", "bf16"])]
        {
            let plan = Plan { more: bad.into(), types, ..Plan::default() };
            for options in [json!({}), json!({"cuda_graph": false}), json!({"device_argmax": false})] {
                let mut session = plan.open(options);
                let faulty = vec![vec![1, 2, 3], vec![4, 7]];
                let sound = vec![vec![1, 2, 3], vec![4, 5]];
                let error = generate(&mut session, &faulty, &greedy(1)).unwrap_err();
                says(&error, ErrorKind::NumericalFault, &["NaN"]);
                let faulty = vec![vec![1, 2, 3], vec![4, 7, 5]];
                let error = session.logprobs(Rows::new(&faulty).batch(), &mut RVec::new()).unwrap_err();
                says(&error, ErrorKind::NumericalFault, &["NaN"]);
                let found = generate(&mut session, &sound, &greedy(1)).unwrap();
                assert_eq!(found, plan.model.generate(&sound, &greedy(1)));
            }
        }
    });
}

#[test]
fn a_run_that_fails_leaves_no_trace() {
    isolated("mistakes::a_run_that_fails_leaves_no_trace", || {
        let plan = Plan::default();
        let (failing, sound) = (rows(&[4, 6], 1), rows(&[5, 6], 2));
        let expected = plan.model.generate(&sound, &greedy(6));
        for (options, sampled) in
            [(json!({}), false), (json!({"cuda_graph": false}), false), (json!({}), true)]
        {
            let mut session = plan.open(options);
            let temperature = if sampled { 1e-3 } else { 0.0 };
            let options = GenerateOptions { temperature, ..greedy(6) };
            for _ in 0..2 {
                fail_enqueues(1);
                let error = generate(&mut session, &failing, &options).unwrap_err();
                says(
                    &error,
                    ErrorKind::Internal,
                    &["failed to enqueue a run", "a kernel could not be launched"],
                );
                assert_eq!(generate(&mut session, &sound, &greedy(6)).unwrap(), expected);
                fail_enqueues(1);
                let mut logits = Logits::default();
                assert!(session.prefill(Rows::new(&failing).batch(), Positions::All, &mut logits).is_err());
            }
        }
    });
}

#[test]
fn a_sink_that_has_enough_leaves_no_trace() {
    isolated("mistakes::a_sink_that_has_enough_leaves_no_trace", || {
        struct Enough;
        impl inferhost_plugin_api::TokenSink for Enough {
            fn step(&mut self, _: &[inferhost_plugin_api::Token]) -> bool {
                false
            }
        }
        let plan = Plan::default();
        let mut session = plan.open(json!({}));
        let rows = rows(&[4, 6], 1);
        for _ in 0..3 {
            session.generate(Rows::new(&rows).batch(), &greedy(6), &mut Enough).unwrap();
            assert_eq!(
                generate(&mut session, &rows, &greedy(6)).unwrap(),
                plan.model.generate(&rows, &greedy(6))
            );
        }
    });
}

#[test]
fn an_engine_that_is_not_what_its_folder_says_is_refused() {
    isolated("mistakes::an_engine_that_is_not_what_its_folder_says_is_refused", || {
        let plan = Plan::default();
        let refused = |file: &str, text: &str, kind: ErrorKind, parts: &[&str]| {
            let folder = plan.folder();
            std::fs::write(folder.path().join(file), text).unwrap();
            let error = open(&folder, json!({})).err().unwrap();
            says(&error, kind, parts);
        };
        let incompatible =
            ["engine.plan", "not compatible with this version", "TensorRT 11.4.0 built it", "build it again"];
        refused(ENGINE, "another plan", ErrorKind::Unsupported, &incompatible);
        let mut fewer = plan.report();
        fewer.profiles.pop();
        let fewer = serde_json::to_string(&fewer).unwrap();
        refused(REPORT, &fewer, ErrorKind::InvalidInput, &["has 3 profiles, but engine.json names 2"]);
        let mut wider = plan.report();
        let shapes = Shapes::prefill(Span::new(1, 4), Span::new(1, 41));
        wider.profiles[0] = Profile::tuned(&shapes, shapes.largest());
        let wider = serde_json::to_string(&wider).unwrap();
        refused(
            REPORT,
            &wider,
            ErrorKind::InvalidInput,
            &["profile 0 is 1..4 x 1..41 in engine.json", "[4, 40]"],
        );
        refused(
            "config.json",
            "{\"vocab_size\": 51}",
            ErrorKind::InvalidInput,
            &["is 50, but config.json says 51"],
        );
        refused(ENGINE, "", ErrorKind::InvalidInput, &["engine.plan is empty"]);
        let folder = plan.folder();
        let options = json!({"library": tensorrt()});
        let onnx = Plugin::in_process::<TensorRt>().open(folder.path(), ModelForm::Onnx, &options);
        says(&onnx.err().unwrap(), ErrorKind::Unsupported, &["form plan, not onnx", "artifact = "]);
    });
}

#[test]
fn a_session_says_what_it_uses() {
    isolated("mistakes::a_session_says_what_it_uses", || {
        let session = Plan::default().open(json!({"device": "cuda", "device_argmax": false}));
        let info = session.info();
        assert_eq!((info.device.as_str(), info.precision.as_str()), ("cuda:0", "f16"));
        assert!(info.runtime_version.as_ref().unwrap().starts_with("11.4."), "{info:?}");
        assert_eq!(
            (info.vocab_size, info.context_length, info.model_bytes),
            (50, Some(CONTEXT as u32), Some(4242))
        );
        for (key, value) in [
            ("device_name", "Stand-in, sm_90"),
            ("driver", "CUDA 13.0"),
            ("cuda_graph", "off: tokens are chosen on the host"),
            ("greedy_tokens", "on the host"),
            ("profiles", "1..4 x 1..40, 1..4 x 1 after 1..40, 1 x 1 after 1..599"),
            ("artifact_precision", "fp16"),
            ("built_by", "TensorRT 11.4.0"),
            ("activation_bytes", "3000"),
        ] {
            assert_eq!(info.details.get(key).map(String::as_str), Some(value), "{key}");
        }
    });
}
