//! How long to wait between two tries: longer each time, up to a cap, and never the same for two machines, so that a fleet never acts as one.

use std::time::Duration;

/// Before the first repetition at most so long.
const FIRST: Duration = Duration::from_millis(100);
/// Never longer.
const CAP: Duration = Duration::from_secs(2);

/// The waits of one request.
#[derive(Debug, Default)]
pub struct Backoff {
    tries: u32,
}

impl Backoff {
    /// How long to wait before the next try: a random time up to a bound that doubles.
    pub fn next(&mut self) -> Duration {
        // Without random bytes the machine is in trouble anyway: then the longest wait.
        let random = vigo_wire::random::array().map_or(u32::MAX, u32::from_le_bytes);
        let wait = bound(self.tries).mul_f64(f64::from(random) / f64::from(u32::MAX));
        self.tries = self.tries.saturating_add(1);
        wait
    }
}

fn bound(tries: u32) -> Duration {
    FIRST.saturating_mul(2_u32.saturating_pow(tries)).min(CAP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_doubles_up_to_the_cap() {
        let bounds: Vec<u128> = (0..7).map(|tries| bound(tries).as_millis()).collect();
        assert_eq!(bounds, [100, 200, 400, 800, 1600, 2000, 2000]);
        assert_eq!(bound(u32::MAX), CAP);
    }

    #[test]
    fn waits_differ_and_stay_below_their_bound() {
        let mut backoff = Backoff::default();
        let waits: Vec<Duration> = (0..40).map(|_| backoff.next()).collect();
        for (tries, wait) in (0..).zip(&waits) {
            assert!(*wait <= bound(tries));
        }
        assert!(waits.windows(2).any(|pair| pair[0] != pair[1]));
    }
}
