//! The tables and their columns, as a page in Markdown.

use std::fmt::Write as _;

use super::table::{COMMON, Column, DECISION, KINDS, Type};

/// What `docs/events.md` ends with.
pub(super) fn tables() -> String {
    let mut page = "## In every table\n\n".to_owned();
    columns(&mut page, &COMMON);
    page.push_str(
        "## A decision\n\nWhat `impression`, `click`, `conversion`, `bid` and `noticed` carry.\n\n",
    );
    columns(&mut page, DECISION);
    page.push_str("## Events\n");
    for kind in KINDS {
        // Writing to a string cannot fail.
        let _ = writeln!(page, "\n### {}: `{}` ({})\n\n{}", kind.number, kind.name, kind.variant, kind.says);
        if let Some(field) = kind.decision {
            let _ = writeln!(page, "\nThe columns of a decision, its field {field}.");
        }
        if !kind.own.is_empty() {
            page.push('\n');
            columns(&mut page, kind.own);
            page.pop();
        }
    }
    page
}

fn columns(page: &mut String, columns: &[Column]) {
    page.push_str("| column | field | type | what it holds |\n| --- | --- | --- | --- |\n");
    for Column { name, number, of, optional, says } in columns {
        let of = match of {
            Type::Int => "INT32",
            Type::Long => "INT64",
            Type::Float => "FLOAT",
            Type::Double => "DOUBLE",
            Type::Bool => "BOOLEAN",
            Type::Text => "STRING",
            Type::Time => "TIMESTAMP",
            Type::Date => "DATE",
            Type::Longs => "list of INT64",
            Type::Texts => "list of STRING",
        };
        let missing = if *optional { " or NULL" } else { "" };
        let _ = writeln!(page, "| `{name}` | {number} | {of}{missing} | {says} |");
    }
    page.push('\n');
}
