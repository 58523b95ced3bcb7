//! What a plugin reports, computes wrongly, says too much of or never answers; and workers that end.

use super::{GENERATE, LOGPROBS, PREFILL};
use crate::support::{Host, config, faulty};
use inferhost::record::{DegradedKind, Record, Stage, Status};

const REPETITIONS: usize = 2;

/// A matrix of one faulty backend and one sound one; the records of each.
fn matrix(run: &str, options: &str) -> (Vec<Record>, Vec<Record>) {
    let run = format!("{run}\nrepetitions = {REPETITIONS}\nwarmups = 0");
    let backends = faulty("bad", options) + &faulty("good", "");
    let host = Host::new();
    let (ended, records) = host.matrix(&config(&run, &backends));
    ended.succeeds();
    records.into_iter().partition(|record| record.backend == "bad")
}

#[track_caller]
fn check(run: &str, options: &str, kind: DegradedKind, stage: Stage, said: &str) {
    let (bad, good) = matrix(run, options);
    assert!(good.iter().all(|r| r.status == Status::Ok), "the sound backend is untouched: {good:?}");
    assert!(!good.is_empty() && bad.len() == good.len());
    for record in bad {
        assert_eq!(record.status, Status::Degraded, "{options}");
        assert_eq!((record.latency_ms, record.throughput_tok_s), (None, None));
        let degraded = record.degraded.unwrap();
        assert_eq!((degraded.kind, degraded.stage), (kind, stage), "{options}: {}", degraded.message);
        assert!(degraded.message.contains(said), "{options}: {}", degraded.message);
        assert!(!degraded.message.contains(['\n', '\u{1b}']), "{options}: {}", degraded.message);
    }
}

#[test]
fn reported_errors_are_named_by_kind() {
    use DegradedKind::{Exception, OutOfMemory, RuntimeMissing, ShapeNotCovered, Unsupported};
    let cases = [
        ("error", Exception, ""),
        ("panic", Exception, "the plugin panicked"),
        ("missing_runtime", RuntimeMissing, ""),
        ("out_of_memory_error", OutOfMemory, ""),
        ("unsupported", Unsupported, ""),
        ("shape_not_covered", ShapeNotCovered, ""),
    ];
    for (fault, kind, said) in cases {
        check(GENERATE, &format!("fault = \"{fault}\""), kind, Stage::Run, said);
        check(PREFILL, &format!("fault = \"{fault}\", stage = \"open\""), kind, Stage::Open, said);
    }
}

#[test]
fn output_that_is_no_output_is_invalid() {
    let cases = [
        (PREFILL, "nan", "NaN or infinite"),
        (LOGPROBS, "nan", "no log-probability"),
        (PREFILL, "wrong_shape", "wrong shape"),
        (LOGPROBS, "wrong_shape", "wrong shape"),
        (GENERATE, "short_output", "were asked for"),
        (GENERATE, "token_out_of_range", "outside the vocabulary"),
    ];
    for (mode, fault, said) in cases {
        let fault = format!("fault = \"{fault}\"");
        check(mode, &fault, DegradedKind::InvalidOutput, Stage::Verify, said);
    }
}

#[cfg(unix)]
#[test]
fn a_worker_that_dies_is_recorded_with_its_signal_or_code() {
    let cases = [("segfault", Some(11), None), ("abort", Some(6), None), ("exit", None, Some(3))];
    for (fault, signal, code) in cases {
        for (at, stage) in [("any", Stage::Run), ("open", Stage::Open)] {
            let (bad, _) = matrix(GENERATE, &format!("fault = \"{fault}\", stage = \"{at}\""));
            for record in bad {
                let degraded = record.degraded.unwrap();
                assert_eq!(
                    (degraded.kind, degraded.stage),
                    (DegradedKind::Crashed, stage),
                    "{}",
                    degraded.message
                );
                assert_eq!(
                    (degraded.signal, degraded.exit_code),
                    (signal, code),
                    "{fault}: {}",
                    degraded.message
                );
            }
        }
    }
}

#[test]
fn a_hang_ends_at_the_deadline() {
    let run = format!("{GENERATE}\ndeadline_s = 0.5\nopen_deadline_s = 5");
    check(&run, "fault = \"hang\"", DegradedKind::Timeout, Stage::Run, "no answer within 0.5 s");
    let run = format!("{GENERATE}\nopen_deadline_s = 1");
    check(
        &run,
        "fault = \"hang\", stage = \"open\"",
        DegradedKind::Timeout,
        Stage::Open,
        "no answer within 1.0 s",
    );
}

#[test]
fn a_warm_up_that_hangs_ends_at_the_deadline() {
    let host = Host::new();
    let run = format!("{PREFILL}\nwarmups = 1\nrepetitions = 1\ndeadline_s = 0.5\nopen_deadline_s = 5");
    let (_, records) = host.matrix(&config(&run, &faulty("bad", "fault = \"hang\"")));
    let reason = records[0].degraded.as_ref().unwrap();
    assert_eq!((reason.kind, reason.stage), (DegradedKind::Timeout, Stage::Warmup), "{}", reason.message);
}

