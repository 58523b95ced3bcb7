//! The shapes that a cell's calls give the graph, told from the config alone.

use super::Cell;
use crate::config::{AccuracySettings, Config};
use crate::record::Mode;
use inferhost_plugin_api::shapes::{Shapes, Span};

/// What the runs of `cell`, warm-ups included, submit. A finished row keeps its place, so no batch shrinks; the last new
/// token is never fed.
pub fn submitted(config: &Config, cell: &Cell) -> Vec<Shapes> {
    let scenario = &config.scenarios[cell.scenario];
    let (batch, prompt) = (Span::of(scenario.batch), scenario.prompt_tokens);
    // The longest row that is fed.
    let longest = prompt.saturating_add(scenario.new_tokens.saturating_sub(1));
    let whole = Shapes::prefill(batch, Span::of(prompt));
    match (cell.mode, cell.use_cache) {
        (Mode::Prefill, _) => vec![whole],
        // The last token predicts nothing, and whether it is fed is the plugin's matter.
        (Mode::Logprobs, _) => {
            vec![Shapes::prefill(batch, Span::new(prompt.saturating_sub(1).max(1), prompt))]
        }
        (Mode::Generate, Some(false)) => vec![Shapes::prefill(batch, Span::new(prompt, longest))],
        (Mode::Generate, _) if longest == prompt => vec![whole],
        (Mode::Generate, _) => vec![whole, Shapes::decode(batch, Span::new(prompt, longest - 1))],
    }
}

/// What an evaluation submits of a model with so many positions and token ids; none where its windows' size is not known.
pub fn evaluated(settings: &AccuracySettings, context: Option<u32>, vocab_size: u32) -> Option<Shapes> {
    let window = settings.window.or(context)?.max(1);
    let batch = settings.windows_at_once(window, vocab_size).max(1);
    Some(Shapes::prefill(Span::new(1, batch), Span::new(1, window)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{plan, tests::config};
    use std::collections::BTreeMap;

    #[test]
    fn each_mode_submits_what_it_feeds() {
        let mut config = config();
        config.run.modes = vec![Mode::Prefill, Mode::Generate, Mode::Logprobs];
        let of_scenario = |config: &Config| {
            let plan = plan(config, &BTreeMap::new());
            let cells =
                plan.cells.iter().filter(|cell| (cell.model, cell.backend, cell.scenario) == (0, 0, 0));
            let shown = |shapes: Vec<Shapes>| shapes.iter().map(ToString::to_string).collect::<Vec<_>>();
            cells.map(|cell| shown(submitted(config, cell))).collect::<Vec<_>>()
        };
        assert_eq!(
            of_scenario(&config),
            [vec!["1 x 8"], vec!["1 x 8", "1 x 1 after 8..10"], vec!["1 x 8..11"], vec!["1 x 7..8"]]
        );
        config.scenarios[0].new_tokens = 1;
        assert_eq!(of_scenario(&config), [vec!["1 x 8"], vec!["1 x 8"], vec!["1 x 8"], vec!["1 x 7..8"]]);
        config.scenarios[0].new_tokens = 2;
        assert_eq!(of_scenario(&config)[1], ["1 x 8", "1 x 1 after 8"]);
        config.scenarios[0].prompt_tokens = 1;
        assert_eq!(of_scenario(&config)[3], ["1 x 1"]);
    }
}
