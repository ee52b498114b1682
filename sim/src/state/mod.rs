//! Where every node stands at the end of a history, by evidence alone: what its disk holds, what it has asked on the wire and
//! not been answered, what clients saw. Nobody is asked; a broker cannot say here what it merely believes.

mod chains;
mod holdings;
mod in_flight;
mod logs;
mod queues;
mod standing;
mod told;

pub(crate) use in_flight::InFlight;
pub(crate) use standing::ends_its_life;
pub use told::told;

#[cfg(test)]
mod tests;
