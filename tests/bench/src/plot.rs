//! One small picture of a table: bars, and a line where the comparison is even.
//!
//! It stands in a page as an image, so it brings its own colours, for light and dark, and its numbers as text: nothing
//! is told by colour alone.

use std::fmt::Write as _;

/// A picture.
pub struct Plot {
    /// What it shows: its title and, for those who do not see it, its name.
    pub title: String,
    /// How to read it, below the bars.
    pub caption: String,
    /// From the top.
    pub bars: Vec<Bar>,
    /// Where a bar is even with what it is compared with.
    pub even: f64,
}

/// One of its bars.
pub struct Bar {
    /// What it stands for.
    pub label: String,
    /// Its length.
    pub value: f64,
    /// The value as people read it.
    pub text: String,
    /// Whether it is the one that the picture is about.
    pub ours: bool,
}

/// User units, which are pixels unless scaled.
const WIDTH: f64 = 760.0;
const LABELS: f64 = 330.0;
const BAR: f64 = 18.0;
const STEP: f64 = 28.0;
const TOP: f64 = 46.0;
/// For the number behind the longest bar.
const NUMBERS: f64 = 70.0;

impl Plot {
    /// The picture as SVG.
    pub fn svg(&self) -> String {
        let bars = self.bars.iter();
        let most = bars.map(|bar| bar.value).fold(self.even, f64::max);
        let scale = (WIDTH - LABELS - NUMBERS) / if most > 0.0 { most } else { 1.0 };
        let rows: f64 = self.bars.iter().map(|_| STEP).sum();
        let (bottom, even) = (TOP + rows, LABELS + self.even * scale);
        let height = bottom + 30.0;
        let mut out = String::new();
        let title = escaped(&self.title);
        let spoken: Vec<String> = self
            .bars
            .iter()
            .map(|bar| format!("{}: {}", bar.label, bar.text))
            .collect();
        let spoken = escaped(&format!("{}. {}", self.caption, spoken.join("; ")));
        // writing to a string does not fail
        let _ = write!(
            out,
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img" aria-labelledby="title desc">
<title id="title">{title}</title>
<desc id="desc">{spoken}</desc>
<style>
svg {{ color-scheme: light dark; font: 13px system-ui, sans-serif; }}
text {{ fill: #1f2328; }}
.title {{ font-weight: 600; font-size: 14px; }}
.label {{ text-anchor: end; }}
.even {{ stroke: #59636e; stroke-dasharray: 4 3; }}
.ours {{ fill: #0969da; }}
.other {{ fill: #8c959f; }}
@media (prefers-color-scheme: dark) {{
text {{ fill: #e6edf3; }}
.even {{ stroke: #9198a1; }}
.ours {{ fill: #4493f8; }}
.other {{ fill: #6e7681; }}
}}
</style>
<text class="title" x="8" y="22">{title}</text>
"#
        );
        let mut y = TOP;
        for bar in &self.bars {
            let class = if bar.ours { "ours" } else { "other" };
            let length = (bar.value * scale).max(1.0);
            let _ = writeln!(
                out,
                r#"<text class="label" x="{:.1}" y="{:.1}">{}</text><rect class="{class}" x="{LABELS:.1}" y="{y:.1}" width="{length:.1}" height="{BAR:.1}" rx="2"/><text x="{:.1}" y="{:.1}">{}</text>"#,
                LABELS - 10.0,
                y + 13.5,
                escaped(&bar.label),
                LABELS + length + 6.0,
                y + 13.5,
                escaped(&bar.text),
            );
            y += STEP;
        }
        let _ = writeln!(
            out,
            r#"<line class="even" x1="{even:.1}" y1="{:.1}" x2="{even:.1}" y2="{bottom:.1}"/>"#,
            TOP - 8.0
        );
        let _ = writeln!(
            out,
            r#"<text x="8" y="{:.1}">{}</text>"#,
            bottom + 16.0,
            escaped(&self.caption)
        );
        out.push_str("</svg>\n");
        out
    }
}

/// Text between tags.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('`', "")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn parsed(name: &str, svg: &str) {
        let document = roxmltree::Document::parse(svg).unwrap_or_else(|e| panic!("{name}: {e}"));
        let root = document.root_element();
        assert!(
            root.has_tag_name(("http://www.w3.org/2000/svg", "svg")),
            "{name}"
        );
        assert_eq!(root.attribute("role"), Some("img"), "{name}");
        for part in ["title", "desc"] {
            let is_part = |node: &roxmltree::Node<'_, '_>| node.attribute("id") == Some(part);
            let said = document
                .descendants()
                .find(is_part)
                .and_then(|node| node.text());
            assert!(
                said.is_some_and(|text| !text.trim().is_empty()),
                "{name}: {part}"
            );
        }
        assert!(svg.contains("prefers-color-scheme: dark"), "{name}");
        // each bar has a label and a number
        let count = |tag: &str| {
            document
                .descendants()
                .filter(|n| n.has_tag_name(tag))
                .count()
        };
        assert!(count("rect") > 0, "{name}");
        assert_eq!(count("text"), 2 * count("rect") + 2, "{name}");
    }

    #[test]
    fn a_plot_is_well_formed_whatever_its_texts_are() {
        let bar = |label: &str, value, text: &str| Bar {
            label: label.to_owned(),
            value,
            text: text.to_owned(),
            ours: value > 1.0,
        };
        for values in [[0.0, 0.0], [0.4, 1.3], [1e9, 1e-9]] {
            let plot = Plot {
                title: "a < b & `c` > \"d\"".to_owned(),
                caption: "é µ ≤ 'x' ]]>".to_owned(),
                bars: values.map(|value| bar("</text>", value, "<1 & 2>")).into(),
                even: 1.0,
            };
            parsed("plot", &plot.svg());
        }
    }

    #[test]
    fn the_pictures_of_the_documentation_are_well_formed_and_shown() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
        let page = std::fs::read_to_string(docs.join("benchmarks.md")).unwrap();
        for name in ["benchmarks-tokens.svg", "benchmarks-envoy.svg"] {
            let svg = std::fs::read_to_string(docs.join(name)).unwrap();
            parsed(name, &svg);
            assert!(
                page.contains(&format!("]({name})")),
                "{name} is not in the page"
            );
        }
    }
}
