//! Every query of every dashboard and every alert, read by a PromQL parser and held against the list of metrics:
//! names, labels, and the values of labels that are closed lists.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use haggle::metrics::{
    Head, Kind, Metric, NoticeKind, NoticeOutcome, OrderOutcome, ProfileOutcome, RequestOutcome,
};
use haggle_domain::NoBidReason;
use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::{Expr, LabelModifier, VectorSelector, parse};
use serde_json::Value;

/// Labels that Prometheus adds to every series.
const OF_THE_SCRAPE: [&str; 2] = ["job", "instance"];

type Labels = BTreeSet<String>;

/// A label's values, where they are a closed list.
fn values(metric: Metric, label: &str) -> Option<Vec<&'static str>> {
    let all = match (metric, label) {
        (Metric::BidRequests, "outcome") => RequestOutcome::ALL.iter().map(|it| it.as_str()).collect(),
        (Metric::Notices | Metric::Settled, "outcome") => {
            NoticeOutcome::ALL.iter().map(|it| it.as_str()).collect()
        }
        (Metric::ProfileEvents, "outcome") => ProfileOutcome::ALL.iter().map(|it| it.as_str()).collect(),
        (Metric::OrdersTold, "outcome") => ProfileOutcome::ALL.iter().map(|it| it.as_str()).collect(),
        (Metric::Orders, "outcome") => OrderOutcome::ALL.iter().map(|it| it.as_str()).collect(),
        (Metric::Notices | Metric::Settled, "kind") => NoticeKind::ALL.iter().map(|it| it.as_str()).collect(),
        (Metric::NoBids, "reason") => NoBidReason::ALL.iter().map(|it| it.as_str()).collect(),
        (_, "head") => Head::ALL.iter().map(|it| it.as_str()).collect(),
        _ => return None,
    };
    Some(all)
}

