//! The tasks in the store. Internal ones expire: who lists them does not see those any more, who makes one sweeps them.

use uuid::Uuid;

use crate::{
    app::now_ms,
    limits,
    model::task::{TaskRecord, TaskType},
    state::{Change, State, Stored},
    store::StoreError,
};

/// Those that are not gone, the oldest first.
pub(crate) async fn list(state: &State) -> Result<Vec<Stored<TaskRecord>>, StoreError> {
    let now = now_ms();
    let mut tasks = state.list::<TaskRecord>().await?;
    tasks.retain(|task| !task.value.has_expired(now));
    tasks.sort_by_key(|task| (task.value.start_ms, task.value.id));
    Ok(tasks)
}

/// Aborts what agents of those hosts still do about a volume that they no longer have; to be committed with the reason.
pub(crate) async fn abort_migrations(
    state: &State,
    volume: Uuid,
    hosts: &[String],
    mut change: Change,
) -> Result<Change, StoreError> {
    for mut task in state.list::<TaskRecord>().await? {
        let is_theirs = task.value.host_id.as_ref().is_some_and(|host| hosts.contains(host));
        if is_theirs && task.value.volume == Some(volume) && !task.value.state.has_ended() {
            task.value.abort("the volume was unpublished", now_ms());
            change = change.replace(&task);
        }
    }
    Ok(change)
}

/// Commits what an internal task did, together with the note that it has been done: a crash leaves both or none.
pub(crate) async fn commit_done(
    state: &State,
    task_type: TaskType,
    description: &str,
    change: Change,
) -> Result<(), StoreError> {
    let now = now_ms();
    let mut ended: Vec<TaskRecord> = state.list::<TaskRecord>().await?.into_iter().map(|t| t.value).collect();
    ended.retain(|task| task.host_id.is_none() && task.state.has_ended());
    ended.sort_by_key(|task| task.start_ms);
    let too_many = (ended.len() + 1).saturating_sub(limits::INTERNAL_TASKS);
    let gone = ended.iter().enumerate().filter(|(i, task)| *i < too_many || task.has_expired(now));
    let change = gone.map(|(_, task)| task).fold(change, Change::forget);
    state.create(TaskRecord::done(task_type, description, now), change).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::RedbStore;

    #[tokio::test]
    async fn expired_and_surplus_tasks_are_swept() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::new(Arc::new(RedbStore::open(&dir.path().join("store.redb")).unwrap()));
        let old = TaskRecord::done(TaskType::FetchInventory, "long ago", 1);
        let migration = TaskRecord {
            host_id: Some("h".to_owned()),
            ..TaskRecord::done(TaskType::RemoteMigration, "", 1)
        };
        for task in [&old, &migration] {
            state.create(task.clone(), Change::default()).await.unwrap();
        }
        assert_eq!(list(&state).await.unwrap().len(), 1, "the old one is not shown");
        for _ in 0..limits::INTERNAL_TASKS + 2 {
            let nothing = Change::default();
            commit_done(&state, TaskType::FetchInventory, "fetched", nothing).await.unwrap();
        }
        let kept = state.list::<TaskRecord>().await.unwrap();
        assert_eq!(kept.len(), limits::INTERNAL_TASKS + 1);
        assert!(kept.iter().any(|t| t.value == migration) && kept.iter().all(|t| t.value != old));
    }
}
