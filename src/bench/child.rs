//! A server in a process of its own, on a core of its own where the system allows.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use core_affinity::CoreId;

use super::Failure;
use crate::clock::monotonic;

/// How long a server may take to start; a hundred thousand campaigns have to be read.
const PATIENCE: Duration = Duration::from_secs(600);
/// Lines of a server's log that are told where it fails.
const LAST_LINES: usize = 5;

/// A running server; it is killed when this is dropped.
pub(super) struct Server {
    child: Child,
    pub(super) address: SocketAddr,
    pub(super) admin: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// Runs this program with `arguments` and waits until it says where it serves.
    pub(super) fn start(
        arguments: &[String],
        core: Option<CoreId>,
        stop: &AtomicBool,
    ) -> Result<Self, Failure> {
        let program = std::env::current_exe().map_err(|error| Failure::Child(error.to_string()))?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Ctrl-C is for this process, which ends its children.
        command.process_group(0);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("HAGGLE_"))
        {
            command.env_remove(name);
        }
        // A child keeps to the cores of the thread that starts it.
        let started = std::thread::scope(|scope| {
            let start = || {
                if let Some(core) = core {
                    core_affinity::set_for_current(core);
                }
                command.spawn()
            };
            scope.spawn(start).join()
        });
        let child = match started {
            Ok(Ok(child)) => child,
            Ok(Err(error)) => return Err(Failure::Child(error.to_string())),
            Err(_) => return Err(Failure::Child("the starting thread ended early".to_owned())),
        };
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut server = Self { child, address: nowhere, admin: nowhere };
        let (lines, said) = channel();
        let pipes: [Option<Box<dyn Read + Send>>; 2] = [
            server.child.stdout.take().map(|pipe| Box::new(pipe) as _),
            server.child.stderr.take().map(|pipe| Box::new(pipe) as _),
        ];
        for pipe in pipes.into_iter().flatten() {
            let lines = lines.clone();
            // Reads on to the end, so that the server never waits for its log.
            std::thread::spawn(move || {
                for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                    // Nobody listens any more once the server serves.
                    let _ = lines.send(line);
                }
            });
        }
        drop(lines);
        let begun = monotonic();
        let mut last = Vec::new();
        while begun.elapsed() < PATIENCE {
            if stop.load(Ordering::Relaxed) {
                return Err(Failure::Stopped);
            }
            match said.recv_timeout(Duration::from_millis(50)) {
                Ok(line) if line.contains("serving") && line.contains("address=") => {
                    let field = |name: &str| {
                        line.split_whitespace().find_map(|word| word.strip_prefix(name)?.parse().ok())
                    };
                    let (Some(address), Some(admin)) = (field("address="), field("admin=")) else { continue };
                    (server.address, server.admin) = (address, admin);
                    return Ok(server);
                }
                Ok(line) => {
                    last.push(line);
                    if last.len() > LAST_LINES {
                        last.remove(0);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        Err(Failure::Child(format!("a server did not start: {}", last.join(" | "))))
    }

    /// Bytes of memory that it has, by Linux's account; none elsewhere.
    pub(super) fn resident(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
    }
}
