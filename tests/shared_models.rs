//! Registries of several nodes that share a log: what is done to one is done to all, whoever dies, is cut off, or lies.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "helpers of tests")]

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, Weak};

use haggle::clock::WallClock;
use haggle::model::registry::{Refusal, Registry, State};
use haggle::several::Models;
use haggle_actors::backbone::{Log, MemoryCluster, MemoryLog, Table};
use haggle_domain::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Trained models of different sizes, in folders that go when the test ends.
struct Trained(TempDir);

impl Trained {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let run = |args: &[&str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_haggle"));
            let output = command.args(args).current_dir(folder.path()).output().unwrap();
            assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        };
        run(&["generate", "clicks", "--rows", "1500", "--seed", "1", "--out", "train.tsv"]);
        let train: &[&str] = &["model", "train", "--data", "train.tsv", "--schema", "train.schema.toml"];
        let models: [(&str, &[&str]); 4] = [
            ("small", &["--model", "logistic", "--bits", "10"]),
            ("other", &["--model", "logistic", "--bits", "11"]),
            ("third", &["--model", "logistic", "--bits", "12"]),
            ("large", &["--model", "ffm", "--bits", "16", "--vector-size", "8"]),
        ];
        for (name, settings) in models {
            run(&[train, settings, &["--out", name]].concat());
        }
        Self(folder)
    }

    /// The same for all tests that run side by side.
    fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Trained>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap();
        shared.upgrade().unwrap_or_else(|| {
            let new = Arc::new(Self::new());
            *shared = Arc::downgrade(&new);
            new
        })
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// A moment that is later with each call.
fn now() -> Timestamp {
    static LAST: Mutex<i64> = Mutex::new(1_800_000_000_000_000);
    let mut last = LAST.lock().unwrap();
    *last += 1_000_000;
    Timestamp(*last)
}

/// What a node has of the registry that all share.
struct Node {
    folder: TempDir,
    log: Arc<MemoryLog>,
    registry: Registry,
    models: Models,
}

impl Node {
    fn new(cluster: &MemoryCluster) -> Self {
        Self::on(cluster, tempfile::tempdir().unwrap())
    }

    fn on(cluster: &MemoryCluster, folder: TempDir) -> Self {
        let log = Arc::new(cluster.connect());
        let registry = Registry::open(folder.path().join("models")).unwrap();
        let models =
            Models::open(registry.clone(), Arc::clone(&log) as _, Arc::new(WallClock::new())).unwrap();
        Self { folder, log, registry, models }
    }

    /// As after a crash: only what is on disk is known.
    fn restart(self, cluster: &MemoryCluster) -> Self {
        Self::on(cluster, self.folder)
    }

    fn turn(&mut self) {
        self.models.turn(&|| true);
    }

    fn register(&self, trained: &Trained, name: &str) -> String {
        self.registry.add(now(), &trained.folder(name), name, None).unwrap()
    }

    fn change(&self, reason: &str, change: impl FnOnce(&mut State) -> Result<(), Refusal>) {
        self.registry.change(now(), reason, change).unwrap();
    }

    fn promote(&self, id: &str) {
        self.change(&format!("promoted {id}"), |state| state.promote(id));
    }

    fn serving(&self) -> Option<String> {
        self.registry.state().unwrap().roles.serving
    }

    fn ids(&self) -> Vec<String> {
        self.registry.ids().unwrap()
    }

    /// All files of the registry but what only this node remembers.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        fn collect(folder: &Path, into: &mut BTreeMap<PathBuf, Vec<u8>>) {
            for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
                let path = entry.path();
                if path.is_dir() {
                    collect(&path, into);
                } else {
                    into.insert(path.clone(), fs::read(path).unwrap());
                }
            }
        }
        let mut found = BTreeMap::new();
        collect(self.folder.path(), &mut found);
        let mine = |path: &Path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name == ".shared.json" || name.ends_with(".lock")
        };
        let within = |path: PathBuf| path.strip_prefix(self.folder.path()).unwrap().to_owned();
        found.into_iter().filter(|(path, _)| !mine(path)).map(|(path, bytes)| (within(path), bytes)).collect()
    }
}

