//! Memory, processor and power of the workers over time, in every stage, from the run folder's series.

use super::{Chart, Place, Source};
use crate::analysis::distinct;
use crate::report::figure::figure;
use crate::report::plot::{Axis, Figure, Panel, Point, Series};
use crate::report::series::{Quantity, Track, Tracks};

/// Samples of a line that are marked and can be pointed at; the line has all.
const MARKED: usize = 12;

struct Words {
    id: &'static str,
    title: &'static str,
    unit: &'static str,
    description: &'static str,
}

const fn words(of: Quantity) -> Words {
    match of {
        Quantity::Memory => Words {
            id: "worker-memory",
            title: "memory of the workers",
            unit: "MB",
            description: "Resident memory of a worker and the processes it started, sampled every 100 ms from its beginning \
                          to its end.",
        },
        Quantity::Cpu => Words {
            id: "worker-cpu",
            title: "CPU of the workers",
            unit: "% of a core",
            description: "CPU of a worker and the processes it started, sampled every 100 ms from its beginning to its end.",
        },
        Quantity::Others => Words {
            id: "others-cpu",
            title: "CPU of others on the machine",
            unit: "% of a core",
            description: "CPU of all processes but inferhost's own, over about half a second before each sample.",
        },
        Quantity::PackagePower => Words {
            id: "package-power",
            title: "power of the processor packages",
            unit: "W",
            description: "Energy that the packages counted from sample to sample, whoever used it.",
        },
        Quantity::GpuMemory => Words {
            id: "gpu-memory",
            title: "GPU memory of the workers",
            unit: "MB",
            description: "On all GPUs together, while a worker has memory on one, sampled every 100 ms.",
        },
        Quantity::GpuPower => Words {
            id: "gpu-power",
            title: "power of the workers' GPUs",
            unit: "W",
            description: "Of all GPUs that a worker has memory on, whoever used them, sampled every 100 ms.",
        },
    }
}

/// A chart for each model and quantity that was sampled.
pub(super) fn charts(source: &Source<'_>, tracks: &Tracks) -> Vec<Chart> {
    let models = distinct(tracks.all.iter().map(|track| track.model.as_str()));
    let of_model = |model| Quantity::ALL.into_iter().filter_map(move |of| chart(source, tracks, model, of));
    models.into_iter().flat_map(of_model).collect()
}

fn chart(source: &Source<'_>, tracks: &Tracks, model: &str, of: Quantity) -> Option<Chart> {
    let Words { id, title, unit, description } = words(of);
    let of_backend = |backend: &&str| tracks.all.iter().find(|t| t.model == model && t.backend == **backend);
    let tracks =
        source.backends.iter().filter_map(of_backend).filter(|track| track.points(of).next().is_some());
    let series: Vec<Series> = tracks.flat_map(|track| lines(source, track, of, unit)).collect();
    (!series.is_empty()).then(|| Chart {
        place: Place::Model(model.into()),
        figure: Figure::single(
            &format!("{id} {model}"),
            format!("{model}: {title}"),
            format!(
                "{description} The largest sample of each stretch of time; workers of one backend follow each other without \
                 the pauses between them."
            ),
            Panel {
                title: String::new(),
                x: Axis::linear("seconds in the backend's workers"),
                y: Axis::from_zero(unit),
                series,
            },
        ),
    })
}

fn lines(source: &Source<'_>, track: &Track, of: Quantity, unit: &str) -> [Series; 2] {
    let points: Vec<_> = track.points(of).collect();
    let marked = points.iter().step_by(points.len().div_ceil(MARKED).max(1)).map(|&(x, y, stage)| {
        let (value, after, stage) = (figure(Some(y)), figure(Some(x)), stage.name());
        let text = format!("{}: {value} {unit} after {after} s, {stage}", track.backend);
        Point { x, y, text, ..Point::default() }
    });
    let style = source.style(&track.backend);
    [
        Series::line("", style, points.iter().map(|&(x, y, _)| (x, y)).collect()),
        Series::points(&track.backend, style, marked.collect()),
    ]
}
