package inbound

import (
	"strings"
	"testing"

	cloudevent "github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"
)

func TestTheCauseOfAWriteIsItsEventAndWhatThatBelongsTo(t *testing.T) {
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	long := strings.Repeat("x", maxCause+1)
	tests := []struct {
		name       string
		id, source string
		extensions map[string]any
		header     map[string][]string
		want       Cause
	}{
		{"plain", "e-1", "/erp", nil, nil, Cause{ID: "e-1", Source: "/erp"}},
		{"correlation", "e-1", "/erp", map[string]any{"correlationid": "order 7", "traceparent": trace}, nil,
			Cause{ID: "e-1", Source: "/erp", Correlation: "order 7"}},
		{"correlation that is a number", "e-1", "/erp", map[string]any{"correlationid": 7}, nil,
			Cause{ID: "e-1", Source: "/erp", Correlation: "7"}},
		{"trace of the event", "e-1", "/erp", map[string]any{"traceparent": trace}, nil,
			Cause{ID: "e-1", Source: "/erp", Correlation: "0af7651916cd43dd8448eb211c80319c"}},
		{"trace of the message", "e-1", "/erp", nil, map[string][]string{"traceparent": {trace}},
			Cause{ID: "e-1", Source: "/erp", Correlation: "0af7651916cd43dd8448eb211c80319c"}},
		{"no trace", "e-1", "/erp", map[string]any{"traceparent": "00-xyz"}, nil, Cause{ID: "e-1", Source: "/erp"}},
		{"an id that is too long is left out, not cut", long, "/erp", nil, nil, Cause{}},
		{"so is a correlation", "e-1", "/erp", map[string]any{"correlationid": long}, nil, Cause{ID: "e-1", Source: "/erp"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := cloudevent.New()
			e.SetID(tt.id)
			e.SetSource(tt.source)
			for name, v := range tt.extensions {
				e.SetExtension(name, v)
			}
			en := &entry{message: &Message{Header: tt.header}, prepared: prepared{event: &e}}
			if diff := cmp.Diff(tt.want, en.cause()); diff != "" {
				t.Error(diff)
			}
		})
	}
	if got := (&entry{message: &Message{}}).cause(); got != (Cause{}) {
		t.Errorf("a message that is no event has the cause %+v", got)
	}
}
