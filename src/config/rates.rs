//! The file that `rates_file` names: what one unit of other currencies is worth in the account's.

use std::path::Path;

use haggle_domain::{Rate, Rates};
use toml::de::DeValue;

use super::document::{Document, Node, Table, kind};
use super::error::ConfigError;
use super::files;
use super::settings::currency_code;

/// The file's content.
pub(super) struct Read {
    pub(super) rates: Rates,
    /// The day that the rates are of, where the file says so.
    pub(super) as_of: Option<String>,
}

impl Read {
    /// Of an account that deals in its own currency alone.
    pub(super) fn without_file(account: &str) -> Self {
        Self { rates: Rates { account: account.to_owned(), pairs: Vec::new() }, as_of: None }
    }
}

/// Reads the file at `path`; what is wrong with it is added to `problems`.
pub(super) fn read(path: &Path, account: &str, problems: &mut Vec<ConfigError>) -> Read {
    let name = path.display().to_string();
    let text = match files::text(path) {
        Ok(text) => text,
        Err(errors) => {
            problems.extend(errors.0);
            return Read::without_file(account);
        }
    };
    let entries = match super::document::parse(&name, &text) {
        Ok(entries) => entries,
        Err(errors) => {
            problems.extend(errors);
            return Read::without_file(account);
        }
    };
    let document = Document::new(&name, &text);
    let mut root = document.root(&entries);
    let pairs = root
        .need("rates", "{ EUR = \"1.0832\" }")
        .and_then(|node| node.table())
        .map_or_else(Vec::new, |table| pairs(&table, account));
    let as_of = root.get("as_of").and_then(|node| day(&node));
    root.finish();
    problems.extend(document.into_problems());
    Read { rates: Rates { account: account.to_owned(), pairs }, as_of }
}

fn pairs(table: &Table<'_>, account: &str) -> Vec<(String, Rate)> {
    let mut pairs = Vec::new();
    for (code, node) in table.entries() {
        if let Err(problem) = currency_code(code) {
            node.fail(problem);
        } else if code == account {
            node.fail("is the account's own currency, whose rate is 1; remove it");
        } else if let Some(rate) = rate(&node) {
            pairs.push((code.to_owned(), rate));
        }
    }
    pairs
}

fn rate(node: &Node<'_>) -> Option<Rate> {
    let unquoted = match node.value() {
        DeValue::Float(number) => number.as_str(),
        DeValue::Integer(number) => number.as_str(),
        _ => return node.read(|text| text.parse::<Rate>().map_err(|error| error.to_string())),
    };
    node.fail(format!(
        "rates are written as text, so that no rounding touches them; quote it: \"{unquoted}\""
    ));
    None
}

fn day(node: &Node<'_>) -> Option<String> {
    match node.value() {
        DeValue::Datetime(datetime) if datetime.date.is_some() => Some(datetime.to_string()),
        other => {
            node.fail(format!("is {}, must be a date without quotes, like 2026-11-20", kind(other)));
            None
        }
    }
}
