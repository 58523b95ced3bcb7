//! What a user can get wrong, and the one line that says what was found, what was expected and what to do.

use crate::support::{Host, TINY, config, faulty};

#[test]
fn mistakes_in_a_config_name_the_file_the_line_and_the_right_word() {
    let sound = config("repetitions = 1", &faulty("good", ""));
    let cases: [(&str, &str, &[&str]); 21] = [
        (
            "repetitions = 1",
            "repetitons = 1",
            &["config.toml:3", "unknown key `repetitons`", "`repetitions`"],
        ),
        (
            "repetitions = 1",
            "modes = [\"prefil\"]",
            &["config.toml:3", "unknown value `prefil`", "`prefill`"],
        ),
        ("repetitions = 1", "repetitions = \"two\"", &["config.toml:3", "string", "u32"]),
        ("repetitions = 1", "repetitions = 0", &["run.repetitions"]),
        ("repetitions = 1", "deadline_s = -1", &["run.deadline_s is -1"]),
        ("repetitions = 1", "use_cache = []", &["run.use_cache"]),
        ("repetitions = 1", "repetitions = ", &["config.toml:3"]),
        ("name = \"test\"", "name = \"../test\"", &["`../test` is no name"]),
        ("name = \"test\"", "name = \"test\"\nbaseline = \"none\"", &["baseline `none`"]),
        ("plugin = \"faulty\"", "plugin = \"faulti\"", &["backend `good`", "`faulti`", "`faulty`"]),
        ("plugin = \"faulty\"", "plugin = \"./none.so\"", &["no plugin at", "none.so"]),
        ("plugin = \"faulty\"", "plugin = \"faulty\"\nartifact = \"onx-fp32\"", &["onx-fp32", "onnx-fp32"]),
        ("options = {  }", "options = { falt = \"nan\" }", &["backend `good`", "`falt`", "`fault`"]),
        (
            "\"faulty\"\noptions = {  }",
            "\"candle\"\noptions = { threads = 0 }",
            &["backend `good`", "threads is 0"],
        ),
        ("options = {  }", "options = { after = nan }", &["backend `good`", "option `after`"]),
        ("options = {  }", "env = { \"A=B\" = \"x\" }", &["backend `good`", "env `A=B`"]),
        ("prompt_tokens = 5", "prompt_tokens = 50", &["nothing can be run", "needs 50 positions", "has 32"]),
        ("repetitions = 1", "repetitions = 4000000000", &["runs are planned"]),
        ("repetitions = 1", "memory_limit_mb = 1", &["run.memory_limit_mb is 1"]),
        ("prompt_tokens = 5", "prompt_tokens = 0", &["scenario `small`", "prompt_tokens"]),
        ("batch = 2", "", &["missing field `batch`"]),
    ];
    for (right, wrong, parts) in cases {
        let host = Host::new();
        assert!(sound.contains(right));
        host.write("config.toml", &sound.replace(right, wrong));
        host.run(&["run", "config.toml", "--out", "out"]).fails(2, parts);
        assert!(!host.path("out").exists(), "nothing is left behind by: {wrong}");
    }
    Host::new().run(&["run", "none.toml"]).fails(2, &["none.toml", "configs/quickstart.toml"]);
}

#[test]
fn a_claim_that_the_tensors_refute_stops_the_run() {
    let host = Host::new();
    let config = config("repetitions = 1", &faulty("good", ""));
    host.write("config.toml", &config.replace("[[backends]]", "claimed_params = 124_000_000\n[[backends]]"));
    host.run(&["run", "config.toml", "--out", "out"]).fails(2, &["model `tiny`", "124000000"]);
    assert!(!host.path("out").exists());
}

#[test]
fn mistakes_in_a_model() {
    let host = Host::new();
    host.write("tokens.json", "[[1, 2]]");
    std::fs::create_dir(host.path("empty")).unwrap();
    std::fs::create_dir(host.path("odd")).unwrap();
    host.write("odd/config.json", "{\"model_type\": \"mamba\"}");
    host.write("odd/model.safetensors", "");
    let cases: [(&str, &[&str]); 7] = [
        ("none", &["none"]),
        ("empty", &["empty"]),
        ("odd", &["mamba"]),
        ("synthetic:gpt2-6m", &["gpt2-6m", "gpt2-5m"]),
        ("synthetic:gpt2?layers=1&embd=5&heads=2", &["5", "2"]),
        ("synthetic:gpt2?layer=1", &["layer"]),
        ("hf:no-such-organisation", &["hf:"]),
    ];
    for (model, parts) in cases {
        let ended = host.run(&["prefill", "--plugin", "faulty", "--model", model, "--tokens", "tokens.json"]);
        ended.fails(2, parts);
    }
}

