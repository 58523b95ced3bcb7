//! What runs used: sampled by the host while they are in progress; what workers used over time, in the run folder.

use crate::support::{Host, config, faulty, wait_until};
use inferhost::record::{GpuRow, Record, SeriesRow, Stage, Status, Telemetry};
use inferhost::store::{read_gpu_series, read_series};
use std::path::Path;

const ONE_PREFILL: &str = "modes = [\"prefill\"]\nrepetitions = 1";

fn telemetry(records: &[Record], backend: &str) -> Telemetry {
    let of_backend: Vec<&Record> = records.iter().filter(|record| record.backend == backend).collect();
    let [record] = of_backend.as_slice() else { panic!("{records:?}") };
    assert_eq!(record.status, Status::Ok);
    record.telemetry.clone().unwrap()
}

/// What `attempt` finds with calls that last long enough to be sampled. How long that is depends on how busy the machine
/// is, so it is tried longer and longer.
fn patiently<T>(attempt: impl Fn(u32) -> Option<T>) -> T {
    let found = [500, 1_000, 2_000, 4_000, 8_000, 16_000].into_iter().find_map(attempt);
    found.expect("a call of 16 s was not sampled")
}

fn slow(delay_ms: u32) -> String {
    faulty("slow", &format!("fault = \"slow\", delay_ms = {delay_ms}"))
}

/// A call of the `slow` backend that is sampled, beside a `quick` one that is not.
fn sampled() -> (Host, String, Telemetry) {
    patiently(|delay_ms| {
        let host = Host::new();
        let run = format!("{ONE_PREFILL}\nwarmups = 0");
        let (ended, records) = host.matrix(&config(&run, &(slow(delay_ms) + &faulty("quick", ""))));
        ended.succeeds();
        let found = telemetry(&records, "slow");
        (found.samples >= 2).then_some((host, ended.stdout, found))
    })
}

/// The rows of a run folder, none of which is malformed.
fn series(folder: &Path) -> Vec<SeriesRow> {
    let mut rows = Vec::new();
    let read = read_series(folder, |row| rows.push(row)).unwrap();
    assert_eq!(read.map_or(0, |read| read.malformed), 0);
    rows
}

fn gpu_series(folder: &Path) -> Vec<GpuRow> {
    let mut rows = Vec::new();
    read_gpu_series(folder, |row| rows.push(row)).unwrap();
    rows
}

#[test]
fn a_run_that_lasts_is_sampled_and_reported() {
    let (host, stdout, found) = sampled();
    assert!(found.rss_p90_mb > Some(1.0) && found.rss_mean_mb > Some(1.0), "{found:?}");
    assert!(found.cpu_p90_pct >= Some(0.0) && found.cpu_peak_pct >= found.cpu_p90_pct, "{found:?}");
    let table = stdout.split_once("tiny, prefill: resources, small 2x5\n").unwrap().1;
    let (slow, quick) = (table.lines().nth(1).unwrap(), table.lines().nth(2).unwrap());
    assert!(slow.trim().starts_with("slow") && slow.ends_with("1/1"), "{table}");
    assert!(quick.trim().starts_with("quick") && quick.contains("/1"), "{table}");
    let report = std::fs::read_to_string(host.path("out/report.md")).unwrap();
    assert!(report.contains("#### Resources: small 2x5"), "{report}");
    let manifest = inferhost::store::read_manifest(&host.path("out")).unwrap();
    let sizes: Vec<_> = manifest.backends.iter().map(|backend| backend.disk_bytes["tiny"]).collect();
    assert_eq!(sizes, [manifest.models[0].bytes.unwrap(); 2], "both open the model itself");
}

#[test]
fn what_a_warm_up_uses_is_not_the_runs() {
    let host = Host::new();
    // The first call of the session alone is slow.
    let backend = faulty("bad", "fault = \"slow\", delay_ms = 1000, every = 1000000");
    let (_, records) = host.matrix(&config(&format!("{ONE_PREFILL}\nwarmups = 1"), &backend));
    let (found, latency_ms) = (telemetry(&records, "bad"), records[0].latency_ms.unwrap());
    assert!(f64::from(found.samples) <= latency_ms / 100.0 + 2.0, "{found:?} in {latency_ms} ms");
}

#[test]
fn without_isolation_nothing_is_sampled() {
    let host = Host::new();
    let backend = faulty("slow", "fault = \"slow\", delay_ms = 300");
    host.write("config.toml", &config(&format!("{ONE_PREFILL}\nwarmups = 0"), &backend));
    let ended = host.run(&["run", "config.toml", "--out", "out", "--isolation", "none"]);
    assert!(!ended.succeeds().stdout.contains("resources"), "{}", ended.stdout);
    let found = telemetry(&host.records(), "slow");
    assert_eq!((found.samples, found.rss_p90_mb, found.cpu_p90_pct), (0, None, None));
    assert_eq!((found.others_cpu_pct, found.swapped_pages, found.energy_j), (None, None, None));
    assert!(cfg!(not(unix)) || (found.cpu_mean_pct.is_some() && found.minor_faults.is_some()), "{found:?}");
    assert!(!host.path("out/telemetry.csv").exists(), "there is no worker");
}

