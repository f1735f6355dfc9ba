package sim

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// follower keeps a copy of the accounts' names by following delta links.
type follower struct {
	link  string
	names map[string]any
}

func (f *follower) poll(t testing.TB, s *Server) {
	t.Helper()
	var page testPage
	if f.link == "" {
		page = send(t, s, "GET", "accounts?$select=name", "", track, "Prefer: odata.maxpagesize=7").page(t)
	} else {
		page = follow(t, s, f.link, track, "Prefer: odata.maxpagesize=7").page(t)
	}
	for {
		for _, row := range page.Value {
			if row["reason"] == "deleted" {
				delete(f.names, row["id"].(string))
			} else {
				f.names[row["accountid"].(string)] = row["name"]
			}
		}
		if page.Next == "" {
			break
		}
		page = follow(t, s, page.Next, track, "Prefer: odata.maxpagesize=7").page(t)
	}
	f.link = page.Delta
}

// Whatever is written, and wherever the process is killed between two requests:
// the records are the same afterwards, versions included, and a client that
// follows delta links across the kills ends with the same records.
func TestRandomWritesAndKillsLoseNothing(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(seed, 1))
			dir := t.TempDir()
			s := stored(t, dir)
			f := &follower{names: map[string]any{}}
			path := func() string { return fmt.Sprintf("accounts(accountnumber='%d')", rng.IntN(30)) }
			for step := range 300 {
				body := fmt.Sprintf(`{"name":"step %d"}`, step)
				switch n := rng.IntN(20); {
				case n < 10:
					send(t, s, "PATCH", path(), body).want(t, 204, "")
				case n < 13:
					send(t, s, "DELETE", path(), "")
				case n < 15: // a change set that may fail half way
					_ = s.atomically(func(h http.Handler) error {
						for range 3 {
							if a := sendTo(h, "PATCH", path(), body); a.status >= 400 || rng.IntN(4) == 0 {
								return errChangeSetFailed
							}
						}
						return nil
					})
				case n < 18:
					f.poll(t, s)
				default:
					before := contents(t, s, "account")
					kill(t, s)
					s = stored(t, dir)
					if diff := cmp.Diff(before, contents(t, s, "account")); diff != "" {
						t.Fatalf("step %d, after a kill (-before +after):\n%s", step, diff)
					}
				}
			}
			f.poll(t, s)
			want := map[string]any{}
			if err := s.Rows("account", func(id string, row map[string]any) bool { want[id] = row["name"]; return true }); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, f.names); diff != "" {
				t.Errorf("the follower's copy (-records +copy):\n%s", diff)
			}
		})
	}
}

// Writers, an administrator and a backup at once: what is on the disk is what was
// in memory.
func TestConcurrentWritesAreStoredWhole(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := stored(t, dir)
	var group sync.WaitGroup
	for w := range 4 {
		group.Go(func() {
			for i := range 100 {
				send(t, s, "PATCH", fmt.Sprintf("accounts(accountnumber='%d')", (i*7+w)%40), fmt.Sprintf(`{"name":"%d/%d","telephone1":"1"}`, w, i))
			}
		})
	}
	group.Go(func() {
		for i := range 20 {
			_ = s.SecureColumn("account", "telephone2", i%2 == 0)
			_ = s.ExpireTokens("account")
			s.Snapshot()
			send(t, s, "GET", "accounts?$expand=primarycontactid&$top=5", "").want(t, 200, "")
		}
		if err := s.DropColumn("account", "fax"); err != nil {
			t.Error(err)
		}
	})
	group.Wait()
	before := contents(t, s, "account")
	kill(t, s)
	after := contents(t, stored(t, dir), "account")
	if diff := cmp.Diff(before, after); diff != "" || len(before) != 40 {
		t.Errorf("%d records (-memory +disk):\n%s", len(before), diff)
	}
}