fn settle(nodes: &mut [&mut Node]) {
    for _ in 0..3 {
        nodes.iter_mut().for_each(|node| node.turn());
    }
}

/// Puts a value into the table, as anybody can who reaches the log.
fn put(log: &dyn Log, name: &str, bytes: &[u8]) {
    let (sender, kept) = channel();
    log.keep(Table::Models, name, bytes, Box::new(move |result| sender.send(result).unwrap())).unwrap();
    kept.recv().unwrap().unwrap();
}

/// What was logged meanwhile.
fn logged(act: impl FnOnce()) -> String {
    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let sink = Sink::default();
    let into = sink.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || into.clone()).finish();
    tracing::subscriber::with_default(subscriber, act);
    let bytes = sink.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn what_is_done_to_one_registry_is_done_to_all() {
    let (trained, cluster) = (Trained::shared(), MemoryCluster::new(1));
    let (mut a, mut b) = (Node::new(&cluster), Node::new(&cluster));
    let small = a.register(&trained, "small");
    let large = a.register(&trained, "large");
    a.promote(&small);
    settle(&mut [&mut a, &mut b]);
    assert_eq!(b.serving(), Some(small.clone()));
    assert_eq!(a.files(), b.files(), "to the byte");
    let reader = cluster.connect();
    let parts = |of: &str| {
        let table = reader.kept(Table::Models).unwrap();
        let begin = format!("part/{of}/");
        let sizes: Vec<usize> =
            table.iter().filter(|(name, _)| name.starts_with(&begin)).map(|(_, bytes)| bytes.len()).collect();
        sizes
    };
    println!("{} parts of the large model", parts(&large).len());
    assert!(parts(&large).len() > 5 && parts(&large).iter().all(|size| *size <= 512 * 1024));

    // What was registered elsewhere is as good as what was registered here, and anybody may roll back.
    b.promote(&large);
    b.change("a try", |state| state.promote_canary(&small, 50));
    settle(&mut [&mut a, &mut b]);
    assert_eq!(a.files(), b.files());
    assert_eq!(a.registry.state().unwrap().roles.canary.unwrap().id, small);
    a.change("too dear", State::rollback);
    a.change("worse", State::rollback);
    settle(&mut [&mut a, &mut b]);
    assert_eq!((b.serving(), b.registry.state().unwrap().version), (Some(small.clone()), 5));

    // One that comes with an empty folder has it all, also of a table that the broker has compacted.
    let mut c = Node::new(&cluster);
    c.turn();
    assert_eq!(a.files(), c.files());
    cluster.compact(Table::Models);
    let mut d = Node::new(&cluster);
    d.turn();
    assert_eq!(a.files(), d.files());

    // Nothing is sent over and over.
    let kept = |nodes: [&Node; 4]| nodes.map(|node| node.log.stats().kept);
    let before = kept([&a, &b, &c, &d]);
    settle(&mut [&mut a, &mut b, &mut c, &mut d]);
    assert_eq!(kept([&a, &b, &c, &d]), before);

    // What was removed on one node is gone, also of one that was away, and from the table but for the word.
    let mut b = b.restart(&cluster);
    c.registry.remove(now(), &large).unwrap();
    settle(&mut [&mut a, &mut c, &mut d]);
    settle(&mut [&mut b]);
    for node in [&a, &b, &c, &d] {
        assert_eq!(node.ids(), std::slice::from_ref(&small));
    }
    assert_eq!(parts(&large), [0; 0]);
    // It may come back.
    let again = d.register(&trained, "large");
    assert_eq!(again, large);
    settle(&mut [&mut d, &mut a, &mut b, &mut c]);
    for node in [&a, &b, &c, &d] {
        assert_eq!((node.ids(), node.serving()), (vec![large.clone(), small.clone()], Some(small.clone())));
    }
    assert_eq!(a.files(), b.files());
    // A registry whose folder was lost is no registry from which all was removed.
    fs::remove_dir_all(a.registry.folder()).unwrap();
    let mut a = a.restart(&cluster);
    settle(&mut [&mut a, &mut b, &mut c, &mut d]);
    assert_eq!((a.ids(), a.serving()), (vec![large, small.clone()], Some(small)));
    assert_eq!(a.files(), d.files());
}

