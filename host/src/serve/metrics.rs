//! `/metrics`: what the tenants' meters show, in the text format of OpenMetrics, which Prometheus
//! reads. Figures are taken from the meters as they are asked for; nothing is counted twice.

mod usage;

use std::fmt::Error;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::Shared;
use super::auth::Bearer;
use super::error::ApiError;
use super::health::readiness;
use super::process::Process;
use crate::names::Tenant;
use crate::pipeline::coordinate::Layer;
use crate::pipeline::host::{Known, State as Standing};
use crate::pipeline::meter::{Counts, Histogram};

const CONTENT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the host does, for Prometheus. On this machine it needs no token; elsewhere a token shows the
/// tenants that it may read of
#[utoipa::path(get, path = "/metrics", tag = "health", security((), ("token" = [])), responses(
    (status = 200, description = "OpenMetrics text", content_type = "application/openmetrics-text"),
    (status = 401, description = "Reached from another machine without a good token", body = super::error::Problem),
))]
pub async fn metrics(State(app): Shared, bearer: Bearer) -> Result<Response, ApiError> {
    let tenants = app.readable(&bearer).await?;
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape::of(tenants)));
    let mut body = String::new();
    text::encode(&mut body, &registry)
        .map_err(|error| ApiError::bad(error.to_string(), "try again"))?;
    Ok(([(header::CONTENT_TYPE, CONTENT)], body).into_response())
}

/// One tenant as it is now.
#[derive(Debug)]
struct Shown {
    tenant: Tenant,
    state: Standing,
    is_ready: bool,
    /// CPU time that it had, and how long its work waited for other tenants.
    used: Duration,
    waited: Duration,
    counts: Counts,
}

/// Everything that one scrape shows.
#[derive(Debug)]
struct Scrape {
    process: Process,
    tenants: Vec<Shown>,
}

type Labels<'a> = Vec<(&'static str, &'a str)>;

impl Scrape {
    fn of(tenants: Vec<(Tenant, Known)>) -> Self {
        let tenants = tenants.into_iter().map(|(tenant, known)| Shown {
            is_ready: readiness(&known).0,
            counts: known.meter.counts(),
            used: known.lake.share().used(),
            waited: known.lake.share().waited(),
            state: known.state,
            tenant,
        });
        Self {
            process: Process::now(),
            tenants: tenants.collect(),
        }
    }

    fn process(&self, out: &mut Out<'_, '_>) -> Result<(), Error> {
        let Process {
            cpu_seconds,
            resident_bytes,
            open_files,
            started,
        } = self.process;
        let none = || [(Labels::new(), 0.0)];
        let one = |value: f64| none().map(|(labels, _)| (labels, value));
        out.counter(
            "process_cpu_seconds",
            "CPU time of the process, in seconds",
            one(cpu_seconds),
        )?;
        out.gauge(
            "process_resident_memory_bytes",
            "Memory of the process that is resident, in bytes",
            one(resident_bytes as f64),
        )?;
        out.gauge(
            "process_open_fds",
            "Files and sockets that the process holds open",
            one(open_files as f64),
        )?;
        out.gauge(
            "process_start_time_seconds",
            "When the process began, in seconds since 1970",
            one(started),
        )?;
        let version = vec![("version", env!("CARGO_PKG_VERSION"))];
        out.gauge(
            "assay_build_info",
            "1, with the version of the host",
            [(version, 1.0)],
        )
    }

