/// Schemas
