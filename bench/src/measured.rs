//! What one load brought, whoever served it.

use crate::run::Report;

/// Of one load in one round.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    pub(crate) iops: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// CPU of whoever served it, per command; not known of targets that run elsewhere.
    pub(crate) target_us: Option<f64>,
}

impl From<&Report> for Measured {
    fn from(report: &Report) -> Self {
        Self {
            iops: report.total_iops(),
            p50_us: report.p50_us(),
            p99_us: report.p99_us(),
            target_us: report.target_us_per_io(),
        }
    }
}
