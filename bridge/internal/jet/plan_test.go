package jet

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

func TestAConsumerIsComparedWithoutBeingTouched(t *testing.T) {
	t.Parallel()
	c := connect(t, startServer(t))
	cfg := FeedConfig{Stream: "ERP", Durable: "route", Subjects: []string{"erp.a"}, Start: StartAll, Mode: ProvisionApply}
	look := func(cfg FeedConfig) (bool, []Difference) {
		t.Helper()
		exists, diffs, err := c.CompareConsumer(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		return exists, diffs
	}
	if exists, diffs := look(cfg); exists || len(diffs) != 0 {
		t.Errorf("without a stream: %v, %v", exists, diffs)
	}
	if err := c.EnsureSourceStream(t.Context(), ProvisionApply, "ERP", []string{"erp.>"}, 1); err != nil {
		t.Fatal(err)
	}
	if exists, _ := look(cfg); exists {
		t.Error("a consumer that nobody made")
	}
	if _, err := c.js.Consumer(t.Context(), "ERP", "route"); err == nil {
		t.Error("to compare made one")
	}
	if _, err := c.Feed(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if exists, diffs := look(cfg); !exists || len(diffs) != 0 {
		t.Errorf("as it was made: %v, %v", exists, diffs)
	}
	other := cfg
	other.AckWait, other.Subjects = time.Minute, []string{"erp.b"}
	_, diffs := look(other)
	danger := map[string]bool{}
	for _, d := range diffs {
		danger[d.Setting] = d.Danger != ""
	}
	if len(danger) != 3 || !danger["filter_subjects"] || danger["ack_wait"] || danger["priority_timeout"] {
		t.Errorf("differences: %v", diffs)
	}
	other.Durable = "a.b"
	if _, _, err := c.CompareConsumer(t.Context(), other); err == nil {
		t.Error("a name that no consumer can have was accepted")
	}
}

func TestASourceStreamIsComparedBySubjectsAlone(t *testing.T) {
	t.Parallel()
	c := connect(t, startServer(t))
	if exists, _, err := c.CompareSourceStream(t.Context(), "ERP", []string{"erp.>"}); exists || err != nil {
		t.Errorf("%v, %v", exists, err)
	}
	if _, err := c.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ERP", Subjects: []string{"erp.a"}, MaxAge: time.Hour}); err != nil {
		t.Fatal(err)
	}
	if exists, diffs, err := c.CompareSourceStream(t.Context(), "ERP", []string{"erp.a"}); !exists || len(diffs) != 0 || err != nil {
		t.Errorf("%v, %v, %v", exists, diffs, err)
	}
	if _, diffs, _ := c.CompareSourceStream(t.Context(), "ERP", []string{"erp.b"}); len(diffs) != 1 || diffs[0].Danger == "" {
		t.Errorf("%v", diffs)
	}
}
