//! A graph as a picture: Mermaid for documents, SVG for pages.

use super::definition::{END, Graph, Node, Way, Work};
use std::collections::BTreeMap;
use std::fmt::Write;

const WIDTH: i64 = 168;
const HEIGHT: i64 = 44;
const GAP_X: i64 = 40;
const GAP_Y: i64 = 56;
/// Looks at a way that a picture may take; one of a graph that asks for more is drawn flatter.
const LOOKS_MAX: u32 = 100_000;
/// Most characters of a condition in a picture.
const LABEL_CHARS: usize = 26;

/// The graph as a Mermaid flowchart.
#[must_use]
pub fn mermaid(graph: &Graph) -> String {
    let mut out = String::from("flowchart TD\n  start([start])\n");
    for (id, node) in &graph.nodes {
        let (open, close) = match node.work {
            Work::Switch => ("{", "}"),
            Work::Human(_) => ("[/", "/]"),
            Work::Map(_) | Work::Loop(_) => ("[[", "]]"),
            _ => ("[", "]"),
        };
        let _ = writeln!(out, "  n_{id}{open}\"{id}<br/>{}\"{close}", word(node));
    }
    let _ = writeln!(out, "  start --> n_{}", graph.start);
    let mut ends = false;
    for (from, to, label, is_dashed) in edges(graph) {
        ends |= to == END;
        let to = if to == END { "end_([end])".to_owned() } else { format!("n_{to}") };
        let arrow = if is_dashed { "-.->" } else { "-->" };
        let label = if label.is_empty() { String::new() } else { format!("|\"{}\"|", label.replace('"', "'")) };
        let _ = writeln!(out, "  n_{from} {arrow}{label} {to}");
    }
    if !ends {
        out.push_str("  end_([end])\n");
    }
    out
}

/// The word for what a node does.
fn word(node: &Node) -> &'static str {
    match &node.work {
        Work::Agent(_) => "agent",
        Work::Tool(_) => "tool",
        Work::Workflow(_) => "workflow",
        Work::Switch => "switch",
        Work::Set(_) => "set",
        Work::Human(_) => "human",
        Work::Wait(_) => "wait",
        Work::Map(_) => "map",
        Work::Join => "join",
        Work::Loop(_) => "loop",
        Work::Intent(_) => "intent",
        Work::Plan(_) => "plan",
        Work::Ground(_) => "ground",
        Work::Remember(_) => "remember",
    }
}

/// From, to, label, and whether it is no part of the plain path.
fn edges(graph: &Graph) -> Vec<(&str, &str, String, bool)> {
    let mut edges = Vec::new();
    for (id, node) in &graph.nodes {
        let (ways, mut cases) = (graph.ways(id), node.flow.cases.iter());
        let goes_on = ways.iter().any(|(way, _)| matches!(way, Way::Next | Way::Default));
        for (way, to) in ways {
            let label = match way {
                Way::Case => cases.next().map_or_else(String::new, |case| clipped(&case.when)),
                Way::Default => "else".into(),
                Way::Next => String::new(),
                Way::Fallback => "fallback".into(),
                Way::Body => "each".into(),
                Way::Error => "error".into(),
            };
            edges.push((id.as_str(), to, label, matches!(way, Way::Fallback | Way::Body | Way::Error)));
        }
        if !goes_on {
            edges.push((id.as_str(), END, String::new(), false));
        }
    }
    edges
}

/// One line between two nodes, with all that leads along it.
fn merged<'g>(edges: Vec<(&'g str, &'g str, String, bool)>) -> Vec<(&'g str, &'g str, String, bool)> {
    let mut lines: Vec<(&str, &str, String, bool)> = Vec::new();
    for (from, to, label, is_dashed) in edges {
        match lines.iter_mut().find(|(a, b, ..)| (*a, *b) == (from, to)) {
            Some((.., said, dashed)) => {
                if !label.is_empty() {
                    *said = if said.is_empty() { label } else { format!("{said}, {label}") };
                }
                *dashed &= is_dashed;
            }
            None => lines.push((from, to, label, is_dashed)),
        }
    }
    lines
}

fn clipped(text: &str) -> String {
    match text.char_indices().nth(LABEL_CHARS) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.into(),
    }
}

/// Where each node stands: below everything that leads to it, save what leads back.
fn places(graph: &Graph) -> BTreeMap<&str, (i64, i64)> {
    let mut rows = BTreeMap::from([(graph.start.as_str(), 1_i64)]);
    let (mut walk, mut looks) = (vec![graph.start.as_str()], LOOKS_MAX);
    deepen(graph, graph.start.as_str(), &mut walk, &mut rows, &mut looks);
    let mut filled: BTreeMap<i64, i64> = BTreeMap::new();
    let mut place = |row: i64| {
        let column = filled.entry(row).or_default();
        *column += 1;
        *column - 1
    };
    rows.iter().map(|(id, row)| (*id, (place(*row), *row))).collect()
}