fn labels(names: &[&str]) -> Labels {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Reads a query; answers the labels of its result, or everything that is wrong with it.
fn check(query: &str) -> Result<Labels, Vec<String>> {
    // Grafana fills these in; for each, something of the same kind.
    let plain = query.replace("$__rate_interval", "1m").replace("$__range", "1h").replace("$campaign", ".*");
    let expr = parse(&plain).map_err(|error| vec![format!("{query}: {error}")])?;
    let mut wrong = Vec::new();
    let labels = walk(&expr, &mut wrong);
    if wrong.is_empty() { Ok(labels) } else { Err(wrong) }
}

fn selector(selector: &VectorSelector, wrong: &mut Vec<String>) -> Labels {
    let name = selector.name.clone().unwrap_or_default();
    let Some(metric) = Metric::named(&name) else {
        wrong.push(format!("there is no metric {name:?}"));
        return Labels::new();
    };
    let mut known = labels(metric.labels());
    known.extend(labels(&OF_THE_SCRAPE));
    if metric.kind() == Kind::Histogram && name.ends_with("_bucket") {
        known.insert("le".to_owned());
    }
    for Matcher { op, name: label, value } in &selector.matchers.matchers {
        if !known.contains(label) {
            wrong.push(format!("{name} has no label {label:?}"));
        }
        let exact = matches!(op, MatchOp::Equal | MatchOp::NotEqual);
        if exact && values(metric, label).is_some_and(|values| !values.contains(&value.as_str())) {
            wrong.push(format!("{name} never has {label}={value:?}"));
        }
    }
    known
}

/// The labels that remain, of which each named one must be there.
fn modified(modifier: &LabelModifier, inner: &Labels, wrong: &mut Vec<String>) -> Labels {
    let named: Labels = modifier.labels().labels.iter().cloned().collect();
    for label in named.difference(inner) {
        wrong.push(format!("the series here have no label {label:?}"));
    }
    if modifier.is_include() { named } else { inner.difference(&named).cloned().collect() }
}

fn walk(expr: &Expr, wrong: &mut Vec<String>) -> Labels {
    match expr {
        Expr::VectorSelector(vector) => selector(vector, wrong),
        Expr::MatrixSelector(matrix) => selector(&matrix.vs, wrong),
        Expr::Paren(paren) => walk(&paren.expr, wrong),
        Expr::Unary(unary) => walk(&unary.expr, wrong),
        Expr::Subquery(subquery) => walk(&subquery.expr, wrong),
        Expr::Aggregate(aggregate) => {
            let inner = walk(&aggregate.expr, wrong);
            aggregate.modifier.as_ref().map_or_else(Labels::new, |modifier| modified(modifier, &inner, wrong))
        }
        Expr::Binary(binary) => {
            let (left, right) = (walk(&binary.lhs, wrong), walk(&binary.rhs, wrong));
            if let Some(matching) = binary.modifier.as_ref().and_then(|modifier| modifier.matching.as_ref()) {
                modified(matching, &left, wrong);
                modified(matching, &right, wrong);
            }
            // The result has the left side's labels; a scalar has none of its own.
            if left.is_empty() { right } else { left }
        }
        Expr::Call(call) => {
            let of_arguments = call.args.args.iter().map(|argument| walk(argument, wrong));
            let mut all: Labels = of_arguments.flatten().collect();
            if call.func.name == "histogram_quantile" && !all.remove("le") {
                wrong.push("histogram_quantile wants buckets, by le".to_owned());
            }
            all
        }
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => Labels::new(),
    }
}

/// What stands in `{{ … }}`.
fn placeholders(text: &str) -> Vec<&str> {
    text.split("{{").skip(1).filter_map(|rest| rest.split("}}").next()).map(str::trim).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn dashboards() -> Vec<Value> {
    let files = fs::read_dir(root().join("grafana/dashboards")).unwrap().map(|entry| entry.unwrap().path());
    files.map(|path| serde_json::from_slice(&fs::read(path).unwrap()).expect("a dashboard")).collect()
}

/// Panels, those in rows too.
fn panels(dashboard: &Value) -> Vec<&Value> {
    let of = |value: &'static str| move |it: &Value| it["type"] == value;
    let top = dashboard["panels"].as_array().unwrap();
    let inner =
        top.iter().filter(|it| of("row")(it)).flat_map(|row| row["panels"].as_array().into_iter().flatten());
    top.iter().filter(|it| !of("row")(it)).chain(inner).collect()
}

/// Alerts of a rules file: name, expression, and the lines up to the next alert.
fn alerts(text: &str) -> Vec<(String, String, String)> {
    text.split("- alert:")
        .skip(1)
        .map(|block| {
            let name = block.lines().next().unwrap().trim().to_owned();
            let mut lines = block.lines().skip_while(|line| !line.trim_start().starts_with("expr:"));
            let first = lines.next().expect("an expression");
            let indent = first.len() - first.trim_start().len();
            let start = first.trim_start().trim_start_matches("expr:").trim();
            let folded =
                lines.take_while(|line| line.len() - line.trim_start().len() > indent).map(str::trim);
            let parts: Vec<_> = if start == ">-" { folded.collect() } else { vec![start] };
            (name, parts.join(" "), block.to_owned())
        })
        .collect()
}

#[test]
fn every_panel_asks_for_what_there_is() {
    let mut queries = 0;
    for dashboard in dashboards() {
        for panel in panels(&dashboard) {
            let title = panel["title"].as_str().expect("a title");
            assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title} has no unit");
            for target in panel["targets"].as_array().expect("targets") {
                let query = target["expr"].as_str().expect("a query");
                let labels = check(query).unwrap_or_else(|wrong| panic!("{title}: {query}: {wrong:?}"));
                let legend = target["legendFormat"].as_str().expect("a legend");
                for label in placeholders(legend) {
                    assert!(
                        labels.contains(label),
                        "{title}: the legend {legend:?} of {query} has no {label}"
                    );
                }
                queries += 1;
            }
        }
    }
    assert!(queries > 20, "only {queries} queries were found");
}

#[test]
fn every_metric_is_on_a_dashboard() {
    let text: String = dashboards().iter().map(Value::to_string).collect();
    for metric in Metric::ALL {
        assert!(text.contains(metric.name()), "{} is on no dashboard", metric.name());
    }
}

#[test]
fn panels_do_not_overlap() {
    for dashboard in dashboards() {
        let mut taken = BTreeSet::new();
        for panel in dashboard["panels"].as_array().unwrap() {
            let side = |name: &str| panel["gridPos"][name].as_u64().unwrap();
            assert!(side("x") + side("w") <= 24, "{} is too wide", panel["title"]);
            for x in side("x")..side("x") + side("w") {
                for y in side("y")..side("y") + side("h") {
                    assert!(taken.insert((x, y)), "{} covers another panel", panel["title"]);
                }
            }
        }
    }
}

#[test]
fn template_variables_ask_for_what_there_is() {
    let mut found = Vec::new();
    for dashboard in dashboards() {
        for variable in dashboard["templating"]["list"].as_array().unwrap() {
            found.push(variable["name"].as_str().unwrap().to_owned());
            if variable["type"] != "query" {
                continue;
            }
            let query = variable["query"]["query"].as_str().expect("a query");
            let inner = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
            let (series, label) =
                inner.and_then(|inner| inner.rsplit_once(',')).expect("label_values(series, label)");
            let labels = check(series).unwrap_or_else(|wrong| panic!("{query}: {wrong:?}"));
            assert!(labels.contains(label.trim()), "{query}");
        }
    }
    assert!(found.iter().any(|name| name == "campaign"), "{found:?}");
}

#[test]
fn every_alert_asks_for_what_there_is() {
    let files = fs::read_dir(root().join("grafana/rules")).unwrap();
    let mut count = 0;
    for file in files {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        for (name, query, block) in alerts(&text) {
            let labels = check(&query).unwrap_or_else(|wrong| panic!("{name}: {query}: {wrong:?}"));
            for placeholder in placeholders(&block) {
                let label = placeholder.strip_prefix("$labels.").unwrap_or(placeholder);
                assert!(labels.contains(label), "{name}: there is no {placeholder} in {query}");
            }
            assert!(block.contains("severity:") && block.contains("summary:"), "{name}");
            count += 1;
        }
    }
    assert!(count > 5, "only {count} alerts were found");
}

/// Alerts name sections of the runbook as GitHub makes anchors of their headings.
#[test]
fn every_runbook_link_leads_somewhere() {
    let page = fs::read_to_string(root().join("docs/runbook.md")).unwrap();
    let headings = page.lines().filter_map(|line| line.strip_prefix("## "));
    let anchor = |heading: &str| -> String {
        let kept = heading.chars().filter(|it| it.is_alphanumeric() || matches!(it, ' ' | '-'));
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    };
    let anchors: BTreeSet<String> = headings.map(anchor).collect();
    let rules = fs::read_to_string(root().join("grafana/rules/haggle.yml")).unwrap();
    let links: Vec<&str> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("runbook_url: ")).collect();
    assert!(links.len() >= 5, "{links:?}");
    for link in links {
        let section = link.strip_prefix("docs/runbook.md#").unwrap_or_default();
        assert!(anchors.contains(section), "{link} leads nowhere: {anchors:?}");
    }
}

