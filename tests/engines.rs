//! Engines built for a matrix: by a plugin in a worker, for the shapes that the plan submits and no others. The plugin
//! `faulty` builds engines that refuse every shape they were not built for.

use crate::support::{Host, TINY, skipped};
use inferhost::record::{DegradedKind, Stage, Status};
use inferhost::store::read_manifest;
use serde_json::Value;
use std::fs;

fn config(run: &str, backends: &str) -> String {
    format!(
        "name = \"test\"\n[run]\n{run}\n[[models]]\nname = \"tiny\"\nsource = \"{TINY}\"\n{backends}\n\
         [[scenarios]]\nname = \"small\"\nbatch = 2\nprompt_tokens = 5\nnew_tokens = 4\n\
         [[scenarios]]\nname = \"long\"\nbatch = 1\nprompt_tokens = 20\nnew_tokens = 9\n"
    )
}

fn engine(name: &str, more: &str) -> String {
    format!("[[backends]]\nname = \"{name}\"\nplugin = \"faulty\"\nartifact = \"plan-fp16\"\n{more}\n")
}

const EVERYTHING: &str =
    "modes = [\"prefill\", \"generate\", \"logprobs\"]\nuse_cache = [true, false]\nrepetitions = 2";

#[test]
fn what_a_plan_derives_covers_all_that_is_really_submitted() {
    let host = Host::new();
    host.write("corpus.json", "[[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]]");
    let accuracy = "[accuracy]\ntokens = \"corpus.json\"\nwindow = 6\nbatch = 2\n";
    let backends = engine("a", "") + "[[backends]]\nname = \"b\"\nplugin = \"faulty\"\n";
    let (ended, records) = host.matrix(&(config(EVERYTHING, &backends) + accuracy));
    assert_eq!(records.len(), 2 * 2 * 4 * 2);
    assert!(records.iter().all(|record| record.status == Status::Ok), "{}", ended.succeeds().stderr);
    let manifest = read_manifest(&host.path("out")).unwrap();
    let artifacts: Vec<_> =
        manifest.artifacts.iter().map(|a| (a.backend.as_str(), a.name.as_str())).collect();
    assert_eq!(artifacts, [("a", "plan-fp16")]);
    let report: Value = serde_json::from_str(
        &fs::read_to_string(format!("{}/engine.json", manifest.artifacts[0].path)).unwrap(),
    )
    .unwrap();
    assert_eq!((&report["precision"], &report["layers"]["fp16"]), (&Value::from("fp16"), &Value::from(3)));
    let evaluated = fs::read_to_string(host.path("out/accuracy.csv")).unwrap();
    assert!(!evaluated.contains("shape_not_covered"), "{evaluated}");
}

/// The first study's failure, 180 of 180 runs: an engine with one profile, of a prompt.
#[test]
fn a_cell_without_a_profile_is_found_at_plan_time_and_never_sent() {
    let host = Host::new();
    let profiles = "profiles = [{ batch = [2], tokens = [5], past = [0] }]";
    let config = config("modes = [\"prefill\", \"generate\"]\nrepetitions = 1", &engine("a", profiles));
    host.write("config.toml", &config);
    let planned = host.run(&["plan", "config.toml"]);
    let told = planned.succeeds().stdout.lines().filter(|line| line.contains("shape_not_covered")).count();
    assert_eq!(told, 3, "{}", planned.stdout);
    assert!(
        planned.stdout.contains("generate cached: scenario small feeds 2 x 1 after 5 "),
        "{}",
        planned.stdout
    );
    assert!(planned.stdout.contains("[0] 2 x 5, tuned for 2 x 5"), "{}", planned.stdout);
    let json: Value = serde_json::from_str(&host.run(&["plan", "config.toml", "--json"]).stdout).unwrap();
    assert_eq!(json["coverage"]["engines"][0]["origin"], "config");
    assert_eq!(json["coverage"]["cells"].as_array().unwrap().len(), 4);

    let (_, records) = host.matrix(&config);
    let lost: Vec<_> = records.iter().filter_map(|record| record.degraded.as_ref()).collect();
    assert_eq!((records.len(), lost.len()), (4, 3));
    for degraded in lost {
        assert_eq!((degraded.kind, degraded.stage), (DegradedKind::ShapeNotCovered, Stage::Open));
        assert!(
            degraded.message.contains("leave the backend's profiles out, or add {"),
            "{}",
            degraded.message
        );
    }
}

