//! Lakes at the URLs of object stores, over a store in memory.

use std::sync::atomic::Ordering;

use deltalake::logstore::object_store::ObjectStore as _;
use futures::TryStreamExt as _;

use super::super::LakeError;
use super::super::maintain::write_checkpoint;
use super::faults::{Fault, Faulty};
use super::{append, rows, spec, step};

const URLS: [&str; 4] = [
    "abfss://lake@retail.dfs.core.windows.net/sales/all",
    "az://lake/sales/all/",
    "s3://lake/sales/all",
    "gs://lake/sales/all",
];

async fn names(store: &Faulty) -> Vec<String> {
    let found = store
        .list(None)
        .map_ok(|object| object.location.to_string());
    found.try_collect().await.unwrap()
}

#[tokio::test]
async fn tables_lie_under_the_path_of_the_url_and_are_read_again_from_their_checkpoint() {
    for url in URLS {
        let (store, lake) = Faulty::lake_at(url);
        let mut table = lake.create_table("north/bronze", &spec()).await.unwrap();
        let adds = table
            .writer()
            .write(&rows(&[(7, Some("a"))]))
            .await
            .unwrap();
        // The store's 409 for two puts at a time, where neither has come true yet.
        store.next(Fault::Conflict);
        store.next(Fault::LostReply);
        let commit = append(adds, vec![step(None, 8)]);
        assert_eq!(table.commit(&commit).await.unwrap().version, 1, "{url}");
        write_checkpoint(&lake.log("north/bronze").unwrap(), 1)
            .await
            .unwrap();
        let reopened = lake.open_table("north/bronze").await.unwrap().unwrap();
        assert_eq!(reopened.version(), 1, "{url}");
        assert_eq!(reopened.files().count(), 1, "{url}");
        assert_eq!(lake.list_tables("").await.unwrap(), ["north/bronze"]);
        let names = names(&store).await;
        assert!(
            names
                .iter()
                .all(|name| name.starts_with("sales/all/north/bronze/")),
            "{names:?}"
        );
        assert!(
            names
                .iter()
                .any(|name| name.ends_with("1.checkpoint.parquet")),
            "{names:?}"
        );
    }
}

#[tokio::test]
async fn a_store_that_overwrites_is_refused_and_nothing_stays_in_it() {
    let (store, lake) = Faulty::lake_at("s3://lake/sales");
    lake.check_conditional_puts().await.unwrap();
    assert!(names(&store).await.is_empty());
    store.overwrites.store(true, Ordering::Relaxed);
    let error = lake.check_conditional_puts().await.unwrap_err();
    assert!(matches!(error, LakeError::Overwrites { .. }), "{error}");
    assert!(names(&store).await.is_empty());
}
