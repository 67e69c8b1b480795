//! Which servers take writes, and what of the keys each has.

pub(super) mod slots;
