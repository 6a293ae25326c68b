//! The program as a person and a service manager meet it: what it prints, where, and the code it ends with.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "helpers of tests")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

use haggle::exit::Exit;
use tempfile::TempDir;

const SETTINGS: &str = "[[exchange]]\nname = \"demo\"\nbill_on = \"burl\"\n";

const CAMPAIGN: &str = r#"
id = "eager"
name = "Eager"
advertiser_domain = "shop.example"
categories = ["IAB18"]
pacing = "asap"
max_bid_cpm = "5.00"
goal = { cpm = { price = "4.00" } }
budget = { daily = "2.00" }
[[creatives]]
id = "one"
width = 300
height = 250
image = "https://cdn.shop.example/one.jpg"
landing = "https://shop.example/landing"
title = "One"
"#;

const BID_REQUEST: &str = r#"{"id":"1","at":2,"cur":["USD"],"imp":[{"id":"1","banner":{"w":300,"h":250}}],
"site":{"domain":"news.example"},"device":{"ua":"Mozilla/5.0","devicetype":2},"user":{"buyeruid":"user-1"}}"#;

/// The program in `folder`, with nothing of the caller's environment that it would take for a setting.
fn haggle(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_haggle"));
    command.current_dir(folder).args(arguments).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("HAGGLE_") {
            command.env_remove(name);
        }
    }
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    haggle(folder, arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Runs what must fail: with this code, nothing on standard output, and one message that says all of `said`.
fn refused(folder: &Path, arguments: &[&str], exit: Exit, said: &[&str]) -> String {
    let output = run(folder, arguments);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(i32::from(exit.code())), "{arguments:?}: {message}");
    assert_eq!(text(&output.stdout), "", "{arguments:?}");
    for word in said {
        assert!(message.contains(word), "{arguments:?} does not say {word:?}: {message}");
    }
    assert!(!message.contains("panicked"), "{message}");
    let own = message.lines().filter(|line| line.starts_with("haggle: ") || line.starts_with("error: "));
    assert_eq!(own.count(), 1, "{arguments:?}: {message}");
    message
}

/// A folder with a configuration of one campaign.
fn configured() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("campaigns")).unwrap();
    fs::write(folder.path().join("haggle.toml"), SETTINGS).unwrap();
    fs::write(folder.path().join("campaigns/eager.toml"), CAMPAIGN).unwrap();
    folder
}

const FREE_PORTS: [&str; 4] = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];

fn serve_arguments<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["serve"], &FREE_PORTS[..], more].concat()
}

/// `haggle serve`, running.
struct Serving {
    child: Child,
    log: BufReader<std::process::ChildStderr>,
    address: String,
    admin: String,
}

impl Serving {
    /// Starts on free ports and waits until it says where it serves.
    fn start(folder: &Path, more: &[&str]) -> Self {
        let mut command = haggle(folder, &serve_arguments(more));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        // Held from here on, so that it ends with the test, however that ends.
        let mut serving = Self { child, log, address: String::new(), admin: String::new() };
        let mut seen = String::new();
        loop {
            let mut line = String::new();
            let read = serving.log.read_line(&mut line).unwrap();
            assert!(read > 0, "it ended before it served: {seen}");
            if line.contains(" serving ") {
                let field = |name: &str| {
                    let value = line.split_whitespace().find_map(|word| word.strip_prefix(name));
                    value.unwrap_or_else(|| panic!("{line}")).to_owned()
                };
                (serving.address, serving.admin) = (field("address="), field("admin="));
                return serving;
            }
            seen.push_str(&line);
        }
    }

    fn get(&self, path: &str) -> String {
        exchange(&self.admin, &format!("GET {path} HTTP/1.1\r\nhost: haggle\r\nconnection: close\r\n\r\n"))
    }

    /// Sends SIGTERM and waits for the end; gives the code and what was still logged.
    fn terminate(mut self) -> (Option<i32>, String) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let mut rest = String::new();
        self.log.read_to_string(&mut rest).unwrap();
        let status = self.child.wait().unwrap();
        let mut printed = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
        assert_eq!(printed, "", "logs belong on standard error");
        (status.code(), rest)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Where a test failed; otherwise it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One HTTP exchange over a socket of its own.
fn exchange(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn bid(address: &str) -> String {
    let request = format!(
        "POST /openrtb2/bid/demo HTTP/1.1\r\nhost: haggle\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{BID_REQUEST}",
        BID_REQUEST.len()
    );
    exchange(address, &request)
}

/// Every file below a folder with its content.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            found.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    for (path, bytes) in contents(from) {
        let target = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::write(target, bytes).unwrap();
    }
}

