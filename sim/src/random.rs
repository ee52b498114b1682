//! Named random streams: one generator per component, keyed by the seed and the component's name.
//!
//! A component draws from its own stream only, so adding a node or a fault leaves what every other component draws, and
//! thereby what old seeds mean, as it was.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// The random streams of one seed.
#[derive(Debug, Clone, Copy)]
pub struct Streams {
    seed: u64,
}

impl Streams {
    /// The streams of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// A fresh generator at the beginning of the stream `name`, for example `net/broker-a→broker-b`.
    #[must_use]
    pub fn stream(&self, name: &str) -> ChaCha8Rng {
        let mut key = blake3::Hasher::new();
        key.update(&self.seed.to_le_bytes());
        key.update(name.as_bytes());
        ChaCha8Rng::from_seed(*key.finalize().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::Streams;

    #[test]
    fn a_stream_depends_on_seed_and_name_only() {
        let draw = |seed, name: &str| -> [u8; 16] { Streams::new(seed).stream(name).random() };
        assert_eq!(draw(1, "disk/a"), draw(1, "disk/a"));
        assert_ne!(draw(1, "disk/a"), draw(2, "disk/a"));
        assert_ne!(draw(1, "disk/a"), draw(1, "disk/b"));
    }
}
