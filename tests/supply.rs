//! `haggle supply` as a person meets it: against a web server on this machine that behaves well, badly and worse.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "helpers of tests")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use haggle_domain::Clock;
use haggle_safety::supply::{FileKind, Index};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A web server that notes what it is asked for, as `host/path`, and answers by that.
struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(answer: fn(&str, &mut TcpStream) -> std::io::Result<()>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let notes = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let notes = Arc::clone(&notes);
                std::thread::spawn(move || serve(stream, &notes, answer));
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> Vec<String> {
        let mut asked = self.asked.lock().unwrap().clone();
        asked.sort();
        asked
    }
}

fn serve(
    mut stream: TcpStream,
    asked: &Mutex<Vec<String>>,
    answer: fn(&str, &mut TcpStream) -> std::io::Result<()>,
) -> Option<()> {
    // A TLS greeting begins with this; a server without TLS closes the connection.
    let mut first = [0];
    if stream.peek(&mut first).ok()? == 0 || first == [0x16] {
        return None;
    }
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    let path = lines.next()?.ok()?.split(' ').nth(1)?.to_owned();
    let mut host = String::new();
    for line in lines {
        let line = line.ok()?.to_ascii_lowercase();
        assert!(!line.starts_with("cookie:") && !line.starts_with("authorization:"), "{line}");
        match line.strip_prefix("host: ") {
            Some(name) => name.clone_into(&mut host),
            None if line.is_empty() => break,
            None => {}
        }
    }
    let wanted = format!("{host}{path}");
    asked.lock().ok()?.push(wanted.clone());
    answer(&wanted, &mut stream).ok()
}

fn reply(stream: &mut TcpStream, status: &str, headers: &str, body: &str) -> std::io::Result<()> {
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

fn text(stream: &mut TcpStream, body: &str) -> std::io::Result<()> {
    reply(stream, "200 OK", "content-type: text/plain\r\n", body)
}

/// Begins an answer whose length is not said.
fn chunked(stream: &mut TcpStream) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n")
}

fn chunk(stream: &mut TcpStream, part: &str) -> std::io::Result<()> {
    write!(stream, "{:x}\r\n{part}\r\n", part.len())
}

fn redirect(stream: &mut TcpStream, to: &str) -> std::io::Result<()> {
    reply(stream, "302 Found", &format!("location: {to}\r\n"), "")
}

