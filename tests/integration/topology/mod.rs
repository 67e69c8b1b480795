//! Redis in more than one process: Sentinel, and Redis Cluster.
//!
//! - [`starters`] what the tests start for it does what it says

mod starters;
