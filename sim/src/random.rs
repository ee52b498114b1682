//! Named random streams: one generator per component, keyed by the seed and the component's name.
//!
//! A component draws from its own stream only, so adding a node or a fault leaves what every other component draws, and
//! thereby what old seeds mean, as it was.
//!
//! In the midst of a run all streams can be turned to another future: whatever is drawn from then on, by streams that are
//! there already too, is keyed by the number of that future besides.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use rand::{Rng as _, RngExt as _, SeedableRng, TryRng};
use rand_chacha::ChaCha8Rng;

/// The random streams of one seed; clones are turned together.
#[derive(Debug, Clone)]
pub struct Streams {
    seed: u64,
    /// 0 is the future that the seed has by itself.
    future: Arc<AtomicU64>,
}

impl Streams {
    /// The streams of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, future: Arc::default() }
    }

    /// A fresh generator at the beginning of the stream `name`, for example `net/broker-a→broker-b`.
    #[must_use]
    pub fn stream(&self, name: &str) -> Stream {
        let future = self.future();
        Stream { streams: self.clone(), name: name.into(), future, draws: self.draws(name, future) }
    }

    /// From now on everything is drawn as that future has it; 0 is the seed's own.
    pub fn turn(&self, future: u64) {
        self.future.store(future, Ordering::Relaxed);
    }

    fn future(&self) -> u64 {
        self.future.load(Ordering::Relaxed)
    }

    fn draws(&self, name: &str, future: u64) -> ChaCha8Rng {
        let mut key = blake3::Hasher::new();
        key.update(&self.seed.to_le_bytes());
        key.update(name.as_bytes());
        if future != 0 {
            key.update(b"/future/");
            key.update(&future.to_le_bytes());
        }
        ChaCha8Rng::from_seed(*key.finalize().as_bytes())
    }
}

/// One random stream.
#[derive(Debug, Clone)]
pub struct Stream {
    streams: Streams,
    name: Box<str>,
    /// Which future `draws` belongs to.
    future: u64,
    draws: ChaCha8Rng,
}

impl Stream {
    /// Streams for the parts of a component, keyed by its next draw and turned when it is.
    pub fn streams(&mut self) -> Streams {
        Streams { seed: self.random(), future: self.streams.future.clone() }
    }

    /// The generator of the future that it is now.
    fn draws(&mut self) -> &mut ChaCha8Rng {
        let future = self.streams.future();
        if future != self.future {
            (self.future, self.draws) = (future, self.streams.draws(&self.name, future));
        }
        &mut self.draws
    }
}

impl TryRng for Stream {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.draws().next_u32())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.draws().next_u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.draws().fill_bytes(bytes);
        Ok(())
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

    #[test]
    fn a_turn_changes_what_is_drawn_from_then_on_and_nothing_before() {
        let draws = |future: Option<u64>| -> [u64; 3] {
            let streams = Streams::new(1);
            let mut stream = streams.stream("disk/a");
            let first = stream.random();
            future.into_iter().for_each(|future| streams.turn(future));
            [first, stream.random(), stream.streams().stream("part").random()]
        };
        let (own, one, other) = (draws(None), draws(Some(1)), draws(Some(2)));
        assert_eq!((own[0], own), (one[0], draws(Some(0))));
        assert_eq!(one, draws(Some(1)));
        assert!((1..3).all(|at| own[at] != one[at] && one[at] != other[at] && own[at] != other[at]));
    }

    #[test]
    fn parts_of_a_component_are_turned_with_it() {
        let streams = Streams::new(1);
        let parts = streams.stream("workload/c").streams();
        let before: u64 = parts.stream("fate").random();
        streams.turn(1);
        assert_ne!(before, parts.stream("fate").random::<u64>());
    }
}
