package jet

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"cebridge/outbound"
)

func TestNoneTouchesNothing(t *testing.T) {
	t.Parallel()
	c := connect(t, startServer(t))
	if err := c.EnsureEventStream(t.Context(), ProvisionNone, eventStream(), true); err != nil {
		t.Error(err)
	}
	if err := c.EnsureDeadStream(t.Context(), ProvisionNone, "D", []string{"d.>"}, 1); err != nil {
		t.Error(err)
	}
	if _, err := c.js.Stream(t.Context(), testStream); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("got %v", err)
	}
	if err := c.EnsureEventStream(t.Context(), "force", eventStream(), true); err == nil {
		t.Error("an unknown mode was accepted")
	}
}

func TestApplyMakesAStreamThatVerifyAccepts(t *testing.T) {
	t.Parallel()
	c := connect(t, startServer(t))
	s := eventStream()
	s.HistoryPerRecord, s.MaxBytes = 8, 1<<30
	if err := c.EnsureEventStream(t.Context(), ProvisionVerify, s, true); !errors.Is(err, outbound.ErrMisconfigured) {
		t.Errorf("verify of nothing: %v", err)
	}
	dead := func(mode Mode) error {
		return c.EnsureDeadStream(t.Context(), mode, names.DeadStream(), names.DeadSubjects(), 1)
	}
	if err := dead(ProvisionVerify); !errors.Is(err, outbound.ErrMisconfigured) {
		t.Errorf("verify of nothing: %v", err)
	}
	for _, mode := range []Mode{ProvisionApply, ProvisionApply, ProvisionVerify} {
		if err := c.EnsureEventStream(t.Context(), mode, s, true); err != nil {
			t.Errorf("%s: %v", mode, err)
		}
		if err := dead(mode); err != nil {
			t.Errorf("%s, dead letters: %v", mode, err)
		}
	}
	exists, diffs, err := c.CompareEventStream(t.Context(), s)
	if !exists || len(diffs) != 0 || err != nil {
		t.Errorf("got %v, %v, %v", exists, diffs, err)
	}
	got, err := c.js.Stream(t.Context(), testStream)
	if err != nil {
		t.Fatal(err)
	}
	cfg := got.CachedInfo().Config
	if cfg.MaxMsgsPerSubject != 8 || cfg.MaxBytes != 1<<30 || cfg.MaxAge != 0 || cfg.MaxMsgs != -1 || cfg.Discard != jetstream.DiscardNew ||
		cfg.Retention != jetstream.LimitsPolicy || cfg.Storage != jetstream.FileStorage {
		t.Errorf("got %+v", cfg)
	}
}

func TestAVanishedStreamIsNotMadeAnew(t *testing.T) {
	t.Parallel()
	c, _ := newLog(t)
	if err := c.js.DeleteStream(t.Context(), testStream); err != nil {
		t.Fatal(err)
	}
	err := c.EnsureEventStream(t.Context(), ProvisionApply, eventStream(), false)
	if !errors.Is(err, outbound.ErrMisconfigured) || !strings.Contains(err.Error(), "is gone") {
		t.Errorf("got %v", err)
	}
	if _, err := c.js.Stream(t.Context(), testStream); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("the stream is there again: %v", err)
	}
	if exists, _, err := c.CompareEventStream(t.Context(), eventStream()); exists || err != nil {
		t.Errorf("compare says %v, %v", exists, err)
	}
}

// forgetful is a stream with every harmless fault.
func forgetful() jetstream.StreamConfig {
	return jetstream.StreamConfig{Name: testStream, Subjects: []string{"crm.contoso.>", "extra.>"}, MaxAge: time.Hour, MaxMsgs: 1000,
		MaxMsgsPerSubject: 4, MaxBytes: 1 << 20, Discard: jetstream.DiscardNew, DiscardNewPerSubject: true, NoAck: true, Compression: jetstream.S2Compression}
}

func TestVerifyListsEveryDifference(t *testing.T) {
	t.Parallel()
	c := connect(t, startServer(t))
	if _, err := c.js.CreateStream(t.Context(), forgetful()); err != nil {
		t.Fatal(err)
	}
	err := c.EnsureEventStream(t.Context(), ProvisionVerify, eventStream(), true)
	if !errors.Is(err, outbound.ErrMisconfigured) {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{"subjects", "crm-state.contoso.>", "max_age is 1h0m0s", "max_msgs is 1000", "max_msgs_per_subject is 4, want -1",
		"max_bytes is 1048576", "discard_new_per_subject", "allow_atomic", "allow_msg_ttl", "allow_rollup_hdrs", "allow_direct", "no_ack"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not named in: %v", want, err)
		}
	}
}

