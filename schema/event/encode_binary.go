package event

import (
	"strconv"
	"strings"
	"time"
)

// binary writes attributes as headers and the data as the payload. r is valid.
func (e *Encoder) binary(r *Record) (map[string][]string, []byte) {
	const most = 27 // headers of an event that has everything
	header := make(map[string][]string, most)
	values := crmHeaders(header, make([]string, 0, most), r)
	add := func(name, value string) {
		if value != "" {
			values = addHeader(header, values, name, percentEncode(value))
		}
	}
	add("ce-specversion", "1.0")
	add("ce-datacontenttype", "application/json")
	add("ce-source", e.settings.Source)
	add("ce-dataschema", e.settings.DataSchema)
	add("ce-orgid", e.settings.OrgID)
	add("ce-type", e.types[r.Change])
	add("ce-id", ID(e.settings.Table, r.RecordID, r.Version, r.Epoch, r.deleted()))
	add("ce-subject", r.RecordID)
	add("ce-partitionkey", r.RecordID)
	if !r.deleted() {
		add("ce-time", r.Modified)
	}
	add("ce-recordedtime", r.Recorded.UTC().Format(time.RFC3339Nano))
	add("ce-sequence", Sequence(r.Version, r.Epoch, r.deleted()))
	add("ce-readby", string(r.ReadBy))
	if r.Previous > 0 {
		add("ce-previousversion", strconv.FormatInt(r.Previous, 10))
	}
	add("ce-reason", r.Reason)
	add("ce-changedcolumns", strings.Join(r.Changed, ","))
	add("ce-causationid", r.Causation)
	add("ce-causationsource", r.CausationSource)
	add("ce-correlationid", r.Correlation)
	add("ce-traceparent", r.TraceParent)
	add("ce-tracestate", r.TraceState)
	if r.DataRef != "" {
		add("ce-dataref", r.DataRef)
		return header, nil
	}
	return header, Payload(r)
}
