package jet

import (
	"strings"
	"testing"
)

func TestAMessageIsReadAsARouteWouldGetItWithoutAConsumer(t *testing.T) {
	t.Parallel()
	c := newSource(t, startServer(t))
	send(t, c, 1, 3)
	m, err := c.MessageAt(t.Context(), source, 2)
	if err != nil {
		t.Fatal(err)
	}
	if m.Sequence != 2 || string(m.Data) != "2" || m.Subject != "erp.customer.changed" || m.Header["N"][0] != "2" || m.Stored.IsZero() || m.Stream != source {
		t.Errorf("%+v", m)
	}
	s, err := c.js.Stream(t.Context(), source)
	if err != nil {
		t.Fatal(err)
	}
	if state := s.CachedInfo().State; state.Consumers != 0 || state.Msgs != 3 {
		t.Errorf("%d consumers, %d messages", state.Consumers, state.Msgs)
	}
	if m.Incarnation != newFeed(t, c).incarnation {
		t.Error("another incarnation than that of a feed")
	}
	if _, err := c.MessageAt(t.Context(), source, 9); err == nil || !strings.Contains(err.Error(), "it holds 1 to 3") {
		t.Errorf("a message that is not there: %v", err)
	}
	if _, err := c.MessageAt(t.Context(), "NONE", 1); err == nil || !strings.Contains(err.Error(), "no stream NONE") {
		t.Errorf("a stream that is not there: %v", err)
	}
}
