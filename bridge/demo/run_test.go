package demo

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// show is where a demo prints; it ends the demo once all of want has been seen.
type show struct {
	text bytes.Buffer
	want []string
	end  context.CancelFunc
}

func (s *show) Write(b []byte) (int, error) {
	s.text.Write(b)
	for _, w := range s.want {
		if !strings.Contains(s.text.String(), w) {
			return len(b), nil
		}
	}
	s.end()
	return len(b), nil
}

// run runs a demo until everything wanted was printed and returns what was.
func run(t *testing.T, dir string, log io.Writer, want ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute) // far more than it takes on a busy machine
	defer cancel()
	s := &show{want: want, end: cancel}
	_, err := Run(ctx, Options{
		Out: s, Dir: dir, NATSPort: -1, SimAddr: "127.0.0.1:0", AdminAddr: "127.0.0.1:0",
		Pace: 20 * time.Millisecond, Seed: 1,
		Logger: slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		t.Fatalf("the demo: %v\n%s", err, s.text.String())
	}
	for _, w := range want {
		if !strings.Contains(s.text.String(), w) {
			t.Fatalf("the demo never printed %q:\n%s", w, s.text.String())
		}
	}
	return s.text.String()
}

func TestTheDemoShowsBothDirectionsAndEndsInOrder(t *testing.T) {
	t.Parallel()
	out := run(t, "", io.Discard, "CRM -> NATS  loaded ", "CRM -> NATS  created ", "CRM -> NATS  updated ", "CRM -> NATS  deleted ",
		"PATCH accounts(accountnumber='ABC123')", "created in 1 request", "updated in 1 request", "dead letter: invalid")
	for _, bind := range []string{
		`"primarycontactid@odata.bind":"/contacts(emailaddress1='contact%40company.com')"`,
		`"new_Region@odata.bind":"/new_regions(new_code='NW')"`,
		`"ownerid@odata.bind":"/systemusers(internalemailaddress='user%40mycompany.com')"`,
		`"statecode":0`,
	} {
		if !strings.Contains(out, bind) {
			t.Errorf("the sample request has no %s", bind)
		}
	}
}

func TestASecondDemoInTheSameDirectoryGoesOnFromThere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var log bytes.Buffer
	// Both tables are loaded, so that nothing is left to be.
	run(t, dir, &log, "CRM -> NATS  loaded   crm.demo.account.", "CRM -> NATS  loaded   crm.demo.contact.",
		"CRM -> NATS  deleted ", "CRM -> NATS  updated ", "created in 1 request")
	second := run(t, dir, &log, "CRM -> NATS  created ", "CRM -> NATS  updated ")
	if strings.Contains(second, "CRM -> NATS  loaded ") {
		t.Errorf("the second demo loaded the records again:\n%s", second)
	}
	for line := range strings.Lines(log.String()) {
		if !strings.Contains(line, `"message rejected"`) {
			t.Errorf("log: %s", line)
		}
	}
}

func TestADemoThatEndsBeforeItBeganDidNotFail(t *testing.T) {
	t.Parallel()
	_, err := Run(t.Context(), Options{
		Out: io.Discard, Duration: time.Nanosecond, NATSPort: -1, SimAddr: "127.0.0.1:0", AdminAddr: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Error(err)
	}
}
