//! More than anyone asked for, and what was not asked for: none of it is taken for a result, and none of it is kept.

use super::{GENERATE, PREFILL, message, one_each, outcome};
use crate::support::Host;

#[test]
fn more_than_was_asked_for_is_no_result() {
    let cases = [
        ("fault = \"too_many_tokens\"", "invalid_output", "5 new tokens, 4 were asked for"),
        ("fault = \"wrong_shape\"", "invalid_output", "row 2"),
        ("fault = \"endless_tokens\"", "timeout", "no answer within 2.0 s"),
        ("fault = \"long_error\", flood_mb = 8", "exception", "faulty faulty"),
        (
            "fault = \"long_description\", flood_mb = 2, stage = \"describe\"",
            "incompatible",
            "its description takes",
        ),
        // From a thread that the host knows nothing of tokens are as good as from any other.
        ("fault = \"callback_thread\"", "ok", ""),
    ];
    let host = Host::new();
    let run = format!("{GENERATE}\ndeadline_s = 2\nopen_deadline_s = 30");
    let (ended, records) = one_each(&host, &run, &cases.map(|(options, ..)| options));
    ended.succeeds();
    for ((options, kind, said), record) in cases.iter().zip(&records) {
        assert_eq!(outcome(record), *kind, "{options}: {}", message(record));
        assert!(message(record).contains(said), "{options}: {}", message(record));
        assert!(message(record).chars().count() <= 600, "{options}");
    }
    let written = std::fs::metadata(host.path("out/manifest.json")).unwrap().len();
    assert!(written < 100_000 && ended.stderr.len() < 10_000, "none of it is kept: {written}");
}

#[test]
fn a_vocabulary_that_nobody_has_is_no_output() {
    let (_, records) = one_each(&Host::new(), PREFILL, &["fault = \"huge_vocabulary\""]);
    assert_eq!(outcome(&records[0]), "invalid_output");
    assert!(message(&records[0]).contains("vocabulary of 4294967295, expected 2 positions x 16"));
}

#[test]
fn a_plugin_that_fails_to_say_what_it_is_costs_its_own_runs() {
    let cases = [("hang", "timeout"), ("segfault", "crashed"), ("exit", "crashed"), ("panic", "exception")];
    let options = cases.map(|(fault, _)| format!("fault = \"{fault}\", stage = \"describe\""));
    let options: Vec<&str> = options.iter().map(String::as_str).chain([""]).collect();
    let (ended, records) = one_each(&Host::new(), &format!("{PREFILL}\nopen_deadline_s = 3"), &options);
    ended.succeeds();
    for ((fault, kind), record) in cases.iter().zip(&records) {
        let stage = record.degraded.as_ref().unwrap().stage.name();
        assert_eq!((outcome(record), stage), (*kind, "load"), "{fault}: {}", message(record));
    }
    assert_eq!(outcome(&records[cases.len()]), "ok", "the sound backend is untouched");
}

/// A gigabyte on each of standard output and error.
#[test]
fn gigabytes_of_output_are_read_and_not_kept() {
    let host = Host::new();
    let (ended, records) = one_each(&host, PREFILL, &["fault = \"print_flood\", flood_mb = 1000"]);
    ended.succeeds();
    assert_eq!(outcome(&records[0]), "ok");
    let logs = std::fs::read_dir(host.path("out/logs")).unwrap().flatten();
    assert!(logs.map(|log| log.metadata().unwrap().len()).sum::<u64>() < 3 << 20);
}

#[cfg(unix)]
#[test]
fn what_no_terminal_should_see_is_not_shown_to_one() {
    let (ended, records) = one_each(&Host::new(), PREFILL, &["fault = \"print_garbage\", then = \"abort\""]);
    assert_eq!(outcome(&records[0]), "crashed");
    let shown = [message(&records[0]), &ended.stdout, &ended.stderr].concat();
    assert!(!shown.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}'), "{shown:?}");
    assert!(message(&records[0]).chars().count() <= 600, "{}", message(&records[0]));
}
