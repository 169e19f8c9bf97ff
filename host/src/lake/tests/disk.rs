//! What is forced to a local disk, in which order, and what an error of the disk means.

use std::io;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use deltalake::logstore::object_store::local::LocalFileSystem;

use super::*;
use crate::lake::CommitError;
use crate::lake::disk::Disk;
use crate::lake::table::STALE;

/// What was forced, in order, and whether a named file of the lake was there by then.
#[derive(Default)]
struct Watch {
    forced: Mutex<Vec<PathBuf>>,
    broken: AtomicBool,
}

impl Watch {
    /// A lake in a folder whose disk is watched.
    fn lake(folder: &FilePath) -> (Arc<Self>, Lake) {
        let watch = Arc::new(Self::default());
        let noted = watch.clone();
        let disk = Disk::with(Arc::new(move |file, path| {
            if noted.broken.load(Ordering::Relaxed) {
                return Err(io::Error::other("the disk is broken"));
            }
            file.sync_all()?;
            noted.forced.lock().unwrap().push(path.to_owned());
            Ok(())
        }));
        let lake = Lake::on(disk, folder.to_str().unwrap()).unwrap();
        (watch, lake)
    }

    /// What was forced since the last look: paths within the lake, without what is put behind a
    /// file's name until it has its own.
    fn take(&self, folder: &FilePath) -> Vec<String> {
        let forced = std::mem::take(&mut *self.forced.lock().unwrap());
        let names = forced.iter().map(|path| {
            let path = path.strip_prefix(folder).unwrap_or(path);
            let name = path.to_str().unwrap();
            match name.split_once('#') {
                Some((name, _)) => format!("before its name: {name}"),
                None => name.to_owned(),
            }
        });
        names.collect()
    }
}

#[tokio::test]
async fn a_file_is_forced_before_it_has_its_name_and_its_folder_before_the_log_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let (watch, lake) = Watch::lake(folder.path());
    let mut table = table(&lake).await;
    let made = watch.take(folder.path());
    let log = "north/silver/_delta_log";
    for forced in ["", "north", "north/silver", log] {
        assert!(made.iter().any(|path| path == forced), "{forced}: {made:?}");
    }

    let files = table
        .writer()
        .write(&rows(&[(1, Some("a"))]))
        .await
        .unwrap();
    let path = format!("north/silver/{}", files[0].path);
    let partition = "north/silver/store=a";
    assert_eq!(
        watch.take(folder.path()),
        [
            "north/silver".to_owned(),
            format!("before its name: {path}"),
            partition.to_owned()
        ]
    );
    table.commit(&append(files, vec![])).await.unwrap();
    let version = format!("{log}/{:020}.json", 1);
    assert_eq!(
        watch.take(folder.path()),
        [format!("before its name: {version}"), log.to_owned()]
    );
}

#[tokio::test]
async fn what_could_not_be_forced_is_not_reported_and_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let (watch, lake) = Watch::lake(folder.path());
    let mut table = table(&lake).await;
    watch.broken.store(true, Ordering::Relaxed);
    let error = table
        .writer()
        .write(&rows(&[(1, Some("a"))]))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("the disk is broken"), "{error}");
    let error = table
        .commit(&append(vec![], vec![step(None, 1)]))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("the disk is broken"), "{error}");
    let inside = |path: &str| std::fs::read_dir(folder.path().join(path)).unwrap().count();
    assert_eq!(
        inside("north/silver/store=a") + inside("north/silver/_delta_log"),
        1
    );

    watch.broken.store(false, Ordering::Relaxed);
    table
        .commit(&append(vec![], vec![step(None, 1)]))
        .await
        .unwrap();
    assert_eq!(table.version(), 1);
}

#[tokio::test]
async fn a_version_that_another_put_is_forced_before_it_is_relied_on() {
    let folder = tempfile::tempdir().unwrap();
    // Written by a host that does not force, and was killed.
    let careless = Lake::over(
        Arc::new(LocalFileSystem::new()),
        folder.path().to_str().unwrap(),
    );
    let mut there = table(&careless.unwrap()).await;
    let (watch, lake) = Watch::lake(folder.path());
    let log = "north/silver/_delta_log".to_owned();
    let version = |version: i64| format!("{log}/{version:020}.json");
    let mut here = table(&lake).await;
    assert_eq!(watch.take(folder.path()), [version(0), log.clone()]);

    there
        .commit(&append(vec![], vec![step(None, 5)]))
        .await
        .unwrap();
    watch.broken.store(true, Ordering::Relaxed);
    assert!(here.refresh().await.is_err());
    assert_eq!(here.transactions().len(), 0, "it is not relied on");
    let error = here
        .commit(&append(vec![], vec![step(None, 5)]))
        .await
        .unwrap_err();
    assert!(!matches!(error, CommitError::Fenced { .. }), "{error}");
    watch.broken.store(false, Ordering::Relaxed);
    here.refresh().await.unwrap();
    assert_eq!(watch.take(folder.path()), [version(1), log.clone()]);
    assert_eq!(here.transactions().len(), 1);
}

/// What stands still between its look at the log and the put looks at the put's own clock too late.
#[tokio::test]
async fn a_version_gets_no_name_once_the_log_is_old() {
    const SLOW: Duration = Duration::from_millis(200);
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::with(Arc::new(|file, path| {
        if path.to_str().is_some_and(|path| path.contains(".json#")) {
            std::thread::sleep(SLOW);
        }
        file.sync_all()
    }));
    let lake = Lake::on(disk, folder.path().to_str().unwrap()).unwrap();
    let mut here = table(&lake).await;
    let commit = append(vec![], vec![step(None, 5)]);
    here.read_at.monotonic -= STALE - SLOW / 2;
    let error = here.commit(&commit).await.unwrap_err();
    assert!(error.to_string().contains("held up"), "{error}");
    assert!(here.log.read(1).await.unwrap().is_none());
    // It is old now, so it is read anew.
    assert_eq!(here.commit(&commit).await.unwrap().version, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_checkpoint_is_forced_before_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (watch, lake) = Watch::lake(folder.path());
    let mut table = table(&lake).await;
    add(&mut table, 1, "a").await;
    watch.take(folder.path());
    table.maintenance_now().run().await.unwrap();
    let forced = watch.take(folder.path());
    let log = "north/silver/_delta_log";
    let at = |wanted: String| forced.iter().position(|path| path.ends_with(&wanted));
    let checkpoint = at(format!("{log}/{:020}.checkpoint.parquet", 1));
    let hint = at(format!("before its name: {log}/_last_checkpoint"));
    assert!(checkpoint.is_some() && checkpoint < hint, "{forced:?}");
}
