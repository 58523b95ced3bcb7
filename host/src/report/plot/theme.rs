//! The colours, once: as variables for the page, and as literal rules for files that stand alone (many viewers of SVG
//! know no variables).
//!
//! The palette has the hues of Okabe and Ito's ("Color Universal Design", 2008) in lightnesses that stand out from
//! their paper by 3:1 and more (WCAG 2.2, 1.4.11) and from each other: the first five by a CIELAB difference of 15 and
//! more under protanopia, deuteranopia and tritanopia as Machado et al. (2009) simulate them. Series also differ by
//! marker and dash, so that no reading depends on colour alone.

/// A colour on light and on dark paper.
pub(super) struct Tone {
    pub(super) light: &'static str,
    pub(super) dark: &'static str,
}

const fn tone(light: &'static str, dark: &'static str) -> Tone {
    Tone { light, dark }
}

/// Blue, vermillion, green, purple, amber, deep or light blue, olive, grey.
pub(super) const PALETTE: [Tone; 8] = [
    tone("#1a80d4", "#4f9ff0"),
    tone("#9c2f0c", "#e0704a"),
    tone("#005c46", "#2fd0a0"),
    tone("#b84fa6", "#d98ad0"),
    tone("#b88400", "#ffd24a"),
    tone("#0b4a78", "#9fdcff"),
    tone("#767a00", "#b9b24a"),
    tone("#6f7780", "#c9d0d8"),
];

pub(super) const INK: Tone = tone("#1a1d21", "#e8eaed");
pub(super) const MUTED: Tone = tone("#565e69", "#a9b1bb");
pub(super) const GRID: Tone = tone("#dfe2e7", "#343a43");
pub(super) const PAPER: Tone = tone("#ffffff", "#15181d");

/// What a viewer of any kind understands; the page has the same in its stylesheet, by variables.
const RULES: &str = "text{fill:currentColor}.t{font-weight:600}.w{stroke:currentColor;fill:none;stroke-width:1.5}\
.m{fill:currentColor;stroke-width:.75}.o{fill:none;stroke:currentColor;stroke-width:2;stroke-linejoin:round}\
.b{fill:currentColor;fill-opacity:.16;stroke:none}.q{fill:currentColor;fill-opacity:.22;stroke:currentColor;\
stroke-width:1.25}.d{fill:currentColor;fill-opacity:.7;stroke:none}.g{fill:none;stroke-width:1}\
.r{fill:none;stroke:currentColor;stroke-width:1.25;stroke-dasharray:5 4}";

/// `--c0` to `--c7`, `--ink`, `--muted`, `--grid` and `--paper`, each by the page's colour scheme.
pub(in crate::report) fn variables() -> String {
    let mut text = String::new();
    for (index, tone) in PALETTE.iter().enumerate() {
        text.push_str(&format!("--c{index}:light-dark({},{});", tone.light, tone.dark));
    }
    for (name, tone) in [("ink", INK), ("muted", MUTED), ("grid", GRID), ("paper", PAPER)] {
        text.push_str(&format!("--{name}:light-dark({},{});", tone.light, tone.dark));
    }
    text
}

/// The rules of a chart inside the page, which has set [`variables`].
pub(in crate::report) fn inline_rules() -> String {
    let mut text = String::new();
    for index in 0..PALETTE.len() {
        text.push_str(&format!(".plot .c{index}{{color:var(--c{index})}}"));
    }
    text.push_str(".plot .g{stroke:var(--grid)}.plot .u{color:var(--muted)}.plot .p{fill:var(--paper)}.plot .m{stroke:var(--paper)}");
    for rule in RULES.split_inclusive('}') {
        text.push_str(&format!(".plot svg {rule}"));
    }
    text
}

/// The stylesheet of a file of its own, which follows the reader's light or dark system.
pub(super) fn standalone() -> String {
    let colours = |of: fn(&Tone) -> &'static str| {
        let mut text = format!("svg{{color:{}}}", of(&INK));
        for (index, tone) in PALETTE.iter().enumerate() {
            text.push_str(&format!(".c{index}{{color:{}}}", of(tone)));
        }
        text + &format!(
            ".g{{stroke:{0}}}.u{{color:{1}}}.p{{fill:{2}}}.m{{stroke:{2}}}",
            of(&GRID),
            of(&MUTED),
            of(&PAPER)
        )
    };
    let (light, dark) = (colours(|tone| tone.light), colours(|tone| tone.dark));
    format!("{RULES}{light}@media(prefers-color-scheme:dark){{{dark}}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance, WCAG 2.2.
    fn luminance(colour: &str) -> f64 {
        let channel = |at: usize| {
            let value = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
            if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
    }

    fn contrast(a: &str, b: &str) -> f64 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn every_colour_stands_out_from_its_paper() {
        for (tones, least) in [(&PALETTE[..], 3.0), (&[INK, MUTED][..], 4.5)] {
            for Tone { light, dark } in tones {
                assert!(contrast(light, PAPER.light) >= least, "{light}: {}", contrast(light, PAPER.light));
                assert!(contrast(dark, PAPER.dark) >= least, "{dark}: {}", contrast(dark, PAPER.dark));
            }
        }
    }
}