#[test]
fn mistakes_are_found() {
    for (query, says) in [
        ("haggle_bidz_total", "there is no metric \"haggle_bidz_total\""),
        ("sum(rate(haggle_bids[5m]))", "there is no metric \"haggle_bids\""),
        ("haggle_bid_duration_seconds", "there is no metric"),
        ("haggle_wins_total_bucket", "there is no metric"),
        ("{__name__=~\"haggle.*\"}", "there is no metric"),
        ("haggle_bids_total{creative=\"a\"}", "haggle_bids_total has no label \"creative\""),
        ("haggle_bids_total{campaign=~\"$campaign\",le=\"1\"}", "no label \"le\""),
        ("sum by (reason) (rate(haggle_bids_total[5m]))", "the series here have no label \"reason\""),
        ("haggle_notices_total{outcome=\"fake\"}", "haggle_notices_total never has outcome=\"fake\""),
        ("histogram_quantile(0.9, sum(rate(haggle_bid_duration_seconds_bucket[5m])))", "wants buckets"),
        ("haggle_imps_total and on (campaign) haggle_ready", "the series here have no label \"campaign\""),
        ("rate(haggle_imps_total[5m]", "rate(haggle_imps_total[5m]"),
    ] {
        let wrong = check(query).expect_err(query);
        assert!(wrong.iter().any(|wrong| wrong.contains(says)), "{query}: {wrong:?}");
    }
    assert_eq!(
        check("sum by (campaign) (rate(haggle_bids_total[$__rate_interval])) / 2"),
        Ok(labels(&["campaign"]))
    );
    assert_eq!(placeholders("{{a}} b {{ $labels.c }}"), ["a", "$labels.c"]);
    let rules = "- alert: A\n  expr: >-\n    a\n    b\n  for: 1m\n- alert: B\n  expr: c\n";
    let read: Vec<_> = alerts(rules).into_iter().map(|(name, query, _)| (name, query)).collect();
    assert_eq!(read, [("A".to_owned(), "a b".to_owned()), ("B".to_owned(), "c".to_owned())]);
}
