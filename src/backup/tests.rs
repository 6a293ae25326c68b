use std::fs;

use haggle_actors::attribution::AttributorSettings;
use haggle_actors::backbone::{Log, MemoryCluster, SharedJournal, SharedOptions};
use haggle_actors::books::Books;
use haggle_actors::campaign::{COMPLETE, Retention, checkpoint_name, recover_all, recover_shared, trim};
use haggle_actors::journal::{JournalOptions, replay};
use haggle_domain::{AttributionModel, BidId, CampaignKey, Event, Holder, Micros, NodeId, Record};

use super::*;
use crate::several::Seed;

const KEY: CampaignKey = CampaignKey(7);

fn at(second: i64) -> Timestamp {
    Timestamp(1_790_000_000_000_000 + second * 1_000_000)
}

/// A data folder with a campaign that spends once a second, of whose records the first are dropped, a model and a key.
fn data() -> tempfile::TempDir {
    let data = tempfile::tempdir().unwrap();
    let journal = EmbeddedJournal::open(&data.path().join("journal"), &JournalOptions::default()).unwrap();
    let mut books = Books::default();
    let mut events = vec![
        Event::Defined { id: "boots".to_owned() },
        Event::BudgetOpened { day: 1, amount: Micros(10_000_000) },
        Event::LeaseGranted { lease: 1, amount: Micros(5_000_000), expires_at: at(100_000), shared: false },
    ];
    events.extend((0..500).map(|number| Event::Billed {
        bid: BidId { campaign: KEY, lease: 1, number },
        reserved: Micros(200),
        charged: Micros(100),
        capped: false,
        explored: false,
    }));
    let mut records = Vec::new();
    for (second, event) in (0..).zip(events) {
        books.apply(&event, at(second)).unwrap();
        records.push(Record { at: at(second), campaign: KEY, event });
    }
    journal.try_reserve().unwrap().commit(records, None);
    journal.put_checkpoint_here(&checkpoint_name(KEY), minicbor::to_vec(&books).unwrap()).unwrap();
    ledger_settles(&journal);
    let keep = std::time::Duration::from_secs(300);
    let retention = Retention { keep, click_expiry: keep, conversion_window: keep };
    assert_eq!(trim(&journal, &retention, at(400)).unwrap(), 100);
    journal.close().unwrap();
    fs::create_dir_all(data.path().join("models/m-1")).unwrap();
    fs::write(data.path().join("models/m-1/model.bin"), [3; 1_000]).unwrap();
    fs::write(data.path().join("token.key"), [9; 32]).unwrap();
    data
}

fn ledger_settles(journal: &EmbeddedJournal) {
    let (sender, answer) = std::sync::mpsc::channel();
    journal.barrier(Box::new(move |result| sender.send(result).unwrap())).unwrap();
    answer.recv().unwrap().unwrap();
}

fn backed_up(data: &Path, to: &Path, keys: bool) -> Manifest {
    let journal = open_journal(data).unwrap();
    let manifest = make(&journal, data, keys, to, at(1_000), &Progress::default()).unwrap();
    journal.close().unwrap();
    manifest
}

fn restored(from: &Path, data: &Path) -> Result<String, ExitError> {
    restore::restore(from, data, &Progress::default())
}

#[test]
fn what_was_backed_up_comes_back() {
    let (data, other) = (data(), tempfile::tempdir().unwrap());
    let (backup, again) = (other.path().join("backup"), other.path().join("again"));
    let manifest = backed_up(data.path(), &backup, false);
    assert_eq!((manifest.start, manifest.end, manifest.keys), (100, 503, false));
    assert!(!backup.join("token.key").exists());
    let said = restored(&backup, &again).unwrap();
    assert!(said.contains("boots") && said.contains("0.05 +") && said.contains("token.key"), "{said}");
    assert_eq!(fs::read(again.join("models/m-1/model.bin")).unwrap(), [3; 1_000]);
    let records = |data: &Path| {
        let journal = open_journal(data).unwrap();
        let start = journal.durable_start();
        let records: Vec<_> = replay(&journal, start).map(Result::unwrap).collect();
        let kept = journal.checkpoints("").unwrap();
        journal.close().unwrap();
        (start, records, kept)
    };
    assert_eq!(records(&again), records(data.path()));
    // Nothing is written over, and nothing is left beside.
    assert_eq!(restored(&backup, &again).unwrap_err().exit, Exit::CannotCreate);
    assert_eq!(fs::read_dir(other.path()).unwrap().count(), 2);
}

