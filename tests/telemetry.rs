//! What runs used: sampled by the host while they are in progress, and only then.

use crate::support::{Host, config, faulty};
use inferhost::record::{Record, Status, Telemetry};

const ONE_PREFILL: &str = "modes = [\"prefill\"]\nrepetitions = 1";

fn telemetry(records: &[Record], backend: &str) -> Telemetry {
    let of_backend: Vec<&Record> = records.iter().filter(|record| record.backend == backend).collect();
    let [record] = of_backend.as_slice() else { panic!("{records:?}") };
    assert_eq!(record.status, Status::Ok);
    record.telemetry.clone().unwrap()
}

/// A call of the `slow` backend that lasts long enough to be sampled, beside a `quick` one that does not. How long that
/// is depends on how busy the machine is, so it is tried longer and longer.
fn sampled() -> (Host, String, Telemetry) {
    for delay_ms in [500, 1_000, 2_000, 4_000, 8_000, 16_000] {
        let host = Host::new();
        let slow = faulty("slow", &format!("fault = \"slow\", delay_ms = {delay_ms}"));
        let run = format!("{ONE_PREFILL}\nwarmups = 0");
        let (ended, records) = host.matrix(&config(&run, &(slow + &faulty("quick", ""))));
        ended.succeeds();
        let found = telemetry(&records, "slow");
        if found.samples >= 2 {
            return (host, ended.stdout, found);
        }
    }
    panic!("a call of 16 s was not sampled");
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
    assert!(cfg!(not(unix)) || found.cpu_mean_pct.is_some());
}
