//! A host in an empty folder of its own: its binary, its plugins, its cache, its configs and run folders.

#[cfg(unix)]
pub(crate) mod processes;

use inferhost::record::Record;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The model most tests run: 16 token ids, 32 positions, a few hundred parameters.
pub(crate) const TINY: &str = "synthetic:gpt2?layers=1&embd=4&heads=2&vocab=16&ctx=32&seed=1";

/// An empty folder in which the real program is run.
pub(crate) struct Host {
    folder: TempDir,
    /// What the program takes for the system's temporary folder.
    temporary: TempDir,
}

impl Host {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), temporary: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The program, not started yet.
    pub(crate) fn command<A: AsRef<std::ffi::OsStr>>(&self, args: &[A]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_inferhost"));
        command.args(args).current_dir(self.folder.path()).env("INFERHOST_CACHE_DIR", cache());
        // As scripts/runtimes.sh leaves them; the working folder of a test is elsewhere.
        command.env("INFERHOST_RUNTIMES", Path::new(env!("CARGO_MANIFEST_DIR")).join("../.runtimes"));
        command.env("TMPDIR", self.temporary.path());
        command.env_remove("INFERHOST_PLUGIN_DIR").env_remove("ORT_DYLIB_PATH").stdin(Stdio::null());
        command
    }

    /// The program as `"$@"` of a shell's `script`.
    #[cfg(unix)]
    pub(crate) fn wrapped(&self, script: &str, args: &[&str]) -> Command {
        let program = self.command(args);
        let mut shell = Command::new("sh");
        shell.args(["-c", script, "sh"]).arg(program.get_program()).args(program.get_args());
        shell.current_dir(self.folder.path()).stdin(Stdio::null());
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        shell
    }

    pub(crate) fn run<A: AsRef<std::ffi::OsStr>>(&self, args: &[A]) -> Ended {
        Ended::of(self.command(args).output().unwrap())
    }

    /// Runs a config and returns its records, which are as many as were planned.
    pub(crate) fn matrix(&self, config: &str) -> (Ended, Vec<Record>) {
        self.write("config.toml", config);
        let ended = self.run(&["run", "config.toml", "--out", "out"]);
        let records = self.records();
        assert_eq!(
            records.len() as u64,
            self.planned(),
            "planned = recorded; the host said:\n{}",
            ended.stderr
        );
        (ended, records)
    }

    pub(crate) fn records(&self) -> Vec<Record> {
        inferhost::store::read_records(&self.path("out")).unwrap().records
    }

    /// Where its temporary files go.
    pub(crate) fn temporary(&self) -> &Path {
        self.temporary.path()
    }

    /// No process of any host that was run here is left, and no temporary file.
    #[cfg(target_os = "linux")]
    #[track_caller]
    pub(crate) fn leaves_nothing(&self) {
        let temporary = self.temporary();
        wait_until("the guard to clean up", || {
            let files = std::fs::read_dir(temporary).unwrap().count();
            files == 0 && processes::of_hosts_in(temporary).is_empty()
        });
    }

    fn planned(&self) -> u64 {
        inferhost::store::read_manifest(&self.path("out")).unwrap().planned_runs
    }

    pub(crate) fn start<A: AsRef<std::ffi::OsStr>>(&self, args: &[A]) -> Child {
        self.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }
}

/// Models and artifacts are the same for every test, and made once.
fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache")
}

/// How the program ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The exit code is as given, and standard error is progress at most and then one line that holds every `part`.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32, parts: &[&str]) {
        let said = self.stderr.trim_end();
        assert_eq!(self.code, Some(code), "{said}");
        let (before, last) = said.rsplit_once('\n').unwrap_or(("", said));
        assert!(last.starts_with("inferhost: "), "{said}");
        assert!(before.lines().all(is_progress), "{said}");
        assert!(!said.contains("panicked") && !said.contains("RUST_BACKTRACE"), "{said}");
        for part in parts {
            assert!(last.contains(part), "`{part}` is not in: {last}");
        }
    }

    #[track_caller]
    pub(crate) fn succeeds(&self) -> &Self {
        assert_eq!(self.code, Some(0), "{}\n{}", self.stdout, self.stderr);
        self
    }
}

/// Whether a line of standard error is one of those that tell how a run goes.
fn is_progress(line: &str) -> bool {
    let told = ["preparing ", "note: ", "degraded: "].iter().any(|kind| line.starts_with(kind));
    let number = line.split([' ', '/']).next().unwrap_or_default().parse::<u64>().is_ok();
    told || (number && [" runs", " evaluations", " tokens"].iter().any(|counted| line.contains(counted)))
}

/// A config with one model, the backends given as TOML and one small scenario.
pub(crate) fn config(run: &str, backends: &str) -> String {
    format!(
        "name = \"test\"\n[run]\n{run}\n[[models]]\nname = \"tiny\"\nsource = \"{TINY}\"\n{backends}\n\
         [[scenarios]]\nname = \"small\"\nbatch = 2\nprompt_tokens = 5\nnew_tokens = 4\n"
    )
}

/// A backend of the faulty plugin.
pub(crate) fn faulty(name: &str, options: &str) -> String {
    format!("[[backends]]\nname = \"{name}\"\nplugin = \"faulty\"\noptions = {{ {options} }}\n")
}

/// Waits until the process has ended, and returns its exit code.
#[track_caller]
pub(crate) fn ended(child: &mut Child) -> Option<i32> {
    wait_until("the host to end", || child.try_wait().unwrap().is_some());
    child.wait().unwrap().code()
}

/// Waits until `condition` holds, and fails after a minute.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(60), "waited a minute for {what}");
        std::thread::yield_now();
    }
}

/// `../shared` beside the repository, where it is there.
pub(crate) fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared").join(name);
    if path.exists() {
        return Some(path);
    }
    skipped(&format!("{} is not there", path.display()));
    None
}

/// Whether ONNX Runtime can be loaded here; prints why a test is skipped where not.
pub(crate) fn has_onnx_runtime() -> bool {
    has_runtime("ort")
}

/// Whether the runtime of a plugin can be loaded here; prints why a test is skipped where not.
pub(crate) fn has_runtime(plugin: &str) -> bool {
    let listed = Host::new().run(&["backends", "--json"]);
    let backends: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    let backends = backends.as_array().unwrap();
    let listed = backends.iter().find(|b| b["name"] == plugin).expect("build the workspace first");
    if listed["problem"].is_null() {
        return true;
    }
    skipped(&listed["problem"].to_string());
    false
}

/// Says so on the terminal itself: the test harness swallows what a passing test prints.
pub(crate) fn skipped(why: &str) {
    use std::io::Write;
    std::io::stderr().write_all(format!("skipped: {why}\n").as_bytes()).unwrap();
}
