//! Whole charts: well-formed, escaped, the same every time, whatever the data.

use super::figure::Range;
use super::*;
use crate::stats::Interval;
use roxmltree::Document;

fn range(low: f64, high: f64) -> Range {
    Some(Interval { low, high })
}

fn at(x: f64, y: f64, text: &str) -> Point {
    Point { x, y, text: text.into(), ..Point::default() }
}

fn panel(x: Axis, y: Axis, series: Vec<Series>) -> Panel {
    Panel { title: String::new(), x, y, series }
}

fn single(panel: Panel) -> Figure {
    Figure::single("chart", "Latency", "How long.", panel)
}

fn names(count: usize) -> Axis {
    Axis::categories((0..count).map(|index| format!("name {index}")).collect())
}

/// One of every mark there is.
fn all_marks() -> Figure {
    let points = vec![Point { x_range: range(1.5, 2.5), ..at(2.0, 0.0, "a: 2 ms") }, at(3.0, 1.0, "b: 3 ms")];
    let bars = vec![Bar { x: 2.0, y: 1.0, thickness: 0.5, range: range(1.0, 4.0), text: "bar".into() }];
    let boxes =
        vec![BoxMark { y: 0.0, quantiles: [1.0, 2.0, 3.0, 4.0, 5.0], thickness: 0.5, text: "box".into() }];
    let cells = vec![Cell { column: 1, row: 0, depth: -2.0, label: "0.5x".into(), text: "cell".into() }];
    let line = vec![(1.0, 1.0), (10.0, 2.0)];
    let band = line.iter().map(|(x, y)| (*x, Interval { low: y - 0.5, high: y + 0.5 })).collect();
    let upright = vec![Point { y_range: range(1.0, 2.0), ..at(5.0, 1.5, "up") }];
    let mut figure = Figure::grid(
        "all",
        "All marks",
        "Everything.",
        vec![
            panel(
                Axis::from_zero("ms"),
                names(2),
                vec![Series::points("one", 0, points), Series::bars("two", 1, bars)],
            ),
            panel(
                Axis::linear("ms"),
                names(2),
                vec![Series::boxes("three", 2, boxes), Series::dots("runs", 3, vec![at(2.0, 0.1, "run")])],
            ),
            panel(names(2), names(2), vec![Series::cells(cells)]),
        ],
        2,
        Share::Y,
    );
    figure.panels[0].title = "a panel".into();
    let fit = vec![
        Series::band("95%", 4, band),
        Series::line("fit", 5, line),
        Series::points("up", 6, upright),
        Series::across("between", 7, range(2.0, 4.0)),
        Series::across("nowhere", 7, None),
        Series::at_x(3.0, "crossing"),
        Series::at_y(1.0, "same"),
    ];
    figure.panels.push(panel(Axis::log("parameters").unit(Unit::Short), names(2), fit));
    figure
}

/// Parses, has one image with title and description, unique ids, and no broken number in any attribute.
fn check(figure: &Figure) -> String {
    for form in [Form::Inline, Form::StandAlone] {
        let text = figure.svg(form).into_string();
        let document = Document::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let root = document.root_element();
        assert_eq!(root.attribute("role"), Some("img"));
        let mut ids: Vec<&str> = document.descendants().filter_map(|node| node.attribute("id")).collect();
        for name in ["aria-labelledby", "aria-describedby"] {
            assert!(ids.contains(&root.attribute(name).unwrap()));
        }
        ids.sort_unstable();
        assert!(ids.windows(2).all(|pair| pair[0] != pair[1]));
        for attribute in document.descendants().flat_map(|node| node.attributes().collect::<Vec<_>>()) {
            let value = attribute.value();
            assert!(!value.contains("NaN") && !value.contains("inf"), "{} {value}", attribute.name());
        }
        assert_eq!(figure.svg(form).into_string(), text);
    }
    figure.file()
}

fn values(file: &str) -> Vec<String> {
    let document = Document::parse(file).unwrap();
    let marks = document
        .descendants()
        .filter(|node| node.attribute("class").is_some_and(|c| c.split(' ').any(|c| c == "v")));
    marks
        .map(|mark| {
            let title = mark.children().find(|child| child.has_tag_name("title")).unwrap();
            title.text().unwrap_or_default().to_string()
        })
        .collect()
}

#[test]
fn every_mark_says_its_value() {
    let figure = all_marks();
    let file = check(&figure);
    assert_eq!(values(&file), ["a: 2 ms", "b: 3 ms", "bar", "box", "run", "cell", "up"]);
    assert_eq!(figure.texts(), ["a: 2 ms", "b: 3 ms", "bar", "box", "cell", "up"]);
    for part in ["prefers-color-scheme:dark", ">crossing<", ">parameters (log scale)<", ">fit<"] {
        assert!(file.contains(part), "{part}");
    }
    assert!(!figure.is_empty());
}

