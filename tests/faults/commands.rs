//! The commands beside `run`: a plugin that misbehaves costs them one line, and what is no file does not hold them up.

use crate::support::{Ended, Host, config, faulty, processes};
use std::path::Path;
use std::process::Command;

fn golden() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/gpt2-tanh").display().to_string()
}

#[test]
fn a_plugin_that_fails_the_conformance_suite_takes_nothing_along() {
    let cases: [(&[&str], &str); 6] = [
        (&["fault=segfault"], "signal 11"),
        (&["fault=exit"], "code 3"),
        (&["fault=hang"], "no answer within 3.0 s"),
        (&["fault=close_all_descriptors"], "the worker was"),
        (&["fault=print_garbage"], "does not conform"),
        (&["fault=children", "stage=open"], "does not conform"),
    ];
    for (options, said) in cases {
        let host = Host::new();
        let mut args = vec!["conformance", "--plugin", "faulty", "--golden", "GOLDEN", "--deadline-s", "3"];
        let golden = golden();
        args[4] = &golden;
        args.extend(options.iter().flat_map(|option| ["--option", option]));
        let ended = host.run(&args);
        ended.fails(3, &[said]);
        let shown = [ended.stdout, ended.stderr].concat();
        assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "{options:?}: {shown:?}");
        host.leaves_nothing();
    }
}

#[test]
fn a_conforming_plugin_is_said_to_be_one() {
    let host = Host::new();
    let ended = host.run(&["conformance", "--plugin", "candle", "--golden", &golden()]);
    assert!(ended.succeeds().stdout.contains("passed"), "{}", ended.stdout);
    host.run(&["conformance", "--plugin", "candle", "--golden", "none"])
        .fails(2, &["none holds no golden case"]);
    host.leaves_nothing();
}

#[test]
fn what_has_no_end_is_not_read_to_its_end() {
    let host = Host::new();
    host.run(&["run", "/dev/zero"]).fails(2, &["/dev/zero", "more than 16 MiB"]);
    let tokens =
        ["generate", "--plugin", "candle", "--model", "synthetic:tiny-gpt2", "--tokens", "/dev/zero"];
    host.run(&[&tokens[..], &["--max-new-tokens", "1"]].concat())
        .fails(2, &["/dev/zero", "more than 256 MiB"]);
}

#[test]
fn a_pipe_of_a_plugins_name_holds_nobody_up() {
    let host = Host::new();
    let pipe = host.path("libinferhost_plugin_pipe.so");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let listed = host.run(&["backends", "--plugin-dir", "."]);
    let said = "libinferhost_plugin_pipe.so is no regular file";
    assert!(listed.succeeds().stdout.contains("candle") && listed.stdout.contains(said), "{}", listed.stdout);
    host.run(&["doctor", "--plugin", "candle", "--plugin-dir", "."]).succeeds();
}

/// What the shell started before it became the host is not a worker's orphan.
#[test]
fn children_that_came_with_the_host_are_left_alone() {
    let host = Host::new();
    host.write("config.toml", &config("repetitions = 1", &faulty("a", "fault = \"daemons\"")));
    let script = "set -m; sleep 1000 >/dev/null 2>&1 & echo $! > child; exec \"$@\"";
    let ended = Ended::of(host.wrapped(script, &["run", "config.toml", "--out", "out"]).output().unwrap());
    ended.succeeds();
    let child: u32 = std::fs::read_to_string(host.path("child")).unwrap().trim().parse().unwrap();
    assert!(processes::is_alive(child));
    assert!(Command::new("kill").arg(child.to_string()).status().unwrap().success());
    host.leaves_nothing();
}

#[test]
fn records_that_nobody_asked_for_are_told_on_resume() {
    let host = Host::new();
    let (ended, records) = host.matrix(&config("modes = [\"prefill\"]\nrepetitions = 3", &faulty("a", "")));
    ended.succeeds();
    let path = host.path("out/records.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    let first = text.lines().next().unwrap();
    let stranger = first.replace(&format!("\"repetition\":{}", records[0].repetition), "\"repetition\":77");
    assert_ne!(stranger, first);
    std::fs::write(&path, format!("{text}{first}\n{stranger}\n")).unwrap();
    let resumed = host.run(&["run", "config.toml", "--out", "out", "--resume"]);
    let said = "note: 2 records are of runs that this plan does not ask for";
    assert!(resumed.succeeds().stderr.contains(said), "{}", resumed.stderr);
}