#[test]
fn a_model_whose_opening_hangs_twice_is_given_up() {
    let host = Host::new();
    let run = format!("{PREFILL}\nrepetitions = 4\nopen_deadline_s = 1");
    let (_, records) = host.matrix(&config(&run, &faulty("bad", "fault = \"hang\", stage = \"open\"")));
    let tried: Vec<_> = records.iter().map(|r| r.worker_pid.is_some()).collect();
    assert_eq!(tried, [true, true, false, false]);
    assert_ne!(records[0].worker_pid, records[1].worker_pid);
    let reasons = records.iter().map(|r| r.degraded.as_ref().unwrap());
    assert!(
        reasons.clone().all(|r| (r.kind, r.stage) == (DegradedKind::Timeout, Stage::Open)),
        "{records:?}"
    );
}

#[test]
fn what_a_plugin_says_is_recorded_as_one_short_line() {
    let loud = format!("/none/\u{1b}[31m\n{}", "x".repeat(100_000));
    let options = format!("fault = \"error\", once_file = {}", serde_json::to_string(&loud).unwrap());
    let host = Host::new();
    let (ended, records) = host.matrix(&config("repetitions = 1", &faulty("bad", &options)));
    ended.fails(3, &[]);
    for record in records {
        let message = record.degraded.unwrap().message;
        assert!(message.contains("once_file /none/"), "{message}");
        assert!(message.chars().count() <= 600 && !message.contains(char::is_control), "{message}");
    }
}

#[test]
fn a_flood_of_output_harms_nothing_and_is_cut_in_the_log() {
    let host = Host::new();
    let backend = faulty("loud", "fault = \"print_flood\", flood_mb = 32");
    let (ended, records) = host.matrix(&config("repetitions = 1", &backend));
    ended.succeeds();
    assert!(records.iter().all(|r| r.status == Status::Ok));
    assert!(
        ended.stdout.len() < 10_000 && ended.stderr.len() < 10_000,
        "none of it reaches the user's screen"
    );
    let logs = std::fs::read_dir(host.path("out/logs")).unwrap().flatten();
    let bytes: u64 = logs.map(|log| log.metadata().unwrap().len()).sum();
    assert!((1 << 20..3 << 20).contains(&bytes), "{bytes}");
}

#[test]
fn a_slow_plugin_is_measured_as_slow() {
    let (slow, _) = matrix(PREFILL, "fault = \"slow\", delay_ms = 50");
    assert!(slow.iter().all(|r| r.status == Status::Ok && r.latency_ms.unwrap() >= 50.0), "{slow:?}");
}

#[test]
fn a_warm_up_that_fails_is_told_from_a_run_that_fails() {
    let host = Host::new();
    let run = "modes = [\"prefill\"]\nwarmups = 2\nrepetitions = 3";
    let (_, records) = host.matrix(&config(run, &faulty("bad", "fault = \"error\", after = 1")));
    let stages: Vec<_> = records.iter().map(|r| r.degraded.as_ref().unwrap().stage).collect();
    assert_eq!(
        stages,
        [Stage::Warmup; 3],
        "the second call of a session is a warm-up, and so is every later first"
    );
}

#[test]
fn a_fresh_worker_goes_on_after_a_crash() {
    let host = Host::new();
    let once = host.path("crashed-once");
    let options = format!("fault = \"abort\", once_file = {:?}", once.display().to_string());
    let run = "modes = [\"prefill\"]\nwarmups = 0\nrepetitions = 4";
    let (ended, records) = host.matrix(&config(run, &faulty("bad", &options)));
    ended.succeeds();
    let status: Vec<_> = records.iter().map(|r| r.status).collect();
    assert_eq!(status, [Status::Degraded, Status::Ok, Status::Ok, Status::Ok]);
    assert_ne!(records[0].worker_pid, records[1].worker_pid);
    assert_eq!(records[1].worker_pid, records[3].worker_pid);
    assert!(records[0].worker_pid.is_some());
}

#[test]
fn a_matrix_in_which_nothing_worked_says_so_by_its_exit_code() {
    let host = Host::new();
    let (ended, _) = host.matrix(&config("repetitions = 1", &faulty("bad", "fault = \"error\"")));
    ended.fails(3, &["no run gave a valid measurement"]);
}

#[test]
fn without_isolation_errors_and_panics_are_still_records() {
    let host = Host::new();
    host.write(
        "config.toml",
        &config("repetitions = 2", &(faulty("bad", "fault = \"panic\"") + &faulty("good", ""))),
    );
    host.run(&["run", "config.toml", "--out", "out", "--isolation", "none"]).succeeds();
    let (bad, good): (Vec<_>, Vec<_>) = host.records().into_iter().partition(|r| r.backend == "bad");
    assert!(bad.iter().all(|r| r.degraded.as_ref().unwrap().kind == DegradedKind::Exception));
    assert!(good.iter().all(|r| r.status == Status::Ok));
}
