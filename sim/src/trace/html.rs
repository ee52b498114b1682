//! A run as one page that needs nothing but a browser: a lane for each node, time goes down.

use std::fmt::Write as _;

use super::{Note, Picture, html_rows::Rows, kind::Kind, nodes::Nodes};
use crate::report::{escape::escaped, failure};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// Nothing is loaded from anywhere, whatever a run may have written.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

/// The page.
#[must_use]
pub fn page(picture: &Picture<'_>) -> String {
    let nodes = Nodes::of(picture);
    let mut page = String::new();
    head(&mut page, &picture.title, nodes.names().len());
    violations(&mut page, picture);
    for (number, note) in picture.notes.iter().enumerate() {
        paragraph(&mut page, note, number == 0);
    }
    page.push_str("<div id=\"top\">\n");
    filter(&mut page, &nodes);
    lanes(&mut page, &nodes);
    page.push_str("</div>\n<main>\n");
    Rows::of(picture, &nodes).write(&mut page);
    let _ = write!(page, "</main>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n");
    page
}

// Writing to a String cannot fail.

fn head(page: &mut String, title: &str, lanes: usize) {
    let title = escaped(title);
    page.push_str("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    let _ = writeln!(page, "<meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">");
    let _ = write!(page, "<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n");
    let _ = write!(page, "<body style=\"--lanes:{lanes}\">\n<h1>{title}</h1>\n");
}

/// What was broken, each with a link to its moment.
fn violations(page: &mut String, picture: &Picture<'_>) {
    let violations = &picture.outcome.verdict.violations;
    if violations.is_empty() {
        return;
    }
    page.push_str("<ul class=\"violation\">\n");
    for (number, violation) in violations.iter().enumerate() {
        let _ = writeln!(page, "<li><a href=\"#v{number}\">{}</a></li>", escaped(&failure::told(violation)));
    }
    page.push_str("</ul>\n");
}

fn paragraph(page: &mut String, Note { heading, text }: &Note, is_open: bool) {
    let open = if is_open { " open" } else { "" };
    let (heading, text) = (escaped(heading), escaped(text.trim_end()));
    // A line break right after the tag is not part of the text.
    let _ = writeln!(page, "<details{open}><summary>{heading}</summary><pre>\n{text}</pre></details>");
}

/// What is shown: words, kinds, nodes.
fn filter(page: &mut String, nodes: &Nodes<'_>) {
    page.push_str("<form autocomplete=\"off\"><input type=\"search\" placeholder=\"words\" aria-label=\"words\">");
    page.push_str(" <output></output>\n<fieldset>");
    for kind in Kind::ALL {
        choice(page, "kind", kind.name(), kind.name());
    }
    page.push_str("</fieldset>\n<fieldset>");
    for (place, name) in nodes.names().iter().enumerate() {
        choice(page, "node", &place.to_string(), name);
    }
    choice(page, "node", "-", "no node");
    page.push_str("</fieldset></form>\n");
}

fn choice(page: &mut String, of: &str, value: &str, name: &str) {
    let name = escaped(name);
    let _ = write!(page, "<label><input type=\"checkbox\" name=\"{of}\" value=\"{value}\" checked>{name}</label> ");
}

/// The names of the lanes.
fn lanes(page: &mut String, nodes: &Nodes<'_>) {
    page.push_str("<div class=\"row lanes\"><time>time</time><i>");
    for name in nodes.names() {
        let _ = write!(page, "<u>{}</u>", escaped(name));
    }
    page.push_str("</i><b>node</b><span>what</span></div>\n");
}