#[cfg(target_os = "linux")]
#[test]
fn the_machine_is_watched_beside_the_run() {
    let (_, _, found) = sampled();
    assert!(found.others_cpu_pct >= Some(0.0) && found.steal_pct >= Some(0.0), "{found:?}");
    assert!(found.minor_faults.is_some() && found.major_faults.is_some() && found.swapped_pages.is_some());
    assert!(found.voluntary_switches > Some(0), "a call that sleeps gives its processor up: {found:?}");
    assert_eq!((found.gpu, found.energy_gpu_j), (None, None));
}

#[test]
fn what_workers_used_over_time_is_in_the_folder_and_the_report() {
    let (host, _, found) = sampled();
    let (out, records) = (host.path("out"), host.records());
    let rows: Vec<SeriesRow> = series(&out).into_iter().filter(|row| row.backend == "slow").collect();
    let of_run = rows.iter().filter(|row| row.stage == Stage::Run).count();
    assert_eq!(of_run, found.samples as usize, "{rows:?}");
    let record = records.iter().find(|record| record.backend == "slow").unwrap();
    for row in &rows {
        assert_eq!((row.model.as_str(), row.worker.as_str()), ("tiny", "tiny-slow-round0"));
        assert_eq!(Some(row.pid), record.worker_pid);
        assert!(row.rss_mb > Some(1.0) && row.cpu_pct >= Some(0.0), "{row:?}");
    }
    assert!(rows.is_sorted_by_key(|row| row.t_ms));
    assert_eq!(gpu_series(&out), []);
    let page = std::fs::read_to_string(host.path("out/report.html")).unwrap();
    let text = std::fs::read_to_string(host.path("out/report.md")).unwrap();
    for chart in ["worker-memory-tiny", "worker-cpu-tiny"] {
        let svg = std::fs::read_to_string(out.join(format!("plots/{chart}.svg"))).unwrap();
        assert!(svg.contains("slow: ") && svg.contains(" s, run"), "{svg}");
        assert!(
            page.contains(&format!("id=\"chart-{chart}\"")) && text.contains(&format!("plots/{chart}.svg"))
        );
    }
    assert!(!page.contains("gpu-power") && !text.contains("package-power"));
    let summary = std::fs::read_to_string(host.path("out/summary.csv")).unwrap();
    assert!(summary.lines().next().unwrap().contains(",voluntary_switches_mean,"), "{summary}");

    std::fs::write(out.join("telemetry.csv"), "nonsense\n<b>\n").unwrap();
    let told = host.run(&["report", "out"]);
    assert!(told.succeeds().stdout.contains("2 lines of telemetry.csv are no samples"), "{}", told.stdout);
    assert!(!out.join("plots/worker-memory-tiny.svg").exists(), "nothing is left to draw");
}

#[test]
fn warm_ups_and_short_runs_are_in_the_series_too() {
    let host = Host::new();
    // The warm-up is slow, the runs are not, and there are many of them.
    let backend = faulty("bad", "fault = \"slow\", delay_ms = 1000, every = 1000000");
    let run = "modes = [\"prefill\"]\nrepetitions = 400\nwarmups = 1";
    let (ended, records) = host.matrix(&config(run, &backend));
    ended.succeeds();
    let rows = series(&host.path("out"));
    assert!(rows.iter().any(|row| row.stage == Stage::Warmup), "{rows:?}");
    let known = records.iter().filter_map(|record| record.telemetry.as_ref()?.others_cpu_pct).count();
    assert!(cfg!(not(target_os = "linux")) || known == records.len(), "{known} of {}", records.len());
}

/// The stand-in for the driver's library, which says that GPU 1 holds memory of whatever the host started.
#[cfg(target_os = "linux")]
fn stand_in(host: &Host) -> std::path::PathBuf {
    let (library, source) = (host.path("libnvidia-ml.so.1"), "../tests/nvml/nvml.c");
    let mut compiler = std::process::Command::new(std::env::var_os("CC").unwrap_or("cc".into()));
    compiler.args(["-shared", "-fPIC", "-o"]).arg(&library);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(source);
    assert!(compiler.arg(source).status().unwrap().success());
    library
}