#[test]
fn of_two_changes_at_once_all_take_the_one_that_comes_last_in_the_log() {
    let (trained, cluster) = (Trained::shared(), MemoryCluster::new(1));
    let (mut a, mut b, mut c) = (Node::new(&cluster), Node::new(&cluster), Node::new(&cluster));
    let [small, other, large] = ["small", "other", "large"].map(|name| a.register(&trained, name));
    a.promote(&small);
    settle(&mut [&mut a, &mut b, &mut c]);
    a.promote(&other);
    b.promote(&large);
    // The first has looked, and before it says anything, the second has looked and said it.
    let second = RefCell::new(Some(&mut b));
    a.models.turn(&|| {
        if let Some(b) = second.borrow_mut().take() {
            b.turn();
        }
        true
    });
    assert!(second.borrow().is_none(), "both were about to say it");
    let said = logged(|| b.turn());
    // b's was in the log first.
    assert!(said.contains(&format!("told meanwhile lost=\"promoted {large}\"")), "{said}");
    settle(&mut [&mut a, &mut b, &mut c]);
    for node in [&a, &b, &c] {
        assert_eq!(node.serving(), Some(other.clone()));
    }
    assert!(a.files() == b.files() && b.files() == c.files());
}

#[test]
fn a_rollback_holds_for_all_and_happens_once() {
    let (trained, cluster) = (Trained::shared(), MemoryCluster::new(1));
    let (mut a, mut b, mut c) = (Node::new(&cluster), Node::new(&cluster), Node::new(&cluster));
    let [first, second, drifts] = ["small", "other", "large"].map(|name| a.register(&trained, name));
    for id in [&first, &second, &drifts] {
        a.promote(id);
    }
    settle(&mut [&mut a, &mut b, &mut c]);
    // As a node takes back what does not keep its promises: only what it is sure of serves.
    let take_back = |node: &Node, id: &str| {
        let id = id.to_owned();
        node.registry.change(now(), "rolled back by the node", |state| {
            if state.roles.serving.as_ref() == Some(&id) {
                return state.rollback();
            }
            Err(Refusal(format!("{id} serves no more")))
        })
    };
    c.log.faults().cut(true);
    // Two find it at the same moment.
    take_back(&a, &drifts).unwrap();
    take_back(&b, &drifts).unwrap();
    let other = RefCell::new(Some(&mut b));
    a.models.turn(&|| {
        if let Some(b) = other.borrow_mut().take() {
            b.turn();
        }
        true
    });
    settle(&mut [&mut a, &mut b]);
    for node in [&a, &b] {
        assert_eq!((node.serving(), node.registry.state().unwrap().version), (Some(second.clone()), 4));
        assert!(take_back(node, &drifts).is_err(), "not once more");
    }
    // What was decided after it is not undone by one that was cut off, goes on with what it has, and finds the same late.
    b.promote(&first);
    settle(&mut [&mut b, &mut a]);
    c.turn();
    assert_eq!(c.serving(), Some(drifts.clone()));
    take_back(&c, &drifts).unwrap();
    let mut c = c.restart(&cluster);
    settle(&mut [&mut c, &mut a, &mut b]);
    for node in [&a, &b, &c] {
        assert_eq!(node.serving(), Some(first.clone()));
    }
    assert_eq!(a.files(), c.files());
}

/// Who serves as the nodes' table says.
fn told_to_serve(cluster: &MemoryCluster) -> Option<String> {
    let table = cluster.connect().kept(Table::Models).unwrap();
    State::unseal(table.get("state")?).unwrap().roles.serving
}