    /// One value a tenant.
    fn each<'a>(
        &'a self,
        value: impl Fn(&Shown) -> Option<f64> + 'a,
    ) -> impl Iterator<Item = (Labels<'a>, f64)> + 'a {
        self.tenants
            .iter()
            .filter_map(move |shown| Some((shown.labels(), value(shown)?)))
    }

    /// Some values a tenant, told apart by more labels.
    fn every<'a, I: Iterator<Item = (Labels<'a>, f64)> + 'a>(
        &'a self,
        values: impl Fn(&'a Counts) -> I + 'a,
    ) -> impl Iterator<Item = (Labels<'a>, f64)> + 'a {
        self.tenants.iter().flat_map(move |shown| {
            values(&shown.counts).map(move |(labels, value)| (shown.with(labels), value))
        })
    }

    fn rows(&self, out: &mut Out<'_, '_>) -> Result<(), Error> {
        let layers = self.every(|counts| {
            let refused = counts.refused.values().sum::<u64>();
            [
                ("bronze", counts.bronze),
                ("silver", counts.silver),
                ("quarantine", refused),
            ]
            .into_iter()
            .map(|(layer, rows)| (vec![("layer", layer)], rows as f64))
        });
        out.counter("assay_rows", "Rows that were committed, by layer", layers)?;
        let refused = self.every(|counts| {
            let refused = counts.refused.iter();
            refused.map(|((step, rule), rows)| {
                let labels = vec![("step", step.as_str()), ("rule", rule.as_str())];
                (labels, *rows as f64)
            })
        });
        out.counter(
            "assay_quarantined_rows",
            "Rows that went to quarantine, by step and first rule",
            refused,
        )?;
        let guilty = self.each(|shown| Some(shown.counts.guilty as f64));
        out.counter(
            "assay_guilty_rows",
            "Rows that a component trapped on, was starved by or answered nonsense about",
            guilty,
        )?;
        let bytes = self.each(|shown| Some(shown.counts.bytes as f64));
        out.counter(
            "assay_ingested_bytes",
            "Payload that went to bronze, in bytes",
            bytes,
        )?;
        let batches = self.each(|shown| Some(shown.counts.batches as f64));
        out.counter("assay_batches", "Batches that landed in silver", batches)
    }

    fn time(&self, out: &mut Out<'_, '_>) -> Result<(), Error> {
        let waits = self.tenants.iter();
        let waits = waits.map(|shown| (shown.labels(), &shown.counts.waits));
        out.histogram(
            "assay_silver_latency_seconds",
            "From a message's arrival at the broker to its commit in silver, in seconds",
            waits,
        )?;
        let puts = self.tenants.iter().flat_map(|shown| {
            let puts = shown.counts.puts.iter();
            puts.map(|(table, took)| (shown.with(vec![("table", table.as_str())]), took))
        });
        out.histogram(
            "assay_commit_seconds",
            "Writing a batch's files and committing them, in seconds, by table",
            puts,
        )?;
        let setbacks = self.every(|counts| {
            [
                ("conflict", counts.conflicts),
                ("lake", counts.lake_failures),
            ]
            .into_iter()
            .map(|(cause, count)| (vec![("cause", cause)], count as f64))
        });
        out.counter("assay_setbacks", "Times that a tenant began again from its tables: another host had moved (conflict), or the lake did not answer as it should (lake)", setbacks)
    }

    fn components(&self, out: &mut Out<'_, '_>) -> Result<(), Error> {
        fn each(
            counts: &Counts,
            value: fn(&crate::plugin::Usage) -> f64,
        ) -> impl Iterator<Item = (Labels<'_>, f64)> {
            counts.used.iter().map(move |((step, name), usage)| {
                let labels = vec![("step", step.as_str()), ("component", name.as_str())];
                (labels, value(usage))
            })
        }
        let cpu = self.every(|counts| each(counts, |usage| usage.cpu.as_secs_f64()));
        out.counter(
            "assay_component_cpu_seconds",
            "CPU time of a component's calls, with handing columns over, in seconds",
            cpu,
        )?;
        let fuel = self.every(|counts| each(counts, |usage| usage.fuel as f64));
        out.counter(
            "assay_component_fuel",
            "Fuel that a component burnt, about one unit an instruction",
            fuel,
        )?;
        let calls = self.every(|counts| each(counts, |usage| usage.calls as f64));
        out.counter(
            "assay_component_calls",
            "Calls of a component, those that looked for guilty rows included",
            calls,
        )
    }

    fn standing(&self, out: &mut Out<'_, '_>) -> Result<(), Error> {
        let up = self.each(|shown| Some(f64::from(u8::from(shown.state == Standing::Running))));
        out.gauge(
            "assay_tenant_up",
            "1 while the tenant runs on this host, 0 while it is paused or stopped",
            up,
        )?;
        let ready = self.each(|shown| Some(f64::from(u8::from(shown.is_ready))));
        out.gauge(
            "assay_tenant_ready",
            "1 while the tenant does what it is to do, as /readyz says",
            ready,
        )?;
        let ruleset = self.each(|shown| shown.counts.standing.ruleset.map(|number| number as f64));
        out.gauge(
            "assay_ruleset_number",
            "The rule set that judges what comes now",
            ruleset,
        )?;
        let takeovers = self.each(|shown| Some(shown.counts.standing.takeovers as f64));
        out.counter(
            "assay_ruleset_takeovers",
            "Times that another rule set took over",
            takeovers,
        )?;
        let guilty = self.each(|shown| {
            let fill = shown.counts.standing.breaker;
            Some(if fill.rows == 0 {
                0.0
            } else {
                fill.guilty as f64 / fill.rows as f64
            })
        });
        out.gauge(
            "assay_breaker_guilty_ratio",
            "Share of guilty rows among those that the circuit breaker looks back on",
            guilty,
        )?;
        let limit = self.each(|shown| Some(shown.counts.standing.breaker.share));
        out.gauge(
            "assay_breaker_limit_ratio",
            "The share past which the circuit breaker stops the tenant",
            limit,
        )?;
        let dedup = self.each(|shown| Some(shown.counts.standing.dedup_bytes as f64));
        out.gauge(
            "assay_dedup_index_bytes",
            "Memory of the duplicates index, about, in bytes",
            dedup,
        )?;
        let partitions =
            self.each(|shown| shown.counts.standing.partitions.map(|count| count as f64));
        out.gauge(
            "assay_source_partitions",
            "Partitions that this host reads",
            partitions,
        )
    }

    fn partitions(&self, out: &mut Out<'_, '_>) -> Result<(), Error> {
        // Label values must live as long as the labels.
        let numbered: Vec<(&Shown, Vec<String>)> = self
            .tenants
            .iter()
            .map(|shown| {
                let lag = shown.counts.standing.lag.iter();
                (
                    shown,
                    lag.map(|(partition, _)| partition.number.to_string())
                        .collect(),
                )
            })
            .collect();
        let lag = numbered.iter().flat_map(|(shown, numbers)| {
            let lag = shown.counts.standing.lag.iter().zip(numbers);
            lag.map(|((partition, behind), number)| {
                let labels = vec![("topic", &*partition.topic), ("partition", number.as_str())];
                (shown.with(labels), *behind as f64)
            })
        });
        out.gauge(
            "assay_source_lag",
            "Positions of the source past bronze: messages of Kafka, bytes of files",
            lag,
        )?;
        let numbered: Vec<(&Shown, Vec<String>)> = self
            .tenants
            .iter()
            .map(|shown| {
                let progress = shown.counts.standing.progress.iter();
                (
                    shown,
                    progress
                        .map(|(partition, ..)| partition.number.to_string())
                        .collect(),
                )
            })
            .collect();
        let progress = numbered.iter().flat_map(|(shown, numbers)| {
            let progress = shown.counts.standing.progress.iter().zip(numbers);
            progress.map(|((partition, layer, at), number)| {
                let labels = vec![
                    ("topic", &*partition.topic),
                    ("partition", number.as_str()),
                    ("layer", layer_name(*layer)),
                ];
                (shown.with(labels), *at as f64)
            })
        });
        out.gauge("assay_progress_position", "The first position that a layer has not taken yet: an offset of Kafka, a byte of a file", progress)
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut out = Out(&mut encoder);
        self.process(&mut out)?;
        let uptime = self.each(|shown| {
            let since: Instant = shown.counts.since;
            Some(since.elapsed().as_secs_f64())
        });
        out.gauge(
            "assay_tenant_seconds",
            "Since when this host counts for the tenant, in seconds",
            uptime,
        )?;
        self.standing(&mut out)?;
        self.rows(&mut out)?;
        self.time(&mut out)?;
        self.usage(&mut out)?;
        self.components(&mut out)?;
        self.partitions(&mut out)
    }
}