#[test]
fn names_and_messages_are_text() {
    let hostile = "<script>alert(1)</script>&\"']]>\u{1b}[31m\u{0}\u{ffff}\u{202e}x";
    let mut figure = single(panel(
        Axis::from_zero(hostile),
        Axis::categories(vec![hostile.into()]),
        vec![Series::points(hostile, 0, vec![at(1.0, 0.0, hostile)]), Series::at_x(1.0, hostile)],
    ));
    (figure.title, figure.description, figure.panels[0].title) =
        (hostile.into(), hostile.into(), hostile.into());
    let file = check(&figure);
    assert!(!file.contains("<script") && !file.contains('\u{1b}') && !file.contains('\u{ffff}'), "{file}");
    assert_eq!(values(&file), ["<script>alert(1)</script>&\"']]> x"]);
}

#[test]
fn data_of_no_use_still_makes_a_chart() {
    let broken =
        [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN_POSITIVE, -1.0, 0.0, 5e-324, 1e99];
    let axes: [fn() -> Axis; 4] =
        [|| Axis::linear("x"), || Axis::from_zero("x"), || Axis::log("x"), || Axis::categories(vec![])];
    for x in axes {
        for y in axes {
            check(&single(panel(x(), y(), vec![])));
            for value in broken {
                let wild = Point {
                    x_range: range(value, -value),
                    y_range: range(-1e300, value),
                    ..at(value, value, "v")
                };
                let one = Interval { low: value, high: 1.0 };
                let quantiles = [value, 1.0, value, 2.0, f64::NAN];
                let figure = single(panel(
                    x(),
                    y(),
                    vec![
                        Series::points("p", usize::MAX, vec![wild.clone()]),
                        Series::dots("d", 9, vec![wild]),
                        Series::line("l", 12, vec![(value, 1.0), (1.0, value)]),
                        Series::band("b", 1, vec![(1.0, one), (value, one)]),
                        Series::bars(
                            "r",
                            2,
                            vec![Bar {
                                x: value,
                                y: 0.0,
                                thickness: value,
                                range: range(value, value),
                                text: String::new(),
                            }],
                        ),
                        Series::boxes(
                            "q",
                            3,
                            vec![BoxMark { y: value, quantiles, thickness: 0.3, text: String::new() }],
                        ),
                        Series::cells(vec![Cell {
                            column: 9,
                            row: 9,
                            depth: value,
                            label: "x".into(),
                            text: "x".into(),
                        }]),
                        Series::across("s", 4, Some(one)),
                        Series::at_x(value, ""),
                        Series::at_y(value, "y"),
                    ],
                ));
                check(&figure);
            }
        }
    }
    let nothing = Figure { panels: vec![], ..single(panel(Axis::linear(""), Axis::linear(""), vec![])) };
    assert!(check(&nothing).contains("<svg") && nothing.is_empty());
}

#[test]
fn what_is_left_out_is_said() {
    let points = vec![at(0.0, 1.0, "zero"), at(f64::NAN, 1.0, "broken"), at(10.0, 1.0, "ten")];
    let file = check(&single(panel(Axis::log("x"), Axis::linear("y"), vec![Series::points("p", 0, points)])));
    assert_eq!(values(&file), ["ten"]);
    assert!(file.contains("2 values that the axes have no place for are left out."), "{file}");
}

#[test]
fn a_great_many_marks_are_thinned() {
    let dots = (0..100_000).map(|index| at(f64::from(index), f64::from(index % 97), "a run")).collect();
    let few = vec![at(1.0, 1.0, "one"), at(2.0, 2.0, "two")];
    let series = vec![Series::dots("runs", 0, dots), Series::points("means", 1, few)];
    let file = check(&single(panel(Axis::linear("x"), Axis::linear("y"), series)));
    assert!(file.len() < 400_000, "{}", file.len());
    assert!(file.contains("2,001 of 100,002 marks are drawn, evenly chosen."), "{}", &file[..600]);
    let found = values(&file);
    assert_eq!(found.iter().filter(|text| *text != "a run").count(), 2);
}

#[test]
fn one_wild_interval_does_not_hide_the_values() {
    let points = vec![
        Point { x_range: range(-1e9, 1e9), ..at(2.0, 0.0, "wild") },
        Point { x_range: range(2.9, 3.1), ..at(3.0, 1.0, "tame") },
    ];
    let file = check(&single(panel(Axis::from_zero("ms"), names(2), vec![Series::points("p", 0, points)])));
    let labels: Vec<&str> =
        file.split("text-anchor=\"middle\">").skip(1).filter_map(|rest| rest.split('<').next()).collect();
    let highest = labels.iter().filter_map(|label| label.parse::<f64>().ok()).fold(0.0, f64::max);
    assert!((3.0..10.0).contains(&highest), "{labels:?}");
}
