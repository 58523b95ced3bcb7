//! TensorRT where there is no GPU: what a matrix with two of its versions records, and that nothing crashes on the way. Its
//! lean runtimes are real libraries, which `scripts/runtimes.sh tensorrt-lean` fetches; the builder is in no package
//! registry.

use crate::support::{Host, TINY, skipped};
use inferhost::record::DegradedKind;
use inferhost::store::read_manifest;
use std::path::{Path, PathBuf};

/// The folder of a lean runtime; prints why a test is skipped where it is not there.
fn lean(version: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.runtimes/tensorrt-lean").join(version);
    if folder.is_dir() {
        return folder.canonicalize().ok();
    }
    skipped(&format!("no TensorRT {version}; scripts/runtimes.sh tensorrt-lean {version} fetches it"));
    None
}

/// Whether this machine has what these tests show the want of.
fn has_driver() -> bool {
    let found = Path::new("/proc/driver/nvidia/version").exists();
    if found {
        skipped("there is an NVIDIA driver here: what is said without one cannot be shown");
    }
    found
}

fn backend(name: &str, library: &Path) -> String {
    let library = library.display();
    format!(
        "[[backends]]\nname = \"{name}\"\nplugin = \"tensorrt\"\nartifact = \"plan-fp32\"\noptions = {{ library = \"{library}\" }}\n"
    )
}

#[test]
fn two_versions_stand_in_one_matrix_and_compare_tells_them_apart() {
    let (Some(old), Some(new)) = (lean("11.1.0.106"), lean("11.4.0.106")) else { return };
    if has_driver() {
        return;
    }
    let host = Host::new();
    let config = format!(
        "name = \"swap\"\n[run]\nrepetitions = 2\n[[models]]\nname = \"tiny\"\nsource = \"{TINY}\"\n{}{}\
         [[backends]]\nname = \"sound\"\nplugin = \"faulty\"\n\
         [[scenarios]]\nname = \"small\"\nbatch = 2\nprompt_tokens = 5\nnew_tokens = 4\n",
        backend("trt-11.1", &old),
        backend("trt-11.4", &new),
    );
    let (ended, records) = host.matrix(&config);
    ended.succeeds();
    let lost: Vec<_> = records.iter().filter_map(|record| record.degraded.as_ref()).collect();
    assert_eq!((records.len(), lost.len()), (12, 8), "only the sound backend has results");
    for degraded in lost {
        assert_eq!(degraded.kind, DegradedKind::RuntimeMissing, "{}", degraded.message);
        assert!(degraded.message.contains("libcuda.so.1"), "{}", degraded.message);
        assert!(degraded.message.contains("install NVIDIA's driver"), "{}", degraded.message);
    }
    let manifest = read_manifest(&host.path("out")).unwrap();
    let versions: Vec<_> =
        manifest.backends.iter().map(|entry| entry.runtime_version.clone().unwrap_or_default()).collect();
    assert!(versions[0].starts_with("11.1.0") && versions[1].starts_with("11.4.0"), "{versions:?}");
    for (entry, folder) in manifest.backends.iter().zip([&old, &new]) {
        let library = entry.library.as_deref().unwrap();
        assert!(Path::new(library).starts_with(folder), "{library}");
    }
    let compared = host.run(&["compare", "out", "out", "--backend", "trt-11.1=trt-11.4", "--markdown"]);
    assert!(compared.stdout.contains("11.1.0") && compared.stdout.contains("11.4.0"), "{}", compared.stdout);
}

#[test]
fn every_call_says_what_is_missing_in_one_line() {
    let Some(library) = lean("11.4.0.106") else { return };
    if has_driver() {
        return;
    }
    let host = Host::new();
    host.write("tokens.json", "[[1, 2, 3]]");
    let option = format!("library={}", library.display());
    let of =
        |plugin_option: &str| ["--plugin", "tensorrt", "--option", plugin_option].map(String::from).to_vec();
    let call = |command: &str, more: &[&str]| {
        let mut args =
            vec![command.to_string(), "--model".into(), TINY.into(), "--artifact".into(), "plan-fp16".into()];
        args.extend(of(&option));
        args.extend(more.iter().map(ToString::to_string));
        host.run(&args)
    };
    for (command, more) in [
        ("prefill", &["--tokens", "tokens.json"][..]),
        ("generate", &["--tokens", "tokens.json"]),
        ("logprobs", &["--tokens", "tokens.json"]),
        ("prepare", &[]),
    ] {
        call(command, more).fails(3, &["runtime_missing", "libcuda.so.1", "install NVIDIA's driver"]);
    }
    let doctor = host.run(&[vec!["doctor".to_string()], of(&option)[..2].to_vec()].concat());
    assert_eq!(doctor.code, Some(3), "{}", doctor.stdout);
    assert!(
        doctor.stdout.contains("libcuda.so.1") && doctor.stdout.contains("never with NVIDIA's builder"),
        "{}",
        doctor.stdout
    );
    for (wrong, part) in
        [("device=cpu", "NVIDIA GPUs alone"), ("builder_level=9", "0 to 5"), ("levle=1", "levle")]
    {
        let args = ["prepare", "--model", TINY, "--artifact", "plan-fp32", "--option", wrong];
        host.run(&args).fails(2, &[part]);
    }
}
