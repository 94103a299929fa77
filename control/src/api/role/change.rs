//! Changes are made by compare-and-set, carried through even if their client goes away, and are events that say who
//! made them.

use crate::{
    app::SharedApp,
    envelope::ApiError,
    events::Kind as EventKind,
    limits,
    role::{Named, ObjectYrn},
    state::{Change, Stored},
    store::StoreError,
};

use super::RoleError;

/// What becomes of a record.
pub(super) enum Fate<T> {
    Keep(T),
    Remove,
    /// Nothing to do.
    Leave,
}

/// Changes the record of that name, or makes it: `edit` gets what there is. With what else the change removes.
pub(super) async fn change<T: Named>(
    app: &SharedApp,
    name: ObjectYrn,
    who: String,
    edit: impl Fn(Option<T>) -> Result<Fate<T>, RoleError> + Send + Sync + 'static,
) -> Result<(), RoleError> {
    let this = SharedApp::clone(app);
    let work = async move {
        let done = tried(&this, &name, edit).await;
        if let Ok(Some(verb)) = &done {
            let what = format!("{who} {verb} {}", name.kind.word());
            this.events.add(EventKind::RolesChanged, &name, format!("{what} {}", name.key())).await;
        }
        Ok::<_, ApiError>(done)
    };
    app.complete(work).await??;
    Ok(())
}

async fn tried<T: Named>(
    app: &SharedApp,
    name: &ObjectYrn,
    edit: impl Fn(Option<T>) -> Result<Fate<T>, RoleError>,
) -> Result<Option<&'static str>, RoleError> {
    let mut tries = 1;
    loop {
        let stored = app.state.get::<T>(&name.key()).await?;
        let (change, verb) = match (edit(stored.as_ref().map(|s| s.value.clone()))?, stored) {
            (Fate::Leave, _) | (Fate::Remove, None) => return Ok(None),
            (Fate::Remove, Some(stored)) => (Change::default().remove(&stored), "deleted"),
            (Fate::Keep(value), Some(mut stored)) => {
                stored.value = value;
                (Change::default().replace(&stored), "changed")
            }
            (Fate::Keep(value), None) => (with_parents(app, &value).await?, "made"),
        };
        match app.state.commit(change).await {
            Ok(()) => return Ok(Some(verb)),
            Err(StoreError::Conflict { .. }) if tries < limits::TXN_TRIES => tries += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

/// A new record, and those above it that do not exist yet.
async fn with_parents<T: Named>(app: &SharedApp, value: &T) -> Result<Change, RoleError> {
    let name = value.name();
    let there: Vec<Stored<T>> = app.state.list_under(&format!("{}/", name.tenant)).await?;
    if there.len() >= limits::NAMED_OF_TENANT {
        let kind = name.kind.word();
        return Err(RoleError::bad(format!("a tenant may have {} of kind {kind}", limits::NAMED_OF_TENANT)));
    }
    let missing = name.parents().filter(|parent| !there.iter().any(|t| t.value.name() == parent));
    Ok(missing.fold(Change::default().create(value), |change, parent| change.create(&T::new(parent))))
}

/// A list that fits.
pub(super) fn bounded<T>(what: &str, list: Vec<T>) -> Result<Vec<T>, RoleError> {
    match list.len() <= limits::ROLE_LIST {
        true => Ok(list),
        false => Err(RoleError::bad(format!("{what} must have at most {} entries", limits::ROLE_LIST))),
    }
}
