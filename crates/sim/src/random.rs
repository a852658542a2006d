//! One seed, and from it as many independent sources as there are links, clients and decisions.

use std::time::Duration;

/// SplitMix64.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A source that repeats for the same seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A source of its own, so that what one part draws does not change what another gets.
    pub fn fork(&mut self) -> Self {
        Self(self.u64())
    }

    /// 64 bits.
    pub fn u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Evenly in 0..1.
    pub fn unit(&mut self) -> f64 {
        // 53 bits are what the mantissa of an f64 holds.
        (self.u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Evenly in `0..bound`; 0 for a bound of 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.u64().checked_rem(bound).unwrap_or(0)
    }

    /// Evenly in `from..to`.
    pub fn within(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to.saturating_sub(from))
    }

    /// As often as `share` says.
    pub fn chance(&mut self, share: f64) -> bool {
        self.unit() < share
    }

    /// Evenly between nothing and `most`.
    pub fn up_to(&mut self, most: Duration) -> Duration {
        most.mul_f64(self.unit())
    }

    /// Distributed exponentially around `mean`.
    pub fn around(&mut self, mean: Duration) -> Duration {
        mean.mul_f64(-(1.0 - self.unit()).ln())
    }
}
