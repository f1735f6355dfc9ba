package jet

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"cebridge/outbound"
	"cebridge/schema"
	"cebridge/schema/event"
)

// rising is a source of 20 records, of which each poll finds seven changed, on pages of
// three: a round of several pages is read again, so every row is shown twice.
type rising struct {
	mu       sync.Mutex
	version  int64
	versions [20]int64
	polls    int
	still    bool
}

// Page implements outbound.Source. Links are since=<version>&to=<version>.
func (s *rising) Page(_ context.Context, _ outbound.Query, link string) (*outbound.Page, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var since, to int64
	if _, err := fmt.Sscanf(link, "since=%d&to=%d", &since, &to); link != "" && err != nil {
		return nil, err
	}
	if to == 0 {
		if s.polls++; !s.still {
			for range 7 {
				s.version++
				s.versions[s.version*7%20] = s.version
			}
		}
		to = s.version
	}
	var changed []int
	for i, v := range s.versions {
		if v > since {
			changed = append(changed, i)
		}
	}
	slices.SortFunc(changed, func(a, b int) int { return int(s.versions[a] - s.versions[b]) })
	p := &outbound.Page{}
	for _, i := range changed[:min(3, len(changed))] {
		text := fmt.Sprintf(`{"accountid":%q,"versionnumber":%d,"name":"name %d"}`, recordID(i), s.versions[i], s.versions[i])
		h := fnv.New64a()
		h.Write([]byte(text))
		p.Rows = append(p.Rows, outbound.Row{ID: recordID(i), Version: s.versions[i], JSON: []byte(text), Hash: h.Sum64()})
		since = s.versions[i]
	}
	if len(changed) > 3 {
		p.Next = fmt.Sprintf("since=%d&to=%d", since, to)
	} else {
		p.Delta = fmt.Sprintf("since=%d&to=0", to)
	}
	return p, nil
}

func (s *rising) Exists(context.Context, outbound.Query, string) (bool, error) { return true, nil }

// stop ends the changes and returns what the source came to.
func (s *rising) stop() [20]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.still = true
	return s.versions
}

// A worker at a node whose replica is behind: a third of its compares are answered by it. An
// answer that was believed would make it publish a version again, or name a predecessor that
// is not the last one.
func TestAWorkerNeverPublishesOnWhatALaggingReplicaShows(t *testing.T) {
	l := newLagging(t, false)
	fence := l.commit(t, l.conn, events(0, 30, 10), l.fence)
	l.old(t, names.Record("account", recordID(0)), fence-30)
	table := &schema.Table{
		LogicalName: "contact", EntitySet: "contacts", PrimaryID: "contactid", ChangeTracking: true,
		Columns: []schema.Column{{LogicalName: "accountid", Type: schema.TypeUniqueID}, {LogicalName: "name", Type: schema.TypeString}},
	}
	source := &rising{}
	w, err := outbound.NewWorker(outbound.TableConfig{
		Query: outbound.Query{Table: table, Columns: []string{"accountid", "name"}, PageSize: 3}, Names: names,
		Settings:     event.Settings{Source: "/crm/contoso/contact", TypePrefix: "com.contoso.crm", Table: "contact", OrgID: recordID(7)},
		OrgID:        recordID(7),
		PollInterval: 20 * time.Millisecond, OverlapEvery: -1, Backoff: outbound.Backoff{Min: 10 * time.Millisecond, Max: 100 * time.Millisecond},
	}, source, l.behind.Log(testStream), outbound.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	published := func(n uint64) func() bool {
		return func() bool {
			st := w.Status()
			if st.State == outbound.StateHalted {
				t.Fatalf("the worker halted: %s", st.Detail)
			}
			return st.Published[event.Updated] >= n
		}
	}
	waitUntil(t, "200 updates at a replica that is behind", published(200))
	l.frozen.Store(false)
	waitUntil(t, "40 more while it catches up", published(w.Status().Published[event.Updated]+40))
	want := source.stop()
	last := map[string]int64{}
	waitUntil(t, "everything to be published", func() bool {
		clear(last)
		for _, m := range all(t, l.conn, testStream, names.Table("contact")) {
			p, err := event.ReadHeader(m.Header)
			if err != nil {
				t.Fatal(err)
			}
			last[m.Subject] = p.Version
		}
		for i, v := range want {
			if last[names.Record("contact", recordID(i))] != v {
				return false
			}
		}
		return true
	})
	cancel()
	if err := within(t, done, "the worker's end"); err != nil {
		t.Error(err)
	}
	inOrder(t, all(t, l.conn, testStream, names.Table("contact")))
}

// inOrder checks that the versions of each record only grow, and that each event names the
// one before it.
func inOrder(t *testing.T, events []outbound.Stored) {
	t.Helper()
	before := map[string]int64{}
	for _, m := range events {
		p, err := event.ReadHeader(m.Header)
		if err != nil {
			t.Fatal(err)
		}
		var e struct {
			Previous string `json:"previousversion"`
		}
		if err := json.Unmarshal(m.Data, &e); err != nil {
			t.Fatal(err)
		}
		was, known := before[m.Subject]
		want := ""
		if known {
			want = strconv.FormatInt(was, 10)
		}
		if p.Version <= was || e.Previous != want {
			t.Errorf("sequence %d: version %d of %s follows %d, it says %q", m.Sequence, p.Version, m.Subject[strings.LastIndexByte(m.Subject, '.'):], was, e.Previous)
		}
		before[m.Subject] = p.Version
	}
}