impl Shown {
    fn labels(&self) -> Labels<'_> {
        vec![("tenant", self.tenant.as_str())]
    }

    fn with<'a>(&'a self, more: Labels<'a>) -> Labels<'a> {
        let mut labels = self.labels();
        labels.extend(more);
        labels
    }
}

fn layer_name(layer: Layer) -> &'static str {
    match layer {
        Layer::Bronze => "bronze",
        Layer::Quarantine => "quarantine",
        Layer::Silver => "silver",
        Layer::Duplicates => "duplicates",
    }
}

/// Writes families of metrics.
struct Out<'e, 'd>(&'e mut DescriptorEncoder<'d>);

impl Out<'_, '_> {
    fn counter<'l>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels<'l>, f64)>,
    ) -> Result<(), Error> {
        let counter = MetricType::Counter;
        self.family(name, help, counter, values, |metric, value: &f64| {
            metric.encode_counter::<NoLabelSet, _, f64>(value, None)
        })
    }

    fn gauge<'l>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels<'l>, f64)>,
    ) -> Result<(), Error> {
        self.family(
            name,
            help,
            MetricType::Gauge,
            values,
            |metric, value: &f64| metric.encode_gauge(value),
        )
    }

    fn histogram<'l>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels<'l>, &'l Histogram)>,
    ) -> Result<(), Error> {
        let histogram = MetricType::Histogram;
        self.family(
            name,
            help,
            histogram,
            values,
            |metric, value: &&Histogram| {
                let (sum, count) = (value.seconds(), value.count());
                metric.encode_histogram::<NoLabelSet>(sum, count, &value.buckets(), None)
            },
        )
    }

    fn family<'l, V>(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        values: impl IntoIterator<Item = (Labels<'l>, V)>,
        encode: impl Fn(&mut MetricEncoder<'_>, &V) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut family = self.0.encode_descriptor(name, help, None, kind)?;
        for (labels, value) in values {
            match labels.is_empty() {
                true => encode(&mut family, &value)?,
                false => encode(&mut family.encode_family(&labels)?, &value)?,
            }
        }
        Ok(())
    }
}
