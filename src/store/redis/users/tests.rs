//! Steps of a creation that is cut off between two of them.
