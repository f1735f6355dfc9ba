package webapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cebridge/schema"
	"cebridge/schema/outcome"

	"github.com/google/go-cmp/cmp"
)

func found(ids ...string) scripted {
	rows := []map[string]string{}
	for _, id := range ids {
		rows = append(rows, map[string]string{"@odata.etag": `W/"1"`, "accountid": id})
	}
	body, _ := json.Marshal(map[string]any{"value": rows})
	return scripted{status: 200, body: string(body)}
}

func searchedAccount() *schema.Write {
	w := upsertAccount()
	w.Predicate = ""
	w.Search = &schema.Search{Table: "account", EntitySet: "accounts", PrimaryID: "accountid", Columns: []string{"accountnumber"}, Filter: "accountnumber eq 'A/1'"}
	w.KeyMembers = json.RawMessage(`{"accountnumber":"A/1"}`)
	return w
}

const (
	searchLine  = `GET accounts?$select=accountid&$filter=accountnumber%20eq%20%27A%2F1%27&$top=2 `
	insertLine  = `POST accounts {"accountnumber":"A/1","name":"Fabrikam"}`
	byGUIDLine  = `PATCH accounts(` + guid1 + `) If-Match:* {"name":"Fabrikam"}`
	deletedByID = `DELETE accounts(` + guid1 + `) `
)

func TestApplyToASearchedRecord(t *testing.T) {
	t.Parallel()
	gone := scripted{status: 404, body: apiError("0x80040217", "account With Id = "+guid1+" Does Not Exist")}
	for name, c := range map[string]struct {
		change  func(*schema.Write)
		answers []scripted
		seen    []string
		want    string
	}{
		"there":                         {nil, []scripted{found(guid1), noContent}, []string{searchLine, byGUIDLine}, "updated"},
		"not there":                     {nil, []scripted{found(), noContent}, []string{searchLine, insertLine}, "created"},
		"made in between":               {nil, []scripted{found(), duplicate, found(guid1), noContent}, []string{searchLine, insertLine, searchLine, byGUIDLine}, "updated"},
		"gone in between":               {nil, []scripted{found(guid1), gone, found(), noContent}, []string{searchLine, byGUIDLine, searchLine, insertLine}, "created"},
		"another key's duplicate":       {nil, []scripted{found(), duplicate, found(), duplicate, found(), duplicate}, []string{searchLine, insertLine, searchLine, insertLine, searchLine, insertLine}, "retry-race duplicate"},
		"two":                           {nil, []scripted{found(guid1, guid2)}, []string{searchLine}, "reject config"},
		"no list":                       {nil, []scripted{{status: 200, body: `{"value":{}}`}}, []string{searchLine}, "retry bad_answer"},
		"no value":                      {nil, []scripted{{status: 200, body: `{}`}}, []string{searchLine}, "retry bad_answer"},
		"no id":                         {nil, []scripted{{status: 200, body: `{"value":[{"name":"x"}]}`}}, []string{searchLine}, "retry bad_answer"},
		"an id that is none":            {nil, []scripted{found("../contacts(1)")}, []string{searchLine}, "retry bad_answer"},
		"a status that is none":         {nil, []scripted{noContent}, []string{searchLine}, "retry bad_answer"},
		"throttled":                     {nil, []scripted{{status: 429, body: apiError("0x80072322", "x")}}, []string{searchLine}, "retry-after throttled"},
		"a primary id that is no name":  {func(w *schema.Write) { w.Search.PrimaryID = "a&$top=9" }, nil, nil, "reject config"},
		"an entity set that is no name": {func(w *schema.Write) { w.Search.EntitySet = "a/b" }, nil, nil, "reject config"},
		"delete":                        {func(w *schema.Write) { w.Operation, w.Body = schema.OpDelete, nil }, []scripted{found(guid1), noContent}, []string{searchLine, deletedByID}, "deleted"},
		"delete of what went away": {func(w *schema.Write) { w.Operation, w.Body = schema.OpDelete, nil }, []scripted{found(guid1), gone},
			[]string{searchLine, deletedByID}, "absent"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &script{t: t, answers: c.answers}
			client, _ := newTestClient(t, s)
			w := searchedAccount()
			if c.change != nil {
				c.change(w)
			}
			before := *w
			r, err := client.Apply(t.Context(), w)
			got := string(r.Effect)
			if e := outcome.Of(err); e != nil {
				got = string(e.Verdict) + " " + string(e.Reason)
			}
			if got != c.want || r.Requests != len(c.seen) {
				t.Errorf("got %s in %d requests (%v), want %s in %d", got, r.Requests, err, c.want, len(c.seen))
			}
			if diff := cmp.Diff(c.seen, s.seen); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, *w); diff != "" {
				t.Errorf("the caller's write was changed:\n%s", diff)
			}
		})
	}
}

// directory answers searches for contacts, and every write.
type directory struct {
	searches atomic.Int32
	hold     chan struct{} // searches wait for it to be closed, if it is set
	missing  atomic.Bool
}