#[test]
fn a_wrong_configuration_is_refused_with_file_line_and_what_to_do() {
    let campaign = |from: &str, to: &str| {
        assert!(CAMPAIGN.contains(from));
        ("campaigns/eager.toml", CAMPAIGN.replace(from, to))
    };
    let early =
        "flight = { start = \"2026-05-01T00:00:00Z\", end = \"2026-04-01T00:00:00Z\" }\n[[creatives]]";
    for ((file, content), said) in [
        (
            ("haggle.toml", format!("lisen = \"127.0.0.1:1\"\n{SETTINGS}")),
            &["haggle.toml:1: lisen: unknown key", "did you mean listen?"][..],
        ),
        (campaign("pacing =", "pasing ="), &["eager.toml:6: pasing: unknown key", "did you mean pacing?"]),
        (campaign("\"2.00\"", "\"-2.00\""), &["eager.toml:9: budget.daily: ", "-2.00"]),
        (campaign("\"2.00\"", "2.5"), &["eager.toml:9: budget.daily: ", "quote it: \"2.5\""]),
        (
            campaign("[[creatives]]", early),
            &["eager.toml:10: flight.end: ", "ends", "before it begins", "swap"],
        ),
        (
            ("campaigns/twin.toml", CAMPAIGN.to_owned()),
            &["twin.toml:2: id: \"eager\"", "eager.toml too", "choose another"],
        ),
        (("campaigns/half.toml", "id = \"half".to_owned()), &["half.toml:1: not valid TOML"]),
    ] {
        let folder = configured();
        fs::write(folder.path().join(file), content).unwrap();
        let before = contents(folder.path());
        for arguments in [
            &["config", "validate", "--config", "haggle.toml"][..],
            &["config", "explain", "--config", "haggle.toml"],
            &serve_arguments(&["--config", "haggle.toml"]),
        ] {
            refused(folder.path(), arguments, Exit::Configuration, said);
        }
        assert_eq!(contents(folder.path()), before, "something was made all the same");
    }
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let folder = configured();
    fs::write(folder.path().join("haggle.toml"), format!("lisen = \"x\"\ntick = \"soon\"\n{SETTINGS}"))
        .unwrap();
    let campaign = CAMPAIGN.replace("\"2.00\"", "\"-2.00\"");
    fs::write(folder.path().join("campaigns/eager.toml"), campaign).unwrap();
    let arguments = ["config", "validate", "--config", "haggle.toml"];
    refused(folder.path(), &arguments, Exit::Configuration, &["lisen", "tick", "budget.daily"]);
}

