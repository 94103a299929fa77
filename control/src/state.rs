//! Desired state: the records of the model, kept in the store.

use std::sync::Arc;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::{
    inventory,
    model::{
        backend::BackendRecord,
        host::HostRecord,
        inventory::Inventory,
        node::{ControllerIdsRecord, EpochRecord, InviteRecord, NodeRecord, RemovedNodeRecord},
        secret::HostSecretRecord,
        snapshot::SnapshotRecord,
        target::{Scope, TargetRecord},
        task::TaskRecord,
        tenant::TenantRecord,
        tls_key::TlsKeyRecord,
        volume::VolumeRecord,
    },
    store::{Check, Entry, MetaStore, Op, Revision, StoreError, Watch},
};

/// Something that is stored under a key of its own.
pub(crate) trait Record: Serialize + DeserializeOwned {
    /// Begins the keys of all records of this kind; ends with `/`.
    const PREFIX: &'static str;
    /// The rest of the key.
    fn id(&self) -> String;

    fn key(&self) -> String {
        format!("{}{}", Self::PREFIX, self.id())
    }
}

impl Record for VolumeRecord {
    const PREFIX: &'static str = "volumes/";
    fn id(&self) -> String {
        self.uuid.to_string()
    }
}

impl Record for SnapshotRecord {
    const PREFIX: &'static str = "snapshots/";
    fn id(&self) -> String {
        self.uuid.to_string()
    }
}

impl Record for HostRecord {
    const PREFIX: &'static str = "hosts/";
    fn id(&self) -> String {
        self.id.clone()
    }
}

impl Record for HostSecretRecord {
    const PREFIX: &'static str = "host-secrets/";
    fn id(&self) -> String {
        self.host_id.clone()
    }
}

impl Record for TlsKeyRecord {
    const PREFIX: &'static str = "host-tls-keys/";
    fn id(&self) -> String {
        self.host_id.clone()
    }
}

impl Record for BackendRecord {
    const PREFIX: &'static str = "backends/";
    fn id(&self) -> String {
        self.persistent_id.clone()
    }
}

impl Record for TenantRecord {
    const PREFIX: &'static str = "tenants/";
    fn id(&self) -> String {
        self.id.clone()
    }
}

/// Makes a name, in lower case, unique over all tenants.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TenantNameRecord {
    pub(crate) name: String,
    pub(crate) tenant_id: String,
}

impl Record for TenantNameRecord {
    const PREFIX: &'static str = "tenant-names/";
    fn id(&self) -> String {
        self.name.clone()
    }
}

impl Record for NodeRecord {
    const PREFIX: &'static str = "nodes/";
    fn id(&self) -> String {
        self.persistent_id.clone()
    }
}

impl Record for RemovedNodeRecord {
    const PREFIX: &'static str = "removed-nodes/";
    fn id(&self) -> String {
        self.persistent_id.clone()
    }
}

impl Record for ControllerIdsRecord {
    const PREFIX: &'static str = "controller-ids/";
    fn id(&self) -> String {
        self.number.to_string()
    }
}

impl Record for EpochRecord {
    const PREFIX: &'static str = "provisioner/";
    fn id(&self) -> String {
        Self::ID.to_owned()
    }
}

impl EpochRecord {
    /// There is one.
    pub(crate) const ID: &'static str = "epoch";
}

impl Record for InviteRecord {
    const PREFIX: &'static str = "invites/";
    fn id(&self) -> String {
        self.id.to_string()
    }
}

impl Record for TargetRecord {
    const PREFIX: &'static str = "targets/";
    fn id(&self) -> String {
        target_id(&self.host_id, &self.scope)
    }
}

impl Record for TaskRecord {
    const PREFIX: &'static str = "tasks/";
    fn id(&self) -> String {
        self.id.to_string()
    }
}

impl Record for Inventory {
    const PREFIX: &'static str = "inventory/";
    fn id(&self) -> String {
        inventory::KEY.to_owned()
    }
}

/// Host ids contain no `/`, so that a host's targets have a prefix of their own.
pub(crate) fn target_id(host_id: &str, scope: &Scope) -> String {
    match scope {
        Scope::AllBackends => format!("{host_id}/all"),
        Scope::Backend(persistent_id) => format!("{host_id}/{persistent_id}"),
    }
}

/// Makes an alias unique within its tenant, and finds the volume by it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AliasRecord {
    pub(crate) tenant_id: String,
    pub(crate) alias: String,
    pub(crate) volume: Uuid,
}

impl Record for AliasRecord {
    const PREFIX: &'static str = "aliases/";
    fn id(&self) -> String {
        alias_id(&self.tenant_id, &self.alias)
    }
}

pub(crate) fn alias_id(tenant_id: &str, alias: &str) -> String {
    format!("{tenant_id}/{alias}")
}

impl AliasRecord {
    pub(crate) fn of(volume: &VolumeRecord) -> Self {
        Self { tenant_id: volume.tenant_id.clone(), alias: volume.alias.clone(), volume: volume.uuid }
    }
}

/// A record as it was read; writing it back demands that nobody has written it since.
#[derive(Debug, Clone)]
pub(crate) struct Stored<T> {
    pub(crate) value: T,
    revision: Revision,
}

/// Typed access to the store.
#[derive(Clone)]
pub(crate) struct State(Arc<dyn MetaStore>);

impl State {
    pub(crate) fn new(store: Arc<dyn MetaStore>) -> Self {
        Self(store)
    }

    /// Waits until nothing is under way any more, not even what nobody waits for.
    pub(crate) async fn quiet(&self) -> Result<(), StoreError> {
        self.0.quiet().await
    }

    pub(crate) fn store(&self) -> Arc<dyn MetaStore> {
        Arc::clone(&self.0)
    }

