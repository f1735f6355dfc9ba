package sim

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"
)

// replica is a client that follows change tracking and keeps what it was told.
type replica struct {
	rows map[string]string // id -> etag
	link string            // "": a load has to begin
}

// step fetches one page.
func (c *replica) step(t failer, s *Server, size int) (done bool) {
	prefer := fmt.Sprintf("Prefer: odata.track-changes,odata.maxpagesize=%d", size)
	var p testPage
	if c.link == "" {
		p = send(t, s, "GET", "accounts?$select=name", "", prefer).page(t)
	} else {
		p = follow(t, s, c.link, prefer).page(t)
	}
	for _, row := range p.Value {
		if row["reason"] == "deleted" {
			delete(c.rows, row["id"].(string))
		} else {
			c.rows[row["accountid"].(string)] = row["@odata.etag"].(string)
		}
	}
	if p.Next != "" {
		c.link = p.Next
		return false
	}
	c.link = p.Delta
	return true
}

// truth is what a replica should hold.
func truth(t failer, s *Server) map[string]string {
	m := map[string]string{}
	err := s.Rows("account", func(id string, row map[string]any) bool {
		m[id] = fmt.Sprintf(`W/"%s"`, row["versionnumber"])
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestAReplicaConverges interleaves arbitrary writes, rolled-back change sets
// among them, with single pages of arbitrary size, restarts the load now and then
// and demands that the replica ends up with exactly the server's records.
func TestAReplicaConverges(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, err := New(Options{FirstVersion: 100_000})
		if err != nil {
			t.Fatal(err)
		}
		c := replica{rows: map[string]string{}}
		id := rapid.Custom(func(t *rapid.T) string { return testID(rapid.IntRange(0, 9).Draw(t, "n")) })
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				send(t, s, "PATCH", "accounts("+id.Draw(t, "id")+")", `{"name":"n"}`).want(t, 204, "")
			},
			"delete": func(t *rapid.T) {
				if a := send(t, s, "DELETE", "accounts("+id.Draw(t, "id")+")", ""); a.status != 204 && a.status != 404 {
					t.Fatal(a.body)
				}
			},
			"change set": func(t *rapid.T) {
				before := truth(t, s)
				fail := rapid.Bool().Draw(t, "fail")
				_ = s.atomically(func(h http.Handler) error {
					for range 3 {
						method, body := "PATCH", `{"name":"set"}`
						if rapid.Bool().Draw(t, "delete") {
							method, body = "DELETE", ""
						}
						sendTo(h, method, "accounts("+id.Draw(t, "id")+")", body)
					}
					if fail {
						return http.ErrAbortHandler
					}
					return nil
				})
				if after := truth(t, s); fail && !maps.Equal(before, after) {
					t.Fatalf("a failed change set left %v of %v", after, before)
				}
			},
			"page": func(t *rapid.T) { c.step(t, s, rapid.IntRange(1, 4).Draw(t, "size")) },
		})
		for !c.step(t, s, 3) {
		}
		for !c.step(t, s, 3) { // one round that begins after the last write
		}
		if diff := cmp.Diff(truth(t, s), c.rows); diff != "" {
			t.Fatalf("replica (-want +got):\n%s", diff)
		}
	})
}

// TestConcurrentWritersLoseNothing runs writers against a reader that pages all
// the while; in the end the reader holds what the server holds, and the log's
// commits ascend and account for every record.
func TestConcurrentWritersLoseNothing(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{RecordWrites: true})
	const writers, writes = 4, 150
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for w := range writers {
		wg.Go(func() {
			for i := range writes {
				id := testID((w*7 + i*3) % 40)
				if i%5 == 4 {
					if a := send(t, s, "DELETE", "accounts("+id+")", ""); a.status != 204 && a.status != 404 {
						t.Error(a.body)
					}
				} else if a := send(t, s, "PATCH", "accounts("+id+")", fmt.Sprintf(`{"name":"%d-%d"}`, w, i)); a.status != 204 {
					t.Error(a.body)
				}
			}
		})
	}
	go func() { wg.Wait(); close(stop) }()
	c := replica{rows: map[string]string{}}
	for finished := false; !finished; {
		select {
		case <-stop:
			finished = true
		default:
		}
		c.step(t, s, 3)
	}
	for range 2 {
		for !c.step(t, s, 3) {
		}
	}
	if diff := cmp.Diff(truth(t, s), c.rows); diff != "" {
		t.Errorf("replica (-want +got):\n%s", diff)
	}
	checkLog(t, s)
}

// checkLog replays the write log and compares the result with the records.
func checkLog(t *testing.T, s *Server) {
	t.Helper()
	var last int64
	got := map[string]string{}
	for i, e := range s.Log(1) {
		if e.Seq != int64(i+1) {
			t.Fatalf("entry %d has sequence %d", i+1, e.Seq)
		}
		if e.Kind != KindCommit {
			continue
		}
		if e.Version <= last {
			t.Errorf("version %d after %d", e.Version, last)
		}
		last = e.Version
		if e.Table != "account" {
			continue
		}
		if e.Operation == "delete" {
			delete(got, e.ID)
			continue
		}
		if e.Columns == nil || e.Columns["accountid"] != e.ID {
			t.Errorf("entry %d for %s has columns of %v", e.Seq, e.ID, e.Columns["accountid"])
		}
		got[e.ID] = fmt.Sprintf(`W/"%s"`, e.Columns["versionnumber"])
	}
	if diff := cmp.Diff(truth(t, s), got); diff != "" {
		t.Errorf("log replayed (-want +got):\n%s", diff)
	}
}

func TestCompactionKeepsEveryRecordReachable(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Options{})
	for i := range 20 {
		mustInsert(t, s, "account", map[string]any{"accountid": testID(i), "accountnumber": fmt.Sprint(i)})
	}
	link := send(t, s, "GET", "accounts?$select=name", "", track).page(t).Delta
	for i := range 5000 {
		if err := s.Update("account", testID(i%10), map[string]any{"name": fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	table := s.catalogNow().byName["account"]
	if n := len(table.changes); n > 2100 {
		t.Errorf("%d entries for 20 records", n)
	}
	p := follow(t, s, link).page(t)
	if len(p.Value) != 10 {
		t.Errorf("%d changes", len(p.Value))
	}
	for i := range 3000 {
		id := mustInsert(t, s, "account", nil)
		if i%10 > 0 {
			if err := s.Delete("account", id); err != nil {
				t.Fatal(err)
			}
		}
	}
	ids := table.order.ids(func(id uuid.UUID) bool { return table.rows[id] != nil })
	if len(ids) > 1500 || !slices.IsSortedFunc(ids, compareIDs) {
		t.Errorf("%d ids for 320 records", len(ids))
	}
	if n := len(truth(t, s)); n != 320 {
		t.Errorf("%d records", n)
	}
}
