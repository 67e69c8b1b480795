//! What a node has read lately, to be answered again while it is certain that it is still so.
//!
//! ```text
//! question -> [near] hit: still so? -------------------------------> answer
//!                 |  miss
//!                 v
//!             [flights] somebody reads it already? -- waits for it -> answer
//!                 |  nobody
//!                 v
//!             [sample] what is known of its names -> read -> keep --> answer
//! ```
//!
//! That an answer is still so is known from [`crate::coherence`], never from the map: nothing is ever taken out of it
//! to end the use of an answer. So there is no order between a fill and the word of a change that could be got wrong.
//!
//! - [`near`] the map; [`sample`] what makes an entry worth anything
//! - [`flights`] one read for all who ask at the same time
//! - [`observe`] what is counted
//!
//! Why this map, and what was measured: `docs/decisions/near-cache.md`.

pub mod flights;
pub mod near;
pub mod observe;
pub mod sample;
#[cfg(test)]
mod tests;
