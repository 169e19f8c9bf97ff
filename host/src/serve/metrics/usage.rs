//! What tenants used of their host, and what their quotas made of that.

use std::fmt::Error;

use super::{Out, Scrape};

impl Scrape {
    pub(super) fn usage(&self, out: &mut Out<'_, '_>) -> Result<(), Error> {
        let used = self.each(|shown| Some(shown.used.as_secs_f64()));
        out.counter(
            "assay_tenant_cpu_seconds",
            "CPU time that the host spent on the tenant, but for its Kafka client and compiling, in seconds",
            used,
        )?;
        let waited = self.each(|shown| Some(shown.waited.as_secs_f64()));
        out.counter(
            "assay_tenant_cpu_wait_seconds",
            "Time that the tenant's work waited for a core while other tenants had it, in seconds",
            waited,
        )?;
        let bytes = self.each(|shown| Some(shown.counts.standing.lake_bytes as f64));
        out.gauge(
            "assay_lake_bytes",
            "Bytes of the live files of bronze, quarantine, silver and gold",
            bytes,
        )?;
        let slowed = self.each(|shown| Some(shown.counts.slowed.as_secs_f64()));
        out.counter(
            "assay_quota_slowed_seconds",
            "Time that nothing was taken in because more came than [quota] rows_per_second, in seconds",
            slowed,
        )?;
        let over = self.each(|shown| {
            let over = shown.counts.standing.over.is_some();
            Some(f64::from(u8::from(over)))
        });
        out.gauge(
            "assay_quota_exceeded",
            "1 while nothing is taken in because the tables are larger than [quota] lake_bytes",
            over,
        )?;
        let limits = self.every(|counts| {
            let quota = counts.quota;
            let limits = [
                ("cpu_share", Some(u64::from(quota.cpu_share))),
                ("rows_per_second", quota.rows_per_second),
                ("lake_bytes", quota.lake_bytes),
            ];
            let limits = limits.into_iter();
            limits.filter_map(|(name, limit)| Some((vec![("quota", name)], limit? as f64)))
        });
        out.gauge(
            "assay_quota_limit",
            "What [quota] says, where it says something",
            limits,
        )
    }
}