#[test]
fn of_a_model_whose_publisher_dies_nobody_takes_a_part() {
    let (trained, cluster) = (Trained::shared(), MemoryCluster::new(1));
    let mut a = Node::new(&cluster);
    let large = a.register(&trained, "large");
    a.promote(&large);
    let (mut deaths, mut sent) = (0, 0);
    loop {
        // It dies after some messages, some lives sooner than others.
        let (log, most) = (Arc::clone(&a.log), deaths % 3);
        a.models.turn(&|| log.stats().kept < most);
        sent += a.log.stats().kept;
        if a.serving() == told_to_serve(&cluster) {
            break;
        }
        deaths += 1;
        let mut b = Node::new(&cluster);
        b.turn();
        assert_eq!(b.serving(), None);
        let table = a.log.kept(Table::Models).unwrap();
        assert!(b.ids().is_empty() || table.contains_key(&format!("model/{large}")));
        a = a.restart(&cluster);
        assert!(deaths < 30, "it never ends");
    }
    assert!(deaths > 2, "{deaths}");
    println!("{deaths} deaths, {sent} values");
    assert_eq!(sent, a.log.kept(Table::Models).unwrap().len() as u64, "nothing was sent twice");
    let mut b = Node::new(&cluster);
    b.turn();
    assert_eq!(a.files(), b.files());

    // Whoever dies while it takes a model in has the whole of it or nothing, and begins again.
    let mut c = Node::new(&cluster);
    let left = Cell::new(3);
    c.models.turn(&|| {
        left.set(left.get() - 1);
        left.get() > 0
    });
    assert!(c.ids().is_empty());
    let mut c = c.restart(&cluster);
    c.turn();
    assert_eq!(a.files(), c.files());
}

/// What lies in the table of a node that told others of one model, which serves.
fn honest(trained: &Trained, name: &str) -> (String, BTreeMap<String, Vec<u8>>) {
    let cluster = MemoryCluster::new(1);
    let mut node = Node::new(&cluster);
    let id = node.register(trained, name);
    node.promote(&id);
    node.turn();
    (id, node.log.kept(Table::Models).unwrap())
}

