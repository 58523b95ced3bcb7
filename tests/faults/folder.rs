//! What happens to files while and between runs: the run folder moved, deleted, without its logs; the cache gone; a
//! plugin replaced; a clock that went backwards.

use super::outcome;
use crate::support::{Host, config, ended, faulty, wait_until};
use inferhost::record::{Record, Status};
use std::path::{Path, PathBuf};
use std::process::Child;

const RUN: [&str; 4] = ["run", "config.toml", "--out", "out"];
const RESUME: [&str; 5] = ["run", "config.toml", "--out", "out", "--resume"];

/// A host whose third run waits until the file `go` is there: what is done meanwhile is done during the matrix. The
/// run after it meets a new worker.
struct Waiting {
    child: Child,
}

impl Waiting {
    /// With `settings` in the config's `[run]` and `args` after those of the program.
    fn new(host: &Host, settings: &str, args: &[&str]) -> Self {
        let hangs = host.path("hangs");
        let once = hangs.display().to_string();
        let options =
            format!("fault = \"slow\", delay_ms = 400, after = 2, once_file = {once:?}, then = \"abort\"");
        let run = format!("modes = [\"prefill\"]\nwarmups = 0\nrepetitions = 6\n{settings}");
        host.write("config.toml", &config(&run, &faulty("bad", &options)));
        let child = host.start(&[&RUN[..], args].concat());
        wait_until("the third run", || hangs.exists());
        Self { child }
    }

    fn ended(mut self) -> Option<i32> {
        ended(&mut self.child)
    }
}

fn outcomes(records: &[Record]) -> Vec<&'static str> {
    records.iter().map(outcome).collect()
}

#[test]
fn logs_that_are_removed_are_begun_anew() {
    let host = Host::new();
    let waiting = Waiting::new(&host, "", &[]);
    std::fs::remove_dir_all(host.path("out/logs")).unwrap();
    assert_eq!(waiting.ended(), Some(0));
    assert_eq!(outcomes(&host.records()), ["ok", "ok", "crashed", "ok", "ok", "ok"]);
    assert!(std::fs::read_dir(host.path("out/logs")).unwrap().count() > 0);
}

#[test]
fn logs_that_cannot_be_written_stop_the_run_with_a_line() {
    let host = Host::new();
    let waiting = Waiting::new(&host, "", &[]);
    std::fs::remove_dir_all(host.path("out/logs")).unwrap();
    std::fs::write(host.path("out/logs"), "a file").unwrap();
    assert_eq!(waiting.ended(), Some(1));
    assert_eq!(outcomes(&host.records()), ["ok", "ok", "crashed"]);
    std::fs::remove_file(host.path("out/logs")).unwrap();
    host.run(&RESUME).succeeds();
    assert_eq!(outcomes(&host.records()), ["ok", "ok", "crashed", "ok", "ok", "ok"]);
}

#[test]
fn a_run_folder_that_is_deleted_is_not_made_again() {
    let host = Host::new();
    let waiting = Waiting::new(&host, "", &[]);
    std::fs::remove_dir_all(host.path("out")).unwrap();
    assert_eq!(waiting.ended(), Some(1));
    assert!(!host.path("out").exists());
}

#[test]
fn records_that_are_deleted_are_missed_at_once() {
    let host = Host::new();
    host.write("config.toml", &config("modes = [\"prefill\"]", &faulty("good", "")));
    let mut command = Waiting::new(&host, "", &[]);
    std::fs::remove_file(host.path("out/records.jsonl")).unwrap();
    assert_eq!(ended(&mut command.child), Some(1));
    // The manifest is there: what is lost is made again.
    host.run(&RESUME).succeeds();
    assert_eq!(host.records().len(), 6);
}

#[test]
fn a_run_folder_may_be_moved_between_runs() {
    let host = Host::new();
    let mut waiting = Waiting::new(&host, "", &[]);
    waiting.child.kill().unwrap();
    waiting.child.wait().unwrap();
    std::fs::create_dir(host.path("deep")).unwrap();
    std::fs::rename(host.path("out"), host.path("deep/elsewhere")).unwrap();
    host.run(&["run", "config.toml", "--out", "deep/elsewhere", "--resume"]).succeeds();
    std::fs::rename(host.path("deep/elsewhere"), host.path("out")).unwrap();
    host.run(&["report", "out"]).succeeds();
    assert_eq!(outcomes(&host.records()), ["ok"; 6], "the run in which the host was killed is made again");
}