func (d *directory) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("OData-Version", "4.0")
	if r.Method != http.MethodGet {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	d.searches.Add(1)
	if d.hold != nil {
		select {
		case <-d.hold:
		case <-r.Context().Done():
			return
		}
	}
	w.Header().Set("Content-Type", "application/json")
	if d.missing.Load() {
		_, _ = fmt.Fprint(w, `{"value":[]}`)
		return
	}
	_, _ = fmt.Fprintf(w, `{"value":[{"contactid":"%s"}]}`, guid2)
}

// referring is a write that refers to the contact of that name.
func referring(n int, name string) *schema.Write {
	w := upsertOf(n)
	ref := schema.Reference{Property: "primarycontactid@odata.bind", Cached: true, Search: schema.Search{
		Table: "contact", EntitySet: "contacts", PrimaryID: "contactid", Columns: []string{"lastname"}, Filter: "lastname eq '" + name + "'"}}
	w.References = []schema.Reference{ref}
	w.Body = json.RawMessage("{" + string(ref.Member()) + "}")
	return w
}

func TestWritesThatWantTheSameReferenceShareOneSearch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &directory{hold: make(chan struct{})}
		c, stop := newPipeClient(t, d)
		defer stop()
		defer c.Close()
		leader, giveUp := context.WithCancel(t.Context())
		gaveUp := make(chan error, 1)
		go func() { gaveUp <- applyError(c, leader, referring(0, "x")) }()
		synctest.Wait()
		var all sync.WaitGroup
		for n := range 20 {
			all.Go(func() {
				if err := applyError(c, t.Context(), referring(n+1, "x")); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		giveUp()
		if err := <-gaveUp; !errors.Is(err, context.Canceled) || outcome.Of(err) != nil {
			t.Errorf("the caller that gave up got %v", err)
		}
		synctest.Wait()
		close(d.hold)
		all.Wait()
		if n := d.searches.Load(); n != 2 { // the given up one, and one for all others
			t.Errorf("%d searches", n)
		}
	})
}

func TestARememberedReferenceEndsWithItsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &directory{}
		c, stop := newPipeClient(t, d, func(c *Config) { c.ResolveTTL = time.Minute })
		defer stop()
		defer c.Close()
		searches := func(want int32) {
			t.Helper()
			if err := applyError(c, t.Context(), referring(1, "x")); err != nil {
				t.Fatal(err)
			}
			if n := d.searches.Load(); n != want {
				t.Errorf("%d searches, want %d", n, want)
			}
		}
		searches(1)
		advance(59 * time.Second)
		searches(1)
		advance(2 * time.Second)
		searches(2) // used does not mean renewed
	})
}

func TestWithoutATimeNothingIsRemembered(t *testing.T) {
	t.Parallel()
	d := &directory{}
	c, _ := newTestClient(t, d, func(c *Config) { c.ResolveTTL = -1 })
	for range 3 {
		if err := applyError(c, t.Context(), referring(1, "x")); err != nil {
			t.Fatal(err)
		}
	}
	if n := d.searches.Load(); n != 3 || len(c.references.known) != 0 {
		t.Errorf("%d searches, %d remembered", n, len(c.references.known))
	}
}

func TestEveryWaiterHasAVerdictOfItsOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &directory{hold: make(chan struct{})}
		d.missing.Store(true)
		c, stop := newPipeClient(t, d)
		defer stop()
		defer c.Close()
		const n = 5
		errs := make(chan error, n)
		for i := range n {
			go func() { errs <- applyError(c, t.Context(), referring(i, "x")) }()
		}
		synctest.Wait()
		close(d.hold)
		var seen []*outcome.Error
		for range n {
			e := outcome.Of(<-errs)
			if e == nil || e.Verdict != outcome.Park || e.Reason != outcome.MissingReference || slices.Contains(seen, e) {
				t.Errorf("verdict %v", e)
			}
			seen = append(seen, e)
		}
		if d.searches.Load() != 1 || len(c.references.known) != 0 || len(c.references.flights) != 0 {
			t.Errorf("%d searches, %d remembered, %d under way", d.searches.Load(), len(c.references.known), len(c.references.flights))
		}
	})
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	t.Parallel()
	r := newReferences(time.Hour)
	for i := range maxReferences {
		r.keep(fmt.Sprint(i), guid1)
	}
	if _, ok := r.lookUp("0"); !ok { // used: no longer the oldest
		t.Fatal("the first is forgotten before there are too many")
	}
	r.keep("one more", guid1)
	r.keep("one more", guid2)
	if id, _ := r.lookUp("one more"); id != guid2 || r.order.Len() != maxReferences || len(r.known) != maxReferences {
		t.Errorf("%s, %d in order, %d known", id, r.order.Len(), len(r.known))
	}
	if _, ok := r.lookUp("0"); !ok {
		t.Error("what was used last is forgotten")
	}
	if _, ok := r.lookUp("1"); ok {
		t.Error("what was used least is still known")
	}
	r.forget("0", guid3)
	if _, ok := r.lookUp("0"); !ok {
		t.Error("an answer is forgotten for another's fault")
	}
}
