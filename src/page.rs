//! Pages that need nothing else: their style, and charts of lines.

use std::fmt::{Result, Write};
use std::path::Path;

use crate::exit::{Exit, ExitError};

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 320.0;
/// Room for the axes' texts.
const LEFT: f64 = 64.0;
const BOTTOM: f64 = 36.0;
const TOP: f64 = 12.0;
const RIGHT: f64 = 16.0;
/// Lines in this order take these colours of the style sheet.
pub(crate) const COLOURS: [&str; 10] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1c2024;--dim:#6b7280;--line:#d5d9de;--paper:#fff;--a:#0b62c4;--b:#c2410c;--c:#15803d;--d:#7c3aed;--e:#be185d;--f:#0e7490;--g:#a16207;--h:#4d7c0f;--i:#64748b;--j:#9f1239}\
@media(prefers-color-scheme:dark){:root{--ink:#e6e8ea;--dim:#9aa3ad;--line:#3a4148;--paper:#15181b;--a:#6cb0ff;--b:#ff9a62;--c:#5fd08a;--d:#c09bff;--e:#f78fb8;--f:#5cc8dd;--g:#e0b252;--h:#a6cf5e;--i:#a3b1c2;--j:#fda4af}}\
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:900px;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.2rem}h2{font-size:1rem;margin-top:2rem}\
table{display:block;overflow-x:auto;border-collapse:collapse;font-variant-numeric:tabular-nums}td,th{padding:.15rem .8rem;text-align:right;border-bottom:1px solid var(--line)}\
td:first-child,th:first-child{text-align:left;padding-left:0}\
svg{width:100%;height:auto}svg text{font:11px system-ui,sans-serif;fill:var(--dim)}\
.grid{stroke:var(--line)}.axis{stroke:var(--dim)}path{fill:none;stroke-width:1.8}\
.a{stroke:var(--a)}.b{stroke:var(--b)}.c{stroke:var(--c)}.d{stroke:var(--d)}.e{stroke:var(--e)}.f{stroke:var(--f)}.g{stroke:var(--g)}.h{stroke:var(--h)}.i{stroke:var(--i)}.j{stroke:var(--j)}\
path.bar{stroke-width:12}.plan{stroke:var(--ink);stroke-dasharray:6 4}.change{stroke:var(--dim);stroke-dasharray:2 3}\
.key span{margin-right:1.2rem;white-space:nowrap}.key svg{width:22px;height:8px;margin-right:.4rem}";

/// Refuses to write a page over what it is made from.
pub(crate) fn refuse_overwriting(page: &Path, read: &[&Path]) -> std::result::Result<(), ExitError> {
    // What is not there yet is where its folder is.
    let place = |path: &Path| {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        path.canonicalize().or_else(|_| Ok(folder.canonicalize()?.join(path.file_name().unwrap_or_default())))
    };
    let there = place(page).map_err(|error: std::io::Error| {
        ExitError::new(Exit::IoFailed, format!("{} cannot be written: its folder: {error}", page.display()))
    })?;
    if read.iter().any(|other| place(other).is_ok_and(|other| other == there)) {
        let problem = format!("--report would overwrite {}; name another file", page.display());
        return Err(ExitError::new(Exit::Usage, problem));
    }
    if there.is_dir() {
        let problem = format!("--report {} is a folder; name a file", page.display());
        return Err(ExitError::new(Exit::Usage, problem));
    }
    Ok(())
}

/// Begins a page. Writing to a text cannot fail; here and below errors are passed on all the same, as `write!` has them.
pub(crate) fn head(title: &str, out: &mut String) -> Result {
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head><body>",
        escape(title)
    )
}

/// Ends it.
pub(crate) fn close(out: &mut String) {
    out.push_str("</body></html>\n");
}

/// What the lines mean, in the order of [`COLOURS`]; before them what a dashed one does, where there is one.
pub(crate) fn key<'a>(
    dashed: Option<&'a str>,
    names: impl Iterator<Item = &'a str>,
    out: &mut String,
) -> Result {
    out.push_str("<p class=\"key\">");
    let dashed = dashed.map(|name| (name, "plan"));
    for (name, colour) in dashed.into_iter().chain(names.zip(COLOURS)) {
        write!(
            out,
            "<span><svg viewBox=\"0 0 22 8\"><path class=\"{colour}\" d=\"M0 4H22\"/></svg>{name}</span>"
        )?;
    }
    out.push_str("</p>");
    Ok(())
}

/// Where a value between 0 and 1 lies on the paper.
fn x(share: f64) -> f64 {
    LEFT + share * (WIDTH - LEFT - RIGHT)
}

fn y(share: f64) -> f64 {
    HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP)
}

/// Begins a chart, which `</svg>` ends.
pub(crate) fn open(out: &mut String) -> Result {
    write!(out, "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">")
}

/// A text left of the vertical axis, with a line across.
pub(crate) fn level(share: f64, text: &str, out: &mut String) -> Result {
    let y = y(share);
    write!(
        out,
        "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
         <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
        WIDTH - RIGHT,
        LEFT - 8.0,
        y + 4.0
    )
}

/// A text below the horizontal axis, with a line up.
pub(crate) fn moment(share: f64, text: &str, out: &mut String) -> Result {
    let x = x(share);
    // The last would not fit beyond the end.
    let anchor = if share >= 1.0 { "end" } else { "middle" };
    write!(
        out,
        "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{:.1}\"/>\
         <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{text}</text>",
        HEIGHT - BOTTOM,
        HEIGHT - BOTTOM + 18.0
    )
}

/// A line through points, each between 0 and 1 across and up.
pub(crate) fn line(points: impl Iterator<Item = (f64, f64)>, colour: &str, out: &mut String) -> Result {
    write!(out, "<path class=\"{colour}\" d=\"")?;
    for (index, (across, up)) in points.enumerate() {
        write!(out, "{}{:.1} {:.1}", if index == 0 { 'M' } else { 'L' }, x(across), y(up))?;
    }
    out.push_str("\"/>");
    Ok(())
}

/// Room for a bar and what is between it and the next one.
const ROW: f64 = 18.0;
/// Room left of bars for their names.
const NAMES: f64 = 96.0;
/// Room right of the longest bar for its text.
const TEXTS: f64 = 190.0;

/// Begins a chart of so many bars, which `</svg>` ends.
pub(crate) fn bars(rows: usize, out: &mut String) -> Result {
    write!(out, "<svg viewBox=\"0 0 {WIDTH} {:.0}\" role=\"img\">", rows as f64 * ROW)
}

/// The bar of a row, of a length between 0 and 1, with a name before and a text behind it.
pub(crate) fn bar(row: usize, length: f64, colour: &str, name: &str, text: &str, out: &mut String) -> Result {
    let (y, width) = (row as f64 * ROW, length * (WIDTH - NAMES - TEXTS));
    write!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{name}</text>\
         <path class=\"{colour} bar\" d=\"M{NAMES:.1} {:.1}h{width:.1}\"/>\
         <text x=\"{:.1}\" y=\"{:.1}\">{text}</text>",
        NAMES - 8.0,
        y + 12.5,
        y + 9.0,
        NAMES + width + 8.0,
        y + 12.5
    )
}

/// What the horizontal axis shows, below its right end, and the vertical one, beside its upper end.
pub(crate) fn titles(across: &str, up: &str, out: &mut String) -> Result {
    write!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{across}</text>\
         <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"start\">{up}</text>",
        WIDTH - RIGHT,
        HEIGHT - 4.0,
        LEFT + 6.0,
        TOP + 12.0
    )
}

/// A text that a page may hold.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
