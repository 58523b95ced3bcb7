//! Which backend to use, first of all.

use super::{header, table};
use crate::analysis::{Analysis, Recommendation};
use crate::report::answer::{caveat, evidence, general_caveat, leaders, passed_over, question, rules};
use crate::report::figure::NONE;
use crate::text::markdown;

/// The section; nothing where nothing was measured.
pub(super) fn answer(analysis: &Analysis) -> String {
    if analysis.recommendations.is_empty() {
        return String::new();
    }
    let rows: Vec<Vec<String>> = analysis.recommendations.iter().map(|of| row(of, analysis)).collect();
    let header = header(&["model", "for", "use", "measured by", "evidence", "passed over"]);
    let rules: String = rules(analysis).iter().map(|rule| format!("- {rule}\n")).collect();
    let general =
        general_caveat(analysis).map_or(String::new(), |caveat| format!("{}\n\n", markdown(caveat)));
    format!(
        "## Which backend\n\n{}{general}How these follow from the numbers:\n\n{rules}\n",
        table(&header, header.len(), &rows)
    )
}

fn row(of: &Recommendation, analysis: &Analysis) -> Vec<String> {
    let caveat = caveat(of, analysis).map_or(String::new(), |caveat| format!(" ({caveat})"));
    vec![
        markdown(&of.model),
        of.use_case.name().into(),
        format!("**{}**{caveat}", markdown(&leaders(of))),
        question(of),
        markdown(&evidence(of, &analysis.settings.currency)),
        passed_over(of).map_or_else(|| NONE.into(), |reasons| markdown(&reasons)),
    ]
}
