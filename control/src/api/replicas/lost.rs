//! What becomes of what lay on a backend that was removed by force (provisioner D12).

use std::collections::HashSet;

use uuid::Uuid;

use crate::{
    app::{App, now_ms},
    model::{
        snapshot::SnapshotRecord,
        target::TargetRecord,
        volume::{Protocol, VolumeRecord},
    },
    state::Change,
    store::StoreError,
};

/// Copies there are Missing and on no backend from now on, and no target exports them; snapshots there can only be deleted.
/// To be committed together with the removal of the backend.
pub(crate) async fn lose_backend(app: &App, backend: &str) -> Result<Change, StoreError> {
    let (now, mut change) = (now_ms(), Change::default());
    for mut snapshot in app.state.list::<SnapshotRecord>().await? {
        if snapshot.value.replica.backend == backend {
            snapshot.value.replica.lose(now);
            change = change.replace(&snapshot);
        }
    }
    let mut volumes = app.state.list::<VolumeRecord>().await?;
    volumes.retain(|volume| volume.value.is_on(backend));
    let mut gone: HashSet<Uuid> = HashSet::new();
    for replica in volumes.iter_mut().flat_map(|v| &mut v.value.replicas).filter(|r| r.backend == backend) {
        replica.lose(now);
        gone.insert(replica.uuid);
    }
    let mut targets = app.state.list::<TargetRecord>().await?;
    for target in &mut targets {
        if target.value.forget(&gone) {
            change = if target.value.is_empty() { change.remove(target) } else { change.replace(target) };
        }
    }
    for mut volume in volumes {
        let uuid = volume.value.uuid;
        if volume.value.protocol == Protocol::Nvmeof {
            let has = |host: &String| targets.iter().any(|t| t.value.host_id == *host && t.value.has(uuid));
            volume.value.published_to.retain(has);
        }
        change = change.replace(&volume);
    }
    Ok(change)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{
            replica::{Replica, ReplicaState},
            snapshot::tests::snapshot,
            target::Scope,
            volume::tests::volume,
        },
        reconcile::crash_test::Crashed,
    };

    #[tokio::test]
    async fn copies_are_missing_and_exported_to_nobody() {
        let crashed = Crashed::new().await;
        let app = &crashed.app;
        let there = "02:00:00:00:00:01";
        let mut simple = volume(1, 1);
        let mut replicated = volume(2, 1);
        replicated.class.num_replicas = 2;
        replicated.replicas.push(Replica::new(Uuid::from_u128(3), "02:00:00:00:00:02", 0));
        let mut change = Change::default().create(&snapshot(5));
        for (backend, replica) in [(there, 2), ("02:00:00:00:00:02", 3)] {
            let scope = Scope::Backend(backend.to_owned());
            let mut target = TargetRecord::new("h", scope, "nqn.2026-11.io.basalt:");
            target.publish(Uuid::from_u128(2), Uuid::from_u128(replica), &Default::default()).unwrap();
            if backend == there {
                target.publish(Uuid::from_u128(1), Uuid::from_u128(1), &Default::default()).unwrap();
            }
            change = change.create(&target);
        }
        for volume in [&mut simple, &mut replicated] {
            volume.published_to.insert("h".to_owned());
            change = change.create(volume);
        }
        app.state.commit(change).await.unwrap();

        app.state.commit(lose_backend(app, there).await.unwrap()).await.unwrap();
        let volumes = app.state.list::<VolumeRecord>().await.unwrap();
        let [simple, replicated] = volumes.as_slice() else { panic!("{volumes:?}") };
        let of = |v: &VolumeRecord| -> Vec<(String, ReplicaState)> {
            v.replicas.iter().map(|r| (r.backend.clone(), r.state)).collect()
        };
        let lost = (String::new(), ReplicaState::Missing);
        assert_eq!(of(&simple.value), std::slice::from_ref(&lost));
        assert!(simple.value.published_to.is_empty());
        let other = ("02:00:00:00:00:02".to_owned(), ReplicaState::Unknown);
        assert_eq!(of(&replicated.value), [lost, other]);
        assert_eq!(replicated.value.published_to.len(), 1);
        let targets = app.state.list::<TargetRecord>().await.unwrap();
        assert_eq!(targets.len(), 1, "the one there went with its last namespace");
        let snapshots = app.state.list::<SnapshotRecord>().await.unwrap();
        assert!(snapshots[0].value.replica.is_lost());
    }
}