    /// Every entry, whatever its kind, as one transaction sees them.
    pub(crate) async fn export(&self) -> Result<Vec<Entry>, StoreError> {
        self.0.list("").await
    }

    /// Entries of any kind, all or nothing.
    pub(crate) async fn replace(&self, checks: Vec<Check>, ops: Vec<Op>) -> Result<(), StoreError> {
        self.0.txn(checks, ops).await.map(drop)
    }

    pub(crate) async fn get<T: Record>(&self, id: &str) -> Result<Option<Stored<T>>, StoreError> {
        let key = format!("{}{id}", T::PREFIX);
        self.0.get(&key).await?.map(parse).transpose()
    }

    /// All records of a kind, in the order of their ids.
    pub(crate) async fn list<T: Record>(&self) -> Result<Vec<Stored<T>>, StoreError> {
        self.list_under("").await
    }

    /// Those whose id begins so.
    pub(crate) async fn list_under<T: Record>(&self, ids: &str) -> Result<Vec<Stored<T>>, StoreError> {
        let prefix = format!("{}{ids}", T::PREFIX);
        self.0.list(&prefix).await?.into_iter().map(parse).collect()
    }

    /// Hears of every change of records of this kind from now on.
    pub(crate) fn watch<T: Record>(&self) -> Watch {
        self.0.watch(T::PREFIX)
    }

    /// All or nothing; `Conflict` if a record that the change rests on is no longer as it was read.
    pub(crate) async fn commit(&self, change: Change) -> Result<(), StoreError> {
        self.0.txn(change.checks, change.ops).await.map(drop)
    }

    /// Commits a new value of a record alone, and returns it with its new revision.
    pub(crate) async fn update<T: Record>(&self, stored: Stored<T>) -> Result<Stored<T>, StoreError> {
        self.update_and(stored, Change::default()).await
    }

    /// As `update`, together with another change.
    pub(crate) async fn update_and<T: Record>(
        &self,
        stored: Stored<T>,
        more: Change,
    ) -> Result<Stored<T>, StoreError> {
        let change = more.replace(&stored);
        let revision = self.0.txn(change.checks, change.ops).await?;
        Ok(Stored { value: stored.value, revision })
    }

    /// Commits new values of several records together.
    pub(crate) async fn update_all<T: Record>(&self, stored: &[Stored<T>]) -> Result<(), StoreError> {
        self.commit(stored.iter().fold(Change::default(), Change::replace)).await
    }

    /// Commits a change that creates `value`, and returns it with its revision.
    pub(crate) async fn create<T: Record>(&self, value: T, more: Change) -> Result<Stored<T>, StoreError> {
        let change = more.create(&value);
        let revision = self.0.txn(change.checks, change.ops).await?;
        Ok(Stored { value, revision })
    }

    /// Commits a change that creates all the values, and returns them with their revision.
    pub(crate) async fn create_all<T: Record>(
        &self,
        values: Vec<T>,
        more: Change,
    ) -> Result<Vec<Stored<T>>, StoreError> {
        let change = values.iter().fold(more, Change::create);
        let revision = self.0.txn(change.checks, change.ops).await?;
        Ok(values.into_iter().map(|value| Stored { value, revision }).collect())
    }
}

fn parse<T: Record>(entry: Entry) -> Result<Stored<T>, StoreError> {
    match serde_json::from_slice(&entry.value) {
        Ok(value) => Ok(Stored { value, revision: entry.revision }),
        Err(e) => Err(StoreError::Failed(format!("{} holds a damaged record: {e}", entry.key))),
    }
}

/// A transaction in the making.
#[derive(Debug, Default)]
pub(crate) struct Change {
    checks: Vec<Check>,
    ops: Vec<Op>,
}

impl Change {
    /// It must not exist yet.
    pub(crate) fn create<T: Record>(mut self, value: &T) -> Self {
        self.checks.push(Check::Absent(value.key()));
        self.put(value)
    }

    /// There must be no record of this kind and id.
    pub(crate) fn absent<T: Record>(mut self, id: &str) -> Self {
        self.checks.push(Check::Absent(format!("{}{id}", T::PREFIX)));
        self
    }

    /// Writes its value over what was read. With the value unchanged it still makes every other change that rests
    /// on what was read fail.
    pub(crate) fn replace<T: Record>(self, stored: &Stored<T>) -> Self {
        self.rest_on(stored).put(&stored.value)
    }

    /// Creates it, or writes it over what was read of it.
    pub(crate) fn set<T: Record>(self, read: Option<&Stored<T>>, value: &T) -> Self {
        let Some(stored) = read else { return self.create(value) };
        assert_eq!(stored.value.key(), value.key(), "a record is written over itself");
        self.rest_on(stored).put(value)
    }

    pub(crate) fn remove<T: Record>(self, stored: &Stored<T>) -> Self {
        self.rest_on(stored).forget(&stored.value)
    }

    /// Removes a record that changes only together with another one, which this change rests on.
    pub(crate) fn forget<T: Record>(self, value: &T) -> Self {
        self.forget_id::<T>(&value.id())
    }

    /// As `forget`, for a record that is known by its id only.
    pub(crate) fn forget_id<T: Record>(mut self, id: &str) -> Self {
        self.ops.push(Op::Delete { key: format!("{}{id}", T::PREFIX) });
        self
    }

    /// It must be as it was read.
    pub(crate) fn rest_on<T: Record>(mut self, stored: &Stored<T>) -> Self {
        self.checks.push(Check::At(stored.value.key(), stored.revision));
        self
    }

    fn put<T: Record>(mut self, value: &T) -> Self {
        let bytes = serde_json::to_vec(value).expect("records have string keys and no failing parts");
        self.ops.push(Op::Put { key: value.key(), value: bytes });
        self
    }
}
