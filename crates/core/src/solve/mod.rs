//! Linear algebra and optimisers.