#[test]
fn a_model_that_vanishes_from_the_cache_costs_the_runs_that_open_it() {
    let host = Host::new();
    let cache = host.path("cache");
    host.write("tokens.json", "[[1, 2]]");
    let hangs = host.path("hangs");
    let options = format!(
        "fault = \"slow\", delay_ms = 400, then = \"abort\", once_file = {:?}",
        hangs.display().to_string()
    );
    host.write(
        "config.toml",
        &config("modes = [\"prefill\"]\nwarmups = 0\nrepetitions = 3", &faulty("bad", &options)),
    );
    let mut command = host.command(&RUN);
    let mut child = command.env("INFERHOST_CACHE_DIR", &cache).spawn().unwrap();
    wait_until("the first run", || hangs.exists());
    std::fs::remove_dir_all(&cache).unwrap();
    assert_eq!(ended(&mut child), Some(3), "no run is left that could succeed");
    assert_eq!(outcomes(&host.records()), ["crashed", "exception", "exception"]);
    let said = super::message(&host.records()[1]).to_string();
    assert!(said.contains("no such model file or folder"), "{said}");
}

/// The faulty plugin's library, as the workspace builds it.
fn library() -> PathBuf {
    let name =
        format!("{}inferhost_plugin_faulty{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let built = Path::new(env!("CARGO_BIN_EXE_inferhost")).with_file_name(name);
    assert!(built.exists(), "build the workspace first");
    built
}

/// In one way or another: put in the file's place, cut off while it is mapped, taken away.
#[test]
fn a_plugin_that_changes_while_it_runs_costs_runs_and_no_more() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 4] = [
        ("replaced by the same", |path| {
            let next = path.with_extension("next");
            std::fs::copy(path, &next).unwrap();
            std::fs::rename(&next, path).unwrap();
        }),
        ("replaced by another", |path| {
            let next = path.with_extension("next");
            std::fs::write(&next, "no library").unwrap();
            std::fs::rename(&next, path).unwrap();
        }),
        ("cut off in place", |path| {
            std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(4096).unwrap()
        }),
        ("taken away", |path| std::fs::remove_file(path).unwrap()),
    ];
    for (what, change) in changes {
        let host = Host::new();
        let folder = host.path("plugins");
        std::fs::create_dir(&folder).unwrap();
        let plugin = folder.join(library().file_name().unwrap());
        std::fs::copy(library(), &plugin).unwrap();
        let waiting = Waiting::new(&host, "", &["--plugin-dir", "plugins"]);
        change(&plugin);
        assert_eq!(waiting.ended(), Some(0), "{what}");
        let found = outcomes(&host.records());
        assert_eq!((found.len(), &found[..2]), (6, &["ok", "ok"][..]), "{what}: {found:?}");
        assert_eq!(found[2], "crashed", "{what}: {found:?}");
        let later =
            if what.ends_with("same") { &["ok"][..] } else { &["incompatible", "crashed", "exception"] };
        assert!(found[3..].iter().all(|outcome| later.contains(outcome)), "{what}: {found:?}");
    }
}

/// Times that go backwards, as after a correction of the clock. Durations do not come from them.
#[test]
fn a_clock_set_back_changes_no_figure() {
    let host = Host::new();
    let backends =
        faulty("a", "fault = \"slow\", delay_ms = 1") + &faulty("b", "fault = \"slow\", delay_ms = 1");
    host.write("config.toml", &config("modes = [\"prefill\"]\nrepetitions = 5", &backends));
    host.run(&RUN).succeeds();
    let summary = || std::fs::read_to_string(host.path("out/summary.csv")).unwrap();
    let before = summary();
    let path = host.path("out/records.jsonl");
    let mut records = host.records();
    let count = records.len();
    for (n, record) in records.iter_mut().enumerate() {
        record.started_at = format!("2001-02-03T04:05:{:02}.678Z", count - n);
    }
    let line = |record: &Record| serde_json::to_string(record).unwrap() + "\n";
    let kept: String = records[..count - 3].iter().map(line).collect();
    std::fs::write(&path, records.iter().map(line).collect::<String>()).unwrap();
    host.run(&["report", "out"]).succeeds();
    assert_eq!(summary(), before);
    let other = host.path("other");
    std::fs::create_dir(&other).unwrap();
    for file in ["manifest.json", "records.jsonl"] {
        std::fs::copy(host.path("out").join(file), other.join(file)).unwrap();
    }
    host.run(&["compare", "out", "other"]).succeeds();
    std::fs::write(&path, kept).unwrap();
    host.run(&RESUME).succeeds();
    assert_eq!(host.records().len(), count);
    assert!(host.records().iter().all(|record| record.status == Status::Ok));
}
