package event

import (
	"errors"

	"cebridge/schema/rawjson"
)

// Change is what happened to a record, the last token of the event's type.
type Change string

// The changes. Loaded is a row of an initial load: nothing happened to it now.
const (
	Loaded  Change = "loaded"
	Created Change = "created"
	Updated Change = "updated"
	Deleted Change = "deleted"
)

// ReadBy is how the bridge came to know of a change.
type ReadBy string

// The ways of reading.
const (
	ByLoad    ReadBy = "load"
	ByDelta   ReadBy = "delta"
	ByOverlap ReadBy = "overlap"
	ByResync  ReadBy = "resync"
	ByRepair  ReadBy = "repair"
)

// Mode is a content mode of the NATS protocol binding.
type Mode string

// The modes. An empty Mode means Structured.
const (
	Structured Mode = "structured"
	Binary     Mode = "binary"
)

// Headers of published events, spelled as they are sent.
const (
	HeaderContentType = "Content-Type"
	HeaderVersion     = "Crm-Version"
	HeaderEpoch       = "Crm-Epoch"
	HeaderChange      = "Crm-Change"
	HeaderHash        = "Crm-Hash"
	HeaderTraceParent = "traceparent"
)

// ContentTypeStructured is the Content-Type of structured messages.
const ContentTypeStructured = "application/cloudevents+json"

// Bounds on what is read and on the attributes that are written.
const (
	MaxBody       = 8 << 20          // bytes of a message's payload
	MaxDepth      = rawjson.MaxDepth // nested objects and arrays, the outermost included
	MaxAttribute  = 64 << 10         // bytes of one attribute's value
	MaxAttributes = 256              // attributes of one event
	MaxEpoch      = 9999             // what the sequence attribute has digits for
)

var (
	// ErrNotEvent: the message does not claim to be a CloudEvent.
	ErrNotEvent = errors.New("not a CloudEvent")
	// ErrInvalid: the event breaks the specification or a bound of this package.
	ErrInvalid = errors.New("invalid CloudEvent")
)
