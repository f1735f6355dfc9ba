package outbound

import (
	"strings"
	"testing"
	"time"

	"cebridge/schema"
)

func TestConfigReportsEveryFaultAtOnce(t *testing.T) {
	t.Parallel()
	cfg := testConfig()
	cfg.Query.Columns = nil
	cfg.Settings.Table = "contact"
	cfg.Names = schema.Names{Prefix: "crm", Org: "a.b"}
	cfg.OrgID = "contoso"
	cfg.Start = "tomorrow"
	cfg.PollInterval = -time.Second
	cfg.MaxBatch = 1001
	cfg.MaxBatchBytes = -1
	cfg.Backoff = Backoff{Min: time.Minute, Max: time.Second}
	_, err := NewWorker(cfg, newCRM(1), newStream(), Deps{})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"columns", "contact", "names", "organization id", "tomorrow", "negative", "1001", "bytes", "backoff"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %s:\n%v", want, err)
		}
	}
}

func TestConfigDefaults(t *testing.T) {
	t.Parallel()
	got := testConfig().withDefaults()
	if got.Start != StartLoad || got.PollInterval != 5*time.Second || got.IdleCommit != 10*time.Minute || got.MaxBatch != MaxBatch ||
		got.MaxBatchBytes != 16<<20 || got.Backoff != (Backoff{500 * time.Millisecond, time.Minute}) {
		t.Errorf("defaults %+v", got)
	}
	if long := (TableConfig{Backoff: Backoff{Min: time.Hour}}).withDefaults(); long.Backoff.Max != time.Hour {
		t.Errorf("a long minimum leaves the maximum at %s", long.Backoff.Max)
	}
}

func TestWorkerNeedsItsParts(t *testing.T) {
	t.Parallel()
	if _, err := NewWorker(TableConfig{}, newCRM(1), newStream(), Deps{}); err == nil {
		t.Error("no table: accepted")
	}
	if _, err := NewWorker(testConfig(), nil, newStream(), Deps{}); err == nil {
		t.Error("no source: accepted")
	}
	if _, err := NewWorker(testConfig(), newCRM(1), nil, Deps{}); err == nil {
		t.Error("no log: accepted")
	}
	cfg := testConfig()
	cfg.Settings.TypePrefix = ""
	if _, err := NewWorker(cfg, newCRM(1), newStream(), Deps{}); err == nil {
		t.Error("no type prefix: accepted")
	}
}