func TestApplyMendsWhatIsSafe(t *testing.T) {
	t.Parallel()
	c := connect(t, startServer(t))
	if _, err := c.js.CreateStream(t.Context(), forgetful()); err != nil {
		t.Fatal(err)
	}
	if err := c.EnsureEventStream(t.Context(), ProvisionApply, eventStream(), false); err != nil {
		t.Fatal(err)
	}
	if err := c.EnsureEventStream(t.Context(), ProvisionVerify, eventStream(), false); err != nil {
		t.Error(err)
	}
	s, err := c.js.Stream(t.Context(), testStream)
	if err != nil {
		t.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	if !slices.Contains(cfg.Subjects, "extra.>") || cfg.Compression != jetstream.S2Compression {
		t.Errorf("apply changed what is not its own: %+v", cfg)
	}
	mustCommit(t, c.Log(testStream), events(0, 3, 5), 0)
}

func TestApplyRefusesWhatIsDangerousAndChangesNothing(t *testing.T) {
	t.Parallel()
	good := wantEventStream(eventStream())
	for name, tt := range map[string]struct {
		change func(*jetstream.StreamConfig)
		want   func(*EventStream)
		says   string
	}{
		"work queue": {change: func(c *jetstream.StreamConfig) { c.Retention = jetstream.WorkQueuePolicy }, says: "retention"},
		"memory":     {change: func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage }, says: "storage"},
		"deny purge": {change: func(c *jetstream.StreamConfig) { c.DenyPurge, c.AllowRollup = true, false }, says: "deny_purge"},
		"transform": {change: func(c *jetstream.StreamConfig) {
			c.SubjectTransform = &jetstream.SubjectTransformConfig{Source: "crm.>", Destination: "x.>"}
		}, says: "subject_transform"},
		"less history":    {want: func(s *EventStream) { s.HistoryPerRecord = 3 }, says: "max_msgs_per_subject is -1, want 3 (lowering it deletes history)"},
		"fewer bytes":     {want: func(s *EventStream) { s.MaxBytes = 1000 }, says: "max_bytes is -1, want 1000"},
		"lower than some": {change: func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 8 }, want: func(s *EventStream) { s.HistoryPerRecord = 7 }, says: "max_msgs_per_subject is 8, want 7"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := connect(t, startServer(t))
			cfg, s := good, eventStream()
			cfg.MaxAge = time.Hour // safe to change, but not beside a danger
			if tt.change != nil {
				tt.change(&cfg)
			}
			if tt.want != nil {
				tt.want(&s)
			}
			made, err := c.js.CreateStream(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			before := made.CachedInfo().Config
			err = c.EnsureEventStream(t.Context(), ProvisionApply, s, true)
			if !errors.Is(err, outbound.ErrMisconfigured) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v", err)
			}
			after, err := made.Info(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, after.Config); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestMoreHistoryAndMoreBytesAreSafe(t *testing.T) {
	t.Parallel()
	c := connect(t, startServer(t))
	s := eventStream()
	for _, step := range []struct {
		history  int
		maxBytes int64
	}{{2, 1 << 20}, {8, 1 << 21}, {-1, 0}} {
		s.HistoryPerRecord, s.MaxBytes = step.history, step.maxBytes
		if err := c.EnsureEventStream(t.Context(), ProvisionApply, s, true); err != nil {
			t.Errorf("%+v: %v", step, err)
		}
	}
}

func TestFewerReplicasAreADangerMoreAreNot(t *testing.T) {
	t.Parallel()
	have, want := wantEventStream(eventStream()), wantEventStream(eventStream())
	have.Replicas, want.Replicas = 3, 1
	if d := compareEvents(&have, &want); len(d) != 1 || d[0].Danger == "" {
		t.Errorf("fewer: %v", d)
	}
	have.Replicas, want.Replicas = 1, 3
	if d := compareEvents(&have, &want); len(d) != 1 || d[0].Danger != "" {
		t.Errorf("more: %v", d)
	}
}