#[test]
fn an_engine_that_cannot_be_built_is_a_reason_and_the_rest_goes_on() {
    let cases = [
        (
            "stage = \"build\", fault = \"missing_runtime\"",
            DegradedKind::RuntimeMissing,
            "libfaulty_runtime.so",
        ),
        ("stage = \"build\", fault = \"out_of_memory_error\"", DegradedKind::OutOfMemory, "no memory left"),
        ("stage = \"build\", fault = \"segfault\"", DegradedKind::Crashed, "SIGSEGV"),
        ("stage = \"build\", fault = \"hang\"", DegradedKind::Timeout, "no answer"),
        ("stage = \"build\", fault = \"panic\"", DegradedKind::Exception, "panicked"),
        ("stage = \"identity\", fault = \"unsupported\"", DegradedKind::Unsupported, "not something"),
        ("stage = \"identity\", fault = \"abort\"", DegradedKind::Crashed, "SIGABRT"),
    ];
    let backends: String = (0..)
        .zip(&cases)
        .map(|(n, (options, ..))| engine(&format!("b{n}"), &format!("options = {{ {options} }}")))
        .collect();
    let host = Host::new();
    let sound = "[[backends]]\nname = \"sound\"\nplugin = \"faulty\"\n";
    let run = "modes = [\"prefill\"]\nrepetitions = 1\nbuild_deadline_s = 3";
    let config = config(run, &(backends + sound));
    let ended = {
        host.write("config.toml", &config);
        let mut command = host.command(&["run", "config.toml", "--out", "out"]);
        command.env("INFERHOST_CACHE_DIR", host.path("cache"));
        crate::support::Ended::of(command.output().unwrap())
    };
    ended.succeeds();
    let records = host.records();
    for (n, (options, kind, part)) in cases.iter().enumerate() {
        for record in records.iter().filter(|record| record.backend == format!("b{n}")) {
            let degraded = record.degraded.as_ref().unwrap();
            assert_eq!(degraded.kind, *kind, "{options}: {}", degraded.message);
            assert!(degraded.message.contains(part), "{options}: {}", degraded.message);
        }
    }
    assert!(
        records.iter().filter(|record| record.backend == "sound").all(|record| record.status == Status::Ok)
    );
    let left = fs::read_dir(host.path("cache/artifacts")).unwrap().flatten();
    let plans: Vec<_> =
        left.map(|entry| entry.path()).filter(|path| path.join("engine.plan").exists()).collect();
    assert!(plans.is_empty(), "half-built: {plans:?}");
}

#[test]
fn an_engine_is_prepared_carried_and_opened_elsewhere() {
    let host = Host::new();
    let prepare = [
        "prepare",
        "--model",
        TINY,
        "--artifact",
        "plan-fp32",
        "--plugin",
        "faulty",
        "--rows",
        "2",
        "--out",
        "engine",
    ];
    let said = host.run(&prepare);
    let said = said.succeeds();
    assert!(said.stdout.contains("runs        1..2 x 1..32, 1..2 x 1 after 1..31"), "{}", said.stdout);
    assert!(said.stdout.contains("layers      3 in fp32"), "{}", said.stdout);
    let engine = host.path("engine");
    host.write("tokens.json", "[[1, 2, 3], [4]]");
    let generate = [
        "generate",
        "--plugin",
        "faulty",
        "--model",
        "engine",
        "--tokens",
        "tokens.json",
        "--max-new-tokens",
        "3",
    ];
    host.run(&generate).succeeds();
    let config = format!(
        "name = \"carried\"\n[run]\nrepetitions = 1\n[[models]]\nname = \"m\"\nsource = \"{}\"\n\
         [[backends]]\nname = \"a\"\nplugin = \"faulty\"\n\
         [[scenarios]]\nname = \"fits\"\nbatch = 2\nprompt_tokens = 5\nnew_tokens = 4\n\
         [[scenarios]]\nname = \"wide\"\nbatch = 3\nprompt_tokens = 5\nnew_tokens = 4\n",
        engine.display()
    );
    let (_, records) = host.matrix(&config);
    let ok: Vec<_> =
        records.iter().map(|record| (record.scenario.as_str(), record.status == Status::Ok)).collect();
    assert_eq!(ok.iter().filter(|(_, ok)| *ok).count(), 2, "{ok:?}");
    assert!(ok.iter().all(|(scenario, ok)| *ok == (*scenario == "fits")), "{ok:?}");
    let refused = records.iter().find_map(|record| record.degraded.as_ref()).unwrap();
    assert!(refused.message.contains("build one for this config"), "{}", refused.message);
    fs::remove_file(engine.join("engine.json")).unwrap();
    host.run(&["plan", "config.toml"]).fails(2, &["no engine.json beside it"]);
    host.run(&generate).fails(2, &["no engine.json beside it"]);
}

#[test]
fn mistakes_in_profiles_are_told_by_name() {
    let host = Host::new();
    for (artifact, profiles, parts) in [
        (
            "onnx-fp32",
            "[{ batch = [1], tokens = [5], past = [0] }]",
            ["profiles are of engine plans", "backend `a`"],
        ),
        ("plan-fp16", "[{ batch = [0], tokens = [5], past = [0] }]", ["begins at no rows", "backend `a`"]),
        (
            "plan-fp16",
            "[{ batch = [4, 2], tokens = [5], past = [0] }]",
            ["not in ascending order", "config.toml"],
        ),
        ("plan-fp16", "[{ batch = [1], token = [5], past = [0] }]", ["token", "config.toml"]),
        ("plan-fp16", "[{ batch = [1], tokens = [5] }]", ["past", "config.toml"]),
        (
            "plan-fp16",
            "[{ batch = [1, 2, 3, 4], tokens = [5], past = [0] }]",
            ["is not [least, tuned for, most]", "config.toml"],
        ),
    ] {
        let backend = format!(
            "[[backends]]\nname = \"a\"\nplugin = \"faulty\"\nartifact = \"{artifact}\"\nprofiles = {profiles}\n"
        );
        host.write("config.toml", &config("repetitions = 1", &backend));
        host.run(&["plan", "config.toml"]).fails(2, &parts);
    }
    let prepare = ["prepare", "--model", TINY, "--artifact", "plan-fp32", "--plugin", "candle"];
    if host.run(&["backends"]).stdout.contains("candle") {
        host.run(&prepare).fails(3, &["unsupported", "builds no engines"]);
    } else {
        skipped("the candle plugin is not built");
    }
}
