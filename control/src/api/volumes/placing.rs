//! Where a volume that is asked for can lie: the pool as placement sees it.

use super::{record::reserve_floor_gib, request::VolumeRequest};
use crate::{
    api::backends::backends,
    app::{App, Observed, now_ms},
    envelope::ApiError,
    model::{
        GIB,
        backend::{BackendRecord, Figures},
        placement::{Candidate, CandidateDrive, Wanted},
        reserve::thin_reserve,
        volume::{Provisioning, Reserved, Size, VolumeRecord},
    },
};

impl VolumeRequest {
    /// What each copy shall have.
    pub(crate) async fn size(&self, app: &App, observed: &Observed) -> Result<Size, ApiError> {
        let whole = self.capacity_gib * GIB;
        let reserved_bytes = match self.provisioning {
            Provisioning::Thick => whole,
            Provisioning::Thin | Provisioning::Other => {
                thin_reserve(whole, self.reserve_percent, reserve_floor_gib(app, observed).await?)
            }
        };
        Ok(Size { capacity_gib: self.capacity_gib, reserved_bytes })
    }

    pub(crate) fn wanted(&self, size: Size) -> Wanted<'_> {
        Wanted {
            class: &self.class,
            protocol: self.protocol,
            capacity_gib: size.capacity_gib,
            reserved_bytes: size.reserved_bytes,
            copies: usize::try_from(self.class.num_replicas).unwrap_or(usize::MAX),
            holders: &[],
        }
    }

    /// Of the tenant's budget.
    pub(crate) fn takes(&self, size: Size) -> Reserved {
        Reserved::of_copies(&self.class, size, self.class.num_replicas)
    }
}

/// Every backend with what it has free.
pub(crate) async fn candidates(app: &App, observed: &Observed) -> Result<Vec<Candidate>, ApiError> {
    let volumes = app.state.list::<VolumeRecord>().await?;
    let records = || volumes.iter().map(|v| &v.value);
    let now = now_ms();
    let candidate = |record: BackendRecord| {
        let id = &record.persistent_id;
        let figures = Figures::of(&record, observed, records(), &app.config);
        Candidate {
            available: record.is_available(observed, now),
            drives: CandidateDrive::list(observed.drives_of(id), &observed.volumes, records(), None),
            free_iops: figures.iops.free(),
            free_bytes_per_second: figures.bytes_per_second.free(),
            record,
        }
    };
    Ok(backends(app).await?.into_iter().map(|b| candidate(b.value)).collect())
}
