//! From what was counted beside a run to why it is not valid.

use crate::record::{Disturbance, DisturbanceKind, Telemetry};

/// Pages of swap traffic, 1 MiB of them as a rule, below which a machine does not count as swapping.
const SWAPPED_PAGES: u64 = 256;
/// Page faults that waited for the disk, from which on they are part of what was measured.
const MAJOR_FAULTS: u64 = 16;
/// Throttle reasons that tell of a GPU out of its bounds. Its power cap is none: it is the pace of a busy GPU.
const GPU_SLOWDOWNS: [&str; 4] =
    ["hw_slowdown", "hw_thermal_slowdown", "sw_thermal_slowdown", "hw_power_brake_slowdown"];

/// Why a run with this telemetry is not valid, on a machine of so many `cores`, where others may use `busy_above_pct`
/// percent of them. What was not counted disturbs nothing.
pub fn disturbances(telemetry: &Telemetry, cores: u64, busy_above_pct: f64) -> Vec<Disturbance> {
    let found = [busy(telemetry, cores, busy_above_pct), swapped(telemetry), throttled(telemetry)];
    found.into_iter().flatten().collect()
}

fn busy(telemetry: &Telemetry, cores: u64, busy_above_pct: f64) -> Option<Disturbance> {
    let others = telemetry.others_cpu_pct.unwrap_or(0.0);
    let steal = telemetry.steal_pct.unwrap_or(0.0);
    let limit = busy_above_pct * cores.max(1) as f64;
    (others + steal > limit).then(|| {
        let (who, remedy) = if steal > others {
            ("other machines on this host", "run on a machine of its own")
        } else {
            ("other processes", "stop them")
        };
        let message = format!(
            "{who} used {:.0}% of a core, more than {limit:.0}%; {remedy}, or raise run.busy_above_pct",
            others + steal
        );
        Disturbance { kind: DisturbanceKind::Busy, message }
    })
}

fn swapped(telemetry: &Telemetry) -> Option<Disturbance> {
    let of = |message| Some(Disturbance { kind: DisturbanceKind::Swapped, message });
    match (telemetry.swapped_pages, telemetry.major_faults) {
        (Some(pages @ SWAPPED_PAGES..), _) => of(format!(
            "the machine moved {pages} pages to or from swap; free memory, or run a smaller model or batch"
        )),
        (_, Some(faults @ MAJOR_FAULTS..)) => of(format!(
            "the worker waited for the disk in {faults} page faults; free memory, or add warmups that touch all of the model"
        )),
        _ => None,
    }
}

fn throttled(telemetry: &Telemetry) -> Option<Disturbance> {
    let gpus = telemetry.gpu.as_deref().unwrap_or_default();
    let slowed = |reason: &&String| GPU_SLOWDOWNS.contains(&reason.as_str());
    let gpu = gpus.iter().find_map(|gpu| Some((gpu.index, gpu.throttle_reasons.iter().find(slowed)?)));
    let message = match (telemetry.thermal_throttles, telemetry.quota_throttles, gpu) {
        (Some(times @ 1..), _, _) => {
            format!(
                "a processor lowered its clock for heat ({times} times); cool the machine, or use fewer threads"
            )
        }
        (_, Some(times @ 1..), _) => format!(
            "the container's CPU quota was used up ({times} times); raise the quota, or use fewer threads than it has cores"
        ),
        (_, _, Some((index, reason))) => {
            format!("GPU {index} lowered its clock ({reason}); cool it or lower its power limit")
        }
        _ => return None,
    };
    Some(Disturbance { kind: DisturbanceKind::Throttled, message })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::GpuTelemetry;

    fn kinds(telemetry: &Telemetry) -> Vec<DisturbanceKind> {
        disturbances(telemetry, 4, 10.0).iter().map(|found| found.kind).collect()
    }

    #[test]
    fn each_counter_has_its_bound() {
        let quiet = Telemetry {
            others_cpu_pct: Some(30.0),
            steal_pct: Some(10.0),
            swapped_pages: Some(255),
            major_faults: Some(15),
            thermal_throttles: Some(0),
            quota_throttles: Some(0),
            gpu: Some(vec![GpuTelemetry {
                throttle_reasons: vec!["sw_power_cap".into()],
                ..GpuTelemetry::default()
            }]),
            ..Telemetry::default()
        };
        assert_eq!(kinds(&quiet), []);
        assert_eq!(kinds(&Telemetry::default()), [], "what was not counted disturbs nothing");
        let hot = GpuTelemetry {
            index: 1,
            throttle_reasons: vec!["sw_power_cap".into(), "hw_thermal_slowdown".into()],
            ..GpuTelemetry::default()
        };
        use DisturbanceKind::{Busy, Swapped, Throttled};
        let cases = [
            (Telemetry { others_cpu_pct: Some(30.1), ..quiet.clone() }, Busy),
            (Telemetry { steal_pct: Some(11.0), ..quiet.clone() }, Busy),
            (Telemetry { swapped_pages: Some(256), ..quiet.clone() }, Swapped),
            (Telemetry { major_faults: Some(16), ..quiet.clone() }, Swapped),
            (Telemetry { thermal_throttles: Some(1), ..quiet.clone() }, Throttled),
            (Telemetry { quota_throttles: Some(1), ..quiet.clone() }, Throttled),
            (Telemetry { gpu: Some(vec![GpuTelemetry::default(), hot]), ..quiet.clone() }, Throttled),
        ];
        for (telemetry, kind) in cases {
            assert_eq!(kinds(&telemetry), [kind], "{telemetry:?}");
        }
    }

    #[test]
    fn the_reason_comes_with_its_remedy() {
        let said = |telemetry| disturbances(&telemetry, 2, 10.0).remove(0).message;
        let others = said(Telemetry { others_cpu_pct: Some(150.2), ..Telemetry::default() });
        assert_eq!(
            others,
            "other processes used 150% of a core, more than 20%; stop them, or raise run.busy_above_pct"
        );
        let steal = said(Telemetry { steal_pct: Some(50.0), ..Telemetry::default() });
        assert!(steal.contains("a machine of its own"), "{steal}");
    }
}
