//! `haggle supply check`: what a store says of requests' sellers and supply chains.

use std::fmt::Write;

use haggle_safety::host::host;
use haggle_safety::{SafetyReason, Store};
use serde_json::json;

use super::CheckArgs;
use super::rows;
use crate::cli::print;
use crate::exit::{Exit, ExitError};

/// What the store says of one request.
struct Finding {
    line: usize,
    inventory: String,
    seller: String,
    reasons: Vec<SafetyReason>,
}

/// Runs the command: exit code 1 where a request breaks a rule. That a file is not held breaks none.
pub(super) fn run(args: &CheckArgs) -> Result<(), ExitError> {
    let (store, loaded) =
        Store::load(&args.store).map_err(|error| ExitError::new(Exit::Configuration, error))?;
    let exchange = args.exchange.trim();
    if !exchange.is_empty() && host(exchange) != exchange {
        let problem = format!("--exchange: {exchange:?} is no domain; write it like exchange.example");
        return Err(ExitError::new(Exit::Usage, problem));
    }
    let mut findings = Vec::new();
    for row in rows::read(&args.requests)? {
        let nodes = row.nodes();
        let facts = row.facts(exchange, &nodes);
        let first = match (nodes.first(), &facts.chain) {
            (Some(node), _) => format!("{}/{}", host(node.system), node.seller),
            (None, Some(_)) => "an empty chain".to_owned(),
            (None, None) if exchange.is_empty() || facts.publisher.is_empty() => String::new(),
            (None, None) => format!("{exchange}/{}", facts.publisher),
        };
        let inventory = if facts.site.is_empty() { facts.app_domain } else { facts.site };
        findings.push(Finding {
            line: row.line,
            inventory: host(inventory).to_owned(),
            seller: first,
            reasons: store.check(&facts).iter().collect(),
        });
    }
    let broken =
        |finding: &&Finding| finding.reasons.iter().any(|reason| *reason != SafetyReason::AdsTxtUnavailable);
    let bad = findings.iter().filter(broken).count();
    if args.json {
        let rows: Vec<_> = findings
            .iter()
            .map(|finding| {
                let reasons: Vec<_> = finding
                    .reasons
                    .iter()
                    .map(|reason| json!({ "reason": reason.as_str(), "nbr": reason.no_bid_code() }))
                    .collect();
                json!({
                    "line": finding.line,
                    "inventory": finding.inventory,
                    "seller": finding.seller,
                    "reasons": reasons,
                })
            })
            .collect();
        let [ads, app_ads, sellers] = loaded.files;
        let held = json!({ "ads.txt": ads, "app-ads.txt": app_ads, "sellers.json": sellers });
        print(json!({ "store": held, "requests": rows.len(), "broken": bad, "rows": rows }).to_string())?;
    } else {
        print(table(&findings, bad))?;
    }
    if bad > 0 {
        return Err(ExitError::new(Exit::CheckFailed, format!("{bad} requests break a rule")));
    }
    Ok(())
}

fn table(findings: &[Finding], bad: usize) -> String {
    let widest = |text: fn(&Finding) -> &str, least: usize| {
        findings.iter().map(|finding| text(finding).chars().count()).max().unwrap_or(0).max(least)
    };
    let (inventory, seller) = (widest(|it| &it.inventory, 9), widest(|it| &it.seller, 6));
    let mut out = format!("{:>6}  {:<inventory$}  {:<seller$}  found\n", "line", "inventory", "seller");
    for finding in findings {
        let reasons: Vec<_> = finding.reasons.iter().map(|reason| reason.as_str()).collect();
        let reasons = if reasons.is_empty() { "ok".to_owned() } else { reasons.join(", ") };
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "{:>6}  {:<inventory$}  {:<seller$}  {reasons}",
            finding.line, finding.inventory, finding.seller
        );
    }
    let _ = writeln!(out, "{} requests, {bad} break a rule", findings.len());
    out
}