#[test]
fn mistakes_in_a_one_off_call() {
    let host = Host::new();
    host.write("good.json", "[[1, 2], [3]]");
    host.write("ragged.json", "[[1, 2], []]");
    host.write("text.json", "hello");
    host.write("negative.json", "[[-1]]");
    host.write("large.json", "[[16]]");
    host.write("long.json", &format!("[{:?}]", vec![1; 40]));
    let cases: [(&[&str], &[&str]); 12] = [
        (&["--tokens", "none.json"], &["none.json", "[[ids], ...]"]),
        (&["--tokens", "text.json"], &["text.json", "[[ids], ...]"]),
        (&["--tokens", "negative.json"], &["negative.json", "-1"]),
        (&["--tokens", "ragged.json"], &["row 1 is empty"]),
        (&["--tokens", "large.json"], &["token id 16", "vocabulary has 16"]),
        (&["--tokens", "long.json"], &["40 positions", "context is 32"]),
        (&["--tokens", "good.json", "--option", "fault"], &["`fault`", "key=value"]),
        (&["--tokens", "good.json", "--option", "falt=nan"], &["falt"]),
        (&["--tokens", "good.json", "--option", "fault=nun"], &["nun"]),
        (&["--tokens", "good.json", "--artifact", "onnx-fp23"], &["onnx-fp23", "onnx-fp32"]),
        (&["--tokens", "good.json", "--deadline-s=-1"], &["--deadline-s"]),
        (&["--prompt", "hello"], &["tokenizer"]),
    ];
    for (given, parts) in cases {
        let args = [&["prefill", "--plugin", "faulty", "--model", TINY][..], given].concat();
        host.run(&args).fails(2, parts);
    }
    let zero =
        ["generate", "--plugin", "faulty", "--model", TINY, "--tokens", "good.json", "--max-new-tokens", "0"];
    host.run(&zero).fails(2, &["max_new_tokens is 0"]);
}

#[test]
fn mistakes_on_the_command_line() {
    let host = Host::new();
    let call = ["prefill", "--plugin", "faulty", "--model", TINY];
    let cases: [(&[&str], &[&str]); 8] = [
        (&["rum", "config.toml"], &["rum"]),
        (&["run"], &["<CONFIG>"]),
        (&["run", "config.toml", "--resum"], &["--resum"]),
        (&["run", "config.toml", "--isolation", "thread"], &["thread", "process, none"]),
        (&["plan", "a.toml", "b.toml"], &["b.toml"]),
        (&["report"], &["<RUN_DIR>"]),
        (&call, &["--tokens"]),
        (&["generate", "--max-new-tokens", "many"], &["--max-new-tokens", "many"]),
    ];
    for (args, parts) in cases {
        let ended = host.run(args);
        ended.fails(2, parts);
        ended.fails(2, &["; see --help"]);
        assert_eq!((ended.stderr.lines().count(), ended.stdout.as_str()), (1, ""), "{args:?}");
    }
}

#[test]
fn a_plugin_that_fails_a_one_off_call_has_its_own_exit_code() {
    let host = Host::new();
    host.write("good.json", "[[1, 2]]");
    for (fault, part) in [("abort", "crashed"), ("panic", "panicked"), ("nan", "invalid_output")] {
        let option = format!("fault={fault}");
        let call =
            ["prefill", "--plugin", "faulty", "--model", TINY, "--tokens", "good.json", "--option", &option];
        let ended = host.run(&call);
        assert_eq!(ended.code, Some(3), "{}", ended.stderr);
        assert!(ended.stderr.lines().count() == 1 && ended.stderr.contains(part), "{}", ended.stderr);
    }
}

#[test]
fn a_run_folder_that_is_none_is_not_reported() {
    let host = Host::new();
    host.run(&["report", "."]).fails(2, &["no manifest.json"]);
    host.run(&["report", "none"]).fails(2, &["none"]);
    host.write("config.toml", &config("repetitions = 1", &faulty("good", "")));
    host.run(&["run", "config.toml", "--resume"]).fails(2, &["no run of test", "--out"]);
}

#[test]
fn a_plugin_folder_that_is_named_must_be_there() {
    Host::new().run(&["backends", "--plugin-dir", "none"]).fails(2, &["--plugin-dir none is no folder"]);
}

#[test]
fn records_without_a_manifest_cannot_be_resumed() {
    let host = Host::new();
    host.write("config.toml", &config("repetitions = 1", &faulty("good", "")));
    host.run(&["run", "config.toml", "--out", "out"]).succeeds();
    std::fs::remove_file(host.path("out/manifest.json")).unwrap();
    host.run(&["run", "config.toml", "--out", "out", "--resume"])
        .fails(2, &["no manifest.json", "another --out"]);
}