#[test]
fn what_is_damaged_or_hostile_changes_nothing_and_is_said() {
    let trained = Trained::shared();
    let (id, table) = honest(&trained, "large");
    let manifest = format!("model/{id}");
    let read: Value = serde_json::from_slice(&table[&manifest]).unwrap();
    let files = read["says"]["files"].as_array().unwrap().clone();
    let at =
        |name: &str| files.iter().position(|file| file["name"].as_str().unwrap().ends_with(name)).unwrap();
    let (model, registered) = (at(".bin"), at("registered.json"));
    let edit = |change: &dyn Fn(&mut Value)| {
        let mut read = read.clone();
        change(&mut read);
        serde_json::to_vec(&read).unwrap()
    };
    let part = |file: &Value, number: usize| format!("part/{id}/{}", file["parts"][number].as_str().unwrap());
    let (first_part, registered_part) = (part(&files[model], 0), part(&files[registered], 0));
    let flip = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        bytes
    };
    let state_of = |state: &State| state.seal().unwrap();
    let (mut leads_out, mut of_nobody) = (State::default(), State::default());
    leads_out.roles.serving = Some("../../elsewhere".into());
    of_nobody.roles.serving = Some("nobody-01234567".into());
    let wrong_state = flip(&table["state"]);
    let format =
        |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap().replace("\"format\":1", "\"format\":9");
    let newer_state = format(&table["state"]).into_bytes();
    let traversal = edit(&|it| it["says"]["files"][model]["name"] = json!("../../escaped"));
    let absolute = edit(&|it| it["says"]["files"][model]["name"] = json!("/tmp/escaped"));
    let hidden = edit(&|it| it["says"]["files"][model]["name"] = json!(".shared.json"));
    let another = edit(&|it| it["says"]["files"][model]["name"] = json!("run.sh"));
    let longer = edit(&|it| it["says"]["files"][model]["bytes"] = json!(1u64 << 40));
    let shorter = edit(&|it| {
        let bytes = it["says"]["files"][model]["bytes"].as_u64().unwrap();
        it["says"]["files"][model]["bytes"] = json!(bytes - 1);
    });
    let swapped = edit(&|it| {
        let parts = it["says"]["files"][model]["parts"].as_array_mut().unwrap();
        parts.swap(0, 1);
    });
    let fewer = edit(&|it| {
        it["says"]["files"].as_array_mut().unwrap().remove(registered);
    });
    let more = edit(&|it| {
        let mut file = it["says"]["files"][registered].clone();
        file["name"] = json!("extra.json");
        it["says"]["files"].as_array_mut().unwrap().push(file);
    });
    let of_other = edit(&|it| it["id"] = json!("other-01234567"));
    let unknown = edit(&|it| it["says"]["command"] = json!("rm"));
    let newer = edit(&|it| it["format"] = json!(9));
    let damaged_part = flip(&table[&first_part]);
    let cut_part = &table[&first_part][1..];
    let forged = b"{}".as_slice();
    let cases: [(&str, &[u8], &str); 21] = [
        ("state", b"nonsense", "is damaged"),
        ("state", &wrong_state, "state of the registry of models is not taken over"),
        ("state", &newer_state, "is of format 9, this program reads 1"),
        ("state", &state_of(&leads_out), "is no model's id"),
        ("state", &state_of(&of_nobody), "model nobody-01234567 is not to be had"),
        (&manifest, b"nonsense", "a manifest of a model is not taken over"),
        (&manifest, &traversal, "is no name of a file"),
        (&manifest, &absolute, "is no name of a file"),
        (&manifest, &hidden, "is no name of a file"),
        (&manifest, &another, "cannot be read"),
        (&manifest, &longer, "parts, its 1099511627776 bytes are"),
        (&manifest, &shorter, "its manifest says"),
        (&manifest, &swapped, "its checksum is"),
        (&manifest, &fewer, "registered.json"),
        (&manifest, &more, "extra.json: is no file of a model"),
        (&manifest, &of_other, "it is the manifest of \"other-01234567\""),
        (&manifest, &unknown, "a manifest of a model is not taken over"),
        (&manifest, &newer, "is of format 9, this program reads 1; update this node"),
        (&first_part, &damaged_part, "a part of a model is not what it is called by"),
        (&first_part, cut_part, "a part of a model is not what it is called by"),
        (&registered_part, forged, "a part of a model is not what it is called by"),
    ];
    for (name, value, problem) in cases {
        let cluster = MemoryCluster::new(1);
        let mut node = Node::new(&cluster);
        let own = node.register(&trained, "small");
        node.promote(&own);
        node.turn();
        let log = cluster.connect();
        for (honest, value) in table.iter().filter(|(honest, _)| *honest != "state" && *honest != name) {
            put(&log, honest, value);
        }
        put(&log, name, value);
        let before = node.files();
        let said = logged(|| {
            node.turn();
            node.turn();
        });
        assert!(said.contains(problem), "{name}: {said}");
        assert_eq!(said.matches(problem).count(), 1, "once: {said}");
        let mut after = node.files();
        // Where only who serves was attacked the model itself is honest.
        if name == "state" {
            after.retain(|path, _| !path.starts_with(Path::new("models").join(&id)));
        }
        assert_eq!(after, before, "{name}: {problem}");
        assert!(!node.folder.path().parent().unwrap().join("escaped").exists());
        // What nobody can understand but a newer program waits for one; otherwise the nodes go on.
        if !problem.contains("format 9") {
            let next = node.register(&trained, "other");
            node.promote(&next);
            node.turn();
            let mut fresh = Node::new(&cluster);
            fresh.turn();
            assert_eq!(fresh.serving(), Some(next), "{name}: {problem}");
        }
    }
    // Names that are none.
    let cluster = MemoryCluster::new(1);
    let mut node = Node::new(&cluster);
    for name in ["", "model/../../x", "part/../x/00", "other", "model/"] {
        put(&cluster.connect(), name, &table[&manifest]);
    }
    let said = logged(|| node.turn());
    assert_eq!(said.matches("nothing of the table of models is called so").count(), 5, "{said}");
    assert!(node.ids().is_empty());
}

