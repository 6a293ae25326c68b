//! Bid requests from a file of lines, as far as the supply's checks look at them.
//!
//! This is a person's tool, not the bid path: the rows are read loosely, with whatever deviations they have.

use std::path::Path;

use haggle_safety::{Chain, Facts, Node, file};
use serde_json::Value;

use crate::exit::{Exit, ExitError};

/// The largest file of requests, in bytes.
const MAX_BYTES: u64 = 1 << 30;

/// One request of the file.
pub(super) struct Row {
    /// Its line, from 1.
    pub(super) line: usize,
    request: Value,
}

/// Reads a file of requests, bare or within `{"request": …}`; empty lines are passed over.
pub(super) fn read(path: &Path) -> Result<Vec<Row>, ExitError> {
    let fail = |problem: String| ExitError::new(Exit::IoFailed, problem);
    let bytes = file::read(path, MAX_BYTES).map_err(|error| fail(error.to_string()))?;
    let mut rows = Vec::new();
    for (bytes, line) in bytes.split(|byte| *byte == b'\n').zip(1..) {
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        let mut row: Value = serde_json::from_slice(bytes)
            .map_err(|error| fail(format!("{}:{line}: is no JSON: {error}", path.display())))?;
        let request = row.get_mut("request").filter(|request| request.is_object()).map(Value::take);
        rows.push(Row { line, request: request.unwrap_or(row) });
    }
    Ok(rows)
}

impl Row {
    fn text(&self, path: &str) -> &str {
        self.request.pointer(path).and_then(Value::as_str).unwrap_or("")
    }

    /// Where the site is: its domain, or its page.
    fn site(&self) -> &str {
        let domain = self.text("/site/domain");
        if domain.is_empty() { self.text("/site/page") } else { domain }
    }

    /// The supply chain, where 2.6 has it or where 2.5 had it.
    fn chain(&self) -> Option<&Value> {
        let found =
            self.request.pointer("/source/schain").or_else(|| self.request.pointer("/source/ext/schain"));
        found.filter(|chain| chain.is_object())
    }

    /// The chain's nodes.
    pub(super) fn nodes(&self) -> Vec<Node<'_>> {
        let nodes = self.chain().and_then(|chain| chain.get("nodes")).and_then(Value::as_array);
        nodes.into_iter().flatten().map(node).collect()
    }

    /// What the checks look at.
    pub(super) fn facts<'a>(&'a self, exchange_domain: &'a str, nodes: &'a [Node<'a>]) -> Facts<'a> {
        let site_publisher = self.text("/site/publisher/id");
        Facts {
            site: self.site(),
            bundle: self.text("/app/bundle"),
            app_domain: self.text("/app/domain"),
            publisher: if site_publisher.is_empty() {
                self.text("/app/publisher/id")
            } else {
                site_publisher
            },
            exchange_domain,
            chain: self.chain().map(|chain| Chain {
                complete: chain.get("complete").and_then(Value::as_i64) == Some(1),
                version: chain.get("ver").and_then(Value::as_str).unwrap_or(""),
                nodes,
            }),
            ..Facts::default()
        }
    }
}

fn node(value: &Value) -> Node<'_> {
    let text = |key| value.get(key).and_then(Value::as_str).unwrap_or("");
    Node { system: text("asi"), seller: text("sid"), domain: text("domain") }
}