/// Pushes what a node leads to below it; what stands on the walk already is led back to.
fn deepen<'g>(
    graph: &'g Graph,
    id: &'g str,
    walk: &mut Vec<&'g str>,
    rows: &mut BTreeMap<&'g str, i64>,
    looks: &mut u32,
) {
    let row = rows[id] + 1;
    for (_, to) in graph.ways(id) {
        let Some((to, _)) = graph.nodes.get_key_value(to) else { continue };
        *looks = looks.saturating_sub(1);
        let is_deeper = match rows.get(to.as_str()) {
            None => true,
            Some(known) => *known < row && *looks > 0 && !walk.contains(&to.as_str()),
        };
        if is_deeper {
            rows.insert(to, row);
            walk.push(to);
            deepen(graph, to, walk, rows, looks);
            walk.pop();
        }
    }
}

/// The graph as an SVG picture, to be shown by itself.
#[must_use]
pub fn svg(graph: &Graph) -> String {
    let mut places = places(graph);
    let columns = places.values().map(|(column, _)| column + 1).max().unwrap_or(1);
    let rows = places.values().map(|(_, row)| *row).max().unwrap_or(1) + 1;
    places.insert(END, (0, rows));
    let (width, height) = (columns * (WIDTH + GAP_X) + GAP_X, (rows + 1) * (HEIGHT + GAP_Y) + GAP_Y);
    let corner = |(column, row): (i64, i64)| (GAP_X + column * (WIDTH + GAP_X), GAP_Y / 2 + row * (HEIGHT + GAP_Y));
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"13\"><title>{}</title><defs><marker id=\"tip\" viewBox=\"0 0 8 8\" \
         refX=\"8\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" fill=\"#556\"/>\
         </marker></defs><rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
        escaped(&graph.name)
    );
    let begin = corner((0, 0));
    let first = corner(places.get(graph.start.as_str()).copied().unwrap_or((0, 1)));
    line(&mut out, (begin.0 + WIDTH / 2, begin.1 + HEIGHT), (first.0 + WIDTH / 2, first.1), "", false);
    for (from, to, label, is_dashed) in merged(edges(graph)) {
        let (Some(a), Some(b)) = (places.get(from), places.get(to)) else { continue };
        let ((ax, ay), (bx, by)) = (corner(*a), corner(*b));
        // What leads back goes round by the side.
        let (a, b) = if by > ay {
            ((ax + WIDTH / 2, ay + HEIGHT), (bx + WIDTH / 2, by))
        } else {
            ((ax + WIDTH, ay + HEIGHT / 2), (bx + WIDTH, by + HEIGHT / 2))
        };
        line(&mut out, a, b, &label, is_dashed);
    }
    boxed(&mut out, begin, "start", "", 22);
    boxed(&mut out, corner((0, rows)), "end", "", 22);
    for (id, node) in &graph.nodes {
        let Some(place) = places.get(id.as_str()) else { continue };
        boxed(&mut out, corner(*place), id, word(node), 6);
    }
    out + "</svg>\n"
}

fn line(out: &mut String, (ax, ay): (i64, i64), (bx, by): (i64, i64), label: &str, is_dashed: bool) {
    let bend = if by > ay { (ax, ay + GAP_Y / 2, bx, by - GAP_Y / 2) } else { (ax + GAP_X, ay, bx + GAP_X, by) };
    let dash = if is_dashed { " stroke-dasharray=\"4 3\"" } else { "" };
    let _ = writeln!(
        out,
        "<path d=\"M{ax} {ay}C{} {} {} {} {bx} {by}\" fill=\"none\" stroke=\"#556\"{dash} marker-end=\"url(#tip)\"/>",
        bend.0, bend.1, bend.2, bend.3
    );
    if !label.is_empty() {
        // Near where it leads: lines part on their way.
        let (x, y) = if by > ay { (bx + (ax - bx) / 10 + 5, by - 12) } else { ((ax + bx) / 2 + 6, (ay + by) / 2) };
        let _ = writeln!(
            out,
            "<text x=\"{x}\" y=\"{y}\" font-size=\"10\" fill=\"#445\" stroke=\"#fff\" stroke-width=\"3\" \
             paint-order=\"stroke\">{}</text>",
            escaped(label)
        );
    }
}

fn boxed(out: &mut String, (x, y): (i64, i64), name: &str, word: &str, radius: i64) {
    let (middle, text_y) = (x + WIDTH / 2, if word.is_empty() { y + HEIGHT / 2 + 5 } else { y + 19 });
    let _ = writeln!(
        out,
        "<rect x=\"{x}\" y=\"{y}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"{radius}\" fill=\"#f6f8fc\" stroke=\"#334\"/>\
         <text x=\"{middle}\" y=\"{text_y}\" text-anchor=\"middle\" fill=\"#112\">{}</text>",
        escaped(&name.chars().take(22).collect::<String>())
    );
    if !word.is_empty() {
        let _ = writeln!(
            out,
            "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\" font-size=\"11\" fill=\"#667\">{word}</text>",
            y + 35
        );
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