#[test]
fn what_this_program_cannot_read_does_not_serve_and_leaves_what_did() {
    let (trained, cluster) = (Trained::shared(), MemoryCluster::new(1));
    let (mut a, mut b) = (Node::new(&cluster), Node::new(&cluster));
    let small = a.register(&trained, "small");
    a.promote(&small);
    settle(&mut [&mut a, &mut b]);
    // Its manifest holds, but in the file is no model.
    let small_folder = a.registry.path(&small).unwrap();
    let mut manifest: Value =
        serde_json::from_slice(&fs::read(small_folder.join("manifest.json")).unwrap()).unwrap();
    let bytes = b"of a program that is not written yet";
    let checksum = format!("{:016x}", xxhash_rust::xxh3::xxh3_64(bytes));
    let strange = format!("strange-{}", &checksum[..8]);
    let folder = a.registry.folder().join(&strange);
    fs::create_dir(&folder).unwrap();
    for entry in fs::read_dir(&small_folder).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
    }
    fs::remove_file(folder.join(manifest["file"].as_str().unwrap())).unwrap();
    manifest["file"] = json!("model.bin");
    manifest["file_bytes"] = json!(bytes.len());
    manifest["checksum"] = json!(checksum);
    fs::write(folder.join("manifest.json"), manifest.to_string()).unwrap();
    fs::write(folder.join("model.bin"), bytes).unwrap();
    a.promote(&strange);
    a.turn();
    let said = logged(|| settle(&mut [&mut b]));
    assert!(b.ids().contains(&strange), "it is kept for who can read it");
    assert_eq!(b.serving(), Some(small), "{said}");
    assert_eq!(
        said.matches(&format!("model {strange} is not to serve here, as others say: ")).count(),
        1,
        "{said}"
    );
    // Whoever promotes another after that is not held up.
    let other = b.register(&trained, "other");
    b.promote(&other);
    settle(&mut [&mut b, &mut a]);
    assert_eq!((a.serving(), b.serving()), (Some(other.clone()), Some(other)));
}

#[test]
fn a_part_that_was_lost_is_sent_again_by_whoever_has_it() {
    let (trained, cluster) = (Trained::shared(), MemoryCluster::new(1));
    let (mut a, mut b) = (Node::new(&cluster), Node::new(&cluster));
    let large = a.register(&trained, "large");
    a.promote(&large);
    settle(&mut [&mut a, &mut b]);
    let table = a.log.kept(Table::Models).unwrap();
    let part = table.keys().find(|name| name.starts_with("part/")).unwrap();
    put(&cluster.connect(), part, b"nonsense");
    put(&cluster.connect(), "state", b"nonsense");
    let mut c = Node::new(&cluster);
    c.turn();
    assert!(c.ids().is_empty());
    settle(&mut [&mut b, &mut c]);
    assert_eq!(a.files(), c.files());
    assert_eq!(a.log.kept(Table::Models).unwrap(), table);
}