#[test]
fn flags_and_variables_that_are_wrong_are_named() {
    let folder = configured();
    let missing = serve_arguments(&["--config", "other.toml"]);
    refused(
        folder.path(),
        &missing,
        Exit::Configuration,
        &["other.toml", "cannot be read", "check the path"],
    );
    let remote = ["serve", "--listen", "127.0.0.1:0", "--admin-listen", "0.0.0.0:0"];
    let said = ["--admin-listen", "0.0.0.0:0", "loopback", "admin_allow_remote = true"];
    refused(folder.path(), &remote, Exit::Configuration, &said);
    let output = haggle(folder.path(), &["config", "validate"]).env("HAGGLE_TICK", "never").output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    assert!(text(&output.stderr).contains("HAGGLE_TICK: tick: \"never\""), "{}", text(&output.stderr));
    for arguments in [&["serve", "--lisen", "x"][..], &["sevre"], &[], &["ledger", "verify"]] {
        let output = run(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(text(&output.stdout), "");
        assert!(text(&output.stderr).contains("Usage") || text(&output.stderr).contains("--help"));
    }
    assert!(!folder.path().join("data").exists());
}

#[test]
fn the_demo_names_its_wrong_flags() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, said) in [
        (&["demo", "--fault", "nonsense"][..], &["--fault", "panic:trail-boots@5"][..]),
        (&["demo", "--fault", "panic:nobody@1", "--data", "d"], &["nobody", "trail-boots"]),
        (&["demo", "--seconds", "0"], &["--seconds", "1..=86400"]),
        (&["demo", "--qps", "0"], &["--qps"]),
    ] {
        refused(folder.path(), arguments, Exit::Usage, said);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn help_and_version_are_no_errors() {
    let folder = tempfile::tempdir().unwrap();
    let help = run(folder.path(), &["--help"]);
    assert_eq!((help.status.code(), text(&help.stderr).as_str()), (Some(0), ""));
    for command in ["demo", "serve", "config", "ledger"] {
        assert!(text(&help.stdout).contains(command), "{command}");
        assert_eq!(run(folder.path(), &[command, "--help"]).status.code(), Some(0));
    }
    let version = run(folder.path(), &["--version"]);
    assert_eq!(version.status.code(), Some(0));
    assert_eq!(text(&version.stdout).trim(), concat!("haggle ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_configuration_is_validated_and_explained() {
    let folder = configured();
    let output = run(folder.path(), &["config", "validate", "--config", "haggle.toml"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stdout), "ok: 1 exchanges, 1 campaigns\n");
    let output = haggle(folder.path(), &["config", "explain", "--config", "haggle.toml", "--tick", "200ms"])
        .env("HAGGLE_SEAT", "the-shop")
        .env("HAGGLE_TICK", "300ms")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    let explained = text(&output.stdout);
    let row = |key: &str| -> Vec<&str> {
        let line = explained.lines().find(|line| line.split_whitespace().next() == Some(key));
        line.unwrap_or_else(|| panic!("{explained}")).split_whitespace().skip(1).take(2).collect()
    };
    assert_eq!(row("tick"), ["200ms", "--tick"], "a flag wins over a variable");
    assert_eq!(row("seat"), ["the-shop", "HAGGLE_SEAT"]);
    assert_eq!(row("currency"), ["USD", "default"]);
    assert!(!folder.path().join("data").exists());
}

#[test]
fn an_address_in_use_is_refused_before_anything_is_made() {
    let folder = configured();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let common = ["serve", "--config", "haggle.toml"];
    for (flag, other) in [("--listen", "--admin-listen"), ("--admin-listen", "--listen")] {
        let arguments = [&common[..], &[flag, &address, other, "127.0.0.1:0"]].concat();
        refused(
            folder.path(),
            &arguments,
            Exit::AddressUnavailable,
            &[&address, "cannot listen", "choose another", flag],
        );
        assert!(!folder.path().join("data").exists());
    }
}

#[test]
fn a_data_folder_that_cannot_be_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "something else").unwrap();
    let said = ["cannot make the data folder file", "choose another with --data"];
    refused(folder.path(), &serve_arguments(&["--data", "file"]), Exit::CannotCreate, &said);
    refused(folder.path(), &["demo", "--data", "file"], Exit::CannotCreate, &said);
    assert_eq!(fs::read(folder.path().join("file")).unwrap(), b"something else");
}

#[test]
fn a_ledger_that_is_not_there_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("empty")).unwrap();
    for data in ["empty", "missing"] {
        let arguments = ["ledger", "verify", "--data", data];
        refused(folder.path(), &arguments, Exit::IoFailed, &[data, "holds no journal", "--data"]);
    }
    assert_eq!(contents(folder.path()), []);
    assert!(!folder.path().join("missing").exists());
}

#[test]
fn a_data_folder_belongs_to_one_process() {
    let folder = configured();
    let arguments = ["--config", "haggle.toml", "--data", "data"];
    let first = Serving::start(folder.path(), &arguments);
    let said = ["data/journal", "in use by another process", "choose another folder"];
    refused(folder.path(), &serve_arguments(&arguments), Exit::DataLocked, &said);
    refused(folder.path(), &["ledger", "verify", "--data", "data"], Exit::DataLocked, &said);
    refused(folder.path(), &["demo", "--seconds", "1", "--data", "data"], Exit::DataLocked, &said);
    assert!(first.get("/readyz").starts_with("HTTP/1.1 200"), "the first is not disturbed");
    assert_eq!(first.terminate().0, Some(0));
    assert_eq!(run(folder.path(), &["ledger", "verify", "--data", "data"]).status.code(), Some(0));
}

#[test]
fn serve_bids_until_it_is_asked_to_stop_and_then_ends_well() {
    let folder = configured();
    let serving =
        Serving::start(folder.path(), &["--config", "haggle.toml", "--data", "data", "--drain", "300ms"]);
    assert!(serving.get("/readyz").starts_with("HTTP/1.1 200"));
    let mut answer = String::new();
    for _ in 0..100 {
        answer = bid(&serving.address);
        if answer.starts_with("HTTP/1.1 200") {
            break;
        }
        sleep(Duration::from_millis(50));
    }
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"burl\""), "{answer}");
    let (code, log) = serving.terminate();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("stopping") && log.contains("stopped"), "{log}");
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
    let verified = run(folder.path(), &["ledger", "verify", "--data", "data"]);
    assert_eq!(verified.status.code(), Some(0), "{}", text(&verified.stderr));
    assert!(text(&verified.stdout).contains("eager"));
}

