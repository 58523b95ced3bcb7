//! Which plugins are loaded: not those that anyone may change, not another than the pinned one, and no longer the one
//! that took a file's place while a run went on.
#![cfg(unix)]

use crate::support::{Host, TINY, config, ended, faulty, wait_until};
use inferhost::record::DegradedKind;
use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A folder of the host's own with a copy of the faulty plugin.
fn copied(host: &Host) -> (PathBuf, PathBuf) {
    let file = format!("{DLL_PREFIX}inferhost_plugin_faulty{DLL_SUFFIX}");
    let folder = host.path("plugins");
    std::fs::create_dir(&folder).unwrap();
    set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
    let copy = folder.join(&file);
    std::fs::copy(Path::new(env!("CARGO_BIN_EXE_inferhost")).with_file_name(&file), &copy).unwrap();
    (folder, copy)
}

#[test]
fn a_plugin_that_anyone_may_change_is_refused_by_every_command() {
    let host = Host::new();
    let (folder, file) = copied(&host);
    host.write("tokens.json", "[[1, 2]]");
    host.write("config.toml", &config("repetitions = 1", &faulty("good", "")));
    let folder_name = folder.to_str().unwrap();
    let prefill = ["prefill", "--plugin", "faulty", "--model", TINY, "--tokens", "tokens.json"];
    let run = ["run", "config.toml", "--out", "out"];
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden");
    let conformance = ["conformance", "--plugin", "faulty", "--golden", golden.to_str().unwrap()];
    let with = |arguments: &[&str], more: &[&str]| -> Vec<String> {
        let all = [arguments, &["--plugin-dir", folder_name], more].concat();
        all.into_iter().map(String::from).collect()
    };
    for (path, mode) in [(&file, 0o777), (&folder, 0o777)] {
        let before = path.metadata().unwrap().permissions();
        set_permissions(path, Permissions::from_mode(mode)).unwrap();
        let remedy = format!("chmod o-w {}", path.display());
        let parts = ["is world-writable (mode 0777)", &remedy, "--allow-world-writable-plugins"];
        for command in [&prefill[..], &run, &conformance] {
            host.run(&with(command, &[])).fails(2, &parts);
        }
        assert!(!host.path("out").exists());
        let listed = host.run(&with(&["backends"], &[]));
        assert!(listed.succeeds().stdout.contains(&remedy), "{}", listed.stdout);
        let doctor = host.run(&with(&["doctor", "--plugin", "faulty"], &[]));
        assert!(doctor.stdout.contains(&format!("fix: {remedy}")), "{}", doctor.stdout);
        assert!(doctor.stdout.contains("not asked: its file is refused"), "{}", doctor.stdout);
        // By path, and where it is allowed.
        host.run(&[
            "prefill",
            "--plugin",
            file.to_str().unwrap(),
            "--model",
            TINY,
            "--tokens",
            "tokens.json",
        ])
        .fails(2, &parts);
        host.run(&with(&prefill, &["--allow-world-writable-plugins"])).succeeds();
        let mut command = host.command(&with(&prefill, &[]));
        let allowed = command.env("INFERHOST_ALLOW_WORLD_WRITABLE_PLUGINS", "1").output().unwrap();
        assert!(allowed.status.success(), "{}", String::from_utf8_lossy(&allowed.stderr));
        set_permissions(path, before).unwrap();
    }
    host.run(&with(&prefill, &[])).succeeds();
    host.run(&with(&run, &[])).succeeds();
}

#[test]
fn a_pin_holds_the_plugin_to_its_hash_before_anything_runs() {
    let host = Host::new();
    let (folder, file) = copied(&host);
    let hash = inferhost::digest::of_file(&file).unwrap();
    let other = "0".repeat(64);
    let pinned = |pin: &str| {
        let backends = faulty("first", "fault = \"segfault\", stage = \"open\"") + &faulty("second", "");
        let (first, second) = backends.rsplit_once("plugin = ").unwrap();
        config("repetitions = 1", &format!("{first}sha256 = \"{pin}\"\nplugin = {second}"))
    };
    let run = ["run", "config.toml", "--out", "out", "--plugin-dir", folder.to_str().unwrap()];
    host.write("config.toml", &pinned(&other));
    let refused = host.run(&run);
    refused.fails(2, &["backend `second`", &hash, &other, "pins"]);
    assert!(!refused.stderr.contains("preparing"), "nothing was begun: {}", refused.stderr);
    assert!(!host.path("out").exists());
    for wrong in ["", "abc", &"g".repeat(64), &"0".repeat(65)] {
        host.write("config.toml", &pinned(wrong));
        host.run(&run).fails(2, &["backend `second`", "expected 64 hexadecimal digits"]);
    }
    host.write("config.toml", &pinned(&hash.to_uppercase()));
    host.run(&run).succeeds();
    let manifest = inferhost::store::read_manifest(&host.path("out")).unwrap();
    assert_eq!(manifest.backends[1].sha256.as_ref(), Some(&hash));
}

/// The first worker dies of its third run, and the plugin is another file by then: the runs before are kept, those after
/// are recorded for what happened.
#[test]
fn a_plugin_that_is_replaced_while_it_runs_is_not_loaded_again() {
    let host = Host::new();
    let (folder, file) = copied(&host);
    let before = inferhost::digest::of_file(&file).unwrap();
    let slow = "fault = \"hang\", after = 2";
    let run = "modes = [\"prefill\"]\nwarmups = 0\nrepetitions = 5\ndeadline_s = 3";
    host.write("config.toml", &config(run, &faulty("changing", slow)));
    let mut child =
        host.start(&["run", "config.toml", "--out", "out", "--plugin-dir", folder.to_str().unwrap()]);
    let records = host.path("out/records.jsonl");
    wait_until("two records", || {
        std::fs::read_to_string(&records).is_ok_and(|text| text.lines().count() >= 2)
    });
    let changed = [std::fs::read(&file).unwrap(), b"changed".to_vec()].concat();
    host.write("other", "");
    std::fs::write(host.path("other"), changed).unwrap();
    std::fs::rename(host.path("other"), &file).unwrap();
    let now = inferhost::digest::of_file(&file).unwrap();
    assert_eq!(ended(&mut child), Some(0));
    let records = host.records();
    assert_eq!(records.len(), 5);
    let kinds: Vec<_> = records.iter().map(|record| record.degraded.as_ref().map(|of| of.kind)).collect();
    assert_eq!(kinds[..3], [None, None, Some(DegradedKind::Timeout)]);
    let line = format!("the plugin's file changed since the run began (sha256 {before}, now {now})");
    for record in &records[3..] {
        let degraded = record.degraded.as_ref().unwrap();
        assert_eq!(degraded.kind, DegradedKind::Incompatible);
        assert!(degraded.message.contains(&line), "{}", degraded.message);
    }
}
