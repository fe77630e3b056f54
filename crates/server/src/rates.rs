//! How often one envoy may ask for what costs: secrets, which are resealed and audited one by one, and reports, which are stored. In memory; a
//! restart forgives.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Requests for secrets: a run of the largest bundle that is sensible (30,000 secrets) at once, and then one a quarter of a second.
const SECRETS: Rate = Rate { burst: 120.0, a_second: 4.0 };
/// Reports: everything that a machine keeps while the server is away, and then more than one a second.
const REPORTS: Rate = Rate { burst: 120.0, a_second: 2.0 };

#[derive(Clone, Copy, Debug)]
struct Rate {
    burst: f64,
    a_second: f64,
}

/// What is left to one envoy.
#[derive(Debug)]
pub struct Rates {
    secrets: Bucket,
    reports: Bucket,
}

impl Default for Rates {
    fn default() -> Self {
        Self { secrets: Bucket::new(SECRETS), reports: Bucket::new(REPORTS) }
    }
}

impl Rates {
    /// Takes one request for secrets; otherwise says how long to wait for the next.
    ///
    /// # Errors
    /// When there were too many.
    pub fn secrets(&self) -> Result<(), Duration> {
        self.secrets.take(Instant::now())
    }

    /// Takes one report; otherwise says how long to wait for the next.
    ///
    /// # Errors
    /// When there were too many.
    pub fn report(&self) -> Result<(), Duration> {
        self.reports.take(Instant::now())
    }
}

/// A bucket that is full at first and fills again with time.
#[derive(Debug)]
struct Bucket {
    rate: Rate,
    /// What was left, and when.
    left: Mutex<Option<(f64, Instant)>>,
}

impl Bucket {
    const fn new(rate: Rate) -> Self {
        Self { rate, left: Mutex::new(None) }
    }

    fn take(&self, now: Instant) -> Result<(), Duration> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let (before, at) = left.unwrap_or((self.rate.burst, now));
        let gained = now.saturating_duration_since(at).as_secs_f64() * self.rate.a_second;
        let there = (before + gained).min(self.rate.burst);
        if there < 1.0 {
            *left = Some((there, now));
            return Err(Duration::from_secs_f64((1.0 - there) / self.rate.a_second));
        }
        *left = Some((there - 1.0, now));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_let_through_and_then_as_many_as_the_rate_says() {
        let bucket = Bucket::new(Rate { burst: 5.0, a_second: 2.0 });
        let start = Instant::now();
        let after = |milliseconds: u64| start + Duration::from_millis(milliseconds);
        for _ in 0..5 {
            bucket.take(start).unwrap();
        }
        assert_eq!(bucket.take(start), Err(Duration::from_millis(500)));
        assert_eq!(bucket.take(after(250)), Err(Duration::from_millis(250)));
        bucket.take(after(500)).unwrap();
        assert!(bucket.take(after(500)).is_err());
        // It never holds more than the burst, and a clock that stands still gives nothing.
        let let_through = (0..20).filter(|_| bucket.take(after(3_600_000)).is_ok()).count();
        assert_eq!(let_through, 5);
    }

    #[test]
    fn secrets_and_reports_are_counted_apart() {
        let rates = Rates::default();
        while rates.secrets().is_ok() {}
        rates.report().unwrap();
    }
}
