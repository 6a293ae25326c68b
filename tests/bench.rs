//! `haggle bench serve` in short: the shape of what it prints, and that it leaves nothing behind. Its speed is no matter
//! here.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use haggle::exit::Exit;
use serde_json::Value;

/// The command with temporary folders in `folder`.
fn bench(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_haggle"));
    command.env("TMPDIR", folder).args(["bench", "serve"]).args(arguments).stdin(Stdio::null());
    command
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

#[test]
fn a_short_run_has_its_shape_and_is_plausible() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--campaigns", "50", "--seconds", "5", "--connections", "8", "--users", "200", "--json"];
    let output = bench(folder.path(), &arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let number =
        |path: &str| found.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("{path}: {found}"));
    for name in ["rps", "p50_ms", "p99_ms", "p999_ms"] {
        assert!(number(&format!("/empty/{name}")) > 0.0);
        assert!(number(&format!("/haggle/0/{name}")) > 0.0);
    }
    assert_eq!(found.pointer("/haggle/0/campaigns").unwrap(), 50);
    let ratio = number("/haggle/0/rps") / number("/haggle/0/empty/rps");
    assert!((number("/haggle/0/ratio") - ratio).abs() < 1e-6);
    let p99_ratio = number("/haggle/0/p99_ms") / number("/haggle/0/empty/p99_ms");
    assert!((number("/haggle/0/p99_ratio") - p99_ratio).abs() < 1e-6);
    assert!((number("/haggle/0/rate") - 0.7 * number("/haggle/0/rps")).abs() < 1e-6);
    assert!((0.02..=0.8).contains(&number("/haggle/0/bid_rate")));
    // What a busy machine left unanswered when each of the ten turns ended.
    assert!(number("/haggle/0/failed") <= 80.0, "{found}");
    for name in ["allocations_per_request", "bytes_per_campaign", "bytes_per_user"] {
        let value = found.pointer(&format!("/haggle/0/{name}")).unwrap();
        // With so few of them, memory may as well shrink.
        assert!(value.is_null() || value.is_number(), "{name}: {value}");
    }
    assert!(is_empty(folder.path()), "the folders are gone");
}

/// Ends with the test, however that ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn signal(name: &str, process: u32) -> bool {
    let mut kill = Command::new("kill");
    kill.args([name, &process.to_string()]).stderr(Stdio::null()).status().unwrap().success()
}

/// The children of a process, by Linux's account.
fn children(process: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let read =
        |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
    let lists: Vec<String> = tasks.map(|task| read(task.unwrap())).collect();
    lists.iter().flat_map(|list| list.split_whitespace()).map(|id| id.parse().unwrap()).collect()
}

#[test]
fn an_interrupted_run_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--campaigns", "50", "--seconds", "60", "--users", "200"];
    let child =
        bench(folder.path(), &arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut running = Running(child);
    let id = running.0.id();
    let servers = loop {
        let found = children(id);
        if found.len() == 2 && !is_empty(folder.path()) {
            break found;
        }
        assert!(running.0.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(signal("-INT", id));
    let code = running.0.wait().unwrap().code();
    assert_eq!(code, Some(i32::from(Exit::CheckFailed.code())));
    let said: Vec<_> = BufReader::new(running.0.stderr.take().unwrap()).lines().map(Result::unwrap).collect();
    assert!(said.iter().any(|line| line.contains("interrupted")), "{said:?}");
    assert!(servers.iter().all(|server| !signal("-0", *server)), "its servers are gone");
    assert!(is_empty(folder.path()), "the folders are gone");
}
