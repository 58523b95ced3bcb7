//! `scripts/gpu`: what carries a benchmark to a machine with a GPU and brings its results back, tried without one.

use crate::support::{Host, config, skipped};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn scripts() -> PathBuf {
    repository().join("scripts/gpu")
}

/// Whether there is a Python that the scripts run on; says so where there is none.
fn has_python() -> bool {
    let asked = Command::new("python3").args(["-c", "import lzma, tarfile; tarfile.data_filter"]).output();
    let is_there = asked.is_ok_and(|asked| asked.status.success());
    if !is_there {
        skipped("scripts/gpu: no python3 with lzma and tarfile.data_filter");
    }
    is_there
}

fn run<A: AsRef<std::ffi::OsStr>>(program: &str, args: &[A]) -> Output {
    Command::new(program).args(args).output().unwrap()
}

fn python<A: AsRef<std::ffi::OsStr>>(script: &str, args: &[A]) -> Output {
    Command::new("python3").arg(scripts().join(script)).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// It ended well; gives what it printed.
#[track_caller]
fn succeeds(output: Output) -> String {
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// It ended with `code` and one line that holds `part`.
#[track_caller]
fn fails(output: Output, code: i32, part: &str) {
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(part) && said.trim().lines().count() == 1, "{said}");
}

/// What run.sh leaves, with a small matrix in it.
fn results(host: &Host) -> PathBuf {
    let backends = "[[backends]]\nname = \"candle\"\nplugin = \"candle\"\n\
                    [[backends]]\nname = \"absent\"\nplugin = \"torch\"\noptions = { device = \"cuda:7\" }\n";
    let text = config("modes = [\"prefill\", \"generate\"]\nrepetitions = 3", backends);
    let path = host.write("small.toml", &text);
    fs::create_dir(host.path("results")).unwrap();
    host.run(&["run", path.to_str().unwrap(), "--out", "results/small"]).succeeds();
    host.write("results/command.txt", "2026-11-21T00:00:00Z run.sh --device cpu\n");
    host.write("results/bandwidth.json", r#"{"device": "Test", "bytes_per_s": 2e9}"#);
    fs::create_dir(host.path("results/steps")).unwrap();
    host.write("results/steps/conformance-x.json", r#"{"verdict": "ok 3 checks"}"#);
    host.path("results")
}

fn collect(results: &Path, to: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(scripts().join("collect.sh"));
    command.arg(results).arg("--to").arg(to).args(more).output().unwrap()
}

#[test]
fn results_are_collected_whole_or_refused() {
    if !has_python() {
        return;
    }
    let host = Host::new();
    let (results, to) = (results(&host), host.path("collected"));
    let said = succeeds(collect(&results, &to, &["--name", "Test GPU (80 GB)"]));
    let taken = to.join("test-gpu-80-gb/small");
    assert!(said.contains(&format!("{}: 6 of 12 runs ok", taken.display())), "{said}");
    for name in ["manifest.json", "summary.csv", "report.md", "command.txt", "bandwidth.json"] {
        assert!(taken.join(name).is_file(), "{name}");
    }
    assert!(taken.join("plots").is_dir());
    assert_eq!(fs::read_to_string(taken.join("steps.txt")).unwrap(), "conformance-x: ok 3 checks\n");

    let packed = host.path("results.tar.xz");
    let made =
        run("tar", &["-cJf", packed.to_str().unwrap(), "-C", host.path("").to_str().unwrap(), "results"]);
    if made.status.success() {
        succeeds(collect(&packed, &to, &["--name", "from-tar"]));
        assert!(to.join("from-tar/small/manifest.json").is_file());
    } else {
        skipped("collect.sh from a .tar.xz: no tar that knows xz");
    }

    let gpus = "the manifest has no GPU; name the machine with --name";
    let manifest = fs::read_to_string(results.join("small/manifest.json")).unwrap();
    if manifest.contains("\"gpus\": []") {
        fails(collect(&results, &to, &[]), 1, gpus);
    }
    let records = results.join("small/records.jsonl");
    let whole = fs::read_to_string(&records).unwrap();
    let refused = |part: &str| fails(collect(&results, &host.path("no"), &["--name", "x"]), 1, part);
    fs::write(&records, whole.lines().skip(1).map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    refused("11 records of 12 planned runs");
    fs::write(&records, &whole).unwrap();
    fs::remove_file(results.join("small/report.md")).unwrap();
    refused("no report.md; make them with inferhost report");
    let ended = manifest.lines().find(|line| line.contains("\"ended_at\"")).unwrap();
    host.write("results/small/manifest.json", &manifest.replace(ended, "\"ended_at\": null,"));
    refused("the run has not ended");
    host.write("results/small/manifest.json", "{");
    refused("not JSON");
    fs::remove_file(results.join("small/manifest.json")).unwrap();
    refused("no run folder in it");
    host.write("noise.tar.xz", "noise");
    fails(collect(&host.path("noise.tar.xz"), &to, &[]), 1, "neither a folder nor a tar");
    assert!(!host.path("no").exists(), "nothing is written of what is refused");
}

#[test]
fn the_table_has_a_line_for_each_backend_and_its_share_of_the_floor() {
    if !has_python() {
        return;
    }
    let host = Host::new();
    let run = results(&host).join("small");
    let bandwidth = host.path("results/bandwidth.json");
    let args = [run.to_str().unwrap(), "--bandwidth", bandwidth.to_str().unwrap()];
    let said = succeeds(python("table.py", &args));
    let lines: Vec<&str> = said.lines().collect();
    let [head, candle, absent, floor] = lines[..] else { panic!("{said}") };
    assert!(
        head.starts_with("model") && head.contains("memory floor") && head.contains("degraded"),
        "{said}"
    );
    let cells: Vec<&str> = candle.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
    assert_eq!((cells[1], cells[5]), ("candle", "0 of 6"), "{said}");
    let milliseconds: f64 = cells[2].parse().unwrap();
    let per_second: f64 = cells[3].replace(',', "").parse().unwrap();
    // Two rows a step.
    assert!((per_second * milliseconds / 2e3 - 1.0).abs() < 0.01 + 0.5 / per_second, "{said}");
    assert!(cells[4].ends_with('%'), "{said}");
    let words: Vec<&str> = absent.split_whitespace().skip(1).collect();
    assert_eq!(words, ["absent", "-", "-", "-", "6", "of", "6", "runtime_missing"], "{said}");
    assert!(floor.contains("over 2 GB/s (a copy on Test)"), "{said}");
    fails(python("table.py", &["nowhere"]), 1, "nowhere/summary.csv: No such file or directory");
    fails(python("table.py", &[args[0], "--bandwidth", "none.json"]), 1, "none.json");
}

#[test]
fn a_bundle_comes_together_whatever_the_order_of_its_pieces() {
    if !has_python() {
        return;
    }
    let host = Host::new();
    let [folder, bundle, there, work] = ["folder", "bundle", "there", "work"].map(|name| host.path(name));
    for path in [&folder.join("inner"), &bundle, &there] {
        fs::create_dir_all(path).unwrap();
    }
    // Nothing that could be made smaller, so that there are three pieces.
    let mut state = 1u64;
    let noise: Vec<u8> = (0..(5 << 19))
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .collect();
    fs::write(folder.join("inner/noise"), &noise).unwrap();
    let cut = || {
        let args =
            ["cut", "data", folder.to_str().unwrap(), "--to", bundle.to_str().unwrap(), "--piece-mib", "1"];
        succeeds(python("bundle.py", &args))
    };
    assert!(cut().contains("3 pieces"));
    assert!(cut().contains("as before"));
    let pieces = [0, 1, 2].map(|n| format!("data.tar.xz.00{n}"));
    let before = pieces.each_ref().map(|piece| fs::read(bundle.join(piece)).unwrap());
    fs::remove_file(bundle.join(&pieces[1])).unwrap();
    assert!(!cut().contains("as before"));
    assert_eq!(
        before,
        pieces.each_ref().map(|piece| fs::read(bundle.join(piece)).unwrap()),
        "the same bytes"
    );

    let unpack = |code: i32, part: &str| {
        let args = ["unpack", "--from", there.to_str().unwrap(), "--to", work.to_str().unwrap()];
        let output = python("bundle.py", &args);
        assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
        assert!(text(&output.stdout).contains(part), "{}", text(&output.stdout));
    };
    fs::copy(bundle.join("manifest.json"), there.join("manifest.json")).unwrap();
    fs::copy(bundle.join(&pieces[2]), there.join(&pieces[2])).unwrap();
    unpack(3, "data: waits for 2 of 3 pieces: data.tar.xz.000, data.tar.xz.001");
    // Each call may bring what the one before did not, and need not bring what it did.
    fs::rename(there.join(&pieces[2]), there.join(&pieces[0])).unwrap();
    unpack(3, "data.tar.xz.000 (damaged: its SHA-256 is not the manifest's)");
    for piece in &pieces[..2] {
        fs::copy(bundle.join(piece), there.join(piece)).unwrap();
    }
    unpack(0, "data: unpacked now");
    unpack(0, "data: unpacked");
    assert_eq!(fs::read(work.join("data/inner/noise")).unwrap(), noise);
    fails(
        python("bundle.py", &["unpack", "--from", "nowhere", "--to", "x"]),
        1,
        "nowhere holds no manifest.json",
    );
}

#[test]
fn the_gates_config_is_the_studys_backends_on_the_trained_model() {
    if !has_python() {
        return;
    }
    let host = Host::new();
    let program = "import sys, pathlib; sys.path.insert(0, sys.argv[1]); import steps
print(steps.gate_config(pathlib.Path(sys.argv[2]).read_text(), 'a model', 'a \"text\".txt', {'torch': None, 'ort': None, 'tensorrt': 'no library'}, 'cuda:0'))";
    let study = repository().join("configs/study-gpu.toml");
    let made =
        succeeds(Command::new("python3").args(["-c", program]).arg(scripts()).arg(&study).output().unwrap());
    let gate = inferhost::config::load(&host.write("gate.toml", &made)).unwrap();
    let study = inferhost::config::load(&study).unwrap();
    let usable: Vec<_> = study.backends.iter().filter(|backend| backend.plugin != "tensorrt").collect();
    assert_eq!(gate.backends.iter().collect::<Vec<_>>(), usable);
    assert_eq!((gate.models.len(), gate.models[0].name.as_str()), (1, "trained"));
    assert!(gate.accuracy.unwrap().text.unwrap().ends_with("a \"text\".txt"));
}

#[test]
fn what_is_typed_wrong_is_one_clear_line() {
    if !has_python() {
        return;
    }
    let host = Host::new();
    let empty = host.path("").display().to_string();
    let cases: [(&str, &[&str], &str); 15] = [
        ("run.sh", &["--divice", "cpu"], "unknown option --divice; see --help"),
        ("run.sh", &["--device"], "--device lacks its value"),
        ("run.sh", &["--device", "gpu"], "--device gpu: expected cpu, cuda or cuda:N"),
        ("run.sh", &["--limit", "soon"], "--limit soon: expected a number of seconds"),
        ("run.sh", &["--bundle", &empty], "holds no manifest.json"),
        ("pack.sh", &["--onnxruntime", "newest"], "expected ort-gpu, ort or none"),
        ("pack.sh", &["--piece-mib", "64"], "--piece-mib 64: expected 1 to 60"),
        ("pack.sh", &["--model", &empty], "no config.json there"),
        ("pack.sh", &["--text", "x"], "--model and --text go together"),
        ("pack.sh", &["--binaries", &empty], "no inferhost in"),
        ("pack.sh", &["--to"], "--to lacks its value"),
        ("collect.sh", &[], "what is to be collected?"),
        ("collect.sh", &["nowhere"], "nowhere: no such file or folder"),
        ("collect.sh", &["a", "b"], "one folder at a time"),
        ("collect.sh", &["--name"], "--name lacks its value"),
    ];
    for (script, args, part) in cases {
        let output = Command::new(scripts().join(script)).args(args).current_dir(host.path("")).output();
        fails(output.unwrap(), 2, part);
    }
    fails(python("bandwidth.py", &["--device", "tpu"]), 1, "--device tpu: expected cpu, cuda or cuda:N");
    for script in ["run.sh", "pack.sh", "collect.sh"] {
        let help = succeeds(Command::new(scripts().join(script)).arg("--help").output().unwrap());
        assert!(help.contains(script) && help.lines().count() > 4 && !help.contains("pipefail"), "{help}");
    }
}

#[test]
fn the_scripts_are_sound() {
    for entry in fs::read_dir(scripts()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "sh") {
            succeeds(run("bash", &["-n".as_ref(), path.as_os_str()]));
            match Command::new("shellcheck").arg(&path).output() {
                Ok(checked) => drop(succeeds(checked)),
                Err(_) => skipped("scripts/gpu: no shellcheck; install it (Debian: apt install shellcheck)"),
            }
        }
    }
    let host = Host::new();
    let config = scripts().join("cpu.toml");
    let planned = host.run(&["plan", config.to_str().unwrap()]);
    assert!(planned.succeeds().stdout.contains("12 cells x 3 repetitions x 1 rounds = 36 runs"));
}
