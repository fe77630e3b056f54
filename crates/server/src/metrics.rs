//! The numbers at `/metrics`, in OpenMetrics text. No label names an envoy: their number has no bound.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// What was asked and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Asked {
    /// `check-in`, `held-check-in`, `bundle`, `secrets`, `report`, `renew`, `enrol`, `handshake`.
    pub what: &'static str,
    /// `done`, or the word of the refusal.
    pub outcome: &'static str,
}

/// A REST request by its route and status.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Called {
    /// The route as in the table, never the path that was asked for.
    pub route: &'static str,
    /// The HTTP status.
    pub status: u16,
}

/// Every metric of the server.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// What envoys asked.
    pub asked: Family<Asked, Counter>,
    /// What operators asked.
    pub called: Family<Called, Counter>,
    /// How long a check-in took inside the server.
    pub check_in_seconds: Histogram,
    /// Secrets handed out.
    pub secrets_sealed: Counter,
    /// Audit records written.
    pub audit_records: Counter,
    /// Envoys that are not revoked.
    pub envoys: Gauge,
    /// Check-ins that are held now.
    pub held: Gauge,
    /// Held check-ins that were woken by news.
    pub woken: Counter,
    /// Inner sessions in memory.
    pub sessions: Gauge,
    /// Transactions of the store that read, as of the last look.
    pub store_reads: Counter,
    /// Transactions of the store that wrote, as of the last look.
    pub store_writes: Counter,
    /// The current publish.
    pub publish: Gauge,
}

impl Metrics {
    /// All at zero.
    #[must_use]
    pub fn new() -> Self {
        let buckets = [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.005, 0.025, 0.1, 1.0];
        let mut metrics = Self {
            registry: Registry::with_prefix("vigo"),
            asked: Family::default(),
            called: Family::default(),
            check_in_seconds: Histogram::new(buckets),
            secrets_sealed: Counter::default(),
            audit_records: Counter::default(),
            envoys: Gauge::default(),
            held: Gauge::default(),
            woken: Counter::default(),
            sessions: Gauge::default(),
            store_reads: Counter::default(),
            store_writes: Counter::default(),
            publish: Gauge::default(),
        };
        let registry = &mut metrics.registry;
        registry.register("envoy_requests", "What envoys asked, by outcome", metrics.asked.clone());
        registry.register(
            "rest_requests",
            "What operators asked, by route and status",
            metrics.called.clone(),
        );
        registry.register_with_unit(
            "check_in",
            "How long a check-in took inside the server",
            Unit::Seconds,
            metrics.check_in_seconds.clone(),
        );
        registry.register("secrets_sealed", "Secrets handed out, sealed", metrics.secrets_sealed.clone());
        registry.register("audit_records", "Audit records written", metrics.audit_records.clone());
        registry.register("envoys", "Envoys that are not revoked", metrics.envoys.clone());
        registry.register("held_check_ins", "Check-ins that are held now", metrics.held.clone());
        registry.register("woken_check_ins", "Held check-ins that were woken by news", metrics.woken.clone());
        registry.register("sessions", "Inner sessions in memory", metrics.sessions.clone());
        registry.register("store_reads", "Transactions that read the store", metrics.store_reads.clone());
        registry.register("store_writes", "Transactions that wrote the store", metrics.store_writes.clone());
        registry.register("publish", "The current publish", metrics.publish.clone());
        metrics
    }

    /// Counts one request of an envoy.
    pub fn count(&self, what: &'static str, outcome: &'static str) {
        self.asked.get_or_create(&Asked { what, outcome }).inc();
    }

    /// The text that a scraper gets.
    ///
    /// # Errors
    /// When the text cannot be written.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_as_the_guide_says() {
        let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guide/operate.md");
        let guide = std::fs::read_to_string(guide).unwrap();
        let mut lines = guide.lines().skip_while(|line| !line.ends_with("grep -c '^# TYPE vigo_'"));
        let said: usize = lines.nth(1).unwrap().parse().unwrap();
        let metrics = Metrics::new();
        // Of what has labels nothing is shown before it was counted.
        metrics.count("check-in", "done");
        metrics.called.get_or_create(&Called { route: "/healthz", status: 200 }).inc();
        let text = metrics.text().unwrap();
        assert_eq!(text.lines().filter(|line| line.starts_with("# TYPE vigo_")).count(), said, "{text}");
    }

    #[test]
    fn what_was_counted_is_in_the_text() {
        let metrics = Metrics::new();
        metrics.count("check-in", "done");
        metrics.check_in_seconds.observe(0.000_2);
        metrics.publish.set(7);
        let text = metrics.text().unwrap();
        assert!(text.contains("vigo_envoy_requests_total{what=\"check-in\",outcome=\"done\"} 1"), "{text}");
        assert!(text.contains("vigo_publish 7"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
}