/// `haggle supply refresh` for the domains, for each of which, and a few more, the server stands in.
fn refreshing(store: &Path, server: &Server, domains: &[&str], more: &[&str]) -> Command {
    let list = store.with_extension("domains");
    fs::write(&list, domains.join("\n")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_haggle"));
    command.args(["supply", "refresh", "--store"]).arg(store).arg("--domains").arg(&list);
    let others = ["www.moved.example", "other.example", "third.example", "sub.root.example"];
    for domain in domains.iter().chain(&others) {
        command.arg("--stand-in").arg(format!("{domain}={}", server.address));
    }
    // A proxy of the environment would see what is fetched, and could answer.
    command.env("http_proxy", "http://127.0.0.1:1").env("HTTPS_PROXY", "http://127.0.0.1:1");
    command.args(more).stdin(Stdio::null());
    command
}

fn refresh(store: &Path, server: &Server, domains: &[&str], more: &[&str]) -> Output {
    refreshing(store, server, domains, &["--patience", "2"]).args(more).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn held(store: &Path, kind: FileKind, domain: &str) -> Option<String> {
    fs::read_to_string(kind.path(store, domain)).ok()
}

fn place() -> (TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    (folder, store)
}

#[test]
fn files_are_fetched_into_the_store_with_when_and_where() {
    let server = Server::start(|wanted, stream| match wanted {
        "news.example/ads.txt" => text(stream, "ssp.example, 1, DIRECT\r\nwhat is this\r\n"),
        "games.example/app-ads.txt" => text(stream, "ssp.example, 2, RESELLER\n"),
        "ssp.example/sellers.json" => reply(
            stream,
            "200 OK",
            "content-type: application/json\r\n",
            r#"{"version":"1.0","sellers":[{"seller_id":"1","seller_type":"PUBLISHER","domain":"news.example"}]}"#,
        ),
        _ => reply(stream, "404 Not Found", "", ""),
    });
    let (_folder, store) = place();
    let output = refresh(&store, &server, &["news.example"], &[]);
    assert!(output.status.success(), "{output:?}");
    let output = refresh(&store, &server, &["news.example", "games.example", "ssp.example"], &[]);
    assert!(said(&output).contains("news.example/ads.txt: 1 records, 1 bad lines"), "{output:?}");
    assert!(said(&output).contains("3 fetched, 6 have none, 0 failed"), "{output:?}");
    assert_eq!(
        held(&store, FileKind::AdsTxt, "news.example").unwrap(),
        "ssp.example, 1, DIRECT\r\nwhat is this\r\n"
    );
    assert!(held(&store, FileKind::AppAdsTxt, "games.example").is_some());
    assert!(held(&store, FileKind::SellersJson, "ssp.example").is_some());
    let index = Index::load(&store);
    let entry = index.get(FileKind::AdsTxt, "news.example").unwrap();
    assert_eq!(entry.from, "http://news.example/ads.txt");
    let age = haggle::clock::WallClock::new().now().since(entry.fetched_at().unwrap());
    assert!(age.as_secs() < 600, "{age:?}");
    let (_, loaded) = haggle_safety::Store::load(&store).unwrap();
    assert_eq!((loaded.files, loaded.records, loaded.sellers, loaded.bad), ([1, 1, 1], 2, 1, 1));
}

#[test]
fn redirects_are_followed_by_the_rules_and_never_inwards() {
    let server = Server::start(|wanted, stream| match wanted {
        "moved.example/ads.txt" => redirect(stream, "http://www.moved.example/a/ads.txt#top"),
        "www.moved.example/a/ads.txt" => text(stream, "ssp.example, 1, DIRECT\n"),
        "delegated.example/ads.txt" => redirect(stream, "http://other.example/theirs.txt"),
        "other.example/theirs.txt" => text(stream, "ssp.example, 2, DIRECT\n"),
        "twice.example/ads.txt" => redirect(stream, "http://third.example/x"),
        "third.example/x" => redirect(stream, "http://other.example/theirs.txt"),
        "endless.example/ads.txt" => redirect(stream, "/ads.txt"),
        "metadata.example/ads.txt" => redirect(stream, "http://169.254.169.254/latest/meta-data/"),
        "inward.example/ads.txt" => redirect(stream, "http://127.0.0.1/ads.txt"),
        "named.example/ads.txt" => redirect(stream, "http://localhost/ads.txt"),
        "port.example/ads.txt" => redirect(stream, "http://other.example:8080/theirs.txt"),
        "scheme.example/ads.txt" => redirect(stream, "file:///etc/passwd"),
        "secret.example/ads.txt" => redirect(stream, "http://me:you@other.example/theirs.txt"),
        _ => reply(stream, "404 Not Found", "", ""),
    });
    let (_folder, store) = place();
    let domains = [
        "moved.example",
        "delegated.example",
        "twice.example",
        "endless.example",
        "metadata.example",
        "inward.example",
        "named.example",
        "port.example",
        "scheme.example",
        "secret.example",
    ];
    let output = refresh(&store, &server, &domains, &[]);
    let report = said(&output);
    for line in [
        "twice.example/ads.txt: refused: redirected again after it left the domain",
        "endless.example/ads.txt: refused: redirected more than 3 times",
        "metadata.example/ads.txt: refused: 169.254.169.254 is 169.254.169.254, which is no address on the internet",
        "inward.example/ads.txt: refused: 127.0.0.1 is 127.0.0.1, which is no address on the internet",
        "named.example/ads.txt: refused: localhost is ",
        "port.example/ads.txt: refused: port 8080 is not that of http",
        "scheme.example/ads.txt: refused: file is neither http nor https",
        "secret.example/ads.txt: refused: the address carries credentials",
        "2 fetched, 20 have none, 8 failed",
    ] {
        assert!(report.contains(line), "{line:?} not in {report}");
    }
    assert!(held(&store, FileKind::AdsTxt, "moved.example").is_some());
    assert!(held(&store, FileKind::AdsTxt, "delegated.example").is_some());
    let files: Vec<_> = fs::read_dir(store.join("ads.txt")).unwrap().collect();
    assert_eq!(files.len(), 2, "{files:?}");
    let endless = server.asked().iter().filter(|wanted| *wanted == "endless.example/ads.txt").count();
    assert_eq!(endless, 4);
}

#[test]
fn what_is_slow_large_or_something_else_is_refused_and_the_last_good_copy_kept() {
    let server = Server::start(|wanted, stream| match wanted {
        "slow.example/ads.txt" => {
            chunked(stream)?;
            chunk(stream, "ssp.example, 1, DIRECT\n")?;
            // Until the client gives up.
            stream.read(&mut [0]).map(|_| ())
        }
        "claims.example/ads.txt" => {
            write!(stream, "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 99999999\r\n\r\n")
        }
        "large.example/ads.txt" => {
            chunked(stream)?;
            let line = "#".repeat(65_535) + "\n";
            (0..200).try_for_each(|_| chunk(stream, &line))
        }
        "cut.example/ads.txt" => {
            chunked(stream)?;
            chunk(stream, "ssp.example, 1, DIRECT\n")
        }
        "closes.example/ads.txt" => {
            write!(stream, "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\nssp.example, 1, DIRECT\n")
        }
        "page.example/ads.txt" => reply(stream, "200 OK", "content-type: text/html\r\n", "<html></html>"),
        "empty.example/ads.txt" => text(stream, "# nothing yet\n"),
        "broken.example/ads.txt" => reply(stream, "500 Oops", "", ""),
        "json.example/sellers.json" => text(stream, "{\"sellers\":"),
        _ => reply(stream, "404 Not Found", "", ""),
    });
    let (_folder, store) = place();
    let good = "ssp.example, 9, DIRECT\n";
    for domain in ["slow.example", "large.example", "broken.example", "gone.example"] {
        let path = FileKind::AdsTxt.path(&store, domain);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, good).unwrap();
    }
    let index = json!({ "files": { "ads.txt/broken.example": { "fetched_at": "2026-01-01T00:00:00Z", "from": "x" } } });
    fs::write(store.join("index.json"), index.to_string()).unwrap();
    let domains = [
        "slow.example",
        "claims.example",
        "large.example",
        "page.example",
        "empty.example",
        "broken.example",
        "json.example",
        "gone.example",
        "cut.example",
        "closes.example",
    ];
    let output = refresh(&store, &server, &domains, &[]);
    let report = said(&output);
    for line in [
        "slow.example/ads.txt: did not come within 2 s",
        "claims.example/ads.txt: is larger than 10485760 bytes",
        "large.example/ads.txt: is larger than 10485760 bytes",
        "cut.example/ads.txt: broke off: ",
        "page.example/ads.txt: is \"text/html\", not ads.txt",
        "empty.example/ads.txt: holds no record",
        "broken.example/ads.txt: was answered 500; the copy of 2026-01-01T00:00:00",
        "json.example/sellers.json: is no sellers.json: EOF",
        "1 fetched, 21 have none, 8 failed",
    ] {
        assert!(report.contains(line), "{line:?} not in {report}");
    }
    for domain in ["slow.example", "large.example", "broken.example"] {
        assert_eq!(held(&store, FileKind::AdsTxt, domain).as_deref(), Some(good), "{domain}");
    }
    assert_eq!(
        held(&store, FileKind::AdsTxt, "gone.example"),
        None,
        "the server says that there is none any more"
    );
    assert_eq!(fs::read_dir(store.join("ads.txt")).unwrap().count(), 4, "no half is left");
}

#[test]
fn an_interrupt_ends_it_at_once_with_what_there_is() {
    let server = Server::start(|wanted, stream| match wanted {
        "news.example/ads.txt" => text(stream, "ssp.example, 1, DIRECT\n"),
        // Until the client gives up.
        _ => stream.read(&mut [0]).map(|_| ()),
    });
    let (_folder, store) = place();
    let mut command =
        refreshing(&store, &server, &["news.example"], &["--patience", "600", "--parallel", "1"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // The second file is asked for only after the first is stored.
    while server.asked().len() < 2 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(said(&output).contains("1 fetched, 0 have none, 0 failed"), "{output:?}");
    assert!(Index::load(&store).get(FileKind::AdsTxt, "news.example").is_some());
    assert_eq!(fs::read_dir(store.join("app-ads.txt")).unwrap().count(), 0, "no half is left");
}

#[test]
fn subdomains_have_files_of_their_own_where_the_root_says_so() {
    let server = Server::start(|wanted, stream| match wanted {
        "root.example/ads.txt" => {
            text(stream, "ssp.example, 1, DIRECT\nSUBDOMAIN=sub.root.example\nSUBDOMAIN=evil.example\n")
        }
        "sub.root.example/ads.txt" => text(stream, "ssp.example, 2, DIRECT\n"),
        _ => reply(stream, "404 Not Found", "", ""),
    });
    let (_folder, store) = place();
    let output = refresh(&store, &server, &["root.example"], &[]);
    assert!(output.status.success(), "{output:?}");
    assert!(held(&store, FileKind::AdsTxt, "sub.root.example").is_some());
    let limited = refresh(&store, &server, &["root.example"], &["--max", "1"]);
    assert!(said(&limited).contains("files more are named than --max allows"), "{limited:?}");
}

#[test]
fn what_cannot_be_asked_for_is_said_at_once() {
    let server = Server::start(|_, stream| text(stream, ""));
    let (_folder, store) = place();
    for wrong in ["localhost", "127.0.0.1", "../etc/passwd", "[::1]"] {
        let list = store.with_extension("wrong");
        fs::write(&list, format!("news.example\n{wrong}\n")).unwrap();
        let arguments = ["supply", "refresh", "--store", "s", "--domains", list.to_str().unwrap()];
        let output = Command::new(env!("CARGO_BIN_EXE_haggle")).args(arguments).output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(message.contains(":2: ") && message.contains("is no domain"), "{message}");
        assert_eq!(output.status.code(), Some(74));
    }
    assert!(server.asked().is_empty());
}

#[test]
fn requests_are_held_against_the_store() {
    let (folder, store) = place();
    for (kind, domain, text) in [
        (FileKind::AdsTxt, "news.example", "ssp.example, 1, DIRECT\n"),
        (
            FileKind::SellersJson,
            "ssp.example",
            r#"{"sellers":[{"seller_id":"1","seller_type":"PUBLISHER"}]}"#,
        ),
    ] {
        let path = kind.path(&store, domain);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let request = |site: &str, seller: &str| {
        let chain = json!({ "ver": "1.0", "complete": 1, "nodes": [{ "asi": "ssp.example", "sid": seller, "hp": 1 }] });
        json!({ "id": "1", "site": { "domain": site }, "source": { "schain": chain } })
    };
    let rows = [
        request("news.example", "1"),
        json!({ "request": request("www.news.example", "2") }),
        request("unknown.example", "1"),
        json!({ "id": "1" }),
    ];
    let file = folder.path().join("requests.jsonl");
    fs::write(&file, rows.map(|row| row.to_string()).join("\n")).unwrap();
    let check = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_haggle"));
        command.args(["supply", "check", "--exchange", "ssp.example", "--store"]).arg(&store);
        command.arg("--requests").arg(&file).args(more).output().unwrap()
    };
    let output = check(&["--json"]);
    assert_eq!(output.status.code(), Some(1));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let reasons = |row: usize| {
        let list = found["rows"][row]["reasons"].as_array().unwrap();
        list.iter()
            .map(|it| (it["reason"].as_str().unwrap(), it["nbr"].as_u64().unwrap()))
            .collect::<Vec<_>>()
    };
    assert_eq!((found["requests"].as_u64(), found["broken"].as_u64()), (Some(4), Some(1)));
    assert_eq!(reasons(0), []);
    assert_eq!(reasons(1), [("unauthorised_seller", 12), ("unlisted_seller", 17)]);
    assert_eq!(reasons(2), [("ads_txt_unavailable", 11)]);
    assert_eq!(reasons(3), []);
    let table = said(&check(&[]));
    assert!(
        table.lines().nth(1).unwrap().contains("news.example")
            && table.lines().nth(1).unwrap().ends_with("ok"),
        "{table}"
    );
    assert!(table.contains("4 requests, 1 break a rule"), "{table}");
}
