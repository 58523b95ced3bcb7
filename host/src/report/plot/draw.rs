//! The chart put together, inside the page or as a file.

use super::figure::{Figure, Form};
use super::frame::frame;
use super::layout::{Layout, SIZE, TITLE_SIZE, WIDTH};
use super::marks::{colour, sample, series};
use super::theme::standalone;
use super::thin::drawable;
use super::write::{px, safe};
use maud::{Markup, PreEscaped, html};

impl Figure {
    /// The chart as an `svg` element: one image with a title and a description, every value of which is also the
    /// `title` of its mark.
    pub(in crate::report) fn svg(&self, form: Form) -> Markup {
        let figure = drawable(self);
        let layout = Layout::of(&figure, form);
        let (title, described) = (format!("{}-title", self.id), format!("{}-desc", self.id));
        let size = format!("0 0 {WIDTH} {}", px(layout.height));
        html! {
            svg xmlns="http://www.w3.org/2000/svg" viewBox=(size) width=(WIDTH) height=(px(layout.height)) role="img"
                aria-labelledby=(title) aria-describedby=(described) font-family="system-ui, sans-serif" font-size=(SIZE) {
                title id=(title) { (safe(&figure.title)) }
                desc id=(described) { (safe(&figure.description)) }
                @if form == Form::StandAlone {
                    style { (PreEscaped(standalone())) }
                    rect class="p" width="100%" height="100%" {}
                }
                (body(&layout))
            }
        }
    }

    /// The description as it is drawn: with what was left out.
    pub(in crate::report) fn drawn_description(&self) -> String {
        safe(&drawable(self).description)
    }

    /// The chart as the content of a file, without XML's own first line.
    pub(in crate::report) fn file(&self) -> String {
        self.svg(Form::StandAlone).into_string()
    }
}

fn body(layout: &Layout<'_>) -> Markup {
    html! {
        @for (index, line) in layout.title.iter().enumerate() {
            text class="t" font-size=(TITLE_SIZE) x="14" y=(px(6.0 + TITLE_SIZE + index as f64 * (TITLE_SIZE + 6.0))) { (line) }
        }
        @for entry in &layout.legend {
            g class=(colour(entry.style)) { (sample(entry.marks, entry.style, entry.x + 10.0, entry.y)) }
            text x=(px(entry.x + 26.0)) y=(px(entry.y + 4.0)) { (entry.name) }
        }
        @for of in &layout.frames {
            (frame(of))
            @for one in &of.panel.series { (series(of, one)) }
        }
    }
}
