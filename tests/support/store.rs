//! Something for nodes to share users on: a Redis server of the test's own where `redis-server` is on the path, and always a small
//! one in the test's process that speaks the part of its protocol that nodes use.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use haggle_domain::{PrivacyKey, UserKey};

/// A server that ends with the test.
pub enum Store {
    Real { child: Child, port: u16, password: String, _folder: tempfile::TempDir },
    Fake { port: u16, inner: Arc<Inner> },
}

#[derive(Default)]
pub struct Inner {
    data: Mutex<Data>,
    frozen: Mutex<bool>,
    thawed: Condvar,
}

#[derive(Default)]
struct Data {
    values: HashMap<Vec<u8>, Vec<u8>>,
    /// Keys that were asked for.
    asked: Vec<String>,
    knows_script: bool,
}

pub fn key(user: &str) -> String {
    format!("hgu1:{:016x}", PrivacyKey::of(UserKey::of(user)).0)
}

/// The servers that a test is to be run with, one after the other.
pub fn stores() -> Vec<Store> {
    let real = Store::real();
    if real.is_none() {
        eprintln!("skipped with a real server: there is no redis-server on the path");
    }
    real.into_iter().chain([Store::fake()]).collect()
}

impl Store {
    /// None where there is no such program.
    pub fn real() -> Option<Self> {
        // Somebody else may take a free port before the server does: then it ends, and another is tried.
        for _ in 0..10 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let folder = tempfile::tempdir().unwrap();
            // Unique, so that nobody else's server is taken for this one.
            let password = folder.path().file_name().unwrap().to_str().unwrap().replace('.', "");
            let child = Command::new("redis-server")
                .args([
                    "--port",
                    &port.to_string(),
                    "--bind",
                    "127.0.0.1",
                    "--save",
                    "",
                    "--appendonly",
                    "no",
                ])
                .args(["--dir", folder.path().to_str().unwrap(), "--requirepass", &password])
                .stdout(Stdio::null())
                .spawn()
                .ok()?;
            let mut store = Self::Real { child, port, password, _folder: folder };
            if store.comes_up() {
                return Some(store);
            }
        }
        panic!("redis-server does not start");
    }

    fn comes_up(&mut self) -> bool {
        let client = redis::Client::open(self.address()).unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        while Instant::now() < until {
            if client.get_connection().is_ok() {
                return true;
            }
            if let Self::Real { child, .. } = self
                && child.try_wait().unwrap().is_some()
            {
                return false;
            }
            thread::sleep(Duration::from_millis(20));
        }
        false
    }

    pub fn fake() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let inner: Arc<Inner> = Arc::default();
        let shared = Arc::clone(&inner);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let inner = Arc::clone(&shared);
                thread::spawn(move || inner.serve(stream));
            }
        });
        Self::Fake { port, inner }
    }

    pub fn name(&self) -> &'static str {
        if matches!(self, Self::Real { .. }) { "redis-server" } else { "stand-in" }
    }

    pub fn address(&self) -> String {
        match self {
            Self::Real { port, password, .. } => format!("redis://:{password}@127.0.0.1:{port}/3"),
            Self::Fake { port, .. } => format!("redis://127.0.0.1:{port}/0"),
        }
    }

    fn client(&self) -> redis::Connection {
        redis::Client::open(self.address()).unwrap().get_connection().unwrap()
    }

    pub fn get(&self, user: &str) -> Option<Vec<u8>> {
        match self {
            Self::Real { .. } => redis::cmd("GET").arg(key(user)).query(&mut self.client()).unwrap(),
            Self::Fake { inner, .. } => inner.data.lock().unwrap().values.get(key(user).as_bytes()).cloned(),
        }
    }

    pub fn put(&self, user: &str, bytes: &[u8]) {
        match self {
            Self::Real { .. } => {
                redis::cmd("SET").arg(key(user)).arg(bytes).exec(&mut self.client()).unwrap();
            }
            Self::Fake { inner, .. } => {
                inner.data.lock().unwrap().values.insert(key(user).into_bytes(), bytes.to_vec());
            }
        }
    }

    /// Puts something of another kind there.
    pub fn put_list(&self, user: &str) {
        match self {
            Self::Real { .. } => {
                redis::cmd("RPUSH").arg(key(user)).arg("a").exec(&mut self.client()).unwrap();
            }
            Self::Fake { .. } => self.put(user, b"LIST"),
        }
    }

    /// How often somebody asked for a user; not known of a real server.
    pub fn asked(&self, user: &str) -> Option<usize> {
        let Self::Fake { inner, .. } = self else { return None };
        Some(inner.data.lock().unwrap().asked.iter().filter(|asked| **asked == key(user)).count())
    }

    /// What a new start of a server loses beside its data.
    pub fn forget_scripts(&self) {
        match self {
            Self::Real { .. } => {
                redis::cmd("SCRIPT").arg("FLUSH").exec(&mut self.client()).unwrap();
            }
            Self::Fake { inner, .. } => inner.data.lock().unwrap().knows_script = false,
        }
    }

    /// It answers nobody until it is thawed, but connections stay.
    pub fn freeze(&self) {
        match self {
            Self::Real { child, .. } => signal(child, "-STOP"),
            Self::Fake { inner, .. } => *inner.frozen.lock().unwrap() = true,
        }
    }

    pub fn thaw(&self) {
        match self {
            Self::Real { child, .. } => signal(child, "-CONT"),
            Self::Fake { inner, .. } => {
                *inner.frozen.lock().unwrap() = false;
                inner.thawed.notify_all();
            }
        }
    }
}