#[test]
fn serve_needs_no_file_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let serving = Serving::start(folder.path(), &["--drain", "0s"]);
    assert!(serving.get("/readyz").starts_with("HTTP/1.1 200"));
    let answer = bid(&serving.address);
    assert!(answer.starts_with("HTTP/1.1 20"), "the built-in exchange `demo` may ask: {answer}");
    assert_eq!(serving.terminate().0, Some(0));
    assert!(folder.path().join("data/journal").is_dir());
}

#[test]
fn damage_to_acknowledged_records_is_told_and_never_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    let made = run(folder.path(), &["demo", "--seconds", "3", "--data", "whole"]);
    assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
    let is_log = |path: &Path| path.extension().is_some_and(|extension| extension == "jnl");
    let largest =
        contents(&whole).into_iter().filter(|(path, _)| is_log(path)).max_by_key(|(_, bytes)| bytes.len());
    let (log, bytes) = largest.unwrap();
    let log = log.strip_prefix(&whole).unwrap();
    let half = bytes.len() / 2;

    let cut = folder.path().join("cut");
    copy(&whole, &cut);
    fs::write(cut.join(log), &bytes[..half]).unwrap();
    let said =
        ["cut/journal", "records are missing", "restore the folder from a backup", "delete cut/journal/mark"];
    let serve = serve_arguments(&["--data", "cut"]);
    let ways =
        [&["ledger", "verify", "--data", "cut"][..], &serve, &["demo", "--seconds", "1", "--data", "cut"]];
    for arguments in ways.into_iter().chain(ways) {
        let message = refused(folder.path(), arguments, Exit::JournalDamaged, &said);
        let (before, _) = message.split_once(" records are missing").unwrap();
        let lost: u64 = before.rsplit(' ').next().unwrap().parse().unwrap();
        assert!(lost > 0, "{message}");
    }
    // What the message offers works: the rest is whole.
    fs::remove_file(cut.join("journal/mark")).unwrap();
    let accepted = run(folder.path(), &["ledger", "verify", "--data", "cut"]);
    assert_eq!(accepted.status.code(), Some(0), "{}", text(&accepted.stderr));

    let flipped = folder.path().join("flipped");
    copy(&whole, &flipped);
    let mut garbled = bytes.clone();
    garbled[half..half + 64].iter_mut().for_each(|byte| *byte ^= 0xff);
    fs::write(flipped.join(log), &garbled).unwrap();
    let arguments = ["ledger", "verify", "--data", "flipped"];
    for _ in 0..2 {
        refused(
            folder.path(),
            &arguments,
            Exit::JournalDamaged,
            &["flipped/journal", "restore the folder from a backup"],
        );
    }
}

/// A small filesystem of its own; gone with the value.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(folder: &Path, options: &str) -> Option<Self> {
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(folder).output();
        done.is_ok_and(|output| output.status.success()).then(|| Self(folder.to_owned()))
    }

    fn resize(&self, options: &str) {
        let done = Command::new("mount").args(["-o", options]).arg(&self.0).status().unwrap();
        assert!(done.success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A test that fails leaves at most an empty mount.
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_stops_the_program_and_costs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let Some(small) = SmallDisk::mount(&disk, "size=2m") else {
        eprintln!("skipped: this user may not mount a small filesystem to fill");
        return;
    };
    let said = ["the disk that holds the journal", "is full", "make room and start again"];
    let message =
        refused(folder.path(), &["demo", "--seconds", "60", "--data", "disk/data"], Exit::IoFailed, &said);
    assert!(!message.contains("did not confirm"), "it waits for nobody that cannot answer: {message}");
    small.resize("remount,size=64m");
    let verified = run(folder.path(), &["ledger", "verify", "--data", "disk/data"]);
    assert_eq!(verified.status.code(), Some(0), "{}", text(&verified.stderr));
    let resumed = run(folder.path(), &["demo", "--seconds", "2", "--qps", "200", "--data", "disk/data"]);
    assert_eq!(resumed.status.code(), Some(0), "{}", text(&resumed.stderr));
    let verified = run(folder.path(), &["ledger", "verify", "--data", "disk/data"]);
    assert_eq!(verified.status.code(), Some(0), "{}", text(&verified.stderr));
}
