//! By example and by property.
