// Package event turns changed records into CloudEvents on NATS messages, and
// NATS messages into CloudEvents. It does no I/O and reads no clock.
//
// # What the bridge publishes
//
// An Encoder writes the events of one table. For the same Record and Settings it
// writes the same bytes, whichever instance runs and however often. Attributes:
//
//	specversion      1.0
//	id               <table>/<record id>/<version>, then /deleted on a delete,
//	                 then @<epoch> when the epoch is above 1
//	source           Settings.Source
//	type             <Settings.TypePrefix>.<table>.<loaded|created|updated|deleted>
//	subject          record id
//	time             modifiedon as the server sent it; absent on deletes
//	datacontenttype  application/json
//	dataschema       Settings.DataSchema
//	orgid            Settings.OrgID
//	recordedtime     when the bridge read the change, RFC 3339, UTC, nanoseconds
//	sequence         <epoch, 4 digits>.<version, 19 digits>.<1 for a delete, else 0>;
//	                 compares as text
//	previousversion  version of the event before it on the subject, decimal
//	changedcolumns   logical names joined by commas
//	readby           load, delta, overlap, resync or repair
//	partitionkey     record id
//	reason           deletes only: deleted, filtered or reconciled
//	causationid, causationsource   id and source of the event that caused the change
//	correlationid, traceparent, tracestate
//	dataref          URI under which the data is kept; the event then has no data
//
// An attribute without a value is left out. The data is a JSON object with the
// members record, previous and references; each is left out when it is nil, so a
// delete without former values carries {}. The row's bytes are spliced in as
// they are: numbers keep every digit.
//
// Every message also carries the plain headers Crm-Version, Crm-Epoch, Crm-Change
// and Crm-Hash (16 hexadecimal digits), so that ReadHeader needs no body, and
// traceparent when there is one. In the structured mode no header begins with
// "ce-": readers that look for those first would take the message for a binary one.
//
// # What it reads
//
// Unmarshal decides the mode in this order:
//
//  1. Content-Type application/cloudevents or application/cloudevents+json, any
//     case, any parameters: structured, whatever other headers there are.
//     A batch, or another event format, is refused by name.
//  2. A ce-specversion header in any case: binary. The data's content type is
//     ce-datacontenttype, else Content-Type. Values are percent-decoded once if
//     that yields valid UTF-8, and taken raw otherwise.
//  3. A JSON object with a specversion member: structured.
//  4. Anything else fails with ErrNotEvent. FromPlainJSON gives such a message an
//     envelope.
//
// Only specversion 1.0 is read. 0.3 is refused by name: it spells attributes
// differently, and guessing would lose them. Names of attributes are lowered; two
// that then are equal are refused, as are duplicate names anywhere in the JSON,
// invalid UTF-8, and control characters in attribute values, which the
// specification forbids. A number beyond 32 bits in an attribute becomes its
// text. JSON data keeps its exact bytes.
//
// Bounds: body MaxBody, nesting MaxDepth, MaxAttributes attributes of MaxAttribute
// bytes each. What is beyond is refused, never cut.
//
// # Errors
//
// ErrNotEvent: the message does not claim to be a CloudEvent. ErrInvalid: it does,
// and is not a valid one, or an event cannot be written. Errors name the attribute
// or header and never quote its value; the value of specversion, a media type and
// the names themselves are quoted, shortened.
//
// Sources: CloudEvents specification 1.0.2, its JSON event format, NATS protocol
// binding, and the documented extensions distributed tracing, partitioning,
// sequence, recorded time and correlation.
package event