#[test]
fn keys_go_along_only_if_asked_for() {
    use std::os::unix::fs::PermissionsExt as _;
    let (data, other) = (data(), tempfile::tempdir().unwrap());
    let (backup, again) = (other.path().join("backup"), other.path().join("again"));
    assert!(backed_up(data.path(), &backup, true).keys);
    fs::create_dir(&again).unwrap();
    let said = restored(&backup, &again).unwrap();
    assert!(!said.contains("token.key"), "{said}");
    assert_eq!(fs::read(again.join("token.key")).unwrap(), [9; 32]);
    assert_eq!(fs::metadata(again.join("token.key")).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(&backup).unwrap().permissions().mode() & 0o077, 0);
}

/// Whatever is wrong with whichever file, nothing appears.
#[test]
fn a_damaged_backup_is_refused_by_the_name_of_the_file() {
    let (data, other) = (data(), tempfile::tempdir().unwrap());
    let (backup, again) = (other.path().join("backup"), other.path().join("again"));
    let manifest = backed_up(data.path(), &backup, true);
    let names: Vec<String> = manifest.files.iter().map(|file| file.name.clone()).collect();
    assert!(
        names.contains(&"token.key".to_owned()) && names.contains(&"models/m-1/model.bin".to_owned()),
        "{names:?}"
    );
    for name in names.iter().map(String::as_str).chain(["manifest.json"]) {
        let path = backup.join(name);
        let good = fs::read(&path).unwrap();
        let mut changed = good.clone();
        let Some(middle) = changed.get_mut(good.len() / 2) else { continue };
        *middle ^= 1;
        for bad in [Some(changed), Some(good[..good.len() - 2].to_vec()), None] {
            match bad {
                Some(bad) => fs::write(&path, bad).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            let error = restored(&backup, &again).unwrap_err();
            assert_eq!(error.exit, Exit::InputUnusable, "{}", error.message);
            assert!(error.message.contains(name), "{name}: {}", error.message);
            assert!(!again.exists());
            fs::write(&path, &good).unwrap();
        }
    }
    restored(&backup, &again).unwrap();
}

#[test]
fn a_backup_of_a_journal_at_work_is_of_one_offset() {
    let (data, other) = (data(), tempfile::tempdir().unwrap());
    let journal = open_journal(data.path()).unwrap();
    let event = Event::Behaviour {
        user: haggle_domain::UserKey(1),
        did: haggle_domain::BehaviourKind::Viewed,
        what: haggle_domain::Tag(2),
    };
    let record = Record { at: at(2_000), campaign: CampaignKey::default(), event };
    for round in 0..5 {
        let to = other.path().join(round.to_string());
        let manifest = std::thread::scope(|scope| {
            let made = scope
                .spawn(|| make(&journal, data.path(), false, &to, at(1_000), &Progress::default()).unwrap());
            while !made.is_finished() {
                if let Ok(permit) = journal.try_reserve() {
                    permit.commit(vec![record.clone(); 10], None);
                }
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            made.join().unwrap()
        });
        let said = restored(&to, &other.path().join(format!("of-{round}"))).unwrap();
        assert!(said.contains(&format!("offsets 100 to {}", manifest.end)), "{said}");
        ledger_settles(&journal);
    }
    assert!(journal.durable_end() > 503);
}

/// A state may name only models that are there: whoever adds one and promotes it waits until a copy is made, and the other way round.
#[test]
fn models_are_copied_as_of_one_moment() {
    let (data, other) = (data(), tempfile::tempdir().unwrap());
    let to = other.path().join("backup");
    let models = data.path().join("models");
    let journal = open_journal(data.path()).unwrap();
    let changing =
        fs::OpenOptions::new().create(true).append(true).open(models.join(".models.lock")).unwrap();
    changing.lock().unwrap();
    fs::write(models.join("state.json"), "m-2").unwrap();
    let manifest = std::thread::scope(|scope| {
        let made =
            scope.spawn(|| make(&journal, data.path(), false, &to, at(1_000), &Progress::default()).unwrap());
        std::thread::sleep(std::time::Duration::from_millis(700));
        fs::create_dir_all(models.join("m-2")).unwrap();
        fs::write(models.join("m-2/model.bin"), [4; 10]).unwrap();
        changing.unlock().unwrap();
        made.join().unwrap()
    });
    journal.close().unwrap();
    let names: Vec<&str> = manifest.files.iter().map(|file| file.name.as_str()).collect();
    assert!(names.contains(&"models/m-2/model.bin"), "{names:?}");
    assert!(!names.iter().any(|name| name.contains(".lock")), "{names:?}");
}

#[test]
fn a_stop_leaves_nothing() {
    let (data, other) = (data(), tempfile::tempdir().unwrap());
    let journal = open_journal(data.path()).unwrap();
    let progress = Progress::default();
    progress.stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let to = other.path().join("backup");
    assert!(make(&journal, data.path(), false, &to, at(0), &progress).is_err());
    journal.close().unwrap();
    backed_up(data.path(), &to, false);
    assert!(restore::restore(&to, &other.path().join("again"), &progress).is_err());
    assert_eq!(fs::read_dir(other.path()).unwrap().count(), 1);
}

/// Whatever stands where a file should be, it is not waited for.
#[test]
fn a_backup_of_pipes_is_refused_before_it_is_opened() {
    let (data, other) = (data(), tempfile::tempdir().unwrap());
    let (backup, again) = (other.path().join("backup"), other.path().join("again"));
    let manifest = backed_up(data.path(), &backup, false);
    for name in manifest.files.iter().map(|file| file.name.as_str()).chain(["manifest.json"]) {
        let (path, aside) = (backup.join(name), other.path().join("aside"));
        fs::rename(&path, &aside).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let error = restored(&backup, &again).unwrap_err();
        assert_eq!(error.exit, Exit::InputUnusable, "{}", error.message);
        assert!(
            error.message.contains(name) && error.message.contains("no regular file"),
            "{}",
            error.message
        );
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        assert_eq!(restored(&backup, &again).unwrap_err().exit, Exit::InputUnusable);
        fs::remove_file(&path).unwrap();
        fs::rename(&aside, &path).unwrap();
    }
    restored(&backup, &again).unwrap();
}

/// A node that has a copy of a log that others write, too.
fn one_of_several(cluster: &MemoryCluster, data: &Path, node: u64) -> SharedJournal {
    let log: std::sync::Arc<dyn Log> = std::sync::Arc::new(cluster.connect());
    let day = std::time::Duration::from_secs(86_400);
    let attribution = AttributorSettings {
        model: AttributionModel::Last,
        click_window: day,
        view_window: day,
        half_life: day,
        touches: 1_000,
    };
    let seed = Seed::find(data, &log, NodeId(node), attribution, at(0)).unwrap();
    let options = SharedOptions::default();
    let shared = SharedJournal::open(log, data, NodeId(node), &options, Box::new(|_| ())).unwrap();
    seed.plant(&shared).unwrap();
    shared
}

/// Commits events of a campaign as its owner, and says what its books are.
fn commit(shared: &SharedJournal, key: CampaignKey, events: Vec<Event>, books: &mut Books) {
    let (sender, durable) = std::sync::mpsc::channel();
    let records = events.into_iter().zip(0..).map(|(event, second)| {
        books.apply(&event, at(second)).unwrap();
        Record { at: at(second), campaign: key, event }
    });
    let on_durable = Box::new(move |result| sender.send(result).unwrap());
    shared.try_reserve().unwrap().commit(records.collect(), Some(on_durable));
    durable.recv().unwrap().unwrap();
}

fn own(shared: &SharedJournal, key: CampaignKey) {
    let (sender, claimed) = std::sync::mpsc::channel();
    let on_claimed = Box::new(move |result| sender.send(result).unwrap());
    shared.claim(shared.partition_of(key), on_claimed).unwrap();
    claimed.recv().unwrap().unwrap();
}

#[test]
fn a_backup_of_one_of_several_nodes_comes_back_as_one_that_stands_alone() {
    let (cluster, other) = (MemoryCluster::new(4), tempfile::tempdir().unwrap());
    let (first, second) = (other.path().join("first"), other.path().join("second"));
    let (one, two) = (one_of_several(&cluster, &first, 1), one_of_several(&cluster, &second, 2));
    let others = (8..).map(CampaignKey).find(|key| one.partition_of(*key) != one.partition_of(KEY)).unwrap();
    let mut expected = std::collections::HashMap::new();
    for (node, key, id) in [(&one, KEY, "boots"), (&two, others, "lamps")] {
        let mut books = Books::default();
        own(node, key);
        let billed = |number| Event::Billed {
            bid: BidId { campaign: key, lease: 1, number },
            reserved: Micros(200),
            charged: Micros(100),
            capped: false,
            explored: false,
        };
        let begun = vec![
            Event::Defined { id: id.to_owned() },
            Event::BudgetOpened { day: 1, amount: Micros(10_000_000) },
            Event::LeaseGranted {
                lease: 1,
                amount: Micros(5_000_000),
                expires_at: at(100_000),
                shared: true,
            },
            Event::TrancheGranted {
                lease: 1,
                holder: Holder(9),
                amount: Micros(1_000_000),
                first: 0,
                count: 100,
                explore: Micros(0),
                closes_at: at(1_000),
                expires_at: at(100_000),
            },
            billed(1),
        ];
        commit(node, key, begun, &mut books);
        if key == KEY {
            // What its owner does; of the other one this node's copy has nothing but records.
            let bytes = minicbor::to_vec(&books).unwrap();
            node.put_checkpoint_here(&checkpoint_name(key), bytes).unwrap();
            node.put_checkpoint(COMPLETE, 0, Vec::new()).unwrap();
        }
        commit(node, key, vec![billed(2), billed(3)], &mut books);
        expected.insert(key, books);
    }
    for _ in 0..2_000 {
        if one.durable_end() < 14 {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
    one.close().unwrap();
    two.close().unwrap();
    let (backup, again) = (other.path().join("backup"), other.path().join("again"));
    let manifest = backed_up(&first, &backup, false);
    assert_eq!((manifest.end, manifest.copy), (14, true));
    let said = restored(&backup, &again).unwrap();
    assert!(said.contains("stands alone") && said.contains("2 campaigns"), "{said}");
    crate::ledger::verify(&again, |_, _| {}).unwrap();
    assert!(!again.join("journal-shared").exists());
    for (data, is_copy) in [(&first, true), (&again, false)] {
        let journal = open_journal(data).unwrap();
        let recovered =
            if is_copy { recover_shared(&journal).unwrap().books } else { recover_all(&journal).unwrap() };
        assert_eq!(recovered, expected);
        // It would hold back `retention`.
        assert_eq!(journal.checkpoint(COMPLETE).unwrap().is_some(), is_copy);
        journal.close().unwrap();
    }
}
