// Package schema is the vocabulary of the bridge: tables, columns, alternate
// keys, lookups and their navigation properties, the names of subjects and
// event types, what protects a value in an event, and the one keyed write that an
// inbound event becomes.
//
// It does no I/O and reads no clock. Both the Web API client and the simulator
// use its types, and nothing else in common, so that they cannot share a
// misunderstanding of the wire.
//
// Terms are those of the field. A table has a logical name (account), an entity
// set (accounts) that stands in URLs, and a primary id column (accountid). An
// alternate key is a set of columns that addresses one record. A lookup column
// (primarycontactid) is written through a navigation property, whose name is
// case-sensitive and differs per target for polymorphic lookups.
package schema
