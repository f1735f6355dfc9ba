package jet

import (
	"testing"

	"cebridge/outbound"
)

func TestAMessageThatIsAloneTakesThePlaceOfThoseBeforeIt(t *testing.T) {
	t.Parallel()
	c, l := newLog(t)
	var fence uint64
	for _, text := range []string{"first", "second"} {
		batch := outbound.Batch{Messages: events(0, 1, 5), Checkpoint: checkpoint(text), Expected: fence}
		batch.Messages[0].Data, batch.Messages[0].Alone = []byte(text), true
		var err error
		if fence, err = l.Commit(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	subject := events(0, 1, 5)[0].Subject
	got := all(t, c, l.stream, subject)
	if len(got) != 1 || string(got[0].Data) != "second" {
		t.Fatalf("%d messages are on %s, want the second alone", len(got), subject)
	}
	if ttl := got[0].Header["Nats-TTL"]; len(ttl) != 1 || ttl[0] != "never" {
		t.Errorf("it may expire: %v", got[0].Header)
	}
}