fn signal(child: &Child, signal: &str) {
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Self::Real { child, .. } = self {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Inner {
    fn serve(&self, stream: TcpStream) {
        stream.set_nodelay(true).unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut writer = stream;
        while let Some(command) = command(&mut reader) {
            let mut frozen = self.frozen.lock().unwrap();
            while *frozen {
                frozen = self.thawed.wait(frozen).unwrap();
            }
            drop(frozen);
            if writer.write_all(&self.answer(&command)).is_err() {
                return;
            }
        }
    }

    fn answer(&self, command: &[Vec<u8>]) -> Vec<u8> {
        let mut data = self.data.lock().unwrap();
        let argument = |at: usize| command[at].as_slice();
        let bulk = |bytes: &[u8]| [format!("${}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
        match argument(0) {
            b"GET" => {
                data.asked.push(String::from_utf8_lossy(argument(1)).into_owned());
                match data.values.get(argument(1)) {
                    Some(value) if value == b"LIST" => b"-WRONGTYPE not a string\r\n".to_vec(),
                    Some(value) => bulk(value),
                    None => b"$-1\r\n".to_vec(),
                }
            }
            b"SET" => {
                data.values.insert(argument(1).to_vec(), argument(2).to_vec());
                b"+OK\r\n".to_vec()
            }
            b"SCRIPT" => {
                data.knows_script = true;
                let hash =
                    redis::Script::new(std::str::from_utf8(argument(2)).unwrap()).get_hash().to_owned();
                bulk(hash.as_bytes())
            }
            b"EVALSHA" if !data.knows_script => b"-NOSCRIPT No matching script.\r\n".to_vec(),
            // As the script says.
            b"EVALSHA" => {
                let there = data.values.get(argument(3)).filter(|value| *value != b"LIST").cloned();
                let there = there.unwrap_or_default();
                if there.get(..16).unwrap_or(&there) != argument(4) {
                    return bulk(&there);
                }
                match argument(5) {
                    [] => data.values.remove(argument(3)),
                    bytes => data.values.insert(argument(3).to_vec(), bytes.to_vec()),
                };
                assert!(std::str::from_utf8(argument(6)).unwrap().parse::<u32>().unwrap() > 0);
                b"$-1\r\n".to_vec()
            }
            _ => b"+OK\r\n".to_vec(),
        }
    }
}

/// One command: `*N`, then `$LENGTH` and as many bytes for each of its words.
fn command(reader: &mut impl BufRead) -> Option<Vec<Vec<u8>>> {
    let number = |reader: &mut dyn BufRead| {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        line.get(1..)?.trim().parse::<usize>().ok()
    };
    let count = number(reader)?;
    let mut words = Vec::new();
    for _ in 0..count {
        let mut word = vec![0; number(reader)? + 2];
        reader.read_exact(&mut word).ok()?;
        word.truncate(word.len() - 2);
        words.push(word);
    }
    Some(words)
}