#[cfg(target_os = "linux")]
#[test]
fn a_workers_gpu_is_sampled_through_the_drivers_library() {
    let (host, found) = patiently(|delay_ms| {
        let host = Host::new();
        // Sampled in its warm-up, so that its energy is known from the beginning of the run on.
        host.write("config.toml", &config(&format!("{ONE_PREFILL}\nwarmups = 1"), &slow(delay_ms)));
        let mut command = host.command(&["run", "config.toml", "--out", "out"]);
        let ended = command.env("INFERHOST_NVML", stand_in(&host)).output().unwrap();
        assert!(ended.status.success(), "{ended:?}");
        let found = telemetry(&host.records(), "slow");
        let warmed = gpu_series(&host.path("out")).iter().any(|row| row.stage == Stage::Warmup);
        (found.gpu.is_some() && warmed).then_some((host, found))
    });
    let gpus = found.gpu.unwrap();
    let [gpu] = gpus.as_slice() else { panic!("{gpus:?}") };
    assert_eq!((gpu.index, gpu.memory_peak_mb, gpu.power_peak_w), (1, Some(2_000.0), Some(300.0)));
    assert!(gpu.power_mean_w > Some(100.0) && gpu.power_mean_w < Some(300.0), "{gpu:?}");
    assert_eq!((gpu.temperature_peak_c, gpu.memory_clock_mean_mhz), (Some(71.0), None));
    assert_eq!(gpu.throttle_reasons, ["hw_thermal_slowdown", "sw_power_cap"]);
    assert_eq!(found.energy_gpu_j, Some(5.0), "the counter was read at the beginning and at the end");
    let sum = found.energy_package_j.unwrap_or(0.0) + 5.0;
    assert_eq!(found.energy_j, Some(sum));
    let rows = gpu_series(&host.path("out"));
    assert!(rows.iter().all(|row| (row.gpu, row.memory_mb) == (1, Some(2_000.0))), "{rows:?}");
    assert!(
        rows.iter().any(|row| row.stage == Stage::Warmup) && rows.iter().any(|row| row.stage == Stage::Run)
    );
    for chart in ["gpu-memory-tiny", "gpu-power-tiny"] {
        assert!(host.path(&format!("out/plots/{chart}.svg")).exists(), "{chart}");
    }
}

#[test]
fn a_series_goes_on_after_a_host_was_killed() {
    let host = Host::new();
    let run = "modes = [\"prefill\"]\nrepetitions = 2\nwarmups = 0";
    // Long enough for samples to be written while it goes on or between the two.
    let backend = faulty("slow", "fault = \"slow\", delay_ms = 1500");
    host.write("config.toml", &config(run, &backend));
    let mut killed = host.start(&["run", "config.toml", "--out", "out"]);
    wait_until("a sample", || series(&host.path("out")).len() > 3);
    killed.kill().unwrap();
    killed.wait().unwrap();
    let path = host.path("out/telemetry.csv");
    let before = series(&host.path("out"));
    let mut torn = std::fs::read(&path).unwrap();
    torn.extend(b"17952637,42,tiny,sl");
    std::fs::write(&path, torn).unwrap();
    host.run(&["run", "config.toml", "--out", "out", "--resume"]).succeeds();
    let after = series(&host.path("out"));
    assert!(after.starts_with(&before) && after.len() > before.len(), "{} {}", before.len(), after.len());
}

#[cfg(target_os = "linux")]
#[test]
fn a_series_that_cannot_be_written_costs_no_run() {
    let host = Host::new();
    std::fs::create_dir_all(host.path("out/telemetry.csv")).unwrap();
    let (ended, records) = host.matrix(&config(&format!("{ONE_PREFILL}\nwarmups = 0"), &slow(1_000)));
    let notes =
        ended.succeeds().stderr.lines().filter(|line| line.contains("telemetry.csv ends early")).count();
    assert_eq!((notes, records[0].status), (1, Status::Ok), "{}", ended.stderr);
}

#[test]
fn merged_folders_keep_their_series() {
    let host = Host::new();
    let backends =
        faulty("a", "fault = \"slow\", delay_ms = 1000") + &faulty("b", "fault = \"slow\", delay_ms = 1000");
    host.write("config.toml", &config(&format!("{ONE_PREFILL}\nwarmups = 0"), &backends));
    let mut rows = Vec::new();
    for (shard, out) in [("1/2", "one"), ("2/2", "two")] {
        host.run(&["run", "config.toml", "--shard", shard, "--out", out]).succeeds();
        rows.extend(series(&host.path(out)));
    }
    assert!(["a", "b"].iter().all(|backend| rows.iter().any(|row| row.backend == *backend)), "{rows:?}");
    host.run(&["merge", "one", "two", "--out", "all"]).succeeds();
    assert_eq!(series(&host.path("all")), rows);
}