#[derive(Clone, Debug)]
enum Act {
    Register(usize, usize),
    Promote(usize, usize),
    Canary(usize, usize),
    Rollback(usize),
    Remove(usize, usize),
    Turn(usize),
    /// The first is about to say something when the second has its turn.
    Within(usize, usize),
    /// A turn in which the node dies after so many messages.
    Die(usize, u64),
    Restart(usize),
    Cut(usize, bool),
    Compact,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let (node, model) = (0..3usize, 0..3usize);
    let act = prop_oneof![
        2 => (node.clone(), model.clone()).prop_map(|(node, model)| Act::Register(node, model)),
        3 => (node.clone(), model.clone()).prop_map(|(node, model)| Act::Promote(node, model)),
        1 => (node.clone(), model.clone()).prop_map(|(node, model)| Act::Canary(node, model)),
        2 => node.clone().prop_map(Act::Rollback),
        2 => (node.clone(), model).prop_map(|(node, model)| Act::Remove(node, model)),
        6 => node.clone().prop_map(Act::Turn),
        3 => (node.clone(), node.clone()).prop_map(|(first, second)| Act::Within(first, second)),
        2 => (node.clone(), 0..6u64).prop_map(|(node, messages)| Act::Die(node, messages)),
        1 => node.clone().prop_map(Act::Restart),
        2 => (node, any::<bool>()).prop_map(|(node, cut)| Act::Cut(node, cut)),
        1 => Just(Act::Compact),
    ];
    proptest::collection::vec(act, 1..30)
}

/// Whatever is done to three registries, in the end they are alike, and what serves is there.
#[test]
fn registries_end_alike_whatever_was_done_to_them() {
    let trained = Trained::shared();
    let names = ["small", "other", "third"];
    let cases = std::env::var("HAGGLE_MODEL_CASES").map_or(12, |text| text.parse().unwrap());
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(acts in acts())| {
        let cluster = MemoryCluster::new(1);
        let ids = names.map(|name| Node::new(&cluster).register(&trained, name));
        let mut nodes: Vec<Option<Node>> = (0..3).map(|_| Some(Node::new(&cluster))).collect();
        for act in acts {
            // Much of it is refused, as by a model that is not there.
            let node = |at: usize| nodes[at].as_ref().unwrap();
            match act {
                Act::Register(at, model) => drop(node(at).register(&trained, names[model])),
                Act::Promote(at, model) => {
                    let _ = node(at).registry.change(now(), "promoted", |state| state.promote(&ids[model]));
                }
                Act::Canary(at, model) => {
                    let tried = |state: &mut State| state.promote_canary(&ids[model], 50);
                    let _ = node(at).registry.change(now(), "tried", tried);
                }
                Act::Rollback(at) => {
                    let _ = node(at).registry.change(now(), "rolled back", State::rollback);
                }
                Act::Remove(at, model) => {
                    let _ = node(at).registry.remove(now(), &ids[model]);
                }
                Act::Turn(at) => nodes[at].as_mut().unwrap().turn(),
                Act::Within(first, second) if first != second => {
                    let mut taken = nodes[first].take().unwrap();
                    let within = RefCell::new(nodes[second].as_mut());
                    taken.models.turn(&|| {
                        if let Some(second) = within.borrow_mut().take() {
                            second.turn();
                        }
                        true
                    });
                    nodes[first] = Some(taken);
                }
                Act::Within(..) => {}
                Act::Die(at, messages) => {
                    let log = Arc::clone(&nodes[at].as_ref().unwrap().log);
                    let most = log.stats().kept + messages;
                    nodes[at].as_mut().unwrap().models.turn(&|| log.stats().kept < most);
                    nodes[at] = Some(nodes[at].take().unwrap().restart(&cluster));
                }
                Act::Restart(at) => nodes[at] = Some(nodes[at].take().unwrap().restart(&cluster)),
                Act::Cut(at, cut) => node(at).log.faults().cut(cut),
                Act::Compact => cluster.compact(Table::Models),
            }
        }
        let mut nodes: Vec<Node> = nodes.into_iter().flatten().collect();
        for _ in 0..4 {
            for node in &mut nodes {
                node.log.faults().cut(false);
                node.turn();
            }
        }
        let fresh = &mut Node::new(&cluster);
        fresh.turn();
        let state = nodes[0].registry.state().unwrap();
        for id in state.roles.ids() {
            nodes[0].registry.load(id).unwrap();
        }
        for node in nodes.iter().chain([&*fresh]) {
            prop_assert_eq!(&node.registry.state().unwrap(), &state);
            prop_assert_eq!(node.ids(), nodes[0].ids());
        }
    });
}
